"""What happens to each model of a fleet in training."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn import checks
from crnn._typing import Array, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd


class Progress(NamedTuple):
    """What happened to each model, filled in epoch by epoch; NaN after a model's last one."""

    loss: FloatArray
    """(epochs, N), like the next two."""
    val_loss: FloatArray
    grad_norm: FloatArray
    best_epoch: IntArray
    """(N,): from 1; 0: none."""
    best_loss: FloatArray
    """(N,): the lowest monitored loss."""
    epochs: IntArray
    """(N,): how many each was trained."""
    errors: dict[int, str]
    """By number, why a model is not trained or has stopped."""

    @classmethod
    def empty(cls, epochs: int, N: int, errors: dict[int, str]) -> "Progress":
        """Return that of N models before the first of so many epochs."""
        loss, val_loss, grad_norm = np.full((3, epochs, N), np.nan)
        none = np.zeros((2, N), np.intp)
        return cls(loss, val_loss, grad_norm, none[0], np.full(N, np.nan), none[1], errors)


class FleetHistory:
    """What happened to each model in a `Fleet.fit`, which returns it.

    Parameters
    ----------
    progress : Progress
        What the run has recorded; later epochs are written to the same arrays.
    settings : dict of array (N,)
        As the attribute.
    count : int
        How many epochs there were.

    Attributes
    ----------
    loss, val_loss, grad_norm : array (epochs, N)
        As in `crnn.History`, NaN from the epoch on after which a model has stopped; `val_loss` is
        all NaN without validation data.
    best_epoch : array (N,)
        The epoch, from 1, of the lowest loss of those that `fit` has monitored; 0 for a model that
        was not trained.
    best_loss : array (N,)
        That loss.
    epochs : array (N,)
        How many whole epochs each model was trained.
    settings : dict of array (N,)
        What may differ between models: "seed", "lr", "weight_decay" and "l1".
    errors : dict of str
        By number, why a model was not trained, or not to its end: its data, or a step that was not
        finite.
    """

    def __init__(self, progress: Progress, settings: dict[str, Array], count: int) -> None:
        self.loss = progress.loss[:count]
        self.val_loss = progress.val_loss[:count]
        self.grad_norm = progress.grad_norm[:count]
        self.best_epoch = progress.best_epoch
        self.best_loss = progress.best_loss
        self.epochs = progress.epochs
        self.settings = settings
        self.errors = progress.errors

    def best(self, k: int = 1) -> IntArray:
        """Return the numbers of the k models of the lowest `best_loss`, the best first.

        Models that were not trained are not among them.

        Parameters
        ----------
        k : int

        Returns
        -------
        array (k,), or fewer if fewer models were trained
        """
        k = checks.integer("k", k, at_least=1)
        order = np.argsort(self.best_loss, kind="stable")
        trained: IntArray = order[~np.isnan(self.best_loss[order])]
        return trained[:k]

    def table(self) -> "pd.DataFrame":
        """Return a row for each model: settings, epochs, losses at its best epoch, error.

        Returns
        -------
        pandas DataFrame
            With the index "model".

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        import pandas as pd

        models = np.arange(len(self.epochs))
        rows = np.maximum(self.best_epoch, 1) - 1
        columns: dict[str, Any] = dict(self.settings)
        columns |= {"epochs": self.epochs, "best_epoch": self.best_epoch}
        for name in ("loss", "val_loss"):
            values = getattr(self, name)
            columns[name] = np.full(len(models), np.nan)
            if len(values):
                columns[name] = np.where(self.best_epoch > 0, values[rows, models], np.nan)
        columns["error"] = [self.errors.get(n, "") for n in models.tolist()]
        return pd.DataFrame(columns, index=pd.Index(models, name="model"))

    def __repr__(self) -> str:
        epochs, N = self.loss.shape
        return f"FleetHistory(models={N}, epochs={epochs}, errors={len(self.errors)})"
