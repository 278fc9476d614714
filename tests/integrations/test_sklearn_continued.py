"""Training that goes on, stops early, or is part of a search."""

import pickle

import numpy as np
import pytest
from waves import SMALL, waves

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crnn.sklearn import RNNClassifier, RNNRegressor


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
    search = GridSearchCV(RNNClassifier(**SMALL), {"hidden_size": [2, 12]}, cv=2)
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


def test_searches_with_several_workers():
    X, kinds, _ = waves()
    found = []
    for n_jobs in (None, 2):
        model = RNNClassifier(**SMALL | {"max_iter": 3})
        search = GridSearchCV(model, {"hidden_size": [2, 5]}, cv=2, n_jobs=n_jobs)
        search.fit(X, kinds)
        found.append(
            (
                search.best_params_,
                search.cv_results_["mean_test_score"].tolist(),
                search.predict_proba(X).tobytes(),
            )
        )  # fmt: skip
    assert found[0] == found[1]
    # What travels is small: settings there, parameters back.
    assert len(pickle.dumps(model)) < 1_000
    parameters = sum(net.flat_params.nbytes for net in search.best_estimator_.nets_)
    assert len(pickle.dumps(search.best_estimator_)) < parameters + 4_000
