"""rnn_train: the bits of its batches one by one, where it stops, and what else it refuses."""

import math

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, Problem

from crnn.kernels.constraints import Constraints

SIZES = {"T": 6, "B": 11, "I": 3, "H": 9, "O": 4}
# Batches of 4: out of order, partly in order, a sequence twice and one not at all
ROWS = np.array([7, 2, 9, 0, 3, 4, 5, 6, 1, 10, 7], np.intp)
SIZE = 4

# Kernel of the step, its vectors, its numbers
OPTIMIZERS = {
    "sgd": ("sgd_step", [], {"momentum": 0.0, "nesterov": False, "weight_decay": 0.1}),
    "momentum": (
        "sgd_step", ["velocity"], {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    ),
    "nesterov": (
        "sgd_step", ["velocity"], {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ),
    "rmsprop": (
        "rmsprop_step", ["square"],
        {"alpha": 0.9, "eps": 1e-6, "momentum": 0.0, "weight_decay": 0.01},
    ),
    "rmsprop with momentum": (
        "rmsprop_step", ["square", "velocity"],
        {"alpha": 0.95, "eps": 1e-8, "momentum": 0.7, "weight_decay": 0.0},
    ),
    "adam": (
        "adam_step", ["mean", "square"],
        {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.01, "decoupled": False},
    ),
    "adamw": (
        "adam_step", ["mean", "square"],
        {"beta1": 0.8, "beta2": 0.95, "eps": 1e-7, "weight_decay": 0.02, "decoupled": True},
    ),
}  # fmt: skip


class Run:
    """A run of training: its parameters and its optimizer, which has taken two steps."""

    def __init__(self, kernels, p, optimizer, max_norm=None, max_value=None, constraints=None):
        self.kernels, self.p, self.limits = kernels, p, (max_norm, max_value)
        self.optimizer, names, self.settings = OPTIMIZERS[optimizer]
        self.constraints = constraints
        rng = np.random.default_rng(5)
        self.theta, self.steps = p.theta.copy(), np.array([2], np.intp)
        self.memory = {name: rng.uniform(0, 0.1, p.theta.size).astype(p.dtype) for name in names}
        if self.optimizer != "adam_step":
            self.memory.setdefault("velocity", None)

    def train(self, rows, batch_size, lrs):
        """Call rnn_train; return the losses and the norms."""
        p = self.p
        last = len(rows) - (len(lrs) - 1) * batch_size
        size = max(
            self.kernels.train_workspace_size(p.cell, p.T, n, p.I, p.H, p.O, p.dtype)
            for n in (min(batch_size, len(rows)), last)
        )
        losses, norms = np.full((2, len(lrs)), np.nan)
        with problems.workspace(size, p.dtype) as scratch:
            result = self.kernels.rnn_train(
                p.cell, p.x, p.y, rows, batch_size, self.theta, p.H, p.O, p.loss, *self.limits,
                self.optimizer, self.memory, self.settings, self.constraints, self.steps, lrs,
                losses, norms, scratch,
            )  # fmt: skip
        assert result is None
        return losses, norms

    def train_one_by_one(self, rows, batch_size, lrs):
        """The same, by rnn_gradient and the kernel of the step."""
        p, losses, norms = self.p, [], []
        dtheta = np.empty_like(self.theta)
        for number, lr in enumerate(lrs):
            batch = rows[number * batch_size :][:batch_size]
            size = self.kernels.gradient_workspace_size(
                p.cell, p.T, len(batch), p.I, p.H, p.O, p.dtype
            )
            loss, norm = self.kernels.rnn_gradient(
                p.cell, p.x[batch], p.y[batch], self.theta, dtheta, p.H, p.O, p.loss, *self.limits,
                np.empty(size, p.dtype),
            )  # fmt: skip
            losses.append(loss)
            norms.append(norm)
            step = {"step": int(self.steps[0]) + 1} if self.optimizer == "adam_step" else {}
            take_step = getattr(self.kernels, self.optimizer)
            if not math.isfinite(loss) or not math.isfinite(norm):
                break
            settings = self.settings | step
            if not take_step(
                self.theta,
                dtheta,
                **self.memory,
                **settings,
                lr=lr,
                steps=self.steps,
                constraints=self.constraints,
            ):
                break
        padding = [np.nan] * (len(lrs) - len(losses))
        return np.array(losses + padding), np.array(norms + padding)

    def bits(self):
        vectors = [self.theta, self.steps, *self.memory.values()]
        return [None if vector is None else vector.tobytes() for vector in vectors]


def check(kernels, p, optimizer="adam", rows=ROWS, batch_size=SIZE, lrs=None, **limits):
    """Both ways give the same bits; returns the run in one call, its losses and its norms."""
    lrs = 0.02 / (1 + np.arange(-(-len(rows) // batch_size))) if lrs is None else lrs
    run, twin = (Run(kernels, p, optimizer, **limits) for _ in range(2))
    losses, norms = run.train(rows, batch_size, lrs)
    expected_losses, expected_norms = twin.train_one_by_one(rows, batch_size, lrs)
    assert losses.tobytes() == expected_losses.tobytes(), str(p)
    assert norms.tobytes() == expected_norms.tobytes(), str(p)
    assert run.bits() == twin.bits(), str(p)
    return run, losses, norms


@pytest.mark.loops
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
@pytest.mark.parametrize("outputs", [4, 0])
def test_the_bits_of_batches_one_by_one(kernels, cell, dtype, loss, outputs):
    p = Problem(cell, dtype, **(SIZES | {"O": outputs}), loss=loss)
    run, losses, _ = check(kernels, p)
    assert run.steps.tolist() == [5]
    assert np.isfinite(losses).all()
    assert not np.array_equal(run.theta, p.theta)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("limits", [{}, {"max_norm": 0.05}, {"max_value": 0.01}])
def test_every_optimizer_with_and_without_clipping(kernels, dtype, optimizer, limits):
    p = Problem("gru", dtype, **SIZES)
    _, _, norms = check(kernels, p, optimizer, **limits)
    assert norms.min() > limits.get("max_norm", 0)


@pytest.mark.parametrize("rows", [np.arange(11), ROWS, np.arange(2, 9), np.array([4])], ids=str)
@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_rows_and_sizes_of_batches(kernels, rows, batch_size):
    for p in (Problem("tanh", **SIZES), Problem("lstm", "float32", **SIZES, loss="cross_entropy")):
        check(kernels, p, "momentum", rows, batch_size)


@pytest.mark.native
@pytest.mark.parametrize("cell", ["tanh", "lstm"])
def test_batches_that_several_threads_share(native, cell):
    p = Problem(cell, "float32", T=60, B=100, I=8, H=70, O=3)
    rows = np.random.default_rng(0).permutation(100).astype(np.intp)
    check(native, p, "nesterov", rows, batch_size=40)


@pytest.mark.loops
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_is_not_finite_is_the_last_and_not_taken(kernels, dtype, optimizer):
    # Of the batches by SIZE the second has rows 3 to 6.
    p = Problem("tanh", dtype, **SIZES)
    p.x[5, 2, 1] = np.nan
    run, losses, norms = check(kernels, p, optimizer)
    assert run.steps.tolist() == [3]
    assert np.isfinite(losses).tolist() == [True, False, False]
    assert np.isfinite(norms).tolist() == [True, False, False]

    before = Run(kernels, p, optimizer)
    before.train(ROWS[:SIZE], SIZE, np.array([0.02]))
    assert run.bits() == before.bits()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adamw"])
def test_parameters_that_would_not_stay_finite(kernels, dtype, optimizer):
    p = Problem("tanh", dtype, **SIZES)
    p.y *= 1000
    lrs = np.array([0.01, 0.01, np.finfo(dtype).max])
    run, losses, norms = check(kernels, p, optimizer, lrs=lrs)
    assert run.steps.tolist() == [4]
    assert np.isfinite(run.theta).all()
    # They tell that neither loss nor norm is the reason.
    assert np.isfinite(losses).all()
    assert np.isfinite(norms).all()


def test_data_stay_as_they_were_and_may_be_read_only(kernels):
    p = Problem("gru", **SIZES, loss="cross_entropy")
    lrs, rows = np.full(3, 0.1), ROWS.copy()
    arrays = (p.x, p.y, rows, lrs)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    Run(kernels, p, "adam").train(rows, SIZE, lrs)
    for array, old in zip(arrays, before, strict=True):
        assert (array == old).all()


def refusal(all_kernels, change, loss="mse", optimizer="rmsprop with momentum"):
    """What all implementations raise for a call that is changed like this; nothing is written."""
    said = []
    for kernels in all_kernels:
        run = Run(kernels, Problem("tanh", **SIZES, loss=loss), optimizer)
        rows = ROWS.copy()
        change(run, rows)
        before = run.bits() if isinstance(run.memory.get("velocity"), np.ndarray) else None
        with pytest.raises((TypeError, ValueError)) as caught:
            run.train(rows, SIZE, np.full(3, 0.1))
        assert before is None or run.bits() == before
        said.append((caught.type, str(caught.value)))
    assert all(words == said[0] for words in said)
    return said[0]


@pytest.mark.parametrize("wrong", [-1, 11])
def test_rows_that_are_not_there(all_kernels, wrong):
    def change(run, rows):
        rows[6] = wrong

    kind, message = refusal(all_kernels, change)
    lowest, highest = min(wrong, 0), max(wrong, 10)
    assert kind is ValueError
    assert message == f"rows: expected row numbers from 0 to 10, got {lowest} to {highest}"


def test_classes_of_rows_that_are_not_taken_do_not_matter(kernels):
    p = Problem("tanh", **SIZES, loss="cross_entropy")
    assert 8 not in ROWS
    p.y[8] = -100
    check(kernels, p)


@pytest.mark.parametrize("name", ["SGD", "", None, ["sgd_step"], "mse"])
def test_optimizers_that_do_not_exist(all_kernels, name):
    def change(run, rows):
        run.optimizer = name

    kind, message = refusal(all_kernels, change)
    assert kind is ValueError
    known = "sgd_step, rmsprop_step, adam_step"
    assert message == f"optimizer: expected one of {known}, got {name!r}"


@pytest.mark.parametrize(
    ("name", "vector", "kind", "words"),
    [
        ("square", None, TypeError, "square: expected an array, got NoneType"),
        ("square", np.zeros(3), ValueError, "square: expected shape (n="),
        ("velocity", None, ValueError, "velocity: expected an array because momentum is not 0"),
        ("velocity", np.zeros(157, "float32"), TypeError, "velocity: expected dtype float64"),
        ("velocity", np.zeros(314)[::2], ValueError, "velocity: expected a C-contiguous array"),
        ("velocity", [0.0] * 157, TypeError, "velocity: expected an array, got list"),
    ],
)
def test_memory_that_does_not_fit(all_kernels, name, vector, kind, words):
    def change(run, rows):
        if isinstance(vector, np.ndarray) and vector.size > 3:
            assert len(vector) == len(run.theta)
        run.memory[name] = vector

    raised, message = refusal(all_kernels, change)
    assert (raised, message[: len(words)]) == (kind, words)


@pytest.mark.parametrize("name", ["mean", "square"])
def test_memory_of_adam_that_is_missing(all_kernels, name):
    def change(run, rows):
        del run.memory[name]

    raised, message = refusal(all_kernels, change, optimizer="adam")
    assert (raised, message) == (TypeError, f"{name}: expected an array, got NoneType")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_constraints_after_each_step(kernels, optimizer):
    p = Problem("tanh", "float32", **SIZES)
    n = p.theta.size
    constraints = Constraints(
        l1=np.linspace(0, 0.3, n).astype(p.dtype),
        lower=np.where(np.arange(n) % 3, -np.inf, 0.01).astype(p.dtype),
        upper=np.full(n, 0.2, p.dtype),
        groups=np.array([(0, p.H, p.I, p.I, 1)], np.intp),
        norms=np.array([0.25]),
    )
    run, _, _ = check(kernels, p, optimizer, constraints=constraints)
    free, _, _ = check(kernels, p, optimizer)
    assert run.theta[p.H * p.I :: 3].min() >= 0
    assert run.theta.max() <= np.float32(0.2) < free.theta.max()
    norms = np.linalg.norm(run.theta[: p.H * p.I].reshape(p.H, p.I), axis=1)
    assert norms.max() < 0.25 * (1 + 1e-6)
