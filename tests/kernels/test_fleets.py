"""Kernels of fleets: many networks side by side, of which each is as it would be alone."""

import inspect
import re

import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES
from tolerances import TOLERANCES

from crnn.kernels import cells
from crnn.kernels.constraints import Constraints

# More models than lanes of float32, and no multiple of any number of lanes
N = 21
SIZES = [1, 2, 3, 5, 16, 17]
VARIANTS = {
    "shared": {"loss": "mse", "B": 3, "O": 2, "is_shared": True},
    "one sequence": {"loss": "sse", "B": 1, "O": 1},
    "classes": {"loss": "cross_entropy", "B": 2, "O": 3},
    "ragged classes, weights": {
        "loss": "cross_entropy",
        "B": 6,
        "O": 3,
        "is_ragged": True,
        "has_weights": True,
    },
    "ragged, no output layer": {"loss": "huber", "B": 5, "O": 0, "is_ragged": True},
    "weights": {"loss": "binary_cross_entropy", "B": 9, "O": 2, "has_weights": True},
    "weights of squares": {"loss": "mse", "B": 2, "O": 5, "has_weights": True, "is_ragged": True},
    "weights of sums": {"loss": "sse", "B": 2, "O": 1, "has_weights": True, "is_shared": True},
}


class Problem:
    """Random models and data, asymmetric, with all sizes different."""

    T, I, delta = 7, 4, 0.3

    def __init__(
        self, cell, dtype, H, *, loss, B, O, is_ragged=False, has_weights=False, is_shared=False
    ):
        rng = np.random.default_rng([H, B, O])
        T, I = self.T, self.I
        self.cell, self.H, self.O, self.loss = cell, H, O, loss
        self.outputs = O or H
        P = cells.parameter_count(cells.parameter_shapes(cell, I, H, O))
        self.theta = rng.normal(0, 0.4, (N, P)).astype(dtype)
        self.lengths = np.full((N, B), T, np.intp)
        if is_ragged:
            self.lengths = rng.integers(0, T + 1, (N, B)).astype(np.intp)
            self.lengths[:, 0] = rng.integers(1, T + 1, N)
        rows = B * T if is_shared else N * B * T
        self.starts = np.tile(np.arange(B) * T, (N, 1)).astype(np.intp)
        if not is_shared:
            self.starts = (rng.permutation(N * B).reshape(N, B) * T).astype(np.intp)
        self.x = rng.normal(size=(rows, I)).astype(dtype)
        self.y = rng.random((rows, self.outputs)).astype(dtype)
        if loss == "cross_entropy":
            self.y = rng.integers(0, self.outputs, rows).astype(np.intp)
        self.weights = rng.random(rows) * (rng.random(rows) < 0.8) if has_weights else None

    def of(self, models):
        """Return the problem of some of the models."""
        part = object.__new__(Problem)
        part.__dict__.update(self.__dict__)
        part.theta = self.theta[models].copy()
        part.starts, part.lengths = self.starts[models].copy(), self.lengths[models].copy()
        return part

    def arguments(self):
        return {
            "cell": self.cell,
            "x": self.x,
            "starts": self.starts,
            "lengths": self.lengths,
            "theta": self.theta,
            "hidden_size": self.H,
            "output_size": self.O,
        }

    def targets(self):
        return {"y": self.y, "weights": self.weights, "loss": self.loss, "delta": self.delta}

    def gradient(self, kernels):
        """Return the losses and gradients."""
        losses, dtheta = np.full(len(self.theta), np.inf), np.full_like(self.theta, np.inf)
        kernels.fleet_gradient(**self.arguments(), **self.targets(), dtheta=dtheta, losses=losses)
        return losses, dtheta

    def outputs_of(self, kernels):
        """Return the outputs of all sequences, one after another."""
        ends = np.cumsum(self.lengths.ravel()).reshape(self.lengths.shape)
        y = np.full((ends[-1, -1], self.outputs), np.inf, self.x.dtype)
        kernels.fleet_predict(**self.arguments(), y=y, y_starts=ends - self.lengths)
        return y


