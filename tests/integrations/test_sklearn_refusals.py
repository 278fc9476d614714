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
        "a negative weight",
        "sample_weight: expected finite numbers of at least 0, got -1 at index 2",
        sample_weight=[1, 2, -1, 1],
    ),
    fit(
        "weights of three sequences", "sample_weight: expected shape (4,), got shape (3,)",
        sample_weight=[1, 2, 1],
    ),
    fit(
        "a weight that is NaN",
        "sample_weight: expected finite numbers of at least 0, got NaN at index 3",
        sample_weight=[1, 2, 1, np.nan],
    ),
    fit(
        "a weight that is missing",
        "sample_weight: expected finite numbers of at least 0, got NaN at index 1",
        sample_weight=[1, None, 1, 2],
    ),
    fit(
        "balanced weights", "sample_weight: expected shape (4,), got 'balanced'",
        sample_weight="balanced",
    ),
    fit(
        "weights of text", "sample_weight: expected numbers, got 'a'", sample_weight=list("abcd"),
        kind=TypeError,
    ),
]  # fmt: skip


def changed(index, value):
    array = X.copy()
    array[index] = value
    return array


END = "; fill it by interpolation, or leave out the step (steps of NaN alone may follow the last)"
ONE_AXIS = (
    "X: expected sequences, got numbers in one axis; a single sequence x is [x]. Reshape your data "
    "to (n, time) or (n, time, features)."
)
CONTAINERS = "an array, a table, or a list, Series or column of sequences"
DATA = [
    fit(
        "no step", "X: expected at least one sequence, step and feature, got shape (4, 0, 2)",
        X=X[:, :0],
    ),
    fit("numbers in one axis", ONE_AXIS, X=X[:, 0, 0]),
    fit("a list of numbers", ONE_AXIS, X=[1.0, 2.0, 3.0, 4.0]),
    fit("no sequence", "X: expected at least one sequence, got none", X=[], y=[]),
    fit("nothing", f"X: expected {CONTAINERS}, got NoneType", X=None, kind=TypeError),
    fit("a dictionary", f"X: expected {CONTAINERS}, got dict", X={0: X}, kind=TypeError),
    fit(
        "a generator", f"X: expected {CONTAINERS}, got generator; pass list(X)",
        X=(x for x in X), kind=TypeError,
    ),
    fit(
        "two numbers of features",
        "X: expected sequences of as many features each, got [1, 2]",
        X=[*X[:3], X[3, :, :1]],
    ),
    fit(
        "a sequence of NaN", "X[3]: expected a sequence of at least one step, got only NaN",
        X=[*X[:3], X[3, :2] * np.nan],
    ),
    fit(
        "no step in one of several", "X[2]: expected a sequence of at least one step, got none",
        X=[*X[:2], X[2, :0], X[3]],
    ),
    fit(
        "NaN in a step",
        f"X[1]: expected numbers up to the sequence's end, got NaN at step 4, feature 1 of 5{END}",
        X=changed((1, 4, 1), np.nan),
    ),
    fit(
        "a step of NaN before the last",
        f"X[2]: expected numbers up to the sequence's end, got NaN at step 3, feature 0 of 5{END}",
        X=changed((2, 3), np.nan),
    ),
    fit(
        "NaN in a table",
        f"X[2]: expected numbers up to the sequence's end, got NaN at step 3 of 5{END}",
        X=changed((2, 3), np.nan)[..., 0],
    ),
    fit(
        "infinity", "X[1]: expected finite numbers, got -inf at step 2, feature 0",
        X=changed((1, 2, 0), -np.inf),
    ),
    fit(
        "four axes", "X: expected shape (n, time, features) or (n, time), got (4, 5, 2, 1)",
        X=X[..., None],
    ),
    fit(
        "a sequence of three axes",
        "X[1]: expected shape (time, features) or (time,), got (1, 5, 2)",
        X=[X[0], X[:1], X[2], X[3]],
    ),
    fit(
        "steps of different sizes",
        "X[1]: expected as many features in each step, got steps of different sizes",
        X=[X[0], [[1, 2], [3]], X[2], X[3]],
    ),
    fit(
        "a number among sequences", "X[2]: expected a sequence as in other rows, got 3.0",
        X=[X[0], X[1], 3.0, X[3]],
    ),
    fit("text", "X: expected numbers, got text such as '1'", X=[["1", "2"]] * 4, kind=TypeError),
    fit(
        "text in a sequence", "X[1]: expected numbers, got text such as 'a'",
        X=[X[0], ["a"], X[2], X[3]],
        kind=TypeError,
    ),
    fit(
        "complex numbers", "X: expected numbers, got complex128", X=X * 1j, kind=TypeError,
    ),
    fit("three targets", "Found input variables with inconsistent...[4, 3]", y=Y[:3]),
    fit("no targets", "RNNRegressor requires y to be passed, but the target y is None", y=None),
    fit("targets of text", "y: expected numbers, got '1'", y=list("1234"), kind=TypeError),
    fit("a target that is missing", "Input y contains NaN.", y=[1.0, None, 2.0, 3.0]),
]  # fmt: skip


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
            "numbers that are too large", lambda: regressor.predict(changed((2, 0, 1), 1e40)),
            ValueError,
            "X[2]: expected numbers of the size of those in fit, got some that float32 cannot hold "
            "after scaling",
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
            "a class of None", lambda: model.partial_fit(X, ["a"] * 12, classes=["a", None]),
            ValueError, "classes: expected classes, got None at index 1",
        ),
        refusal(
            "another class in y", lambda: model.partial_fit(X, ["a", "d"] * 6), ValueError,
            "y: expected classes among ['a' 'b' 'c'], got ['d'] too",
        ),
    ]  # fmt: skip
    for row in rows:
        check_refusal(row)


