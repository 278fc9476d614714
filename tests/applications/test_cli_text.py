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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("from_input", [False, True])
def test_files_are_read_as_they_are(invoke, tmp_path, encoding, from_input):
    """Without the mark of the encoding, with all line ends."""
    from crnn.text import load

    path, model = tmp_path / "text.txt", tmp_path / "text.npz"
    content = ("où là\r\n" * 20).encode(encoding)
    path.write_bytes(content)
    report = invoke(
        "text", "-" if from_input else path, "--hidden", 2, "--epochs", 1, "--no-progress",
        "-o", model, standard_input=content,
    ).stdout  # fmt: skip
    assert report.startswith("140 characters, 7 different\n")
    assert load(model).vocabulary == "\n\r loàù"
