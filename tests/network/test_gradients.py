"""Central differences of the loss in float64 against backward: parameters, x, h_0, and dh_n."""

import numpy as np
import pytest

# All different, so that a swapped axis changes a shape.
T, B, I, H, O = 7, 4, 3, 6, 2

# Truncation grows with the square of the step and rounding shrinks with it; the cube root of
# the unit roundoff (6e-6) balances both at about 1e-10, well below the demanded 1e-7.
STEP = 6e-6
RELATIVE_ERROR = 1e-7


def mse(y_hat, y):
    return np.mean((y_hat - y) ** 2)


def sse(y_hat, y):
    return np.sum((y_hat - y) ** 2) / 2


def cross_entropy(y_hat, y):
    picked = np.take_along_axis(y_hat, y[..., np.newaxis], axis=-1)[..., 0]
    return np.mean(np.log(np.sum(np.exp(y_hat), axis=-1)) - picked)


LOSSES = {"mse": mse, "sse": sse, "cross_entropy": cross_entropy}


def central_differences(function, values):
    """Derivative of function() with respect to each element of values, changed in place."""
    derivative = np.empty(values.shape)
    for index in np.ndindex(values.shape):
        kept = values[index]
        values[index] = kept + STEP
        above = function()
        values[index] = kept - STEP
        below = function()
        values[index] = kept
        derivative[index] = (above - below) / (2 * STEP)
    return derivative


def assert_gradient(actual, expected, label):
    assert actual.dtype == np.float64
    assert actual.shape == expected.shape
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert error < RELATIVE_ERROR, f"{label}: relative error {error:.2e}"
    # The norm hides an element that is far smaller than its neighbours.
    np.testing.assert_allclose(
        actual, expected, rtol=1e-5, atol=RELATIVE_ERROR * np.abs(expected).max(), err_msg=label
    )


def random_problem(outputs, loss, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((B, T, I))
    h0 = np.tanh(rng.standard_normal((B, H)))
    if loss == "cross_entropy":
        y = rng.integers(outputs, size=(B, T))
    else:
        y = rng.standard_normal((B, T, outputs))
    return x, h0, y


def kernel_dy(kernels, loss, y_hat, y):
    dy = np.empty_like(y_hat)
    target = y.astype(np.intp) if loss == "cross_entropy" else y
    getattr(kernels, loss)(y_hat=np.ascontiguousarray(y_hat), y=target, dy=dy)
    return dy


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output_size", [O, None], ids=["outputs", "hidden states"])
@pytest.mark.parametrize("carried", [False, True], ids=["no dh_n", "dh_n"])
def test_every_gradient(build_network, kernels, loss, output_size, carried):
    net = build_network(input_size=I, hidden_size=H, output_size=output_size, seed=1)
    x, h0, y = random_problem(outputs=output_size or H, loss=loss, seed=2)
    # A further use of the last hidden state, as by a second network that goes on from there.
    weights = np.random.default_rng(3).standard_normal((B, H)) if carried else None

    def value():
        tape = net.forward(x=x, h0=h0)
        further = np.sum(weights * tape.h_n) if carried else 0.0
        return LOSSES[loss](tape.y, y) + further

    tape = net.forward(x=x, h0=h0)
    dy = kernel_dy(kernels, loss, tape.y, y)
    grads = net.backward(tape=tape, dy=dy, dh_n=weights)

    for name, values in net.params.items():
        assert_gradient(grads[name], central_differences(value, values), name)
    assert_gradient(grads.flat, central_differences(value, net.flat_params), "flat")
    assert_gradient(grads.x, central_differences(value, x), "x")
    assert_gradient(grads.h0, central_differences(value, h0), "h0")


@pytest.mark.parametrize("loss", LOSSES)
def test_reported_loss_belongs_to_the_gradient(build_network, kernels, loss):
    net = build_network(input_size=I, hidden_size=H, output_size=O, seed=4)
    x, _, y = random_problem(outputs=O, loss=loss, seed=5)
    tape = net.forward(x=x)
    grads = net.backward(tape=tape, dy=kernel_dy(kernels, loss, tape.y, y))

    def value():
        return net.loss(x=x, y=y, loss=loss)

    assert_gradient(grads.flat, central_differences(value, net.flat_params), "parameters")
    assert_gradient(grads.x, central_differences(value, x), "x")


def test_one_sequence(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O, seed=6)
    x, h0, y = (values[0] for values in random_problem(outputs=O, loss="mse", seed=7))
    weights = np.random.default_rng(8).standard_normal(H)

    def value():
        tape = net.forward(x=x, h0=h0)
        return sse(tape.y, y) + weights @ tape.h_n

    tape = net.forward(x=x, h0=h0)
    grads = net.backward(tape=tape, dy=tape.y - y, dh_n=weights)
    assert_gradient(grads.flat, central_differences(value, net.flat_params), "parameters")
    assert_gradient(grads.x, central_differences(value, x), "x")
    assert_gradient(grads.h0, central_differences(value, h0), "h0")


def test_single_step_has_no_gradient_from_a_later_one(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O, seed=9)
    x, h0, y = random_problem(outputs=O, loss="mse", seed=10)
    x, y = x[:, :1].copy(), y[:, :1].copy()

    def value():
        return sse(net.forward(x=x, h0=h0).y, y)

    tape = net.forward(x=x, h0=h0)
    grads = net.backward(tape=tape, dy=tape.y - y)
    assert_gradient(grads.flat, central_differences(value, net.flat_params), "parameters")
    assert_gradient(grads.x, central_differences(value, x), "x")
    assert_gradient(grads.h0, central_differences(value, h0), "h0")
