"""What the kernels of fleets take: checked for both implementations, before anything is written.

A fleet is N networks of one architecture. Their data are rows of steps, which sequences share or
not: sequence b of model n has the steps ``x[starts[n, b]]`` to
``x[starts[n, b] + lengths[n, b] - 1]``. So models read the same sequences, or their own, in any
order, of any lengths; a length of 0 is no sequence.
"""

from typing import Any

import numpy as np

from crnn._typing import Array, FloatArray, IntArray
from crnn.kernels import cells, contracts

LANE_UNITS = 16
"""The most hidden units of models that the compiled kernels put into SIMD lanes.

Models of more units fill registers by themselves. Of these, only what a kernel of one network can
not take goes into lanes: sequences of different lengths, and gradients of weighted steps or of the
binary cross entropy.
"""


def check(
    cell: str,
    x: Array,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    hidden_size: int,
    output_size: int,
) -> tuple[int, int, int]:
    """Raise the error of what all kernels of fleets take, or return N, B and P.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (S, I)
        The steps of all sequences.
    starts, lengths : intp array (N, B)
    theta : array (N, P)
    hidden_size, output_size : int

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.
    """
    cells.get_cell(cell)
    if hidden_size < 1 or output_size < 0:
        raise ValueError(
            "hidden_size, output_size: expected at least 1 and 0, "
            f"got {hidden_size} and {output_size}"
        )
    check_array("x", x, None, (None, None))
    shapes = cells.parameter_shapes(cell, x.shape[1], hidden_size, output_size)
    P = cells.parameter_count(shapes)
    check_array("theta", theta, x.dtype, (None, P))
    N = len(theta)
    check_array("starts", starts, np.intp, (N, None))
    B = starts.shape[1]
    check_array("lengths", lengths, np.intp, (N, B))
    check_rows("starts", starts, lengths, len(x))
    return N, B, P


def check_rows(name: str, starts: IntArray, lengths: IntArray, rows: int) -> None:
    """Raise a ValueError unless all sequences lie within so many rows."""
    if lengths.min() < 0 or starts.min() < 0 or int((starts + lengths).max()) > rows:
        raise ValueError(f"{name}: expected sequences within {rows} rows")


def check_array(
    name: str, array: Any, dtype: Any, shape: tuple[int | None, ...], *, is_written: bool = False
) -> None:
    """Raise the error of an array that is not C-contiguous, of this dtype and of this shape.

    A dtype of None is float32 or float64, a size of None at least 1.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(array).__name__}")
    expected = (np.float32, np.float64) if dtype is None else (dtype,)
    if array.dtype not in expected:
        names = " or ".join(str(np.dtype(one)) for one in expected)
        raise TypeError(f"{name}: expected dtype {names}, got {array.dtype}")
    fits = array.ndim == len(shape) and array.size > 0
    if not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        described = ", ".join("n" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: expected shape ({described}), got {array.shape}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"{name}: expected a C-contiguous array, got strides {array.strides}")
    if is_written and not array.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one")


def check_targets(
    loss: str, y: Array, weights: FloatArray | None, x: Array, outputs: int, delta: float
) -> None:
    """Raise the error of targets or their weights.

    Parameters
    ----------
    loss : str
        A name in `contracts.LOSSES`.
    y : array (S, O), or for "cross_entropy" (S,) of intp
    weights : float64 array (S,) or None
    x : array (S, I)
    outputs : int
        O, of the outputs with or without an output layer.
    delta : float
        Of "huber".

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.
    """
    if loss not in contracts.LOSSES:
        known = ", ".join(contracts.LOSSES)
        raise ValueError(f"loss: expected one of {known}, got {loss!r}")
    if loss == "cross_entropy":
        check_array("y", y, np.intp, (len(x),))
        contracts.check_classes("y", y, outputs)
    else:
        check_array("y", y, x.dtype, (len(x), outputs))
    if weights is not None:
        check_array("weights", weights, np.float64, (len(x),))
    if loss == "huber" and not delta > 0:
        raise ValueError(f"delta: expected a number above 0, got {delta}")


def check_step(
    optimizer: str,
    memory: dict[str, Array | None],
    settings: dict[str, float],
    vectors: dict[str, Any],
    theta: Array,
) -> None:
    """Raise the error of the optimizer of `fleet_train`, or of its numbers and results by model.

    Parameters
    ----------
    optimizer, memory, settings
        As of `fleet_train`.
    vectors : dict of array (N,)
        Those by model, by argument name.
    theta : array (N, P)

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.
    """
    N = len(theta)
    for name, array in memory.items():
        if array is not None:
            check_array(name, array, theta.dtype, theta.shape, is_written=True)
    first = {name: None if array is None else array[0] for name, array in memory.items()}
    contracts.check_step(optimizer, first, theta[0], settings.get("momentum", 0))
    for name, array in vectors.items():
        if name == "l1" and array is None:
            continue
        dtype = {"steps": np.intp, "taken": np.bool_}.get(name, np.float64)
        is_written = name in ("steps", "losses", "norms", "taken")
        check_array(name, array, dtype, (N,), is_written=is_written)
