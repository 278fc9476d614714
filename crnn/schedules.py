"""Learning rate schedules: functions from the number of steps taken so far to a rate.

>>> import crnn
>>> rate = crnn.schedules.warmup(crnn.schedules.cosine(0.1, steps=1000), steps=10)
>>> crnn.Adam(rate)
Adam(lr=a function, beta1=0.9, beta2=0.999, eps=1e-08)
"""

import math
from collections.abc import Callable

from crnn import checks

__all__ = ["cosine", "exponential", "steps", "warmup"]


def exponential(lr: float, factor: float, every: int = 1) -> Callable[[int], float]:
    """Return lr * factor^(step / every).

    Parameters
    ----------
    lr : float
        The rate of the first step.
    factor : float
        Above 0.
    every : int
        Steps after which the rate has been multiplied once.

    Returns
    -------
    function
        From the number of steps taken so far to the rate of the next step.

    Raises
    ------
    ValueError, TypeError
        An argument is out of its range or no number.

    Examples
    --------
    >>> import crnn
    >>> rate = crnn.schedules.exponential(0.1, factor=0.5, every=10)
    >>> rate(0), rate(10), rate(20)
    (0.1, 0.05, 0.025)
    """
    lr = checks.number("lr", lr, at_least=0.0)
    factor = checks.number("factor", factor, above=0.0)
    every = checks.integer("every", every, at_least=1)
    return lambda step: lr * factor ** (step / every)


def steps(lr: float, factor: float, every: int) -> Callable[[int], float]:
    """Return lr, multiplied by factor after each `every` steps.

    Parameters
    ----------
    lr : float
        The rate of the first step.
    factor : float
        Above 0.
    every : int
        Steps between two changes of the rate.

    Returns
    -------
    function
        From the number of steps taken so far to the rate of the next step.

    Raises
    ------
    ValueError, TypeError
        An argument is out of its range or no number.
    """
    lr = checks.number("lr", lr, at_least=0.0)
    factor = checks.number("factor", factor, above=0.0)
    every = checks.integer("every", every, at_least=1)
    return lambda step: lr * factor ** (step // every)


def cosine(lr: float, steps: int, final: float = 0.0) -> Callable[[int], float]:
    """Return half a cosine from lr to final, then final (Loshchilov and Hutter 2017, no restarts).

    Parameters
    ----------
    lr : float
        The rate of the first step.
    steps : int
        Steps after which the rate is `final`.
    final : float, default 0
        The rate from then on.

    Returns
    -------
    function
        From the number of steps taken so far to the rate of the next step.

    Raises
    ------
    ValueError, TypeError
        An argument is out of its range or no number.
    """
    lr = checks.number("lr", lr, at_least=0.0)
    final = checks.number("final", final, at_least=0.0)
    steps = checks.integer("steps", steps, at_least=1)

    def rate(step: int) -> float:
        return final + (lr - final) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2

    return rate


def warmup(lr: float | Callable[[int], float], steps: int) -> Callable[[int], float]:
    """Return a rate that grows linearly to lr over the first `steps` steps.

    Parameters
    ----------
    lr : float or function
        A rate, or another schedule, which counts the same steps.
    steps : int
        Steps until the full rate; the first one has 1 / steps of it.

    Returns
    -------
    function
        From the number of steps taken so far to the rate of the next step.

    Raises
    ------
    ValueError, TypeError
        An argument is out of its range or no number.
    """
    schedule = lr
    if not callable(schedule):
        constant = checks.number("lr", schedule, at_least=0.0)
        schedule = lambda step: constant  # noqa: E731
    steps = checks.integer("steps", steps, at_least=1)
    of_step = schedule
    return lambda step: of_step(step) * min(1.0, (step + 1) / steps)
