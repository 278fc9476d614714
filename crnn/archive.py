"""Files of named arrays with a description: written whole or not at all, and checked when read.

A file is an uncompressed .npz, which `numpy.load` opens too. Its member ``crnn`` holds a
description in JSON with the SHA-256 checksum of every other member. Nothing in a file is executed.

`read` and `write` are for every kind of file in this package. A reader checks the description with
`check_kind` and `check_fields`.

Modules that `import crnn` loads import this one inside their functions: the libraries under it take
longer to import than crnn itself.
"""

import errno
import hashlib
import io
import json
import math
import os
import secrets
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from crnn.errors import ModelFileError

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

__all__ = [
    "MAX_DESCRIPTION_BYTES",
    "Field",
    "Shapes",
    "boolean",
    "check_fields",
    "check_kind",
    "check_regular",
    "kind",
    "list_of",
    "nested",
    "number",
    "one_of",
    "optional",
    "read",
    "remove_leftovers",
    "text",
    "whole_number",
    "write",
    "write_file",
]

DESCRIPTION = "crnn"
# Descriptions take some hundred bytes, and one of a text model some kilobytes.
MAX_DESCRIPTION_BYTES = 1 << 16
# NumPy writes headers of 118 bytes. Python's parser raises a MemoryError for some long ones.
MAX_HEADER_BYTES = 1000
# File systems take names of 255 bytes. In those of temporary files, a longer name than this is
# replaced by its checksum.
LONGEST_STEM = 200
# So many writers of one path at the same time get names that the next writer looks for, if they
# are killed.
WRITERS = 8

Description: TypeAlias = dict[str, Any]
"""A JSON object."""

Shapes: TypeAlias = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
"""The dtype and shape of each array of a file, by name."""


class Field(NamedTuple):
    """What a value of a description has to be.

    Attributes
    ----------
    expected : str
        The words for it in an error: "a whole number of at least 1".
    accepts : callable
        From a value to whether it is right.
    fields : dict of Field, optional
        For a description within a description: the fields of that one.
    """

    expected: str
    accepts: Callable[[Any], bool]
    fields: "dict[str, Field] | None" = None


def whole_number(at_least: int = 0, at_most: int | None = None) -> Field:
    """Return the field of a whole number within limits, bools excluded.

    Parameters
    ----------
    at_least : int
    at_most : int, optional
        Default: no limit.

    Returns
    -------
    Field
    """
    limits = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    return Field(
        f"a whole number {limits}",
        lambda value: (
            type(value) is int and at_least <= value and (at_most is None or value <= at_most)
        ),
    )


def number(at_least: float = -math.inf, below: float = math.inf) -> Field:
    """Return the field of a finite float with at_least <= value < below.

    Parameters
    ----------
    at_least, below : float
        Default: no limit.

    Returns
    -------
    Field
    """
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
    """Return the field of one of some texts.

    Parameters
    ----------
    *choices : str

    Returns
    -------
    Field
    """
    return Field(
        f"one of {', '.join(choices)}", lambda value: type(value) is str and value in choices
    )


def list_of(element: Field) -> Field:
    """Return the field of a list, possibly empty.

    Parameters
    ----------
    element : Field
        What each element has to be; without fields of its own.

    Returns
    -------
    Field
    """
    return Field(
        f"a list, each element {element.expected}",
        lambda value: type(value) is list and all(map(element.accepts, value)),
    )


def nested(fields: dict[str, Field] | None = None) -> Field:
    """Return the field of a description within a description.

    Parameters
    ----------
    fields : dict of Field, optional
        Those of the inner description. Default: it may hold anything.

    Returns
    -------
    Field
    """
    return Field("a description by name", lambda value: type(value) is dict, fields)


def optional(field: Field) -> Field:
    """Return the field that may be null too.

    Parameters
    ----------
    field : Field

    Returns
    -------
    Field
    """
    return field._replace(
        expected=f"{field.expected} or null",
        accepts=lambda value: value is None or field.accepts(value),
    )


def check_fields(description: Description, fields: dict[str, Field], within: str = "") -> None:
    """Check the values of a description.

    Parameters
    ----------
    description : dict
        A value that no field names may be anything.
    fields : dict of Field
        By name. A name that the description lacks counts as null.
    within : str
        What errors put before a name, such as "recipe.".

    Raises
    ------
    ModelFileError
        A value is not what its field says. The error names the first one.
    """
    for name, field in fields.items():
        value = description.get(name)
        if not field.accepts(value):
            raise ModelFileError(f"{within}{name}: expected {field.expected}, got {value!r}")
        if field.fields and value is not None:
            check_fields(value, field.fields, f"{within}{name}.")


