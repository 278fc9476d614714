"""How ONNX's recurrent operators hold the parameters of crnn's cells, and what crnn adds to models.

Open Neural Network Exchange, operators RNN, GRU and LSTM of version 14.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Names of entries in a model's metadata, whose value is "true": what the graph does not show.
TRAINABLE_H0, CATEGORICAL = "crnn.trainable_h0", "crnn.categorical"


class Operator(NamedTuple):
    """How an operator holds a cell's parameters."""

    name: str
    gates: tuple[int, ...]
    """Its gates in its order, by their number in crnn."""
    activations: tuple[str, ...]
    linear_before_reset: int | None = None


OPERATORS = {
    "tanh": Operator("RNN", (0,), ("Tanh",)),
    "relu": Operator("RNN", (0,), ("Relu",)),
    # z, r, h
    "gru": Operator("GRU", (1, 0, 2), ("Sigmoid", "Tanh"), 1),
    "gru_reset_before": Operator("GRU", (1, 0, 2), ("Sigmoid", "Tanh"), 0),
    # i, o, f, c
    "lstm": Operator("LSTM", (0, 3, 1, 2), ("Sigmoid", "Tanh", "Tanh")),
}


def to_onnx(
    cell: str, W_xh: npt.NDArray[Any], W_hh: npt.NDArray[Any], b_h: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return W, R and B for one direction from crnn's parameters."""
    gates, H = OPERATORS[cell].gates, W_hh.shape[1]
    input_bias, recurrent_bias = np.split(np.zeros(2 * len(W_hh), b_h.dtype), 2)
    input_bias[...] = b_h[: len(W_hh)]
    if cell == "gru":
        recurrent_bias[2 * H :] = b_h[3 * H :]
    biases = [_reordered(bias, gates, H) for bias in (input_bias, recurrent_bias)]
    return _reordered(W_xh, gates, H), _reordered(W_hh, gates, H), np.concatenate(biases)


def from_onnx(
    cell: str, W: npt.NDArray[Any], R: npt.NDArray[Any], B: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return W_xh, W_hh and b_h from one direction's parameters."""
    H = R.shape[1]
    # The place of each of crnn's gates in the operator
    places = tuple(int(place) for place in np.argsort(OPERATORS[cell].gates))
    input_bias, recurrent_bias = (_reordered(bias, places, H) for bias in np.split(B, 2))
    if cell == "gru":
        # The two biases of n stay apart.
        b_h = np.concatenate([input_bias, recurrent_bias[2 * H :]])
        b_h[: 2 * H] += recurrent_bias[: 2 * H]
    else:
        b_h = input_bias + recurrent_bias
    return _reordered(W, places, H), _reordered(R, places, H), b_h


def _reordered(values: npt.NDArray[Any], gates: tuple[int, ...], H: int) -> npt.NDArray[Any]:
    """Return the blocks of H rows in another order."""
    return np.concatenate([values[gate * H : (gate + 1) * H] for gate in gates])
