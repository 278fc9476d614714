"""Files of named arrays: what is written comes back, and nothing else is read without notice."""

import errno
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damaged_files import mutations, npy, rewritten

import crnn
from crnn import archive

DESCRIPTION = {"format": "crnn thing", "version": 1, "size": 5}


def arrays_of(seed=0):
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=60).astype(np.float32), "b": rng.normal(size=(2, 3))}


def shapes(description):
    archive.check_kind(description, "thing", 1)
    return {"a": (np.dtype(np.float32), (60,)), "b": (np.dtype(np.float64), (2, 3))}


@pytest.fixture
def content(tmp_path):
    """The bytes of a good file."""
    archive.write(tmp_path / "good.npz", DESCRIPTION, arrays_of())
    return (tmp_path / "good.npz").read_bytes()


def is_whole(description, arrays):
    """Whether these are what `content` was written from."""
    return {name: description[name] for name in DESCRIPTION} == DESCRIPTION and all(
        arrays[name].tobytes() == array.tobytes() for name, array in arrays_of().items()
    )


def refused(tmp_path, data, match="expected"):
    path = tmp_path / "bad.npz"
    path.write_bytes(data)
    with pytest.raises(crnn.ModelFileError, match=match) as caught:
        archive.read(path, shapes)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message


def test_what_is_written_comes_back(tmp_path):
    archive.write(tmp_path / "thing", DESCRIPTION, arrays_of())
    description, arrays = archive.read(str(tmp_path / "thing"), shapes)
    assert is_whole(description, arrays)
    assert all(array.flags.writeable for array in arrays.values())
    assert archive.kind(tmp_path / "thing") == "thing"
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_numpy_opens_it_too(tmp_path, content):
    with np.load(io.BytesIO(content)) as members:
        assert np.array_equal(members["b"], arrays_of()["b"])
        assert json.loads(members["crnn"].tobytes())["size"] == 5


def test_files_are_little_endian_on_every_processor(tmp_path):
    values = arrays_of()
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in values.items()}
    archive.write(tmp_path / "a.npz", DESCRIPTION, swapped)
    assert is_whole(*archive.read(tmp_path / "a.npz", shapes))
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert b"'<f4'" in file.read("a.npy")[:128]


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, content, monkeypatch):
    path = tmp_path / "good.npz"

    def fail(*_):
        raise OSError("disk full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="disk full"):
                archive.write(path, DESCRIPTION, arrays_of(1))
        assert path.read_bytes() == content
        assert [file.name for file in tmp_path.iterdir()] == ["good.npz"]
    archive.write(path, DESCRIPTION, arrays_of(1))
    assert np.array_equal(archive.read(path, shapes)[1]["b"], arrays_of(1)["b"])


class FailingOS:
    """The module `os`, one call of which fails or, instead of it, ends the writer."""

    def __init__(self, number, error):
        self.number, self.error, self.calls = number, error, []

    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in ("open", "fstat", "stat", "fsync", "close", "replace", "unlink"):
            return function

        def call(*args):
            self.calls.append(name)
            if len(self.calls) == self.number or (len(self.calls) > self.number and self.is_kill):
                if name == "close":
                    # Whatever it reports
                    os.close(*args)
                raise self.error
            return function(*args)

        return call

    @property
    def is_kill(self):
        return isinstance(self.error, KilledError)


class KilledError(BaseException):
    """In place of a kill: no call after it does anything."""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KilledError()])
def test_every_call_of_the_system_fails_in_turn(tmp_path, content, monkeypatch, error):
    path = tmp_path / "good.npz"
    archive.write(path, DESCRIPTION, arrays_of(1))
    new, number, failed = path.read_bytes(), 0, []
    while len(failed) == number:
        number += 1
        path.write_bytes(content)
        is_raised = False
        with monkeypatch.context() as patch:
            patch.setattr(archive, "os", system := FailingOS(number, error))
            try:
                archive.write(path, DESCRIPTION, arrays_of(1))
            except type(error):
                is_raised = True
        failed += system.calls[number - 1 : number]
        found = path.read_bytes()
        if system.is_kill:
            assert found in (content, new)
        else:
            assert found == (content if is_raised else new)
            assert [file.name for file in tmp_path.iterdir()] == ["good.npz"]
        archive.write(path, DESCRIPTION, arrays_of(1))
        assert path.read_bytes() == new
        assert [file.name for file in tmp_path.iterdir()] == ["good.npz"]
    assert {"open", "fsync", "close", "replace"} <= set(failed)


def test_a_folder_that_cannot_be_synced(tmp_path, content, monkeypatch):
    """The file is the new one by then, so nothing is raised."""
    path, fsync = tmp_path / "good.npz", os.fsync
    synced = []

    def fail_for_folders(descriptor):
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.EINVAL, "no such operation")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    archive.write(path, DESCRIPTION, arrays_of(1))
    assert len(synced) == 2
    assert np.array_equal(archive.read(path, shapes)[1]["b"], arrays_of(1)["b"])


