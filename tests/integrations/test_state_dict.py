"""Arrays with PyTorch's names: outputs of loops that share no code with crnn, and refusals."""

import json

import numpy as np
import pytest

import crnn

T, I, H, O = 6, 3, 5, 2
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(T, I))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def state_dict(kind, layers=1, reverse=False, biases=True, prefix="", output=None, inputs=I):
    """Random arrays by name."""
    content, rows, features = {}, GATES[kind] * H, H * (1 + reverse)
    for layer in range(layers):
        for ending in ["", "_reverse"][: 1 + reverse]:
            n = features if layer else inputs
            content[f"{prefix}weight_ih_l{layer}{ending}"] = 0.5 * RNG.normal(size=(rows, n))
            content[f"{prefix}weight_hh_l{layer}{ending}"] = 0.5 * RNG.normal(size=(rows, H))
            for side in ("ih", "hh") if biases else ():
                content[f"{prefix}bias_{side}_l{layer}{ending}"] = RNG.normal(size=rows)
    if output is not None:
        content[f"{output}.weight"] = RNG.normal(size=(O, features))
        content[f"{output}.bias"] = RNG.normal(size=O)
    return content


def loop(kind, x, W_ih, W_hh, b_ih, b_hh, f=np.tanh):
    """A layer in one direction, by the formulas of PyTorch's pages."""
    h, c, outputs = np.zeros(H), np.zeros(H), []
    for x_t in x:
        a, b = W_ih @ x_t + b_ih, W_hh @ h + b_hh
        if kind == "rnn":
            h = f(a + b)
        elif kind == "lstm":
            i, f_t, g, o = np.split(a + b, 4)
            c = sigmoid(f_t) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            a, b = np.split(a, 3), np.split(b, 3)
            r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
        outputs.append(h)
    return np.array(outputs)


