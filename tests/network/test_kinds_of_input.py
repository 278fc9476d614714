"""Inputs of all kinds: tables, objects and other libraries' numbers mean what they say, or stop."""

import datetime as dt
import decimal

import numpy as np
import pytest

import crnn

pd = pytest.importorskip("pandas")
X = np.random.default_rng(0).integers(-3, 4, (5, 3)) / 4  # exact in 16 bits and in bfloat16
COUNTS = np.array([[0, 2, 1], [1, 0, 1], [3, 1, 0], [0, 0, 1], [1, 1, 1]])


class PolarsColumn:
    """What is needed of polars.Series, which need not be installed."""

    def __init__(self, values, dtype):
        self.values, self.dtype = values, dtype

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)


class PolarsTable(PolarsColumn):
    """What is needed of polars.DataFrame: its dtypes are a list of names."""

    def __init__(self, values, dtypes):
        self.values, self.dtypes = values, dtypes
        self.columns = [f"column_{number}" for number in range(len(dtypes))]


def table(*dtypes):
    columns = zip("abc", COUNTS.T, dtypes, strict=True)
    return pd.DataFrame({name: pd.Series(column).astype(dtype) for name, column, dtype in columns})


@pytest.fixture(scope="module")
def net(implementation):
    return crnn.GRU(3, 4, 2, seed=0, implementation=implementation)


TABLES = {
    "integers": COUNTS,
    "objects": COUNTS.astype(object),
    "lists": COUNTS.tolist(),
    "frame": pd.DataFrame(COUNTS),
    "nullable": table("Int64", "UInt8", "Float64"),
    "nullable integers": table("Int64", "Int8", "Int16"),
    "objects in a frame": pd.DataFrame(COUNTS).astype(object),
    "numbers of both kinds": np.array(
        [[float(a), int(b), np.int8(c)] for a, b, c in COUNTS], object
    ),
    "float16": COUNTS.astype("f2"),
    "big-endian": COUNTS.astype(">f4"),
    "polars": PolarsTable(COUNTS, ["Int64", "Int64", "Float32"]),
    "polars with booleans": PolarsTable(COUNTS.astype(object), ["Int64", "Int64", "Boolean"]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_numbers_is_one_whatever_keeps_it(net, kind):
    counts, given = COUNTS.astype("f8"), TABLES[kind]
    expected = net.predict(counts)
    assert np.array_equal(net.predict(given), expected)
    assert np.array_equal(net.predict([given, given]), net.predict([counts, counts]))
    assert np.array_equal(net.predict([given, counts[:2]])[0], net.predict([counts, counts[:2]])[0])
    assert np.array_equal(net.forward(given).y, net.forward(counts).y)
    assert np.array_equal(net.stream().run(given), expected)
    y = np.eye(2)[COUNTS[:, 0] % 2]
    assert net.loss(given, y) == net.loss(COUNTS, y)


@pytest.mark.parametrize("boolean", ["bool", "boolean"])
def test_columns_of_integers_and_bools(net, boolean):
    mixed = pd.DataFrame({"a": COUNTS[:, 0], "b": COUNTS[:, 1] > 0, "c": COUNTS[:, 2]})
    mixed["b"] = mixed["b"].astype(boolean)
    assert np.array_equal(net.predict(mixed), net.predict(mixed.to_numpy().astype("f8")))


def test_one_hot_in_whole_numbers_is_one_sequence(implementation):
    """(time, features) of integers, however they come."""
    letters = np.array([0, 1, 2, 0, 3])
    whole = np.eye(4, dtype=int)[letters]
    net = crnn.RNN(4, 8, 4, seed=0, implementation=implementation)
    expected = net.predict(whole.astype(float))
    dummies = pd.get_dummies(pd.Series(letters))
    for given in (whole, whole.tolist(), pd.DataFrame(whole), dummies, dummies.astype("Int8")):
        assert np.array_equal(net.predict(given), expected)
        assert np.array_equal(net.stream().run(given), expected)
    categorical = crnn.RNN(4, 8, 4, seed=0, categorical=True, implementation=implementation)
    for given in (
        letters,
        letters.tolist(),
        pd.Series(letters, dtype="Int64"),
        letters.astype("O"),
    ):
        np.testing.assert_allclose(categorical.predict(given), expected, rtol=1e-6)


def test_all_other_arrays_are_read_alike(net):
    x, y = np.stack([X, X[::-1]]), [[0, 1, 1, 0, 1], [1, 0, 0, 1, 1]]
    mask = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 0, 1]])
    options = {"lengths": [5, 3], "mask": mask.astype("f8")}
    expected = net.loss(x, y, "cross_entropy", **options)
    options = {
        "lengths": pd.Series([5, 3], dtype="Int64"),
        "mask": pd.DataFrame(mask).astype("boolean"),
    }
    targets = pd.DataFrame(y).astype("Int64")
    assert net.loss(x, targets, "cross_entropy", **options) == expected
    h0 = [[0.5, 0, 1, 0.25]] * 2
    assert np.array_equal(net.predict(x, h0=pd.DataFrame(h0).astype(object)), net.predict(x, h0=h0))
    # A class that is missing where the mask is 0
    targets.loc[0, 1] = pd.NA
    y = np.array(y, object)
    y[0, 1] = None
    for given in (targets, y, y.tolist()):
        assert net.loss(x, given, "cross_entropy", mask=mask) == net.loss(
            x, [[0, 0, 1, 0, 1], [1, 0, 0, 1, 1]], "cross_entropy", mask=mask
        )


