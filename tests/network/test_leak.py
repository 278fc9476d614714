"""Leaky networks: the equation written out, what a leak may be, and who refuses it."""

import copy
import pickle

import numpy as np
import pytest
from network_problems import inputs, network, step_gradient, targets

import crnn
import crnn.functional
import crnn.loading

LEAKS = {"one": 0.3, "each": np.array([0.1, 0.9, 0.4, 1.0, 0.7])}
leaks = pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
nonlinearities = pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])


def by_the_equation(net, x):
    """Outputs and states of one layer: h_t = (1 - a) h_{t-1} + a f(W_xh x + W_hh h + b_h)."""
    W = {name: values.astype(float) for name, values in net.params.items()}
    y, states, h = [], [], np.zeros(net.hidden_size)
    for x_t in x:
        sums = W["W_xh"] @ x_t + W["W_hh"] @ h + W["b_h"]
        value = np.tanh(sums) if net.nonlinearity == "tanh" else np.maximum(sums, 0)
        h = (1 - W["leak"]) * h + W["leak"] * value
        states.append(h)
        y.append(W["W_hy"] @ h + W["b_y"])
    return np.array(y), np.array(states)


@leaks
@nonlinearities
@pytest.mark.parametrize("batch", [1, 4])
def test_the_equation(build_network, leak, nonlinearity, batch):
    net = build_network(leak=leak, nonlinearity=nonlinearity)
    x = inputs(net, batch, 9)
    tape = net.forward(x)
    stream = net.stream()
    for b in range(batch):
        y, h = by_the_equation(net, x[b])
        np.testing.assert_allclose(tape.y[b], y, rtol=0, atol=1e-13)
        np.testing.assert_allclose(tape.h[b, 1:], h, rtol=0, atol=1e-13)
        np.testing.assert_allclose(net.predict(x[b]), y, rtol=0, atol=1e-13)
        stream.reset()
        np.testing.assert_allclose(stream.run(x[b]), y, rtol=0, atol=1e-13)


def test_a_leak_of_1_is_none(build_network):
    net, plain = build_network(leak=1.0), build_network()
    for name, values in plain.params.items():
        net.params[name][...] = values
    x, y = inputs(net), targets(net)
    np.testing.assert_allclose(net.predict(x), plain.predict(x), rtol=0, atol=1e-14)
    gradient, of_plain = (step_gradient(one, x, y)[1] for one in (net, plain))
    leak = net.W_xh.size + net.W_hh.size + net.b_h.size
    assert net.flat_params[leak] == 1.0
    np.testing.assert_allclose(np.delete(gradient, leak), of_plain, rtol=0, atol=1e-14)


@leaks
@nonlinearities
def test_a_fixed_leak_has_no_gradient(build_network, leak, nonlinearity):
    settings = {"leak": leak, "nonlinearity": nonlinearity}
    fixed, trained = build_network(**settings), build_network(**settings, trainable_leak=True)
    x, y = inputs(fixed), targets(fixed)
    gradients = []
    for net in (fixed, trained):
        tape = net.forward(x)
        gradients.append(net.backward(tape, 2 * (tape.y - y) / y.size))
        # The gradient of the one kernel call is that of the tape.
        np.testing.assert_allclose(step_gradient(net, x, y)[1], gradients[-1].flat, atol=1e-13)
    of_fixed, of_trained = gradients
    assert not of_fixed["leak"].any()
    assert of_trained["leak"].all()
    for name in fixed.params.keys() - {"leak"}:
        np.testing.assert_allclose(of_fixed[name], of_trained[name], rtol=0, atol=1e-13)


def test_names_and_shapes(build_network):
    net = build_network(leak=0.2, num_layers=2, bidirectional=True)
    names = [name for name in net.params if name.startswith("leak")]
    assert names == ["leak", "leak_reverse", "leak_l1", "leak_l1_reverse"]
    assert all(net.params[name].tolist() == [0.2] for name in names)
    net = build_network(leak=LEAKS["each"])
    assert net.leak.tolist() == LEAKS["each"].tolist()
    assert list(net.params) == ["W_xh", "W_hh", "b_h", "leak", "W_hy", "b_y"]
    assert [net.params[name].size for name in net.params] == [15, 25, 5, 5, 10, 2]
    net.leak[2] = 0.5
    assert net.flat_params[47] == 0.5


def test_what_a_network_says_about_its_leak(build_network):
    net = build_network(leak=0.25, nonlinearity="relu", trainable_leak=True, noise=0.1)
    assert (net.nonlinearity, net.trainable_leak, net.noise) == ("relu", True, 0.1)
    assert "noise=0.1, leak=0.25, nonlinearity='relu', trainable_leak=True" in repr(net)
    assert "leak=[0.1, 0.9, 0.4, 1.0, 0.7]," in repr(build_network(leak=LEAKS["each"]))
    assert "leak=1.235e-05," in repr(build_network(leak=1.23456e-5))
    plain = build_network()
    assert (plain.trainable_leak, plain.noise) == (False, 0.0)
    assert "leak" not in repr(plain)
    with pytest.raises(AttributeError, match="leak"):
        plain.leak  # noqa: B018


