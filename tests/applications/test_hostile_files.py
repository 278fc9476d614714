"""Files made to do harm: readers read them or refuse them, and take little memory.

`tests/proofs/fuzz.py` reads many more files than the first test. The others are about what was
found so.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import threading
import zipfile
import zlib

import numpy as np
import pytest
from damaged_files import npy
from hostile import EPOCHS, GENERATORS, READERS, read_checkpoint, read_table
from hostile_archives import checksummed, decoded, encoded, packed, unpacked
from memory import peak_of

import crnn
from crnn import archive

RUNS = {"csv": 40, "commands": 15, "checkpoint": 60}
needs_tables = pytest.mark.skipif("csv" not in READERS, reason="needs pandas")


def raw(rng):
    """A function that changes some bytes."""

    def change(content):
        changed = bytearray(content or b"0")
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed[: rng.randrange(len(changed)) + 1] if rng.random() < 0.1 else changed)

    return change


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", READERS)
def test_mutated_files(name, tmp_path):
    """Each is read, or refused by an exception that the reader documents."""
    reader, rng = READERS[name], random.Random(0)
    seeds = reader.seeds(tmp_path)
    path, outcomes = tmp_path / "file", []
    for number in range(RUNS.get(name, 120)):
        data = seeds[number % len(seeds)]
        if number >= len(seeds):
            data = reader.mutated(data, rng, raw(rng))
        path.write_bytes(data)
        try:
            reader.read(path)
        except reader.documented as error:
            assert str(error)  # noqa: PT017
            outcomes.append("refused")
        else:
            outcomes.append("read")
    assert set(outcomes) == {"read", "refused"}


def changed_checkpoint(tmp_path, name, change):
    """A checkpoint of a run with a generator, its description changed."""
    seed = READERS["checkpoint"].seeds(tmp_path)[list(GENERATORS).index(name)]
    members = dict(unpacked(seed))
    description = decoded(members["crnn.npy"])
    change(description)
    path = tmp_path / "changed.npz"
    path.write_bytes(packed((members | {"crnn.npy": encoded(description)}).items()))
    return path


STATES = {
    # NumPy would read past the end of its numbers, and the process would end there.
    "far place": (b"MT19937", lambda state: state["state"].update(pos=10**9)),
    "place before the first": (b"MT19937", lambda state: state["state"].update(pos=-1)),
    "far place in a buffer": (b"Philox", lambda state: state.update(buffer_pos=-(10**9))),
    "few numbers": (b"MT19937", lambda state: state["state"].update(key=[1, 2])),
    "other numbers": (b"MT19937", lambda state: state["state"]["key"].__setitem__(600, "x")),
    "another generator": (b"PCG64", lambda state: state.update(bit_generator="SFC64")),
}


@pytest.mark.parametrize(("generator", "change"), STATES.values(), ids=STATES)
def test_states_of_generators(tmp_path, generator, change):
    path = changed_checkpoint(tmp_path, generator, lambda d: change(d["generator"]))
    rng = np.random.Generator(GENERATORS[generator](3))
    net = crnn.RNN(2, 3, 1, num_layers=2, dropout=0.25, dtype="float64", seed=rng)
    before, parameters = json.dumps(rng.bit_generator.state, default=str), net.flat_params.copy()
    x = np.linspace(-1, 1, 24).reshape(3, 4, 2)
    with pytest.raises(crnn.ModelFileError, match="expected the state of a generator"):
        net.fit(
            x, x[..., :1], epochs=EPOCHS, checkpoint=path, resume=True, metrics=["mae"],
            optimizer=crnn.Adam(0.01), patience=9, validation_fraction=0.4,
        )  # fmt: skip
    # A part of a wrong state is not set.
    assert json.dumps(rng.bit_generator.state, default=str) == before
    assert (net.flat_params == parameters).all()


def test_steps_that_no_optimizer_counts(tmp_path):
    path = changed_checkpoint(tmp_path, b"PCG64", lambda d: d.update(steps=10**300))
    with pytest.raises(crnn.ModelFileError, match=r"steps: expected a whole number from 1 to 9\d+"):
        read_checkpoint(path)


def test_a_checkpoint_without_a_learning_rate(tmp_path):
    """What is missing counts as null: the run keeps its own."""
    read_checkpoint(changed_checkpoint(tmp_path, b"PCG64", lambda d: d.pop("lr")))


def test_members_in_one_place(tmp_path):
    """Several members that are the same bytes would take several times the file."""
    numbers = npy(np.zeros(100_000, np.uint8))
    description = {"format": "crnn thing", "version": 1, "sha256": {}}
    data = packed([("crnn.npy", encoded(description)), ("a.npy", numbers)])
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        start = whole.start_dir
    directory = data[start:-22]
    entry = directory[directory.rindex(b"PK\x01\x02") :]
    entries = [entry.replace(b"a.npy", f"{n:05d}".encode()) for n in range(20)]
    end = bytearray(data[-22:])
    end[8:10] = end[10:12] = (22).to_bytes(2, "little")
    end[12:16] = (len(directory) + 20 * len(entry)).to_bytes(4, "little")
    path = tmp_path / "file"
    path.write_bytes(data[:start] + directory + b"".join(entries) + bytes(end))
    with pytest.raises(crnn.ModelFileError, match=r"expected members of \d+ bytes at most in all"):
        archive.read(path, lambda _: {})


def test_a_member_that_claims_more_than_it_holds(tmp_path):
    """Two gigabytes to be read, of which a hundred bytes come out."""
    data = packed([("crnn.npy", encoded({"format": "crnn thing"})), ("a.npy", npy(np.zeros(9)))])
    at = data.rindex(b"PK\x01\x02") + 20
    path = tmp_path / "file"
    path.write_bytes(data[:at] + (1 << 31).to_bytes(4, "little") + data[at + 4 :])

    def read():
        with pytest.raises(crnn.ModelFileError, match=r"uncompressed members, got a\.npy"):
            archive.read(path, lambda _: {"a": (np.dtype(np.float64), (9,))})

    assert peak_of(read) < 1 << 20


def test_memory_of_a_file(tmp_path):
    """An array is read without copies beyond the member and itself."""
    net = crnn.RNN(5, 700, seed=0)
    net.save(tmp_path / "net.npz")
    size = (tmp_path / "net.npz").stat().st_size
    assert peak_of(crnn.load, tmp_path / "net.npz") < 4 * size + (2 << 20)


@needs_tables
def test_memory_of_a_panel(tmp_path):
    """A list of many nothings in JSON."""
    (seed,) = READERS["panel"].seeds(tmp_path)
    members = dict(unpacked(seed))
    text = b"[" + b"{}, " * 300_000 + b"{}]"
    members["descriptions.npy"] = npy(np.frombuffer(text, np.uint8))
    path = tmp_path / "file"
    path.write_bytes(packed(checksummed(members.items()).items()))

    def load():
        with pytest.raises(crnn.ModelFileError, match="expected models"):
            READERS["panel"].read(path)

    assert peak_of(load) < 10 * len(text)


SAID = {
    "scores": ({"scores": {"crnn": [10**400, 1.0]}}, "scores.crnn: expected two numbers"),
    "no scores": ({"scores": [1, 2]}, "scores: expected a description by name or null"),
    "frequency": ({"frequency": ["days", 1, "0000000"]}, "frequency: expected a unit"),
    "parts of a frequency": ({"frequency": 5}, "frequency: expected a unit"),
    "no dates": ({"frequency": ["microseconds", 1 << 70, ""]}, "frequency: expected a unit"),
    "names": ({"known": [1]}, "known: expected a list, each element a text"),
    "units": ({"reading": {"units": {"y": 5}}}, "reading.units.y: expected a text"),
    "decimal sign": ({"reading": {"decimal": []}}, "reading.decimal: expected a text or null"),
}


@needs_tables
@pytest.mark.parametrize(("said", "sentence"), SAID.values(), ids=SAID)
def test_what_files_say_to_commands(tmp_path, said, sentence):
    """Commands refuse files that say something else than those of `crnn fit`."""
    import click

    members = dict(unpacked(READERS["forecaster"].seeds(tmp_path)[0]))
    description = decoded(members["crnn.npy"])
    description["said"] = {"target": "y", "lagged": []} | said
    path = tmp_path / "model.npz"
    members["crnn.npy"] = encoded(description)
    path.write_bytes(packed(members.items()))
    with pytest.raises(click.ClickException) as caught:
        READERS["commands"].read(path)
    assert sentence in caught.value.message


@needs_tables
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_tables(tmp_path, pack):
    """A few bytes that stand for many are refused, before they are all there."""
    data, path = pack(b"a,b\n" + b"1" * (10 << 20)), tmp_path / "file"
    path.write_bytes(data)

    def read():
        with pytest.raises(ValueError, match="expected a text at most 30 times as long"):
            read_table(path)

    assert peak_of(read) < 50 << 20


@needs_tables
def test_tables_of_short_rows(tmp_path):
    """Names and rows of one cell would be a table of names times rows."""
    from crnn.forecasting import read_csv

    names = ",".join(f"name{n}" for n in range(5000))
    path = tmp_path / "file"
    path.write_text(names + "\n" + "1\n" * 3000)
    with pytest.raises(ValueError, match=r"line 21\d: expected rows of about as many values"):
        read_csv(path, sep=",")
    path.write_text(",".join(f"name{n}" for n in range(20_000)) + "\n1\n")
    with pytest.raises(ValueError, match="line 1: expected at most 10000 columns, got 20000"):
        read_csv(path, sep=",")


@needs_tables
@pytest.mark.parametrize("cell", ["({}x", "1{}x", "2023-01-31 10:00{}x", "{}x"])
def test_cells_that_regular_expressions_fit_in_many_ways(tmp_path, cell):
    """These took minutes, or would have."""
    path = tmp_path / "file"
    for filling in (" " * 20_000, "1" * 20_000):
        path.write_text(f"date,y\n{cell.format(filling)},{cell.format(filling)}\n")
        with pytest.raises(ValueError, match=r"line 2|expected (a column of )?dates"):
            read_table(path)


@needs_tables
@pytest.mark.parametrize("changes", [{"limits": 1.0}, {"num_lagged": "x"}, {"floor": "x"}])
def test_fields_of_a_later_version(tmp_path, changes):
    """A file of version 1 is read as if it had none: they have not been checked."""
    members = dict(unpacked(READERS["forecaster"].seeds(tmp_path)[-1]))
    description = decoded(members["crnn.npy"])
    assert description["version"] == 1
    description["settings"]["floor"] = changes.pop("floor", None)
    members["crnn.npy"] = encoded(description | changes)
    path = tmp_path / "file"
    path.write_bytes(packed(members.items()))
    assert READERS["forecaster"].read(path).floor is None


@needs_tables
def test_forecasters_of_many_layers(tmp_path):
    """Each layer takes a kilobyte, and of a panel twelve bytes in a file."""
    members = dict(unpacked(READERS["forecaster"].seeds(tmp_path)[0]))
    description = decoded(members["crnn.npy"])
    description["network"]["num_layers"] = 1000
    members["crnn.npy"] = encoded(description)
    path = tmp_path / "file"
    path.write_bytes(packed(members.items()))
    with pytest.raises(crnn.ModelFileError, match="network: expected one that belongs"):
        READERS["forecaster"].read(path)


def test_a_header_that_overflows_a_parser(tmp_path):
    """Python's parser raises a MemoryError for it."""
    header = b"-" * 9000 + b"1\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path = tmp_path / "file"
    path.write_bytes(packed([("crnn.npy", member)]))
    with pytest.raises(crnn.ModelFileError, match=r"Header info length \(9002\) is large"):
        crnn.load(path)


