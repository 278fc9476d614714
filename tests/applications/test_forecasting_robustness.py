"""Forecasts after wild readings, changes of level and zeros; which rows look wild."""

import numpy as np
import pytest

from crnn.forecasting import Forecaster
from crnn.forecasting.columns import Columns, column_limits


def weekly(n, seed=0):
    """A week, a trend and noise."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 2, n)
    return 100 + 30 * np.sin(2 * np.pi * t / 7) + 0.1 * t + noise


def monthly(n, seed=0):
    """A trend and a year that grow together."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 0.02, n)
    return np.exp(4 + 0.01 * t + 0.2 * np.sin(2 * np.pi * t / 12) + noise)


def spiked(series, **spikes):
    """A series with other numbers at some rows: last_2=5 for the last but one."""
    changed = series.copy()
    for name, value in spikes.items():
        row = int(name.split("_")[1])
        changed[-row if name.startswith("last") else row] = value
    return changed


def shifted(series, row, by):
    changed = series.copy()
    changed[row:] += by
    return changed


def assert_sane(series, forecast):
    """Within the range of the data, widened by its own span."""
    low, high = series.min(), series.max()
    assert (forecast >= low - (high - low)).all()
    assert (forecast <= high + (high - low)).all()


ROWS = 100
SPIKES = {
    "last": {"last_1": 1e5},
    "last but one": {"last_2": 1e5},
    "first": {"row_0": -1e4},
    "at the beginning": {"row_3": 1e6},
    "in the middle": {"row_50": -1e5},
    "in the validation data": {"row_88": 3e4},
    "three": {"row_20": 1e4, "row_60": -1e6, "last_3": 1e5},
    "a zero": {"row_90": 0.0},
}


@pytest.fixture(scope="module")
def clean_model():
    return Forecaster(hidden_size=4, epochs=1).fit(weekly(ROWS), horizon=7)


@pytest.mark.parametrize("spikes", SPIKES.values(), ids=SPIKES)
@pytest.mark.parametrize("known_before", [False, True])
def test_a_wild_reading_changes_little(spikes, known_before, clean_model):
    """Whether it was there in `fit` or is new to a fitted model."""
    truth = weekly(ROWS + 30)
    series = spiked(truth[:ROWS], **spikes)
    model = clean_model
    if not known_before:
        model = Forecaster(hidden_size=4, epochs=1).fit(series, horizon=7)
    forecast = model.forecast(series, 200)
    assert_sane(series, forecast)
    np.testing.assert_allclose(forecast[:30], truth[ROWS:], atol=16)
    rows = [int(name.split("_")[1]) for name in spikes]
    rows = [ROWS - row if "last" in name else row for name, row in zip(spikes, rows, strict=True)]
    # Against a wild first row, it is the next one that looks wild.
    assert model.wild(series) == [max(row, 1) for row in rows]


@pytest.mark.parametrize("by", [1e4, -1e3, 200])
@pytest.mark.parametrize("row", [12, 50, 80, 95])
@pytest.mark.parametrize("known_before", [False, True])
def test_a_change_of_level_is_followed(by, row, known_before, clean_model):
    truth = weekly(ROWS + 30) + by
    series = shifted(truth[:ROWS] - by, row, by)
    model = clean_model
    if not known_before:
        model = Forecaster(hidden_size=4, epochs=1, season=7).fit(series, horizon=7).refit(series)
    forecast = model.forecast(series, 200)
    assert_sane(series, forecast)
    np.testing.assert_allclose(forecast[:30], truth[ROWS:], atol=25)
    assert row in model.wild(series)


@pytest.mark.parametrize("factor", [1000.0, 0.001])
@pytest.mark.parametrize("row", [8, 50, 95])
@pytest.mark.parametrize("series", [weekly(ROWS), monthly(ROWS)], ids=["weekly", "monthly"])
def test_forecasts_stay_sane_after_a_change_of_unit(series, row, factor):
    series = series.copy()
    series[row:] *= factor
    forecast = Forecaster(hidden_size=4, epochs=1).fit(series, horizon=7).refit(series)
    assert_sane(series, forecast.forecast(series, 30))


