"""Sequences that restart: against the pieces cut by hand, each with its own call."""

from itertools import pairwise

import numpy as np
import pytest
from differences import assert_gradient
from network_problems import LENGTHS, B, O, T, inputs, packed, random_state, unpacked

import crnn

rng = np.random.default_rng(3)
RESETS = rng.random((B, T)) < 0.3
RESETS[0, [0, T - 1]] = RESETS[1, 1:3] = True
RESETS[-1, 0] = False
ARCHITECTURES = {
    "one layer": {},
    "layers": {"num_layers": 3},
    "trained states": {"num_layers": 2, "trainable_h0": True},
    "last step": {"return_sequences": False, "trainable_h0": True},
    "no output layer": {"output_size": None, "num_layers": 2},
}
architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
kinds = pytest.mark.parametrize(
    ("lengths", "kind"),
    [(None, {}), (LENGTHS, {}), (LENGTHS, {"categorical": True})],
    ids=["whole", "lengths", "categories"],
)


def pieces(b, n):
    """Where the pieces of sequence b's n steps begin and end, and whether with a reset."""
    begins = [0, *(t for t in range(1, n) if RESETS[b, t]), n]
    return [(s, e, bool(RESETS[b, s])) for s, e in pairwise(begins)]


def by_hand(net, x, h0, lengths, dy):
    """Outputs, states and gradients of one piece after another."""
    S = h0.shape[-1]
    y, h = np.zeros(dy.shape), np.full((net.num_layers, B, T + 1, net.hidden_size), np.nan)
    last, dh0 = np.zeros((net.num_layers, B, S)), np.zeros((net.num_layers, B, S))
    flat, dx = np.zeros(net.flat_params.shape), np.zeros(x.shape)
    h0 = h0.reshape(net.num_layers, B, S)
    for b in range(B):
        n = T if lengths is None else lengths[b]
        h[:, b, 0] = h0[:, b, : net.hidden_size]
        for first, end, is_reset in pieces(b, n):
            start = h0[:, b, :]
            given = None if is_reset else unpacked(net, start[0] if len(start) == 1 else start)
            tape = net.forward(x[b, first:end], given)
            is_last = end == n
            if net.return_sequences:
                y[b, first:end], dy_piece = tape.y, dy[b, first:end]
            else:
                y[b] = tape.y if is_last else y[b]
                dy_piece = dy[b] if is_last else np.zeros_like(dy[b])
            d = net.backward(tape, dy_piece)
            flat += d.flat
            if d.x is not None:
                dx[b, first:end] = d.x
            if first == 0 and not is_reset:
                dh0[:, b] = packed(d.h0).reshape(net.num_layers, S)
            h[:, b, first + 1 : end + 1] = tape.h.reshape(net.num_layers, -1, net.hidden_size)[
                :, 1:
            ]
            last[:, b] = packed(tape.h_n).reshape(net.num_layers, S)
        h[:, b, n + 1 :] = h[:, b, n : n + 1]
    return y, h, last, flat, dx, dh0


@architectures
@kinds
def test_pieces_are_sequences_of_their_own(network_of, settings, lengths, kind):
    net = network_of(**settings, **kind)
    x, h0 = inputs(net), random_state(net)
    shape = (B, T) if net.return_sequences else (B,)
    dy = rng.standard_normal((*shape, net.output_size or net.hidden_size))
    y, h, last, flat, dx, dh0 = by_hand(net, x, h0, lengths, dy)
    close = {"rtol": 1e-10, "atol": 1e-12}
    for every in (None, 2):
        tape = net.forward(x, unpacked(net, h0), lengths, every, resets=RESETS)
        d = net.backward(tape, dy)
        np.testing.assert_allclose(tape.y, y, **close)
        np.testing.assert_allclose(packed(tape.h_n).reshape(last.shape), last, **close)
        if every is None:
            np.testing.assert_allclose(tape.h.reshape(h.shape), h, **close)
        np.testing.assert_allclose(d.flat, flat, **close)
        np.testing.assert_allclose(packed(d.h0).reshape(dh0.shape), dh0, **close)
        if d.x is not None:
            np.testing.assert_allclose(d.x, dx, **close)
    y, h_n = net.predict(x, unpacked(net, h0), True, lengths, resets=RESETS)
    np.testing.assert_allclose(y, tape.y, **close)
    np.testing.assert_allclose(packed(h_n), packed(tape.h_n), **close)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "trainable_h0": True}])
def test_gradients_by_differences(network_of, settings):
    net = network_of(**settings)
    x, dy = inputs(net), rng.standard_normal((B, T, O))

    def objective():
        return np.vdot(dy, net.predict(x, lengths=LENGTHS, resets=RESETS))

    d = net.backward(net.forward(x, lengths=LENGTHS, resets=RESETS), dy)
    assert_gradient(d.flat, objective, net.flat_params, "parameters", directions=3)
    assert_gradient(d.x, objective, x, "x", directions=3)


