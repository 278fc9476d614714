"""Learners: exact gradients step by step, and steps that are whole or not at all."""

import numpy as np
import pytest
from loss_problems import FORMULAS
from network_problems import CELLS, inputs, network, targets

import crnn

B, T, I, H, O = 4, 9, 3, 5, 2
LOSSES = {
    name: FORMULAS[name][0]
    for name in ("mse", "sse", "cross_entropy", "binary_cross_entropy", "huber of delta")
}


def data(net, loss, batch=B):
    """Inputs and targets (batch, T, ...), or those of one sequence."""
    y = targets(net, batch, T, classes=loss.kernel == "cross_entropy")
    if loss.kernel == "binary_cross_entropy":
        y = 1 / (1 + np.exp(-y))
    return inputs(net, batch, T), y


def gradient_of_sequences(net, x, y, loss):
    """The sum of the gradients of the losses of all steps, by BPTT."""
    tape = net.forward(x)
    steps = T if loss.is_mean else 1
    return steps * net.backward(tape, loss.gradient(tape.y, y)).flat


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("output_size", [O, None])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_add_up_to_those_of_bptt(implementation, cell, output_size, loss):
    net = network(I, H, output_size, implementation=implementation, **CELLS[cell])
    x, y = data(net, loss)
    learner, total = net.learner(crnn.SGD(0.0), loss=loss, batch_size=B), 0
    for t in range(T):
        y_hat = learner.step(x[:, t], y[:, t])
        total += learner.core.gradient
        np.testing.assert_allclose(y_hat, net.predict(x[:, : t + 1])[:, t], rtol=1e-12)
    expected = gradient_of_sequences(net, x, y, loss)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-10)
