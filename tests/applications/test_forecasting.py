"""Forecasters: what they find in series whose rules are known, and bad input."""

from types import SimpleNamespace

import numpy as np
import pytest

import crnn
from crnn.forecasting import Forecaster, Recipe, linear, selection
from crnn.forecasting.columns import Columns
from crnn.forecasting.fitted import Scaling
from crnn.forecasting.seasons import find_seasons


def monthly(n=180):
    """Trend and a season of 12 that grow together."""
    t = np.arange(n)
    rng = np.random.default_rng(0)
    return np.exp(4 + 0.01 * t + 0.2 * np.sin(2 * np.pi * t / 12) + rng.normal(0, 0.02, n))


def henon(n=400):
    """Henon's map (1976), nearly unpredictable for a linear model."""
    rng, x = np.random.default_rng(1), np.zeros(n)
    for t in range(2, n):
        x[t] = 1 - 1.4 * x[t - 1] ** 2 + 0.3 * x[t - 2]
    return x + rng.normal(0, 0.01, n)


def errors_of(scores):
    """Root mean square errors by method, without that of the model; and that of the model."""
    errors = {name: square for name, (square, _) in scores.items()}
    return errors, errors.pop("crnn")


def test_trend_and_season_are_followed():
    series = monthly()
    model = Forecaster().fit(series[:144], horizon=12)
    assert model.found_season == 12
    others, error = errors_of(model.scores(series, first=144, horizon=12))
    # What is best on validation data need not be best on the 25 forecasts after them.
    assert error <= 1.2 * min(others.values())
    assert error < 0.25 * others["persistence"]
    forecast = model.forecast(series[:144], 36)
    np.testing.assert_allclose(forecast, series[144:], rtol=0.12)  # in the units of the series


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_network_learns_what_is_not_linear(cell):
    series = henon()
    model = Forecaster(cell=cell, hidden_size=16, window=10, epochs=80).fit(series[:320])
    assert type(model.net).__name__ == cell.upper()
    assert model.share > 0
    others, error = errors_of(model.scores(series, first=320, horizon=1))
    assert error < 0.2 * min(others.values())
    assert "its linear part alone" in others


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_is_forecast_by_its_last_number(seed):
    series = np.random.default_rng(seed).normal(size=400).cumsum()
    model = Forecaster(epochs=20).fit(series[:320], horizon=3)
    others, error = errors_of(model.scores(series, first=320, horizon=3))
    assert error < 1.15 * others["persistence"]


@pytest.mark.parametrize("offset", [0, 1e9])
def test_numbers_far_from_zero_are_forecast_as_well(offset):
    rng, series = np.random.default_rng(3), np.zeros(500)
    for t in range(2, 500):
        series[t] = 1.6 * series[t - 1] - 0.8 * series[t - 2] + rng.normal()
    model = Forecaster(epochs=1, season=0).fit(series[:400] + offset, horizon=5)
    scores = model.scores(series + offset, first=400, horizon=5)
    # With known coefficients the error is the sum of squares of 1, 1.6, 1.76, 1.536 and 1.0496.
    weights = np.array([1, 1.6, 1.76, 1.536, 1.0496]) ** 2
    expected = np.sqrt(np.mean(np.cumsum(weights)))
    for name, (error, _) in scores.items():
        if name != "persistence":
            assert error == pytest.approx(expected, rel=0.15), name


def test_lagged_columns_help():
    rng = np.random.default_rng(2)
    u = rng.normal(size=(300, 2))
    series = np.r_[0, np.tanh(2 * u[:-1, 1])] + rng.normal(0, 0.05, 300)

    def error(*features):
        model = Forecaster(hidden_size=8, window=8, epochs=60)
        model.fit(series[:240], *(columns[:240] for columns in features))
        return model.scores(series, *features, first=240, horizon=1)["crnn"][0]

    assert error(u) < 0.45 * error()


