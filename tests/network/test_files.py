"""Files of networks: what is saved comes back, and nothing else is loaded without notice."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import crnn
from crnn import files

SIZES = [(3, 5, 2), (1, 1, None), (2, 70, 4)]


def net_of(sizes=(3, 5, 2), dtype="float32", implementation=None):
    net = crnn.RNN(*sizes, dtype=dtype, seed=0, implementation=implementation)
    net.flat_params[...] += np.linspace(-1, 1, net.flat_params.size).astype(dtype)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_what_is_saved_comes_back(implementation, tmp_path, dtype, sizes):
    net = net_of(sizes, dtype, implementation)
    path = tmp_path / "net.npz"
    assert net.save(path) is None
    twin = crnn.load(path, implementation=implementation)
    assert repr(twin) == repr(net)
    assert twin.flat_params.tobytes() == net.flat_params.tobytes()
    x = np.random.default_rng(0).standard_normal((2, 7, sizes[0]))
    assert np.array_equal(twin.predict(x), net.predict(x))
    twin.train_step(x, net.predict(x) + 1, crnn.SGD(0.1))
    assert twin.flat_params.tobytes() != net.flat_params.tobytes()


def test_a_string_is_a_path_too_and_nothing_is_left_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net_of().save("pump.model")
    crnn.load("pump.model")
    assert [p.name for p in tmp_path.iterdir()] == ["pump.model"]


def test_numpy_opens_it_too(tmp_path):
    net = net_of()
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as archive:
        assert np.array_equal(archive["parameters"], net.flat_params)
        assert json.loads(archive["crnn"].tobytes())["hidden_size"] == 5


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    first, second = net_of(), net_of((3, 6, 2))
    first.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os if name == "fsync" else Path, name, fail)
            with pytest.raises(OSError, match="disk full"):
                second.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]
    second.save(path)
    assert crnn.load(path).hidden_size == 6


def test_where_nothing_can_be_written_or_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        net_of().save(tmp_path / "missing" / "net.npz")
    with pytest.raises(FileNotFoundError):
        crnn.load(tmp_path / "net.npz")
    with pytest.raises(IsADirectoryError):
        crnn.load(tmp_path)


def saved(tmp_path):
    net = net_of()
    net.save(tmp_path / "good.npz")
    return net, (tmp_path / "good.npz").read_bytes()


def refused(tmp_path, data, match="expected"):
    path = tmp_path / "bad.npz"
    path.write_bytes(data)
    with pytest.raises(crnn.ModelFileError, match=match) as caught:
        crnn.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message


def rewritten(data, *, drop=(), add=(), compression=zipfile.ZIP_STORED, **changes):
    """The file anew, honestly packed, with changes of its description and other members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "crnn.npy":
                description = json.loads(np.load(io.BytesIO(content)).tobytes()) | changes
                content = npy(np.frombuffer(json.dumps(description).encode(), np.uint8))
            if name not in drop:
                new.writestr(name, content)
        for name, content in add:
            new.writestr(name, content)
    return out.getvalue()


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no such file"),
        (b"PK", "no such file"),
        (b"hello, this is a text\n" * 50, "no such file"),
        (npy(np.arange(3)), "no such file"),
        (np.random.default_rng(0).bytes(5000), "no such file"),
    ],
    ids=["empty", "two bytes", "text", "npy", "noise"],
)
def test_files_of_something_else(tmp_path, data, match):
    refused(tmp_path, data, match)


def test_archives_of_something_else(tmp_path):
    out = io.BytesIO()
    np.savez(out, parameters=np.arange(3))
    refused(tmp_path, out.getvalue(), "an archive of something else")


CHANGES = {
    "newer": ({"version": 2}, "version 2: a newer crnn wrote it"),
    "no version": ({"version": "1"}, "version: expected a whole number"),
    "format": ({"format": "other"}, "a file of something else"),
    "cell": (
        {"cell": "LSTM"},
        "cell: expected one of tanh, relu, gru, gru_reset_before, lstm, got 'LSTM'",
    ),
    "dtype": ({"dtype": "object"}, "dtype: expected 'float32' or 'float64', got 'object'"),
    "other dtype": ({"dtype": "float64"}, "expected float64"),
    "sizes": ({"hidden_size": 6}, r"expected float32 \(\d+,\), got float32"),
    "negative": ({"hidden_size": -5}, "hidden_size: expected a whole number of at least 1, got -5"),
    "boolean": ({"input_size": True}, "input_size: expected a whole number"),
    "float": ({"hidden_size": 5.0}, "hidden_size: expected a whole number"),
    "layers": ({"num_layers": 0}, "num_layers: expected a whole number"),
    "many layers": ({"num_layers": 10**9}, "num_layers: expected at most 1000"),
    "other layers": ({"num_layers": 2}, "expected float32"),
    "no layers": ({"num_layers": None}, "num_layers: expected a whole number"),
    "directions": ({"bidirectional": 1}, "bidirectional: expected true or false, got 1"),
    "dropout": ({"dropout": 1.0, "num_layers": 2}, "dropout: expected a share below 1"),
    "dropout of one layer": ({"dropout": 0.5}, "dropout: expected a share below 1"),
    "giant": ({"hidden_size": 10**12}, "expected float32"),
    "giant beyond integers": ({"hidden_size": 10**400}, "expected"),
    "checksum": ({"sha256": {"parameters": "0" * 64}}, "the numbers that were saved, got others"),
    "no checksum": ({"sha256": {}}, "damaged"),
}


