"""Outputs and states of every cell and architecture, held to the equations written out."""

import numpy as np
import oracle
import pytest
from network_problems import (
    ARCHITECTURES,
    DTYPES,
    LENGTHS,
    B,
    T,
    as_list,
    inputs,
    packed,
    random_state,
    unpacked,
)

architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
# How x comes: as features, or as category numbers.
kinds = pytest.mark.parametrize("kind", [{}, {"categorical": True}], ids=["features", "categories"])


@architectures
@kinds
@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_and_states(network_of, assert_close, settings, kind, dtype):
    net = network_of(dtype=dtype, **settings, **kind)
    x = inputs(net)
    for lengths, h0 in ((None, None), (LENGTHS, random_state(net))):
        y, h_n = oracle.batch(net, x, [T] * B if lengths is None else lengths, h0)
        given = unpacked(net, h0)
        tape = net.forward(x, given, lengths=lengths)
        assert_close(tape.y, y, dtype=dtype, label="forward")
        assert_close(packed(tape.h_n), h_n, dtype=dtype, label="h_n of forward")
        got_y, got_h_n = net.predict(x, given, return_state=True, lengths=lengths)
        assert_close(got_y, y, dtype=dtype, label="predict")
        assert_close(packed(got_h_n), h_n, dtype=dtype, label="h_n of predict")
        assert_close(net.predict(x, given, lengths=lengths), y, dtype=dtype)


@architectures
@kinds
def test_one_sequence_comes_back_as_one(network_of, assert_close, settings, kind):
    net = network_of(**settings, **kind)
    x, h0 = inputs(net, batch=None), random_state(net, batch=None)
    y, h_n = oracle.sequence(net, x, h0)
    tape = net.forward(x, unpacked(net, h0))
    assert_close(tape.y, y, dtype="float64")
    assert_close(packed(tape.h_n), h_n, dtype="float64")
    got_y, got_h_n = net.predict(x, unpacked(net, h0), return_state=True)
    assert_close(got_y, y, dtype="float64")
    assert_close(packed(got_h_n), h_n, dtype="float64")
    grads = net.backward(tape, np.ones_like(tape.y), unpacked(net, np.ones_like(h_n)))
    assert packed(grads.h0).shape == h0.shape
    assert grads.x is None if kind else grads.x.shape == x.shape
    # A batch of one stays a batch.
    assert net.predict(x[None]).shape == (1, *y.shape)


@kinds
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2}, {"return_sequences": False}])
def test_ragged_lists(network_of, assert_close, settings, kind):
    net = network_of(**settings, **kind)
    x = inputs(net)
    y, h_n = oracle.batch(net, x, LENGTHS)
    outputs, last = net.predict(as_list(x), return_state=True)
    assert_close(packed(last), h_n, dtype="float64")
    alone = net.predict(as_list(x))
    for b, length in enumerate(LENGTHS):
        expected = y[b, :length] if net.return_sequences else y[b]
        assert_close(outputs[b], expected, dtype="float64")
        assert np.array_equal(alone[b], outputs[b])


def test_steps_past_the_end_count_for_nothing(network_of):
    net = network_of(num_layers=2, bidirectional=True)
    x = inputs(net)
    other = x.copy()
    for b, length in enumerate(LENGTHS):
        other[b, length:] = 1e6
    results = []
    for values in (x, other):
        tape = net.forward(values, lengths=LENGTHS)
        dy = np.ones_like(tape.y)
        dy[1, 2:] = 1e6  # past the end
        results.append((tape.y, packed(tape.h_n), net.backward(tape, dy)))
    (y, h_n, grads), (other_y, other_h_n, other_grads) = results
    assert np.array_equal(y, other_y)
    assert np.array_equal(h_n, other_h_n)
    assert np.array_equal(grads.flat, other_grads.flat)
    for b, length in enumerate(LENGTHS):
        assert not grads.x[b, length:].any()


def test_missing_h0_is_zero(network_of):
    net = network_of()
    x = inputs(net)
    zero = net.predict(x, unpacked(net, np.zeros_like(random_state(net))))
    assert np.array_equal(net.predict(x), zero)
    assert not np.array_equal(net.predict(x, unpacked(net, random_state(net))), zero)


@pytest.mark.parametrize("output_size", [1, None], ids=["outputs", "hidden states"])
def test_long_sequence(build_network, assert_close, output_size):
    # predict keeps 512 steps of states at a time: the state goes from one part to the next.
    net = build_network(1, 64, output_size)
    x = inputs(net, batch=1, time=3_000)
    tape = net.forward(x)
    y, h_n = net.predict(x, return_state=True)
    assert_close(y, tape.y, dtype="float64")
    assert_close(h_n, tape.h_n, dtype="float64")
    assert_close(y[0, 2_500:], oracle.sequence(net, x[0, 2_400:])[0][100:], dtype="float64")
