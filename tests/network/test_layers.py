"""Cells, layers, directions, lengths, one output per sequence, categories, trained first states.

Outputs are held to a version that takes one sequence and one step at a time, and gradients to
finite differences of it. States are packed here: of an LSTM h and then c in one row.
"""

import copy
import functools
import itertools
import pickle

import numpy as np
import pytest

import crnn

RECURSIONS = {
    "lengths": {},
    "layers": {"num_layers": 3},
    "both directions": {"bidirectional": True},
    "layers in both directions": {"num_layers": 2, "bidirectional": True},
    "one output": {"return_sequences": False},
    "one output of both directions": {"return_sequences": False, "bidirectional": True},
    "trained h0": {"trainable_h0": True, "num_layers": 2},
    "no output layer": {"num_layers": 2, "bidirectional": True, "output_size": None},
    "one output, no output layer": {"return_sequences": False, "output_size": None},
}
recursions = pytest.mark.parametrize("settings", RECURSIONS.values(), ids=RECURSIONS)
kinds = pytest.mark.parametrize("kind", ["features", "categories"])
LENGTHS = np.array([5, 2, 7, 1])


CELLS = {
    "tanh": (crnn.RNN, {}),
    "relu": (crnn.RNN, {"nonlinearity": "relu"}),
    "gru": (crnn.GRU, {}),
    "gru reset before": (crnn.GRU, {"reset_after": False}),
    "lstm": (crnn.LSTM, {}),
}


@pytest.fixture(params=CELLS.values(), ids=CELLS)
def make(request, implementation):
    """Make a network of each cell."""
    family, of_cell = request.param
    return functools.partial(family, **of_cell, implementation=implementation)


@pytest.fixture
def network_of(make):
    """Make a network whose every parameter is random and asymmetric."""

    def build(dtype="float64", seed=0, **settings):
        settings = {"output_size": 2} | settings
        net = make(3, 4, **settings, dtype=dtype, seed=seed)
        net.flat_params[...] = np.random.default_rng(seed).normal(0, 0.5, net.flat_params.size)
        return net

    return build


def as_given(net, states):
    """States (..., S) as users give them."""
    if states is None or states.shape[-1] == net.hidden_size:
        return states
    return states[..., : net.hidden_size], states[..., net.hidden_size :]


def packed(states):
    return np.concatenate(states, axis=-1) if isinstance(states, tuple) else states


def inputs(kind, dtype="float64", batch=4, time=7, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "categories":
        return rng.integers(0, 3, (batch, time))
    return rng.normal(size=(batch, time, 3)).astype(dtype)


def first_states(net, batch, seed=2):
    states = net.num_layers * (2 if net.bidirectional else 1)
    S = net.hidden_size * (2 if isinstance(net, crnn.LSTM) else 1)
    h0 = np.random.default_rng(seed).normal(size=(states, batch, S))
    return h0 if states > 1 else h0[0]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def step_of(net, x_t, state, W_xh, W_hh, b_h):
    """The state after a step."""
    H = net.hidden_size
    h = state[:H]
    from_x, from_h = (W_xh @ x_t).reshape(-1, H), (W_hh @ h).reshape(-1, H)
    b = b_h.reshape(-1, H)
    if isinstance(net, crnn.RNN):
        a = from_x[0] + from_h[0] + b[0]
        return np.tanh(a) if net.nonlinearity == "tanh" else np.maximum(a, 0)
    if isinstance(net, crnn.LSTM):
        i, f, g, o = from_x + from_h + b
        c = sigmoid(f) * state[H:] + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(c), c])
    r, z = sigmoid(from_x[:2] + from_h[:2] + b[:2])
    if net.reset_after:
        n = np.tanh(from_x[2] + b[2] + r * (from_h[2] + b[3]))
    else:
        n = np.tanh(from_x[2] + b[2] + W_hh[2 * H :] @ (r * h))
    return (1 - z) * n + z * h


