"""What crnn.keras refuses."""

import numpy as np
from keras_layers import (
    DENSE,
    GRU,
    LSTM,
    UPPER,
    arrays,
    bidirectional,
    dense,
    lstm,
    sequential,
    stand_in,
    time_distributed,
)
from refusals import refusal
from refused_calls import check_refusal, refusal_tests

import crnn
import crnn.keras


def weights(name, layers, sentence, kind=ValueError, **arguments):
    return refusal(name, lambda: crnn.keras.from_weights(layers, **arguments), kind, sentence)


def model(name, layers, sentence, kind=ValueError):
    return refusal(name, lambda: crnn.keras.from_model(layers), kind, sentence)


def simple_rnns(*activations):
    three = arrays((4, 4), (4, 4), (4,))
    return [stand_in("SimpleRNN", three, activation=name) for name in activations]


NUMBERS = "expected 2 or 3 arrays of a layer, or 4 or 6 of a Bidirectional one, got "
TWO_LAYERS = "layers: expected a list of lists, because...may be two layers, got "
LISTS = [
    weights("nothing", None, "layers: expected a list of arrays, got NoneType", TypeError),
    weights("an array", LSTM[0], "layers: expected a list of arrays, got ndarray", TypeError),
    weights("no arrays", [], f"layers: {NUMBERS}0..."),
    weights("one array", LSTM[:1], f"layers: {NUMBERS}1..."),
    # What model.get_weights() returns
    weights("a layer and Dense", LSTM + DENSE, f"layers: {NUMBERS}5..."),
    weights("two layers", LSTM + UPPER, f"{TWO_LAYERS}6 arrays"),
    weights("two layers without biases", LSTM[:2] + UPPER[:2], f"{TWO_LAYERS}4 arrays"),
    weights("two layers of one size", UPPER + UPPER, f"{TWO_LAYERS}6 arrays"),
    weights(
        "an array among lists", [LSTM, UPPER[0]],
        "layers[1]: expected a list of arrays, got ndarray", TypeError,
    ),
    weights("one array in a list", [LSTM, UPPER[:1]], f"layers[1]: {NUMBERS}1..."),
    weights(
        "a list in place of an array", [*LSTM[:2], [0.0] * 16],
        "layers[2]: expected a NumPy array, as get_weights() returns, got list", TypeError,
    ),
    weights(
        "other directions above", [LSTM + LSTM, UPPER],
        "layers[1]: expected as many directions as in the first layer, 2, got 1",
    ),
]  # fmt: skip
CELL = "layers[1]: expected the recurrent kernel of a SimpleRNN...got shape "
SHAPES = [
    weights(
        "a bias in place of a kernel", LSTM + LSTM[:1],
        "layers[2]: expected shape (inputs=5, 4*units=16), got (16,)",
    ),
    # As PyTorch has them
    weights("transposed", [LSTM[0].T, LSTM[1].T, LSTM[2]], f"{CELL}(16, 4)"),
    weights("two gates", arrays((5, 8), (4, 8), (8,)), f"{CELL}(4, 8)"),
    weights(
        "no recurrent kernel", [LSTM[0], LSTM[2]], "layers[1]: expected a matrix, got shape (16,)",
    ),
    weights("no kernel", [LSTM[2], LSTM[1]], "layers[0]: expected a matrix, got shape (16,)"),
    weights(
        "kernel of a GRU", [GRU[0], *LSTM[1:]],
        "layers[0]: expected shape (inputs=5, 4*units=16), got (5, 12)",
    ),
    weights(
        "bias of a GRU", [*LSTM[:2], GRU[2]],
        "layers[2]: expected shape (4*units=16,), got (2, 12)",
    ),
    weights(
        "another form of GRU", GRU, "layers[2]: expected shape (3*units=12,), got (2, 12)",
        reset_after=False,
    ),
    weights(
        "CuDNNGRU of Keras 2", [*GRU[:2], np.ones(24)],
        "layers[2]: expected shape (3*units=12,), got (24,)",
    ),
    weights(
        "inputs of the second layer", [LSTM, LSTM],
        "layers[1][0]: expected shape (inputs=4, 4*units=16), got (5, 16)",
    ),
    weights(
        "inputs of the second direction", [[*LSTM, *UPPER]],
        "layers[0][3]: expected shape (inputs=5, 4*units=16), got (4, 16)",
    ),
    weights(
        "other units above", [LSTM, arrays((4, 12), (3, 12), (12,))],
        "layers[1]: expected LSTM with 4 units as before it, got LSTM with 3 (make it a network...",
    ),
    weights(
        "another cell above", [LSTM, GRU],
        "layers[1]: expected LSTM with 4 units as before it, got GRU with 4 (make it a network...",
    ),
]  # fmt: skip
OUTPUTS = [
    weights(
        "three arrays of outputs", LSTM,
        "output: expected a kernel and perhaps a bias, got 3 arrays", output=UPPER,
    ),
    weights(
        "no arrays of outputs", LSTM, "output: expected a kernel and perhaps a bias, got 0 arrays",
        output=[],
    ),
    weights(
        "an array of outputs", LSTM, "output: expected a list of arrays, got ndarray", TypeError,
        output=np.ones((4, 2)),
    ),
    weights(
        "no kernel of outputs", LSTM, "output[0]: expected a matrix, got shape (2,)",
        output=[np.ones(2)],
    ),
    weights(
        "inputs of outputs", LSTM, "output[0]: expected shape (inputs=4, outputs=2), got (5, 2)",
        output=arrays((5, 2), (2,)),
    ),
    weights(
        "bias of outputs", LSTM, "output[1]: expected shape (outputs=2,), got (3,)",
        output=arrays((4, 2), (3,)),
    ),
]  # fmt: skip
VALUES = [
    weights(
        "a setting of another cell", LSTM, "...nonlinearity...", TypeError, nonlinearity="relu",
    ),
    weights(
        "dtype", LSTM, "dtype: expected 'float32' or 'float64', got 'float16'", dtype="float16",
    ),
    weights(
        "NaN", [*LSTM[:2], np.full(16, np.nan)],
        "layers[2]: expected finite numbers, got nan at index (0,)",
    ),
    weights(
        "too large", [*LSTM[:2], np.full(16, 1e300)],
        "layers[2]: expected numbers that float32 can hold, got 1e+300 at index (0,)",
        dtype="float32",
    ),
    weights(
        "integers that round", [*LSTM[:2], np.full(16, 2**24 + 1)],
        "layers[2]: expected numbers that float32 can hold, got 16777217 at index (0,)",
        dtype="float32",
    ),
    weights(
        "texts", [*LSTM[:2], np.array(["a"] * 16)],
        "layers[2]: expected numbers of at most 64 bits, got <U1", TypeError,
    ),
]  # fmt: skip
NO_KERAS = "model: expected a Keras Sequential model or layers among "
MODELS = [
    model(
        "activation", lstm(activation="relu"),
        "LSTM 'my_lstm': expected activation='tanh', got 'relu'",
    ),
    model(
        "recurrent activation", lstm(recurrent_activation="hard_sigmoid"),
        "LSTM 'my_lstm': expected recurrent_activation='sigmoid', got 'hard_sigmoid'",
    ),
    model(
        "backwards", lstm(go_backwards=True),
        "LSTM 'my_lstm': expected go_backwards=False, got True",
    ),
    model(
        "time first", lstm(time_major=True), "LSTM 'my_lstm': expected time_major=False, got True",
    ),
    model(
        "linear SimpleRNN", stand_in("SimpleRNN", activation="linear"),
        "SimpleRNN 'my_simplernn': expected activation='tanh' or 'relu', got 'linear'",
    ),
    model(
        "merge mode", bidirectional(lstm(), lstm(go_backwards=True), merge_mode="sum"),
        "Bidirectional 'my_bidirectional': expected merge_mode='concat', got 'sum'",
    ),
    model(
        "two forward directions", bidirectional(lstm(), lstm(go_backwards=False)),
        "LSTM 'my_lstm': expected go_backwards=True, got False",
    ),
    model(
        "another layer in Bidirectional", bidirectional(lstm(), stand_in("RNN")),
        f"{NO_KERAS}SimpleRNN, GRU, LSTM, CuDNNGRU, CuDNNLSTM, got RNN of keras_layers", TypeError,
    ),
    model(
        "directions of two kinds",
        bidirectional(lstm(), stand_in("GRU", go_backwards=True, reset_after=True)),
        "Bidirectional 'my_bidirectional': expected layers of one kind, got LSTM and GRU",
    ),
    model(
        "gelu", [lstm(), dense(activation="gelu")],
        "Dense 'my_dense': expected activation='linear' or 'relu' or 'tanh' or 'sigmoid' or "
        "'softmax', got 'gelu'",
    ),
    model(
        "elu of each step", [lstm(), time_distributed(dense(activation="elu"))],
        "Dense 'my_dense': expected activation='linear' or 'relu' or 'tanh' or 'sigmoid' or "
        "'softmax', got 'elu'",
    ),
    model(
        "recurrent layer of each step", [lstm(), time_distributed(lstm())],
        f"{NO_KERAS}Dense, got LSTM of keras_layers", TypeError,
    ),
    model(
        "a layer after Dense", [lstm(), dense(), lstm(UPPER)],
        "parts[1]: expected input_size=2, the outputs of the part before, got 4",
    ),
    model(
        "an activation after LSTM", [lstm(), stand_in("Activation", activation="relu")],
        "Activation 'my_activation': expected a linear Dense layer before it",
    ),
    model(
        "CuDNN", stand_in("CuDNNLSTM", LSTM, return_sequences=True),
        "CuDNNLSTM 'my_cudnnlstm': expected a kernel (inputs, 4*units), a recurrent kernel (units, "
        "4*units) and a bias (8*units,), got [(5, 16), (4, 16), (16,)]",
    ),
    model(
        "last output only, below a layer", [lstm(return_sequences=False), lstm(UPPER)],
        "LSTM 'my_lstm': expected return_sequences=True in the layer before it",
    ),
    model(
        "not built", [lstm(()), dense()],
        "LSTM 'my_lstm': expected weights, got a layer that is not built yet",
    ),
    model(
        "Dense that is not built", [lstm(), stand_in("Dense")],
        "Dense 'my_dense': expected weights, got a layer that is not built yet",
    ),
    model(
        "Masking", [lstm(), stand_in("Masking")], f"{NO_KERAS}...got Masking of keras_layers",
        TypeError,
    ),
    model(
        "functional model", stand_in("Functional"), f"{NO_KERAS}...got Functional of keras_layers",
        TypeError,
    ),
    model("empty model", sequential(), "model: expected a recurrent layer, got none"),
    model("empty list", [], "model: expected a recurrent layer, got none"),
    model("no model", None, f"{NO_KERAS}...got NoneType of builtins", TypeError),
    model("a network", crnn.LSTM(2, 3), f"{NO_KERAS}...got LSTM of crnn", TypeError),
    model(
        "two cells", [lstm(), lstm(GRU)],
        "parts[1]: expected input_size=4, the outputs of the part before, got 5",
    ),
]  # fmt: skip
NETWORKS = [
    refusal(
        "no network", lambda: crnn.keras.to_weights([]), TypeError,
        "net: expected a crnn.RNN, GRU or LSTM, got list",
    ),
    refusal(
        "trainable h0", lambda: crnn.keras.to_weights(crnn.LSTM(2, 3, trainable_h0=True)),
        ValueError, "net: expected one without a trainable h0...got trainable_h0=True",
    ),
    refusal(
        "leak", lambda: crnn.keras.to_weights(crnn.RNN(2, 3, leak=0.5)),
        ValueError, "net: expected a network without a leak for Keras, got one with a leak",
    ),
]  # fmt: skip


@refusal_tests([*LISTS, *SHAPES, *OUTPUTS, *VALUES, *MODELS, *NETWORKS])
def test_refusal(row):
    check_refusal(row)
