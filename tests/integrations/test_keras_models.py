"""Networks from Keras models, with stand-ins for Keras: what is taken from which layer."""

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

import crnn.keras


def test_from_model_takes_weights_and_settings_of_layers():
    by_hand = crnn.keras.from_weights([LSTM, UPPER], DENSE)
    upper = lstm(UPPER, return_sequences=False, activation="tanh", stateful=True, dropout=0.5)
    model = sequential(stand_in("InputLayer"), lstm(), stand_in("Dropout"), upper, dense())
    net = crnn.keras.from_model(model)
    np.testing.assert_array_equal(net.flat_params, by_hand.flat_params)
    assert not net.return_sequences
    assert repr(crnn.keras.from_model(model, return_sequences=True)) == repr(by_hand)
    assert repr(crnn.keras.from_model([lstm(), lstm(UPPER), time_distributed(dense())])) == repr(
        by_hand
    )
    assert crnn.keras.from_model(model, dtype="float32", dropout=0.25).dropout == 0.25
    alone = crnn.keras.from_model(upper)
    assert (alone.num_layers, alone.return_sequences) == (1, False)

    layer = bidirectional(lstm(go_backwards=False), lstm(go_backwards=True), merge_mode="concat")
    net = crnn.keras.from_model(sequential(sequential(layer)))
    twin = crnn.keras.from_weights(LSTM + LSTM)
    np.testing.assert_array_equal(net.flat_params, twin.flat_params)


def test_from_model_takes_what_the_weights_do_not_show():
    gru = stand_in("GRU", GRU[:2], activation="tanh", reset_after=False)
    assert not crnn.keras.from_model(gru).reset_after
    relu = stand_in("SimpleRNN", arrays((5, 4), (4, 4)), activation="relu")
    assert crnn.keras.from_model(relu).nonlinearity == "relu"
