"""Recipes: how a series is transformed before it is predicted, and from which lags."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Recipe"]

Floats: TypeAlias = npt.NDArray[np.float64]


class Recipe(NamedTuple):
    """The transformation of a series and the lags that predict the transformed numbers.

    Attributes
    ----------
    log : bool
        Whether logarithms are taken.
    differences : tuple of int
        Lags of the differences, which are taken one after another.
    lags : tuple of int
        The transformed numbers that the linear part reads: so many steps back, 1 is the last one.
    season : int
        Steps of a season, 0 for none.
    """

    log: bool
    differences: tuple[int, ...]
    lags: tuple[int, ...]
    season: int

    @property
    def longest_lag(self) -> int:
        """Transformed numbers that a prediction needs before it."""
        return max(*self.lags, self.season)

    @property
    def needed(self) -> int:
        """Numbers of the series that a prediction needs before it."""
        return sum(self.differences) + self.longest_lag

    def __str__(self) -> str:
        parts = ["logarithms"] if self.log else []
        parts += [f"differences of lag {lag}" for lag in self.differences]
        run = next(lag for lag in range(1, self.lags[-1] + 1) if lag + 1 not in self.lags)
        lags = [f"1 to {run}" if run > 1 else "1", *(str(lag) for lag in self.lags if lag > run)]
        return ", ".join([*parts, f"linear in the lags {' and '.join(lags)}"])

    def transform(self, values: Floats) -> Floats:
        """Transform a series.

        Parameters
        ----------
        values : array (..., time)

        Returns
        -------
        array (..., time - sum of differences)
        """
        z: Floats = np.log(values) if self.log else values
        for lag in self.differences:
            z = z[..., lag:] - z[..., :-lag]
        return z

    def restore(self, values: Floats, z_next: Floats) -> Floats:
        """Undo the transformation of the number that follows a series.

        Parameters
        ----------
        values : array (..., time)
            The series before that number.
        z_next : array (...)
            The number, transformed.

        Returns
        -------
        array (...)
        """
        levels: list[Any] = [np.log(values) if self.log else values]
        for lag in self.differences:
            levels.append(levels[-1][..., lag:] - levels[-1][..., :-lag])
        for lag, level in zip(reversed(self.differences), reversed(levels[:-1]), strict=True):
            z_next = z_next + level[..., -lag]
        # exp(709.8) is the largest float64: a diverging forecast stays finite.
        return np.exp(np.minimum(z_next, 700.0)) if self.log else z_next
