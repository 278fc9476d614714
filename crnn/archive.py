"""Files of named arrays that can be trusted: written whole or not at all, and checked when read.

A file is an uncompressed .npz, so `numpy.load` opens it too. Its first member holds a description
in JSON, with the SHA-256 of every other member's data; nothing in it is ever executed.

Import this module where it is used: the libraries under it take longer to import than crnn itself.
"""

import hashlib
import io
import json
import math
import os
import re
import secrets
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from crnn.checks import Array
from crnn.errors import ModelFileError

DESCRIPTION = "crnn"
# A description is some hundred bytes; what claims more is no file of ours.
MOST_DESCRIPTION_BYTES = 1 << 16

Shapes = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
"""The dtype and shape of each array of a file, by name."""


class Field(NamedTuple):
    """What a value of a description has to be."""

    expected: str
    """The words for it, as in "expected a whole number"."""
    accepts: Callable[[Any], bool]


def whole_number(at_least: int = 0, at_most: int | None = None) -> Field:
    """Return the field of a whole number within limits."""
    limits = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    return Field(
        f"a whole number {limits}",
        lambda value: (
            type(value) is int and value >= at_least and (at_most is None or value <= at_most)
        ),
    )


def number(at_least: float = -math.inf, below: float = math.inf) -> Field:
    """Return the field of a finite float, at_least <= value < below."""
    limits = "" if at_least == -math.inf else f" of at least {at_least:g}"
    limits += "" if below == math.inf else f" below {below:g}"
    return Field(
        f"a finite number{limits}",
        lambda value: type(value) is float and math.isfinite(value) and at_least <= value < below,
    )


def boolean() -> Field:
    """Return the field of true or false."""
    return Field("true or false", lambda value: type(value) is bool)


def text() -> Field:
    """Return the field of a text."""
    return Field("a text", lambda value: type(value) is str)


def one_of(*choices: str) -> Field:
    """Return the field of one of some texts."""
    return Field(
        f"one of {', '.join(choices)}", lambda value: type(value) is str and value in choices
    )


def nested() -> Field:
    """Return the field of a description within a description."""
    return Field("a description by name", lambda value: type(value) is dict)


def optional(field: Field) -> Field:
    """Return the field that may be null too."""
    return Field(
        f"{field.expected} or null", lambda value: value is None or field.accepts(value)
    )


def kind(path: str | os.PathLike[str]) -> str:
    """Return what a file is: "network" for one of `RNN.save`, or another of this package's kinds.

    Parameters
    ----------
    path : path-like
        What is in it is not checked.

    Raises
    ------
    ModelFileError
        The file is no file of crnn, or is damaged.
    OSError
        It cannot be opened.
    """
    found = []

    def look(description: Any) -> Shapes:
        if isinstance(description, dict):
            found.append(str(description.get("format")))
        raise ModelFileError("expected a file of crnn, got a file of something else")

    try:
        read(path, look)
    except ModelFileError:
        if not found or not found[0].startswith("crnn "):
            raise
    return found[0].removeprefix("crnn ")


def write(
    path: str | os.PathLike[str], description: dict[str, Any], arrays: dict[str, Array]
) -> None:
    """Write a file of named arrays, whole or not at all.

    Parameters
    ----------
    path : path-like
        An existing file is replaced, and stays as it is if anything fails.
    description : dict
        Of what JSON can hold.
    arrays : dict
        By names that are not "crnn".
    """
    checksums = {name: _checksum(array) for name, array in arrays.items()}
    text = json.dumps(description | {"sha256": checksums}).encode()
    members: dict[str, Any] = {DESCRIPTION: np.frombuffer(text, np.uint8)} | arrays
    write_file(path, lambda file: np.savez(file, **members))


