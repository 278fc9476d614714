"""Models that are written: what other runtimes compute with them, and what comes back."""

import numpy as np
import pytest
from network_problems import ARCHITECTURES, CELLS

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx_models import (  # noqa: E402
    LENGTHS,
    TOLERANCES,
    H,
    I,
    O,
    assert_outputs_close,
    exported,
    first_states,
    inputs,
    network,
    outputs_of,
    run_in_onnxruntime,
)

import crnn  # noqa: E402
import crnn.onnx  # noqa: E402

cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
dtypes = pytest.mark.parametrize("dtype", TOLERANCES)


@cells
@architectures
@pytest.mark.parametrize("has_states", [False, True], ids=["default states", "given states"])
@pytest.mark.parametrize("has_lengths", [False, True], ids=["whole", "lengths"])
def test_onnx_runtime_computes_the_same(tmp_path, cell, settings, has_states, has_lengths):
    net, x = network(**cell, **settings), inputs()
    model = exported(net, tmp_path, lengths=has_lengths)
    h0, named = first_states(net) if has_states else (None, {})
    feed = {"x": x, **named} | ({"lengths": LENGTHS} if has_lengths else {})
    expected = outputs_of(net, x, h0, LENGTHS if has_lengths else None)
    assert_outputs_close(run_in_onnxruntime(model, feed), expected, "float32")
    # Batch and time are symbolic.
    short = {name: array[:, :1] if name in named else array[:1] for name, array in feed.items()}
    short["x"] = short["x"][:, :3]
    if has_lengths:
        short["lengths"] = np.array([2], np.int32)
    assert run_in_onnxruntime(model, short)["h_n"].shape[1:] == (1, H)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "relu"])
@dtypes
def test_onnx_itself_computes_the_same(tmp_path, cell, dtype):
    """Its reference takes one direction and the usual activations, in either dtype."""
    net, x = network(dtype, **CELLS[cell]), inputs(dtype)
    h0, named = first_states(net)
    evaluator = ReferenceEvaluator(exported(net, tmp_path))
    found = dict(zip(evaluator.output_names, evaluator.run(None, {"x": x} | named), strict=True))
    expected = outputs_of(net, x, h0)
    assert_outputs_close({"y": found["y"]}, {"y": expected["y"]}, dtype)


@cells
@architectures
@dtypes
@pytest.mark.parametrize("has_lengths", [False, True], ids=["whole", "lengths"])
def test_networks_come_back_with_the_same_bits(tmp_path, cell, settings, dtype, has_lengths):
    net, path = network(dtype, **cell, **settings), tmp_path / "net.onnx"
    model = exported(net, tmp_path, lengths=has_lengths)
    for source in (path, str(path), model):
        twin = crnn.onnx.load(source)
        assert repr(twin) == repr(net)
        np.testing.assert_array_equal(twin.flat_params, net.flat_params)


def test_categories_are_one_hot_vectors_in_the_model(tmp_path):
    net = network(categorical=True)
    words = np.random.default_rng(0).integers(I, size=(3, 7))
    model, x = exported(net, tmp_path), np.eye(I, dtype=np.float32)[words]
    expected = {"y": net.predict(words)}
    assert_outputs_close(run_in_onnxruntime(model, {"x": x}), expected, "float32")
    twin = crnn.onnx.load(model)
    assert repr(twin) == repr(net)
    np.testing.assert_array_equal(twin.predict(words), expected["y"])
    # Or as the model has it
    features = crnn.onnx.load(model, categorical=False)
    assert_outputs_close({"y": features.predict(x)}, expected, "float32")


@pytest.mark.parametrize("family", ["RNN", "GRU", "LSTM"])
def test_a_trainable_state_of_zeros_comes_back(tmp_path, family):
    net = getattr(crnn, family)(3, 4, 2, trainable_h0=True, seed=0)
    twin = crnn.onnx.load(exported(net, tmp_path))
    assert twin.trainable_h0
    np.testing.assert_array_equal(twin.flat_params, net.flat_params)


def test_the_model_is_documented_in_itself(tmp_path):
    graph = exported(network(family="LSTM", num_layers=2), tmp_path, lengths=True).graph

    def shapes(infos):
        return {
            info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
            for info in infos
        }

    assert shapes(graph.input) == {
        "x": ["batch", "time", I],
        "lengths": ["batch"],
        "h0": ["states_given", "batch_given", H],
        "c0": ["states_given", "batch_given", H],
    }
    assert shapes(graph.output) == {
        "y": ["batch", "time", O],
        "h_n": [2, "batch", H],
        "c_n": [2, "batch", H],
    }


def test_a_refused_export_leaves_the_file(tmp_path):
    path = tmp_path / "net.onnx"
    crnn.onnx.export(network(), path)
    content = path.read_bytes()
    for arguments in ((3, path), (network(), path)):
        with pytest.raises(TypeError):
            crnn.onnx.export(*arguments, lengths=1)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
