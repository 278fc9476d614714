"""Every kernel of sequences against the third implementation: sizes, array layouts, chunks of time.

Layers, gradient, prediction and stream are all checked on each problem.
"""

import kernel_problems as problems
import numpy as np
import pytest
from einsum_network import EinsumNetwork
from kernel_problems import CELLS, DTYPES, LOSSES, SIZES, Problem

pytestmark = pytest.mark.loops

cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
output_layers = pytest.mark.parametrize(
    "output_layer", [True, False], ids=["output layer", "states alone"]
)


@pytest.fixture(scope="session")
def check(kernels, assert_close, tolerances):
    """Check all kernels on one problem, with sequences in this layout."""

    def check_arrays(p, actual, expected):
        assert actual.keys() == expected.keys()
        for name, values in actual.items():
            assert_close(values, expected[name], dtype=p.dtype, label=f"{name} of {p}")

    def check_layers(p, net, states, gates, layout):
        written = problems.layers(kernels, p, layout)
        assert np.array_equal(written["h"][:, 0], p.h0)
        # The gradients start from the states that the kernel computed.
        h = written["h"].astype(np.float64)
        d = net.layer_gradients(p.x, h, gates, p.dh.astype(np.float64), p.dc)
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

    def check_gradient(p, net, states, gates, x):
        value, norm, dtheta = problems.gradient(kernels, p, x=x)
        expected_value, expected = net.gradients(p.x, p.y, states, gates, p.loss)
        # The loss of a single class is an exact zero, and so is all of its gradient.
        close = {"rel": tolerances[p.dtype.name], "abs": 0 if expected_value else 1e-15}
        assert value == pytest.approx(expected_value, **close), str(p)
        squares = sum(np.sum(np.square(values)) for values in expected.values())
        assert norm == pytest.approx(np.sqrt(squares), **close), str(p)
        check_arrays(p, p.split(dtheta, p.params), expected)

    def check_predict(p, net, states, x, h0):
        y, h_n = problems.predict(kernels, p, x=x, h0=h0)
        check_arrays(p, {"y": y, "h_n": h_n}, {"y": net.outputs(states), "h_n": states[:, -1]})
        return y, h_n

    def check_all(p, layout="contiguous"):
        net = EinsumNetwork(p.cell, p.params)
        x = problems.laid_out(p.x, layout)
        states, gates = net.forward(p.x, np.zeros_like(p.h0))
        check_gradient(p, net, states, gates, x)
        check_predict(p, net, states, x, None)
        states, gates = net.forward(p.x, p.h0)
        check_layers(p, net, states, gates, layout)
        y, h_n = check_predict(p, net, states, x, p.h0)
        streamed_y, streamed_h = problems.stream(kernels, p)
        assert streamed_y.tobytes() == y.tobytes(), str(p)
        assert streamed_h.tobytes() == h_n.tobytes(), str(p)

    return check_all


@dtypes
@cells
@pytest.mark.parametrize("swept", SIZES)
def test_every_size(implementation, check, dtype, cell, swept):
    for size in problems.sizes_to_sweep(implementation, cell, swept):
        check(Problem(cell, dtype, **(SIZES | {swept: size}), loss=LOSSES[size % 3]))


@dtypes
@cells
@pytest.mark.parametrize("swept", ["T", "I", "H"])
def test_every_size_of_one_sequence(implementation, check, dtype, cell, swept):
    """Alone, a sequence has loops of its own: a row times a matrix."""
    for size in problems.sizes_to_sweep(implementation, cell, swept):
        sizes = SIZES | {"B": 1, swept: size}
        check(Problem(cell, dtype, **sizes, loss=LOSSES[size % 3]))


@dtypes
@cells
@pytest.mark.parametrize("batch", [1, 4])
def test_every_number_of_hidden_units_without_an_output_layer(
    implementation, check, dtype, cell, batch
):
    for H in problems.sizes_to_sweep(implementation, cell, "H"):
        check(Problem(cell, dtype, T=3, B=batch, I=2, H=H, O=0, loss=LOSSES[H % 3]))


@dtypes
@cells
@output_layers
def test_random_sizes(implementation, check, dtype, cell, output_layer):
    for seed in range(3 if implementation == "native" else 1):
        check(problems.random_problem(cell, dtype, seed, output_layer))