def step_by_step(net, x, h0=None):
    """Outputs and last states of one sequence, by the equations alone."""
    params = {name: values.astype(float) for name, values in net.params.items()}
    values = list(np.eye(3)[x]) if x.ndim == 1 else list(x.astype(float))
    states = 2 if net.bidirectional else 1
    if h0 is None:
        zero = np.zeros((net.num_layers * states, net.hidden_size))
        h0 = params.get("h0", zero)
        if isinstance(net, crnn.LSTM):
            h0 = np.concatenate([h0, params.get("c0", zero)], axis=-1)
    starts = list(np.reshape(h0, (net.num_layers * states, -1)))
    lasts = []
    for layer in range(net.num_layers):
        sides = []
        for suffix in ("", "_reverse")[:states]:
            suffix = (f"_l{layer}" if layer else "") + suffix
            W_xh, W_hh, b_h = (params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
            h, side = starts[len(lasts)], []
            for x_t in values[::-1] if suffix.endswith("reverse") else values:
                h = step_of(net, x_t, h, W_xh, W_hh, b_h)
                side.append(h[: net.hidden_size])
            lasts.append(h)
            sides.append(side[::-1] if suffix.endswith("reverse") else side)
        values = [np.concatenate(step) for step in zip(*sides, strict=True)]
    if not net.return_sequences:
        values = [np.concatenate([last[: net.hidden_size] for last in lasts[-states:]])]
    if net.output_size is not None:
        values = [params["W_hy"] @ value + params["b_y"] for value in values]
    h_n = np.array(lasts)
    return (np.array(values) if net.return_sequences else values[0]), h_n if len(h_n) > 1 else h_n[
        0
    ]


def expected_of(net, x, lengths, h0=None):
    """Outputs and last states of a batch."""
    outputs, lasts = [], []
    for b, length in enumerate(lengths):
        start = None if h0 is None else (h0[:, b] if h0.ndim == 3 else h0[b])
        y, h_n = step_by_step(net, x[b, :length], start)
        if net.return_sequences:
            y = np.concatenate([y, np.zeros((x.shape[1] - length, y.shape[1]))])
        outputs.append(y)
        lasts.append(h_n)
    return np.array(outputs), np.stack(lasts, axis=-2)


@recursions
@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_and_states(network_of, assert_close, settings, kind, dtype):
    net, x = network_of(dtype, **settings), inputs(kind, dtype)
    for lengths, h0 in itertools.product((None, LENGTHS), (None, first_states(net, 4))):
        y, h_n = expected_of(net, x, [7] * 4 if lengths is None else lengths, h0)
        given = as_given(net, h0)
        tape = net.forward(x, given, lengths=lengths)
        assert_close(tape.y, y, dtype=dtype, label="forward")
        assert_close(packed(tape.h_n), h_n, dtype=dtype, label="h_n")
        got_y, got_h_n = net.predict(x, given, return_state=True, lengths=lengths)
        assert_close(got_y, y, dtype=dtype, label="predict")
        assert_close(packed(got_h_n), h_n, dtype=dtype, label="its h_n")
        assert_close(net.predict(x, given, lengths=lengths), y, dtype=dtype)


@recursions
@kinds
def test_one_sequence_alone(network_of, assert_close, settings, kind):
    net, x = network_of(**settings), inputs(kind)[0]
    h0 = first_states(net, 1)[..., 0, :]
    y, h_n = step_by_step(net, x, h0)
    tape = net.forward(x, as_given(net, h0))
    assert_close(tape.y, y, dtype="float64")
    assert_close(packed(tape.h_n), h_n, dtype="float64")
    got_y, got_h_n = net.predict(x, as_given(net, h0), return_state=True)
    assert_close(got_y, y, dtype="float64")
    assert_close(packed(got_h_n), h_n, dtype="float64")
    grads = net.backward(tape, np.ones_like(tape.y), as_given(net, np.ones_like(h_n)))
    assert packed(grads.h0).shape == h0.shape
    assert grads.x is None if kind == "categories" else grads.x.shape == x.shape


@recursions
@kinds
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("every", [None, 3], ids=["kept", "checkpoints"])
def test_gradients_are_finite_differences(network_of, settings, kind, lengths, every):
    net, x = network_of(**settings), inputs(kind)
    if every and net.bidirectional:
        with pytest.raises(ValueError, match=r"^checkpoint_every: expected None"):
            net.forward(x, checkpoint_every=every)
        return
    # The trained h0 only counts where no other is given.
    h0 = None if net.trainable_h0 else first_states(net, 4)
    tape = net.forward(x, as_given(net, h0), lengths=lengths, checkpoint_every=every)
    rng = np.random.default_rng(3)
    dy, dh_n = rng.normal(size=tape.y.shape), rng.normal(size=packed(tape.h_n).shape)
    grads = net.backward(tape, dy, as_given(net, dh_n))

    def objective():
        y, h_n = expected_of(net, x, [7] * 4 if lengths is None else lengths, h0)
        return np.sum(y * dy) + np.sum(h_n * dh_n)

    def slope(array, index):
        before, step = array[index], 1e-5
        array[index] = before + step
        above = objective()
        array[index] = before - step
        below = objective()
        array[index] = before
        return (above - below) / (2 * step)

    found = {"parameters": (net.flat_params, grads.flat)}
    if kind == "features":
        found["x"] = (x, grads.x)
    if h0 is not None:
        found["h0"] = (h0, packed(grads.h0))
    for name, (array, gradient) in found.items():
        assert gradient.shape == array.shape
        places = list(np.ndindex(array.shape))
        for place in rng.choice(len(places), min(len(places), 16), replace=False):
            index = places[place]
            assert gradient[index] == pytest.approx(slope(array, index), rel=1e-7, abs=1e-7), (
                name,
                index,
            )


def test_a_state_that_is_given_leaves_a_trainable_one_alone(network_of):
    net, x = network_of(trainable_h0=True, num_layers=2), inputs("features")
    h0 = first_states(net, 4)
    tape = net.forward(x, as_given(net, h0))
    grads = net.backward(tape, np.ones_like(tape.y))
    names = [name for name in net.params if name in ("h0", "c0")]
    assert names
    for name in names:
        assert not grads[name].any()
    assert packed(grads.h0).any()
    tape = net.forward(x)
    grads = net.backward(tape, np.ones_like(tape.y))
    assert all(grads[name].any() for name in names)


@pytest.mark.parametrize("batch", [None, 2])
def test_a_layer_that_overflows_is_no_bad_input(implementation, batch):
    settings = {"num_layers": 2, "nonlinearity": "relu", "implementation": implementation}
    net = crnn.RNN(1, 2, 1, **settings)
    net.flat_params[...] = 1e20
    x = np.ones((1,) if batch is None else (batch, 1), np.float32)
    stream = net.stream(batch)
    assert np.isinf(stream.step(x)).all()
    stream.reset()
    assert np.isinf(stream.run(x[..., None])).all()
    before = np.array(stream.state)
    with pytest.raises(ValueError, match=r"^x: expected finite numbers"):
        stream.step(x * np.nan)
    assert np.array_equal(stream.state, before)
    with pytest.raises(AttributeError, match=r"^state: expected an assignment, got a deletion"):
        del stream.state


def test_padding_counts_for_nothing(network_of):
    net, x = network_of(num_layers=2, bidirectional=True), inputs("features")
    other = x.copy()
    for b, length in enumerate(LENGTHS):
        other[b, length:] = 1e6
    results = []
    for values in (x, other):
        tape = net.forward(values, lengths=LENGTHS)
        dy = np.ones_like(tape.y)
        dy[1, 2:] = 1e6  # past the end, and so left out
        results.append((tape.y, packed(tape.h_n), net.backward(tape, dy)))
    (y, h_n, grads), (other_y, other_h_n, other_grads) = results
    assert np.array_equal(y, other_y)
    assert np.array_equal(h_n, other_h_n)
    assert np.array_equal(grads.flat, other_grads.flat)
    for b, length in enumerate(LENGTHS):
        assert not grads.x[b, length:].any()


def test_states_of_a_tape(network_of):
    net, x = network_of(num_layers=2), inputs("features")
    tape = net.forward(x, lengths=LENGTHS)
    assert tape.h.shape == (2, 4, 8, 4)
    h_n = as_given(net, packed(tape.h_n))
    if isinstance(net, crnn.LSTM):
        h_n, c_n = h_n
        assert np.array_equal(tape.c[:, :, -1], c_n)
        assert np.array_equal(tape.c[:, 1, 2], c_n[:, 1])
        assert tape.c.shape == (2, 4, 8, 4)
    else:
        with pytest.raises(AttributeError, match=r"^c: expected the tape of an LSTM"):
            _ = tape.c
    assert np.array_equal(tape.h[:, :, -1], h_n)
    assert np.array_equal(tape.h[:, 1, 2], h_n[:, 1])
    with pytest.raises(ValueError, match="read-only"):
        tape.h[...] = 0
    checkpointed = net.forward(x, checkpoint_every=2)
    with pytest.raises(ValueError, match=r"^h: expected a tape made without checkpoint_every"):
        _ = checkpointed.h
    pair = "2 x " if isinstance(net, crnn.LSTM) else ""
    assert repr(checkpointed) == f"Tape(y (4, 7, 2), h_n {pair}(2, 4, 4))"


@pytest.mark.parametrize("kind", ["features", "categories"])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2}, {"return_sequences": False}])
def test_ragged_lists(network_of, assert_close, settings, kind):
    net, x = network_of(**settings), inputs(kind)
    ragged = [x_b[:length] for x_b, length in zip(x, LENGTHS, strict=True)]
    y, h_n = expected_of(net, x, LENGTHS)
    got, got_h_n = net.predict(ragged, return_state=True)
    assert_close(packed(got_h_n), h_n, dtype="float64")
    for b, length in enumerate(LENGTHS):
        assert_close(got[b], y[b, :length] if net.return_sequences else y[b], dtype="float64")
    if net.return_sequences:
        assert [len(y_b) for y_b in net.predict(ragged)] == list(LENGTHS)


