"""L-BFGS: an optimizer that takes all data for each step and searches for the step's length."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._training.line_search import Point, search
from crnn._typing import Array, FloatArray
from crnn.constraints import ConstraintsLike
from crnn.kernels.constraints import Constraints
from crnn.optimizers import Optimizer

# Pairs whose curvature is smaller, relative to the lengths of both, would be rounding alone.
LEAST_CURVATURE = 1e-10


class LBFGS(Optimizer):
    """Limited-memory BFGS with a line search for the strong Wolfe conditions (Liu, Nocedal 1989).

    For networks and data that are small enough to take all sequences for each step, and for losses
    that are to become as low as they can. `fit` alone takes its steps: an epoch is one step, on all
    sequences in the order given, whatever `batch_size` and `shuffle` are. The loss of each epoch,
    with the penalty where there is a `weight_decay`, is lower than that of the one before, or the
    same where the search finds no lower one; training does not diverge.

    The direction comes from the last `history_size` steps and changes of the gradient (Nocedal
    1980). Its length is searched for with algorithms 3.5 and 3.6 of Nocedal and Wright 2006,
    "Numerical Optimization"; each trial is a forward and a backward pass over all data. Use
    float64: in float32 the search ends where rounding hides the decrease.

    Bounds are met by projection (Bertsekas 1982, "Projected Newton methods for optimization
    problems with simple constraints"): parameters that would leave their bounds at once stay, the
    direction is that of the others, and the search follows it along the bounds that it meets.

    Parameters
    ----------
    lr : float or function, default 1.0
        The length that is tried first: 1 is that of Newton's method. For a step without history
        it is divided by the sum of the gradient's magnitudes where that is above 1. ``history.lr``
        has the lengths taken.
    history_size : int, default 10
        How many steps the direction comes from.
    max_evaluations : int, default 25
        How many lengths a step tries at most.
    weight_decay : float, default 0
        lambda of a penalty that is minimized with the loss, lambda/2 times the sum of the squares
        of all parameters. Not negative.
    constraints : dict, optional
        As in `SGD`, but for `MaxNorm` and `L1`.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range or no number.

    Examples
    --------
    >>> import crnn, numpy as np
    >>> x = np.random.default_rng(0).standard_normal((20, 30, 1))
    >>> y = crnn.RNN(1, 2, 1, dtype="float64", seed=9).predict(x)
    >>> net = crnn.RNN(1, 2, 1, dtype="float64", seed=1)
    >>> history = net.fit(x, y, epochs=150, optimizer=crnn.LBFGS())
    >>> net.loss(x, y) < 1e-15
    True
    """

    searches = True

    def __init__(
        self,
        lr: float | Callable[[int], float] = 1.0,
        history_size: int = 10,
        max_evaluations: int = 25,
        weight_decay: float = 0.0,
        *,
        constraints: ConstraintsLike | None = None,
    ) -> None:
        self.history_size = checks.integer("history_size", history_size, at_least=1)
        self.max_evaluations = checks.integer("max_evaluations", max_evaluations, at_least=1)
        super().__init__(
            lr,
            constraints,
            weight_decay=checks.number("weight_decay", weight_decay, at_least=0.0),
        )
        self._vectors = tuple(
            f"{name}_{age}" for age in range(self.history_size) for name in ("step", "change")
        )

    def settings(self) -> dict[str, Any]:
        """Return its arguments by name; a learning rate that is a function is not kept."""
        settings = super().settings()
        own = {"history_size": self.history_size, "max_evaluations": self.max_evaluations}
        return {"lr": settings.pop("lr")} | own | settings

    def step_along(
        self,
        theta: Array,
        loss: float,
        gradient: Array,
        objective: Callable[[], tuple[float, Array]],
        limits: Constraints | None = None,
    ) -> tuple[float, Array]:
        """Take one step in place.

        Parameters
        ----------
        theta : array (n,)
            Parameters; changed.
        loss : float
            The loss there.
        gradient : array (n,)
            Its gradient.
        objective : function
            Returns loss and gradient at theta.
        limits : Constraints, optional
            Bounds, which theta meets.

        Returns
        -------
        loss : float
        gradient : array (n,)
            After the step.
        """
        lr, decay = self.current_lr, self.weight_decay
        first = theta.astype(np.float64)
        memory = self._memory_of(theta)
        pairs = _pairs(list(memory.values()))
        start = _penalized(0.0, loss, gradient, first, decay)
        lower: Any = -np.inf
        upper: Any = np.inf
        if limits is not None and limits.lower is not None and limits.upper is not None:
            lower, upper = limits.lower.astype(np.float64), limits.upper.astype(np.float64)
        # What would leave its bounds at once stays; the step is Newton's for the others.
        downhill = -start.gradient
        is_free = ~((first <= lower) & (downhill < 0) | (first >= upper) & (downhill > 0))
        downhill *= is_free
        free_pairs = _free(pairs, is_free)
        direction = _inverse_hessian_times(downhill, free_pairs)
        slope = float(direction @ start.gradient)
        if not slope < 0:
            # Rounding: begin anew along the gradient.
            pairs, free_pairs, direction = [], [], downhill
            slope = float(direction @ start.gradient)
        if not free_pairs:
            lr *= min(1.0, 1 / max(float(np.abs(downhill).sum()), np.finfo(float).tiny))
        raw = {0.0: (loss, gradient)}

        def evaluate(t: float) -> Point:
            line = first + t * direction
            place = np.clip(line, lower, upper)
            theta[...] = place
            raw[t] = objective()
            point = _penalized(t, *raw[t], theta.astype(np.float64), decay)
            # Along the bounds that it has met the line goes on without what they hold.
            moving = direction * ((line > lower) & (line < upper))
            promise = float(start.gradient @ (place - first))
            return point._replace(slope=float(moving @ point.gradient), promise=promise)

        found = start
        try:
            if slope < 0 and lr > 0:
                with np.errstate(all="ignore"):
                    found = search(evaluate, start._replace(slope=slope), lr, self.max_evaluations)
            theta[...] = np.clip(first + found.t * direction, lower, upper)
            step = theta - first
            change = found.gradient - start.gradient
            if _has_curvature(step, change):
                pairs = [(step, change), *pairs][: self.history_size]
            elif not found.t:
                pairs = []
            vectors = [vector.astype(theta.dtype) for pair in pairs for vector in pair]
            vectors += [np.zeros_like(theta) for _ in range(2 * self.history_size - len(vectors))]
            names = dict(zip(self._vectors, vectors, strict=True))
            self.restore(theta, names, self.steps + 1, found.t)
        except BaseException:
            theta[...] = first
            raise
        return raw[found.t]


def _pairs(vectors: list[Array | None]) -> list[tuple[FloatArray, FloatArray]]:
    """Return the steps and the changes of the gradient, the last ones first."""
    pairs = []
    for step, change in zip(vectors[::2], vectors[1::2], strict=True):
        if step is not None and change is not None and step.any():
            pairs.append((step.astype(np.float64), change.astype(np.float64)))
    return pairs


def _free(
    pairs: list[tuple[FloatArray, FloatArray]], is_free: npt.NDArray[Any]
) -> list[tuple[FloatArray, FloatArray]]:
    """Return the pairs of the free parameters alone, if these have curvature."""
    if is_free.all():
        return pairs
    parts = [(step * is_free, change * is_free) for step, change in pairs]
    return [part for part in parts if _has_curvature(*part)]


def _has_curvature(step: FloatArray, change: FloatArray) -> bool:
    """Whether the product of a pair is positive beyond rounding."""
    product = float(step @ change)
    return product > LEAST_CURVATURE * math.sqrt(float(step @ step) * float(change @ change))


def _penalized(t: float, loss: float, gradient: Array, theta: FloatArray, decay: float) -> Point:
    """Return the point of a loss and its gradient, with the penalty on theta; without a slope."""
    whole = gradient.astype(np.float64) + decay * theta
    return Point(t, loss + 0.5 * decay * float(theta @ theta), 0.0, whole)


def _inverse_hessian_times(
    gradient: FloatArray, pairs: list[tuple[FloatArray, FloatArray]]
) -> FloatArray:
    """Return the product by the two-loop recursion (algorithm 7.4 of Nocedal and Wright 2006)."""
    q, factors = gradient.copy(), []
    for step, change in pairs:
        factor = float(step @ q) / float(step @ change)
        q -= factor * change
        factors.append(factor)
    if pairs:
        step, change = pairs[0]
        q *= float(step @ change) / float(change @ change)
    for (step, change), factor in zip(reversed(pairs), reversed(factors), strict=True):
        q += (factor - float(change @ q) / float(step @ change)) * step
    return q
