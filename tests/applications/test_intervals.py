"""Prediction intervals: their arithmetic by hand, and how many numbers fall inside."""

import dataclasses
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest

from crnn import forecasting
from crnn.forecasting import Forecaster, intervals
from crnn.forecasting.columns import Columns
from crnn.forecasting.fitted import NO_ERRORS

Z = NormalDist().inv_cdf


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.6, 3), (0.601, 4), (0.8, 4)],
    ids=["rank 3 of 4", "above it", "rank 4 of 4"],
)
def test_quantile_of_four_errors(level, expected):
    """Rank ceil(5 * level)."""
    assert intervals.quantile(np.array([2.0, 4.0, 1.0, 3.0]), level) == expected


def test_quantile_of_more_than_the_largest_error():
    """Rank ceil(5 * 0.9) = 5 of 4: normal tails beyond 4 / 5."""
    found = intervals.quantile(np.array([2.0, 4.0, 1.0, 3.0]), 0.9)
    assert found == pytest.approx(4 * Z(0.95) / Z(0.9))


def test_quantile_where_the_rank_is_a_whole_number():
    """0.55 * 20 is 11.000000000000002 in floating point."""
    sizes = np.arange(1.0, 20.0)
    assert intervals.quantile(sizes, 0.95) == 19
    assert intervals.quantile(sizes, 0.55) == 11


def test_half_widths_by_hand():
    errors = np.array([[1, 6], [-3, 8], [2, -4], [-4, np.nan]], np.float32)
    # Quantiles 4 of the sizes 1, 2, 3, 4, and 8 * z(0.9) / z(0.875) of 4, 6, 8; 4 forecasts of
    # one step do not overlap, and 3 / 2 of two
    z = Z(0.9)
    expected = [4 * (1 + (z**2 + 1) / 16), 8 * z / Z(0.875) * (1 + (z**2 + 1) / 6)]
    np.testing.assert_allclose(intervals.half_widths(errors, 0.8), expected)


def test_half_widths_do_not_shrink_from_step_to_step():
    """Steps 2 and 3 are pooled by how many forecasts do not overlap: 99 / 2 and 99 / 3."""
    sizes = np.arange(1.0, 100.0)[:, None] * [1.0, 3.0, 2.0, 5.0]
    z = Z(0.95)
    own = [90 * scale * (1 + (z**2 + 1) / (4 * 99 / step)) for scale, step in
           [(1.0, 1), (3.0, 2), (2.0, 3), (5.0, 4)]]  # fmt: skip
    pooled = (own[1] / 2 + own[2] / 3) / (1 / 2 + 1 / 3)
    expected = [own[0], pooled, pooled, own[3]]
    np.testing.assert_allclose(intervals.half_widths(sizes, 0.9), expected)


def test_bands_of_several_levels_nest_and_widen():
    rng = np.random.default_rng(0)
    errors = rng.standard_t(3, (37, 6)) * [1, 3, 2, 2, 5, 4]
    widths = np.array([intervals.half_widths(errors, level) for level in (0.5, 0.8, 0.9, 0.99)])
    assert (np.diff(widths, axis=0) > 0).all()
    assert (np.diff(widths, axis=1) >= 0).all()


def test_errors_are_of_models_fitted_to_what_comes_before():
    """Models that forecast how many rows they were fitted to, from every place."""

    def errors_of(steps, floor):
        return np.concatenate(
            [
                intervals.errors_of(
                    SimpleNamespace(
                        levels=lambda values: values,
                        forecast=lambda series, columns, origins, steps, place=place: np.full(
                            (len(origins), steps), place
                        ),
                    ),
                    series,
                    None,
                    origins,
                    steps,
                    floor,
                )
                for place, origins in intervals.origins_of([6, 8, 8], len(series))
            ]
        )

    series = np.arange(10.0) ** 2
    errors = errors_of(3, None)
    expected = [
        [36 - 6, 49 - 6, 64 - 6],
        [49 - 6, 64 - 6, 81 - 6],
        [64 - 8, 81 - 8, np.nan],
        [81 - 8, np.nan, np.nan],
    ]
    np.testing.assert_array_equal(errors, expected)
    # No forecast is below the floor.
    errors = errors_of(1, 7.0)
    np.testing.assert_array_equal(errors[:, 0], [36 - 7, 49 - 7, 64 - 8, 81 - 8])


def autoregression(n, seed, coefficient=0.8, scale=2.0):
    rng, series = np.random.default_rng(seed), np.zeros(n)
    for t in range(1, n):
        series[t] = coefficient * series[t - 1] + scale * rng.normal()
    return series + 50


@pytest.fixture(scope="module")
def model():
    """A model of the first 800 numbers of an autoregression, and the series."""
    series = autoregression(2000, 0)
    return Forecaster(hidden_size=2, epochs=1, season=0).fit(series[:800], horizon=4), series


