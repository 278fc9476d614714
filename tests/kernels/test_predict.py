"""rnn_predict and stream_step: states carried from call to call, and what may share memory."""

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, SIZES, Problem

cells = pytest.mark.parametrize("cell", CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.loops
@cells
@dtypes
@pytest.mark.parametrize("O", [5, 0], ids=["output layer", "states alone"])
@pytest.mark.parametrize(
    "sizes",
    [
        # T leaves a chunk of predictions (24 steps); the batch keeps chunks that short.
        pytest.param({"T": 27, "B": 70, "I": 2, "H": 41}, id="batch"),
        pytest.param({"T": 27, "B": 1, "I": 3, "H": 35}, id="one sequence"),
        pytest.param({"T": 27, "B": 1, "I": 3, "H": 16}, id="16 units"),
    ],
)
def test_predictions_in_two_parts(implementation, kernels, dtype, cell, O, sizes):
    p = Problem(cell, dtype, **sizes, O=O)
    y, h_n = problems.predict(kernels, p, h0=p.h0)
    for t in range(1, p.T, 1 if implementation == "native" else 9):
        first, carried = problems.predict(kernels, p, h0=p.h0, x=p.x[:, :t])
        second, last = problems.predict(kernels, p, h0=carried, x=p.x[:, t:])
        assert np.concatenate([first, second], axis=1).tobytes() == y.tobytes(), t
        assert last.tobytes() == h_n.tobytes(), t


@cells
@dtypes
def test_last_states_are_optional(kernels, dtype, cell):
    p = Problem(cell, dtype, **SIZES)
    expected, _ = problems.predict(kernels, p, h0=p.h0)
    size = kernels.predict_workspace_size(cell, p.T, p.B, p.I, p.H, p.O, dtype)
    y = p.empty(p.B, p.T, p.O)
    with problems.workspace(size, dtype) as scratch:
        kernels.rnn_predict(
            cell, p.x, p.h0, p.theta, p.H, p.O, y, None, None, False, None, None, scratch
        )
    assert y.tobytes() == expected.tobytes()


@cells
@dtypes
def test_outputs_are_optional_where_they_are_states(kernels, dtype, cell):
    p = Problem(cell, dtype, **(SIZES | {"O": 0}))
    _, expected = problems.predict(kernels, p, h0=p.h0)
    h_n, size = (
        p.empty(*p.h0.shape),
        kernels.predict_workspace_size(cell, p.T, p.B, p.I, p.H, 0, dtype),
    )
    with problems.workspace(size, dtype) as scratch:
        kernels.rnn_predict(
            cell, p.x, p.h0, p.theta, p.H, 0, None, h_n, None, False, None, None, scratch
        )
    assert h_n.tobytes() == expected.tobytes()
    p = Problem(cell, dtype, **SIZES)
    arguments = (cell, p.x, None, p.theta, p.H, p.O, None, h_n, None, False, None, None, p.theta)
    with pytest.raises(ValueError, match=f"^output_size: expected 0 without y, got {p.O}$"):
        kernels.rnn_predict(*arguments)


@dtypes
@cells
def test_inputs_stay_as_they_were_and_may_be_read_only(kernels, dtype, cell):
    p = Problem(cell, dtype, **SIZES)
    parameters = kernels.stream_parameters(cell, p.theta, p.I, p.H, p.O, p.B)
    x, h, h_next, y = p.x[:, 0].copy(), p.h0.copy(), p.empty(*p.h0.shape), p.empty(p.B, p.O)
    inputs = [p.x, p.h0, p.theta, x, h]
    before = [array.tobytes() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    problems.predict(kernels, p, h0=p.h0)
    with problems.stream_workspace(kernels, p) as scratch:
        kernels.stream_step(cell, parameters, x, h, h_next, y, p.O, scratch)
    assert [array.tobytes() for array in inputs] == before


@pytest.mark.loops
@cells
@dtypes
@pytest.mark.parametrize("batch", [1, 2, 5, 17])
@pytest.mark.parametrize("size", [3, 8, 35])
def test_a_step_of_a_stream_may_write_over_what_it_reads(kernels, dtype, cell, batch, size):
    """h_next is h, and y is x."""
    p = Problem(cell, dtype, T=4, B=batch, I=size, H=size + 2, O=size)
    y, h_n = problems.stream(kernels, p)
    parameters = kernels.stream_parameters(cell, p.theta, p.I, p.H, p.O, p.B)
    h = p.h0.copy()
    for t in range(p.T):
        x = np.ascontiguousarray(p.x[:, t])
        with problems.stream_workspace(kernels, p) as scratch:
            kernels.stream_step(cell, parameters, x, h, h, x, p.O, scratch)
        assert x.tobytes() == y[:, t].tobytes(), t
    assert h.tobytes() == h_n.tobytes()


@cells
def test_parameters_of_a_stream_are_a_copy(kernels, cell):
    p = Problem(cell, **SIZES)
    expected, _ = problems.stream(kernels, p)
    parameters = kernels.stream_parameters(cell, p.theta, p.I, p.H, p.O, p.B)
    p.theta[:] = np.nan
    y, h_next = p.empty(p.B, p.O), p.empty(*p.h0.shape)
    with problems.stream_workspace(kernels, p) as scratch:
        kernels.stream_step(
            cell, parameters, p.x[:, 0].copy(), p.h0.copy(), h_next, y, p.O, scratch
        )
    assert y.tobytes() == expected[:, 0].tobytes()


@cells
@dtypes
def test_nan_stays_in_its_sequence_and_goes_forward(kernels, dtype, cell):
    p = Problem(cell, dtype, **(SIZES | {"T": 9}))
    p.x[2, 4, 1] = np.nan
    expected = np.zeros((p.B, p.T, p.O), dtype=bool)
    expected[2, 4:] = True
    for y, h_n in (problems.predict(kernels, p), problems.stream(kernels, p)):
        assert np.array_equal(np.isnan(y), expected)
        assert np.array_equal(np.isnan(h_n).all(axis=1), np.arange(p.B) == 2)
