"""The losses: by hand, by float64 formulas at every size, weighted, and where numbers are large.

`call` gives `huber` its delta; the others have no such argument.
"""

import math

import numpy as np
import pytest
from kernel_problems import DTYPES, LARGEST_SIZE

dtypes = pytest.mark.parametrize("dtype", DTYPES)

DELTA = 0.75


def softmax(y_hat):
    exponentials = np.exp(y_hat - y_hat.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def one_hot(y_hat, y):
    return np.eye(y_hat.shape[-1])[y]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def huber(error):
    return np.where(abs(error) <= DELTA, error**2 / 2, DELTA * (abs(error) - DELTA / 2))


# By loss: the loss of a step, and its gradient
FORMULAS = {
    "mse": (
        lambda y_hat, y: ((y_hat - y) ** 2).mean(axis=-1),
        lambda y_hat, y: 2 * (y_hat - y) / y.shape[-1],
    ),
    "sse": (lambda y_hat, y: ((y_hat - y) ** 2).sum(axis=-1) / 2, lambda y_hat, y: y_hat - y),
    "cross_entropy": (
        lambda y_hat, y: -np.log((softmax(y_hat) * one_hot(y_hat, y)).sum(axis=-1)),
        lambda y_hat, y: softmax(y_hat) - one_hot(y_hat, y),
    ),
    "binary_cross_entropy": (
        lambda z, y: (-y * np.log(sigmoid(z)) - (1 - y) * np.log(1 - sigmoid(z))).mean(axis=-1),
        lambda z, y: (sigmoid(z) - y) / y.shape[-1],
    ),
    "huber": (
        lambda y_hat, y: huber(y_hat - y).mean(axis=-1),
        lambda y_hat, y: np.clip(y_hat - y, -DELTA, DELTA) / y.shape[-1],
    ),
}
losses = pytest.mark.parametrize("loss", FORMULAS)


def call(kernels, loss, y_hat, y, weights=None, dy=None, delta=DELTA):
    numbers = {"delta": delta} if loss == "huber" else {}
    value = getattr(kernels, loss)(y_hat=y_hat, y=y, weights=weights, dy=dy, **numbers)
    assert type(value) is float
    return value


def example(loss, dtype, B=2, T=3, O=4, weighted=False):
    """Outputs, targets, and weights of which one is 0."""
    rng = np.random.default_rng([B, T, O])
    y_hat = rng.standard_normal((B, T, O)).astype(dtype)
    y = rng.random((B, T, O)).astype(dtype)
    if loss == "cross_entropy":
        y = rng.integers(O, size=(B, T)).astype(np.intp)
    weights = rng.uniform(0.1, 3, (B, T))
    weights[-1, -1] = 0
    return y_hat, y, weights if weighted else None


# Small dyadic numbers, exact in float32: two sequences, three steps, one output
Y_HAT = np.array([[[1.5], [-1.0], [0.75]], [[2.0], [0.25], [-0.5]]])
Y = np.array([[[0.5], [1.0], [0.25]], [[-1.0], [0.25], [0.5]]])
ERROR = np.array([[[1.0], [-2.0], [0.5]], [[3.0], [0.0], [-1.0]]])
WEIGHTS = np.array([[1.0, 0.0, 2.0], [0.5, 4.0, 0.5]])  # the sum is 8
W_ERROR = np.array([[[1.0], [0.0], [1.0]], [[1.5], [0.0], [-0.5]]])
# Clipped to -1 and 1
NEAR = np.array([[[1.0], [-1.0], [0.5]], [[1.0], [0.0], [-1.0]]])
W_NEAR = np.array([[[1.0], [0.0], [1.0]], [[0.5], [0.0], [-0.5]]])
# exp of the logits of the first step is 1, 2, 5 and sums to 8; of the second 3, 4, 1.
LOGITS = np.log([[[1.0, 2.0, 5.0], [3.0, 4.0, 1.0]]])
DIFFERENCE = np.array([[[1.0, -6.0, 5.0], [3.0, 4.0, -7.0]]]) / 8  # softmax - one_hot
# p is 1/2 and 3/4, the targets are 1 and 0.
BINARY_LOGITS = np.array([[[0.0], [math.log(3)]]])
LN2 = 0.6931471805599453

# y_hat, y, weights, and by hand the value and the gradient
BY_HAND = {
    # Squares 1, 4, 0.25, 9, 0, 1: together 15.25. PyTorch's MSELoss: twice the error over 6.
    "mse": (Y_HAT, Y, None, 15.25 / 6, ERROR / 3),
    # 1 + 0 + 0.5 + 4.5 + 0 + 0.5
    "mse weighted": (Y_HAT, Y, WEIGHTS, 6.5 / 8, W_ERROR / 4),
    "sse": (Y_HAT, Y, None, 15.25 / 2, ERROR),
    "sse weighted": (Y_HAT, Y, WEIGHTS, 6.5 / 2, W_ERROR),
    # -(ln(2/8) + ln(1/8)) / 2 = (2 + 3) / 2 ln 2
    "cross_entropy": (LOGITS, [[1, 2]], None, 2.5 * LN2, DIFFERENCE / 2),
    # (3 x 2 + 1 x 3) / 4 ln 2
    "cross_entropy weighted": (
        LOGITS, [[1, 2]], [[3.0, 1.0]], 2.25 * LN2, DIFFERENCE * [[[0.75], [0.25]]],
    ),
    # -ln(1/2) and -ln(1/4)
    "binary_cross_entropy": (
        BINARY_LOGITS, [[[1.0], [0.0]]], None, 1.5 * LN2, [[[-0.25], [0.375]]],
    ),
    # (1 x 1 + 3 x 2) / 4 ln 2
    "binary_cross_entropy weighted": (
        BINARY_LOGITS, [[[1.0], [0.0]]], [[1.0, 3.0]], 1.75 * LN2, [[[-0.125], [0.5625]]],
    ),
    # 0.5, 1.5, 0.125, 2.5, 0, 0.5 where delta is 1
    "huber": (Y_HAT, Y, None, 5.125 / 6, NEAR / 6),
    # 0.5 + 0 + 0.25 + 1.25 + 0 + 0.25
    "huber weighted": (Y_HAT, Y, WEIGHTS, 2.25 / 8, W_NEAR / 8),
}  # fmt: skip


@dtypes
@pytest.mark.parametrize("case", BY_HAND)
def test_by_hand(kernels, assert_close, tolerances, case, dtype):
    loss = case.split()[0]
    y_hat, y, weights, value, gradient = BY_HAND[case]
    y_hat = np.array(y_hat, dtype)
    y = np.array(y, np.intp if loss == "cross_entropy" else dtype)
    weights = None if weights is None else np.array(weights)
    dy = np.full_like(y_hat, np.nan)
    got = call(kernels, loss, y_hat, y, weights, dy, delta=1.0)
    # Of the numbers above only logits are rounded to float32; all sums are taken in float64.
    is_exact = dtype == "float64" or loss in ("mse", "sse", "huber")
    assert got == pytest.approx(value, rel=1e-15 if is_exact else tolerances[dtype])
    assert_close(dy, gradient, dtype=dtype)


@pytest.mark.loops
@dtypes
@losses
@pytest.mark.parametrize("weighted", [False, True])
def test_formulas_at_every_size(kernels, assert_close, tolerances, dtype, loss, weighted):
    of_step, gradient_of_step = FORMULAS[loss]
    for size in range(1, LARGEST_SIZE + 1):
        y_hat, y, weights = example(loss, dtype, O=size, weighted=weighted)
        wide = y_hat.astype(np.float64), y if loss == "cross_entropy" else y.astype(np.float64)
        w = np.ones((2, 3)) if weights is None else weights
        total = 1 if loss == "sse" else w.sum()
        expected = (w * of_step(*wide)).sum() / total
        dy = np.full_like(y_hat, np.nan)
        # The cross entropy of a single class is an exact zero.
        close = pytest.approx(expected, rel=tolerances[dtype], abs=0 if expected else 1e-15)
        assert call(kernels, loss, y_hat, y, weights, dy) == close, size
        assert_close(dy, w[..., None] * gradient_of_step(*wide) / total, dtype=dtype)
        # Without a gradient the value has the same bits; and the gradient may replace the outputs.
        assert call(kernels, loss, y_hat, y, weights) == call(kernels, loss, y_hat, y, weights, dy)
        call(kernels, loss, y_hat, y, weights, y_hat)
        assert y_hat.tobytes() == dy.tobytes(), size


@losses
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_finite_differences(kernels, loss, weighted):
    y_hat, y, weights = example(loss, "float64", weighted=weighted)
    dy = np.empty_like(y_hat)
    call(kernels, loss, y_hat, y, weights, dy)
    step = 1e-6
    for index in np.ndindex(y_hat.shape):
        above, below = y_hat.copy(), y_hat.copy()
        above[index] += step
        below[index] -= step
        slope = call(kernels, loss, above, y, weights) - call(kernels, loss, below, y, weights)
        # Rounding of the values, 1e-16 of up to 10, over 2e-6
        assert dy[index] == pytest.approx(slope / (2 * step), abs=2e-9)


@pytest.mark.native
@dtypes
@losses
def test_twins_agree(native, reference, assert_close, dtype, loss):
    y_hat, y, weights = example(loss, dtype, B=7, T=19, O=13, weighted=True)
    for w in (None, weights):
        ours, theirs = np.empty_like(y_hat), np.empty_like(y_hat)
        value = call(native, loss, y_hat, y, w, ours)
        assert value == pytest.approx(call(reference, loss, y_hat, y, w, theirs), rel=1e-12)
        assert_close(ours, theirs, dtype=dtype)


@pytest.mark.native
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_entropies_of_many_rows(native, reference, assert_close, loss):
    """Native takes them a million elements at a time, between which it looks for signals."""
    y_hat, y, weights = example(loss, "float64", B=2, T=200_003, O=3, weighted=True)
    for w in (None, weights):
        ours, theirs = np.empty_like(y_hat), np.empty_like(y_hat)
        value = call(native, loss, y_hat, y, w, ours)
        assert value == pytest.approx(call(reference, loss, y_hat, y, w, theirs), rel=1e-12)
        # Gradients are divided by 400 000 steps.
        assert_close(4e5 * ours, 4e5 * theirs, dtype="float64")


@dtypes
@losses
def test_arguments_are_left_alone(kernels, dtype, loss):
    arguments = example(loss, dtype, weighted=True)
    before = [array.tobytes() for array in arguments]
    for array in arguments:
        array.flags.writeable = False
    call(kernels, loss, *arguments, dy=np.empty_like(arguments[0]))
    assert [array.tobytes() for array in arguments] == before


@dtypes
@losses
def test_weights_of_one_are_none(kernels, assert_close, tolerances, dtype, loss):
    y_hat, y, _ = example(loss, dtype)
    dy, dy_weighted = np.empty_like(y_hat), np.empty_like(y_hat)
    value = call(kernels, loss, y_hat, y, None, dy)
    weighted = call(kernels, loss, y_hat, y, np.ones((2, 3)), dy_weighted)
    assert weighted == pytest.approx(value, rel=1e-14)
    assert_close(dy_weighted, dy, dtype=dtype)


@dtypes
@losses
def test_step_of_weight_zero_counts_nothing(kernels, dtype, loss):
    y_hat, y, weights = example(loss, dtype, weighted=True)
    dy = np.empty_like(y_hat)
    value = call(kernels, loss, y_hat, y, weights, dy)
    assert not dy[-1, -1].any()
    assert dy[:-1].all()
    y[-1, -1] = 0
    y_hat[-1, -1] = 5
    assert call(kernels, loss, y_hat, y, weights, dy) == value


@dtypes
@losses
def test_weights_that_are_all_zero(kernels, dtype, loss):
    y_hat, y, _ = example(loss, dtype)
    weights, dy = np.zeros((2, 3)), np.full_like(y_hat, 7)
    if loss == "sse":
        assert call(kernels, loss, y_hat, y, weights, dy) == 0
        assert not dy.any()
        return
    with pytest.raises(ValueError, match=r"^weights: expected a sum above 0, got 0$"):
        call(kernels, loss, y_hat, y, weights, dy)
    assert np.all(dy == 7)


@dtypes
@pytest.mark.parametrize("loss", ["mse", "sse", "huber"])
def test_perfect_prediction(kernels, dtype, loss):
    y_hat = Y_HAT.astype(dtype)
    dy = np.empty_like(y_hat)
    assert call(kernels, loss, y_hat, y_hat.copy(), None, dy) == 0.0
    assert np.array_equal(dy, np.zeros_like(y_hat))


@dtypes
def test_cross_entropy_of_large_logits(kernels, assert_close, dtype, tolerances):
    # exp(1000) overflows in both dtypes; only differences of logits may matter.
    near = np.array([[[0.0, 1.0, -2.0, 0.5]]], dtype)
    y = np.array([[2]], dtype=np.intp)
    dy_near, dy_far = np.empty_like(near), np.empty_like(near)
    value = call(kernels, "cross_entropy", near, y, None, dy_near)
    for offset in (1000.0, -1000.0):
        far = (near + np.array(offset, dtype)).astype(dtype)
        # float32 spaces numbers near 1000 by 6e-5, but these logits are exact there.
        close = pytest.approx(value, rel=100 * tolerances[dtype])
        assert call(kernels, "cross_entropy", far, y, None, dy_far) == close
        assert_close(dy_far, dy_near, dtype=dtype)


@dtypes
@pytest.mark.parametrize("size", [2, 3, 7, 18])
def test_the_largest_logit_may_be_that_of_any_class(kernels, assert_close, dtype, size):
    """exp(2000) overflows in both dtypes, so the largest logit has to be found wherever it is."""
    for largest in range(size):
        y_hat = np.linspace(-1, 1, size).reshape(1, 1, size).repeat(2, axis=1).astype(dtype)
        y_hat[0, :, largest] = 2000
        other = (largest + 1) % size
        y, dy = np.array([[largest, other]], np.intp), np.empty_like(y_hat)
        value = call(kernels, "cross_entropy", y_hat, y, None, dy)
        # All of the softmax is with the largest: the loss is 0 for it, for another the difference.
        expected = (2000 - float(y_hat[0, 0, other])) / 2
        assert value == pytest.approx(expected, rel=1e-7), largest
        at_other = (np.eye(size)[largest] - np.eye(size)[other]) / 2
        assert_close(dy, [[np.zeros(size), at_other]], dtype=dtype)


@dtypes
def test_cross_entropy_of_a_hopeless_class(kernels, dtype):
    # The softmax of the right class underflows to zero, but its logarithm is -200.
    y_hat = np.array([[[0.0, 200.0]]], dtype)
    y, dy = np.array([[0]], dtype=np.intp), np.empty_like(y_hat)
    assert call(kernels, "cross_entropy", y_hat, y, None, dy) == pytest.approx(200.0, rel=1e-7)
    np.testing.assert_allclose(dy, [[[-1.0, 1.0]]], rtol=1e-7)


@dtypes
def test_binary_cross_entropy_of_large_logits(kernels, dtype):
    one = np.ones((1, 1, 1), dtype)
    for logit in (20.0, 80.0, 800.0, 1e30):
        z, dy = np.array([[[logit]]], dtype), np.empty((1, 1, 1), dtype)
        value = call(kernels, "binary_cross_entropy", z, one, None, dy)
        assert value == pytest.approx(math.exp(-logit), rel=1e-6, abs=0)
        assert call(kernels, "binary_cross_entropy", -z, one) == pytest.approx(logit, rel=1e-6)
        # p - 1 = -exp(-z) keeps its digits, as far as the dtype reaches.
        reaches = math.exp(-logit) > np.finfo(dtype).tiny
        assert dy.item() == pytest.approx(-math.exp(-logit), rel=1e-5, abs=0 if reaches else 1e-37)


@dtypes
@losses
def test_nan_output_gives_nan_loss(kernels, dtype, loss):
    # Divergence is found by the loss, so that a NaN must not be lost in a maximum.
    for position in range(3):
        y_hat = np.array([[[0.5, 0.25, 1.0], [0.25, 0.5, 0.75]]], dtype)
        y_hat[0, 0, position] = np.nan
        y = np.zeros((1, 2), np.intp) if loss == "cross_entropy" else np.zeros_like(y_hat)
        for weights in (None, np.array([[1.0, 0.5]])):
            assert np.isnan(call(kernels, loss, y_hat, y, weights))


@dtypes
@pytest.mark.parametrize("loss", ["mse", "sse", "huber"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sum_over_many_elements_keeps_its_digits(kernels, dtype, loss, weighted):
    # One float32 accumulator over 600 000 equal terms would be off by more than a per cent.
    y_hat, y = np.full((20, 3000, 10), 0.1, dtype), np.zeros((20, 3000, 10), dtype)
    square = float(y_hat[0, 0, 0]) ** 2
    expected = {"mse": square, "sse": 300_000 * square, "huber": square / 2}[loss]
    weights = np.ones((20, 3000)) if weighted else None
    assert call(kernels, loss, y_hat, y, weights) == pytest.approx(expected, rel=1e-6)