def test_numbers_fall_inside_as_often_as_the_level_says(model):
    model, series = model
    inside = []
    for origin in range(800, 1996, 4):
        bands = model.intervals(series[:origin], 4, levels=(50, 80, 95))
        truth = series[origin : origin + 4]
        inside.append((bands[:, 0] <= truth) & (truth <= bands[:, 1]))
    np.testing.assert_allclose(np.mean(inside, axis=(0, 2)), [0.5, 0.8, 0.95], atol=0.035)
    # Of each step too
    np.testing.assert_allclose(np.mean(inside, axis=0)[1], 0.8, atol=0.05)


def test_half_widths_are_those_of_the_true_errors(model):
    model, series = model
    lower, upper = model.intervals(series[:800], 4, levels=[90])[0]
    # The errors of h steps have the variance 4 * (1 + 0.64 + ... + 0.64^(h - 1)).
    expected = Z(0.95) * 2 * np.sqrt(np.cumsum(0.64 ** np.arange(4)))
    np.testing.assert_allclose((upper - lower) / 2, expected, rtol=0.1)
    np.testing.assert_allclose((upper + lower) / 2, model.forecast(series[:800], 4))


def test_intervals_nest_and_do_not_become_narrower(model):
    model, series = model
    bands = model.intervals(series, 60, levels=(95, 50, 80))
    assert bands.shape == (3, 2, 60)
    widths = bands[:, 1] - bands[:, 0]
    assert (widths[0] > widths[2]).all()
    assert (widths[2] > widths[1]).all()
    assert (np.diff(widths) > -1e-9).all()


def test_beyond_the_calibrated_steps_intervals_widen_as_the_linear_part_says(model):
    model, series = model
    steps = model.fitted.errors.shape[1]
    assert steps == 24
    lower, upper = model.intervals(series, 200, levels=[80])[0]
    # An autoregression forgets: the variance tends to its own.
    assert (upper - lower)[-1] == pytest.approx((upper - lower)[steps - 1], rel=0.01)


def test_beyond_the_calibrated_steps_a_random_walk_widens_with_the_root_of_the_step():
    series = np.random.default_rng(3).normal(size=300).cumsum()
    model = Forecaster(hidden_size=2, epochs=1, season=0).fit(series)
    assert model.recipe.differences == (1,)
    assert model.recipe.lags == ()
    lower, upper = model.intervals(series, 96, levels=[80])[0]
    np.testing.assert_allclose(
        (upper - lower)[24:] / (upper - lower)[23], np.sqrt(np.arange(25, 97) / 24)
    )


@pytest.fixture(scope="module")
def monthly():
    """Growing months, and a model that takes logarithms."""
    t, rng = np.arange(120), np.random.default_rng(0)
    series = np.exp(4 + 0.01 * t + 0.2 * np.sin(2 * np.pi * t / 12) + rng.normal(0, 0.05, 120))
    model = Forecaster(hidden_size=2, epochs=1).fit(series[:96], horizon=6)
    assert model.recipe.log
    return model, series


def test_with_logarithms_an_interval_is_a_factor(monthly):
    model, series = monthly
    forecast = model.forecast(series[:96], 30)
    for lower, upper in model.intervals(series[:96], 30):
        np.testing.assert_allclose(upper / forecast, forecast / lower)
        assert (np.diff(upper / lower) > -1e-9).all()
        assert (lower > 0).all()


def test_no_end_is_below_the_floor():
    counts = np.random.default_rng(1).poisson(1.0, 200).astype(float)
    series = counts[:150]
    model = Forecaster(hidden_size=2, epochs=1, season=0, floor=0, logarithms=False).fit(series)
    free = Forecaster(hidden_size=2, epochs=1, season=0, logarithms=False).fit(series)
    assert (free.intervals(series, 5)[:, 0] < 0).all()
    bands = model.intervals(series, 5)
    assert (bands[:, 0] == 0).all()
    np.testing.assert_allclose(bands[:, 1], free.intervals(series, 5)[:, 1])


def test_refit_keeps_the_errors_and_adds_those_of_new_rows(monthly):
    model, series = monthly
    before = model.fitted.errors
    again = Forecaster(**model.settings)
    again.fitted = model.fitted
    forecasts = [model.forecast(series[:origin], 2) for origin in range(96, 120)]
    again.refit(series)
    errors = again.fitted.errors
    np.testing.assert_array_equal(errors[: len(before)], before)
    added = errors[len(before) :]
    assert len(added) == 24
    truth = np.log(series)
    np.testing.assert_allclose(added[0, :2], truth[96:98] - np.log(forecasts[0]), rtol=1e-5)
    assert added[-1, 0] == pytest.approx(truth[119] - np.log(forecasts[-1][0]), rel=1e-5)
    assert np.isnan(added[-1, 1:]).all()
    # Rows that the model has been fitted to add nothing.
    again.refit(series)
    np.testing.assert_array_equal(again.fitted.errors, errors)


