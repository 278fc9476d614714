"""The losses: values and gradients worked out by hand, stability, and their use by a network."""

import numpy as np
import pytest

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Small dyadic numbers, exact in float32: two sequences, three steps, one output; the errors
# y_hat - y are 1, -2, 0.5, 3, 0 and -1, their squares 1, 4, 0.25, 9, 0 and 1: together 15.25.
Y_HAT = [[[1.5], [-1.0], [0.75]], [[2.0], [0.25], [-0.5]]]
Y = [[[0.5], [1.0], [0.25]], [[-1.0], [0.25], [0.5]]]
ERROR = np.array([[[1.0], [-2.0], [0.5]], [[3.0], [0.0], [-1.0]]])
SUM_OF_SQUARES = 15.25


def arrays(dtype):
    return np.array(Y_HAT, dtype), np.array(Y, dtype), np.full((2, 3, 1), np.nan, dtype)


@dtypes
def test_mse_by_hand(kernels, assert_close, dtype):
    y_hat, y, dy = arrays(dtype)
    value = kernels.mse(y_hat=y_hat, y=y, dy=dy)
    assert type(value) is float
    # 15.25 / 6 is no dyadic number, and float32 accumulation would round it at 6e-8.
    assert value == pytest.approx(SUM_OF_SQUARES / 6, rel=1e-15 if dtype == "float64" else 1e-7)
    # PyTorch's MSELoss: twice the error, divided by the number of elements.
    assert_close(dy, ERROR / 3, dtype=dtype)


@dtypes
def test_sse_by_hand(kernels, dtype):
    y_hat, y, dy = arrays(dtype)
    value = kernels.sse(y_hat=y_hat, y=y, dy=dy)
    assert type(value) is float
    assert value == SUM_OF_SQUARES / 2
    assert dy.dtype == dtype
    assert np.array_equal(dy, ERROR)


@dtypes
def test_cross_entropy_by_hand(kernels, assert_close, dtype, tolerances):
    # exp of the logits of the first step is 1, 2, 5 and sums to 8; of the second 3, 4, 1.
    y_hat = np.log(np.array([[[1.0, 2.0, 5.0], [3.0, 4.0, 1.0]]])).astype(dtype)
    y = np.array([[1, 2]], dtype=np.intp)
    dy = np.full(y_hat.shape, np.nan, dtype)
    value = kernels.cross_entropy(y_hat=y_hat, y=y, dy=dy)
    assert type(value) is float
    # -(ln(2/8) + ln(1/8)) / 2 = (ln 4 + ln 8) / 2 = 2.5 ln 2.
    assert value == pytest.approx(2.5 * 0.6931471805599453, rel=tolerances[dtype])
    # Softmax minus one-hot, divided by the two steps of the mean.
    expected = [[[1 / 16, -6 / 16, 5 / 16], [3 / 16, 4 / 16, -7 / 16]]]
    assert_close(dy, expected, dtype=dtype)


@dtypes
@pytest.mark.parametrize("name", ["mse", "sse", "cross_entropy"])
def test_value_without_gradient_is_the_same(kernels, dtype, name):
    rng = np.random.default_rng(0)
    y_hat = rng.standard_normal((3, 5, 4)).astype(dtype)
    y = rng.standard_normal((3, 5, 4)).astype(dtype)
    if name == "cross_entropy":
        y = rng.integers(4, size=(3, 5)).astype(np.intp)
    loss = getattr(kernels, name)
    before = y_hat.copy(), y.copy()
    assert loss(y_hat=y_hat, y=y, dy=None) == loss(y_hat=y_hat, y=y, dy=np.empty_like(y_hat))
    assert np.array_equal(y_hat, before[0])
    assert np.array_equal(y, before[1])


@dtypes
@pytest.mark.parametrize("name", ["mse", "sse"])
def test_perfect_prediction(kernels, dtype, name):
    y_hat, _, dy = arrays(dtype)
    assert getattr(kernels, name)(y_hat=y_hat, y=y_hat.copy(), dy=dy) == 0.0
    assert np.array_equal(dy, np.zeros_like(y_hat))


