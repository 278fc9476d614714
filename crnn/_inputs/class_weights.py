"""Weights of classes: an array, a dictionary, or "balanced"."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from crnn import checks
from crnn._inputs import arrays
from crnn._typing import Array, FloatArray

ClassWeight: TypeAlias = "FloatArray | dict[int, float] | Literal['balanced'] | None"

NOT_FITTED = (
    "class_weight: expected numbers, got 'balanced', which only fit can turn into numbers because "
    "it has all training targets"
)


def checked(value: Any) -> ClassWeight:
    """Return a `class_weight` argument, or raise what is wrong with it."""
    if value is None:
        return None
    if isinstance(value, str):
        if value != "balanced":
            raise ValueError(
                "class_weight: expected an array, a dictionary by class or 'balanced', "
                f"got {value!r}"
            )
        return "balanced"
    if isinstance(value, Mapping):
        by_class = {
            checks.integer("class_weight: class", key, at_least=0): checks.number(
                f"class_weight[{key!r}]", weight, at_least=0.0
            )
            for key, weight in value.items()
        }
        if by_class:
            arrays.weights(
                "class_weight", list(by_class.values()), ("classes",), {}, may_be_zero=True
            )
        return by_class
    weights = arrays.weights("class_weight", value, ("outputs",), {})
    weights.flags.writeable = False
    return weights


def check_classes(value: ClassWeight, outputs: int) -> None:
    """Raise a ValueError unless the weights are of classes below `outputs`."""
    if isinstance(value, dict):
        foreign = [key for key in value if key >= outputs]
        if foreign:
            raise ValueError(
                f"class_weight: expected classes from 0 to {outputs - 1}, got {foreign[0]}"
            )
    elif isinstance(value, np.ndarray) and len(value) != outputs:
        raise ValueError(f"class_weight: expected shape (outputs={outputs},), got {value.shape}")


def of_outputs(value: ClassWeight, outputs: int) -> FloatArray:
    """Return the weight of each class (outputs,) or more; 1 where none is given."""
    if isinstance(value, str):
        raise ValueError(NOT_FITTED)
    if isinstance(value, np.ndarray):
        return value
    by_class = {} if value is None else value
    weights = np.ones(max(outputs, *(key + 1 for key in by_class), 0))
    for key, weight in by_class.items():
        weights[key] = weight
    return weights


def balanced(targets: Iterable[tuple[Array, FloatArray | None]], outputs: int) -> FloatArray:
    """Return n / (classes * count) of each class, where n is the sum of all counts.

    Parameters
    ----------
    targets : iterable of (y, weights)
        Class numbers, and the weight of each, by which it counts; None: 1.
    outputs : int
        The number of classes. One that does not occur gets the weight 1 and is none of `classes`.
    """
    counts = np.zeros(outputs)
    for y, weights in targets:
        counts += np.bincount(y.ravel(), None if weights is None else weights.ravel(), outputs)
    occurs = counts > 0
    result = np.ones(outputs)
    with np.errstate(all="ignore"):
        result[occurs] = counts.sum() / (occurs.sum() * counts[occurs])
    return result
