"""Dropout between layers: in training alone, scaled, drawn from the seed."""

import copy

import numpy as np
import pytest
from differences import assert_gradient
from network_problems import inputs, step_gradient, targets

import crnn

SHARE = 0.4


class Seen:
    """A loss that keeps the outputs it is given."""

    def value(self, y_hat, y):
        self.y_hat = y_hat.copy()
        return float(np.mean(y_hat))

    def gradient(self, y_hat, y):
        return np.full_like(y_hat, 1 / y_hat.size)


def test_predictions_leave_nothing_out(network_of):
    net, plain = network_of(num_layers=2, dropout=SHARE), network_of(num_layers=2)
    x, y = inputs(net), targets(net)
    assert np.array_equal(net.predict(x), plain.predict(x))
    assert np.array_equal(net.forward(x).y, plain.forward(x).y)
    assert net.loss(x, y) == plain.loss(x, y)


def test_the_seed_decides_what_is_left_out(network_of):
    nets = [network_of(num_layers=2, dropout=SHARE, seed=3) for _ in range(2)]
    x, y = inputs(nets[0]), targets(nets[0])
    drawn = [[net.train_step(x, y, crnn.SGD(0.0)) for _ in range(5)] for net in nets]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 5


def test_what_is_left_is_scaled_up(build_network):
    # The second layer hands on what it reads: h = relu(x).
    net = build_network(
        3, 50, None, num_layers=2, dropout=SHARE, nonlinearity="relu", return_sequences=True
    )
    net.W_xh_l1[...] = np.eye(50)
    net.W_hh_l1[...] = 0
    net.b_h_l1[...] = 0
    x, loss = inputs(net, 6, 9), Seen()
    expected = net.predict(x)
    net.train_step(x, expected, crnn.SGD(0.0), loss)
    alive = expected > 0
    dropped = alive & (loss.y_hat == 0)
    # Some 1400 numbers: four standard deviations are 0.05.
    assert np.mean(dropped[alive]) == pytest.approx(SHARE, abs=0.05)
    left = alive & ~dropped
    np.testing.assert_allclose(loss.y_hat[left], expected[left] / (1 - SHARE), rtol=1e-12)
    # Each step of each sequence draws anew.
    assert 0 < np.mean(dropped[0, 0] != dropped[0, 1]) < 1
    assert 0 < np.mean(dropped[0, 0] != dropped[1, 0]) < 1


def test_the_gradient_is_that_of_what_is_left(network_of):
    net = network_of(num_layers=3, dropout=SHARE)
    x, y = inputs(net), targets(net)
    # Copies draw the same.
    gradient = step_gradient(copy.deepcopy(net), x, y)[1]
    objective = lambda: copy.deepcopy(net).train_step(x, y, crnn.SGD(0.0))  # noqa: E731
    assert_gradient(gradient, objective, net.flat_params, "parameters")


class Failing:
    """A loss that raises, or is or has a gradient that is not finite."""

    def __init__(self, value, gradient):
        self._value, self._gradient = value, gradient

    def value(self, y_hat, y):
        if self._value is None:
            raise ZeroDivisionError
        return self._value

    def gradient(self, y_hat, y):
        return np.full(y_hat.shape, self._gradient)


def schedule_that_fails(step):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("loss", "optimizer", "error"),
    [
        (Failing(None, 1.0), crnn.SGD(0.1), ZeroDivisionError),
        (Failing(np.nan, 1.0), crnn.SGD(0.1), crnn.DivergenceError),
        (Failing(1.0, np.inf), crnn.SGD(0.1), crnn.DivergenceError),
        ("mse", crnn.SGD(1e308), crnn.DivergenceError),
        ("mse", crnn.SGD(schedule_that_fails), ZeroDivisionError),
    ],
)
def test_a_step_that_fails_draws_nothing(build_network, loss, optimizer, error):
    net, twin = (build_network(num_layers=2, dropout=SHARE, seed=3) for _ in range(2))
    x, y = inputs(net), targets(net)
    with pytest.raises(error):
        net.train_step(x, 1e3 * y, optimizer, loss)
    again = [other.train_step(x, y, crnn.SGD(0.1)) for other in (net, twin)]
    assert again[0] == again[1]
    assert np.array_equal(net.flat_params, twin.flat_params)


@pytest.mark.parametrize("loss", ["mse", "sse", Failing(1.0, 1.0), "binary_cross_entropy"])
def test_a_step_in_which_nothing_counts_is_none(build_network, loss):
    net, twin = (build_network(num_layers=2, dropout=SHARE, seed=3) for _ in range(2))
    x, y = inputs(net, 2, 4), 0 * targets(net, 2, 4)
    mask = [[0, 0, 0, 1], [0, 0, 0, 1]]
    with pytest.raises(ValueError, match="y: expected a step that counts in the loss"):
        # What the mask says past the ends counts nothing.
        net.train_step(x, y, crnn.SGD(0.1), loss, lengths=[3, 2], mask=mask)
    again = [other.train_step(x, y, crnn.SGD(0.1)) for other in (net, twin)]
    assert again[0] == again[1]
