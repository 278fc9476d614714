"""Losses: by what name, on which targets, and which kernel computes value and gradient."""

from types import ModuleType
from typing import Any, NamedTuple

from crnn import checks
from crnn.checks import Array


class Loss(NamedTuple):
    """A loss: its kernel gives the value and, beside it, dL/dy_hat."""

    name: str
    """The kernel's name, which is the loss's public name."""
    of_classes: bool
    """Whether targets are class numbers (batch, time) and not values (batch, time, outputs)."""
    is_mean: bool
    """Whether the value is a mean over all steps, not a sum."""

    def targets(self, y: Any, y_shape: tuple[int, ...], like: Array, kernels: ModuleType) -> Array:
        """Return targets for outputs of shape (batch, time, outputs) or (time, outputs).

        The result has the batch axis in either case.
        """
        if not self.of_classes and kernels.is_plain(y, like, y_shape):
            plain: Array = y if len(y_shape) == 3 else y[None]
            return plain
        axes = ("batch", "time", "outputs")[-len(y_shape) :]
        sizes = dict(zip(axes, y_shape, strict=True))
        if self.of_classes:
            checked = checks.classes("y", y, (" ".join(axes[:-1]),), sizes, y_shape[-1])
            return checked.reshape(-1, y_shape[-2])
        checked = checks.floats("y", y, (" ".join(axes),), sizes, like, kernels)
        return checked.reshape(-1, *y_shape[-2:])

    def value(self, kernels: ModuleType, y_hat: Array, y: Array) -> float:
        """Return the loss of checked arrays."""
        value: float = getattr(kernels, self.name)(y_hat, y, None)
        return value


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", of_classes=False, is_mean=True),
        Loss("sse", of_classes=False, is_mean=False),
        Loss("cross_entropy", of_classes=True, is_mean=True),
    )
}


def find(name: str) -> Loss:
    """Return the loss of that name, or raise a ValueError that lists the names."""
    if type(name) is str and name in LOSSES:
        return LOSSES[name]
    return LOSSES[checks.choice("loss", name, tuple(LOSSES))]
