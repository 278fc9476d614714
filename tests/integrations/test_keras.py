"""Networks with the weights of Keras layers return what those return.

tests/data/keras.json holds what Keras 3.15.1 returned, in float64; tests/make_keras_numbers.py made
it. Where Keras is installed, its layers are asked too.
"""

import json
import os
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import crnn
import crnn.keras

# Of the arrays of Keras's own NumPy backend
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

FORMS = json.loads((Path(__file__).parent / "data" / "keras.json").read_text())


def stored(form):
    """The numbers of a form as arrays, in the places where they stand."""

    def arrays(value, depth):
        if depth:
            return [arrays(part, depth - 1) for part in value]
        return np.array(value)

    depths = {"layers": 2, "h0": 2, "h_n": 2, "output": 1, "x": 0, "y": 0, "y_last": 0}
    held = {k: v if v is None else arrays(v, depths[k]) for k, v in form.items() if k in depths}
    return SimpleNamespace(**(form | held))


def settings_of(form):
    activation = form.settings.get("activation")
    return {"nonlinearity": activation} if activation else {}


def state_of(form, states):
    """The states of Keras layers, a list of arrays each, as a network of crnn takes them."""
    flat = [array for layer in states for array in layer]
    parts = 2 if form.kind == "LSTM" else 1
    # Of an LSTM Keras has h and c of one direction, then h and c of the other.
    stacked = [np.stack(flat[part::parts]) for part in range(parts)]
    if len(flat) == parts:
        stacked = [array[0] for array in stacked]
    return tuple(stacked) if parts == 2 else stacked[0]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMS)
def test_outputs_and_last_states_are_those_of_keras(implementation, assert_close, name, dtype):
    form = stored(FORMS[name])
    arguments = {"dtype": dtype, "implementation": implementation, **settings_of(form)}
    net = crnn.keras.from_weights(form.layers, form.output, **arguments)
    start = state_of(form, form.h0)
    y, last = net.predict(form.x, h0=start, return_state=True)
    assert_close(y, form.y, dtype=dtype, label="y")
    expected = as_tuple(state_of(form, form.h_n))
    for got, want in zip(as_tuple(last), expected, strict=True):
        assert_close(got, want, dtype=dtype, label="state")
    net = crnn.keras.from_weights(form.layers, form.output, return_sequences=False, **arguments)
    assert_close(net.predict(form.x, h0=start), form.y_last, dtype=dtype, label="y_last")


@pytest.mark.parametrize("name", FORMS)
def test_the_network_is_seen_in_the_shapes(name):
    form = stored(FORMS[name])
    net = crnn.keras.from_weights(form.layers, form.output, **settings_of(form))
    assert isinstance(net, crnn.RNN if form.kind == "SimpleRNN" else getattr(crnn, form.kind))
    assert net.dtype == np.float64
    assert (net.num_layers, net.bidirectional) == (len(form.layers), form.bidirectional)
    assert (net.input_size, net.hidden_size) == (5, 4)
    assert net.output_size == (2 if form.output else None)
    assert net.return_sequences
    if form.kind == "GRU":
        assert net.reset_after == form.settings["reset_after"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("RNN", {"nonlinearity": "tanh"}),
        ("RNN", {"nonlinearity": "relu"}),
        ("GRU", {"reset_after": True}),
        ("GRU", {"reset_after": False}),
        ("LSTM", {}),
    ],
)
@pytest.mark.parametrize("output_size", [None, 2])
def test_weights_come_back_with_the_same_bits(
    build_network, family, settings, bidirectional, output_size, dtype
):
    sizes = {"num_layers": 3, "bidirectional": bidirectional, "output_size": output_size}
    net = build_network(family=family, dtype=dtype, **sizes, **settings)
    layers, output = crnn.keras.to_weights(net)
    assert (output is None) == (output_size is None)
    rest = {k: v for k, v in settings.items() if k == "nonlinearity"}
    twin = crnn.keras.from_weights(layers, output, implementation=net.implementation, **rest)
    assert repr(twin) == repr(net)
    np.testing.assert_array_equal(twin.flat_params, net.flat_params)
    for array in [array for arrays in layers for array in arrays] + (output or []):
        assert array.flags.c_contiguous
        assert not np.shares_memory(array, net.flat_params)


