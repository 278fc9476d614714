"""Search for the seasons of a series by its autocorrelation."""

import numpy as np

from crnn.forecasting.recipe import Floats

__all__ = ["find_seasons"]

# Minimum autocorrelation at the seasonal lag
MIN_AUTOCORRELATION = 0.25
# Minimum where chance alone may make as much: where fewer than three seasons are in the series, or
# its standard error times this is more.
STRONG, STANDARD_ERRORS = 0.6, 3.0
# A multiple of a season has to leave less than this share of what the season leaves unexplained, or
# correlate more by so many standard errors.
MULTIPLE_SHARE = 0.5
# It has to leave less by at least this correlation, too.
MIN_GAIN = 0.01
# Lag-1 autocorrelation of the detrended series above which its differences are searched instead: a
# random walk correlates with itself at every small lag, its differences do not.
RANDOM_WALK = 0.9
LONGEST_SEASON = 400
# Shares of the highest autocorrelation. Multiples of a season correlate as much as the season, and
# a week may correlate more than a day: the shortest lag above each share is a candidate.
PEAK_SHARES = (0.5, 0.9, 1.0)
# Deviations from the median count at most so many times as much as the median deviation: a wild
# reading would hide the season.
LARGEST_DEVIATION = 6.0


def find_seasons(series: Floats) -> list[int]:
    """Return up to three lags at which a series correlates with itself, in order.

    Parameters
    ----------
    series : array (time,)

    Returns
    -------
    list of int
    """
    t: Floats = np.arange(len(series), dtype=np.float64)
    t -= t.mean()
    rest = _limited(series - _slope(series, t) * t)
    if (rest[1:] * rest[:-1]).sum() > RANDOM_WALK * (rest**2).sum():
        rest = _limited(np.diff(series))
    longest = min(len(series) // 2, LONGEST_SEASON)
    if longest < 3 or not rest.any():
        return []
    # By the variance of seasonal differences, in which what is left of a line is a constant.
    variances = [np.var(rest[lag:] - rest[: len(rest) - lag]) for lag in range(longest + 2)]
    correlation = 1 - np.array(variances) / (2 * rest.var())
    least = _least_correlations(correlation, len(rest))
    peaks = [
        lag
        for lag in range(2, longest + 1)
        if correlation[lag] >= max(correlation[lag - 1], correlation[lag + 1], least[lag])
    ]
    if not peaks:
        return []
    highest = max(correlation[lag] for lag in peaks)
    seasons: list[int] = []
    for share in PEAK_SHARES:
        season = next(lag for lag in peaks if correlation[lag] >= share * highest)
        # Several seasons correlate as much as one, but for chance.
        if season not in seasons and not any(
            season % other == 0
            and 1 - correlation[season] > MULTIPLE_SHARE * (1 - correlation[other]) - MIN_GAIN
            and correlation[season] - correlation[other]
            < STANDARD_ERRORS * (1 - correlation[other] ** 2) / (len(rest) - season) ** 0.5
            for other in seasons
        ):
            seasons.append(season)
    return seasons


def _least_correlations(correlation: Floats, length: int) -> Floats:
    """Return what each lag has to correlate at least.

    By the standard error of an autocorrelation (Bartlett 1946), of which the lags before the first
    one without correlation are taken.
    """
    lags = np.arange(len(correlation))
    below = np.flatnonzero(correlation <= 0)
    persistent = correlation[1 : below[0] if len(below) else len(correlation)]
    error = np.sqrt((1 + 2 * (persistent**2).sum()) / (length - lags))
    least = np.clip(STANDARD_ERRORS * error, MIN_AUTOCORRELATION, STRONG)
    return np.where(3 * lags > length, STRONG, least)


def _slope(series: Floats, t: Floats) -> float:
    """Return the slope of a line through most of a series (least absolute errors)."""
    weights = np.ones(len(series))
    slope, middle = 0.0, float(np.median(series))
    for _ in range(10):
        mean_t = np.average(t, weights=weights)
        mean = np.average(series, weights=weights)
        slope = float((weights * (t - mean_t) * (series - mean)).sum())
        slope /= float((weights * (t - mean_t) ** 2).sum())
        middle = mean - slope * mean_t
        errors = np.abs(series - middle - slope * t)
        weights = 1 / np.maximum(errors, 1e-6 * errors.max() or 1.0)
    return slope


def _limited(values: Floats) -> Floats:
    """Return deviations from the median, the largest ones cut; their mean is 0."""
    rest = values - np.median(values)
    usual = np.median(np.abs(rest))
    # A series that is mostly one number has no usual deviation.
    if usual > 0:
        rest = np.clip(rest, -LARGEST_DEVIATION * usual, LARGEST_DEVIATION * usual)
    return np.asarray(rest - rest.mean())
