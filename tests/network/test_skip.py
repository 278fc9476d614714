"""Skipped steps: against sequences from which they are cut out by hand, and finite differences."""

import numpy as np
import pytest
from differences import assert_gradient
from network_problems import (
    ARCHITECTURES,
    LENGTHS,
    SKIP,
    B,
    I,
    T,
    as_list,
    inputs,
    packed,
    random_state,
    unpacked,
)

architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)


def without(x, skip):
    """The inputs with nobody's numbers at skipped steps."""
    return np.where(skip[..., None], np.nan, x) if x.ndim > skip.ndim else np.where(skip, 999, x)


def by_hand(net, x, h0, skip):
    """Outputs, states of all steps and last states of one sequence, from its live steps alone."""
    live = ~skip
    start = h0[:, None]
    if live.any():
        tape = net.forward(x[live], unpacked(net, h0[0] if len(h0) == 1 else h0))
        c = (tape.c,) if len(h0[0]) > net.hidden_size else ()
        states = np.concatenate((tape.h, *c), axis=-1).reshape(len(h0), live.sum() + 1, -1)
    else:
        states = start
    read = [np.r_[0, np.cumsum(order)] for order in (live, live[::-1])]
    held = [h[read[number % (1 + net.bidirectional)]] for number, h in enumerate(states)]
    top = [h[:, : net.hidden_size] for h in held[-1 - net.bidirectional :]]
    if net.return_sequences:
        top = [h[1:] for h in top]
        top[1:] = [h[::-1] for h in top[1:]]
    else:
        top = [h[-1] for h in top]
    y = np.concatenate(top, axis=-1)
    return (y if net.output_size is None else y @ net.W_hy.T + net.b_y), held


@architectures
@pytest.mark.parametrize(
    ("lengths", "kind"),
    [(LENGTHS, {}), (None, {"categorical": True})],
    ids=["lengths", "categories"],
)
def test_live_steps_are_all_that_counts(network_of, settings, lengths, kind):
    net = network_of(**settings, **kind)
    x, h0 = inputs(net), random_state(net)
    given = unpacked(net, h0)
    y, h_n = net.predict(without(x, SKIP), given, return_state=True, lengths=lengths, skip=SKIP)
    tape = net.forward(without(x, SKIP), given, lengths=lengths, skip=SKIP)
    for b, n in enumerate([T] * B if lengths is None else lengths):
        expected, held = by_hand(net, x[b, :n], h0.reshape(-1, B, h0.shape[-1])[:, b], SKIP[b, :n])
        for outputs in (y, tape.y):
            found = outputs[b, :n] if net.return_sequences else outputs[b]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
            assert not net.return_sequences or not outputs[b, n:].any()
        for states in (h_n, tape.h_n):
            last = packed(states).reshape(-1, B, h0.shape[-1])[:, b]
            np.testing.assert_allclose(last, [h[-1] for h in held], rtol=1e-12, atol=1e-13)
        h = tape.h.reshape(-1, B, T + 1, net.hidden_size)[:, b]
        np.testing.assert_allclose(
            h[:, : n + 1], [h[:, : net.hidden_size] for h in held], rtol=1e-12, atol=1e-13
        )


@architectures
def test_gradients(network_of, settings):
    net = network_of(**settings)
    x = inputs(net)
    h0 = None if net.trainable_h0 else random_state(net)
    arguments = {"h0": unpacked(net, h0), "lengths": LENGTHS, "skip": SKIP}
    tape = net.forward(without(x, SKIP), **arguments)
    rng = np.random.default_rng(4)
    dy, dh_n = rng.standard_normal(tape.y.shape), rng.standard_normal(packed(tape.h_n).shape)
    grads = net.backward(tape, dy, unpacked(net, dh_n))

    def objective():
        tape = net.forward(x, **arguments | {"h0": unpacked(net, h0)})
        return np.vdot(tape.y, dy) + np.vdot(packed(tape.h_n), dh_n)

    for name, values in net.params.items():
        assert_gradient(grads[name], objective, values, name)
    assert_gradient(grads.x, objective, x, "x")
    read = ~SKIP & (np.arange(T) < LENGTHS[:, None])
    assert not grads.x[~read].any()
    assert grads.x[read].all()
    if h0 is not None:
        assert_gradient(packed(grads.h0), objective, h0, "h0")


