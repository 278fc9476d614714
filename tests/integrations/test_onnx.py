"""Exchange with ONNX: what other runtimes make of exported models, and models of other tools."""

import itertools
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import crnn  # noqa: E402
import crnn.onnx  # noqa: E402

# Of the largest number
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}

CELLS = {
    "tanh": (crnn.RNN, {}),
    "relu": (crnn.RNN, {"nonlinearity": "relu"}),
    "gru": (crnn.GRU, {}),
    "gru reset before": (crnn.GRU, {"reset_after": False}),
    "lstm": (crnn.LSTM, {}),
}
FORMS = {
    "one layer": {},
    "layers": {"num_layers": 3},
    "both directions": {"bidirectional": True},
    "layers in both directions": {"num_layers": 2, "bidirectional": True},
    "one output": {"return_sequences": False, "num_layers": 2},
    "one output of both directions": {"return_sequences": False, "bidirectional": True},
    "no output layer": {"output_size": None, "num_layers": 2},
    "trained first states": {"trainable_h0": True, "num_layers": 2},
}
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
dtypes = pytest.mark.parametrize("dtype", TOLERANCES)
B, T, I, H, O = 3, 7, 4, 5, 2


def network(cell, form, dtype="float32", seed=0):
    family, of_cell = cell
    net = family(I, H, **{"output_size": O, "dtype": dtype} | of_cell | form)
    net.flat_params[...] = np.random.default_rng(seed).normal(0, 0.5, net.flat_params.size)
    return net


def inputs(dtype="float32", seed=1):
    return np.random.default_rng(seed).normal(size=(B, T, I)).astype(dtype)


def first_states(net, seed=2):
    """As crnn takes them, and as a model's inputs."""
    states = net.num_layers * (2 if net.bidirectional else 1)
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(states, B, H)).astype(net.dtype) for _ in range(2)]
    given = [part if states > 1 else part[0] for part in parts]
    if isinstance(net, crnn.LSTM):
        return tuple(given), {"h0": parts[0], "c0": parts[1]}
    return given[0], {"h0": parts[0]}


def expected_of(net, x, h0=None, lengths=None):
    """By the names of a model's outputs."""
    y, last = net.predict(x, h0, return_state=True, lengths=lengths)
    last = last if isinstance(last, tuple) else (last,)
    named = dict(zip(("h_n", "c_n"), last, strict=False))
    return {"y": y} | {name: part.reshape(-1, B, H) for name, part in named.items()}


def assert_close(found, expected, dtype):
    for name, array in expected.items():
        assert found[name].dtype == dtype, name
        np.testing.assert_allclose(
            found[name], array, rtol=0, atol=TOLERANCES[dtype] * np.abs(array).max(), err_msg=name
        )


def by_onnxruntime(path, feed):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def lengths_of():
    return np.array([5, 7, 2], np.int32)


@cells
@forms
@pytest.mark.parametrize("given", [False, True], ids=["default states", "given states"])
@pytest.mark.parametrize("has_lengths", [False, True], ids=["whole", "lengths"])
def test_onnx_runtime_computes_the_same(tmp_path, cell, form, given, has_lengths):
    net, x = network(cell, form), inputs()
    crnn.onnx.export(net, tmp_path / "net.onnx", lengths=has_lengths)
    h0, named = first_states(net) if given else (None, {})
    feed = {"x": x, **named} | ({"lengths": lengths_of()} if has_lengths else {})
    expected = expected_of(net, x, h0, lengths_of() if has_lengths else None)
    assert_close(by_onnxruntime(tmp_path / "net.onnx", feed), expected, "float32")
    # Batch and time are symbolic.
    short = {name: array[:, :1] if name in named else array[:1] for name, array in feed.items()}
    short["x"] = short["x"][:, :3]
    if has_lengths:
        short["lengths"] = np.array([2], np.int32)
    assert by_onnxruntime(tmp_path / "net.onnx", short)["h_n"].shape[1:] == (1, H)


