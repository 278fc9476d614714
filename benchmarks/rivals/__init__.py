"""What is compared: each module here offers the same three jobs, on the same numbers.

`train_step(problem)`
    Returns a `TrainStep`: one call is forward pass, mse, BPTT and SGD on one batch.
`inference(problem)`
    Returns a function of no arguments whose result is y, (B, T, O) or (T, B, O).
`streaming_step(problem)`
    Returns a function from x_t (B, I) to y_t (B, O), both NumPy arrays, that keeps the state.

A module raises `UnsuitedError` for what it cannot do, or nobody would do with it.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from benchmarks.cells import GATES, Cell

NAMES = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")


class UnsuitedError(Exception):
    """Why a rival takes no part."""


class Problem(NamedTuple):
    """One cell's numbers, the same for all."""

    kind: str
    """The network: "RNN", of tanh units; "GRU", which resets after the product; or "LSTM"."""
    cell: Cell
    params: dict[str, np.ndarray]
    x: np.ndarray
    """(B, T, I)"""
    y: np.ndarray
    """(B, T, O): targets"""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all arrays."""
        return self.x.dtype


class TrainStep(Protocol):
    """One training step a call."""

    lr: float

    def __call__(self) -> object:
        """Take the step."""

    def parameters(self) -> dict[str, np.ndarray]:
        """Return the parameters as they are now."""


def problem_of(kind: str, cell: Cell, dtype: str) -> Problem:
    """Return random numbers of a cell's sizes; weights scaled so that tanh works in its curve."""
    rng = np.random.default_rng(0)
    T, B, I, H, O = cell
    G = GATES[kind]
    # As crnn has them: last in the b_h of a GRU stands what is added to W_hn h.
    b_h = 4 * H if kind == "GRU" else G * H
    shapes = {"W_xh": (G * H, I), "W_hh": (G * H, H), "b_h": (b_h,), "W_hy": (O, H), "b_y": (O,)}
    params = {
        name: (0.9 / np.sqrt(shape[-1]) * rng.standard_normal(shape)).astype(dtype)
        for name, shape in shapes.items()
    }
    x = rng.standard_normal((B, T, I)).astype(dtype)
    y = rng.standard_normal((B, T, O)).astype(dtype)
    return Problem(kind, cell, params, x, y)
