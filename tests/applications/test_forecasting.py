"""Forecasters: what they find in series whose rules are known, files, and bad input."""

import json

import numpy as np
import pytest

import crnn
from crnn import files, forecasting
from crnn.forecasting import Forecaster


def monthly(n=180):
    """Trend and a season of 12 that grow together."""
    t = np.arange(n)
    rng = np.random.default_rng(0)
    return np.exp(4 + 0.01 * t + 0.2 * np.sin(2 * np.pi * t / 12) + rng.normal(0, 0.02, n))


def nonlinear(n=800):
    """Henon's map (1976), of which a linear model knows nearly nothing."""
    rng, x = np.random.default_rng(1), np.zeros(n)
    for t in range(2, n):
        x[t] = 1 - 1.4 * x[t - 1] ** 2 + 0.3 * x[t - 2]
    return x + rng.normal(0, 0.01, n)


def test_trend_and_season_are_followed():
    series = monthly()
    model = Forecaster().fit(series[:144], horizon=12)
    scores = model.scores(series, first=144, horizon=12)
    assert model.found_season == 12
    best = min(error for name, (error, _) in scores.items() if name != "crnn")
    # What is best on validation data need not be on 25 forecasts after them.
    assert scores["crnn"][0] <= 1.2 * best
    assert scores["crnn"][0] < 0.25 * scores["persistence"][0]
    ahead = model.forecast(series[:144], 36)
    np.testing.assert_allclose(ahead, series[144:], rtol=0.12)  # in the units of the series


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_network_learns_what_is_not_linear(cell):
    series = nonlinear()
    model = Forecaster(cell=cell).fit(series[:640])
    assert type(model.net).__name__ == cell.upper()
    scores = model.scores(series, first=640, horizon=1)
    assert model.share > 0
    assert scores["crnn"][0] < 0.3 * scores["its linear part alone"][0]
    assert scores["crnn"][0] < 0.3 * min(e for n, (e, _) in scores.items() if n != "crnn")


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_is_left_alone(seed):
    series = np.random.default_rng(seed).normal(size=400).cumsum()
    model = Forecaster(epochs=20).fit(series[:320], horizon=3)
    scores = model.scores(series, first=320, horizon=3)
    assert scores["crnn"][0] < 1.15 * scores["persistence"][0]


@pytest.mark.parametrize("offset", [0, 1e9])
def test_numbers_far_from_zero_are_forecast_as_well(offset):
    rng, series = np.random.default_rng(3), np.zeros(500)
    for t in range(2, 500):
        series[t] = 1.6 * series[t - 1] - 0.8 * series[t - 2] + rng.normal()
    model = Forecaster(epochs=1, season=0).fit(series[:400] + offset, horizon=5)
    scores = model.scores(series + offset, first=400, horizon=5)
    # Known coefficients leave an error of the sum of squares of 1, 1.6, 1.76, 1.536 and 1.0496.
    weights = np.array([1, 1.6, 1.76, 1.536, 1.0496]) ** 2
    expected = np.sqrt(np.mean(np.cumsum(weights)))
    for name, (error, _) in scores.items():
        if name != "persistence":
            assert error == pytest.approx(expected, rel=0.15), name


def test_features_help():
    rng = np.random.default_rng(2)
    u = rng.normal(size=(500, 2))
    series = np.r_[0, np.tanh(2 * u[:-1, 1])] + rng.normal(0, 0.05, 500)
    model = Forecaster().fit(series[:400], u[:400])
    with_features = model.scores(series, u, first=400, horizon=1)["crnn"][0]
    without = Forecaster().fit(series[:400]).scores(series, first=400, horizon=1)["crnn"][0]
    assert with_features < 0.4 * without


def test_scores_are_errors_of_forecasts():
    """By hand, from each origin on its own."""
    series = monthly(100)
    model = Forecaster(epochs=2).fit(series[:80], horizon=3)
    origins = range(80, 98)
    errors = [model.forecast(series[:o], 3) - series[o : o + 3] for o in origins]
    square, absolute = model.scores(series, first=80, horizon=3)["crnn"]
    assert square == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
    assert absolute == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)
    persistence = [series[o - 1] - series[o : o + 3] for o in origins]
    scores = model.scores(series, first=80, horizon=3)
    assert scores["persistence"][0] == pytest.approx(np.sqrt(np.mean(np.square(persistence))))


def test_predictions_know_nothing_of_what_comes():
    series = nonlinear(200)
    model = Forecaster(epochs=20).fit(series[:160])
    before = model.predict(series)
    assert np.isnan(before[: model.needed]).all()
    assert np.isfinite(before[model.needed :]).all()
    changed = series.copy()
    changed[150:] += 1
    after = model.predict(changed)
    assert np.array_equal(before[:151], after[:151], equal_nan=True)
    assert not np.array_equal(before[151:], after[151:])
    assert before[170] == pytest.approx(model.forecast(series[:170], 1)[0], rel=1e-6)


