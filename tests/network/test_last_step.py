"""`crnn.LastStep`: outputs of each sequence's last step in a chain, files, export, refusals."""

import copy
import json
import pickle

import numpy as np
import pytest
from damaged_files import rewritten
from network_problems import DTYPES, LENGTHS, B, T, network

import crnn

I, H, O = 3, 5, 4
LAST = LENGTHS - 1


def parts_of(dtype="float64", implementation=None, **settings):
    """A network, and a dense layer that reads it."""
    rng = np.random.default_rng(3)
    settings = {"family": "LSTM", "num_layers": 2, "output_size": None} | settings
    net = network(I, H, dtype=dtype, implementation=implementation, **settings)
    features = net.architecture.outputs
    return net, crnn.Dense(rng.normal(size=(O, features)), rng.normal(size=O), "tanh", dtype)


def data():
    return np.random.default_rng(5).normal(size=(B, T, I))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_outputs_are_those_of_the_last_step(implementation, assert_close, dtype, bidirectional):
    net, dense = parts_of(dtype, implementation, bidirectional=bidirectional)
    chain, x = crnn.Sequential([net, crnn.LastStep(), dense]), data()
    assert (chain.return_sequences, chain.input_size, chain.output_size) == (False, I, O)
    every = net.predict(x)
    np.testing.assert_array_equal(chain.predict(x), dense.predict(every[:, None, -1])[:, 0])
    np.testing.assert_array_equal(chain.predict(x[1]), dense.predict(net.predict(x[1])[-1]))
    y, states = chain.predict(x, lengths=LENGTHS, return_state=True)
    of_lengths, last = net.predict(x, lengths=LENGTHS, return_state=True)
    assert_close(y, dense.predict(of_lengths[np.arange(B), LAST]), dtype=dtype)
    np.testing.assert_array_equal(np.stack(states[0]), np.stack(last))
    of_list = chain.predict([row[:n] for row, n in zip(x, LENGTHS, strict=True)])
    assert_close(of_list, y, dtype=dtype)
    assert y.dtype == of_list.dtype == dtype
    if not bidirectional:
        resets = np.random.default_rng(8).random((B, T)) < 0.3
        every_restarted = net.predict(x, resets=resets)
        y = chain.predict(x, resets=resets)
        np.testing.assert_array_equal(y, dense.predict(every_restarted[:, None, -1])[:, 0])
        assert np.abs(y - chain.predict(x)).max() > 1e-2
    # Without anything behind it
    alone = crnn.Sequential([net, crnn.LastStep()])
    np.testing.assert_array_equal(alone.predict(x), every[:, -1])
    assert alone.output_size == net.architecture.outputs
    # The last states of both directions are something else.
    settings = net.architecture._replace(return_sequences=False)
    states = crnn.from_architecture(settings, dtype=dtype, implementation=implementation)
    states.flat_params[...] = net.flat_params
    difference = np.abs(states.predict(x) - every[:, -1]).max()
    assert difference > 1e-2 if bidirectional else difference == 0


def test_dense_layers_before_it(implementation):
    net, dense = parts_of(implementation=implementation, bidirectional=True)
    after = crnn.Sequential([net, crnn.LastStep(), dense])
    before = crnn.Sequential([net, dense, crnn.LastStep()])
    for lengths in (None, LENGTHS):
        y, expected = (chain.predict(data(), lengths=lengths) for chain in (before, after))
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("batch_size", [None, 1, B])
def test_streams_have_outputs_for_each_step(implementation, batch_size):
    net, dense = parts_of(implementation=implementation)
    chain = crnn.Sequential([net, crnn.LastStep(), dense])
    x = data() if batch_size == B else data()[:1] if batch_size else data()[0]
    stream = chain.stream(batch_size)
    y = np.stack([stream.step(x[..., t, :]) for t in range(T)], axis=-2)
    np.testing.assert_array_equal(y, crnn.Sequential([net, dense]).predict(x))
    np.testing.assert_array_equal(y[..., -1, :], chain.predict(x))
    stream.reset()
    np.testing.assert_array_equal(stream.copy().run(x), y)
    with pytest.raises(ValueError, match=r"^stream: expected a network that reads in one dir"):
        crnn.Sequential([parts_of(bidirectional=True)[0], crnn.LastStep()]).stream()


