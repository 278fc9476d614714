"""Graphs as exporters write them around recurrent nodes: networks that compute the same."""

import importlib

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_graphs import GATES, Graph  # noqa: E402
from onnx_models import (  # noqa: E402
    B,
    H,
    I,
    O,
    T,
    assert_outputs_close,
    node,
    recurrent_model,
    run_in_onnxruntime,
)

import crnn.onnx  # noqa: E402


def sequences(batch=B, steps=T):
    return np.random.default_rng(1).normal(size=(batch, steps, I)).astype(np.float32)


def check(model, *, time_major=False, x=None, **settings):
    """Read a model, compare with ONNX Runtime, and return the network."""
    net, x = crnn.onnx.load(model), sequences() if x is None else x
    feed = {"x": np.ascontiguousarray(x.swapaxes(0, 1)) if time_major else x}
    (theirs,) = run_in_onnxruntime(model, feed).values()
    ours = net.predict(x, **settings)
    if net.return_sequences and time_major:
        theirs = theirs.swapaxes(0, 1)
    assert_outputs_close({"y": ours}, {"y": theirs}, "float32")
    return net


def batch_size(graph):
    """The batch as tf2onnx has it, by a Slice of the shape in 32 bits."""
    shape = graph.add("Cast", graph.add("Shape", "x"), to=TensorProto.INT32)
    return graph.add("Slice", shape, np.array([0]), np.array([1]), np.array([0]))


def zeros_of_tf2onnx(graph):
    sizes = graph.add("Concat", batch_size(graph), np.array([H], np.int32), axis=0)
    sizes = graph.add("Cast", sizes, to=TensorProto.INT64)
    return graph.add("Unsqueeze", graph.add("Expand", 0.0, sizes), np.array([0]))


def zeros_of_torch(graph):
    shape = graph.add("Gather", graph.add("Shape", "x"), np.array(0), axis=0)
    batch = graph.add("Unsqueeze", shape, np.array([0]))
    sizes = graph.add("Concat", np.array([1]), batch, np.array([H]), axis=0)
    value = numpy_helper.from_array(np.zeros(1, np.float32))
    zeros = graph.add("ConstantOfShape", sizes, value=value)
    return graph.add("Cast", zeros, to=TensorProto.FLOAT)


def zeros_of_dynamo(graph):
    batch = graph.add("Shape", "x", start=0, end=1)
    sizes = graph.add("Concat", np.array([2]), batch, np.array([H]), axis=0)
    zeros = graph.add("Expand", 0.0, sizes)
    return graph.add("Slice", zeros, np.array([1]), np.array([2]), np.array([0]))


def ones_that_are_repeated(graph):
    return graph.add("Mul", zeros_plus_one(graph), 0.25)


def zeros_plus_one(graph):
    return graph.add("Add", zeros_of_torch(graph), np.ones((1, 1, H)))


FIRST_STATES = [zeros_of_tf2onnx, zeros_of_torch, zeros_of_dynamo, ones_that_are_repeated]


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("state", FIRST_STATES)
def test_first_states_that_are_computed(operator, state):
    graph = Graph()
    first = [state(graph)] * (2 if operator == "LSTM" else 1)
    x = graph.add("Transpose", "x", perm=[1, 0, 2])
    Y = graph.recurrent(operator, x, I, first=first)[0]
    steps = graph.add("Transpose", graph.add("Squeeze", Y, np.array([1])), perm=[1, 0, 2])
    net = check(graph.model(graph.dense(steps, H)))
    assert net.trainable_h0 is (state is ones_that_are_repeated)


def slice_and_squeeze(graph, Y, Y_h):
    steps = graph.add("Squeeze", Y, np.array([1]))
    last = graph.add("Slice", steps, np.array([-1]), np.array([2**31 - 1]), np.array([0]))
    return graph.add("Squeeze", last, np.array([0]))


def gather(graph, Y, Y_h):
    steps = graph.add("Transpose", graph.add("Squeeze", Y, np.array([1])), perm=[1, 0, 2])
    return graph.add("Gather", steps, np.array(-1), axis=1)


def gather_nd(graph, Y, Y_h):
    return graph.add("Squeeze", graph.add("GatherND", Y, np.array([-1])), np.array([0]))


def reduced(graph, Y, Y_h):
    last = graph.add("Slice", Y, np.array([-1]), np.array([2**62]))
    return graph.add("ReduceSum", last, np.array([0, 1]), keepdims=0)