def check_kind(description: Description, kind: str, newest: int) -> None:
    """Check what a file is.

    Parameters
    ----------
    description : dict
    kind : str
        What it has to be, such as "network".
    newest : int
        The newest version that the reader knows.

    Raises
    ------
    ModelFileError
        The file is of another kind, or of a version above `newest`.
    """
    found = description.get("format")
    if found != f"crnn {kind}":
        other = "a file of something else"
        if isinstance(found, str) and found.startswith("crnn ") and len(found) < 40:
            other = f"a {found.removeprefix('crnn ')}"
        raise ModelFileError(f"expected a {kind} of crnn, got {other}")
    check_fields(description, {"version": whole_number(1)})
    version = description["version"]
    if version > newest:
        raise ModelFileError(
            f"expected a file of version {newest} at most, got version {version}: "
            "a newer crnn wrote it"
        )


def kind(path: str | os.PathLike[str]) -> str:
    """Return what a file is, such as "network" for a file of `RNN.save`.

    Parameters
    ----------
    path : path-like
        Only the file's description is read.

    Returns
    -------
    str

    Raises
    ------
    ModelFileError
        The file is no file of crnn, or is damaged.
    OSError
        It cannot be opened.
    """
    with _opened(path) as (_, description):
        found = description.get("format")
        if not (isinstance(found, str) and found.startswith("crnn ")):
            raise ModelFileError("expected a file of crnn, got a file of something else")
        return found.removeprefix("crnn ")