def test_weights_without_biases(implementation):
    """As biases of zero are, whichever the cell; also of an LSTM, whose first ones are not."""
    for name, kept in [("LSTM bidirectional stack with Dense", 2), ("GRU reset_after", 2)]:
        form = stored(FORMS[name])
        states = 2 if form.bidirectional else 1
        layers = [
            [array for i in range(states) for array in arrays[3 * i : 3 * i + kept]]
            for arrays in form.layers
        ]
        zeroed = [
            [np.zeros_like(a) if i % 3 == kept else a for i, a in enumerate(arrays)]
            for arrays in form.layers
        ]
        without = form.output and form.output[:1]
        net = crnn.keras.from_weights(layers, without, implementation=implementation)
        output = form.output and [form.output[0], np.zeros_like(form.output[1])]
        twin = crnn.keras.from_weights(zeroed, output, implementation=implementation)
        assert repr(net) == repr(twin)
        np.testing.assert_array_equal(net.flat_params, twin.flat_params)


def test_a_gru_without_biases_takes_the_form_it_is_told():
    arrays = stored(FORMS["GRU reset_before"]).layers[0][:2]
    assert crnn.keras.from_weights(arrays).reset_after
    assert not crnn.keras.from_weights(arrays, reset_after=False).reset_after


def test_one_layer_may_come_by_itself_or_in_a_list():
    for name in ("GRU reset_after", "LSTM"):
        (layer,) = stored(FORMS[name]).layers
        net, twin = crnn.keras.from_weights(layer), crnn.keras.from_weights([layer])
        np.testing.assert_array_equal(net.flat_params, twin.flat_params)
    layer = stored(FORMS["LSTM bidirectional stack with Dense"]).layers[0]
    net, twin = crnn.keras.from_weights(layer), crnn.keras.from_weights([tuple(layer)])
    assert net.bidirectional
    np.testing.assert_array_equal(net.flat_params, twin.flat_params)


def test_the_dtype_is_that_of_the_arrays():
    layer = [array.astype(np.float32) for array in stored(FORMS["LSTM"]).layers[0]]
    kernel = np.ones((4, 2))
    assert crnn.keras.from_weights(layer).dtype == np.float32
    assert crnn.keras.from_weights(layer, [kernel]).dtype == np.float64
    assert crnn.keras.from_weights(layer, [kernel.astype(np.float32)]).dtype == np.float32
    assert crnn.keras.from_weights(layer, [kernel], dtype="float32").dtype == np.float32
    half = [array.astype(np.float16) for array in layer]
    assert crnn.keras.from_weights(half).dtype == np.float32


def test_settings_reach_the_network():
    layers = stored(FORMS["LSTM bidirectional stack with Dense"]).layers
    net = crnn.keras.from_weights(layers, dropout=0.25, trainable_h0=True, seed=1)
    assert (net.dropout, net.trainable_h0) == (0.25, True)
    assert not net.h0.any()


def test_an_embedding_is_part_of_the_kernel(assert_close):
    """What the documentation says of it."""
    kernel, *rest = stored(FORMS["GRU reset_after"]).layers[0]
    rng = np.random.default_rng(0)
    table, words = rng.standard_normal((9, 5)), rng.integers(9, size=(3, 6))
    net = crnn.keras.from_weights([kernel, *rest])
    reader = crnn.keras.from_weights([table @ kernel, *rest])
    assert_close(reader.predict(words), net.predict(table[words]), dtype="float64")


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


LSTM = arrays((5, 16), (4, 16), (16,))
GRU = arrays((5, 12), (4, 12), (2, 12))
UPPER = arrays((4, 16), (4, 16), (16,))


