"""Fixtures of the kernel tests: each implementation by itself, and the check of all kernels."""

import kernel_problems as problems
import numpy as np
import pytest
from oracle import Layer

import crnn._backend


@pytest.fixture(scope="session")
def native():
    """The compiled kernels, for tests marked `native`. Missing, they fail; nothing is skipped."""
    return crnn._backend.load("native")


@pytest.fixture
def set_num_threads(native):
    """The function of the compiled kernels; the number from before comes back after the test."""
    before = native.get_num_threads()
    yield native.set_num_threads
    native.set_num_threads(before)


@pytest.fixture(scope="session")
def reference():
    """The NumPy kernels."""
    return crnn._backend.load("python")


@pytest.fixture(scope="session")
def all_kernels(request):
    """The kernels of all implementations under test, for tests that compare them."""
    names = request.config.getoption("--implementations").split(",")
    return [crnn._backend.load(name.strip()) for name in names]


@pytest.fixture(scope="session")
def check(assert_close, tolerances):
    """Compare all kernels of sequences with the third implementation, on one problem."""

    def check_arrays(p, actual, expected):
        assert actual.keys() == expected.keys()
        for name, values in actual.items():
            assert_close(values, expected[name], dtype=p.dtype, label=f"{name} of {p}")

    def check_layers(kernels, p, net, states, gates, layout):
        written = problems.layers(kernels, p, layout)
        assert np.array_equal(written["h"][:, 0], p.h0)
        # The gradients start from the states that the kernel computed.
        h = written["h"].astype(np.float64)
        d = net.layer_gradients(p.x, h, gates, p.dh.astype(np.float64), p.dstate)
        expected = {"h": states}
        if gates:
            expected["gates"] = np.concatenate(list(gates.values()), axis=2).swapaxes(0, 1)
        if p.O:
            d_output = net.output_gradients(h, p.dy.astype(np.float64))
            expected |= {"y": net.outputs(h), "dh": d_output.pop("h")}
            d |= d_output
        for name, values in d.items():
            expected["d" + name] = values + p.before.get(name, 0)
        check_arrays(p, written, expected)

    def check_gradient(kernels, p, net, states, gates, x):
        value, norm, dtheta = problems.gradient(kernels, p, x=x)
        expected_value, expected = net.gradients(p.x, p.y, states, gates, p.loss)
        # The loss of a single class is an exact zero, and so is all of its gradient.
        close = {"rel": tolerances[p.dtype.name], "abs": 0 if expected_value else 1e-15}
        assert value == pytest.approx(expected_value, **close), str(p)
        squares = sum(np.sum(np.square(values)) for values in expected.values())
        assert norm == pytest.approx(np.sqrt(squares), **close), str(p)
        check_arrays(p, p.split(dtheta, p.params), expected)

    def check_predict(kernels, p, net, states, x, h0):
        y, h_n = problems.predict(kernels, p, x=x, h0=h0)
        check_arrays(p, {"y": y, "h_n": h_n}, {"y": net.outputs(states), "h_n": states[:, -1]})
        return y, h_n

    def check_all(kernels, p, layout="contiguous"):
        net = Layer(p.cell, p.params)
        x = problems.laid_out(p.x, layout)
        states, gates = net.forward(p.x, np.zeros_like(p.h0))
        check_gradient(kernels, p, net, states, gates, x)
        check_predict(kernels, p, net, states, x, None)
        states, gates = net.forward(p.x, p.h0)
        check_layers(kernels, p, net, states, gates, layout)
        y, h_n = check_predict(kernels, p, net, states, x, p.h0)
        streamed_y, streamed_h = problems.stream(kernels, p)
        assert streamed_y.tobytes() == y.tobytes(), str(p)
        assert streamed_h.tobytes() == h_n.tobytes(), str(p)

    return check_all