def split(graph, Y, Y_h):
    steps = graph.add("Transpose", Y, perm=[1, 2, 0, 3])
    backwards = graph.add(
        "Slice", steps, np.array([-1]), np.array([-(2**62)]), np.array([2]), np.array([-1])
    )
    last = graph.add("Slice", backwards, np.array([0]), np.array([1]), np.array([2]))
    return graph.add("Reshape", last, np.array([-1, H]))


def last_states(graph, Y, Y_h):
    return graph.add("Flatten", graph.add("Transpose", Y_h, perm=[1, 0, 2]))


LAST = [slice_and_squeeze, gather, gather_nd, reduced, split, last_states]


@pytest.mark.parametrize("last", LAST)
def test_last_steps(last):
    graph = Graph()
    x = graph.add("Transpose", "x", perm=[1, 0, 2])
    Y, Y_h = graph.recurrent("GRU", x, I)
    net = check(graph.model(graph.dense(last(graph, Y, Y_h), H)))
    assert not net.return_sequences
    assert isinstance(net, crnn.GRU)


def test_last_states_of_both_directions_from_all_steps():
    """As tf2onnx has them: the last step forward and the first one backward, in a Concat."""
    graph = Graph()
    x = graph.add("Transpose", "x", perm=[1, 0, 2])
    Y, _, _ = graph.recurrent("LSTM", x, I, D=2)
    ends = []
    for direction, step in ((0, -1), (1, 0)):
        steps = graph.add("Gather", Y, np.array(direction), axis=1)
        ends.append(graph.add("Gather", steps, np.array(step), axis=0))
    together = graph.add("Concat", *ends, axis=1)
    net = check(graph.model(graph.dense(together, 2 * H)))
    assert net.bidirectional
    assert not net.return_sequences


def test_weights_that_are_sliced_and_joined():
    """As PyTorch's exporter with dynamo=True has them, and the biases as its first one."""
    graph = Graph()
    G = GATES["LSTM"]
    weights = []
    for inputs in (I, H):
        whole = graph.random(G * H, inputs)
        gates = [
            graph.add("Slice", whole, np.array([g * H]), np.array([g * H + H]), np.array([0]))
            for g in (0, 3, 1, 2)
        ]
        joined = graph.add("Concat", *gates, axis=0)
        weights.append(graph.add("Unsqueeze", joined, np.array([0])))
    bias = graph.add("Concat", graph.random(G * H), graph.random(G * H), axis=0)
    bias = graph.add("Unsqueeze", bias, np.array([0]))
    x = graph.add("Transpose", "x", perm=[1, 0, 2])
    Y, _, _ = graph.add("LSTM", x, *weights, bias, outputs=3, hidden_size=H)
    steps = graph.add("Transpose", graph.add("Squeeze", Y, np.array([1])), perm=[1, 0, 2])
    check(graph.model(steps))


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("last", [False, True])
def test_a_reverse_direction_alone(operator, last):
    graph = Graph()
    Y, Y_h, *_ = graph.recurrent(operator, "x", I, direction="reverse")
    result = graph.add("Squeeze", Y_h if last else Y, np.array([0 if last else 1]))
    net = check(graph.model(result), time_major=True)
    assert net.bidirectional
    assert net.output_size == H


def test_inputs_that_are_turned_around():
    """A forward node that reads them is a backward layer; both together are bidirectional."""
    graph = Graph()
    x = graph.add("Transpose", "x", perm=[1, 0, 2])
    bounds = np.array([-1]), np.array([-(2**62)]), np.array([0]), np.array([-1])
    forward, _ = graph.recurrent("GRU", x, I)
    backward, _ = graph.recurrent("GRU", graph.add("Slice", x, *bounds), I)
    both = graph.add("Concat", forward, graph.add("Slice", backward, *bounds), axis=3)
    steps = graph.add("Transpose", graph.add("Squeeze", both, np.array([1])), perm=[1, 0, 2])
    net = check(graph.model(graph.dense(steps, 2 * H)))
    assert isinstance(net, crnn.GRU)
    assert net.bidirectional


