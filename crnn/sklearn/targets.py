"""y and sample_weight as users pass them: arrays, lists and columns of tables."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn.sklearn.reading import FloatArray, is_missing, numbers_of_objects


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
        array = numbers_of_objects(array).reshape(array.shape)
    if array.dtype.kind in "USMm":
        raise TypeError(f"y: expected numbers, got {array.ravel().tolist()[0]!r}")
    return array


def checked_weights(sample_weight: Any, n: int) -> FloatArray:
    """Return the weights (n,) of sequences, of at least 0 and not all of them 0.

    Raises
    ------
    TypeError, ValueError
        They are none of n such numbers.
    """
    if sample_weight is None:
        return np.ones(n)
    array = np.asarray(sample_weight)
    if array.shape != (n,):
        came = repr(sample_weight) if array.ndim == 0 else f"shape {array.shape}"
        raise ValueError(f"sample_weight: expected shape ({n},), got {came}")
    if array.dtype == object:
        array = numbers_of_objects(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"sample_weight: expected numbers, got {array.tolist()[0]!r}")
    weights = array.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        value = "NaN" if np.isnan(weights[wrong[0]]) else f"{weights[wrong[0]]:g}"
        raise ValueError(
            f"sample_weight: expected finite numbers of at least 0, got {value} at index {wrong[0]}"
        )
    if not weights.any():
        raise ValueError("sample_weight: expected a number above 0 somewhere, got only zeros")
    return weights
