"""Losses: a value and its gradient towards the outputs, over all steps or weighted ones.

>>> import crnn, numpy as np
>>> loss = crnn.losses.Huber(delta=0.5)
>>> loss.value(np.array([[1.0], [3.0]]), np.array([[1.5], [1.0]]))
0.5
>>> loss.gradient(np.array([[1.0], [3.0]]), np.array([[1.5], [1.0]]), weights=[3, 1]).tolist()
[[-0.375], [0.125]]

`fit` and its kin take a name, one of these objects, or any object with such methods.
"""

from types import ModuleType
from typing import Any

import numpy as np

from crnn import _backend, checks
from crnn.checks import Array

__all__ = ["MSE", "SSE", "BinaryCrossEntropy", "CrossEntropy", "Huber"]


class Loss:
    """What all losses have.

    With l the loss of a step and w its weight, 1 without `weights`, the value is
    sum(w l) / sum(w); of `SSE` it is sum(w l).
    """

    kernel: str | None = None
    """The kernel of the loss without weights, which kernels of whole training steps know too."""
    of_classes = False
    """Whether targets are class numbers (batch, time) and not values (batch, time, outputs)."""
    is_mean = True
    """Whether the value is a mean over the steps, not a sum."""

    def value(self, y_hat: Any, y: Any, weights: Any = None) -> float:
        """Return the loss.

        Parameters
        ----------
        y_hat : array (batch, time, outputs) or (batch, outputs)
            Outputs of a network.
        y : array
            Targets of that shape; for `CrossEntropy` class numbers, without the last axis.
        weights : array (batch, time) or (batch,), optional
            What each step counts: of at least 0, not all of them 0. Without it 1.

        Returns
        -------
        float
            Summed in float64.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        outputs, targets, counts = self._checked(y_hat, y, weights)
        return self.compute(_backend.kernels, outputs, targets, counts, None)

    def gradient(self, y_hat: Any, y: Any, weights: Any = None) -> Array:
        """Return dL/dy_hat, L being the `value` of the same arguments.

        Parameters
        ----------
        y_hat : array (batch, time, outputs) or (batch, outputs)
        y : array
        weights : array (batch, time) or (batch,), optional
            All as of `value`.

        Returns
        -------
        array
            Of the shape of y_hat and, if that is float32 or float64, of its dtype.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        outputs, targets, counts = self._checked(y_hat, y, weights)
        dy: Array = np.empty_like(outputs)
        self.compute(_backend.kernels, outputs, targets, counts, dy)
        return dy

    def targets(self, y: Any, sizes: dict[str, int], like: Array, kernels: ModuleType) -> Array:
        """Return checked targets for outputs whose axes have these names and sizes.

        The names are batch, time and outputs, those that there are, in this order.
        """
        if kernels.is_plain(y, like, tuple(sizes.values())):
            plain: Array = y
            return plain
        return checks.floats("y", y, (" ".join(sizes),), sizes, like, kernels)

    def counts(self, y: Array, weights: Array | None) -> Array | None:
        """Return what each step counts, or None if that is 1."""
        return weights

    def compute(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: Array | None,
        dy: Array | None,
    ) -> float:
        """Return the loss of checked arrays, and write the gradient where wanted."""
        counts = self.counts(y, weights)
        if self.kernel is not None and counts is None:
            if y_hat.ndim == 2:
                y_hat, y, dy = y_hat[:, None], y[:, None], None if dy is None else dy[:, None]
            value: float = getattr(kernels, self.kernel)(y_hat, y, dy)
            return value
        # What overflows becomes infinite, which training takes for divergence.
        with np.errstate(all="ignore"):
            of_steps = self._of_steps(y_hat, y)
            if counts is None:
                counts = np.ones_like(of_steps)
            if self.is_mean:
                total = counts.sum()
                if not total:
                    raise ValueError(f"weights: expected a sum above 0, got {total:g} with {self}")
                counts = counts / total
            if dy is not None:
                np.multiply(self._slopes(y_hat, y), counts[..., None].astype(dy.dtype), out=dy)
            return float((counts * of_steps).sum())

    def _of_steps(self, y_hat: Array, y: Array) -> Array:
        """Return the loss of each step in float64: of y_hat (..., outputs) an array (...)."""
        raise NotImplementedError

    def _slopes(self, y_hat: Array, y: Array) -> Array:
        """Return the derivative of each step's loss, an array like y_hat."""
        raise NotImplementedError

    def _checked(self, y_hat: Any, y: Any, weights: Any) -> tuple[Array, Array, Array | None]:
        kernels = _backend.kernels
        is_single = getattr(y_hat, "dtype", None) == np.float32
        like = np.empty(0, np.float32 if is_single else np.float64)
        shapes = ("batch time outputs", "batch outputs")
        y_hat = checks.floats("y_hat", y_hat, shapes, {}, like, kernels)
        axes = shapes[0 if y_hat.ndim == 3 else 1].split()
        sizes = dict(zip(axes, y_hat.shape, strict=True))
        y = self.targets(y, sizes, like, kernels)
        if weights is not None:
            weights = checks.weights("weights", weights, (" ".join(axes[:-1]),), sizes)
        return y_hat, y, weights

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MSE(Loss):
    """The mean of the squared errors: with e = y_hat - y, l = mean over the outputs of e^2.

    As torch.nn.MSELoss. The gradient is 2 w e / (outputs sum(w)).
    """

    kernel = "mse"

    def _of_steps(self, y_hat: Array, y: Array) -> Array:
        of_steps: Array = np.square(y_hat - y, dtype=np.float64).mean(axis=-1)
        return of_steps

    def _slopes(self, y_hat: Array, y: Array) -> Array:
        slopes: Array = y_hat - y
        slopes *= 2 / y_hat.shape[-1]
        return slopes