@pytest.mark.parametrize(
    ("layers", "arguments", "error", "message"),
    [
        (None, {}, TypeError, "layers: expected a list of arrays, got NoneType"),
        (LSTM[0], {}, TypeError, "layers: expected a list of arrays, got ndarray"),
        ([], {}, ValueError, "layers: expected 2 or 3 arrays of a layer, .* got 0"),
        (LSTM[:1], {}, ValueError, "layers: expected 2 or 3 arrays of a layer, .* got 1"),
        # What model.get_weights() returns: a layer and Dense, two layers, two layers without biases
        (LSTM + arrays((4, 2), (2,)), {}, ValueError, "layers: .* got 5"),
        (LSTM + UPPER, {}, ValueError, "layers: expected a list of lists, .* two layers"),
        (LSTM[:2] + UPPER[:2], {}, ValueError, "layers: expected a list of lists, .* two layers"),
        (UPPER + UPPER, {}, ValueError, "layers: expected a list of lists, .* two layers"),
        ([LSTM, UPPER[0]], {}, TypeError, r"layers\[1\]: expected a list of arrays, got ndarray"),
        ([LSTM, UPPER[:1]], {}, ValueError, r"layers\[1\]: expected 2 or 3 arrays .* got 1"),
        ([*LSTM[:2], [0.0] * 16], {}, TypeError, r"layers\[2\]: expected a NumPy array, .* list"),
        (
            LSTM + LSTM[:1],
            {},
            ValueError,
            r"layers\[2\]: expected shape \(inputs=5, .* got \(16,\)",
        ),
        ([LSTM + LSTM, UPPER], {}, ValueError, r"layers\[1\]: expected as many directions .* 2, "),
        # The other way round, as PyTorch has them; and of what is no such cell
        ([LSTM[0].T, LSTM[1].T, LSTM[2]], {}, ValueError, r"layers\[1\]: .*got shape \(16, 4\)"),
        (arrays((5, 8), (4, 8), (8,)), {}, ValueError, r"layers\[1\]: .*LSTM \(units, 4\*units\)"),
        ([LSTM[0], LSTM[2]], {}, ValueError, r"layers\[1\]: expected a matrix, got shape \(16,\)"),
        ([LSTM[2], LSTM[1]], {}, ValueError, r"layers\[0\]: expected a matrix, got shape \(16,\)"),
        (
            [GRU[0], *LSTM[1:]],
            {},
            ValueError,
            r"layers\[0\]: expected shape \(inputs=5, 4\*units=16\), got \(5, 12\)",
        ),
        (
            [*LSTM[:2], GRU[2]],
            {},
            ValueError,
            r"layers\[2\]: expected shape \(4\*units=16,\), got \(2, 12\)",
        ),
        (
            GRU,
            {"reset_after": False},
            ValueError,
            r"layers\[2\]: expected shape \(3\*units=12,\), got \(2, 12\)",
        ),
        # CuDNNGRU of Keras 2
        ([*GRU[:2], np.ones(24)], {}, ValueError, r"layers\[2\]: .*\(3\*units=12,\), got \(24,\)"),
        (
            [LSTM, LSTM],
            {},
            ValueError,
            r"layers\[1\]\[0\]: expected shape \(inputs=4, 4\*units=16\), got \(5, 16\)",
        ),
        (
            [[*LSTM, *UPPER]],
            {},
            ValueError,
            r"layers\[0\]\[3\]: expected shape \(inputs=5, 4\*units=16\), got \(4, 16\)",
        ),
        (
            [LSTM, arrays((4, 12), (3, 12), (12,))],
            {},
            ValueError,
            r"layers\[1\]: expected LSTM with 4 units as before it, got LSTM with 3 \(make it a net",
        ),
        ([LSTM, GRU], {}, ValueError, r"layers\[1\]: expected LSTM with 4 .* got GRU with 4 "),
        (LSTM, {"output": UPPER}, ValueError, "output: expected a kernel and .* got 3 arrays"),
        (LSTM, {"output": []}, ValueError, "output: expected a kernel and .* got 0 arrays"),
        (LSTM, {"output": np.ones((4, 2))}, TypeError, "output: expected a list of arrays, got nd"),
        (LSTM, {"output": [np.ones(2)]}, ValueError, r"output\[0\]: expected a matrix"),
        (
            LSTM,
            {"output": arrays((5, 2), (2,))},
            ValueError,
            r"output\[0\]: expected shape \(inputs=4, outputs=2\), got \(5, 2\)",
        ),
        (LSTM, {"output": arrays((4, 2), (3,))}, ValueError, r"output\[1\]: .*=2,\), got \(3,\)"),
        (LSTM, {"nonlinearity": "relu"}, TypeError, "nonlinearity"),
        (LSTM, {"dtype": "float16"}, ValueError, "dtype: expected 'float32' or 'float64'"),
        ([*LSTM[:2], np.full(16, np.nan)], {}, ValueError, r"layers\[2\]: expected finite"),
        (
            [*LSTM[:2], np.full(16, 1e300)],
            {"dtype": "float32"},
            ValueError,
            r"layers\[2\]: expected numbers that float32 can hold",
        ),
        ([*LSTM[:2], np.array(["a"] * 16)], {}, TypeError, r"layers\[2\]: expected numbers"),
    ],
)
def test_what_does_not_fit_takes_one_sentence(layers, arguments, error, message):
    with pytest.raises(error, match=message) as raised:
        crnn.keras.from_weights(layers, **arguments)
    assert "\n" not in str(raised.value)