def test_scores_are_errors_of_forecasts():
    """By hand, from each origin separately."""
    series = monthly(100)
    model = Forecaster(epochs=2).fit(series[:80], horizon=3)
    scores = model.scores(series, first=80, horizon=3)
    origins = range(80, 98)
    errors = [model.forecast(series[:o], 3) - series[o : o + 3] for o in origins]
    square, absolute = scores["crnn"]
    assert square == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
    assert absolute == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)
    persistence = [series[o - 1] - series[o : o + 3] for o in origins]
    assert scores["persistence"][0] == pytest.approx(np.sqrt(np.mean(np.square(persistence))))


def test_scores_change_nothing():
    series = henon(200)
    model = Forecaster(hidden_size=16, window=10, epochs=60).fit(series[:160])
    assert model.share > 0
    before = model.fitted
    forecast = model.forecast(series, 3)
    model.scores(series, first=160, horizon=2)
    assert model.fitted is before
    assert np.array_equal(model.forecast(series, 3), forecast)


def test_predictions_do_not_depend_on_later_numbers():
    series = henon(200)
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


@pytest.mark.parametrize(("series", "season"), [(henon(200), 0), (monthly(), 12)])
def test_a_forecast_depends_on_the_context_alone(series, season):
    model = Forecaster(hidden_size=4, season=season, window=5, epochs=2).fit(series)
    assert model.recipe.season == season
    fitted = model.fitted
    columns, origins = Columns.none(len(series)), np.array([len(series)])
    forecast = fitted.forecast(series, columns, origins, 4, share=1.0)
    assert (forecast != fitted.forecast(series, columns, origins, 4, share=0.0)).all()
    last, origins = series[-fitted.context :], np.array([fitted.context])
    assert np.array_equal(fitted.forecast(last, columns, origins, 4, share=1.0), forecast)


def test_an_untrained_network_corrects_nothing(monkeypatch):
    monkeypatch.setattr(crnn.RNN, "fit", lambda *_, **__: None)
    series = henon(100)
    fitted = Forecaster().fit(series).fitted
    data = (series, Columns.none(100), np.array([90, 100]))
    forecasts = [fitted.forecast(*data, 3, share=share) for share in (0.0, 1.0)]
    assert np.array_equal(*forecasts)


def test_inputs_of_the_network():
    z, features = np.arange(6.0), np.array([[0.0], [3.0]] * 3)
    scaling = Scaling(np.array([1.0, 1.0]), np.array([2.0, 4.0]))
    scaled = (z - 1) / 2
    expected = np.column_stack([scaled, (features - 1) / 4])
    np.testing.assert_array_equal(scaling.inputs(z, features, 0), expected)
    # Of the number after each step: what it was three steps before, 0 where that is unknown
    season_before = [0, 0, *scaled[:4]]
    expected = np.column_stack([scaled, season_before, (features - 1) / 4])
    np.testing.assert_array_equal(scaling.inputs(z, features, 3), expected)


@pytest.mark.parametrize(
    ("early", "late", "expected"),
    [
        ({0.5: 0.5, 1.0: 0.6}, {0.5: 0.5, 1.0: 0.6}, 0.5),
        ({0.5: 0.9, 1.0: 0.2}, {0.5: 0.9, 1.0: 0.2}, 1.0),
        ({0.5: 0.1, 1.0: 0.1}, {0.5: 1.01, 1.0: 1.01}, 0.0),  # not in the later half
        ({0.5: 0.95, 1.0: 0.96}, {0.5: 0.95, 1.0: 0.96}, 0.0),  # too little
    ],
)
def test_a_network_has_to_help_in_both_halves(early, late, expected):
    """Forecasts with given errors, in place of those of a network."""
    early, late = early | {0.0: 1.0}, late | {0.0: 1.0}

    def forecast(series, columns, origins, horizon, share):
        error = np.where(origins < 60, early[share], late[share])[:, None]
        return series[origins[:, None] + np.arange(horizon)] + error

    series, fitted = henon(100), SimpleNamespace(forecast=forecast, share=1.0)
    assert selection.choose_share(fitted, series, Columns.none(100), 20, 1)[0] == expected