def test_layers_of_different_kinds_and_sizes():
    graph = Graph()
    x = graph.add("Transpose", "x", perm=[1, 0, 2])
    x = graph.add("Relu", graph.dense(x, I, 6))
    Y, _, _ = graph.recurrent("LSTM", x, 6, 4)
    Y, _ = graph.recurrent("GRU", graph.add("Squeeze", Y, np.array([1])), 4, 3, D=2)
    steps = graph.add("Reshape", graph.add("Transpose", Y, perm=[2, 0, 1, 3]), np.array([0, 0, 6]))
    hidden = graph.add("Tanh", graph.dense(steps, 6, 5))
    net = check(graph.model(graph.add("Softmax", graph.dense(hidden, 5), axis=-1)))
    assert [type(part).__name__ for part in net.parts] == ["Dense", "LSTM", "GRU", "Dense", "Dense"]
    # A stream needs layers that read forward.
    assert net.parts[1].stream().step(np.zeros(6)).shape == (4,)


def test_the_last_layer_of_several():
    """h_n[-1]: what a Gather takes of the last states of all layers."""
    graph = Graph()
    x, lasts = graph.add("Transpose", "x", perm=[1, 0, 2]), []
    for inputs in (I, H, H):
        Y, Y_h = graph.recurrent("RNN", x, inputs)
        x = graph.add("Squeeze", Y, np.array([1]))
        lasts.append(Y_h)
    h_n = graph.add("Concat", *lasts, axis=0)
    last = graph.add("Gather", h_n, np.array(-1), axis=0)
    net = check(graph.model(graph.add("Sigmoid", graph.dense(last, H))))
    assert [type(part).__name__ for part in net.parts] == ["RNN", "Dense"]
    assert net.parts[0].num_layers == 3


def test_scales_and_batch_normalization():
    graph = Graph()
    x = graph.add("Div", graph.add("Sub", "x", graph.random(I)), graph.constant(np.full(I, 3.0)))
    _, Y_h = graph.recurrent("GRU", graph.add("Transpose", x, perm=[1, 0, 2]), I)
    h = graph.add("Squeeze", Y_h, np.array([0]))
    numbers = [graph.random(H) for _ in range(3)]
    variance = graph.constant(np.linspace(0.5, 2.0, H))
    h = graph.add("BatchNormalization", h, *numbers, variance)
    net = check(graph.model(graph.add("Mul", graph.dense(h, H), graph.random(O))))
    assert [type(part).__name__ for part in net.parts] == ["Dense", "GRU"]


def test_fixed_sizes():
    """A batch and a time that the graph is for, in Reshapes and Slices."""
    graph = Graph()
    x = graph.add("Reshape", "x", np.array([B, T, I]))
    Y, _ = graph.recurrent("GRU", graph.add("Transpose", x, perm=[1, 0, 2]), I)
    rows = graph.add("Reshape", graph.add("Transpose", Y, perm=[2, 0, 1, 3]), np.array([B * T, H]))
    y = graph.add("Reshape", graph.dense(rows, H), np.array([B, T, O]))
    first = graph.add("Slice", y, np.array([0]), np.array([1000]), np.array([1]))
    check(graph.model(first, shape=(B, T, I)))


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_lengths(kind):
    graph = Graph()
    lengths = graph.add("Cast", "lengths", to=TensorProto.INT32)
    _, Y_h = graph.recurrent("GRU", graph.add("Transpose", "x", perm=[1, 0, 2]), I, lengths=lengths)
    result = graph.dense(graph.add("Squeeze", Y_h, np.array([0])), H)
    given = helper.make_tensor_value_info(
        "lengths", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), ["batch"]
    )
    model, steps = graph.model(result, inputs=[given]), np.array([2, 7, 4])
    net, x = crnn.onnx.load(model), sequences()
    (theirs,) = run_in_onnxruntime(model, {"x": x, "lengths": steps.astype(kind)}).values()
    assert_outputs_close({"y": net.predict(x, lengths=steps)}, {"y": theirs}, "float32")


def test_constant_lengths_of_whole_sequences():
    graph = Graph()
    lengths = graph.constant(np.full(B, T, np.int32))
    Y, _ = graph.recurrent("GRU", "x", I, lengths=lengths)
    check(graph.model(graph.add("Squeeze", Y, np.array([1])), shape=(T, B, I)), time_major=True)


