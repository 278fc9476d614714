"""What every kernel takes: the one table that both implementations check their arguments by."""

import math
from typing import Any

import numpy as np

from crnn.kernels import cells


# A kernel's arrays, in the order in which they fix the sizes. `out` marks arrays that are written,
# `contiguous` those that leave no gap between rows; of the others only the last axis has to be
# contiguous. `optional` arrays may be None, and those of a size that the cell has none of have to
# be. P is the number of a network's parameters, n any size; gates*H and the like count blocks of H.
ARGUMENTS: dict[str, dict[str, str]] = {
    "rnn_forward": {
        "x": "optional B T I",
        "W_hh": "contiguous weights*H H",
        "W_xh": "contiguous weights*H I",
        "b_h": "contiguous biases*H",
        "h": "out B T+1 states*H",
        "gates": "out B T gates*H",
        "workspace": "out contiguous n",
    },
    "rnn_backward": {
        "x": "optional B T I",
        "W_hh": "contiguous weights*H H",
        "W_xh": "contiguous weights*H I",
        "h": "B T+1 states*H",
        "gates": "B T gates*H",
        "dh": "out contiguous B T H",
        "dc": "optional B T c*H",
        "da": "out contiguous B T da*H",
        "dW_xh": "out contiguous weights*H I",
        "dW_hh": "out contiguous weights*H H",
        "db_h": "out contiguous biases*H",
        "dx": "out optional B T I",
        "dh0": "out contiguous B states*H",
        "workspace": "out contiguous n",
    },
    "output_forward": {
        "h": "B T H",
        "W_hy": "contiguous O H",
        "b_y": "contiguous O",
        "y": "out B T O",
        "workspace": "out contiguous n",
    },
    "output_backward": {
        "h": "B T H",
        "W_hy": "contiguous O H",
        "dy": "contiguous B T O",
        "dW_hy": "out contiguous O H",
        "db_y": "out contiguous O",
        "dh": "out B T H",
        "workspace": "out contiguous n",
    },
    "rnn_gradient": {
        "x": "B T I",
        "y": "contiguous B T O",
        "theta": "contiguous P",
        "dtheta": "out contiguous P",
        "workspace": "out contiguous n",
    },
    "rnn_gradient of classes": {
        "x": "B T I",
        "y": "integer contiguous B T",
        "theta": "contiguous P",
        "dtheta": "out contiguous P",
        "workspace": "out contiguous n",
    },
    "rnn_predict": {
        "x": "B T I",
        "h0": "optional contiguous B states*H",
        "theta": "contiguous P",
        "y": "out contiguous B T O",
        "h_n": "out optional contiguous B states*H",
        "workspace": "out contiguous n",
    },
    "mse": {
        "y_hat": "contiguous B T O",
        "y": "contiguous B T O",
        "dy": "out optional contiguous B T O",
    },
    "sse": {
        "y_hat": "contiguous B T O",
        "y": "contiguous B T O",
        "dy": "out optional contiguous B T O",
    },
    "cross_entropy": {
        "y_hat": "contiguous B T O",
        "y": "integer contiguous B T",
        "dy": "out optional contiguous B T O",
    },
    "all_finite": {"values": "contiguous n"},
    "global_norm": {"values": "contiguous n"},
    "clip_norm": {"values": "out contiguous n"},
    "clip_value": {"values": "out contiguous n"},
    "sgd_step": {
        "theta": "out contiguous n",
        "dtheta": "contiguous n",
        "velocity": "out optional contiguous n",
    },
    "rmsprop_step": {
        "theta": "out contiguous n",
        "dtheta": "contiguous n",
        "square": "out contiguous n",
        "velocity": "out optional contiguous n",
    },
    "adam_step": {
        "theta": "out contiguous n",
        "dtheta": "contiguous n",
        "mean": "out contiguous n",
        "square": "out contiguous n",
    },
}


VELOCITY_MISSING = "velocity: expected an array because momentum is not 0, got None"


