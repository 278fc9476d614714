"""Arrays of numbers from lists, tables and arrays of other libraries.

Nothing here imports these libraries. Tables are recognized by their attributes, numbers by the
array that NumPy makes of them.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from crnn._typing import Array

__all__ = ["as_array", "as_numbers"]

CATEGORIES = "; convert them to numbers, by pandas.get_dummies or to their codes"
TIMES = "; convert them to numbers, such as (t - t[0]) / one_day"
TEXT = "; convert it to numbers, by astype(float), pandas.get_dummies or to codes"
TENSOR = "; use .detach().cpu().float().numpy()"
# Levels of nested lists that are looked into: no argument has more axes.
MAX_DEPTH = 4
# Below this magnitude float64 holds every whole number.
EXACT_BELOW = 2**53


def as_array(name: str, value: Any) -> Array:
    """Return an array without masked entries, of any dtype.

    Parameters
    ----------
    name : str
        The argument's name, for errors.
    value : array-like

    Returns
    -------
    array

    Raises
    ------
    TypeError, ValueError
        It is None, categories, times, nested sequences of different lengths, or something else that
        NumPy makes no array of; or an entry is masked.
    """
    if value is None:
        raise TypeError(f"{name}: expected an array, got None")
    parts = value if isinstance(value, (list, tuple)) else [value]
    for part in _of_other_kinds(parts):
        if isinstance(part, np.ma.MaskedArray):
            if np.ma.is_masked(part):
                raise ValueError(
                    f"{name}: expected an array without gaps, got masked entries; fill them by "
                    ".filled(0)"
                )
        else:
            _check_columns(name, part)
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:
        if "inhomogeneous" in str(error):
            raise ValueError(
                f"{name}: expected a rectangular array of numbers, got nested sequences of "
                "different lengths"
            ) from None
        advice = TENSOR if any(hasattr(part, "detach") for part in parts) else ""
        raise TypeError(
            f"{name}: expected an array, got {type(value).__name__}, of which NumPy says: "
            f"{' '.join(str(error).split())}{advice}"
        ) from error


def as_numbers(name: str, value: Any) -> Array:
    """Return an array of bools, integers, or floats of at most 64 bits; NaN where one is missing.

    Parameters
    ----------
    name : str
        The argument's name, for errors.
    value : array-like
        Also tables with columns of several kinds, arrays of Python's numbers, and the small floats
        and integers of ml_dtypes. All conversions are exact.

    Returns
    -------
    array

    Raises
    ------
    TypeError, ValueError
        It holds something else, or an entry is masked.
    """
    array = as_array(name, value)
    kind = array.dtype.kind
    if kind == "O":
        return _from_objects(name, array, value)
    if array.dtype.isbuiltin == 2:
        # Registered by another library, which says what each of its numbers fits into
        for dtype in (np.int64, np.float64):
            if np.can_cast(array.dtype, dtype):
                return array.astype(dtype)
    elif kind in "iub" or (kind == "f" and array.dtype.itemsize <= 8):
        return array
    advice = {
        "M": TIMES, "m": "; divide it by a unit of time", "U": TEXT, "S": TEXT, "T": TEXT,
        "c": "; pass the real and the imaginary part as two numbers", "f": "; use .astype(float)",
    }  # fmt: skip
    raise TypeError(
        f"{name}: expected numbers (floats of at most 64 bits, or integers), got {array.dtype}"
        f"{advice.get(kind, '')}"
    )


def _of_other_kinds(parts: Any) -> Iterator[Any]:
    """Yield the parts, and parts of lists among them, that may be tables or masked arrays."""
    nested = {list, tuple}
    plain = nested | {np.ndarray, float, int, bool}
    for _ in range(MAX_DEPTH):
        # The types first: a list may hold a million numbers.
        kinds = set(map(type, parts))
        if not kinds <= plain:
            yield from (part for part in parts if type(part) not in plain)
        if not kinds & nested:
            return
        parts = list(chain.from_iterable(part for part in parts if type(part) in nested))


def _check_columns(name: str, table: Any) -> None:
    """Raise a TypeError if a table, or one column, is of categories or times.

    NumPy would silently make numbers of some of them: of categories that are whole numbers,
    and of dates beside numbers.
    """
    if not hasattr(table, "__array__"):
        return
    dtypes = getattr(table, "dtypes", None)
    columns = getattr(table, "columns", None)
    if columns is None or dtypes is None:
        named = [("", getattr(table, "dtype", None))]
    else:
        named = [(f" in column {c!r}", d) for c, d in zip(columns, dtypes, strict=False)]
    for where, dtype in named:
        text = str(dtype).lower()
        if text.startswith(("categor", "enum", "dictionary")):
            raise TypeError(f"{name}: expected numbers, got categories{where}{CATEGORIES}")
        if text.startswith(("date", "time", "duration", "period", "interval")):
            raise TypeError(f"{name}: expected numbers, got {dtype}{where}{TIMES}")


def _from_objects(name: str, array: Array, value: Any) -> Array:
    """Return the numbers of an array of objects."""
    if array.ndim == 0:
        advice = next((f"; use .{m}()" for m in ("toarray", "collect") if hasattr(value, m)), "")
        raise TypeError(f"{name}: expected an array of numbers, got {type(value).__name__}{advice}")
    objects = array.ravel().tolist()
    kinds = set(map(type, objects))
    gaps = {kind for kind in kinds if kind.__name__ in ("NoneType", "NAType")}
    others = {kind for kind in kinds - gaps if not _is_number(kind)}
    if others:
        at = next(i for i, thing in enumerate(objects) if type(thing) in others)
        index = tuple(int(i) for i in np.unravel_index(at, array.shape))
        what, advice = _described(objects[at])
        raise TypeError(f"{name}: expected numbers, got {what} at index {index}{advice}")
    numbers = kinds - gaps
    if not gaps and all(issubclass(kind, (bool, np.bool_)) for kind in numbers):
        return array.astype(bool)
    if not gaps and all(issubclass(kind, (int, np.integer, np.bool_)) for kind in numbers):
        lowest, highest = min(objects), max(objects)
        dtype = np.int64 if highest < 2**63 else np.uint64
        if lowest < (-(2**63) if dtype is np.int64 else 0) or highest >= 2**64:
            raise ValueError(
                f"{name}: expected whole numbers of at most 64 bits, got {lowest} to {highest}"
            )
        return array.astype(dtype)
    is_gap = np.array([type(thing) in gaps for thing in objects]).reshape(array.shape)
    filled = np.where(is_gap, np.nan, array)
    try:
        floats = filled.astype(np.float64)
        with np.errstate(invalid="ignore"):
            is_large = np.abs(floats) >= EXACT_BELOW
        # Python compares a float and an int exactly; NumPy rounds first.
        is_exact = floats[is_large].tolist() == [_plain(x) for x in filled[is_large]]
    except OverflowError:
        is_exact = False
    if not is_exact:
        raise ValueError(
            f"{name}: expected numbers that float64 holds exactly, got whole ones of {EXACT_BELOW} "
            "or more beside others"
        )
    return floats


def _plain(number: Any) -> Any:
    """Return a number of NumPy's as one of Python's."""
    return number.item() if isinstance(number, np.generic) else number


def _is_number(kind: type) -> bool:
    """Whether objects of this type convert to float64 or int64 exactly."""
    if issubclass(kind, np.generic):
        dtype = np.dtype(kind)
        return dtype.kind in "biu" or np.can_cast(dtype, np.float64)
    return issubclass(kind, (bool, int, float))


def _described(thing: Any) -> tuple[str, str]:
    """Return what an object is that is no number, and what to do with such."""
    what = type(thing).__name__
    if isinstance(thing, (str, bytes)):
        return f"the text {thing[:40]!r}", TEXT
    if hasattr(thing, "__len__"):
        return what, "; pass a list of arrays, or one array of them all"
    if hasattr(thing, "year") or what in ("timedelta", "Timedelta", "NaTType"):
        return what, TIMES
    return what, "; use .astype(float)" if hasattr(thing, "__float__") else ""
