"""Learners: exact gradients step by step, and steps that are whole or not at all."""

import copy
import itertools
import math
import pickle
import threading
import time

import numpy as np
import pytest
from loss_problems import FORMULAS
from network_problems import CELLS, FAMILIES, inputs, network, targets

import crnn
from crnn import archive, learner_files
from crnn.kernels.contracts import LEARNER_BUSY
from crnn.kernels.reference import training
from crnn.kernels.reference.steps import STEP_GRADIENTS, STEPS

B, T, I, H, O = 4, 9, 3, 5, 2
LOSSES = {
    name: FORMULAS[name][0]
    for name in ("mse", "sse", "cross_entropy", "binary_cross_entropy", "huber of delta")
}


def data(net, loss, batch=B):
    """Inputs and targets (batch, T, ...), or those of one sequence."""
    y = targets(net, batch, T, classes=loss.kernel == "cross_entropy")
    if loss.kernel == "binary_cross_entropy":
        y = 1 / (1 + np.exp(-y))
    return inputs(net, batch, T), y


def gradient_of_sequences(net, x, y, loss):
    """The sum of the gradients of the losses of all steps, by BPTT."""
    tape = net.forward(x)
    steps = T if loss.is_mean else 1
    return steps * net.backward(tape, loss.gradient(tape.y, y)).flat


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("output_size", [O, None])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_add_up_to_those_of_bptt(implementation, cell, output_size, loss):
    net = network(I, H, output_size, implementation=implementation, **CELLS[cell])
    x, y = data(net, loss)
    learner, total = net.learner(crnn.SGD(0.0), loss=loss, batch_size=B), 0
    for t in range(T):
        y_hat = learner.step(x[:, t], y[:, t])
        total += learner.core.gradient
        np.testing.assert_allclose(y_hat, net.predict(x[:, : t + 1])[:, t], rtol=1e-12)
    expected = gradient_of_sequences(net, x, y, loss)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-10)


def everything(learner):
    """All that a step changes, but for `last_loss`."""
    optimizer = learner.optimizer
    vectors = [learner.net.flat_params, *learner.state.values(), *optimizer.memory.values()]
    return [vector.tobytes() for vector in vectors] + [optimizer.steps, optimizer.last_lr]


def run(learner, steps=T, seed=4):
    """The outputs of some steps that are learned from."""
    rng = np.random.default_rng(seed)
    batch = () if learner.batch_size is None else (learner.batch_size,)
    x, y = (rng.standard_normal((steps, *batch, n)) for n in (I, learner.net.output_size))
    return np.array([learner.step(*pair) for pair in zip(x, y, strict=True)])


def build(implementation, optimizer=None, *, batch_size=None, dtype="float64", **settings):
    """A learner of a random network that has taken some steps."""
    of_learner = {k: settings.pop(k) for k in ("loss", "clip_norm") if k in settings}
    net = network(I, H, O, implementation=implementation, dtype=dtype, **settings)
    learner = net.learner(optimizer or crnn.Adam(0.02), batch_size=batch_size, **of_learner)
    if "loss" not in of_learner:
        run(learner, 3)
    return learner


@pytest.mark.parametrize("cell", CELLS)
def test_one_sequence_is_a_batch_of_one(implementation, cell):
    one = build(implementation, **CELLS[cell])
    batch = build(implementation, batch_size=1, **CELLS[cell])
    assert run(one).tobytes() == run(batch)[:, 0].tobytes()
    assert one.net.flat_params.tobytes() == batch.net.flat_params.tobytes()
    assert [a.shape for a in one.state.values()] == [a.shape[1:] for a in batch.state.values()]


