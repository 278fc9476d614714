"""rnn_forward, rnn_backward, output_forward, output_backward: what they read and what they write.

Their numbers are checked in test_sizes.py.
"""

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, SIZES, Problem

cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def assert_same_bits(actual, expected):
    for name, values in actual.items():
        assert values.tobytes() == expected[name].tobytes(), name


@pytest.mark.loops
@dtypes
@cells
def test_nothing_is_written_between_the_rows(kernels, dtype, cell):
    p = Problem(cell, dtype, **SIZES)
    written = problems.layers(kernels, p, "padded")
    for name in {"h", "gates", "y", "dh", "dx"} & written.keys():
        rows = written[name]
        whole = rows.base
        between = np.ones(whole.shape, dtype=bool)
        between[:, 1:-1, : rows.shape[-1]] = False
        assert np.isnan(whole[between]).all(), name
        assert np.isfinite(rows).all(), name


@dtypes
@cells
@pytest.mark.parametrize("B", [1, 5])
def test_inputs_that_are_projected_already(kernels, assert_close, dtype, cell, B):
    """Without x the kernels find W_xh x_t + b_h where they would put it, and leave dW_xh alone."""
    p = Problem(cell, dtype, **(SIZES | {"B": B}))
    expected = problems.layers(kernels, p)
    h, gates = p.empty(B, p.T + 1, p.h0.shape[1]), p.empty_gates()
    h[:, 0] = p.h0
    W_xh, W_hh, b_h = (p.params[name] for name in ("W_xh", "W_hh", "b_h"))
    projected = h[:, 1:] if gates is None else gates[..., : len(W_xh)]
    projected[...] = p.x @ W_xh.T + b_h[: len(W_xh)]
    with problems.layer_workspace(kernels, p) as scratch:
        kernels.rnn_forward(cell, None, W_xh, W_hh, b_h, h, gates, None, False, None, None, scratch)
    assert_close(h, expected["h"], dtype=dtype)

    written = problems.layer_backward(kernels, p, expected["h"], expected.get("gates"), x=False)
    assert_same_bits(written, expected | {"dW_xh": p.before["W_xh"]})


@dtypes
@cells
def test_inputs_stay_as_they_were_and_may_be_read_only(kernels, dtype, cell):
    p = Problem(cell, dtype, **SIZES)
    h, gates = problems.layer_forward(kernels, p)
    inputs = [p.x, p.dy, p.dh, *p.params.values(), h, *([] if gates is None else [gates])]
    before = [array.tobytes() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    problems.layers(kernels, p)
    problems.layer_backward(kernels, p, h, gates)
    assert [array.tobytes() for array in inputs] == before


@dtypes
@cells
def test_backward_without_input_gradient(kernels, dtype, cell):
    p = Problem(cell, dtype, **SIZES)
    h, gates = problems.layer_forward(kernels, p)
    expected = problems.layer_backward(kernels, p, h, gates)
    assert_same_bits(problems.layer_backward(kernels, p, h, gates, dx=False), expected)


@dtypes
@cells
@pytest.mark.parametrize("B", [1, 3])
def test_no_gradient_of_outputs_is_a_gradient_of_zero(kernels, dtype, cell, B):
    p = Problem(cell, dtype, **(SIZES | {"B": B}))
    h, gates = problems.layer_forward(kernels, p)
    p.dh[...] = 0
    zero = problems.layer_backward(kernels, p, h, gates)
    assert_same_bits(problems.layer_backward(kernels, p, h, gates, dh=False), zero)


@dtypes
@cells
def test_same_call_same_bits(kernels, dtype, cell):
    p = Problem(cell, dtype, T=9, B=11, I=21, H=35, O=18)
    assert_same_bits(problems.layers(kernels, p), problems.layers(kernels, p))


@pytest.mark.loops
@dtypes
@cells
def test_nan_stays_in_its_sequence_and_goes_forward(kernels, dtype, cell):
    p = Problem(cell, dtype, **(SIZES | {"T": 9}))
    p.x[2, 4, 1] = np.nan
    written = problems.layers(kernels, p)
    expected = np.zeros((p.B, p.T), dtype=bool)
    expected[2, 4:] = True
    assert np.array_equal(np.isnan(written["h"][:, 1:]).all(axis=2), expected)
    assert np.array_equal(np.isnan(written["y"]).all(axis=2), expected)
    assert np.isnan(written["dW_hh"]).any()