def test_to_weights_refuses_what_keras_cannot_hold():
    with pytest.raises(TypeError, match=r"net: expected a crnn\.RNN, GRU or LSTM, got list"):
        crnn.keras.to_weights([])
    with pytest.raises(ValueError, match="net: expected one without a trainable h0"):
        crnn.keras.to_weights(crnn.LSTM(2, 3, trainable_h0=True))


def stand_in(kind, weights=(), **config):
    """What `from_model` asks of a layer of Keras, whose class has that name."""
    if kind in ("SimpleRNN", "GRU", "LSTM"):
        config = {"activation": "tanh", "return_sequences": True} | config
    members = {"name": f"my_{kind.lower()}", "get_config": lambda self: config}
    return type(kind, (), members | {"get_weights": lambda self: list(weights)})()


def lstm(weights=LSTM, **config):
    return stand_in("LSTM", weights, **config)


def both(forward, backward, **config):
    layer = stand_in("Bidirectional", **config)
    layer.forward_layer, layer.backward_layer = forward, backward
    return layer


def wrapped(layer):
    outer = stand_in("TimeDistributed", layer.get_weights())
    outer.layer = layer
    return outer


def sequential(*layers):
    return type("Sequential", (), {"layers": list(layers)})()


DENSE = arrays((4, 2), (2,))


def dense(**config):
    return stand_in("Dense", DENSE, **config)


def test_from_model_takes_weights_and_settings_of_layers():
    by_hand = crnn.keras.from_weights([LSTM, UPPER], DENSE)
    upper = lstm(UPPER, return_sequences=False, activation="tanh", stateful=True, dropout=0.5)
    model = sequential(stand_in("InputLayer"), lstm(), stand_in("Dropout"), upper, dense())
    net = crnn.keras.from_model(model)
    np.testing.assert_array_equal(net.flat_params, by_hand.flat_params)
    assert not net.return_sequences
    assert repr(crnn.keras.from_model(model, return_sequences=True)) == repr(by_hand)
    assert repr(crnn.keras.from_model([lstm(), lstm(UPPER), wrapped(dense())])) == repr(by_hand)
    assert crnn.keras.from_model(model, dtype="float32", dropout=0.25).dropout == 0.25
    alone = crnn.keras.from_model(upper)
    assert (alone.num_layers, alone.return_sequences) == (1, False)

    layer = both(lstm(go_backwards=False), lstm(go_backwards=True), merge_mode="concat")
    net = crnn.keras.from_model(sequential(sequential(layer)))
    twin = crnn.keras.from_weights(LSTM + LSTM)
    np.testing.assert_array_equal(net.flat_params, twin.flat_params)


def test_from_model_takes_what_the_weights_do_not_show():
    gru = stand_in("GRU", GRU[:2], activation="tanh", reset_after=False)
    assert not crnn.keras.from_model(gru).reset_after
    relu = stand_in("SimpleRNN", arrays((5, 4), (4, 4)), activation="relu")
    assert crnn.keras.from_model(relu).nonlinearity == "relu"


