"""Predictions of no sequences and of sequences without steps."""

import numpy as np
import pytest
from network_problems import ARCHITECTURES, B, I, O, T, inputs, packed, random_state, unpacked

architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
kinds = pytest.mark.parametrize("kind", [{}, {"categorical": True}], ids=["features", "categories"])


def start_of(net, batch):
    """The packed states that sequences start from where none are given."""
    names = ("h0", "c0")[: packed(random_state(net)).shape[-1] // net.hidden_size]
    layers = net.num_layers * (1 + net.bidirectional)
    parts = [net.params[n] if net.trainable_h0 else np.zeros(net.hidden_size) for n in names]
    parts = [np.broadcast_to(part, (layers, net.hidden_size))[:, None] for part in parts]
    states = np.repeat(np.concatenate(parts, axis=-1), batch, axis=1)
    return states if layers > 1 else states[0]


def output_of(net, states):
    """The outputs of packed states (layers * directions, batch, S)."""
    states = states.reshape(net.num_layers * (1 + net.bidirectional), -1, states.shape[-1])
    top = states[-1 - net.bidirectional :, :, : net.hidden_size]
    features = np.concatenate(list(top), axis=-1)
    return features if net.output_size is None else features @ net.W_hy.T + net.b_y


@architectures
@kinds
@pytest.mark.parametrize("shape", [(B, 0), (0, T), (0, 0)], ids=str)
def test_arrays(network_of, settings, kind, shape):
    net = network_of(**settings, **kind, dtype="float32")
    x = inputs(net, *shape)
    for h0 in (None, random_state(net, shape[0])):
        y, h_n = net.predict(x, unpacked(net, h0), return_state=True)
        states = start_of(net, shape[0]) if h0 is None else h0
        np.testing.assert_array_equal(packed(h_n), states)
        outputs = net.architecture.outputs
        expected = np.zeros((*shape, outputs))
        if not net.return_sequences:
            expected = output_of(net, states)
        assert y.dtype == packed(h_n).dtype == np.float32
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        skip = np.zeros(shape, bool)
        again = net.predict(x, unpacked(net, h0), lengths=[0] * shape[0], skip=skip)
        np.testing.assert_array_equal(again, y)
    if shape == (B, 0):
        single = net.predict(x[0])
        assert single.shape == ((0, outputs) if net.return_sequences else (outputs,))


@architectures
@kinds
def test_lengths_of_zero_among_others(network_of, settings, kind):
    net = network_of(**settings, **kind)
    x, h0, lengths = inputs(net), random_state(net), np.array([3, 0, T, 0])
    y, h_n = net.predict(x, unpacked(net, h0), return_state=True, lengths=lengths)
    rows = lengths > 0
    given = unpacked(net, h0[..., rows, :])
    some, last = net.predict(x[rows], given, return_state=True, lengths=lengths[rows])
    np.testing.assert_allclose(y[rows], some, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(packed(h_n)[..., rows, :], packed(last), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(packed(h_n)[..., ~rows, :], h0[..., ~rows, :])
    expected = 0 if net.return_sequences else output_of(net, h0[..., ~rows, :])
    np.testing.assert_allclose(y[~rows], np.broadcast_to(expected, y[~rows].shape), atol=1e-13)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "return_sequences": False}], ids=str)
@kinds
def test_lists(network_of, settings, kind):
    net = network_of(**settings, **kind)
    x, h0 = inputs(net), random_state(net)
    y, h_n = net.predict([x[0], x[1, :0], x[2, :3], []], unpacked(net, h0), return_state=True)
    ends = [T, 0, 3, 0]
    expected, last = net.predict(x, unpacked(net, h0), return_state=True, lengths=ends)
    np.testing.assert_allclose(packed(h_n), packed(last), rtol=1e-12, atol=1e-13)
    assert isinstance(y, list) == net.return_sequences
    for b, n in enumerate(ends):
        wanted = expected[b, :n] if net.return_sequences else expected[b]
        assert y[b].shape == wanted.shape
        np.testing.assert_allclose(y[b], wanted, rtol=1e-12, atol=1e-13)
    assert [np.shape(one) for one in net.predict([[], []])] == [
        (0, O) if net.return_sequences else (O,)
    ] * 2


def test_an_empty_list_is_no_sequences(network_of):
    """With categories it could be one sequence of no steps, and is refused."""
    net = network_of(num_layers=2)
    y, h_n = net.predict([], return_state=True)
    assert y == []
    assert packed(h_n).shape == (2, 0, packed(random_state(net)).shape[-1])
    assert network_of(return_sequences=False).predict([]).shape == (0, O)


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2}], ids=["one layer", "layers"])
@kinds
def test_blocks_of_no_steps_leave_a_stream_as_it_is(network_of, settings, kind, batch):
    net = network_of(**settings, **kind)
    stream, x = net.stream(batch), inputs(net, batch, 20)
    axes = () if batch is None else (batch,)
    stream.run(x)
    before = packed(stream.state)
    for none in (x[..., :0, :] if not kind else x[..., :0], np.empty((*axes, 0, I)[: x.ndim])):
        y = stream.run(none)
        assert y.shape == (*axes, 0, O)
        assert y.dtype == net.dtype
    np.testing.assert_array_equal(packed(stream.state), before)
