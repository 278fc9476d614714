"""Keras itself beside crnn, where it is installed."""

import os
from itertools import chain

import numpy as np
import pytest
from keras_layers import FORMS, stored

import crnn.keras

# Of the arrays of Keras's own NumPy backend
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Keras, if it is installed: on NumPy, which it brings along, unless the environment says
    otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "numpy"))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def dtype_of_keras(keras):
    """The widest that its backend computes in."""
    return "float64" if keras.backend.backend() == "tensorflow" else "float32"


def fill(layer, rng):
    """Give a layer weights and biases of which none is zero or another's."""
    layer.set_weights([0.5 * rng.standard_normal(array.shape) for array in layer.get_weights()])


def build(keras, kind, settings, *, layers=1, bidirectional=False, outputs=None, dtype):
    """A model with layers of Dropout in it, which do nothing here."""
    rng = np.random.default_rng(1)
    model = keras.Sequential([keras.Input(batch_shape=(3, 6, 5), dtype=dtype)])
    for layer in range(layers):
        sequences = {"return_sequences": True} if layer < layers - 1 else {}
        added = getattr(keras.layers, kind)(4, dtype=dtype, **sequences, **settings)
        if bidirectional:
            added = keras.layers.Bidirectional(added, dtype=dtype)
        model.add(added)
        model.add(keras.layers.Dropout(0.5, dtype=dtype))
    if outputs:
        model.add(keras.layers.Dense(outputs, dtype=dtype))
    for layer in model.layers:
        fill(layer, rng)
    return model


KINDS = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "relu"}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"use_bias": False}),
    ("GRU", {"use_bias": False, "reset_after": False}),
    ("LSTM", {}),
    ("LSTM", {"use_bias": False}),
    ("LSTM", {"dropout": 0.5, "recurrent_dropout": 0.5, "stateful": True}),
]


