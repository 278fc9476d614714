"""Training of fleets: their data, one step of all models, and the loop of epochs."""

import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._training.run import Clipping
from crnn._training.step import divergence
from crnn._typing import Array, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from crnn.losses import Loss


class FleetData(NamedTuple):
    """The sequences of all models, as the kernels of fleets take them."""

    x: Array
    """(S, I): the steps of all sequences."""
    y: Array | None
    """(S, O), or class numbers (S,)."""
    weights: FloatArray | None
    """(S,) or None: 1."""
    starts: IntArray
    """(N, B): the first step of each sequence."""
    lengths: IntArray
    """(N, B): its steps; 0: there is no such sequence. Those that there are come first."""
    bad: dict[int, str]
    """By number, what is wrong with the data of a model, which has no sequences."""

    def of(self, models: IntArray) -> "FleetData":
        """Return the data of some models, which are good ones."""
        return self._replace(starts=self.starts[models], lengths=self.lengths[models], bad={})

    def step_weights(self) -> FloatArray:
        """Return the weight of each sequence (N, B) in the loss."""
        if self.weights is None:
            return self.lengths.astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(self.weights)])
        weights: FloatArray = sums[self.starts + self.lengths] - sums[self.starts]
        return weights


class FleetStep(NamedTuple):
    """How steps are taken: what is the same for all models."""

    kernels: ModuleType
    architecture: Architecture
    loss: "Loss"
    clipping: Clipping
    kernel: str
    """The kernel of the optimizer's step."""
    settings: dict[str, float]
    """What it takes beside vectors, learning rate, weight decay and the step's number."""


class Models(NamedTuple):
    """The state of some models in training."""

    theta: Array
    """(N, P)"""
    memory: dict[str, Array | None]
    """(N, P) each: the vectors of the optimizer."""
    steps: IntArray
    """(N,): how many steps each has taken."""
    weight_decay: FloatArray
    l1: FloatArray | None

    def of(self, models: IntArray) -> "Models":
        """Return copies of the rows of some models."""
        memory = {k: None if v is None else v[models] for k, v in self.memory.items()}
        l1 = None if self.l1 is None else self.l1[models]
        return Models(self.theta[models], memory, self.steps[models], self.weight_decay[models], l1)

    def put(self, models: IntArray, rows: "Models") -> None:
        """Write what training has changed of some models."""
        self.theta[models], self.steps[models] = rows.theta, rows.steps
        for name, vectors in self.memory.items():
            new = rows.memory[name]
            if vectors is not None and new is not None:
                vectors[models] = new


def predict(
    kernels: ModuleType, architecture: Architecture, theta: Array, data: FleetData, *, shared: bool
) -> Array:
    """Return outputs (R, O): of rows of x, or where models share these, of N times as many."""
    N, rows = len(theta), len(data.x)
    y_starts = data.starts
    if shared:
        y_starts = np.ascontiguousarray(y_starts + np.arange(N)[:, None] * rows)
        rows *= N
    y = memory.empty((rows, architecture.outputs), theta.dtype)
    if int(data.lengths.sum()) < rows:
        y[...] = 0  # past the ends of sequences
    kernels.fleet_predict(
        architecture.cell, data.x, data.starts, data.lengths, theta, architecture.hidden_size,
        architecture.output_size or 0, y, y_starts,
    )  # fmt: skip
    return y


def losses_of(
    kernels: ModuleType, architecture: Architecture, theta: Array, data: FleetData, loss: "Loss"
) -> FloatArray:
    """Return the loss of each model, NaN where it has no data."""
    losses = np.empty(len(theta))
    kernels.fleet_gradient(
        architecture.cell, data.x, data.y, data.weights, data.starts, data.lengths, theta, None,
        architecture.hidden_size, architecture.output_size or 0, loss.kernel, delta_of(loss),
        losses,
    )  # fmt: skip
    return losses


def delta_of(loss: "Loss") -> float:
    """Return the setting of the Huber loss, which other losses do not read."""
    return float(getattr(loss, "delta", 1.0))


