"""What every kernel takes: the one table that both implementations check their arguments by."""

from typing import Any, NamedTuple

import numpy as np

from crnn._typing import Array
from crnn.kernels import cells

# A kernel's arrays, in the order in which they fix the sizes: words, then the shape.
#
#     out           the array is written
#     optional      it may be None
#     contiguous    C-contiguous; of the others only the last axis has no gaps
#     float64       whatever the dtype of the call
#     intp          likewise
#     classes       of intp, class numbers from 0 to O - 1
#     rows          of intp, numbers of sequences from 0 to B - 1
#     steps         of intp, numbers of steps from 0 to T
#     bools         of bool
#
# T, B, I, H, O are sizes, P is the number of a network's parameters, R that of rows, K that of the
# batches that they make, n any size. A size like gate_blocks*H counts a cell's blocks of H
# (`cells.Cell`). Where a cell has none of these blocks the array has to be None. `biases` is the
# size of b_h, with the leaks of a leaky cell after the biases.
ARGUMENTS: dict[str, dict[str, str]] = {
    "rnn_forward": {
        "x": "optional B T I",
        "W_hh": "contiguous weight_blocks*H H",
        "W_xh": "contiguous weight_blocks*H I",
        "b_h": "contiguous biases",
        "h": "out B T+1 state_blocks*H",
        "gates": "out B T gate_blocks*H",
        "lengths": "steps optional contiguous B",
        "resets": "bools optional contiguous B T",
        "start": "optional contiguous state_blocks*H",
        "workspace": "out contiguous n",
    },
    "rnn_backward": {
        "x": "optional B T I",
        "W_hh": "contiguous weight_blocks*H H",
        "W_xh": "contiguous weight_blocks*H I",
        "b_h": "contiguous biases",
        "h": "B T+1 state_blocks*H",
        "gates": "B T gate_blocks*H",
        "dh": "optional B T H",
        "da": "out contiguous B T da_blocks*H",
        "dstate": "out contiguous B state_blocks*H",
        "dW_xh": "out contiguous weight_blocks*H I",
        "dW_hh": "out contiguous weight_blocks*H H",
        "db_h": "out contiguous biases",
        "dx": "out optional B T I",
        "lengths": "steps optional contiguous B",
        "resets": "bools optional contiguous B T",
        "start": "optional contiguous state_blocks*H",
        "dstart": "out optional contiguous B state_blocks*H",
        "workspace": "out contiguous n",
    },
    "output_forward": {
        "h": "B T H",
        "W_hy": "contiguous O H",
        "b_y": "contiguous O",
        "y": "out B T O",
        "lengths": "steps optional contiguous B",
        "workspace": "out contiguous n",
    },
    "output_backward": {
        "h": "B T H",
        "W_hy": "contiguous O H",
        "dy": "contiguous B T O",
        "dW_hy": "out contiguous O H",
        "db_y": "out contiguous O",
        "dh": "out B T H",
        "lengths": "steps optional contiguous B",
        "workspace": "out contiguous n",
    },
    "rnn_gradient": {
        "x": "B T I",
        "y": "contiguous B T O",
        "theta": "contiguous P",
        "dtheta": "out contiguous P",
        "workspace": "out contiguous n",
    },
    "rnn_train": {
        "x": "contiguous B T I",
        "rows": "rows contiguous R",
        "y": "contiguous B T O",
        "theta": "out contiguous P",
        "steps": "out intp contiguous 1",
        "rates": "float64 contiguous K",
        "losses": "out float64 contiguous K",
        "norms": "out float64 contiguous K",
        "workspace": "out contiguous n",
    },
    "rnn_predict": {
        "x": "B T I",
        "h0": "optional contiguous B state_blocks*H",
        "theta": "contiguous P",
        "y": "out optional B T O",
        "h_n": "out optional contiguous B state_blocks*H",
        "lengths": "steps optional contiguous B",
        "resets": "bools optional contiguous B T",
        "start": "optional contiguous state_blocks*H",
        "workspace": "out contiguous n",
    },
    "stream_parameters": {"theta": "contiguous P"},
    "stream_step": {
        "x": "contiguous B I",
        "h": "contiguous B state_blocks*H",
        "h_next": "out contiguous B state_blocks*H",
        "y": "out contiguous B O",
        "parameters": "contiguous n",
        "workspace": "out contiguous n",
    },
    "mse": {
        "y_hat": "contiguous B T O",
        "y": "contiguous B T O",
        "weights": "float64 optional contiguous B T",
        "dy": "out optional contiguous B T O",
    },
    "sse": {
        "y_hat": "contiguous B T O",
        "y": "contiguous B T O",
        "weights": "float64 optional contiguous B T",
        "dy": "out optional contiguous B T O",
    },
    "cross_entropy": {
        "y_hat": "contiguous B T O",
        "y": "classes contiguous B T",
        "weights": "float64 optional contiguous B T",
        "dy": "out optional contiguous B T O",
    },
    "binary_cross_entropy": {
        "y_hat": "contiguous B T O",
        "y": "contiguous B T O",
        "weights": "float64 optional contiguous B T",
        "dy": "out optional contiguous B T O",
    },
    "huber": {
        "y_hat": "contiguous B T O",
        "y": "contiguous B T O",
        "weights": "float64 optional contiguous B T",
        "dy": "out optional contiguous B T O",
    },
    "all_finite": {"values": "contiguous n"},
    "global_norm": {"values": "contiguous n"},
    "clip_norm": {"values": "out contiguous n"},
    "clip_value": {"values": "out contiguous n"},
    "constrain": {"values": "out contiguous n"},
    "sgd_step": {
        "theta": "out contiguous n",
        "dtheta": "contiguous n",
        "velocity": "out optional contiguous n",
        "steps": "out intp optional contiguous 1",
    },
    "rmsprop_step": {
        "theta": "out contiguous n",
        "dtheta": "contiguous n",
        "square": "out contiguous n",
        "velocity": "out optional contiguous n",
        "steps": "out intp optional contiguous 1",
    },
    "adam_step": {
        "theta": "out contiguous n",
        "dtheta": "contiguous n",
        "mean": "out contiguous n",
        "square": "out contiguous n",
        "steps": "out intp optional contiguous 1",
    },
}

