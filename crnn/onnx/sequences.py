"""What nodes make of sequences and last states: changes of shape, masks and the output layer."""

import numpy as np

from crnn import ModelFileError
from crnn.onnx.tensors import Attributes, axes_of, integer_attribute
from crnn.onnx.values import (
    MOST_ZEROS,
    LastStates,
    Layer,
    NetworkParts,
    OutputLayer,
    RuntimeValue,
    Sequences,
    Value,
)


def changed_sequences(
    operator: str, inputs: list[Value], attributes: Attributes, parts: NetworkParts
) -> Value:
    """Return what a node makes of sequences or last states; an output layer goes to the parts."""
    value: Sequences | LastStates = next(
        i for i in inputs if isinstance(i, (Sequences, LastStates))
    )
    if operator == "Identity" or (operator == "Dropout" and inputs[2:] in ([], [None])):
        # Outside of training dropout changes nothing.
        return value
    if operator == "Where" and _clears_padding(value, inputs, parts):
        # crnn's outputs are zero there too.
        return value
    if operator in ("MatMul", "Gemm", "Add"):
        return _output(operator, value, inputs, attributes, parts)
    if value.stage:
        raise ModelFileError(f"{operator}: expected nothing after the output layer")
    layer = parts.layers[value.layers - 1] if value.layers else None
    if operator == "Transpose":
        perm = list(attributes["perm"].ints) if "perm" in attributes else None
        axes = value.axes[::-1] if perm is None else tuple(value.axes[i] for i in perm)
        return value._replace(axes=axes)
    if operator == "Squeeze":
        return _without_direction(value, layer, axes_of(inputs, attributes))
    if operator == "Reshape":
        return _side_by_side(value, layer, inputs[1])
    if operator in ("Gather", "Slice") and isinstance(value, Sequences):
        axis = integer_attribute(attributes, "axis")
        return _last_step(operator, value, layer, axis, inputs[1])
    if operator == "Concat" and isinstance(value, LastStates):
        # The last states of all layers, an output of the model
        return RuntimeValue()
    raise ModelFileError(f"{operator}: expected operators that crnn's networks have")


def _clears_padding(
    value: Sequences | LastStates, inputs: list[Value], parts: NetworkParts
) -> bool:
    """Whether a Where writes zeros past the sequences' ends."""
    if len(inputs) != 3 or not parts.layers:
        return False
    mask, values, padding = inputs
    return (
        isinstance(mask, RuntimeValue)
        and mask.mask_part == "mask"
        and mask.source == parts.layers[-1].lengths
        and values is value
        and value.axes == ("B", "T", "F")
        and isinstance(padding, np.ndarray)
        and padding.size <= MOST_ZEROS
        and not padding.any()
    )


def _without_direction(
    value: Sequences | LastStates, layer: Layer | None, axes: list[int] | None
) -> Value:
    """Return values without the axis of their one direction."""
    place = value.axes.index("D") if "D" in value.axes else -1
    has_one = layer is not None and len(layer.directions) == 1
    rank = len(value.axes)
    if not has_one or place < 0 or axes is None or [axis % rank for axis in axes] != [place]:
        raise ModelFileError("Squeeze: expected the one direction of a layer to be taken out")
    return value._replace(axes=tuple(axis for axis in value.axes if axis != "D"))


def _side_by_side(value: Sequences | LastStates, layer: Layer | None, shape: Value) -> Value:
    """Return values with the features of all directions in one axis."""
    features = layer.features if layer is not None else 0
    if (
        isinstance(shape, np.ndarray)
        and value.axes[-2:] == ("D", "F")
        and len(shape) == len(value.axes) - 1
        and int(shape[-1]) in (-1, features)
        # An inferred size may stand for batch or for time, not for two axes.
        and sum(int(size) not in (0, features) for size in shape) <= 1
    ):
        return value._replace(axes=(*value.axes[:-2], "F"))
    raise ModelFileError("Reshape: expected both directions' features side by side")


def _last_step(
    operator: str, value: Sequences, layer: Layer | None, axis: int, index: Value
) -> LastStates:
    """Return the states after the last step of a layer that only reads forward."""
    if (
        operator != "Gather"
        or layer is None
        or len(layer.directions) != 1
        # With lengths the last step of a short sequence is padding.
        or layer.lengths
        or value.axes[axis] != "T"
        or not isinstance(index, np.ndarray)
        or index.ndim
        or int(index) != -1
    ):
        raise ModelFileError(f"{operator}: expected the last step of a layer that reads forward")
    return LastStates(value.layers, tuple(a for a in value.axes if a != "T"))


def _output(
    operator: str,
    value: Sequences | LastStates,
    inputs: list[Value],
    attributes: Attributes,
    parts: NetworkParts,
) -> Value:
    """Note the product of the output layer or its bias, and return the outputs so far."""
    arrays = [i for i in inputs if isinstance(i, np.ndarray)]
    if not value.layers or value.axes[-1] != "F" or "D" in value.axes:
        raise ModelFileError(f"{operator}: expected an output layer above the recurrent layers")
    if operator == "Add":
        found = parts.output_layer
        if found is None or found.b_y is not None or value.stage != 1:
            raise ModelFileError("Add: expected the bias of an output layer")
        if len(arrays) != 1 or arrays[0].size != len(found.W_hy):
            raise ModelFileError("Add: expected one constant vector")
        parts.output_layer = found._replace(b_y=arrays[0].reshape(-1))
        return value._replace(stage=2)
    if parts.output_layer is not None:
        raise ModelFileError(f"{operator}: expected one output layer, got two")
    if len(arrays) != len(inputs) - 1 or arrays[0].ndim != 2 or inputs[0] is not value:
        raise ModelFileError(f"{operator}: expected constant weights of two axes")
    W_hy, b_y = arrays[0].T, None
    if operator == "Gemm":
        if integer_attribute(attributes, "transA"):
            raise ModelFileError("Gemm: expected transA=0")
        for name in ("alpha", "beta"):
            if name in attributes and attributes[name].f != 1:
                raise ModelFileError(f"Gemm: expected {name}=1, got {attributes[name].f}")
        if integer_attribute(attributes, "transB"):
            W_hy = arrays[0]
        if len(arrays) > 1:
            b_y = np.broadcast_to(arrays[1].reshape(-1), len(W_hy))
    parts.output_layer = OutputLayer(W_hy, b_y)
    return value._replace(stage=parts.stage)