def test_leftovers_of_killed_writers_are_removed(tmp_path, content):
    others = ["other.npz.crnn-0.tmp", "good.npz.tmp", "good.npz.crnn-z.tmp"]
    for name in ("good.npz.crnn-0.tmp", "good.npz.crnn-3.tmp", *others):
        (tmp_path / name).touch()
    archive.remove_leftovers(tmp_path / "good.npz")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*others, "good.npz"])
    (tmp_path / "good.npz.crnn-7.tmp").touch()
    archive.write(tmp_path / "good.npz", DESCRIPTION, arrays_of())
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*others, "good.npz"])


def test_a_long_name(tmp_path, content):
    """As long as file systems take; what killed writers have left is found."""
    path = tmp_path / ("ö" * 125 + ".npz")
    Path(archive._temporary_path(str(path), 0)).touch()
    archive.write(path, DESCRIPTION, arrays_of())
    assert {file.name for file in tmp_path.iterdir()} == {"good.npz", path.name}
    assert path.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="the permissions of POSIX")
def test_nobody_gets_permissions_by_a_new_file(tmp_path):
    path = tmp_path / "private.npz"
    before = os.umask(0o022)
    try:
        modes = []
        for mode in (None, 0o600, 0o444, 0o660):
            if mode is not None:
                path.chmod(mode)
            archive.write(path, DESCRIPTION, arrays_of())
            modes.append(path.stat().st_mode & 0o777)
    finally:
        os.umask(before)
    assert modes == [0o644, 0o600, 0o644, 0o640]


def test_writers_at_the_same_time(tmp_path):
    """Each has a file of its own, which no other takes for that of a killed one."""
    path = tmp_path / "thing"

    def write(depth):
        def fill(file):
            if depth < 12:
                write(depth + 1)
            file.write(b"%d" % depth)

        archive.write_file(path, fill)
        assert path.read_bytes() == b"%d" % depth

    write(0)
    assert [file.name for file in tmp_path.iterdir()] == ["thing"]