def test_a_branch_that_sizes_decide():
    """PyTorch's squeeze of an axis whose size is open."""
    graph = Graph()
    Y, _ = graph.recurrent("RNN", "x", I)
    size = graph.add("Gather", graph.add("Shape", Y), np.array(1), axis=0)
    is_one = graph.add("Equal", size, np.array(1))
    branches = {}
    for name, operator in (("then_branch", "Squeeze"), ("else_branch", "Identity")):
        inputs = [Y, graph.constant(np.array([1]))][: 2 if operator == "Squeeze" else 1]
        branches[name] = helper.make_graph(
            [node(operator, inputs, [f"of_{operator}"])], name, [],
            [helper.make_tensor_value_info(f"of_{operator}", TensorProto.FLOAT, None)],
        )  # fmt: skip
    check(graph.model(graph.dense(graph.add("If", is_one, **branches), H)), time_major=True)


def test_branches_with_the_same_names_inside():
    graph = Graph()
    Y, _ = graph.recurrent("GRU", graph.add("Transpose", "x", perm=[1, 0, 2]), I)
    y = graph.add("Squeeze", Y, np.array([1]))
    true, one = graph.add("Equal", 2, 2), graph.constant(1.0)
    info = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [])
    for number in (2, 3):
        added = numpy_helper.from_array(np.float32(number), "added")
        branch = helper.make_graph([node("Add", [one, "added"], ["sum"])], "of_branch", [], [info],
                                   [added])  # fmt: skip
        y = graph.add("Add", y, graph.add("If", true, then_branch=branch, else_branch=branch))
    check(graph.model(graph.add("Transpose", y, perm=[1, 0, 2])))


def test_inputs_in_another_order():
    graph = Graph()
    Y, _ = graph.recurrent("GRU", graph.add("Transpose", "x", perm=[1, 0, 2]), I, lengths="ends")
    infos = [
        helper.make_tensor_value_info("ends", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("not_read", TensorProto.FLOAT, ["batch", "time"]),
    ]
    model = graph.model(graph.add("Squeeze", Y, np.array([1])), inputs=infos)
    net = crnn.onnx.load(model)
    inputs = list(model.graph.input)[::-1]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    assert (crnn.onnx.load(model).flat_params == net.flat_params).all()


def test_constants_as_the_input_is():
    """As PyTorch's new exporter has them."""
    graph = Graph()
    x = graph.add("Mul", "x", graph.add("CastLike", np.float32(0.5), "x"))
    Y, _ = graph.recurrent("RNN", x, I)
    check(graph.model(graph.add("Squeeze", Y, np.array([1]))), time_major=True)


def softmax_of_all_steps():
    """Softmax of version 11 is over its axis, 1, and all behind it."""
    graph = Graph()
    y = graph.dense(graph.recurrent("GRU", "x", I, layout=1)[0], H)
    return graph.model(graph.add("Softmax", graph.add("Squeeze", y, axes=[2])), version=11)


def sliced_at(start, stop):
    """Some steps of sequences, and no more than there are features."""
    graph = Graph()
    x = graph.add("Slice", graph.dense("x", I, 16), *map(np.array, ([start], [stop], [1])))
    return graph.model(graph.recurrent("GRU", x, 16, layout=1)[0])


def halves_of_whole_numbers():
    graph = Graph()
    x = graph.add("Cast", graph.add("Div", "x", np.array(2)), to=TensorProto.FLOAT)
    model = graph.model(graph.recurrent("GRU", x, I, layout=1)[0])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


def cast_to_whole_numbers_and_back():
    graph = Graph()
    x = graph.add("CastLike", graph.add("CastLike", "x", np.array(1)), np.float32(1))
    return graph.model(graph.recurrent("GRU", x, I, layout=1)[0])


def lengths_of_one():
    graph = Graph()
    ends = graph.add("Cast", graph.add("Cast", "ends", to=TensorProto.BOOL), to=TensorProto.INT32)
    Y, _ = graph.recurrent("GRU", "x", I, layout=1, lengths=ends)
    info = helper.make_tensor_value_info("ends", TensorProto.INT32, ["batch"])
    return graph.model(Y, inputs=[info])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (cast_to_whole_numbers_and_back(), "CastLike .*: expected a cast to floats"),
        (lengths_of_one(), "Cast .*: expected a cast to floats"),
        (softmax_of_all_steps(), "Softmax .*: expected all features of Add .* in one axis"),
        (sliced_at(0, 6), "Slice .*: expected sequences of any length, got a slice at 6"),
        (sliced_at(-6, 2**63 - 1), "Slice .*: expected sequences of any length, got a slice at -6"),
        (halves_of_whole_numbers(), "Div .*: expected one constant of floats, got all steps of x"),
        (Graph().model("x", version=6), "expected ONNX operators of version 7 or later, got 6"),
    ],
)
def test_refusals_of_what_looks_like_a_network(model, message):
    with pytest.raises(crnn.ModelFileError, match=message):
        crnn.onnx.load(model)