@pytest.mark.parametrize("settings", [{"num_layers": 3}, {"trainable_h0": True}, {}])
@pytest.mark.parametrize("kind", ["features", "categories"])
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("hidden", [4, 40])
def test_streams(make, implementation, settings, kind, batch, hidden):
    net = make(3, hidden, 2, **settings, seed=0)
    if net.trainable_h0:
        net.h0[...] = 0.3
        if isinstance(net, crnn.LSTM):
            net.c0[...] = -0.2
    x = inputs(kind, "float32", batch=batch or 1)
    x = x if batch else x[0]
    y, h_n = net.predict(x, return_state=True)
    stream = net.stream(batch)
    stepped = [stream.step(x[:, t] if batch else x[t]) for t in range(7)]
    if implementation == "python" and kind == "categories":
        # There a product for all steps at once has other bits than one a step.
        np.testing.assert_allclose(np.stack(stepped, axis=-2), y, rtol=0, atol=1e-6)
        y, h_n = np.stack(stepped, axis=-2), stream.state
    assert np.array_equal(np.stack(stepped, axis=-2), y)
    assert np.array_equal(stream.state, h_n)
    stream.reset()
    twin = stream.copy()
    assert np.array_equal(stream.run(x), y)
    out = np.empty_like(stepped[0])
    assert twin.step(x[:, 0] if batch else x[0], out=out) is out
    assert np.array_equal(out, stepped[0])
    twin.state = stream.state
    assert np.array_equal(twin.state, h_n)
    wrong = np.zeros((2 if isinstance(net, crnn.LSTM) else 1) * (hidden + 1))
    with pytest.raises(ValueError, match=r"^state(\[0\])?: expected"):
        twin.state = tuple(wrong.reshape(2, -1)) if isinstance(net, crnn.LSTM) else wrong
    with pytest.raises(ValueError, match=r"^x: expected"):
        twin.run(np.full((*(() if batch is None else (2,)), 1, 4), 0.5))
    assert np.array_equal(twin.state, h_n)