@pytest.mark.parametrize(("error_of_order_2", "order"), [(0.985, 1), (0.975, 2)])
def test_a_longer_recipe_has_to_be_clearly_better(monkeypatch, error_of_order_2, order):
    """Given errors, in place of those of regressions."""
    errors = {(): 2.0, (1,): 1.0, (1, 2): error_of_order_2}
    monkeypatch.setattr(
        selection,
        "_linear_squares",
        lambda _, __, recipe, *___: np.full(9, errors.get(recipe.lags, 0.99) ** 2),
    )
    columns = Columns.none(200)
    (recipe,) = selection.choose_recipes(henon(200), columns, 150, 1, seasons=[7], logarithms=False)
    assert recipe == selection.autoregression(order)


@pytest.mark.parametrize(
    ("rows", "seed"),
    [(36, 3), (36, 11), (48, 10), (48, 24), (60, 3), (60, 27), (84, 8), (84, 14), (84, 25)],
)
def test_years_of_months_are_hardly_worse_than_the_year_before(rows, seed):
    """The noise is autocorrelated: few years say little about it."""
    rng, t = np.random.default_rng(seed), np.arange(rows + 12)
    noise = rng.normal(size=rows + 12)
    for row in t[1:]:
        noise[row] = 0.7 * noise[row - 1] + 0.7 * noise[row]
    series = 100 * np.exp(0.004 * t + 0.3 * np.sin(2 * np.pi * t / 12) + 0.04 * noise)
    model = Forecaster(season=12, epochs=1, hidden_size=2).fit(series[:rows], horizon=12)
    scores = model.scores(series, first=rows, horizon=12)
    assert scores["crnn"][0] < 1.1 * scores["same as a season before"][0]


@pytest.mark.parametrize("log", [False, True])
def test_the_mean_with_the_season_before(log, monkeypatch):
    series, models = monthly(60), []
    for season in (12, 0):
        recipe = Recipe(log, (1,), (1, 2), 0, averaged_with=season)
        monkeypatch.setattr(selection, "choose_recipes", lambda *_, recipe=recipe, **__: [recipe])
        models.append(Forecaster(epochs=1, hidden_size=2).fit(series, horizon=12))
    mean, alone = (model.forecast(series, 30) for model in models)
    before = series[[*range(48, 60), *range(48, 60), *range(48, 54)]]
    expected = np.sqrt(alone * before) if log else (alone + before) / 2
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    assert models[0].found_season == 12
    assert str(models[0].recipe).endswith("averaged with the same as a season of 12 before")


def test_the_same_seed_gives_the_same_forecast():
    series = henon(200)
    first, second = (Forecaster(epochs=5, seed=3).fit(series).fitted for _ in range(2))
    assert np.array_equal(first.net.flat_params, second.net.flat_params)
    assert first.share == second.share


def test_logarithms_may_be_forbidden():
    assert not Forecaster(epochs=1, logarithms=False).fit(monthly()).recipe.log


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (np.full(80, 3.0), [3, 3, 3]),
        (np.arange(80.0), [80, 81, 82]),
        (np.r_[np.zeros(79), 1.0], None),
    ],
    ids=["constant", "line", "one step"],
)
def test_series_without_noise(series, expected):
    forecast = Forecaster(epochs=2).fit(series).forecast(series, 3)
    assert np.isfinite(forecast).all()
    if expected is not None:
        np.testing.assert_allclose(forecast, expected, rtol=0.01)


@pytest.mark.parametrize("differences", [(), (1,), (12,), (12, 1)])
def test_a_recursion_on_the_series_is_the_recipe(differences):
    """Differences, a prediction of the next one, and sums, by hand."""
    series, rng = monthly(60), np.random.default_rng(0)
    recipe = Recipe(False, differences, (1, 3, 4), 0)
    slopes = rng.normal(0, 0.3, 4)
    z = recipe.transform(series[:-1])
    z_next = slopes[:3] @ z[[-1, -3, -4]] + slopes[3]
    known = {(): 0, (1,): series[-2], (12,): series[-13]}
    known[12, 1] = series[-13] + series[-2] - series[-14]
    extrapolation = linear.Extrapolation.of(recipe, slopes, 0.9)
    assert len(extrapolation.first) == recipe.needed == 4 + sum(differences)
    before = series[None, -1 - recipe.needed : -1]
    forecast = linear.forecast(before, extrapolation, 1)
    assert forecast[0, 0] == pytest.approx(z_next + known[differences])
    assert linear.one_step(before[0], extrapolation)[-1] == pytest.approx(forecast[0, 0])


