"""Weights of Keras layers, what Keras returned with them, and stand-ins for its layers.

integrations/data/keras.json has what Keras 3.15.1 returned, in float64; make_keras_numbers.py made
it.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

FORMS = json.loads((Path(__file__).parents[1] / "integrations" / "data" / "keras.json").read_text())

# How deep the lists are that hold arrays
DEPTHS = {"layers": 2, "h0": 2, "h_n": 2, "output": 1, "x": 0, "y": 0, "y_last": 0}


def stored(name):
    """A form of the file, with arrays in the places of nested lists."""

    def arrays(value, depth):
        if depth:
            return [arrays(part, depth - 1) for part in value]
        return np.array(value)

    form = FORMS[name]
    held = {k: v if v is None else arrays(v, DEPTHS[k]) for k, v in form.items() if k in DEPTHS}
    return SimpleNamespace(**(form | held))


def settings_of(form):
    """What the weights do not show, as arguments of `from_weights`."""
    activation = form.settings.get("activation")
    return {"nonlinearity": activation} if activation else {}


def state_of(form, states):
    """The states of Keras layers, a list of arrays each, as a network of crnn takes them."""
    flat = [array for layer in states for array in layer]
    parts = 2 if form.kind == "LSTM" else 1
    # For an LSTM Keras has h and c of one direction, then h and c of the other.
    stacked = [np.stack(flat[part::parts]) for part in range(parts)]
    if len(flat) == parts:
        stacked = [array[0] for array in stacked]
    return tuple(stacked) if parts == 2 else stacked[0]


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


LSTM = arrays((5, 16), (4, 16), (16,))
GRU = arrays((5, 12), (4, 12), (2, 12))
UPPER = arrays((4, 16), (4, 16), (16,))
DENSE = arrays((4, 2), (2,))


def stand_in(kind, weights=(), **config):
    """What `from_model` asks of a layer of Keras: a class of that name."""
    if kind in ("SimpleRNN", "GRU", "LSTM"):
        config = {"activation": "tanh", "return_sequences": True} | config
    members = {"name": f"my_{kind.lower()}", "get_config": lambda self: config}
    return type(kind, (), members | {"get_weights": lambda self: list(weights)})()


def lstm(weights=LSTM, **config):
    return stand_in("LSTM", weights, **config)


def dense(**config):
    return stand_in("Dense", DENSE, **config)


def bidirectional(forward, backward, **config):
    layer = stand_in("Bidirectional", **config)
    layer.forward_layer, layer.backward_layer = forward, backward
    return layer


def time_distributed(layer):
    outer = stand_in("TimeDistributed", layer.get_weights())
    outer.layer = layer
    return outer


def sequential(*layers):
    return type("Sequential", (), {"layers": list(layers)})()
