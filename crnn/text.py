"""Text models: a recurrent network reads text character by character and continues it.

>>> import crnn.text
>>> model = crnn.text.TextModel("what is learned, is learned here. " * 20, hidden_size=16, seed=0)
>>> _ = model.fit("what is learned, is learned here. " * 20, epochs=2)
>>> model.generate("what is", 5, seed=0)[:7]
'what is'
"""

import codecs
import math
import os
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import History, archive, checks, descriptions, schedules
from crnn.errors import ModelFileError
from crnn.networks import GRU, LSTM, RNN, get_family
from crnn.optimizers import Adam

__all__ = ["TextModel", "decode", "load", "trigram_bits"]

KIND, FILE_VERSION = "text model", 1
FIELDS = {"vocabulary": archive.text(), "network": archive.nested()}

# What some programs write at the start of a file to mark its encoding (a byte order mark, BOM). It
# is no character of the text.
BOM = "\ufeff"
ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    # Before UTF-16, whose mark is the beginning of this one
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Most pieces of the text that are read side by side: more make the steps larger and fewer.
MAX_PIECES = 32
# Steps that a gradient goes back; the parameters are updated after as many.
BPTT = 64
# Epochs by default: at least MIN_EPOCHS; for short texts as many as make UPDATES steps of training,
# up to MAX_EPOCHS. More epochs overfit.
MIN_EPOCHS, MAX_EPOCHS, UPDATES = 15, 40, 1500
# Characters of the training text that the network reads before a held-out one
WARM_UP = 1000