@cells
@forms
@dtypes
def test_there_and_back(tmp_path, cell, form, dtype):
    net, path = network(cell, form, dtype), tmp_path / "net.onnx"
    for lengths in (False, True):
        crnn.onnx.export(net, path, lengths=lengths)
        for source in (path, str(path), onnx.load(path)):
            twin = crnn.onnx.load(source)
            assert repr(twin) == repr(net)
            # Of two biases a sum
            np.testing.assert_array_equal(twin.flat_params, net.flat_params)


@pytest.mark.parametrize("cell", ["tanh", "gru", "gru reset before", "lstm"])
@dtypes
def test_onnx_itself_computes_the_same(tmp_path, cell, dtype):
    """Its reference takes one direction and the usual activations, in either dtype."""
    net, x = network(CELLS[cell], {}, dtype), inputs(dtype)
    crnn.onnx.export(net, tmp_path / "net.onnx")
    h0, named = first_states(net)
    evaluator = ReferenceEvaluator(str(tmp_path / "net.onnx"))
    found = dict(zip(evaluator.output_names, evaluator.run(None, {"x": x} | named), strict=True))
    expected = expected_of(net, x, h0)
    assert_close({"y": found["y"]}, {"y": expected["y"]}, dtype)


def test_the_model_is_documented_in_itself(tmp_path):
    crnn.onnx.export(network(CELLS["lstm"], {"num_layers": 2}), tmp_path / "net.onnx", lengths=True)
    graph = onnx.load(tmp_path / "net.onnx").graph

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


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "net.onnx"
    crnn.onnx.export(network(CELLS["gru"], {}), path)
    kept = path.read_bytes()
    with pytest.raises(TypeError, match=r"^net: expected an RNN, GRU or LSTM of crnn, got int"):
        crnn.onnx.export(3, path)
    with pytest.raises(TypeError, match=r"^lengths: expected True or False"):
        crnn.onnx.export(network(CELLS["gru"], {}), path, lengths=1)
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    with pytest.raises(OSError, match="absent"):
        crnn.onnx.load(tmp_path / "absent.onnx")


