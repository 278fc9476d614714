"""Backtests: each method is fitted to what came before, and compared with what came."""

import sys
from types import ModuleType

import numpy as np
import pytest

from crnn.forecasting import Backtest, Forecaster, backtest, comparisons
from crnn.forecasting.columns import Columns

MODEL = Forecaster(hidden_size=2, epochs=1, season=12)


def monthly(n=100):
    t, rng = np.arange(n), np.random.default_rng(0)
    return 50 + 0.2 * t + 10 * np.sin(2 * np.pi * t / 12) + rng.normal(0, 1, n)


@pytest.fixture(autouse=True)
def without_statsforecast(monkeypatch):
    """Results do not depend on what is installed."""
    monkeypatch.setattr(comparisons, "has_statsforecast", lambda: False)


def test_each_method_is_fitted_to_what_came_before():
    series = monthly()
    done = []
    result = backtest(
        series, horizon=3, origins=2, first=80, levels=(50, 90), model=MODEL,
        progress=lambda *counts: done.append(counts),
    )  # fmt: skip
    assert result.origins.tolist() == [80, 97]
    assert done == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(result.truth, [series[80:83], series[97:100]])
    assert list(result.forecasts) == [
        "crnn", "persistence", "same as a season before", "autoregression"
    ]  # fmt: skip
    for number, origin in enumerate(result.origins):
        before = series[:origin]
        own = Forecaster(**MODEL.settings).fit(before, horizon=3)
        np.testing.assert_array_equal(result.forecasts["crnn"][number], own.forecast(before, 3))
        np.testing.assert_array_equal(
            result.bands["crnn"][number], own.intervals(before, 3, (50, 90))
        )
        season_before = result.forecasts["same as a season before"][number]
        np.testing.assert_array_equal(season_before, series[origin - 12 : origin - 9])
        assert (result.forecasts["persistence"][number] == series[origin - 1]).all()
    # The settings are used, and nothing else of the model.
    with pytest.raises(AttributeError):
        _ = MODEL.fitted


def test_workers_change_nothing():
    pytest.importorskip("joblib")
    series = monthly()
    known = np.sin(np.arange(103.0))[:100, None]
    results, counts = [], []
    for n_jobs in (None, 2):
        done = []
        results.append(
            backtest(
                series, known=known, horizon=2, origins=3, model=MODEL, n_jobs=n_jobs,
                progress=lambda *one, done=done: done.append(one),
            )
        )  # fmt: skip
        counts.append(done)
    alone, shared = results
    assert counts == [[(1, 3), (2, 3), (3, 3)]] * 2
    assert list(alone.forecasts) == list(shared.forecasts)
    for of_alone, of_shared in ((alone.forecasts, shared.forecasts), (alone.bands, shared.bands)):
        for name, values in of_alone.items():
            assert values.tobytes() == of_shared[name].tobytes(), name


def test_known_and_lagged_columns_are_read_where_they_may_be():
    rng = np.random.default_rng(1)
    holiday, weather = (rng.random((2, 120)) < 0.2).astype(float)[:, :, None]
    series = 30 + 20 * holiday[:, 0] + rng.normal(0, 0.5, 120)
    series[1:] += 10 * weather[:-1, 0]
    model = Forecaster(hidden_size=2, epochs=1, season=0)
    both = backtest(series, weather, holiday, origins=2, model=model).scores()["crnn"][0]
    assert both < 1.5
    assert backtest(series, weather, origins=2, model=model).scores()["crnn"][0] > 3


def test_scores_and_coverage_by_hand():
    truth = np.array([[1.0, 2.0], [3.0, 4.0]])
    bands = np.array([[[[0, 0], [2, 1]]], [[[3, 5], [3, 6]]]], float)
    result = Backtest(
        origins=np.array([5, 6]),
        truth=truth,
        forecasts={"crnn": truth + [[1, -1], [3, 1]], "other": truth + 2},
        levels=(80.0,),
        bands={"crnn": bands},
        failed={},
    )
    assert result.scores() == {"crnn": (pytest.approx(np.sqrt(3)), 1.5), "other": (2.0, 2.0)}
    np.testing.assert_allclose(result.by_step()["crnn"], np.sqrt([5, 1]))
    # 1 in 0 to 2, 2 not in 0 to 1, 3 in 3 to 3, 4 not in 5 to 6
    assert result.coverage() == {"crnn": (0.5,)}
    assert result.winner == "crnn"