@dtypes
def test_cross_entropy_of_large_logits(kernels, assert_close, dtype, tolerances):
    # exp(1000) overflows in both dtypes; only differences of logits may matter.
    near = np.array([[[0.0, 1.0, -2.0, 0.5]]], dtype)
    y = np.array([[2]], dtype=np.intp)
    dy_near, dy_far = np.empty_like(near), np.empty_like(near)
    value = kernels.cross_entropy(near, y, dy_near)
    for offset in (1000.0, -1000.0):
        far = (near + np.array(offset, dtype)).astype(dtype)
        assert kernels.cross_entropy(far, y, dy_far) == pytest.approx(
            # float32 spaces numbers near 1000 by 6e-5, but these logits are exact there.
            value,
            rel=100 * tolerances[dtype],
        )
        assert_close(dy_far, dy_near, dtype=dtype)


@dtypes
def test_cross_entropy_of_a_hopeless_class(kernels, dtype):
    # The softmax of the right class underflows to zero, but its logarithm is -200.
    y_hat = np.array([[[0.0, 200.0]]], dtype)
    dy = np.empty_like(y_hat)
    assert kernels.cross_entropy(y_hat, np.array([[0]]), dy) == pytest.approx(200.0, rel=1e-7)
    np.testing.assert_allclose(dy, [[[-1.0, 1.0]]], rtol=1e-7)


@dtypes
@pytest.mark.parametrize("name", ["mse", "sse", "cross_entropy"])
def test_nan_output_gives_nan_loss(kernels, dtype, name):
    # Divergence is found by the loss, so that a NaN must not be lost in a maximum.
    y_hat = np.array([[[0.5, np.nan, 1.0], [0.25, 0.5, 0.75]]], dtype)
    y = np.zeros((1, 2), np.intp) if name == "cross_entropy" else np.zeros_like(y_hat)
    assert np.isnan(getattr(kernels, name)(y_hat, y, None))


@dtypes
@pytest.mark.parametrize("name", ["mse", "sse"])
def test_sum_over_many_elements_keeps_its_digits(kernels, dtype, name):
    # One float32 accumulator over 600 000 equal terms would be off by more than a per cent.
    y_hat, y = np.full((20, 3000, 10), 0.1, dtype), np.zeros((20, 3000, 10), dtype)
    square = float(y_hat[0, 0, 0]) ** 2
    expected = square if name == "mse" else 300_000 * square
    assert getattr(kernels, name)(y_hat, y, None) == pytest.approx(expected, rel=1e-6)


@dtypes
@pytest.mark.parametrize("name", ["mse", "sse", "cross_entropy"])
def test_loss_of_a_network(build_network, dtype, name, tolerances):
    net = build_network(input_size=2, hidden_size=6, output_size=3, dtype=dtype, seed=1)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 5, 2)).astype(dtype)
    y_hat = net.predict(x=x).astype(np.float64)
    if name == "cross_entropy":
        y = rng.integers(3, size=(4, 5))
        log_total = np.log(np.exp(y_hat).sum(axis=-1))
        expected = np.mean(log_total - np.take_along_axis(y_hat, y[..., np.newaxis], -1)[..., 0])
    else:
        y = rng.standard_normal((4, 5, 3)).astype(dtype)
        squares = (y_hat - y) ** 2
        expected = squares.mean() if name == "mse" else squares.sum() / 2
    value = net.loss(x=x, y=y, loss=name)
    assert type(value) is float
    assert value == pytest.approx(expected, rel=tolerances[dtype])


@pytest.mark.parametrize("name", ["mse", "sse", "cross_entropy"])
def test_loss_of_one_sequence(build_network, name):
    net = build_network(input_size=2, hidden_size=6, output_size=3, seed=1)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 2))
    y = rng.integers(3, size=5) if name == "cross_entropy" else rng.standard_normal((5, 3))
    batch_of_one = net.loss(x=x[np.newaxis], y=y[np.newaxis], loss=name)
    assert net.loss(x=x, y=y, loss=name) == batch_of_one


@pytest.mark.parametrize("integer", ["int8", "uint8", "int32", "int64", "uint64", ">i4"])
def test_class_numbers_of_any_integer_type(build_network, integer):
    net = build_network(input_size=2, hidden_size=6, output_size=3, seed=1)
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((4, 5, 2)), rng.integers(3, size=(4, 5))
    expected = net.loss(x=x, y=y, loss="cross_entropy")
    assert net.loss(x=x, y=y.astype(integer), loss="cross_entropy") == expected
    assert net.loss(x=x, y=y.tolist(), loss="cross_entropy") == expected
