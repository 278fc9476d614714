"""Columns that are known ahead or only afterwards, and seasons in short series."""

import numpy as np
import pytest

from crnn.forecasting import Forecaster

ROWS, FIRST = 300, 240


def holidays(seed=0):
    """Units that rise by 50 on holidays, and the holidays."""
    rng = np.random.default_rng(seed)
    holiday = (rng.random(ROWS) < 0.2).astype(float)
    return 100 + 50 * holiday + rng.normal(0, 2, ROWS), holiday[:, None]


def error_of(series, lagged=None, known=None, **settings):
    """The error of one-step forecasts on the last rows, and the model."""

    def first(columns):
        return None if columns is None else columns[:FIRST]

    model = Forecaster(hidden_size=4, epochs=2, **settings)
    model.fit(series[:FIRST], first(lagged), first(known))
    return model.scores(series, lagged, known, first=FIRST, horizon=1)["crnn"][0], model


def test_a_holiday_is_read_on_its_day():
    series, holiday = holidays()
    error, model = error_of(series, known=holiday)
    assert error < 2.2
    assert error_of(series)[0] > 15
    # A day before, nobody knows.
    assert error_of(series, lagged=holiday)[0] > 15
    ahead = np.vstack([holiday, [[0], [1], [0], [1]]])
    np.testing.assert_allclose(model.forecast(series, 4, known=ahead), [100, 150, 100, 150], atol=3)
    # More rows than there are steps are not read.
    more = np.vstack([ahead, [[np.nan]]])
    assert np.array_equal(
        model.forecast(series, 4, known=more), model.forecast(series, 4, known=ahead)
    )


def test_known_columns_beside_a_trend_and_a_season():
    """A price effect, a column that is constant, and one that is 0 in what is learned from."""
    rng, t = np.random.default_rng(0), np.arange(ROWS)
    holiday = (rng.random(ROWS) < 0.1).astype(float)
    price = rng.normal(10, 1, ROWS)
    late = (t > FIRST + 5).astype(float)
    series = 100 + 0.2 * t + 20 * np.sin(2 * np.pi * t / 7) + 50 * holiday - 6 * price
    series += rng.normal(0, 1.8, ROWS)
    known = np.stack([holiday, price, np.full(ROWS, 3.0), late], axis=1)
    error, model = error_of(series, known=known)
    assert model.found_season == 7
    assert error < 2.2


def test_effects_that_last():
    """What is sold on one day is missing on the next ones: the series remembers the effect."""
    rng = np.random.default_rng(0)
    holiday, series = (rng.random(ROWS) < 0.2).astype(float), np.zeros(ROWS)
    for t in range(1, ROWS):
        series[t] = 0.8 * series[t - 1] + 20 * holiday[t] + rng.normal(0, 1.8)
    error, model = error_of(100 + series, known=holiday[:, None])
    assert model.recipe.effects == "step"
    assert error < 2.2


def test_effects_that_grow_with_the_series():
    rng, t = np.random.default_rng(0), np.arange(ROWS)
    holiday = (rng.random(ROWS) < 0.1).astype(float)
    rate = 4 + 0.002 * t + 0.2 * np.sin(2 * np.pi * t / 12) + 0.4 * holiday
    series = np.exp(rate + rng.normal(0, 0.02, ROWS))
    error, model = error_of(series, known=holiday[:, None])
    assert model.recipe.log
    assert error < 0.03 * series[FIRST:].mean()


def test_lagged_columns_are_read_a_day_later():
    rng, t = np.random.default_rng(0), np.arange(ROWS)
    warmth = 10 * np.sin(2 * np.pi * t / 50) + rng.normal(0, 2, ROWS)
    series = 100 + 3 * np.r_[0, warmth[:-1]] + rng.normal(0, 1, ROWS)
    error, model = error_of(series, lagged=warmth[:, None])
    assert error < 1.3
    changed = warmth[:, None].copy()
    changed[-1] += 1
    before = model.forecast(series, 2, warmth[:, None])
    # It is read one day later, and then taken to stay as it is.
    np.testing.assert_allclose(model.forecast(series, 2, changed) - before, 3, atol=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_columns_without_a_meaning_do_little_harm(seed):
    rng, series = np.random.default_rng(seed), np.zeros(ROWS)
    for t in range(1, ROWS):
        series[t] = 0.8 * series[t - 1] + rng.normal()
    useless = rng.normal(size=(ROWS, 3))
    assert error_of(series, known=useless)[0] < 1.05 * error_of(series)[0]


def year(years, multiplicative, seed=0, noise=0.03):
    rng, t = np.random.default_rng(seed), np.arange(12 * years + 12)
    pattern = np.array([0.1, -0.3, 0.2, 0, 0.4, 0.5, 0.3, -0.1, -0.4, -0.5, -0.3, 0.1])[t % 12]
    rate = 0.004 * t + pattern + rng.normal(0, noise, len(t))
    series = 100 * (np.exp(rate) if multiplicative else 1 + rate)
    return series[:-12], series[-12:]


@pytest.mark.parametrize("years", [2, 3, 5, 10])
@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("season", [None, 12])
def test_a_strong_season_is_followed_as_well_as_the_year_before(years, multiplicative, season):
    ours, before = [], []
    for seed in range(3):
        series, truth = year(years, multiplicative, seed)
        model = Forecaster(hidden_size=2, epochs=1, season=season).fit(series, horizon=12)
        assert model.found_season == 12
        ours.append(model.refit(series).forecast(series, 12) - truth)
        before.append(series[-12:] - truth)
    assert np.sqrt(np.mean(np.square(ours))) < 1.1 * np.sqrt(np.mean(np.square(before)))


def test_a_season_that_is_there_twice():
    series, _ = year(2, False, noise=0)
    model = Forecaster(hidden_size=2, epochs=1, season=12).fit(series, horizon=12)
    assert str(model.recipe) == "the same as a season of 12 before"
    np.testing.assert_array_equal(model.forecast(series, 14), series[[*range(12, 24), 12, 13]])


def test_scores_of_a_short_series():
    series, _ = year(3, False)
    model = Forecaster(hidden_size=2, epochs=1, season=12).fit(series[:24], horizon=12)
    scores = model.scores(series, first=24, horizon=12)
    assert {"crnn", "persistence", "same as a season before"} <= set(scores)
