"""What crnn.onnx refuses, by name."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402
from onnx_models import O, exported, network, node, recurrent_model  # noqa: E402
from refusals import refusal  # noqa: E402
from refused_calls import check_refusal, refusal_tests  # noqa: E402

import crnn  # noqa: E402
import crnn.onnx  # noqa: E402


def by_hand(name, sentence, operator="RNN", **settings):
    """A model that is written otherwise."""

    def call():
        crnn.onnx.load(recurrent_model(operator, **settings))

    return refusal(name, call, crnn.ModelFileError, f"model: {sentence}")


BY_HAND = [
    by_hand(
        "constant lengths",
        "RNN of 'Y': expected sequence_lens that are an input of the model or 3 steps for each of "
        "5 sequences, got [2, 3, 4]",
        lengths="constant",
    ),
    by_hand(
        "a mask of something else",
        "Greater of 'is_large': expected a comparison of steps with lengths",
        extra=[
            node("Constant", [], ["zero"], value_float=0.0),
            node("Greater", ["y", "zero"], ["is_large"]),
            node("Where", ["is_large", "y", "zero"], ["z"]),
        ],
    ),
    by_hand(
        "peepholes", "LSTM of 'Y': expected no peepholes, got an input P", "LSTM",
        inputs=["W_hy"],
    ),
    by_hand("input_forget", "LSTM of 'Y': expected input_forget=0, got 1", "LSTM", input_forget=1),
    by_hand("clip", "GRU of 'Y': expected no clip, got 3.5", "GRU", clip=3.5),
    by_hand(
        "activations", "GRU of 'Y': expected its usual activations, got HardSigmoid, Tanh", "GRU",
        activations=["HardSigmoid", "Tanh"],
    ),
    by_hand(
        "relu in an LSTM",
        "LSTM of 'Y': expected its usual activations, got Sigmoid, Relu, Tanh", "LSTM",
        activations=["Sigmoid", "Relu", "Tanh"],
    ),
    by_hand(
        "parameters of activations", "RNN of 'Y': expected no activation_alpha, got [0.5]",
        activation_alpha=[0.5],
    ),
    by_hand(
        "an unknown direction",
        "RNN of 'Y': expected direction forward, reverse or bidirectional, got sideways",
        direction="sideways",
    ),
    by_hand(
        "states of each sequence", "RNN of 'Y': expected the same first states for all sequences",
        states="different",
    ),
    by_hand(
        "another operator above", "Erf of 'z': expected operators that crnn's networks have",
        extra=[node("Erf", ["y"], ["z"])],
    ),
    by_hand(
        "two outputs of layers in one product",
        "MatMul of 'z': expected constant weights of two axes, got all steps of RNN of 'Y'",
        output=None, extra=[node("MatMul", ["features", "features"], ["z"])],
    ),
    by_hand(
        "a sum of steps",
        "ReduceSum of 'z': expected operators that crnn's networks have, got one over several "
        "elements",
        extra=[node("ReduceSum", ["y"], ["z"])],
    ),
    by_hand(
        "the last hundred steps", "Slice of 'z': expected sequences of any length, got a slice at "
        "-100",
        extra=[
            node("Constant", [], ["start"], value_ints=[-100]),
            node("Constant", [], ["end"], value_ints=[2**62]),
            node("Slice", ["y", "start", "end"], ["z"]),
        ],
    ),
    by_hand(
        "a named node", "Erf 'head': expected operators that crnn's networks have",
        extra=[node("Erf", ["y"], ["z"], name="head")],
    ),
    by_hand(
        "another domain", "Attention of 'z': expected ONNX's own operators, got com.example",
        extra=[node("Attention", ["y"], ["z"], domain="com.example")],
    ),
    by_hand(
        "weights of another size", "MatMul of 'z': expected weights for 2 features, got 5",
        extra=[node("MatMul", ["y", "W_hy"], ["z"])],
    ),
    by_hand(
        "an order of its own",
        "Add of 'z': expected a tensor that is made before it is read, got late",
        extra=[node("Add", ["y", "late"], ["z"])],
    ),
    by_hand("hidden_size", "RNN of 'Y': expected hidden_size=5, as R is, got 6", hidden_size=6),
    by_hand(
        "the last step of short sequences",
        "y: expected an output for each step or of the last states of all directions, got the last "
        "step of MatMul of 'y'",
        "GRU", output="last step", lengths=True,
    ),
    by_hand(
        "the last step of both directions, with lengths",
        "y: expected an output for each step or of the last states of all directions, got the last "
        "step of MatMul of 'y'",
        "GRU", output="last step", bidirectional=True, lengths=True,
    ),
]  # fmt: skip


def node_of(model, output):
    return next(node for node in model.graph.node if output in node.output)


def swap_states(model):
    """Let each of two layers take the other's first states."""
    for layer, other in ((0, 1), (1, 0)):
        slice_node = node_of(model, f"first_h_l{layer}")
        slice_node.input[1:3] = f"first_state_l{other}", f"last_state_l{other}"


