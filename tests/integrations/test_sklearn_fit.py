"""Estimators learn sequences of any layout, and predict them."""

import pickle

import numpy as np
import pytest
from waves import SMALL, waves

pytest.importorskip("sklearn")

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


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(10, 3)), columns=list("abc"))
    model = RNNRegressor(**SMALL).fit(table, table["a"])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    # Sequences have none.
    model.fit(table.to_numpy()[..., None], table["a"])
    assert not hasattr(model, "feature_names_in_")
