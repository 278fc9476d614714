"""Norms, clipping, and the optimizers' steps: every size, and numbers that leave the range."""

import numpy as np
import pytest
from kernel_problems import DTYPES, LARGEST_SIZE

dtypes = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.loops
@dtypes
def test_vector_kernels_at_every_size(kernels, assert_close, dtype):
    for size in range(1, LARGEST_SIZE + 1):
        values = np.random.default_rng(size).standard_normal(size).astype(dtype)
        norm = np.sqrt(np.sum(values.astype(np.float64) ** 2))
        assert kernels.all_finite(values) is True
        assert kernels.global_norm(values) == pytest.approx(norm, rel=1e-14)

        clipped = values.copy()
        assert kernels.clip_norm(clipped, norm / 3) == pytest.approx(norm, rel=1e-14)
        assert_close(clipped, values.astype(np.float64) / 3, dtype=dtype)

        clipped = values.copy()
        assert kernels.clip_value(clipped, 0.5) is None
        assert np.array_equal(clipped, np.clip(values, -0.5, 0.5))


def sgd(theta, g, velocity, *, lr, momentum, nesterov, weight_decay):
    g = g + weight_decay * theta
    velocity = momentum * velocity + g
    return theta - lr * (g + momentum * velocity if nesterov else velocity), velocity


def rmsprop(theta, g, square, velocity, *, lr, alpha, eps, momentum, weight_decay):
    g = g + weight_decay * theta
    square = alpha * square + (1 - alpha) * g**2
    velocity = momentum * velocity + g / (np.sqrt(square) + eps)
    return theta - lr * velocity, square, velocity


def adam(theta, g, mean, square, *, step, lr, beta1, beta2, eps, weight_decay, decoupled):
    if decoupled:
        theta = theta - lr * weight_decay * theta
    else:
        g = g + weight_decay * theta
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * g**2
    unbiased_mean, unbiased_square = mean / (1 - beta1**step), square / (1 - beta2**step)
    return theta - lr * unbiased_mean / (np.sqrt(unbiased_square) + eps), mean, square