class SSE(Loss):
    """Half the sum of the squared errors, sum of w e^2 / 2 with e = y_hat - y; gradient w e."""

    kernel = "sse"
    is_mean = False

    def _of_steps(self, y_hat: Array, y: Array) -> Array:
        of_steps: Array = np.square(y_hat - y, dtype=np.float64).sum(axis=-1) / 2
        return of_steps

    def _slopes(self, y_hat: Array, y: Array) -> Array:
        slopes: Array = y_hat - y
        return slopes


class CrossEntropy(Loss):
    """The mean of l = -log softmax(y_hat)[y], y_hat being logits and y class numbers.

    The gradient is w (softmax(y_hat) - one_hot(y)) / sum(w).

    Parameters
    ----------
    class_weights : array (outputs,), optional
        What a step of each class counts: its weight w is multiplied by it, so that the mean is one
        of the weighted steps, as of torch.nn.CrossEntropyLoss(weight=...). Of at least 0, not all
        of them 0.

    Raises
    ------
    ValueError, TypeError
        The class weights are no such numbers.

    Examples
    --------
    >>> import crnn
    >>> crnn.losses.CrossEntropy(class_weights=[1, 10])
    CrossEntropy(class_weights=[1.0, 10.0])
    """

    kernel: str | None = "cross_entropy"
    of_classes = True

    def __init__(self, class_weights: Any = None) -> None:
        self.class_weights: Array | None = None
        if class_weights is not None:
            self.class_weights = checks.weights("class_weights", class_weights, ("outputs",), {})
            self.class_weights.flags.writeable = False
            # The kernel knows no weights.
            self.kernel = None

    def targets(self, y: Any, sizes: dict[str, int], like: Array, kernels: ModuleType) -> Array:
        """Return checked class numbers."""
        *axes, outputs = sizes
        if self.class_weights is not None and len(self.class_weights) != sizes[outputs]:
            raise ValueError(
                f"class_weights: expected shape (outputs={sizes[outputs]},), "
                f"got {self.class_weights.shape}"
            )
        return checks.classes("y", y, (" ".join(axes),), sizes, sizes[outputs])

    def counts(self, y: Array, weights: Array | None) -> Array | None:
        """Return what each step counts, its class included, or None if that is 1."""
        if self.class_weights is None:
            return weights
        of_classes: Array = self.class_weights[y]
        return of_classes if weights is None else of_classes * weights

    def _of_steps(self, y_hat: Array, y: Array) -> Array:
        # The largest logit taken off all of them changes nothing, and no exponential overflows.
        shifted = np.subtract(y_hat, y_hat.max(axis=-1, keepdims=True), dtype=np.float64)
        of_classes = np.take_along_axis(shifted, y[..., None], axis=-1)[..., 0]
        of_steps: Array = np.log(np.exp(shifted).sum(axis=-1)) - of_classes
        return of_steps

    def _slopes(self, y_hat: Array, y: Array) -> Array:
        slopes: Array = np.exp(y_hat - y_hat.max(axis=-1, keepdims=True))
        slopes /= slopes.sum(axis=-1, keepdims=True)
        of_classes = np.take_along_axis(slopes, y[..., None], axis=-1)
        np.put_along_axis(slopes, y[..., None], of_classes - 1, axis=-1)
        return slopes

    def __repr__(self) -> str:
        if self.class_weights is None:
            return "CrossEntropy()"
        return f"CrossEntropy(class_weights={self.class_weights.tolist()})"


