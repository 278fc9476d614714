"""The last step of a bidirectional layer in ONNX models: read, and written."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx_graphs import GATES, Graph  # noqa: E402
from onnx_models import (  # noqa: E402
    LENGTHS,
    H,
    I,
    O,
    assert_outputs_close,
    exported,
    inputs,
    network,
    run_in_onnxruntime,
)

import crnn.onnx  # noqa: E402


def features(graph, Y, hidden=H):
    """All directions side by side, (batch, time, features)."""
    by_batch = graph.add("Transpose", Y, perm=[2, 0, 1, 3])
    return graph.add("Reshape", by_batch, np.array([0, 0, 2 * hidden]))


def gather(graph, y):
    return graph.add("Gather", y, np.array(-1), axis=1)


def slice_and_squeeze(graph, y):
    end = graph.add("Slice", y, np.array([-1]), np.array([2**31 - 1]), np.array([1]))
    return graph.add("Squeeze", end, np.array([1]))


def nothing(graph, y):
    return y


def linear(graph, y):
    return graph.dense(y, 2 * H)


def two_layers(graph, y):
    return graph.add("Softmax", graph.dense(graph.add("Relu", linear(graph, y)), O), axis=-1)


def takes_last_step(net):
    parts = net if isinstance(net, crnn.Sequential) else [net]
    return any(isinstance(part, crnn.LastStep) for part in parts)


def check(graph, result, last_step):
    model = graph.model(result)
    net, x = crnn.onnx.load(model), inputs()
    (theirs,) = run_in_onnxruntime(model, {"x": x}).values()
    assert_outputs_close({"y": net.predict(x)}, {"y": theirs}, "float32")
    assert takes_last_step(net) is last_step
    return net


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("head", [nothing, linear, two_layers])
@pytest.mark.parametrize("is_first", [True, False], ids=["step first", "head first"])
def test_both_directions(operator, layers, head, is_first):
    graph = Graph()
    x, count = graph.add("Transpose", "x", perm=[1, 0, 2]), I
    for _ in range(layers):
        Y = graph.recurrent(operator, x, count, D=2)[0]
        y, count = features(graph, Y), 2 * H
        x = graph.add("Transpose", y, perm=[1, 0, 2])
    take = gather if layers == 1 else slice_and_squeeze
    y = head(graph, take(graph, y)) if is_first else take(graph, head(graph, y))
    net = check(graph, y, True)
    assert net[0].num_layers == layers
    assert [type(part) for part in net[1:2]] == [crnn.LastStep]


@pytest.mark.parametrize("operator", GATES)
def test_a_layer_that_reads_backward(operator):
    """At the last step it has read one step; at the first one it has read all."""
    for step, last_step in ((-1, True), (0, False)):
        graph = Graph()
        x = graph.add("Transpose", "x", perm=[1, 0, 2])
        Y = graph.recurrent(operator, x, I, direction="reverse")[0]
        y = graph.add("Gather", graph.add("Squeeze", Y, np.array([1])), np.array(step), axis=0)
        check(graph, graph.dense(y, H), last_step)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("has_lengths", [False, True], ids=["whole", "lengths"])
def test_chains_that_are_written(tmp_path, bidirectional, has_lengths):
    net = network(family="GRU", bidirectional=bidirectional, output_size=None)
    weight = np.random.default_rng(4).normal(size=(O, net.architecture.outputs))
    dense = crnn.Dense(weight, activation="sigmoid", dtype="float32")
    chain = crnn.Sequential([net, crnn.LastStep(), dense])
    model, x = exported(chain, tmp_path, lengths=has_lengths), inputs()
    lengths = LENGTHS if has_lengths else None
    feed = {"x": x} | ({"lengths": LENGTHS} if has_lengths else {})
    y = run_in_onnxruntime(model, feed)["y"]
    assert_outputs_close({"y": y}, {"y": chain.predict(x, lengths=lengths)}, "float32")
    if has_lengths:
        with pytest.raises(crnn.ModelFileError, match=r"Sub of .*: expected one constant of"):
            crnn.onnx.load(model)
    else:
        twin = crnn.onnx.load(model)
        assert takes_last_step(twin) is bidirectional
        np.testing.assert_array_equal(twin.predict(x), chain.predict(x))
