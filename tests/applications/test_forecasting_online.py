"""Forecasters that learn from each row: what they compute, gaps, refusals, files."""

import math
import pickle

import numpy as np
import pytest

import crnn
from crnn.forecasting import OnlineForecaster

CELLS = ("rnn", "gru", "lstm")


def series(count=300, seed=0):
    """A target that answers to a column with a delay, and that column."""
    rng = np.random.default_rng(seed)
    column = np.repeat(rng.normal(size=count // 5), 5)
    target = np.zeros(count)
    for t in range(2, count):
        target[t] = 0.8 * target[t - 1] + np.tanh(column[t - 2])
    return 50 + 3 * target + 0.02 * rng.normal(size=count), column


def forecasts(model, target, column=None):
    columns = [()] * len(target) if column is None else column[:, None]
    return np.array([model.step(*row) for row in zip(target, columns, strict=True)])


@pytest.mark.parametrize("cell", CELLS)
def test_forecasts_are_those_of_the_equations(cell):
    """A second way to compute them, row by row, with all scales from the whole past."""
    target, column = series(60)
    actual = forecasts(
        OnlineForecaster(1, cell=cell, hidden_size=4, lr=0.05, seed=3), target, column
    )
    net = crnn.networks.get_family(cell)(3, 4, 1, seed=3)
    net.params["W_hy"][...] = 0
    learner = net.learner(crnn.SGD(0.05), clip_norm=1.0)
    changes = np.diff(target, prepend=target[0])
    sizes = [np.sqrt(np.mean(changes[1 : t + 1] ** 2)) if t else 0.0 for t in range(60)]
    inputs, expected = None, []
    for t in range(60):
        if t:
            size = sizes[t - 1] or abs(changes[t])
            learner.step(inputs, [np.clip(changes[t] / size, -10, 10)])
        rows = np.stack([target, column], 1)[: t + 1]
        level, own = (rows[-1] - rows.mean(0)) / np.where(rows.std(0) == 0, 1, rows.std(0))
        inputs = np.clip([level, changes[t] / (sizes[t] or 1), own], -10, 10)
        expected.append(target[t] + sizes[t] * learner.predict(inputs)[0])
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_it_begins_as_persistence_and_gets_better():
    target, column = series(3000)
    answers = forecasts(OnlineForecaster(1), target, column)
    assert answers[0] == target[0]
    errors = np.abs(answers[:-1] - target[1:])
    persistence = np.abs(np.diff(target))
    assert errors[:200].mean() < 1.2 * persistence[:200].mean()
    assert errors[-500:].mean() < 0.3 * persistence[-500:].mean()
    alone = forecasts(OnlineForecaster(), target)
    assert np.abs(alone[:-1] - target[1:])[-500:].mean() > 1.5 * errors[-500:].mean()


def test_it_follows_a_change():
    target, column = series(4000)
    target[2000:] = 100 - target[2000:]
    answers = forecasts(OnlineForecaster(1), target, column)
    errors, persistence = np.abs(answers[:-1] - target[1:]), np.abs(np.diff(target))
    assert errors[-500:].mean() < 0.4 * persistence[-500:].mean()


def test_forecasts_know_nothing_of_later_rows():
    target, column = series(100)
    whole = forecasts(OnlineForecaster(1), target, column)
    other = np.r_[target[:60], 1e6 * target[60:]], np.r_[column[:60], -1e3 * column[60:]]
    assert forecasts(OnlineForecaster(1), *other)[:60].tolist() == whole[:60].tolist()


def test_units_do_not_matter():
    target, column = series(200)
    actual = forecasts(OnlineForecaster(1), 1e6 + 1000 * target, 7 - column / 50)
    expected = forecasts(OnlineForecaster(1), target, -column)
    np.testing.assert_allclose((actual - 1e6) / 1000, expected, rtol=1e-4)


def test_a_missing_target():
    """Nothing is learned; the forecast stands in for the target."""
    target, column = series(50)
    model = OnlineForecaster(1)
    last = forecasts(model, target, column)[-1]
    before, size = model.net.flat_params.copy(), model.state.change
    for gap in (None, math.nan, np.nan):
        answer = model.step(gap, [0.5])
        assert model.state.values.tolist() == [last, 0.5]
        assert math.isfinite(answer)
        last = answer
    assert (model.net.flat_params == before).all()
    assert model.state.change == size
    model.step(50.0, [0.5])
    assert (model.net.flat_params != before).any()


def test_a_missing_column_keeps_its_value():
    target, column = series(50)
    model, twin = OnlineForecaster(1), OnlineForecaster(1)
    column[10:14] = column[9]
    forecasts(twin, target, column)
    column[10:14] = math.nan
    forecasts(model, target, column)
    assert model.forecast == twin.forecast


def test_answers_begin_when_all_is_known():
    model = OnlineForecaster(2)
    rows = [(None, [1, 2]), (3.0, [1, math.nan]), (4.0, [math.nan, math.nan])]
    model_2 = OnlineForecaster(2)
    assert all(math.isnan(model_2.step(4.0, [1.0, math.nan])) for _ in range(3))
    answers = [model.step(*row) for row in rows]
    assert math.isnan(answers[0])
    assert (answers[1], model.state.values.tolist(), model.rows) == (3.0, [4.0, 1.0, 2.0], 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1.0, []), "lagged: expected 1 number"),
        ((1.0, [[1.0]]), "lagged: expected 1 number"),
        (([1.0, 2.0], [1.0]), "target: expected one number"),
        ((math.inf, [1.0]), "expected numbers of at most"),
        ((1.0, [-1e200]), "expected numbers of at most"),
        (("no", [1.0]), "target: "),
    ],
)
def test_refusals_change_nothing(row, message):
    target, column = series(20)
    model = OnlineForecaster(1)
    forecasts(model, target, column)
    before = pickle.dumps(model)
    with pytest.raises((ValueError, TypeError), match=message):
        model.step(*row)
    assert pickle.dumps(model) == before


