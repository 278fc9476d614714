"""A line search for the strong Wolfe conditions.

Algorithms 3.5 and 3.6 of Nocedal and Wright 2006, "Numerical Optimization", with a limit on the
number of points.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from crnn._typing import Array

# Nocedal and Wright's constants for quasi-Newton methods: the loss falls by at least this share of
# what the slope promises, and the slope becomes at most this share of the first one.
SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9
# A longer step is at most this many times as long as the one before.
MOST_GROWTH = 10.0
# A new point keeps this share of the interval away from both ends.
MARGIN = 0.1


class Point(NamedTuple):
    """A place on the line."""

    t: float
    """The step length that leads there from the start."""
    loss: float
    slope: float
    """The derivative of the loss by t."""
    gradient: Array
    promise: float = 0.0
    """The change of the loss from the start by its gradient there."""

    @property
    def is_finite(self) -> bool:
        """Whether loss and slope are finite."""
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def search(evaluate: Callable[[float], Point], start: Point, t: float, most_points: int) -> Point:
    """Return a point that meets the strong Wolfe conditions, or the best one found.

    Parameters
    ----------
    evaluate : function
        Returns the point of a step length above 0. What is not finite counts as too long a step.
    start : Point
        That of t = 0, with a slope below 0.
    t : float
        The step length tried first.
    most_points : int
        How often `evaluate` is called at most.

    Returns
    -------
    Point
        `start` if no point with sufficient decrease was found.
    """
    before = start
    for count in range(1, most_points + 1):
        point = evaluate(t)
        if not _decreases(point, start) or (count > 1 and point.loss >= before.loss):
            return _between(evaluate, start, before, point, most_points - count)
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point
        if point.slope >= 0:
            return _between(evaluate, start, point, before, most_points - count)
        t = _minimum(before, point, point.t + MARGIN * (point.t - before.t), MOST_GROWTH * point.t)
        before = point
    return before


def _between(
    evaluate: Callable[[float], Point], start: Point, low: Point, high: Point, most_points: int
) -> Point:
    """Search between two points, of which `low` decreases sufficiently and has the lower loss."""
    for _ in range(most_points):
        width = high.t - low.t
        if high.is_finite:
            t = _minimum(low, high, low.t + MARGIN * width, high.t - MARGIN * width)
        else:
            t = low.t + MARGIN * width
        if t in (low.t, high.t):
            break
        point = evaluate(t)
        if not _decreases(point, start) or point.loss >= low.loss:
            high = point
            continue
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point
        if point.slope * width >= 0:
            high = low
        low = point
    return low


def _decreases(point: Point, start: Point) -> bool:
    """Whether the loss is finite and low enough (Armijo)."""
    wanted = start.loss + SUFFICIENT_DECREASE * point.promise
    return point.is_finite and point.promise < 0 and point.loss <= wanted


def _minimum(a: Point, b: Point, first: float, last: float) -> float:
    """Return where the cubic through two points is lowest, not outside of `first` and `last`.

    Equation 3.59 of Nocedal and Wright. Without a minimum: the middle of `first` and `last`.
    """
    first, last = min(first, last), max(first, last)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square >= 0:
        d2 = math.copysign(math.sqrt(square), b.t - a.t)
        divisor = b.slope - a.slope + 2 * d2
        if divisor:
            t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / divisor
            if math.isfinite(t):
                return min(max(t, first), last)
    return (first + last) / 2
