"""categorical=True: whole numbers are read as one-hot vectors, by every method alike."""

import numpy as np
import pandas as pd
import pytest
from network_problems import ARCHITECTURES, B, I, T, as_list, inputs, step_gradient, targets

import crnn
from crnn._network import layers

architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)


def pair_of(make, **settings):
    """A network of categories and one of features with the same parameters."""
    of_categories, of_features = make(categorical=True, **settings), make(**settings)
    of_features.flat_params[...] = of_categories.flat_params
    return of_categories, of_features


def one_hot(numbers):
    return np.eye(I)[numbers]


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-13)


@architectures
def test_loss_and_gradient_are_those_of_one_hot_vectors(network_of, settings):
    net, of_features = pair_of(network_of, **settings)
    x, y = inputs(net), targets(net)
    assert net.loss(x, y) == pytest.approx(of_features.loss(one_hot(x), y), rel=1e-12)
    assert_close(step_gradient(net, x, y)[1], step_gradient(of_features, one_hot(x), y)[1])
    tape, other = net.forward(x), of_features.forward(one_hot(x))
    assert_close(tape.y, other.y)
    assert_close(net.backward(tape, y).flat, of_features.backward(other, y).flat)
    assert net.backward(tape, y).x is None


@pytest.mark.parametrize("lengths", [None, [50, 3, 41]], ids=["whole", "lengths"])
def test_gradients_of_many_steps(network_of, monkeypatch, lengths):
    """Of more scalars than are summed by one call of NumPy; one of the categories is rare."""
    net, of_features = pair_of(network_of)
    monkeypatch.setattr(layers, "SMALL_SUMS", 500)
    x, y = np.minimum(inputs(net, 3, 50), 1), targets(net, 3, 50)
    x[0, 7] = 2
    gradients = [
        step_gradient(net, x, y, lengths=lengths)[1],
        step_gradient(of_features, one_hot(x), y, lengths=lengths)[1],
    ]
    assert_close(*gradients)


@pytest.mark.parametrize("lengths", [None, [5, 2, 7, 1]], ids=["whole", "lengths"])
def test_fit_is_that_of_one_hot_vectors(network_of, lengths):
    net, of_features = pair_of(network_of)
    x, y = inputs(net), targets(net)
    settings = {"epochs": 3, "batch_size": 3, "seed": 1, "lengths": lengths}
    if lengths is None:
        settings["bptt"] = 3
    validation = {"x": x, "y": y, "lengths": lengths}
    history = net.fit(x, y, validation_data=validation, **settings)
    other = of_features.fit(
        one_hot(x), y, validation_data=validation | {"x": one_hot(x)}, **settings
    )
    assert history.loss == pytest.approx(other.loss, rel=1e-11)
    assert history.val_loss == pytest.approx(other.val_loss, rel=1e-11)
    assert_close(net.flat_params, of_features.flat_params)


FORMS = {
    "int8": lambda x: x.astype(np.int8),
    "uint8": lambda x: x.astype(np.uint8),
    "uint64": lambda x: x.astype(np.uint64),
    "big-endian": lambda x: x.astype(">i4"),
    "Fortran order": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "list": lambda x: x.tolist(),
    "tuple of arrays": tuple,
    "DataFrame": pd.DataFrame,
}


@pytest.mark.parametrize("form", FORMS)
def test_whole_numbers_in_every_form(build_network, form):
    net = build_network(categorical=True)
    x, y = inputs(net), targets(net)
    given = FORMS[form](x)
    assert np.array_equal(net.predict(given), net.predict(x))
    assert np.array_equal(net.forward(given).y, net.forward(x).y)
    assert net.loss(given, y) == net.loss(x, y)
    assert np.array_equal(net.stream(B).run(given), net.stream(B).run(x))
    twin = build_network(categorical=True)
    net.fit(x, y, epochs=2, seed=0)
    twin.fit(given, y, epochs=2, seed=0)
    assert np.array_equal(twin.flat_params, net.flat_params)


def test_one_sequence_as_a_series(build_network):
    net = build_network(categorical=True)
    x = inputs(net, batch=None)
    assert net.predict(x).shape == (T, net.output_size)
    assert np.array_equal(net.predict(pd.Series(x)), net.predict(x))
    assert np.array_equal(net.stream().run(pd.Series(x)), net.stream().run(x))


