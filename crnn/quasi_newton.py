"""L-BFGS: an optimizer that takes all data for each step and searches for the step's length."""

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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
    history_size : int, default 25
        How many steps the direction comes from. More of them make the loss lower after as many
        steps, and a step longer: on eleven small problems 25 took 0.84 of the time of 10 to the
        loss after 600 steps, and 0.9 of that of 40.
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
        history_size: int = 25,
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

    def restore(self, theta: Array, memory: dict[str, Array], steps: int, last_lr: float) -> None:
        """Set the state as `Optimizer.restore` does, but for pairs that no step would have kept."""
        history = self._history(memory)
        with np.errstate(all="ignore"):
            pairs = history[[_has_curvature(*pair) for pair in history]]
        super().restore(theta, self._named(pairs, theta), steps, last_lr)

    def _history(self, memory: Mapping[str, Array | None]) -> FloatArray:
        """Return steps and changes of the gradient (history_size, 2, n), the last ones first."""
        vectors = np.array([memory[name] for name in self._vectors], np.float64)
        return vectors.reshape(self.history_size, 2, -1)

    def _named(self, pairs: FloatArray, theta: Array) -> dict[str, Array]:
        """Return pairs (k, 2, n), and zeros for those that are not there, by name."""
        vectors = np.zeros((2 * self.history_size, len(theta)), theta.dtype)
        vectors[: 2 * len(pairs)] = pairs.reshape(-1, len(theta))
        return dict(zip(self._vectors, vectors, strict=True))

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
        lr = self.current_lr  # a user's function, outside of what is ignored below
        with np.errstate(all="ignore"):
            return self._step_along(theta, loss, gradient, objective, limits, lr)

    def _step_along(
        self,
        theta: Array,
        loss: float,
        gradient: Array,
        objective: Callable[[], tuple[float, Array]],
        limits: Constraints | None,
        lr: float,
    ) -> tuple[float, Array]:
        decay = self.weight_decay
        first = theta.astype(np.float64)
        history = self._history(self._memory_of(theta))
        pairs = history[: np.count_nonzero(history[:, 0].any(axis=1))]
        start = _penalized(0.0, loss, gradient, first, decay)
        downhill = -start.gradient
        lower: Any = None
        upper: Any = None
        free_pairs = pairs
        if limits is not None and limits.lower is not None and limits.upper is not None:
            lower, upper = limits.lower.astype(np.float64), limits.upper.astype(np.float64)
            # What would leave its bounds at once stays; the step is Newton's for the others.
            stays = (first <= lower) & (downhill < 0) | (first >= upper) & (downhill > 0)
            downhill[stays] = 0
            free_pairs = np.where(stays, 0, pairs)
            free_pairs = free_pairs[[_has_curvature(*pair) for pair in free_pairs]]
        direction = _inverse_hessian_times(downhill, free_pairs)
        slope = float(direction @ start.gradient)
        if not slope < 0:
            # Rounding: begin anew along the gradient.
            pairs = free_pairs = history[:0]
            direction = downhill
            slope = float(direction @ start.gradient)
        if not len(free_pairs):
            lr *= min(1.0, 1 / max(float(np.abs(downhill).sum()), np.finfo(float).tiny))
        raw = {0.0: (loss, gradient)}

        def place_of(t: float) -> FloatArray:
            line: FloatArray = first + t * direction
            return line if lower is None else np.clip(line, lower, upper)

        def evaluate(t: float) -> Point:
            place = place_of(t)
            theta[...] = place
            raw[t] = objective()
            point = _penalized(t, *raw[t], theta.astype(np.float64, copy=False), decay)
            moving = direction
            if lower is not None:
                # Along the bounds that it has met the line goes on without what they hold.
                moving = direction * ((place > lower) & (place < upper))
            promise = float(start.gradient @ (place - first))
            return point._replace(slope=float(moving @ point.gradient), promise=promise)

        found = start
        try:
            if slope < 0 and lr > 0:
                found = search(evaluate, start._replace(slope=slope), lr, self.max_evaluations)
            theta[...] = place_of(found.t)
            pair = np.array([theta - first, found.gradient - start.gradient], theta.dtype)
            pair = pair.astype(np.float64, copy=False)
            if _has_curvature(*pair):
                pairs = np.concatenate([pair[None], pairs[: self.history_size - 1]])
            elif not found.t:
                # Nothing lower along this direction: begin anew along the gradient.
                pairs = history[:0]
            super().restore(theta, self._named(pairs, theta), self.steps + 1, found.t)
        except BaseException:
            theta[...] = first
            raise
        return raw[found.t]


def _has_curvature(step: FloatArray, change: FloatArray) -> bool:
    """Whether the product of a pair is positive beyond rounding and underflow."""
    product, squares = float(step @ change), float(step @ step) * float(change @ change)
    return product > max(LEAST_CURVATURE * math.sqrt(squares), sys.float_info.min)


def _penalized(t: float, loss: float, gradient: Array, theta: FloatArray, decay: float) -> Point:
    """Return the point of a loss and its gradient, with the penalty on theta; without a slope."""
    whole: FloatArray = gradient.astype(np.float64, copy=False)
    if decay:
        loss += 0.5 * decay * float(theta @ theta)
        whole = whole + decay * theta
    return Point(t, loss, 0.0, whole)


def _inverse_hessian_times(gradient: FloatArray, pairs: FloatArray) -> FloatArray:
    """Return the product of L-BFGS's inverse Hessian and a vector (n,).

    Theorem 2.2 of Byrd, Nocedal and Schnabel 1994, "Representations of quasi-Newton matrices and
    their use in limited memory methods": with all pairs at once it takes half the time of a loop.

    Parameters
    ----------
    gradient : array (n,)
    pairs : array (k, 2, n)
        Steps and the changes of the gradient, the last ones first.
    """
    if not len(pairs):
        return gradient
    S, Y = pairs[:, 0], pairs[:, 1]
    products, squares = S @ Y.T, Y @ Y.T
    gamma = products[0, 0] / squares[0, 0]
    # An earlier step with a later change of the gradient: above the diagonal where the oldest pair
    # comes first, below it here.
    R = np.tril(products)
    # Backwards, as an upper triangle, in which `solve` exchanges no rows: that would be inexact.
    u = np.linalg.solve(R[::-1, ::-1], (S @ gradient)[::-1])[::-1]
    v = np.linalg.solve(R.T, R.diagonal() * u + gamma * (squares @ u - Y @ gradient))
    product: FloatArray = gamma * (gradient - u @ Y) + v @ S
    return product
