"""A network that reads text character by character and goes on writing it.

>>> import crnn.text
>>> model = crnn.text.TextModel("what is learned, is learned here. " * 20, hidden_size=16, seed=0)
>>> _ = model.fit("what is learned, is learned here. " * 20, epochs=2)
>>> model.generate("what is", 5, seed=0)[:7]
'what is'
"""

import math
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import networks as cells, checks, saved, schedules
from crnn.checks import Array
from crnn.errors import ModelFileError
from crnn._training.history import History
from crnn.optimizers import Adam

if TYPE_CHECKING:
    from crnn.base import RecurrentNetwork

__all__ = ["TextModel", "load", "trigram_bits"]

KIND, FILE_VERSION = "text model", 1
# Pieces of the text that are read side by side; more make larger, fewer steps.
STREAMS = 32
# Steps that a gradient goes back, and after which there is an update.
BPTT = 64
# What a long text is read, and a short one as far as it takes so many steps of training. More often
# it would be learned by heart, and what is new be read worse.
EPOCHS, MOST_EPOCHS, UPDATES = 15, 40, 1500


class TextModel:
    """A recurrent network over the characters of a text.

    The network reads category numbers, one a character, and puts out the logits of the next
    character.

    Parameters
    ----------
    characters : str
        All characters there will be, in any order and number: a text, for example.
    hidden_size, num_layers : int
    cell : {"rnn", "gru", "lstm"}
        Which network: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.
    seed : int, optional
        Of the first weights, and of `fit`.
    implementation : {"native", "python"}, optional
        As of `crnn.RNN`.

    Attributes
    ----------
    vocabulary : str
        The characters, in order.
    net : RNN, GRU or LSTM

    Raises
    ------
    ValueError, TypeError
        There are fewer than two characters, or a setting does not fit.
    """

    def __init__(
        self,
        characters: str,
        *,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell: str = "rnn",
        seed: Any = None,
        implementation: str | None = None,
    ) -> None:
        if not isinstance(characters, str):
            raise TypeError(f"characters: expected a str, got {type(characters).__name__}")
        self.vocabulary = "".join(sorted(set(characters)))
        V = len(self.vocabulary)
        if V < 2:
            raise ValueError(f"characters: expected at least 2 different ones, got {V}")
        self.net: RecurrentNetwork = cells.find(cell)(
            V, hidden_size, V, num_layers=num_layers, seed=seed, implementation=implementation
        )
        self._numbers = {character: number for number, character in enumerate(self.vocabulary)}

    def encode(self, text: str, name: str = "text") -> Array:
        """Return the number of each character (n,), or raise a ValueError at one that has none.

        Parameters
        ----------
        text : str
        name : str
            What an error calls it.

        Returns
        -------
        array (n,) of int
        """
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
        """Train by truncated BPTT: pieces of the text side by side, each read from end to end.

        Parameters
        ----------
        text : str
        epochs : int, optional
            Times that the text is read; by default 15, and up to 40 for short texts.
        learning_rate : float
            Of Adam in the first epoch; it falls to zero along a cosine.
        bptt : int
            Steps that a gradient goes back.
        progress : bool, optional
            As of `RNN.fit`.
        **controls
            Further settings of `RNN.fit`, such as `checkpoint`.

        Returns
        -------
        History
            Its loss is in nats a character.

        Raises
        ------
        ValueError, TypeError
            The text is shorter than two characters or has others, or a setting does not fit.
        """
        bptt = checks.integer("bptt", bptt, at_least=1)
        numbers = self.encode(text)
        if len(numbers) < 2:
            raise ValueError(f"text: expected at least 2 characters, got {len(numbers)}")
        # Short texts make fewer pieces, so that each takes several steps of training.
        streams = max(1, min(STREAMS, (len(numbers) - 1) // (4 * bptt)))
        steps = (len(numbers) - 1) // streams
        x = numbers[: streams * steps].reshape(streams, steps)
        y = numbers[1 : streams * steps + 1].reshape(streams, steps)
        of_an_epoch = math.ceil(steps / bptt)
        if epochs is None:
            epochs = max(EPOCHS, min(MOST_EPOCHS, math.ceil(UPDATES / of_an_epoch)))
        updates = checks.integer("epochs", epochs, at_least=1) * of_an_epoch
        return self.net.fit(
            x,
            y,
            epochs=epochs,
            batch_size=streams,
            optimizer=Adam(schedules.cosine(learning_rate, updates)),
            loss="cross_entropy",
            clip_norm=1.0,
            bptt=bptt,
            shuffle=False,
            progress=progress,
            **controls,
        )

    def bits_per_character(self, text: str, before: str = "") -> float:
        """Return how many bits the model needs for each character of a text, in the mean.

        Parameters
        ----------
        text : str
        before : str
            What is read first, without being counted. Without it the first character is not
            counted, which nothing stands before.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            The text is empty, or has characters that the model does not know.
        """
        read = self.encode(before + text)
        first = len(before) or 1
        if len(read) <= first:
            raise ValueError(f"text: expected more than {len(read)} characters")
        logits = self.net.predict(read[:-1]).astype(np.float64)[first - 1 :]
        logits -= logits.max(axis=1, keepdims=True)
        of_next = np.take_along_axis(logits, read[first:, None], axis=1)[:, 0]
        nats = np.log(np.exp(logits).sum(axis=1)) - of_next
        return float(nats.mean() / math.log(2))

    def generate(
        self, prompt: str, length: int, *, temperature: float = 1.0, seed: Any = None
    ) -> str:
        """Return the prompt and what the model writes after it.

        Parameters
        ----------
        prompt : str
            At least one character, all of which the model knows.
        length : int
            Characters to write.
        temperature : float
            What the logits are divided by: below 1 the likely becomes likelier; 0 always takes the
            likeliest.
        seed : int, optional

        Returns
        -------
        str

        Raises
        ------
        ValueError, TypeError
            The prompt is empty or has unknown characters, or a setting does not fit.
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
                chances = np.exp(scaled)
                number = int(rng.choice(len(chances), p=chances / chances.sum()))
            else:
                number = int(logits.argmax())
            written.append(self.vocabulary[number])
            logits = stream.step(number)
        return prompt + "".join(written)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, from which `crnn.text.load` makes it again.

        Parameters
        ----------
        path : path-like
            An existing file is replaced, whole or not at all.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from crnn import archive as files

        description = {
            "format": f"crnn {KIND}",
            "version": FILE_VERSION,
            "vocabulary": self.vocabulary,
            "network": saved.describe(self.net),
        }
        files.write(path, description, {"parameters": self.net.flat_params})


def load(path: str | os.PathLike[str], *, implementation: str | None = None) -> TextModel:
    """Return the model that `TextModel.save` wrote to a file.

    Parameters
    ----------
    path : path-like
    implementation : {"native", "python"}, optional
        As of `crnn.RNN`.

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
    from crnn import archive as files

    def expected(description: Any) -> files.Shapes:
        files.check_kind(description, KIND, FILE_VERSION)
        vocabulary, network = description.get("vocabulary"), description.get("network")
        shapes = saved.shapes_of(network)
        if not isinstance(vocabulary, str) or vocabulary != "".join(sorted(set(vocabulary))):
            raise ModelFileError(f"vocabulary: expected characters in order, got {vocabulary!r}")
        if not network["input_size"] == network["output_size"] == len(vocabulary) > 1:
            raise ModelFileError(
                f"vocabulary: expected {network['input_size']} characters, got {len(vocabulary)}"
            )
        if network["bidirectional"] or not network["return_sequences"]:
            raise ModelFileError("network: expected one that reads forward, step by step")
        return shapes

    description, arrays = files.read(path, expected)
    model = TextModel(description["vocabulary"], hidden_size=1)
    model.net = saved.rebuild(description["network"], arrays, implementation)
    return model


def trigram_bits(training: str, text: str, vocabulary: str) -> float:
    """Return the bits per character of a trigram count model, to compare with.

    The chances of a character after two others are their shares in the training text, interpolated
    with those after one, after none, and of all alike (Witten and Bell 1991, "The zero-frequency
    problem", method C).

    Parameters
    ----------
    training, text : str
        What is counted, and what is then predicted from its third character on.
    vocabulary : str
        All characters there are.

    Returns
    -------
    float
    """
    counts: list[dict[str, Counter[str]]] = [{}, {}, {}]
    for place, character in enumerate(training):
        for order in range(min(place, 2) + 1):
            context = training[place - order : place]
            counts[order].setdefault(context, Counter())[character] += 1
    nats = 0.0
    for place in range(2, len(text)):
        chance = 1 / len(vocabulary)
        for order, of_order in enumerate(counts):
            after = of_order.get(text[place - order : place])
            if after is not None:
                chance = (after[text[place]] + len(after) * chance) / (after.total() + len(after))
        nats -= math.log(chance)
    return nats / (len(text) - 2) / math.log(2)
