"""Training: one step, and the loop of epochs around it, over checked arrays."""

import math
from typing import TYPE_CHECKING

import numpy as np

from crnn.checks import Array
from crnn.errors import DivergenceError
from crnn._training.history import History
from crnn.losses import Loss
from crnn.metrics import Metric, measure
from crnn._network.network import Network
from crnn.optimizers import Optimizer
from crnn._training.progress import ProgressBar
from crnn._training.run import Clipping, Controls, Plan, Run
from crnn._training.data import Batch, Dataset

if TYPE_CHECKING:
    from crnn._training.checkpoints import Checkpoint

# Sequences that are predicted at a time, to look at their loss
EVALUATED = 256
NOTHING_COUNTS = (
    "y: expected a step that counts in the loss, got only steps whose weight, by mask or class, is "
    "0 or that are past a sequence's end"
)


def fused_step(
    network: Network,
    x: Array,
    y: Array,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    epoch: int | None = None,
) -> tuple[float, float]:
    """Take one step, as `train_step` does, of a simple network, whose gradient is one kernel."""
    assert loss.kernel is not None
    value, norm, gradient = network.gradient(x, y, loss.kernel, clipping.norm, clipping.value)
    _update(network, optimizer, value, norm, gradient, epoch)
    return value, norm


def train_step(
    network: Network,
    batch: Batch,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    rng: "np.random.Generator",
    epoch: int | None = None,
) -> tuple[float, float]:
    """Take one step and return the loss and the gradient's norm, both of before it.

    Either the step is taken as a whole or, whatever is raised, not at all.
    """
    if (
        network.is_simple
        and loss.kernel is not None
        and batch.lengths is None
        and batch.weights is None
        and batch.x.ndim == 3
    ):
        return fused_step(network, batch.x, batch.y, optimizer, loss, clipping, epoch)
    return _general_step(network, batch, optimizer, loss, clipping, rng, epoch, None)[:2]


def _general_step(
    network: Network,
    batch: Batch,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    rng: "np.random.Generator",
    epoch: int | None,
    states: Array | None,
) -> tuple[float, float, Array]:
    """Take a step from these states, and return the last ones too."""
    value, gradient, states = network.gradient_of_batch(batch, loss, states, rng)
    norm = network.clip(gradient, clipping.norm, clipping.value)
    _update(network, optimizer, value, norm, gradient, epoch)
    return value, norm, states


def _update(
    network: Network,
    optimizer: Optimizer,
    value: float,
    norm: float,
    gradient: Array,
    epoch: int | None,
) -> None:
    """Change the parameters, or raise where anything is not finite."""
    step = optimizer.steps + 1
    if not math.isfinite(value):
        raise DivergenceError(f"the loss is {value}", epoch, step)
    if not math.isfinite(norm):
        raise DivergenceError(f"the gradient's norm is {norm}", epoch, step)
    if not optimizer.step(network.kernels, network.flat, gradient):
        raise DivergenceError("the new parameters are not finite", epoch, step)


def train_in_chunks(
    run: Run, batch: Batch, bptt: int, plan: Plan, epoch: int
) -> tuple[float, float, int]:
    """Take a step for each chunk; return the mean loss, the sum of the norms, and the steps."""
    network, loss = run.network, plan.loss
    mean, norms, steps = _Mean(loss), 0.0, 0
    states: Array | None = None
    for chunk in batch.chunks(bptt):
        size = _size(chunk, loss, chunk.x.shape[1])
        if size == 0:
            # Nothing to learn from, but the states go on.
            h_n = network.room_for_states(len(chunk.x))
            network.predict(chunk.x, states, h_n, chunk.lengths)
            states = h_n
            continue
        value, norm, states = _general_step(
            network, chunk, run.optimizer, loss, plan.clipping, run.rng, epoch, states
        )
        mean.add(value, size)
        norms += norm
        steps += 1
    return mean.value, norms, steps


class _Mean:
    """The loss of all batches together, from that of each: their mean, or of sums the sum."""

    def __init__(self, loss: Loss) -> None:
        self._is_mean = loss.is_mean
        self._total = 0.0
        self._size = 0.0

    def add(self, value: float, size: float) -> None:
        """Add the loss of a batch that counts so much."""
        self._total += value * size if self._is_mean else value
        self._size += size

    @property
    def value(self) -> float:
        """The loss of them all."""
        if self._size == 0:
            raise ValueError(NOTHING_COUNTS)
        return self._total / self._size if self._is_mean else self._total