def classes(name, sentence, y=("a", "b", "a", "b"), kind=ValueError, weights=None, **settings):
    def call():
        RNNClassifier(**SMALL | settings).fit(X, y, weights)

    return refusal(name, call, kind, sentence)


CLASSES = [
    classes(
        "a class that is missing", "y: expected classes, got None at index 2",
        y=["a", "b", None, "b"],
    ),
    classes(
        "a class that is NaN", "y: expected classes, got nan at index 1",
        y=np.array(["a", np.nan, "b", "b"], object),
    ),
    classes(
        "strings and numbers", "y: expected classes of one kind, got both 'a' and 1",
        y=[1, "a", 1, "a"],
    ),
    classes(
        "class_weight of another word", "class_weight: expected 'balanced', got 'equal'",
        class_weight="equal",
    ),
    classes(
        "class_weight as a list",
        "class_weight: expected None, 'balanced' or a dictionary, got list", class_weight=[1, 2],
        kind=TypeError,
    ),
    classes(
        "class_weight of another class",
        "class_weight: expected classes among ['a', 'b'], got 'c'", class_weight={"c": 2},
    ),
    classes(
        "a negative class_weight",
        "class_weight['b']: expected a finite number of at least 0, got -1",
        class_weight={"b": -1},
    ),
    classes(
        "class_weight of zeros",
        "class_weight: expected a weight above 0 somewhere, got only zeros",
        class_weight={"b": 0}, weights=[0, 1, 0, 1],
    ),
]  # fmt: skip


@refusal_tests(CLASSES)
def test_refusal_of_classes(row):
    check_refusal(row)


def test_balanced_classes_in_partial_fit():
    model = RNNClassifier(**SMALL, class_weight="balanced")
    sentence = (
        "class_weight: expected a dictionary or None in partial_fit, which does not see all of y, "
        "got 'balanced'; sklearn.utils.class_weight.compute_class_weight makes weights of it"
    )
    check_refusal(
        refusal("balanced", lambda: model.partial_fit(X, list("abab")), ValueError, sentence)
    )


@pytest.mark.parametrize(
    ("name", "there", "other"),
    [
        ("hidden_size", 12, 13), ("cell", "'rnn'", "gru"), ("n_networks", 2, 3),
        ("bidirectional", True, False), ("num_layers", 1, 2), ("dropout", 0.0, 0.5),
    ],
)  # fmt: skip
def test_training_goes_on_with_the_networks_there_are(name, there, other):
    model = RNNRegressor(**SMALL, warm_start=True).fit(X, Y)
    before = model.nets_[0].flat_params.copy()
    model.set_params(**{name: other})
    sentence = (
        f"{name}: expected {there}, because training goes on with the networks of the first call, "
        f"got {other!r}"
    )
    for call in (model.fit, model.partial_fit):
        check_refusal(refusal(name, lambda call=call: call(X, Y), ValueError, sentence))
    np.testing.assert_array_equal(model.nets_[0].flat_params, before)
    model.set_params(warm_start=False, num_layers=2).fit(X, Y)
    assert model.nets_[0].num_layers == 2


def test_tables_of_pandas():
    pd = pytest.importorskip("pandas")
    day = pd.date_range("2024-05-01", periods=4)
    word = ["x", "y", "z", "x"]
    two = [pd.Series([1.0, 2.0])] * 4
    one = [*two[:2], pd.Series([1.0]), two[3]]
    rows = [
        ("dates", {"a": Y, "day": day}, "X: column 'day': expected numbers, got dates", TypeError),
        (
            "text", {"a": Y, "word": word},
            "X: column 'word': expected numbers, got text such as 'x'", TypeError,
        ),
        (
            "arrays as text", {"a": ["[1, 2]"] * 4},
            "X: column 'a': expected numbers, got text such as '[1, 2]'; convert it, by...",
            TypeError,
        ),
        (
            "a number beside sequences", {"a": two, "b": Y},
            "X[0], column 1: expected a sequence as in other rows, got 1.0", ValueError,
        ),
        (
            "lengths", {"a": two, "b": one},
            "X[2]: expected as many steps in each column, got 2, 1", ValueError,
        ),
        (
            "pairs in columns", {"a": two, "b": [np.ones((2, 2))] * 4},
            "X[0]: expected channels (time,) in several columns, got shapes (2,), (2, 2)",
            ValueError,
        ),
        (
            "a missing sequence", {"a": [*two[:3], None]},
            "X[3]: expected a sequence as in other rows, got None", ValueError,
        ),
    ]  # fmt: skip
    for name, columns, sentence, kind in rows:
        check_refusal(fit(name, sentence, X=pd.DataFrame(columns), kind=kind))
    labels = pd.Series(["a", "b", None, "a"], dtype="string")
    for y in (labels, labels.to_frame()):
        check_refusal(classes("a missing class", "y: expected classes, got <NA> at index 2", y=y))


def test_columns_are_found_by_name():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": [pd.Series(x[:, 0]) for x in X], "b": [x[:, 1] for x in X]})
    model = RNNRegressor(**SMALL | {"max_iter": 1}).fit(table, Y)
    assert list(model.feature_names_in_) == ["a", "b"]
    np.testing.assert_array_equal(model.predict(table), model.predict(X))
    for other in (table[["b", "a"]], table.rename(columns={"b": "c"})):
        with pytest.raises(ValueError, match=r"^The feature names should match those"):
            model.predict(other)


def test_without_scikit_learn(run_python):
    process = run_python("import sys; sys.modules['sklearn'] = None; import crnn.sklearn")
    assert "pip install 'crnn[sklearn]'" in process.stderr
    assert run_python("import sys, crnn; assert 'sklearn' not in sys.modules").returncode == 0
