"""Estimators learn sequences of any layout, and predict them."""

import pickle

import numpy as np
import pytest
from waves import SMALL, waves

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.utils.class_weight import compute_sample_weight

import crnn._backend
from crnn.sklearn import RNNClassifier, RNNRegressor


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_sequences_of_different_lengths(cell):
    X, kinds, frequencies = waves(160)
    settings = SMALL | {"hidden_size": 24, "cell": cell}
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
        # To rounding in float32, in which networks compute
        np.testing.assert_allclose(alone, together[row], atol=1e-5)


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
def test_a_sequence_of_weight_0_is_not_there(estimator):
    X, kinds, frequencies = waves(30)
    y = kinds if estimator is RNNClassifier else frequencies
    weights = np.random.default_rng(0).integers(0, 3, 30)
    there = np.flatnonzero(weights)
    weighted = estimator(**SMALL).fit(X, y, sample_weight=weights)
    without = estimator(**SMALL)
    without.fit([X[row] for row in there], y[there], sample_weight=weights[there])
    ones = estimator(**SMALL).fit([X[row] for row in there], y[there])
    for net, twin, other in zip(weighted.nets_, without.nets_, ones.nets_, strict=True):
        np.testing.assert_array_equal(net.flat_params, twin.flat_params)
        assert np.abs(net.flat_params - other.flat_params).max() > 0.01


def test_a_weight_counts_in_the_loss_as_often_as_the_sequence():
    """All of them in one batch; and means and deviations are weighted as well."""
    X, _, frequencies = waves(12)
    counts = np.random.default_rng(0).integers(1, 4, 12)
    rows = np.repeat(np.arange(12), counts)
    settings = SMALL | {"batch_size": 100, "max_iter": 5}
    weighted = RNNRegressor(**settings).fit(X, frequencies, sample_weight=counts)
    repeated = RNNRegressor(**settings).fit([X[row] for row in rows], frequencies[rows])
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-4)
    for one, other in zip(weighted.x_scale_, repeated.x_scale_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


CLASS_WEIGHTS = {"slow": 0.5, "fast": 3.0}


def test_class_weight_multiplies_the_weights_of_sequences():
    X, kinds, _ = waves(30)
    settings = SMALL | {"max_iter": 4}
    of_sequences = np.random.default_rng(0).uniform(0.5, 2, 30)
    for class_weight, factors in (
        (CLASS_WEIGHTS, np.array([CLASS_WEIGHTS.get(kind, 1.0) for kind in kinds])),
        ("balanced", compute_sample_weight("balanced", kinds)),
    ):
        for weights in (None, of_sequences):
            model = RNNClassifier(**settings, class_weight=class_weight)
            model.fit(X, kinds, sample_weight=weights)
            by_hand = RNNClassifier(**settings)
            by_hand.fit(X, kinds, factors if weights is None else factors * weights)
            np.testing.assert_array_equal(model.nets_[0].flat_params, by_hand.nets_[0].flat_params)
    assert clone(model).class_weight == "balanced"


def test_class_weight_in_partial_fit():
    """Also where a call has not all the classes."""
    X, kinds, _ = waves(30)
    slow = [row for row in range(30) if kinds[row] == "slow"]
    weighted, by_hand = RNNClassifier(**SMALL, class_weight=CLASS_WEIGHTS), RNNClassifier(**SMALL)
    for rows in (range(30), slow):
        part, y = [X[row] for row in rows], kinds[rows]
        weighted.partial_fit(part, y)
        factors = [CLASS_WEIGHTS.get(kind, 1.0) for kind in y]
        by_hand.partial_fit(part, y, sample_weight=factors)
        np.testing.assert_array_equal(weighted.nets_[0].flat_params, by_hand.nets_[0].flat_params)


def test_balanced_classes_are_found_where_one_is_rare():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 6, 1)), np.arange(200) % 20 == 0
    X[y, :, 0] += 0.5
    settings = SMALL | {"n_networks": 1, "weight_decay": 0.0}
    plain, balanced = [
        RNNClassifier(**settings, class_weight=weight).fit(X, y).predict(X).mean()
        for weight in (None, "balanced")
    ]
    assert plain < 0.03
    assert balanced > 0.1


def test_weights_are_what_probabilities_are_of():
    """The same sequence in two classes, three times as often in one of them."""
    X = np.tile(np.random.default_rng(0).normal(size=(1, 5, 1)), (2, 1, 1))
    model = RNNClassifier(**SMALL | {"max_iter": 300, "weight_decay": 0.0})
    model.fit(X, ["a", "b"], sample_weight=[1, 3])
    np.testing.assert_allclose(model.predict_proba(X[:1]), [[0.25, 0.75]], atol=0.02)


@pytest.mark.parametrize("size", [1e200, 1e-310])
def test_scales_of_any_size(size):
    """Squares of such numbers overflow, or vanish."""
    X, _, frequencies = waves(30)
    expected = RNNRegressor(**SMALL).fit(X, frequencies)
    scaled = [sequence * [size, 1] for sequence in X]
    model = RNNRegressor(**SMALL).fit(scaled, frequencies * size)
    np.testing.assert_allclose(model.x_scale_.deviation, expected.x_scale_.deviation * [size, 1])
    np.testing.assert_allclose(model.y_scale_.mean, expected.y_scale_.mean * size)
    predicted = model.predict(scaled) / size
    assert r2_score(frequencies, predicted) > expected.score(X, frequencies) - 0.05


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(10, 3)), columns=list("abc"))
    model = RNNRegressor(**SMALL).fit(table, table["a"])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    # Sequences have none.
    model.fit(table.to_numpy()[..., None], table["a"])
    assert not hasattr(model, "feature_names_in_")
