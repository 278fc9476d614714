"""Losses: the value, and its gradient with respect to the outputs, with a weight for each step.

>>> import crnn, numpy as np
>>> loss = crnn.losses.Huber(delta=0.5)
>>> loss.value(np.array([[1.0], [3.0]]), np.array([[1.5], [1.0]]))
0.5
>>> loss.gradient(np.array([[1.0], [3.0]]), np.array([[1.5], [1.0]]), weights=[3, 1]).tolist()
[[-0.375], [0.125]]

`fit`, `train_step` and `loss` take a name ("mse", "huber", ...), one of these objects, or any
object with the methods `value` and `gradient`. The arithmetic is in the kernels; this module checks
arguments and calls them.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from crnn import _backend, checks
from crnn._inputs import arrays, class_weights
from crnn._inputs.conversion import as_array
from crnn._inputs.excluded import MASK_ADVICE, cleared
from crnn._training.evaluation import NOTHING_COUNTS
from crnn._typing import Array, FloatArray
from crnn.kernels.contracts import GRADIENT_LOSSES

__all__ = ["MSE", "SSE", "BinaryCrossEntropy", "CrossEntropy", "Huber", "Loss"]


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
    def is_fused(self) -> bool:
        """Whether `rnn_gradient`, the kernel of a whole training step, computes the loss."""
        return self.kernel in GRADIENT_LOSSES

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
        """
        if kernels.is_kernel_ready(y, like, shape):
            ready: Array = y
            return ready
        sizes = dict(zip(axes, shape, strict=True))
        shapes = (" ".join(axes),)
        return arrays.floats("y", y, shapes, sizes, like, kernels, nan_advice=MASK_ADVICE)

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
        value: float = getattr(kernels, self.kernel)(y_hat, y, weights, *self._settings(), dy)
        return value

    def _settings(self) -> tuple[float, ...]:
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


class MSE(Loss):
    """The mean of the squared errors: with e = y_hat - y, l = mean over the outputs of e^2.

    The gradient is 2 w e / (outputs sum(w)). torch.nn.MSELoss is the same.
    """

    kernel = "mse"


class SSE(Loss):
    """Half the sum of the squared errors, sum of w e^2 / 2 with e = y_hat - y; gradient w e."""

    kernel = "sse"
    is_mean = False


