"""Backtests: forecasts from several places in a series, each by models fitted to what came before.

Rolling-origin evaluation (Tashman 2000, "Out-of-sample tests of forecasting accuracy").
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import checks, jobs
from crnn.forecasting import comparisons, intervals, selection
from crnn.forecasting.arguments import checked_columns, checked_series
from crnn.forecasting.columns import Columns
from crnn.forecasting.forecaster import Forecaster
from crnn.forecasting.recipe import Floats

__all__ = ["Backtest", "backtest"]


class Backtest(NamedTuple):
    """Forecasts of a backtest, and what they are compared with.

    Attributes
    ----------
    origins : array (n,) of int
        Where the forecasts begin.
    truth : array (n, horizon)
        What came.
    forecasts : dict of array (n, horizon)
        By method; "crnn" is the first.
    levels : tuple of float
        Of the bands, in percent.
    bands : dict of array (n, levels, 2, horizon)
        Lower and upper ends, by method, of those that have bands.
    failed : dict of str
        Methods of statsforecast that raised an error, and the error.
    """

    origins: npt.NDArray[np.intp]
    truth: Floats
    forecasts: dict[str, Floats]
    levels: tuple[float, ...]
    bands: dict[str, Floats]
    failed: dict[str, str]

    def scores(self) -> dict[str, tuple[float, float]]:
        """Return the errors of each method.

        Returns
        -------
        dict of (float, float)
            By method the root mean square error and the mean absolute error.
        """
        return comparisons.scores(self.forecasts, self.truth)

    def by_step(self) -> dict[str, Floats]:
        """Return the errors of each step.

        Returns
        -------
        dict of array (horizon,)
            By method the root mean square error.
        """
        return {
            name: np.sqrt(np.mean((values - self.truth) ** 2, axis=0))
            for name, values in self.forecasts.items()
        }

    def coverage(self) -> dict[str, tuple[float, ...]]:
        """Return how many of the numbers are inside the bands.

        Returns
        -------
        dict of tuple of float
            By method the share of each level.
        """
        truth = self.truth[:, None]
        inside = {
            name: (band[:, :, 0] <= truth) & (truth <= band[:, :, 1])
            for name, band in self.bands.items()
        }
        return {
            name: tuple(np.mean(values, axis=(0, 2)).tolist()) for name, values in inside.items()
        }

    @property
    def winner(self) -> str:
        """The method with the lowest root mean square error; the first of equal ones."""
        scores = self.scores()
        return min(scores, key=lambda name: scores[name][0])


def backtest(
    series: npt.ArrayLike,
    lagged: npt.ArrayLike | None = None,
    known: npt.ArrayLike | None = None,
    *,
    horizon: int = 1,
    origins: int = 10,
    first: int | None = None,
    levels: Sequence[float] = (80, 95),
    model: Forecaster | None = None,
    progress: Callable[[int, int], None] | None = None,
    n_jobs: int | None = None,
) -> Backtest:
    """Forecast from several places in a series, and compare with other methods.

    Every method is fitted anew to what came before each place: of a forecaster the recipe is chosen
    and the network is trained. The other methods are persistence, the season before, an
    autoregression, and AutoETS and AutoARIMA of statsforecast if that is installed.

    Parameters
    ----------
    series : array (time,)
    lagged : array (time, columns), optional
        Further columns that are known only afterwards.
    known : array (time, columns), optional
        Further columns that are known ahead. Of the other methods only AutoARIMA reads them.
    horizon : int
        Steps of each forecast.
    origins : int
        How many places, evenly spread from `first` on. Fewer where fewer have `horizon` numbers
        after them.
    first : int, optional
        Where the forecasts begin. Default: four fifths of the series.
    levels : sequence of float
        Of the prediction intervals, in percent.
    model : Forecaster, optional
        Its settings are used; it does not change. Default: `Forecaster()`.
    progress : callable, optional
        Called with the number of places that are done and of all places.
    n_jobs : int, optional
        The number of workers, as in `crnn.jobs.count_workers`: processes of this machine, or by
        ``joblib.parallel_config`` those of a cluster. Each takes a place at a time, with the same
        bits.

    Returns
    -------
    Backtest

    Raises
    ------
    ValueError, TypeError
        The series is too short, or an argument is not as above.
    ImportError
        `n_jobs` needs joblib, which is not installed.
    RuntimeError
        A worker has ended from outside, and the engine has not started it again.
    """
    model = Forecaster() if model is None else model
    values = checked_series(series)
    columns = checked_columns(values, lagged, known)
    horizon = checks.integer("horizon", horizon, at_least=1)
    origins = checks.integer("origins", origins, at_least=1)
    levels = intervals.checked_levels(levels)
    last = len(values) - horizon
    if last < 1:
        raise ValueError(
            f"series: expected more numbers than the horizon of {horizon}, got {len(values)}"
        )
    if first is None:
        first = min(len(values) * 4 // 5, last)
    elif checks.integer("first", first, at_least=1) > last:
        raise ValueError(f"first: expected at most {last}, got {first}")
    places = selection.spread_origins(first, len(values), horizon, origins)
    methods = {"crnn": _Crnn(model), **comparisons.methods(values[: places[0]], model.season)}
    tasks = [
        (values, columns.lagged, columns.known, place, horizon, levels, methods)
        for place in places.tolist()
    ]
    answers = jobs.run(_forecasts_at, tasks, n_jobs, after_task=progress)
    failed: dict[str, str] = {}
    for _, errors in answers:
        failed = errors | failed  # of each method the first one
    forecasts: dict[str, Floats] = {}
    bands: dict[str, Floats] = {}
    for name in methods:
        if name in failed:
            continue
        own, own_bands = zip(*(found[name] for found, _ in answers), strict=True)
        forecasts[name] = np.stack(own)
        if own_bands[0] is not None:
            bands[name] = np.stack(own_bands)
    return Backtest(
        origins=places,
        truth=selection.true_values(values, places, horizon),
        forecasts=forecasts,
        levels=levels,
        bands=bands,
        failed=failed,
    )


def _forecasts_at(
    values: Floats,
    lagged: Floats,
    known: Floats,
    place: int,
    horizon: int,
    levels: tuple[float, ...],
    methods: dict[str, comparisons.Method],
) -> tuple[dict[str, tuple[Floats, Floats | None]], dict[str, str]]:
    """Return forecast and bands of each method from one place, and the errors of the others."""
    columns, before = Columns(lagged, known), values[:place]
    found: dict[str, tuple[Floats, Floats | None]] = {}
    errors: dict[str, str] = {}
    # Copies, because threads share the methods.
    for name, method in copy.deepcopy(methods).items():
        try:
            method.fit(before, columns.first(place), horizon)
            found[name] = method.forecast(before, columns.first(place + horizon), horizon, levels)
        except comparisons.MethodError as error:
            errors[name] = str(error)
    return found, errors


class _Crnn:
    """A forecaster as the other methods are called."""

    def __init__(self, model: Forecaster) -> None:
        self.model = model

    def fit(self, series: Floats, columns: Columns, horizon: int) -> None:
        """Fit."""
        self.model.fit(series, *columns, horizon=horizon)

    def forecast(
        self, series: Floats, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[Floats, Floats]:
        """Forecast."""
        before = columns.lagged[: len(series)], columns.known
        return (
            self.model.forecast(series, steps, *before),
            self.model.intervals(series, steps, levels, *before),
        )
