import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import crnn
from crnn.sklearn import RNNClassifier, RNNRegressor

# Large enough to learn the waves below, small enough for a test
SMALL = {
    "hidden_size": 12,
    "n_networks": 2,
    "learning_rate": 0.005,
    "max_iter": 20,
    "random_state": 0,
}


# One network each, for the time that four take; the other settings are the defaults. NumPy's
# kernels, on which the estimators do not depend, get less to do.
CHECKED = {"n_networks": 1}
if crnn.implementation == "python":
    CHECKED |= {"hidden_size": 16, "max_iter": 50, "learning_rate": 0.005}


@parametrize_with_checks([RNNClassifier(**CHECKED), RNNRegressor(**CHECKED)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def waves(n=60, seed=0):
    """Noisy waves of two channels and 15 to 39 steps; their kinds, and their frequencies."""
    rng = np.random.default_rng(seed)
    frequencies = rng.uniform(0.3, 1.2, n)
    X = []
    for frequency in frequencies:
        phases = frequency * np.arange(rng.integers(15, 40)) + rng.uniform(0, 6)
        wave = np.column_stack([np.sin(phases), 40 + 10 * np.cos(phases)])
        X.append(wave + rng.normal(0, 0.05, wave.shape))
    kinds = np.array(["slow", "middling", "fast"])[np.digitize(frequencies, [0.6, 0.9])]
    return X, kinds, frequencies


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_sequences_of_different_lengths(cell):
    X, kinds, frequencies = waves(160)
    settings = {"random_state": 0, "max_iter": 20, "learning_rate": 0.003, "cell": cell}
    classifier = RNNClassifier(**settings).fit(X[:100], kinds[:100])
    assert classifier.score(X[100:], kinds[100:]) >= 0.9
    assert classifier.n_features_in_ == 2
    assert all(type(net).__name__ == cell.upper() for net in classifier.nets_)
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1)
    regressor = RNNRegressor(**settings).fit(X[:100], frequencies[:100])
    assert regressor.score(X[100:], frequencies[100:]) >= 0.95


def test_several_outputs_of_any_scale():
    X, _, frequencies = waves(160)
    y = np.column_stack([1e6 * frequencies, 3 - 1e-3 * frequencies])
    regressor = RNNRegressor(**SMALL).fit(X[:100], y[:100])
    assert regressor.predict(X[100:]).shape == (60, 2)
    assert regressor.score(X[100:], y[100:]) >= 0.9


def test_layouts_of_the_same_sequences():
    """One feature a step: a table, three axes, a list, and an array of arrays."""
    rng = np.random.default_rng(0)
    table, y = rng.normal(size=(20, 6)), np.arange(20) % 2
    of_objects = np.empty(20, object)
    of_objects[:] = list(table)
    expected = RNNClassifier(**SMALL).fit(table, y).predict_proba(table)
    for X in (table[..., None], list(table), table.tolist(), list(table[..., None]), of_objects):
        model = RNNClassifier(**SMALL).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), expected)
        np.testing.assert_array_equal(model.predict_proba(table[..., None]), expected)


def test_a_table_where_sequences_of_one_feature_were_learned_from():
    X, kinds, _ = waves()
    model = RNNClassifier(**SMALL).fit([sequence[:, 0] for sequence in X], kinds)
    table = np.array([sequence[:15, 0] for sequence in X])
    np.testing.assert_array_equal(model.predict(table), model.predict(table[..., None]))


def test_a_sequence_is_predicted_as_among_others():
    X, kinds, _ = waves()
    model = RNNClassifier(**SMALL).fit(X, kinds)
    together = model.predict_proba(X)
    for row in (0, 7, 59):
        alone = model.predict_proba(X[row : row + 1])[0]
        np.testing.assert_allclose(alone, together[row], rtol=1e-12)


def test_implementations_agree(implementation, monkeypatch):
    X, kinds, _ = waves(30)
    expected = RNNClassifier(**SMALL).set_params(max_iter=2).fit(X, kinds).predict_proba(X)
    kernels = crnn._backend.load(implementation)
    monkeypatch.setattr(crnn._backend, "kernels", kernels)
    model = RNNClassifier(**SMALL).set_params(max_iter=2).fit(X, kinds)
    assert model.nets_[0].implementation == implementation
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-4)


def test_random_state():
    X, kinds, _ = waves()

    def probabilities(random_state):
        model = RNNClassifier(**SMALL | {"random_state": random_state, "early_stopping": True})
        return model.fit(X, kinds).predict_proba(X)

    first = probabilities(3)
    np.testing.assert_array_equal(probabilities(3), first)
    np.testing.assert_array_equal(probabilities(np.random.RandomState(3)), first)
    assert np.abs(probabilities(4) - first).max() > 0.01


