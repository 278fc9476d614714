"""Choices made on validation data: the recipe of a forecaster, the order of an autoregression."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crnn.forecasting import linear
from crnn.forecasting.recipe import Floats, Recipe

__all__ = [
    "autoregression",
    "choose_order",
    "choose_recipe",
    "spread_origins",
    "true_values",
    "validation_size",
]

# Orders of autoregressions that are tried: roughly logarithmic steps
ORDERS = (1, 2, 3, 5, 8, 13, 21)
# A later, longer recipe has to have at most this share of the best error so far.
MAX_ERROR_SHARE = 0.98
# Forecasts that a validation error is computed from
ORIGINS = 60


def validation_size(n: int, horizon: int) -> int:
    """Return how many of n numbers are validation data: a quarter, of long series less."""
    return max(min(n // 4, max(4 * horizon, 40)), horizon)


def spread_origins(first: int, end: int, horizon: int, most: int) -> npt.NDArray[np.intp]:
    """Return up to `most` evenly spread places from `first` on with `horizon` numbers after each.

    Parameters
    ----------
    first, end : int
        The part of a series that forecasts are compared with.
    horizon : int
        Steps of each forecast.
    most : int

    Returns
    -------
    array (n,) of int
    """
    last = end - horizon
    return np.unique(np.linspace(first, last, min(most, last - first + 1)).astype(np.intp))


def true_values(series: Floats, origins: npt.NDArray[np.intp], horizon: int) -> Floats:
    """Return what forecasts from each origin on are compared with, (origins, horizon)."""
    values: Floats = series[origins[:, None] + np.arange(horizon)]
    return values


def autoregression(order: int) -> Recipe:
    """Return the recipe of a plain autoregression."""
    return Recipe(log=False, differences=(), lags=tuple(range(1, order + 1)), season=0)


def choose_order(series: Floats, horizon: int) -> int:
    """Return the order of the plain autoregression with the lowest validation error.

    Parameters
    ----------
    series : array (time,)
    horizon : int

    Returns
    -------
    int
    """
    first = len(series) - validation_size(len(series), horizon)
    return min(
        (order for order in ORDERS if order < first // 4),
        key=lambda order: _linear_error(series, autoregression(order), first, horizon),
    )


def choose_recipe(
    series: Floats, first: int, horizon: int, *, seasons: list[int], logarithms: bool
) -> Recipe:
    """Return the recipe whose linear part has the lowest validation error, or nearly so.

    Parameters
    ----------
    series : array (time,)
    first : int
        Where the validation data begins.
    horizon : int
    seasons : list of int
        Candidates, beside no season.
    logarithms : bool
        Whether logarithms may be taken.

    Returns
    -------
    Recipe
    """
    best, lowest = None, math.inf
    for recipe in _candidates(seasons, logarithms):
        if 3 * recipe.needed > first or 4 * len(recipe.lags) > first - recipe.needed:
            continue
        error = _linear_error(series, recipe, first, horizon)
        if error < lowest * (MAX_ERROR_SHARE if best else 1):
            best, lowest = recipe, error
    return best or Recipe(log=False, differences=(1,), lags=(1,), season=0)


def _candidates(seasons: list[int], logarithms: bool) -> Iterator[Recipe]:
    """Yield recipes, simpler ones first."""
    for season in (0, *seasons):
        seasonal = [(season,), (season, 1)] if season else []
        for differences, log, order in itertools.product(
            [(), *seasonal, (1,)], (False, True) if logarithms else (False,), ORDERS
        ):
            lags = {*range(1, order + 1), *((season, season + 1) if season else ())}
            yield Recipe(log, differences, tuple(sorted(lags)), season)


def _linear_error(series: Floats, recipe: Recipe, first: int, horizon: int) -> float:
    """Return the root mean square error from `first` on of a linear part fitted before it."""
    coefficients = linear.fit(recipe.transform(series[:first]), recipe)
    origins = spread_origins(first, len(series), horizon, ORIGINS)
    forecasts = linear.forecast(series, recipe, coefficients, origins, horizon)
    # A diverging forecast overflows.
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean((forecasts - true_values(series, origins, horizon)) ** 2)))
    return error if math.isfinite(error) else math.inf
