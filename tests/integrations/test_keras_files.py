"""Files of Keras models: outputs of Keras itself, what is refused, and damage."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hostile_hdf5 import File, of_one_text, of_shared_members, of_shared_messages
from keras_layers import LSTM
from memory import peak_of

import crnn
import crnn.keras
from crnn.keras.cells import from_cudnn

DATA = Path(__file__).parent / "data"
# Dense 2-3 tanh, a bidirectional GRU 3-2, LSTM 4-3, Dense 3-2 softmax: what Keras 2.15.0 on
# TensorFlow and 3.15.1 on PyTorch wrote, and what they returned.
FILES = sorted(DATA.glob("keras-*.gz"))
X = [
    [[-0.5856577754020691, -0.4725876748561859], [0.5863372683525085, -0.6635351777076721],
     [-0.6134178638458252, -1.6051493883132935], [0.7293493747711182, 0.806139349937439]],
    [[-0.4763767421245575, 0.16333994269371033], [-1.2926461696624756, -0.4718131422996521],
     [1.37795090675354, 0.13573072850704193], [2.310363531112671, -0.7871927618980408]],
]  # fmt: skip
Y = [[0.8046002984046936, 0.1953996866941452], [0.8003495931625366, 0.19965045154094696]]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def file(request, tmp_path):
    """A file of Keras in a folder of its own."""
    path = tmp_path / request.param.stem
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path


@pytest.fixture
def keras_file(tmp_path):
    """A `.keras` file of Keras 3."""
    path = tmp_path / "model.keras"
    path.write_bytes(gzip.decompress((DATA / "keras-3.15.1.keras.gz").read_bytes()))
    return path


@pytest.fixture
def h5_file(tmp_path):
    """A `.h5` file of Keras 2."""
    path = tmp_path / "model.h5"
    path.write_bytes(gzip.decompress((DATA / "keras-2.15.0.h5.gz").read_bytes()))
    return path


def test_files_of_keras(file, implementation):
    net = crnn.keras.load(file, implementation=implementation)
    kinds = [type(part).__name__ for part in net]
    assert kinds == ["Dense", "GRU", "LSTM", "Dense"]
    assert net[1].bidirectional
    assert (net.dtype, net.return_sequences) == ("float32", False)
    assert np.abs(net.predict(X) - Y).max() < 2e-7
    wide = crnn.keras.load(file, dtype="float64", return_sequences=True)
    assert np.abs(wide.predict(X)[:, -1] - Y).max() < 2e-7


def rewrite(path, change=None, compression=zipfile.ZIP_STORED, **members):
    """Write a `.keras` file anew, with another description or other members."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()} | members
    if change is not None:
        config = json.loads(content["config.json"])
        change(config["config"]["layers"])
        content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in content.items():
            new.writestr(name, data)


def test_a_file_that_was_packed_anew(keras_file):
    """By a program that deflates."""
    rewrite(keras_file, compression=zipfile.ZIP_DEFLATED)
    assert np.abs(crnn.keras.load(keras_file).predict(X) - Y).max() < 2e-7


def set_config(number, **changes):
    return lambda layers: layers[number]["config"].update(changes)


def set_entry(number, **changes):
    return lambda layers: layers[number].update(changes)