def test_a_step_is_one_of_the_network_and_the_optimizer(implementation):
    """The first step is that of `train_step` on sequences of one step."""
    net, twin = (network(I, H, O, implementation=implementation) for _ in range(2))
    optimizer, other = crnn.Adam(0.02), crnn.Adam(0.02)
    learner = net.learner(optimizer, loss="huber", clip_norm=0.1, batch_size=B)
    assert math.isnan(learner.last_loss)
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((B, 1, I)), rng.standard_normal((B, 1, O))
    y_hat = twin.predict(x)
    loss = twin.train_step(x, y, other, "huber", clip_norm=0.1)
    np.testing.assert_allclose(learner.step(x[:, 0], y[:, 0]), y_hat[:, 0], rtol=1e-13)
    assert learner.last_loss == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(net.flat_params, twin.flat_params, rtol=0, atol=1e-13)
    assert (learner.net, learner.optimizer, learner.steps, learner.lr) == (net, optimizer, 1, 0.02)
    assert (optimizer.steps, optimizer.last_lr) == (1, 0.02)
    for name, vector in other.memory.items():
        np.testing.assert_allclose(optimizer.memory[name], vector, rtol=0, atol=1e-13)
    learner.step(x[:, 0])
    assert math.isnan(learner.last_loss)


def test_arguments_are_converted(implementation):
    learner = build(implementation, dtype="float32")
    twin = build(implementation, dtype="float32")
    x, y = np.array([1, 2, 3], np.float32), np.array([-1, 1], np.float32)
    expected = learner.step(x, y)
    assert expected.dtype == np.float32
    assert twin.step([1, 2, 3], np.array([-1, 1])).tobytes() == expected.tobytes()
    out = np.empty(O, np.float32)
    assert twin.step(x.astype(np.float64), tuple(y), out) is out
    assert out.tobytes() == learner.step(x, y).tobytes()
    assert twin.predict([1, 2, 3]).tobytes() == learner.predict(x).tobytes()
    strided = np.zeros((3, 2))
    strided[:, 0] = x
    assert twin.step(strided[:, 0]).tobytes() == learner.step(x, None).tobytes()


@pytest.mark.parametrize("batch_size", [None, B])
def test_outputs_are_written_to_a_file(implementation, tmp_path, batch_size):
    """Of a memory map, which is a subclass of arrays; as streams do."""
    learner = build(implementation, batch_size=batch_size)
    x = np.ones((B, I))[0 if batch_size is None else slice(None)]
    expected = learner.predict(x)
    out = np.memmap(tmp_path / "outputs", learner.net.dtype, "w+", shape=expected.shape)
    assert learner.step(x, expected + 1, out) is out
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("batch_size", [None, B])
def test_classes(implementation, batch_size):
    learner, twin = (
        build(implementation, loss="cross_entropy", batch_size=batch_size) for _ in range(2)
    )
    rng = np.random.default_rng(6)
    shape = () if batch_size is None else (batch_size,)
    for c in rng.integers(0, O, (T, *shape)):
        x = rng.standard_normal((*shape, I))
        learner.step(x, int(c) if batch_size is None else c.tolist())
        twin.step(x, np.asarray(c, np.int8))
        assert learner.last_loss == twin.last_loss > 0
    assert everything(learner) == everything(twin)


def test_categories(implementation):
    net = network(I, H, O, categorical=True, implementation=implementation)
    features = network(I, H, O, implementation=implementation)
    learner, twin = net.learner(crnn.SGD(0.1)), features.learner(crnn.SGD(0.1))
    y = np.random.default_rng(7).standard_normal((T, O))
    for t, category in enumerate([2, 0, 1, 1, 2, 0, 2, 1, 0]):
        one_hot = np.eye(I)[category]
        assert learner.predict(category).tobytes() == twin.predict(one_hot).tobytes()
        assert learner.step(category, y[t]).tobytes() == twin.step(one_hot, y[t]).tobytes()
    assert everything(learner) == everything(twin)
    with pytest.raises(TypeError, match=r"^x: expected whole numbers from 0 to 2"):
        learner.step(one_hot, y[0])
    assert everything(learner) == everything(twin)