def check(
    kernel: str,
    arrays: dict[str, Any],
    cell: str = "tanh",
    hidden_size: int | None = None,
    output_size: int = 0,
) -> None:
    """Raise the error that says which array of a kernel's call is wrong, and how.

    Parameters
    ----------
    kernel : str
        A name in `ARGUMENTS`.
    arrays : dict
        The arrays of the call by argument name.
    cell : str
        As far as the kernel takes one: a name in `CELLS`.
    hidden_size, output_size : int
        As far as the kernel takes them; an output_size of 0 means no output layer.

    Raises
    ------
    TypeError
        An argument is no array, or its dtype is not that of the first.
    ValueError
        A shape, a stride or a class number does not fit, or an output is read-only.
    """
    of = cells.get_cell(cell)
    blocks = of._asdict() | {"c": of.states - 1, "da": of.biases if of.gates else 0}
    sizes: dict[str, int] = {}
    if hidden_size is not None:
        sizes |= {"H": hidden_size, "O": output_size or hidden_size}
    dtype: np.dtype[Any] | None = None  # of the first array, which the others share
    for name, contract in ARGUMENTS[kernel].items():
        array = arrays[name]
        *flags, shape = _parse(contract)
        last = shape.split()[-1]
        absent = last.endswith("*H") and blocks[last.removesuffix("*H")] == 0
        if array is None and ("optional" in flags or absent):
            continue
        if absent:
            raise TypeError(f"{name}: expected None with cell {cell!r}, got {type(array).__name__}")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected an array, got {type(array).__name__}")
        if dtype is None:
            if array.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: expected dtype float32 or float64, got {array.dtype}")
            dtype = array.dtype
        expected = np.dtype(np.intp) if "integer" in flags else dtype
        if array.dtype != expected:
            raise TypeError(f"{name}: expected dtype {expected}, got {array.dtype}")
        _check_shape(name, array, shape.split(), sizes, blocks)
        if name == "x" and hidden_size is not None:
            shapes = cells.parameter_shapes(cell, sizes["I"], hidden_size, output_size)
            sizes["P"] = sum(math.prod(shape) for shape in shapes.values())
        dense = array.strides[-1] == array.itemsize or array.shape[-1] <= 1
        regular = all(stride % array.itemsize == 0 for stride in array.strides)
        if not (dense and regular) or ("contiguous" in flags and not array.flags.c_contiguous):
            raise ValueError(f"{name}: expected a C-contiguous array, got strides {array.strides}")
        if not array.flags.aligned:
            raise ValueError(
                f"{name}: expected an aligned array, got one off its dtype's alignment"
            )
        if "out" in flags and not array.flags.writeable:
            raise ValueError(f"{name}: expected a writable array, got a read-only one")
    if "integer" in ARGUMENTS[kernel].get("y", ""):
        check_classes("y", arrays["y"], sizes["O"])


def check_classes(name: str, y: np.ndarray[Any, Any], classes: int) -> None:
    """Raise a ValueError if an integer target is not a class number below `classes`."""
    lowest, highest = int(y.min()), int(y.max())
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"{name}: expected class numbers from 0 to {classes - 1}, got {lowest} to {highest}"
        )


def _parse(contract: str) -> list[str]:
    """Split a contract into its flags and, last, its shape."""
    words = contract.split()
    flags = [word for word in words if word in ("out", "optional", "contiguous", "integer")]
    return [*flags, " ".join(words[len(flags) :])]


def _check_shape(
    name: str,
    array: np.ndarray[Any, Any],
    letters: list[str],
    sizes: dict[str, int],
    blocks: dict[str, int],
) -> None:
    if name == "workspace":
        letters = ["workspace"]
    if array.ndim == len(letters):
        for letter, size in zip(letters, array.shape, strict=True):
            if letter == "T+1":
                sizes.setdefault("T", size - 1)
            elif "*" not in letter:
                sizes.setdefault(letter, size)
    known = sizes | {f"{block}*H": n * sizes["H"] for block, n in blocks.items() if "H" in sizes}
    known |= {"T+1": sizes["T"] + 1} if "T" in sizes else {}
    expected = [known.get(letter) for letter in letters]
    if list(array.shape) != expected:
        described = ", ".join(
            letter if size is None else f"{letter}={size}"
            for letter, size in zip(letters, expected, strict=True)
        )
        raise ValueError(f"{name}: expected shape ({described}), got {array.shape}")
    if (0 in array.shape or sizes.get("T") == 0) and name != "workspace":
        raise ValueError(f"{name}: expected sizes of at least 1, got shape {array.shape}")