def test_same_seed_same_forecast():
    series = nonlinear(200)
    first, second = (Forecaster(epochs=5, seed=3).fit(series).forecast(series, 5) for _ in "ab")
    assert np.array_equal(first, second)


@pytest.mark.parametrize("make", [monthly, nonlinear])
def test_files(tmp_path, make):
    series = make()
    features = np.sin(np.arange(len(series)))[:, None]
    model = Forecaster(epochs=5, hidden_size=9).fit(series, features, horizon=2)
    model.share = 0.5
    model.save(tmp_path / "model.npz", target="x", numbers=[1, 2])
    twin, said = forecasting.load(tmp_path / "model.npz")
    assert said == {"target": "x", "numbers": [1, 2]}
    assert twin.recipe == model.recipe
    ahead = model.forecast(series, 7, features)
    assert np.array_equal(twin.forecast(series, 7, features), ahead)
    assert files.kind(tmp_path / "model.npz") == "forecaster"


CHANGES = {
    "recipe": ({"recipe": {"log": 1}}, "recipe: expected one of a forecaster"),
    "lags": ({"recipe": {"log": False, "differences": [], "lags": [-1], "season": 0}}, "recipe"),
    "share": ({"share": "all"}, "share: expected a number"),
    "window": ({"used_window": 10**12}, "used_window: expected a whole number"),
    "season": ({"found_season": None}, "found_season: expected a whole number"),
    "settings": ({"settings": {"hidden_size": 0}}, "settings"),
    "network": ({"network": None}, "expected the description of a network"),
    "newer": ({"version": 99}, "a newer crnn wrote it"),
}


@pytest.mark.parametrize(("changes", "match"), CHANGES.values(), ids=CHANGES)
def test_bad_files(tmp_path, changes, match):
    series = nonlinear(100)
    model = Forecaster(epochs=1, hidden_size=3).fit(series)
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as found:
        arrays = {name: found[name] for name in found.files}
    description = json.loads(arrays.pop("crnn").tobytes()) | changes
    description.pop("sha256")
    files.write(tmp_path / "bad.npz", description, arrays)
    with pytest.raises(crnn.ModelFileError, match=match):
        forecasting.load(tmp_path / "bad.npz")


def test_bad_input():
    series = monthly()
    with pytest.raises(
        ValueError, match=r"^series: expected at least 22 numbers to learn from, got 10"
    ):
        Forecaster().fit(series[:10])
    with pytest.raises(ValueError, match=r"^series: expected finite numbers"):
        Forecaster().fit(np.r_[series, np.nan])
    with pytest.raises(ValueError, match=r"^series: expected numbers \(time,\)"):
        Forecaster().fit(series[:, None])
    with pytest.raises(ValueError, match=r"^features: expected shape \(time=180, columns\)"):
        Forecaster().fit(series, np.zeros((5, 1)))
    with pytest.raises(ValueError, match=r"^hidden_size: expected at least 1"):
        Forecaster(hidden_size=0)
    with pytest.raises(TypeError, match=r"^logarithms: expected True or False"):
        Forecaster(logarithms="no")
    with pytest.raises(ValueError, match=r"^season: expected at most 45 steps, .*138 num.* got 46"):
        Forecaster(season=46).fit(series[:178])
    model = Forecaster(epochs=1).fit(series)
    assert model.recipe.log
    with pytest.raises(ValueError, match=r"^series: expected at least \d+ numbers, got 1"):
        model.forecast(series[:1], 1)
    below = np.r_[series, -1.0]
    features = np.zeros((len(series), 1))
    for use in (model.predict, model.refit, lambda *data: model.forecast(data[0], 1, *data[1:]),
                lambda *data: model.scores(*data, first=150, horizon=1)):  # fmt: skip
        with pytest.raises(ValueError, match=r"^series: expected numbers above 0, .* got -1"):
            use(below)
        with pytest.raises(ValueError, match=r"^features: expected 0 columns, .* got 1"):
            use(series, features)


def test_logarithms_may_be_forbidden():
    assert not Forecaster(epochs=1, logarithms=False).fit(monthly()).recipe.log


@pytest.mark.parametrize("series", [np.full(80, 3.0), np.arange(80.0), np.r_[np.zeros(79), 1.0]])
def test_series_without_noise(series):
    model = Forecaster(epochs=2).fit(series)
    ahead = model.forecast(series, 3)
    assert np.isfinite(ahead).all()
    if series[-1] == 79:
        np.testing.assert_allclose(ahead, [80, 81, 82], rtol=0.01)
