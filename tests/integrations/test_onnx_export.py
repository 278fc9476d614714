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
    model = exported(net, tmp_path, lengths=has_lengths, states=has_states)
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
    evaluator = ReferenceEvaluator(exported(net, tmp_path, states=True))
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
    net = network(family="LSTM", num_layers=2)
    graph = exported(net, tmp_path, lengths=True, states=True).graph

    def shapes(infos):
        return {
            info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
            for info in infos
        }

    assert shapes(graph.input) == {
        "x": ["batch", "time", I],
        "lengths": ["batch"],
        "h0": [2, "batch", H],
        "c0": [2, "batch", H],
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


CHAIN = {
    "sizes and cells": [
        lambda: crnn.Dense(WEIGHTS[(6, I)], np.arange(6.0), "relu"),
        lambda: crnn.LSTM(6, 4, seed=1),
        lambda: crnn.GRU(4, 3, bidirectional=True, trainable_h0=True, seed=2),
        lambda: crnn.Dense(WEIGHTS[(O, 6)], activation="tanh"),
    ],
    "last states": [
        lambda: crnn.RNN(I, 5, 4, seed=1),
        lambda: crnn.LSTM(4, 3, num_layers=2, return_sequences=False, seed=2),
        lambda: crnn.Dense(WEIGHTS[(6, 3)], activation="sigmoid"),
        lambda: crnn.Dense(WEIGHTS[(O, 6)], activation="softmax"),
    ],
}
WEIGHTS = {
    shape: np.random.default_rng(4).normal(size=shape).astype(np.float32)
    for shape in ((6, I), (O, 6), (6, 3))
}


@pytest.mark.parametrize("name", CHAIN)
@pytest.mark.parametrize("has_lengths", [False, True], ids=["whole", "lengths"])
def test_chains(tmp_path, name, has_lengths):
    net, x = crnn.Sequential([make() for make in CHAIN[name]]), inputs()
    model = exported(net, tmp_path, lengths=has_lengths)
    lengths = LENGTHS if has_lengths else None
    feed = {"x": x} | ({"lengths": LENGTHS} if has_lengths else {})
    expected = {"y": net.predict(x, lengths=lengths)}
    found = run_in_onnxruntime(model, feed)
    assert_outputs_close({"y": found["y"]}, expected, "float32")
    assert list(found)[:2] == ["y", "h_n_0"]
    twin = crnn.onnx.load(model)
    assert_outputs_close({"y": twin.predict(x, lengths=lengths)}, expected, "float32")


def test_a_network_twice_in_a_chain(tmp_path):
    part, x = crnn.GRU(I, I, seed=1), inputs()
    net = crnn.Sequential([part, part])
    model = exported(net, tmp_path, states=True)
    names = [output.name for output in model.graph.output]
    assert names == ["y", "h_n_0", "h_n_1"]
    zeros = np.zeros((1, len(x), I), np.float32)
    found = run_in_onnxruntime(model, {"x": x, "h0_0": zeros, "h0_1": zeros})
    assert_outputs_close({"y": found["y"]}, {"y": net.predict(x)}, "float32")


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("has_lengths", [False, True], ids=["whole", "lengths"])
def test_probabilities(tmp_path, outputs, has_lengths):
    net, x = network(family="GRU", output_size=outputs), inputs()
    model = exported(net, tmp_path, probabilities=True, lengths=has_lengths)
    y = net.predict(x).astype(np.float64)
    odds = np.exp(y)
    expected = odds / (1 + odds) if outputs == 1 else odds / odds.sum(axis=-1, keepdims=True)
    feed = {"x": x}
    if has_lengths:
        feed["lengths"] = LENGTHS
        expected = expected * (np.arange(x.shape[1]) < LENGTHS[:, None])[..., None]
    found = run_in_onnxruntime(model, feed)["y"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["classifier", "regressor", "regressor of two"])
def test_estimators(tmp_path, kind):
    pytest.importorskip("sklearn")
    from crnn.sklearn import RNNClassifier, RNNRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, size=(12, 6, I)).astype(np.float32)
    settings = {"hidden_size": 4, "n_networks": 2, "max_iter": 2, "random_state": 0, "cell": "gru"}
    if kind == "classifier":
        net = RNNClassifier(**settings).fit(x, np.arange(12) % 3)
        expected = net.predict_proba(x)
    else:
        y = rng.normal(100.0, 10.0, size=(12, 2) if "two" in kind else 12)
        net = RNNRegressor(**settings).fit(x, y)
        expected = net.predict(x).reshape(12, -1)
    model = exported(net, tmp_path)
    found = run_in_onnxruntime(model, {"x": x})
    assert list(found) == ["y"]
    np.testing.assert_allclose(found["y"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"^net: expected a network without a leak for ONNX"):
        crnn.onnx.export(crnn.RNN(2, 3, leak=0.5), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="lengths: expected False for an estimator, got True"):
        crnn.onnx.export(net, tmp_path / "net.onnx", lengths=True)
    if kind == "regressor":
        with pytest.raises(ValueError, match="probabilities: expected a classifier"):
            crnn.onnx.export(net, tmp_path / "net.onnx", probabilities=True)
    with pytest.raises(ValueError, match="net: expected a fitted estimator"):
        crnn.onnx.export(type(net)(), tmp_path / "net.onnx")


def test_onnx_runtime_does_not_warn(tmp_path, run_python):
    pytest.importorskip("onnxruntime")
    nets = {
        "plain": network(family="LSTM", num_layers=2),
        "trained": network(family="GRU", trainable_h0=True, bidirectional=True),
        "chain": crnn.Sequential([make() for make in CHAIN["last states"]]),
    }
    paths = []
    for name, net in nets.items():
        for states in (False, True):
            paths.append(str(tmp_path / f"{name}{states}.onnx"))
            crnn.onnx.export(net, paths[-1], lengths=True, states=states)
    said = run_python(
        f"import onnxruntime\nfor path in {paths!r}: onnxruntime.InferenceSession(path)"
    )
    assert (said.returncode, said.stderr) == (0, "")
