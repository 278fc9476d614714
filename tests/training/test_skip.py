"""Training with skipped steps, and from states that are given."""

import numpy as np
import pytest
from network_problems import (
    LENGTHS,
    SKIP,
    B,
    T,
    as_list,
    inputs,
    random_state,
    step_gradient,
    targets,
    unpacked,
)

import crnn
from crnn._training.data import Dataset

WEIGHTS = np.random.default_rng(7).uniform(0.2, 2, (B, T))


def problem(net):
    """Inputs with NaN at skipped steps, targets, packed first states."""
    return np.where(SKIP[..., None], np.nan, inputs(net)), targets(net), random_state(net)


@pytest.mark.parametrize(
    "settings", [{}, {"num_layers": 2, "bidirectional": True, "output_size": None}], ids=str
)
def test_a_step_of_training_takes_the_gradient_of_backward(network_of, settings):
    """A skipped step counts in the loss, with the weight that the mask gives it."""
    net = network_of(**settings)
    x, y, h0 = problem(net)
    given = {"h0": unpacked(net, h0), "lengths": LENGTHS, "skip": SKIP}
    tape = net.forward(x, **given)
    weights = WEIGHTS * (np.arange(T) < LENGTHS[:, None])
    share = weights[..., None] / weights.sum() / y.shape[-1]
    expected = net.backward(tape, 2 * share * (tape.y - y)).flat
    loss, gradient = step_gradient(net, x, y, mask=WEIGHTS, **given)
    assert loss == pytest.approx(np.sum(share * (tape.y - y) ** 2), rel=1e-12)
    assert net.loss(x, y, mask=WEIGHTS, **given) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    lists = {"mask": as_list(WEIGHTS), "skip": as_list(SKIP), "h0": given["h0"]}
    ragged = step_gradient(net, as_list(x), as_list(y), **lists)
    assert ragged[0] == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(ragged[1], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"return_sequences": False}], ids=str)
def test_each_sequence_keeps_its_state_and_its_skips(network_of, settings):
    """In batches, in a shuffled order, in one batch, and in the part that validates."""
    net = network_of(**settings, trainable_h0=True)
    x, y, h0 = problem(net)
    kept = net.flat_params.copy()

    def trained(**how):
        net.flat_params[...] = kept
        given = {"h0": unpacked(net, h0), "skip": SKIP, "optimizer": crnn.SGD(0.1)}
        history = net.fit(x, y, epochs=2, **given | how)
        return net.flat_params.copy(), history

    for size in (1, 3):
        net.flat_params[...] = kept
        optimizer = crnn.SGD(0.1)
        for rows in [slice(first, first + size) for first in range(0, B, size)] * 2:
            given = {"h0": unpacked(net, h0[rows]), "skip": SKIP[rows]}
            net.train_step(x[rows], y[rows], optimizer, **given)
        expected = net.flat_params.copy()
        found, _ = trained(batch_size=size, shuffle=False)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    whole, _ = trained(batch_size=B, shuffle=False)
    shuffled, _ = trained(batch_size=B, seed=3)
    np.testing.assert_allclose(shuffled, whole, rtol=1e-10, atol=1e-12)
    _, history = trained(validation_fraction=0.5, optimizer=crnn.SGD(0.0))
    for losses, rows in ((history.loss, slice(2)), (history.val_loss, slice(2, None))):
        given = {"h0": unpacked(net, h0[rows]), "skip": SKIP[rows]}
        assert losses == pytest.approx([net.loss(x[rows], y[rows], **given)] * 2, rel=1e-12)
    # The last of the rows
    validation = {"x": x[rows], "y": y[rows], **given}
    _, history = trained(validation_data=validation, optimizer=crnn.SGD(0.0))
    assert history.val_loss == pytest.approx([net.loss(**validation)] * 2, rel=1e-12)


def test_a_trained_state_waits_where_another_is_given(network_of):
    net = network_of(trainable_h0=True)
    x, y, h0 = problem(net)
    before = net.h0.copy()
    net.train_step(x, y, crnn.SGD(0.1), skip=SKIP, h0=unpacked(net, h0))
    np.testing.assert_array_equal(net.h0, before)
    net.train_step(x, y, crnn.SGD(0.1), skip=SKIP)
    assert (net.h0 != before).all()


@pytest.mark.parametrize("has_h0", [True, False])
def test_truncated_bptt(network_of, has_h0):
    """By hand: a step for each chunk, from the states that the chunk before it left.

    In the second chunk one sequence has no live step; in the third a state is held.
    """
    net = network_of(num_layers=2, trainable_h0=True)
    x, y, h0 = problem(net)
    skip = SKIP.copy()
    skip[2, 3:6] = True
    x[skip] = np.nan
    kept = net.flat_params.copy()
    state, optimizer, losses = unpacked(net, h0) if has_h0 else None, crnn.SGD(0.1), []
    for part in (slice(0, 3), slice(3, 6), slice(6, 7)):
        given = {"h0": state, "skip": skip[:, part]}
        _, state = net.predict(x[:, part], return_state=True, **given)
        losses.append(net.train_step(x[:, part], y[:, part], optimizer, **given))
    expected = net.flat_params.copy()
    net.flat_params[...] = kept
    given = {"h0": unpacked(net, h0) if has_h0 else None, "skip": skip}
    history = net.fit(x, y, epochs=1, bptt=3, shuffle=False, optimizer=crnn.SGD(0.1), **given)
    np.testing.assert_allclose(net.flat_params, expected, rtol=1e-10, atol=1e-12)
    assert history.loss == pytest.approx([np.average(losses, weights=[3, 3, 1])], rel=1e-12)


def test_categories_that_are_skipped(build_network):
    net = build_network(categorical=True)
    x, y = inputs(net), targets(net)
    expected = step_gradient(net, x, y, skip=SKIP)
    # NaN, a missing category, makes floats of all others.
    for nothing in (10**6, -1, np.nan):
        found = step_gradient(net, np.where(SKIP, nothing, x), y, skip=SKIP)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])


def test_rows_of_a_data_set_have_their_states_and_skips():
    h0 = np.arange(24.0).reshape(2, B, 3)
    data = Dataset(np.ones((B, T, 1)), np.ones((B, T, 1)), LENGTHS, None, h0, SKIP,
                   return_sequences=True)  # fmt: skip
    for rows in ([3, 0], [1, 2]):
        batch = data.take(np.array(rows))
        np.testing.assert_array_equal(batch.h0, h0[:, rows])
        longest = LENGTHS[rows].max()
        np.testing.assert_array_equal(batch.skip, SKIP[rows, :longest])
        assert batch.h0.flags.c_contiguous
