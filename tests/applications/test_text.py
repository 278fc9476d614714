"""Text models: what they learn, bits per character, what they write, files, and bad input."""

import json
import math

import numpy as np
import pytest

import crnn
from crnn import files
from crnn import text as texts
from crnn.text import TextModel, trigram_bits

RHYME = "one for the master, one for the dame, and one for the little boy who lives down the lane. "


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_learns_a_text_by_heart(implementation, tmp_path, cell):
    model = TextModel(RHYME, hidden_size=48, cell=cell, seed=0, implementation=implementation)
    assert type(model.net).__name__ == cell.upper()
    history = model.fit(RHYME * 12, epochs=60, bptt=32, learning_rate=0.01)
    assert history.loss[-1] < 0.2 < 2 < history.loss[0]
    assert model.bits_per_character(RHYME * 2) < 0.4
    assert model.generate("one for the m", 30, temperature=0) == RHYME[:43]
    model.save(tmp_path / "text.npz")
    twin = texts.load(tmp_path / "text.npz")
    assert repr(twin.net)[:4] == repr(model.net)[:4]
    assert np.array_equal(twin.net.flat_params, model.net.flat_params)


def test_short_texts_are_read_more_often():
    model = TextModel("ab", hidden_size=1, seed=0)
    assert len(model.fit("abba" * 50, progress=False).loss) == 40
    # 32 pieces of 103 characters, a step of training after each
    assert len(model.fit("abba" * 825, bptt=1, progress=False).loss) == 15
    assert len(model.fit("abba" * 400, bptt=1, progress=False).loss) == 31  # of 49 steps: 1519


def test_bits_per_character_are_those_of_the_outputs(implementation):
    model = TextModel("abcd", hidden_size=5, seed=1, implementation=implementation)
    model.net.flat_params[...] = np.random.default_rng(0).normal(size=model.net.flat_params.size)
    logits = model.net.predict(np.eye(4)[[0, 1, 3, 2]][None])[0]  # of "abdc", as one-hot vectors
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    bits = -np.log2(chances[[0, 1, 2, 3], [1, 3, 2, 0]])  # of what follows each: "bdca"
    assert model.bits_per_character("abdca") == pytest.approx(bits.mean(), rel=1e-5)
    assert model.bits_per_character("ca", before="abd") == pytest.approx(bits[2:].mean(), rel=1e-5)


def test_what_it_writes_follows_the_outputs(implementation):
    model = TextModel("ab", hidden_size=2, seed=0, implementation=implementation)
    model.net.flat_params[...] = 0
    model.net.b_y[...] = [0, math.log(3)]  # "b" three times as often as "a"
    written = model.generate("a", 4000, seed=5)[1:]
    assert written.count("b") / 4000 == pytest.approx(0.75, abs=0.03)
    colder = model.generate("a", 4000, temperature=0.5, seed=5)[1:]
    assert colder.count("b") / 4000 == pytest.approx(0.9, abs=0.03)
    assert model.generate("a", 9, temperature=0) == "a" + "b" * 9
    assert model.generate("ab", 20, seed=2) == model.generate("ab", 20, seed=2)
    assert model.generate("ab", 0) == "ab"


def test_trigrams_by_hand():
    # "abab" counts: a 2, b 2; a->b 2, b->a 1; ab->a 1, ba->b 1.
    chance = 1 / 3  # of all alike, in a vocabulary of three
    of_a = (2 + 2 * chance) / (4 + 2)
    after_b = (1 + 1 * of_a) / (1 + 1)
    after_ab = (1 + 1 * after_b) / (1 + 1)
    assert trigram_bits("abab", "aba", "abc") == pytest.approx(-math.log2(after_ab))
    of_c = (0 + 2 * chance) / (4 + 2)
    after_b = (0 + of_c) / 2
    after_ab = (0 + after_b) / 2
    assert trigram_bits("abab", "abc", "abc") == pytest.approx(-math.log2(after_ab))


def test_files(tmp_path, implementation):
    model = TextModel("héllo wörld\n☃", hidden_size=7, num_layers=2, seed=0)
    model.save(tmp_path / "text.npz")
    twin = texts.load(tmp_path / "text.npz", implementation=implementation)
    assert twin.vocabulary == model.vocabulary == "".join(sorted(set("héllo wörld\n☃")))
    assert twin.net.implementation == implementation
    assert np.array_equal(twin.net.flat_params, model.net.flat_params)
    assert files.kind(tmp_path / "text.npz") == "text model"
    with pytest.raises(crnn.ModelFileError, match="expected a network of crnn, got a text mo"):
        crnn.load(tmp_path / "text.npz")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"vocabulary": "ba"}, "vocabulary: expected characters in order"),
        ({"vocabulary": "abc"}, "vocabulary: expected 2 characters, got 3"),
        ({"vocabulary": 5}, "vocabulary: expected characters"),
        ({"version": 9}, "a newer crnn wrote it"),
        ({"network": []}, "expected the description of a network"),
    ],
)
def test_bad_files(tmp_path, changes, match):
    TextModel("ab", hidden_size=2, seed=0).save(tmp_path / "text.npz")
    with np.load(tmp_path / "text.npz") as found:
        arrays = {name: found[name] for name in found.files}
    description = json.loads(arrays.pop("crnn").tobytes()) | changes
    description.pop("sha256")
    files.write(tmp_path / "bad.npz", description, arrays)
    with pytest.raises(crnn.ModelFileError, match=match):
        texts.load(tmp_path / "bad.npz")


def test_bad_input():
    model = TextModel("abc", hidden_size=2, seed=0)
    with pytest.raises(ValueError, match=r"^characters: expected at least 2 different ones, got 1"):
        TextModel("aaa")
    with pytest.raises(TypeError, match=r"^characters: expected a str, got bytes"):
        TextModel(b"abc")
    with pytest.raises(
        ValueError, match=r"^text: expected characters that the model knows, got '!'"
    ):
        model.fit("abc!")
    with pytest.raises(ValueError, match=r"^prompt: expected characters that the model knows"):
        model.generate("x", 3)
    with pytest.raises(ValueError, match=r"^prompt: expected at least one character"):
        model.generate("", 3)
    with pytest.raises(ValueError, match=r"^temperature: expected a finite number of at least 0"):
        model.generate("a", 3, temperature=-1)
    with pytest.raises(ValueError, match=r"^text: expected at least 2 characters"):
        model.fit("a")
    with pytest.raises(ValueError, match=r"^text: expected more than 1 characters"):
        model.bits_per_character("a")