@pytest.mark.parametrize(("changes", "match"), CHANGES.values(), ids=CHANGES)
def test_descriptions_that_are_wrong(tmp_path, changes, match):
    _, data = saved(tmp_path)
    refused(tmp_path, rewritten(data, **changes), match)


def test_honest_rewriting_is_read(tmp_path):
    """So that what the tests around this one change is what makes them fail."""
    net, data = saved(tmp_path)
    (tmp_path / "again.npz").write_bytes(rewritten(data))
    assert np.array_equal(crnn.load(tmp_path / "again.npz").flat_params, net.flat_params)


def test_members_that_are_wrong(tmp_path):
    net, data = saved(tmp_path)
    n = net.flat_params.size
    drop = {"drop": ["parameters.npy"]}
    refused(tmp_path, rewritten(data, **drop), "expected the arrays parameters, got crnn.npy")
    refused(tmp_path, rewritten(data, add=[("more.npy", npy(np.zeros(2)))]), "expected the arrays")
    refused(tmp_path, rewritten(data, compression=zipfile.ZIP_DEFLATED), "uncompressed")
    for array in (
        np.zeros(n, object),
        np.zeros(n, np.float64),
        np.zeros(n, ">f4"),
        np.zeros(n + 1, np.float32),
        np.zeros((1, n), np.float32),
        np.zeros(n, "f4,f4"),
    ):
        refused(tmp_path, rewritten(data, **drop, add=[("parameters.npy", npy(array))]))


def test_declared_sizes_make_no_room(tmp_path, implementation):
    """Headers of petabytes, compressed zeros and long descriptions, in little memory and time."""
    _, data = saved(tmp_path)
    header = npy(np.zeros(1, np.float32)).replace(b"(1,), }", b"(10**15,), }"[:7])
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
    )
    drop = {"drop": ["parameters.npy"]}
    for content in (header, huge.getvalue()):
        refused(tmp_path, rewritten(data, **drop, add=[("parameters.npy", content)]))
    bomb = rewritten(
        data, **drop, add=[("parameters.npy", bytes(1 << 26))], compression=zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 1 << 18
    refused(tmp_path, bomb, "uncompressed")
    refused(tmp_path, rewritten(data, comment="x" * (1 << 17)), "short description")


def test_every_truncation(tmp_path):
    _, data = saved(tmp_path)
    for length in range(len(data)):
        refused(tmp_path, data[:length])


def mutations(data, count, seed):
    """Bytes changed, runs overwritten, cut out, inserted and copied, at random."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        changed = bytearray(data)
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
        kind = number % 6
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at] = int(rng.integers(256))
        elif kind == 2:
            changed[at : at + length] = rng.bytes(length)
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = rng.bytes(length)
        else:
            source = int(rng.integers(len(data)))
            changed[at : at + length] = data[source : source + length]
        yield bytes(changed)


def test_thousands_of_mutations(tmp_path):
    """Each is refused in one sentence, or loads exactly the network that was saved.

    The latter happens where a byte has no meaning, such as a date.
    """
    net, data = saved(tmp_path)
    path = tmp_path / "mutated.npz"
    loaded = 0
    for mutated in mutations(data, 6000, seed=0):
        path.write_bytes(mutated)
        try:
            twin = crnn.load(path)
        except crnn.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            loaded += 1
            assert twin.flat_params.tobytes() == net.flat_params.tobytes()
            assert repr(twin) == repr(net)
    assert loaded < 1500


def test_lack_of_memory_is_not_taken_for_damage(tmp_path, monkeypatch):
    saved(tmp_path)

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(files, "_read", fail)
    with pytest.raises(MemoryError):
        crnn.load(tmp_path / "good.npz")
