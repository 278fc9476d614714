"""Models that cannot be trusted are read or refused, and take no more memory than they have."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto  # noqa: E402
from onnx_models import exported, network, recurrent_model  # noqa: E402

import crnn  # noqa: E402
import crnn.onnx  # noqa: E402


def test_numbers_in_other_files_are_not_read(tmp_path):
    model = recurrent_model("RNN")
    (tmp_path / "secret").write_bytes(b"x" * 1000)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(crnn.ModelFileError, match="expected numbers in the model, got some in"):
        crnn.onnx.load(tmp_path / "net.onnx")


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
