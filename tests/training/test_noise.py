"""Noise on pre-activations in training: its formula, its generator, and who has none."""

import warnings

import numpy as np
import pytest
from network_problems import ARCHITECTURES, LENGTHS, inputs, step_gradient, targets

import crnn
from crnn._network.random_numbers import normal_noise

NOISE = 0.4
leaks = pytest.mark.parametrize("leak", [None, 0.3], ids=["plain", "leaky"])
nonlinearities = pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])


def gradient_of_step(net, x, y, **settings):
    """Loss and gradient of a step of training; parameters and generator stay as they were."""
    state = net._rng.bit_generator.state
    result = step_gradient(net, x, y, **settings)
    net._rng.bit_generator.state = state
    return result


@leaks
@nonlinearities
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_by_the_equation(build_network, leak, nonlinearity, dtype):
    net = build_network(leak=leak, nonlinearity=nonlinearity, noise=NOISE, dtype=dtype)
    x, y = inputs(net), targets(net)
    B, T, _ = x.shape
    generator = np.random.default_rng()
    generator.bit_generator.state = net._rng.bit_generator.state
    noise = normal_noise((B, T, net.hidden_size), NOISE, np.dtype(dtype), generator)
    W, a = net.params, 1 if leak is None else leak
    h, outputs = np.zeros((B, net.hidden_size)), []
    for t in range(T):
        sums = x[:, t] @ W["W_xh"].T + h @ W["W_hh"].T + W["b_h"] + noise[:, t]
        h = (1 - a) * h + a * (np.tanh(sums) if nonlinearity == "tanh" else np.maximum(sums, 0))
        outputs.append(h @ W["W_hy"].T + W["b_y"])
    expected = np.mean((np.stack(outputs, axis=1) - y) ** 2)
    tolerance = {"float32": 1e-5, "float64": 1e-13}[dtype]
    assert net.train_step(x, y, crnn.SGD(0.1)) == pytest.approx(expected, rel=tolerance)
    # The step has drawn these numbers, and no others.
    assert net._rng.bit_generator.state == generator.bit_generator.state


@leaks
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_gradient_by_differences(build_network, leak, lengths, settings):
    net = build_network(leak=leak, trainable_leak=leak is not None, noise=NOISE, **settings)
    x, y = inputs(net), targets(net)
    _, gradient = gradient_of_step(net, x, y, lengths=lengths)
    rng = np.random.default_rng(0)
    kept, direction = net.flat_params.copy(), rng.standard_normal(len(net.flat_params))
    losses = []
    for sign in (1, -1):
        net.flat_params[...] = kept + sign * 1e-6 * direction
        losses.append(gradient_of_step(net, x, y, lengths=lengths)[0])
    slope = (losses[0] - losses[1]) / 2e-6
    assert gradient @ direction == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", [{"categorical": True}, {"bidirectional": True}, {}])
def test_noise_is_that_of_either_direction_and_of_categories(build_network, kind):
    """A very small noise changes next to nothing: both ways to the pre-activations agree."""
    noisy, plain = (build_network(noise=noise, **kind) for noise in (1e-12, 0.0))
    x, y = inputs(plain), targets(plain)
    for lengths in (None, LENGTHS):
        results = [gradient_of_step(net, x, y, lengths=lengths) for net in (noisy, plain)]
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-9)
        np.testing.assert_allclose(results[0][1], results[1][1], rtol=0, atol=1e-9)


@leaks
def test_only_training_has_noise(build_network, leak):
    noisy, plain = (build_network(leak=leak, noise=noise) for noise in (NOISE, 0.0))
    x, y = inputs(plain), targets(plain)
    assert noisy.predict(x).tobytes() == plain.predict(x).tobytes()
    assert noisy.forward(x).y.tobytes() == plain.forward(x).y.tobytes()
    assert noisy.loss(x, y) == plain.loss(x, y)
    assert noisy.stream().run(x[0]).tobytes() == plain.stream().run(x[0]).tobytes()
    assert noisy.train_step(x, y, crnn.SGD(0.1)) != plain.train_step(x, y, crnn.SGD(0.1))


def test_same_seed_same_bits(build_network):
    x, y = inputs(build_network(), 6), targets(build_network(), 6)
    bits = set()
    for seed in (5, 5, 6):
        net = build_network(noise=NOISE, leak=0.5)
        net.fit(x, y, epochs=3, batch_size=2, seed=seed, shuffle=False)
        bits.add(net.flat_params.tobytes())
    assert len(bits) == 2


@pytest.mark.native
def test_threads_change_no_bit(native):
    net = crnn.RNN(3, 64, 2, noise=NOISE, leak=0.5, seed=0, implementation="native")
    x, y = inputs(net, 32, 50), targets(net, 32, 50)
    before, bits = native.get_num_threads(), set()
    try:
        for threads in (1, 2):
            native.set_num_threads(threads)
            bits.add(gradient_of_step(net, x, y)[1].tobytes())
    finally:
        native.set_num_threads(before)
    assert len(bits) == 1


def test_truncated_bptt_draws_for_each_chunk(build_network):
    net = build_network(noise=NOISE)
    x, y = inputs(net), targets(net)
    generator = np.random.default_rng(3)
    net.fit(x, y, epochs=1, bptt=3, seed=3, shuffle=False, optimizer=crnn.SGD(0.01))
    for steps in (3, 3, 1):
        normal_noise((len(x), steps, net.hidden_size), NOISE, np.dtype(np.float64), generator)
    twin = build_network(noise=NOISE)
    rng = np.random.default_rng(3)
    twin._rng = rng
    twin.fit(x, y, epochs=1, bptt=3, shuffle=False, optimizer=crnn.SGD(0.01))
    assert twin.flat_params.tobytes() == net.flat_params.tobytes()
    assert rng.bit_generator.state == generator.bit_generator.state


def test_a_step_that_is_not_taken_leaves_the_generator(build_network):
    net = build_network(noise=NOISE)
    state = net._rng.bit_generator.state
    with pytest.raises(crnn.DivergenceError):
        net.train_step(inputs(net), targets(net), crnn.SGD(1e308), loss="sse")
    assert net._rng.bit_generator.state == state


def test_a_resumed_run_draws_what_it_would_have_drawn(build_network, tmp_path):
    x, y = inputs(build_network(), 6), targets(build_network(), 6)
    whole, parts = (build_network(noise=NOISE) for _ in range(2))
    whole.fit(x, y, epochs=4, batch_size=4)
    for epochs in (2, 4):
        parts.fit(x, y, epochs=epochs, batch_size=4, checkpoint=tmp_path / "run", resume=True)
    assert parts.flat_params.tobytes() == whole.flat_params.tobytes()


def test_where_there_is_no_noise(build_network):
    net = build_network(noise=NOISE)
    x, y = inputs(net), targets(net)
    with pytest.raises(ValueError, match=r"^noise: expected none with LBFGS, .* got 0\.4"):
        net.fit(x, y, epochs=1, optimizer=crnn.LBFGS())
    with pytest.raises(ValueError, match=r"^trainer: expected .* no categories and no noise"):
        net.trainer(crnn.SGD(0.1), time=7)
    for family in (crnn.GRU, crnn.LSTM):
        with pytest.raises(TypeError, match="noise"):
            family(2, 3, 1, noise=0.1)


def test_noise_beyond_the_range_of_float32(build_network):
    net = build_network(noise=1e300, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.train_step(inputs(net), targets(net), crnn.SGD(0.1))
    assert np.isfinite(net.flat_params).all()
