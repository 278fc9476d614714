"""Metrics: measures of predictions beside the loss."""

from typing import Any

import numpy as np

from crnn._training.evaluation import Metric
from crnn._typing import Array
from crnn.losses import BinaryCrossEntropy, Loss


def accuracy_of_classes(y_hat: Array, y: Array) -> float:
    """Return the share of steps whose largest output is that of the right class."""
    return float((y_hat.argmax(axis=-1) == y).mean())


def accuracy_of_logits(y_hat: Array, y: Array) -> float:
    """Return the share of outputs on the right side: above 0 where the target is above 1/2."""
    return float(((y_hat > 0) == (y > 0.5)).mean())


def mae(y_hat: Array, y: Array) -> float:
    """Return the mean of |y_hat - y| over all steps and outputs."""
    with np.errstate(all="ignore"):
        return float(np.abs(y_hat - y).mean(dtype=np.float64))


def get_metrics(metrics: Any, loss: Loss) -> dict[str, Metric]:
    """Return the metrics of a `metrics` argument, by name.

    Parameters
    ----------
    metrics : list of str or function
        As `RNN.fit` documents them.
    loss : Loss
        Decides what "accuracy" means.

    Raises
    ------
    TypeError, ValueError
        One is no metric, does not fit the loss, or is there twice.
    """
    if isinstance(metrics, str) or not isinstance(metrics, (list, tuple)):
        raise TypeError(f"metrics: expected a list of names and functions, got {metrics!r}")
    by_name: dict[str, Metric] = {}
    for metric in metrics:
        if callable(metric):
            name = getattr(metric, "__name__", type(metric).__name__)
            function = metric
        else:
            name, function = metric, _named(metric, loss)
        if name == "loss":
            raise ValueError("metrics: expected names other than 'loss', which the history has")
        if name in by_name:
            raise ValueError(f"metrics: expected different names, got {name!r} twice")
        by_name[name] = function
    return by_name


def better_values(metrics: dict[str, Metric]) -> dict[str, str | None]:
    """Return by name whether the highest values are the best, "max", or the lowest, "min".

    None for a user's function, of which it is not known.
    """
    known: dict[Metric, str] = {accuracy_of_classes: "max", accuracy_of_logits: "max", mae: "min"}
    return {
        name: next((better for own, better in known.items() if own is metric), None)
        for name, metric in metrics.items()
    }


def _named(name: Any, loss: Loss) -> Metric:
    """Return the metric of a name, or raise a ValueError."""
    if name == "accuracy":
        if loss.of_classes:
            return accuracy_of_classes
        if isinstance(loss, BinaryCrossEntropy):
            return accuracy_of_logits
        raise ValueError(
            "metrics: expected a loss of classes with 'accuracy', 'cross_entropy' or "
            f"'binary_cross_entropy', got {loss}"
        )
    if name == "mae":
        if loss.of_classes:
            raise ValueError(f"metrics: expected a loss of numbers with 'mae', got {loss}")
        return mae
    raise ValueError(f"metrics: expected 'accuracy', 'mae' or a function, got {name!r}")