GRADIENT_LOSSES = ("mse", "sse", "cross_entropy")
"""The losses that `rnn_gradient` and `rnn_train` know."""

LOSSES = (*GRADIENT_LOSSES, "binary_cross_entropy", "huber")
"""The losses that have kernels. A `Learner` and the kernels of fleets know them all."""

STEP_KERNELS = ("sgd_step", "rmsprop_step", "adam_step")
"""The optimizers that `rnn_train` knows, by their kernels."""

TRAINER_BUSY = "trainer: expected one thread at a time, got a call while another thread is in it"
LEARNER_BUSY = "learner: expected one thread at a time, got a call while another thread is in it"
VELOCITY_MISSING = "velocity: expected an array because momentum is not 0, got None"
NO_WEIGHT = "weights: expected a sum above 0, got 0"


_WORDS = {
    "out", "optional", "contiguous", "float64", "intp", "classes", "rows", "steps", "bools",
}  # fmt: skip


class Argument(NamedTuple):
    """One row of `ARGUMENTS`, parsed."""

    name: str
    words: frozenset[str]
    shape: tuple[str, ...]


def _parse(name: str, row: str) -> Argument:
    parts = row.split()
    words = frozenset(parts) & _WORDS
    return Argument(name, words, tuple(parts[len(words) :]))


_PARSED = {
    kernel: {name: _parse(name, row) for name, row in rows.items()}
    for kernel, rows in ARGUMENTS.items()
}
# What `rnn_gradient` and `rnn_train` take as y where the loss is the cross entropy.
_CLASS_TARGETS = {"y": _PARSED["cross_entropy"]["y"]}