@pytest.mark.parametrize("kind", [{}, {"categorical": True}], ids=["features", "categories"])
@pytest.mark.parametrize("settings", [{"num_layers": 2}, {"return_sequences": False}], ids=str)
def test_checkpoints_in_time_give_the_same_gradient(network_of, settings, kind):
    """Blocks of two steps: one has no live step, in others some sequences have none."""
    net = network_of(**settings, **kind)
    x, h0 = inputs(net), unpacked(net, random_state(net))
    skip = SKIP.copy()
    skip[:, 2:4] = True
    tape = net.forward(x, h0, lengths=LENGTHS, skip=skip)
    rng = np.random.default_rng(4)
    dy, dh_n = rng.standard_normal(tape.y.shape), rng.standard_normal(packed(tape.h_n).shape)
    expected = net.backward(tape, dy, unpacked(net, dh_n))
    tape = net.forward(x, h0, lengths=LENGTHS, skip=skip, checkpoint_every=2)
    actual = net.backward(tape, dy, unpacked(net, dh_n))
    names = ("flat",) if kind else ("flat", "x")
    for found, wanted in [(getattr(actual, n), getattr(expected, n)) for n in names] + [
        (packed(actual.h0), packed(expected.h0))
    ]:
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_lists_and_single_sequences(network_of, settings):
    net = network_of(**settings)
    x = without(inputs(net), SKIP)
    y, h_n = net.predict(x, return_state=True, lengths=LENGTHS, skip=SKIP)
    ragged, last = net.predict(as_list(x), return_state=True, skip=as_list(SKIP))
    np.testing.assert_allclose(packed(last), packed(h_n), rtol=1e-12, atol=1e-13)
    for b, n in enumerate(LENGTHS):
        single = net.predict(x[b, :n], skip=SKIP[b, :n])
        for found in (ragged[b], single):
            np.testing.assert_allclose(found, y[b, :n], rtol=1e-12, atol=1e-13)
    tape = net.forward(x[0], skip=SKIP[0])
    assert tape.h.shape[-2:] == (T + 1, net.hidden_size)
    assert net.backward(tape, np.ones_like(tape.y)).x.shape == (T, I)


def test_blocks_of_a_long_prediction(build_network):
    """About eight thousand steps at a time, of which one block has no live step."""
    net = build_network(family="GRU", num_layers=2, hidden_size=31)
    rng = np.random.default_rng(0)
    x, skip = rng.standard_normal((1, 30_000, I)), rng.random((1, 30_000)) < 0.9
    skip[:, 8_000:26_000] = True
    y = net.predict(x, skip=skip)
    live = net.predict(x[~skip][None])
    np.testing.assert_allclose(y[~skip], live[0], rtol=1e-12, atol=1e-13)
    before = np.r_[0, np.cumsum(~skip)][1:][skip[0]]
    start = (net.b_y,)  # from a state of zero
    np.testing.assert_array_equal(y[skip], np.concatenate([start, y[~skip]])[before])


def test_the_skip_of_nothing_is_no_skip(network_of):
    net = network_of(num_layers=2)
    x = inputs(net)
    none = np.zeros((B, T), bool)
    np.testing.assert_allclose(net.predict(x, skip=none), net.predict(x), rtol=1e-12, atol=1e-13)


def test_what_is_passed_stays_as_it_is(build_network):
    net = build_network()
    x, skip = without(inputs(net), SKIP), SKIP.copy()
    kept = x.copy()
    tape = net.forward(x, skip=skip)
    grads = net.backward(tape, np.ones_like(tape.y)).flat
    np.testing.assert_array_equal(x, kept)
    skip[...] = True
    again = net.backward(tape, np.ones_like(tape.y)).flat
    np.testing.assert_array_equal(grads, again)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_missing_categories(build_network, lengths):
    """NaN makes floats, None makes objects of all numbers of an array."""
    net = build_network(categorical=True)
    x = inputs(net)
    missing = SKIP if lengths is None else SKIP | (np.arange(T) >= lengths[:, None])
    options = {"lengths": lengths, "skip": SKIP}
    expected = net.predict(x, **options)
    for nothing, dtype in ((np.nan, float), (None, object)):
        with_gaps = np.where(missing, nothing, x.astype(dtype))
        np.testing.assert_array_equal(net.predict(with_gaps, **options), expected)
        loss = net.loss(with_gaps, np.ones_like(expected), **options)
        assert loss == net.loss(x, np.ones_like(expected), **options)
    ends = net.predict(np.where(missing, np.nan, x), lengths=LENGTHS, skip=SKIP)
    np.testing.assert_array_equal(ends, net.predict(x, lengths=LENGTHS, skip=SKIP))
    with pytest.raises(TypeError, match="expected whole numbers"):
        net.predict(np.where(missing, np.nan, x + 0.5), **options)
