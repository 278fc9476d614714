"""Models of other tools and by hand: networks that compute the same."""

import itertools
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402
from onnx_models import (  # noqa: E402
    GATES,
    LENGTHS,
    H,
    I,
    O,
    T,
    assert_outputs_close,
    exported,
    first_states,
    inputs,
    network,
    recurrent_model,
    run_in_onnxruntime,
)

import crnn.onnx  # noqa: E402

READ = {
    "plain": {},
    "both directions": {"bidirectional": True},
    "without bias": {"bias": False},
    "states that are inputs": {"states": "inputs"},
    "states of the model": {"states": "the same"},
    "lengths": {"lengths": True},
    "no bias of the outputs": {"output": "no bias"},
    "Gemm of the last states": {"output": "Gemm", "bidirectional": True},
    "last step": {"output": "last step"},
    "usual activations by name": {"names": True},
}


NODES = {
    "tanh": ("RNN", {}, ["Tanh"]),
    "relu": ("RNN", {}, ["Relu"]),
    "gru": ("GRU", {"linear_before_reset": 1}, ["Sigmoid", "Tanh"]),
    "gru reset before": ("GRU", {"linear_before_reset": 0}, ["Sigmoid", "Tanh"]),
    "lstm": ("LSTM", {}, ["Sigmoid", "Tanh", "Tanh"]),
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
@pytest.mark.parametrize("settings", READ.values(), ids=READ)
def test_models_by_hand(node, settings):
    operator, attributes, activations = node
    settings = settings | attributes
    if settings.pop("names", False) or activations == ["Relu"]:
        settings["activations"] = activations * (2 if settings.get("bidirectional") else 1)
    model = recurrent_model(operator, **settings)
    onnx.checker.check_model(model)
    net, x = crnn.onnx.load(model), inputs()
    feed, h0, lengths = {"x": np.ascontiguousarray(x.swapaxes(0, 1))}, None, None
    if settings.get("states") == "inputs":
        h0, named = first_states(net)
        feed |= {f"initial_{name[0]}": array for name, array in named.items()}
    if settings.get("lengths"):
        lengths = feed["lengths"] = LENGTHS
    assert net.trainable_h0 is (settings.get("states") == "the same")
    (theirs,) = run_in_onnxruntime(model, feed).values()
    ours = net.predict(x, h0, lengths=lengths)
    if net.return_sequences:
        theirs = theirs.swapaxes(0, 1)
        if lengths is not None:
            # There they are the bias; here, zero.
            theirs = theirs * (np.arange(T) < lengths[:, None])[..., None]
    assert_outputs_close({"y": ours}, {"y": theirs}, "float32")


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("settings", [{}, {"states": "the same"}, {"output": "Gemm"}])
def test_the_other_layout(operator, settings):
    """Which ONNX Runtime does not run: the same numbers in the usual one are known to be read."""
    usual = crnn.onnx.load(recurrent_model(operator, bidirectional=True, **settings))
    other = crnn.onnx.load(recurrent_model(operator, bidirectional=True, layout=1, **settings))
    assert repr(usual) == repr(other)
    assert np.array_equal(usual.flat_params, other.flat_params)


def steps(parts, y, h):
    return parts["linear"](y)


def last_states(parts, y, h):
    """Of both directions of the last layer, side by side."""
    lasts = [h[-2], h[-1]] if parts["layers"].bidirectional else [h[-1]]
    import torch

    return torch.softmax(parts["linear"](torch.relu(torch.cat(lasts, 1))), -1)


def last_step(parts, y, h):
    y = y[:, -1] if parts["layers"].batch_first else y[-1]
    return parts["linear"](y).sigmoid()


BOTH = {"num_layers": 2, "bidirectional": True}
OLD = [
    pytest.param(False, *case, id=f"old-{case[0]}-{len(case[1])}-{case[2]}-{case[3].__name__}")
    for case in itertools.product(
        ["RNN", "GRU", "LSTM"], [{}, BOTH], [True, False], [steps, last_states, last_step]
    )
]
# Each takes seconds to export.
NEW = [
    pytest.param(True, "LSTM", {}, True, last_step, id="new-LSTM"),
    pytest.param(True, "GRU", BOTH, True, last_states, id="new-GRU"),
    pytest.param(True, "LSTM", BOTH, True, last_step, id="new-LSTM-both"),
    pytest.param(True, "RNN", {}, False, steps, id="new-RNN"),
]


@pytest.mark.parametrize(("dynamo", "kind", "settings", "batch_first", "head"), [*OLD, *NEW])
def test_models_that_torch_writes(tmp_path, dynamo, kind, settings, batch_first, head):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layers = getattr(torch.nn, kind)(I, H, batch_first=batch_first, **settings)
            linear = torch.nn.Linear(H * (2 if "bidirectional" in settings else 1), O)
            self.parts = torch.nn.ModuleDict({"layers": layers, "linear": linear})

        def forward(self, x):
            y, h = self.parts["layers"](x)
            return head(self.parts, y, h[0] if kind == "LSTM" else h)

    torch.manual_seed(0)
    model, x = Model().eval(), torch.from_numpy(inputs())
    x = x if batch_first else x.transpose(0, 1).contiguous()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not dynamo:
            torch.onnx.export(
                model, (x,), path, dynamo=False, input_names=["x"], output_names=["y"],
                dynamic_axes={"x": {0: "a", 1: "b"}},
            )  # fmt: skip
        else:
            batch = {0 if batch_first else 1: torch.export.Dim.DYNAMIC}
            torch.onnx.export(
                model, (x,), path, dynamo=True, dynamic_shapes=(batch,), verbose=False
            )
    if dynamo and kind == "RNN":  # The exporter writes its steps out.
        with pytest.raises(crnn.ModelFileError, match="expected an output"):
            crnn.onnx.load(path)
        return
    net = crnn.onnx.load(path)
    assert net.return_sequences is (head is steps)
    if head is last_step and settings == BOTH:
        assert isinstance(net[1], crnn.LastStep)
    expected = model(x).detach().numpy()
    expected = expected if batch_first or head is not steps else expected.swapaxes(0, 1)
    assert_outputs_close({"y": net.predict(inputs())}, {"y": expected}, "float32")


@pytest.mark.parametrize("family", ["GRU", "LSTM"])
def test_states_that_are_inputs_of_all_layers(tmp_path, family):
    """They are the user's to give."""
    net = network(family=family, num_layers=2)
    twin = crnn.onnx.load(exported(net, tmp_path, states=True))
    assert not twin.trainable_h0
    np.testing.assert_array_equal(twin.flat_params, net.flat_params)


def test_constants_that_are_inputs_too():
    """As older versions of the format have them all."""
    model = recurrent_model("LSTM")
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.insert(0, info)
    twin = crnn.onnx.load(model)
    assert np.array_equal(twin.flat_params, crnn.onnx.load(recurrent_model("LSTM")).flat_params)
