"""Training on sequences of several lengths, weighted steps, and truncated BPTT."""

import numpy as np
import pytest
from network_problems import as_list, step_gradient

import crnn
from crnn._training.data import Dataset

LENGTHS = np.array([5, 2, 7, 1, 6])


@pytest.fixture
def net_of(build_network):
    def build(**settings):
        return build_network(3, 4, 2, **settings)

    return build


def data(seed=0, batch=5, time=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, time, 3)), rng.normal(size=(batch, time, 2))


def as_lists(*arrays):
    return [as_list(array, LENGTHS) for array in arrays]


@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}])
def test_loss_and_gradient_are_those_of_the_steps_there_are(net_of, settings):
    """By hand: each sequence on its own, and the mean over all steps of all of them."""
    net, (x, y) = net_of(**settings), data()
    total, gradient, steps = 0.0, np.zeros(net.flat_params.size), LENGTHS.sum()
    for x_b, y_b in zip(*as_lists(x, y), strict=True):
        tape = net.forward(x_b)
        error = tape.y - y_b
        total += np.sum(error**2) / (2 * steps)
        gradient += net.backward(tape, 2 * error / (2 * steps)).flat
    padded_x, padded_y = x.copy(), y.copy()
    for b, n in enumerate(LENGTHS):
        padded_x[b, n:] = np.nan  # nobody's numbers
        padded_y[b, n:] = np.nan
    loss, found = step_gradient(net, padded_x, padded_y, lengths=LENGTHS)
    assert loss == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(found, gradient, rtol=1e-9, atol=1e-12)
    assert net.loss(padded_x, padded_y, lengths=LENGTHS) == pytest.approx(total, rel=1e-12)
    loss, found = step_gradient(net, *as_lists(x, y))
    assert loss == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(found, gradient, rtol=1e-9, atol=1e-12)
    assert net.loss(*as_lists(x, y)) == pytest.approx(total, rel=1e-12)


def test_a_mask_weighs_steps(net_of):
    net, (x, y) = net_of(), data()
    mask = np.random.default_rng(3).uniform(0, 2, (5, 7)) * (np.arange(7) != 4)
    tape = net.forward(x)
    error = tape.y - y
    share = mask[..., None] / (2 * mask.sum())
    loss, found = step_gradient(net, x, y, mask=mask)
    assert loss == pytest.approx(np.sum(share * error**2), rel=1e-12)
    expected = net.backward(tape, 2 * share * error).flat
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    changed = y.copy()
    changed[:, 4] += 100  # what weighs nothing
    assert step_gradient(net, x, changed, mask=mask)[0] == loss
    # With lengths, what the mask says past the end counts nothing either.
    inside = np.arange(7) < LENGTHS[:, None]
    both = step_gradient(net, x, y, mask=mask, lengths=LENGTHS)[1]
    alone = step_gradient(net, x, y, mask=mask * inside)[1]
    np.testing.assert_allclose(both, alone, rtol=1e-9, atol=1e-12)
    ragged = step_gradient(net, *as_lists(x, y), mask=as_lists(mask)[0])[1]
    np.testing.assert_allclose(ragged, both, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weighting", ["mask", "lengths", "class weights"])
def test_parts_of_a_large_set_weigh_what_counts_in_them(net_of, weighting):
    """`loss` and validation take 256 sequences at a time; here the rest weighs much more."""
    net, (x, y) = net_of(), data(batch=300)
    is_rest = np.arange(300) >= 256
    lengths, loss, options = np.full(300, 7), "mse", {}
    weights = np.ones((300, 7))
    if weighting == "mask":
        weights = np.random.default_rng(3).uniform(0.1, 1, (300, 7)) + 20 * is_rest[:, None]
        options = {"mask": weights}
    elif weighting == "lengths":
        lengths = np.where(is_rest, 7, 1)
        weights = 1.0 * (np.arange(7) < lengths[:, None])
        options = {"lengths": lengths}
    errors = ((net.predict(x) - y) ** 2).mean(axis=-1)
    if weighting == "class weights":
        y = np.repeat(is_rest[:, None], 7, axis=1).astype(int)
        loss = crnn.losses.CrossEntropy(class_weight=[1, 20])
        weights = np.array([1.0, 20.0])[y]
        logits = net.predict(x)
        right = np.take_along_axis(logits, y[..., None], -1)[..., 0]
        errors = np.log(np.exp(logits).sum(axis=-1)) - right
    expected = np.sum(weights * errors) / np.sum(weights)
    assert net.loss(x, y, loss, **options) == pytest.approx(expected, rel=1e-12)
    if weighting == "mask":
        # A triple's third part are the weights.
        return
    validation = (as_list(x, lengths), as_list(y, lengths))
    history = net.fit(
        x[:4], y[:4], epochs=1, loss=loss, optimizer=crnn.SGD(0.0), validation_data=validation
    )
    assert history.val_loss == pytest.approx([expected], rel=1e-12)


def test_classes_of_padding_may_be_none(net_of):
    net, (x, _) = net_of(), data()
    y = np.random.default_rng(0).integers(0, 2, (5, 7))
    padded = np.where(np.arange(7) < LENGTHS[:, None], y, -100)
    loss = net.loss(x, padded, "cross_entropy", lengths=LENGTHS)
    logits, classes = np.concatenate(net.predict(as_lists(x)[0])), np.concatenate(as_lists(y)[0])
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(len(classes)), classes]).mean()
    assert loss == pytest.approx(expected, rel=1e-12)
    assert net.loss(*as_lists(x, y), "cross_entropy") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("settings", [{}, {"return_sequences": False}])