def test_an_autoregression_is_fitted_once_and_forecasts_from_later_places():
    series = monthly(120)
    method = comparisons.Autoregression()
    method.fit(series[:90], Columns.none(90), 2)
    forecast, bands = method.forecast(series, Columns.none(122), 2, ())
    assert bands is None
    changed = series.copy()
    changed[90 : 120 - method.order] += 5
    np.testing.assert_allclose(method.forecast(changed, Columns.none(122), 2, ())[0], forecast)


def test_the_season_is_that_with_the_least_error():
    method = comparisons.SeasonBefore([5, 12, 24])
    method.fit(monthly(), Columns.none(100), 3)
    assert method.season == 12


class Stub:
    """As the models of statsforecast are called."""

    def __init__(self, season_length, **options):
        self.season, self.options, self.fits = season_length, options, []

    def fit(self, y, X=None):
        self.fits.append((len(y), X))

    def forward(self, y, h, X=None, X_future=None, level=None):
        mean = y[-1] + np.arange(h)
        if X_future is not None:
            mean = mean + X_future[:, 0]
        return {"mean": mean} | {
            f"{side}-{one}": mean + sign * one
            for one in level
            for side, sign in (("lo", -1), ("hi", 1))
        }


@pytest.fixture
def statsforecast(monkeypatch):
    """A package in place of statsforecast."""
    models = ModuleType("statsforecast.models")
    models.AutoETS = models.AutoARIMA = Stub
    monkeypatch.setitem(sys.modules, "statsforecast", ModuleType("statsforecast"))
    monkeypatch.setitem(sys.modules, "statsforecast.models", models)
    monkeypatch.setattr(comparisons, "has_statsforecast", lambda: True)
    return models


def test_models_of_statsforecast(statsforecast):
    series, known = monthly(), np.arange(100.0)[:, None]
    result = backtest(
        series, known=known, horizon=2, origins=2, levels=(80, 95), model=MODEL, first=90
    )
    assert list(result.forecasts)[-2:] == ["AutoETS", "AutoARIMA"]
    last = series[result.origins - 1][:, None] + [0, 1]
    np.testing.assert_allclose(result.forecasts["AutoETS"], last)
    # Only an ARIMA reads the known columns, of the steps that it forecasts.
    np.testing.assert_allclose(
        result.forecasts["AutoARIMA"], last + result.origins[:, None] + [0, 1]
    )
    np.testing.assert_allclose(result.bands["AutoETS"][:, 1, 0], last - 95)
    np.testing.assert_allclose(result.bands["AutoETS"][:, 0, 1], last + 80)
    method = comparisons.methods(series, 12)["AutoARIMA"]
    assert method.season == 12
    # A season that is not there twice, and one longer than 24, are none.
    assert comparisons.methods(series[:23], 12)["AutoETS"].season == 1
    assert comparisons.methods(series, 30)["AutoETS"].season == 1


def test_a_method_that_fails_is_named_and_left_out(statsforecast, monkeypatch):
    def fail(self, y, X=None):
        raise ZeroDivisionError("no\nvariance")

    monkeypatch.setattr(statsforecast.AutoETS, "fit", fail)
    result = backtest(monthly(60), horizon=2, origins=2, model=MODEL)
    error = "ZeroDivisionError: no variance"
    assert result.failed == {"AutoETS": error, "AutoARIMA": error}
    assert "AutoETS" not in result.forecasts
    assert list(result.bands) == ["crnn"]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"horizon": 0}, ValueError, "horizon: expected at least 1, got 0"),
        ({"origins": 0}, ValueError, "origins: expected at least 1, got 0"),
        ({"horizon": 60}, ValueError, "series: expected more numbers than the horizon of 60, got"),
        ({"horizon": 5, "first": 56}, ValueError, "first: expected at most 55, got 56"),
        ({"first": 3}, ValueError, "series: expected at least "),
        ({"levels": ()}, ValueError, "levels: expected different numbers between 0 and 100"),
        ({"known": np.zeros((61, 1))}, ValueError, "known: expected shape (time=60, columns)"),
    ],
)
def test_refusals(arguments, error, sentence):
    with pytest.raises(error) as caught:
        backtest(monthly(60), **arguments)
    assert str(caught.value).startswith(sentence)
