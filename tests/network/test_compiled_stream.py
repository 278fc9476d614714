"""The compiled stream class by itself: it looks like the Python one and crashes on no argument."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from network_problems import network

THETA = np.ones(3 * 5 + 5 * 5 + 5 + 2 * 5 + 2)


@pytest.fixture
def compiled(native):
    """The class."""
    cls = type(network(implementation="native").stream())
    assert cls is native.Stream
    return cls


@pytest.fixture
def python(both_kernels):
    """The class of streams of several layers."""
    return type(network(num_layers=2, implementation="python").stream())


def test_objects_without_init_do_not_crash(compiled):
    empty = compiled.__new__(compiled)
    for use in (
        lambda: empty.step(np.ones(3)),
        lambda: empty.step(np.ones(3, np.float32), np.ones(3, np.float32)),
        lambda: empty.run(np.ones((2, 3))),
        lambda: empty.state,
        lambda: setattr(empty, "state", np.ones(3)),
        lambda: empty.run(np.ones((2, 3), np.float32)),
        lambda: empty.run(np.ones((0, 0), np.float32)),
        lambda: empty.step(np.ones(0)),
        empty.copy,
        empty.reset,
        lambda: copy.copy(empty),
        lambda: copy.deepcopy(empty),
        lambda: pickle.dumps(empty),
        lambda: empty.dtype,
        lambda: repr(empty),
        lambda: compiled(),
        lambda: compiled("tanh", [np.zeros(9)], 3, 5),
    ):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            use()
    assert (empty.input_size, empty.hidden_size, empty.output_size) == (0, 0, 0)
    assert empty.batch_size is None
    # A failed __init__ leaves as much, and the next one may succeed.
    with pytest.raises(ValueError, match="theta"):
        empty.__init__("tanh", [np.zeros(9)], 3, 5, 2, None, None)
    with pytest.raises((TypeError, AttributeError)):
        empty.step(np.ones(3))
    empty.__init__("tanh", [THETA], 3, 5, 2, None, None)
    assert np.array_equal(empty.step(np.zeros(3)), np.full(2, 1 + 5 * np.tanh(1)))


def test_native_refuses_what_would_crash_it(compiled):
    theta = THETA.astype(np.float32)
    stream = compiled("tanh", [theta], 3, 5, 2, None, None)
    with pytest.raises(RuntimeError, match="second __init__"):
        stream.__init__("tanh", [theta], 3, 5, 2, None, None)
    for sizes in ((3, 5, 1), (0, 5, 2), (3, -5, 2)):
        with pytest.raises(ValueError, match="expected"):
            compiled("tanh", [theta], *sizes, None, None)
    with pytest.raises(ValueError, match=r"^cell: expected one of tanh, "):
        compiled("LSTM", [theta], 3, 5, 2, None, None)
    with pytest.raises((TypeError, ValueError), match="theta"):
        compiled("tanh", [theta.astype(int)], 3, 5, 2, None, None)
    # A converter that returns nonsense
    for nonsense in (None, np.ones(2, np.float32), np.ones(3, np.float64), "x"):
        bad = compiled("tanh", [theta], 3, 5, 2, None, lambda *_, value=nonsense: value)
        with pytest.raises((TypeError, ValueError)):
            bad.step([1.0])
        with pytest.raises((TypeError, ValueError)):
            bad.run([1.0])
        with pytest.raises((TypeError, ValueError)):
            bad.state = [1.0]


def test_it_looks_like_the_python_class(compiled, python):
    names = {name for name in vars(python) if not name.startswith("_")}
    assert {"step", "run", "state", "reset", "copy"} <= names
    for name in names | {"__copy__", "__deepcopy__", "__reduce__", "__repr__"}:
        ours, theirs = getattr(compiled, name), getattr(python, name)
        assert ours.__doc__ or name.startswith("_"), name
        if not isinstance(theirs, property):
            parameters = [list(inspect.signature(f).parameters) for f in (ours, theirs)]
            assert parameters[0] == parameters[1], name
    streams = [network(implementation=name).stream() for name in ("native", "python")]
    assert repr(streams[0]) == repr(streams[1])
    for name in ("input_size", "hidden_size", "output_size", "batch_size", "dtype"):
        assert getattr(streams[0], name) == getattr(streams[1], name)


def test_states_that_are_not_contiguous(compiled):
    """Without a converter the stream copies them, and reads the copy."""
    parameters = [np.zeros(500 * (n + 500 + 1)) for n in (3, 500)]
    stream = compiled("tanh", parameters, 3, 500, 0, 8, None)
    states = np.asfortranarray(np.random.default_rng(0).standard_normal((2, 8, 500)))
    stream.state = states
    assert np.array_equal(stream.state, states)
