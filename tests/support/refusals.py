"""Rows of bad input: a call of a public method, the exception it raises, and its sentence.

Rows are in the modules refused_*.py; network/test_refusals.py runs them all.
"""

import re
from typing import NamedTuple

import network_problems
import numpy as np

import crnn

# Inputs and outputs have the same size here, so that `forecast` takes part.
B, T, I, H, O = 4, 6, 3, 5, 3


class Refusal(NamedTuple):
    """One row; `calls` are functions of `Subjects`, all of which raise the same."""

    name: str
    calls: tuple
    kind: type
    sentence: str
    """The whole message, where ``...`` stands for anything."""

    @property
    def pattern(self):
        return "(?s)" + ".*".join(map(re.escape, self.sentence.split("...")))


def refusal(name, call, kind, sentence):
    """Make a row of one call or of a list of them."""
    return Refusal(name, tuple(call) if isinstance(call, list) else (call,), kind, sentence)


def changed(values, index, value):
    """A copy with another value somewhere."""
    values = values.astype(np.result_type(values, type(value)))
    values[index] = value
    return values


class Subjects:
    """Networks and streams that calls use, made when first asked for."""

    def __init__(self, implementation):
        self.implementation = implementation
        self._made = {}

    def _once(self, name, make):
        if name not in self._made:
            made = make()
            self._made[name] = made, self._state(made)
        return self._made[name][0]

    def network(self, input_size=I, hidden_size=H, output_size=O, **settings):
        """A network of these settings, the same one in every call."""
        settings = {"seed": 1, "implementation": self.implementation} | settings
        sizes = (input_size, hidden_size, output_size)
        return self._once(
            f"{sizes} {settings}", lambda: network_problems.network(*sizes, **settings)
        )

    @property
    def net(self):
        return self.network()

    @property
    def narrow(self):
        return self.network(dtype="float32")

    @property
    def lstm(self):
        return self.network(family="LSTM")

    @property
    def categorical(self):
        return self.network(categorical=True)

    def stream(self, batch_size=None, **settings):
        """A stream after a step, the same one in every call."""

        def make():
            stream = self.network(**{"output_size": 2, "dtype": "float32"} | settings).stream(
                batch_size
            )
            x = 1 if settings.get("categorical") else np.ones(I)
            stream.step(x if batch_size is None else np.full((batch_size, *np.shape(x)), x))
            return stream

        return self._once(f"stream {batch_size} {settings}", make)

    @staticmethod
    def _state(made):
        if isinstance(made, crnn.base.RecurrentNetwork):
            return made.flat_params.tobytes()
        return network_problems.packed(made.state).tobytes()

    def assert_unchanged(self):
        for name, (made, before) in self._made.items():
            assert self._state(made) == before, f"{name} has changed"
