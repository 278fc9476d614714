"""Arrays that users pass: shape, dtype and values checked, converted for the kernels."""

from types import ModuleType
from typing import Any

import numpy as np

from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.checks import any_of
from crnn.conversion import as_array, as_numbers
from crnn.kernels import contracts

# Sums of such weights times losses stay in the range of float64.
LARGEST_WEIGHT = 1e100


def floats(
    name: str,
    value: Any,
    shapes: tuple[str, ...],
    sizes: dict[str, int],
    like: Array,
    kernels: ModuleType,
    *,
    may_be_empty: tuple[str, ...] = (),
    nan_advice: str = "",
) -> Array:
    """Return a finite C-contiguous array of `like`'s dtype whose shape is one of `shapes`.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array-like
        Floats of at most 64 bits, bools, or whole numbers that the dtype holds exactly.
    shapes : tuple of str
        Axis names such as ``"batch time features"``, of different ranks.
    sizes : dict
        Sizes that some of the axes must have; the others have to be at least 1.
    like : array
        Its dtype is converted to.
    kernels : module
        The implementation that looks for NaN.
    may_be_empty : tuple of str
        Axes whose size may be 0.
    nan_advice : str
        What the error of NaN or infinity says at its end.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or value does not fit.
    """
    array = as_numbers(name, value)
    _check_shape(name, array, shapes, sizes, may_be_empty)
    if not array.size:
        return np.zeros(array.shape, like.dtype)
    if array.dtype.kind in "iu":
        # Up to this magnitude a float of that width holds every whole number.
        exact = 2 ** (np.finfo(like.dtype).nmant + 1)
        if int(array.max()) > exact or int(array.min()) < -exact:
            raise ValueError(
                f"{name}: expected whole numbers that {like.dtype} holds exactly (up to {exact}), "
                f"got {int(array.min())} to {int(array.max())}"
            )
    with np.errstate(all="ignore"):
        converted = np.ascontiguousarray(array, dtype=like.dtype)
    if not converted.flags.aligned:
        converted = converted.copy()
    if not kernels.all_finite(converted.reshape(-1)):
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(converted))[0])
        came = array[index]
        where = f"got {came} at index {index}"
        if np.isfinite(came):
            raise ValueError(f"{name}: expected numbers that {like.dtype} can hold, {where}")
        raise ValueError(f"{name}: expected finite numbers, {where}{nan_advice}")
    return converted


def classes(
    name: str,
    value: Any,
    shapes: tuple[str, ...],
    sizes: dict[str, int],
    n_classes: int,
    *,
    may_be_empty: tuple[str, ...] = (),
    nan_advice: str = "",
) -> Array:
    """Return an intp array of class numbers below `n_classes` whose shape is one of `shapes`.

    Categories of inputs are such numbers too. `nan_advice` is what errors of NaN and of negative
    numbers say at their end, which both stand for a missing class.
    """
    array = as_numbers(name, value)
    if array.dtype.kind not in "iu":
        is_gap = array.dtype.kind == "f" and np.isnan(array).any()
        raise TypeError(
            f"{name}: expected integer class numbers, got {array.dtype}"
            + (f" with NaN{nan_advice}" if is_gap else "")
        )
    _check_shape(name, array, shapes, sizes, may_be_empty)
    try:
        if array.size:
            contracts.check_classes(name, array, n_classes)
    except ValueError as error:
        raise ValueError(f"{error}{nan_advice if array.min() < 0 else ''}") from None
    # A copy: the kernels index by these numbers, and the owner may change the array meanwhile.
    return np.array(array, dtype=np.intp, order="C")


def lengths(value: Any, batch: int, time: int, at_least: int = 1) -> IntArray:
    """Return an intp array (batch,) of lengths from `at_least` to `time`."""
    array = as_numbers("lengths", value)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"lengths: expected whole numbers, got {array.dtype}")
    _check_shape("lengths", array, ("batch",), {"batch": batch}, () if at_least else ("batch",))
    # Where there are no steps, that is an error of x.
    if array.size and time >= at_least and (array.min() < at_least or array.max() > time):
        raise ValueError(
            f"lengths: expected numbers from {at_least} to {time}, the steps of x, "
            f"got {array.min()} to {array.max()}"
        )
    return np.array(array, dtype=np.intp)


def bools(name: str, value: Any, sizes: dict[str, int]) -> BoolArray:
    """Return an array of bools whose axes have these names and sizes."""
    array = as_array(name, value)
    if array.dtype.kind == "O":
        array = as_numbers(name, value)
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(f"{name}: expected bools, got missing values among them")
    _check_shape(name, array, (" ".join(sizes),), sizes, tuple(sizes))
    if array.size and array.dtype.kind != "b":
        raise TypeError(f"{name}: expected bools, got {array.dtype}")
    return np.array(array, dtype=bool, order="C")


def weights(
    name: str,
    value: Any,
    shapes: tuple[str, ...],
    sizes: dict[str, int],
    *,
    may_be_zero: bool = False,
) -> FloatArray:
    """Return a float64 array of weights from 0 to `LARGEST_WEIGHT`, not all 0 unless they may."""
    array = as_numbers(name, value)
    _check_shape(name, array, shapes, sizes)
    lowest, highest = array.min(), array.max()
    if not lowest >= 0 or highest == np.inf:
        wrong = highest if lowest >= 0 else lowest
        raise ValueError(f"{name}: expected finite numbers of at least 0, got {wrong}")
    # NumPy would cast the limit to float32 beside one of those.
    if float(highest) > LARGEST_WEIGHT:
        raise ValueError(f"{name}: expected numbers of at most {LARGEST_WEIGHT:g}, got {highest}")
    if not (may_be_zero or array.any()):
        raise ValueError(f"{name}: expected a number above 0 somewhere, got only zeros")
    return np.array(array, dtype=np.float64)


def _check_shape(
    name: str,
    array: Array,
    shapes: tuple[str, ...],
    sizes: dict[str, int],
    may_be_empty: tuple[str, ...] = (),
) -> None:
    """Raise unless the array's shape is one of the shapes, with no other axis empty."""
    for shape in shapes:
        axes = shape.split()
        if array.ndim == len(axes) and all(
            sizes.get(axis, size) == size for axis, size in zip(axes, array.shape, strict=True)
        ):
            break
    else:
        described = [
            "("
            + ", ".join(f"{a}={sizes[a]}" if a in sizes else a for a in shape.split())
            + (",)" if len(shape.split()) == 1 else ")")
            for shape in shapes
        ]
        raise ValueError(f"{name}: expected shape {any_of(described)}, got {array.shape}")
    for axis, size in zip(axes, array.shape, strict=True):
        if size == 0 and axis not in may_be_empty:
            thing = {"batch": "sequence", "time": "time step"}.get(axis, "feature")
            raise ValueError(f"{name}: expected at least one {thing}, got shape {array.shape}")
