"""Make data/keras.json, for the tests of crnn.keras: what layers return with given weights.

From the repository's root, with Keras 3 and TensorFlow, its only backend that computes in float64:

    KERAS_BACKEND=tensorflow python tests/integrations/make_keras_numbers.py
"""

import json
from pathlib import Path

import keras
import numpy as np

# All different, so that nothing swapped fits
B, T, I, H, O = 3, 6, 5, 4, 2

# By name: the layer, its settings, how many there are, whether they are bidirectional, and whether
# a Dense layer is above them
FORMS = {
    "SimpleRNN tanh": ("SimpleRNN", {"activation": "tanh"}, 1, False, False),
    "SimpleRNN relu": ("SimpleRNN", {"activation": "relu"}, 1, False, False),
    "GRU reset_after": ("GRU", {"reset_after": True}, 1, False, False),
    "GRU reset_before": ("GRU", {"reset_after": False}, 1, False, False),
    "LSTM": ("LSTM", {}, 1, False, False),
    "LSTM bidirectional stack with Dense": ("LSTM", {}, 2, True, True),
}


def numbers(rng, shape):
    """Draw numbers of two decimals, which are short in the file; none of them is zero."""
    return (rng.choice([-0.01, 0.01], shape) * rng.integers(1, 90, shape)).round(2)


def fill(rng, layer, shape):
    layer.build(shape)
    layer.set_weights([numbers(rng, array.shape) for array in layer.get_weights()])


def run(rng, kind, settings, depth, bidirectional, with_dense):
    """Call layer after layer, from states that are not zero."""

    def make(**returned):
        layer = getattr(keras.layers, kind)(H, dtype="float64", **returned, **settings)
        return keras.layers.Bidirectional(layer, dtype="float64") if bidirectional else layer

    states = (2 if bidirectional else 1) * (2 if kind == "LSTM" else 1)
    x = y = numbers(rng, (B, T, I))
    layers, h0, h_n, output = [], [], [], None
    for _ in range(depth):
        layer, of_last = make(return_sequences=True, return_state=True), make()
        fill(rng, layer, y.shape)
        of_last.build(y.shape)
        of_last.set_weights(layer.get_weights())
        layers.append(layer.get_weights())
        h0.append([numbers(rng, (B, H)) for _ in range(states)])
        y_last = np.asarray(of_last(y, initial_state=h0[-1]))
        y, *last_states = map(np.asarray, layer(y, initial_state=h0[-1]))
        h_n.append(last_states)
    if with_dense:
        dense = keras.layers.Dense(O, dtype="float64")
        fill(rng, dense, y.shape)
        y, y_last = np.asarray(dense(y)), np.asarray(dense(y_last))
        output = dense.get_weights()
    return {
        "kind": kind, "settings": settings, "bidirectional": bidirectional,
        "layers": layers, "output": output,
        "x": x, "h0": h0, "y": y, "y_last": y_last, "h_n": h_n,
    }  # fmt: skip


def main():
    rng = np.random.default_rng(0)
    made = {name: run(rng, *form) for name, form in FORMS.items()}
    # A line for each entry
    lines = [
        f'  "{name}": {{\n'
        + ",\n".join(
            f'    "{key}": {json.dumps(value, default=np.ndarray.tolist)}'
            for key, value in form.items()
        )
        + "\n  }"
        for name, form in made.items()
    ]
    path = Path(__file__).parent / "data" / "keras.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path}: Keras {keras.__version__}, {keras.backend.backend()}")


if __name__ == "__main__":
    main()
