"""The cross-entropy of class numbers, with weights of classes and label smoothing."""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._inputs import arrays, class_weights
from crnn._inputs.excluded import MASK_ADVICE
from crnn._training.evaluation import NOTHING_COUNTS
from crnn._typing import Array, FloatArray
from crnn.losses.base import Loss


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
    def is_of_kernel(self) -> bool:
        """Whether the kernel computes the loss: it knows neither setting."""
        return self.class_weight is None and self.label_smoothing == 0

    @property
    def is_fitted(self) -> bool:
        """Whether the weights of classes are numbers."""
        return not isinstance(self.class_weight, str)

    def fitted(
        self, targets: Iterable[tuple[Array, FloatArray | None]], outputs: int
    ) -> "CrossEntropy":
        """Return the loss with numbers for "balanced", as `Loss.fitted` says."""
        if self.is_fitted:
            return self
        return CrossEntropy(class_weights.balanced(targets, outputs), self.label_smoothing)

    def targets(
        self,
        y: Any,
        axes: tuple[str, ...],
        shape: tuple[int, ...],
        like: Array,
        kernels: ModuleType,
        nan_advice: str = MASK_ADVICE,
    ) -> Array:
        """Return checked class numbers, as `Loss.targets` says."""
        outputs = shape[-1]
        class_weights.check_classes(self.class_weight, outputs)
        sizes = dict(zip(axes, shape, strict=True))
        shapes = (" ".join(axes[:-1]),)
        return arrays.classes("y", y, shapes, sizes, outputs, nan_advice=nan_advice)

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