@pytest.mark.parametrize(
    ("slopes", "lags", "stable"),
    [
        ([0.5, 0.4], (1, 2), True),
        ([0.5, 0.6], (1, 2), False),
        ([1.9, -0.95], (1, 2), True),
        ([0.99], (3,), True),
        ([0.1, 0.2, 0.3, 0.5], (1, 2, 5, 6), False),
    ],
)
def test_characteristic_roots(slopes, lags, stable):
    polynomial = np.zeros(lags[-1] + 1)
    polynomial[0] = 1
    polynomial[list(lags)] = -np.array(slopes)
    assert (np.abs(np.roots(polynomial)).max() < 1) == stable
    assert linear.is_stable(np.array(slopes), lags) == stable


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(False, (), (1,), 0), "linear in the lags 1"),
        (Recipe(False, (1,), (), 0, drift=False), "the last number"),
        (Recipe(False, (), (), 0), "the mean"),
        (
            Recipe(True, (12,), (), 12, effects="level"),
            (
                "logarithms, the same as a season of 12 before and a steady drift, "
                "effects of the further columns on each level"
            ),
        ),
        (
            Recipe(False, (12, 1), (), 12, drift=False, averaged_with=12),
            (
                "the last number, changed as a season of 12 before, "
                "averaged with the same as a season of 12 before"
            ),
        ),
        (Recipe(False, (1,), (1, 2, 3), 0), "differences of lag 1, linear in the lags 1 to 3"),
        (
            Recipe(True, (12, 1), (1, 2, 12, 13), 12),
            (
                "logarithms, differences of lag 12, differences of lag 1, "
                "linear in the lags 1 to 2 and 12 and 13"
            ),
        ),
    ],
)
def test_a_recipe_in_words(recipe, expected):
    assert str(recipe) == expected


def test_seasons_are_found():
    t, noise = np.arange(400), np.random.default_rng(0).normal(0, 0.3, 400)
    week, month, year = (np.sin(2 * np.pi * t / season) for season in (7, 28, 12))
    assert find_seasons(week) == [7]
    assert find_seasons(0.1 * t + 3 * week) == [7]
    assert find_seasons(week + 2 * month) == [7, 28]
    assert find_seasons(noise.cumsum() + 3 * year)[0] == 12
    assert find_seasons(noise) == []
    assert find_seasons(noise.cumsum()) == []
    assert find_seasons(np.full(50, 2.0)) == []


def test_tables_are_read_as_networks_read_them():
    pd = pytest.importorskip("pandas")
    series, price = SERIES[:60].round(), FEATURES[:60] + np.arange(60)[:, None] % 7
    expected = Forecaster(epochs=1).fit(series, known=price).predict(series, known=price)
    table = pd.DataFrame({"units": pd.array(series.astype(int), "Int64"), "price": price[:, 0]})
    table = table.astype({"price": object})
    model = Forecaster(epochs=1).fit(table["units"], known=table[["price"]])
    assert model.predict(series.astype(object), known=table[["price"]]).tobytes() == (
        expected.tobytes()
    )


SERIES = monthly()
LOGARITHMIC = Forecaster(epochs=1).fit(SERIES)
FEATURES = np.zeros((len(SERIES), 1))

