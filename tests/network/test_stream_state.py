"""The state of a stream: assignment, reset, copies; what a stream keeps of its network."""

import copy
import gc
import sys
import weakref

import numpy as np
import pytest
from network_problems import H, I, O, inputs, packed
from stream_problems import in_steps, state_of

import crnn

# One layer has a stream of its own in the compiled kernels.
networks = pytest.mark.parametrize("num_layers", [1, 2])


@networks
def test_attributes(network_of_family, num_layers):
    net = network_of_family(num_layers=num_layers)
    stream = net.stream(4)
    assert (stream.input_size, stream.hidden_size, stream.output_size) == (I, H, O)
    assert (stream.batch_size, stream.dtype) == (4, np.float64)
    assert net.stream().batch_size is None
    assert network_of_family(output_size=None).stream().output_size == H
    assert repr(stream) == (
        "Stream(input_size=3, hidden_size=5, output_size=2, batch_size=4, dtype='float64')"
    )
    # A batch size is a whole number of any type.
    stream = net.stream(np.int64(2))
    assert type(stream.batch_size) is int
    assert stream.step(np.ones((2, I))).shape == (2, O)


@networks
def test_training_does_not_change_a_stream(network_of_family, num_layers):
    net = network_of_family(num_layers=num_layers)
    x = inputs(net, None)
    expected = net.stream().run(x)
    stream = net.stream()
    stepped, twin = stream.copy(), stream.copy()
    net.fit(x, np.ones((len(x), O)), epochs=3, optimizer=crnn.SGD(0.5))
    assert np.array_equal(stream.run(x), expected)
    assert np.array_equal(in_steps(stepped, x), expected)
    assert not np.array_equal(net.stream().run(x), expected)
    net.flat_params[...] = 0
    assert np.array_equal(twin.run(x), expected)


@networks
def test_a_stream_outlives_its_network_and_does_not_keep_it(network_of_family, num_layers):
    net = network_of_family(num_layers=num_layers)
    x = inputs(net, None)
    expected = net.predict(x)
    stream, reference = net.stream(), weakref.ref(net)
    del net
    assert reference() is None
    assert np.array_equal(stream.run(x), expected)


@networks
@pytest.mark.parametrize("batch", [None, 3])
def test_state(network_of_family, batch, num_layers):
    net = network_of_family(dtype="float32", num_layers=num_layers)
    x = inputs(net, batch)
    stream = net.stream(batch)
    shape = ((num_layers,) if num_layers > 1 else ()) + (() if batch is None else (batch,)) + (H,)
    parts = stream.state if isinstance(net, crnn.LSTM) else (stream.state,)
    assert all(part.shape == shape for part in parts)
    assert not np.any(stream.state)
    stream.run(x)
    state = stream.state
    second = stream.run(x)
    assert not np.array_equal(packed(stream.state), packed(state))
    stream.state = state
    assert np.array_equal(stream.run(x), second)
    assert np.array_equal(net.predict(x, h0=state), second)
    stream.reset()
    assert not np.any(stream.state)


@networks
def test_state_is_a_copy(network_of_family, num_layers):
    net = network_of_family(dtype="float32", num_layers=num_layers)
    stream = net.stream(2)
    parts = stream.state if isinstance(net, crnn.LSTM) else (stream.state,)
    for part in parts:
        part[...] = 9
    assert not np.any(stream.state)
    given = state_of(net, 2)
    expected = packed(given).copy()
    stream.state = given
    for part in given if isinstance(given, tuple) else (given,):
        part[...] = 9
    assert np.array_equal(packed(stream.state), expected)


@networks
def test_state_of_another_dtype(network_of_family, num_layers):
    net = network_of_family(dtype="float32", num_layers=num_layers)
    stream = net.stream()
    given = np.full(packed(stream.state).shape, 0.5)
    stream.state = (given[..., :H], given[..., H:]) if isinstance(net, crnn.LSTM) else given
    assert packed(stream.state).dtype == np.float32
    assert np.array_equal(packed(stream.state), given)


def test_trained_states_are_the_first(network_of_family):
    net = network_of_family(trainable_h0=True, num_layers=2)
    stream = net.stream(3)
    first = [values for name, values in net.params.items() if name in ("h0", "c0")]
    expected = np.repeat(np.concatenate(first, axis=-1)[:, None], 3, axis=1)
    assert np.array_equal(packed(stream.state), expected)
    stream.step(np.ones((3, I)))
    assert not np.array_equal(packed(stream.state), expected)
    stream.reset()
    assert np.array_equal(packed(stream.state), expected)


@networks
def test_the_state_cannot_be_deleted(network_of_family, num_layers):
    stream = network_of_family(num_layers=num_layers).stream()
    message = (
        r"^state: expected an assignment, got a deletion; reset\(\) returns to the first state$"
    )
    with pytest.raises(AttributeError, match=message):
        del stream.state
    assert not np.any(stream.state)


@networks
@pytest.mark.parametrize("copier", [lambda s: s.copy(), copy.copy, copy.deepcopy])
def test_copies_go_their_own_way(network_of_family, copier, num_layers):
    net = network_of_family(num_layers=num_layers)
    x = inputs(net, 2)
    stream = net.stream(2)
    stream.run(x[:, :4].copy())
    twin = copier(stream)
    assert type(twin) is type(stream)
    assert np.array_equal(twin.state, stream.state)
    rest = stream.run(x[:, 4:].copy())
    assert not np.array_equal(twin.state, stream.state)
    del stream
    assert np.array_equal(twin.copy().copy().state, twin.state)
    assert np.array_equal(twin.run(x[:, 4:].copy()), rest)


@networks
def test_weak_references(network_of_family, num_layers):
    stream = network_of_family(num_layers=num_layers).stream()
    reference = weakref.ref(stream)
    assert reference() is stream
    del stream
    assert reference() is None


@pytest.mark.parametrize("batch_size", [2**60, 2**63], ids=["2^60", "2^63"])
def test_batches_larger_than_memory(implementation, run_python, batch_size):
    """2^60 times the bytes of a state is 0 modulo 2^64: no small buffer may come of it."""
    code = f"""
import crnn
try:
    stream = crnn.RNN(3, 5, 2, implementation={implementation!r}).stream({batch_size})
    stream.reset()
except (MemoryError, OverflowError, ValueError):
    print("refused")
"""
    process = run_python(code)
    assert process.stdout == "refused\n", process


def test_references_are_given_back(network_of_family):
    stream = network_of_family(dtype="float32").stream()
    x, block = np.ones(I, np.float32), np.ones((4, I), np.float32)
    out, wrong = np.empty(O, np.float32), np.empty(5, np.float32)
    things = [stream, x, block, out, wrong]
    assert sys.getrefcount(stream.step(x)) == sys.getrefcount(np.empty(2))
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(100):
        stream.step(x, out=out)
        stream.step(x)
        stream.run(block)
        stream.state = stream.state
        stream.copy()
        for call in (lambda: stream.step(x, out=wrong), lambda: stream.step(block)):
            with pytest.raises(ValueError, match="expected"):
                call()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in things] == before
