"""Blocks, categories, layers and trainers from C and Cython; and an extension of version 1."""

import numpy as np
import pytest
from network_problems import network

import crnn

pytestmark = pytest.mark.xdist_group("embedding")

OK, WRONG_DTYPE, WRONG_VALUE, WRONG_SIZES, NOT_FINITE = 0, -2, -3, -4, -5
families = pytest.mark.parametrize("family", ["RNN", "GRU", "LSTM"])
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
ARCHITECTURES = [
    {},
    {"num_layers": 3},
    {"num_layers": 2, "trainable_h0": True},
    {"output_size": None, "num_layers": 2},
]


def numbers(dtype, *shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def build(family="RNN", dtype="float32", **settings):
    return network(3, 5, settings.pop("output_size", 2), family=family, dtype=dtype,
                   implementation="native", **settings)  # fmt: skip


@families
@dtypes
@pytest.mark.parametrize("settings", ARCHITECTURES)
@pytest.mark.parametrize("batch", [None, 4])
def test_blocks_are_those_of_predict(steppers, learner, family, dtype, settings, batch):
    net = build(family, dtype, **settings)
    B, T = batch or 1, 9
    x = numbers(dtype, B, T, 3)
    expected = net.predict(x)
    stream = net.stream(batch)
    y = np.full_like(expected, np.nan)
    assert learner.layers(stream) == net.num_layers
    # In two parts, and step by step
    parts = [np.ascontiguousarray(x[:, :4]), np.ascontiguousarray(x[:, 4:7])]
    for part, first in zip(parts, (0, 4), strict=True):
        out = np.full((B, part.shape[1], y.shape[2]), np.nan, dtype)
        assert learner.block(stream, part, out, part.shape[1]) == OK
        y[:, first : first + part.shape[1]] = out
    rest = np.ascontiguousarray(x[:, 7:].swapaxes(0, 1))
    out = np.full((2, B, y.shape[2]), np.nan, dtype)
    assert steppers[0].run(stream, rest, out, 2) == OK
    y[:, 7:] = out.swapaxes(0, 1)
    assert np.array_equal(y, expected)
    # The states of all layers go out and in again.
    width = steppers[0].codes(stream, False, np.ones(4000))[7]
    state, again = np.full(B * width, np.nan, dtype), net.stream(batch)
    stream.run(x if batch else x[0])
    assert steppers[0].state(stream, state, False) == OK
    assert np.isfinite(state).all()
    assert steppers[0].state(again, state, True) == OK
    assert np.array_equal(again.state, stream.state)
    assert np.array_equal(again.step(x[:, 0].reshape(-1, 3) if batch else x[0, 0]),
                          stream.step(x[:, 0].reshape(-1, 3) if batch else x[0, 0]))  # fmt: skip
    # From NULL: as it began
    assert steppers[0].state(stream, None, True) == OK
    assert np.array_equal(stream.state, net.stream(batch).state)


def test_blocks_of_no_steps(learner):
    stream = build().stream()
    before, x = stream.state, np.ones((1, 3), "f")
    assert learner.block(stream, x, x.copy(), 0) == OK
    assert learner.block(stream, x, x.copy(), -1) == WRONG_VALUE
    assert np.array_equal(stream.state, before)


@families
@pytest.mark.parametrize("settings", ARCHITECTURES)
def test_resets_of_some_sequences(learner, family, settings):
    """Also from Python, with the kernels of either implementation."""
    net = build(family, **settings)
    x, which = numbers("float32", 4, 6, 3), np.array([True, False, True, False])
    y = np.full((4, 3, net.architecture.outputs), np.nan, "float32")
    streams = [net.stream(4), net.stream(4), network_in_numpy(net).stream(4)]
    for stream in streams:
        stream.run(x[:, :3])
    first, rest = (np.ascontiguousarray(x[:, part]) for part in (slice(3), slice(3, 6)))
    assert learner.reset(streams[0], which.tobytes()) == OK
    streams[1].reset(which)
    streams[2].reset(which)
    assert learner.block(streams[0], rest, y, 3) == OK
    assert np.array_equal(y, streams[1].run(rest))
    assert np.array_equal(y[which], net.predict(rest[which]))
    assert np.array_equal(y[~which], net.predict(x[~which])[:, 3:])
    np.testing.assert_allclose(streams[2].run(rest), y, rtol=1e-4, atol=1e-5)
    assert learner.reset(streams[0], None) == OK
    assert learner.block(streams[0], first, y, 3) == OK
    assert np.array_equal(y, net.predict(first))


def network_in_numpy(net):
    twin = crnn.from_architecture(net.architecture, dtype=net.dtype, implementation="python")
    twin.flat_params[...] = net.flat_params
    return twin


@families
@dtypes
def test_categories(learner, family, dtype):
    net = build(family, dtype, categorical=True, num_layers=2)
    stream, codes = net.stream(4), np.random.default_rng(0).integers(0, 3, (4, 6))
    expected = net.predict(codes)
    y = np.full((4, 2), np.nan, dtype)
    for t in range(6):
        column = codes[:, t].astype(np.intp)
        assert learner.categories(stream, column, y) == OK
        assert np.array_equal(y, expected[:, t])
    before, out = stream.state, y.copy()
    for wrong in (-1, 3):
        column = np.array([0, 1, wrong, 2], np.intp)
        assert learner.categories(stream, column, y) == WRONG_VALUE
    assert np.array_equal(stream.state, before)
    assert np.array_equal(y, out)


@families
@dtypes
@pytest.mark.parametrize("batch", [1, 3])
def test_training(learner, family, dtype, batch):
    net, twin = build(family, dtype), build(family, dtype)
    x, y = numbers(dtype, batch, 7, 3), numbers(dtype, batch, 7, 2, seed=2)
    optimizer = crnn.Adam(0.01)
    trainer = net.trainer(crnn.Adam(0.01), clip_norm=0.5, time=7, batch_size=batch)
    assert learner.sizes(trainer) == (batch, 7, 3, 2, np.dtype(dtype).itemsize, 0)
    losses = [twin.train_step(x, y, optimizer, clip_norm=0.5) for _ in range(5)]
    assert learner.train(trainer, x, y, 5) == (OK, losses[-1])
    assert trainer.flat_params.tobytes() == twin.flat_params.tobytes()
    out = np.full_like(y, np.nan)
    assert learner.predict(trainer, x, out) == OK
    assert np.array_equal(out, twin.predict(x))
    stream = net.stream()
    assert learner.update(trainer, stream) == OK
    assert np.array_equal(stream.run(x[0]), twin.predict(x[0]))
    assert learner.rate(trainer, 0.5) == OK
    optimizer.lr = 0.5
    assert learner.train(trainer, x, y, 1)[1] == twin.train_step(x, y, optimizer, clip_norm=0.5)
    assert trainer.flat_params.tobytes() == twin.flat_params.tobytes()


@dtypes
def test_training_on_classes(learner, dtype):
    net, twin = build(dtype=dtype), build(dtype=dtype)
    x, classes = numbers(dtype, 2, 4, 3), np.array([[0, 1, 1, 0], [1, 0, 0, 1]], np.intp)
    trainer = net.trainer(crnn.SGD(0.1), "cross_entropy", time=4, batch_size=2)
    assert learner.sizes(trainer)[-1] == 1
    expected = twin.train_step(x, classes, crnn.SGD(0.1), "cross_entropy")
    assert learner.train(trainer, x, classes, 1) == (OK, expected)
    before = trainer.flat_params.tobytes()
    for wrong in (-1, 2):
        classes[1, 2] = wrong
        assert learner.train(trainer, x, classes, 1)[0] == WRONG_VALUE
    assert trainer.flat_params.tobytes() == before == twin.flat_params.tobytes()


@dtypes
def test_what_does_not_fit_changes_nothing(learner, dtype):
    net = build(dtype=dtype)
    trainer = net.trainer(crnn.SGD(0.1), time=4)
    before, scratch = trainer.flat_params.tobytes(), np.zeros(100)
    assert learner.other(trainer, scratch) == (WRONG_DTYPE, WRONG_DTYPE, WRONG_VALUE)
    assert not scratch.any()
    assert learner.rate(trainer, -0.5) == WRONG_VALUE
    assert learner.rate(trainer, float("nan")) == WRONG_VALUE
    x, y = numbers(dtype, 1, 4, 3), numbers(dtype, 1, 4, 2)
    y[0, 1] = np.inf
    assert learner.train(trainer, x, y, 1)[0] == NOT_FINITE
    others = {
        "units": network(3, 6, 2, dtype=dtype, implementation="native"),
        "inputs": network(4, 5, 2, dtype=dtype, implementation="native"),
        "no output layer": network(3, 5, None, dtype=dtype, implementation="native"),
        "cell": build("GRU", dtype),
        "layers": build(dtype=dtype, num_layers=2),
        "first states": build(dtype=dtype, trainable_h0=True),
    }
    for name, other in others.items():
        assert learner.update(trainer, other.stream()) == WRONG_SIZES, name
    dtype_of_other = "float32" if dtype == "float64" else "float64"
    assert learner.update(trainer, build(dtype=dtype_of_other).stream()) == WRONG_DTYPE
    # A copy reads the same parameters, so that they are not written.
    stream = net.stream()
    twin = stream.copy()
    assert learner.update(trainer, stream) == learner.update(trainer, twin) == WRONG_SIZES
    stream.take_parameters(trainer.flat_params)
    assert learner.update(trainer, stream) == OK
    assert trainer.flat_params.tobytes() == before
    assert (trainer.lr, trainer.steps) == (0.1, 0)


def test_no_trainer(learner, native):
    net = build()
    for thing in (None, net, net.stream()):
        with pytest.raises(TypeError, match=r"^trainer: expected what trainer\(\) of a network wi"):
            learner.sizes(thing)
    python = network(implementation="python").trainer(crnn.SGD(0.1), time=3)
    with pytest.raises(TypeError, match=r"^trainer: expected what trainer\(\) of a network wi"):
        learner.sizes(python)
    empty, scratch = native.Trainer.__new__(native.Trainer), np.zeros(64)
    assert learner.sizes(empty) == (0, 0, 0, 0, 0, 0)
    assert learner.other(empty, scratch)[:2] == (WRONG_DTYPE, WRONG_DTYPE)
    assert learner.rate(empty, 0.1) == WRONG_DTYPE
    assert learner.update(empty, net.stream()) == WRONG_DTYPE
    for use in (
        lambda: empty.lr,
        lambda: empty.steps,
        empty.copied,
        lambda: empty.train(scratch, scratch),
        lambda: empty.predict(scratch, scratch),
    ):
        with pytest.raises(TypeError, match=r"^trainer: expected one that __init__ has made"):
            use()


@pytest.mark.parametrize("settings", ARCHITECTURES)
def test_an_extension_of_version_1(steppers, older, settings):
    """It runs, and gets no more of the state than `sizes.state` says."""
    net = build("LSTM", **settings)
    x = numbers("float32", 6, 3)
    stream = net.stream()
    y = np.full((6, net.predict(x).shape[1]), np.nan, "f")
    h = np.full(10 * net.num_layers, np.nan, "f")
    assert older.run(stream, x, y, h, 6) == (1, OK)
    assert np.array_equal(y, net.predict(x))
    parts = [np.reshape(part, (net.num_layers, 5)) for part in stream.state]
    assert np.array_equal(h.reshape(net.num_layers, 10), np.concatenate(parts, axis=1))


def test_a_control_loop_in_cython(steppers):
    """It predicts, learns and goes on as the same loop in Python does."""
    net, twin = build("GRU"), build("GRU")
    x, targets = numbers("float32", 12, 3), numbers("float32", 12, 2, seed=2)
    trainer = net.trainer(crnn.SGD(0.2, momentum=0.5), time=5)
    optimizer = crnn.SGD(0.2, momentum=0.5)
    y = np.full((12, 2), np.nan, "f")
    error, loss = steppers[1].control(net.stream(), trainer.core, x, targets, y, 5)
    assert error == OK
    stream = twin.stream()
    for t in range(12):
        assert np.array_equal(y[t], stream.step(x[t]))
        if t >= 4:
            window = slice(t - 4, t + 1)
            expected = twin.train_step(x[window], targets[window], optimizer)
            stream.take_parameters(twin.flat_params)
    assert loss == expected
    trainer.sync()
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()
