"""fit: its history, its batches, the order of sequences, and validation data."""

import itertools

import numpy as np
import pytest
from network_problems import ALL_CELLS, DTYPES, inputs, step_gradient, targets

import crnn

N, T, I, O = 7, 5, 3, 2


def data(dtype="float64", seed=0, n=N):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, T, I)).astype(dtype),
        rng.standard_normal((n, T, O)).astype(dtype),
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_history_has_one_entry_an_epoch(build_network, dtype):
    net = build_network(dtype=dtype)
    x, y = data(dtype)
    history = net.fit(x, y, epochs=3, batch_size=2, seed=0)
    assert isinstance(history, crnn.History)
    assert len(history.loss) == len(history.grad_norm) == 3
    assert all(type(value) is float for value in history.loss + history.grad_norm)
    assert history.val_loss == []
    history = net.fit(x, y, epochs=2, seed=0, validation_data=data(dtype, seed=1))
    assert len(history.val_loss) == 2
    assert all(type(value) is float for value in history.val_loss)


def test_loss_is_that_before_each_step(build_network):
    net = build_network()
    x, y = data()
    before = net.loss(x=x, y=y)
    history = net.fit(x, y, epochs=2, batch_size=N, optimizer=crnn.SGD(0.1), shuffle=False)
    assert history.loss[0] == pytest.approx(before, rel=1e-14)
    assert history.loss[1] < before


@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
def test_loss_of_an_epoch_weighs_the_last_smaller_batch(build_network, loss):
    net = build_network()
    x, y = data()
    if loss == "cross_entropy":
        y = np.random.default_rng(1).integers(O, size=(N, T))
    # No learning, so that the epoch's loss is that of all the data at once.
    history = net.fit(x, y, epochs=1, batch_size=3, optimizer=crnn.SGD(0.0), loss=loss)
    assert history.loss == pytest.approx([net.loss(x=x, y=y, loss=loss)], rel=1e-13)


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 1e-3}, {"clip_value": 1e-4}])
def test_gradient_norm_is_the_mean_over_the_steps_before_clipping(build_network, clip):
    net = build_network()
    x, y = data()
    norms = []
    for part in (slice(0, 3), slice(3, 6), slice(6, 7)):
        tape = net.forward(x=x[part])
        norms.append(np.linalg.norm(net.backward(tape=tape, dy=tape.y - y[part]).flat))
    history = net.fit(
        x, y, epochs=1, batch_size=3, optimizer=crnn.SGD(0.0), loss="sse", shuffle=False, **clip
    )
    assert history.grad_norm == pytest.approx([np.mean(norms)], rel=1e-13)


def test_training_learns(build_network):
    # A delay of one step, which only the recurrence can bridge.
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (40, 12, 1)).astype("float32")
    y = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    net = build_network(input_size=1, hidden_size=8, output_size=1, dtype="float32", seed=3)
    before = net.loss(x=x, y=y)
    optimizer = crnn.SGD(lr=0.1, momentum=0.9)
    net.fit(x, y, epochs=80, batch_size=8, optimizer=optimizer, clip_norm=1.0, seed=1)
    # Without memory the best answer is zero, with the mean square of y as its loss: about 0.3.
    assert net.loss(x=x, y=y) < 0.05 * np.mean(y**2) < before


