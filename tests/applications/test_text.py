"""Text models: what they learn, bits per character, what they write, and bad input."""

import math

import numpy as np
import pytest

from crnn.text import TextModel, decode, trigram_bits

SENTENCE = "to be, or not to be, "


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_learns_a_sentence_by_heart(implementation, cell):
    model = TextModel(SENTENCE, hidden_size=24, cell=cell, seed=0, implementation=implementation)
    assert type(model.net).__name__ == cell.upper()
    history = model.fit(SENTENCE * 10, epochs=40, bptt=12, learning_rate=0.02)
    assert history.loss[-1] < 0.1 < 1.5 < history.loss[0]
    assert model.bits_per_character(SENTENCE * 2) < 0.1
    # "to be, " goes on differently the second time: the network remembers more than a word.
    assert model.generate("to b", 38, temperature=0) == SENTENCE * 2


@pytest.mark.parametrize(
    ("characters", "bptt", "pieces", "steps", "epochs"),
    [
        (200, 64, 1, 199, 40),  # the most epochs
        (3300, 1, 32, 103, 15),  # the fewest: 103 steps of training in each
        (1600, 1, 32, 49, 31),  # 49 steps of training in each make 1519
        (5000, 64, 19, 263, 40),
    ],
)
def test_short_texts_are_read_more_often(monkeypatch, characters, bptt, pieces, steps, epochs):
    model = TextModel("ab", hidden_size=1, seed=0)
    calls = []
    monkeypatch.setattr(type(model.net), "fit", lambda net, *args, **kw: calls.append((args, kw)))
    model.fit(("abba" * characters)[:characters], bptt=bptt)
    [((x, y), settings)] = calls
    assert settings["epochs"] == epochs
    assert x.shape == y.shape == (pieces, steps)
    assert np.array_equal(x.ravel()[1:], y.ravel()[:-1])


def test_bits_per_character_are_those_of_the_outputs(implementation):
    model = TextModel("abcd", hidden_size=5, seed=1, implementation=implementation)
    model.net.flat_params[...] = np.random.default_rng(0).normal(size=model.net.flat_params.size)
    logits = model.net.predict([0, 1, 3, 2])  # the outputs for "abdc"
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    bits = -np.log2(probabilities[[0, 1, 2, 3], [1, 3, 2, 0]])  # of what follows each: "bdca"
    assert model.bits_per_character("abdca") == pytest.approx(bits.mean(), rel=1e-5)
    assert model.bits_per_character("ca", before="abd") == pytest.approx(bits[2:].mean(), rel=1e-5)


def test_what_it_writes_follows_the_outputs(implementation):
    model = TextModel("ab", hidden_size=2, seed=0, implementation=implementation)
    model.net.flat_params[...] = 0
    model.net.b_y[...] = [0, math.log(3)]  # "b" three times as often as "a"
    n = 2000
    written = model.generate("a", n, seed=5)[1:]
    assert written.count("b") / n == pytest.approx(0.75, abs=0.04)
    colder = model.generate("a", n, temperature=0.5, seed=5)[1:]
    assert colder.count("b") / n == pytest.approx(0.9, abs=0.03)
    assert model.generate("a", 9, temperature=0) == "a" + "b" * 9
    assert model.generate("ab", 20, seed=2) == model.generate("ab", 20, seed=2)
    assert model.generate("ab", 0) == "ab"


def test_trigrams_by_hand():
    # "abab" counts: a 2, b 2; a->b 2, b->a 1; ab->a 1, ba->b 1.
    uniform = 1 / 3  # in a vocabulary of three
    a = (2 + 2 * uniform) / (4 + 2)
    a_after_b = (1 + 1 * a) / (1 + 1)
    a_after_ab = (1 + 1 * a_after_b) / (1 + 1)
    assert trigram_bits("abab", "aba", "abc") == pytest.approx(-math.log2(a_after_ab))
    c = (0 + 2 * uniform) / (4 + 2)
    c_after_b = (0 + c) / 2
    c_after_ab = (0 + c_after_b) / 2
    assert trigram_bits("abab", "abc", "abc") == pytest.approx(-math.log2(c_after_ab))


