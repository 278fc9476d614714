"""tanh and the sigmoid as the kernels compute them: accuracy, range, order, signs, NaN."""

import numpy as np
import pytest
from kernel_problems import DTYPES

pytestmark = pytest.mark.loops

dtypes = pytest.mark.parametrize("dtype", DTYPES)


def forward(kernels, cell, x, W_xh, W_hh, b_h, states=1, gates=None):
    """The last states of one step from zero."""
    dtype, B, H = x.dtype, len(x), W_hh.shape[1]
    h = np.zeros((B, 2, states * H), dtype)
    size = kernels.layer_workspace_size(cell, 1, B, x.shape[2], H, dtype)
    kernels.rnn_forward(
        cell, x, W_xh, W_hh, b_h, h, gates, None, False, None, None, np.empty(size, dtype)
    )
    return h[:, 1]


def tanh_of(kernels, values):
    """One unit, a value a sequence: W_xh = 1, W_hh = 0, b_h = 0."""
    dtype = values.dtype
    one, zero = np.ones((1, 1), dtype), np.zeros((1, 1), dtype)
    x = values.reshape(-1, 1, 1)
    return forward(kernels, "tanh", x, one, zero, np.zeros(1, dtype))[:, 0]


def wide_tanh_of(kernels, values):
    """A unit a value, where whole vectors are at work."""
    dtype, H = values.dtype, len(values)
    W_xh, W_hh = np.ascontiguousarray(values.reshape(H, 1)), np.zeros((H, H), dtype)
    x = np.ones((1, 1, 1), dtype)
    return forward(kernels, "tanh", x, W_xh, W_hh, np.zeros(H, dtype))[0]


def sigmoid_of(kernels, values):
    """The gate r of one GRU unit a sequence, whose weights but W_xr are zero."""
    dtype, B = values.dtype, len(values)
    gates = np.empty((B, 1, 4), dtype)
    W_xh, W_hh = np.array([[1], [0], [0]], dtype), np.zeros((3, 1), dtype)
    x, b_h = values.reshape(B, 1, 1), np.zeros(4, dtype)
    forward(kernels, "gru", x, W_xh, W_hh, b_h, gates=gates)
    return gates[:, 0, 0]


def around(values, steps):
    """Every number up to so many steps of the last place away from each of the values."""
    integer = f"i{values.itemsize}"
    bits = values.view(integer)[:, None] + np.arange(-steps, steps + 1, dtype=integer)
    return np.unique(bits.ravel()).view(values.dtype)


def positive_arguments(dtype):
    """In order: dense where formulas change, and all over the rest."""
    # Above 0.34 e^(2x) = 2^n e^r takes another n each ln(2) / 2, halfway between its multiples.
    changes = [0.625, 1.25, 9.1, 19.1, *(np.log(2) / 2 * (np.arange(56) + 0.5))]
    rng = np.random.default_rng(0)
    return np.unique(
        np.concatenate(
            [
                around(np.array(changes, dtype), 300), np.linspace(0, 2, 20_001)[1:].astype(dtype),
                np.linspace(2, 25, 5_001).astype(dtype), np.logspace(-30, 30, 2_001).astype(dtype),
                np.exp(rng.uniform(-3, 3, 100_000)).astype(dtype),
            ]
        )
    )  # fmt: skip


@dtypes
@pytest.mark.parametrize("tanh", [tanh_of, wide_tanh_of], ids=["one unit", "many units"])
def test_tanh_is_accurate_bounded_monotone_and_odd(kernels, dtype, tanh):
    values = positive_arguments(dtype)
    if tanh is wide_tanh_of:
        values = values[:: len(values) // 1500]  # W_hh is their square
    expected = np.tanh(values.astype(np.longdouble))
    result = tanh(kernels, values)
    assert result.dtype == dtype
    error = np.abs(result - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= 2, values[np.argmax(error)]
    assert result.max() == 1.0
    # Neighbours may be a unit in the last place out of order: each is up to two off the truth.
    assert np.all(np.diff(result) >= -np.spacing(result[1:])), "not monotone"
    assert np.array_equal(tanh(kernels, -values), -result)


@dtypes
def test_tanh_is_monotone_on_a_fine_sweep(kernels, dtype):
    result = tanh_of(kernels, np.linspace(-20, 20, 2_000_001).astype(dtype))
    assert np.all(np.diff(result) >= 0)
    assert (result[0], result[-1]) == (-1, 1)


@pytest.mark.native
@dtypes
def test_tanh_of_zeros_keeps_their_sign(native, dtype):
    # Sums of negative zeros alone, W_xh x = -0 x 1 and W_hh h_0 = -0 x 0, and of more than one
    # sequence: other sums start from a positive zero.
    W_xh, b_h = np.array([[-0.0], [0.0]], dtype), np.array([-0.0, 0.0], dtype)
    W_hh = np.full((2, 2), -0.0, dtype)
    h = forward(native, "tanh", np.ones((2, 1, 1), dtype), W_xh, W_hh, b_h)
    assert np.array_equal(h, np.zeros((2, 2)))
    assert np.array_equal(np.signbit(h[0]), [True, False])


@dtypes
def test_tanh_of_nan_and_infinities(kernels, dtype):
    values = np.array([0.5, np.nan, -0.5, 3.0], dtype)
    assert np.array_equal(np.isnan(tanh_of(kernels, values)), [False, True, False, False])
    infinite = np.array([np.inf, -np.inf], dtype)
    assert np.array_equal(tanh_of(kernels, infinite), np.array([1.0, -1.0], dtype))


@dtypes
def test_sigmoid_is_accurate_also_where_it_is_small(kernels, dtype):
    values = positive_arguments(dtype)
    values = np.unique(np.concatenate([values, -values]))
    # Below, the inverse of 1 + e^-x leaves the range of whole precision.
    values = values[values > (-87 if dtype == "float32" else -700)]
    expected = 1 / (1 + np.exp(-values.astype(np.longdouble)))
    result = sigmoid_of(kernels, values)
    assert result.dtype == dtype
    error = np.abs(result - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= 4, values[np.argmax(error)]
    beyond = sigmoid_of(kernels, np.array([-1e30, -1000, 1000, np.inf, -np.inf, np.nan], dtype))
    assert np.array_equal(beyond[2:4], [1, 1])
    assert np.all(beyond[[0, 1, 4]] < 1e-37)
    assert np.isnan(beyond[5])
