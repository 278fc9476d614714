"""Means and variances of numbers that come one after another."""

from typing import Any, NamedTuple

__all__ = ["RunningScale"]


class RunningScale(NamedTuple):
    """The mean and the variance of the numbers so far, or of some columns of numbers.

    It is never changed: `updated` returns another one.

    Parameters
    ----------
    seen : int
        How many numbers, or rows, there were.
    mean : float or array (columns,)
    variance : float or array (columns,)
        Around the mean, divided by how many there were.
    """

    seen: int = 0
    mean: Any = 0.0
    variance: Any = 0.0

    def updated(self, value: Any, memory: float = float("inf")) -> "RunningScale":
        """Return the mean and the variance with one more number.

        Parameters
        ----------
        value : float or array (columns,)
        memory : float
            From so many numbers on, each new one has the weight of one in `memory`, and the weights
            of earlier ones decay. By default all have the same weight.

        Returns
        -------
        RunningScale
        """
        seen = self.seen + 1
        rate = 1 / min(seen, memory)
        difference = value - self.mean
        return RunningScale(
            seen,
            self.mean + rate * difference,
            (1 - rate) * (self.variance + rate * difference * difference),
        )