def test_none_is_no_resets(network_of):
    net = network_of(num_layers=2)
    x, none = inputs(net), np.zeros((B, T), bool)
    assert net.predict(x, resets=none).tobytes() == net.predict(x).tobytes()
    assert net.forward(x, resets=none).y.tobytes() == net.forward(x).y.tobytes()


def test_the_numbers_of_threads_and_other_sequences_do_not_count(network_of):
    net = network_of(num_layers=2)
    x = inputs(net)
    whole = net.predict(x, resets=RESETS)
    for b in range(B):
        np.testing.assert_allclose(
            net.predict(x[b], resets=RESETS[b]), whole[b], rtol=1e-12, atol=1e-13
        )


def test_lists(network_of):
    net = network_of(trainable_h0=True)
    x = inputs(net)
    lists = [x[b, :n] for b, n in enumerate(LENGTHS)]
    marks = [RESETS[b, :n] for b, n in enumerate(LENGTHS)]
    y = net.predict(x, lengths=LENGTHS, resets=RESETS)
    for b, outputs in enumerate(net.predict(lists, resets=marks)):
        np.testing.assert_allclose(outputs, y[b, : LENGTHS[b]], rtol=1e-12, atol=1e-13)
    targets = rng.standard_normal((B, T, O))
    loss = net.loss(x, targets, lengths=LENGTHS, resets=RESETS)
    as_list = [targets[b, :n] for b, n in enumerate(LENGTHS)]
    assert net.loss(lists, as_list, resets=marks) == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 3])
def test_resets_in_every_chunk_of_a_prediction(network_of, batch):
    """Kernels predict some steps at a time, from 24 up."""
    net = network_of()
    x = inputs(net, batch, 90)
    resets = rng.random((batch, 90)) < 0.1
    resets[:, [23, 24, 25, 48]] = True
    y = net.predict(x, resets=resets)
    for b in range(batch):
        begins = [0, *(t for t in range(1, 90) if resets[b, t]), 90]
        for first, end in pairwise(begins):
            np.testing.assert_allclose(
                y[b, first:end], net.predict(x[b, first:end]), rtol=1e-12, atol=1e-13
            )


def step_by_hand(net, tape, y):
    """Take a step of SGD with mse and rate 0.05; a leak stays in its range, as in fit."""
    net.flat_params[...] -= 0.05 * net.backward(tape, 2 * (tape.y - y) / tape.y.size).flat
    if "leak" in net.params:
        np.clip(net.leak, 0, 1, out=net.leak)


@pytest.mark.parametrize("bptt", [None, 2])
def test_fit_is_that_of_steps_by_hand(network_of, bptt):
    """With one batch and plain SGD each epoch is a step, or one for each chunk."""
    net, twin = network_of(trainable_h0=True), network_of(trainable_h0=True)
    x, y = inputs(net), rng.standard_normal((B, T, O))
    history = net.fit(
        x, y, epochs=2, bptt=bptt, optimizer=crnn.SGD(0.05), batch_size=B, shuffle=False,
        resets=RESETS, validation_data={"x": x, "y": y, "resets": RESETS},
    )  # fmt: skip
    for _ in range(2):
        states = None
        for first in range(0, T, bptt or T):
            part = slice(first, first + (bptt or T))
            tape = twin.forward(x[:, part], states, resets=RESETS[:, part])
            step_by_hand(twin, tape, y[:, part])
            states = tape.h_n
    np.testing.assert_allclose(net.flat_params, twin.flat_params, rtol=1e-9, atol=1e-12)
    assert history.val_loss[-1] == pytest.approx(net.loss(x, y, resets=RESETS), rel=1e-12)


def test_a_chunk_in_which_nothing_counts_restarts_states_too(network_of):
    """Of truncated BPTT: no step is taken, and the states go on."""
    net, twin = network_of(), network_of()
    x, y = inputs(net), rng.standard_normal((B, T, O))
    mask = np.broadcast_to(np.arange(T) >= T // 2, (B, T))
    net.fit(
        x, y, epochs=1, bptt=T // 2, optimizer=crnn.SGD(0.05), batch_size=B, shuffle=False,
        resets=RESETS, mask=mask,
    )  # fmt: skip
    states = None
    for first in range(0, T, T // 2):
        part = slice(first, min(first + T // 2, T))
        tape = twin.forward(x[:, part], states, resets=RESETS[:, part])
        if first:
            step_by_hand(twin, tape, y[:, part])
        states = tape.h_n
    np.testing.assert_allclose(net.flat_params, twin.flat_params, rtol=1e-9, atol=1e-12)
