"""Training: one step, and the loop of epochs around it, over checked arrays."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from crnn import checks
from crnn.checks import Array
from crnn.errors import DivergenceError
from crnn.history import History
from crnn.losses import Loss
from crnn.network import Network
from crnn.optimizers import Optimizer
from crnn.sequences import Batch, Dataset


class Clipping(NamedTuple):
    """How a gradient is limited: by its global norm, by element, or not at all."""

    norm: float | None
    value: float | None

    @classmethod
    def checked(cls, clip_norm: float | None, clip_value: float | None) -> "Clipping":
        """Return the clipping that a user's arguments name."""
        if clip_norm is None and clip_value is None:
            return NO_CLIPPING
        if clip_norm is not None and clip_value is not None:
            raise ValueError("clip_norm: expected only one of clip_norm and clip_value, got both")
        limits = []
        for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None:
                limit = checks.number(name, limit, above=0.0)
            limits.append(limit)
        return cls(*limits)


NO_CLIPPING = Clipping(None, None)


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
    value, norm, gradient = network.gradient(x, y, loss.name, clipping.norm, clipping.value)
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
        and loss.has_kernel
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
    network: Network,
    batch: Batch,
    bptt: int,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    rng: "np.random.Generator",
    epoch: int,
) -> tuple[float, float, int]:
    """Take a step for each chunk; return the mean loss, the sum of the norms, and the steps."""
    total, size, norms, steps = 0.0, 0.0, 0.0, 0
    states: Array | None = None
    for chunk in batch.chunks(bptt):
        if chunk.size == 0:
            # Nothing to learn from, but the states go on.
            h_n = network.room_for_states(len(chunk.x))
            network.predict(chunk.x, states, h_n, chunk.lengths)
            states = h_n
            continue
        value, norm, states = _general_step(
            network, chunk, optimizer, loss, clipping, rng, epoch, states
        )
        counts = chunk.size * (chunk.x.shape[1] if chunk.weights is None else 1)
        total += value * counts if loss.is_mean else value
        size += counts
        norms += norm
        steps += 1
    return total / size if loss.is_mean else total, norms, steps


# Sequences that are predicted at a time, to look at their loss
EVALUATED = 256


def evaluate(network: Network, dataset: Dataset, loss: Loss) -> float:
    """Return the loss of predictions."""
    total = size = 0.0
    for rows in dataset.rows(EVALUATED, None):
        batch = dataset.take(rows)
        if batch.size == 0:
            continue
        y_hat = network.predict(batch.x, lengths=batch.lengths)
        value = loss.value(network.kernels, y_hat, batch.y, batch.weights)
        total += value * batch.size if loss.is_mean else value
        size += batch.size
    return total / size if loss.is_mean else total


def fit(
    network: Network,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    bptt: int | None,
    shuffle: bool,
    rng: "np.random.Generator",
    validation: Dataset | None,
    progress: bool | None,
) -> History:
    """Train for some epochs of mini-batches and return what happened."""
    history = History()
    # An interrupt that comes while a kernel has NumPy's warnings set aside would leave them so.
    warnings_of_numpy = np.geterr()
    try:
        with _ProgressBar(progress, epochs) as (epoch_numbers, show):
            for epoch in epoch_numbers:
                total, size, norms, steps = 0.0, 0.0, 0.0, 0
                for rows in dataset.rows(batch_size, rng if shuffle else None):
                    batch = dataset.take(rows)
                    if batch.size == 0:
                        continue
                    if bptt is None:
                        value, norm = train_step(
                            network, batch, optimizer, loss, clipping, rng, epoch
                        )
                        norms, steps = norms + norm, steps + 1
                    else:
                        value, of_chunks, chunks = train_in_chunks(
                            network, batch, bptt, optimizer, loss, clipping, rng, epoch
                        )
                        norms, steps = norms + of_chunks, steps + chunks
                    total += value * batch.size if loss.is_mean else value
                    size += batch.size
                history.loss.append(total / size if loss.is_mean else total)
                history.grad_norm.append(norms / steps)
                if validation is not None:
                    history.val_loss.append(evaluate(network, validation, loss))
                show(history)
    finally:
        np.seterr(**warnings_of_numpy)
    return history


class _ProgressBar:
    """A tqdm bar over the epochs where one is wanted and possible."""

    def __init__(self, progress: bool | None, epochs: int) -> None:
        self._epochs: Any = range(1, epochs + 1)
        self._bar: Any = None
        if sys.stderr is not None and (sys.stderr.isatty() if progress is None else progress):
            try:
                from tqdm import tqdm
            except ImportError:
                if progress:
                    raise ImportError("progress=True needs tqdm: pip install 'crnn[cli]'") from None
            else:
                self._bar = tqdm(self._epochs, desc="training", unit="epoch")

    def __enter__(self) -> tuple[Iterator[int], Callable[[History], None]]:
        return iter(self._epochs if self._bar is None else self._bar), self._show

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show(self, history: History) -> None:
        if self._bar is not None:
            shown = {"loss": f"{history.loss[-1]:.4g}"}
            if history.val_loss:
                shown["val_loss"] = f"{history.val_loss[-1]:.4g}"
            self._bar.set_postfix(shown, refresh=False)