def test_networks_differ_and_their_probabilities_are_averaged():
    X, kinds, _ = waves()
    model = RNNClassifier(**SMALL).fit(X, kinds)
    # Of three classes, without the outputs of the ends and with them
    assert [net.output_size for net in model.nets_] == [4, 10]
    alone = []
    for net in model.nets_:
        one = pickle.loads(pickle.dumps(model))
        one.nets_ = [net]
        alone.append(one.predict_proba(X))
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    np.testing.assert_allclose(model.predict_proba(X), (alone[0] + alone[1]) / 2, rtol=1e-12)


@pytest.mark.parametrize("estimator", [RNNClassifier, RNNRegressor])
def test_weights_are_counts(estimator):
    X, kinds, frequencies = waves(30)
    y = kinds if estimator is RNNClassifier else frequencies
    counts = np.random.default_rng(0).integers(0, 4, 30)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(30), counts))
    weighted = estimator(**SMALL).fit(X, y, sample_weight=counts)
    repeated = estimator(**SMALL).fit([X[row] for row in rows], y[rows])
    plain = estimator(**SMALL).fit(X, y)
    for net, twin, other in zip(weighted.nets_, repeated.nets_, plain.nets_, strict=True):
        np.testing.assert_array_equal(net.flat_params, twin.flat_params)
        assert np.abs(net.flat_params - other.flat_params).max() > 0.01


def test_weights_are_what_probabilities_are_of():
    """The same sequence in two classes, three times as often in one of them."""
    X = np.tile(np.random.default_rng(0).normal(size=(1, 5, 1)), (2, 1, 1))
    model = RNNClassifier(**SMALL | {"max_iter": 300, "weight_decay": 0.0})
    model.fit(X, ["a", "b"], sample_weight=[1, 3])
    np.testing.assert_allclose(model.predict_proba(X[:1]), [[0.25, 0.75]], atol=0.02)


def test_partial_fit():
    X, kinds, _ = waves()
    model = RNNClassifier(**SMALL)
    for epoch in range(15):
        assert model.partial_fit(X, kinds, classes=["slow", "middling", "fast"]) is model
        assert model.n_iter_ == len(model.loss_curve_) == epoch + 1
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
    # A pickle goes on as the estimator itself does, its optimizers included.
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.partial_fit(X, kinds)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))


def test_partial_fit_knows_classes_that_are_yet_to_come():
    X, kinds, _ = waves()
    slow = [row for row in range(60) if kinds[row] == "slow"]
    model = RNNClassifier(**SMALL)
    model.partial_fit([X[row] for row in slow], kinds[slow], classes=["slow", "fast"])
    assert model.predict_proba(X).shape == (60, 2)
    with pytest.raises(ValueError, match=r"^y: expected classes among .*, got .*middling.* too$"):
        model.partial_fit(X, kinds)
    with pytest.raises(ValueError, match=r"^classes: expected .*fast.*slow.* as before, got"):
        model.partial_fit(X, kinds, classes=["slow", "fast", "middling"])


def test_partial_fit_goes_on_from_fit():
    X, _, frequencies = waves()
    model = RNNRegressor(**SMALL).fit(X, frequencies)
    before = model.nets_[0].flat_params.copy()
    model.partial_fit(X, frequencies)
    assert model.n_iter_ == 21
    moved = np.abs(model.nets_[0].flat_params - before).max()
    # One epoch of 8 steps at a rate of 0.005
    assert 0 < moved < 0.05
    # And from another, which has networks of its own
    assert model.fit(X, frequencies).partial_fit(X, frequencies).n_iter_ == 21


def test_warm_start():
    X, kinds, _ = waves()
    cold = RNNClassifier(**SMALL).fit(X, kinds)
    nets, loss = cold.nets_, cold.loss_curve_[-1]
    cold.fit(X, kinds)
    assert cold.nets_ is not nets
    assert cold.n_iter_ == len(cold.loss_curve_) == 20
    assert cold.loss_curve_[-1] == loss
    warm = RNNClassifier(**SMALL, warm_start=True).fit(X, kinds)
    nets = warm.nets_
    warm.fit(X, kinds)
    assert warm.nets_ is nets
    assert warm.n_iter_ == len(warm.loss_curve_) == 40
    assert warm.loss_curve_[20] < 0.7 * warm.loss_curve_[0]


