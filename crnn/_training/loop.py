"""The loop of epochs around the steps of training."""

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn._training.data import Batch, Dataset
from crnn._training.evaluation import MeanLoss, evaluate, weight_of
from crnn._training.history import History
from crnn._training.progress import ProgressBar
from crnn._training.run import NO_CLIPPING, Controls, Evaluation, Plan, Run
from crnn._training.step import (
    can_train_in_one_call,
    divergence,
    gradient_of_parts,
    train_in_one_call,
    train_step,
)
from crnn._typing import Array

if TYPE_CHECKING:
    from crnn._training.checkpoints import Checkpoint
    from crnn._training.ranks import Ranks

# Ctrl-C waits for the end of a kernel call that takes the steps of several batches.
CALL_SECONDS = 0.05


def fit(
    run: Run,
    dataset: Dataset,
    *,
    epochs: int,
    plan: Plan,
    controls: Controls,
    checkpoint: "Checkpoint | None",
    resume: bool,
    progress: bool | None,
    ranks: "Ranks | None" = None,
) -> History:
    """Train for some epochs of mini-batches and return what happened.

    With ranks each takes a part of every batch, and one of them writes and shows what happens.
    """
    is_first = ranks is None or ranks.is_first
    if ranks is not None:
        from crnn._training import parallel  # which few runs need
    bar = ProgressBar(progress if is_first else False, epochs, len(dataset))
    # An interrupt inside a kernel would leave NumPy's warnings as that kernel set them.
    warnings_of_numpy = np.geterr()
    try:
        if ranks is not None:
            parallel.agree(
                ranks, run, plan, controls, dataset,
                epochs=epochs, resume=resume, has_checkpoint=checkpoint is not None,
            )  # fmt: skip
            if resume and checkpoint is not None:
                parallel.agree_about_checkpoint(ranks, checkpoint)
        resumed = resume and checkpoint is not None and checkpoint.read(run, epochs)
        epoch = len(run.history.loss)
        bar.start(epoch)
        if plan.constraints is not None:
            run.network.kernels.constrain(run.network.flat, plan.constraints)
        # A checkpoint is written before the callbacks are called: a resumed run calls them now.
        is_over = resumed and _end_epoch(run, controls, ranks, is_last=epoch == epochs)
        while not is_over and epoch < epochs:
            epoch += 1
            _train_epoch(run, dataset, plan, controls, epoch, ranks)
            is_due = checkpoint is not None and (
                checkpoint.is_due(epoch) or epoch == epochs or run.has_stalled(controls.patience)
            )
            if checkpoint is not None and is_due and is_first:
                checkpoint.write(run)
            bar.show(run.history)
            is_over = _end_epoch(run, controls, ranks, is_last=epoch == epochs)
        if run.best is not None:
            run.network.flat[...] = run.best
    finally:
        np.seterr(**warnings_of_numpy)
        bar.close()
    return run.history


def _end_epoch(run: Run, controls: Controls, ranks: "Ranks | None", *, is_last: bool) -> bool:
    """Call all callbacks, and return whether training is over, on all ranks alike."""
    is_over = run.end_epoch(controls)
    if ranks is None:
        return is_over
    return ranks.end_epoch(run.network.flat, is_over=is_over, is_last=is_last)


def _train_epoch(
    run: Run,
    dataset: Dataset,
    plan: Plan,
    controls: Controls,
    epoch: int,
    ranks: "Ranks | None",
) -> None:
    """Take the steps of an epoch, and add it to the history."""
    network, loss = run.network, plan.loss
    is_fused = dataset.has_only_x_and_y and can_train_in_one_call(network, run.optimizer, loss)
    train = _train_in_calls if is_fused and plan.bptt is None else _train_by_batch
    if run.optimizer.searches:
        train = _train_by_search
    if ranks is not None:
        from crnn._training import parallel  # as in `fit`

        train = partial(parallel.train_by_batch, ranks=ranks)
    mean_loss, mean_norm = train(run, dataset, plan, epoch)
    val_loss: float | None = None
    metrics: dict[str, float] = {}
    if controls.validation is not None:
        val_loss, metrics = evaluate(network, controls.validation, loss, controls.metrics, ranks)
        metrics = {f"val_{name}": value for name, value in metrics.items()}
    elif controls.metrics:
        _, metrics = evaluate(network, dataset, loss, controls.metrics, ranks)
    assert run.optimizer.last_lr is not None
    run.history.add(mean_loss, val_loss, mean_norm, run.optimizer.last_lr, metrics)
    if controls.patience is not None:
        run.keep_best()


