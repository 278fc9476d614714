"""Chains of networks and dense layers: outputs, states, lengths, streams, files, refusals."""

import copy
import pickle
import threading
from itertools import pairwise

import numpy as np
import pytest
from damaged_files import mutations, npy, rewritten
from network_problems import CELLS, DTYPES, LENGTHS, B, T, inputs, network

import crnn
from crnn.dense import ACTIVATIONS

NAMES = [None, *ACTIVATIONS]


def dense(I, O, activation=None, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return crnn.Dense(rng.normal(size=(O, I)), rng.normal(size=O), activation, dtype)


def formula(layer, x):
    """The layer's outputs in float64, by other formulas than the package's."""
    a = np.einsum("...i,oi->...o", x.astype(np.float64), layer.weight.astype(np.float64))
    a = a + layer.bias
    if layer.activation == "softmax":
        return np.exp(a) / np.exp(a).sum(-1, keepdims=True)
    functions = {"relu": lambda a: (a + abs(a)) / 2, "tanh": lambda a: 1 - 2 / (np.exp(2 * a) + 1)}
    functions["sigmoid"] = lambda a: (1 + np.tanh(a / 2)) / 2
    return a if layer.activation is None else functions[layer.activation](a)


def chain(dtype="float64", implementation=None, last="softmax", **of_last):
    """Dense 3-4, GRU 4-5, Dense 5-6, LSTM 6-7-2, RNN 2-3 in two layers, Dense 3-8."""
    of_all = {"dtype": dtype, "implementation": implementation}
    return crnn.Sequential(
        [
            dense(3, 4, "tanh", dtype),
            network(4, 5, None, family="GRU", trainable_h0=True, **of_all),
            dense(5, 6, "relu", dtype),
            network(6, 7, 2, family="LSTM", seed=1, **of_all),
            network(2, 3, None, family="RNN", num_layers=2, seed=2, **of_all, **of_last),
            dense(3, 8, last, dtype),
        ]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", NAMES)
def test_dense(activation, dtype, assert_close):
    layer = dense(3, 5, activation, dtype)
    assert (layer.input_size, layer.output_size, layer.dtype) == (3, 5, dtype)
    x = np.random.default_rng(1).normal(size=(4, 7, 3))
    for data in (x, x[0], x[0, 0], x[:0]):
        assert_close(layer.predict(data), formula(layer, data.astype(dtype)), dtype=dtype)


def test_dense_by_hand():
    layer = crnn.Dense([[1, 2], [-3, 0.5]], [0.25, -1], "relu")
    assert layer.predict([2, -0.5]).tolist() == [1.25, 0]
    softmax = crnn.Dense([[1], [1]], [0, np.log(3)], "softmax")
    assert np.allclose(softmax.predict([-7]), [0.25, 0.75], rtol=1e-6)
    assert crnn.Dense(np.ones((1, 2))).dtype == "float64"
    assert crnn.Dense([[1.0, 2.0]]).dtype == "float32"
    assert crnn.Dense(np.ones((1, 2)), dtype="float32").bias.tolist() == [0]


def test_large_sums_of_dense():
    """No warning, and the limits of the functions."""
    weight = np.array([[1e30], [-1e30]], np.float32)
    for name, expected in (("sigmoid", [1, 0]), ("tanh", [1, -1]), ("softmax", [1, 0])):
        assert crnn.Dense(weight, None, name).predict([1e5]).tolist() == expected


def test_dense_keeps_its_numbers():
    weight = np.ones((2, 3), np.float32)
    layer = crnn.Dense(weight, activation="tanh")
    weight[...] = 7
    for twin in (layer, copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.weight.tolist() == [[1, 1, 1], [1, 1, 1]]
        assert repr(twin) == repr(layer)
        with pytest.raises(ValueError, match="read-only"):
            twin.weight[0] = 2
        with pytest.raises(ValueError, match="read-only"):
            twin.bias[0] = 2


def test_outputs_are_those_of_the_parts_one_by_one(implementation):
    net = chain(implementation=implementation)
    assert len(net) == 6
    assert (net.input_size, net.output_size, net.dtype) == (3, 8, "float64")
    x = np.random.default_rng(5).normal(size=(B, T, 3))
    y = x
    for part in net:
        y = formula(part, y) if isinstance(part, crnn.Dense) else part.predict(y)
    assert np.allclose(net.predict(x), y, rtol=0, atol=1e-13)
    assert np.allclose(net.predict(x[1]), y[1], rtol=0, atol=1e-13)
    assert np.abs(y - y[:1]).max() > 0.01


def test_lengths(implementation):
    net = chain(implementation=implementation)
    x = np.random.default_rng(5).normal(size=(B, T, 3))
    padded = x.copy()
    for row, length in zip(padded, LENGTHS, strict=True):
        row[length:] = np.nan
    y, states = net.predict(padded, lengths=LENGTHS, return_state=True)
    as_list = net.predict([row[:n] for row, n in zip(x, LENGTHS, strict=True)])
    for b, n in enumerate(LENGTHS):
        alone, last = net.predict(x[b, :n], return_state=True)
        assert np.allclose(y[b, :n], alone, rtol=0, atol=1e-13)
        assert np.allclose(as_list[b], alone, rtol=0, atol=1e-13)
        assert not y[b, n:].any()
        for many, one in zip(states, last, strict=True):
            many, one = np.stack(many), np.stack(one)
            assert np.allclose(many.reshape(*many.shape[:-2], B, -1)[..., b, :], one, atol=1e-13)


@pytest.mark.parametrize("of_last", [{}, {"return_sequences": False}], ids=["every", "last"])
def test_resets_are_pieces_of_their_own(implementation, of_last):
    net = chain(implementation=implementation, **of_last)
    x = np.random.default_rng(5).normal(size=(B, T, 3))
    resets = np.zeros((B, T), bool)
    resets[0, [0, 2]] = resets[1, 1] = resets[3, 4] = True
    _, h0 = net.predict(x[::-1], return_state=True)
    y, states = net.predict(x, lengths=LENGTHS, resets=resets, h0=h0, return_state=True)
    as_list = net.predict(
        [row[:n] for row, n in zip(x, LENGTHS, strict=True)],
        resets=[row[:n] for row, n in zip(resets, LENGTHS, strict=True)],
        h0=h0,
    )

    def of_row(parts, b):
        return [np.stack(part).reshape(-1, B, np.shape(part)[-1])[:, b] for part in parts]

    for b, n in enumerate(LENGTHS):
        begins = [0, *(t for t in range(1, n) if resets[b, t]), n]
        pieces = []
        for first, end in pairwise(begins):
            start = None
            if first == 0 and not resets[b, 0]:
                gru, lstm, rnn = of_row(h0, b)
                start = [gru[0], tuple(lstm), rnn]
            piece, last = net.predict(x[b, first:end], h0=start, return_state=True)
            pieces.append(piece)
        expected = np.concatenate(pieces) if net.return_sequences else pieces[-1]
        of_b = y[b, :n] if net.return_sequences else y[b]
        assert np.allclose(of_b, expected, rtol=0, atol=1e-13)
        assert np.allclose(as_list[b], expected, rtol=0, atol=1e-13)
        for many, one in zip(of_row(states, b), last, strict=True):
            assert np.allclose(many, np.stack(one).reshape(many.shape), rtol=0, atol=1e-13)


def test_resets_are_refused_by_both_directions():
    both = network(4, 5, None, bidirectional=True)
    net, resets = crnn.Sequential([dense(3, 4), both]), np.zeros((T, 3), bool)
    with pytest.raises(ValueError, match=r"^resets: expected shape \(time=7,\), got \(7, 3\)$"):
        net.predict(np.zeros((T, 3)), resets=resets)
    with pytest.raises(ValueError, match=r"resets: expected None with bidirectional=True"):
        net.predict(np.zeros((T, 3)), resets=resets[:, 0])


def test_states_go_on(implementation):
    net = chain(implementation=implementation)
    x = np.random.default_rng(5).normal(size=(B, T, 3))
    whole, last = net.predict(x, return_state=True)
    first, states = net.predict(x[:, :3], return_state=True)
    second, twin = net.predict(x[:, 3:], h0=states, return_state=True)
    assert np.array_equal(np.concatenate([first, second], axis=1), whole)
    for a, b in zip(last, twin, strict=True):
        assert np.array_equal(np.stack(a), np.stack(b))
    # None is the first state of a part: the GRU's is trained.
    assert np.array_equal(net.predict(x, h0=[None, None, None]), whole)
    zero = [np.zeros((B, 5)), None, None]
    assert np.abs(net.predict(x, h0=zero) - whole).max() > 1e-3


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_one_output_per_sequence(implementation, lengths):
    every = chain(implementation=implementation)
    net = chain(implementation=implementation, return_sequences=False)
    assert (every.return_sequences, net.return_sequences) == (True, False)
    x = np.random.default_rng(5).normal(size=(B, T, 3))
    y, expected = net.predict(x, lengths=lengths), every.predict(x, lengths=lengths)
    last = np.full(B, T - 1) if lengths is None else lengths - 1
    assert y.shape == (B, 8)
    assert np.allclose(y, expected[np.arange(B), last], rtol=0, atol=1e-13)
    assert np.allclose(net.predict(x[2, :4]), every.predict(x[2, :4])[-1], rtol=0, atol=1e-13)
    sequences = [x[0, :2], x[1]]
    assert np.allclose(net.predict(sequences)[0], every.predict(x[0, :2])[-1], atol=1e-13)
    # A stream has an output for each step.
    assert np.array_equal(net.stream(B).run(x), every.stream(B).run(x))


def test_nothing_to_predict(implementation):
    net = chain(implementation=implementation)
    assert net.predict(np.empty((0, T, 3))).shape == (0, T, 8)
    assert net.predict(np.empty((B, 0, 3))).shape == (B, 0, 8)
    assert net.predict([]) == []
    assert net.stream().run(np.empty((0, 3))).shape == (0, 8)


def test_categories_and_both_directions(implementation):
    first = network(family="GRU", categorical=True, bidirectional=True, output_size=None,
                    implementation=implementation)  # fmt: skip
    net = crnn.Sequential([first, dense(10, 3, "sigmoid")])
    assert net.categorical
    x = inputs(first)
    assert np.allclose(net.predict(x), formula(net[1], first.predict(x)), rtol=0, atol=1e-13)
    y = net.predict(x, lengths=LENGTHS)
    assert not y[1, LENGTHS[1] :].any()
    with pytest.raises(ValueError, match=r"^stream: expected a network that reads in one dir"):
        net.stream()
    with pytest.raises(ValueError, match=r"^parts\[1\]: stream: expected a network that reads"):
        crnn.Sequential([dense(2, 3), network(family="GRU", bidirectional=True)]).stream()


@pytest.mark.parametrize("batch_size", [None, 1, B])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", NAMES)
def test_streams_have_the_bits_of_predict(implementation, dtype, last, batch_size):
    net = chain(dtype, implementation, last)
    shape = (T + 14, 3) if batch_size is None else (batch_size, T + 14, 3)
    x = np.random.default_rng(5).normal(size=shape).astype(dtype)
    y, states = net.predict(x, return_state=True)
    stream = net.stream(batch_size)
    of_steps = [stream.step(x[..., t, :]) for t in range(4)]
    of_block = stream.run(x[..., 4:, :])
    assert np.array_equal(np.stack(of_steps, axis=-2), y[..., :4, :])
    assert np.array_equal(of_block, y[..., 4:, :])
    for a, b in zip(stream.state, states, strict=True):
        assert np.array_equal(np.stack(a), np.stack(b))


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_streams_of_categories(network_of, cell):
    first = network_of(categorical=True, output_size=None)
    net = crnn.Sequential([first, dense(5, 3, "softmax")])
    x = inputs(first)
    y = net.predict(x)
    stream = net.stream(B)
    for t in range(3):
        assert np.allclose(stream.step(x[:, t]), y[:, t], rtol=0, atol=1e-14)
    assert np.allclose(stream.run(x[:, 3:]), y[:, 3:], rtol=0, atol=1e-14)


def test_streams_with_lengths(implementation):
    net = chain(implementation=implementation)
    x = np.random.default_rng(5).normal(size=(B, T, 3))
    y, states = net.predict(x, lengths=LENGTHS, return_state=True)
    padded = x.copy()
    padded[3, LENGTHS[3] :] = np.inf
    stream = net.stream(B)
    assert np.array_equal(stream.run(padded, lengths=LENGTHS), y)
    for a, b in zip(stream.state, states, strict=True):
        assert np.array_equal(np.stack(a), np.stack(b))


def test_states_of_streams(implementation):
    net = chain(implementation=implementation)
    x = np.random.default_rng(5).normal(size=(T, 3))
    stream = net.stream()
    first = stream.run(x)
    twin, state = copy.copy(stream), stream.state
    second = stream.run(x)
    assert np.abs(second - first).max() > 1e-3
    assert np.array_equal(twin.run(x), second)
    stream.state = state
    assert np.array_equal(stream.run(x), second)
    stream.reset()
    assert np.array_equal(stream.run(x), first)
    out = np.empty(8)
    stream.reset()
    assert stream.step(x[0], out) is out
    assert np.array_equal(out, first[0])
    with pytest.raises(TypeError, match=r"^stream: expected to stay in its process"):
        pickle.dumps(stream)
    with pytest.raises(AttributeError, match=r"^state: expected an assignment"):
        del stream.state
    assert repr(stream).startswith("SequentialStream(input_size=3, output_size=8, batch_size=None")


def test_a_stream_does_not_follow_its_networks(implementation):
    net = chain(implementation=implementation)
    x = np.random.default_rng(5).normal(size=(T, 3))
    stream, y = net.stream(), net.predict(x)
    net[1].W_hh[...] = 0
    assert np.array_equal(stream.run(x), y)
    assert np.abs(net.predict(x) - y).max() > 1e-3


def overflowing(implementation):
    """A chain whose second network reads an infinity where the inputs are large."""
    first = network(1, 2, None, dtype="float32", implementation=implementation)
    grows = crnn.RNN(2, 1, nonlinearity="relu", implementation=implementation)
    grows.flat_params[...] = 3e38
    return crnn.Sequential([first, grows, network(1, 2, 1, dtype="float32", family="GRU")])


def test_failed_steps_change_nothing(implementation):
    net = overflowing(implementation)
    stream = net.stream()
    before = stream.state
    message = r"^parts\[2\]: x: expected finite numbers, got inf"
    for call in (lambda: stream.step([1.0]), lambda: stream.run([[1.0]] * 3)):
        with pytest.raises(ValueError, match=message):
            call()
        for a, b in zip(stream.state, before, strict=True):
            assert np.array_equal(a, b)
    with pytest.raises(ValueError, match=message):
        net.predict([[1.0]])
    state = stream.state
    state[2] = np.zeros(7)
    state[0] = np.ones(2)
    with pytest.raises(ValueError, match=r"^state\[2\]: state: expected shape \(hidden=2,\)"):
        stream.state = state
    for a, b in zip(stream.state, before, strict=True):
        assert np.array_equal(a, b)


def test_one_thread_at_a_time(implementation):
    net = chain(implementation=implementation)
    stream = net.stream()
    inside, leave, refused = threading.Event(), threading.Event(), []

    class Waits:
        def __array__(self, dtype=None, copy=None):
            inside.set()
            leave.wait(10)
            return np.zeros(3)

    worker = threading.Thread(target=stream.step, args=(Waits(),))
    worker.start()
    inside.wait(10)
    for call in (lambda: stream.step([0, 0, 0]), stream.reset, lambda: stream.state, stream.copy):
        with pytest.raises(RuntimeError, match="one thread at a time"):
            call()
        refused.append(call)
    leave.set()
    worker.join()
    assert len(refused) == 4


REFUSED = {
    "nothing": (list, "parts: expected at least one RNN, GRU or LSTM among them, got none"),
    "no network": (lambda: [dense(2, 3)], "parts: expected at least one .* got 1 others"),
    "sizes": (
        lambda: [network(2, 3, 4), dense(3, 2)],
        r"parts\[1\]: expected input_size=4, the outputs of the part before, got 3",
    ),
    "directions": (
        lambda: [network(2, 3, None, bidirectional=True), network(3, 2)],
        r"parts\[1\]: expected input_size=6, .* got 3",
    ),
    "dtypes": (
        lambda: [network(2, 3, 4), dense(4, 2, dtype="float32")],
        r"parts\[1\]: expected float64, the dtype of the parts before, got float32",
    ),
    "categories": (
        lambda: [dense(2, 3), network(3, 3, categorical=True)],
        r"parts\[1\]: expected categorical=False behind the first part, .* categorical=True",
    ),
    "one output": (
        lambda: [network(2, 3, 4, return_sequences=False), dense(4, 4), network(4, 2)],
        r"parts\[2\]: expected a Dense behind a network with return_sequences=False, .* got RNN",
    ),
}


@pytest.mark.parametrize(("parts", "message"), REFUSED.values(), ids=REFUSED)
def test_parts_that_do_not_fit(parts, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        crnn.Sequential(parts())


def test_what_is_no_chain():
    with pytest.raises(TypeError, match=r"^parts\[0\]: expected an RNN, .* got Sequential"):
        crnn.Sequential([chain()])
    with pytest.raises(TypeError, match=r"^parts: expected a list of networks and Dense, got 3"):
        crnn.Sequential(3)
    for arguments, message in (
        (([1, 2],), r"^weight: expected shape \(outputs, inputs\), got \(2,\)"),
        (([[1, 2]], [1, 2]), r"^bias: expected shape \(outputs=1,\), got \(2,\)"),
        (([[1, np.nan]],), "^weight: expected finite numbers, got nan"),
        (([[1]], None, "gelu"), "^activation: expected 'relu', 'tanh', .* got 'gelu'"),
        (([[1]], None, None, "int8"), "^dtype: expected 'float32' or 'float64'"),
    ):
        with pytest.raises(ValueError, match=message):
            crnn.Dense(*arguments)


def test_data_that_do_not_fit():
    net = chain()
    x = np.zeros((B, T, 3))
    for arguments, error, message in (
        ({"x": x[..., :2]}, ValueError, r"^x: expected shape \(batch, time, inputs=3\) or"),
        ({"x": x * np.nan}, ValueError, "^x: expected finite numbers"),
        ({"x": x, "lengths": [1]}, ValueError, r"^lengths: expected shape \(batch=4,\)"),
        ({"x": x[0], "lengths": [1]}, ValueError, "^lengths: expected None with one sequence"),
        ({"x": x, "h0": np.zeros(3)}, TypeError, "^h0: expected a list of 3, a state for each"),
        ({"x": x, "h0": [None]}, ValueError, "^h0: expected a list of 3, .* got 1 of them"),
        ({"x": x, "h0": [None, None, 3]}, ValueError, r"^parts\[4\]: h0: expected shape"),
        ({"x": x, "return_state": 1}, TypeError, "^return_state: expected True or False"),
    ):
        with pytest.raises(error, match=message):
            net.predict(**arguments)
    stream = net.stream()
    with pytest.raises(ValueError, match=r"^x: expected shape \(inputs=3,\), got \(2,\)"):
        stream.step([1, 2])
    with pytest.raises(TypeError, match=r"^out: expected a writable C-contiguous float64 array"):
        stream.step([1, 2, 3], np.empty(8, np.float32))
    with pytest.raises(ValueError, match=r"^lengths: expected None with one sequence"):
        stream.run(x[0], [3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_files(tmp_path, implementation, dtype):
    net = chain(dtype, implementation, return_sequences=False)
    net.save(tmp_path / "chain.npz")
    twin = crnn.load(tmp_path / "chain.npz", implementation=implementation)
    assert type(twin) is crnn.Sequential
    assert repr(twin) == repr(net)
    x = np.random.default_rng(5).normal(size=(B, T, 3)).astype(dtype)
    for other in (twin, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(other.predict(x), net.predict(x))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A chain and the bytes of its file."""
    net = crnn.Sequential([dense(3, 4, "tanh"), network(4, 5, 2, family="GRU")])
    path = tmp_path_factory.mktemp("saved") / "chain.npz"
    net.save(path)
    return net, path.read_bytes()


def changed(number, **changes):
    def parts(net):
        descriptions = net.describe()["parts"]
        descriptions[number] |= changes
        return {"parts": descriptions}

    return parts


CHANGES = {
    "newer": (lambda net: {"version": 2}, "version 2: a newer crnn wrote it"),
    "no parts": (lambda net: {"parts": []}, "expected the arrays"),
    "parts": (lambda net: {"parts": "x"}, "parts: expected a list, each element a desc"),
    "no description": (lambda net: {"parts": [1]}, "parts: expected a list, each element a"),
    "kind": (
        changed(0, kind="conv"),
        r"parts\[0\]: kind: expected one of network, dense, last",
    ),
    "cell": (changed(1, cell="x"), r"parts\[1\]: cell: expected one of tanh"),
    "activation": (changed(0, activation="gelu"), r"parts\[0\]: activation: expected one of"),
    "activations": (changed(0, activation=["tanh"]), r"parts\[0\]: activation: expected one of"),
    "giant": (changed(0, input_size=10**12), r"expected float64 \(4"),
    "sizes": (changed(0, input_size=1, output_size=8), r"parts\[1\]: expected input_size=8"),
    "directions": (changed(1, bidirectional=1), r"parts\[1\]: bidirectional: expected true"),
    "categories": (
        changed(1, categorical=True),
        r"parts\[1\]: expected categorical=False behind the first",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_descriptions_that_are_wrong(saved, tmp_path, change, message):
    net, data = saved
    path = tmp_path / "bad.npz"
    path.write_bytes(rewritten(data, **change(net)))
    with pytest.raises(crnn.ModelFileError, match=message) as caught:
        crnn.load(path)
    assert str(caught.value).startswith(str(path))
    path.write_bytes(rewritten(data))
    assert repr(crnn.load(path)) == repr(net)


def test_a_description_without_an_activation(saved, tmp_path):
    """As everywhere, what a description lacks is null."""
    net, data = saved
    parts = net.describe()["parts"]
    del parts[0]["activation"]
    path = tmp_path / "linear.npz"
    path.write_bytes(rewritten(data, parts=parts))
    assert crnn.load(path)[0].activation is None


def test_arrays_that_are_wrong(saved, tmp_path):
    _, data = saved
    path = tmp_path / "bad.npz"
    path.write_bytes(rewritten(data, drop=["part_0.npy"]))
    with pytest.raises(crnn.ModelFileError, match="expected the arrays part_0, part_1, got"):
        crnn.load(path)
    wrong = npy(np.zeros(16, np.float32))
    path.write_bytes(rewritten(data, drop=["part_0.npy"], add=[("part_0.npy", wrong)]))
    with pytest.raises(crnn.ModelFileError, match=r"expected float64 \(16,\), got float32"):
        crnn.load(path)
    path.write_bytes(data)
    assert not crnn.load(path, categorical=False).categorical
    with pytest.raises(crnn.ModelFileError, match=r"parts\[0\]: categorical: expected True"):
        crnn.load(path, categorical=True)


def test_mutated_files(saved, tmp_path):
    """Each is refused in one sentence, or loads exactly the chain that was saved."""
    net, data = saved
    path, loaded = tmp_path / "mutated.npz", 0
    for mutated in mutations(data, 200, seed=0):
        path.write_bytes(mutated)
        try:
            twin = crnn.load(path)
        except crnn.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            loaded += 1
            assert repr(twin) == repr(net)
            assert np.array_equal(twin[0].weight, net[0].weight)
            assert np.array_equal(twin[1].flat_params, net[1].flat_params)
    assert 0 < loaded < 100