def check(
    kernel: str,
    arrays: dict[str, Any],
    *,
    cell: str = "tanh",
    loss: str = "mse",
    **numbers: int,
) -> None:
    """Raise the error that says which argument of a kernel's call is wrong, and how.

    Parameters
    ----------
    kernel : str
        A name in `ARGUMENTS`.
    arrays : dict
        The arrays of the call by argument name.
    cell, loss : str
        Where the kernel takes them.
    **numbers : int
        Where the kernel takes them: batch, batch_size, input_size, hidden_size, and output_size,
        whose 0 means no output layer.

    Raises
    ------
    TypeError
        An argument is no array, or its dtype is not that of the first.
    ValueError
        A name, a size, a shape, a stride or a class number does not fit, or an output is
        read-only.
    """
    if loss not in GRADIENT_LOSSES:
        raise ValueError(f"loss: expected one of {', '.join(GRADIENT_LOSSES)}, got {loss!r}")
    sizes = Sizes(cell, numbers)
    dtype: np.dtype[Any] | None = None  # of the first array; the others share it
    arguments = _PARSED[kernel] | (_CLASS_TARGETS if loss == "cross_entropy" else {})
    for name, argument in arguments.items():
        words = argument.words
        array = arrays[name]
        has_no_such_block = sizes.has_none_of(argument.shape[-1])
        if array is None and ("optional" in words or has_no_such_block):
            continue
        if has_no_such_block:
            raise TypeError(f"{name}: expected None with cell {cell!r}, got {type(array).__name__}")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected an array, got {type(array).__name__}")
        if dtype is None:
            if array.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: expected dtype float32 or float64, got {array.dtype}")
            dtype = array.dtype
        _check_dtype(argument, array, dtype)
        sizes.check_shape(argument, array.shape)
        _check_memory(argument, array)
        if "rows" in words:
            _check_numbers(name, array, "row numbers", sizes.get("B") or 0)
        if "steps" in words:
            _check_numbers(name, array, "numbers of steps", (sizes.get("T") or 0) + 1)
        if "classes" in words:
            rows = arrays.get("rows")
            check_classes(name, array if rows is None else array[rows], sizes.get("O") or 0)
    if arrays.get("resets") is not None and arrays["reverse"]:
        raise ValueError("resets: expected None with reverse, got an array")
    if kernel == "rnn_predict" and arrays["y"] is None and numbers["output_size"]:
        raise ValueError(f"output_size: expected 0 without y, got {numbers['output_size']}")


def check_step(optimizer: str, memory: dict[str, Any], theta: Array, momentum: float) -> None:
    """Raise the error of the optimizer that `rnn_train` cannot use.

    Parameters
    ----------
    optimizer : str
        A name in `STEP_KERNELS`.
    memory : dict
        The vectors that this kernel takes beside parameters and gradient, by argument name.
    theta : array (P,)
    momentum : float
        0 where the kernel takes none.
    """
    if optimizer not in STEP_KERNELS:
        known = ", ".join(STEP_KERNELS)
        raise ValueError(f"optimizer: expected one of {known}, got {optimizer!r}")
    names = ARGUMENTS[optimizer].keys() - {"theta", "dtheta"}
    check(optimizer, dict.fromkeys(names) | memory | {"theta": theta, "dtheta": theta})
    if momentum != 0 and memory.get("velocity") is None:
        raise ValueError(VELOCITY_MISSING)


