"""Parameters of Flax's cells: outputs that Flax returned, parameters there and back, refusals.

data/flax.json has what Flax 0.12.8 on JAX 0.10.2 returned, in float64; make_flax_numbers.py made
it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from network_problems import network

import crnn
import crnn.flax

FORMS = json.loads((Path(__file__).parent / "data" / "flax.json").read_text())


@pytest.mark.parametrize("name", FORMS)
def test_outputs_of_flax(name, implementation):
    form, cell = FORMS[name], name.removesuffix(" both")
    params = form["params"]
    cells = [params[f"{cell}_0"], params[f"{cell}_1"]]
    layers = [tuple(cells)] if name.endswith("both") else cells
    net = crnn.flax.from_params(layers, params["Dense_0"], implementation=implementation)
    assert net.dtype == "float64"
    assert np.allclose(net.predict(form["x"]), form["y"], rtol=0, atol=1e-14)
    assert np.ptp(form["y"]) > 0.1


@pytest.mark.parametrize("family", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(
    "settings", [{}, {"output_size": None}, {"num_layers": 2, "bidirectional": True}], ids=str
)
def test_there_and_back(family, settings):
    net = network(family=family, dtype="float32", **settings)
    layers, output = crnn.flax.to_params(net)
    twin = crnn.flax.from_params(layers, output)
    assert repr(twin) == repr(net)
    assert np.array_equal(twin.flat_params, net.flat_params)


def test_modules_around_a_cell():
    [tree], _ = crnn.flax.to_params(network(family="GRU", output_size=None))
    for around in ({"cell": tree}, {"params": {"cell": tree}}):
        net = crnn.flax.from_params(around, return_sequences=False)
        assert (type(net), net.return_sequences) == (crnn.GRU, False)
    relu = crnn.flax.from_params(
        {"i": {"kernel": np.ones((2, 3))}, "h": {"kernel": np.ones((3, 3))}}, nonlinearity="relu"
    )
    assert relu.nonlinearity == "relu"
    assert not relu.b_h.any()


def test_flax_itself(assert_close):
    """With what `to_params` returns, where Flax is installed."""
    linen = pytest.importorskip("flax.linen")
    kinds = {"RNN": linen.SimpleCell, "GRU": linen.GRUCell, "LSTM": linen.OptimizedLSTMCell}
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    for family, kind in kinds.items():
        net = network(family=family, output_size=None, dtype="float32")
        [tree], _ = crnn.flax.to_params(net)
        y = linen.RNN(kind(net.hidden_size)).apply({"params": {"cell": tree}}, x)
        assert_close(net.predict(x), np.asarray(y), dtype="float32")


def gru(**changes):
    [tree], _ = crnn.flax.to_params(network(2, 3, None, family="GRU"))
    return {name: value for name, value in (tree | changes).items() if value is not None}


LSTM = crnn.flax.to_params(network(3, 3, None, family="LSTM"))[0][0]
REFUSED = {
    "a gate is missing": (gru(iz=None), r"layers\[0\]: expected the parameters of one of Simple.*"),
    "other names": (
        {"a": 1, "b": 2},
        r"layers\[0\]: expected .* OptimizedLSTMCell .* got 'a', 'b'",
    ),
    "nothing": ({}, r"layers\[0\]: expected the parameters of one of .* got nothing"),
    "two cells": ([gru(), LSTM], "layers: expected cells of one kind, got gru and lstm"),
    "no kernel": (gru(iz={"bias": [1]}), r"layers\[0\]\['iz'\]: expected a kernel and perhaps a"),
    "another shape": (
        gru(iz={"kernel": np.ones((2, 4))}),
        r"layers\[0\]\['iz'\]: expected a kernel of shape \(2, 3\), as of 'ir', got \(2, 4\)",
    ),
    "a vector": (
        gru(iz={"kernel": np.ones(3)}),
        r"layers\[0\]\['iz'\]\['kernel'\]: expected a matrix, got shape \(3,\)",
    ),
    "a bias": (
        gru(ir={"kernel": np.ones((2, 3)), "bias": np.ones(2)}),
        r"layers\[0\]\['ir'\]\['bias'\]: expected shape \(3,\), as the kernel has outputs, got",
    ),
    "inputs": (
        [gru(), gru()],
        r"weight_ih_l1: expected shape \(rows=9, features=3\), got \(9, 2\)",
    ),
}


@pytest.mark.parametrize(("layers", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(layers, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        crnn.flax.from_params(layers)


def test_what_flax_does_not_have():
    for net, message in (
        (crnn.GRU(2, 3, reset_after=False), "^net: expected reset_after=True, as Flax's GRUCell"),
        (crnn.LSTM(2, 3, trainable_h0=True), "^net: expected trainable_h0=False"),
        (crnn.RNN(2, 3, leak=0.5), "^net: expected a network without a leak for Flax, got"),
    ):
        with pytest.raises(ValueError, match=message):
            crnn.flax.to_params(net)
    with pytest.raises(TypeError, match=r"^net: expected a crnn\.RNN, GRU or LSTM, got str"):
        crnn.flax.to_params("net")
    for layers in (3, [], [3], [[gru(), gru(), gru()]]):
        with pytest.raises(TypeError, match=r"^layers(\[0\])?: expected a tree or a"):
            crnn.flax.from_params(layers)