def test_a_vocabulary_that_begins_with_a_byte_order_mark(tmp_path):
    from crnn.text import TextModel, load

    model = TextModel("\U0001f600\ufeff\U0001f601", hidden_size=2)
    model.save(tmp_path / "model.npz")
    assert model.vocabulary == "\ufeff\U0001f600\U0001f601"
    assert load(tmp_path / "model.npz").vocabulary == model.vocabulary


needs_devices = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes, /dev/zero")


@needs_devices
def test_devices_and_pipes(tmp_path):
    """A device may never end, and a pipe never begin."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="expected a path for a file, got a device or a pipe"):
            crnn.load(path)
    with pytest.raises(IsADirectoryError):
        crnn.load(tmp_path)


@needs_tables
@needs_devices
def test_a_table_without_an_end():
    from crnn.forecasting import read_csv

    with pytest.raises(OSError, match="expected a path for a file, got a device"):
        read_csv("/dev/zero")


@needs_tables
@needs_devices
def test_a_pipe_of_a_table(tmp_path):
    """It can be read: an end of one comes from the shell."""
    from crnn.forecasting import read_csv

    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a,b\n1,2\n",))
    writer.start()
    assert read_csv(tmp_path / "pipe").names == ["a", "b"]
    writer.join()


@needs_tables
def test_memory_that_an_xz_names(tmp_path):
    """In 100 bytes, 4 GiB to decompress them with."""
    from crnn.forecasting import read_csv

    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]
    data = bytearray(lzma.compress(b"a,b\n1,2\n", filters=filters))
    # The header of the first block: its size in words less one, flags, filter, 1, dictionary
    end = 12 + 4 * (data[12] + 1)
    data[16] = 40
    data[end - 4 : end] = zlib.crc32(data[12 : end - 4]).to_bytes(4, "little")
    path = tmp_path / "table.csv.xz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="expected a compressed file, got Memory usage limit"):
        read_csv(path)


@needs_tables
def test_streams_of_an_xz(tmp_path):
    """Several after each other, with zeros between them; a part of one is refused."""
    from crnn.forecasting import read_csv

    path = tmp_path / "table.csv.xz"
    data = lzma.compress(b"a,b\n") + bytes(8) + lzma.compress(b"1,2\n")
    path.write_bytes(data)
    assert read_csv(path).numbers("b") == [2]
    path.write_bytes(data[:-5])
    with pytest.raises(ValueError, match="expected a compressed file, got one that ends too early"):
        read_csv(path)


@needs_tables
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\n" + "," * 1_000_001, "line 2: expected at most 1000000 separators in a row"),
        (
            "a\n" + "," * 400_000 + '"\n' + f'"{"," * 400_000}"\n' * 2,
            "line 4: expected at most 1000000 separators in a row",
        ),
    ],
    ids=["one line", "several lines"],
)
def test_rows_of_many_separators(tmp_path, text, sentence):
    """A cell of nothing takes some bytes in memory, and one in a file."""
    from crnn.forecasting import read_csv

    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_csv(path, sep=",")


@needs_tables
def test_memory_of_comments(tmp_path):
    from crnn.forecasting import read_csv

    path = tmp_path / "file"
    path.write_text("a,b\n1,2\n" + "#\n" * 100_000)
    assert peak_of(read_csv, path) < 10 * path.stat().st_size


@needs_tables
@pytest.mark.parametrize("date", ["0000-01-01T00:00", "-99999999999", "999999999999"])
def test_years_without_four_digits(tmp_path, date):
    """pandas has such dates, and does not write them."""
    from crnn.forecasting import read_csv

    path = tmp_path / "file"
    form, other = ("epoch", "0") if date[0] in "-9" else (None, "2023-01-01T00:00")
    path.write_text(f"date,y\n{date},1\n{other},2\n")
    with pytest.raises(ValueError, match=f"line 2: expected a date in 'date', got '{date}'"):
        read_csv(path).series("y", date="date", date_format=form)