def _size(batch: Batch, loss: Loss, steps: int = 1) -> float:
    """Return what a batch counts beside others, whose sequences have as many steps as its own."""
    counts = loss.counts(batch.y, batch.weights)
    return len(batch.x) * steps if counts is None else float(counts.sum())


def check_counts(dataset: Dataset, loss: Loss) -> None:
    """Raise a ValueError unless something counts in the loss."""
    batches = map(dataset.take, dataset.rows(EVALUATED, None))
    if not any(_size(batch, loss) for batch in batches):
        raise ValueError(NOTHING_COUNTS)


def evaluate(
    network: Network, dataset: Dataset, loss: Loss, metrics: dict[str, Metric]
) -> tuple[float, dict[str, float]]:
    """Return the loss of predictions, and their metrics.

    Metrics are those of whole arrays, or of the steps that count if not all of them do.
    """
    mean = _Mean(loss)
    outputs, targets = [], []
    for rows in dataset.rows(EVALUATED, None):
        batch = dataset.take(rows)
        size = _size(batch, loss)
        if size == 0:
            continue
        y_hat = network.predict(batch.x, lengths=batch.lengths)
        mean.add(loss.compute(network.kernels, y_hat, batch.y, batch.weights, None), size)
        if metrics:
            counts = ... if batch.weights is None else batch.weights > 0
            outputs.append(y_hat[counts])
            targets.append(batch.y[counts])
    if not metrics:
        return mean.value, {}
    return mean.value, measure(metrics, np.concatenate(outputs), np.concatenate(targets))


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
) -> History:
    """Train for some epochs of mini-batches and return what happened."""
    bar = ProgressBar(progress, epochs, len(dataset))
    # An interrupt that comes while a kernel has NumPy's warnings set aside would leave them so.
    warnings_of_numpy = np.geterr()
    try:
        resumed = resume and checkpoint is not None and checkpoint.read(run, epochs)
        epoch = len(run.history.loss)
        bar.start(epoch)
        # Callbacks follow the checkpoint, so that a run that goes on from it has yet to call them.
        is_over = resumed and run.is_over(controls)
        while not is_over and epoch < epochs:
            epoch += 1
            _train_epoch(run, dataset, plan, controls, epoch)
            if checkpoint is not None and (
                checkpoint.is_due(epoch) or epoch == epochs or run.has_stalled(controls.patience)
            ):
                checkpoint.write(run)
            bar.show(run.history)
            is_over = run.is_over(controls)
        if run.best is not None:
            run.network.flat[...] = run.best
    finally:
        np.seterr(**warnings_of_numpy)
        bar.close()
    return run.history


def _train_epoch(run: Run, dataset: Dataset, plan: Plan, controls: Controls, epoch: int) -> None:
    """Take the steps of an epoch, and note how it went."""
    network, optimizer, loss = run.network, run.optimizer, plan.loss
    mean, norms, steps = _Mean(loss), 0.0, 0
    for rows in dataset.rows(plan.batch_size, run.rng if plan.shuffle else None):
        batch = dataset.take(rows)
        size = _size(batch, loss)
        if size == 0:
            continue
        if plan.bptt is None:
            value, norm = train_step(network, batch, optimizer, loss, plan.clipping, run.rng, epoch)
            taken = 1
        else:
            value, norm, taken = train_in_chunks(run, batch, plan.bptt, plan, epoch)
        mean.add(value, size)
        norms, steps = norms + norm, steps + taken
    val_loss: float | None = None
    metrics: dict[str, float] = {}
    if controls.validation is not None:
        val_loss, metrics = evaluate(network, controls.validation, loss, controls.metrics)
        metrics = {f"val_{name}": value for name, value in metrics.items()}
    elif controls.metrics:
        _, metrics = evaluate(network, dataset, loss, controls.metrics)
    assert optimizer.last_lr is not None
    run.history.add(mean.value, val_loss, norms / steps, optimizer.last_lr, metrics)
    if controls.patience is not None:
        run.keep_best()
