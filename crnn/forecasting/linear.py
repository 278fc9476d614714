"""The linear part of a forecaster: an autoregression on transformed numbers, with inputs.

With z the differences of the series, x further columns and e the errors:

    z[t] = constant + sum of slope * z[t - lag] + e[t]

where the effects of x are subtracted from the series before it is differenced (effects on the
level: Box and Jenkins 1976, section 11; fitted by the iteration of Cochrane and Orcutt 1949), or
the differences of x are a further term of the sum (effects on the step).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting.columns import Columns
from crnn.forecasting.recipe import Floats, Recipe, differenced

__all__ = [
    "Coefficients",
    "Extrapolation",
    "explained",
    "explained_ahead",
    "fit",
    "forecast",
    "is_stable",
    "next_number",
    "one_step",
]

# Penalty on the squared coefficients, as a share of the variance of what they multiply. It keeps
# the solution unique where lagged columns are collinear, as those of a constant series.
RIDGE = 1e-4
# Rounds of the iteration of Cochrane and Orcutt: further ones change the third digit.
ROUNDS = 3
# Largest modulus of a characteristic root. Forecasts then grow by at most 6 % in 200 steps. The
# estimate of a root of 1, which a steady season has, is as often above as below.
LARGEST_ROOT = 1.0003


class Coefficients(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    slopes : array (lags + 1,)
        The coefficient of each lag, then the constant.
    effects : array (columns,)
        Of the further columns.
    """

    slopes: Floats
    effects: Floats


class Extrapolation(NamedTuple):
    """Coefficients written as a recursion on the series itself.

    Attributes
    ----------
    first, later : array (needed,)
        The weights of the last numbers, the oldest first, in the first step and in later ones.
    constant : float
    damping : float
        What remains of the constant after each step.
    """

    first: Floats
    later: Floats
    constant: float
    damping: float

    @classmethod
    def of(cls, recipe: Recipe, slopes: Floats, damping: float) -> "Extrapolation":
        """Multiply out the polynomials of the lags and the differences."""
        polynomial = np.zeros(recipe.longest_lag + 1)
        polynomial[0] = 1.0
        polynomial[list(recipe.lags)] = -slopes[:-1]
        weights = []
        # The last of two differences is a slope that the series has at its end: it fades.
        for factor in (1.0, damping if len(recipe.differences) > 1 else 1.0):
            product = polynomial
            for number, lag in enumerate(recipe.differences):
                difference = np.zeros(lag + 1)
                difference[0], difference[lag] = 1.0, -(factor if number else 1.0)
                product = np.convolve(product, difference)
            weights.append(-product[:0:-1])
        needed = recipe.needed
        first, later = (np.r_[np.zeros(needed - len(w)), w] for w in weights)
        return cls(first, later, float(slopes[-1]), damping if recipe.differences else 1.0)


def fit(
    levels: Floats, recipe: Recipe, columns: Floats | None = None, *, stable: bool = True
) -> Coefficients:
    """Fit the coefficients by ridge regression, and keep forecasts from growing.

    Parameters
    ----------
    levels : array (time,)
        A series, or its logarithms.
    recipe : Recipe
    columns : array (time, columns), optional
        Read at the step they belong to.
    stable : bool
        Whether forecasts may not grow without bounds.

    Returns
    -------
    Coefficients
    """
    if columns is None:
        columns = np.empty((len(levels), 0))
    z, inputs = recipe.transform(levels), differenced(columns.T, recipe.differences)
    effects = np.zeros(len(inputs))
    if recipe.effects == "none" or not len(inputs):
        return Coefficients(_autoregression(z, recipe, stable), effects)
    if recipe.effects == "step":
        A, b = _design(z, recipe)
        both = np.column_stack([A, inputs[:, len(z) - len(b) :].T])
        solution = _ridge(both, b, recipe.drift)
        slopes, effects = solution[: A.shape[1]], solution[A.shape[1] : -1]
        slopes = _stable(slopes, recipe.lags) if stable else slopes
        rest = b - A @ slopes - inputs[:, len(z) - len(b) :].T @ effects
        return Coefficients(np.append(slopes, rest.mean() if recipe.drift else 0.0), effects)
    slopes = np.zeros(len(recipe.lags) + 1)
    for _ in range(ROUNDS):
        b, A = _filtered(z, recipe, slopes), _filtered(inputs, recipe, slopes).T
        effects = _ridge(A, b, recipe.drift)[:-1]
        slopes = _autoregression(z - effects @ inputs, recipe, stable)
    return Coefficients(slopes, effects)


def explained(columns: Floats, recipe: Recipe, effects: Floats) -> tuple[Floats, Floats]:
    """Return what the further columns add to the level and to the step of each row.

    Parameters
    ----------
    columns : array (time, columns)
    recipe : Recipe
    effects : array (columns,)

    Returns
    -------
    on_level, on_step : array (time,)
        One of them is 0.
    """
    nothing = np.zeros(len(columns))
    if recipe.effects == "none":
        return nothing, nothing
    if recipe.effects == "level":
        return columns @ effects, nothing
    on_step = differenced(columns @ effects, recipe.differences)
    return nothing, np.concatenate([nothing[: len(columns) - len(on_step)], on_step])


