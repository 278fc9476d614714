"""Losses of numbers and of probabilities, a target for each output."""

from types import ModuleType
from typing import Any

from crnn import checks
from crnn._inputs.excluded import MASK_ADVICE
from crnn._typing import Array
from crnn.losses.base import Loss


class MSE(Loss):
    """The mean of the squared errors: with e = y_hat - y, l = mean over the outputs of e^2.

    The gradient is 2 w e / (outputs sum(w)). torch.nn.MSELoss is the same.
    """

    kernel = "mse"


class SSE(Loss):
    """Half the sum of the squared errors, sum of w e^2 / 2 with e = y_hat - y; gradient w e."""

    kernel = "sse"
    is_mean = False


class BinaryCrossEntropy(Loss):
    """The mean of -y log p - (1 - y) log(1 - p), p = 1 / (1 + exp(-y_hat)), y from 0 to 1.

    y_hat are logits, each output is a question of its own, and l is the mean over the outputs. The
    gradient is w (p - y) / (outputs sum(w)). torch.nn.BCEWithLogitsLoss is the same.
    """

    kernel = "binary_cross_entropy"

    def targets(
        self,
        y: Any,
        axes: tuple[str, ...],
        shape: tuple[int, ...],
        like: Array,
        kernels: ModuleType,
        nan_advice: str = MASK_ADVICE,
    ) -> Array:
        """Return checked targets from 0 to 1, as `Loss.targets` says."""
        checked = super().targets(y, axes, shape, like, kernels, nan_advice)
        lowest, highest = checked.min(), checked.max()
        if lowest < 0 or highest > 1:
            raise ValueError(f"y: expected numbers from 0 to 1, got {lowest:g} to {highest:g}")
        return checked


class Huber(Loss):
    """Squared errors where small, absolute ones where large (Huber 1964).

    With e = y_hat - y, l is the mean over the outputs of `e^2 / 2` where `|e| <= delta` and of
    `delta (|e| - delta / 2)` elsewhere. The gradient is e, clipped to ±delta, times
    w / (outputs sum(w)). torch.nn.HuberLoss is the same.

    Parameters
    ----------
    delta : float, default 1
        Above 0.

    Raises
    ------
    ValueError, TypeError
        delta is no such number.
    """

    kernel = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = checks.number("delta", delta, above=0.0)

    def settings(self) -> tuple[float, ...]:
        """Return delta, as `Loss.settings` says."""
        return (self.delta,)

    def __repr__(self) -> str:
        return f"Huber(delta={self.delta!r})"
