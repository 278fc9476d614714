"""ONNX models of one recurrent node, as somebody might write them, and models of networks."""

import network_problems
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import crnn.onnx

B, T, I, H, O = 3, 7, 4, 5, 2
LENGTHS = np.array([5, 7, 2], np.int32)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

# As a share of the largest number in an array
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}


def network(dtype="float32", **settings):
    return network_problems.network(**{"input_size": I, "output_size": O} | settings, dtype=dtype)


def inputs(dtype="float32"):
    return np.random.default_rng(1).normal(size=(B, T, I)).astype(dtype)


def first_states(net):
    """As a network takes them, and by name as a model's inputs."""
    packed = network_problems.random_state(net, batch=B)
    state = network_problems.unpacked(net, packed)
    parts = state if isinstance(state, tuple) else (state,)
    named = {name: part.reshape(-1, B, H) for name, part in zip(("h0", "c0"), parts, strict=False)}
    return state, named


def outputs_of(net, x, h0=None, lengths=None):
    """What the network returns, by the names of a model's outputs."""
    y, last = net.predict(x, h0, return_state=True, lengths=lengths)
    last = last if isinstance(last, tuple) else (last,)
    named = dict(zip(("h_n", "c_n"), last, strict=False))
    return {"y": y} | {name: part.reshape(-1, B, H) for name, part in named.items()}


def assert_outputs_close(found, expected, dtype):
    for name, array in expected.items():
        assert found[name].dtype == dtype, name
        limit = TOLERANCES[dtype] * np.abs(array).max()
        np.testing.assert_allclose(found[name], array, rtol=0, atol=limit, err_msg=name)


def run_in_onnxruntime(model, feed):
    """The outputs of a model by name, in ONNX Runtime."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def exported(net, folder, **options):
    """The model that `crnn.onnx.export` writes."""
    path = folder / "net.onnx"
    crnn.onnx.export(net, path, **options)
    return onnx.load(path)


def node(*args, **attributes):
    return helper.make_node(*args, **attributes)


def recurrent_model(
    operator,
    *,
    bidirectional=False,
    layout=0,
    bias=True,
    states=None,
    lengths=False,
    output="MatMul",
    dtype=np.float32,
    inputs=(),
    extra=(),
    **attributes,
):
    """Make a model of one recurrent node and an output layer.

    `states` are None, "inputs", "the same" or "different" for all sequences, or "computed";
    `output` is "MatMul", "no bias", "Gemm" of the last states, "last step" or None.
    """
    rng = np.random.default_rng(5)
    D, G = 2 if bidirectional else 1, GATES[operator]
    constants = {
        "W": rng.normal(0, 0.5, (D, G * H, I)),
        "R": rng.normal(0, 0.5, (D, G * H, H)),
        "W_hy": rng.normal(0, 0.5, (D * H, O)),
        "b_y": rng.normal(0, 0.5, (O,)),
        "side": np.array([0, 0, D * H]),
    }
    if bias:
        constants["B"] = rng.normal(0, 0.5, (D, 2 * G * H))
    real = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
    axes = ["time", "batch", I] if layout == 0 else ["batch", "time", I]
    graph_inputs = [helper.make_tensor_value_info("x", real, axes)]
    if lengths == "constant":
        constants["lengths"] = np.array([2, 3, 4])
    elif lengths:
        graph_inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    names = ("initial_h", "initial_c") if operator == "LSTM" else ("initial_h",)
    given, nodes = [""] * len(names), []
    if states == "inputs":
        given = list(names)
        shape = (D, "batch", H) if layout == 0 else ("batch", D, H)
        graph_inputs += [helper.make_tensor_value_info(name, real, shape) for name in names]
    elif states is not None:
        given = list(names)
        values = rng.normal(0, 0.5, (D, 1, H))
        for name in names:
            repeated = np.repeat(values, B, axis=1)
            if states == "different":
                repeated = repeated + rng.normal(size=(1, B, 1))
            constants[name] = repeated if layout == 0 else repeated.transpose(1, 0, 2)
    if states == "computed":
        nodes.append(node("Mul", ["initial_h", "initial_h"], ["squares"]))
        given = ["squares"]
    attributes["hidden_size"] = attributes.get("hidden_size", H)
    if bidirectional:
        attributes["direction"] = "bidirectional"
    if layout:
        attributes["layout"] = layout
    results = ["Y", "Y_h"] + (["Y_c"] if operator == "LSTM" else [])
    fields = ["x", "W", "R", "B" if bias else "", "lengths" if lengths else "", *given, *inputs]
    nodes.append(node(operator, fields, results, **attributes))
    nodes += _output_nodes(output, layout, D, constants)
    nodes += extra
    arrays = {
        name: np.array(v, np.int64 if np.asarray(v).dtype.kind == "i" else dtype, order="C")
        for name, v in constants.items()
    }
    last, has_time = nodes[-1].output[0], output not in ("Gemm", "last step")
    graph = helper.make_graph(
        nodes, "by hand", graph_inputs,
        [helper.make_tensor_value_info(last, real, ["a", "b", "c"][: 2 + has_time])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _output_nodes(output, layout, D, constants):
    """The nodes above the recurrent one; adds their constants."""
    if output == "Gemm":
        constants["flat"] = np.array([0, D * H])
        constants["W_hy"] = constants["W_hy"].T
        return [
            node(
                "Transpose", ["Y_h"], ["by_sequence"], perm=[1, 0, 2] if layout == 0 else [0, 1, 2]
            ),
            node("Reshape", ["by_sequence", "flat"], ["features"]),
            node("Gemm", ["features", "W_hy", "b_y"], ["y"], transB=1),
        ]
    nodes, merged = [], "Y"
    if layout == 0:
        nodes, merged = [node("Transpose", ["Y"], ["by_time"], perm=[0, 2, 1, 3])], "by_time"
    nodes.append(node("Reshape", [merged, "side"], ["features"]))
    if output == "MatMul":
        nodes.append(node("MatMul", ["features", "W_hy"], ["product"]))
        nodes.append(node("Add", ["b_y", "product"], ["y"]))
    elif output == "no bias":
        nodes.append(node("MatMul", ["features", "W_hy"], ["y"]))
    elif output == "last step":
        nodes.append(node("Constant", [], ["last"], value_int=-1))
        axis = 0 if layout == 0 else 1
        nodes.append(node("Gather", ["features", "last"], ["of_last"], axis=axis))
        nodes.append(node("MatMul", ["of_last", "W_hy"], ["y"]))
    return nodes
