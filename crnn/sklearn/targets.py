"""y as users pass it: classes or numbers, from arrays, lists and tables."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn.sklearn.reading import is_missing


def labels(y: Any, name: str = "y") -> npt.NDArray[Any]:
    """Return classes as an array, nullable ones as what they are without gaps.

    Raises
    ------
    ValueError
        One is missing, or some are strings and others are not.
    """
    array = np.asarray(y)
    objects = np.asarray(y, object) if isinstance(y, (list, tuple)) else array
    if objects.dtype != object or objects.ndim == 0 or objects.size > len(objects):
        return array
    objects = objects.ravel()
    for number, value in enumerate(objects):
        if is_missing(value):
            raise ValueError(f"{name}: expected classes, got {value} at index {number}")
    strings = [isinstance(value, str) for value in objects]
    if any(strings) and not all(strings):
        text, other = objects[strings.index(True)], objects[strings.index(False)]
        raise ValueError(f"{name}: expected classes of one kind, got both {text!r} and {other!r}")
    if any(strings) or isinstance(y, np.ndarray):
        return array
    # Some pandas make an array of objects of a nullable column of numbers.
    return np.array(objects.tolist()).reshape(array.shape)


def numbers(y: Any) -> npt.NDArray[Any]:
    """Return an array of numbers; gaps are NaN.

    Raises
    ------
    TypeError
        There is text in y.
    """
    array = np.asarray(y)
    if array.dtype == object:
        array = np.array([np.nan if is_missing(value) else value for value in array.flat])
        array = array.reshape(np.shape(y))
    if array.dtype.kind in "USMm":
        raise TypeError(f"y: expected numbers, got {array.ravel().tolist()[0]!r}")
    return array