# Models by hand

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


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
    """One recurrent node with an output layer, as somebody might write it."""
    rng = np.random.default_rng(5)
    D, G = 2 if bidirectional else 1, GATES[operator]
    constants = {
        "W": rng.normal(0, 0.5, (D, G * H, I)),
        "R": rng.normal(0, 0.5, (D, G * H, H)),
        "W_hy": rng.normal(0, 0.5, (D * H, O)),
        "b_y": rng.normal(0, 0.5, (O,)),
    }
    if bias:
        constants["B"] = rng.normal(0, 0.5, (D, 2 * G * H))
    names = ("initial_h", "initial_c") if operator == "LSTM" else ("initial_h",)
    shape = (D, "batch", H) if layout == 0 else ("batch", D, H)
    real = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
    graph_inputs = [
        helper.make_tensor_value_info(
            "x", real, ["time", "batch", I] if layout == 0 else ["batch", "time", I]
        )
    ]
    if lengths == "constant":
        constants["lengths"] = np.array([2, 3, 4])
    elif lengths:
        graph_inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    given = [""] * len(names)
    if states == "inputs":
        given = list(names)
        graph_inputs += [helper.make_tensor_value_info(n, real, shape) for n in names]
    elif states is not None:
        given = list(names)
        values = rng.normal(0, 0.5, (D, 1, H))
        for name in names:
            repeated = np.repeat(values, B, axis=1)
            if states == "different":
                repeated = repeated + rng.normal(size=(1, B, 1))
            constants[name] = repeated if layout == 0 else repeated.transpose(1, 0, 2)
    nodes = []
    if states == "computed":
        nodes.append(helper.make_node("Mul", ["initial_h", "initial_h"], ["squares"]))
        given = ["squares"]
    if bidirectional:
        attributes["direction"] = "bidirectional"
    if layout:
        attributes["layout"] = layout
    results = ["Y", "Y_h"] + (["Y_c"] if operator == "LSTM" else [])
    fields = ["x", "W", "R", "B" if bias else "", "lengths" if lengths else "", *given, *inputs]
    nodes.append(helper.make_node(operator, fields, results, hidden_size=H, **attributes))
    constants["side"] = np.array([0, 0, D * H])
    if layout == 0:
        nodes.append(helper.make_node("Transpose", ["Y"], ["by_time"], perm=[0, 2, 1, 3]))
    merged = "by_time" if layout == 0 else "Y"
    nodes.append(helper.make_node("Reshape", [merged, "side"], ["features"]))
    if output == "MatMul":
        nodes.append(helper.make_node("MatMul", ["features", "W_hy"], ["product"]))
        nodes.append(helper.make_node("Add", ["b_y", "product"], ["y"]))
    elif output == "no bias":
        nodes.append(helper.make_node("MatMul", ["features", "W_hy"], ["y"]))
    elif output == "Gemm":
        nodes[1:] = []
        perm = [1, 0, 2] if layout == 0 else [0, 1, 2]
        nodes.append(helper.make_node("Transpose", ["Y_h"], ["by_sequence"], perm=perm))
        constants["flat"] = np.array([0, D * H])
        nodes.append(helper.make_node("Reshape", ["by_sequence", "flat"], ["features"]))
        constants["W_hy"] = constants["W_hy"].T
        nodes.append(helper.make_node("Gemm", ["features", "W_hy", "b_y"], ["y"], transB=1))
    elif output == "last step":
        nodes.append(helper.make_node("Constant", [], ["last"], value_int=-1))
        axis = 0 if layout == 0 else 1
        nodes.append(helper.make_node("Gather", ["features", "last"], ["of_last"], axis=axis))
        nodes.append(helper.make_node("MatMul", ["of_last", "W_hy"], ["y"]))
    nodes += extra
    arrays = {
        name: np.array(v, np.int64 if np.asarray(v).dtype.kind == "i" else dtype, order="C")
        for name, v in constants.items()
    }
    last, has_time = nodes[-1].output[0], output not in ("Gemm", "last step")
    graph = helper.make_graph(
        nodes,
        "by hand",
        graph_inputs,
        [helper.make_tensor_value_info(last, real, ["a", "b", "c"][: 2 + has_time])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


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


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("settings", READ.values(), ids=READ)
@pytest.mark.parametrize("before", [0, 1])
def test_models_by_hand(tmp_path, operator, settings, before):
    settings = dict(settings)
    if operator == "GRU":
        settings["linear_before_reset"] = before
    elif before:
        settings["activations"] = ["Relu"] * (2 if settings.get("bidirectional") else 1)
        if operator == "LSTM":
            return
    if settings.pop("names", False) and not (operator == "RNN" and before):
        usual = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
        settings["activations"] = usual[operator]
    model = recurrent_model(operator, **settings)
    onnx.checker.check_model(model)
    net, x = crnn.onnx.load(model), inputs()
    feed, h0, lengths = {"x": np.ascontiguousarray(x.swapaxes(0, 1))}, None, None
    if settings.get("states") == "inputs":
        h0, named = first_states(net)
        feed |= {"initial_" + name[0]: array for name, array in named.items()}
    if settings.get("lengths"):
        lengths = feed["lengths"] = lengths_of()
    assert net.trainable_h0 is (settings.get("states") == "the same")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    (theirs,) = by_onnxruntime(tmp_path / "net.onnx", feed).values()
    ours = net.predict(x, h0, lengths=lengths)
    if net.return_sequences:
        theirs = theirs.swapaxes(0, 1)
        if lengths is not None:
            # There they are the bias; here, zero.
            theirs = theirs * (np.arange(T) < lengths[:, None])[..., None]
    assert_close({"y": ours}, {"y": theirs}, "float32")


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("settings", [{}, {"states": "the same"}, {"output": "Gemm"}])
def test_the_other_layout(operator, settings):
    """Which ONNX Runtime does not run: the same numbers in the usual one are known to be read."""
    usual = crnn.onnx.load(recurrent_model(operator, bidirectional=True, **settings))
    other = crnn.onnx.load(recurrent_model(operator, bidirectional=True, layout=1, **settings))
    assert repr(usual) == repr(other)
    assert np.array_equal(usual.flat_params, other.flat_params)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("batch_first", [True, False])
def test_models_that_torch_writes(tmp_path, kind, settings, batch_first):
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(torch.nn, kind)(I, H, batch_first=batch_first, **settings)
            self.linear = torch.nn.Linear(H * (2 if "bidirectional" in settings else 1), O)

        def forward(self, x):
            return self.linear(self.layers(x)[0])

    torch.manual_seed(0)
    model, x = Model().eval(), torch.from_numpy(inputs())
    x = x if batch_first else x.transpose(0, 1)
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x,), path, dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "a", 1: "b"}},
        )  # fmt: skip
    net = crnn.onnx.load(path)
    expected = model(x).detach().numpy()
    expected = expected if batch_first else expected.swapaxes(0, 1)
    assert_close({"y": net.predict(inputs())}, {"y": expected}, "float32")


