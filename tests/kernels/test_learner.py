"""The core of a learner against plain Python, step by step, and what a step leaves as it was."""

import math

import numpy as np
import online_learning
import pytest
from kernel_problems import PLAIN_CELLS

from crnn.kernels import cells

B, T, I, H, O = 2, 12, 3, 4, 2
CELLS = PLAIN_CELLS
LOSSES = list(online_learning.LOSSES)
# By name: a kernel with its vectors and its settings, and the same in plain Python.
OPTIMIZERS = {
    "SGD": (
        ("sgd_step", (), {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
        lambda: online_learning.SGD(0.2),
    ),
    "momentum": (
        ("sgd_step", ("velocity",), {"momentum": 0.5, "nesterov": False, "weight_decay": 0.0}),
        lambda: online_learning.SGD(0.2, 0.5),
    ),
    "Adam": (
        (
            "adam_step",
            ("mean", "square"),
            {"beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.0, "decoupled": False},
        ),
        lambda: online_learning.Adam(0.2, 0.9, 0.99, 1e-6),
    ),
}


def random_parameters(cell, output_size, dtype="float64"):
    shapes = cells.parameter_shapes(cell, I, H, output_size)
    rng = np.random.default_rng(7)
    return (rng.standard_normal(cells.parameter_count(shapes)) * 0.6).astype(dtype), shapes


def build(kernels, cell, loss, *, batch=B, output_size=O, dtype="float64", name="SGD", **limits):
    """A learner, its parameters and the optimizer's vectors."""
    theta, _ = random_parameters(cell, output_size, dtype)
    optimizer, vectors, settings = OPTIMIZERS[name][0]
    memory = {vector: np.zeros_like(theta) for vector in vectors}
    if optimizer == "sgd_step":
        memory = {"velocity": None} | memory
    learner = kernels.Learner(
        cell, theta, batch, I, H, output_size, loss, limits.get("max_norm"),
        limits.get("max_value"), optimizer, memory, settings, None, np.zeros(1, np.intp), 0.2,
        0.3,
    )  # fmt: skip
    return learner, theta, memory


def data(loss, outputs, steps=T, batch=B, dtype="float64"):
    rng = np.random.default_rng(8)
    x = rng.standard_normal((steps, batch, I)).astype(dtype)
    if loss == "cross_entropy":
        return x, rng.integers(0, outputs, (steps, batch))
    if loss == "binary_cross_entropy":
        return x, rng.random((steps, batch, outputs)).astype(dtype)
    return x, rng.standard_normal((steps, batch, outputs)).astype(dtype)


def agree(kernels, cell, loss, *, output_size=O, name="SGD", max_norm=None, max_value=None):
    learner, theta, _ = build(
        kernels, cell, loss, output_size=output_size, name=name, max_norm=max_norm,
        max_value=max_value,
    )  # fmt: skip
    shapes = cells.parameter_shapes(cell, I, H, output_size)
    params = {k: v.tolist() for k, v in cells.views(theta, shapes).items()}
    plain = online_learning.PlainLearner(
        cell, params, B, H, loss, OPTIMIZERS[name][1](), max_norm, max_value
    )
    n = len(theta) - output_size * (H + 1)
    x, y = data(loss, output_size or H)
    out, norms = np.empty((B, output_size or H)), []
    for t in range(T):
        # A step without a target, too
        target = None if t == 4 else y[t]
        value, norm, taken = learner.step(x[t], target, out)
        y_hat, expected, expected_norm = plain.step(
            x[t].tolist(), None if target is None else target.tolist()
        )
        assert taken
        np.testing.assert_allclose(out, y_hat, rtol=0, atol=1e-12)
        np.testing.assert_allclose(theta, plain.theta, rtol=0, atol=1e-12)
        if target is None:
            assert math.isnan(value)
            assert math.isnan(norm)
        else:
            assert value == pytest.approx(expected, rel=1e-12)
            assert norm == pytest.approx(expected_norm, rel=1e-11)
            norms.append(norm)
        states, sensitivities = learner.copied()
        numbers = [[d for part in state for d in part] for state in plain.states]
        np.testing.assert_allclose(
            states, [[d.value for d in row] for row in numbers], rtol=0, atol=1e-12
        )
        np.testing.assert_allclose(
            sensitivities, [[d.derivatives[:n] for d in row] for row in numbers], rtol=0, atol=1e-11
        )
    assert learner.steps == T - 1
    return norms


@pytest.mark.parametrize("output_size", [O, 0])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("cell", CELLS)
def test_steps_are_those_of_plain_python(kernels, cell, name, output_size):
    agree(kernels, cell, "mse", name=name, output_size=output_size)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_those_of_plain_python(kernels, loss):
    agree(kernels, "tanh", loss)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("limits", [{"max_norm": 3.7}, {"max_value": 0.3}], ids=["norm", "value"])
def test_clipping_is_that_of_plain_python(kernels, cell, limits):
    norms = agree(kernels, cell, "sse", **limits)
    assert max(norms) > 3.7, norms
    assert min(norms) < 3.7, norms


def everything(learner, theta, memory):
    """The bytes of all that a step changes."""
    vectors = [vector for vector in memory.values() if vector is not None]
    return [a.tobytes() for a in (theta, *vectors, *learner.copied())] + [learner.steps]


def advance(learner, loss, outputs, steps=3, batch=B, dtype="float64"):
    out = np.empty((batch, outputs), dtype)
    for x_t, y_t in zip(*data(loss, outputs, steps, batch, dtype), strict=True):
        learner.step(x_t, y_t, out)
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_that_diverges_changes_nothing(kernels, cell, dtype):
    largest = float(np.finfo(dtype).max)
    learner, theta, memory = build(kernels, cell, "sse", dtype=dtype, name="Adam")
    out = advance(learner, "sse", O, dtype=dtype)
    before, out_before = everything(learner, theta, memory), out.tobytes()
    (x, *_), (y, *_) = data("sse", O, dtype=dtype)
    _, norm, taken = learner.step(x, np.full_like(y, -largest), out)
    assert (taken, math.isfinite(norm)) == (False, False)
    learner.lr = 1e308
    value, norm, taken = learner.step(x, y, out)
    assert (taken, math.isfinite(value), math.isfinite(norm)) == (False, True, True)
    learner.lr = 0.2
    theta[-1] = np.inf  # b_y
    assert learner.step(x, None, out)[2] is False
    theta[-1] = np.frombuffer(before[0], dtype)[-1]
    assert everything(learner, theta, memory) == before
    assert out.tobytes() == out_before
    assert learner.step(x, y, out)[2] is True


def test_sensitivities_that_overflow(kernels):
    """A step without a target looks at them, too: no gradient would say so."""
    learner, theta, memory = build(kernels, "relu", "mse")
    out = advance(learner, "mse", O)
    states, sensitivities = learner.copied()
    learner.restore(states, np.full_like(sensitivities, 1e308))
    W_hh = theta[H * I : H * (I + H)]
    W_hh[...] = 2
    theta[H * (I + H) : H * (I + H + 1)] = 1
    before = everything(learner, theta, memory)
    (x, *_), (y, *_) = data("mse", O)
    assert learner.step(x, None, out)[2] is False
    assert learner.step(x, y, out)[2] is False
    assert everything(learner, theta, memory) == before


@pytest.mark.parametrize("target", [True, False])
def test_immediate_derivatives_that_overflow(kernels, target):
    """What a step adds to the sensitivities is looked at where it alone makes them infinite."""
    learner, theta, memory = build(kernels, "relu", "mse")
    out, large = advance(learner, "mse", O), 0.6 * np.finfo("float64").max
    theta[...] = 0
    theta[H * I : H * (I + H)] = np.eye(H).ravel()
    theta[H * (I + H) : H * (I + H + 1)] = 1
    states, sensitivities = (np.zeros_like(numbers) for numbers in learner.copied())
    sensitivities[0, 0, 0] = large
    learner.restore(states, sensitivities)
    x = np.zeros((B, I))
    y = np.zeros((B, O)) if target else None
    x[0, 0] = -large
    assert learner.step(x, y, out)[2] is True
    learner.restore(states, sensitivities)
    x[0, 0] = large
    before = everything(learner, theta, memory)
    assert learner.step(x, y, out)[2] is False
    assert everything(learner, theta, memory) == before


def misfits(array):
    """Arrays that differ from one that fits in one thing each."""
    strided = np.empty((*array.shape, 2), array.dtype)[..., 0]
    strided[...] = array
    swapped = array.astype(array.dtype.newbyteorder())
    other = array.astype("float32" if array.dtype == np.float64 else "float64")
    return [
        array[None],
        array[..., :-1].copy(),
        array[:-1],
        strided,
        swapped,
        other,
        array.tolist(),
    ]


@pytest.mark.parametrize("batch", [None, 1, B])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_fits(kernels, batch, dtype):
    learner, theta, memory = build(kernels, "gru", "mse", batch=batch, dtype=dtype)
    rows = () if batch is None else (batch,)
    x, y, out = (np.ones((*rows, n), dtype) for n in (I, O, O))
    assert learner.fits(x, y, out)
    assert learner.fits(x, None, out)
    read_only = out.copy()
    read_only.flags.writeable = False
    wrong = [(bad, y, out) for bad in (*misfits(x), None, np.full_like(x, np.nan))]
    wrong += [(x, bad, out) for bad in (*misfits(y), np.full_like(y, np.inf))]
    wrong += [(x, y, bad) for bad in (*misfits(out), None, read_only)]
    before = everything(learner, theta, memory)
    for arguments in wrong:
        assert learner.fits(*arguments) is False
    for arguments in wrong:
        x_t, y_t, _ = arguments
        if not any(isinstance(a, np.ndarray) and not np.isfinite(a).all() for a in (x_t, y_t)):
            with pytest.raises(
                TypeError, match=r"^x, y, out: expected arrays that the learner can"
            ):
                learner.step(*arguments)
    for x_t in misfits(x):
        with pytest.raises(TypeError, match=r"^x, out: expected arrays that the learner can take"):
            learner.predict(x_t, out)
    assert everything(learner, theta, memory) == before


def test_targets_that_fit(kernels):
    x, out = np.ones((B, I)), np.empty((B, O))
    learner, *_ = build(kernels, "tanh", "cross_entropy")
    assert learner.fits(x, np.array([0, O - 1]), out)
    for y in ([0, O], [-1, 0]):
        assert learner.fits(x, np.array(y), out) is False
        with pytest.raises((ValueError, TypeError), match=r"^(x, )?y"):
            learner.step(x, np.array(y), out)
    for y in (np.ones((B, O)), np.zeros(B), np.zeros(B, np.int32), np.zeros((B, 1), np.intp)):
        assert learner.fits(x, y, out) is False
    one, *_ = build(kernels, "tanh", "cross_entropy", batch=None)
    assert one.fits(x[0], np.array(1), out[0])
    assert one.fits(x[0], np.array(O), out[0]) is False
    learner, *_ = build(kernels, "tanh", "binary_cross_entropy")
    assert learner.fits(x, np.array([[0, 1], [0.5, 0]]), out)
    for number in (-1e-300, 1 + 1e-15):
        assert learner.fits(x, np.array([[0, number], [0.5, 0]]), out) is False


@pytest.mark.parametrize("cell", CELLS)
def test_predictions_move_nothing(kernels, cell):
    learner, theta, memory = build(kernels, cell, "mse")
    advance(learner, "mse", O)
    (x, *_), (y, *_) = data("mse", O)
    before, predicted, out = everything(learner, theta, memory), np.empty((B, O)), np.empty((B, O))
    learner.predict(x, predicted)
    assert everything(learner, theta, memory) == before
    learner.step(x, y, out)
    assert out.tobytes() == predicted.tobytes()


def test_outputs_may_lie_where_inputs_or_targets_do(kernels):
    """With as many outputs as inputs, without an output layer."""
    rng = np.random.default_rng(3)
    steps = rng.standard_normal((T, 2, B, 3))
    settings = OPTIMIZERS["SGD"][0][2]
    results = []
    for place in ("out", "x", "y"):
        theta = random_parameters("tanh", O)[0][: 3 * (3 + 3 + 1)].copy()
        learner = kernels.Learner(
            "tanh", theta, B, 3, 3, 0, "mse", None, None, "sgd_step", {"velocity": None}, settings,
            None, np.zeros(1, np.intp), 0.2,
        )  # fmt: skip
        outputs = []
        for x, y in steps.copy():
            out = {"x": x, "y": y, "out": np.empty_like(y)}[place]
            learner.step(x, y, out)
            outputs.append(out.copy())
        results.append((np.array(outputs).tobytes(), theta.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("cell", CELLS)
def test_reset_sequences_start_anew(kernels, cell):
    learner, theta, _ = build(kernels, cell, "mse")
    rng = np.random.default_rng(4)
    states, sensitivities = (rng.standard_normal(a.shape) for a in learner.copied())
    learner.restore(states, sensitivities)
    learner.reset(np.array([False, True]))
    for after, numbers in zip(learner.copied(), (states, sensitivities), strict=True):
        assert after[0].tobytes() == numbers[0].tobytes()
        assert not after[1].any()
    learner.reset(None)
    assert not any(numbers.any() for numbers in learner.copied())
    fresh, theta_of_fresh, _ = build(kernels, cell, "mse")
    theta_of_fresh[...] = theta
    assert advance(learner, "mse", O).tobytes() == advance(fresh, "mse", O).tobytes()
    assert theta.tobytes() == theta_of_fresh.tobytes()


@pytest.mark.parametrize("cell", CELLS)
def test_states_go_from_one_learner_to_another(kernels, cell):
    learner, theta, _ = build(kernels, cell, "mse")
    advance(learner, "mse", O)
    twin, theta_of_twin, _ = build(kernels, cell, "mse")
    theta_of_twin[...] = theta
    states, sensitivities = learner.copied()
    twin.restore(states, sensitivities)
    # Copies, both ways
    states[...], sensitivities[...] = 5, 5
    assert advance(learner, "mse", O).tobytes() == advance(twin, "mse", O).tobytes()
    assert theta.tobytes() == theta_of_twin.tobytes()
    before = [numbers.tobytes() for numbers in twin.copied()]
    for bad in (states[:1], states.astype("float32"), states[:, :-1]):
        with pytest.raises(TypeError, match=r"^states, sensitivities: expected arrays"):
            twin.restore(bad, sensitivities)
    with pytest.raises(TypeError, match=r"^states, sensitivities: expected arrays"):
        twin.restore(states, sensitivities[..., :-1])
    assert [numbers.tobytes() for numbers in twin.copied()] == before


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_are_read_anew_at_each_step(kernels, cell):
    """Others may train the network between two steps."""
    learner, theta, _ = build(kernels, cell, "mse")
    advance(learner, "mse", O)
    twin, theta_of_twin, _ = build(kernels, cell, "mse")
    twin.restore(*learner.copied())
    theta += 0.1
    theta_of_twin[...] = theta
    assert advance(learner, "mse", O).tobytes() == advance(twin, "mse", O).tobytes()
    assert learner.gradient.tobytes() == twin.gradient.tobytes()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cell", CELLS)
def test_float32_is_float64_but_for_rounding(kernels, cell, loss):
    found = []
    for dtype in ("float32", "float64"):
        learner, theta, _ = build(kernels, cell, loss, dtype=dtype)
        out = advance(learner, loss, O, steps=8, dtype=dtype)
        assert {a.dtype for a in (out, theta, *learner.copied())} == {np.dtype(dtype)}
        found.append((out, theta, *learner.copied()))
    for single, double in zip(*found, strict=True):
        np.testing.assert_allclose(single, double, rtol=0, atol=2e-5 * max(1, abs(double).max()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_both_implementations_agree(both_kernels, cell, dtype):
    found = []
    for kernels in both_kernels:
        learner, theta, _ = build(kernels, cell, "mse", dtype=dtype, name="momentum", max_norm=2.2)
        out = advance(learner, "mse", O, steps=T, dtype=dtype)
        found.append((out, theta, learner.gradient, *learner.copied()))
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for native, python in zip(*found, strict=True):
        np.testing.assert_allclose(
            native, python, rtol=0, atol=tolerance * max(1, abs(python).max())
        )
