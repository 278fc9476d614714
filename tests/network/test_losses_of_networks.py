"""`loss` of a network: formulas over what it predicts, one sequence, class numbers."""

import numpy as np
import pytest


@pytest.mark.parametrize("dtype", ["float32", "float64"])
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
