"""Forecasts of a series of numbers: a linear autoregression, corrected by a recurrent network.

A series is transformed: logarithms, differences between steps or between seasons. A linear
autoregression predicts the transformed numbers. A recurrent network reads the same numbers, the
numbers of the last season and further columns, and predicts the error of the linear part. How much
of that correction is added, the transformation, the season and the lags are chosen on validation
data and kept with the model. Forecasts are in the units of the series.
"""

from typing import TYPE_CHECKING, Any

from crnn.forecasting.backtesting import Backtest, backtest
from crnn.forecasting.comparisons import has_statsforecast
from crnn.forecasting.forecaster import Forecaster, load
from crnn.forecasting.online import OnlineForecaster
from crnn.forecasting.panel import Panel
from crnn.forecasting.recipe import Recipe

if TYPE_CHECKING:
    from crnn.forecasting.tables import Table, read_csv

__all__ = [
    "Backtest",
    "Forecaster",
    "OnlineForecaster",
    "Panel",
    "Recipe",
    "Table",
    "backtest",
    "has_statsforecast",
    "load",
    "read_csv",
]


def __getattr__(name: str) -> Any:
    # pandas is optional, and takes longer to import than all of crnn.
    if name in ("Table", "read_csv"):
        from crnn.forecasting import tables

        return getattr(tables, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