@pytest.mark.parametrize(
    "shape",
    [
        {}, {"outputs": 2}, {"layers": 2, "bidirectional": True, "outputs": 3}, {"layers": 3},
        {"bidirectional": True},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=str)
def test_keras_models_run_in_crnn(
    keras, implementation, assert_close, dtype_of_keras, kind, settings, shape
):
    dtype = dtype_of_keras
    model = build(keras, kind, settings, dtype=dtype, **shape)
    x = np.random.default_rng(2).standard_normal((3, 6, 5)).astype(dtype)
    net = crnn.keras.from_model(model, implementation=implementation)
    assert not net.return_sequences
    assert_close(net.predict(x), keras.ops.convert_to_numpy(model(x)), dtype=dtype)

    # And back, into layers with other weights
    layers, output = crnn.keras.to_weights(net)
    twin = build(keras, kind, settings | {"use_bias": True}, dtype=dtype, **shape)
    for layer in twin.layers:
        fill(layer, np.random.default_rng(3))
    recurrent = [layer for layer in twin.layers if layer.get_weights()]
    if output:
        recurrent.pop().set_weights(output)
    for layer, arrays in zip(recurrent, layers, strict=True):
        layer.set_weights(arrays)
    assert_close(net.predict(x), keras.ops.convert_to_numpy(twin(x)), dtype=dtype)


@pytest.mark.parametrize("name", FORMS)
def test_keras_still_returns_the_stored_numbers(keras, assert_close, dtype_of_keras, name):
    form, dtype = stored(name), dtype_of_keras
    settings = {"return_sequences": True, "return_state": True, "dtype": dtype, **form.settings}
    y, h_n = form.x.astype(dtype), []
    for weights, h0 in zip(form.layers, form.h0, strict=True):
        layer = getattr(keras.layers, form.kind)(4, **settings)
        if form.bidirectional:
            layer = keras.layers.Bidirectional(layer, dtype=dtype)
        layer.build(y.shape)
        layer.set_weights(weights)
        results = layer(y, initial_state=[h.astype(dtype) for h in h0])
        y, *states = map(keras.ops.convert_to_numpy, results)
        h_n.append(states)
    for got, want in zip(chain(*h_n), chain(*form.h_n), strict=True):
        assert_close(got, want, dtype=dtype)
    if form.output is None:
        assert_close(y, form.y, dtype=dtype)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k.LSTM(4, activation="relu"), "expected activation='tanh', got 'relu'"),
        (lambda k: k.GRU(4, activation=None), "expected activation='tanh', got 'linear'"),
        (lambda k: k.GRU(4, recurrent_activation="hard_sigmoid"), "got 'hard_sigmoid'"),
        (lambda k: k.SimpleRNN(4, activation="sigmoid"), "'tanh' or 'relu', got 'sigmoid'"),
        (lambda k: k.LSTM(4, go_backwards=True), "go_backwards=False, got True"),
        (lambda k: k.Bidirectional(k.LSTM(4), merge_mode="ave"), "'concat', got 'ave'"),
        (lambda k: k.LSTM(4), "expected weights, got a layer that is not built yet"),
        (lambda k: [k.Masking(), k.LSTM(4)], "got Masking of keras"),
        (lambda k: k.RNN(k.LSTMCell(4)), "got RNN of keras"),
    ],
)
def test_layers_of_keras_are_refused_by_name(keras, make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        crnn.keras.from_model(make(keras.layers))


def test_dense_of_each_step_is_an_output_layer(keras, assert_close):
    outer = keras.layers.TimeDistributed(keras.layers.Dense(2))
    inner = keras.layers.GRU(4, return_sequences=True)
    model = keras.Sequential([keras.Input((6, 5)), inner, outer])
    for layer in model.layers:
        fill(layer, np.random.default_rng(1))
    x = np.random.default_rng(2).standard_normal((3, 6, 5)).astype(np.float32)
    y = crnn.keras.from_model(model).predict(x)
    assert_close(y, keras.ops.convert_to_numpy(model(x)), dtype="float32")
    functional = keras.Model(model.inputs, model.outputs)
    with pytest.raises(TypeError, match=r"expected a Keras .* got Functional of keras"):
        crnn.keras.from_model(functional)
    y = crnn.keras.from_model(functional.layers).predict(x)
    assert_close(y, keras.ops.convert_to_numpy(model(x)), dtype="float32")


def test_layers_of_different_sizes_run_one_after_the_other(keras, assert_close):
    k = keras.layers
    layers = [k.Bidirectional(k.LSTM(4, return_sequences=True)), k.GRU(3), k.Dense(2)]
    model = keras.Sequential([keras.Input((6, 5)), *layers])
    for layer in layers:
        fill(layer, np.random.default_rng(1))
    x = np.random.default_rng(2).standard_normal((3, 6, 5)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(model(x))
    chain = crnn.keras.from_model(model)
    assert [type(part).__name__ for part in chain] == ["LSTM", "GRU"]
    assert_close(chain.predict(x), expected, dtype="float32")
    first, rest = crnn.keras.from_model(layers[:1]), crnn.keras.from_model(layers[1:])
    assert_close(rest.predict(first.predict(x)), expected, dtype="float32")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("is_chain", [False, True])
@pytest.mark.filterwarnings("ignore")  # that .h5 is called legacy
def test_embeddings(keras, assert_close, tmp_path, suffix, is_chain):
    pytest.importorskip("h5py")
    k = keras.layers
    layers = [k.Embedding(7, 5), k.Bidirectional(k.GRU(4, return_sequences=True)), k.LSTM(3)]
    layers = layers if is_chain else [layers[0], k.LSTM(4)]
    model = keras.Sequential([keras.Input((6,), dtype="int32"), *layers])
    for layer in layers:
        fill(layer, np.random.default_rng(1))
    x = np.random.default_rng(2).integers(7, size=(3, 6))
    model.save(tmp_path / f"model.{suffix}")
    net = crnn.keras.load(tmp_path / f"model.{suffix}")
    assert net.categorical
    assert repr(net) == repr(crnn.keras.from_model(model))
    assert_close(net.predict(x), keras.ops.convert_to_numpy(model(x)), dtype="float32")
    masked = keras.Sequential([keras.Input((6,)), k.Embedding(7, 5, mask_zero=True), k.LSTM(3)])
    with pytest.raises(ValueError, match="expected mask_zero=False, got True; give predict the"):
        crnn.keras.from_model(masked)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore")  # that .h5 is called legacy
def test_files_and_dense_layers(keras, assert_close, tmp_path, suffix):
    pytest.importorskip("h5py")
    k = keras.layers
    layers = [
        k.Dense(4, activation="tanh"), k.SimpleRNN(5, activation="relu", return_sequences=True),
        k.TimeDistributed(k.Dense(3, activation="sigmoid")), k.Dropout(0.5), k.LSTM(6),
        k.Dense(7, activation="relu"), k.Dense(2), k.Activation("softmax"),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((6, 5)), *layers])
    for layer in layers:
        fill(layer, np.random.default_rng(1))
    x = np.random.default_rng(2).standard_normal((3, 6, 5)).astype(np.float32)
    model.save(tmp_path / f"model.{suffix}")
    net = crnn.keras.load(tmp_path / f"model.{suffix}")
    assert repr(net) == repr(crnn.keras.from_model(model))
    assert_close(net.predict(x), keras.ops.convert_to_numpy(model(x)), dtype="float32")
