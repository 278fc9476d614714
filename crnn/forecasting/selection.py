"""Choices made on validation data: recipe, share of the network, order of an autoregression."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crnn.forecasting import linear
from crnn.forecasting.fitted import Fitted
from crnn.forecasting.recipe import Floats, Recipe

__all__ = [
    "autoregression",
    "choose_order",
    "choose_recipe",
    "choose_share",
    "spread_origins",
    "true_values",
    "validation_size",
]

# Orders of autoregressions that are tried: roughly logarithmic steps
ORDERS = (1, 2, 3, 5, 8, 13, 21)
# A later, longer recipe has to have less than this share of the lowest error so far,
RECIPE_ERROR_SHARE = 0.98
# and a network less than this share of the error of the linear part.
NETWORK_ERROR_SHARE = 0.94
# Shares of the network's correction that are tried
SHARES = (0.5, 1.0)
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
        if error < lowest * (RECIPE_ERROR_SHARE if best else 1):
            best, lowest = recipe, error
    return best or Recipe(log=False, differences=(1,), lags=(1,), season=0)


def choose_share(
    fitted: Fitted, series: Floats, features: Floats, first: int, horizon: int
) -> float:
    """Return the share of the network's correction with the lowest validation error.

    Parameters
    ----------
    fitted : Fitted
    series : array (time,)
    features : array (time, columns)
    first : int
        Where the validation data begins.
    horizon : int

    Returns
    -------
    float
        0 if the network does not help in both halves of the validation data: a chance improvement
        seldom lasts.
    """
    origins = spread_origins(first, len(series), horizon, ORIGINS)
    truth = true_values(series, origins, horizon)

    def errors(share: float) -> Floats:
        """Return the root mean square errors of the earlier and the later half."""
        forecasts = fitted.forecast(series, features, origins, horizon, share)
        squares = np.mean((forecasts - truth) ** 2, axis=1)
        halves = np.array_split(squares, 2) if len(squares) > 1 else [squares]
        return np.sqrt([np.mean(half) for half in halves])

    alone = errors(0.0)
    best, lowest = min(
        ((share, errors(share)) for share in SHARES), key=lambda item: float(item[1].sum())
    )
    helps = lowest.sum() < NETWORK_ERROR_SHARE * alone.sum() and (lowest < alone).all()
    return best if helps else 0.0


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
