"""What happened in a training run, epoch by epoch."""

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Monitor(NamedTuple):
    """What decides which epoch is the best."""

    name: str | None = None
    """"loss", "val_loss" or the name of a metric; None: "val_loss", or without it "loss"."""
    is_highest: bool = False
    """Whether the highest value is the best, not the lowest."""
    min_delta: float = 0.0
    """What is no better than the best by more than this does not count."""


class History:
    """What happened in each epoch of a `fit`.

    Parameters
    ----------
    monitor : Monitor
        What decides which epoch is the best; by default the validation loss, or without it the
        training loss.

    Attributes
    ----------
    loss : list of float
        The training loss of each epoch, each step's taken before it changes the parameters: the
        mean over all sequences, or for `sse` their sum.
    val_loss : list of float
        The loss on the validation data after each epoch; empty without them.
    grad_norm : list of float
        The mean over an epoch's steps of the gradient's global norm before clipping.
    lr : list of float
        The learning rate of each epoch's last step.
    metrics : dict of lists of float
        Each of `fit`'s metrics after each epoch, by name; those of validation data begin with
        ``val_``.
    best_epoch : int or None
        The epoch, from 1, of the lowest `val_loss`, or of the lowest `loss` without validation
        data, or of the best value of what `fit` was told to monitor; the first of equal ones, and
        with `min_delta` the last that was better by more than it. None before the first epoch.
    """

    def __init__(self, monitor: Monitor = Monitor()) -> None:  # noqa: B008
        self.loss: list[float] = []
        self.val_loss: list[float] = []
        self.grad_norm: list[float] = []
        self.lr: list[float] = []
        self.metrics: dict[str, list[float]] = {}
        self.best_epoch: int | None = None
        self._monitor = monitor
        self._best = math.nan

    def add(
        self,
        loss: float,
        val_loss: float | None,
        grad_norm: float,
        lr: float,
        metrics: dict[str, float],
    ) -> None:
        """Add an epoch.

        Parameters
        ----------
        loss : float
        val_loss : float or None
        grad_norm : float
        lr : float
        metrics : dict of float
            Each of them as in the attribute of its name.
        """
        self.loss.append(loss)
        if val_loss is not None:
            self.val_loss.append(val_loss)
        self.grad_norm.append(grad_norm)
        self.lr.append(lr)
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(value)
        monitored, is_highest, min_delta = self._monitor
        values = {"loss": loss, **({} if val_loss is None else {"val_loss": val_loss}), **metrics}
        watched = values[monitored or ("loss" if val_loss is None else "val_loss")]
        gain = watched - self._best if is_highest else self._best - watched
        # What is NaN, as a validation loss can be, is never better, and any number is better.
        is_first_number = math.isnan(self._best) and not math.isnan(watched)
        if self.best_epoch is None or is_first_number or gain > min_delta:
            self.best_epoch, self._best = len(self.loss), watched

    def __repr__(self) -> str:
        if not self.loss:
            return "History(epochs=0)"
        validation = f", val_loss={self.val_loss[-1]:.6g}" if self.val_loss else ""
        return f"History(epochs={len(self.loss)}, loss={self.loss[-1]:.6g}{validation})"

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss by epoch.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        from crnn import plots  # which imports matplotlib, an extra

        return plots.history(self, ax=ax)