def test_sequences_of_different_lengths(network_of):
    net, of_features = pair_of(network_of)
    x, y = inputs(net), targets(net)
    for got, wanted in zip(
        net.predict(as_list(x)), of_features.predict(as_list(one_hot(x))), strict=True
    ):
        assert_close(got, wanted)
    nested = [row.tolist() for row in as_list(x)]
    assert net.loss(nested, as_list(y)) == net.loss(as_list(x), as_list(y))
    assert net.loss(as_list(x), as_list(y)) == pytest.approx(
        of_features.loss(as_list(one_hot(x)), as_list(y)), rel=1e-12
    )
    # All of one length in a list: an array
    assert np.array_equal(net.predict(x.tolist()), net.predict(x))


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_streams(network_of, num_layers, batch):
    net, of_features = pair_of(network_of, num_layers=num_layers)
    x = inputs(net, batch)
    expected = of_features.stream(batch).run(one_hot(x))
    stream = net.stream(batch)
    assert_close(stream.run(x), expected)
    assert_close(stream.state, net.predict(x, return_state=True)[1])
    stream.reset()
    steps = [stream.step(x[..., t]) for t in range(T)]
    assert_close(np.stack(steps, axis=-2), expected)
    stream.reset()
    given = x[..., 0].tolist()
    assert np.array_equal(stream.step(given), steps[0])
    out = np.empty_like(steps[1])
    assert stream.step(x[..., 1], out=out) is out
    assert np.array_equal(out, steps[1])


def test_one_category(build_network):
    net = build_network(1, categorical=True)
    x = np.zeros((2, 5), int)
    of_features = build_network(1)
    assert_close(net.predict(x), of_features.predict(np.ones((2, 5, 1))))


def test_what_a_network_says_of_itself(build_network, tmp_path):
    net = build_network(categorical=True)
    assert net.categorical is net.architecture.categorical is True
    assert "categorical=True" in repr(net)
    assert build_network().categorical is False
    assert "categorical" not in repr(build_network())
    x = inputs(net)
    path = tmp_path / "net.npz"
    net.save(path)
    for twin in (crnn.load(path), net.astype("float32"), eval(repr(net), vars(crnn))):
        assert twin.categorical is True
    loaded = crnn.load(path, implementation=net.implementation)
    assert np.array_equal(loaded.predict(x), net.predict(x))


def test_the_case_of_one_hot_tables(build_network):
    """A table of counts (time, features) is one sequence, whatever its dtype."""
    net = build_network(4, dtype="float32")
    letters = np.array([0, 1, 2, 0, 3])
    table = np.eye(4, dtype=int)[letters]
    expected = net.predict(table.astype(np.float32))
    assert expected.shape == (5, net.output_size)
    for form in (table, table.tolist(), pd.DataFrame(table), pd.get_dummies(pd.Series(letters))):
        assert np.array_equal(net.predict(form), expected)
        assert np.array_equal(net.stream().run(form), expected)
    last = build_network(4, return_sequences=False, output_size=2)
    # 50 sequences of 4 categories for 50 targets once; now one sequence with one target.
    counts = np.random.default_rng(0).integers(0, 2, (50, 4))
    with pytest.raises(ValueError, match=r"^y: expected shape \(\), got \(50,\)"):
        last.fit(counts, np.zeros(50, int), epochs=1, loss="cross_entropy")
    assert last.fit(counts, 1, epochs=1, loss="cross_entropy").loss


@pytest.mark.native
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_steps_of_a_stream_have_the_bits_of_a_prediction(nonlinearity):
    rng = np.random.default_rng(0)
    for H in (1, 3, 8, 17, 32, 33, 100):
        net = crnn.RNN(
            7, H, 3, nonlinearity=nonlinearity, categorical=True, seed=3, implementation="native"
        )
        net.flat_params[...] += 0.3 * rng.standard_normal(net.flat_params.shape)
        x = rng.integers(0, 7, 40)
        stream = net.stream()
        steps = np.stack([np.array(stream.step(number)) for number in x])
        np.testing.assert_array_equal(steps, net.predict(x), err_msg=str(H))
