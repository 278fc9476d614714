"""How Keras's recurrent layers hold the parameters of crnn's cells.

As the sources of Keras 3 have it, and of Keras 2 alike: a kernel is (inputs, gates * units), the
transpose of W_xh, and a recurrent kernel (units, gates * units), that of W_hh. The gates of LSTM
are in the order i, f, c, o, which is crnn's; those of GRU in the order z, r, h, where crnn has r,
z, n. The bias of GRU is (2, 3 * units) with ``reset_after=True``, one row beside the kernel and one
beside the recurrent kernel, and else (3 * units,).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN


class LayerKind(NamedTuple):
    """A kind of Keras layer and the networks that compute the same."""

    name: str
    family: type[RNN] | type[GRU] | type[LSTM]
    gate_order: tuple[int, ...]
    """The place of each of Keras's gates among crnn's; each permutation is its own inverse."""


LAYER_KINDS = (
    LayerKind("SimpleRNN", RNN, (0,)),
    LayerKind("GRU", GRU, (1, 0, 2)),
    LayerKind("LSTM", LSTM, (0, 1, 2, 3)),
)


def reorder_gates(values: npt.NDArray[Any], kind: LayerKind) -> npt.NDArray[Any]:
    """Return values (..., gates * units) of Keras in crnn's order, or the other way round."""
    gates = np.split(values, len(kind.gate_order), axis=-1)
    return np.concatenate([gates[i] for i in kind.gate_order], axis=-1)


def join_biases(bias: npt.NDArray[Any], units: int) -> npt.NDArray[Any]:
    """Return b_h for a bias in crnn's order; the two rows of a GRU become b_r, b_z, b_n, b_hn."""
    if bias.ndim == 1:
        return bias
    inputs, recurrent = bias
    r_and_z = slice(2 * units)
    return np.concatenate(
        [inputs[r_and_z] + recurrent[r_and_z], inputs[2 * units :], recurrent[2 * units :]]
    )


def split_biases(b_h: npt.NDArray[Any], units: int) -> npt.NDArray[Any]:
    """Return b_r, b_z, b_n, b_hn as the two rows of a GRU; in the second b_hn, and else zeros."""
    bias = np.zeros((2, 3 * units), b_h.dtype)
    bias[0] = b_h[: 3 * units]
    bias[1, 2 * units :] = b_h[3 * units :]
    return bias


def from_cudnn(name: str, arrays: list[npt.NDArray[Any]], kind: str) -> list[npt.NDArray[Any]]:
    """Return the arrays of a CuDNNGRU or CuDNNLSTM layer as the GRU or LSTM layer has them.

    Gate by gate the recurrent kernel is transposed, and the numbers of the kernel are those of its
    transpose. There are two biases, side by side: an LSTM layer has their sum, a GRU layer both.
    (`preprocess_weights_for_loading` of Keras 2 does the same.)

    Parameters
    ----------
    name : str
        How errors call the layer.
    arrays : list of array
        A kernel (inputs, gates * units), a recurrent kernel (units, gates * units) and a bias
        (2 * gates * units,).
    kind : {"GRU", "LSTM"}

    Returns
    -------
    list of array

    Raises
    ------
    ValueError
        The arrays are others.
    """
    gates = 4 if kind == "LSTM" else 3
    shapes = [array.shape for array in arrays]
    units = shapes[1][0] if len(shapes) == 3 and len(shapes[1]) == 2 else 0
    columns = gates * units
    inputs = shapes[0][0] if shapes and len(shapes[0]) == 2 else 0
    if shapes != [(inputs, columns), (units, columns), (2 * columns,)]:
        raise ValueError(
            f"{name}: expected a kernel (inputs, {gates}*units), a recurrent kernel (units, "
            f"{gates}*units) and a bias ({2 * gates}*units,), got {shapes}"
        )
    kernels = [k.T.reshape(k.shape, order="F") for k in np.split(arrays[0], gates, axis=1)]
    recurrent = [k.T for k in np.split(arrays[1], gates, axis=1)]
    bias = arrays[2].reshape(2, columns)
    if kind == "LSTM":
        bias = bias.sum(axis=0)
    return [np.concatenate(kernels, axis=1), np.concatenate(recurrent, axis=1), bias]