class Sizes:
    """The sizes of one call, as far as they are known; arrays add those that they are first to fix.

    Parameters
    ----------
    cell : str
    numbers : dict
        Sizes that the caller passed as numbers, by argument name.

    Raises
    ------
    ValueError
        No such cell, or a number is too small.
    """

    def __init__(self, cell: str, numbers: dict[str, int]) -> None:
        self._cell = cell
        self._output_size = numbers.get("output_size")
        self._cell_row = cells.get_cell(cell)
        for name, number in numbers.items():
            least = 0 if name == "output_size" else 1
            if number < least:
                raise ValueError(f"{name}: expected at least {least}, got {number}")
        letters = {"batch": "B", "input_size": "I", "hidden_size": "H", "output_size": "O"}
        letters["batch_size"] = "batch_size"
        self._known = {letters[name]: number for name, number in numbers.items() if number}

    def has_none_of(self, size: str) -> bool:
        """Whether the cell has no such blocks, as a tanh cell has no gates."""
        return size.endswith("*H") and self._blocks(size) == 0

    def check_shape(self, argument: Argument, shape: tuple[int, ...]) -> None:
        """Raise a ValueError unless the shape agrees with the known sizes; learn the others."""
        name, _, letters = argument
        if name == "workspace":
            letters = ("workspace",)
        if len(shape) == len(letters):
            for letter, size in zip(letters, shape, strict=True):
                self._learn(letter, size)
        expected = [self.get(letter) for letter in letters]
        if list(shape) != expected:
            described = ", ".join(
                letter if size is None or letter == str(size) else f"{letter}={size}"
                for letter, size in zip(letters, expected, strict=True)
            )
            raise ValueError(f"{name}: expected shape ({described}), got {shape}")
        if (0 in shape or self._known.get("T") == 0) and name != "workspace":
            raise ValueError(f"{name}: expected sizes of at least 1, got shape {shape}")

    def _learn(self, letter: str, size: int) -> None:
        """Store a size unless one is known for its letter."""
        if letter == "T+1":
            self._known.setdefault("T", size - 1)
        elif letter == "state_blocks*H":
            blocks = self._cell_row.state_blocks
            if size % blocks == 0:
                self._known.setdefault("H", size // blocks)
        elif "*" not in letter and self.get(letter) is None:
            self._known[letter] = size

    def _blocks(self, size: str) -> int:
        """Return how many blocks of H a size like gate_blocks*H has."""
        count: int = getattr(self._cell_row, size.removesuffix("*H"))
        return count

    def get(self, letter: str) -> int | None:
        """Return a size, or None where nothing says it yet."""
        if letter in self._known:
            return self._known[letter]
        if letter == "T+1" and "T" in self._known:
            return self._known["T"] + 1
        if letter.isdecimal():
            return int(letter)
        if letter == "K" and "batch_size" in self._known:
            return -(-self._known.get("R", 0) // self._known["batch_size"])
        H, I = self._known.get("H"), self._known.get("I")
        if H is None:
            return None
        if letter.endswith("*H"):
            return self._blocks(letter) * H
        if letter == "biases":
            return self._cell_row.bias_count(H)
        if letter == "O" and self._output_size == 0:
            return H
        if letter == "P" and I is not None and self._output_size is not None:
            shapes = cells.parameter_shapes(self._cell, I, H, self._output_size)
            return cells.parameter_count(shapes)
        return None


def _check_dtype(argument: Argument, array: Array, dtype: np.dtype[Any]) -> None:
    if argument.words & {"intp", "classes", "rows", "steps"}:
        dtype = np.dtype(np.intp)
    elif "float64" in argument.words:
        dtype = np.dtype(np.float64)
    elif "bools" in argument.words:
        dtype = np.dtype(np.bool_)
    if array.dtype != dtype:
        raise TypeError(f"{argument.name}: expected dtype {dtype}, got {array.dtype}")


def _check_memory(argument: Argument, array: Array) -> None:
    """Raise a ValueError where the strides, the address or the flags do not suit the loops."""
    name, words, _ = argument
    has_gaps = array.strides[-1] != array.itemsize and array.shape[-1] > 1
    is_regular = all(stride % array.itemsize == 0 for stride in array.strides)
    if has_gaps or not is_regular or ("contiguous" in words and not array.flags.c_contiguous):
        raise ValueError(f"{name}: expected a C-contiguous array, got strides {array.strides}")
    if not array.flags.aligned:
        raise ValueError(f"{name}: expected an aligned array, got one off its dtype's alignment")
    if "out" in words and not array.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one")


def check_learner_cell(cell: str) -> None:
    """Raise a ValueError if a `Learner` has no sensitivities of this cell."""
    if cells.get_cell(cell).has_leak:
        known = ", ".join(name for name, row in cells.CELLS.items() if not row.has_leak)
        raise ValueError(f"cell: expected one of {known} for a learner, got {cell!r}")


def check_classes(name: str, y: Array, classes: int) -> None:
    """Raise a ValueError if an integer target is not a class number below `classes`."""
    _check_numbers(name, y, "class numbers", classes)


def _check_numbers(name: str, numbers: Array, kind: str, count: int) -> None:
    """Raise a ValueError if there is one that is not from 0 to `count` - 1."""
    lowest, highest = int(numbers.min()), int(numbers.max())
    if lowest < 0 or highest >= count:
        raise ValueError(
            f"{name}: expected {kind} from 0 to {count - 1}, got {lowest} to {highest}"
        )


def check_weight(total: float) -> None:
    """Raise a ValueError if the weights of a mean have no sum to divide by."""
    if total == 0:
        raise ValueError(NO_WEIGHT)


def check_stream_parameters(parameters: Array, size: int) -> None:
    """Raise a ValueError if the parameters of a stream's step have another size."""
    if parameters.size != size:
        raise foreign_parameters(parameters)


def foreign_parameters(parameters: Array) -> ValueError:
    """Return the error of parameters that `stream_parameters` did not make for a step."""
    return ValueError(
        "parameters: expected what stream_parameters returns for these sizes, "
        f"got {parameters.size} scalars"
    )


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
