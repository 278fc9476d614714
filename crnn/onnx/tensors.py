"""Arrays and attributes of an ONNX model, read without trusting it."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, NodeProto, TensorProto

from crnn import ModelFileError

# As many as arrays of NumPy have
MOST_AXES = 64

Attributes: TypeAlias = Mapping[str, AttributeProto]

# By the types of tensors that are read: the dtype, and the field that holds numbers not in raw_data
FORMATS: dict[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype("<f4"), "float_data"),
    TensorProto.DOUBLE: (np.dtype("<f8"), "double_data"),
    TensorProto.INT64: (np.dtype("<i8"), "int64_data"),
    TensorProto.INT32: (np.dtype("<i4"), "int32_data"),
}


def array_of(tensor: TensorProto) -> npt.NDArray[Any]:
    """Return the numbers of a tensor, whose size is checked before memory is taken for it."""
    name = tensor.name or "a constant"
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelFileError(f"{name}: expected numbers in the model, got some in another file")
    dtype, field = FORMATS[tensor.data_type]
    if len(tensor.dims) > MOST_AXES:
        raise ModelFileError(f"{name}: expected at most {MOST_AXES} axes, got {len(tensor.dims)}")
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise ModelFileError(f"{name}: expected a shape, got {shape}")
    # Not NumPy's product, which could overflow
    count = 1
    for size in shape:
        count *= size
    values = tensor.raw_data or getattr(tensor, field)
    has = len(values) // dtype.itemsize if tensor.raw_data else len(values)
    if has != count or (tensor.raw_data and len(values) % dtype.itemsize):
        raise ModelFileError(f"{name}: expected {count} numbers of shape {shape}, got {has}")
    # Single numbers not by `np.array`, which makes a list of them first
    convert = np.frombuffer if tensor.raw_data else np.fromiter
    flat = convert(values, dtype, count)
    array: npt.NDArray[Any] = flat.reshape(shape).astype(dtype.newbyteorder("="))
    return array


def is_long_list(tensor: TensorProto) -> bool:
    """Whether a tensor holds more whole numbers than shapes and axes have."""
    return tensor.data_type in (TensorProto.INT32, TensorProto.INT64) and (
        max(len(tensor.int64_data), len(tensor.int32_data), len(tensor.raw_data) // 8) > 1000
    )


def attributes_of(node: NodeProto) -> Attributes:
    """Return the attributes of a node by name."""
    return {attribute.name: attribute for attribute in node.attribute}


def integer_attribute(attributes: Attributes, name: str, default: int = 0) -> int:
    """Return an attribute that is a whole number, or its default."""
    return int(attributes[name].i) if name in attributes else default


def text_attribute(attributes: Attributes, name: str, default: str) -> str:
    """Return an attribute that is a text, or its default."""
    return attributes[name].s.decode("utf-8", "replace") if name in attributes else default


def texts_attribute(attributes: Attributes, name: str) -> list[str] | None:
    """Return an attribute that is a list of texts, or None without it."""
    if name not in attributes:
        return None
    return [text.decode("utf-8", "replace") for text in attributes[name].strings]


def axes_of(inputs: list[Any], attributes: Attributes) -> list[int] | None:
    """Return the axes that a Squeeze or Unsqueeze names, by its second input or an attribute.

    None where it names none or more than arrays have, or other nodes compute them.
    """
    if len(inputs) > 1:
        axes = inputs[1]
        is_list = isinstance(axes, np.ndarray) and axes.ndim == 1 and len(axes) <= MOST_AXES
        return [int(axis) for axis in axes] if is_list else None
    has_axes = "axes" in attributes and len(attributes["axes"].ints) <= MOST_AXES
    return list(attributes["axes"].ints) if has_axes else None