def test_no_stream_in_both_directions(network_of):
    with pytest.raises(ValueError, match=r"^stream: expected a network that reads in one"):
        network_of(bidirectional=True).stream()


def test_dropout_acts_in_training_alone(make):
    settings = {"num_layers": 2, "dtype": "float64"}
    net = make(3, 50, 2, dropout=0.4, seed=0, **settings)
    x, y = inputs("features"), np.zeros((4, 7, 2))
    np.testing.assert_allclose(net.predict(x), net.forward(x).y, rtol=1e-12, atol=1e-14)
    plain = make(3, 50, 2, seed=0, **settings)
    assert np.array_equal(net.predict(x), plain.predict(x))
    losses = {net.train_step(x, y, crnn.SGD(0.0)) for _ in range(1)}
    optimizer = crnn.SGD(0.0)
    net = make(3, 50, 2, dropout=0.4, seed=0, **settings)
    drawn = [net.train_step(x, y, optimizer) for _ in range(400)]
    assert drawn[0] in losses  # the seed decides
    assert len(set(drawn)) == 400
    # What is left is scaled up: in the mean the second layer reads what it reads without dropout.
    kept = np.random.default_rng(0)
    first = net._network.first_states(None, 4)
    of_layer = net._network._layers.run(x, first, None, kept)
    sound = net._network._layers.run(x, first, None).inputs[1]
    left_out = np.mean((of_layer.inputs[1] == 0)[sound != 0])
    assert left_out == pytest.approx(0.4, abs=0.05)
    touched = of_layer.inputs[1] != 0
    np.testing.assert_allclose(of_layer.inputs[1][touched], sound[touched] / 0.6, rtol=1e-12)