@leaks
def test_files_copies_and_pickles(build_network, tmp_path, leak):
    net = build_network(leak=leak, trainable_leak=True, noise=0.3, num_layers=2, dtype="float32")
    net.leak_l1[...] = 0.6
    net.save(tmp_path / "net.npz")
    loaded = crnn.load(tmp_path / "net.npz", implementation=net.implementation)
    for twin in (loaded, copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.astype("f4")):
        assert twin.architecture == net.architecture
        assert twin.flat_params.tobytes() == net.flat_params.tobytes()
    x = inputs(net)
    assert loaded.predict(x).tobytes() == net.predict(x).tobytes()


def test_a_file_of_an_earlier_version_has_no_noise(build_network):
    description = build_network().describe()
    del description["noise"]
    assert crnn.loading.check_description(description)["parameters"][1] == (57,)
    with pytest.raises(crnn.ModelFileError, match=r"noise: expected 0\.0 with this cell, got 0\.5"):
        crnn.loading.check_description(crnn.GRU(3, 5, 2).describe() | {"noise": 0.5})


EXPECTED = "leak: expected numbers of float32"
REFUSED = {
    "zero": ({"leak": 0.0}, ValueError, f"{EXPECTED} above 0 and at most 1, got 0.0"),
    "above 1": ({"leak": 1.1}, ValueError, f"{EXPECTED} above 0 and at most 1, got 1.1"),
    "rounded to 1": ({"leak": 1 + 1e-12}, ValueError, f"{EXPECTED} above 0 and at most 1, got 1.0"),
    "rounded to 0": ({"leak": 1e-60}, ValueError, f"{EXPECTED} above 0 and at most 1, got 1e-60"),
    "nan": ({"leak": np.nan}, ValueError, f"{EXPECTED} above 0 and at most 1, got nan"),
    "one of them": ({"leak": [0.5, -1, 1]}, ValueError, f"{EXPECTED} above 0 .* got -1.0$"),
    "masked": (
        {"leak": np.ma.array([0.1, 0.2, 0.3], mask=[0, 1, 0])},
        ValueError,
        "leak: expected an array without gaps, got masked entries",
    ),
    "shape": (
        {"leak": [0.5, 0.5]},
        ValueError,
        r"leak: expected a number or shape \(hidden=3,\), got shape \(2,\)",
    ),
    "text": ({"leak": "0.5"}, TypeError, r"leak: expected numbers \(.*\), got <U3"),
    "bool": ({"leak": True}, TypeError, "leak: expected a number or an array of numbers, got True"),
    "trained without": (
        {"trainable_leak": True},
        ValueError,
        "trainable_leak: expected False without a leak, got True",
    ),
    "trained": ({"leak": 0.5, "trainable_leak": 2}, TypeError, "trainable_leak: expected"),
    "noise": ({"noise": -0.1}, ValueError, "noise: expected a finite number of at least 0, got"),
    "noise of text": ({"noise": "loud"}, TypeError, "noise: expected a number, got 'loud'"),
}


@pytest.mark.parametrize(("settings", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_arguments(settings, error, message):
    with pytest.raises(error, match=f"^{message}"):
        crnn.RNN(2, 3, 1, **settings)


def test_from_architecture():
    net = crnn.RNN(2, 3, 1, leak=[0.1, 0.2, 0.3], trainable_leak=True, noise=0.2)
    twin = crnn.from_architecture(net.architecture._replace(hidden_size=5))
    assert twin.leak.tolist() == [1.0] * 5
    assert (twin.trainable_leak, twin.noise) == (True, 0.2)
    with pytest.raises(ValueError, match=r"^noise: expected 0 with cell 'gru'"):
        crnn.from_architecture(crnn.GRU(2, 3).architecture._replace(noise=0.5))


def test_learners_and_layers_of_other_packages_refuse_it():
    leaky, noisy = crnn.RNN(2, 3, 1, leak=0.5), crnn.RNN(2, 3, 1, noise=0.5)
    for net in (leaky, noisy):
        with pytest.raises(
            ValueError, match=r"^learner: expected a network without leak and noise"
        ):
            net.learner(crnn.SGD(0.1))
        architecture, W = net.architecture, dict(net.params)
        with pytest.raises(ValueError, match=r"^architecture: expected one without leak and noise"):
            crnn.functional.forward(architecture, W, np.zeros((1, 2, 2), "f4"), np.zeros((1, 1, 3)))
        with pytest.raises(ValueError, match=r"^architecture: expected one without leak and noise"):
            crnn.functional.predict(architecture, W, np.zeros((1, 2, 2), "f4"), np.zeros((1, 1, 3)))


def test_a_stream_takes_the_leaks_of_other_parameters(build_network):
    net = build_network(leak=LEAKS["each"], num_layers=2)
    stream = net.stream()
    net.leak_l1[...] = 0.05
    x = inputs(net, None, 6)
    before = stream.copy().run(x)
    if net.implementation == "native":
        stream.take_parameters(net.flat_params)
        assert stream.run(x).tobytes() == net.predict(x).tobytes()
        assert stream.run(x).tobytes() != before.tobytes()


def test_initial_weights_are_those_without_a_leak():
    assert np.array_equal(network(seed=3, leak=0.5).W_hh, network(seed=3).W_hh)
