"""rnn_gradient: finite differences, clipping, NaN. All sizes are in test_sizes.py."""

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, LOSSES, Problem

cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
losses = pytest.mark.parametrize("loss", LOSSES)
output_layers = pytest.mark.parametrize(
    "output_layer", [True, False], ids=["output layer", "states alone"]
)

SIZES = {"T": 9, "B": 5, "I": 3, "H": 11, "O": 4}

# Truncation grows with the square of the step and rounding shrinks with it; the cube root of
# the unit roundoff (6e-6) balances both at about 1e-10, well below the demanded 1e-7.
STEP = 6e-6
RELATIVE_ERROR = 1e-7


@cells
@losses
@output_layers
@pytest.mark.parametrize("batch", [1, 4])
def test_finite_differences_of_the_loss(kernels, cell, loss, output_layer, batch):
    O = 3 if output_layer else 0
    p = Problem(cell, T=4, B=batch, I=1, H=2, O=O, loss=loss)
    _, _, dtheta = problems.gradient(kernels, p)
    expected = np.empty_like(dtheta)
    for i, value in enumerate(p.theta.copy()):
        p.theta[i] = value + STEP
        above, _, _ = problems.gradient(kernels, p)
        p.theta[i] = value - STEP
        below, _, _ = problems.gradient(kernels, p)
        p.theta[i] = value
        expected[i] = (above - below) / (2 * STEP)
    assert np.linalg.norm(dtheta - expected) < RELATIVE_ERROR * np.linalg.norm(expected)
    # The norm hides an element that is far smaller than its neighbours.
    smallest = RELATIVE_ERROR * np.abs(expected).max()
    np.testing.assert_allclose(dtheta, expected, rtol=1e-5, atol=smallest)


@dtypes
@output_layers
def test_clipping_by_norm(kernels, assert_close, dtype, output_layer):
    p = Problem(dtype=dtype, **(SIZES if output_layer else SIZES | {"O": 0}), loss="sse")
    loss, norm, whole = problems.gradient(kernels, p)
    assert norm == pytest.approx(np.linalg.norm(whole.astype(np.float64)), rel=1e-14)
    clipped = problems.gradient(kernels, p, max_norm=norm / 3)
    assert clipped[:2] == (loss, norm)
    assert_close(clipped[2], whole.astype(np.float64) / 3, dtype=dtype)


@dtypes
@output_layers
def test_clipping_by_value(kernels, dtype, output_layer):
    p = Problem(dtype=dtype, **(SIZES if output_layer else SIZES | {"O": 0}), loss="sse")
    loss, norm, whole = problems.gradient(kernels, p)
    # The median, so that half of the elements are to be clipped.
    limit = float(np.median(np.abs(whole)))
    clipped = problems.gradient(kernels, p, max_value=limit)
    assert clipped[:2] == (loss, norm)
    assert np.array_equal(clipped[2], np.clip(whole, -limit, limit))
    assert (np.abs(clipped[2]) == np.dtype(dtype).type(limit)).any()


@dtypes
def test_clipping_by_norm_comes_before_clipping_by_value(kernels, assert_close, dtype):
    p = Problem(dtype=dtype, **SIZES, loss="sse")
    _, norm, whole = problems.gradient(kernels, p)
    # The norm a third, then at most half of what is then the largest; the other way round it
    # would be the value that changes nothing.
    limit = float(np.abs(whole).max()) / 6
    _, _, clipped = problems.gradient(kernels, p, max_norm=norm / 3, max_value=limit)
    expected = np.clip(whole.astype(np.float64) / 3, -limit, limit)
    assert np.abs(expected).max() == limit
    assert_close(clipped, expected, dtype=dtype)


@dtypes
@pytest.mark.parametrize("limits", [(1.0, None), (None, 1.0), (1.0, 1.0)])
def test_limits_that_are_kept_change_no_bit(kernels, dtype, limits):
    p = Problem(dtype=dtype, **SIZES, loss="sse")
    loss, norm, whole = problems.gradient(kernels, p)
    max_norm, max_value = (None if limit is None else limit * norm for limit in limits)
    again = problems.gradient(kernels, p, max_norm=max_norm, max_value=max_value)
    assert again[:2] == (loss, norm)
    assert again[2].tobytes() == whole.tobytes()


@pytest.mark.loops
@cells
@dtypes
@losses
@pytest.mark.parametrize("batch", [1, 5])
def test_nan_reaches_loss_and_norm(kernels, dtype, cell, loss, batch):
    p = Problem(cell, dtype, **(SIZES | {"B": batch}), loss=loss)
    p.x[batch // 2, 4, 1] = np.nan
    value, norm, dtheta = problems.gradient(kernels, p, max_norm=1.0, max_value=1.0)
    assert np.isnan(value)
    assert not np.isfinite(norm)
    assert np.isnan(dtheta).any()


@dtypes
@pytest.mark.parametrize("loss", ["sse", "cross_entropy"])
def test_inputs_stay_as_they_were_and_may_be_read_only(kernels, dtype, loss):
    p = Problem(dtype=dtype, **SIZES, loss=loss)
    inputs = [p.x, p.y, p.theta]
    before = [array.tobytes() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    problems.gradient(kernels, p, max_norm=1e-3, max_value=1e-4)
    assert [array.tobytes() for array in inputs] == before


@cells
@dtypes
@pytest.mark.parametrize("batch", [1, 5])
def test_same_call_same_bits(kernels, dtype, cell, batch):
    p = Problem(cell, dtype, T=9, B=batch, I=21, H=35, O=18)
    first, second = problems.gradient(kernels, p), problems.gradient(kernels, p)
    assert first[:2] == second[:2]
    assert first[2].tobytes() == second[2].tobytes()


@dtypes
def test_denormals_survive_a_call(kernels, dtype):
    # The native kernels flush them to zero while they work.
    smallest = np.full(33, np.finfo(dtype).tiny, dtype)
    p = Problem(dtype=dtype, **SIZES)
    for call in (problems.gradient, problems.predict):
        call(kernels, p)
        assert np.array_equal(smallest / 4 * 4, smallest)
        assert np.all(smallest / 4 > 0)


@pytest.mark.native
def test_sequence_alone_too_long_to_be_padded(native, reference, tolerances):
    """Native pads the states of shorter ones; 70 000 steps of 8 float64 are more than 4 MiB."""
    p = Problem(T=70_000, B=1, I=2, H=3, O=1)
    results = [problems.gradient(kernels, p) for kernels in (native, reference)]
    for ours, theirs in zip(*results, strict=True):
        # Errors of so many additions add up.
        np.testing.assert_allclose(ours, theirs, rtol=100 * tolerances["float64"])