def explained_ahead(
    columns: Columns, recipe: Recipe, effects: Floats, origins: npt.NDArray[np.intp], steps: int
) -> tuple[Floats, Floats]:
    """Return what the further columns add to the level and to the step of forecasts.

    Parameters
    ----------
    columns : Columns
        The known ones of the steps too.
    recipe : Recipe
    effects : array (columns,)
    origins : array (n,) of int
        Where the forecasts begin.
    steps : int

    Returns
    -------
    on_level, on_step : array (n, steps)
        One of them is 0.
    """
    nothing = np.zeros((len(origins), steps))
    if recipe.effects == "none":
        return nothing, nothing
    if recipe.effects == "level":
        return columns.ahead(origins, 0, steps) @ effects, nothing
    rows = columns.ahead(origins, sum(recipe.differences), steps) @ effects
    return nothing, differenced(rows, recipe.differences)


def one_step(levels: Floats, extrapolation: Extrapolation) -> Floats:
    """Predict each number from those before it.

    Parameters
    ----------
    levels : array (..., time)
    extrapolation : Extrapolation

    Returns
    -------
    array (..., time + 1 - needed)
        From number `needed` on; the last one is that of the number after `levels`.
    """
    weights = extrapolation.first
    needed = len(weights)
    length = levels.shape[-1] + 1 - needed
    predictions = np.full((*levels.shape[:-1], length), extrapolation.constant)
    for place in np.flatnonzero(weights):
        predictions += weights[place] * levels[..., place : place + length]
    return predictions


def forecast(
    before: Floats, extrapolation: Extrapolation, steps: int, inputs: Floats | None = None
) -> Floats:
    """Forecast from the last numbers of several series.

    Parameters
    ----------
    before : array (n, needed)
    extrapolation : Extrapolation
    steps : int
    inputs : array (n, steps), optional
        Added to each forecast when it is made.

    Returns
    -------
    array (n, steps)
    """
    needed = before.shape[1]
    values = np.empty((len(before), needed + steps))
    values[:, :needed] = before
    for step in range(steps):
        values[:, needed + step] = next_number(
            values[:, step : needed + step],
            extrapolation,
            step,
            0.0 if inputs is None else inputs[:, step],
        )
    return values[:, needed:]


def next_number(
    before: Floats, extrapolation: Extrapolation, step: int, inputs: Floats | float
) -> Floats:
    """Return the forecast of the number after each row of `before` (n, needed), `step` steps on."""
    weights = extrapolation.later if step else extrapolation.first
    return before @ weights + extrapolation.constant * extrapolation.damping**step + inputs


def _design(z: Floats, recipe: Recipe) -> tuple[Floats, Floats]:
    """Return the lagged numbers (rows, lags), and those that they predict (rows,)."""
    start = recipe.longest_lag
    columns = [z[start - lag : len(z) - lag] for lag in recipe.lags]
    return np.stack(columns, axis=1) if columns else np.empty((len(z), 0)), z[start:]


def _autoregression(z: Floats, recipe: Recipe, stable: bool) -> Floats:
    """Return slopes and constant of an autoregression."""
    A, b = _design(z, recipe)
    slopes = _ridge(A, b, recipe.drift)[:-1]
    slopes = _stable(slopes, recipe.lags) if stable else slopes
    return np.append(slopes, (b - A @ slopes).mean() if recipe.drift else 0.0)


def _filtered(z: Floats, recipe: Recipe, slopes: Floats) -> Floats:
    """Return what an autoregression leaves over, along the last axis, without its constant."""
    start, end = recipe.longest_lag, z.shape[-1]
    rest: Floats = z[..., start:].copy()
    for lag, slope in zip(recipe.lags, slopes[:-1], strict=True):
        rest -= slope * z[..., start - lag : end - lag]
    return rest


def _ridge(A: Floats, b: Floats, constant: bool) -> Floats:
    """Return the coefficients of the columns of A, then the constant."""
    if not A.shape[1]:
        return np.array([b.mean() if constant else 0.0])
    # Centred, because squares of numbers far from zero would leave no digits to what varies.
    means, mean = (A.mean(axis=0), b.mean()) if constant else (np.zeros(A.shape[1]), 0.0)
    A = A - means
    scales = np.sqrt((A**2).mean(axis=0))
    # A column that does not vary but for rounding has no effect.
    varies = scales > 1e-12 * (np.abs(means) + scales.max(initial=0.0))
    A = np.where(varies, A / np.where(varies, scales, 1.0), 0.0)
    penalty = RIDGE * len(A) * np.eye(A.shape[1])
    slopes = np.linalg.lstsq(A.T @ A + penalty, A.T @ (b - mean), rcond=None)[0]
    slopes = np.where(varies, slopes / np.where(varies, scales, 1.0), 0.0)
    return np.append(slopes, mean - means @ slopes)


def _stable(slopes: Floats, lags: tuple[int, ...]) -> Floats:
    """Return slopes whose characteristic roots have a modulus of at most LARGEST_ROOT.

    All roots are scaled alike: the slope of lag k by the k-th power of the factor.
    """
    powers = np.array(lags)
    if not len(powers):
        return slopes

    def are_inside(factor: float) -> bool:
        return is_stable(slopes * factor**powers, lags)

    if are_inside(1 / LARGEST_ROOT):
        return slopes
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if are_inside(middle / LARGEST_ROOT) else (low, middle)
    return np.asarray(slopes * low**powers)


def is_stable(slopes: Floats, lags: tuple[int, ...]) -> bool:
    """Return whether all characteristic roots are inside the unit circle.

    By the reflection coefficients, which are then all less than 1: the step-down form of Levinson's
    and Durbin's recursion (Schur 1917, Cohn 1922).
    """
    a: npt.NDArray[np.float64] = np.zeros(max(lags))
    a[np.array(lags) - 1] = slopes
    while len(a):
        reflection = a[-1]
        if not abs(reflection) < 1:
            return False
        a = (a[:-1] + reflection * a[-2::-1]) / (1 - reflection**2) if len(a) > 1 else a[:0]
    return True
