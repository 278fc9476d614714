"""Trainers: the steps of `train_step` on batches of one size, and what goes back to the network."""

import pickle

import numpy as np
import pytest
from network_problems import ALL_CELLS, network

import crnn

B, T, I, O = 3, 6, 4, 2
OPTIMIZERS = {
    "SGD": lambda: crnn.SGD(0.05),
    "momentum": lambda: crnn.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda: crnn.RMSprop(0.01, momentum=0.5),
    "Adam": lambda: crnn.Adam(0.02),
    "AdamW": lambda: crnn.AdamW(0.02, weight_decay=0.1),
}


def data(dtype="float64", count=4):
    rng = np.random.default_rng(5)
    return [
        (rng.standard_normal((B, T, I)).astype(dtype), rng.standard_normal((B, T, O)).astype(dtype))
        for _ in range(count)
    ]


def build(kernels_name, dtype="float64", **settings):
    return network(I, 5, O, dtype=dtype, implementation=kernels_name, **settings)


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_train_step(implementation, cell, dtype):
    net, twin = (build(implementation, dtype, **ALL_CELLS[cell]) for _ in range(2))
    optimizer, other = crnn.Adam(0.02), crnn.Adam(0.02)
    trainer = net.trainer(optimizer, clip_norm=0.1, time=T, batch_size=B)
    before = net.flat_params.copy()
    for x, y in data(dtype):
        assert trainer.train_step(x, y) == twin.train_step(x, y, other, clip_norm=0.1)
    assert trainer.flat_params.tobytes() == twin.flat_params.tobytes()
    assert net.flat_params.tobytes() == before.tobytes()
    trainer.sync()
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()
    assert (optimizer.steps, optimizer.last_lr) == (4, 0.02)
    for name, vector in other.memory.items():
        assert optimizer.memory[name].tobytes() == vector.tobytes()
    # Both go on alike, the trainer and the network.
    x, y = data(dtype)[0]
    assert trainer.train_step(x, y) == net.train_step(x, y, optimizer, clip_norm=0.1)
    assert trainer.flat_params.tobytes() == net.flat_params.tobytes()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_that_have_taken_steps(implementation, make):
    net, twin = (build(implementation) for _ in range(2))
    optimizer, other = make(), make()
    (x, y), *rest = data()
    net.train_step(x, y, optimizer)
    twin.train_step(x, y, other)
    trainer = net.trainer(optimizer, "sse", clip_value=0.05, time=T, batch_size=B)
    assert trainer.steps == 1
    for x, y in rest:
        assert trainer.train_step(x, y) == twin.train_step(x, y, other, "sse", clip_value=0.05)
    assert trainer.steps == other.steps == 4
    assert trainer.flat_params.tobytes() == twin.flat_params.tobytes()


def test_classes_and_no_output_layer(implementation):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((B, T, I))
    net, twin = (build(implementation, family="GRU") for _ in range(2))
    trainer = net.trainer(crnn.SGD(0.1), "cross_entropy", time=T, batch_size=B)
    optimizer = crnn.SGD(0.1)
    classes = rng.integers(0, O, (B, T))
    assert trainer.train_step(x, classes) == twin.train_step(x, classes, optimizer, "cross_entropy")
    assert np.array_equal(trainer.predict(x), twin.predict(x))
    before = trainer.flat_params.tobytes()
    with pytest.raises(ValueError, match=r"^y: "):
        trainer.train_step(x, classes + 1)
    assert trainer.flat_params.tobytes() == before
    bare = network(I, 5, None, implementation=implementation)
    trainer = bare.trainer(crnn.SGD(0.1), time=T, batch_size=B)
    trainer.train_step(x, np.zeros((B, T, 5)))
    trainer.sync()
    assert np.array_equal(trainer.predict(x), bare.predict(x))


def test_one_sequence_and_the_learning_rate(implementation):
    net, twin = (build(implementation) for _ in range(2))
    trainer, optimizer = net.trainer(crnn.SGD(0.1), time=T), crnn.SGD(0.1)
    x, y = (a[0] for a in data()[0])
    assert trainer.train_step(x, y) == twin.train_step(x, y, optimizer)
    trainer.lr = optimizer.lr = 0.025
    assert trainer.lr == 0.025
    assert trainer.train_step(x, y) == twin.train_step(x, y, optimizer)
    assert np.array_equal(trainer.predict(x), twin.predict(x))
    assert repr(trainer) == (
        "Trainer(time=6, batch_size=1, optimizer=SGD(lr=0.1, momentum=0, nesterov=False), lr=0.025)"
    )