def test_export_c(tmp_path):
    net, dense = parts_of(dtype="float32")
    chain = crnn.Sequential([net, crnn.LastStep(), dense])
    assert crnn.export_c(chain, tmp_path / "compared.h", x=data()).error < 1e-6
    crnn.export_c(chain, tmp_path / "last.h", name="net")
    chain = crnn.Sequential([net, dense])
    crnn.export_c(chain, tmp_path / "all.h", name="net")
    assert (tmp_path / "last.h").read_text() == (tmp_path / "all.h").read_text()


def test_files(tmp_path):
    net, dense = parts_of(bidirectional=True)
    chain = crnn.Sequential([net, crnn.LastStep(), dense])
    path, x = tmp_path / "chain.npz", data()
    chain.save(path)
    assert repr(chain.parts[1]) == "LastStep()"
    for twin in (crnn.load(path), copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))):
        assert repr(twin) == repr(chain)
        np.testing.assert_array_equal(twin.predict(x), chain.predict(x))
    descriptions = json.loads(json.dumps(chain.describe()["parts"]))
    content = path.read_bytes()
    for order, message in (
        ([1, 0, 2], r"expected the arrays part_1, part_2, got"),
        ([0, 1, 1], r"expected the arrays part_0, got .*part_2"),
        ([1, 1, 1], r"expected the arrays"),
        ([0, 2, 2], r"expected the arrays"),
    ):
        path.write_bytes(rewritten(content, parts=[descriptions[n] for n in order]))
        with pytest.raises(crnn.ModelFileError, match=message):
            crnn.load(path)
    path.write_bytes(rewritten(content, parts=[descriptions[0], {"kind": "last"}]))
    with pytest.raises(crnn.ModelFileError, match=r"parts\[1\]: kind: expected one of"):
        crnn.load(path)


def test_files_whose_order_is_wrong(tmp_path):
    net = parts_of()[0]
    path = tmp_path / "chain.npz"
    crnn.Sequential([net, crnn.LastStep()]).save(path)
    last = {"kind": "last step"}
    path.write_bytes(rewritten(path.read_bytes(), parts=[net_of(path), last, last]))
    with pytest.raises(crnn.ModelFileError, match=r"parts\[2\]: expected a Dense behind a LastSt"):
        crnn.load(path)


def net_of(path):
    """The description of the first part in a file."""
    return crnn.load(path).describe()["parts"][0]


LAST_STEP = crnn.LastStep()
REFUSED = {
    "first": (lambda net, dense: [LAST_STEP, net], r"parts\[0\]: expected an RNN, .* got none"),
    "no network": (lambda net, dense: [dense, LAST_STEP], "parts: expected at least one RNN, .* 2"),
    "twice": (
        lambda net, dense: [net, LAST_STEP, LAST_STEP],
        r"parts\[2\]: expected a Dense behind a LastStep, which has one .*, got LastStep",
    ),
    "a network behind it": (
        lambda net, dense: [net, LAST_STEP, network(H, 2)],
        r"parts\[2\]: expected a Dense behind a LastStep, which has one output .*, got RNN",
    ),
    "behind last states": (
        lambda net, dense: [parts_of(return_sequences=False)[0], LAST_STEP],
        r"parts\[1\]: expected a Dense behind a network with return_seq.*, got LastStep",
    ),
    "sizes": (
        lambda net, dense: [net, LAST_STEP, crnn.Dense(np.ones((2, 3)))],
        r"parts\[2\]: expected input_size=5, the outputs of the part before, got 3",
    ),
}


@pytest.mark.parametrize(("parts", "message"), REFUSED.values(), ids=REFUSED)
def test_places_where_it_cannot_be(parts, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        crnn.Sequential(parts(*parts_of()))


def test_sequences_without_steps(implementation):
    net, dense = parts_of(implementation=implementation)
    chain, x = crnn.Sequential([net, crnn.LastStep(), dense]), data()
    message = ": expected at least one step, of which LastStep takes the last"
    for name, arguments in {
        "x": {"x": x[:, :0]},
        r"x\[1\]": {"x": [x[0], x[1, :0]]},
        r"lengths\[2\]": {"x": x, "lengths": [1, 2, 0, 3]},
    }.items():
        with pytest.raises(ValueError, match=f"^{name}{message}"):
            chain.predict(**arguments)
    with pytest.raises(ValueError, match=f"^x{message}"):
        chain.predict(x[0, :0])
    # No sequences at all
    for nothing in (x[:0], x[:0, :0], []):
        assert chain.predict(nothing).shape == (0, O)
        assert chain.predict(nothing).dtype == np.float64
