"""X as users have it: what is read as sequences, where they end, and in how much memory."""

import warnings

import numpy as np
import pytest
from memory import peak_of
from waves import SMALL, waves

pytest.importorskip("sklearn")

from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from crnn.sklearn import RNNClassifier, RNNRegressor
from crnn.sklearn.reading import sequences_in

LENGTHS = [4, 2, 7, 3, 5]
rng = np.random.default_rng(0)
SIGNALS = [rng.normal(size=n) for n in LENGTHS]
PAIRS = [rng.normal(size=(n, 2)) for n in LENGTHS]


def of_objects(elements, shape=(-1,)):
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def assert_read(X, expected):
    sequences = sequences_in(X)
    assert sequences is not None
    for sequence, values in zip(sequences, expected, strict=True):
        assert sequence.dtype == np.float64
        np.testing.assert_array_equal(sequence, values.reshape(len(values), -1))


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "lists": lambda arrays: [array.tolist() for array in arrays],
    "objects (n,)": of_objects,
    "objects (n, 1)": lambda arrays: of_objects(arrays, (-1, 1)),
    "objects of lists": lambda arrays: of_objects([array.tolist() for array in arrays]),
    "masked": lambda arrays: [np.ma.array(array) for array in arrays],
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("arrays", [SIGNALS, PAIRS], ids=["signals", "pairs"])
def test_containers_of_sequences(container, arrays):
    assert_read(CONTAINERS[container](arrays), arrays)


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"n": LENGTHS, "signal": SIGNALS, "pair": PAIRS}, index=list("edcba"))
    assert_read(frame["signal"], SIGNALS)
    assert_read(frame["pair"], PAIRS)
    assert_read(frame[["pair"]], PAIRS)
    assert_read(frame["signal"].map(list), SIGNALS)
    assert_read([pd.Series(signal) for signal in SIGNALS], SIGNALS)
    assert_read([pd.DataFrame(pair) for pair in PAIRS], PAIRS)
    # A column a channel, as in sktime: each cell is a Series.
    nested = pd.DataFrame(
        {
            "a": [pd.Series(pair[:, 0]) for pair in PAIRS],
            "b": [pd.Series(pair[:, 1], index=range(9, 9 + len(pair))) for pair in PAIRS],
        }
    )
    assert_read(nested, PAIRS)
    whole = [pd.Series([3, 1, None, None], dtype="Int64"), pd.Series([2], dtype="Int64")]
    assert_read(whole, [np.array([3.0, 1.0]), np.array([2.0])])
    assert_read([[3, 1, None], [2.5]], [np.array([3.0, 1.0]), np.array([2.5])])


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"signal": [s.tolist() for s in SIGNALS], "n": LENGTHS})
    assert_read(frame["signal"], SIGNALS)
    assert_read(frame.select("signal"), SIGNALS)
    assert_read(pl.Series([pair.tolist() for pair in PAIRS]), PAIRS)
    assert_read(pl.Series([[1.0, None], [2.0, 5.0, None]]), [np.array([1.0]), np.array([2.0, 5.0])])
    assert_read(pl.Series(np.arange(6.0).reshape(2, 3)), list(np.arange(6.0).reshape(2, 3)))


def test_small_floats():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    small = [pair.astype(ml_dtypes.bfloat16) for pair in PAIRS]
    assert_read(small, [pair.astype(np.float64) for pair in small])
    whole = np.array([pair[:2] for pair in small])
    assert_read(whole, list(whole.astype(np.float64)))


def test_equal_lengths_in_containers_are_no_table():
    """So that sequences of other lengths can be predicted."""
    X, y = rng.normal(size=(8, 5)), np.arange(8) % 2
    model = RNNClassifier(**SMALL | {"max_iter": 2}).fit(of_objects(list(X)), y)
    assert model.n_features_in_ == 1
    assert model.predict([np.ones(9)]).shape == (1,)
    model.fit(X.tolist(), y)
    assert model.n_features_in_ == 5
    with pytest.raises(ValueError, match="X has 4 features, but RNNClassifier is expecting 5"):
        model.predict(X[:, :4])


def padded(arrays, filler=np.nan):
    array = np.full((len(arrays), max(map(len, arrays)) + 1, *arrays[0].shape[1:]), filler)
    for row, sequence in zip(array, arrays, strict=True):
        row[: len(sequence)] = sequence
    return array


@pytest.mark.parametrize("arrays", [SIGNALS, PAIRS], ids=["table", "array"])
def test_nan_after_the_last_step_is_no_step(arrays):
    y = np.array([0.5, 2.0, -1.0, 0.0, 3.0])
    lists, gaps = [RNNRegressor(**SMALL).fit(X, y) for X in (arrays, padded(arrays))]
    np.testing.assert_array_equal(gaps.predict(arrays), lists.predict(arrays))
    np.testing.assert_array_equal(gaps.predict(padded(arrays)), lists.predict(arrays))
    assert gaps.score(padded(arrays), y) == lists.score(arrays, y)
    masked = np.ma.masked_invalid(padded(arrays, np.nan))
    np.testing.assert_array_equal(gaps.predict(masked), lists.predict(arrays))


