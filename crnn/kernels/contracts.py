"""What every kernel takes: the one table that both implementations check their arguments by."""

import math
from typing import Any

import numpy as np

# A kernel's arrays, in the order in which they fix the sizes. `out` marks arrays that are written,
# `contiguous` those that leave no gap between rows; of the others only the last axis has to be
# contiguous. `optional` arrays may be None. P is the number of a network's parameters, n any size.
ARGUMENTS: dict[str, dict[str, str]] = {
    "rnn_forward": {
        "x": "optional B T I",
        "W_hh": "contiguous H H",
        "W_xh": "contiguous H I",
        "b_h": "contiguous H",
        "h": "out B T+1 H",
        "workspace": "out contiguous n",
    },
    "rnn_backward": {
        "x": "optional B T I",
        "W_hh": "contiguous H H",
        "W_xh": "contiguous H I",
        "h": "B T+1 H",
        "dh": "out contiguous B T H",
        "dW_xh": "out contiguous H I",
        "dW_hh": "out contiguous H H",
        "db_h": "out contiguous H",
        "dx": "out optional B T I",
        "dh0": "out contiguous B H",
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
        "h0": "optional contiguous B H",
        "theta": "contiguous P",
        "y": "out contiguous B T O",
        "h_n": "out optional contiguous B H",
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


def float_dtype(value: Any) -> np.dtype[Any]:
    """Return the dtype float32 or float64, or raise a ValueError."""
    dtype: np.dtype[Any]
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = np.dtype(object)
    # NumPy reads None as float64.
    if value is None or dtype not in (np.float32, np.float64) or not dtype.isnative:
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {value!r}")
    return dtype


VELOCITY_MISSING = "velocity: expected an array because momentum is not 0, got None"
STREAM_BUSY = "stream: expected one thread at a time, got a call while another thread is in it"
STREAM_PICKLED = "stream: expected to stay in its process; pickle the network, and the state"


def check_out(out: Any, like: np.ndarray[Any, Any]) -> None:
    """Raise what is wrong with an `out` that cannot be written to in place of a new array."""
    expected = f"a writable C-contiguous {like.dtype} array of shape {like.shape}"
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected {expected}, got {type(out).__name__}")
    if out.dtype != like.dtype:
        raise TypeError(f"out: expected {expected}, got {out.dtype}")
    if out.shape != like.shape:
        raise ValueError(f"out: expected {expected}, got shape {out.shape}")
    kind = "strides " + str(out.strides) if out.flags.writeable else "a read-only one"
    raise ValueError(f"out: expected {expected}, got {kind}")


def stream_repr(stream: Any) -> str:
    """Return how a stream of either implementation shows itself."""
    return (
        f"Stream(input_size={stream.input_size}, hidden_size={stream.hidden_size}, "
        f"output_size={stream.output_size}, batch_size={stream.batch_size}, "
        f"dtype='{stream.dtype}')"
    )


def parameters(I: int, H: int, O: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters, in the order of the flat vector; O = 0: no output layer.

    Parameters
    ----------
    I, H, O : int
        Inputs, hidden units, outputs.
    """
    shapes: dict[str, tuple[int, ...]] = {"W_xh": (H, I), "W_hh": (H, H), "b_h": (H,)}
    return shapes | {"W_hy": (O, H), "b_y": (O,)} if O else shapes


def views(
    flat: np.ndarray[Any, Any], shapes: dict[str, tuple[int, ...]]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the named parts of a vector, which stand in it one after another."""
    parts, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        parts[name] = flat[start:end].reshape(shape)
        start = end
    return parts


def check(
    kernel: str, arrays: dict[str, Any], hidden_size: int | None = None, output_size: int = 0
) -> None:
    """Raise the error that says which array of a kernel's call is wrong, and how.

    Parameters
    ----------
    kernel : str
        A name in `ARGUMENTS`.
    arrays : dict
        The arrays of the call by argument name.
    hidden_size, output_size : int
        As far as the kernel takes them; an output_size of 0 means no output layer.

    Raises
    ------
    TypeError
        An argument is no array, or its dtype is not that of the first.
    ValueError
        A shape, a stride or a class number does not fit, or an output is read-only.
    """
    sizes: dict[str, int] = {}
    if hidden_size is not None:
        sizes |= {"H": hidden_size, "O": output_size or hidden_size}
    dtype: np.dtype[Any] | None = None  # of the first array, which the others share
    for name, contract in ARGUMENTS[kernel].items():
        array = arrays[name]
        *flags, shape = _parse(contract)
        if array is None and "optional" in flags:
            continue
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected an array, got {type(array).__name__}")
        if dtype is None:
            if array.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: expected dtype float32 or float64, got {array.dtype}")
            dtype = array.dtype
        expected = np.dtype(np.intp) if "integer" in flags else dtype
        if array.dtype != expected:
            raise TypeError(f"{name}: expected dtype {expected}, got {array.dtype}")
        _check_shape(name, array, shape.split(), sizes)
        if name == "x" and hidden_size is not None:
            shapes = parameters(sizes["I"], hidden_size, output_size)
            sizes["P"] = sum(math.prod(shape) for shape in shapes.values())
        last = array.strides[-1] == array.itemsize or array.shape[-1] <= 1
        regular = all(stride % array.itemsize == 0 for stride in array.strides)
        if not (last and regular) or ("contiguous" in flags and not array.flags.c_contiguous):
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
    name: str, array: np.ndarray[Any, Any], letters: list[str], sizes: dict[str, int]
) -> None:
    if name == "workspace":
        letters = ["workspace"]
    if array.ndim == len(letters):
        for letter, size in zip(letters, array.shape, strict=True):
            if letter == "T+1":
                sizes.setdefault("T", size - 1)
            else:
                sizes.setdefault(letter, size)
    expected = [sizes["T"] + 1 if letter == "T+1" else sizes.get(letter) for letter in letters]
    if list(array.shape) != expected:
        described = ", ".join(
            letter if size is None else f"{letter}={size}"
            for letter, size in zip(letters, expected, strict=True)
        )
        raise ValueError(f"{name}: expected shape ({described}), got {array.shape}")
    if (0 in array.shape or sizes.get("T") == 0) and name != "workspace":
        raise ValueError(f"{name}: expected sizes of at least 1, got shape {array.shape}")