REFUSALS = {
    "short": (
        lambda: Forecaster().fit(SERIES[:10]),
        ValueError,
        "series: expected at least 12 numbers to learn from, got 10",
    ),
    "NaN": (
        lambda: Forecaster().fit(np.r_[SERIES, np.nan]),
        ValueError,
        "series: expected finite numbers, got NaN or an infinity in row 180, counted from 0",
    ),
    "size": (
        lambda: Forecaster().fit(1e99 * SERIES),
        ValueError,
        "series: expected numbers of at most 1e+30 to learn from, got some such as 1.33e+101",
    ),
    "shape": (
        lambda: Forecaster().fit(SERIES[:, None]),
        ValueError,
        "series: expected numbers (time,), got shape (180, 1)",
    ),
    "texts": (
        lambda: Forecaster().fit(["a", "b"]),
        TypeError,
        "series: expected numbers (floats of at most 64 bits, or integers), got <U1",
    ),
    "masked": (
        lambda: Forecaster().fit(np.ma.masked_equal(SERIES, SERIES[7])),
        ValueError,
        "series: expected an array without gaps, got masked entries",
    ),
    "dates": (
        lambda: Forecaster().fit(SERIES, lagged=FEATURES.astype("M8[D]")),
        TypeError,
        "lagged: expected numbers (floats of at most 64 bits, or integers), got datetime64[D]",
    ),
    "lagged": (
        lambda: Forecaster().fit(SERIES, np.zeros((5, 1))),
        ValueError,
        "lagged: expected shape (time=180, columns), got (5, 1)",
    ),
    "known": (
        lambda: Forecaster().fit(SERIES, known=np.zeros((181, 1))),
        ValueError,
        "known: expected shape (time=180, columns), got (181, 1)",
    ),
    "NaN in known": (
        lambda: Forecaster().fit(SERIES, known=np.r_[FEATURES[1:], [[np.nan]]]),
        ValueError,
        "known: expected finite numbers, got NaN or an infinity in row 179, counted from 0",
    ),
    "floor": (lambda: Forecaster(floor="0"), TypeError, "floor: expected a number, got '0'"),
    "hidden_size": (
        lambda: Forecaster(hidden_size=0),
        ValueError,
        "hidden_size: expected at least 1, got 0",
    ),
    "logarithms": (
        lambda: Forecaster(logarithms="no"),
        TypeError,
        "logarithms: expected True or False, got 'no'",
    ),
    "seed": (lambda: Forecaster(seed="x"), TypeError, "seed: expected a whole number, got 'x'"),
    "cell": (lambda: Forecaster(cell="tanh"), ValueError, "cell: expected 'rnn', 'gru' or 'lstm'"),
    "season": (
        lambda: Forecaster(season=139).fit(SERIES[:178]),
        ValueError,
        "season: expected at most 138 steps, as many as there are numbers before the validation",
    ),
    "not fitted": (
        lambda: Forecaster().forecast(SERIES, 1),
        AttributeError,
        "this Forecaster has learned nothing yet: call fit first",
    ),
    "few to forecast from": (
        lambda: LOGARITHMIC.forecast(SERIES[:1], 1),
        ValueError,
        f"series: expected at least {LOGARITHMIC.needed} numbers, got 1",
    ),
    "steps": (
        lambda: LOGARITHMIC.forecast(SERIES, 0),
        ValueError,
        "steps: expected at least 1, got 0",
    ),
    "known of the steps": (
        lambda: LOGARITHMIC.forecast(SERIES, 2, known=np.zeros((180, 1))),
        ValueError,
        "known: expected shape (time=182, columns), got (180, 1)",
    ),
    "first, early": (
        lambda: LOGARITHMIC.scores(SERIES, first=0, horizon=1),
        ValueError,
        "first: expected at least ",
    ),
    "first, late": (
        lambda: LOGARITHMIC.scores(SERIES, first=180, horizon=1),
        ValueError,
        "first: expected at most 179, got 180",
    ),
} | {
    f"{what} to {name}": (lambda use=use, data=data: use(*data), ValueError, sentence)
    for name, use in {
        "predict": LOGARITHMIC.predict,
        "refit": LOGARITHMIC.refit,
        "forecast": lambda series, lagged=None: LOGARITHMIC.forecast(series, 1, lagged),
        "scores": lambda *data: LOGARITHMIC.scores(*data, first=150, horizon=1),
    }.items()
    for what, data, sentence in [
        ("columns", (SERIES, FEATURES), "lagged: expected 0 columns, as the model has learned"),
    ]
}


@pytest.mark.parametrize(("call", "error", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, error, sentence):
    before = LOGARITHMIC.fitted
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(sentence)
    assert LOGARITHMIC.fitted is before


def test_the_model_of_the_refusals_takes_logarithms():
    assert LOGARITHMIC.recipe.log
