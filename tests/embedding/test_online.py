"""Learners from C and Cython: the steps of Python, and what is refused."""

import threading
import time

import numpy as np
import pytest
from network_problems import network

import crnn

pytestmark = pytest.mark.xdist_group("embedding")

OK, BUSY, WRONG_DTYPE, WRONG_VALUE, WRONG_SIZES, NOT_FINITE = 0, -1, -2, -3, -4, -5
CELLS = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "lstm": ("LSTM", {}),
}
cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def build(cell="tanh", dtype="float32", **settings):
    family, options = CELLS[cell]
    output_size = settings.pop("output_size", 2)
    return network(3, 5, output_size, family=family, dtype=dtype, implementation="native",
                   **options, **settings)  # fmt: skip


def numbers(dtype, *shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def moving(learner):
    """Everything that a step may change, as bytes."""
    vectors = [learner.net.flat_params, *learner.state.values(), *learner.optimizer.memory.values()]
    return [vector.tobytes() for vector in vectors], learner.steps


@cells
@dtypes
@pytest.mark.parametrize("batch", [None, 3])
def test_steps_are_those_of_python(online, cell, dtype, batch):
    learners = [build(cell, dtype).learner(crnn.Adam(0.01), clip_norm=0.5, batch_size=batch)
                for _ in range(2)]  # fmt: skip
    from_c, twin = learners
    axes = () if batch is None else (batch,)
    x, y = numbers(dtype, 9, *axes, 3), numbers(dtype, 9, *axes, 2, seed=2)
    out = np.full(y[0].shape, np.nan, dtype)
    assert online.sizes(from_c) == (batch or 1, 1, 3, 2, np.dtype(dtype).itemsize, 0)
    for t in range(9):
        assert online.predict(from_c, x[t], out) == OK
        assert np.array_equal(out, twin.predict(x[t]))
        if t == 4:
            assert online.reset(from_c, None) == OK
            twin.reset()
        if t == 6:
            assert online.rate(from_c, 0.3) == OK
            twin.core.lr = 0.3
        out[...] = np.nan
        target = None if t == 2 else y[t]
        code, loss = online.learn(from_c, x[t], target, out)
        assert code == OK
        assert np.array_equal(out, twin.step(x[t], target))
        assert loss == twin.last_loss or (t == 2 and np.isnan(loss))
        assert moving(from_c) == moving(twin)
    # What was learned goes to streams.
    stream = network(3, 5, 2, **{"family": CELLS[cell][0], "dtype": dtype} | CELLS[cell][1],
                     implementation="native").stream()  # fmt: skip
    assert online.update(from_c, stream) == OK
    block = x[:, 0] if batch else x
    assert np.array_equal(stream.run(np.ascontiguousarray(block)), from_c.net.predict(block))


@dtypes
def test_resets_of_some_sequences(online, dtype):
    learner = build("lstm", dtype).learner(crnn.SGD(0.1), batch_size=3)
    x, y = numbers(dtype, 3, 3), numbers(dtype, 3, 2)
    online.learn(learner, x, y, y.copy(), 4)
    before = learner.state
    assert online.reset(learner, bytes([0, 1, 0])) == OK
    for name, array in learner.state.items():
        assert np.array_equal(array[[0, 2]], before[name][[0, 2]])
        assert before[name][1].any()
        assert not array[1].any()


@dtypes
def test_classes(online, dtype):
    learners = [build("gru", dtype).learner(crnn.SGD(0.1), loss="cross_entropy", batch_size=4)
                for _ in range(2)]  # fmt: skip
    x, classes = numbers(dtype, 4, 3), np.array([0, 1, 1, 0], np.intp)
    out = np.full((4, 2), np.nan, dtype)
    assert online.sizes(learners[0])[-1] == 1
    code, loss = online.learn(learners[0], x, classes, out)
    assert (code, out.tobytes()) == (OK, learners[1].step(x, classes).tobytes())
    assert loss == learners[1].last_loss
    before = moving(learners[0])
    for wrong in (-1, 2):
        classes[2] = wrong
        assert online.learn(learners[0], x, classes, out)[0] == WRONG_VALUE
    assert moving(learners[0]) == before == moving(learners[1])


@cells
@dtypes
def test_what_does_not_fit_changes_nothing(online, cell, dtype):
    learner = build(cell, dtype).learner(crnn.RMSprop(0.1, momentum=0.5))
    x, y, out = numbers(dtype, 3), numbers(dtype, 2), np.full(2, 7, dtype)
    online.learn(learner, x, y, y.copy(), 3)
    before, scratch = moving(learner), np.zeros(100)
    assert online.others(learner, scratch) == (WRONG_DTYPE, WRONG_DTYPE, WRONG_VALUE)
    assert not scratch.any()
    assert online.rate(learner, -0.5) == online.rate(learner, float("nan")) == WRONG_VALUE
    for bad in (np.nan, np.inf):
        for wrong, target in [(x, [y[0], bad]), ([x[0], bad, x[2]], y), ([bad, *x[1:]], None)]:
            arrays = [None if a is None else np.array(a, dtype) for a in (wrong, target)]
            # Infinite pre-activations are numbers after tanh and the sigmoid; their products with
            # the derivatives of zero there are not.
            assert online.learn(learner, *arrays, out)[0] == NOT_FINITE
    assert (out == 7).all()
    other = network(3, 6, 2, dtype=dtype, implementation="native")
    assert online.update(learner, other.stream()) == WRONG_SIZES
    dtype_of_other = "float32" if dtype == "float64" else "float64"
    assert online.update(learner, build(cell, dtype_of_other).stream()) == WRONG_DTYPE
    assert moving(learner) == before


@dtypes
def test_outputs_in_the_place_of_inputs_or_targets(online, dtype):
    learners = [build("gru", dtype, output_size=3).learner(crnn.SGD(0.1)) for _ in range(3)]
    x, y = numbers(dtype, 3), numbers(dtype, 3, seed=2)
    expected = learners[0].step(x, y)
    for learner, (inputs, targets) in zip(
        learners[1:], [(x.copy(), y), (x, y.copy())], strict=True
    ):
        out = inputs if inputs is not x else targets
        assert online.learn(learner, inputs, targets, out)[0] == OK
        assert np.array_equal(out, expected)
        assert moving(learner) == moving(learners[0])


def test_a_loop_in_cython(steppers):
    learner, twin = (build("gru").learner(crnn.SGD(0.1)) for _ in range(2))
    x, targets = numbers("float32", 8, 3), numbers("float32", 8, 2, seed=2)
    y, stream = np.full((8, 2), np.nan, "f"), build("gru").stream()
    error, loss = steppers[1].adapt(learner.core, stream, x, targets, y)
    assert error == OK
    for t in range(8):
        assert np.array_equal(y[t], twin.step(x[t], targets[t]))
    assert loss == twin.last_loss
    assert moving(learner) == moving(twin)
    assert np.array_equal(stream.run(x), twin.net.predict(x))


def test_no_learner(online, native):
    net = build()
    for thing in (None, net, net.stream(), net.trainer(crnn.SGD(0.1), time=3)):
        with pytest.raises(TypeError, match=r"^learner: expected what learner\(\) of a network wi"):
            online.sizes(thing)
    python = network(implementation="python").learner(crnn.SGD(0.1))
    with pytest.raises(TypeError, match=r"^learner: expected what learner\(\) of a network wi"):
        online.sizes(python)
    empty, scratch = native.Learner.__new__(native.Learner), np.zeros(64)
    assert online.sizes(empty) == (0, 0, 0, 0, 0, 0)
    assert online.others(empty, scratch)[:2] == (WRONG_DTYPE, WRONG_DTYPE)
    assert online.rate(empty, 0.1) == online.reset(empty, None) == WRONG_DTYPE
    assert online.update(empty, net.stream()) == WRONG_DTYPE
    for use in (
        lambda: empty.lr,
        lambda: empty.steps,
        lambda: empty.gradient,
        empty.copied,
        lambda: empty.reset(None),
        lambda: empty.restore(scratch, scratch),
        lambda: empty.fits(scratch, None, scratch),
        lambda: empty.step(scratch, scratch, scratch),
        lambda: empty.predict(scratch, scratch),
    ):
        with pytest.raises(TypeError, match=r"^learner: expected one that __init__ has made"):
            use()


def is_refused(call):
    """Whether the call from Python says that another thread is using the learner."""
    try:
        call()
    except RuntimeError as error:
        return str(error).startswith("learner: expected one thread at a time")
    return False


def test_busy_while_another_thread_learns(online):
    """Calls of C and of Python are refused."""
    net = network(4, 64, 2, dtype="float32", implementation="native")
    learner, stream = net.learner(crnn.SGD(1e-3)), net.stream()
    x, y, out = numbers("float32", 4), numbers("float32", 2), np.full(2, 7, "float32")
    calls = {
        "predict": lambda: online.predict(learner, x, out) == BUSY,
        "learn": lambda: online.learn(learner, x, y, out)[0] == BUSY,
        "rate": lambda: online.rate(learner, 1e-3) == BUSY,
        "reset": lambda: online.reset(learner, None) == BUSY,
        "update": lambda: online.update(learner, stream) == BUSY,
        "step": lambda: is_refused(lambda: learner.step(x, y)),
        "state": lambda: is_refused(lambda: learner.state),
    }
    attempts = 0
    for name, call in calls.items():
        steps, seen = 64, False
        while not seen:
            # Its loop ends where the call comes in between two of its steps, or before the first.
            thread = threading.Thread(target=online.learn, args=(learner, x, y, y.copy(), steps))
            thread.start()
            time.sleep(steps * 1e-4)
            out[...] = 7
            seen = call()
            thread.join()
            steps = min(2 * steps, 4096)
            attempts += 1
            assert attempts < 100, name
        assert (out == 7).all()
    assert online.learn(learner, x, y, out)[0] == OK
    assert np.isfinite(net.flat_params).all()