def build(cell, dtype, H, variant):
    return Problem(cell, dtype, H, **VARIANTS[variant])


@pytest.mark.loops
@pytest.mark.parametrize("H", SIZES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_implementations_agree(both_kernels, assert_close, cell, dtype, H):
    """Those of NumPy are the kernels of one network, which other tests compare with an oracle."""
    native, reference = both_kernels
    for variant in VARIANTS:
        problem = build(cell, dtype, H, variant)
        (losses, dtheta), (other, expected) = problem.gradient(native), problem.gradient(reference)
        np.testing.assert_allclose(losses, other, rtol=TOLERANCES[dtype], err_msg=variant)
        assert_close(dtheta, expected, dtype=dtype, label=variant)
        assert_close(
            problem.outputs_of(native), problem.outputs_of(reference), dtype=dtype, label=variant
        )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("H", [2, 17])
@pytest.mark.parametrize("cell", ["tanh", "gru", "gru_reset_before", "lstm"])
def test_gradients_are_those_of_finite_differences(kernels, cell, H, variant):
    problem = build(cell, "float64", H, variant).of([3])
    _, dtheta = problem.gradient(kernels)
    rng = np.random.default_rng(1)
    for index in rng.choice(problem.theta.size, 12, replace=False):
        values = []
        for step in (1e-5, -1e-5):
            moved = problem.of([0])
            moved.theta[0, index] += step
            values.append(moved.gradient(kernels)[0][0])
        difference = (values[0] - values[1]) / 2e-5
        assert dtheta[0, index] == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.loops
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("H", [2, 17])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_has_the_same_bits_in_any_fleet(kernels, cell, dtype, H, variant):
    problem = build(cell, dtype, H, variant)
    losses, dtheta = problem.gradient(kernels)
    order = np.random.default_rng(2).permutation(N)
    for models in (order, order[:5], np.array([4]), np.arange(N - 1, N - 4, -1)):
        part = problem.of(models)
        # Models beside it have other numbers of sequences, and the longest may be missing.
        own_losses, own_dtheta = part.gradient(kernels)
        assert own_losses.tobytes() == losses[models].tobytes()
        np.testing.assert_array_equal(own_dtheta, dtheta[models])
    for n in range(N):
        part = problem.of([n])
        count = max(1, int((part.lengths[0] > 0).nonzero()[0].max(initial=0)) + 1)
        part.starts = np.ascontiguousarray(part.starts[:, :count])
        part.lengths = np.ascontiguousarray(part.lengths[:, :count])
        np.testing.assert_array_equal(part.gradient(kernels)[1], dtheta[n : n + 1])


@pytest.mark.native
@pytest.mark.loops
@pytest.mark.parametrize("H", [2, 17])
@pytest.mark.parametrize("cell", CELLS)
def test_threads_do_not_change_the_bits(native, cell, H):
    problem = build(cell, "float32", H, "shared")
    # Enough work for several threads
    problem.x = np.tile(problem.x, (60, 1))
    problem.y = np.tile(problem.y, (60, 1))
    problem.lengths[...] = 60 * problem.T
    problem.starts[...] = 0
    problem = problem.of(np.tile(np.arange(N), 10))
    before = native.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            native.set_num_threads(threads)
            results.append([part.tobytes() for part in problem.gradient(native)])
    finally:
        native.set_num_threads(before)
    assert results[0] == results[1] == results[2]


OPTIMIZERS = {
    "sgd_step": ({"momentum": 0.0, "nesterov": False}, ()),
    "rmsprop_step": ({"alpha": 0.9, "eps": 1e-6, "momentum": 0.5}, ("square", "velocity")),
    "adam_step": (
        {"beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "decoupled": True},
        ("mean", "square"),
    ),
}


class Training:
    """Models in training, with numbers of their own."""

    def __init__(self, problem, optimizer, *, l1=None, constraints=None):
        rng = np.random.default_rng(3)
        models = len(problem.theta)
        self.problem, self.optimizer = problem, optimizer
        self.settings, names = OPTIMIZERS[optimizer]
        self.memory = {name: np.zeros_like(problem.theta) for name in names}
        if optimizer == "sgd_step":
            self.memory["velocity"] = None
        self.steps = np.arange(models) % 3
        self.rates, self.weight_decay = 0.1 * rng.random(models), rng.random(models)
        # A penalty on weights, which biases are not
        self.l1, self.constraints = l1, constraints
        if l1 is not None:
            strengths = np.zeros_like(problem.theta[0])
            shapes = cells.parameter_shapes(problem.cell, problem.I, problem.H, problem.O)
            for name, values in cells.views(strengths, shapes).items():
                values[...] = name.startswith("W_")
            self.constraints = Constraints(l1=strengths)

    def step(self, kernels, max_norm=0.5):
        models = len(self.problem.theta)
        losses, norms, taken = np.empty(models), np.empty(models), np.empty(models, bool)
        kernels.fleet_train(
            **self.problem.arguments(), **self.problem.targets(), max_norm=max_norm,
            max_value=None, optimizer=self.optimizer, memory=self.memory, settings=self.settings,
            constraints=self.constraints, steps=self.steps, rates=self.rates,
            weight_decay=self.weight_decay, l1=self.l1,
            losses=losses, norms=norms, taken=taken,
        )  # fmt: skip
        return losses, norms, taken


@pytest.mark.parametrize("is_bounded", [False, True])
@pytest.mark.parametrize("H", [3, 17])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_those_of_the_optimizers_kernel(kernels, optimizer, H, is_bounded):
    problem = build("gru", "float64", H, "ragged, no output layer")
    P, limits = problem.theta.shape[1], None
    if is_bounded:
        limits = Constraints(lower=np.full(P, -0.3), upper=np.linspace(-0.3, 0.3, P))
    losses, dtheta = problem.gradient(kernels)
    expected = Training(problem.of(np.arange(N)), optimizer)
    for n in range(N):
        norm = kernels.clip_norm(dtheta[n], 0.5)
        rows = {k: None if v is None else v[n] for k, v in expected.memory.items()}
        count = {"step": int(expected.steps[n]) + 1} if optimizer == "adam_step" else {}
        assert getattr(kernels, optimizer)(
            expected.problem.theta[n], dtheta[n], **rows, **count, **expected.settings,
            lr=expected.rates[n], weight_decay=expected.weight_decay[n], steps=None,
            constraints=limits,
        )  # fmt: skip
        assert norm > 0
    training = Training(problem, optimizer, constraints=limits)
    steps = training.steps.copy()
    found, norms, taken = training.step(kernels)
    assert taken.all()
    assert (training.steps == steps + 1).all()
    assert (norms > 0).all()
    assert found.tobytes() == losses.tobytes()
    assert problem.theta.tobytes() == expected.problem.theta.tobytes()
    for name, vectors in training.memory.items():
        assert vectors is None or vectors.tobytes() == expected.memory[name].tobytes()


@pytest.mark.parametrize("O", [0, 2])
def test_l1_is_a_proximal_step_on_weights(kernels, O):
    problem = Problem("lstm", "float32", 3, loss="mse", B=2, O=O)
    plain = Training(problem.of(np.arange(N)), "sgd_step")
    plain.step(kernels)
    l1 = np.linspace(0, 20, N)
    l1[-1] = 1e300  # times a bias's strength of 0
    training = Training(problem, "sgd_step", l1=l1)
    training.step(kernels)
    shapes = cells.parameter_shapes("lstm", problem.I, 3, O)
    for n in range(N):
        after = cells.views(problem.theta[n], shapes)
        for name, values in cells.views(plain.problem.theta[n], shapes).items():
            expected = values
            if name.startswith("W_"):
                size = np.abs(values) - np.float32(min(plain.rates[n] * l1[n], 1e30))
                expected = np.sign(values) * np.maximum(size, 0)
            np.testing.assert_allclose(after[name], expected, rtol=2e-6, atol=1e-7)
    assert (problem.theta == 0).any()
    assert not (problem.theta[0] == 0).any()


@pytest.mark.parametrize("H", [3, 17])
@pytest.mark.parametrize("cause", ["parameters", "data", "rate"])
def test_a_model_that_diverges_is_left_and_the_others_go_on(kernels, H, cause):
    problem = build("gru", "float32", H, "classes")
    reference = Training(problem.of(np.arange(N)), "adam_step")
    reference.step(kernels)
    training = Training(problem, "adam_step")
    if cause == "parameters":
        problem.theta[4, 2] = np.nan
    elif cause == "data":
        problem.x[problem.starts[4, 1]] = np.inf
    else:
        training.rates[4] = 1e300
    before = problem.theta[4].tobytes(), training.steps[4]
    _, _, taken = training.step(kernels)
    others = np.arange(N) != 4
    assert (taken == others).all()
    assert (problem.theta[4].tobytes(), training.steps[4]) == before
    assert not training.memory["mean"][4].any()
    assert problem.theta[others].tobytes() == reference.problem.theta[others].tobytes()


@pytest.mark.parametrize("H", [2, 17])
@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy", "binary_cross_entropy", "huber"])
def test_a_model_without_data_takes_no_step(kernels, loss, H):
    problem = Problem("tanh", "float64", H, loss=loss, B=4, O=2, is_shared=True)
    training = Training(problem, "adam_step")
    training.problem.lengths[7] = 0
    before = training.problem.theta.copy()
    losses, _, taken = training.step(kernels)
    assert np.flatnonzero(~taken).tolist() == np.flatnonzero(np.isnan(losses)).tolist() == [7]
    assert (training.problem.theta[7] == before[7]).all()
    assert training.steps[7] == 1
    training.problem.lengths[...] = 0
    assert not training.step(kernels)[2].any()


def test_signatures_are_alike(both_kernels):
    for name in ("fleet_predict", "fleet_gradient", "fleet_train"):
        native, reference = (
            list(inspect.signature(getattr(one, name)).parameters) for one in both_kernels
        )
        assert native == reference


REFUSALS = {
    "cell": ("gru2", f"cell: expected one of {', '.join(cells.CELLS)}, got 'gru2'"),
    "loss": ("mae", "loss: expected one of mse, sse, cross_entropy, binary_cross_entropy, huber"),
    "x": (np.zeros((3, 4), int), "x: expected dtype float32 or float64, got int64"),
    "y": (np.zeros((3, 2)), "y: expected shape (21, 2), got (3, 2)"),
    "theta": (np.zeros((N, 5)), "theta: expected shape (n, 50), got (21, 5)"),
    "starts": (np.full((N, 3), 15, np.intp), "starts: expected sequences within 21 rows"),
    "lengths": (np.full((N, 3), -1, np.intp), "starts: expected sequences within 21 rows"),
    "weights": (np.zeros(3), "weights: expected shape (21), got (3,)"),
    "dtheta": (np.zeros((N, 50), "f4"), "dtheta: expected dtype float64, got float32"),
    "losses": ([0.0], "losses: expected an array, got list"),
    "hidden_size": (0, "hidden_size, output_size: expected at least 1 and 0"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused(kernels, name):
    problem = build("gru", "float64", 2, "shared")
    dtheta, losses = np.zeros_like(problem.theta), np.zeros(N)
    value, message = REFUSALS[name]
    arguments = problem.arguments() | problem.targets() | {"dtheta": dtheta, "losses": losses}
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        kernels.fleet_gradient(**arguments | {name: value})
    assert not dtheta.any()
    assert not losses.any()


def test_classes_and_outputs_that_do_not_fit_are_refused(kernels):
    problem = build("gru", "float64", 2, "classes")
    problem.y[5] = 3
    with pytest.raises(ValueError, match="y: expected class numbers from 0 to 2, got 0 to 3"):
        problem.gradient(kernels)
    with pytest.raises(ValueError, match="y_starts: expected sequences within 6 rows"):
        kernels.fleet_predict(**problem.arguments(), y=np.zeros((6, 3)), y_starts=problem.starts)
