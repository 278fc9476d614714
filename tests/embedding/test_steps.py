"""Steps of streams from C and Cython: the numbers of predict, states, sizes, errors."""

import numpy as np
import pytest

import crnn

pytestmark = pytest.mark.xdist_group("embedding")

CASES = [
    (8, 32, 4, None),
    (8, 8, 4, None),
    (1, 8, 1, None),
    (1, 32, 1, None),
    (3, 13, 5, None),
    (8, 32, 4, 1),
    (6, 20, 3, 7),
    (9, 70, 33, 16),
]
families = pytest.mark.parametrize("family", [crnn.RNN, crnn.GRU, crnn.LSTM])
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.mark.loops
@families
@dtypes
@pytest.mark.parametrize(("I", "H", "O", "batch"), CASES)
def test_numbers_are_those_of_predict(steppers, trained, family, dtype, I, H, O, batch):
    c, cython = steppers
    net = trained(I, H, O, dtype, family)
    T, B = 40, batch or 1
    x = np.random.default_rng(2).standard_normal((B, T, I)).astype(dtype)
    expected, h_n = net.predict(x, return_state=True)
    by_step = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(T, B * I)
    y = np.full((T, B * O), np.nan, dtype)
    stream = net.stream(batch)
    assert c.run(stream, by_step, y, T) == 0
    assert np.array_equal(y.reshape(T, B, O).swapaxes(0, 1), expected)
    # For an LSTM both are pairs.
    assert np.array_equal(np.reshape(stream.state, np.shape(h_n)), h_n)
    stream.reset()
    y[...] = np.nan
    run = cython.run_float if dtype == "float32" else cython.run_double
    assert run(stream, by_step, y) == 0
    assert np.array_equal(y.reshape(T, B, O).swapaxes(0, 1), expected)
    # Python goes on where C stopped.
    more, _ = net.predict(x, h0=h_n, return_state=True)
    block = x if batch else x[0]
    assert np.array_equal(stream.run(block), more if batch else more[0])


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8)])
def test_sizes_and_the_wrong_dtype(steppers, trained, dtype, itemsize):
    stream = trained(3, 5, 2, dtype).stream(4)
    stream.step(np.ones((4, 3)))
    before = stream.state
    scratch = np.ones(20)
    assert steppers[0].codes(stream, True, scratch) == (-2, -2, -2, 4, 3, 5, 2, 5, itemsize)
    assert np.array_equal(stream.state, before)
    assert np.array_equal(scratch, np.ones(20))
    assert steppers[0].codes(stream, False, scratch) == (0, 0, 0, 4, 3, 5, 2, 5, itemsize)
    cython_run = steppers[1].run_double if dtype == "float32" else steppers[1].run_float
    other = np.float64 if dtype == "float32" else np.float32
    assert cython_run(stream, np.ones((1, 12), other), np.ones((1, 8), other)) == -2


@dtypes
def test_state(steppers, trained, dtype):
    c, _ = steppers
    stream = trained(3, 5, 2, dtype).stream(2)
    stream.step(np.ones((2, 3)))
    h = np.full((2, 5), np.nan, dtype)
    assert c.state(stream, h, False) == 0
    assert np.array_equal(h, stream.state)
    assert h.any()
    assert c.state(stream, h[::-1].copy(), True) == 0
    assert np.array_equal(stream.state, h[::-1])
    assert c.state(stream, None, True) == 0
    assert not stream.state.any()


@pytest.mark.parametrize("batch", [None, 2])
def test_state_of_an_lstm_is_h_and_then_c(steppers, trained, batch):
    c, _ = steppers
    stream = trained(3, 5, 2, "float64", crnn.LSTM).stream(batch)
    stream.step(np.random.default_rng(0).standard_normal((3,) if batch is None else (batch, 3)))
    assert c.codes(stream, False, np.ones(20))[3:] == (batch or 1, 3, 5, 2, 10, 8)
    stream.step(np.ones(3) if batch is None else np.ones((batch, 3)))
    state = np.full((batch or 1, 10), np.nan)
    assert c.state(stream, state, False) == 0
    h, cells = (np.reshape(part, (-1, 5)) for part in stream.state)
    assert np.array_equal(state, np.concatenate([h, cells], axis=1))
    assert c.state(stream, 2 * state, True) == 0
    assert np.array_equal(np.reshape(stream.state[1], (-1, 5)), 2 * cells)


def test_no_stream(steppers, trained):
    python = crnn.RNN(3, 5, 2, implementation="python").stream()
    for thing in (None, trained(3, 5, 2), python):
        with pytest.raises(TypeError, match=r"^stream: expected what stream\(\) of a network with"):
            steppers[0].codes(thing, False, np.ones(20))
    with pytest.raises(TypeError):
        steppers[1].run_float(python, np.ones((1, 3), "f"), np.ones((1, 2), "f"))
    assert steppers[0].version == 3


def test_a_stream_without_init_is_of_neither_dtype(steppers, native):
    empty = native.Stream.__new__(native.Stream)
    for other in (False, True):
        assert steppers[0].codes(empty, other, np.ones(4))[:6] == (-2, -2, -2, 0, 0, 0)
    one, two = (np.ones((1, 2), dtype) for dtype in (np.float32, np.float64))
    assert steppers[1].run_float(empty, one, one.copy()) == -2
    assert steppers[1].run_double(empty, two, two.copy()) == -2


@pytest.mark.parametrize(("I", "O", "batch"), [(3, 3, None), (6, 2, 3), (2, 6, 5)])
def test_outputs_in_place_of_inputs(steppers, trained, I, O, batch):
    net, B = trained(I, 20, O), batch or 1
    x = np.random.default_rng(2).standard_normal((B, 10, I)).astype(np.float32)
    expected = net.predict(x)
    stream = net.stream(batch)
    for t in range(10):
        both = np.zeros(B * max(I, O), np.float32)
        both[: B * I] = x[:, t].ravel()
        assert steppers[0].run(stream, both, both, 1) == 0
        assert np.array_equal(both[: B * O].reshape(B, O), expected[:, t])


def test_a_copy_is_another_stream_to_c(steppers, trained):
    c, _ = steppers
    stream = trained(3, 5, 2).stream()
    x, y = np.ones((4, 3), np.float32), np.empty((4, 2), np.float32)
    assert c.run(stream, x, y, 4) == 0
    twin, before = stream.copy(), stream.state
    assert np.array_equal(twin.state, before)
    first = y.copy()
    assert c.run(twin, x, y, 4) == 0
    assert np.array_equal(stream.state, before)
    assert not np.array_equal(twin.state, before)
    assert c.state(stream, None, True) == 0
    assert c.run(stream, x, y, 4) == 0
    assert np.array_equal(y, first)
