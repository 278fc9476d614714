"""forward, backward and predict: what they return, and that nothing else changes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from network_problems import (
    DTYPES,
    LENGTHS,
    B,
    H,
    I,
    O,
    T,
    inputs,
    packed,
    random_state,
    targets,
    unpacked,
)

import crnn

dtypes = pytest.mark.parametrize("dtype", DTYPES)


@dtypes
def test_forward_has_the_shapes_and_dtype_of_the_network(build_network, dtype):
    net = build_network(dtype=dtype)
    tape = net.forward(x=inputs(net), h0=random_state(net))
    assert (tape.y.shape, tape.y.dtype) == ((B, T, O), dtype)
    assert (tape.h.shape, tape.h.dtype) == ((B, T + 1, H), dtype)
    assert (tape.h_n.shape, tape.h_n.dtype) == ((B, H), dtype)
    assert np.array_equal(tape.h[:, 0], random_state(net))
    assert np.array_equal(tape.h_n, tape.h[:, -1])


def test_states_of_a_tape(network_of):
    net = network_of(num_layers=2)
    x = inputs(net)
    tape = net.forward(x, lengths=LENGTHS)
    assert tape.h.shape == (2, B, T + 1, H)
    is_pair = isinstance(net, crnn.LSTM)
    if is_pair:
        h_n, c_n = tape.h_n
        assert tape.c.shape == tape.h.shape
        assert np.array_equal(tape.c[:, :, -1], c_n)
        assert np.array_equal(tape.c[:, 1, LENGTHS[1]], c_n[:, 1])
    else:
        h_n = tape.h_n
        with pytest.raises(AttributeError, match=r"^c: expected the tape of an LSTM"):
            _ = tape.c
    assert np.array_equal(tape.h[:, :, -1], h_n)
    assert np.array_equal(tape.h[:, 1, LENGTHS[1]], h_n[:, 1])
    checkpointed = net.forward(x, checkpoint_every=2)
    with pytest.raises(ValueError, match=r"^h: expected a tape made without checkpoint_every"):
        _ = checkpointed.h
    shown = f"Tape(y (4, 7, 2), h_n {'2 x ' if is_pair else ''}(2, 4, 5))"
    assert repr(checkpointed) == shown


def test_states_of_a_tape_are_read_only_and_its_outputs_its_own(network_of):
    net = network_of(output_size=None)
    tape = net.forward(inputs(net))
    expected = net.backward(tape, tape.y - 1.0)
    parts = tape.h_n if isinstance(tape.h_n, tuple) else (tape.h_n,)
    for part in (tape.h, *parts):
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0
    dy = tape.y
    dy -= 1.0
    assert np.array_equal(net.backward(tape, dy).flat, expected.flat)


def test_results_of_earlier_calls_stay(network_of):
    net = network_of()
    x, h0 = inputs(net, seed=1), unpacked(net, random_state(net))
    tape = net.forward(x, h0)
    y, h_n = net.predict(x, h0, return_state=True)
    grads = net.backward(tape, np.ones((B, T, O)))
    results = [tape.y, tape.h, packed(tape.h_n), y, packed(h_n)]
    results += [grads.flat, grads.x, packed(grads.h0)]
    before = [values.copy() for values in results]
    later = inputs(net, seed=2)
    other = net.forward(later)
    net.predict(later)
    net.backward(other, -np.ones((B, T, O)))
    net.train_step(later, np.ones((B, T, O)), crnn.SGD(0.1))
    for values, expected in zip(results, before, strict=True):
        assert np.array_equal(values, expected)


def test_results_of_one_network_do_not_depend_on_calls_of_other_sizes(network_of):
    """Workspaces are kept from call to call."""
    net, fresh = network_of(num_layers=2), network_of(num_layers=2)
    x = inputs(net)
    y = targets(net)
    for batch, time in ((1, 2), (9, 3), (2, 30)):
        other = inputs(net, batch, time)
        net.backward(net.forward(other), np.ones((batch, time, O)))
        net.loss(other, targets(net, batch, time))
        net.predict(other)
    tape, expected = net.forward(x, lengths=LENGTHS), fresh.forward(x, lengths=LENGTHS)
    assert np.array_equal(tape.y, expected.y)
    assert np.array_equal(net.backward(tape, y).flat, fresh.backward(expected, y).flat)
    assert net.loss(x, y) == fresh.loss(x, y)


def test_threads_may_share_a_network(build_network):
    # Kernels run without the interpreter's lock, so scratch memory must not be shared.
    net = build_network(hidden_size=40)
    batches = [np.random.default_rng(seed).standard_normal((8, 30, I)) for seed in range(16)]

    def outputs(x):
        tape = net.forward(x=x)
        return net.backward(tape=tape, dy=tape.y).flat, net.predict(x=x)

    expected = [outputs(x) for x in batches]
    with ThreadPoolExecutor(max_workers=4) as threads:
        for _ in range(5):
            for actual, alone in zip(threads.map(outputs, batches), expected, strict=True):
                assert np.array_equal(actual[0], alone[0])
                assert np.array_equal(actual[1], alone[1])


@pytest.mark.parametrize("output_size", [O, None], ids=["outputs", "hidden states"])
def test_arguments_and_parameters_are_not_changed(network_of, output_size):
    net = network_of(output_size=output_size)
    outputs = output_size or H
    x, h0 = inputs(net), random_state(net)
    dy, dh_n = np.ones((B, T, outputs)), np.ones(random_state(net).shape)
    y, mask, lengths = targets(net), np.ones((B, T)), LENGTHS.copy()
    arguments = (x, h0, dy, dh_n, y, mask, lengths)
    before = [values.copy() for values in (*arguments, net.flat_params)]
    net.backward(net.forward(x, unpacked(net, h0)), dy, unpacked(net, dh_n))
    net.predict(x, unpacked(net, h0), lengths=lengths)
    net.loss(x, y, lengths=lengths, mask=mask)
    for values, expected in zip((*arguments, net.flat_params), before, strict=True):
        assert np.array_equal(values, expected)
    net.train_step(x, y, crnn.SGD(0.1), clip_norm=0.1)
    net.fit(x, y, epochs=2, batch_size=2, seed=0, lengths=lengths, mask=mask)
    for values, expected in zip(arguments, before[:-1], strict=True):
        assert np.array_equal(values, expected)


def test_changing_the_input_afterwards_does_not_change_the_tape(network_of):
    # backward reads x again.
    net = network_of()
    x, h0 = inputs(net), random_state(net)
    expected = net.backward(net.forward(x, unpacked(net, h0)), np.ones((B, T, O)))
    tape = net.forward(x, unpacked(net, h0))
    x[...] = 100.0
    h0[...] = -1.0
    actual = net.backward(tape, np.ones((B, T, O)))
    assert np.array_equal(actual.flat, expected.flat)


@dtypes
def test_gradients_are_a_mapping_like_the_parameters(network_of, dtype):
    net = network_of(dtype=dtype, num_layers=2)
    tape = net.forward(inputs(net), unpacked(net, random_state(net)))
    grads = net.backward(tape, np.ones((B, T, O), dtype))
    assert list(grads) == list(net.params)
    assert len(grads) == len(net.params)
    for name, values in grads.items():
        assert (values.shape, values.dtype) == (net.params[name].shape, dtype)
        assert np.shares_memory(values, grads.flat)
    assert (grads.flat.shape, grads.flat.dtype) == (net.flat_params.shape, dtype)
    assert np.array_equal(grads.flat, np.concatenate([v.ravel() for v in grads.values()]))
    assert (grads.x.shape, grads.x.dtype) == ((B, T, I), dtype)
    assert (packed(grads.h0).shape, packed(grads.h0).dtype) == (random_state(net).shape, dtype)
    with pytest.raises(KeyError):
        grads["W"]


def test_backward_changes_neither_network_nor_tape(network_of):
    net = network_of()
    tape = net.forward(inputs(net), unpacked(net, random_state(net)))
    parameters = net.flat_params.tobytes()
    y, h = tape.y.copy(), tape.h.copy()
    dy, dh_n = np.ones((B, T, O)), unpacked(net, np.ones(random_state(net).shape))
    first = net.backward(tape, dy, dh_n)
    assert net.flat_params.tobytes() == parameters
    assert np.array_equal(tape.y, y)
    assert np.array_equal(tape.h, h)
    # A second call gives the same and does not add to the first.
    second = net.backward(tape, dy, dh_n)
    assert first.flat.tobytes() == second.flat.tobytes()
    assert not np.shares_memory(first.flat, second.flat)
    assert not np.shares_memory(first.flat, net.flat_params)


def test_gradient_of_the_carried_state_alone(build_network, assert_close):
    # With dy = 0 only dh_n is left, which a single step sends through one tanh.
    net = build_network()
    tape = net.forward(x=inputs(net)[:, :1], h0=random_state(net))
    dh_n = np.random.default_rng(2).standard_normal((B, H))
    grads = net.backward(tape=tape, dy=np.zeros((B, 1, O)), dh_n=dh_n)
    da = dh_n * (1 - tape.h[:, 1] ** 2)
    assert_close(grads["b_h"], da.sum(axis=0), dtype="float64")
    assert_close(grads.h0, da @ net.W_hh, dtype="float64")
    assert_close(grads.x[:, 0], da @ net.W_xh, dtype="float64")
    assert np.array_equal(grads["W_hy"], np.zeros((O, H)))


def test_a_layer_that_overflows_is_no_bad_input(implementation):
    net = crnn.RNN(1, 2, 1, num_layers=2, nonlinearity="relu", implementation=implementation)
    net.flat_params[...] = 1e20
    x = np.ones((2, 1, 1), np.float32)
    assert np.isinf(net.predict(x)).all()
    assert np.isinf(net.forward(x).y).all()
    for batch in (None, 2):
        stream = net.stream(batch)
        x_t = np.ones((1,) if batch is None else (batch, 1), np.float32)
        assert np.isinf(stream.step(x_t)).all()
        stream.reset()
        assert np.isinf(stream.run(x_t[..., None])).all()