def take_lengths_from_one_layer(model):
    node_of(model, "outputs_l0").input[4] = ""


def read_inputs_as_states(model):
    node_of(model, "outputs_l0").input[5] = "x"


def make_inputs_the_output(model):
    model.graph.output[0].name = "x_by_time"


def swap_mask(model):
    node_of(model, "inside").input[:] = ["ends_of_rows", "numbers"]


def narrow_output_layer(model):
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "W_hy")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((3, O), np.float32), "W_hy"))


# By the change to an exported model of two layers: whether it has lengths, and the sentence
CHANGED = {
    swap_states: (False, "expected first states of all layers, one after another, in an input"),
    take_lengths_from_one_layer: (True, "sequence_lens: expected the same at all layers"),
    read_inputs_as_states: (
        False,
        (
            "GRU of 'outputs_l0': expected first states that are an input of the model or "
            "constants of shape (1, 3, 5), got all steps of x"
        ),
    ),
    make_inputs_the_output: (
        False,
        (
            "x_by_time: expected an output that an RNN, GRU or LSTM node leads to, "
            "got one of Transpose"
        ),
    ),
    swap_mask: (True, "Less of 'inside': expected a comparison of steps with lengths"),
    narrow_output_layer: (
        False,
        "MatMul of 'product': expected weights for 5 features, got 3",
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_models_that_compute_something_else(tmp_path, change):
    lengths, sentence = CHANGED[change]
    net = network(input_size=5, family="GRU", num_layers=2)
    model = exported(net, tmp_path, lengths=lengths, states=True)
    change(model)
    row = refusal(
        "changed", lambda: crnn.onnx.load(model), crnn.ModelFileError, f"model: {sentence}"
    )
    check_refusal(row)


ARGUMENTS = [
    refusal(
        "no network", lambda: crnn.onnx.export(3, "net.onnx"), TypeError,
        "net: expected an RNN, GRU, LSTM or Sequential of crnn, or an estimator of crnn.sklearn, "
        "got int",
    ),
    refusal(
        "lengths", lambda: crnn.onnx.export(network(), "net.onnx", lengths=1), TypeError,
        "lengths: expected True or False, got 1",
    ),
    refusal(
        "categorical", lambda: crnn.onnx.load(recurrent_model("RNN"), categorical=1), TypeError,
        "categorical: expected True or False, got 1",
    ),
    refusal(
        "implementation", lambda: crnn.onnx.load(recurrent_model("RNN"), implementation="c"),
        ValueError, "implementation: expected 'native' or 'python', got 'c'",
    ),
    refusal(
        "absent file", lambda: crnn.onnx.load("absent.onnx"), FileNotFoundError,
        "...absent.onnx...",
    ),
]  # fmt: skip


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_step_that_is_the_last_of_some_sequences(step, bidirectional):
    """Graphs are followed for sequences of several sizes, of which it may be the last step."""
    model = recurrent_model("GRU", output="last step", bidirectional=bidirectional)
    constant = next(n for n in model.graph.node if n.op_type == "Constant")
    constant.attribute[0].i = step
    with pytest.raises(crnn.ModelFileError, match=r"y: expected an output|expected inputs that"):
        crnn.onnx.load(model)


@refusal_tests([*BY_HAND, *ARGUMENTS])
def test_refusal(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_refusal(row)
    assert list(tmp_path.iterdir()) == []


def test_without_onnx(run_python):
    said = run_python("import sys; sys.modules['onnx'] = None; import crnn.onnx").stderr
    assert said.strip().endswith("ImportError: crnn.onnx needs onnx: pip install 'crnn[onnx]'")