SGD = {"lr": 0.5, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
RMSPROP = {"lr": 0.5, "alpha": 0.9, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0}
ADAM = {"step": 3, "lr": 0.5, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
ADAM |= {"weight_decay": 0.0, "decoupled": False}

# Kernel, formula, names of the memory, numbers
OPTIMIZERS = {
    "sgd": ("sgd_step", sgd, ["velocity"], SGD),
    "sgd with decay": ("sgd_step", sgd, ["velocity"], SGD | {"weight_decay": 0.1}),
    "momentum": ("sgd_step", sgd, ["velocity"], SGD | {"momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": ("sgd_step", sgd, ["velocity"], SGD | {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("rmsprop_step", rmsprop, ["square", "velocity"], RMSPROP | {"weight_decay": 0.1}),
    "rmsprop with momentum": (
        "rmsprop_step", rmsprop, ["square", "velocity"], RMSPROP | {"momentum": 0.9},
    ),
    "adam": ("adam_step", adam, ["mean", "square"], ADAM),
    "adam with decay": ("adam_step", adam, ["mean", "square"], ADAM | {"weight_decay": 0.1}),
    "adamw": (
        "adam_step", adam, ["mean", "square"], ADAM | {"weight_decay": 0.1, "decoupled": True},
    ),
}  # fmt: skip
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def vectors(optimizer, size, dtype):
    """theta, dtheta and the memory by name; the velocity is None where it may be."""
    _, _, names, numbers = OPTIMIZERS[optimizer]
    rng = np.random.default_rng(size)
    arrays = {name: rng.standard_normal(size).astype(dtype) for name in ("theta", "dtheta", *names)}
    if "square" in arrays:
        arrays["square"] **= 2
    if "velocity" in arrays and numbers["momentum"] == 0:
        arrays["velocity"] = None
    return arrays


@pytest.mark.loops
@dtypes
@optimizers
def test_optimizers_at_every_size(kernels, assert_close, dtype, optimizer):
    kernel, formula, names, numbers = OPTIMIZERS[optimizer]
    for size in range(1, LARGEST_SIZE + 1):
        arrays = vectors(optimizer, size, dtype)
        wide = {
            name: np.zeros(size) if values is None else values.astype(np.float64)
            for name, values in arrays.items()
        }
        dtheta = arrays["dtheta"].tobytes()
        steps = np.array([size], np.intp)
        assert getattr(kernels, kernel)(**arrays, **numbers, steps=steps, constraints=None) is True
        assert steps == size + 1
        expected = formula(
            wide["theta"], wide["dtheta"], *(wide[name] for name in names), **numbers
        )
        for name, values in zip(["theta", *names], expected, strict=True):
            if arrays[name] is not None:
                assert_close(arrays[name], values, dtype=dtype, label=f"{name}, {size}")
        assert arrays["dtheta"].tobytes() == dtheta


@pytest.mark.loops
@dtypes
@optimizers
@pytest.mark.parametrize("culprit", ["nan", "infinity", "overflow"])
def test_step_that_would_not_stay_finite_is_not_taken(kernels, dtype, optimizer, culprit):
    kernel, _, _, numbers = OPTIMIZERS[optimizer]
    step, largest = getattr(kernels, kernel), np.finfo(dtype).max
    bad = {"nan": np.nan, "infinity": -np.inf, "overflow": -largest}[culprit]
    for size in (1, 3, 17, LARGEST_SIZE):
        for position in {0, size // 2, size - 1}:
            arrays = vectors(optimizer, size, dtype)
            theta, dtheta = arrays["theta"], arrays["dtheta"]
            dtheta[position] = bad
            # To which the largest gradient, times a rate of 1/2, is too much to add; and its
            # square is too large to keep.
            theta[position] = largest * 0.75
            for name in ("mean", "velocity"):
                if arrays.get(name) is not None:
                    arrays[name][position] = 0
            before = {name: None if a is None else a.tobytes() for name, a in arrays.items()}
            steps = np.array([size], np.intp)
            assert step(**arrays, **numbers, steps=steps, constraints=None) is False
            assert steps == size
            assert {n: None if a is None else a.tobytes() for n, a in arrays.items()} == before
            theta[position], dtheta[position] = 2, 1
            assert step(**arrays, **numbers, steps=None, constraints=None) is True
            for name in arrays.keys() - {"dtheta"}:
                assert arrays[name] is None or arrays[name].tobytes() != before[name], name


@dtypes
@pytest.mark.parametrize(("kernel", "optimizer"), [("sgd_step", SGD), ("rmsprop_step", RMSPROP)])
def test_momentum_needs_a_velocity(kernels, dtype, kernel, optimizer):
    arrays = vectors("sgd" if kernel == "sgd_step" else "rmsprop", 5, dtype)
    before = arrays["theta"].tobytes()
    with pytest.raises(ValueError, match=r"^velocity: expected an array because momentum is not 0"):
        getattr(kernels, kernel)(
            **arrays, **(optimizer | {"momentum": 0.9}), steps=None, constraints=None
        )
    assert arrays["theta"].tobytes() == before


@pytest.mark.loops
@dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_found_anywhere(kernels, dtype, value):
    for size in (1, 2, 7, 16, 33, LARGEST_SIZE):
        for position in range(size):
            values = np.full(size, 0.25, dtype)
            values[position] = value
            assert kernels.all_finite(values) is False
            assert not np.isfinite(kernels.global_norm(values))


@pytest.mark.loops
@dtypes
def test_finite_numbers_whose_sum_is_not_and_the_reverse(kernels, dtype):
    assert kernels.all_finite(np.full(9, np.finfo(dtype).max, dtype)) is True
    assert kernels.all_finite(np.array([np.inf, 1.0, -np.inf], dtype)) is False


@pytest.mark.parametrize(
    "unit",
    # The squares of all but 1.0 overflow or underflow in float64.
    [1.0, 1e300, 1e-300],
)
def test_norm_of_huge_and_tiny_values(kernels, unit):
    values = np.array([2.0, -3.0, 6.0]) * unit
    assert kernels.global_norm(values) == pytest.approx(7.0 * unit, rel=1e-15)
    clipped = values.copy()
    assert kernels.clip_norm(clipped, 3.5 * unit) == pytest.approx(7.0 * unit, rel=1e-15)
    np.testing.assert_allclose(clipped, np.array([1.0, -1.5, 3.0]) * unit, rtol=1e-15)


def test_norm_of_float32_values_is_accumulated_in_float64(kernels):
    huge = np.array([2e38, -3e38], np.float32)
    expected = np.sqrt(np.sum(huge.astype(np.float64) ** 2))
    assert kernels.global_norm(huge) == pytest.approx(expected, rel=1e-14)
    # A million equal values: a float32 sum of squares would be off in the third digit.
    many = np.full(1_000_000, 0.1, np.float32)
    assert kernels.global_norm(many) == pytest.approx(1000 * float(np.float32(0.1)), rel=1e-9)


@dtypes
def test_norm_of_zeros(kernels, dtype):
    values = np.zeros(5, dtype)
    assert kernels.global_norm(values) == 0.0
    assert kernels.clip_norm(values, 1.0) == 0.0
    assert np.array_equal(values, np.zeros(5, dtype))


@dtypes
@pytest.mark.parametrize("max_norm", [5.0, 6.0])
def test_norm_within_the_limit_leaves_values_alone(kernels, dtype, max_norm):
    # The norm of (3, 4) is 5, exactly.
    values = np.array([3.0, -4.0], dtype)
    assert kernels.clip_norm(values, max_norm) == 5.0
    assert np.array_equal(values, np.array([3.0, -4.0], dtype))


@dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clip_norm_leaves_values_alone_when_the_norm_is_not_finite(kernels, dtype, value):
    values = np.array([1.0, value, -2.0], dtype)
    before = values.tobytes()
    assert not np.isfinite(kernels.clip_norm(values, 0.5))
    assert values.tobytes() == before


@dtypes
def test_clip_value_keeps_nan_and_limits_infinity(kernels, dtype):
    values = np.array([np.nan, np.inf, -np.inf, 0.25, -3.0], dtype)
    kernels.clip_value(values, 0.5)
    assert np.isnan(values[0])
    assert np.array_equal(values[1:], np.array([0.5, -0.5, 0.25, -0.5], dtype))
