"""Models that cannot be trusted are read or refused, and take no more memory than they have."""

import os

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto  # noqa: E402
from onnx_models import exported, network, recurrent_model  # noqa: E402

import crnn  # noqa: E402
import crnn.onnx  # noqa: E402


def with_external(model, folder, location, **entries):
    """Write a model whose weights W are in another file, and return their bytes."""
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "W")
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "length": len(content), **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return content


@pytest.mark.parametrize("location", ["weights.bin", "data/weights.bin", "./weights.bin"])
def test_numbers_in_files_beside_the_model(tmp_path, location):
    expected = crnn.onnx.load(recurrent_model("GRU"))
    content = with_external(recurrent_model("GRU"), tmp_path, location, offset=7)
    (tmp_path / "data").mkdir()
    (tmp_path / location).write_bytes(b"x" * 7 + content + b"more")
    found = crnn.onnx.load(tmp_path / "net.onnx")
    assert np.array_equal(found.flat_params, expected.flat_params)


def test_files_that_onnx_writes(tmp_path):
    model = recurrent_model("LSTM")
    expected = crnn.onnx.load(model)
    onnx.save(
        model, tmp_path / "net.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    assert (tmp_path / "w").stat().st_size > 800
    found = crnn.onnx.load(tmp_path / "net.onnx")
    assert np.array_equal(found.flat_params, expected.flat_params)


OUTSIDE = "expected a file in the model's folder, got"
LOCATIONS = {
    "above": ("../secret", OUTSIDE),
    "above, by a folder": ("data/../../secret", OUTSIDE),
    "absolute": ("/etc/passwd", OUTSIDE),
    "another separator": ("..\\secret", OUTSIDE),
    "a drive": ("C:secret", OUTSIDE),
    "a link": ("link", OUTSIDE),
    "in a link": ("linked/secret", OUTSIDE),
    "a folder": ("data", OUTSIDE),
    "a pipe": ("pipe", OUTSIDE),
    "nothing": ("", OUTSIDE),
    "absent": ("absent", "beside the model, got none"),
    "short": ("short", "expected 240 bytes in 'short', got 3"),
}


@pytest.mark.parametrize("place", LOCATIONS)
def test_numbers_that_are_not_beside_the_model(tmp_path, place):
    location, sentence = LOCATIONS[place]
    folder = tmp_path / "models"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x" * 1000)
    (folder / "short").write_bytes(b"abc")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    elif place == "a pipe":
        pytest.skip("pipes are of other systems")
    try:
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "linked").symlink_to(tmp_path)
    except OSError:
        pytest.skip("this user may make no links")
    with_external(recurrent_model("GRU"), folder, location)
    with pytest.raises(crnn.ModelFileError, match=sentence):
        crnn.onnx.load(folder / "net.onnx")


def test_numbers_elsewhere_that_do_not_fit(tmp_path):
    content = with_external(recurrent_model("GRU"), tmp_path, "w", length=5)
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(crnn.ModelFileError, match=r"W: expected \d+ bytes in 'w', got 5"):
        crnn.onnx.load(tmp_path / "net.onnx")
    # Without a folder there is no file.
    with pytest.raises(crnn.ModelFileError, match="load the model from its file"):
        crnn.onnx.load(onnx.load(tmp_path / "net.onnx", load_external_data=False))


def shorten(tensor):
    tensor.raw_data = tensor.raw_data[:-1]


def claim_more(tensor):
    tensor.dims[0] = 1 << 40


def claim_texts(tensor):
    tensor.data_type = TensorProto.STRING


# By position in the model: the last is a constant that changes a shape
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("change", [shorten, claim_more, claim_texts])
def test_tensors_that_claim_what_they_do_not_hold(number, change):
    model = recurrent_model("LSTM")
    assert len(model.graph.initializer) == 6
    change(model.graph.initializer[number])
    with pytest.raises(crnn.ModelFileError, match=r"^model: "):
        crnn.onnx.load(model)


@pytest.mark.parametrize("source", ["by hand", "exported"])
def test_damaged_files(tmp_path, source):
    """Whatever is in a file, it is read or refused."""
    if source == "by hand":
        model = recurrent_model("GRU", bidirectional=True)
    else:
        model = exported(network(family="LSTM", num_layers=2), tmp_path, lengths=True)
    content, path = model.SerializeToString(), tmp_path / "damaged.onnx"
    rng, outcomes = np.random.default_rng(0), []
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        try:
            net = crnn.onnx.load(path)
        except crnn.ModelFileError as error:
            outcomes.append("refused" if str(error).startswith(f"{path}: ") else str(error))
        else:
            assert net.flat_params.nbytes <= 4 * len(content)
            outcomes.append("read")
    assert set(outcomes) == {"read", "refused"}
    assert outcomes.count("refused") > 50
    assert outcomes.count("read") > 10
