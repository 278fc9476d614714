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
        "computed first states",
        "RNN: expected first states that are an input of the model, or constants",
        states="computed",
    ),
    by_hand(
        "constant lengths", "RNN: expected sequence_lens that are an input of the model",
        lengths="constant",
    ),
    by_hand(
        "a mask of something else", "Greater: expected nothing after the output layer",
        extra=[
            node("Constant", [], ["zero"], value_float=0.0),
            node("Greater", ["y", "zero"], ["is_large"]),
            node("Where", ["is_large", "y", "zero"], ["z"]),
        ],
    ),
    by_hand("peepholes", "LSTM: expected no peepholes, got an input P", "LSTM", inputs=["W_hy"]),
    by_hand("input_forget", "LSTM: expected input_forget=0, got 1", "LSTM", input_forget=1),
    by_hand("clip", "GRU: expected no clip, got 3.5", "GRU", clip=3.5),
    by_hand(
        "activations", "GRU: expected its usual activations, got HardSigmoid, Tanh", "GRU",
        activations=["HardSigmoid", "Tanh"],
    ),
    by_hand(
        "relu in an LSTM", "LSTM: expected its usual activations, got Sigmoid, Relu, Tanh", "LSTM",
        activations=["Sigmoid", "Relu", "Tanh"],
    ),
    by_hand(
        "parameters of activations", "RNN: expected no activation_alpha", activation_alpha=[0.5],
    ),
    by_hand(
        "backwards alone", "RNN: expected direction forward or bidirectional, got reverse",
        direction="reverse",
    ),
    by_hand(
        "states of each sequence", "RNN: expected the same first states for all sequences",
        states="different",
    ),
    by_hand(
        "another operator above", "Softmax: expected nothing after the output layer",
        extra=[node("Softmax", ["y"], ["z"])],
    ),
    by_hand(
        "another operator in between", "Relu: expected operators that crnn's networks have",
        output=None, extra=[node("Relu", ["features"], ["z"])],
    ),
    by_hand(
        "another domain", "Attention: expected ONNX's own operators, got com.example",
        extra=[node("Attention", ["y"], ["z"], domain="com.example")],
    ),
    by_hand(
        "two output layers", "MatMul: expected one output layer, got two",
        extra=[node("MatMul", ["y", "W_hy"], ["z"])],
    ),
    by_hand(
        "an order of its own", "late: expected a tensor that is made before it is read",
        extra=[node("Identity", ["late"], ["z"])],
    ),
    by_hand("hidden_size", "RNN: expected hidden_size=5, as R is, got 6", hidden_size=6),
    by_hand(
        "the last step of short sequences",
        "Gather: expected the last step of a layer that reads forward", "GRU", output="last step",
        lengths=True,
    ),
]  # fmt: skip


def node_of(model, output):
    return next(node for node in model.graph.node if output in node.output)


def swap_states(model):
    """Let each of two layers take the other's first states."""
    # An input without a default, which would be a constant
    (default,) = (tensor for tensor in model.graph.initializer if tensor.name == "h0")
    model.graph.initializer.remove(default)
    for layer, other in ((0, 1), (1, 0)):
        slice_node = node_of(model, f"first_h_l{layer}")
        slice_node.input[1:3] = f"first_state_l{other}", f"last_state_l{other}"


def take_lengths_from_one_layer(model):
    node_of(model, "outputs_l0").input[4] = ""


def make_product_the_output(model):
    model.graph.output[0].name = "product"


def make_features_the_output(model):
    model.graph.output[0].name = "features"


def swap_mask(model):
    node_of(model, "inside").input[:] = ["ends_of_rows", "numbers"]


def narrow_output_layer(model):
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "W_hy")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((3, O), np.float32), "W_hy"))


def share_weights(model):
    """Let the second layer use the first layer's weights."""
    for place, name in ((1, "W"), (2, "R")):
        (tensor,) = (t for t in model.graph.initializer if t.name == f"{name}_l1")
        model.graph.initializer.remove(tensor)
        node_of(model, "outputs_l1").input[place] = f"{name}_l0"


BEHIND = "expected a first output behind all of the output layer, got "
# By the change to an exported model of two layers: whether it has lengths, and the sentence
CHANGED = {
    swap_states: (False, "expected first states of all layers, one after another, in an input"),
    take_lengths_from_one_layer: (True, "sequence_lens: expected the same at all layers"),
    make_product_the_output: (False, f"{BEHIND}'product'"),
    make_features_the_output: (False, f"{BEHIND}'features'"),
    swap_mask: (True, "Where: expected nothing after the output layer"),
    narrow_output_layer: (
        False,
        f"expected an output layer of 5 features, got weights of shape ({O}, 3)",
    ),
    share_weights: (False, "expected each layer to have weights of its own"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_models_that_compute_something_else(tmp_path, change):
    lengths, sentence = CHANGED[change]
    net = network(input_size=5, family="GRU", num_layers=2)
    model = exported(net, tmp_path, lengths=lengths)
    change(model)
    row = refusal(
        "changed", lambda: crnn.onnx.load(model), crnn.ModelFileError, f"model: {sentence}"
    )
    check_refusal(row)


ARGUMENTS = [
    refusal(
        "no network", lambda: crnn.onnx.export(3, "net.onnx"), TypeError,
        "net: expected an RNN, GRU or LSTM of crnn, got int",
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


@refusal_tests([*BY_HAND, *ARGUMENTS])
def test_refusal(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_refusal(row)
    assert list(tmp_path.iterdir()) == []


def test_without_onnx(run_python):
    said = run_python("import sys; sys.modules['onnx'] = None; import crnn.onnx").stderr
    assert said.strip().endswith("ImportError: crnn.onnx needs onnx: pip install 'crnn[onnx]'")
