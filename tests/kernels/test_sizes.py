"""Every kernel of sequences against the third implementation: sizes and array layouts.

Layers, gradient, prediction and stream are all checked on each problem.
"""

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, LOSSES, SIZES, Problem
from oracle import Layer

cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
output_layers = pytest.mark.parametrize(
    "output_layer", [True, False], ids=["output layer", "states alone"]
)


@pytest.mark.loops
@dtypes
@cells
@pytest.mark.parametrize("swept", SIZES)
def test_every_size(implementation, kernels, check, dtype, cell, swept):
    for size in problems.sizes_to_sweep(implementation, cell, swept):
        check(kernels, Problem(cell, dtype, **(SIZES | {swept: size}), loss=LOSSES[size % 3]))


@pytest.mark.loops
@dtypes
@cells
@pytest.mark.parametrize("swept", ["T", "I", "H"])
def test_every_size_of_one_sequence(implementation, kernels, check, dtype, cell, swept):
    """Alone, a sequence has loops of its own: a row times a matrix."""
    for size in problems.sizes_to_sweep(implementation, cell, swept):
        sizes = SIZES | {"B": 1, swept: size}
        check(kernels, Problem(cell, dtype, **sizes, loss=LOSSES[size % 3]))


@pytest.mark.loops
@dtypes
@cells
@pytest.mark.parametrize("batch", [1, 4])
def test_every_number_of_hidden_units_without_an_output_layer(
    implementation, kernels, check, dtype, cell, batch
):
    for H in problems.sizes_to_sweep(implementation, cell, "H"):
        check(kernels, Problem(cell, dtype, T=3, B=batch, I=2, H=H, O=0, loss=LOSSES[H % 3]))


@dtypes
@cells
@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_few_sequences_of_many_units(kernels, check, dtype, cell, batch):
    """Threads share their units, so they have panels where fewer units have rows."""
    check(kernels, Problem(cell, dtype, T=3, B=batch, I=5, H=261, O=6, loss="sse"))


@dtypes
@cells
@output_layers
def test_random_sizes(implementation, kernels, check, dtype, cell, output_layer):
    for seed in range(2 if implementation == "native" else 1):
        check(kernels, problems.random_problem(cell, dtype, seed, output_layer))


@dtypes
@cells
@output_layers
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch", [1, 5])
def test_every_loss(kernels, check, dtype, cell, loss, output_layer, batch):
    # Long enough for the products over time to be cut into tiles of rows.
    check(
        kernels,
        Problem(cell, dtype, T=9, B=batch, I=3, H=11, O=4 if output_layer else 0, loss=loss),
    )


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
def test_every_layout(kernels, check, dtype, cell, layout, sizes):
    check(kernels, Problem(cell, dtype, **sizes), layout)


@dtypes
@cells
def test_one_sequence_read_by_all_of_the_batch(kernels, assert_close, dtype, cell):
    """A stride of zero."""
    p = Problem(cell, dtype, **SIZES)
    p.x[...] = p.x[:1]
    x = np.broadcast_to(p.x[:1], p.x.shape)
    net = Layer(cell, p.params)
    h, _ = problems.layer_forward(kernels, p, x=x)
    assert_close(h, net.forward(p.x, p.h0)[0], dtype=dtype)
    states, gates = net.forward(p.x, np.zeros_like(p.h0))
    assert_close(problems.predict(kernels, p, x=x)[0], net.outputs(states), dtype=dtype)
    _, expected = net.gradients(p.x, p.y, states, gates, p.loss)
    for name, values in p.split(problems.gradient(kernels, p, x=x)[2], p.params).items():
        assert_close(values, expected[name], dtype=dtype, label=name)
