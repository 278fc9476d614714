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


def train_step(
    network: Network,
    x: Array,
    y: Array,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    epoch: int | None = None,
) -> tuple[float, float]:
    """Take one step and return the loss and the gradient's norm, both of before it.

    Either the step is taken as a whole or, whatever is raised, not at all.
    """
    step = optimizer.steps + 1
    value, norm, gradient = network.gradient(x, y, loss.name, clipping.norm, clipping.value)
    if not math.isfinite(value):
        raise DivergenceError(f"the loss is {value}", epoch, step)
    if not math.isfinite(norm):
        raise DivergenceError(f"the gradient's norm is {norm}", epoch, step)
    if not optimizer.step(network.kernels, network.flat, gradient):
        raise DivergenceError("the new parameters are not finite", epoch, step)
    return value, norm


def evaluate(network: Network, x: Array, y: Array, loss: Loss) -> float:
    """Return the loss of predictions for x."""
    return loss.value(network.kernels, network.predict(x, None), y)


def fit(
    network: Network,
    x: Array,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    loss: Loss,
    clipping: Clipping,
    shuffle: bool,
    rng: "np.random.Generator",
    validation: tuple[Array, Array] | None,
    progress: bool | None,
) -> History:
    """Train for some epochs of mini-batches and return what happened."""
    history = History()
    # An interrupt that comes while a kernel has NumPy's warnings set aside would leave them so.
    warnings_of_numpy = np.geterr()
    try:
        with _ProgressBar(progress, epochs) as (epoch_numbers, show):
            for epoch in epoch_numbers:
                order = rng.permutation(len(x)) if shuffle else np.arange(len(x))
                total, norms = 0.0, []
                for start in range(0, len(x), batch_size):
                    rows = order[start : start + batch_size]
                    value, norm = train_step(
                        network, x[rows], y[rows], optimizer, loss, clipping, epoch
                    )
                    total += value * len(rows) / len(x) if loss.is_mean else value
                    norms.append(norm)
                history.loss.append(total)
                history.grad_norm.append(math.fsum(norms) / len(norms))
                if validation is not None:
                    history.val_loss.append(evaluate(network, *validation, loss))
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
