"""ONNX models made to do harm: small files that asked for much memory."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from memory import peak_of  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402
from onnx_graphs import Graph  # noqa: E402
from onnx_models import I, recurrent_model  # noqa: E402

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
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 50_000
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
    assert peak_of(refused, model, "expected weights for 5 features, got") < 40 << 20


@pytest.mark.parametrize("operator", ["Relu", "MatMul"])
def test_dense_layers_of_few_bytes(operator):
    """Of each there would be a matrix in a chain: 200 or 400 MB."""
    graph, size = Graph(), 600
    y = graph.recurrent("RNN", "x", I, size, layout=1)[0]
    y = graph.add("Reshape", y, np.array([0, 0, size]))
    matrix = [graph.random(size, size)] if operator == "MatMul" else []
    for _ in range(150):
        y = graph.add(operator, y, *matrix)
    model = graph.model(y)
    assert peak_of(refused, model, "expected constants of at most") < 60 << 20


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


def constant(name, array):
    return numpy_helper.from_array(array, name)


def with_nodes(nodes, constants, needs=None):
    """A model that begins with further nodes, and whose output needs a tensor."""
    model = recurrent_model("RNN")
    nodes = [*nodes, *model.graph.node]
    if needs:
        nodes.append(helper.make_node("Add", [model.graph.output[0].name, needs], ["with it"]))
        model.graph.output[0].name = "with it"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    return model


def test_many_axes():
    """Their product has millions of digits."""
    tensor = onnx.TensorProto(name="W2", data_type=1, dims=[2**62] * 1000, raw_data=b"abcd")
    refused(with_nodes([], [tensor], needs="W2"), "W2: expected at most 64 axes, got 1000")


@pytest.mark.parametrize(
    ("field", "numbers"), [("value_ints", [1] * 2**20), ("value", [1] * (2**20 + 1))]
)
def test_lists_of_whole_numbers(tmp_path, field, numbers):
    """Each takes a byte in a file, and eight or more in memory."""
    if field == "value":
        value = helper.make_tensor("t", 7, [len(numbers)], numbers)
        node = helper.make_node("Constant", [], ["c"], value=value)
        (tmp_path / "net.onnx").write_bytes(with_nodes([node], []).SerializeToString())
        refused(tmp_path / "net.onnx", "expected an ONNX model, got lists of millions of whole")
    else:
        model = with_nodes([helper.make_node("Constant", [], ["c"], value_ints=numbers)], [])
        assert peak_of(crnn.onnx.load, model) < 10 * len(numbers)


def test_a_constant_of_many_floats():
    node = helper.make_node("Constant", [], ["c"], value_floats=[0.5] * 100_000)
    assert peak_of(crnn.onnx.load, with_nodes([node], [])) < 1_100_000


@pytest.mark.parametrize("operator", ["Reshape", "Squeeze"])
def test_many_numbers_as_axes(operator):
    ones = constant("ones", np.ones(100_000, np.float32))
    node = helper.make_node(operator, ["ones", "ones"], ["z"])
    model = with_nodes([node], [ones], needs="z")
    refused(model, f"{operator} of 'z': expected at most 1000 axes or sizes, got 100000")


def test_nodes_that_copy_constants():
    """A transposed array is copied where it gets another shape."""
    nodes, total = [helper.make_node("Transpose", ["big"], ["transposed"])], "big"
    for n in range(100):
        nodes.append(helper.make_node("Reshape", ["transposed", "shape"], [f"y{n}"]))
        nodes.append(helper.make_node("Concat", [total, f"y{n}"], [f"t{n}"], axis=0))
        total = f"t{n}"
    constants = [
        constant("big", np.zeros((250, 1000), np.float32)),
        constant("shape", np.array([250, 1000])),
    ]
    model = with_nodes(nodes, constants, needs=total)
    assert peak_of(refused, model, "expected constants of at most 39 MB in all") < 60 << 20


BIG = np.array([1 << 20] * 2)
# By what asks for terabytes
BOMBS = {
    "ConstantOfShape": (["big"], {}),
    "Expand": (["one", "big"], {}),
    "Tile": (["square", "big"], {}),
    "Range": (["zero", "huge", "step"], {}),
    "Pad": (["square", "pads"], {}),
    "OneHot": (["big", "huge", "bounds"], {}),
    "Gather": (["wide", "indices"], {}),
    "MatMul": (["column", "row"], {}),
    "Gemm": (["column", "row"], {}),
    "Add": (["column", "row"], {}),
    "Where": (["is_big", "column", "row"], {}),
    "Split": (["square"], {"num_outputs": 1 << 40}),
}


@pytest.mark.parametrize("operator", BOMBS)
def test_constants_that_are_computed(operator):
    inputs, attributes = BOMBS[operator]
    arrays = {
        "big": BIG, "one": np.float32(1), "square": np.ones((2, 2), np.float32),
        "zero": np.int64(0), "huge": np.int64(1 << 50), "step": np.int64(1),
        "pads": np.array([1 << 40] * 4), "bounds": np.zeros(2, np.float32),
        "wide": np.zeros((1, 1 << 16), np.float32), "indices": np.zeros(1 << 16, np.int64),
        "column": np.ones((1 << 14, 1), np.float32), "row": np.ones((1, 1 << 14), np.float32),
        "is_big": np.array([True]),
    }  # fmt: skip
    node = helper.make_node(operator, inputs, ["z"], **attributes)
    model = with_nodes([node], [constant(name, arrays[name]) for name in inputs], needs="z")
    sentence = f"{operator} of 'z': expected (constants of at most|as many outputs)"
    assert peak_of(refused, model, sentence) < 40 << 20


def test_an_input_of_terabytes():
    model = recurrent_model("RNN")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 60
    assert peak_of(refused, model, "Input 'x': expected constants of at most 32 MB") < 10 << 20


@pytest.mark.parametrize("operator", ["Loop", "Scan", "ImageDecoder", "RegexFullMatch", "Einsum"])
def test_operators_that_are_not_computed(operator):
    node = helper.make_node(operator, ["b_y"], ["z"])
    refused(
        with_nodes([node], [], needs="z"),
        f"{operator} of 'z': expected operators that crnn's networks have",
    )


def test_graphs_within_graphs():
    """Each branch of an If holds another one."""
    info = helper.make_tensor_value_info("z", 1, None)
    graph = helper.make_graph([helper.make_node("Identity", ["b_y"], ["z"])], "g", [], [info])
    for _ in range(20):
        node = helper.make_node("If", ["yes"], ["z"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [info])
        if graph.ByteSize() > 1 << 20:
            break
    model = with_nodes(graph.node, [constant("yes", np.array(True))], needs="z")
    refused(model, "expected at most 8 graphs within each other|made before it is read")