def node(*args, **attributes):
    return helper.make_node(*args, **attributes)


REFUSED = {
    "computed first states": (
        {"operator": "RNN", "states": "computed"},
        "RNN: expected first states that are an input of the model, or constants",
    ),
    "constant lengths": (
        {"operator": "RNN", "lengths": "constant"},
        "RNN: expected sequence_lens that are an input of the model",
    ),
    "a mask of something else": (
        {
            "operator": "RNN",
            "extra": [
                node("Constant", [], ["zero"], value_float=0.0),
                node("Greater", ["y", "zero"], ["is_large"]),
                node("Where", ["is_large", "y", "zero"], ["z"]),
            ],
        },
        "Greater: expected nothing after the output layer",
    ),
    "peepholes": (
        {"operator": "LSTM", "inputs": ["W_hy"]},
        "LSTM: expected no peepholes, got an input P",
    ),
    "input_forget": ({"operator": "LSTM", "input_forget": 1}, "LSTM: expected input_forget=0, got"),
    "clip": ({"operator": "GRU", "clip": 3.5}, r"GRU: expected no clip, got 3\.5"),
    "activations": (
        {"operator": "GRU", "activations": ["HardSigmoid", "Tanh"]},
        "GRU: expected its usual activations, got HardSigmoid, Tanh",
    ),
    "relu in an LSTM": (
        {"operator": "LSTM", "activations": ["Sigmoid", "Relu", "Tanh"]},
        "LSTM: expected its usual activations",
    ),
    "backwards alone": (
        {"operator": "RNN", "direction": "reverse"},
        "RNN: expected direction forward or bidirectional, got reverse",
    ),
    "states of each sequence": (
        {"operator": "RNN", "states": "different"},
        "RNN: expected the same first states for all sequences",
    ),
    "another operator": (
        {"operator": "RNN", "extra": [node("Softmax", ["y"], ["z"])]},
        "Softmax: expected nothing after the output layer",
    ),
    "something in between": (
        {"operator": "RNN", "output": None, "extra": [node("Relu", ["features"], ["z"])]},
        "Relu: expected operators that crnn's networks have",
    ),
    "another domain": (
        {"operator": "RNN", "extra": [node("Attention", ["y"], ["z"], domain="com.example")]},
        "Attention: expected ONNX's own operators, got com.example",
    ),
    "two output layers": (
        {"operator": "RNN", "extra": [node("MatMul", ["y", "W_hy"], ["z"])]},
        "MatMul: expected one output layer, got two",
    ),
    "an order of its own": (
        {"operator": "RNN", "extra": [node("Identity", ["late"], ["z"])]},
        "late: expected a tensor that is made before it is read",
    ),
    "hidden_size": ({"operator": "RNN", "H": 6}, "RNN: expected hidden_size=5, as R is, got 6"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(settings, message):
    settings = dict(settings)
    wrong = settings.pop("H", None)
    model = recurrent_model(settings.pop("operator"), **settings)
    if wrong:
        (attribute,) = (a for a in model.graph.node[0].attribute if a.name == "hidden_size")
        attribute.i = wrong
    with pytest.raises(crnn.ModelFileError, match=f"^model: {message}"):
        crnn.onnx.load(model)


def exported(tmp_path, cell="gru", form=None, **options):
    net = network(CELLS[cell], form or {"num_layers": 2})
    crnn.onnx.export(net, tmp_path / "net.onnx", **options)
    return onnx.load(tmp_path / "net.onnx")


def node_of(model, output):
    return next(node for node in model.graph.node if output in node.output)


def swap_states(model):
    of_layers = [node_of(model, f"first_h_l{layer}") for layer in (0, 1)]
    # The states are an input without a default then, and each layer takes the other's.
    defaults = [tensor for tensor in model.graph.initializer if tensor.name == "h0"]
    model.graph.initializer.remove(defaults[0])
    for node, layer in zip(of_layers, (1, 0), strict=True):
        node.input[1], node.input[2] = f"first_state_l{layer}", f"last_state_l{layer}"


def lengths_of_one_layer(model):
    node_of(model, "outputs_l0").input[4] = ""


def first_output(name):
    def change(model):
        model.graph.output[0].name = name

    return change


def mask_of_something_else(model):
    node_of(model, "inside").op_type = "Less"
    node_of(model, "inside").input[:] = ["ends_of_rows", "numbers"]


def wide_output_layer(model):
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "W_hy")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((3, O), np.float32), "W_hy"))