def test_fit_takes_lists_as_arrays_with_lengths(net_of, settings):
    x, y = data()
    if settings:
        y = y[:, 0]
    lists = [as_lists(x)[0], y] if settings else as_lists(x, y)
    results = []
    for arguments, lengths in (((x, y), LENGTHS), (lists, None)):
        net = net_of(**settings)
        history = net.fit(
            *arguments, lengths=lengths, epochs=4, batch_size=2, optimizer=crnn.Adam(0.01), seed=3
        )
        results.append((history.loss, net.flat_params.copy()))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])
    assert results[0][0][-1] < results[0][0][0]


def test_batches_hold_sequences_of_about_one_length(net_of):
    rng = np.random.default_rng(0)
    x = [np.zeros((n, 3)) for n in rng.integers(1, 1000, 512)]
    dataset = Dataset(x, [a[:, :2] for a in x], None, None, return_sequences=True)
    seen, padded, orders = [], 0, []
    for _ in range(2):
        rows = list(dataset.rows(16, rng))
        orders.append([tuple(batch) for batch in rows])
        for batch in rows:
            taken = dataset.take(batch)
            padded += taken.x.shape[0] * taken.x.shape[1]
            assert taken.x.shape[1] == taken.lengths.max()
        seen = np.sort(np.concatenate(rows))
        assert np.array_equal(seen, np.arange(512))
    assert padded < 1.1 * 2 * sum(map(len, x))
    assert orders[0] != orders[1]


def chunks_by_hand(net, x, y, lengths, k):
    """Truncated BPTT with steps of SGD(0.1): the loss of each chunk, and the parameters."""
    h, losses = None, []
    for first in range(0, x.shape[1], k):
        part = slice(first, first + k)
        left = np.clip(lengths - first, 0, k)
        if not left.any():
            break
        inside = np.arange(min(k, x.shape[1] - first)) < left[:, None]
        # Those who have ended stay where they are; they take part with no step that counts.
        tape = net.forward(x[:, part], h, lengths=np.maximum(left, 1))
        error = (tape.y - y[:, part]) * inside[..., None]
        losses.append((np.sum(error**2) / (2 * inside.sum()), inside.sum()))
        gradients = net.backward(tape, 2 * error / (2 * inside.sum()))
        if net.trainable_h0 and h is not None:
            gradients["h0"][...] = 0  # these states are not the trained ones
        ended = left == 0
        h_n = tape.h_n.copy()
        if h is not None:
            h_n[ended] = h[ended]
        h = h_n
        net.flat_params[...] -= 0.1 * gradients.flat
    total = sum(loss * steps for loss, steps in losses)
    return total / sum(steps for _, steps in losses)


@pytest.mark.parametrize("lengths", [np.full(5, 7), LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("k", [1, 3, 7, 50])
@pytest.mark.parametrize("trainable_h0", [False, True])
def test_truncated_bptt_by_hand(net_of, lengths, k, trainable_h0):
    """The states that a chunk gets from the one before pass nothing on to a trained h0."""
    x, y = data()
    by_hand, net = (net_of(trainable_h0=trainable_h0) for _ in range(2))
    expected = chunks_by_hand(by_hand, x, y, lengths, k)
    history = net.fit(
        x, y, lengths=lengths, epochs=1, batch_size=5, optimizer=crnn.SGD(0.1), bptt=k,
        shuffle=False,
    )  # fmt: skip
    np.testing.assert_allclose(net.flat_params, by_hand.flat_params, rtol=1e-9, atol=1e-12)
    assert history.loss[0] == pytest.approx(expected, rel=1e-9)


def test_truncated_bptt_starts_each_sequence_anew(net_of):
    """Two sequences one after the other are not one long sequence."""
    x, y = data(batch=2)
    apart, together = net_of(), net_of()
    settings = {"epochs": 1, "optimizer": None, "bptt": 3, "shuffle": False}
    apart.fit(x, y, **settings | {"optimizer": crnn.SGD(0.1)}, batch_size=1)
    long_x, long_y = x.reshape(1, 14, 3), y.reshape(1, 14, 2)
    together.fit(long_x, long_y, **settings | {"optimizer": crnn.SGD(0.1)})
    assert not np.allclose(apart.flat_params, together.flat_params)
    by_hand = net_of()
    for b in range(2):
        chunks_by_hand(by_hand, x[b : b + 1], y[b : b + 1], np.array([7]), 3)
    np.testing.assert_allclose(apart.flat_params, by_hand.flat_params, rtol=1e-9, atol=1e-12)