def test_nan_at_the_end_in_searches_and_pipelines():
    X, kinds, _ = waves()
    array = padded(X)
    search = GridSearchCV(RNNClassifier(**SMALL), {"hidden_size": [2, 12]}, cv=2).fit(array, kinds)
    assert search.best_params_ == {"hidden_size": 12}
    assert search.score(array, kinds) == search.score(X, kinds) > 0.8
    first, last, y_first, _ = train_test_split(array, kinds, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(), RNNClassifier(**SMALL)).fit(first, y_first)
    assert pipeline.predict(last).shape == (15,)
    stopped = RNNClassifier(**SMALL | {"early_stopping": True}).fit(array, kinds)
    assert stopped.score(array, kinds) > 0.8
    table = array[:, :39, 0]
    pipeline = make_pipeline(StandardScaler(), RNNClassifier(**SMALL)).fit(table, kinds)
    assert pipeline.score(table, kinds) > 0.6


def test_nullable_columns():
    pd = pytest.importorskip("pandas")
    table = np.round(10 * rng.normal(size=(8, 4)))
    table[2, 3] = table[5, 1:] = np.nan
    y = np.arange(8) % 2
    expected = RNNClassifier(**SMALL | {"max_iter": 2}).fit(table, y)
    for dtype in ("Int64", "Float64"):
        frame = pd.DataFrame(table, columns=list("abcd")).astype(dtype)
        model = RNNClassifier(**SMALL | {"max_iter": 2}).fit(frame, pd.Series(y, dtype="Int64"))
        assert model.classes_.dtype == np.int64
        assert list(model.feature_names_in_) == list("abcd")
        np.testing.assert_array_equal(model.predict_proba(frame), expected.predict_proba(table))
    labels = pd.Series(["a", "b"] * 4, dtype="string")
    assert list(RNNClassifier(**SMALL | {"max_iter": 1}).fit(table, labels).classes_) == ["a", "b"]
    flags = pd.Series([True, False] * 4, dtype="boolean")
    assert RNNClassifier(**SMALL | {"max_iter": 1}).fit(table, flags).classes_.dtype == bool


@pytest.mark.parametrize("shape", [(6, 1, 300), (6, 3, 60), (6, 1, 2)])
def test_a_warning_where_channels_may_come_before_time(shape):
    X, y = rng.normal(size=shape), np.arange(6) % 2
    steps = "1 step of" if shape[1] == 1 else "3 steps of"
    model = RNNClassifier(**SMALL | {"max_iter": 1})
    with pytest.warns(UserWarning, match=rf"X: the longest sequence has {steps} .*transpose"):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X)
        model.partial_fit(X, y)


@pytest.mark.parametrize("shape", [(6, 300, 1), (6, 20, 300), (6, 1, 1), (6, 4, 40), (6, 5)])
def test_no_warning_for_usual_shapes(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RNNClassifier(**SMALL | {"max_iter": 1}).fit(rng.normal(size=shape), np.arange(6) % 2)


def test_a_long_sequence_among_short_ones_takes_its_own_memory():
    """Padded to the longest, X alone would take 70 times its 0.1 MB."""
    n, long = 80, 10_000
    X = [rng.normal(size=(20, 1)) for _ in range(n)]
    X[33] = rng.normal(size=(long, 1))
    y = np.arange(n) % 2
    settings = SMALL | {"hidden_size": 4, "n_networks": 1, "max_iter": 1, "batch_size": 32}
    settings |= {"early_stopping": True, "validation_fraction": 0.4}
    model = RNNClassifier(**settings)

    model.fit(X, y)
    alone = peak_of(model.fit, [X[33]] * 4, [0, 1, 0, 1])
    assert peak_of(model.fit, X, y) < 1.5 * alone
    # First what also makes memory that is kept
    alone = peak_of(model.predict_proba, [X[33]])
    assert peak_of(model.predict_proba, X) < 1.5 * alone
    together = model.predict_proba(X)
    for row in (0, 33, 79):
        np.testing.assert_allclose(model.predict_proba([X[row]])[0], together[row], atol=1e-5)


def test_bare_objects_with_an_array():
    """Anything with `__array__`, such as xarray's or PyTorch's arrays."""

    class Array:
        def __init__(self, values):
            self.values, self.shape = values, values.shape

        def __array__(self, dtype=None, copy=None):
            return self.values

    array = rng.normal(size=(3, 4, 2))
    assert_read(Array(array), list(array))
    assert sequences_in(Array(array[..., 0])) is None
    assert_read([Array(signal) for signal in SIGNALS], SIGNALS)
