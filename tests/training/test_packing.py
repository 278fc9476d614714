"""Sequences packed end to end: the rows, what a network computes, and what is refused."""

import numpy as np
import pytest
from network_problems import I, O, network

import crnn

LENGTHS = [9, 1, 4, 4, 12, 2, 7]
rng = np.random.default_rng(0)
X = [rng.standard_normal((n, I)) for n in LENGTHS]
Y = [rng.standard_normal((n, O)) for n in LENGTHS]


def test_rows_are_of_about_equal_length():
    packed = crnn.pack(X, Y, rows=3)
    # 12, 9, 7; then 4 to 7, 4 to 9, 2 to 11, 1 to 12: the first of the shortest rows
    assert packed.lengths.tolist() == [13, 13, 13]
    assert packed.places[[4, 0, 6]].tolist() == [[0, 0, 12], [1, 0, 9], [2, 0, 7]]
    assert packed.resets.sum() == len(X)
    assert packed.x.shape == (3, 13, I)
    for number, (row, first, n) in enumerate(packed.places):
        assert n == LENGTHS[number]
        assert packed.resets[row, first]
        assert np.array_equal(packed.x[row, first : first + n], X[number])
        assert np.array_equal(packed.y[row, first : first + n], Y[number])
    for back, given in zip(packed.unpack(packed.y), Y, strict=True):
        assert np.array_equal(back, given)


def test_training_is_that_of_a_list():
    """A step on all sequences has the loss and the gradient of a list of them."""
    packed = crnn.pack(X, Y, rows=2)
    net, twin = network(trainable_h0=True), network(trainable_h0=True)
    for _ in range(3):
        loss = net.train_step(
            packed.x, packed.y, crnn.SGD(0.1), lengths=packed.lengths, resets=packed.resets
        )
        assert loss == pytest.approx(twin.train_step(X, Y, crnn.SGD(0.1)), rel=1e-12)
    np.testing.assert_allclose(net.flat_params, twin.flat_params, rtol=1e-10, atol=1e-12)
    outputs = net.predict(packed.x, lengths=packed.lengths, resets=packed.resets)
    for part, expected in zip(packed.unpack(outputs), twin.predict(X), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-9, atol=1e-10)


def test_masks_are_packed_like_targets():
    masks = [np.array([0.5, *[1] * (n - 1)]) for n in LENGTHS]
    packed, weights = crnn.pack(X, Y, rows=2), crnn.pack(X, masks, rows=2).y
    net = network()
    kept = {"lengths": packed.lengths, "resets": packed.resets}
    loss = net.loss(packed.x, packed.y, mask=weights, **kept)
    assert loss == pytest.approx(net.loss(X, Y, mask=masks), rel=1e-12)


def test_categories_without_targets():
    codes = [rng.integers(I, size=n) for n in LENGTHS]
    packed = crnn.pack(codes, rows=1)
    assert packed.y is None
    assert packed.x.dtype.kind == "i"
    assert packed.x.shape == packed.resets.shape == (1, sum(LENGTHS))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crnn.pack(X, rows=0), "rows: expected at least 1, got 0"),
        (lambda: crnn.pack(X, rows=8), "rows: expected at most 7, the sequences, got 8"),
        (lambda: crnn.pack([], rows=1), "x: expected a list of arrays, got an empty one"),
        (lambda: crnn.pack(X[0], rows=1), "x: expected a list of arrays, got ndarray"),
        (
            lambda: crnn.pack([*X, X[0][:0]], rows=1),
            r"x\[7\]: expected an array of at least one step, got shape \(0, 3\)",
        ),
        (
            lambda: crnn.pack([X[0], Y[1]], rows=1),
            r"x\[1\]: expected steps of shape \(3,\), as x\[0\] has, got \(2,\)",
        ),
        (
            lambda: crnn.pack(X, Y[:3], rows=1),
            "y: expected a list of 7 arrays, as x is, got 3",
        ),
        (
            lambda: crnn.pack(X, [*Y[:5], Y[5][:1], Y[6]], rows=1),
            r"y\[5\]: expected 2 steps, as x\[5\] has, got 1",
        ),
        (
            lambda: crnn.pack(X, rows=3).unpack(np.zeros((2, 13))),
            r"values: expected shape \(rows=3, time=13, \.\.\.\), got \(2, 13\)",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