class TextModel:
    """A recurrent network over the characters of a text.

    The network reads category numbers, one a character, and outputs the logits of the next
    character.

    Parameters
    ----------
    characters : str
        All characters that will occur, in any order and number: a text, for example. Here and in
        the methods, a byte order mark at the start of a text is left out.
    hidden_size : int
        Hidden units of each layer.
    num_layers : int
    cell : {"rnn", "gru", "lstm"}
        The network's class: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.
    seed : int, numpy Generator or None, optional
        Of the initial parameters and of `fit`.
    implementation : {"native", "python"}, optional
        As in `crnn.RNN`.

    Attributes
    ----------
    vocabulary : str
        The characters in order; the place of each is its category number.
    net : RNN, GRU or LSTM

    Raises
    ------
    ValueError, TypeError
        There are fewer than two different characters, or an argument is not as above.
    """

    def __init__(
        self,
        characters: str,
        *,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell: str = "rnn",
        seed: "int | np.random.Generator | None" = None,
        implementation: str | None = None,
    ) -> None:
        if not isinstance(characters, str):
            raise TypeError(f"characters: expected a str, got {type(characters).__name__}")
        self.vocabulary = "".join(sorted(set(characters.removeprefix(BOM))))
        V = len(self.vocabulary)
        if V < 2:
            raise ValueError(f"characters: expected at least 2 different ones, got {V}")
        self.net: RNN | GRU | LSTM = get_family(cell)(
            V,
            hidden_size,
            V,
            num_layers=num_layers,
            categorical=True,
            seed=seed,
            implementation=implementation,
        )
        self._numbers = {character: number for number, character in enumerate(self.vocabulary)}

    def encode(self, text: str, name: str = "text") -> npt.NDArray[np.intp]:
        """Return the category number of each character.

        Parameters
        ----------
        text : str
        name : str
            The argument's name, for the error.

        Returns
        -------
        array (characters,) of int

        Raises
        ------
        ValueError
            A character is not in the vocabulary.
        """
        text = text.removeprefix(BOM)
        try:
            return np.array([self._numbers[character] for character in text], np.intp)
        except KeyError as error:
            raise ValueError(
                f"{name}: expected characters that the model knows, got {error.args[0]!r}"
            ) from None

    def fit(
        self,
        text: str,
        *,
        epochs: int | None = None,
        learning_rate: float = 0.005,
        bptt: int = BPTT,
        progress: bool | None = None,
        **controls: Any,
    ) -> History:
        """Train by truncated backpropagation through time, on pieces of the text side by side.

        Parameters
        ----------
        text : str
        epochs : int, optional
            Times that the text is read. Default: 15, up to 40 for short texts.
        learning_rate : float
            Of Adam in the first epoch; it falls to zero along a cosine.
        bptt : int
            Steps that a gradient goes back.
        progress : bool, optional
            Whether to show a progress bar, as in `RNN.fit`.
        **controls
            Further arguments of `RNN.fit`, such as `checkpoint`.

        Returns
        -------
        History
            The loss is in nats a character.

        Raises
        ------
        ValueError, TypeError
            The text is shorter than two characters or has unknown ones, or an argument is not as
            above.
        """
        bptt = checks.integer("bptt", bptt, at_least=1)
        numbers = self.encode(text)
        if len(numbers) < 2:
            raise ValueError(f"text: expected at least 2 characters, got {len(numbers)}")
        # Each piece takes several steps of training, so short texts are cut into fewer pieces.
        pieces = max(1, min(MAX_PIECES, (len(numbers) - 1) // (4 * bptt)))
        steps = (len(numbers) - 1) // pieces
        x = numbers[: pieces * steps].reshape(pieces, steps)
        y = numbers[1 : pieces * steps + 1].reshape(pieces, steps)
        updates_per_epoch = math.ceil(steps / bptt)
        if epochs is None:
            epochs = max(MIN_EPOCHS, min(MAX_EPOCHS, math.ceil(UPDATES / updates_per_epoch)))
        updates = checks.integer("epochs", epochs, at_least=1) * updates_per_epoch
        return self.net.fit(
            x,
            y,
            epochs=epochs,
            batch_size=pieces,
            optimizer=Adam(schedules.cosine(learning_rate, updates)),
            loss="cross_entropy",
            clip_norm=1.0,
            bptt=bptt,
            shuffle=False,
            progress=progress,
            **controls,
        )

    def bits_per_character(self, text: str, before: str = "") -> float:
        """Return the mean cross-entropy of a text in bits.

        Parameters
        ----------
        text : str
        before : str
            What the network reads first, without being counted. Without it the first character of
            the text is not counted, because no output precedes it.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            The text is empty, or has characters that the model does not know.
        """
        text, before = text.removeprefix(BOM), before.removeprefix(BOM)
        numbers = self.encode(before + text)
        first = len(before) or 1
        if len(numbers) <= first:
            raise ValueError(f"text: expected more than {len(numbers)} characters")
        logits = self.net.predict(numbers[:-1]).astype(np.float64)[first - 1 :]
        logits -= logits.max(axis=1, keepdims=True)
        logits_of_next = np.take_along_axis(logits, numbers[first:, None], axis=1)[:, 0]
        nats = np.log(np.exp(logits).sum(axis=1)) - logits_of_next
        return float(nats.mean() / math.log(2))

    def scores(self, training: str, held_out: str) -> dict[str, float]:
        """Compare with a trigram model on a text that the model was not fitted to.

        Parameters
        ----------
        training : str
            The text before it, which the model was fitted to.
        held_out : str
            At least three characters. Both models predict them from the third on.

        Returns
        -------
        dict of float
            Bits per character of "crnn" and of "trigrams".

        Raises
        ------
        ValueError
            The text is too short, or has characters that the model does not know.
        """
        held_out = held_out.removeprefix(BOM)
        before = training.removeprefix(BOM)[-WARM_UP:] + held_out[:2]
        return {
            "crnn": self.bits_per_character(held_out[2:], before=before),
            "trigrams": trigram_bits(training, held_out, self.vocabulary),
        }

    def generate(
        self,
        prompt: str,
        length: int,
        *,
        temperature: float = 1.0,
        seed: "int | np.random.Generator | None" = None,
    ) -> str:
        """Return the prompt and what the model writes after it.

        Parameters
        ----------
        prompt : str
            At least one character, all of them known to the model.
        length : int
            Characters to write.
        temperature : float
            Divisor of the logits: below 1 likely characters become likelier, 0 always takes the
            likeliest.
        seed : int, numpy Generator or None, optional

        Returns
        -------
        str

        Raises
        ------
        ValueError, TypeError
            The prompt is empty or has unknown characters, or an argument is not as above.
        """
        length = checks.integer("length", length, at_least=0)
        temperature = checks.number("temperature", temperature, at_least=0.0)
        rng = checks.generator(seed)
        numbers = self.encode(prompt, "prompt")
        if not len(numbers):
            raise ValueError("prompt: expected at least one character, got none")
        stream = self.net.stream()
        logits = stream.run(numbers)[-1]
        written = []
        for _ in range(length):
            if temperature:
                scaled = (logits.astype(np.float64) - logits.max()) / temperature
                weights = np.exp(scaled)
                number = int(rng.choice(len(weights), p=weights / weights.sum()))
            else:
                number = int(logits.argmax())
            written.append(self.vocabulary[number])
            logits = stream.step(number)
        return prompt.removeprefix(BOM) + "".join(written)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that `crnn.text.load` reads.

        Parameters
        ----------
        path : path-like
            An existing file is replaced, whole or not at all.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        description = {
            "format": f"crnn {KIND}",
            "version": FILE_VERSION,
            "vocabulary": self.vocabulary,
            "network": self.net.describe(),
        }
        archive.write(path, description, {"parameters": self.net.flat_params})


def decode(content: bytes, name: str = "content") -> str:
    r"""Return the text in the bytes of a file: all of it, with line ends as they are.

    Parameters
    ----------
    content : bytes
        In UTF-8, with or without a byte order mark; or with one in UTF-16 or UTF-32.
    name : str
        The argument's name, for the error.

    Returns
    -------
    str
        Without the mark.

    Raises
    ------
    ValueError
        It is text of another encoding, or no text.

    Examples
    --------
    >>> import crnn.text
    >>> crnn.text.decode("Straße\r\n".encode("utf-16"))
    'Straße\r\n'
    """
    encoding = next((ENCODINGS[mark] for mark in ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding).removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected text in {encoding.upper()}, got {error}") from error
    if "\0" in text:
        # UTF-16 without a mark, among others, is UTF-8 with these between the letters.
        raise ValueError(
            f"{name}: expected text in UTF-8, got a NUL character at position {text.index(chr(0))}"
        )
    return text


def load(path: str | os.PathLike[str], *, implementation: str | None = None) -> TextModel:
    """Return the model that `TextModel.save` wrote to a file.

    Parameters
    ----------
    path : path-like
    implementation : {"native", "python"}, optional
        As in `crnn.RNN`.

    Returns
    -------
    TextModel

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
    OSError
        It cannot be opened.
    """
    description, arrays = archive.read(path, _shapes)
    # One mark is left out, and a vocabulary may begin with another.
    model = TextModel(BOM + description["vocabulary"], hidden_size=1)
    model.net = descriptions.from_description(
        _network(description), arrays["parameters"], implementation=implementation
    )
    return model


def _shapes(description: archive.Description) -> archive.Shapes:
    """Check a description and return what arrays belong to it."""
    archive.check_kind(description, KIND, FILE_VERSION)
    archive.check_fields(description, FIELDS)
    vocabulary, network = description["vocabulary"], _network(description)
    shapes = descriptions.check_description(network)
    if vocabulary != "".join(sorted(set(vocabulary))):
        raise ModelFileError(f"vocabulary: expected characters in order, got {vocabulary!r}")
    if not network["input_size"] == network["output_size"] == len(vocabulary) > 1:
        raise ModelFileError(
            f"vocabulary: expected {network['input_size']} characters, got {len(vocabulary)}"
        )
    if network["bidirectional"] or not network["return_sequences"] or not network["categorical"]:
        raise ModelFileError("network: expected one that reads categories forward, step by step")
    return shapes


def _network(description: archive.Description) -> dict[str, Any]:
    """Return the network's description. The first files do not say that it is categorical."""
    network: dict[str, Any] = description["network"]
    return {"categorical": True} | network


def trigram_bits(training: str, text: str, vocabulary: str) -> float:
    """Return the bits per character of a trigram count model, to compare with.

    The probability of a character after two others is its share in the training text, interpolated
    with those after one character, after none, and of a uniform distribution (Witten and Bell 1991,
    "The zero-frequency problem", method C).

    Parameters
    ----------
    training : str
        What is counted.
    text : str
        What is predicted, from its third character on.
    vocabulary : str
        All characters that can occur.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The text is shorter than three characters.
    """
    training, text = training.removeprefix(BOM), text.removeprefix(BOM)
    if len(text) < 3:
        raise ValueError(f"text: expected at least 3 characters, got {len(text)}")
    counts: list[dict[str, Counter[str]]] = [{}, {}, {}]
    for place, character in enumerate(training):
        for order in range(min(place, 2) + 1):
            context = training[place - order : place]
            counts[order].setdefault(context, Counter())[character] += 1
    nats = 0.0
    for place in range(2, len(text)):
        probability = 1 / len(vocabulary)
        for order, contexts in enumerate(counts):
            after = contexts.get(text[place - order : place])
            if after is not None:
                # The count of different characters is the weight of the shorter context.
                probability = (after[text[place]] + len(after) * probability) / (
                    after.total() + len(after)
                )
        nats -= math.log(probability)
    return nats / (len(text) - 2) / math.log(2)
