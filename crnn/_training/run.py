"""A training run: all that decides how it goes on, and when it is over."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from crnn import checks
from crnn._training.history import History
from crnn.losses import Loss
from crnn.metrics import Metric
from crnn._network.network import Network
from crnn.optimizers import Optimizer
from crnn._training.data import Dataset


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


class Plan(NamedTuple):
    """How the steps of a run are taken."""

    batch_size: int
    loss: Loss
    clipping: Clipping
    bptt: int | None
    shuffle: bool


class Controls(NamedTuple):
    """What is measured, done and decided after each epoch."""

    validation: Dataset | None
    metrics: dict[str, Metric]
    patience: int | None
    callbacks: list[Callable[[History], Any]]


class Run:
    """The state of a run between two epochs, which a checkpoint keeps.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    rng : generator
        Of the order of the sequences and of dropout.
    """

    def __init__(self, network: Network, optimizer: Optimizer, rng: "np.random.Generator") -> None:
        self.network = network
        self.optimizer = optimizer
        self.rng = rng
        self.history = History()
        # The parameters after the best epoch, where they will be wanted
        self.best: checks.Array | None = None

    def keep_best(self) -> None:
        """Keep the parameters if no epoch was better than the last."""
        if self.history.best_epoch == len(self.history.loss):
            self.best = self.network.flat.copy()

    def has_stalled(self, patience: int | None) -> bool:
        """Whether so many epochs have passed since the best one."""
        best = self.history.best_epoch
        return (
            patience is not None and best is not None and len(self.history.loss) - best >= patience
        )

    def is_over(self, controls: Controls) -> bool:
        """Call the callbacks, all of them, and return whether there should be no further epoch."""
        answers = [callback(self.history) for callback in controls.callbacks]
        # A number or a list that a callback happens to return means nothing.
        stops = any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers)
        return stops or self.has_stalled(controls.patience)
