"""The epochs of fleets."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from crnn._training.fleets.data import FleetData, batches
from crnn._training.fleets.history import Progress
from crnn._training.fleets.step import FleetStep, Models, Rates, losses_of, take_steps
from crnn._training.step import divergence
from crnn._typing import IntArray


class FleetPlan(NamedTuple):
    """What `Fleet.fit` does, beside taking steps."""

    epochs: int
    batch_size: int
    validation: FleetData | None
    patience: int | None
    """A model stops after so many epochs in a row without a better one; None: never."""
    min_delta: float
    """An epoch is better only by more than this."""
    is_of_validation: bool
    """Whether the loss of the validation data decides which epoch is the best."""
    rates: Rates


def run_epochs(
    step: FleetStep,
    models: Models,
    data: FleetData,
    rngs: "list[np.random.Generator] | None",
    plan: FleetPlan,
    progress: Progress,
    after_epoch: Callable[[int], bool],
) -> None:
    """Train for some epochs. Models that have finished cost nothing more.

    They start within the constraints. `models` has the results of the last whole step wherever this
    ends, and after each epoch; with `patience` at the end the best parameters.
    """
    active = np.array([n for n in range(len(models.theta)) if n not in data.bad], np.intp)
    if plan.validation is not None:
        active = active[[n not in plan.validation.bad for n in active.tolist()]]
    if step.constraints is not None:
        for number in active.tolist():
            step.kernels.constrain(models.theta[number], step.constraints)
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
        watched = (progress.val_loss if plan.is_of_validation else progress.loss)[epoch - 1]
        with np.errstate(invalid="ignore"):
            is_better = progress.best_loss - watched > plan.min_delta
        is_better |= np.isnan(progress.best_loss) & ~np.isnan(watched)
        # As of a network alone, the first epoch is the best so far even where its loss is NaN.
        is_better[active] |= progress.best_epoch[active] == 0
        progress.best_loss[is_better] = watched[is_better]
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
    rows, active_data = models.of(active), data.of(active)
    sums, weights, norms = np.zeros(len(active)), np.zeros(len(active)), np.zeros(len(active))
    counts = np.zeros(len(active), np.intp)
    diverged = np.zeros(len(active), np.bool_)
    active_rngs = None if rngs is None else [rngs[n] for n in active.tolist()]
    try:
        for batch in batches(active_data, plan.batch_size, active_rngs):
            if diverged.any():
                batch.lengths[diverged] = 0
            weight = batch.step_weights().sum(axis=1)
            rates = plan.rates.of(active, rows.steps)
            losses, step_norms, taken = take_steps(step, rows, batch, rates)
            is_due = weight > 0
            failed = is_due & ~taken
            for n in np.flatnonzero(failed).tolist():
                error = divergence(losses[n], step_norms[n], epoch, int(rows.steps[n]) + 1)
                progress.errors[int(active[n])] = str(error)
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