def train(
    step: FleetStep, models: Models, data: FleetData, rates: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Take a step for each model that has data, as a whole or not at all.

    Returns
    -------
    losses, norms : array (N,)
        Before the step and before clipping; NaN without data.
    taken : bool array (N,)
    """
    N = len(models.theta)
    losses, norms, taken = np.empty(N), np.empty(N), np.empty(N, np.bool_)
    step.kernels.fleet_train(
        step.architecture.cell, data.x, data.y, data.weights, data.starts, data.lengths,
        models.theta, step.architecture.hidden_size, step.architecture.output_size or 0,
        step.loss.kernel, delta_of(step.loss), *step.clipping, step.kernel, models.memory,
        step.settings, models.steps, rates, models.weight_decay, models.l1, losses, norms, taken,
    )  # fmt: skip
    return losses, norms, taken


def reason(loss: float, norm: float, epoch: int | None, step: int) -> str:
    """Return why a model has not taken the step of this number."""
    return str(divergence(loss, norm, epoch, step))


def batches(
    data: FleetData, batch_size: int, rngs: "list[np.random.Generator] | None"
) -> Iterator[FleetData]:
    """Yield the batches of an epoch, in each of which a model may have no sequence.

    With generators, each model's sequences are shuffled, and those of different lengths are
    batched with others of similar length, as `Dataset.rows` does.
    """
    counts = (data.lengths > 0).sum(axis=1)
    B = int(counts.max(initial=0))
    if rngs is None or batch_size >= B:
        for first in range(0, B, batch_size):
            columns = slice(first, min(first + batch_size, B))
            yield data._replace(
                starts=np.ascontiguousarray(data.starts[:, columns]),
                lengths=np.ascontiguousarray(data.lengths[:, columns]),
            )
        return
    # The order of all columns; -1: none
    most = -(-B // batch_size)
    orders = np.full((len(counts), most * batch_size), -1, np.intp)
    for n, (count, rng) in enumerate(zip(counts.tolist(), rngs, strict=True)):
        if count <= batch_size:
            orders[n, :count] = np.arange(count)
            continue
        order, lengths = rng.permutation(count), data.lengths[n, :count]
        if lengths.min() == lengths.max():
            orders[n, :count] = order
            continue
        starts = range(batch_size, count, batch_size)
        in_order = np.split(order[np.argsort(lengths[order], kind="stable")], starts)
        for place, number in enumerate(rng.permutation(len(in_order))):
            batch = in_order[number]
            orders[n, place * batch_size : place * batch_size + len(batch)] = batch
    rows = np.arange(len(counts))[:, None]
    for first in range(0, most * batch_size, batch_size):
        chosen = orders[:, first : first + batch_size]
        lengths = np.where(chosen >= 0, data.lengths[rows, chosen], 0)
        # Sequences that there are come first.
        yield data._replace(
            starts=np.ascontiguousarray(data.starts[rows, chosen]),
            lengths=np.ascontiguousarray(lengths),
        )


class FleetPlan(NamedTuple):
    """What `fit` does, beside taking steps."""

    epochs: int
    batch_size: int
    validation: FleetData | None
    patience: int | None
    min_delta: float
    rates_of: Callable[[IntArray, IntArray], FloatArray]
    """The learning rates of these models after so many steps of each."""


class Progress(NamedTuple):
    """What happened to each model, filled in epoch by epoch; NaN after a model's last one."""

    loss: FloatArray
    """(epochs, N), like the next two."""
    val_loss: FloatArray
    grad_norm: FloatArray
    best_epoch: IntArray
    """(N,): from 1; 0: none."""
    best: FloatArray
    """(N,): the lowest monitored loss."""
    epochs: IntArray
    """(N,): how many each was trained."""
    errors: dict[int, str]

    @classmethod
    def empty(cls, epochs: int, N: int, errors: dict[int, str]) -> "Progress":
        """Return that of N models before the first of so many epochs."""
        loss, val_loss, grad_norm = np.full((3, epochs, N), np.nan)
        none = np.zeros((2, N), np.intp)
        return cls(loss, val_loss, grad_norm, none[0], np.full(N, np.nan), none[1], errors)


def fit(
    step: FleetStep,
    models: Models,
    data: FleetData,
    rngs: "list[np.random.Generator] | None",
    plan: FleetPlan,
    progress: Progress,
    after_epoch: Callable[[int], bool],
) -> None:
    """Train for some epochs. Models that have finished cost nothing more.

    `models` has the results of the last whole step wherever this ends, and after each epoch;
    with `patience` at the end the best parameters.
    """
    active = np.array([n for n in range(len(models.theta)) if n not in data.bad], np.intp)
    if plan.validation is not None:
        active = active[[n not in plan.validation.bad for n in active.tolist()]]
    best = models.theta.copy() if plan.patience is not None else None
    for epoch in range(1, plan.epochs + 1):
        if not len(active):
            break
        active = _epoch(step, models, data, rngs, plan, progress, epoch, active)
        validation = plan.validation
        if validation is not None and len(active):
            progress.val_loss[epoch - 1, active] = losses_of(
                step.kernels, step.architecture, models.theta[active], validation.of(active),
                step.loss,
            )  # fmt: skip
        watched = (progress.loss if validation is None else progress.val_loss)[epoch - 1]
        with np.errstate(invalid="ignore"):
            is_better = progress.best - watched > plan.min_delta
        is_better |= np.isnan(progress.best) & ~np.isnan(watched)
        # As of a network alone, the first epoch is the best so far even where its loss is NaN.
        is_better[active] |= progress.best_epoch[active] == 0
        progress.best[is_better] = watched[is_better]
        progress.best_epoch[is_better] = epoch
        if best is not None:
            best[is_better] = models.theta[is_better]
            assert plan.patience is not None
            active = active[epoch - progress.best_epoch[active] < plan.patience]
        if after_epoch(epoch):
            break
    if best is not None:
        trained = progress.best_epoch > 0
        models.theta[trained] = best[trained]


def _epoch(
    step: FleetStep,
    models: Models,
    data: FleetData,
    rngs: "list[np.random.Generator] | None",
    plan: FleetPlan,
    progress: Progress,
    epoch: int,
    active: IntArray,
) -> IntArray:
    """Train the active models for an epoch; return those that go on."""
    rows, own = models.of(active), data.of(active)
    sums, weights, norms = np.zeros(len(active)), np.zeros(len(active)), np.zeros(len(active))
    counts = np.zeros(len(active), np.intp)
    diverged = np.zeros(len(active), np.bool_)
    own_rngs = None if rngs is None else [rngs[n] for n in active.tolist()]
    try:
        for batch in batches(own, plan.batch_size, own_rngs):
            if diverged.any():
                batch.lengths[diverged] = 0
            weight = batch.step_weights().sum(axis=1)
            rates = plan.rates_of(active, rows.steps)
            losses, step_norms, taken = train(step, rows, batch, rates)
            is_due = weight > 0
            failed = is_due & ~taken
            for n in np.flatnonzero(failed).tolist():
                progress.errors[int(active[n])] = reason(
                    losses[n], step_norms[n], epoch, int(rows.steps[n]) + 1
                )
            diverged |= failed
            sums += np.where(taken, losses * (weight if step.loss.is_mean else 1), 0)
            weights += np.where(taken, weight, 0)
            norms += np.where(taken, step_norms, 0)
            counts += taken
    finally:
        models.put(active, rows)
    good = ~diverged
    with np.errstate(all="ignore"):
        mean = sums / weights if step.loss.is_mean else sums
        progress.loss[epoch - 1, active] = np.where(good, mean, math.nan)
        progress.grad_norm[epoch - 1, active] = np.where(good, norms / counts, math.nan)
    progress.epochs[active[good]] = epoch
    return active[good]


def no_settings(numbers: dict[str, Any]) -> dict[str, float]:
    """Return an optimizer's numbers without its weight decay, which each model has its own."""
    return {name: value for name, value in numbers.items() if name != "weight_decay"}
