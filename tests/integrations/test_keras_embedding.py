"""Embedding layers of Keras: networks that read category numbers."""

import json

import numpy as np
import pytest
from keras_layers import DENSE, LSTM, arrays, bidirectional, dense, lstm, stand_in
from memory import peak_of
from refusals import refusal
from refused_calls import check_refusal, refusal_tests

import crnn
import crnn.keras

# Categories; LSTM reads five features.
N = 7
TABLE = arrays((N, 5))[0]
WORDS = np.random.default_rng(1).integers(N, size=(3, 6))
EMBEDDING = stand_in("Embedding", [TABLE], mask_zero=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reader", ["one", "both", "two"])
def test_networks_read_the_rows_of_the_table(implementation, assert_close, dtype, reader):
    readers = {
        "one": [lstm()],
        "both": [
            bidirectional(
                lstm(), lstm(arrays((9, 9), (5, 16), (4, 16), (16,))[1:], go_backwards=True)
            )
        ],
        "two": [lstm(), lstm(arrays((4, 16), (4, 16), (16,)))],
    }[reader]
    settings = {"dtype": dtype, "implementation": implementation}
    net = crnn.keras.from_model([EMBEDDING, *readers], **settings)
    twin = crnn.keras.from_model(readers, **settings)
    assert (net.categorical, net.input_size, net.num_layers) == (True, N, twin.num_layers)
    assert_close(net.predict(WORDS), twin.predict(TABLE[WORDS]), dtype=dtype)
    assert crnn.keras.from_model([EMBEDDING, lstm(), dense()]).output_size == 2


def test_chains():
    chain = crnn.keras.from_model([EMBEDDING, lstm(), dense(activation="softmax")], dtype="float64")
    twin = crnn.keras.from_model([lstm(), dense(activation="softmax")], dtype="float64")
    assert chain.categorical
    np.testing.assert_allclose(chain.predict(WORDS), twin.predict(TABLE[WORDS]), atol=1e-14)


def test_weights_are_rounded_once():
    single = [array.astype("float32") for array in LSTM]
    table = stand_in("Embedding", [TABLE.astype("float32")])
    net = crnn.keras.from_model([table, lstm(single)])
    exact = single[0].astype("float64").T @ TABLE.astype("float32").astype("float64").T
    np.testing.assert_array_equal(net.W_xh, exact.astype("float32"))
    assert net.dtype == "float32"


def model(name, layers, sentence, **settings):
    return refusal(name, lambda: crnn.keras.from_model(layers, **settings), ValueError, sentence)


REFUSED = [
    model(
        "masks", [stand_in("Embedding", [TABLE], mask_zero=True), lstm()],
        "Embedding 'my_embedding': expected mask_zero=False, got True; give predict the lengths of "
        "sequences instead",
    ),
    model(
        "Dense between", [EMBEDDING, dense(), lstm()],
        "Embedding 'my_embedding': expected a recurrent layer behind it, got Dense 'my_dense'",
    ),
    model(
        "above a layer", [lstm(), EMBEDDING, lstm()],
        "Embedding 'my_embedding': expected it as the first layer",
    ),
    model("alone", [EMBEDDING], "model: expected a recurrent layer, got none"),
    model(
        "last", [lstm(), dense(), EMBEDDING],
        "Embedding 'my_embedding': expected it as the first layer",
    ),
    model(
        "not built", [stand_in("Embedding"), lstm()],
        "Embedding 'my_embedding': expected weights, got a layer that is not built yet",
    ),
    model(
        "two arrays", [stand_in("Embedding", DENSE), lstm()],
        "Embedding 'my_embedding': weights: expected a table, got 2 arrays",
    ),
    model(
        "features", [stand_in("Embedding", arrays((N, 3))), lstm()],
        "LSTM 'my_lstm': weights[0]: expected shape (inputs=3, columns=16), got (5, 16)",
    ),
    model(
        "NaN", [stand_in("Embedding", [TABLE * np.nan]), lstm()],
        "Embedding 'my_embedding': table: expected finite numbers, got nan at index (0, 0)",
    ),
    model(
        "features in place of categories", [EMBEDDING, lstm()],
        "categorical: expected True with Embedding 'my_embedding', got False", categorical=False,
    ),
]  # fmt: skip


@refusal_tests(REFUSED)
def test_refusal(row):
    check_refusal(row)


def test_files(tmp_path):
    """And a bound: a table and a kernel of some MB have a product of some GB."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "model.h5"

    def write(table, weights):
        kinds = {"Embedding": [table], "LSTM": weights}
        layers = [
            {"class_name": kind, "config": {"name": kind, "return_sequences": True}}
            for kind in kinds
        ]
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers})
            for kind, held in kinds.items():
                group = file.create_group(f"model_weights/{kind}")
                group.attrs["weight_names"] = [f"{n}" for n in range(len(held))]
                for number, array in enumerate(held):
                    group[f"{number}"] = array

    write(TABLE, LSTM)
    expected = crnn.keras.from_model([EMBEDDING, lstm()])
    np.testing.assert_array_equal(crnn.keras.load(path).flat_params, expected.flat_params)
    H = 300
    weights = [np.zeros(shape, np.float32) for shape in ((1, 4 * H), (H, 4 * H), (4 * H,))]
    write(np.zeros((500_000, 1), np.float32), weights)

    def load():
        with pytest.raises(crnn.ModelFileError, match="Embedding 'Embedding': expected weights"):
            crnn.keras.load(path)

    assert peak_of(load) < 50 << 20