def test_extreme_numbers_stay_finite():
    model = OnlineForecaster(1)
    rng = np.random.default_rng(0)
    for exponent in rng.uniform(-300, 149, 300):
        assert math.isfinite(model.step(rng.normal() * 10**exponent, [-(10**exponent)]))
    assert all(math.isfinite(model.step(5.0, [0.0])) for _ in range(50))


def test_sensitivities_that_outgrow_their_dtype_begin_anew():
    target, column = series(30)
    model = OnlineForecaster(1)
    forecasts(model, target, column)
    state = model.learner.state
    state["sensitivities"][...] = 3e38
    model.learner.state = state
    before = model.net.flat_params.copy()
    assert math.isfinite(model.step(60.0, [9.0]))
    assert (model.net.flat_params == before).all()
    assert not model.learner.state["sensitivities"].any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_a_file_goes_on_alike(tmp_path, cell, rows):
    target, column = series(80)
    model = OnlineForecaster(1, cell=cell, hidden_size=3, lr=0.2, seed=5)
    forecasts(model, target[:rows], column[:rows])
    model.save(tmp_path / "model.npz", target="y", more=[1, 2])
    twin, said = OnlineForecaster.load(tmp_path / "model.npz")
    assert said == {"target": "y", "more": [1, 2]}
    assert (twin.rows, twin.learner.lr) == (rows, 0.2)
    expected = forecasts(model, target[rows:], column[rows:])
    assert forecasts(twin, target[rows:], column[rows:]).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": -1}, "rows: expected"),
        ({"cell": "elman"}, "cell: expected"),
        ({"cell": "rnn"}, "network: expected one of a streaming forecaster"),
        ({"lr": -0.5}, "lr: expected"),
        ({"version": 2}, "version"),
        ({"has_inputs": 1}, "has_inputs: expected"),
        ({"network": {}}, "expected"),
    ],
)
def test_files_that_say_something_else(tmp_path, rewrite, changes, message):
    model = OnlineForecaster(1, hidden_size=3)
    forecasts(model, *series(20))
    model.save(tmp_path / "model.npz")
    rewrite(tmp_path / "model.npz", tmp_path / "changed.npz", **changes)
    with pytest.raises(crnn.ModelFileError, match=message):
        OnlineForecaster.load(tmp_path / "changed.npz")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("means", math.nan, "expected finite numbers"),
        ("values", math.inf, "expected finite numbers"),
        ("inputs", math.inf, "expected finite numbers"),
        ("change_and_forecast", math.nan, "expected finite numbers"),
        ("variances", -1.0, "expected variances of 0 or above"),
        ("sensitivities", math.nan, "sensitivities"),
        ("h", math.inf, "h"),
    ],
)
def test_files_with_other_numbers(tmp_path, name, value, message):
    model = OnlineForecaster(1, hidden_size=3)
    forecasts(model, *series(20))
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as members:
        arrays = {key: members[key] for key in members.files}
    import json

    from crnn import archive

    description = json.loads(arrays.pop("crnn").tobytes())
    del description["sha256"]
    arrays[name][...] = value
    archive.write(tmp_path / "model.npz", description, arrays)
    with pytest.raises(crnn.ModelFileError, match=message):
        OnlineForecaster.load(tmp_path / "model.npz")
