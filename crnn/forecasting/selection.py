"""Choices made on validation data: recipe, share of the network, order of an autoregression."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crnn.forecasting import linear
from crnn.forecasting.columns import Columns, column_limits
from crnn.forecasting.fitted import Fitted
from crnn.forecasting.recipe import EFFECTS, Floats, Recipe
from crnn.forecasting.training import damping_of

__all__ = [
    "autoregression",
    "autoregressive",
    "choose_order",
    "choose_recipes",
    "choose_share",
    "spread_origins",
    "true_values",
    "validation_size",
]

# Orders of autoregressions that are tried: roughly logarithmic steps
ORDERS = (1, 2, 3, 5, 8, 13, 21)
# With a seasonal difference, up to this order also without the lags of a season before
LARGEST_SHORT_ORDER = 3
# A recipe of more than the last number has to have an error smaller by this, over the root of how
# many numbers it is fitted to.
CAUTION = 1.0
# Where there is a season, and m forecasts of the validation data do not overlap, a recipe's mean
# squared error has to be below that of the season before when it is multiplied by
# 1 + ALONE / m^2, or by 1 + AVERAGED / m for the mean of both forecasts (Bates and Granger 1969):
# it is the lowest of many, and few forecasts say little of the next.
ALONE, AVERAGED = 12.0, 3.0
# From so many numbers on, a season that is long for the horizon is not preferred.
LONG = 60
# A later, longer recipe has to have less than this share of the lowest error so far,
# and to gain so many standard errors in squared errors;
RECIPE_ERROR_SHARE, STANDARD_ERRORS = 0.98, 1.0
# a network has to have less than this share of the error of the linear part.
NETWORK_ERROR_SHARE = 0.94
# Shares of the network's correction that are tried
SHARES = (0.5, 1.0)
# Forecasts that a validation error is computed from, at least, and so many steps together
ORIGINS, FORECAST_STEPS = 60, 1200


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
    none = Columns.none(len(series))
    return min(
        (order for order in ORDERS if order < max(first // 4, 2)),
        key=lambda order: _root_mean(
            _linear_squares(series, none, autoregression(order), first, horizon)
        ),
    )


def autoregressive(
    series: Floats, order: int, first: int, origins: npt.NDArray[np.intp], horizon: int
) -> Floats:
    """Forecast by a plain autoregression that is fitted before `first`.

    Parameters
    ----------
    series : array (time,)
    order : int
    first : int
    origins : array (n,) of int
    horizon : int

    Returns
    -------
    array (n, horizon)
    """
    recipe = autoregression(order)
    slopes = linear.fit(series[:first], recipe, stable=False).slopes
    before = series[origins[:, None] + np.arange(-recipe.needed, 0)]
    return linear.forecast(before, linear.Extrapolation.of(recipe, slopes, 1.0), horizon)


def choose_recipes(
    series: Floats,
    columns: Columns,
    first: int,
    horizon: int,
    *,
    seasons: list[int],
    logarithms: bool,
) -> list[Recipe]:
    """Return the recipe whose linear part has the lowest validation error, or nearly so.

    If its linear part reads further columns, also the best one that leaves them to the network.

    Parameters
    ----------
    series : array (time,)
        Without its exceptions.
    columns : Columns
    first : int
        Where the validation data begins.
    horizon : int
    seasons : list of int
        Candidates, beside no season.
    logarithms : bool
        Whether logarithms may be taken.

    Returns
    -------
    list of Recipe
    """
    columns = columns.limited(column_limits(columns.first(first)))

    def best_of(recipes: Iterator[Recipe]) -> tuple[Recipe | None, float]:
        """Return the best recipe, or an earlier one that is nearly as good, and its error."""
        best, lowest, best_squares = None, math.inf, np.zeros(0)
        for recipe in recipes:
            size = len(recipe.lags) + recipe.drift
            size += columns.width if recipe.effects != "none" else 0
            if recipe.needed > first or 4 * size > first - recipe.needed:
                continue
            if recipe.longest_lag > recipe.season and 3 * recipe.needed > first:
                continue
            squares = _linear_squares(series, columns, recipe, first, horizon)
            error = _root_mean(squares)
            if best is None or (
                error < lowest * RECIPE_ERROR_SHARE and _is_better(squares, best_squares)
            ):
                best, lowest, best_squares = recipe, error, squares
        return best, lowest

    def choose(effects: tuple[str, ...]) -> Recipe:
        """Return the best recipe with one of these effects."""
        simple, simple_error = best_of(_simple_recipes(seasons, effects))
        best, lowest = best_of(_recipes(seasons, logarithms, effects))
        if best is None or simple is None:
            return best or simple or Recipe(False, (1,), (), 0, drift=False)
        if first >= LONG and simple.season > 4 * horizon:
            return best if lowest * RECIPE_ERROR_SHARE < simple_error else simple
        if not simple.season:
            return best if lowest < (1 - CAUTION / math.sqrt(first)) * simple_error else simple
        independent = (len(series) - first) / horizon
        if lowest * math.sqrt(1 + ALONE / independent**2) < simple_error:
            return best
        if lowest * math.sqrt(1 + AVERAGED / independent) < simple_error:
            # Effects on the step are not those of the season before.
            return best if best.effects == "step" else best._replace(averaged_with=simple.season)
        return simple

    plain = choose(("none",))
    if not columns.width:
        return [plain]
    recipe = choose(EFFECTS)
    return [plain] if recipe.effects == "none" else [recipe, plain]


def choose_share(
    fitted: Fitted, series: Floats, columns: Columns, first: int, horizon: int
) -> tuple[float, float]:
    """Return the share of the network's correction with the lowest validation error, and the error.

    Parameters
    ----------
    fitted : Fitted
    series : array (time,)
    columns : Columns
    first : int
        Where the validation data begins.
    horizon : int

    Returns
    -------
    share : float
        0 if the network does not help in both halves of the validation data: a chance improvement
        seldom lasts.
    error : float
        Sum of the root mean square errors of both halves.
    """
    origins = spread_origins(first, len(series), horizon, max(ORIGINS, FORECAST_STEPS // horizon))
    truth = true_values(series, origins, horizon)

    def errors(share: float) -> Floats:
        """Return the root mean square errors of the earlier and the later half."""
        forecasts = fitted.forecast(series, columns, origins, horizon, share)
        squares = np.mean((forecasts - truth) ** 2, axis=1)
        halves = np.array_split(squares, 2) if len(squares) > 1 else [squares]
        return np.sqrt([np.mean(half) for half in halves])

    alone = errors(0.0)
    if not fitted.share:
        return 0.0, float(alone.sum())
    best, lowest = min(
        ((share, errors(share)) for share in SHARES), key=lambda item: float(item[1].sum())
    )
    helps = lowest.sum() < NETWORK_ERROR_SHARE * alone.sum() and (lowest < alone).all()
    return (best, float(lowest.sum())) if helps else (0.0, float(alone.sum()))


def _simple_recipes(seasons: list[int], effects: tuple[str, ...]) -> Iterator[Recipe]:
    """Yield recipes of nothing but the season before, or the last number if there is no season."""
    for season in seasons or [0]:
        for effect in reversed(effects):
            yield Recipe(False, (season or 1,), (), season, drift=False, effects=effect)


def _recipes(seasons: list[int], logarithms: bool, effects: tuple[str, ...]) -> Iterator[Recipe]:
    """Yield other recipes, simpler ones first."""
    logs = (False, True) if logarithms else (False,)
    recipes = [Recipe(False, (1,), (), 0, drift=False)] if seasons else []
    for season in (0, *seasons):
        seasonal = [(season,), (season, 1)] if season else []
        for differences, log, order in itertools.product([(), *seasonal, (1,)], logs, ORDERS):
            lags = {*range(1, order + 1), *((season, season + 1) if season else ())}
            recipes.append(Recipe(log, differences, tuple(sorted(lags)), season))
    # Those that need no more than a season before, for short series
    for season, log in itertools.product((0, *seasons), logs):
        for differences in [(season,), (season, 1)] if season else [(), (1,)]:
            recipes += [
                Recipe(log, differences, tuple(range(1, order + 1)), season)
                for order in range(LARGEST_SHORT_ORDER + 1 if season else 1)
            ]
    for recipe in recipes:
        for effect in reversed(effects):
            yield recipe._replace(
                drift=recipe.drift and len(recipe.differences) < 2, effects=effect
            )


def _is_better(squares: Floats, best: Floats) -> bool:
    """Return whether forecasts with these squared errors are better by more than chance.

    By the standard error of the difference (Breiman, Friedman, Olshen and Stone 1984).
    """
    with np.errstate(all="ignore"):
        gains = best - squares
        error = float(gains.std()) / math.sqrt(len(gains))
        return not float(gains.mean()) < STANDARD_ERRORS * error


def _root_mean(squares: Floats) -> float:
    """Return the root of the mean, infinity if it overflows."""
    with np.errstate(all="ignore"):
        error = float(np.sqrt(squares.mean()))
    return error if math.isfinite(error) else math.inf


def _linear_squares(
    series: Floats, columns: Columns, recipe: Recipe, first: int, horizon: int
) -> Floats:
    """Return the mean squared error from each origin on, of a linear part fitted before `first`."""
    levels = np.log(series) if recipe.log else series
    read = columns.to_learn_from()
    coefficients = linear.fit(levels[:first], recipe, read[:first])
    extrapolation = linear.Extrapolation.of(recipe, coefficients.slopes, damping_of(first))
    origins = spread_origins(first, len(series), horizon, max(ORIGINS, FORECAST_STEPS // horizon))
    explained, _ = linear.explained(read, recipe, coefficients.effects)
    on_level, on_step = linear.explained_ahead(
        columns, recipe, coefficients.effects, origins, horizon
    )
    before = (levels - explained)[origins[:, None] + np.arange(-recipe.needed, 0)]
    forecasts = linear.forecast(before, extrapolation, horizon, on_step) + on_level
    forecasts = recipe.from_levels(forecasts)
    # A forecast of far too high logarithms overflows.
    with np.errstate(all="ignore"):
        squares: Floats = np.mean((forecasts - true_values(series, origins, horizon)) ** 2, axis=1)
    return squares