@pytest.mark.parametrize("estimator", [RNNClassifier, RNNRegressor])
def test_early_stopping(estimator):
    """What cannot be learned is given up; of what can be, the best epoch is kept."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 8)), rng.integers(0, 2, 60)
    settings = SMALL | {"max_iter": 200, "early_stopping": True, "n_iter_no_change": 5}
    model = estimator(**settings).fit(X, y)
    assert 5 < model.n_iter_ == len(model.loss_curve_) < 100
    X, kinds, frequencies = waves()
    y = kinds if estimator is RNNClassifier else frequencies
    model = estimator(**SMALL | {"max_iter": 60, "early_stopping": True}).fit(X, y)
    assert model.score(X, y) > 0.8


def test_pipelines_grids_and_clones():
    X, kinds, frequencies = waves()
    search = GridSearchCV(RNNClassifier(**SMALL), {"hidden_size": [2, 12]}, cv=2, n_jobs=2)
    search.fit(X, kinds)
    assert search.best_params_ == {"hidden_size": 12}
    assert search.predict(X[:3]).shape == (3,)
    table = np.array([sequence[:15, 0] for sequence in X])
    pipeline = make_pipeline(StandardScaler(), RNNRegressor(**SMALL))
    assert cross_val_score(pipeline, table, frequencies, cv=2).min() > 0.3
    fitted = RNNClassifier(**SMALL).fit(X, kinds)
    twin = clone(fitted)
    assert not hasattr(twin, "nets_")
    np.testing.assert_array_equal(twin.fit(X, kinds).predict(X), fitted.predict(X))
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X)
    )


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(10, 3)), columns=list("abc"))
    model = RNNRegressor(**SMALL).fit(table, table["a"])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    # Sequences have none.
    model.fit(table.to_numpy()[..., None], table["a"])
    assert not hasattr(model, "feature_names_in_")


X3 = np.random.default_rng(0).normal(size=(4, 5, 2))


@pytest.mark.parametrize(
    ("settings", "X", "message"),
    [
        ({"cell": "GRU"}, X3, r"cell: expected 'rnn', 'gru' or 'lstm', got 'GRU'"),
        ({"max_iter": 0}, X3, r"max_iter: expected at least 1, got 0"),
        ({"n_networks": 0}, X3, r"n_networks: expected at least 1, got 0"),
        ({"hidden_size": 0}, X3, r"hidden_size: expected at least 1, got 0"),
        ({"batch_size": "all"}, X3, r"batch_size: expected 'auto', got 'all'"),
        ({"learning_rate": 0}, X3, r"learning_rate: expected a finite number above 0, got 0"),
        ({"weight_decay": -1}, X3, r"weight_decay: expected a finite number of at least 0, got -1"),
        (
            {"early_stopping": True, "n_iter_no_change": 0},
            X3,
            "n_iter_no_change: expected at least 1, got 0",
        ),
        ({}, X3[:, :0], r"X: expected at least one step and feature, got shape \(4, 0, 2\)"),
        (
            {},
            [*X3[:3], X3[3, :, :1]],
            r"X: expected sequences of as many features each, got \[1, 2",
        ),
        ({}, [*X3[:3], X3[3, :2] * np.nan], r"Input X\[3\] contains NaN"),
        ({}, np.where(X3 > 2, np.inf, X3 * np.nan), r"Input X contains NaN"),
        ({}, X3[..., None], r"Found array with dim 4"),
        ({}, X3[:3], r"inconsistent numbers of samples: \[3, 4\]"),
    ],
)
def test_what_does_not_fit(settings, X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RNNRegressor(**SMALL | settings).fit(X, [1.0, 2.0, 3.0, 4.0])


def test_what_does_not_fit_later():
    model = RNNRegressor(**SMALL).fit(X3, [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match=r"^X: expected sequences of 2 features, got 1$"):
        model.predict(X3[..., 0])
    with pytest.raises(ValueError, match=r"^y: expected shape \(4,\), got \(4, 2\)$"):
        model.partial_fit(X3, X3[:, 0])
    with pytest.raises(ValueError, match=r"(?i)^sample.weight.*(above 0|non-zero)"):
        model.fit(X3, [1.0, 2.0, 3.0, 4.0], sample_weight=np.zeros(4))


def test_without_scikit_learn(run_python):
    done = run_python("import sys; sys.modules['sklearn'] = None; import crnn.sklearn")
    assert "pip install 'crnn[sklearn]'" in done.stderr
    assert run_python("import sys, crnn; assert 'sklearn' not in sys.modules").returncode == 0
