"""Checks of what users pass, and its layout as the kernels take it.

Every check raises one sentence: the argument, what was expected, what came.
"""

import math
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def integer(name: str, value: SupportsIndex, *, at_least: int) -> int:
    """Return a whole number, bools excluded."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if number < at_least:
        raise ValueError(f"{name}: expected at least {at_least}, got {number}")
    return number


def number(
    name: str, value: SupportsFloat, *, at_least: float = 0.0, below: float = math.inf
) -> float:
    """Return a finite number with at_least <= number < below, as a float."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None
    if not (math.isfinite(converted) and at_least <= converted < below):
        upper = "" if below == math.inf else f" and below {below:g}"
        raise ValueError(
            f"{name}: expected a finite number of at least {at_least:g}{upper}, got {value!r}"
        )
    return converted


def choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return a string that is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected {_any_of(map(repr, choices))}, got {value!r}")
    return value


def boolean(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def generator(seed: Any) -> np.random.Generator:
    """Return the random generator of a seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed: expected a whole number of at least 0, got {seed!r}") from None


@contextmanager
def within(outer: str) -> Iterator[None]:
    """Name the argument that holds the one that a check names."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{outer}: {error}") from None


def float_dtype(value: Any) -> np.dtype[Any]:
    """Return the dtype float32 or float64."""
    dtype: np.dtype[Any]
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = np.dtype(object)
    # NumPy reads None as float64.
    if value is None or dtype not in (np.float32, np.float64) or not dtype.isnative:
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {value!r}")
    return dtype


def floats(
    name: str,
    value: Any,
    shapes: tuple[str, ...],
    sizes: dict[str, int],
    like: Array,
    kernels: ModuleType,
) -> Array:
    """Return a finite C-contiguous array of `like`'s dtype whose shape is one of `shapes`.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array-like
        Floats of up to 64 bits, or whole numbers that the dtype holds exactly.
    shapes : tuple of str
        Axis names such as ``"batch time features"``, of different ranks.
    sizes : dict
        Sizes that some of the axes must have; the others have to be at least 1.
    like : array
        Of the dtype to convert to.
    kernels : module
        The implementation that looks for NaN.
    """
    array = _array(name, value)
    kind, itemsize = array.dtype.kind, array.dtype.itemsize
    if not ((kind == "f" and itemsize <= 8) or kind in "iub"):
        raise TypeError(f"{name}: expected float32, float64 or whole numbers, got {array.dtype}")
    check_shape(name, array, shapes, sizes)
    if kind in "iu":
        # Up to this magnitude a float of that width holds every whole number.
        exact = 2 ** (np.finfo(like.dtype).nmant + 1)
        if int(array.max()) > exact or int(array.min()) < -exact:
            raise ValueError(
                f"{name}: expected whole numbers that {like.dtype} holds exactly (up to {exact}), "
                f"got {int(array.min())} to {int(array.max())}"
            )
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype=like.dtype)
    if not converted.flags.aligned:
        converted = converted.copy()
    if not kernels.all_finite(converted.reshape(-1)):
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(converted))[0])
        came = array[index]
        expected = f"numbers within {like.dtype}" if np.isfinite(came) else "finite numbers"
        raise ValueError(f"{name}: expected {expected}, got {came} at index {index}")
    return converted


def classes(
    name: str, value: Any, shapes: tuple[str, ...], sizes: dict[str, int], n_classes: int
) -> Array:
    """Return an intp array of class numbers below `n_classes` whose shape is one of `shapes`."""
    array = _array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer class numbers, got {array.dtype}")
    check_shape(name, array, shapes, sizes)
    if int(array.min()) < 0 or int(array.max()) >= n_classes:
        raise ValueError(
            f"{name}: expected class numbers from 0 to {n_classes - 1}, "
            f"got {int(array.min())} to {int(array.max())}"
        )
    return np.ascontiguousarray(array, dtype=np.intp)


def check_shape(name: str, array: Array, shapes: tuple[str, ...], sizes: dict[str, int]) -> None:
    """Raise unless the array's shape is one of the shapes, without an empty axis."""
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
            + (",)" if " " not in shape else ")")
            for shape in shapes
        ]
        raise ValueError(f"{name}: expected shape {_any_of(described)}, got {array.shape}")
    for axis, size in zip(axes, array.shape, strict=True):
        if size == 0:
            raise ValueError(f"{name}: expected at least one {axis}, got shape {array.shape}")


def _array(name: str, value: Any) -> Array:
    if value is None:
        raise TypeError(f"{name}: expected an array, got None")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name}: expected an array without gaps, got masked entries")
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name}: expected a rectangular array of numbers, got nested sequences of "
            "different lengths"
        ) from None


def _any_of(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else str(last)
