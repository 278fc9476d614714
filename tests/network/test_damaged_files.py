"""Files that are damaged or of something else: each is refused in one sentence."""

import io
import json
import zipfile

import numpy as np
import pytest
from network_problems import network

import crnn


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network and the bytes of its file."""
    net = network(dtype="float32")
    path = tmp_path_factory.mktemp("saved") / "good.npz"
    net.save(path)
    return net, path.read_bytes()


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
        (b"", "no such file"), (b"PK", "no such file"),
        (b"hello, this is a text\n" * 50, "no such file"), (npy(np.arange(3)), "no such file"),
        (np.random.default_rng(0).bytes(5000), "no such file"),
    ],
    ids=["empty", "two bytes", "text", "npy", "noise"],
)  # fmt: skip
def test_files_of_something_else(tmp_path, data, match):
    refused(tmp_path, data, match)


def test_archives_of_something_else(tmp_path):
    out = io.BytesIO()
    np.savez(out, parameters=np.arange(3))
    refused(tmp_path, out.getvalue(), "an archive of something else")


NEEDED = "expected a whole number of at least 1, got"
CHANGES = {
    "newer": ({"version": 3}, "version 3: a newer crnn wrote it"),
    "no version": ({"version": "1"}, f"version: {NEEDED} '1'"),
    "format": ({"format": "other"}, "a file of something else"),
    "cell": (
        {"cell": "LSTM"},
        "cell: expected one of tanh, relu, gru, gru_reset_before, lstm, got 'LSTM'",
    ),
    "dtype": ({"dtype": "object"}, "dtype: expected one of float32, float64, got 'object'"),
    "other dtype": ({"dtype": "float64"}, r"expected float64 \(\d+,\), got float32"),
    "sizes": ({"hidden_size": 6}, r"expected float32 \(\d+,\), got float32"),
    "negative": ({"hidden_size": -5}, f"hidden_size: {NEEDED} -5"),
    "boolean": ({"input_size": True}, f"input_size: {NEEDED} True"),
    "float": ({"hidden_size": 5.0}, f"hidden_size: {NEEDED} 5.0"),
    "output size": ({"output_size": 0}, "output_size: expected a whole number of at least 1 or"),
    "layers": ({"num_layers": 0}, "num_layers: expected a whole number from 1 to 1000, got 0"),
    "many layers": ({"num_layers": 10**9}, "num_layers: expected a whole number from 1 to 1000"),
    "other layers": ({"num_layers": 2}, "expected float32"),
    "no layers": ({"num_layers": None}, "num_layers: expected a whole number .* got None"),
    "directions": ({"bidirectional": 1}, "bidirectional: expected true or false, got 1"),
    "outputs": ({"return_sequences": "no"}, "return_sequences: expected true or false, got 'no'"),
    "categories": ({"categorical": 0}, "categorical: expected true or false, got 0"),
    "dropout": ({"dropout": 1.0, "num_layers": 2}, "dropout: expected .* below 1, got 1.0"),
    "dropout of one layer": ({"dropout": 0.5}, "dropout: expected .* one layer, got 0.5"),
    "giant": ({"hidden_size": 10**12}, "expected float32"),
    "giant beyond integers": ({"hidden_size": 10**400}, "expected"),
    "checksum": ({"sha256": {"parameters": "0" * 64}}, "the numbers that were saved, got others"),
    "no checksum": ({"sha256": {}}, "damaged"),
}


@pytest.mark.parametrize(("changes", "match"), CHANGES.values(), ids=CHANGES)
def test_descriptions_that_are_wrong(saved, tmp_path, changes, match):
    refused(tmp_path, rewritten(saved[1], **changes), match)


def test_honest_rewriting_is_read(saved, tmp_path):
    """So that what the tests around this one change is what makes them fail."""
    net, data = saved
    (tmp_path / "again.npz").write_bytes(rewritten(data))
    assert np.array_equal(crnn.load(tmp_path / "again.npz").flat_params, net.flat_params)


def test_members_that_are_wrong(saved, tmp_path):
    net, data = saved
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


def test_declared_sizes_make_no_room(saved, tmp_path):
    """Headers of petabytes, compressed zeros and long descriptions."""
    _, data = saved
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


def test_every_truncation(saved, tmp_path):
    _, data = saved
    # The last bytes are the archive's directory, whose every byte has a meaning of its own.
    lengths = [*range(0, len(data) - 300, 3), *range(max(len(data) - 300, 0), len(data))]
    for length in lengths:
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


@pytest.mark.slow
def test_thousands_of_mutations(saved, tmp_path):
    """Each is refused in one sentence, or loads exactly the network that was saved.

    The latter happens where a byte has no meaning, such as a date.
    """
    net, data = saved
    path = tmp_path / "mutated.npz"
    loaded = 0
    for mutated in mutations(data, 2400, seed=0):
        path.write_bytes(mutated)
        try:
            twin = crnn.load(path)
        except crnn.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            loaded += 1
            assert twin.flat_params.tobytes() == net.flat_params.tobytes()
            assert repr(twin) == repr(net)
    assert 0 < loaded < 600


def test_lack_of_memory_is_not_taken_for_damage(saved, tmp_path, monkeypatch):
    (tmp_path / "good.npz").write_bytes(saved[1])

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with pytest.raises(MemoryError):
        crnn.load(tmp_path / "good.npz")
