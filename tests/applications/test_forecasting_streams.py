"""`predict`, `forecast` row by row and `stream` give the same predictions."""

import dataclasses

import numpy as np
import pytest

from crnn.forecasting import Forecaster, Recipe, selection

ROWS, SEASON = 90, 7
RECIPES = [
    Recipe(False, (), (1, 2, 5), 0),
    Recipe(False, (), (1, 7, 8), SEASON, effects="level"),
    Recipe(True, (SEASON,), (1,), SEASON, effects="step"),
    Recipe(False, (SEASON, 1), (1, 7, 8), SEASON, drift=False, effects="level"),
    Recipe(False, (SEASON,), (), SEASON, drift=False),
    Recipe(True, (1,), (), 0, effects="level"),
    Recipe(True, (1,), (1,), 0, effects="level", averaged_with=SEASON),
    Recipe(False, (SEASON, 1), (1, 7, 8), SEASON, drift=False, averaged_with=SEASON),
]


def series_with_columns(lagged, known):
    """A season, effects of the columns, a wild reading early and late, and a change of level."""
    rng, t = np.random.default_rng(0), np.arange(ROWS)
    columns = rng.normal(size=(ROWS, lagged)), rng.random((ROWS, known))
    series = 100 + 10 * np.sin(2 * np.pi * t / SEASON) + rng.normal(size=ROWS)
    series[1:] += 3 * columns[0][:-1].sum(axis=1)
    series += 5 * columns[1].sum(axis=1)
    series[4] = 0
    series[50] += 900
    series[70:] += 300
    return series, columns


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize(("num_lagged", "num_known"), [(0, 0), (2, 0), (0, 1), (1, 3)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_predictions_are_the_same_in_all_three_ways(
    recipe, num_lagged, num_known, share, monkeypatch
):
    monkeypatch.setattr(selection, "choose_recipes", lambda *_, **__: [recipe])
    series, (lagged, known) = series_with_columns(num_lagged, num_known)
    model = Forecaster(hidden_size=3, window=9, epochs=1, season=SEASON)
    model.fit(series, lagged, known)
    model.fitted = dataclasses.replace(model.fitted, share=share)

    predictions = model.predict(series, lagged, known)
    assert np.isnan(predictions[: model.needed]).all()
    stream = model.stream()
    coming = np.vstack([known[1:], known[-1:]])
    streamed = [stream.step(*row) for row in zip(series, lagged, coming, strict=True)]
    # The network computes in float32.
    tolerance = {"rtol": 1e-5 if share else 1e-9}
    np.testing.assert_allclose(streamed[:-1], predictions[1:], **tolerance)
    late = [49, 50, 51, 52, 60, 70, 71, 72, 73, 80, ROWS - 1]
    for row in [*range(model.needed, model.needed + 12), *late]:
        before = series[:row], 1, lagged[:row], known[: row + 1]
        assert predictions[row] == pytest.approx(model.forecast(*before)[0], rel=tolerance["rtol"])
    # The network has a part in it.
    others = dataclasses.replace(model.fitted, share=1.0 if share else 0.0)
    model.fitted = others
    assert np.array_equal(model.predict(series, lagged, known), predictions, True) == (not share)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ((float("nan"), (1,), (1, 2)), "value: expected 1 finite number, got [nan]"),
        ((1.0, (), (1, 2)), "lagged: expected 1 finite number, got ()"),
        ((1.0, (1,), (1,)), "known: expected 2 finite numbers, got (1,)"),
    ],
)
def test_a_stream_refuses_a_row_and_goes_on(row, sentence):
    series, columns = series_with_columns(1, 2)
    model = Forecaster(hidden_size=2, epochs=1).fit(series, *columns)
    stream, other = model.stream(), model.stream()
    for number in range(60):
        good = series[number], columns[0][number], columns[1][number + 1]
        expected = other.step(*good)
        if number == 30:
            with pytest.raises(ValueError, match=sentence.split("[")[0].split("(")[0]) as caught:
                stream.step(*row)
            assert str(caught.value) == sentence
        np.testing.assert_equal(stream.step(*good), expected)


def test_a_stream_stays_small():
    series, _ = series_with_columns(0, 0)
    model = Forecaster(hidden_size=2, epochs=1).fit(series)
    stream = model.stream()
    for value in np.tile(series, 5):
        prediction = stream.step(value)
    assert prediction == pytest.approx(model.forecast(np.tile(series, 5), 1)[0], rel=1e-9)
    assert len(stream._state.cleaner.values) < ROWS


def test_a_row_that_is_interrupted_is_not_read(monkeypatch):
    series, columns = series_with_columns(1, 2)
    model = Forecaster(hidden_size=2, epochs=1).fit(series, *columns)
    stream, other = model.stream(), model.stream()

    def interrupt(*_):
        raise KeyboardInterrupt

    for number in range(60):
        row = series[number], columns[0][number], columns[1][number + 1]
        if number > model.needed:
            with monkeypatch.context() as patch:
                patch.setattr(type(model.fitted), "forecast_cleaned", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    stream.step(*row)
        np.testing.assert_equal(stream.step(*row), other.step(*row))