def read(
    path: str | os.PathLike[str], expected: Callable[[Description], Shapes]
) -> tuple[Description, dict[str, npt.NDArray[Any]]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like
    expected : callable
        From the description to the dtypes and shapes of the arrays. It raises a ModelFileError if
        the description is wrong. No array is read, and no memory allocated for it, before its size
        has been checked.

    Returns
    -------
    description : dict
    arrays : dict of array
        By name.

    Raises
    ------
    ModelFileError
        The file is no such file, or is damaged.
    OSError
        It cannot be opened.
    """
    with _opened(path) as (archive, description):
        shapes = expected(description)
        members, names = archive.namelist(), [DESCRIPTION, *shapes]
        if set(members) != {f"{name}.npy" for name in names}:
            raise ModelFileError(
                f"expected the arrays {', '.join(shapes)}, got {', '.join(members)}"
            )
        stored = {}
        for name, (dtype, shape) in shapes.items():
            stored[name] = _array(archive.read(f"{name}.npy"), dtype, shape)
        checksums = {name: description["sha256"].get(name) for name in shapes}
    # Here, because OpenSSL raises a ValueError where it lacks memory: that is no damage.
    for name, array in stored.items():
        if _checksum(array) != checksums[name]:
            raise ModelFileError(
                f"{os.fspath(path)}: {name}: expected the numbers that were saved, got others"
            )
    arrays = {name: stored[name].astype(dtype, copy=False) for name, (dtype, _) in shapes.items()}
    return description, arrays


def write(
    path: str | os.PathLike[str], description: Description, arrays: dict[str, npt.NDArray[Any]]
) -> None:
    """Write a file of named arrays, whole or not at all.

    Parameters
    ----------
    path : path-like
        An existing file is replaced. It stays as it is if anything fails.
    description : dict
        What JSON can hold. "format" has to be "crnn " and the kind, "version" a whole number.
    arrays : dict of array
        By names other than "crnn".

    Raises
    ------
    ValueError
        The description is too long for a file that `read` accepts.
    TypeError
        JSON cannot hold the description.
    OSError
        The file cannot be written.
    """
    # Little-endian on every processor, so that a file means the same on all of them
    stored = {
        name: array.astype(array.dtype.newbyteorder("<"), copy=False)
        for name, array in arrays.items()
    }
    checksums = {name: _checksum(array) for name, array in stored.items()}
    encoded = json.dumps(description | {"sha256": checksums}).encode()
    if len(encoded) > MAX_DESCRIPTION_BYTES:
        raise ValueError(
            f"description: expected at most {MAX_DESCRIPTION_BYTES} bytes, got {len(encoded)}"
        )
    members: dict[str, Any] = {DESCRIPTION: np.frombuffer(encoded, np.uint8)} | stored
    # In memory first: on a file that cannot seek, `zipfile` would write other bytes.
    content = io.BytesIO()
    try:
        np.savez(content, **members)
    except ValueError as error:
        # Where memory lacked, `zipfile` cannot close the archive.
        _raise_error_of_system(error)
        raise
    write_file(path, lambda file: file.write(content.getbuffer()))


def check_regular(path: str | os.PathLike[str]) -> None:
    """Check that a path is not that of a device or a pipe, which may never end, or never begin.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    OSError
        It is one, or there is nothing.
    """
    target = str(Path(path))
    _check_mode(os.stat(target).st_mode, target)


def _check_mode(mode: int, target: str) -> None:
    """Raise an OSError if the mode of a path is that of a device or a pipe."""
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "expected a path for a file, got a device or a pipe", target)


def write_file(path: str | os.PathLike[str], fill: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file beside the path, then rename it, so that no partial file remains.

    The temporary files of writers that were killed are removed. Several processes and threads may
    write to one path at the same time: the file of the last one remains, whole.

    Parameters
    ----------
    path : path-like
        An existing file is replaced. It stays as it is if anything is raised.
    fill : callable
        Writes the content into an open file.

    Raises
    ------
    OSError
        The file cannot be written, or the path is one of a device or a pipe.
    """
    # A text: with a path, functions of `os` raise a TypeError where memory lacks.
    target = str(Path(path))
    try:
        mode = os.stat(target).st_mode
    except OSError:
        mode = stat.S_IFREG | 0o666
    # Renaming would replace a device: /dev/null, for one who may do that.
    _check_mode(mode, target)
    remove_leftovers(target)
    temporary, folder, file = "", -1, -1
    try:
        folder = _open_folder(os.path.dirname(target) or os.curdir)
        # Whoever may not read the old file may not read the new one.
        temporary, file = _create_temporary(target, mode & 0o777 | 0o600)
        with open(file, "wb", closefd=False) as content:
            fill(content)
            content.flush()
            os.fsync(file)
        if fcntl is None:
            # Windows renames no open file. Elsewhere it stays open, because that keeps its lock.
            os.close(file)
            file = -1
        # Behind this nothing is raised, not for lack of memory either: the file is the new one.
        os.replace(temporary, target)
    except BaseException:
        _close(file)
        _close(folder)
        if temporary:
            # The error to be raised is the one that came first.
            with suppress(OSError):
                os.unlink(temporary)
        raise
    try:  # noqa: SIM105 (`suppress` takes memory)
        # Some file systems cannot sync a folder. Where it fails, a crash of the system may leave
        # the old file, whole.
        os.fsync(folder)
    except OSError:
        pass
    _close(file)
    _close(folder)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove the temporary files of writers that were killed.

    Those of writers at work are locked, on Windows by being open. On a file system without locks
    nothing is removed.

    Parameters
    ----------
    path : path-like
        Where the file itself is or would be.
    """
    target = str(Path(path))
    for number in range(WRITERS):
        leftover = _temporary_path(target, number)
        try:
            descriptor = os.open(leftover, os.O_RDWR)
        except OSError:
            continue
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, leftover):
                    os.unlink(leftover)
        except OSError:
            pass
        finally:
            _close(descriptor)
        if fcntl is None:
            with suppress(OSError):
                os.unlink(leftover)


def _temporary_path(target: str, number: int | str) -> str:
    folder, name = os.path.split(target)
    encoded = os.fsencode(name)
    if len(encoded) > LONGEST_STEM:
        name = hashlib.sha256(encoded).hexdigest()
    return os.path.join(folder, f"{name}.crnn-{number}.tmp")


def _create_temporary(target: str, mode: int) -> tuple[str, int]:
    """Create a file that no other writer uses; return its path and its descriptor, locked.

    The system's umask takes permissions off `mode`.
    """
    # The last one is for a file system without locks, where leftovers keep their numbers.
    for number in (*range(WRITERS), secrets.token_hex(4)):
        temporary = _temporary_path(target, number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(temporary, flags, mode)
        except FileExistsError:
            continue
        try:
            if fcntl is None or _is_locked(descriptor, temporary):
                return temporary, descriptor
        except BaseException:
            _close(descriptor)
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _close(descriptor)
    raise FileExistsError(errno.EEXIST, "expected a free name for a temporary file", target)


def _is_locked(descriptor: int, path: str) -> bool:
    """Lock a new file; False if `remove_leftovers` of another writer has taken it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks, where nobody removes leftovers
        return True
    return _is_at(descriptor, path)


def _is_at(descriptor: int, path: str) -> bool:
    """Whether an open file is the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _open_folder(folder: str) -> int:
    """Return a descriptor to sync a folder with, -1 where the system offers none."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (AttributeError, PermissionError):
        # Windows; and a folder that may be written to but not read
        return -1


def _close(descriptor: int) -> None:
    """Close a descriptor, unless it is -1. What was written to it has been synced, or is lost."""
    try:
        if descriptor >= 0:
            os.close(descriptor)
    except OSError:
        pass


@contextmanager
def _opened(
    path: str | os.PathLike[str],
) -> Iterator[tuple[zipfile.ZipFile, Description]]:
    """Open a file and read its description; every error but those of the system names the path."""
    check_regular(path)
    with open(str(Path(path)), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive, _description(archive, size)
        except ModelFileError as error:
            raise ModelFileError(f"{os.fspath(path)}: {error}") from error.__cause__
        except (MemoryError, SystemError):
            # NumPy and Python raise a SystemError where some allocations fail.
            raise
        except Exception as error:
            if type(error) is RuntimeError:
                # Python's, where it lacks memory for a lock
                raise
            _raise_error_of_system(error)
            # A damaged archive raises whatever its bytes lead to.
            raise ModelFileError(
                f"{os.fspath(path)}: expected a file of crnn, got one that is damaged or no such "
                f"file ({type(error).__name__}: {error})"
            ) from error


def _raise_error_of_system(error: BaseException | None) -> None:
    """Raise the error of the system that led to this one, if there is one.

    `zipfile` takes some of them for damage. Damage can lead to a seek out of the file: EINVAL.
    """
    while error is not None:
        of_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
        if of_system or isinstance(error, MemoryError):
            raise error
        error = error.__context__


def _description(archive: zipfile.ZipFile, size: int) -> Description:
    """Return the description of an archive in a file of `size` bytes, its members checked."""
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()) or f"{DESCRIPTION}.npy" not in members:
        raise ModelFileError("expected a file of crnn, got an archive of something else")
    for info in members.values():
        is_encrypted = info.flag_bits & 1
        # The size to be read is asked for as memory, whatever the size of what comes out.
        is_stored = info.compress_type == zipfile.ZIP_STORED
        if not is_stored or info.compress_size != info.file_size or is_encrypted:
            raise ModelFileError(f"expected uncompressed members, got {info.filename} otherwise")
    # Reading uncompressed members that lie side by side allocates no more than the file's size.
    total = sum(info.file_size for info in members.values())
    if total > size:
        raise ModelFileError(f"expected members of {size} bytes at most in all, got {total}")
    # NumPy puts a header of 128 bytes before it.
    if members[f"{DESCRIPTION}.npy"].file_size > MAX_DESCRIPTION_BYTES + 128:
        raise ModelFileError("expected a short description, got one of many bytes")
    encoded = _array(archive.read(f"{DESCRIPTION}.npy"), np.dtype(np.uint8), None)
    description = json.loads(encoded.tobytes())
    if not isinstance(description, dict):
        raise ModelFileError("expected a file of crnn, got a file of something else")
    return description


def _array(member: bytes, dtype: np.dtype[Any], shape: tuple[int, ...] | None) -> npt.NDArray[Any]:
    """Return the array of a member, which has to be of that dtype and shape (None: a vector).

    It is little-endian.
    """
    file = io.BytesIO(member)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ModelFileError(f"expected arrays in NumPy's format 1.0, got {version}")
    got_shape, fortran_order, got_dtype = np.lib.format.read_array_header_1_0(
        file, max_header_size=MAX_HEADER_BYTES
    )
    if shape is None:
        shape = ((len(member) - file.tell()) // dtype.itemsize,)
    stored = dtype.newbyteorder("<")
    if (got_shape, got_dtype, fortran_order) != (shape, stored, False):
        if got_dtype == got_dtype.newbyteorder("<"):
            got_dtype = got_dtype.newbyteorder("=")  # its name has no order, as that of dtype
        raise ModelFileError(f"expected {dtype} {shape}, got {got_dtype} {got_shape}")
    return np.frombuffer(member, stored, offset=file.tell()).reshape(shape).copy()


def _checksum(array: npt.NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()
