"""Chunks of time, which the compiled kernels alone have, against the third implementation."""

import pytest
from kernel_problems import CELLS, DTYPES, Problem

pytestmark = pytest.mark.native

cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)

# The kernels go through time in chunks of 2^18 bytes of states, of all sequences, and
# rnn_gradient of at least 256 steps, likewise of all, or 512 where it sums two groups of sequences;
# rnn_predict of at least 24 of each. Those of rnn_gradient are of an odd number of steps.
SIZES = {
    # float32: chunks of 1025 and 505 steps, half as many in float64.
    "one long sequence": {"T": 1100, "B": 1, "I": 2, "H": 64, "O": 3},
    "one, of states alone": {"T": 600, "B": 1, "I": 3, "H": 130, "O": 0},
    # float32: chunks of 15 steps for the gradient, 24 for predictions.
    "a batch": {"T": 50, "B": 70, "I": 3, "H": 65, "O": 2},
    # The last chunk of predictions is a single step.
    "a batch of states alone": {"T": 25, "B": 70, "I": 2, "H": 65, "O": 0},
    # Four steps of all sequences are past 2^18 bytes, so that 512 steps in all bound a chunk
    # from below: 9 of each.
    "wide": {"T": 11, "B": 70, "I": 5, "H": 257, "O": 3},
    # More sequences than 512, and a step of more than 2^18 bytes: a chunk of one step.
    "chunks of a step": {"T": 3, "B": 514, "I": 2, "H": 131, "O": 4},
    "one wide sequence": {"T": 5, "B": 1, "I": 2, "H": 200, "O": 7},
    "many features": {"T": 2, "B": 3, "I": 300, "H": 6, "O": 270},
}


@pytest.mark.loops
@dtypes
@cells
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_chunks_of_time(native, check, dtype, cell, sizes):
    check(native, Problem(cell, dtype, **sizes, loss="mse" if sizes["O"] else "sse"))


@dtypes
@cells
@pytest.mark.parametrize("layout", ["time_major", "backwards"])
def test_chunks_of_time_whose_steps_are_not_side_by_side(native, check, dtype, cell, layout):
    check(native, Problem(cell, dtype, T=26, B=70, I=3, H=65, O=2), layout)
