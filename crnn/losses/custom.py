"""Losses of users: any object with the methods `value` and `gradient`."""

from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._inputs.excluded import MASK_ADVICE
from crnn._training.evaluation import NOTHING_COUNTS
from crnn._typing import Array, FloatArray
from crnn.conversion import as_array
from crnn.losses.base import Loss


class CustomLoss(Protocol):
    """What a user's own loss offers; both methods get `weights` only where there are some.

    An attribute `is_mean`, if there is one, says that the value is a mean over the steps by their
    weights (True) or a sum (False). A batch of very different lengths is then computed in parts,
    which takes less memory.
    """

    def value(self, y_hat: Array, y: Array, weights: FloatArray = ...) -> float:
        """Return the loss."""

    def gradient(self, y_hat: Array, y: Array, weights: FloatArray = ...) -> npt.ArrayLike:
        """Return dL/dy_hat, of the shape of y_hat."""


class Custom(Loss):
    """A user's own loss, whose targets are whatever it takes."""

    def __init__(self, loss: CustomLoss) -> None:
        self._loss = loss
        is_mean = getattr(loss, "is_mean", None)
        self.adds_up = is_mean is not None
        self.is_mean = self.is_mean if is_mean is None else checks.boolean("is_mean", is_mean)

    def targets(
        self,
        y: Any,
        axes: tuple[str, ...],
        shape: tuple[int, ...],
        like: Array,
        kernels: ModuleType,
        nan_advice: str = MASK_ADVICE,
    ) -> Array:
        """Return the targets as an array, one for each sequence, as `Loss.targets` says."""
        checked = as_array("y", y)
        if axes[0] != "outputs" and checked.shape[:1] != shape[:1]:
            raise ValueError(f"y: expected shape ({axes[0]}={shape[0]}, ...), got {checked.shape}")
        return checked

    def compute(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: FloatArray | None,
        dy: Array | None,
    ) -> float:
        """Return the loss of checked arrays, as `Loss.compute` says."""
        if weights is not None and not weights.any():
            raise ValueError(NOTHING_COUNTS)
        arguments: Any = (y_hat, y) if weights is None else (y_hat, y, weights)
        found: Any = self._loss.value(*arguments)
        try:
            value = float(found)
        except (TypeError, ValueError):
            raise TypeError(f"loss: expected a number from {self}, got {found!r}") from None
        if dy is not None:
            gradient = np.asarray(self._loss.gradient(*arguments))
            if gradient.shape != dy.shape:
                raise ValueError(
                    f"loss: expected a gradient of shape {dy.shape} from {self}, "
                    f"got {gradient.shape}"
                )
            with np.errstate(all="ignore"):
                dy[...] = gradient
        return value

    def __repr__(self) -> str:
        return f"{type(self._loss).__module__}.{type(self._loss).__qualname__}"
