"""The checks that scikit-learn has for estimators."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from crnn.sklearn import RNNClassifier, RNNRegressor

# Small enough for the hundreds of fits that the checks take, large enough to learn their data
CHECKED = {"n_networks": 1, "hidden_size": 8, "max_iter": 30, "learning_rate": 0.02}


@parametrize_with_checks([RNNClassifier(**CHECKED), RNNRegressor(**CHECKED)])
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
