"""Prediction intervals from the errors of rolling-origin forecasts.

The bands are those of split conformal prediction (Vovk, Gammerman and Shafer 2005, "Algorithmic
Learning in a Random World"; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, "Distribution-free
predictive inference for regression"), with a quantile of the absolute errors for each step of the
forecast (Stankeviciute, Alaa and van der Schaar 2021, "Conformal time-series forecasting"). Each
error is that of a forecast of numbers that the model had not been fitted to.

The quantile of n errors is the one of rank ceil((n + 1) * level). Four rules are for time series:

- Forecasts of h steps from neighboring origins overlap, so their errors say less than n independent
  ones. A half width is multiplied by 1 + (z^2 + 1) / (4 m), with m = n / h forecasts that do not
  overlap and the normal quantile z of the level. That is the first term of the expansion of
  Student's t with m degrees of freedom (Abramowitz and Stegun 1964, 26.7.5).
- If the series goes on after the rows that the model was fitted to, half widths follow the errors
  there: those of h steps are multiplied by (10 + sum of s / h) / (10 + n / h), where s are the n
  sizes of the errors since, relative to the mean before, and at most 5. So ten forecasts that do
  not overlap count as much as what was known before.
- Half widths do not shrink from step to step: they are the isotonic regression of the quantiles.
- Beyond the steps of which there are errors, half widths grow as those of the linear part alone
  would: with the root of the sum of squares of its response to a shock (Box and Jenkins 1976,
  chapter 5).
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn.forecasting import linear
from crnn.forecasting.columns import Columns
from crnn.forecasting.fitted import Fitted
from crnn.forecasting.recipe import Floats

__all__ = [
    "bands",
    "calibrated_steps",
    "changes_since",
    "checked_levels",
    "errors_after",
    "errors_of",
    "half_widths",
    "origins_of",
    "places",
    "quantile",
]

# Origins whose errors a model keeps: with so many independent errors the coverage of a 90 % band
# has a standard error of 1.3 %.
MOST_ORIGINS = 500
# Linear parts are fitted for the errors from this part of a series on, as soon as there are so many
# numbers for each coefficient, and so often; a network once.
FIRST_SHARE, FIRST_SHARE_OF_NETWORKS = 1 / 3, 3 / 5
NUMBERS_PER_COEFFICIENT = 4
MIN_ROWS = 10
LINEAR_PARTS = 8
# What is known before counts as much as so many forecasts since, of the last so many rows; and how
# much larger than usual an error may count.
FORECASTS_BEFORE, MOST_RECENT, LARGEST_SIZE = 10, 200, 5.0
# Steps of which there are errors, however short the horizon is, if so many forecasts of them do not
# overlap.
MIN_STEPS, MIN_FORECASTS = 24, 3


def places(fitted: Fitted, length: int) -> list[int]:
    """Return where models are fitted, each to what comes before its place in a series.

    Parameters
    ----------
    fitted : Fitted
        The model that was fitted without validation data.
    length : int
        Of the series.

    Returns
    -------
    list of int
        Growing. With a network the last one is where the validation data begins.
    """
    if fitted.share:
        found = [int(FIRST_SHARE_OF_NETWORKS * length), fitted.rows]
    else:
        coefficients = len(fitted.coefficients.slopes) + len(fitted.coefficients.effects)
        needed = fitted.recipe.needed + NUMBERS_PER_COEFFICIENT * coefficients
        first = max(int(FIRST_SHARE * length), needed, MIN_ROWS)
        found = np.linspace(first, length, LINEAR_PARTS, endpoint=False).astype(int).tolist()
    return sorted({min(place, fitted.rows) for place in found})


def calibrated_steps(horizon: int, first: int, length: int) -> int:
    """Return of how many steps there should be errors.

    Parameters
    ----------
    horizon : int
    first, length : int
        The part of the series that is compared with forecasts.

    Returns
    -------
    int
    """
    return max(horizon, min(MIN_STEPS, (length - first) // MIN_FORECASTS))


def origins_of(places: Sequence[int], length: int) -> list[tuple[int, npt.NDArray[np.intp]]]:
    """Return where the forecasts of each model begin whose errors are kept.

    Parameters
    ----------
    places : sequence of int
        Where models are fitted, each to what comes before its place.
    length : int
        Of the series.

    Returns
    -------
    list of (int, array of int)
        A place, and the origins from there on and before the next place; none without origins.
    """
    origins = _origins(places[0], length)
    parts = np.split(origins, np.searchsorted(origins, places[1:]))
    return [(place, part) for place, part in zip(places, parts, strict=True) if len(part)]


def errors_after(
    fitted: Fitted, series: Floats, columns: Columns, floor: float | None
) -> npt.NDArray[np.float32]:
    """Return a model's errors, and those on the rows of a series after those it was fitted to.

    Parameters
    ----------
    fitted : Fitted
    series : array (time,)
    columns : Columns
    floor : float, optional

    Returns
    -------
    array (origins, steps)
    """
    earlier, first = fitted.errors, max(fitted.rows, fitted.needed)
    if not earlier.size or first >= len(series):
        return earlier
    origins = _origins(first, len(series))
    later = errors_of(fitted, series, columns, origins, earlier.shape[1], floor)
    return np.concatenate([earlier, later])[-2 * MOST_ORIGINS :]


def changes_since(
    fitted: Fitted, series: Floats, columns: Columns, steps: int, floor: float | None
) -> Floats:
    """Return by what the errors have changed on the rows after those the model was fitted to.

    Parameters
    ----------
    fitted : Fitted
    series : array (time,)
    columns : Columns
    steps : int
        No more are computed.
    floor : float, optional

    Returns
    -------
    array (steps of `fitted.errors`,)
        What half widths are multiplied by; 1 where nothing is known.
    """
    factors = np.ones(fitted.errors.shape[1])
    first = max(fitted.rows, fitted.needed, len(series) - MOST_RECENT)
    steps = min(steps, len(series) - first, len(factors))
    if steps < 1:
        return factors
    errors = errors_of(fitted, series, columns, np.arange(first, len(series)), steps, floor)
    usual = np.nanmean(np.abs(fitted.errors[:, :steps].astype(np.float64)), axis=0)
    for step in range(steps):
        known = np.abs(errors[: len(errors) - step, step])
        if usual[step]:
            sizes = np.minimum(known / usual[step], LARGEST_SIZE)
            before = FORECASTS_BEFORE * (step + 1)
            factors[step] = (before + sizes.sum()) / (before + len(sizes))
    return factors


def errors_of(
    fitted: Fitted,
    series: Floats,
    columns: Columns,
    origins: npt.NDArray[np.intp],
    steps: int,
    floor: float | None,
) -> npt.NDArray[np.float32]:
    """Return the errors of a model's forecasts.

    Parameters
    ----------
    fitted : Fitted
    series : array (time,)
    columns : Columns
    origins : array (n,) of int
        Where the forecasts begin.
    steps : int
    floor : float, optional
        No forecast is below it.

    Returns
    -------
    array (n, steps)
        In logarithms if the recipe takes them. NaN beyond the end of the series.
    """
    forecasts = fitted.forecast(series, columns, origins, steps)
    if floor is not None:
        forecasts = np.maximum(forecasts, floor)
    rows = origins[:, None] + np.arange(steps)
    truth = series[np.minimum(rows, len(series) - 1)]
    errors = fitted.levels(truth) - fitted.levels(forecasts)
    return np.where(rows < len(series), errors, np.nan).astype(np.float32)


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return levels in percent, or raise a ValueError or TypeError."""
    if not isinstance(levels, Iterable) or isinstance(levels, str):
        raise TypeError(f"levels: expected several numbers, such as (80, 95), got {levels!r}")
    checked = tuple(checks.number("levels", level, above=0, below=100) for level in levels)
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(
            f"levels: expected different numbers between 0 and 100, got {tuple(levels)}"
        )
    return checked


