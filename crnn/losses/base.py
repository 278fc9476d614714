"""The base class of all losses."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import _backend
from crnn._inputs import arrays
from crnn._inputs.excluded import MASK_ADVICE, cleared
from crnn._training.evaluation import NOTHING_COUNTS
from crnn._typing import Array, FloatArray
from crnn.kernels.contracts import GRADIENT_LOSSES, LOSSES


class Loss:
    """The base class of all losses.

    With l the loss of a step and w its weight (1 without `weights`), the value is
    sum(w l) / sum(w); for `SSE` it is sum(w l).
    """

    kernel: str = ""
    """The name of its kernel; a user's own loss has none."""
    of_classes = False
    """Whether targets are class numbers (batch, time), not values (batch, time, outputs)."""
    is_mean = True
    """Whether the value is a mean over the steps, not a sum."""
    adds_up = True
    """Whether the value of a batch is that mean or sum of its parts' values."""

    @property
    def is_of_kernel(self) -> bool:
        """Whether the kernel computes the loss from targets and `settings` alone."""
        return self.kernel in LOSSES

    def check_is_of_kernel(self, user: str) -> None:
        """Raise a ValueError unless `is_of_kernel`.

        Parameters
        ----------
        user : str
            What needs such a loss, as the error names it.
        """
        if not self.is_of_kernel:
            raise ValueError(
                'loss: expected "mse", "sse", "cross_entropy" without class weights and label '
                f'smoothing, "binary_cross_entropy" or "huber" for {user}, got {self!r}'
            )

    @property
    def is_fitted(self) -> bool:
        """Whether it has nothing to learn from the training targets, as `fitted` does."""
        return True

    @property
    def is_fused(self) -> bool:
        """Whether the kernels of whole passes, `rnn_gradient` and `rnn_train`, compute the loss."""
        return self.is_of_kernel and self.kernel in GRADIENT_LOSSES

    def value(
        self, y_hat: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> float:
        """Return the loss.

        Parameters
        ----------
        y_hat : array (batch, time, outputs) or (batch, outputs)
            Outputs of a network.
        y : array
            Targets of that shape; for `CrossEntropy` class numbers, without the last axis.
        weights : array (batch, time) or (batch,), optional
            The weight of each step: at least 0, not all of them 0. Without it 1. The target of a
            step of weight 0 may hold anything.

        Returns
        -------
        float
            Summed in float64.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        outputs, targets, checked_weights = self._checked(y_hat, y, weights)
        return self.compute(_backend.kernels, outputs, targets, checked_weights, None)

    def gradient(
        self, y_hat: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> Array:
        """Return dL/dy_hat, where L is the `value` of the same arguments.

        Parameters
        ----------
        y_hat : array (batch, time, outputs) or (batch, outputs)
        y : array
        weights : array (batch, time) or (batch,), optional
            All as in `value`.

        Returns
        -------
        array
            Of the shape of y_hat and, if that is float32 or float64, of its dtype.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        outputs, targets, checked_weights = self._checked(y_hat, y, weights)
        dy = np.empty_like(outputs)
        self.compute(_backend.kernels, outputs, targets, checked_weights, dy)
        return dy

    def targets(
        self,
        y: Any,
        axes: tuple[str, ...],
        shape: tuple[int, ...],
        like: Array,
        kernels: ModuleType,
        nan_advice: str = MASK_ADVICE,
    ) -> Array:
        """Return checked targets for outputs of this shape.

        Parameters
        ----------
        y : array-like
        axes : tuple of str
            Those of "batch", "time" and "outputs" that the outputs have, in this order.
        shape : tuple of int
        like : array
            Its dtype is that of the outputs.
        kernels : module
            One of the implementations.
        nan_advice : str
            What the error of a missing target says at its end.
        """
        if kernels.is_kernel_ready(y, like, shape):
            ready: Array = y
            return ready
        sizes = dict(zip(axes, shape, strict=True))
        shapes = (" ".join(axes),)
        return arrays.floats("y", y, shapes, sizes, like, kernels, nan_advice=nan_advice)

    def step_weights(self, y: Array, weights: FloatArray | None) -> FloatArray | None:
        """Return the weight of each step in the mean, or None if it is 1.

        Parameters
        ----------
        y : array
            Checked targets.
        weights : array (batch, time) or (batch,), or None
            As in `value`.
        """
        return weights

    def fitted(self, targets: Iterable[tuple[Array, FloatArray | None]], outputs: int) -> "Loss":
        """Return the loss for a training run, with what it learns from the training targets.

        Parameters
        ----------
        targets : iterable of (y, weights)
            Checked targets, and the weight of each step, or None.
        outputs : int
            Outputs of the network.
        """
        return self

    def compute(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: FloatArray | None,
        dy: Array | None,
    ) -> float:
        """Return the loss of checked arrays, and write the gradient to dy where it is given.

        Parameters
        ----------
        kernels : module
            One of the implementations.
        y_hat : array (B, T, O) or (B, O)
        y : array
        weights : array (B, T) or (B,), or None
        dy : array like y_hat, or None
        """
        weights = self.step_weights(y, weights)
        if weights is not None and not weights.any():
            raise ValueError(NOTHING_COUNTS)
        return self._call_kernel(kernels, y_hat, y, weights, dy)

    def _call_kernel(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: FloatArray | None,
        dy: Array | None,
    ) -> float:
        if weights is not None:
            weights = np.ascontiguousarray(weights)
        if y_hat.ndim == 2:
            # One output per sequence, for the kernels a single step
            y_hat, y, dy = y_hat[:, None], y[:, None], None if dy is None else dy[:, None]
            weights = None if weights is None else weights[:, None]
        value: float = getattr(kernels, self.kernel)(y_hat, y, weights, *self.settings(), dy)
        return value

    def settings(self) -> tuple[float, ...]:
        """Return the settings that the kernel takes beside its arrays."""
        return ()

    def _checked(self, y_hat: Any, y: Any, weights: Any) -> tuple[Array, Array, FloatArray | None]:
        kernels = _backend.kernels
        is_float32 = getattr(y_hat, "dtype", None) == np.float32
        like = np.empty(0, np.float32 if is_float32 else np.float64)
        shapes = ("batch time outputs", "batch outputs")
        y_hat = arrays.floats("y_hat", y_hat, shapes, {}, like, kernels)
        axes = tuple(shapes[0 if y_hat.ndim == 3 else 1].split())
        if weights is not None:
            sizes = dict(zip(axes, y_hat.shape, strict=True))
            weights = arrays.weights("weights", weights, (" ".join(axes[:-1]),), sizes)
            y = cleared(y, weights, of_classes=self.of_classes)
        y = self.targets(y, axes, y_hat.shape, like, kernels)
        return y_hat, y, weights

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
