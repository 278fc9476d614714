"""The training of a forecaster's linear part and network on a series."""

import numpy as np

from crnn import checks
from crnn.forecasting import cleaning, linear
from crnn.forecasting.columns import Columns, column_limits
from crnn.forecasting.fitted import NO_ERRORS, Fitted, Scaling
from crnn.forecasting.fleets import Training, Work
from crnn.forecasting.recipe import Floats, Recipe
from crnn.networks import get_family

__all__ = ["damping_of", "train"]

# Rows that a network is trained on, at least. On fewer it learns the noise.
MIN_ROWS = 24


def damping_of(length: int) -> float:
    """Return what remains of a trend after each step: it goes on as far again as it has lasted.

    A trend that fades is the better forecast on average (Gardner and McKenzie 1985).
    """
    return 1 - 1 / length


def train(
    series: Floats,
    prepared: Floats,
    columns: Columns,
    recipe: Recipe,
    found_season: int,
    *,
    cell: str,
    hidden_size: int,
    window: int | None,
    epochs: int | None,
    seed: int | None,
    with_network: bool = True,
) -> Work[Fitted]:
    """Fit the linear part and the network; the share is 1, or 0 where there is no network.

    The network is yielded to be trained.

    Parameters
    ----------
    series : array (time,)
        As it came.
    prepared : array (time,)
        Without its exceptions: see `crnn.forecasting.preparation`.
    columns : Columns
    recipe : Recipe
    found_season : int
    cell, hidden_size, window, epochs, seed
        As in `Forecaster`.
    with_network : bool
        False: the network stays untrained, and the share is 0.

    Returns
    -------
    Fitted
    """
    # Half of the lowest number stands for 0 and less where logarithms are taken.
    positive = prepared[prepared > 0]
    lowest = float(positive.min()) / 2 if recipe.log and len(positive) else 1e-300
    limits = column_limits(columns)
    columns = columns.limited(limits)
    read = columns.to_learn_from()
    levels = np.log(np.maximum(prepared, lowest)) if recipe.log else prepared
    coefficients = linear.fit(levels, recipe, read)
    damping = damping_of(len(series))
    extrapolation = linear.Extrapolation.of(recipe, coefficients.slopes, damping)
    on_level, on_step = linear.explained(read, recipe, coefficients.effects)
    levels = levels - on_level
    z = recipe.transform(levels)
    scaling = Scaling.of(z, read[len(read) - len(z) :])
    needed = recipe.needed
    residuals = levels[needed:] - linear.one_step(levels, extrapolation)[:-1] - on_step[needed:]
    residual_scale = float(residuals.std()) if len(residuals) else 1.0
    residual_scale = residual_scale or 1.0

    # The input of a step belongs to the residual of the next.
    lost, last = sum(recipe.differences), len(series) - 1
    beside = columns.before(np.array([last]), last - lost)[0]
    x = scaling.inputs(z[:-1], beside, recipe.season)[max(recipe.longest_lag, 1) - 1 :]
    known = min(len(x), len(residuals))
    x, y = x[len(x) - known :], residuals[len(residuals) - known :, None] / residual_scale
    used_window = window or min(200, max(24, 2 * recipe.season))
    used_window = min(used_window, max(2, len(x) // 2))
    rng = checks.generator(seed)
    net = get_family(cell)(x.shape[1], hidden_size, 1, seed=rng)
    # Before training the correction is 0.
    net.W_hy[...] = 0
    trained = with_network and len(x) >= MIN_ROWS
    if trained:
        yield Training(net, rng, x, y, used_window, epochs)
    fitted = Fitted(
        recipe=recipe,
        found_season=found_season,
        coefficients=coefficients,
        column_limits=limits,
        num_lagged=columns.lagged.shape[1],
        damping=damping,
        limits=cleaning.NO_LIMITS,
        lowest=lowest,
        scaling=scaling,
        residual_scale=residual_scale,
        window=used_window,
        net=net,
        share=1.0 if trained else 0.0,
        rows=len(series),
        errors=NO_ERRORS,
    )
    return fitted.with_limits(series, columns, levels, residuals)