def test_scores_predict_the_same_characters():
    model = TextModel("abc", hidden_size=3, seed=0)
    training, held_out = "abcab" * 300, "cabca"
    scores = model.scores(training, held_out)
    assert scores == {
        # Without the first two characters, which trigrams need
        "crnn": model.bits_per_character("bca", before=training[-1000:] + "ca"),
        "trigrams": trigram_bits(training, held_out, "abc"),
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_decode_keeps_all_but_the_mark(encoding):
    text = "Straße\r\nréel\rx\n\ufeffy\n"
    assert decode(text.encode(encoding)) == text
    if encoding.startswith("utf-16"):
        marked = "\ufeff" + text
        assert decode(marked.encode("utf-16-be")) == decode(marked.encode("utf-16-le")) == text


def test_decode_says_what_is_no_text():
    with pytest.raises(
        ValueError, match=r"^a\.txt: expected text in UTF-8, got .*0xe9 in position 1"
    ):
        decode("réel".encode("latin-1"), "a.txt")
    with pytest.raises(ValueError, match=r"^content: expected text in UTF-16, got 'utf-16"):
        decode("réel".encode("utf-16")[:-1])
    with pytest.raises(
        ValueError, match=r"^content: .* in UTF-8, got a NUL character at position 1$"
    ):
        decode("abc".encode("utf-16-le"))


def test_a_byte_order_mark_is_no_character():
    """As Python's `open` leaves it at the start of a str."""
    text = "abcab\r\n" * 30
    model, marked = [TextModel(t, hidden_size=3, seed=0) for t in (text, "\ufeff" + text)]
    assert marked.vocabulary == model.vocabulary == "\n\rabc"
    for each, mark in ((model, ""), (marked, "\ufeff")):
        each.fit(mark + text, epochs=1)
    assert np.array_equal(model.net.flat_params, marked.net.flat_params)
    for mark in ("", "\ufeff"):
        assert marked.generate(mark + "ab", 5, seed=1) == model.generate("ab", 5, seed=1)
        bits = marked.bits_per_character(mark + text, before=mark + "abc")
        assert bits == model.bits_per_character(text, before="abc")
        assert marked.bits_per_character(mark + text) == model.bits_per_character(text)
        assert marked.scores(mark + text[:9], mark + text) == model.scores(text[:9], text)
    # Elsewhere it is one.
    assert TextModel("ab\ufeff", hidden_size=2).vocabulary == "ab\ufeff"


MODEL = TextModel("abc", hidden_size=2, seed=0)
REFUSALS = {
    "one character": (
        lambda: TextModel("aaa"), ValueError,
        "characters: expected at least 2 different ones, got 1",
    ),
    "bytes": (lambda: TextModel(b"abc"), TypeError, "characters: expected a str, got bytes"),
    "cell": (lambda: TextModel("abc", cell="tanh"), ValueError, "cell: expected 'rnn', 'gru' or"),
    "unknown": (
        lambda: MODEL.fit("abc!"), ValueError,
        "text: expected characters that the model knows, got '!'",
    ),
    "short": (lambda: MODEL.fit("a"), ValueError, "text: expected at least 2 characters, got 1"),
    "bptt": (lambda: MODEL.fit("abc", bptt=0), ValueError, "bptt: expected at least 1, got 0"),
    "epochs": (lambda: MODEL.fit("ab", epochs=0), ValueError, "epochs: expected at least 1, got 0"),
    "no text": (
        lambda: MODEL.bits_per_character("a"), ValueError, "text: expected more than 1 characters",
    ),
    "trigrams": (lambda: MODEL.scores("abc", "ab"), ValueError, "text: expected "),
    "prompt": (
        lambda: MODEL.generate("x", 3), ValueError,
        "prompt: expected characters that the model knows, got 'x'",
    ),
    "no prompt": (
        lambda: MODEL.generate("", 3), ValueError,
        "prompt: expected at least one character, got none",
    ),
    "length": (lambda: MODEL.generate("a", -1), ValueError, "length: expected at least 0, got -1"),
    "temperature": (
        lambda: MODEL.generate("a", 3, temperature=-1), ValueError,
        "temperature: expected a finite number of at least 0, got -1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, error, sentence):
    before = MODEL.net.flat_params.copy()
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(sentence)
    assert np.array_equal(MODEL.net.flat_params, before)
