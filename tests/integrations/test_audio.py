"""Files of amplifier models and plug-ins: what is read and written, computed again by loops.

The loops are written from the sources of Keras, PyTorch and NeuralAmpModelerCore and share no code
with crnn. All sizes are different, and all numbers random.
"""

import copy
import json
import os

import network_problems
import numpy as np
import pytest
from memory import peak_of

import crnn
import crnn.audio

T, I, H, O, LAYERS = 40, 2, 5, 3, 2
RNG = np.random.default_rng(0)
X = RNG.standard_normal((T, I))


def numbers(*shape):
    return (0.5 * RNG.standard_normal(shape)).tolist()


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_step(sums, c):
    """The next h and c; sums of the gates i, f, g, o as in PyTorch, Keras and NAM."""
    i, f, g, o = np.split(sums, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def keras_lstm(x, kernel, recurrent, bias):
    h, c, outputs = np.zeros(len(recurrent)), np.zeros(len(recurrent)), []
    for x_t in x:
        h, c = lstm_step(x_t @ kernel + h @ recurrent + bias, c)
        outputs.append(h)
    return np.array(outputs)


def keras_gru(x, kernel, recurrent, bias):
    """Gates z, r, h; a bias beside each product, as reset_after=True has it."""
    h, outputs = np.zeros(len(recurrent)), []
    for x_t in x:
        x_z, x_r, x_h = np.split(x_t @ kernel + bias[0], 3)
        h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
        outputs.append(h)
    return np.array(outputs)


def torch_lstm(x, W_ih, W_hh, b_ih, b_hh):
    h, c, outputs = np.zeros(H), np.zeros(H), []
    for x_t in x:
        h, c = lstm_step(W_ih @ x_t + b_ih + W_hh @ h + b_hh, c)
        outputs.append(h)
    return np.array(outputs)


def torch_gru(x, W_ih, W_hh, b_ih, b_hh):
    """Gates r, z, n."""
    h, outputs = np.zeros(H), []
    for x_t in x:
        x_r, x_z, x_n = np.split(W_ih @ x_t + b_ih, 3)
        h_r, h_z, h_n = np.split(W_hh @ h + b_hh, 3)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + r * h_n) + z * h
        outputs.append(h)
    return np.array(outputs)


