"""What every kernel takes: the one table that both implementations check their arguments by."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Cell(NamedTuple):
    """How many blocks of H a cell's arrays are made of."""

    weights: int
    """In the rows of W_xh and W_hh."""
    biases: int
    """In b_h and da: pre-activations with a bias and a gradient of their own."""
    states: int
    """In a state: h, followed by c for an LSTM."""
    gates: int
    """In what BPTT reads of a step beside its states; 0: the states are enough."""


# Every cell by name. `reference` and its compiled twin say what each computes; all else, from the
# packed products to the files, reads this table.
CELLS = {
    "tanh": Cell(weights=1, biases=1, states=1, gates=0),
    "relu": Cell(weights=1, biases=1, states=1, gates=0),
    "gru": Cell(weights=3, biases=4, states=1, gates=4),
    "gru_reset_before": Cell(weights=3, biases=3, states=1, gates=4),
    "lstm": Cell(weights=4, biases=4, states=2, gates=4),
}

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


def find_cell(name: Any) -> Cell:
    """Return a cell's row of `CELLS`, or raise a ValueError."""
    if not isinstance(name, str) or name not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {name!r}")
    return CELLS[name]


def parameters(cell: str, I: int, H: int, O: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters, in the order of the flat vector; O = 0: no output layer.

    Parameters
    ----------
    cell : str
        A name in `CELLS`.
    I, H, O : int
        Inputs, hidden units, outputs.
    """
    of = CELLS[cell]
    shapes: dict[str, tuple[int, ...]] = {
        "W_xh": (of.weights * H, I),
        "W_hh": (of.weights * H, H),
        "b_h": (of.biases * H,),
    }
    return shapes | {"W_hy": (O, H), "b_y": (O,)} if O else shapes


def state_of(array: np.ndarray[Any, Any], hidden_size: int) -> Any:
    """Return a state (..., states * H) as users see it: h, or the pair of h and c."""
    if array.shape[-1] == hidden_size:
        return array
    h, c = array[..., :hidden_size].copy(), array[..., hidden_size:].copy()
    h.flags.writeable = c.flags.writeable = array.flags.writeable
    return h, c


def state_from(
    value: Any, states: int, convert: Callable[[str, Any, str], np.ndarray[Any, Any]] | None
) -> np.ndarray[Any, Any]:
    """Return the array (..., states * H) of a state that is given; without `convert` as it is."""
    if convert is None:
        return np.concatenate(value, axis=-1) if states > 1 else np.ascontiguousarray(value)
    if states == 1:
        return convert("state", value, "hidden")
    parts = pair("state", value)
    names = ("state[0]", "state[1]")
    return np.concatenate(
        [convert(name, part, "hidden") for name, part in zip(names, parts, strict=True)], axis=-1
    )


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return the state of an LSTM as a pair, or raise what is wrong with it."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}: expected a pair (h, c), got {type(value).__name__}")
    if len(value) != 2:
        raise ValueError(f"{name}: expected a pair (h, c), got {len(value)} of them")
    return value[0], value[1]


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
    of = find_cell(cell)
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
            shapes = parameters(cell, sizes["I"], hidden_size, output_size)
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
