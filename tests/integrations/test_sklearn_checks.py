"""The checks that scikit-learn has for estimators."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

import crnn
from crnn.sklearn import RNNClassifier, RNNRegressor

# One network each, for the time that four take; the other settings are the defaults. The NumPy
# kernels are slower, and the estimators are the same over them, so they get less to do.
CHECKED = {"n_networks": 1}
if crnn.implementation == "python":
    CHECKED |= {"hidden_size": 16, "max_iter": 50, "learning_rate": 0.005}


@parametrize_with_checks([RNNClassifier(**CHECKED), RNNRegressor(**CHECKED)])
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