def test_a_file_system_without_locks(tmp_path, content, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="the system has no such locks")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "good.npz"
    left = [f"good.npz.crnn-{number}.tmp" for number in range(archive.WRITERS)]
    for name in left:
        (tmp_path / name).touch()
    archive.write(path, DESCRIPTION, arrays_of(1))
    assert np.array_equal(archive.read(path, shapes)[1]["b"], arrays_of(1)["b"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["good.npz", *left]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_replaced(tmp_path):
    """Nor is /dev/null, for one who may replace it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="expected a path for a file, got a device or a pipe"):
        archive.write(pipe, DESCRIPTION, arrays_of())
    assert [file.is_fifo() for file in tmp_path.iterdir()] == [True]


def test_errors_of_the_system_are_raised_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        archive.write(tmp_path / "missing" / "thing.npz", DESCRIPTION, arrays_of())
    for use in (archive.kind, lambda path: archive.read(path, shapes)):
        with pytest.raises(FileNotFoundError):
            use(tmp_path / "thing.npz")
        with pytest.raises(IsADirectoryError):
            use(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK", b"hello, this is a text\n" * 50, npy(np.arange(3)),
        np.random.default_rng(0).bytes(5000),
    ],
    ids=["empty", "two bytes", "text", "npy", "noise"],
)  # fmt: skip
def test_files_of_something_else(tmp_path, data):
    refused(tmp_path, data, "no such file")
    with pytest.raises(crnn.ModelFileError, match=r"bad\.npz: .* no such file"):
        archive.kind(tmp_path / "bad.npz")


def test_archives_of_something_else(tmp_path):
    out = io.BytesIO()
    np.savez(out, parameters=np.arange(3))
    refused(tmp_path, out.getvalue(), "an archive of something else")


CHANGES = {
    "newer": ({"version": 2}, "version 1 at most, got version 2: a newer crnn wrote it"),
    "no version": ({"version": "1"}, "version: expected a whole number of at least 1, got '1'"),
    "other kind": ({"format": "crnn net"}, "expected a thing of crnn, got a net"),
    "format": ({"format": "other"}, "expected a thing of crnn, got a file of something else"),
    "no format": ({"format": None}, "expected a thing of crnn, got a file of something else"),
    "checksum": ({"sha256": {"a": "0" * 64}}, "a: expected the numbers that were saved, got"),
    "no checksum": ({"sha256": {}}, "a: expected the numbers that were saved, got"),
    "no checksums": ({"sha256": []}, "damaged"),
    "long": ({"comment": "x" * (1 << 17)}, "expected a short description"),
}


@pytest.mark.parametrize(("changes", "match"), CHANGES.values(), ids=CHANGES)
def test_descriptions_that_are_wrong(tmp_path, content, changes, match):
    refused(tmp_path, rewritten(content, **changes), match)


def test_a_file_packed_anew_is_read(tmp_path, content):
    """The changes are what makes the tests around this one fail."""
    (tmp_path / "again.npz").write_bytes(rewritten(content))
    assert is_whole(*archive.read(tmp_path / "again.npz", shapes))


def test_a_description_that_is_no_description(tmp_path, content):
    member = npy(np.frombuffer(b"[1, 2]", np.uint8))
    refused(
        tmp_path,
        rewritten(content, drop=["crnn.npy"], add=[("crnn.npy", member)]),
        "expected a file of crnn, got a file of something else",
    )


def test_members_that_are_wrong(tmp_path, content):
    drop = {"drop": ["a.npy"]}
    refused(tmp_path, rewritten(content, **drop), "expected the arrays a, b, got crnn.npy, b.npy")
    refused(tmp_path, rewritten(content, add=[("c.npy", npy(np.zeros(2)))]), "expected the arrays")
    refused(tmp_path, rewritten(content, compression=zipfile.ZIP_DEFLATED), "uncompressed")
    for array in (
        np.zeros(60, object),
        np.zeros(60, np.float64),
        np.zeros(60, ">f4"),
        np.zeros(61, np.float32),
        np.zeros((1, 60), np.float32),
        np.zeros(60, "f4,f4"),
        np.zeros((10, 6), np.float32, order="F"),
    ):
        refused(tmp_path, rewritten(content, **drop, add=[("a.npy", npy(array))]))


def test_declared_sizes_take_no_memory(tmp_path, content):
    """A header of petabytes, and compressed zeros."""
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
    )
    drop = {"drop": ["a.npy"]}
    refused(tmp_path, rewritten(content, **drop, add=[("a.npy", huge.getvalue())]))
    bomb = rewritten(
        content, **drop, add=[("a.npy", bytes(1 << 26))], compression=zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 1 << 18
    refused(tmp_path, bomb, "uncompressed")


def test_every_truncation(tmp_path, content):
    for length in range(len(content)):
        refused(tmp_path, content[:length])


def test_thousands_of_mutations(tmp_path, content):
    """Each is refused in one sentence, or read as what was written.

    The latter happens where a byte has no meaning, such as a date.
    """
    path = tmp_path / "mutated.npz"
    read = 0
    for mutated in mutations(content, 2000, seed=0):
        path.write_bytes(mutated)
        try:
            found = archive.read(path, shapes)
        except crnn.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            read += 1
            assert is_whole(*found)
    assert read < 500


def test_lack_of_memory_is_not_taken_for_damage(tmp_path, content, monkeypatch):
    # As Python, NumPy and the system say it
    for error in (
        MemoryError(),
        SystemError("error return without exception set"),
        RuntimeError("can't allocate lock"),
        OSError(errno.EIO, "error of the disk"),
    ):

        def fail(*_, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile, "read", fail)
            with pytest.raises(type(error)):
                archive.read(tmp_path / "good.npz", shapes)


def test_errors_of_the_system_that_zipfile_takes_for_damage(tmp_path, content, monkeypatch):
    def fail(*_):
        try:
            raise OSError(errno.EIO, "error of the disk")
        except OSError:
            raise zipfile.BadZipFile("File is not a zip file")  # noqa: B904 (as zipfile does)

    monkeypatch.setattr(zipfile, "_EndRecData", fail)
    with pytest.raises(OSError, match="error of the disk"):
        archive.read(tmp_path / "good.npz", shapes)


FIELDS = {
    "whole number": (archive.whole_number(1), [1, 10**9], [0, True, 1.0, "1", None]),
    "within": (archive.whole_number(2, 4), [2, 4], [1, 5]),
    "number": (archive.number(), [0.0, -1e300], [0, float("inf"), float("nan"), "1", None]),
    "share": (archive.number(0.0, below=1.0), [0.0, 0.99], [1.0, -0.1]),
    "boolean": (archive.boolean(), [True, False], [0, 1, "true", None]),
    "text": (archive.text(), ["", "x"], [1, None, ["x"]]),
    "choice": (archive.one_of("a", "b"), ["a", "b"], ["c", "", None, ["a"]]),
    "list": (
        archive.list_of(archive.boolean()), [[], [True, False]], [[1], [True, None], "", None],
    ),
    "nested": (archive.nested(), [{}, {"x": 1}], [[], None, 1]),
    "optional": (archive.optional(archive.text()), ["x", None], [1]),
    "optional nested": (
        archive.optional(archive.nested({"x": archive.text()})), [None, {"x": "y"}],
        [[], {}, {"x": 1}],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("field", "right", "wrong"), FIELDS.values(), ids=FIELDS)
def test_fields(field, right, wrong):
    for value in right:
        archive.check_fields({"name": value, "other": object()}, {"name": field})
    for value in wrong:
        with pytest.raises(crnn.ModelFileError, match=r"^name(\.x)?: expected "):
            archive.check_fields({"name": value}, {"name": field})


def test_errors_name_the_field_the_expected_and_the_value():
    fields = {"a": archive.nested({"b": archive.nested({"c": archive.whole_number(1, 9)})})}
    with pytest.raises(
        crnn.ModelFileError, match=r"^a\.b\.c: expected a whole number from 1 to 9, got 10$"
    ):
        archive.check_fields({"a": {"b": {"c": 10}}}, fields)
    with pytest.raises(
        crnn.ModelFileError, match=r"^a\.b: expected a description by name, got None$"
    ):
        archive.check_fields({"a": {}}, fields)
