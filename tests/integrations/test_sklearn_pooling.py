import numpy as np
import pytest

import crnn
from crnn.losses import MSE, CrossEntropy
from crnn.sklearn.pooling import PooledLoss, outputs_per_step, pooled

B, T, O = 3, 7, 2
LENGTHS = np.array([7, 1, 4])


@pytest.fixture(params=[False, True], ids=["mean", "with ends"])
def of_steps(request):
    outputs = outputs_per_step(O, with_ends=request.param)
    return np.random.default_rng(0).normal(0, 2, (B, T, outputs))


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_outputs_of_sequences(of_steps, lengths):
    """By loops over what the module's docstring says."""
    y = pooled(of_steps, O, lengths).y
    assert y.shape == (B, O)
    for b in range(B):
        end = T if lengths is None else lengths[b]
        p = [np.exp(of_steps[b, t, -1]) for t in range(end)]
        for o in range(O):
            expected = sum(p[t] * of_steps[b, t, o] for t in range(end)) / sum(p)
            if of_steps.shape[2] == 7:
                expected += of_steps[b, 0, O + o] + of_steps[b, end - 1, 2 * O + o]
            assert y[b, o] == pytest.approx(expected, rel=1e-12)


def test_what_stands_past_the_end_counts_nothing(of_steps):
    y = pooled(of_steps, O, LENGTHS).y
    for b, end in enumerate(LENGTHS):
        of_steps[b, end:] = 1e6
    np.testing.assert_array_equal(pooled(of_steps, O, LENGTHS).y, y)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("loss", [MSE(), CrossEntropy()])
def test_gradient_is_that_of_the_value(of_steps, loss, is_weighted):
    rng = np.random.default_rng(1)
    y = np.array([1, 0, 1]) if loss.of_classes else rng.normal(size=(B, O))
    y = np.repeat(y[:, None], T, axis=1)
    weights = None
    if is_weighted:
        weights = (np.arange(T) < LENGTHS[:, None]) * (np.array([2.0, 0.5, 1.0]) / LENGTHS)[:, None]
    pooling = PooledLoss(loss, O)
    gradient = pooling.gradient(of_steps, y, weights)
    for index in np.ndindex(of_steps.shape):
        step = np.zeros_like(of_steps)
        step[index] = 1e-5
        higher, lower = (pooling.value(of_steps + sign * step, y, weights) for sign in (1, -1))
        assert gradient[index] == pytest.approx((higher - lower) / 2e-5, abs=1e-9)


def test_weights_are_those_of_sequences(of_steps):
    y = np.random.default_rng(1).normal(size=(B, T, O))
    y[...] = y[:, :1]
    inside = np.arange(T) < LENGTHS[:, None]
    of_sequences = np.array([2.0, 0.5, 1.0])
    weights = inside * (of_sequences / LENGTHS)[:, None]
    errors = ((pooled(of_steps, O, LENGTHS).y - y[:, 0]) ** 2).mean(axis=1)
    expected = (of_sequences * errors).sum() / of_sequences.sum()
    assert PooledLoss(MSE(), O).value(of_steps, y, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("with_ends", [False, True])
def test_fit_takes_it(implementation, with_ends):
    """The class is a mark on any step of 40; the network finds it and forgets the noise."""
    rng = np.random.default_rng(0)
    x, kinds = rng.normal(0, 0.3, (120, 40, 1)), rng.integers(0, 2, 120)
    x[np.arange(120), rng.integers(0, 40, 120), 0] += np.where(kinds, 3, -3)
    outputs = outputs_per_step(2, with_ends=with_ends)
    net = crnn.RNN(1, 8, outputs, seed=0, implementation=implementation)
    targets = np.repeat(kinds[:, None], 40, axis=1)
    net.fit(
        x, targets, epochs=30, batch_size=20, optimizer=crnn.Adam(0.01),
        loss=PooledLoss(CrossEntropy(), 2), clip_norm=1.0,
    )  # fmt: skip
    assert (pooled(net.predict(x), 2).y.argmax(axis=1) == kinds).mean() > 0.95
