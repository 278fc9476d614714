"""A first cleaning of a series, before anything is known about it."""

import numpy as np

from crnn.forecasting import cleaning, linear
from crnn.forecasting.recipe import Floats, Recipe, differenced

__all__ = ["prepared", "robustly_explained"]

# Rounds of the regression: weights of least absolute errors converge linearly.
ROUNDS = 15


def prepared(series: Floats, columns: Floats, season: int) -> Floats:
    """Return a series without wild readings and changes of level.

    Each number is compared with the one before it, and with a season before if there is a season.

    Parameters
    ----------
    series : array (time,)
    columns : array (time, columns)
        What may explain it.
    season : int
        0 for none.

    Returns
    -------
    array (time,)
    """
    differences = (season, 1) if 0 < season < len(series) // 2 else (1,)
    if len(series) < sum(differences) + 8:
        return series
    recipe = Recipe(False, differences, (), 0, drift=False)
    by_columns = robustly_explained(series, columns, differences)
    levels = series - by_columns
    extrapolation = linear.Extrapolation.of(recipe, np.zeros(1), 1.0)
    first = cleaning.first_limits(levels, recipe.transform(levels), levels)
    cleaned = cleaning.clean(levels, extrapolation, first, season=season)
    limits = cleaning.limits_of(levels, cleaned, cleaned.values)
    cleaned = cleaning.clean(levels, extrapolation, limits, season=season)
    # Most of the rows keep their level.
    return cleaned.values + np.median(cleaned.offsets[1:]) + by_columns


def robustly_explained(
    series: Floats, columns: Floats, differences: tuple[int, ...] = (1,)
) -> Floats:
    """Return what the columns explain of a series, by least absolute errors of differences.

    Parameters
    ----------
    series : array (time,)
    columns : array (time, columns)
    differences : tuple of int

    Returns
    -------
    array (time,)
    """
    z = differenced(series, differences)
    A = differenced(columns.T, differences).T
    scales = np.abs(A).mean(axis=0)
    used = scales > 0
    if not used.any():
        return np.zeros(len(series))
    A = A[:, used] / scales[used]
    size = float(np.abs(z).max()) or 1.0
    weights, effects = np.ones(len(z)), np.zeros(A.shape[1])
    for _ in range(ROUNDS):
        weighted = A * weights[:, None]
        penalty = 1e-9 * np.trace(weighted.T @ A) * np.eye(A.shape[1])
        effects = np.linalg.lstsq(weighted.T @ A + penalty, weighted.T @ z, rcond=None)[0]
        weights = 1 / np.maximum(np.abs(z - A @ effects), 1e-9 * size)
    return np.asarray(columns[:, used] @ (effects / scales[used]))
