"""What the estimators refuse, in their own words or in scikit-learn's."""

import numpy as np
import pytest
from waves import SMALL, waves

pytest.importorskip("sklearn")

from refusals import refusal
from refused_calls import check_refusal, refusal_tests

from crnn.sklearn import RNNClassifier, RNNRegressor

X = np.random.default_rng(0).normal(size=(4, 5, 2))
Y = [1.0, 2.0, 3.0, 4.0]


def fit(name, sentence, X=X, y=Y, kind=ValueError, sample_weight=None, **settings):
    def call():
        RNNRegressor(**SMALL | settings).fit(X, y, sample_weight)

    return refusal(name, call, kind, sentence)


SETTINGS = [
    fit("cell", "cell: expected 'rnn', 'gru' or 'lstm', got 'GRU'", cell="GRU"),
    fit("max_iter", "max_iter: expected at least 1, got 0", max_iter=0),
    fit("n_networks", "n_networks: expected at least 1, got 0", n_networks=0),
    fit("hidden_size", "hidden_size: expected at least 1, got 0", hidden_size=0),
    fit("batch_size", "batch_size: expected 'auto', got 'all'", batch_size="all"),
    fit("learning_rate", "learning_rate: expected a finite number above 0, got 0", learning_rate=0),
    fit(
        "weight_decay", "weight_decay: expected a finite number of at least 0, got -1",
        weight_decay=-1,
    ),
    fit(
        "early_stopping", "early_stopping: expected True or False, got 1", early_stopping=1,
        kind=TypeError,
    ),
    fit(
        "n_iter_no_change", "n_iter_no_change: expected at least 1, got 0", early_stopping=True,
        n_iter_no_change=0,
    ),
    fit(
        "validation_fraction",
        "validation_fraction: expected a finite number above 0 and below 1, got 1",
        early_stopping=True, validation_fraction=1,
    ),
]  # fmt: skip
WEIGHTS = [
    fit(
        "no weight above 0", "sample_weight: expected a number above 0 somewhere, got only zeros",
        sample_weight=np.zeros(4),
    ),
    fit(
        "a negative weight", "sample_weight: expected numbers of at least 0, got -1.0",
        sample_weight=[1, 2, -1, 1],
    ),
    fit(
        "weights of three sequences", "sample_weight: expected shape (4,), got (3,)",
        sample_weight=[1, 2, 1],
    ),
    fit(
        "a weight that is NaN", "Input sample_weight contains NaN.",
        sample_weight=[1, 2, 1, np.nan],
    ),
]  # fmt: skip
DATA = [
    fit("no step", "X: expected at least one step and feature, got shape (4, 0, 2)", X=X[:, :0]),
    fit(
        "two numbers of features",
        "X: expected sequences of as many features each, got [1, 2]",
        X=[*X[:3], X[3, :, :1]],
    ),
    fit("NaN in one of several", "Input X[3] contains NaN.", X=[*X[:3], X[3, :2] * np.nan]),
    fit("NaN in an array", "Input X contains NaN.", X=X * np.nan),
    fit("four axes", "Found array with dim 4...", X=X[..., None]),
    fit("three targets", "Found input variables with inconsistent...[4, 3]", y=Y[:3]),
    fit("no targets", "RNNRegressor requires y to be passed, but the target y is None", y=None),
]


@refusal_tests([*SETTINGS, *WEIGHTS, *DATA])
def test_refusal(row):
    check_refusal(row)


@pytest.fixture(scope="module")
def regressor():
    return RNNRegressor(**SMALL).fit(X, Y)


def test_what_later_calls_refuse(regressor):
    rows = [
        refusal(
            "features", lambda: regressor.predict(X[..., 0]), ValueError,
            "X: expected sequences of 2 features, got 1",
        ),
        refusal(
            "outputs", lambda: regressor.partial_fit(X, X[:, 0]), ValueError,
            "y: expected shape (4,), got (4, 2)",
        ),
    ]  # fmt: skip
    for row in rows:
        check_refusal(row)


def test_classes_are_those_of_the_first_call():
    X, _, _ = waves(12)
    model = RNNClassifier(**SMALL).partial_fit(X, ["a", "b"] * 6, classes=["a", "b", "c"])
    rows = [
        refusal(
            "other classes", lambda: model.partial_fit(X, ["a"] * 12, classes=["a", "d"]),
            ValueError, "classes: expected ['a' 'b' 'c'] as before, got ['a' 'd']",
        ),
        refusal(
            "another class in y", lambda: model.partial_fit(X, ["a", "d"] * 6), ValueError,
            "y: expected classes among ['a' 'b' 'c'], got ['d'] too",
        ),
    ]  # fmt: skip
    for row in rows:
        check_refusal(row)


def test_without_scikit_learn(run_python):
    process = run_python("import sys; sys.modules['sklearn'] = None; import crnn.sklearn")
    assert "pip install 'crnn[sklearn]'" in process.stderr
    assert run_python("import sys, crnn; assert 'sklearn' not in sys.modules").returncode == 0