class CrossEntropy(Loss):
    """The mean of l = -log softmax(y_hat)[y], where y_hat are logits and y class numbers.

    The gradient is w (softmax(y_hat) - one_hot(y)) / sum(w).

    Parameters
    ----------
    class_weight : array (outputs,), dict, "balanced" or None
        A factor v of each class: a step's weight w is multiplied by that of its class y, so the
        mean is one of weighted steps, as in torch.nn.CrossEntropyLoss(weight=...). At least 0, not
        all of them 0. A dictionary has the factors by class number; others are 1. "balanced":
        n / (classes * count) with the count of the class among the n training targets that count
        in the loss (weighted, where they have weights) and the number of classes that occur; a
        class that does not occur gets 1. Only `fit` has all training targets: it computes the
        factors once, and uses them for validation data too. Elsewhere "balanced" is refused.
    label_smoothing : float, default 0
        s, with 0 <= s < 1: the target is a distribution with s / outputs for each class and 1 - s
        more for y (Szegedy et al. 2016). l is the cross entropy with it; with class weights
        -sum over the classes c of t_c v_c log softmax(y_hat)[c] for these targets t, while the
        mean is still divided by the sum of the weights of the classes y. The same as
        torch.nn.CrossEntropyLoss(label_smoothing=...).

    Raises
    ------
    ValueError, TypeError
        An argument is no such number.

    Examples
    --------
    >>> import crnn
    >>> crnn.losses.CrossEntropy(class_weight=[1, 10])
    CrossEntropy(class_weight=[1.0, 10.0])
    >>> crnn.losses.CrossEntropy(class_weight="balanced", label_smoothing=0.1)
    CrossEntropy(class_weight='balanced', label_smoothing=0.1)
    """

    kernel = "cross_entropy"
    of_classes = True

    def __init__(
        self,
        class_weight: npt.ArrayLike | Mapping[int, float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        self.class_weight = class_weights.checked(class_weight)
        self.label_smoothing = checks.number(
            "label_smoothing", label_smoothing, at_least=0.0, below=1.0
        )

    @property
    def is_fused(self) -> bool:
        """Whether `rnn_gradient` computes the loss: it knows neither setting."""
        return self.class_weight is None and self.label_smoothing == 0

    def fitted(
        self, targets: Iterable[tuple[Array, FloatArray | None]], outputs: int
    ) -> "CrossEntropy":
        """Return the loss with numbers for "balanced", as `Loss.fitted` says."""
        if not isinstance(self.class_weight, str):
            return self
        return CrossEntropy(class_weights.balanced(targets, outputs), self.label_smoothing)

    def targets(
        self,
        y: Any,
        axes: tuple[str, ...],
        shape: tuple[int, ...],
        like: Array,
        kernels: ModuleType,
    ) -> Array:
        """Return checked class numbers, as `Loss.targets` says."""
        outputs = shape[-1]
        class_weights.check_classes(self.class_weight, outputs)
        sizes = dict(zip(axes, shape, strict=True))
        shapes = (" ".join(axes[:-1]),)
        return arrays.classes("y", y, shapes, sizes, outputs, nan_advice=MASK_ADVICE)

    def step_weights(self, y: Array, weights: FloatArray | None) -> FloatArray | None:
        """Return the weight of each step and its class, as `Loss.step_weights` says."""
        if self.class_weight is None:
            return weights
        of_classes = class_weights.of_outputs(self.class_weight, int(y.max()) + 1)[y]
        with np.errstate(all="ignore"):
            return of_classes if weights is None else of_classes * weights

    def compute(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: FloatArray | None,
        dy: Array | None,
    ) -> float:
        """Return the loss of checked arrays, as `Loss.compute` says."""
        if self.label_smoothing == 0:
            return super().compute(kernels, y_hat, y, weights, dy)
        return self._smoothed(kernels, y_hat, y, weights, dy)

    def _smoothed(
        self,
        kernels: ModuleType,
        y_hat: Array,
        y: Array,
        weights: FloatArray | None,
        dy: Array | None,
    ) -> float:
        """Return the loss with label smoothing, from the kernel's cross entropy without it.

        The negative log-likelihood of a class c is that of y plus y_hat[y] - y_hat[c]. So the loss
        of a step is the cross entropy, times the sum of all t_c v_c, plus something linear in the
        logits: the sum of s / outputs v_c (y_hat[y] - y_hat[c]).
        """
        outputs = y_hat.shape[-1]
        v = class_weights.of_outputs(self.class_weight, outputs)
        w = np.ones(y.shape) if weights is None else weights
        share = self.label_smoothing / outputs
        with np.errstate(all="ignore"):
            total = (w * v[y]).sum()
            if total == 0:
                raise ValueError(NOTHING_COUNTS)
            factor = w * ((1 - self.label_smoothing) * v[y] + share * v.sum())
            scale = factor.sum() / total
            value = self._call_kernel(kernels, y_hat, y, factor, dy) * scale
            above = np.take_along_axis(y_hat, y[..., None], axis=-1) - y_hat.astype(np.float64)
            value += share * (w * (above @ v)).sum() / total
            if dy is not None:
                slope = share / total * w[..., None] * np.broadcast_to(-v, y_hat.shape)
                at_y = np.take_along_axis(slope, y[..., None], axis=-1)
                at_y += (share / total * v.sum() * w)[..., None]
                np.put_along_axis(slope, y[..., None], at_y, axis=-1)
                dy[...] = dy * scale + slope
        return float(value)

    def __repr__(self) -> str:
        settings = []
        if self.class_weight is not None:
            shown: Any = self.class_weight
            if isinstance(shown, np.ndarray):
                shown = shown.tolist()
            settings.append(f"class_weight={shown!r}")
        if self.label_smoothing:
            settings.append(f"label_smoothing={self.label_smoothing!r}")
        return f"CrossEntropy({', '.join(settings)})"


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
    ) -> Array:
        """Return checked targets from 0 to 1, as `Loss.targets` says."""
        checked = super().targets(y, axes, shape, like, kernels)
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

    def _settings(self) -> tuple[float, ...]:
        return (self.delta,)

    def __repr__(self) -> str:
        return f"Huber(delta={self.delta!r})"


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


class _Custom(Loss):
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
    ) -> Array:
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
        if weights is not None and not weights.any():
            raise ValueError(NOTHING_COUNTS)
        arguments: Any = (y_hat, y) if weights is None else (y_hat, y, weights)
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


BY_NAME: dict[str, Loss] = {
    "mse": MSE(),
    "sse": SSE(),
    "cross_entropy": CrossEntropy(),
    "binary_cross_entropy": BinaryCrossEntropy(),
    "huber": Huber(),
}
# A subclass of one of them may do anything, so it counts as a user's own loss.
_OWN_CLASSES = tuple(type(loss) for loss in BY_NAME.values())


def get_loss(loss: str | Loss | CustomLoss) -> Loss:
    """Return the loss of a `loss` argument.

    Parameters
    ----------
    loss : str or object
        A name in `BY_NAME`, a loss of this module, or an object with the methods of `CustomLoss`.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if type(loss) is str and loss in BY_NAME:
        return BY_NAME[loss]
    if isinstance(loss, Loss) and type(loss) in _OWN_CLASSES:
        return loss
    methods = (getattr(loss, name, None) for name in ("value", "gradient"))
    if not isinstance(loss, (str, type)) and all(map(callable, methods)):
        return _Custom(loss)
    raise ValueError(
        f"loss: expected {', '.join(map(repr, BY_NAME))} or an object with the methods value and "
        f"gradient, got {loss!r}"
    )