@pytest.mark.parametrize("row", [60, ROWS - 2])
def test_a_wild_number_in_a_column_changes_little(row):
    truth, rng = weekly(ROWS + 14), np.random.default_rng(1)
    price = rng.normal(10, 1, (ROWS + 14, 1))
    truth += 4 * (price[:, 0] - 10)
    wild = price.copy()
    wild[row] = 1e6
    model = Forecaster(hidden_size=4, epochs=1).fit(truth[:ROWS], known=wild[:ROWS], horizon=7)
    forecast = model.forecast(truth[:ROWS], 14, known=wild)
    np.testing.assert_allclose(forecast, truth[ROWS:], atol=16)


def test_limits_of_columns():
    rng = np.random.default_rng(0)
    price = rng.normal(10, 1, 200)
    price[7] = 1e6
    rare, constant = (np.arange(200) == 70).astype(float), np.full(200, 3.0)
    limits = column_limits(Columns(price[:, None], np.stack([rare, constant], axis=1)))
    usual = np.delete(price, 7)
    span = np.ptp(usual)
    expected = [[usual.min() - span, usual.max() + span], [-1, 2], [3, 3]]
    np.testing.assert_allclose(limits.T, expected)


NOISE = {
    "heavy tails": lambda rng: rng.standard_t(3, 500),
    "very heavy tails": lambda rng: rng.standard_t(2, 500),
    "mostly zeros": lambda rng: (rng.random(300) < 0.1) * rng.poisson(5, 300).astype(float),
    "counts": lambda rng: rng.poisson(2, 300).astype(float),
    "skewed": lambda rng: np.exp(rng.normal(size=300)),
    "two values": lambda rng: (rng.random(200) < 0.1).astype(float),
    "steps": lambda rng: np.repeat(rng.integers(0, 20, 30), 10).astype(float),
    "volatility": lambda rng: rng.normal(size=600) * np.exp(np.repeat(rng.normal(size=30), 20)),
    "days of a month": lambda rng: rng.normal(0, 2, 600) + 40 * (np.arange(600) % 30 == 14),
    "constant": lambda rng: np.full(60, 3.0),
    "line": lambda rng: np.arange(60.0),
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_few_rows_of_noise_look_wild(noise):
    series = noise(np.random.default_rng(0))
    model = Forecaster(hidden_size=2, epochs=1).fit(series)
    assert len(model.wild(series)) <= len(series) / 100
    assert_sane(series, model.forecast(series, 30))


@pytest.mark.parametrize("scale", [1e12, 1e-9])
def test_the_unit_does_not_matter(scale):
    series = weekly(ROWS)
    expected, forecast = (
        Forecaster(hidden_size=2, epochs=1, logarithms=False).fit(values, horizon=7)
        for values in (series, series * scale)
    )
    np.testing.assert_allclose(
        forecast.forecast(series * scale, 10), scale * expected.forecast(series, 10), rtol=1e-6
    )


def test_a_zero_in_new_rows_does_not_stop_logarithms():
    series = monthly(150)
    model = Forecaster(hidden_size=2, epochs=1).fit(series[:140], horizon=3)
    assert model.recipe.log
    for wrong in (0.0, -5.0):
        changed = spiked(series, row_145=wrong)
        np.testing.assert_allclose(model.forecast(changed, 3), model.forecast(series, 3), rtol=0.1)
        assert model.wild(changed) == [145]
        assert np.isfinite(model.predict(changed)[model.needed :]).all()
        model.refit(changed)
        np.testing.assert_allclose(model.forecast(changed, 3), model.forecast(series, 3), rtol=0.1)


def test_nothing_is_forecast_below_the_floor():
    rng = np.random.default_rng(0)
    series = np.maximum(0, 20 - np.arange(80) / 4 + rng.normal(0, 2, 80))
    free = Forecaster(hidden_size=2, epochs=1).fit(series, horizon=5)
    bounded = Forecaster(hidden_size=2, epochs=1, floor=0).fit(series, horizon=5)
    expected = free.forecast(series, 20)
    assert (expected < 0).any()
    np.testing.assert_array_equal(bounded.forecast(series, 20), np.maximum(expected, 0))
    free.floor = 5.0
    predictions = bounded.predict(series)
    assert (predictions < 5).any()
    np.testing.assert_array_equal(free.predict(series), np.maximum(predictions, 5))
    stream = free.stream()
    assert [stream.step(value) for value in series][-1] == 5
