"""Gradients of every cell and architecture, held to central differences of forward."""

import numpy as np
import pytest
from differences import assert_elements, assert_gradient
from network_problems import (
    ARCHITECTURES,
    LENGTHS,
    inputs,
    packed,
    random_state,
    step_gradient,
    targets,
    unpacked,
)

architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)


def linear_objective(net, x, h0, lengths, dy, dh_n):
    """A function whose gradient with respect to outputs and last states is dy and dh_n."""

    def objective():
        tape = net.forward(x, unpacked(net, h0), lengths=lengths)
        return np.vdot(tape.y, dy) + np.vdot(packed(tape.h_n), dh_n)

    return objective


def random_like(tape, seed=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(tape.y.shape), rng.standard_normal(packed(tape.h_n).shape)


@architectures
@pytest.mark.parametrize(
    ("lengths", "kind"),
    [(None, {}), (LENGTHS, {}), (LENGTHS, {"categorical": True})],
    ids=["whole", "lengths", "categories"],
)
def test_every_gradient(network_of, settings, lengths, kind):
    net = network_of(**settings, **kind)
    x = inputs(net)
    # A trainable h0 gets a gradient only where no other is given.
    h0 = None if net.trainable_h0 else random_state(net)
    tape = net.forward(x, unpacked(net, h0), lengths=lengths)
    dy, dh_n = random_like(tape)
    grads = net.backward(tape, dy, unpacked(net, dh_n))
    objective = linear_objective(net, x, h0, lengths, dy, dh_n)
    for name, values in net.params.items():
        assert_gradient(grads[name], objective, values, name)
    if kind:
        assert grads.x is None
    else:
        assert_gradient(grads.x, objective, x, "x")
    if h0 is not None:
        assert_gradient(packed(grads.h0), objective, h0, "h0")


@pytest.mark.parametrize(
    ("output_size", "batch", "time"),
    [(2, 3, 4), (None, 3, 4), (2, None, 4), (2, 3, 1)],
    ids=["outputs", "hidden states", "one sequence", "one step"],
)
def test_every_element_of_one_layer(network_of, output_size, batch, time):
    net = network_of(1, 3, output_size)
    x, h0 = inputs(net, batch, time), random_state(net, batch)
    tape = net.forward(x, unpacked(net, h0))
    dy, dh_n = random_like(tape)
    grads = net.backward(tape, dy, unpacked(net, dh_n))
    objective = linear_objective(net, x, h0, None, dy, dh_n)
    assert_elements(grads.flat, objective, net.flat_params, "parameters")
    assert_elements(grads.x, objective, x, "x")
    assert_elements(packed(grads.h0), objective, h0, "h0")


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2}, {"return_sequences": False}], ids=str)
def test_checkpoints_in_time_give_the_same_gradient(network_of, settings, every, lengths):
    """With checkpoint_every the tape keeps few states and computes the others again."""
    net = network_of(**settings)
    x, h0 = inputs(net), unpacked(net, random_state(net))
    tape = net.forward(x, h0, lengths=lengths)
    dy, dh_n = random_like(tape)
    expected = net.backward(tape, dy, unpacked(net, dh_n))
    tape = net.forward(x, h0, lengths=lengths, checkpoint_every=every)
    actual = net.backward(tape, dy, unpacked(net, dh_n))
    for name in ("flat", "x"):
        np.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-9, atol=1e-12
        )
    np.testing.assert_allclose(packed(actual.h0), packed(expected.h0), rtol=1e-9, atol=1e-12)


def test_h0_that_is_given_leaves_a_trainable_one_alone(network_of):
    net = network_of(trainable_h0=True, num_layers=2)
    x = inputs(net)
    tape = net.forward(x, unpacked(net, random_state(net)))
    grads = net.backward(tape, np.ones_like(tape.y))
    names = [name for name in net.params if name in ("h0", "c0")]
    assert names
    for name in names:
        assert not grads[name].any()
    assert packed(grads.h0).any()
    tape = net.forward(x)
    grads = net.backward(tape, np.ones_like(tape.y))
    assert all(grads[name].any() for name in names)


@pytest.mark.parametrize("kind", [{}, {"categorical": True}], ids=["features", "categories"])
def test_training_takes_the_gradient_that_backward_gives(network_of, kind):
    """With one output, lengths, layers and a trainable h0."""
    net = network_of(num_layers=2, return_sequences=False, trainable_h0=True, **kind)
    x, y = inputs(net), targets(net)
    tape = net.forward(x, lengths=LENGTHS)
    expected = net.backward(tape, 2 * (tape.y - y) / y.size).flat
    loss, gradient = step_gradient(net, x, y, lengths=LENGTHS)
    assert loss == pytest.approx(np.mean((tape.y - y) ** 2), rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
def test_the_fused_step_takes_the_gradient_of_its_loss(build_network, loss):
    """One layer, a whole batch: one call of the kernels computes loss and gradient."""
    net = build_network()
    x, y = inputs(net), targets(net, classes=loss == "cross_entropy")
    value, gradient = step_gradient(net, x, y, loss=loss)
    assert value == pytest.approx(net.loss(x, y, loss), rel=1e-13)
    assert_gradient(gradient, lambda: net.loss(x, y, loss), net.flat_params, loss)
