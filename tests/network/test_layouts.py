"""All forms of input give the numbers of a plain array of the network's dtype, to the bit."""

import numpy as np
import pytest
from layouts import LAYOUTS, TABLES, TABLES_OF_WHOLE_NUMBERS, WHOLE_NUMBERS
from network_problems import DTYPES

import crnn

B, T, I, H, O = 4, 6, 3, 5, 3
rng = np.random.default_rng(0)
# Multiples of 1/8
X = rng.integers(-16, 17, (B, T, I)) / 8
Y = rng.integers(-16, 17, (B, T, O)) / 8
H0 = rng.integers(-8, 9, (B, H)) / 8
FLAGS = rng.integers(2, size=(B, T, I))

dtypes = pytest.mark.parametrize("dtype", DTYPES)


def results(make, convert, dtype, x, y, h0):
    """What every method gives for these inputs, each converted."""
    net = make(I, H, O, dtype=dtype, seed=1)
    x_given, y_given, h0_given = (convert(values.astype(dtype)) for values in (x, y, h0))
    tape = net.forward(x_given, h0_given)
    grads = net.backward(tape, y_given, h0_given)
    found = [tape.y, tape.h, grads.flat, grads.x, grads.h0]
    found += [*net.predict(x_given, h0_given, return_state=True), net.forecast(x_given, steps=3)]
    found.append(np.array(net.loss(x_given, y_given)))
    batch_size = B if x.ndim == 3 else None
    for settings in ({}, {"num_layers": 2}):
        stream = make(I, H, O, dtype=dtype, **settings).stream(batch_size)
        found += [stream.run(x_given), stream.step(convert(x[..., 0, :].astype(dtype)))]
    stream = net.stream(batch_size)
    stream.state = h0_given
    found += [stream.state, stream.run(x_given)]
    net.train_step(x_given, y_given, crnn.SGD(0.1))
    found.append(net.flat_params.copy())
    data = (x_given, y_given)
    net.fit(*data, epochs=2, batch_size=3, seed=0, validation_data=data)
    return [*found, net.flat_params]


def assert_same(actual, expected, dtype):
    assert len(actual) == len(expected)
    for number, (got, wanted) in enumerate(zip(actual, expected, strict=True)):
        if wanted.ndim:
            assert got.dtype == dtype
        assert np.array_equal(got, wanted), number


@dtypes
@pytest.mark.parametrize("form", LAYOUTS)
def test_batches(build_network, form, dtype):
    expected = results(build_network, np.array, dtype, X, Y, H0)
    actual = results(build_network, LAYOUTS[form], dtype, X, Y, H0)
    assert_same(actual, expected, dtype)


@dtypes
@pytest.mark.parametrize("form", LAYOUTS | TABLES)
def test_one_sequence(build_network, form, dtype):
    def convert(values):
        if form in LAYOUTS:
            return LAYOUTS[form](values)
        return TABLES[form](values) if values.ndim == 2 else values

    expected = results(build_network, np.array, dtype, X[0], Y[0], H0[0])
    actual = results(build_network, convert, dtype, X[0], Y[0], H0[0])
    assert_same(actual, expected, dtype)


def assert_flags_are_features(build_network, convert, arguments):
    def of_flags(values):
        return convert(values) if np.isin(values, (0, 1)).all() else values

    expected = results(build_network, np.array, "float32", *arguments)
    actual = results(build_network, of_flags, "float32", *arguments)
    assert_same(actual, expected, "float32")


@pytest.mark.parametrize("form", WHOLE_NUMBERS)
def test_whole_numbers_are_features(build_network, form):
    """One-hot vectors and flags, as `np.eye(k, dtype=int)[numbers]` makes them."""
    targets = FLAGS[..., ::-1]
    convert = WHOLE_NUMBERS[form]
    assert_flags_are_features(build_network, convert, (FLAGS, targets, H0))
    assert_flags_are_features(build_network, convert, (FLAGS[0], targets[0], H0[0]))


@pytest.mark.parametrize("form", TABLES_OF_WHOLE_NUMBERS)
def test_tables_of_whole_numbers_are_features(build_network, form):
    """Flags, as `pd.get_dummies` makes them."""

    def convert(values):
        return TABLES_OF_WHOLE_NUMBERS[form](values) if values.ndim == 2 else values

    arguments = (FLAGS[0], FLAGS[0, :, ::-1], H0[0])
    assert_flags_are_features(build_network, convert, arguments)


def test_largest_exact_integers(build_network):
    for dtype, largest in (("float64", 2**53), ("float32", 2**24)):
        net = build_network(dtype=dtype)
        x = np.full((2, 3, net.input_size), largest)
        assert np.array_equal(net.predict(x), net.predict(x.astype(dtype)))
        assert np.array_equal(net.predict(-x), net.predict(-x.astype(dtype)))


def test_largest_float32_and_numbers_below_its_range(build_network):
    net = build_network(dtype="float32")
    x = np.zeros((2, 3, net.input_size))
    x[1, 2, 0] = np.finfo(np.float32).max
    assert np.isfinite(net.predict(x)).all()
    # Numbers too small for float32 become zero without a warning.
    assert np.array_equal(net.predict(0 * x), net.predict(np.full(x.shape, 1e-320)))


def test_sequences_of_different_lengths_in_a_tuple(build_network):
    net = build_network(I, H, O)
    x, y = [X[0], X[1, :3]], [Y[0], Y[1, :3]]
    expected, loss = net.predict(x), net.loss(x, y)
    for convert in (tuple, lambda values: [np.asfortranarray(v) for v in values]):
        for got, wanted in zip(net.predict(convert(x)), expected, strict=True):
            assert np.array_equal(got, wanted)
        assert net.loss(convert(x), convert(y)) == loss
    nested = [values.tolist() for values in x]
    for got, wanted in zip(net.predict(nested), expected, strict=True):
        assert np.array_equal(got, wanted)


def test_the_pair_of_an_lstm_in_every_form(build_network):
    net = build_network(I, H, O, family="LSTM")
    h, c = H0, H0[::-1] / 2
    expected = net.predict(X, (h, c))
    assert not np.array_equal(net.predict(X, (c, h)), expected)
    for form, convert in LAYOUTS.items():
        for pair in (tuple, list):
            state = pair((convert(h), convert(c)))
            assert np.array_equal(net.predict(X, state), expected), form
            stream = net.stream(B)
            stream.state = state
            assert np.array_equal(stream.run(X), expected), form
