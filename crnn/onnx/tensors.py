"""Arrays and attributes of an ONNX model, read without trusting it."""

import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper

from crnn import ModelFileError

# As many as arrays of NumPy have
MOST_AXES = 64

# By the types of tensors that are read: the dtype, and the field that holds numbers not in raw_data
FORMATS: dict[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype("<f4"), "float_data"),
    TensorProto.DOUBLE: (np.dtype("<f8"), "double_data"),
    TensorProto.FLOAT16: (np.dtype("<f2"), "int32_data"),
    TensorProto.INT64: (np.dtype("<i8"), "int64_data"),
    TensorProto.INT32: (np.dtype("<i4"), "int32_data"),
    TensorProto.INT16: (np.dtype("<i2"), "int32_data"),
    TensorProto.INT8: (np.dtype("<i1"), "int32_data"),
    TensorProto.UINT64: (np.dtype("<u8"), "uint64_data"),
    TensorProto.UINT32: (np.dtype("<u4"), "uint64_data"),
    TensorProto.UINT16: (np.dtype("<u2"), "int32_data"),
    TensorProto.UINT8: (np.dtype("<u1"), "int32_data"),
    TensorProto.BOOL: (np.dtype("?"), "int32_data"),
}


class Unread(NamedTuple):
    """A tensor that is not read, such as texts: refused where it is needed."""

    reason: str


def array_of(tensor: TensorProto, folder: "Folder") -> npt.NDArray[Any] | Unread:
    """Return the numbers of a tensor, whose size is checked before memory is taken for it."""
    name = tensor.name or "a constant"
    if tensor.data_type not in FORMATS:
        return Unread(f"{name}: expected numbers, got a tensor of type {type_name(tensor)}")
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
    values: Any = tensor.raw_data or getattr(tensor, field)
    is_raw = bool(tensor.raw_data)
    if tensor.data_location == TensorProto.EXTERNAL:
        values, is_raw = folder.content(name, tensor, count * dtype.itemsize), True
    has = len(values) // dtype.itemsize if is_raw else len(values)
    if has != count or (is_raw and len(values) % dtype.itemsize):
        raise ModelFileError(f"{name}: expected {count} numbers of shape {shape}, got {has}")
    if is_raw:
        flat = np.frombuffer(values, dtype, count)
    elif tensor.data_type == TensorProto.FLOAT16:
        # Its bits, as whole numbers
        flat = np.fromiter(values, np.dtype("<u2"), count).view(dtype)
    else:
        # Not by `np.array`, which makes a list of them first
        flat = np.fromiter(values, dtype, count)
    array: npt.NDArray[Any] = flat.reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    return array


def type_name(tensor: TensorProto) -> str:
    """Return what the format calls the type of a tensor."""
    names = TensorProto.DataType
    known = tensor.data_type in names.values()
    return names.Name(tensor.data_type) if known else str(tensor.data_type)


class Folder:
    """Files beside a model, which hold numbers of its tensors.

    Parameters
    ----------
    path : str or None
        The model's folder; None for a model that is in no file.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._unread: dict[str, int] = {}

    def content(self, name: str, tensor: TensorProto, size: int) -> bytes:
        """Return so many bytes of a tensor, from a regular file within the folder."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if self._path is None:
            raise ModelFileError(
                f"{name}: expected numbers in the model, got some in {location!r}: "
                "load the model from its file"
            )
        path = self._inside(name, location)
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", size))
        except ValueError:
            raise ModelFileError(f"{name}: expected an offset and a length in bytes") from None
        if length != size or offset < 0:
            raise ModelFileError(f"{name}: expected {size} bytes in {location!r}, got {length}")
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size
            if offset + size > there:
                raise ModelFileError(
                    f"{name}: expected {offset + size} bytes in {location!r}, got {there}"
                )
            # Tensors that share bytes would take many times the file's size.
            left = self._unread.setdefault(location, there)
            if size > left:
                raise ModelFileError(f"{name}: expected bytes of its own in {location!r}")
            self._unread[location] = left - size
            file.seek(offset)
            return file.read(size)

    def _inside(self, name: str, location: str) -> Path:
        """Return the path of a regular file in the folder or below it; links are not followed."""
        refused = ModelFileError(f"{name}: expected a file in the model's folder, got {location!r}")
        steps = location.replace("\\", "/").split("/")
        if "\0" in location or ":" in location or {"", ".."} & set(steps):
            raise refused
        path = Path(self._path or ".")
        try:
            for number, step in enumerate(steps, 1):
                path /= step
                mode = path.lstat().st_mode
                is_right = stat.S_ISREG if number == len(steps) else stat.S_ISDIR
                if not is_right(mode):
                    raise refused
        except OSError as error:
            raise ModelFileError(
                f"{name}: expected the file {location!r} beside the model, got none"
            ) from error
        return path


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of an attribute, or its default."""
    for entry in node.attribute:
        if entry.name == name:
            value = helper.get_attribute_value(entry)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return default


def whole(node: NodeProto, name: str, default: int = 0) -> int:
    """Return an attribute that is a whole number, or its default."""
    value = attribute(node, name, default)
    if not isinstance(value, int):
        raise ModelFileError(f"{label(node)}: expected a whole number {name}")
    return value


def label(node: NodeProto) -> str:
    """Return how messages name a node: by its name, or else by what it makes."""
    made = next((name for name in node.output if name), "")
    name = f" {node.name!r}" if node.name else f" of {made!r}" if made else ""
    return f"{node.op_type}{name}"