X, Y = np.ones(I), np.ones(O)
NAN_X, INF_Y = np.array([1, np.nan, 1]), np.array([1, np.inf])
REFUSED = {
    "NaN in x": ((NAN_X, Y), ValueError, r"^x: expected finite numbers, got nan at index \(1,\)$"),
    "infinity in y": (
        (X, INF_Y), ValueError,
        r"^y: expected finite numbers, got inf at index \(1,\); a step without a target is one wi",
    ),
    "x of another size": ((X[:2], Y), ValueError, r"^x: expected shape \(inputs=3,\), got \(2,\)$"),
    "a batch of x": ((X[None], Y), ValueError, r"^x: expected shape \(inputs=3,\), got \(1, 3\)$"),
    "y of another size": ((X, Y[:1]), ValueError, r"^y: expected shape \(outputs=2,\), got \(1,\)"),
    "text": ((["a", "b", "c"], Y), TypeError, r"^x: expected numbers"),
    "complex y": ((X, Y * 1j), TypeError, r"^y: expected"),
    "out of another dtype": (
        (X, Y, np.empty(O, np.float32)), TypeError, r"^out: expected a writable C-cont",
    ),
    "out of another shape": ((X, Y, np.empty(I)), ValueError, r"^out: expected"),
    "a list as out": ((X, Y, [0.0, 0.0]), TypeError, r"^out: expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_bad_steps_change_nothing(implementation, case):
    arguments, kind, sentence = case
    learner = build(implementation, family="LSTM")
    before, loss = everything(learner), learner.last_loss
    with pytest.raises(kind, match=sentence):
        learner.step(*arguments)
    if len(arguments) == 2 and arguments[1] is Y:
        with pytest.raises(kind, match=sentence):
            learner.predict(arguments[0])
    assert (everything(learner), learner.last_loss) == (before, loss)
    twin = build(implementation, family="LSTM")
    assert run(learner).tobytes() == run(twin).tobytes()


def test_bad_classes_and_probabilities_change_nothing(implementation):
    learner = build(implementation, loss="cross_entropy", batch_size=2)
    x, before = np.ones((2, I)), everything(learner)
    for y, kind, sentence in [
        ([0, O], ValueError, "y: expected class numbers from 0 to 1, got 0 to 2"),
        (
            [0, -100],
            ValueError,
            "y: expected class numbers from 0 to 1, got -100 to 0; a step with",
        ),
        ([0.0, 1.0], TypeError, "y: expected integer class numbers, got float64"),
        ([[0], [1]], ValueError, r"y: expected shape \(batch=2,\), got \(2, 1\)"),
    ]:
        with pytest.raises(kind, match=f"^{sentence}"):
            learner.step(x, y)
    assert everything(learner) == before
    learner = build(implementation, loss="binary_cross_entropy", batch_size=2)
    with pytest.raises(ValueError, match=r"^y: expected numbers from 0 to 1, got 0 to 2$"):
        learner.step(x, [[0, 1], [2, 0]])
    assert everything(learner) == before


@pytest.mark.parametrize("cell", CELLS)
def test_a_divergence_changes_nothing(implementation, cell):
    learner = build(implementation, **CELLS[cell])
    before, loss, out = everything(learner), learner.last_loss, np.zeros(O)
    with pytest.raises(crnn.DivergenceError, match=r"^the loss is inf at step 4; the step was not"):
        learner.step(X, [1e200, 1], out)
    learner.lr = 1e308
    with pytest.raises(crnn.DivergenceError, match=r"^the new parameters or .* at step 4"):
        learner.step(X, Y, out)
    learner.lr = 0.02
    learner.net.b_y[0] = np.inf
    with pytest.raises(crnn.DivergenceError, match=r"^the new state is not finite at step 4; the"):
        learner.step(X, None, out)
    learner.net.b_y[0] = np.frombuffer(before[0])[-O]
    assert (everything(learner), learner.last_loss) == (before, loss)
    assert not out.any()
    assert np.isfinite(learner.step(X, Y)).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch_size", [None, B])
def test_predictions_streams_and_the_network_agree_with_steps(implementation, cell, batch_size):
    learner = build(implementation, batch_size=batch_size, **CELLS[cell])
    before, rng = everything(learner), np.random.default_rng(8)
    shape = () if batch_size is None else (batch_size,)
    x, y = rng.standard_normal((T, *shape, I)), rng.standard_normal((*shape, O))
    stream = learner.stream()
    assert stream.batch_size == batch_size
    h0 = stream.state
    # Without targets no parameter moves, so all of them have the same network.
    predicted, outputs = [], []
    for x_t in x:
        predicted.append(learner.predict(x_t))
        outputs.append(learner.step(x_t))
    assert np.array(predicted).tobytes() == np.array(outputs).tobytes()
    assert everything(learner)[0] == before[0]
    np.testing.assert_allclose([stream.step(x_t) for x_t in x], outputs, rtol=0, atol=1e-12)
    sequences = x if batch_size is None else x.swapaxes(0, 1)
    y_hat = learner.net.predict(sequences, h0=h0)
    y_hat = y_hat if batch_size is None else y_hat.swapaxes(0, 1)
    np.testing.assert_allclose(y_hat, outputs, rtol=0, atol=1e-12)
    # Then the learner learns, and no stream that was made before.
    kept, before = learner.stream(), learner.net.flat_params.copy()
    learner.step(x[0], y)
    kept.step(x[0])
    assert np.abs(learner.net.flat_params - before).max() > 1e-3
    assert np.abs(kept.step(x[1]) - learner.predict(x[1])).max() > 1e-3
    np.testing.assert_allclose(
        learner.stream().step(x[1]), learner.predict(x[1]), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("cell", CELLS)
def test_reset(implementation, cell):
    learner = build(implementation, batch_size=3, **CELLS[cell])
    fresh = learner.net.learner(learner.optimizer, batch_size=3).state
    assert not any(values.any() for values in fresh.values())
    before = learner.state
    learner.reset([True, False, True])
    for name, values in learner.state.items():
        assert values[1].tobytes() == before[name][1].tobytes()
        assert not values[[0, 2]].any()
    for bad, kind in (([True, False], ValueError), ([1, 0, 1], TypeError)):
        with pytest.raises(kind, match=r"^which: expected"):
            learner.reset(bad)
    learner.reset()
    assert not any(values.any() for values in learner.state.values())
    with pytest.raises(ValueError, match=r"^which: expected None with one sequence"):
        build(implementation).reset([True])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_size", [None, B])
def test_state(implementation, family, batch_size):
    learner = build(implementation, crnn.SGD(0.0), family=family, batch_size=batch_size)
    state, before = learner.state, everything(learner)
    n = learner.net.flat_params.size - learner.net.W_hy.size - O
    blocks = 2 if family == "LSTM" else 1
    shape = () if batch_size is None else (batch_size,)
    assert state["sensitivities"].shape == (*shape, blocks * H, n)
    assert state["h"].shape == (*shape, H)
    assert ("c" in state) == (family == "LSTM")
    of_stream = learner.stream().state
    of_stream = of_stream if family == "LSTM" else (of_stream,)
    assert [a.tobytes() for a in of_stream] == [
        state[name].tobytes() for name in ("h", "c")[:blocks]
    ]
    outputs = run(learner)
    assert everything(learner) != before
    learner.state = state
    # The optimizer has counted its steps of no length.
    assert everything(learner)[:-2] == before[:-2]
    assert run(learner).tobytes() == outputs.tobytes()
    # Copies, both ways, and whatever converts
    learner.state = {name: values.tolist() for name, values in state.items()}
    state["sensitivities"][...] = 7
    assert everything(learner)[:-2] == before[:-2]
    outputs = run(learner)
    learner.state["h"][...] = 7
    assert everything(learner)[:-2] != before[:-2]


def test_bad_states_change_nothing(implementation):
    learner = build(implementation, family="LSTM", batch_size=B)
    state, before = learner.state, everything(learner)
    n = state["sensitivities"].shape[2]
    nan = state["c"].copy()
    nan[1, 2] = np.nan
    for value, kind, sentence in [
        (state["h"], TypeError, "state: expected a dictionary, got ndarray"),
        ({"h": state["h"]}, ValueError, "state: expected the keys h, c, sensitivities, got h"),
        (state | {"x": 1}, ValueError, "state: expected the keys h, c, sensitivities, got "),
        (
            state | {"h": state["h"][1:]}, ValueError,
            r"state\['h'\]: expected shape \(batch=4, hidden=5\), got \(3, 5\)",
        ),
        (state | {"c": nan}, ValueError, r"state\['c'\]: expected finite numbers, got nan at"),
        (
            state | {"sensitivities": state["sensitivities"][..., 1:]}, ValueError,
            rf"state\['sensitivities'\]: expected shape \(batch=4, states=10, parameters={n}\), go",
        ),
        (state | {"h": "abc"}, TypeError, r"state\['h'\]: expected numbers"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=f"^{sentence}"):
            learner.state = value
        assert everything(learner) == before


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch_size", [None, B])
def test_copies_pickles_and_files_go_on_alike(implementation, cell, batch_size, tmp_path):
    learner = build(implementation, batch_size=batch_size, clip_norm=0.5, **CELLS[cell])
    learner.lr = 0.01
    learner.save(tmp_path / "learner.npz")
    twins = {
        "copy": learner.copy(),
        "copy.copy": copy.copy(learner),
        "copy.deepcopy": copy.deepcopy(learner),
        "pickle": pickle.loads(pickle.dumps(learner)),
        "file": crnn.load_learner(tmp_path / "learner.npz", implementation=implementation),
    }
    outputs, before = run(learner), {k: everything(twin) for k, twin in twins.items()}
    assert len({str(state) for state in before.values()}) == 1
    for name, twin in twins.items():
        assert everything(twin) == before[name], name
        assert repr(twin) == repr(learner)
        assert twin.net.implementation == implementation
        assert run(twin).tobytes() == outputs.tobytes(), name
        assert everything(twin) == everything(learner), name
        # The network and the optimizer of a twin are its own, and belong together.
        twin.net.train_step(np.ones((T, I)), np.ones((T, O)), twin.optimizer)


OPTIMIZERS = [
    crnn.SGD(0.03),
    crnn.SGD(0.03, momentum=0.5, nesterov=True, weight_decay=0.01),
    crnn.RMSprop(0.01),
    crnn.RMSprop(0.01, momentum=0.4),
    crnn.Adam(0.02, beta1=0.8),
    crnn.AdamW(0.02, weight_decay=0.1),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_files_of_all_optimizers_and_losses(implementation, optimizer, loss, tmp_path):
    net = network(I, H, O, implementation=implementation)
    x, y = data(net, loss, batch=2)
    for steps in (0, 4):
        learner = net.learner(copy.deepcopy(optimizer), loss=loss, clip_value=0.3, batch_size=2)
        for t in range(steps):
            learner.step(x[:, t], y[:, t])
        learner.save(tmp_path / "learner.npz")
        twin = crnn.load_learner(tmp_path / "learner.npz", implementation=implementation)
        assert everything(twin) == everything(learner)
        assert repr(twin) == repr(learner)
        for t in range(steps, T):
            assert twin.step(x[:, t], y[:, t]).tobytes() == learner.step(x[:, t], y[:, t]).tobytes()
            assert twin.last_loss == learner.last_loss
        assert everything(twin) == everything(learner)
        net = learner.net


def test_files_that_are_refused(implementation, tmp_path):
    learner, path = build(implementation), tmp_path / "learner.npz"
    learner.save(path)
    with pytest.raises(crnn.ModelFileError, match=r"expected a network of crnn, got a learner$"):
        crnn.load(path)
    description, arrays = archive.read(path, learner_files._check_learner)
    del description["sha256"]
    nested = {
        "network": {**description["network"], "num_layers": 2},
        "optimizer": {"name": "Adam", "settings": {"lr": -1.0}},
        "loss": {"name": "huber", "settings": [-1.0]},
    }
    for change, sentence in [
        ({"format": "crnn network"}, "expected a learner of crnn, got a network"),
        ({"version": 2}, "expected a file of version 1 at most, got version 2"),
        ({"network": nested["network"]}, "learner: expected a network of one layer"),
        ({"network": {}}, "cell: expected one of"),
        ({"optimizer": nested["optimizer"]}, "lr: expected"),
        ({"optimizer": {"name": "Adam", "settings": {"lr": 0.1, "x": 1}}}, ".*unexpected keyword"),
        ({"optimizer": {"name": "LBFGS", "settings": {}}}, "optimizer.name: expected one of SGD"),
        ({"loss": nested["loss"]}, "delta: expected"),
        ({"loss": {"name": "mse", "settings": [1.0]}}, ".*takes 1 positional argument|.*argument"),
        ({"steps": -1}, "steps: expected a whole number from 0"),
        ({"last_lr": None}, "last_lr: expected a finite number of at least 0"),
        ({"clip_norm": 0.0}, "clip_norm: expected a finite number above 0 or null, got 0.0"),
        ({"clip_value": 1.0, "clip_norm": 1.0}, "clip_norm: expected only one of"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1 or null, got 0"),
        ({"batch_size": 2}, r"expected float64 \(2, 5\), got float64 \(1, 5\)"),
    ]:
        archive.write(path, description | change, arrays)
        with pytest.raises(crnn.ModelFileError, match=f"learner.npz: ({sentence})"):
            crnn.load_learner(path)
    archive.write(path, description, arrays)
    crnn.load_learner(path)
    learner.optimizer.lr = lambda step: 0.1
    with pytest.raises(TypeError, match=r"^save: expected an optimizer with a number as its learn"):
        learner.save(path)
    crnn.load_learner(path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_other_calls_may_train_the_network_in_between(implementation, optimizer):
    """A learner that is made anew each time is the same as one that stays."""
    learner, other = (build(implementation, copy.deepcopy(optimizer)) for _ in range(2))
    x, y = np.ones((2, T, I)), np.ones((2, T, O))

    def train(net, optimizer):
        yield net.train_step(x, y, optimizer)
        yield net.fit(x, y, epochs=2, optimizer=optimizer, batch_size=1, seed=1).loss
        trainer = net.trainer(optimizer, time=T, batch_size=2)
        yield trainer.train_step(x, y)
        yield trainer.sync()
        optimizer.lr *= 0.5
        yield optimizer.lr
        net.flat_params[...] *= 0.9

    changes = zip(
        train(learner.net, learner.optimizer), train(other.net, other.optimizer), strict=True
    )
    for mine, others in changes:
        assert mine == others
        state, anew = other.state, other.net.learner(other.optimizer)
        anew.state = state
        assert run(learner).tobytes() == run(anew).tobytes()
        assert everything(learner) == everything(anew)
        assert learner.steps == learner.core.steps == learner.optimizer.steps
        other = anew
    assert learner.steps > 40


def test_two_learners_of_one_network(implementation):
    """They share its parameters and the optimizer, and each has its own state."""
    learner, twin = build(implementation), build(implementation)
    second = learner.net.learner(learner.optimizer)
    steps = learner.steps
    for t in range(T):
        (learner, second)[t % 2].step(X * t, Y)
    assert learner.steps == second.steps == steps + T
    other = twin.net.learner(twin.optimizer)
    for t in range(T):
        (twin, other)[t % 2].step(X * t, Y)
    assert everything(learner) == everything(twin)
    assert everything(second) == everything(other) != everything(learner)


def test_the_learning_rate(implementation):
    rates = [0.1, 0.05, 0.2, 0.1, 0.0]
    learners = [
        network(I, H, O, implementation=implementation).learner(optimizer)
        for optimizer in (crnn.Adam(lambda step: rates[step]), crnn.Adam(1.0), crnn.Adam(1.0))
    ]
    of_function, of_learner, of_optimizer = learners
    for t, rate in enumerate(rates):
        of_learner.lr = rate
        of_optimizer.optimizer.lr = rate
        for learner in learners:
            assert learner.lr == rate
            learner.step(X * t, Y)
            assert learner.optimizer.last_lr == rate
        assert everything(of_function) == everything(of_learner) == everything(of_optimizer)
    before = everything(of_learner)
    with pytest.raises(ValueError, match=r"^lr: expected a finite number of at least 0, got -1"):
        of_learner.lr = -1
    # A function that fails fails before anything has moved.
    with pytest.raises(IndexError):
        of_function.step(X, Y)
    assert everything(of_function) == everything(of_learner) == before


def test_the_core_stays(implementation):
    """What C steps, whatever trains the network in between; a rate reaches it at once."""
    learner = build(implementation, crnn.Adam(0.02))
    net, optimizer, core = learner.net, learner.optimizer, learner.core
    x, y = np.ones((2, T, I)), np.ones((2, T, O))
    net.train_step(x, y, optimizer)
    net.fit(x, y, epochs=2, optimizer=optimizer, batch_size=1)
    learner.lr = 0.03
    assert (core.lr, core.steps, optimizer.last_lr) == (0.03, 8, 0.02)
    learner.step(X, Y)
    assert learner.core is core
    assert (core.steps, optimizer.last_lr) == (9, 0.03)
    new = crnn.SGD(0.1)
    net.learner(new)
    assert (new.steps, new.last_lr, new.memory) == (0, None, {})


def test_optimizers_of_other_networks(implementation, tmp_path):
    learner, other = build(implementation), network(I, H, O, implementation=implementation)
    with pytest.raises(ValueError, match=r"^optimizer: expected one that is new or belongs to thi"):
        other.learner(learner.optimizer)
    # Before its first step it belongs to nobody.
    optimizer = crnn.Adam(0.02)
    waiting = learner.net.learner(optimizer)
    other.train_step(np.ones((T, I)), np.ones((T, O)), optimizer)
    before = [values.tobytes() for values in (learner.net.flat_params, *waiting.state.values())]
    for call in (
        lambda: waiting.step(X, Y),
        lambda: waiting.step(X),
        waiting.copy,
        lambda: pickle.dumps(waiting),
        lambda: waiting.save(tmp_path / "learner.npz"),
        lambda: setattr(waiting, "lr", 0.5),
    ):
        with pytest.raises(ValueError, match=r"^optimizer: expected one that is new or belongs to"):
            call()
    after = [values.tobytes() for values in (learner.net.flat_params, *waiting.state.values())]
    assert before == after
    assert (optimizer.steps, optimizer.lr) == (1, 0.02)
    learner.step(X, Y)


class OwnLoss:
    def value(self, y_hat, y):
        return 0.0

    def gradient(self, y_hat, y):
        return 0 * y_hat


class OwnOptimizer(crnn.SGD):
    pass


def test_what_no_learner_trains(implementation):
    sgd = crnn.SGD(0.1)

    def net(**settings):
        sizes = {"input_size": I, "hidden_size": H, "output_size": O, **settings}
        return network(implementation=implementation, **sizes)

    for settings in ({"num_layers": 2}, {"bidirectional": True}, {"trainable_h0": True}):
        with pytest.raises(ValueError, match=r"^learner: expected a network of one layer in one d"):
            net(**settings).learner(sgd)
    with pytest.raises(
        ValueError,
        match=r"^learner: expected a hidden_size of at most 64, got 65, with which each step of a "
        r"sequence takes 1\.9e\+07 multiply-adds and 4\.7e\+06 bytes$",
    ):
        net(hidden_size=65).learner(sgd)
    assert net(hidden_size=64).learner(sgd).predict(X).shape == (O,)
    for loss in (OwnLoss(), crnn.losses.CrossEntropy([1, 2]), crnn.losses.CrossEntropy(None, 0.1)):
        with pytest.raises(ValueError, match=r'^loss: expected "mse", "sse", "cross_entropy" with'):
            net().learner(sgd, loss=loss)
    with pytest.raises(
        ValueError, match=r"^optimizer: expected SGD, RMSprop, Adam or AdamW for a learner, got Own"
    ):
        net().learner(OwnOptimizer(0.1))
    with pytest.raises(TypeError, match=r"^optimizer: expected one such as crnn\.SGD"):
        net().learner("sgd")
    with pytest.raises(ValueError, match=r"^clip_norm: expected only one of"):
        net().learner(sgd, clip_norm=1.0, clip_value=1.0)
    with pytest.raises(ValueError, match=r"^batch_size: expected at least 1, got 0"):
        net().learner(sgd, batch_size=0)


def test_one_output_per_sequence_is_one_per_step(implementation):
    """Every step of a learner has an output, whatever `predict` returns."""
    learner, twin = (build(implementation, return_sequences=returns) for returns in (True, False))
    assert run(learner).tobytes() == run(twin).tobytes()


def walk(net, number):
    """Take steps on a random walk, whose next place is the target of each; give the learner."""
    rng = np.random.default_rng(9)
    places = np.cumsum(rng.standard_normal((number + 1, I)), axis=0).astype(net.dtype)
    learner, out = net.learner(crnn.Adam(0.002), clip_norm=1.0), np.empty(I, net.dtype)
    for place, after in itertools.pairwise(places):
        learner.step(place, after, out)
    assert learner.steps == number
    assert all(np.isfinite(values).all() for values in (net.flat_params, *learner.state.values()))
    return learner


@pytest.mark.parametrize("cell", CELLS)
def test_a_random_walk(implementation, cell):
    """The outputs follow the walk, though it leaves the range that it began in."""
    net = network(I, 8, I, dtype="float32", implementation=implementation, **CELLS[cell])
    learner = walk(net, 3000)
    assert learner.last_loss < 500


@pytest.mark.native
@pytest.mark.slow
@pytest.mark.parametrize("cell", sorted(CELLS.keys() - {"relu"}))
def test_a_random_walk_of_a_million_steps(cell):
    """Finite, where the cell's states are bounded or grow with the walk only."""
    walk(network(I, 8, I, dtype="float32", implementation="native", **CELLS[cell]), 10**6)


def test_sensitivities_that_grow_without_bound(implementation):
    """At an unstable rest the state is finite, and they double; after a reset they start anew."""
    net = network(I, H, O, implementation=implementation)
    net.W_hh[...], net.b_h[...] = 2 * np.eye(H), 0
    learner = net.learner(crnn.SGD(0.0), clip_norm=1.0)

    def steps(number):
        for _ in range(number):
            learner.step(0 * X, Y)

    steps(1000)
    assert not learner.state["h"].any()
    assert learner.state["sensitivities"].max() > 1e300
    with pytest.raises(crnn.DivergenceError, match=r"^the gradient's norm is (inf|nan) at step 10"):
        steps(100)
    assert np.isfinite(learner.state["sensitivities"]).all()
    learner.reset()
    steps(1000)


class Failing:
    """A function whose call of this number raises MemoryError, before or after its work."""

    def __init__(self, function, number, after):
        self.function, self.number, self.after, self.calls = function, number, after, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.number and not self.after:
            raise MemoryError
        result = self.function(*args, **kwargs)
        if self.calls == self.number:
            raise MemoryError
        return result


PLACES = {
    "state": (STEPS, "lstm"),
    "sensitivities": (STEP_GRADIENTS, "lstm"),
    "optimizer": (training._STEPS, "adam_step"),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_steps_are_whole_where_memory_lacks(monkeypatch, place, after):
    """Those of the NumPy kernels; only behind the optimizer's step is the step taken."""
    learner, twin = (build("python", family="LSTM") for _ in range(2))
    before, (functions, name) = everything(learner), PLACES[place]
    with monkeypatch.context() as patch:
        patch.setitem(functions, name, Failing(functions[name], 1, after))
        with pytest.raises(MemoryError):
            learner.step(X, Y)
    if place == "optimizer" and after:
        twin.step(X, Y)
    else:
        assert everything(learner) == before
    assert everything(learner) == everything(twin)
    assert run(learner).tobytes() == run(twin).tobytes()


def test_one_thread_at_a_time(implementation):
    """A call either takes its step, or is refused and changes nothing."""
    net = network(2, 48, 1, family="LSTM", dtype="float32", implementation=implementation)
    learner, twin = net.learner(crnn.SGD(0.0)), copy.deepcopy(net).learner(crnn.SGD(0.0))
    x, y, taken, refused = np.ones(2, np.float32), np.ones(1, np.float32), [], []

    def learn():
        end = time.monotonic() + 30
        while not refused and time.monotonic() < end:
            try:
                learner.step(x, y)
                taken.append(1)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=learn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) == {LEARNER_BUSY}
    assert learner.steps == len(taken)
    for _ in taken:
        twin.step(x, y)
    assert everything(learner)[:-1] == everything(twin)[:-1]
