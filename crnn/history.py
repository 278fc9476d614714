"""What happened in a training run, epoch by epoch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class History:
    """What happened in each epoch of a `fit`.

    Attributes
    ----------
    loss : list of float
        The training loss of each epoch, as the steps saw it before they changed the parameters:
        the mean over all sequences, or for `sse` their sum.
    val_loss : list of float
        The loss on the validation data after each epoch; empty without them.
    grad_norm : list of float
        The mean over an epoch's steps of the gradient's global norm before clipping.
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.val_loss: list[float] = []
        self.grad_norm: list[float] = []

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
        # A door to another house: only whoever opens it needs matplotlib.
        from crnn import plots

        return plots.history(self, ax=ax)
