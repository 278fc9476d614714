"""Constants and what the inputs decide: first states, lengths, masks and sizes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import ModelFileError
from crnn.onnx.tensors import MOST_AXES, Attributes, array_of, axes_of
from crnn.onnx.values import MOST_ZEROS, NetworkParts, RuntimeValue, Value

# What models make first states, masks and shapes with
OPERATORS = {
    *("Shape", "Size", "Cast", "Expand", "ConstantOfShape", "Range", "Less", "Mul", "Add", "Sub"),
    *("Div", "Max", "Min", "ReduceMax", "Equal", "Where", "Tile", "Not", "GreaterOrEqual"),
    *("Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Transpose"),
    "Identity",
}


def runtime_value(
    operator: str, inputs: list[Value], attributes: Attributes, parts: NetworkParts
) -> Value:
    """Return what a node makes of constants and runtime values.

    Constants stay constants only if their shape is all that changes.
    """
    if operator not in OPERATORS:
        raise ModelFileError(f"{operator}: expected operators that crnn's networks have")
    if operator == "ConstantOfShape":
        fill = array_of(attributes["value"].t) if "value" in attributes else np.zeros(1, "f4")
        return RuntimeValue(fill)
    first = inputs[0] if inputs else None
    if isinstance(first, np.ndarray) and all(isinstance(i, np.ndarray) for i in inputs):
        constant = _changed_constant(operator, first, inputs, attributes, parts)
        if constant is not None:
            return constant
    part = _mask_part(operator, inputs, attributes)
    if part is not None:
        return part
    if isinstance(first, np.ndarray) and operator in ("Expand", "Tile"):
        return RuntimeValue(first)
    if not isinstance(first, RuntimeValue):
        return RuntimeValue()
    if operator in ("Expand", "Identity"):
        return first
    if operator == "Slice" and first.source and first.rows is None:
        return first._replace(rows=_bounds(inputs[1:]))
    if operator == "Slice" and first.repeated is not None:
        return RuntimeValue(_rows(first.repeated, inputs[1:]))
    if operator in ("Unsqueeze", "Squeeze", "Transpose", "Tile"):
        # Zeros stay the same zeros, whatever the axes.
        repeated = first.repeated
        is_zero = repeated is not None and repeated.size <= MOST_ZEROS and not repeated.any()
        return RuntimeValue(repeated if is_zero else None)
    return RuntimeValue()


def _changed_constant(
    operator: str,
    array: npt.NDArray[Any],
    inputs: list[Any],
    attributes: Attributes,
    parts: NetworkParts,
) -> Value:
    """Return an array in another shape, or None if the node does something else."""
    if operator == "Identity":
        return array
    if operator == "Transpose":
        return array.transpose(list(attributes["perm"].ints) if "perm" in attributes else None)
    if operator == "Slice":
        return RuntimeValue(_rows(array, inputs[1:]))
    if not array.size:
        return None
    if operator == "Reshape":
        if inputs[1].size > MOST_AXES:
            raise ModelFileError(f"Reshape: expected at most {MOST_AXES} axes, got more")
        if not array.flags.c_contiguous:
            # NumPy copies it. Many copies would take many times the model's size.
            parts.size_of_copies += array.size
            if parts.size_of_copies > parts.size:
                raise ModelFileError("Reshape: expected each constant to be changed once")
        wanted = [int(size) for size in inputs[1]]
        return array.reshape(
            [array.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
        )
    if operator not in ("Squeeze", "Unsqueeze"):
        return None
    axes = axes_of(inputs, attributes)
    if operator == "Squeeze" and axes is None and len(inputs) == 1:
        return np.squeeze(array)
    if axes is None or len(axes) > 4:
        raise ModelFileError(f"{operator}: expected a list of some axes")
    if operator == "Squeeze":
        return np.squeeze(array, tuple(axes))
    return np.expand_dims(array, tuple(axes))


def _mask_part(operator: str, inputs: list[Any], attributes: Attributes) -> RuntimeValue | None:
    """Return what part of a mask of the steps before the sequences' ends this is, or None.

    The mask is whether t < length, as (batch, time, 1): Less(Range(0, T, 1), Unsqueeze(lengths)).
    """
    first = inputs[0] if inputs else None
    if operator == "Range" and len(inputs) == 3:
        start, _, step = inputs
        counts = isinstance(start, np.ndarray) and isinstance(step, np.ndarray)
        if counts and (start.item(), step.item()) == (0, 1):
            return RuntimeValue(mask_part="steps")
    if operator == "Less":
        parts = [i.mask_part if isinstance(i, RuntimeValue) else "" for i in inputs]
        if parts == ["steps", "lengths"]:
            return RuntimeValue(source=inputs[1].source, mask_part="mask")
    if not isinstance(first, RuntimeValue):
        return None
    if operator == "Cast" and first.source:
        return first
    if operator == "Unsqueeze":
        axes = axes_of(inputs, attributes)
        if first.is_input and first.rows is None and axes == [1]:
            return first._replace(mask_part="lengths")
        if first.mask_part == "mask" and axes == [2]:
            return first
    return None


def _bounds(bounds: list[Any]) -> tuple[int, int]:
    """Return which rows a Slice takes."""
    if not all(isinstance(b, np.ndarray) and b.size == 1 for b in bounds) or len(bounds) < 3:
        raise ModelFileError("Slice: expected constant bounds of one axis")
    start, end, axis = (int(b.reshape(-1)[0]) for b in bounds[:3])
    if axis != 0 or len(bounds) > 3:
        raise ModelFileError(f"Slice: expected the first axis, in steps of 1, got axis {axis}")
    return start, end


def _rows(array: npt.NDArray[Any], bounds: list[Any]) -> npt.NDArray[Any]:
    """Return the states of one layer among those of all."""
    start, end = _bounds(bounds)
    if array.ndim and array.shape[0] == 1:
        # Repeated for all of them
        return array
    if not 0 <= start < end <= len(array):
        raise ModelFileError(f"Slice: expected rows of {len(array)}, got {start} to {end}")
    return array[start:end]
