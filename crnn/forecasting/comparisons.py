"""Other methods that forecasts are compared with: simple ones, and those of statsforecast."""

import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from crnn.forecasting import selection
from crnn.forecasting.columns import Columns
from crnn.forecasting.recipe import Floats
from crnn.forecasting.seasons import find_seasons

__all__ = [
    "Autoregression",
    "Method",
    "MethodError",
    "Persistence",
    "SeasonBefore",
    "StatsForecast",
    "has_statsforecast",
    "methods",
    "scores",
]

# AutoETS takes no longer season, and AutoARIMA minutes for one.
LONGEST_SEASON = 24
# Forecasts that a season is chosen by
MOST_ORIGINS = 60
# Those of the models of statsforecast that are compared
STATSFORECAST = ("AutoETS", "AutoARIMA")
# AutoARIMA compares candidates by approximate likelihoods where R's auto.arima does.
APPROXIMATION_ROWS, APPROXIMATION_SEASON = 150, 12


class Method(Protocol):
    """A method that is fitted to a series and then forecasts from any later place in it."""

    def fit(self, series: Floats, columns: Columns, horizon: int) -> None:
        """Fit.

        Parameters
        ----------
        series : array (time,)
        columns : Columns
        horizon : int
            Steps ahead that will be forecast.
        """

    def forecast(
        self, series: Floats, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[Floats, Floats | None]:
        """Forecast what follows a series that begins as the one of `fit`.

        Parameters
        ----------
        series : array (time,)
        columns : Columns
            The known ones of the steps too.
        steps : int
        levels : tuple of float
            Of the bands, in percent.

        Returns
        -------
        forecast : array (steps,)
        bands : array (levels, 2, steps) or None
            Lower and upper ends; None for a method that has none.
        """


class MethodError(Exception):
    """A method of another package has failed."""


class Persistence:
    """The last number."""

    def fit(self, series: Floats, columns: Columns, horizon: int) -> None:
        """Do nothing."""

    def forecast(
        self, series: Floats, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[Floats, None]:
        """Forecast."""
        return np.repeat(series[-1:], steps), None


class SeasonBefore:
    """The number of a season before.

    Parameters
    ----------
    seasons : list of int
        Steps of the seasons to choose from, by the errors at the end of the series.
    """

    def __init__(self, seasons: list[int]) -> None:
        self.seasons, self.season = seasons, seasons[0]

    def fit(self, series: Floats, columns: Columns, horizon: int) -> None:
        """Choose the season."""
        first = len(series) - selection.validation_size(len(series), horizon)
        origins = selection.spread_origins(first, len(series), horizon, MOST_ORIGINS)
        truth = selection.true_values(series, origins, horizon)

        def error(season: int) -> float:
            back = np.arange(horizon) % season - season
            return float(np.mean((series[origins[:, None] + back] - truth) ** 2))

        self.season = min((s for s in self.seasons if s <= first), key=error)

    def forecast(
        self, series: Floats, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[Floats, None]:
        """Forecast."""
        return np.resize(series[-self.season :], steps), None


class Autoregression:
    """An autoregression whose order is chosen by its errors at the end of the series."""

    def __init__(self) -> None:
        self.order, self.rows = 1, 0

    def fit(self, series: Floats, columns: Columns, horizon: int) -> None:
        """Fit."""
        self.order, self.rows = selection.choose_order(series, horizon), len(series)

    def forecast(
        self, series: Floats, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[Floats, None]:
        """Forecast."""
        origin = np.array([len(series)])
        return selection.autoregressive(series, self.order, self.rows, origin, steps)[0], None


class StatsForecast:
    """A model of statsforecast with its own intervals.

    Parameters
    ----------
    name : str
        The model: "AutoETS" or "AutoARIMA".
    season : int
        Steps of the season, 1 for none.
    """

    def __init__(self, name: str, season: int) -> None:
        self.name, self.season = name, season
        self.model: Any = None

    def fit(self, series: Floats, columns: Columns, horizon: int) -> None:
        """Fit."""
        models = importlib.import_module("statsforecast.models")
        options: dict[str, Any] = {}
        if self.name == "AutoARIMA":
            options["approximation"] = (
                len(series) > APPROXIMATION_ROWS or self.season > APPROXIMATION_SEASON
            )
        self.model = getattr(models, self.name)(season_length=self.season, **options)
        with self._errors():
            self.model.fit(series, self._read(columns, 0, len(series)))

    def forecast(
        self, series: Floats, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[Floats, Floats]:
        """Forecast."""
        end = len(series)
        with self._errors():
            result = self.model.forward(
                series,
                steps,
                X=self._read(columns, 0, end),
                X_future=self._read(columns, end, end + steps),
                level=list(levels),
            )
        bands = [[result[f"{side}-{level}"] for side in ("lo", "hi")] for level in levels]
        forecast = np.asarray(result["mean"], np.float64)
        if not np.isfinite(forecast).all():
            raise MethodError("its forecast is not finite")
        return forecast, np.asarray(bands, np.float64)

    def _read(self, columns: Columns, first: int, end: int) -> Floats | None:
        """Return what the model reads beside the series: of the two only an ARIMA reads columns."""
        known = columns.known[first:end]
        return known if known.shape[1] and self.name == "AutoARIMA" else None

    @staticmethod
    @contextmanager
    def _errors() -> Iterator[None]:
        """Hide warnings, and raise every error as a MethodError."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except Exception as error:
                raise MethodError(" ".join(f"{type(error).__name__}: {error}".split())) from error


def has_statsforecast() -> bool:
    """Return whether statsforecast is installed.

    Returns
    -------
    bool
    """
    return importlib.util.find_spec("statsforecast") is not None


def scores(forecasts: dict[str, Floats], truth: Floats) -> dict[str, tuple[float, float]]:
    """Return the errors of each method.

    Parameters
    ----------
    forecasts : dict of array (n, horizon)
        By method.
    truth : array (n, horizon)

    Returns
    -------
    dict of (float, float)
        By method the root mean square error and the mean absolute error over all steps.
    """
    errors = {name: values - truth for name, values in forecasts.items()}
    return {
        name: (float(np.sqrt(np.mean(error**2))), float(np.mean(np.abs(error))))
        for name, error in errors.items()
    }


def methods(series: Floats, season: int | None = None) -> dict[str, Method]:
    """Return the methods to compare with.

    Parameters
    ----------
    series : array (time,)
        Where a season is looked for.
    season : int, optional
        Steps of the season, 0 for none. Default: found by autocorrelation.

    Returns
    -------
    dict of Method
        By name. Those of statsforecast only if it is installed; they get the longest season of at
        most 24 steps that is there twice.
    """
    seasons = find_seasons(series) if season is None else [season] * bool(season)
    found: dict[str, Method] = {"persistence": Persistence()}
    if seasons:
        found["same as a season before"] = SeasonBefore(seasons)
    found["autoregression"] = Autoregression()
    if has_statsforecast():
        fitting = [s for s in seasons if s <= min(LONGEST_SEASON, len(series) // 2)]
        found |= {name: StatsForecast(name, max(fitting, default=1)) for name in STATSFORECAST}
    return found
