"""`stream.run` with lengths: each sequence reads its own steps, with the bits of single steps."""

import numpy as np
import pytest
from network_problems import inputs, network, packed, unpacked

import crnn

B, T = 5, 60
# Parts that leave a chunk of predictions (24 steps), and one that is shorter than a block
LENGTHS = np.array([[31, 0, 40, 1, 7], [20, 20, 0, 3, 19]])
SETTINGS = {
    "one layer": {},
    "layers": {"num_layers": 2, "output_size": None},
    "trained h0": {"trainable_h0": True},
    "categories": {"categorical": True},
}
settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def one_step_at_a_time(stream, net, x, lengths):
    """Outputs, zero past lengths; a sequence that has ended is given back its state."""
    outputs = []
    for t in range(x.shape[1]):
        before, has_step = packed(stream.state), (t < lengths)[:, None]
        outputs.append(np.where(has_step, stream.step(x[:, t]), 0))
        stream.state = unpacked(net, np.where(has_step, packed(stream.state), before))
    return np.stack(outputs, axis=1)


@settings
def test_bits_of_single_steps(network_of, settings):
    net = network_of(**settings, dtype="float32")
    x = inputs(net, B, T)
    blocks, at_once, stepped = (x[:, :40], x[:, 40:]), net.stream(B), net.stream(B)
    for block, lengths in zip(blocks, LENGTHS, strict=True):
        expected = one_step_at_a_time(stepped, net, block, lengths)
        past = block.astype(np.float64) if net.architecture.categorical else block.copy()
        for b, length in enumerate(lengths):
            past[b, length:] = np.nan
        y = at_once.run(past, lengths=lengths)
        assert y.dtype == net.dtype
        if net.architecture.categorical and net.implementation == "python":
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
            continue
        assert np.array_equal(y, expected)
        assert np.array_equal(packed(at_once.state), packed(stepped.state))
    assert np.abs(expected).max() > 0.05


@settings
def test_outputs_and_states_of_predict(network_of, settings):
    net = network_of(**settings, dtype="float64")
    x, lengths = inputs(net, B, T), [60, 3, 17, 0, 44]
    expected, h_n = net.predict(x, lengths=lengths, return_state=True)
    stream = net.stream(B)
    y = stream.run(x, lengths)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(packed(stream.state), packed(h_n), rtol=1e-12, atol=1e-13)
    before = packed(stream.state)
    assert not stream.run(x, lengths=[0] * B).any()
    assert np.array_equal(packed(stream.state), before)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_refused_lengths(network_of_family, num_layers):
    net = network_of_family(3, 5, 2, num_layers=num_layers)
    stream, x = net.stream(B), inputs(net, B, 7)
    stream.run(x)
    before = packed(stream.state)
    for lengths, kind, message in [
        ([1, 2, 3, 4, 8], ValueError, "lengths: expected numbers from 0 to 7, the steps of x, "),
        ([1, 2, 3, 4, -1], ValueError, "lengths: expected numbers from 0 to 7, the steps of x, "),
        ([1, 2, 3, 4], ValueError, r"lengths: expected shape \(batch=5,\), got \(4,\)"),
        ([1.5] * B, TypeError, "lengths: expected whole numbers, got float64"),
    ]:
        with pytest.raises(kind, match="^" + message):
            stream.run(x, lengths=lengths)
    for wrong in (x[0], x[:4], x[..., :2], x[..., 0]):
        with pytest.raises(ValueError, match=r"^x: expected shape"):
            stream.run(wrong, lengths=[1] * B)
    x[2, 1] = np.inf
    with pytest.raises(ValueError, match=r"^x: expected finite numbers"):
        stream.run(x, lengths=[2] * B)
    with pytest.raises(ValueError, match=r"^lengths: expected None with one sequence"):
        net.stream().run(x[0], lengths=[3])
    assert np.array_equal(packed(stream.state), before)
    assert stream.run(x[:, :0], lengths=[0] * B).shape == (B, 0, 2)


@pytest.mark.native
def test_a_compiled_stream_without_a_converter(native):
    theta = crnn.RNN(3, 5, 2, seed=0).flat_params.copy()
    stream = native.Stream("tanh", [theta], 3, 5, 2, B, None)
    x = np.random.default_rng(0).standard_normal((B, 7, 3)).astype(theta.dtype)
    lengths = np.array([7, 0, 3, 3, 1])
    y, all_steps = stream.run(x, lengths), native.Stream("tanh", [theta], 3, 5, 2, B, None).run(x)
    for b, length in enumerate(lengths):
        assert np.array_equal(y[b, :length], all_steps[b, :length])
        assert not y[b, length:].any()
    for wrong in ([7, 0, 3, 3, 1], lengths.astype(float), lengths[:4], lengths + 1, lengths - 1):
        with pytest.raises(TypeError, match=r"^lengths: expected an intp array"):
            stream.run(x, wrong)


@pytest.mark.native
@pytest.mark.parametrize("block_steps", [1, 2, 3, 4, 7, 20])
def test_layers_in_blocks_of_steps(native, block_steps):
    """The last block of all steps, and sequences that end within a block or before one."""
    net = network(3, 6, 2, num_layers=3, family="LSTM", implementation="native")
    parameters = [theta for theta, _, _ in net._network.layer_parameters()]
    stream = native.Stream("lstm", parameters, 3, 6, 2, B, None, block_steps=block_steps)
    x = np.random.default_rng(0).standard_normal((B, 7, 3))
    for lengths in ([7, 0, 3, 5, 1], [2, 0, 0, 1, 2], [0] * B, [4] * B):
        stream.reset()
        expected = net.stream(B)
        y = stream.run(x, np.array(lengths, np.intp))
        assert np.array_equal(y, expected.run(x, lengths))
        assert np.array_equal(packed(stream.state), packed(expected.state))
    stream.reset()
    assert np.array_equal(stream.run(x), net.predict(x))
