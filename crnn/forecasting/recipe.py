"""Recipes: how a series is transformed before it is predicted, and from what."""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["EFFECTS", "Floats", "Recipe", "differenced"]

Floats: TypeAlias = npt.NDArray[np.float64]

# exp(709.8) is the largest float64.
LARGEST_LOGARITHM = 700.0
# By preference: the last one first
EFFECTS = ("none", "step", "level")


class Recipe(NamedTuple):
    """The transformation of a series, and what predicts the transformed numbers.

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
    drift : bool
        Whether the transformed numbers may have a mean other than 0.
    effects : {"none", "level", "step"}
        What the linear part reads of the further columns. "level": their effects are subtracted
        from the series before it is differenced (a regression whose errors are autoregressive).
        "step": they are added to each prediction of a transformed number, and last as long as the
        series remembers them.
    averaged_with : int
        Forecasts are the mean of those so far and of the numbers of a season of so many steps
        before; 0: they are not.
    """

    log: bool
    differences: tuple[int, ...]
    lags: tuple[int, ...]
    season: int
    drift: bool = True
    effects: str = "none"
    averaged_with: int = 0

    @property
    def longest_lag(self) -> int:
        """Transformed numbers that the linear part needs before a prediction."""
        return max(self.lags, default=0)

    @property
    def needed(self) -> int:
        """Numbers of the series that a prediction needs before it."""
        return max(1, sum(self.differences) + self.longest_lag, self.averaged_with)

    def __str__(self) -> str:
        parts = ["logarithms"] if self.log else []
        if self.lags:
            parts += [f"differences of lag {lag}" for lag in self.differences]
            run = next(lag for lag in range(1, self.lags[-1] + 1) if lag + 1 not in self.lags)
            lags = [f"1 to {run}" if run > 1 else "1"]
            lags += [str(lag) for lag in self.lags if lag > run]
            parts.append(f"linear in the lags {' and '.join(lags)}")
        elif self.differences == (1,):
            parts.append("the last number" + (" and a steady drift" if self.drift else ""))
        elif len(self.differences) > 1:
            season = self.differences[0]
            parts.append(f"the last number, changed as a season of {season} before")
        elif self.differences:
            drift = " and a steady drift" if self.drift else ""
            parts.append(f"the same as a season of {self.differences[0]} before{drift}")
        else:
            parts.append("the mean")
        if self.effects != "none":
            parts.append(f"effects of the further columns on each {self.effects}")
        if self.averaged_with:
            parts.append(f"averaged with the same as a season of {self.averaged_with} before")
        return ", ".join(parts)

    def from_levels(self, levels: Floats) -> Floats:
        """Return numbers of the series: the levels, or the exponentials of logarithms.

        Parameters
        ----------
        levels : array
            Of any shape.

        Returns
        -------
        array
            Of that shape, finite.
        """
        return np.exp(np.minimum(levels, LARGEST_LOGARITHM)) if self.log else levels

    def transform(self, levels: Floats) -> Floats:
        """Take the differences of a series, or of its logarithms if the recipe takes them.

        Parameters
        ----------
        levels : array (..., time)

        Returns
        -------
        array (..., time - sum of differences)
        """
        return differenced(levels, self.differences)


def differenced(values: Floats, differences: tuple[int, ...]) -> Floats:
    """Take differences along the last axis.

    Parameters
    ----------
    values : array (..., time)
    differences : tuple of int
        Their lags.

    Returns
    -------
    array (..., time - sum of differences)
    """
    for lag in differences:
        values = values[..., lag:] - values[..., :-lag]
    return values