@dtypes
@cells
@output_layers
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch", [1, 5])
def test_every_loss(check, dtype, cell, loss, output_layer, batch):
    # Long enough for the products over time to be cut into tiles of rows.
    check(Problem(cell, dtype, T=9, B=batch, I=3, H=11, O=4 if output_layer else 0, loss=loss))


@dtypes
@cells
@pytest.mark.parametrize("layout", [name for name in problems.LAYOUTS if name != "contiguous"])
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({"T": 6, "B": 4, "I": 3, "H": 5, "O": 2}, id="small"),
        pytest.param({"T": 9, "B": 1, "I": 3, "H": 11, "O": 0}, id="one sequence"),
        pytest.param({"T": 5, "B": 13, "I": 19, "H": 37, "O": 23}, id="several vectors"),
    ],
)
def test_every_layout(check, dtype, cell, layout, sizes):
    check(Problem(cell, dtype, **sizes), layout)


def shortened(implementation, sizes):
    """The sizes; for NumPy, which has no chunks of time, a few steps of them."""
    return sizes if implementation == "native" else sizes | {"T": min(sizes["T"], 6)}


# The native kernels go through time in chunks of 2^18 bytes of states, of all sequences, and
# rnn_gradient of at least 256 steps, likewise of all; rnn_predict of at least 24 of each.
@dtypes
@cells
@pytest.mark.parametrize(
    "sizes",
    [
        # float32: chunks of 1024 and 504 steps, half as many in float64.
        pytest.param({"T": 1100, "B": 1, "I": 2, "H": 64, "O": 3}, id="one long sequence"),
        pytest.param({"T": 600, "B": 1, "I": 3, "H": 130, "O": 0}, id="one, of states alone"),
        # float32: chunks of 14 steps for the gradient, 24 for predictions.
        pytest.param({"T": 50, "B": 70, "I": 3, "H": 65, "O": 2}, id="a batch"),
        # The last chunk of predictions is a single step.
        pytest.param({"T": 25, "B": 70, "I": 2, "H": 65, "O": 0}, id="a batch of states alone"),
        # Four steps of all sequences are past 2^18 bytes, so that 256 steps in all bound a chunk
        # from below: 4 of each.
        pytest.param({"T": 11, "B": 70, "I": 5, "H": 257, "O": 3}, id="wide"),
        # More sequences than 256: a chunk of one step.
        pytest.param({"T": 3, "B": 258, "I": 2, "H": 255, "O": 4}, id="chunks of a step"),
        pytest.param({"T": 5, "B": 1, "I": 2, "H": 200, "O": 7}, id="one wide sequence"),
        pytest.param({"T": 2, "B": 3, "I": 300, "H": 6, "O": 270}, id="many features"),
    ],
)
def test_chunks_of_time(implementation, check, dtype, cell, sizes):
    loss = "mse" if sizes["O"] else "sse"
    check(Problem(cell, dtype, **shortened(implementation, sizes), loss=loss))


@dtypes
@cells
@pytest.mark.parametrize("layout", ["time_major", "backwards"])
def test_chunks_of_time_whose_steps_are_not_side_by_side(
    implementation, check, dtype, cell, layout
):
    sizes = {"T": 26, "B": 70, "I": 3, "H": 65, "O": 2}
    check(Problem(cell, dtype, **shortened(implementation, sizes)), layout)


@dtypes
@cells
def test_one_sequence_read_by_all_of_the_batch(kernels, assert_close, dtype, cell):
    """A stride of zero."""
    p = Problem(cell, dtype, **SIZES)
    p.x[...] = p.x[:1]
    x = np.broadcast_to(p.x[:1], p.x.shape)
    net = EinsumNetwork(cell, p.params)
    h, _ = problems.layer_forward(kernels, p, x=x)
    assert_close(h, net.forward(p.x, p.h0)[0], dtype=dtype)
    states, gates = net.forward(p.x, np.zeros_like(p.h0))
    assert_close(problems.predict(kernels, p, x=x)[0], net.outputs(states), dtype=dtype)
    _, expected = net.gradients(p.x, p.y, states, gates, p.loss)
    for name, values in p.split(problems.gradient(kernels, p, x=x)[2], p.params).items():
        assert_close(values, expected[name], dtype=dtype, label=name)