def test_a_stream_learns_with_it(implementation):
    net = build(implementation, family="LSTM")
    trainer = net.trainer(crnn.SGD(0.1), time=T, batch_size=B)
    stream, rows = net.stream(), np.random.default_rng(3).standard_normal((8, I))
    twin = stream.copy()
    first = stream.run(rows[:4])
    trainer.train_step(*data()[0])
    stream.take_parameters(trainer.flat_params)
    # The state stays, and a copy of the stream keeps its parameters.
    assert np.array_equal(twin.run(rows[:4]), first)
    trainer.sync()
    _, state = build(implementation, family="LSTM").predict(rows[:4], return_state=True)
    assert np.array_equal(stream.run(rows[4:]), net.predict(rows[4:], h0=state))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_layers": 2},
        {"bidirectional": True},
        {"trainable_h0": True},
        {"return_sequences": False},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_networks_that_it_cannot_train(implementation, settings):
    net = build(implementation, **settings)
    with pytest.raises(ValueError, match=r"^trainer: expected a network of one layer in one dir"):
        net.trainer(crnn.SGD(0.1), time=T)


def test_refusals(implementation):
    net = build(implementation)
    with pytest.raises(ValueError, match=r"^trainer: expected .* the loss .* got RNN\(.*'huber'"):
        net.trainer(crnn.SGD(0.1), "huber", time=T)
    with pytest.raises(TypeError, match=r"^optimizer: expected one with a number as its learning"):
        net.trainer(crnn.SGD(lambda step: 0.1), time=T)
    with pytest.raises(ValueError, match=r"^time: expected at least 1, got 0"):
        net.trainer(crnn.SGD(0.1), time=0)
    for many in (2**58, 2**64):
        with pytest.raises(ValueError, match=r"^time, batch_size: expected a batch that memory"):
            net.trainer(crnn.SGD(0.1), time=many, batch_size=32)
    trainer = net.trainer(crnn.SGD(0.1), time=T, batch_size=B)
    x, y = data()[0]
    before = trainer.flat_params.tobytes()
    with pytest.raises(ValueError, match=r"^x: expected the trainer's batch=3 and time=6, got 3 a"):
        trainer.train_step(x[:, 1:], y[:, 1:])
    with pytest.raises(ValueError, match=r"^x: expected finite numbers, got nan"):
        trainer.train_step(np.full_like(x, np.nan), y)
    with pytest.raises(ValueError, match=r"^lr: expected"):
        trainer.lr = -1
    with pytest.raises(TypeError, match=r"^trainer: expected to stay in its process"):
        pickle.dumps(trainer)
    assert trainer.flat_params.tobytes() == before
    assert trainer.lr == 0.1


def test_sync_goes_back_to_where_the_trainer_is(implementation):
    """Without a step of the trainer, too, parameters and optimizer are of one time."""
    net = build(implementation)
    optimizer, (x, y) = crnn.SGD(0.1, momentum=0.9), data()[0]
    trainer, twin = net.trainer(optimizer, time=T, batch_size=B), build(implementation)
    net.train_step(x, y, optimizer)
    trainer.sync()
    assert optimizer.steps == 0
    other = crnn.SGD(0.1, momentum=0.9)
    for _ in range(2):
        assert net.train_step(x, y, optimizer) == twin.train_step(x, y, other)


def test_an_optimizer_that_has_gone_to_another_network(implementation):
    net, other = (build(implementation) for _ in range(2))
    optimizer = crnn.SGD(0.1)
    trainer = net.trainer(optimizer, time=T, batch_size=B)
    x, y = data()[0]
    trainer.train_step(x, y)
    other.train_step(x, y, optimizer)
    before = net.flat_params.tobytes()
    with pytest.raises(ValueError, match=r"^optimizer: expected one that is new or belongs to th"):
        trainer.sync()
    assert net.flat_params.tobytes() == before
    assert optimizer.steps == 1


@pytest.mark.parametrize("scale", [1e200, 1e307])
def test_divergence_takes_no_step(implementation, scale):
    net = build(implementation)
    trainer = net.trainer(crnn.SGD(1e10), time=T, batch_size=B)
    x, y = data()[0]
    before = trainer.flat_params.tobytes()
    with pytest.raises(crnn.DivergenceError):
        trainer.train_step(x, scale * y)
    assert trainer.flat_params.tobytes() == before
    assert trainer.steps == 0
    assert np.isfinite(trainer.train_step(x, 0 * y))


def test_parameters_that_do_not_fit_a_stream(implementation):
    stream = build(implementation, num_layers=2, trainable_h0=True).stream()
    size = len(build(implementation, num_layers=2, trainable_h0=True).flat_params)
    before = stream.step(np.ones(I))
    stream.reset()
    with pytest.raises(ValueError, match=rf"^theta: expected a float64 array of shape \({size},\)"):
        stream.take_parameters(np.zeros(size - 1))
    with pytest.raises(TypeError, match=r"^theta: expected a float64 array .* got float32$"):
        stream.take_parameters(np.zeros(size, np.float32))
    assert np.array_equal(stream.step(np.ones(I)), before)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 3, "trainable_h0": True}])
@pytest.mark.parametrize("family", ["RNN", "GRU", "LSTM"])
def test_a_stream_takes_parameters_of_every_architecture(implementation, family, settings):
    net, other = (build(implementation, family=family, seed=seed, **settings) for seed in (1, 2))
    stream, rows = net.stream(2), np.random.default_rng(4).standard_normal((2, 5, I))
    stream.take_parameters(other.flat_params)
    stream.reset()
    assert np.array_equal(stream.run(rows), other.predict(rows))
