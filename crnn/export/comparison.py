"""The outputs of a header on data, and how far they are from those of the network."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.conversion import as_array
from crnn.export import emulation
from crnn.export.layout import ChainLayout, Layout
from crnn.networks import GRU, LSTM, RNN
from crnn.sequential import Sequential

__all__ = ["Comparison", "compare"]

Array = npt.NDArray[Any]

STEPS = 64
"""Steps that the test runs."""


class Comparison(NamedTuple):
    """What `compare` returns.

    Attributes
    ----------
    x : array (T, I) or (T,)
        The inputs of the test.
    y : array (T, O)
        The outputs of the header, to the bit.
    steps : int
        Steps of all data.
    error : float
        The largest difference from the outputs of `predict`, as a share of the largest of these.
    """

    x: Array
    y: Array
    steps: int
    error: float


def compare(
    net: RNN | GRU | LSTM | Sequential, layout: Layout | ChainLayout, x: npt.ArrayLike | None
) -> Comparison:
    """Compute the outputs of the header for data, None: random data.

    Parameters
    ----------
    net : RNN, GRU, LSTM or Sequential
    layout : Layout or ChainLayout
        Of it.
    x : array (batch, time, inputs) or (time, inputs), or without the last axis categories

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        `x` is no data of the network, or is empty, or outputs are not finite.
    """
    rng = np.random.default_rng(0)
    if x is None and net.categorical:
        x = rng.integers(net.input_size, size=STEPS)
    elif x is None:
        x = rng.standard_normal((STEPS, net.input_size))
    data = as_array("x", x)
    expected: Array = net.predict(data)
    data = data.astype(np.intp if net.categorical else net.dtype)
    if data.ndim == (1 if net.categorical else 2):
        data, expected = data[None], expected[None]
    if not data.size:
        raise ValueError("x: expected data of one step at least, got none")
    y = emulation.run(layout, data)
    compared = y if net.return_sequences else y[:, -1]
    if not (np.isfinite(y).all() and np.isfinite(expected).all()):
        raise ValueError("x: expected data whose outputs are finite, got NaN or infinity in them")
    difference = np.abs(compared - expected).max()
    largest = np.abs(expected).max()
    error = float(difference / largest) if largest else float(difference)
    return Comparison(data[0, :STEPS], y[0, :STEPS], data.shape[0] * data.shape[1], error)