CHANGES = {
    "custom": (
        set_entry(3, module="mine.layers", registered_name="mine>LSTM"),
        r"model: expected a Keras Sequential model or .*, got the custom LSTM of 'mine>LSTM'",
    ),
    "a custom name": (set_entry(3, registered_name="mine>LSTM"), "the custom LSTM of 'mine>LSTM'"),
    "lambda": (set_entry(3, class_name="Lambda"), "got Lambda of keras"),
    "activation": (
        set_config(3, activation="elu"), "LSTM 'lstm': expected activation='tanh', got 'elu'",
    ),
    "custom activation": (
        set_config(4, activation={"class_name": "function", "config": "mine"}),
        "Dense 'dense_1': expected activation='linear' or .*, got {",
    ),
    "units": (set_config(3, units=4), "layer 'lstm': expected 4 units, got 3"),
    "other layers": (lambda layers: layers.pop(3), r"parts\[2\]: expected input_size=4"),
    "no layers": (lambda layers: layers.clear(), "model: expected a recurrent layer, got none"),
    "no weights": (
        lambda layers: layers.append(layers[3]),
        "LSTM 'lstm': expected weights, got a layer that is not built",
    ),
    "no text": (set_entry(3, class_name=7), "class_name: expected a name, got 7"),
    "no description": (set_entry(3, config=[1]), "expected a description by name"),
    "no name": (set_config(3, name=None), "layer: expected a name, got None"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_descriptions_that_are_refused(keras_file, change, message):
    rewrite(keras_file, change)
    with pytest.raises(crnn.ModelFileError, match=message) as caught:
        crnn.keras.load(keras_file)
    assert str(caught.value).startswith(f"{keras_file}: ")
    assert "\n" not in str(caught.value)


def functional(layers, wiring):
    """The description of a functional model: each layer reads another one, or is an input."""
    entries = []
    for layer, read in zip(layers, wiring, strict=True):
        history = {"class_name": "__keras_tensor__", "config": {"keras_history": [read, 0, 0]}}
        node = {"args": [history], "kwargs": {"mask": None}}
        entries.append(layer | {"inbound_nodes": [] if read is None else [node]})
    last = layers[-1]["config"]["name"]
    config = {"layers": entries, "output_layers": [last, 0, 0]}
    return json.dumps({"module": "keras", "class_name": "Functional", "config": config}).encode()


def test_functional_models(keras_file):
    with zipfile.ZipFile(keras_file) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    names = [layer["config"]["name"] for layer in layers]
    rewrite(keras_file, **{"config.json": functional(layers, [None, *names[:-1]])})
    assert np.abs(crnn.keras.load(keras_file).predict(X) - Y).max() < 2e-7
    for wiring, message in (
        ([None, names[0], names[1], names[1], names[3]], "'lstm': expected a chain of layers, got"),
        ([None, None, *names[1:-1]], "expected a model of one input, got 2"),
        ([None, names[0], names[1], names[4], names[3]], "expected a chain of layers whose last"),
    ):
        rewrite(keras_file, **{"config.json": functional(layers, wiring)})
        with pytest.raises(crnn.ModelFileError, match=message):
            crnn.keras.load(keras_file)


def test_zip_bombs(keras_file):
    rewrite(keras_file, compression=zipfile.ZIP_DEFLATED,
            **{"model.weights.h5": bytes(1 << 24)})  # fmt: skip

    def refused():
        with pytest.raises(crnn.ModelFileError, match=r"model\.weights\.h5: expected at most"):
            crnn.keras.load(keras_file)

    assert peak_of(refused) < 1 << 21
    rewrite(keras_file, **{"config.json": b" " * (1 << 23)})
    with pytest.raises(crnn.ModelFileError, match=r"config\.json: expected at most 4194304 bytes"):
        crnn.keras.load(keras_file)
    for content in (b"[" * 100_000, b'{"a":' * 100_000, b"{", b"7", b"\xff"):
        rewrite(keras_file, **{"config.json": content})
        with pytest.raises(crnn.ModelFileError, match=re.escape(f"{keras_file}: ")):
            crnn.keras.load(keras_file)


def test_what_is_no_model(tmp_path, keras_file, h5_file):
    path = tmp_path / "file"
    for content, message in (
        (b"", "expected an HDF5 file, got"),
        (b"hello" * 99, "expected an HDF5 file, got something else"),
        (h5_file.read_bytes()[:3000], "damaged or cut off"),
        (keras_file.read_bytes()[:3000], "got a damaged file"),
    ):
        path.write_bytes(content)
        with pytest.raises(crnn.ModelFileError, match=message):
            crnn.keras.load(path)
    with zipfile.ZipFile(keras_file) as archive:
        path.write_bytes(archive.read("model.weights.h5"))
    with pytest.raises(crnn.ModelFileError, match="whole model, got weights alone"):
        crnn.keras.load(path)
    with pytest.raises(FileNotFoundError):
        crnn.keras.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"^dtype: expected 'float32' or 'float64'") as caught:
        crnn.keras.load(keras_file, dtype="int8")
    assert not isinstance(caught.value, crnn.ModelFileError)


def test_hostile_hdf5(tmp_path):
    """What only h5py makes: links, compressed, chunked and external arrays, new forms of files."""
    h5py = pytest.importorskip("h5py")
    layer = {"class_name": "LSTM", "config": {"name": "a", "return_sequences": True}}
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
    names = ["kernel", "recurrent", "bias"]
    path, other = tmp_path / "model.h5", tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["kernel"] = LSTM[0]

    def write(fill, **settings):
        with h5py.File(path, "w", **settings) as file:
            file.attrs["model_config"] = config
            group = file.create_group("model_weights/a")
            group.attrs["weight_names"] = names
            for name, array in zip(names[1:], LSTM[1:], strict=True):
                group[name] = array
            fill(group)

    def honest(group):
        group["kernel"] = LSTM[0]

    write(honest)
    expected = crnn.keras.from_weights(LSTM)
    assert np.array_equal(crnn.keras.load(path).flat_params, expected.flat_params)
    write(lambda group: group.create_dataset("kernel", data=LSTM[0].astype(">f8")))
    assert np.array_equal(crnn.keras.load(path).flat_params, expected.flat_params)

    def linked(link):
        return lambda group: group.__setitem__("kernel", link)

    def made(**settings):
        return lambda group: group.create_dataset("kernel", **settings)

    big = {"shape": (1 << 40, 16), "dtype": "f8"}
    for fill, message in (
        (linked(h5py.SoftLink("/model_weights/a/bias")), "kernel: expected what is in the file"),
        (linked(h5py.ExternalLink(str(other), "kernel")), "expected"),
        (made(data=LSTM[0], compression="gzip"), "kernel: expected uncompressed floats"),
        (made(data=LSTM[0], chunks=(5, 16)), "kernel: expected uncompressed floats"),
        (made(**big), r"kernel: expected \(1099511627776, 16\) floats, got 0 bytes|damaged"),
        (made(shape=(5, 16), dtype="f8", external=[(str(other), 0, 640)]), "expected uncompressed"),
        (made(data=LSTM[0].astype("i4")), "expected floats of 16 to 64 bits"),
        (made(data=LSTM[0].astype("S3")), "kernel: expected uncompressed floats"),
        (lambda group: None, "layer 'a': expected the weights 'kernel', got none"),
        (lambda group: group.create_group("kernel"), "kernel: expected an array"),
    ):
        write(fill)
        with pytest.raises(crnn.ModelFileError, match=message):
            crnn.keras.load(path)
    with h5py.File(path, "w") as file:
        many = [f"a{number}" for number in range(40)]
        layers = [layer | {"config": layer["config"] | {"name": name}} for name in many]
        described = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
        file.attrs["model_config"] = described
        file["matrix"], file["bias"] = np.zeros((64, 256)), np.zeros(256)
        for name in many:
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = names
            group["kernel"] = group["recurrent"] = file["matrix"]
            group["bias"] = file["bias"]
    with pytest.raises(crnn.ModelFileError, match="expected bytes of its own, got some again"):
        crnn.keras.load(path)
    write(honest, libver="latest")
    with pytest.raises(crnn.ModelFileError, match=r"superblock of version 0 or 1, .* got version"):
        crnn.keras.load(path)


@pytest.mark.parametrize("make", [of_one_text, of_shared_messages, of_shared_members])
def test_parts_that_lie_in_each_other(tmp_path, make):
    """A few bytes could ask for any memory and time."""
    path, content = tmp_path / "model.h5", make()
    path.write_bytes(content)

    def refused():
        with pytest.raises(crnn.ModelFileError, match=r"lie in each other|bytes of its own"):
            crnn.keras.load(path)

    refused()
    assert peak_of(refused) < 10 * len(content) + (8 << 20)


def test_groups_of_other_names(tmp_path):
    """Names that are not ASCII make HDF5 write a group in another form."""
    path, file = tmp_path / "model.h5", File()
    path.write_bytes(file.whole({"a": 0}, file.header((0x02, bytes(16)))))
    with pytest.raises(crnn.ModelFileError, match="form that h5py gives them for ASCII names"):
        crnn.keras.load(path)


def test_every_byte_of_the_structure(h5_file):
    """Each is read or refused, and soon."""
    content, outcomes = h5_file.read_bytes(), set()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 150):
        changed = bytearray(content)
        changed[at] ^= 1 << int(rng.integers(8))
        h5_file.write_bytes(changed)
        try:
            crnn.keras.load(h5_file)
        except crnn.ModelFileError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
    assert outcomes == {"refused", "read"}


def test_cudnn():
    """As the formulas of cuDNN say: each gate's matrices are transposed, its two biases added."""
    rng = np.random.default_rng(0)
    I, H = 3, 5
    for kind, gates in (("LSTM", 4), ("GRU", 3)):
        # Matrices (H, I) and (H, H) of each gate, as cuDNN has them, one after another
        W, R = rng.normal(size=(gates, H, I)), rng.normal(size=(gates, H, H))
        biases = rng.normal(size=(2, gates * H))
        stored = [
            np.concatenate([w.reshape(I, H) for w in W], axis=1),
            np.concatenate(list(R), axis=1),
            biases.ravel(),
        ]
        kernel, recurrent, bias = from_cudnn("a", stored, kind)
        assert np.array_equal(kernel, np.concatenate([w.T for w in W], axis=1))
        assert np.array_equal(recurrent, np.concatenate([r.T for r in R], axis=1))
        assert np.array_equal(bias, biases.sum(0) if kind == "LSTM" else biases)
