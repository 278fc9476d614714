"""The loss and the metrics of predictions for whole data sets."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from crnn._network.network import Network
from crnn._training.data import Batch, Dataset
from crnn._typing import Array

if TYPE_CHECKING:
    from crnn._training.ranks import Ranks
    from crnn.losses import Loss

Metric: TypeAlias = Callable[[Array, Array], float]

# Sequences that are predicted at a time: enough to fill tiles and threads, in little memory
EVALUATION_BATCH = 256
NOTHING_COUNTS = (
    "y: expected a step that counts in the loss, got only steps whose weight, by mask or class, is "
    "0 or that are past a sequence's end"
)


class MeanLoss:
    """The loss of several batches together: the mean of theirs, or for sums the sum."""

    def __init__(self, loss: "Loss") -> None:
        self._is_mean = loss.is_mean
        self._total = 0.0
        self._weight = 0.0

    def add(self, value: float, weight: float) -> None:
        """Add the loss of a batch of this weight."""
        self._total += value * weight if self._is_mean else value
        self._weight += weight

    @property
    def value(self) -> float:
        """The loss of all batches."""
        if self._weight == 0:
            raise ValueError(NOTHING_COUNTS)
        return self._total / self._weight if self._is_mean else self._total


def weight_of(batch: Batch, loss: "Loss", steps: int = 1) -> float:
    """Return the weight of a batch among others: the sum of its weights.

    Parameters
    ----------
    batch : Batch
    loss : Loss
    steps : int
        The weight of a sequence without weights: its steps, or 1 if all batches have as many.
    """
    weights = loss.step_weights(batch.y, batch.weights)
    return len(batch.x) * steps if weights is None else float(weights.sum())


def check_something_counts(dataset: Dataset, loss: "Loss") -> None:
    """Raise a ValueError unless something counts in the loss."""
    if not any(weight_of(batch, loss) for batch in dataset.batches(EVALUATION_BATCH)):
        raise ValueError(NOTHING_COUNTS)


def evaluate(
    network: Network,
    dataset: Dataset,
    loss: "Loss",
    metrics: dict[str, Metric],
    ranks: "Ranks | None" = None,
) -> tuple[float, dict[str, float]]:
    """Return the loss and the metrics of predictions.

    Metrics see whole arrays, or only the steps that count if not all of them do. With ranks each
    predicts some of the batches, and all get the same bits as one process.
    """
    losses: list[tuple[float, float]] = []
    outputs, targets = [], []
    for batch in dataset.batches(EVALUATION_BATCH, ranks):
        weight = weight_of(batch, loss)
        if weight == 0 and not metrics:
            continue
        y_hat = network.predict(batch.x, batch.h0, None, batch.lengths, batch.skip, batch.resets)
        if weight:
            value = loss.compute(network.kernels, y_hat, batch.y, batch.weights, None)
            losses.append((value, weight))
        if metrics:
            # Weights of classes, which may be 0, are none of metrics.
            counts = ... if batch.weights is None else batch.weights > 0
            outputs.append(y_hat[counts])
            targets.append(batch.y[counts])
    if ranks is not None:
        losses, outputs, targets = _of_all_ranks(ranks, losses, outputs, targets)
    mean = MeanLoss(loss)
    for value, weight in losses:
        mean.add(value, weight)
    if not metrics:
        return mean.value, {}
    return mean.value, _measure(metrics, np.concatenate(outputs), np.concatenate(targets))


def _of_all_ranks(
    ranks: "Ranks",
    losses: list[tuple[float, float]],
    outputs: list[Array],
    targets: list[Array],
) -> tuple[list[tuple[float, float]], list[Array], list[Array]]:
    """Return the lists of all ranks, those of each rank after one another."""
    all_losses, all_outputs, all_targets = [], [], []
    for pairs, *arrays in ranks.gather([np.reshape(losses, (-1, 2)), *outputs, *targets]):
        all_losses += [(value, weight) for value, weight in pairs.tolist()]
        half = len(arrays) // 2
        all_outputs += arrays[:half]
        all_targets += arrays[half:]
    return all_losses, all_outputs, all_targets


def _measure(metrics: dict[str, Metric], y_hat: Array, y: Array) -> dict[str, float]:
    """Return the value of each metric."""
    values = {}
    for name, metric in metrics.items():
        value: Any = metric(y_hat, y)
        try:
            values[name] = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"metrics: expected a number from {name}, got {value!r}") from None
    return values
