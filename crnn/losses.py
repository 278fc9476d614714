"""Losses: by what name, on which targets, and which kernel computes value and gradient."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from crnn import checks
from crnn.checks import Array


class Loss(NamedTuple):
    """A loss: its kernel gives the value and, beside it, dL/dy_hat."""

    name: str
    """The kernel's name, which is the loss's public name."""
    of_classes: bool
    """Whether targets are class numbers (batch, time) and not values (batch, time, outputs)."""
    has_kernel: bool
    """Whether a kernel computes it inside of a whole training step."""
    is_mean: bool
    """Whether the value is a mean over all steps, not a sum."""

    def targets(self, y: Any, sizes: dict[str, int], like: Array, kernels: ModuleType) -> Array:
        """Return checked targets for outputs whose axes have these names and sizes.

        The names are batch, time and outputs, those that there are, in this order.
        """
        if not self.of_classes and kernels.is_plain(y, like, tuple(sizes.values())):
            plain: Array = y
            return plain
        *axes, outputs = sizes
        if self.of_classes:
            return checks.classes("y", y, (" ".join(axes),), sizes, sizes[outputs])
        return checks.floats("y", y, (" ".join(sizes),), sizes, like, kernels)

    def value(
        self, kernels: ModuleType, y_hat: Array, y: Array, weights: Array | None = None
    ) -> float:
        """Return the loss of checked arrays."""
        if y_hat.ndim == 2:
            y_hat, y = y_hat[:, None], y[:, None]
        value: float = getattr(kernels, self.name)(y_hat, y, None)
        return value

    def gradient(
        self, kernels: ModuleType, y_hat: Array, y: Array, weights: Array | None = None
    ) -> Array:
        """Return dL/dy_hat."""
        dy = np.empty_like(y_hat)
        if y_hat.ndim == 2:
            getattr(kernels, self.name)(y_hat[:, None], y[:, None], dy[:, None])
            return dy
        getattr(kernels, self.name)(y_hat, y, dy)
        return dy


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", of_classes=False, has_kernel=True, is_mean=True),
        Loss("sse", of_classes=False, has_kernel=True, is_mean=False),
        Loss("cross_entropy", of_classes=True, has_kernel=True, is_mean=True),
    )
}


def find(name: str) -> Loss:
    """Return the loss of that name, or raise a ValueError that lists the names."""
    if type(name) is str and name in LOSSES:
        return LOSSES[name]
    return LOSSES[checks.choice("loss", name, tuple(LOSSES))]
