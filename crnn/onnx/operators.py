"""What the recurrent operators of ONNX call things: the order of gates, biases, activations.

Open Neural Network Exchange, operators RNN, GRU and LSTM of version 14.
"""

from typing import NamedTuple

import numpy as np

from crnn.checks import Array


class Operator(NamedTuple):
    """How an operator holds a cell's parameters."""

    name: str
    gates: tuple[int, ...]
    """crnn's number of each of its gates, in its order."""
    activations: tuple[str, ...]
    linear_before_reset: int | None = None


# An entry of a model's metadata: its first states are parameters.
TRAINABLE = ("crnn.trainable_h0", "true")

OPERATORS = {
    "tanh": Operator("RNN", (0,), ("Tanh",)),
    "relu": Operator("RNN", (0,), ("Relu",)),
    # z, r, h
    "gru": Operator("GRU", (1, 0, 2), ("Sigmoid", "Tanh"), 1),
    "gru_reset_before": Operator("GRU", (1, 0, 2), ("Sigmoid", "Tanh"), 0),
    # i, o, f, c
    "lstm": Operator("LSTM", (0, 3, 1, 2), ("Sigmoid", "Tanh", "Tanh")),
}


def to_onnx(cell: str, W_xh: Array, W_hh: Array, b_h: Array) -> tuple[Array, Array, Array]:
    """Return W, R and B of one direction from crnn's parameters."""
    gates, H = OPERATORS[cell].gates, W_hh.shape[1]
    of_x, of_h = np.split(np.zeros(2 * len(W_hh), b_h.dtype), 2)
    of_x[...] = b_h[: len(W_hh)]
    if cell == "gru":
        of_h[2 * H :] = b_h[3 * H :]
    parts = [_ordered(values, gates, H) for values in (W_xh, W_hh, of_x, of_h)]
    return parts[0], parts[1], np.concatenate(parts[2:])


def from_onnx(cell: str, W: Array, R: Array, B: Array) -> tuple[Array, Array, Array]:
    """Return W_xh, W_hh and b_h from one direction's parameters."""
    H = R.shape[1]
    # Where each of crnn's gates is
    gates = tuple(int(place) for place in np.argsort(OPERATORS[cell].gates))
    of_x, of_h = (_ordered(part, gates, H) for part in np.split(B, 2))
    if cell == "gru":
        # Of n the two stay apart.
        b_h = np.concatenate([of_x, of_h[2 * H :]])
        b_h[: 2 * H] += of_h[: 2 * H]
    else:
        b_h = of_x + of_h
    return _ordered(W, gates, H), _ordered(R, gates, H), b_h


def _ordered(values: Array, gates: tuple[int, ...], H: int) -> Array:
    """Return blocks of H rows in another order."""
    return np.concatenate([values[gate * H : (gate + 1) * H] for gate in gates])