def run(kind, content, prefix="", output=None, **settings):
    x, layer = X, 0
    zeros = np.zeros(GATES[kind] * H)
    while f"{prefix}weight_hh_l{layer}" in content:
        parts = []
        for ending in ("", "_reverse"):
            names = [f"{prefix}{n}_l{layer}{ending}"
                     for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
            if names[0] in content:
                values = [content.get(name, zeros) for name in names]
                read = x[::-1] if ending else x
                y = loop(kind, read, *values, **settings)
                parts.append(y[::-1] if ending else y)
        x, layer = np.concatenate(parts, axis=1), layer + 1
    if output is not None:
        x = x @ content[f"{output}.weight"].T + content[f"{output}.bias"]
    return x


CASES = [
    {"kind": "rnn"},
    {"kind": "gru", "layers": 2, "reverse": True, "prefix": "model.gru.", "output": "model.fc"},
    {"kind": "lstm", "layers": 3, "prefix": "module.", "output": "head"},
    {"kind": "gru", "biases": False, "output": "fc"},
    {"kind": "lstm", "reverse": True, "biases": False},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs(case, implementation):
    content = state_dict(**case)
    net = crnn.from_state_dict(content, implementation=implementation)
    assert (type(net).__name__.lower(), net.dtype) == (case["kind"], "float64")
    expected = run(case["kind"], content, case.get("prefix", ""), case.get("output"))
    assert np.allclose(net.predict(X), expected, rtol=0, atol=1e-13)
    # JSON has lists.
    lists = json.loads(json.dumps({name: value.tolist() for name, value in content.items()}))
    narrow = crnn.from_state_dict(lists)
    assert narrow.dtype == "float32"
    assert np.allclose(narrow.predict(X), expected, rtol=0, atol=1e-5)


def test_what_arrays_do_not_show():
    content = state_dict("rnn", output="fc")
    net = crnn.from_state_dict(content, nonlinearity="relu", return_sequences=False)
    expected = run("rnn", content, output="fc", f=lambda a: np.maximum(a, 0))
    assert np.allclose(net.predict(X), expected[-1], rtol=0, atol=1e-13)
    wide = crnn.from_state_dict(content, categorical=True, dtype="float32")
    assert (wide.categorical, wide.dtype) == (True, "float32")


def test_files_of_numpy(tmp_path):
    content = state_dict("lstm", output="fc")
    np.savez(tmp_path / "weights.npz", **content)
    with np.load(tmp_path / "weights.npz") as file:
        net = crnn.from_state_dict(file)
    assert np.allclose(net.predict(X), run("lstm", content, output="fc"), rtol=0, atol=1e-13)


def test_cells():
    """The modules of single steps have names without a layer."""
    content = state_dict("gru")
    cell = {name.removesuffix("_l0"): value for name, value in content.items()}
    net = crnn.from_state_dict(cell)
    assert np.array_equal(net.flat_params, crnn.from_state_dict(content).flat_params)


def test_prefix_and_output():
    lower, upper = state_dict("lstm", prefix="a."), state_dict("gru", prefix="b.", output="fc")
    both = lower | upper | {"norm.weight": np.ones(3)}
    net = crnn.from_state_dict(both, prefix="b", output="fc")
    assert np.allclose(net.predict(X), run("gru", upper, "b.", "fc"), rtol=0, atol=1e-13)
    net = crnn.from_state_dict(both, prefix="a.", cell="lstm")
    assert np.allclose(net.predict(X), run("lstm", lower, "a."), rtol=0, atol=1e-13)
    assert net.output_size is None


def test_pytorch(assert_close):
    torch = pytest.importorskip("torch")
    for kind in ("RNN", "GRU", "LSTM"):
        module = torch.nn.ModuleDict({
            "rnn": getattr(torch.nn, kind)(I, H, 2, bidirectional=True, batch_first=True),
            "fc": torch.nn.Linear(2 * H, O),
        })  # fmt: skip
        net = crnn.from_state_dict(module.state_dict())
        x = torch.from_numpy(X.astype(np.float32))[None]
        y = module["fc"](module["rnn"](x)[0]).detach().numpy()
        assert_close(net.predict(x), y, dtype="float32")


def changed(**changes):
    content = state_dict("lstm", layers=2, output="fc") | changes
    return {name: value for name, value in content.items() if value is not None}


MISSING = "mapping: expected 'weight_hh_l1', got no array of that name"
REFUSED = {
    "nothing": ({}, {}, "mapping: expected 'weight_hh_l0' among its names, got none"),
    "other names": ({"a": 1}, {}, "mapping: expected 'weight_hh_l0' among its names, got 'a'"),
    "a missing array": (changed(weight_hh_l1=None), {}, MISSING),
    "a missing bias": (
        changed(bias_hh_l0=None), {}, "mapping: expected 'bias_hh_l0', got no array of that name",
    ),
    "a missing layer": (
        changed(weight_ih_l3=np.ones((20, 5))), {}, "mapping: expected 'weight_ih_l2', got no",
    ),
    "a projection": (
        changed(weight_hr_l0=np.ones((2, 5))), {},
        "mapping: expected an LSTM with proj_size=0, got a projection, 'weight_hr_l0'",
    ),
    "no cell": (
        changed(weight_hh_l0=np.ones((10, 5))), {},
        r"weight_hh_l0: expected shape \(1 \* hidden, hidden\) of an RNN, \(3 .* got \(10, 5\)",
    ),
    "another cell": (
        changed(), {"cell": "gru"},
        r"weight_hh_l0: expected shape \(3 \* hidden, hidden\) of an GRU, got \(20, 5\)",
    ),
    "rows": (
        changed(weight_ih_l0=np.ones((19, 3))), {},
        r"weight_ih_l0: expected shape \(rows=20, inputs\), got \(19, 3\)",
    ),
    "features": (
        changed(weight_ih_l1=np.ones((20, 4))), {},
        r"weight_ih_l1: expected shape \(rows=20, features=5\), got \(20, 4\)",
    ),
    "outputs": (
        changed(**{"fc.weight": np.ones((2, 4))}), {},
        r"fc\.weight: expected shape \(outputs, features=5\), got \(2, 4\)",
    ),
    "output bias": (
        changed(**{"fc.bias": np.ones(3)}), {}, r"fc\.bias: expected shape \(outputs=2,\), got",
    ),
    "more layers": (
        changed(**{"norm.weight": np.ones(5)}), {},
        r"mapping: expected the names of one recurrent module and one output layer; got 'fc\.weig",
    ),
    "something else": (
        changed(steps=np.ones(1)), {}, "mapping: expected the names of .*; got 'steps' too",
    ),
    "two modules": (
        changed() | state_dict("gru", prefix="b."), {},
        r"prefix: expected one of '', 'b\.', because there are several recurrent modules, got None",
    ),
    "no such output": (
        changed(), {"output": "head"}, r"output: expected head\.weight in the mapping, got 'head'",
    ),
    "no such prefix": (
        changed(), {"prefix": "a"}, r"mapping: expected 'a\.weight_hh_l0' among its names, got",
    ),
    "NaN": (
        changed(bias_hh_l1=np.full(20, np.nan)), {}, "bias_hh_l1: expected finite numbers, got nan",
    ),
    "two names": (
        changed(weight_ih=np.ones((20, 3))), {},
        "mapping: expected the names of one module, got 'weight_ih_l0' and 'weight_ih'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(content, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        crnn.from_state_dict(content, **settings)


def test_other_kinds():
    for content, message in (
        ([1], "^mapping: expected arrays by name, got list"),
        ({1: 2}, "^mapping: expected names, got 1"),
        (changed(bias_ih_l0=["a"] * 20), "^bias_ih_l0: expected numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            crnn.from_state_dict(content)
    for name in ("prefix", "output"):
        with pytest.raises(TypeError, match=f"^{name}: expected a name, got 3"):
            crnn.from_state_dict(changed(), **{name: 3})


def test_the_smallest_floats():
    """Files of safetensors often have bfloat16."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    content = {name: array.astype(ml_dtypes.bfloat16) for name, array in changed().items()}
    net = crnn.from_state_dict(content)
    assert net.dtype == np.float32
    assert np.array_equal(net.params["W_hy"], content["fc.weight"].astype(np.float32))
