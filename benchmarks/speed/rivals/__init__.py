"""The libraries that are compared. Each module offers the same three jobs on the same numbers.

`train_step(problem)`
    Returns a `TrainStep`: one call is forward pass, mse, BPTT and SGD on one batch.
`inference(problem)`
    Returns a function without arguments that returns y (B, T, O) or (T, B, O).
`streaming_step(problem)`
    Returns a function from x_t (B, I) to y_t (B, O), both NumPy arrays, that keeps the state.

A module raises `UnsuitedError` for a job that it cannot do, or that nobody would give it.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from benchmarks.speed.sizes import BLOCKS, Sizes

NAMES = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")


class UnsuitedError(Exception):
    """The rival does not take part, and why."""


class Problem(NamedTuple):
    """Sizes, parameters and data of one measurement, the same for all rivals."""

    kind: str
    """"RNN" with tanh units, "GRU" that resets after the product, or "LSTM"."""
    sizes: Sizes
    params: dict[str, np.ndarray]
    x: np.ndarray
    """(B, T, I)"""
    y: np.ndarray
    """(B, T, O): targets"""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all arrays."""
        return self.x.dtype


class TrainStep(Protocol):
    """One training step a call."""

    lr: float

    def __call__(self) -> object:
        """Take the step."""

    def parameters(self) -> dict[str, np.ndarray]:
        """Return the parameters as they are now."""


def make_problem(kind: str, sizes: Sizes, dtype: str) -> Problem:
    """Return random numbers. The scale of the weights keeps tanh in its curved part."""
    rng = np.random.default_rng(0)
    T, B, I, H, O = sizes
    G = BLOCKS[kind]
    # crnn's layout: the last block of a GRU's b_h is the bias of W_hn h.
    b_h = 4 * H if kind == "GRU" else G * H
    shapes = {"W_xh": (G * H, I), "W_hh": (G * H, H), "b_h": (b_h,), "W_hy": (O, H), "b_y": (O,)}
    params = {
        name: (0.9 / np.sqrt(shape[-1]) * rng.standard_normal(shape)).astype(dtype)
        for name, shape in shapes.items()
    }
    x = rng.standard_normal((B, T, I)).astype(dtype)
    y = rng.standard_normal((B, T, O)).astype(dtype)
    return Problem(kind, sizes, params, x, y)


def ordered_gates(values: np.ndarray, H: int, order: tuple[int, ...]) -> np.ndarray:
    """Return the blocks of H rows of `values` in the order of another library's gates."""
    return np.concatenate([values[gate * H : (gate + 1) * H] for gate in order])
