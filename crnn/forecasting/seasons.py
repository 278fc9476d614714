"""Search for the seasons of a series by its autocorrelation."""

import numpy as np

from crnn.forecasting.recipe import Floats

__all__ = ["find_seasons"]

# Minimum autocorrelation at the seasonal lag
MIN_AUTOCORRELATION = 0.25
# Lag-1 autocorrelation of the detrended series above which its differences are searched instead: a
# random walk correlates with itself at every small lag, its differences do not.
RANDOM_WALK = 0.9
LONGEST_SEASON = 400
# Shares of the highest autocorrelation. Multiples of a season correlate as much as the season, and
# a week may correlate more than a day: the shortest lag above each share is a candidate.
PEAK_SHARES = (0.5, 0.9, 1.0)


def find_seasons(series: Floats) -> list[int]:
    """Return up to three lags at which a series correlates with itself, in order.

    Parameters
    ----------
    series : array (time,)

    Returns
    -------
    list of int
    """
    t = np.arange(len(series))
    rest = series - np.polyval(np.polyfit(t, series, 1), t)
    if (rest[1:] * rest[:-1]).sum() > RANDOM_WALK * (rest**2).sum():
        rest = np.diff(series)
    rest = rest - rest.mean()
    longest = min(len(rest) // 3, LONGEST_SEASON)
    if longest < 3 or not rest.any():
        return []
    # Wiener-Khinchin theorem; the zeros that rfft appends keep the sums from wrapping around.
    spectrum = np.abs(np.fft.rfft(rest, 2 * len(rest))) ** 2
    correlation = np.fft.irfft(spectrum)[: longest + 1]
    # Longer lags have fewer products to sum.
    correlation *= len(rest) / (len(rest) - np.arange(longest + 1)) / correlation[0]
    peaks = [
        lag
        for lag in range(2, longest)
        if correlation[lag] >= max(correlation[lag - 1], correlation[lag + 1], MIN_AUTOCORRELATION)
    ]
    if not peaks:
        return []
    highest = max(correlation[lag] for lag in peaks)
    return sorted(
        {next(lag for lag in peaks if correlation[lag] >= share * highest) for share in PEAK_SHARES}
    )