GAP = "expected finite numbers, got nan at index (1, 2)"
REFUSED = {
    "missing": (table("Int64", "Int64", "Int64").where(COUNTS < 1.5), "got nan at index (0, 1)"),
    "missing in objects": (np.array([[1, 2, 3], [1, 2, None]], object), GAP),
    "missing float": (pd.DataFrame([[1, 2, 3], [1, 2, np.nan]]).convert_dtypes(), GAP),
    "categories": (pd.DataFrame({"a": [1.0], "b": pd.Categorical([7])}), "in column 'b'; convert"),
    "polars categories": (PolarsColumn([1, 2], "Enum(['a'])"), "got categories; convert them"),
    "text": (pd.DataFrame({"a": [1.0], "b": ["3"]}), "the text '3' at index (0, 1); convert it to"),
    "dates": (
        pd.DataFrame({"a": [1], "day": [pd.Timestamp(2020, 1, 1)]}), "in column 'day'; convert",
    ),
    "polars dates": (PolarsTable(COUNTS, ["Int64", "Date", "Int64"]), "Date in column 'column_1'"),
    "dates with a zone": (pd.Series([pd.Timestamp(2020, 1, 1, tz="UTC")]), "got datetime64["),
    "dates in objects": ([[dt.date(2020, 1, 1)]], "got date at index (0, 0); convert them"),
    "periods": (pd.Series(pd.period_range("2020", periods=2)), "got period[D]; convert them"),
    "decimals": ([[decimal.Decimal(1)]], "got Decimal at index (0, 0); use .astype(float)"),
    "complex objects": ([[1j, None]], "expected numbers, got complex at index (0, 0)"),
    "arrays": (pd.Series([np.ones(2), np.ones(3)]), "got ndarray at index (0,); pass a list of"),
    "huge": ([[2**70, 1, 1]], "expected whole numbers of at most 64 bits, got 1 to 1180591"),
    "inexact": ([[2**53 + 1, None, 0.5]], "expected numbers that float64 holds exactly, got whole"),
    "too large for a float": ([[2**2000, None, 0.5]], "numbers that float64 holds exactly"),
    "a generator": (iter(COUNTS), "expected an array of numbers, got "),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_number_is_refused(net, kind):
    given, sentence = REFUSED[kind]
    for call in (net.predict, net.forward, net.stream().run):
        with pytest.raises((TypeError, ValueError)) as caught:
            call(given)
        message = str(caught.value)
        assert message.startswith("x: expected")
        assert sentence in message
        assert "\n" not in message


def test_sparse_matrices_and_lazy_tables_say_what_to_do(net):
    class Matrix:
        def toarray(self):
            raise AssertionError

    class Lazy:
        def collect(self):
            raise AssertionError

    with pytest.raises(TypeError, match=r"array of numbers, got Matrix; use \.toarray\(\)$"):
        net.predict(Matrix())
    with pytest.raises(TypeError, match=r"array of numbers, got Lazy; use \.collect\(\)$"):
        net.predict(Lazy())


def test_tensors_that_numpy_refuses_say_what_to_do(net):
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

        def detach(self):
            raise AssertionError

    for given in (Tensor(), [Tensor(), Tensor()]):
        with pytest.raises(TypeError, match=r"grad\.; use \.detach\(\)\.cpu\(\)\.float\(\)\.numpy"):
            net.predict(given)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_small_numbers_of_ml_dtypes(net, name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = COUNTS if name == "int4" else X
    small = x.astype(getattr(ml_dtypes, name))
    assert np.array_equal(net.predict(small), net.predict(x))
    assert np.array_equal(net.predict(list(small)), net.predict(x))
    if name == "bfloat16":
        small[1, 2] = np.nan
        with pytest.raises(ValueError, match=r"got nan at index \(1, 2\)"):
            net.predict(small)


def test_classes_and_categories_of_ml_dtypes(net):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    y = COUNTS[:, 0] % 2
    assert net.loss(X, y.astype(ml_dtypes.int4), "cross_entropy") == net.loss(X, y, "cross_entropy")
    with pytest.raises(TypeError, match="expected integer class numbers, got float64"):
        net.loss(X, y.astype(ml_dtypes.bfloat16), "cross_entropy")


def test_gaps_in_lists_of_lists(net):
    """NumPy would take what is under the mask."""
    rows = [list(np.ma.array(X, mask=X > 0.5)), list(np.ma.array(X))]
    with pytest.raises(ValueError, match=r"^x: expected an array without gaps, got masked entries"):
        net.predict(rows)
    whole = [list(np.ma.array(X)), list(X)]
    np.testing.assert_array_equal(net.predict(whole), net.predict([X, X]))