def two_rnns(first, second):
    weights = arrays((4, 4), (4, 4), (4,))
    return [stand_in("SimpleRNN", weights, activation=name) for name in (first, second)]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lstm(activation="relu"), ValueError, "LSTM 'my_lstm': expected activation='tanh', got 'r"),
        (
            lstm(recurrent_activation="hard_sigmoid"),
            ValueError,
            "recurrent_activation='sigmoid', g",
        ),
        (lstm(go_backwards=True), ValueError, "'my_lstm': expected go_backwards=False, got True"),
        (lstm(time_major=True), ValueError, "expected time_major=False, got True"),
        (
            stand_in("SimpleRNN", activation="linear"),
            ValueError,
            "SimpleRNN 'my_simplernn': expected activation='tanh' or 'relu', got 'linear'",
        ),
        (two_rnns("tanh", "relu"), ValueError, "expected activation='tanh', got 'relu'"),
        (
            both(lstm(), lstm(go_backwards=True), merge_mode="sum"),
            ValueError,
            "Bidirectional 'my_bidirectional': expected merge_mode='concat', got 'sum'",
        ),
        (both(lstm(), lstm(go_backwards=False)), ValueError, "go_backwards=True, got False"),
        (both(lstm(), stand_in("RNN")), TypeError, "SimpleRNN, GRU, LSTM, got RNN"),
        ([lstm(), dense(activation="softmax")], ValueError, "activation='linear', got 'softmax'"),
        ([lstm(), wrapped(dense(activation="tanh"))], ValueError, "'linear', got 'tanh'"),
        ([lstm(), wrapped(lstm())], TypeError, "among Dense, got LSTM"),
        ([lstm(), dense(), lstm(UPPER)], ValueError, "my_lstm': expected no layer after Dense"),
        ([dense(), lstm()], ValueError, "'my_dense': expected a recurrent layer before it"),
        (
            [lstm(return_sequences=False), lstm(UPPER)],
            ValueError,
            "return_sequences=True in the la",
        ),
        ([lstm(()), dense()], ValueError, "LSTM 'my_lstm': expected weights, .* not built yet"),
        ([lstm(), stand_in("Dense")], ValueError, "Dense 'my_dense': expected weights"),
        ([lstm(), stand_in("Masking")], TypeError, "expected a Keras .* got Masking of"),
        (stand_in("Functional"), TypeError, "expected a Keras Sequential model .* got Functional"),
        (sequential(), ValueError, "model: expected a recurrent layer, got none"),
        ([], ValueError, "model: expected a recurrent layer, got none"),
        (None, TypeError, "expected a Keras Sequential model .* got NoneType of builtins"),
        (crnn.LSTM(2, 3), TypeError, "expected a Keras Sequential model .* got LSTM of crnn"),
        ([lstm(), lstm(GRU)], ValueError, r"layers\[1\]: expected LSTM with 4 units .* got GRU"),
    ],
)
def test_from_model_refuses_by_name_what_it_cannot_express(model, error, message):
    with pytest.raises(error, match=message) as raised:
        crnn.keras.from_model(model)
    assert "\n" not in str(raised.value)


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
        {},
        {"outputs": 2},
        {"layers": 2, "bidirectional": True, "outputs": 3},
        {"layers": 3},
        {"bidirectional": True},
    ],
    ids=str,
)
@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=str)
def test_keras_models_run_in_crnn(
    keras, implementation, assert_close, dtype_of_keras, kind, settings, shape
):
    dtype = dtype_of_keras
    model = build(keras, kind, settings, dtype=dtype, **shape)
    x = np.random.default_rng(2).standard_normal((3, 6, 5)).astype(dtype)
    net = crnn.keras.from_model(model, implementation=implementation)
    assert not net.return_sequences
    assert_close(net.predict(x), np.asarray(model(x)), dtype=dtype)

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
    assert_close(net.predict(x), np.asarray(twin(x)), dtype=dtype)


@pytest.mark.parametrize("name", FORMS)
def test_keras_still_returns_the_stored_numbers(keras, assert_close, dtype_of_keras, name):
    form, dtype = stored(FORMS[name]), dtype_of_keras
    settings = {"return_sequences": True, "return_state": True, "dtype": dtype, **form.settings}
    y, h_n = form.x.astype(dtype), []
    for weights, h0 in zip(form.layers, form.h0, strict=True):
        layer = getattr(keras.layers, form.kind)(4, **settings)
        if form.bidirectional:
            layer = keras.layers.Bidirectional(layer, dtype=dtype)
        layer.build(y.shape)
        layer.set_weights(weights)
        y, *states = map(np.asarray, layer(y, initial_state=[h.astype(dtype) for h in h0]))
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
    assert_close(y, np.asarray(model(x)), dtype="float32")
    functional = keras.Model(model.inputs, model.outputs)
    with pytest.raises(TypeError, match=r"expected a Keras .* got Functional of keras"):
        crnn.keras.from_model(functional)
    y = crnn.keras.from_model(functional.layers).predict(x)
    assert_close(y, np.asarray(model(x)), dtype="float32")


def test_layers_of_different_sizes_run_one_after_the_other(keras, assert_close):
    k = keras.layers
    layers = [k.Bidirectional(k.LSTM(4, return_sequences=True)), k.GRU(3), k.Dense(2)]
    model = keras.Sequential([keras.Input((6, 5)), *layers])
    for layer in layers:
        fill(layer, np.random.default_rng(1))
    x = np.random.default_rng(2).standard_normal((3, 6, 5)).astype(np.float32)
    first, rest = crnn.keras.from_model(layers[:1]), crnn.keras.from_model(layers[1:])
    assert_close(rest.predict(first.predict(x)), np.asarray(model(x)), dtype="float32")
    with pytest.raises(ValueError, match="expected as many directions"):
        crnn.keras.from_model(model)
