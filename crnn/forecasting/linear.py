"""The linear part of a forecaster: an autoregression on transformed numbers."""

import numpy as np
import numpy.typing as npt

from crnn.forecasting.recipe import Floats, Recipe

__all__ = ["fit", "forecast", "predict"]

# Penalty on the squared coefficients, as a share of the variance of what they multiply. It keeps
# the solution unique where lagged columns are collinear, as those of a constant series.
RIDGE = 1e-4


def fit(z: Floats, recipe: Recipe) -> Floats:
    """Fit the coefficients by ridge regression.

    Parameters
    ----------
    z : array (time,)
        A transformed series.
    recipe : Recipe

    Returns
    -------
    array (lags + 1,)
        The coefficient of each lag, then the constant.
    """
    A = _lagged(z, recipe)[:-1, :-1]
    b = z[-len(A) :]
    # Centred, because squares of numbers far from zero would leave no digits to what varies.
    means, mean = A.mean(axis=0), b.mean()
    A = A - means
    penalty = RIDGE * len(A) * z.var() * np.eye(A.shape[1])
    slopes = np.linalg.lstsq(A.T @ A + penalty, A.T @ (b - mean), rcond=None)[0]
    return np.append(slopes, mean - means @ slopes)


def predict(z: Floats, recipe: Recipe, coefficients: Floats) -> Floats:
    """Predict each transformed number from those before it.

    Parameters
    ----------
    z : array (..., time)
    recipe : Recipe
    coefficients : array (lags + 1,)

    Returns
    -------
    array (..., time + 1 - recipe.longest_lag)
        From number `recipe.longest_lag` on; the last one is that of the number after z.
    """
    predictions: Floats = _lagged(z, recipe) @ coefficients
    return predictions


def forecast(
    series: Floats, recipe: Recipe, coefficients: Floats, origins: npt.NDArray[np.intp], steps: int
) -> Floats:
    """Forecast from each of several places in a series.

    Parameters
    ----------
    series : array (time,)
    recipe : Recipe
    coefficients : array (lags + 1,)
    origins : array (n,) of int
        Where the forecasts begin.
    steps : int

    Returns
    -------
    array (n, steps)
        In the units of the series.
    """
    values: Floats = series[origins[:, None] + np.arange(-recipe.needed, 0)]
    for _ in range(steps):
        recent = values[:, -recipe.needed :]
        z_next = predict(recipe.transform(recent), recipe, coefficients)[..., -1]
        values = np.column_stack([values, recipe.restore(recent, z_next)])
    return values[:, recipe.needed :]


def _lagged(z: Floats, recipe: Recipe) -> Floats:
    """Return what each prediction reads, (..., time + 1 - longest lag, lags + 1); the last is 1."""
    start, end = recipe.longest_lag, z.shape[-1] + 1
    columns = [z[..., start - lag : end - lag] for lag in recipe.lags]
    return np.stack([*columns, np.ones_like(columns[0])], axis=-1)
