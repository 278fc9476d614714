"""A training run: its settings, its state between epochs, and when it is over."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn import checks
from crnn._network.network import Network
from crnn._training.data import Dataset
from crnn._training.history import History, Monitor
from crnn.kernels.constraints import Constraints

if TYPE_CHECKING:
    from crnn._training.evaluation import Metric
    from crnn._typing import Array
    from crnn.losses import Loss
    from crnn.optimizers import Optimizer


class Clipping(NamedTuple):
    """How a gradient is limited: by its global norm, by element, or not at all."""

    norm: float | None
    value: float | None

    @classmethod
    def checked(cls, clip_norm: float | None, clip_value: float | None) -> "Clipping":
        """Return the clipping of `train_step`'s arguments, or raise what is wrong with them."""
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
    loss: "Loss"
    clipping: Clipping
    bptt: int | None
    shuffle: bool
    constraints: Constraints | None
    """Parameters are within them after each step."""


class Controls(NamedTuple):
    """What is measured, done and decided after each epoch."""

    validation: Dataset | None
    metrics: "dict[str, Metric]"
    patience: int | None
    callbacks: list[Callable[[History], Any]]


class Evaluation(NamedTuple):
    """The loss of all sequences and its gradient (n,), at theta (n,)."""

    theta: "Array"
    loss: float
    gradient: "Array"


class Run:
    """The state of a run between two epochs, which a checkpoint keeps.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    rng : generator
        Draws the order of the sequences and dropout's masks.
    monitor : Monitor
        Decides which epoch is the best.
    """

    def __init__(
        self,
        network: Network,
        optimizer: "Optimizer",
        rng: "np.random.Generator",
        monitor: Monitor,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.rng = rng
        self.monitor = monitor
        self.history = History(monitor)
        # Steps that the next kernel call takes, where one takes several
        self.steps_of_call = 1
        # After the last step of an optimizer that searches
        self.last_evaluation: Evaluation | None = None
        # The parameters after the best epoch, kept where `patience` is set
        self.best: Array | None = None

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

    def end_epoch(self, controls: Controls) -> bool:
        """Call all callbacks, and return whether training is over."""
        answers = [callback(self.history) for callback in controls.callbacks]
        return asks_to_stop(answers) or self.has_stalled(controls.patience)


def asks_to_stop(answers: list[Any]) -> bool:
    """Whether a callback has returned True; a number or a list that it returns stops nothing."""
    return any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)
