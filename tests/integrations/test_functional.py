"""Layers over parameters that somebody else holds, beside the network that holds them."""

import functools

import network_problems
import numpy as np
import pytest
from network_problems import ARCHITECTURES, CELLS, LENGTHS, B, T

from crnn import _backend, functional

LAYERS = {
    name: settings
    for name, settings in ARCHITECTURES.items()
    if "output" not in name and "h0" not in name
}


@pytest.fixture(params=CELLS.values(), ids=CELLS)
def make(request, implementation, monkeypatch):
    """Make a network without an output layer; crnn.functional runs the same kernels."""
    monkeypatch.setattr(_backend, "kernels", _backend.load(implementation))
    return functools.partial(
        network_problems.network, output_size=None, implementation=implementation, **request.param
    )


def packed_state(net):
    """A state (layers * directions, batch, S)."""
    architecture = net.architecture
    state = network_problems.random_state(net)
    return np.ascontiguousarray(state.reshape(architecture.num_states, B, architecture.state_size))


@pytest.mark.parametrize("dtype", network_problems.DTYPES)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("settings", LAYERS.values(), ids=LAYERS)
def test_forward_and_backward_are_those_of_the_network(
    make, assert_close, settings, lengths, dtype
):
    net = make(dtype=dtype, **settings)
    architecture, x, h0 = net.architecture, network_problems.inputs(net), packed_state(net)
    public = network_problems.unpacked(net, h0.squeeze(0) if len(h0) == 1 else h0)
    expected = net.forward(x, public, lengths)
    tape = functional.forward(architecture, net.params, x, h0, lengths)
    inside = np.arange(T) < (np.full(B, T) if lengths is None else lengths)[:, None]
    np.testing.assert_array_equal(tape.top[inside], expected.y[inside])
    last = network_problems.packed(expected.h_n).reshape(h0.shape)
    np.testing.assert_array_equal(tape.last(), last)

    rng = np.random.default_rng(5)
    dtop = rng.standard_normal(tape.top.shape).astype(dtype) * inside[..., None]
    dh_n = rng.standard_normal(h0.shape).astype(dtype)
    public = network_problems.unpacked(net, dh_n.squeeze(0) if len(dh_n) == 1 else dh_n)
    expected = net.backward(expected, dtop, public)
    gradients = {name: np.zeros_like(values) for name, values in net.params.items()}
    given = dtop.copy(), dh_n.copy()
    dx, dh0 = functional.backward(architecture, net.params, tape, *given, gradients, wants_dx=True)
    np.testing.assert_array_equal(dx[inside], expected.x[inside])
    np.testing.assert_array_equal(dh0, network_problems.packed(expected.h0).reshape(h0.shape))
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, expected[name], err_msg=name)
    # Gradients are left as they are, and added to others.
    np.testing.assert_array_equal(given[0], dtop)
    np.testing.assert_array_equal(given[1], dh_n)
    dx, _ = functional.backward(architecture, net.params, tape, *given, gradients, wants_dx=False)
    assert dx is None
    for name, gradient in gradients.items():
        assert_close(gradient, 2 * expected[name], dtype=dtype, label=name)


@pytest.mark.parametrize("dtype", network_problems.DTYPES)
@pytest.mark.parametrize("num_layers", [1, 3])
def test_predictions_are_those_of_the_network(make, num_layers, dtype):
    net = make(dtype=dtype, num_layers=num_layers)
    x, h0 = network_problems.inputs(net), packed_state(net)
    public = network_problems.unpacked(net, h0.squeeze(0) if len(h0) == 1 else h0)
    y, h_n = net.predict(x, public, return_state=True)
    top, last = functional.predict(net.architecture, net.params, x, h0)
    np.testing.assert_array_equal(top, y)
    np.testing.assert_array_equal(last, network_problems.packed(h_n).reshape(h0.shape))


@pytest.mark.parametrize("dtype", network_problems.DTYPES)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_resets_are_those_of_the_network(make, lengths, dtype):
    net = make(dtype=dtype, num_layers=2)
    architecture, x, h0 = net.architecture, network_problems.inputs(net), packed_state(net)
    public = network_problems.unpacked(net, h0)
    rng = np.random.default_rng(7)
    resets = rng.random((B, T)) < 0.3
    resets[0, 0] = resets[1, 1] = True
    expected = net.forward(x, public, lengths, resets=resets)
    tape = functional.forward(architecture, net.params, x, h0, lengths, resets=resets)
    inside = np.arange(T) < (np.full(B, T) if lengths is None else lengths)[:, None]
    np.testing.assert_array_equal(tape.top[inside], expected.y[inside])
    last = network_problems.packed(expected.h_n)
    np.testing.assert_array_equal(tape.last(), last)
    if lengths is None:
        y, last = net.predict(x, public, return_state=True, resets=resets)
        top, h_n = functional.predict(architecture, net.params, x, h0, resets)
        np.testing.assert_array_equal(top, y)
        np.testing.assert_array_equal(h_n, network_problems.packed(last))
    dtop = rng.standard_normal(tape.top.shape).astype(dtype) * inside[..., None]
    expected = net.backward(expected, dtop)
    gradients = {name: np.zeros_like(values) for name, values in net.params.items()}
    dx, dh0 = functional.backward(
        architecture, net.params, tape, dtop, None, gradients, wants_dx=True
    )
    np.testing.assert_array_equal(dx[inside], expected.x[inside])
    np.testing.assert_array_equal(dh0, network_problems.packed(expected.h0))
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, expected[name], err_msg=name)


def test_dropout_is_drawn_from_the_generator(make):
    net = make(num_layers=2, dropout=0.5)
    x, h0 = network_problems.inputs(net), packed_state(net)

    def top(seed):
        rng = None if seed is None else np.random.default_rng(seed)
        return functional.forward(net.architecture, net.params, x, h0, rng=rng).top

    np.testing.assert_array_equal(top(1), top(1))
    assert np.abs(top(1) - top(2)).max() > 0.01
    np.testing.assert_array_equal(top(None), net.predict(x, network_problems.unpacked(net, h0)))


def test_gradients_that_are_zero(make):
    net = make(num_layers=2, bidirectional=True)
    architecture, x, h0 = net.architecture, network_problems.inputs(net), packed_state(net)
    tape = functional.forward(architecture, net.params, x, h0)
    rng = np.random.default_rng(3)
    dtop, dh_n = (rng.standard_normal(array.shape) for array in (tape.top, h0))

    def run(dtop, dh_n):
        gradients = {name: np.zeros_like(values) for name, values in net.params.items()}
        arrays = functional.backward(
            architecture, net.params, tape, dtop, dh_n, gradients, wants_dx=True
        )
        return [*arrays, *gradients.values()]

    for given, zeros in (
        ((None, dh_n), (np.zeros_like(dtop), dh_n)),
        ((dtop, None), (dtop, np.zeros_like(dh_n))),
    ):
        for actual, expected in zip(run(*given), run(*zeros), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