@pytest.mark.parametrize("cell", ALL_CELLS.values(), ids=ALL_CELLS)
def test_every_cell_learns(build_network, cell):
    """To say at each step what came two steps before."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (64, 10, 1)).astype(np.float32)
    y = np.concatenate([np.zeros((64, 2, 1), np.float32), x[:, :-2]], axis=1)
    net = build_network(1, 16, 1, dtype="float32", seed=1, **cell)
    history = net.fit(
        x, y, epochs=30, batch_size=8, optimizer=crnn.Adam(0.02), clip_norm=1.0, seed=0
    )
    # Without memory the best answer is zero.
    assert history.loss[-1] < 0.3 * np.mean(y**2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_training_step_gives_the_loss_before_it(network_of, dtype):
    net = network_of(dtype=dtype)
    x, y = inputs(net), targets(net)
    before = net.loss(x, y)
    value = net.train_step(x, y, crnn.SGD(0.01))
    assert type(value) is float
    assert value == pytest.approx(before, rel=1e-6 if dtype == "float32" else 1e-13)
    assert net.loss(x, y) < before
    assert net.flat_params.dtype == dtype


def test_a_training_step_of_one_sequence(network_of):
    net = network_of()
    x, y = inputs(net, None), targets(net, None)
    loss, gradient = step_gradient(net, x, y)
    other_loss, other_gradient = step_gradient(net, x[None], y[None])
    assert loss == other_loss
    assert np.array_equal(gradient, other_gradient)


def test_default_optimizer_trains(build_network):
    net = build_network()
    x, y = data()
    history = net.fit(x, y, epochs=20, seed=0)
    assert history.loss[-1] < history.loss[0]


def test_one_sequence_is_a_batch_of_one(build_network):
    one, batch = build_network(), build_network()
    x, y = data()
    first = one.fit(x[0], y[0], epochs=2, optimizer=crnn.SGD(0.1))
    second = batch.fit(x[:1], y[:1], epochs=2, optimizer=crnn.SGD(0.1))
    assert first.loss == second.loss
    assert one.flat_params.tobytes() == batch.flat_params.tobytes()


def test_fit_is_training_steps_in_order(build_network):
    fitted, stepped = build_network(), build_network()
    x, y = data()
    fitted.fit(
        x, y, epochs=2, batch_size=3, optimizer=crnn.SGD(0.1, momentum=0.5), clip_norm=0.3,
        shuffle=False,
    )  # fmt: skip
    optimizer = crnn.SGD(0.1, momentum=0.5)
    for _, part in itertools.product(range(2), (slice(0, 3), slice(3, 6), slice(6, 7))):
        stepped.train_step(x=x[part], y=y[part], optimizer=optimizer, clip_norm=0.3)
    np.testing.assert_allclose(fitted.flat_params, stepped.flat_params, rtol=1e-13)


def test_batch_size_defaults_to_32(build_network):
    # With more sequences than that, so that the default decides where the batches end.
    x, y = data(n=45)
    results = []
    for options in ({}, {"batch_size": 32}, {"batch_size": 45}):
        net = build_network()
        net.fit(x, y, epochs=1, shuffle=False, optimizer=crnn.SGD(0.1), **options)
        results.append(net.flat_params.tobytes())
    assert results[0] == results[1] != results[2]


def train(net, **options):
    x, y = data()
    history = net.fit(x, y, epochs=3, batch_size=2, optimizer=crnn.SGD(0.1), **options)
    return history.loss, net.flat_params.tobytes()


def test_seed_decides_the_order(build_network):
    assert train(build_network(), seed=1) == train(build_network(), seed=1)
    assert train(build_network(), seed=1) != train(build_network(), seed=2)
    assert train(build_network(), seed=1) != train(build_network(), shuffle=False)


def test_shuffling_is_the_default(build_network):
    assert train(build_network(), seed=1) == train(build_network(), seed=1, shuffle=True)


def test_without_shuffling_the_seed_does_not_matter(build_network):
    unshuffled = train(build_network(), shuffle=False)
    assert unshuffled == train(build_network(), shuffle=False, seed=1)


def test_seed_of_the_network_decides_too(implementation):
    def run(seed):
        return train(crnn.RNN(I, 5, O, seed=seed, implementation=implementation))

    assert run(0) == run(0)

    # Two networks of equal parameters and unequal seeds meet the data in unequal orders.
    results = []
    for seed in (0, 1):
        net = crnn.RNN(I, 5, O, dtype="float64", seed=seed, implementation=implementation)
        net.flat_params[...] = np.linspace(-0.5, 0.7, net.flat_params.size)
        results.append(train(net))
    assert results[0] != results[1]


def test_every_epoch_has_an_order_of_its_own_and_every_sequence_once(build_network):
    # Without learning, the mean gradient norm over batches of two depends on which sequences were
    # in a batch together.
    net = build_network()
    x, y = data()
    history = net.fit(x, y, epochs=4, batch_size=2, optimizer=crnn.SGD(0.0), loss="sse", seed=0)
    assert history.loss == pytest.approx([net.loss(x=x, y=y, loss="sse")] * 4, rel=1e-13)
    assert len(set(history.grad_norm)) > 1


def test_one_sequence_follows_its_target(build_network):
    # Targets that only their own input explains: shuffling one without the other would show.
    net = build_network()
    x, _ = data(n=20)
    y = net.predict(x)
    history = net.fit(x, y, epochs=3, batch_size=3, optimizer=crnn.SGD(0.1), seed=0)
    # Rounding may differ with the rows of a batch.
    assert max(history.loss) < 1e-28


def test_validation_loss_is_that_after_each_epoch(build_network):
    net, twin = build_network(), build_network()
    x, y = data()
    x_val, y_val = data(seed=1, n=45)
    optimizer, twin_optimizer = crnn.SGD(0.1), crnn.SGD(0.1)
    history = net.fit(
        x, y, epochs=3, optimizer=optimizer, shuffle=False, validation_data=(x_val, y_val)
    )
    expected = []
    for _ in range(3):
        twin.fit(x, y, epochs=1, optimizer=twin_optimizer, shuffle=False)
        expected.append(twin.loss(x=x_val, y=y_val))
    assert history.val_loss == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("loss", ["sse", "cross_entropy"])
def test_validation_uses_the_same_loss(build_network, loss):
    net = build_network()
    x, y = data()
    x_val, y_val = data(seed=1, n=3)
    if loss == "cross_entropy":
        rng = np.random.default_rng(2)
        y, y_val = rng.integers(O, size=(N, T)), rng.integers(O, size=(3, T))
    history = net.fit(
        x, y, epochs=1, optimizer=crnn.SGD(0.01), loss=loss, validation_data=(x_val, y_val)
    )
    assert history.val_loss == pytest.approx([net.loss(x=x_val, y=y_val, loss=loss)], rel=1e-13)


def test_validation_does_not_change_the_training(build_network):
    with_validation = train(build_network(), seed=1, validation_data=data(seed=1))
    assert with_validation == train(build_network(), seed=1)