CHANGED = {
    "states of the other layer": (
        swap_states,
        {},
        "expected first states of all layers, one after",
    ),
    "lengths of one layer": (
        lengths_of_one_layer,
        {"lengths": True},
        "sequence_lens: expected the same at all layers",
    ),
    "product alone": (first_output("product"), {}, "expected a first output behind all of"),
    "states beside an output layer": (
        first_output("features"),
        {},
        "expected a first output behind all of the output layer",
    ),
    "another mask": (
        mask_of_something_else,
        {"lengths": True},
        "Where: expected nothing after the output layer",
    ),
    "an output layer of other features": (
        wide_output_layer,
        {},
        "expected an output layer of 5 features, got weights of shape",
    ),
}


@pytest.mark.parametrize(("change", "options", "message"), CHANGED.values(), ids=CHANGED)
def test_models_that_compute_something_else_are_refused(tmp_path, change, options, message):
    model = exported(tmp_path, **options)
    change(model)
    with pytest.raises(crnn.ModelFileError, match=f"^model: {message}"):
        crnn.onnx.load(model)


def test_one_matrix_is_not_the_weights_of_many_layers(tmp_path):
    net = crnn.RNN(30, 30, 2, num_layers=2)
    crnn.onnx.export(net, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    share_weights(model)
    with pytest.raises(crnn.ModelFileError, match="expected each layer to have weights of its own"):
        crnn.onnx.load(model)


def share_weights(model):
    for name in ("W", "R"):
        tensor = next(t for t in model.graph.initializer if t.name == f"{name}_l1")
        model.graph.initializer.remove(tensor)
        node_of(model, "outputs_l1").input[1 if name == "W" else 2] = f"{name}_l0"


def test_states_that_are_inputs_of_all_layers(tmp_path):
    """Without a default they are the user's to give."""
    for cell in ("gru", "lstm"):
        model = exported(tmp_path, cell)
        for name in ("h0", "c0"):
            for tensor in [t for t in model.graph.initializer if t.name == name]:
                model.graph.initializer.remove(tensor)
        net = crnn.onnx.load(model)
        assert not net.trainable_h0
        assert np.array_equal(net.flat_params, network(CELLS[cell], {"num_layers": 2}).flat_params)


def test_the_last_step_of_short_sequences_is_refused():
    model = recurrent_model("GRU", output="last step", lengths=True)
    with pytest.raises(crnn.ModelFileError, match="Gather: expected the last step of a layer"):
        crnn.onnx.load(model)


def test_a_trainable_state_that_is_zero_still_comes_back(tmp_path):
    for family in (crnn.RNN, crnn.GRU, crnn.LSTM):
        net = family(3, 4, 2, trainable_h0=True, seed=0)
        crnn.onnx.export(net, tmp_path / "net.onnx")
        twin = crnn.onnx.load(tmp_path / "net.onnx")
        assert twin.trainable_h0
        assert np.array_equal(twin.flat_params, net.flat_params)


def test_constants_that_are_inputs_too():
    """As older versions of the format have them all."""
    model = recurrent_model("LSTM")
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.insert(0, info)
    twin = crnn.onnx.load(model)
    assert np.array_equal(twin.flat_params, crnn.onnx.load(recurrent_model("LSTM")).flat_params)


def test_numbers_in_other_files_are_not_read(tmp_path):
    model = recurrent_model("RNN")
    (tmp_path / "secret").write_bytes(b"x" * 1000)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(crnn.ModelFileError, match="expected numbers in the model, got some in"):
        crnn.onnx.load(tmp_path / "net.onnx")


@pytest.mark.parametrize("field", ["raw_data", "dims", "data_type"])
def test_tensors_that_claim_more_than_they_hold(field):
    for number in range(4):
        model = recurrent_model("LSTM")
        tensor = model.graph.initializer[number]
        if field == "raw_data":
            tensor.raw_data = tensor.raw_data[:-1]
        elif field == "dims":
            tensor.dims[0] = 1 << 40
        else:
            tensor.data_type = TensorProto.STRING
        with pytest.raises(crnn.ModelFileError):
            crnn.onnx.load(model)


def test_damaged_files(tmp_path):
    """Whatever is in a file, it is read or refused, and takes no more room than it has."""
    path = tmp_path / "net.onnx"
    sources = [recurrent_model("GRU", bidirectional=True).SerializeToString()]
    crnn.onnx.export(network(CELLS["lstm"], {"num_layers": 2}), path, lengths=True)
    sources.append(path.read_bytes())
    rng, outcomes = np.random.default_rng(0), []
    for content, _ in itertools.product(sources, range(400)):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        try:
            net = crnn.onnx.load(path)
        except crnn.ModelFileError as error:
            outcomes.append("refused" if str(error).startswith(f"{path}: ") else str(error))
        else:
            assert net.flat_params.nbytes <= 4 * len(content)
            outcomes.append("read")
    assert set(outcomes) == {"read", "refused"}
    assert outcomes.count("refused") > 100


def test_no_onnx(run_python):
    code = """
import sys
sys.modules["onnx"] = None
try:
    import crnn.onnx
except ImportError as error:
    print(error)
"""
    said = run_python(code).stdout
    assert said == "crnn.onnx needs onnx: pip install 'crnn[onnx]'\n"


def test_largest_difference(tmp_path, capsys):
    """Print it, for each cell in all forms."""
    for name, cell in CELLS.items():
        largest = 0.0
        for form in FORMS.values():
            net, x = network(cell, form), inputs()
            crnn.onnx.export(net, tmp_path / "net.onnx")
            theirs = by_onnxruntime(tmp_path / "net.onnx", {"x": x})["y"]
            largest = max(largest, float(np.abs(net.predict(x) - theirs).max()))
        with capsys.disabled():
            print(f"\n{name}: largest difference from ONNX Runtime {largest:.1e}")
        assert largest < 1e-4