def test_a_file_keeps_the_errors(monthly, tmp_path):
    model, series = monthly
    model.save(tmp_path / "model.npz")
    loaded, _ = forecasting.load(tmp_path / "model.npz")
    assert loaded.fitted.rows == model.fitted.rows
    np.testing.assert_array_equal(loaded.intervals(series, 9), model.intervals(series, 9))


def test_further_columns_are_read():
    """A holiday adds 30: without the known column it would be an error."""
    rng = np.random.default_rng(5)
    holiday = (rng.random(260) < 0.1).astype(float)[:, None]
    series = 100 + 30 * holiday[:, 0] + rng.normal(0, 1, 260)
    model = Forecaster(hidden_size=2, epochs=1, season=0).fit(series[:220], known=holiday[:220])
    inside, widths = [], []
    for origin in range(220, 260):
        lower, upper = model.intervals(
            series[:origin], 1, levels=[90], known=holiday[: origin + 1]
        )[0]
        inside.append(lower[0] <= series[origin] <= upper[0])
        widths.append(upper[0] - lower[0])
    assert 0.8 <= np.mean(inside) <= 1
    assert np.mean(widths) == pytest.approx(2 * Z(0.95), rel=0.25)


def test_intervals_follow_the_errors_since_the_fit(model):
    """By hand: one-step errors of 30 rows, and two-step errors of 29."""
    model, series = model
    fitted, errors = model.fitted, np.abs(model.fitted.errors.astype(float))
    calm = series[800] + 0.3 * (series[800:830] - series[800])
    later = np.r_[series[:800], calm]
    factors = []
    for step in (1, 2):
        found = [
            abs(model.forecast(later[:origin], 2)[step - 1] - later[origin + step - 1])
            for origin in range(800, 831 - step)
        ]
        sizes = np.minimum(np.array(found) / np.nanmean(errors[:, step - 1]), 5)
        factors.append((10 + sizes.sum() / step) / (10 + len(sizes) / step))
    assert factors[0] < 0.8
    widths = intervals.half_widths(fitted.errors, 0.8, [*factors, *[1.0] * 22])[:2]
    lower, upper = model.intervals(later, 2, levels=[80])[0]
    np.testing.assert_allclose((upper - lower) / 2, widths, rtol=1e-5)
    # A level shift is cut: an error counts as 5 at most.
    shifted = np.r_[series[:800], series[800] + 1000]
    columns = Columns.none(801)
    factors = intervals.changes_since(fitted, shifted, columns, 1, None)
    assert factors[0] == pytest.approx(15 / 11)
    # Rows of the fit are no news.
    assert (intervals.changes_since(fitted, series[:800], columns, 4, None) == 1).all()


@pytest.mark.parametrize("place", [60, 99], ids=["within", "last"])
def test_a_wild_reading_does_not_widen_the_intervals(place):
    series = np.random.default_rng(2).normal(10, 1, 100)
    series[place] = 1000
    model = Forecaster(hidden_size=2, epochs=1, season=0).fit(series, horizon=3)
    assert model.wild(series) == [place]
    lower, upper = model.intervals(series, 30, levels=[95])[0]
    assert (upper - lower).max() < 10
    model.refit(np.r_[series, 2000.0, 10.0])
    lower, upper = model.intervals(series, 30, levels=[95])[0]
    assert (upper - lower).max() < 10


def test_series_without_noise_have_intervals_without_width():
    model = Forecaster(hidden_size=2, epochs=1).fit(np.arange(80.0))
    lower, upper = model.intervals(np.arange(80.0), 3, levels=[95])[0]
    np.testing.assert_allclose(lower, [80, 81, 82], rtol=0.01)
    np.testing.assert_allclose(upper, lower, rtol=0.01)


RANGE = "levels: expected a finite number above 0 and below 100, got "


@pytest.mark.parametrize(
    ("levels", "error", "sentence"),
    [
        ((80, 100), ValueError, RANGE + "100"),
        ([0], ValueError, RANGE + "0"),
        ((), ValueError, "levels: expected different numbers between 0 and 100, got ()"),
        ((80, 80.0), ValueError, "levels: expected different numbers between 0 and 100, got (80,"),
        (90, TypeError, "levels: expected several numbers, such as (80, 95), got 90"),
        ("80,95", TypeError, "levels: expected several numbers, such as (80, 95), got '80,95'"),
        (["a"], TypeError, "levels: expected a number, got 'a'"),
        ([np.nan], ValueError, RANGE + "nan"),
    ],
)
def test_refused_levels(model, levels, error, sentence):
    model, series = model
    with pytest.raises(error) as caught:
        model.intervals(series, 2, levels)
    assert str(caught.value).startswith(sentence)


def test_a_model_without_errors_is_refused(model):
    """As from a file of version 1."""
    model, series = model
    other = Forecaster(**model.settings)
    other.fitted = dataclasses.replace(model.fitted, errors=NO_ERRORS)
    with pytest.raises(ValueError, match=r"^intervals: expected a model with errors to calibrate"):
        other.intervals(series, 2)
    assert other.refit(series).fitted.errors.size == 0
