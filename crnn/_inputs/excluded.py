"""Targets and inputs that do not count: a valid value replaces whatever they hold."""

from typing import Any

import numpy as np

from crnn._typing import Array, FloatArray
from crnn.conversion import as_array, as_numbers

MASK_ADVICE = "; a mask that is 0 there leaves the step out of the loss"


def cleared(y: Any, weights: FloatArray | None, *, of_classes: bool) -> Any:
    """Return targets with 0, a valid class, number and probability, where the weight is 0.

    Targets of other axes, which only a user's own loss takes, stay as they are.

    Parameters
    ----------
    y : array-like (batch, time, ...) or those axes that `weights` has
    weights : array (batch, time), (batch,) or (time,), or None
    of_classes : bool
        Whether the targets are class numbers. With weights they may be floats, because NaN, a
        missing class, makes floats of all others.
    """
    if weights is None:
        return y
    array = as_array("y", y)
    counts = weights > 0
    if array.shape[: counts.ndim] == counts.shape and not counts.all():
        array = array.copy()
        array[~counts] = np.zeros((), array.dtype)
    return whole_numbers("y", array) if of_classes else array


def whole_numbers(name: str, array: Array) -> Array:
    """Return an array as integers if all its numbers are whole, else as it is.

    Floats are what is left of integers beside NaN, after it was cleared.
    """
    if array.dtype.kind == "O" or array.dtype.isbuiltin == 2:
        array = as_numbers(name, array)
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            whole = array.astype(np.int64)
        if np.array_equal(whole, array):
            return whole
    return array