def test_training_takes_the_gradient_that_backward_gives(network_of):
    """In a step of training: one output, lengths, layers, categories, and its own h0."""
    settings = {"num_layers": 2, "return_sequences": False, "trainable_h0": True}
    net, x = network_of(**settings), inputs("categories")
    y = np.random.default_rng(5).normal(size=(4, 2))
    tape = net.forward(x, lengths=LENGTHS)
    expected = net.backward(tape, 2 * (tape.y - y) / y.size).flat
    before = net.flat_params.copy()
    loss = net.train_step(x, y, crnn.SGD(1.0), lengths=LENGTHS)
    assert loss == pytest.approx(np.mean((tape.y - y) ** 2), rel=1e-12)
    np.testing.assert_allclose(before - net.flat_params, expected, rtol=1e-9, atol=1e-12)


BAD = {
    "layers": ({"num_layers": 0}, ValueError, "num_layers: expected at least 1"),
    "directions": ({"bidirectional": 1}, TypeError, "bidirectional: expected True or False"),
    "share": ({"dropout": 1.0, "num_layers": 2}, ValueError, "dropout: expected a finite number"),
    "dropout of one layer": ({"dropout": 0.1}, ValueError, "dropout: expected 0 with one layer"),
}


@pytest.mark.parametrize(("settings", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_settings(settings, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        crnn.RNN(3, 4, 2, **settings)


def test_bad_inputs(network_of):
    net, x = network_of(), inputs("features")
    cases = [
        ({"lengths": [5, 2, 8, 1]}, ValueError, "lengths: expected numbers from 1 to 7"),
        ({"lengths": [5, 2, 7, 0]}, ValueError, "lengths: expected numbers from 1 to 7"),
        ({"lengths": [5, 2, 7]}, ValueError, "lengths: expected shape"),
        ({"lengths": [5.0, 2, 7, 1]}, TypeError, "lengths: expected whole numbers"),
    ]
    for settings, kind, message in cases:
        for method in (net.forward, net.predict):
            with pytest.raises(kind, match=f"^{message}"):
                method(x, **settings)
    with pytest.raises(ValueError, match=r"^x: expected class numbers from 0 to 2, got 0 to 3"):
        net.predict(np.array([[0, 1], [2, 3]]))
    with pytest.raises(ValueError, match=r"^x\[1\]: x: expected shape"):
        net.predict([x[0], x[1, :3, :2]])
    with pytest.raises(TypeError, match=r"^x: expected sequences of floats or of category"):
        net.predict([x[0], np.array([0, 1])])
    with pytest.raises(ValueError, match=r"^lengths: expected None with a list"):
        net.predict([x[0], x[1, :3]], lengths=[1, 1])
    deep = network_of(num_layers=2)
    name, shape = r"h0(\[0\])?", r"\(states=2, batch=4, hidden=4\)"
    with pytest.raises(ValueError, match=rf"^{name}: expected shape {shape}"):
        deep.predict(x, as_given(deep, np.zeros((4, len(first_states(deep, 1)[0, 0])))))
    with pytest.raises(ValueError, match=r"^forecast: expected a network that reads in one"):
        network_of(output_size=3, bidirectional=True).forecast(x, 2)


@recursions
def test_files_hold_all_of_it(network_of, tmp_path, settings):
    net, x = network_of("float32", **settings), inputs("features", "float32")
    net.save(tmp_path / "net.npz")
    twin = crnn.load(tmp_path / "net.npz", implementation=net.implementation)
    assert repr(twin) == repr(net)
    assert np.array_equal(twin.predict(x, lengths=LENGTHS), net.predict(x, lengths=LENGTHS))


@recursions
def test_other_dtypes(network_of, settings):
    net, x = network_of("float32", **settings), inputs("features", "float32")
    wide = net.astype("float64")
    assert wide.dtype == "float64"
    assert wide.implementation == net.implementation
    assert np.array_equal(wide.flat_params, net.flat_params)
    np.testing.assert_allclose(wide.predict(x), net.predict(x), rtol=0, atol=1e-5)
    assert np.array_equal(wide.astype("float32").flat_params, net.flat_params)
    wide.flat_params[...] = 0
    assert net.flat_params.any()
    with pytest.raises(ValueError, match=r"^dtype: expected 'float32' or 'float64', got 'int8'"):
        net.astype("int8")


def test_state_of_an_lstm_is_a_pair(implementation):
    net, x = crnn.LSTM(3, 4, 2, seed=0, implementation=implementation), inputs("features")
    zero = np.zeros((4, 4))
    assert np.array_equal(net.predict(x, (zero, zero)), net.predict(x))
    assert np.array_equal(net.predict(x, [zero, zero]), net.predict(x))
    for h0, kind, message in (
        (zero, TypeError, r"h0: expected a pair \(h, c\), got ndarray"),
        ((zero,), ValueError, r"h0: expected a pair \(h, c\), got 1 of them"),
        ((zero, zero[:3]), ValueError, r"h0\[1\]: expected shape \(batch=4, hidden=4\)"),
        ((zero, zero + np.nan), ValueError, r"h0\[1\]: expected finite numbers"),
    ):
        with pytest.raises(kind, match=f"^{message}"):
            net.predict(x, h0)
    tape = net.forward(x)
    with pytest.raises(TypeError, match=r"^dh_n: expected a pair \(h, c\), got ndarray"):
        net.backward(tape, tape.y, zero)
    for part in tape.h_n:
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0


def test_initial_weights_gate_by_gate(make):
    net = make(5, 6, num_layers=2, seed=3, dtype="float64")
    for suffix in ("", "_l1"):
        W_hh = net.params["W_hh" + suffix].reshape(-1, 6, 6)
        for gate in W_hh:
            np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-12)
        limit = np.sqrt(6 / (6 + net.params["W_xh" + suffix].shape[1]))
        largest = np.abs(net.params["W_xh" + suffix]).max()
        assert 0.8 * limit < largest <= limit
        biases = net.params["b_h" + suffix].reshape(-1, 6)
        expected = np.zeros_like(biases)
        if isinstance(net, crnn.LSTM):
            expected[1] = 1
        assert np.array_equal(biases, expected)
    uniform = make(5, 6, seed=3, init="uniform")
    assert 0.8 / np.sqrt(6) < np.abs(uniform.W_hh).max() <= np.float32(1 / np.sqrt(6))


def test_forget_bias():
    net = crnn.LSTM(3, 4, bidirectional=True, forget_bias=-0.5)
    for suffix in ("", "_reverse"):
        assert np.array_equal(net.params["b_h" + suffix].reshape(4, 4)[:, 0], [0, -0.5, 0, 0])
    with pytest.raises(ValueError, match=r"^forget_bias: expected a finite number, got inf"):
        crnn.LSTM(3, 4, forget_bias=np.inf)
    with pytest.raises(ValueError, match=r"^forget_bias: expected a number that float32 can hold"):
        crnn.LSTM(3, 4, forget_bias=1e300)
    wide = crnn.LSTM(3, 4, forget_bias=1e300, dtype="float64")
    with pytest.raises(ValueError, match=r"^dtype: expected one that holds all parameters, got"):
        wide.astype("float32")


@pytest.mark.parametrize(
    ("family", "settings", "kind", "message"),
    [
        (crnn.RNN, {"nonlinearity": "elu"}, ValueError, "nonlinearity: expected 'tanh' or 'relu'"),
        (crnn.RNN, {"nonlinearity": 1}, ValueError, "nonlinearity: expected"),
        (crnn.GRU, {"reset_after": "yes"}, TypeError, "reset_after: expected True or False"),
        (crnn.LSTM, {"forget_bias": "one"}, TypeError, "forget_bias: expected"),
    ],
)
def test_bad_settings_of_a_cell(family, settings, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        family(3, 4, **settings)


def test_representation(make):
    net = make(3, 4)
    assert repr(eval(repr(net), {name: getattr(crnn, name) for name in ("RNN", "GRU", "LSTM")}))
    assert repr(copy.deepcopy(net)) == repr(pickle.loads(pickle.dumps(net))) == repr(net)


def test_every_cell_learns(make):
    """To say at each step what came two steps before."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (64, 12, 1)).astype(np.float32)
    y = np.concatenate([np.zeros((64, 2, 1), np.float32), x[:, :-2]], axis=1)
    net = make(1, 16, 1, seed=1)
    history = net.fit(
        x, y, epochs=60, batch_size=16, optimizer=crnn.Adam(0.01), clip_norm=1.0, seed=0
    )
    assert history.loss[-1] < 0.1 * np.mean(y**2)