def write_file(path: str | os.PathLike[str], fill: Callable[[BinaryIO], Any]) -> None:
    """Write a file beside the place where it belongs, then move it there in one go.

    Parameters
    ----------
    path : path-like
        An existing file is replaced, and stays as it is if anything fails.
    fill : function
        Writes into an open file.
    """
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _settle(target.parent)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what writes of this file left half done when their process was killed.

    No other process may be writing it.
    """
    target = Path(path)
    names = re.compile(re.escape(target.name) + r"\.[0-9a-f]{8}\.tmp")
    for leftover in target.absolute().parent.iterdir():
        if names.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)


def read(
    path: str | os.PathLike[str], expected: Callable[[dict[str, Any]], Shapes]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like
    expected : function
        From the description to dtypes and shapes of the arrays; it raises what is wrong with the
        description. No array is read, or room made for it, before its size is found right.

    Raises
    ------
    ModelFileError
        The file is no such file, or is damaged.
    OSError
        It cannot be opened.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, size, expected)
        except ModelFileError as error:
            raise ModelFileError(f"{os.fspath(path)}: {error}") from error.__cause__
        except MemoryError:
            raise
        except Exception as error:
            # A damaged archive raises whatever its bytes lead to.
            raise ModelFileError(
                f"{os.fspath(path)}: expected a file of crnn, got one that is damaged or no such "
                f"file ({type(error).__name__}: {error})"
            ) from error


def check_kind(description: Any, kind: str, newest: int) -> None:
    """Raise a ModelFileError unless a file is of this kind and of a version up to `newest`."""
    found = description.get("format") if isinstance(description, dict) else None
    if found != f"crnn {kind}":
        other = "a file of something else"
        if isinstance(found, str) and found.startswith("crnn ") and len(found) < 40:
            other = f"a {found[5:]}"
        raise ModelFileError(f"expected a {kind} of crnn, got {other}")
    version = description.get("version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"version: expected a whole number of at least 1, got {version!r}")
    if version > newest:
        raise ModelFileError(
            f"expected a file of version {newest} at most, got version {version}: "
            "a newer crnn wrote it"
        )


def check_fields(description: dict[str, Any], fields: dict[str, Field]) -> None:
    """Raise a ModelFileError that names the first value that is not what its field says.

    Parameters
    ----------
    description : dict
        Values that no field names may be anything.
    fields : dict of Field
        By name. A name that the description lacks counts as null.
    """
    for name, field in fields.items():
        value = description.get(name)
        if not field.accepts(value):
            raise ModelFileError(f"{name}: expected {field.expected}, got {value!r}")


def _read(
    archive: zipfile.ZipFile, size: int, expected: Callable[[dict[str, Any]], Shapes]
) -> tuple[dict[str, Any], dict[str, Array]]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()) or f"{DESCRIPTION}.npy" not in members:
        raise ModelFileError("expected a file of crnn, got an archive of something else")
    for info in members.values():
        # Nothing is larger than the file that it is in: there is no room for a bomb.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise ModelFileError(f"expected uncompressed members, got {info.filename} otherwise")
    if members[f"{DESCRIPTION}.npy"].file_size > MOST_DESCRIPTION_BYTES:
        raise ModelFileError("expected a short description, got one of many bytes")
    text = _array(archive.read(f"{DESCRIPTION}.npy"), np.dtype(np.uint8), None)
    description = json.loads(text.tobytes())
    shapes = expected(description)
    if set(members) != {f"{name}.npy" for name in (DESCRIPTION, *shapes)}:
        raise ModelFileError(f"expected the arrays {', '.join(shapes)}, got {', '.join(members)}")
    arrays = {}
    for name, (dtype, shape) in shapes.items():
        arrays[name] = _array(archive.read(f"{name}.npy"), dtype, shape)
        if _checksum(arrays[name]) != description["sha256"][name]:
            raise ModelFileError(f"{name}: expected the numbers that were saved, got others")
    return description, arrays


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...] | None) -> Array:
    """Return the array of a member, which has to be of that dtype and shape (None: a vector)."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ModelFileError(f"expected arrays in NumPy's format 1.0, got {version}")
    got_shape, fortran_order, got_dtype = np.lib.format.read_array_header_1_0(file)
    content = data[file.tell() :]
    if shape is None:
        shape = (len(content) // dtype.itemsize,)
    if (got_shape, got_dtype, fortran_order) != (shape, dtype, False):
        raise ModelFileError(f"expected {dtype} {shape}, got {got_dtype} {got_shape}")
    return np.frombuffer(content, dtype).reshape(shape).copy()


def _checksum(array: Array) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _settle(folder: Path) -> None:
    """Have the system write down that the file has moved, where it offers that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
