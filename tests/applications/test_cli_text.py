"""The commands for texts: text, generate."""

import re

import pytest


@pytest.fixture(scope="module")
def fitted(invoke, folder, tmp_path_factory):
    """A model of `crnn text`, and the report."""
    path = tmp_path_factory.mktemp("text") / "text.npz"
    result = invoke(
        "text", folder / "text.txt", "--hidden", 8, "--epochs", 3, "--cell", "gru", "--no-progress",
        "-o", path,
    )  # fmt: skip
    return path, result.stdout


def test_text_compares_the_model_with_trigrams(invoke, fitted):
    path, report = fitted
    assert report.startswith("860 characters, 16 different\n")
    assert re.search(r"bits per character on the last tenth: [\d.]+; trigrams [\d.]+", report)
    assert "Trigrams predict it better" in report  # after three epochs
    assert "GRU(" in invoke("info", path).stdout


def test_generate_continues_a_prompt(invoke, fitted):
    arguments = ["generate", fitted[0], "--prompt", "To be", "--length", 30]
    first, again, other = (invoke(*arguments, "--seed", seed).stdout for seed in (4, 4, 5))
    assert first == again != other
    assert first.startswith("To be")
    assert len(first.rstrip("\n")) == 35
