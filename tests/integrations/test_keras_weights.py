"""Networks with the weights of Keras layers return what those return, and give the weights back."""

import numpy as np
import pytest
from keras_layers import FORMS, settings_of, state_of, stored
from network_problems import CELLS, packed

import crnn
import crnn.keras


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMS)
def test_outputs_and_last_states_are_those_of_keras(implementation, assert_close, name, dtype):
    form = stored(name)
    arguments = {"dtype": dtype, "implementation": implementation, **settings_of(form)}
    net = crnn.keras.from_weights(form.layers, form.output, **arguments)
    start = state_of(form, form.h0)
    y, last = net.predict(form.x, h0=start, return_state=True)
    assert_close(y, form.y, dtype=dtype, label="y")
    assert_close(packed(last), packed(state_of(form, form.h_n)), dtype=dtype, label="state")
    net = crnn.keras.from_weights(form.layers, form.output, return_sequences=False, **arguments)
    assert_close(net.predict(form.x, h0=start), form.y_last, dtype=dtype, label="y_last")


@pytest.mark.parametrize("name", FORMS)
def test_the_network_is_seen_in_the_shapes(name):
    form = stored(name)
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
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("output_size", [None, 2])
def test_weights_come_back_with_the_same_bits(
    build_network, cell, bidirectional, output_size, dtype
):
    sizes = {"num_layers": 3, "bidirectional": bidirectional, "output_size": output_size}
    net = build_network(dtype=dtype, **sizes, **cell)
    layers, output = crnn.keras.to_weights(net)
    assert (output is None) == (output_size is None)
    rest = {k: v for k, v in cell.items() if k == "nonlinearity"}
    twin = crnn.keras.from_weights(layers, output, implementation=net.implementation, **rest)
    assert repr(twin) == repr(net)
    np.testing.assert_array_equal(twin.flat_params, net.flat_params)
    for array in [array for arrays in layers for array in arrays] + (output or []):
        assert array.flags.c_contiguous
        assert not np.shares_memory(array, net.flat_params)


def test_weights_without_biases(implementation):
    """As biases of zero are, whichever the cell; also of an LSTM, whose first ones are not."""
    for name, kept in [("LSTM bidirectional stack with Dense", 2), ("GRU reset_after", 2)]:
        form = stored(name)
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
    arrays = stored("GRU reset_before").layers[0][:2]
    assert crnn.keras.from_weights(arrays).reset_after
    assert not crnn.keras.from_weights(arrays, reset_after=False).reset_after


def test_one_layer_may_come_by_itself_or_in_a_list():
    for name in ("GRU reset_after", "LSTM"):
        (layer,) = stored(name).layers
        net, twin = crnn.keras.from_weights(layer), crnn.keras.from_weights([layer])
        np.testing.assert_array_equal(net.flat_params, twin.flat_params)
    layer = stored("LSTM bidirectional stack with Dense").layers[0]
    net, twin = crnn.keras.from_weights(layer), crnn.keras.from_weights([tuple(layer)])
    assert net.bidirectional
    np.testing.assert_array_equal(net.flat_params, twin.flat_params)


def test_the_dtype_is_that_of_the_arrays():
    layer = [array.astype(np.float32) for array in stored("LSTM").layers[0]]
    kernel = np.ones((4, 2))
    assert crnn.keras.from_weights(layer).dtype == np.float32
    assert crnn.keras.from_weights(layer, [kernel]).dtype == np.float64
    assert crnn.keras.from_weights(layer, [kernel.astype(np.float32)]).dtype == np.float32
    assert crnn.keras.from_weights(layer, [kernel], dtype="float32").dtype == np.float32
    half = [array.astype(np.float16) for array in layer]
    assert crnn.keras.from_weights(half).dtype == np.float32


def test_settings_reach_the_network():
    layers = stored("LSTM bidirectional stack with Dense").layers
    net = crnn.keras.from_weights(layers, dropout=0.25, trainable_h0=True, seed=1)
    assert (net.dropout, net.trainable_h0) == (0.25, True)
    assert not net.h0.any()


def test_a_categorical_network_reads_the_numbers_of_one_hot_vectors(assert_close):
    layers = stored("GRU reset_after").layers
    net = crnn.keras.from_weights(layers)
    words = np.random.default_rng(0).integers(5, size=(3, 6))
    expected = net.predict(np.eye(5)[words])
    reader = crnn.keras.from_weights(layers, categorical=True)
    assert_close(reader.predict(words), expected, dtype="float64")
    again = crnn.keras.from_weights(*crnn.keras.to_weights(reader))
    assert_close(again.predict(np.eye(5)[words]), expected, dtype="float64")


def test_an_embedding_is_part_of_the_kernel(assert_close):
    """What the documentation says of it."""
    kernel, *rest = stored("GRU reset_after").layers[0]
    rng = np.random.default_rng(0)
    table, words = rng.standard_normal((9, 5)), rng.integers(9, size=(3, 6))
    net = crnn.keras.from_weights([kernel, *rest])
    reader = crnn.keras.from_weights([table @ kernel, *rest], categorical=True)
    assert_close(reader.predict(words), net.predict(table[words]), dtype="float64")
