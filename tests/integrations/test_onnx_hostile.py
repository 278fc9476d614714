"""ONNX models made to do harm: small files that asked for much memory."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from memory import peak_of  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402
from onnx_models import recurrent_model  # noqa: E402

import crnn  # noqa: E402
import crnn.onnx  # noqa: E402


def refused(model, match):
    with pytest.raises(crnn.ModelFileError, match=match):
        crnn.onnx.load(model)


def test_texts_in_a_constant():
    """As an array, all of them are as long as the longest: ten gigabytes."""
    texts = [b"a" * 100_000, *[b"b"] * 100_000]
    node = helper.make_node("Constant", [], ["texts"], value_strings=texts)
    model = recurrent_model("RNN")
    model.graph.node.insert(0, node)
    assert peak_of(crnn.onnx.load, model) < 10 << 20


def test_nodes_that_share_weights():
    """Each would copy them."""
    model = recurrent_model("RNN", output=None)
    weights = numpy_helper.from_array(np.zeros((1, 5, 50_000), np.float32), "W")
    next(t for t in model.graph.initializer if t.name == "W").CopyFrom(weights)
    node = model.graph.node[0]
    nodes = [helper.make_node("Squeeze", ["Y", "axes"], ["features"])]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
    for _ in range(100):
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.input[0] = "features"
        nodes.append(copied)
        nodes.append(helper.make_node("Squeeze", ["Y", "axes"], ["features"]))
    model.graph.node.extend(nodes)
    assert peak_of(refused, model, "weights of its own|W of 5 inputs") < 10 << 20


def test_more_layers_than_files_of_crnn_have():
    nodes, constants, x = [], [], "x"
    constants.append(numpy_helper.from_array(np.array([1]), "axes"))
    for number in range(1001):
        for name in "WR":
            array = np.zeros((1, 1, 1), np.float32)
            constants.append(numpy_helper.from_array(array, f"{name}{number}"))
        nodes.append(helper.make_node("RNN", [x, f"W{number}", f"R{number}"], [f"Y{number}"]))
        x = f"x{number}"
        nodes.append(helper.make_node("Squeeze", [f"Y{number}", "axes"], [x]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "chain", [value("x", 1, ["a", "b", 1])], [value(x, 1, ["a", "b", 1])], constants
    )
    refused(helper.make_model(graph), "expected at most 1000 layers, got more")


def test_many_fields(tmp_path):
    """Two bytes in a file, and a hundred in memory."""
    path = tmp_path / "net.onnx"
    count = 200_000
    # Field 7, the graph, of so many bytes; in it field 1, a node, of none
    path.write_bytes(b"\x3a\x80\xb5\x18" + b"\x0a\x00" * count)
    refused(path, r"expected an ONNX model, got more than 10\d+ fields")
    path.write_bytes(b"\x3a\x7f")
    refused(path, "expected an ONNX model, got a part of a field")
    path.write_bytes(b"\xff" * 20)
    refused(path, "expected an ONNX model, got a part of a number")
    path.write_bytes(b"\x0b")
    refused(path, "expected an ONNX model, got a field of form 3")