def bands(
    fitted: Fitted,
    forecast: Floats,
    levels: Sequence[float],
    factors: Floats,
    floor: float | None,
) -> Floats:
    """Return prediction intervals around a forecast.

    Parameters
    ----------
    fitted : Fitted
    forecast : array (steps,)
    levels : sequence of float
        In percent.
    factors : array (steps of `fitted.errors`,)
        What half widths are multiplied by.
    floor : float, optional
        No number is below it.

    Returns
    -------
    array (levels, 2, steps)
        The lower and the upper end.
    """
    steps = len(forecast)
    widths = np.stack([half_widths(fitted.errors, level / 100, factors) for level in levels])
    calibrated = widths.shape[1]
    if steps > calibrated:
        growth = _growth(fitted, steps)
        further = widths[:, -1:] * growth[calibrated:] / growth[calibrated - 1]
        widths = np.concatenate([widths, further], axis=1)
    ends = fitted.levels(forecast) + widths[:, None, :steps] * np.array([[-1.0], [1.0]])
    ends = fitted.recipe.from_levels(ends)
    return np.asarray(ends if floor is None else np.maximum(ends, floor))


def half_widths(
    errors: npt.NDArray[np.floating], level: float, factors: Floats | None = None
) -> Floats:
    """Return half the width of a band at each step.

    Parameters
    ----------
    errors : array (origins, steps)
        Errors of forecasts; NaN beyond the end of the series.
    level : float
        The share that the band should cover, between 0 and 1.
    factors : array (steps,), optional
        What the half widths are multiplied by.

    Returns
    -------
    array (steps,)
        Not smaller at a later step, nor for a higher level.
    """
    z = _normal_half_width(level)
    widths, weights = [], []
    for step, column in enumerate(np.abs(errors.astype(np.float64)).T, 1):
        known = column[np.isfinite(column)]
        independent = len(known) / step
        weights.append(independent)
        widths.append(quantile(known, level) * (1 + (z * z + 1) / (4 * max(independent, 1))))
    scaled = widths if factors is None else [*(np.array(widths) * factors)]
    return _isotonic(scaled, weights)