def _train_in_calls(run: Run, dataset: Dataset, plan: Plan, epoch: int) -> tuple[float, float]:
    """Take the steps of an epoch, several in a kernel call; return the mean loss and norm."""
    x, y, n, size = dataset.x, dataset.y, len(dataset), plan.batch_size
    assert not isinstance(x, list)
    assert not isinstance(y, list)
    order = run.rng.permutation(n) if plan.shuffle else np.arange(n)
    order = order.astype(np.intp, copy=False)
    steps = -(-n // size)
    losses, norms = np.empty((2, steps))
    first = 0
    while first < steps:
        last = min(first + run.steps_of_call, steps)
        started = time.perf_counter()
        train_in_one_call(
            run.network, x, y, order[first * size : last * size], size, run.optimizer, plan.loss,
            plan.clipping, losses[first:last], norms[first:last], epoch,
            constraints=plan.constraints,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        run.steps_of_call = max(1, int(CALL_SECONDS * (last - first) / seconds))
        first = last
    weights = np.full(steps, float(size))
    weights[-1] = n - (steps - 1) * size
    with np.errstate(all="ignore"):
        # Cumulative sums add in order, as `_train_by_batch` does.
        loss = np.cumsum(losses * weights)[-1] / n if plan.loss.is_mean else np.cumsum(losses)[-1]
        return float(loss), float(np.cumsum(norms)[-1] / steps)


def _train_by_batch(run: Run, dataset: Dataset, plan: Plan, epoch: int) -> tuple[float, float]:
    """Take the steps of an epoch one by one; return the mean loss and norm."""
    network, loss = run.network, plan.loss
    mean, norms, steps = MeanLoss(loss), 0.0, 0
    for rows in dataset.rows(plan.batch_size, run.rng if plan.shuffle else None):
        in_parts = plan.bptt is None and loss.adds_up
        parts = dataset.parts(rows) if in_parts else [dataset.take(rows)]
        weight = sum(weight_of(part, loss) for part in parts)
        if weight == 0:
            continue
        if plan.bptt is None:
            value, norm, _ = train_step(
                network, parts, run.optimizer, loss, plan.clipping, run.rng, epoch,
                constraints=plan.constraints,
            )  # fmt: skip
            taken = 1
        else:
            value, norm, taken = _train_in_chunks(run, parts[0], plan, plan.bptt, epoch)
        mean.add(value, weight)
        norms, steps = norms + norm, steps + taken
    return mean.value, norms / steps


def _train_by_search(run: Run, dataset: Dataset, plan: Plan, epoch: int) -> tuple[float, float]:
    """Take one step on all sequences; return the loss before it and the norm of its gradient."""
    network = run.network
    rows = np.arange(len(dataset))
    parts = dataset.parts(rows) if plan.loss.adds_up else [dataset.take(rows)]

    def objective() -> tuple[float, Array]:
        value, _, gradient = gradient_of_parts(
            network, parts, plan.loss, NO_CLIPPING, [run.rng] * len(parts)
        )
        return value, gradient

    last = run.last_evaluation
    if last is None or not np.array_equal(last.theta, network.flat):
        last = Evaluation(network.flat.copy(), *objective())
    norm = network.clip(last.gradient, None, None)
    if not (math.isfinite(last.loss) and math.isfinite(norm)):
        raise divergence(last.loss, norm, epoch, run.optimizer.steps + 1)
    optimizer: Any = run.optimizer  # the core does not know the classes of optimizers
    found = optimizer.step_along(
        network.flat, last.loss, last.gradient, objective, plan.constraints
    )
    run.last_evaluation = Evaluation(network.flat.copy(), *found)
    return last.loss, norm


def _train_in_chunks(
    run: Run, batch: Batch, plan: Plan, steps_of_chunk: int, epoch: int
) -> tuple[float, float, int]:
    """Take a step for each chunk (truncated BPTT).

    Returns
    -------
    tuple
        The mean loss, the sum of the gradients' norms, and the number of steps.
    """
    network, loss = run.network, plan.loss
    mean, norms, steps = MeanLoss(loss), 0.0, 0
    states: Array | None = batch.h0
    for part in batch.chunks(steps_of_chunk):
        chunk = part._replace(h0=states)
        weight = weight_of(chunk, loss, chunk.x.shape[1])
        if weight == 0:
            # Nothing to learn from; the states go on.
            h_n = network.empty_states(len(chunk.x))
            network.predict(chunk.x, states, h_n, chunk.lengths, chunk.skip, chunk.resets)
            states = h_n
            continue
        value, norm, states = train_step(
            network, [chunk], run.optimizer, loss, plan.clipping, run.rng, epoch,
            constraints=plan.constraints, wants_states=True,
        )  # fmt: skip
        mean.add(value, weight)
        norms += norm
        steps += 1
    return mean.value, norms, steps