class BinaryCrossEntropy(Loss):
    """The mean of -y log p - (1 - y) log(1 - p), p = 1 / (1 + exp(-y_hat)), y from 0 to 1.

    As torch.nn.BCEWithLogitsLoss: y_hat are logits, each output is a question of its own, and the
    mean is one over the outputs too. The gradient is w (p - y) / (outputs sum(w)).
    """

    def targets(self, y: Any, sizes: dict[str, int], like: Array, kernels: ModuleType) -> Array:
        """Return checked targets, from 0 to 1."""
        found = super().targets(y, sizes, like, kernels)
        lowest, highest = found.min(), found.max()
        if lowest < 0 or highest > 1:
            raise ValueError(f"y: expected numbers from 0 to 1, got {lowest:g} to {highest:g}")
        return found

    def _of_steps(self, y_hat: Array, y: Array) -> Array:
        # log(1 + exp(-z)) = max(-z, 0) + log(1 + exp(-|z|)), in which nothing overflows
        z = y_hat.astype(np.float64)
        of_outputs = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
        of_steps: Array = of_outputs.mean(axis=-1)
        return of_steps

    def _slopes(self, y_hat: Array, y: Array) -> Array:
        # p - y = (1 - y) p - y (1 - p), whose terms keep their digits however small they are
        small = np.exp(-np.abs(y_hat))
        p, other = np.where(y_hat >= 0, 1, small), np.where(y_hat >= 0, small, 1)
        slopes: Array = ((1 - y) * p - y * other) / (1 + small)
        slopes /= y_hat.shape[-1]
        return slopes


class Huber(Loss):
    """Squared errors where small, absolute ones where large, after Huber (1964).

    With e = y_hat - y, l is the mean over the outputs of `e^2 / 2` where `|e| <= delta` and of
    `delta (|e| - delta / 2)` elsewhere, as of torch.nn.HuberLoss. The gradient is e, or the nearer
    of -delta and delta, times w / (outputs sum(w)).

    Parameters
    ----------
    delta : float, default 1
        Above 0.

    Raises
    ------
    ValueError, TypeError
        delta is no such number.
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = checks.number("delta", delta, above=0.0)

    def _of_steps(self, y_hat: Array, y: Array) -> Array:
        error = np.abs(y_hat - y).astype(np.float64)
        near = np.minimum(error, self.delta)
        of_steps: Array = (near * (error - near / 2)).mean(axis=-1)
        return of_steps

    def _slopes(self, y_hat: Array, y: Array) -> Array:
        slopes: Array = np.clip(y_hat - y, -self.delta, self.delta)
        slopes /= y_hat.shape[-1]
        return slopes

    def __repr__(self) -> str:
        return f"Huber(delta={self.delta!r})"


class _Foreign(Loss):
    """A user's own object, whose targets are whatever it takes."""

    def __init__(self, loss: Any) -> None:
        self._loss = loss

    def targets(self, y: Any, sizes: dict[str, int], like: Array, kernels: ModuleType) -> Array:
        found = np.asarray(y)
        first = next(iter(sizes))
        if first != "outputs" and found.shape[:1] != (sizes[first],):
            raise ValueError(f"y: expected shape ({first}={sizes[first]}, ...), got {found.shape}")
        return found

    def compute(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: Array | None,
        dy: Array | None,
    ) -> float:
        arguments = (y_hat, y) if weights is None else (y_hat, y, weights)
        value = float(self._loss.value(*arguments))
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


NAMED = {
    "mse": MSE(),
    "sse": SSE(),
    "cross_entropy": CrossEntropy(),
    "binary_cross_entropy": BinaryCrossEntropy(),
    "huber": Huber(),
}
# A subclass of one of them may do anything, as any user's class.
OF_THIS_PACKAGE = tuple(type(loss) for loss in NAMED.values())


def find(loss: Any) -> Loss:
    """Return the loss that a user names or passes, or raise a ValueError that lists the names."""
    if type(loss) is str and loss in NAMED:
        return NAMED[loss]
    if type(loss) in OF_THIS_PACKAGE:
        found: Loss = loss
        return found
    methods = (getattr(loss, name, None) for name in ("value", "gradient"))
    if not isinstance(loss, type) and all(map(callable, methods)):
        return _Foreign(loss)
    raise ValueError(
        f"loss: expected {', '.join(map(repr, NAMED))} or an object with the methods value and "
        f"gradient, got {loss!r}"
    )