def quantile(sizes: Floats, level: float) -> float:
    """Return what the next of several exchangeable sizes exceeds with probability 1 - `level`.

    Parameters
    ----------
    sizes : array (n,)
        At least one.
    level : float

    Returns
    -------
    float
        The size of rank ceil((n + 1) * level). If that is above n, the largest size, multiplied by
        the ratio of normal quantiles of `level` and of n / (n + 1).
    """
    n = len(sizes)
    # Without the tolerance the rank of 0.95 among 19 would be 20.
    rank = math.ceil((n + 1) * level - 1e-9)
    if rank <= n:
        return float(np.partition(sizes, rank - 1)[rank - 1])
    return float(sizes.max()) * _normal_half_width(level) / _normal_half_width(n / (n + 1))


def _origins(first: int, end: int) -> npt.NDArray[np.intp]:
    """Return up to `MOST_ORIGINS` evenly spread places from `first` on, before `end`."""
    return np.unique(np.linspace(first, end - 1, min(MOST_ORIGINS, end - first)).astype(np.intp))


def _normal_half_width(level: float) -> float:
    """Return what the size of a standard normal number exceeds with probability 1 - `level`."""
    return NormalDist().inv_cdf((1 + level) / 2)


def _isotonic(values: Sequence[float], weights: Sequence[float]) -> Floats:
    """Return the nondecreasing numbers nearest to others, by pooling adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        count = 1
        while pools and pools[-1][0] >= value:
            other, other_weight, other_count = pools.pop()
            total = weight + other_weight
            value = (value * weight + other * other_weight) / total
            weight, count = total, count + other_count
        pools.append((value, weight, count))
    return np.repeat([value for value, _, _ in pools], [count for _, _, count in pools])


def _growth(fitted: Fitted, steps: int) -> Floats:
    """Return the standard deviation of the linear part's errors, in that of its first step."""
    extrapolation = fitted.extrapolation._replace(constant=0.0)
    shock = np.zeros((1, fitted.recipe.needed))
    shock[0, -1] = 1.0
    response = linear.forecast(shock, extrapolation, steps)[0, : steps - 1]
    growth: Floats = np.sqrt(np.cumsum(np.append(1.0, response) ** 2))
    return growth