ACTIVATIONS = {
    "": lambda a: a,
    "linear": lambda a: a,
    "relu": lambda a: np.where(a > 0, a, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softmax": lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True),
}


def arrays(values):
    return [np.array(value, np.float64) for value in values]


def run_keras(content):
    x = X
    for layer in content["layers"]:
        weights = arrays(layer["weights"])
        if layer["type"] in ("dense", "time-distributed-dense"):
            x = ACTIVATIONS[layer["activation"]](x @ weights[0] + weights[1])
        else:
            x = {"lstm": keras_lstm, "gru": keras_gru}[layer["type"]](x, *weights)
    return x


def run_torch(content):
    """The modules `lstm` or `gru` of some layers, `upper` of one, and `dense`."""
    x, names = X, list(content)
    for name in names:
        if "weight_ih" in name:
            module, _, layer = name.partition("weight_ih_l")
            parts = [f"{module}{part}_l{layer}" for part in ("weight_ih", "weight_hh")]
            parts += [f"{module}{part}_l{layer}" for part in ("bias_ih", "bias_hh")]
            values = arrays(content[part] for part in parts)
            loop = torch_lstm if len(values[0]) == 4 * H else torch_gru
            x = loop(x, *values)
    if "dense.weight" in content:
        W, b = arrays([content["dense.weight"], content["dense.bias"]])
        x = x @ W.T + b
    return x


def run_nam(content):
    numbers, place = np.array(content["weights"]), 0

    def take(*shape):
        nonlocal place
        place += int(np.prod(shape))
        return numbers[place - int(np.prod(shape)) : place].reshape(shape)

    x = X
    for layer in range(content["config"]["num_layers"]):
        n = I if layer == 0 else H
        W, b, h, c = take(4 * H, n + H), take(4 * H), take(H), take(H)
        outputs = []
        for x_t in x:
            h, c = lstm_step(W @ np.concatenate([x_t, h]) + b, c)
            outputs.append(h)
        x = np.array(outputs)
    W, b = take(O, H), take(O)
    assert place == len(numbers)
    return x @ W.T + b


def keras_file(kind, dense="dense"):
    layers, n = [], I
    gates = {"lstm": 4, "gru": 3}[kind] * H
    for _ in range(LAYERS):
        bias = numbers(gates) if kind == "lstm" else numbers(2, gates)
        weights = [numbers(n, gates), numbers(H, gates), bias]
        layers.append({"type": kind, "activation": "tanh", "shape": [None, None, H],
                       "weights": weights})  # fmt: skip
        n = H
    weights = [numbers(H, O), numbers(O)]
    layers.append({"type": dense, "activation": "", "shape": [None, None, O], "weights": weights})
    return {"in_shape": [None, None, I], "layers": layers}


def torch_file(kind):
    """A module of two layers, one of one, and an output layer; GRUs have gates r, z, n."""
    content = {}
    gates = {"lstm": 4, "gru": 3}[kind] * H
    for number, name in enumerate((f"{kind}.%s_l0", f"{kind}.%s_l1", "upper.%s_l0")):
        content[name % "weight_ih"] = numbers(gates, H if number else I)
        content[name % "weight_hh"] = numbers(gates, H)
        content[name % "bias_ih"], content[name % "bias_hh"] = numbers(gates), numbers(gates)
    return content | {"dense.weight": numbers(O, H), "dense.bias": numbers(O)}


def nam_file(layers=LAYERS):
    sizes = [I, *[H] * (layers - 1)]
    count = sum(4 * H * (n + H) + 6 * H for n in sizes) + O * (H + 1)
    config = {
        "input_size": I,
        "hidden_size": H,
        "num_layers": layers,
        "in_channels": I,
        "out_channels": O,
    }
    return {"version": "0.5.4", "metadata": {"name": "Bright", "gain": 0.25, "date": None},
            "architecture": "LSTM", "config": config, "weights": numbers(count),
            "sample_rate": 44100}  # fmt: skip


def chain_file(*layers):
    """Layers (kind, size, activation), one behind the other."""
    n, entries = I, []
    for kind, size, activation in layers:
        gates = {"lstm": 4, "gru": 3, "dense": 1}[kind] * size
        weights = [numbers(n, gates), numbers(*((2, gates) if kind == "gru" else (gates,)))]
        if kind != "dense":
            weights.insert(1, numbers(size, gates))
        entries.append({"type": kind, "activation": activation, "shape": [None, None, size],
                        "weights": weights})  # fmt: skip
        n = size
    return {"in_shape": [None, None, I], "layers": entries}


CHAINS = {
    "dense in front": [("dense", 4, "tanh"), ("lstm", 5, "tanh"), ("dense", 1, "")],
    "all activations": [
        ("dense", 3, "sigmoid"), ("gru", 6, "tanh"), ("dense", 4, "relu"), ("lstm", 5, "tanh"),
        ("dense", 7, "softmax"), ("dense", 2, "linear"),
    ],
    "cells and sizes": [("lstm", 3, "tanh"), ("lstm", 4, "tanh"), ("gru", 4, "")],
    "dense between": [("gru", 3, "tanh"), ("dense", 3, ""), ("gru", 3, "tanh"), ("dense", 2, "")],
}  # fmt: skip


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
def test_chains_of_rtneural(layers, write, tmp_path):
    content = chain_file(*layers)
    net = crnn.audio.load(write(content), dtype="float64")
    assert type(net) is crnn.Sequential
    np.testing.assert_allclose(net.predict(X), run_keras(content), rtol=0, atol=1e-13)
    path = tmp_path / "twin.json"
    crnn.audio.save(net, path)
    saved = json.loads(path.read_text())
    np.testing.assert_allclose(run_keras(saved), run_keras(content), rtol=0, atol=1e-13)
    assert repr(crnn.audio.load(path, dtype="float64")) == repr(net)
    for form in ("torch", "nam"):
        with pytest.raises(ValueError, match=f"^net: expected a GRU or LSTM for the form '{form}'"):
            crnn.audio.save(net, path, form=form)


def test_chains_that_rtneural_does_not_have(tmp_path):
    layer = crnn.Dense(np.ones((2, 1), np.float32))
    for net, message in (
        (crnn.RNN(2, 3), r"^parts\[1\]: net: expected GRU or LSTM, which RTNeural has, got RNN"),
        (crnn.LSTM(2, 3, bidirectional=True), r"^parts\[1\]: net: expected bidirectional=False"),
    ):
        with pytest.raises(ValueError, match=message):
            crnn.audio.save(crnn.Sequential([layer, net]), tmp_path / "net.json")
    assert not list(tmp_path.iterdir())


FILES = {
    "keras lstm": (keras_file("lstm"), run_keras),
    "keras gru": (keras_file("gru", "time-distributed-dense"), run_keras),
    "torch lstm": (torch_file("lstm"), run_torch),
    "torch gru": (torch_file("gru"), run_torch),
    "nam": (nam_file(), run_nam),
    "nam of one layer": (nam_file(1), run_nam),
}


@pytest.fixture
def write(tmp_path):
    """Write an object as JSON."""

    def write(content, name="file"):
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FILES)
def test_networks_compute_what_the_file_says(name, dtype, write, implementation):
    content, run = FILES[name]
    net = crnn.audio.load(write(content), dtype=dtype, implementation=implementation)
    assert (net.dtype, net.implementation) == (dtype, implementation)
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]
    expected = run(content)
    np.testing.assert_allclose(net.predict(X), expected, rtol=0, atol=tolerance)
    stream = net.stream()
    for x_t, y_t in zip(X.astype(dtype), expected, strict=True):
        np.testing.assert_allclose(stream.step(x_t), y_t, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("form", "family", "settings"),
    [
        ("keras", "LSTM", {}),
        ("keras", "GRU", {"num_layers": 2}),
        ("torch", "LSTM", {"num_layers": 2}),
        ("torch", "GRU", {}),
        ("torch", "GRU", {"output_size": None}),
        ("nam", "LSTM", {"num_layers": 2}),
        ("nam", "LSTM", {"trainable_h0": True}),
        ("nam", "LSTM", {"num_layers": 2, "trainable_h0": True, "dropout": 0.5}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_saved(form, family, settings, dtype, tmp_path):
    """A file says what the network computes, and brings the same bits back."""
    net = network_problems.network(I, H, **{"output_size": O} | settings, family=family,
                                   dtype=dtype)  # fmt: skip
    path = tmp_path / ("net.nam" if form == "nam" else "net.json")
    crnn.audio.save(net, path, form=None if form == "keras" else form)
    run = {"keras": run_keras, "torch": run_torch, "nam": run_nam}[form]
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]
    expected = run(json.loads(path.read_text()))
    np.testing.assert_allclose(net.predict(X), expected, rtol=0, atol=tolerance)
    twin = crnn.audio.load(path, dtype=dtype)
    assert twin.architecture == net.architecture._replace(dropout=0.0)
    assert twin.flat_params.tobytes() == net.flat_params.tobytes()


def test_what_a_file_says_beside_its_weights(write, tmp_path):
    content = FILES["nam"][0]
    said = crnn.audio.describe(write(content))
    assert said == {k: v for k, v in content.items() if k != "weights"} | {"form": "nam"}
    net = crnn.audio.load(write(content))
    path = tmp_path / "twin.nam"
    crnn.audio.save(net, path, sample_rate=said["sample_rate"], metadata=said["metadata"])
    assert crnn.audio.describe(path) == said
    layers = [{k: v for k, v in layer.items() if k != "weights"}
              for layer in FILES["keras gru"][0]["layers"]]  # fmt: skip
    assert crnn.audio.describe(write(FILES["keras gru"][0] | {"samplerate": 48000})) == {
        "in_shape": [None, None, I], "layers": layers, "samplerate": 48000, "form": "keras",
    }  # fmt: skip
    assert crnn.audio.describe(write(FILES["torch gru"][0])) == {"form": "torch"}
    wavenet = {"architecture": "WaveNet", "weights": [1.0], "sample_rate": 48000}
    assert crnn.audio.describe(write(wavenet))["architecture"] == "WaveNet"


def test_first_states_are_those_of_the_file(write):
    content = copy.deepcopy(FILES["nam of one layer"][0])
    start = 4 * H * (I + H) + 4 * H
    h0, c0 = np.float32(content["weights"][start : start + 2 * H]).reshape(2, H)
    net = crnn.audio.load(write(content))
    np.testing.assert_array_equal(net.h0, h0)
    np.testing.assert_array_equal(net.c0, c0)
    content["weights"][start : start + 2 * H] = [0] * (2 * H)
    assert not crnn.audio.load(write(content)).trainable_h0


def keras_with(number, **changes):
    """A file of LSTM layers with a layer changed."""
    content = copy.deepcopy(FILES["keras lstm"][0])
    content["layers"][number] |= changes
    return content


def with_layers(*order):
    """A file with some of the layers of another, in an order."""
    content = copy.deepcopy(FILES["keras lstm"][0])
    content["layers"] = [content["layers"][n] for n in order]
    return content


def torch_with(name, value, kind="lstm"):
    return FILES[f"torch {kind}"][0] | {name: value}


def nam_with(**changes):
    return FILES["nam"][0] | changes


def nam_config(**changes):
    return nam_with(config=FILES["nam"][0]["config"] | changes)


def deep(depth):
    return "[" * depth + "]" * depth


REFUSED = {
    "something else": ("hello", "expected JSON, got something else"),
    "no object": ("[1, 2]", r"expected a JSON object, got \[1, 2\]"),
    "a deep one": (deep(100_000), "expected JSON, got something else"),
    "another object": ({"a": 1}, r"expected an 'architecture' .*, got \['a'\]"),
    "convolution": (
        keras_with(0, type="conv1d"),
        r"layers\[0\]: expected type gru, lstm, .* or time-distributed-dense, got 'conv1d'",
    ),
    "batchnorm": (keras_with(2, type="batchnorm"), r"layers\[2\]: .* got 'batchnorm'"),
    "prelu": (keras_with(1, type="prelu"), r"layers\[1\]: .* got 'prelu'"),
    "activation": (keras_with(2, type="activation"), r"layers\[2\]: .* got 'activation'"),
    "dense with activation": (
        keras_with(2, activation="elu"),
        r"layers\[2\] \(dense\): expected activation '', 'linear', 'relu', .* got 'elu'",
    ),
    "recurrent with activation": (
        keras_with(0, activation="relu"),
        r"layers\[0\] \(lstm\): expected activation '' or 'tanh', .* got 'relu'",
    ),
    "dense first": (with_layers(2, 0), r"\[0\] \(dense\): weights\[0\]: expected shape \(2, 3\)"),
    "dense alone": (keras_with(0) | {"layers": [{"type": "dense", "shape": [1], "weights":
     [[[1]] * I, [0]]}]}, "expected a lstm or gru layer, got none"),
    "no layers": (with_layers(), "expected a lstm or gru layer, got none"),
    "many layers": (
        {"in_shape": [1], "layers": [{"type": "lstm", "shape": [1], "weights":
         [[[0] * 4], [[0] * 4], [0] * 4]}] * 1001},
        "expected at most 1000 layers, got 1001",
    ),
    "a GRU of one bias": (
        {"in_shape": [I], "layers": [{"type": "gru", "shape": [H], "weights":
         [numbers(I, 3 * H), numbers(H, 3 * H), numbers(3 * H)]}]},
        r"weights\[2\]: expected a list of lists of numbers of one length",
    ),
    "a GRU called LSTM": (
        FILES["keras gru"][0] | {"layers": [FILES["keras gru"][0]["layers"][0] | {"type": "lstm"}]},
        r"layers\[0\] \(lstm\): weights\[0\]: expected shape \(2, 20\), got \(2, 15\)",
    ),
    "a skip": (
        FILES["keras lstm"][0] | {"in_skip": 1}, "in_skip: expected 0, because .* got 1"
    ),
    "a gain": (FILES["keras lstm"][0] | {"out_gain": 3.5}, "out_gain: expected 0, .* got 3.5"),
    "no inputs": (FILES["keras lstm"][0] | {"in_shape": None}, "in_shape: expected a list of size"),
    "more units": (keras_with(1, shape=[None, H + 1]), r"layers\[1\].*\[0\]: expected shape"),
    "few weights": (keras_with(1, weights=[]), r"layers\[1\] \(lstm\): expected 3 weights, got 0"),
    "text": (keras_with(2, weights=[[["1"] * O] * H, [0] * O]), "expected numbers, got '1'"),
    "bool": (keras_with(2, weights=[[[True] * O] * H, [0] * O]), "expected numbers, got True"),
    "ragged": (keras_with(2, weights=[[[1], [2, 3]], [0] * O]), "numbers of one length"),
    "infinite": (keras_with(2, weights=[[[1e999] * O] * H, [0] * O]), "expected finite numbers"),
    "long integer": (keras_with(2, weights=[[[10**400] * O] * H, [0] * O]), "at most 64 bits"),
    "beyond float32": (
        keras_with(0, weights=[[[1e300] * 4 * H] * I, *FILES["keras lstm"][0]["layers"][0][
            "weights"][1:]]),
        r"layers\[0\]\[0\]: expected numbers that float32 can hold, got 1e\+300",
    ),
    "biases without a sum": (
        torch_with("lstm.bias_ih_l1", [1.7e308] * 4 * H) | {"lstm.bias_hh_l1": [1.7e308] * 4 * H},
        r"lstm\.weight_hh_l1: expected biases whose sum is finite, got infinity",
    ),
    "two directions": (torch_with("lstm.weight_ih_l0_reverse", []), "'lstm.weight_ih_l0_reverse'"),
    "batch norm of PyTorch": (torch_with("bn.running_mean", []), "'bn.running_mean': expected"),
    "convolution of PyTorch": (
        {"conv.weight": [[[1]]]} | FILES["torch lstm"][0], r"conv\.: expected a LSTM or GRU before"
    ),
    "behind the last": (torch_with("prelu.weight", [1]), r"prelu\.: expected no module behind"),
    "an RNN": ({"rnn.weight_ih_l0": numbers(H, I), "rnn.weight_hh_l0": numbers(H, H)},
               r"rnn\.weight_hh_l0: expected shape .*of a GRU, got \(5, 5\)"),
    "a missing bias": (
        {k: v for k, v in FILES["torch gru"][0].items() if k != "gru.bias_hh_l1"},
        r"gru\.: expected weight_ih_l1, weight_hh_l1, bias_ih_l1, bias_hh_l1",
    ),
    "a layer too far": (torch_with("lstm.weight_ih_l7", []), r"lstm\.: expected weight_ih_l2"),
    "another architecture": (nam_with(architecture="WaveNet"), "expected 'LSTM', got 'WaveNet'"),
    "another version": (nam_with(version="0.9.0"), "version: expected '0.5.0' to '0.7.0', got"),
    "no version": (nam_with(version=None), "version: expected"),
    "few numbers": (nam_with(weights=[1.0]), r"weights: expected \d+ numbers .*, got 1"),
    "many units": (nam_config(hidden_size=10**6), r"weights: expected \d+ numbers"),
    "endless units": (nam_config(hidden_size=10**400), "hidden_size: expected a whole number"),
    "no units": (nam_config(hidden_size=0), "config: hidden_size: expected a whole number"),
    "endless layers": (nam_config(num_layers=10**7), "num_layers: expected at most 1000, got"),
    "channels": (nam_config(in_channels=1), "in_channels: expected as many as input_size, 2, got"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_files_that_are_refused(content, sentence, tmp_path):
    path = tmp_path / "file"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(crnn.ModelFileError, match=f"(?s)^.*file: .*{sentence}") as caught:
        crnn.audio.load(path)
    assert len(str(caught.value)) < 500


def test_small_files_that_ask_for_much(tmp_path):
    path = tmp_path / "file"

    def refused(sentence):
        with pytest.raises(crnn.ModelFileError, match=sentence):
            crnn.audio.load(path)

    path.write_text('{"layers": [' + "[]," * 300_000 + "[]]}")
    assert peak_of(refused, "expected at most 131072 lists") < 4 * path.stat().st_size
    # As an array of text all would be as wide as the longest: 2 GB.
    texts = ["a" * 50_000, *["b"] * 10_000]
    path.write_text(json.dumps(keras_with(2, weights=[[texts], [0] * O])))
    assert peak_of(refused, "expected numbers, got 'aaa") < 5 << 20
    path.write_bytes(b" " * ((1 << 24) + 1))
    refused("expected a file of at most 16777216 bytes, got more")


def test_errors_of_other_arguments(write, tmp_path):
    path = write(FILES["nam"][0])
    with pytest.raises(ValueError, match="dtype") as caught:
        crnn.audio.load(path, dtype="float16")
    assert not isinstance(caught.value, crnn.ModelFileError)
    with pytest.raises(FileNotFoundError):
        crnn.audio.load(tmp_path / "none")


NET = network_problems.network(1, H, 1, family="LSTM")
NOT_SAVED = {
    "no network": ((3, "a.nam"), {}, "net: expected a GRU or LSTM of crnn, got int"),
    "an RNN": ((crnn.RNN(1, 2, 1), "a.json"), {}, "GRU or LSTM, which RTNeural has, got RNN"),
    "a GRU": ((crnn.GRU(1, 2, 1), "a.nam"), {}, "expected LSTM, which a .nam file has, got GRU"),
    "reset before": (
        (crnn.GRU(1, 2, 1, reset_after=False), "a.json"), {}, "expected reset_after=True"
    ),
    "first states": (
        (crnn.LSTM(1, 2, 1, trainable_h0=True), "a.json"), {}, "expected trainable_h0=False"
    ),
    "directions": (
        (crnn.LSTM(1, 2, 1, bidirectional=True), "a.json"), {}, "expected bidirectional=False"
    ),
    "categories": (
        (crnn.LSTM(3, 2, 1, categorical=True), "a.nam"), {}, "expected categorical=False"
    ),
    "one output": (
        (crnn.LSTM(1, 2, 1, return_sequences=False), "a.nam"), {}, "return_sequences=True"
    ),
    "no output layer": ((crnn.LSTM(1, 2), "a.nam"), {}, "net: expected an output layer"),
    "another suffix": ((NET, "a.txt"), {}, "path: expected one that ends in .nam or .json"),
    "another form": ((NET, "a.nam"), {"form": "aax"}, "form: expected 'keras', 'torch' or 'nam'"),
    "a rate for RTNeural": (
        (NET, "a.json"), {"sample_rate": 48000}, "sample_rate: expected None, .* got 48000"
    ),
    "no rate": ((NET, "a.nam"), {"sample_rate": 0}, "sample_rate: expected a finite number above"),
    "metadata": ((NET, "a.nam"), {"metadata": [1]}, "metadata: expected a dict, got list"),
    "no JSON": ((NET, "a.nam"), {"metadata": {"a": float("nan")}}, "metadata: expected what JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "options", "sentence"), NOT_SAVED.values(), ids=NOT_SAVED)
def test_networks_that_are_not_saved(arguments, options, sentence, tmp_path):
    net, name = arguments
    path = tmp_path / name
    path.write_text("old")
    with pytest.raises((TypeError, ValueError), match=sentence):
        crnn.audio.save(net, path, **options)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_text() == "old"


def test_files_that_could_not_be_read_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(crnn.audio, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=r"whose file has at most 1000 bytes, got \d{4}$"):
        crnn.audio.save(NET, tmp_path / "a.nam")
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_finite_are_not_saved(tmp_path):
    net = crnn.LSTM(1, H, 1)
    net.b_y[0] = np.nan
    with pytest.raises(ValueError, match="net: expected finite parameters"):
        crnn.audio.save(net, tmp_path / "a.nam")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes, /dev/zero")
def test_devices_and_pipes(tmp_path):
    """A device may never end, and a pipe never begin."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        for read in (crnn.audio.load, crnn.audio.describe):
            with pytest.raises(OSError, match="expected a path for a file, got a device or a pipe"):
                read(path)