def test_quantized_weights():
    graph = Graph()
    arrays = []
    for shape in ((1, 3 * H, I), (1, 3 * H, H)):
        codes = graph.rng.integers(-128, 127, shape).astype(np.int8)
        arrays.append(graph.add("DequantizeLinear", codes, np.float32(0.01), np.int8(3)))
    Y, _ = graph.add("GRU", "x", *arrays, outputs=2, hidden_size=H)
    check(graph.model(graph.add("Squeeze", Y, np.array([1]))), time_major=True)


def test_nodes_that_the_output_does_not_need():
    model = recurrent_model("GRU", extra=[])
    expected = crnn.onnx.load(model)
    model.graph.node.append(node("Loop", ["absent"], ["z"]))
    model.graph.node.append(node("Custom", ["Y"], ["z2"], domain="com.example"))
    assert np.array_equal(crnn.onnx.load(model).flat_params, expected.flat_params)


# How many tests ONNX itself has of each operator, in its first release that is supported
TESTS_OF_ONNX = {"RNN": 4, "GRU": 4, "LSTM": 4}


@pytest.mark.parametrize("operator", TESTS_OF_ONNX)
def test_the_tests_of_onnx(operator, monkeypatch):
    """Whose weights are inputs: here they are constants."""
    module = importlib.import_module(f"onnx.backend.test.case.node.{operator.lower()}")
    tests = []
    monkeypatch.setattr(module, "expect", lambda *args, **settings: tests.append((args, settings)))
    tests_of_operator = getattr(module, operator)
    for name in dir(tests_of_operator):
        if name.startswith("export"):
            getattr(tests_of_operator, name)()
    assert len(tests) >= TESTS_OF_ONNX[operator]
    for (written,), settings in tests:
        x, *weights = settings["inputs"]
        names = [name for name in written.input if name][1:]
        result = next(name for name in written.output if name)
        graph = helper.make_graph(
            [written], settings["name"],
            [helper.make_tensor_value_info(written.input[0], TensorProto.FLOAT, x.shape)],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(array, name)
                for name, array in zip(names, weights, strict=True)
            ],
        )  # fmt: skip
        model = helper.make_model(graph)
        if "peepholes" in settings["name"]:
            with pytest.raises(crnn.ModelFileError, match="expected no peepholes, got an input P"):
                crnn.onnx.load(model)
            continue
        is_batchwise = any(entry.name == "layout" and entry.i for entry in written.attribute)
        net, (expected, *_) = crnn.onnx.load(model), settings["outputs"]
        y = net.predict(x if is_batchwise else x.swapaxes(0, 1))
        if not is_batchwise:
            expected = expected.transpose((2, 0, 1, 3) if net.return_sequences else (1, 0, 2))
        assert_outputs_close({"y": y}, {"y": expected.reshape(y.shape)}, "float32")


EXPLAINED = """\
  input x
  RNN of 'Y': (x, W, R, B, -, -) -> (Y, Y_h)  all steps of RNN of 'Y'
  Transpose of 'by_time': (Y) -> (by_time)  all steps of RNN of 'Y'
  Reshape of 'features': (by_time, side) -> (features)  all steps of RNN of 'Y'
  MatMul of 'product': (features, W_hy) -> (product)  all steps of MatMul of 'product'
  Add of 'y': (b_y, product) -> (y)  all steps of Add of 'y'
"""


def test_explain(capsys):
    crnn.onnx.explain(recurrent_model("RNN"))
    assert capsys.readouterr().out == EXPLAINED + (
        "  read as RNN(input_size=4, hidden_size=5, output_size=2, dtype='float32', "
        f"implementation='{crnn.implementation}')\n"
    )
    crnn.onnx.explain(recurrent_model("RNN", extra=[node("Erf", ["y"], ["z"])]))
    assert capsys.readouterr().out == EXPLAINED + (
        "> Erf of 'z': (y) -> (z)\n"
        "> model: Erf of 'z': expected operators that crnn's networks have\n"
    )
