"""rnn_forward, rnn_backward, rnn_predict and the output layer with lengths, in both directions.

Each sequence has the numbers that it has alone. The third implementation computes those; NaN past a
sequence's end shows that nothing is read there.
"""

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, Problem
from oracle import Layer

SIZES = {"T": 6, "B": 7, "I": 3, "H": 9, "O": 4}
LENGTHS = {
    "unsorted, with zeros": [3, 0, 6, 1, 6, 0, 4],
    "none at the end": [2, 1, 2, 2, 1, 1, 2],
    "equal": [6] * 7,
    "one at a time": [0, 0, 0, 5, 0, 0, 0],
    "nothing": [0] * 7,
}

pytestmark = pytest.mark.loops
dtypes = pytest.mark.parametrize("dtype", DTYPES)
cells = pytest.mark.parametrize("cell", CELLS)
reverses = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
all_lengths = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


def problem(cell, dtype, lengths, **sizes):
    """A problem with NaN past sequences' ends."""
    p = Problem(cell, dtype, **(SIZES | sizes))
    p.lengths = np.array(lengths, np.intp)
    for b, length in enumerate(lengths):
        for array in (p.x, p.dh, p.dy):
            array[b, length:] = np.nan
    return p


def alone(p, reverse):
    """By sequence what the third implementation computes: the states, gates and gradients."""
    net = Layer(p.cell, p.params)
    for b, length in enumerate(p.lengths):
        one = slice(b, b + 1)
        x, dh = p.x[one, :length], p.dh[one, :length]
        if length == 0:
            zero = dict.fromkeys(("W_xh", "W_hh", "b_h"), 0)
            yield p.h0[one, None], None, zero | {"x": x, "a": None, "h0": p.dstate[one]}
            continue
        if reverse:
            x, dh = x[:, ::-1], dh[:, ::-1]
        states, gates = net.forward(x, p.h0[one])
        d = net.layer_gradients(x, states, gates, dh.astype(np.float64), p.dstate[one])
        if reverse:
            d["x"] = d["x"][:, ::-1]
        yield states, gates, d


@dtypes
@cells
@reverses
@all_lengths
@pytest.mark.parametrize("layout", ["contiguous", "time_major"])
def test_each_sequence_is_as_it_is_alone(
    kernels, assert_close, dtype, cell, reverse, lengths, layout
):
    p = problem(cell, dtype, lengths)
    how = {"lengths": p.lengths, "reverse": reverse}
    h, gates = problems.layer_forward(kernels, p, layout, **how)
    written = problems.layer_backward(kernels, p, h, gates, layout, **how)
    sums = {name: p.before[name].astype(np.float64) for name in ("W_xh", "W_hh", "b_h")}
    rows = written["da"].reshape(p.B * p.T, -1)
    for b, (states, gates_b, d) in enumerate(alone(p, reverse)):
        length = lengths[b]
        assert_close(h[b, : length + 1], states[0], dtype=dtype, label=f"h of {b}")
        for name in sums:
            sums[name] += d[name]
        assert_close(written["dh0"][b], d["h0"][0], dtype=dtype, label=f"dh0 of {b}")
        expected = p.before["x"][b, :length] + d["x"][0]
        assert_close(written["dx"][b, :length], expected, dtype=dtype, label=f"dx of {b}")
        assert np.array_equal(written["dx"][b, length:], p.before["x"][b, length:])
        if length:
            assert_close(rows[:length], d["a"][0], dtype=dtype, label=f"da of {b}")
            rows = rows[length:]
            if gates is not None:
                expected = np.concatenate([g[:, 0] for g in gates_b.values()], axis=-1)
                assert_close(gates[b, :length], expected, dtype=dtype, label=f"gates of {b}")
    for name, expected in sums.items():
        assert_close(written["d" + name], expected, dtype=dtype, label=name)


@dtypes
@cells
@reverses
def test_inputs_that_are_projected_already(kernels, assert_close, dtype, cell, reverse):
    """In the order of reading."""
    p = problem(cell, dtype, LENGTHS["unsorted, with zeros"])
    how = {"lengths": p.lengths, "reverse": reverse}
    expected, _ = problems.layer_forward(kernels, p, **how)
    h, gates = p.empty(p.B, p.T + 1, p.h0.shape[1]), p.empty_gates()
    h[:, 0] = p.h0
    W_xh, W_hh, b_h = (p.params[name] for name in ("W_xh", "W_hh", "b_h"))
    projected = h[:, 1:] if gates is None else gates[..., : len(W_xh)]
    for b, length in enumerate(p.lengths):
        x = p.x[b, :length][::-1] if reverse else p.x[b, :length]
        projected[b, :length] = x @ W_xh.T + b_h[: len(W_xh)]
    with problems.layer_workspace(kernels, p) as scratch:
        kernels.rnn_forward(
            cell, None, W_xh, W_hh, b_h, h, gates, p.lengths, reverse, None, None, scratch
        )
    for b, length in enumerate(p.lengths):
        assert_close(h[b, : length + 1], expected[b, : length + 1], dtype=dtype)


@pytest.mark.native
@dtypes
@cells
@pytest.mark.parametrize("sizes", [{"B": 13, "T": 40, "H": 35}, {}], ids=["larger", "small"])
def test_padding_that_is_computed_changes_no_bit(native, dtype, cell, sizes):
    """Live steps alone have the bits that they have where all steps are computed."""
    sizes = SIZES | sizes
    lengths = np.random.default_rng(5).integers(0, sizes["T"] + 1, sizes["B"])
    p = problem(cell, dtype, lengths, **sizes)
    for array in (p.x, p.dh):
        array[np.isnan(array)] = 0
    p.dstate[...] = 0
    # Of all steps in time: those of a sequence are its last where it is read from its end.
    h_all, gates_all = problems.layer_forward(native, p)
    expected = problems.layer_backward(native, p, h_all, gates_all)
    h, gates = problems.layer_forward(native, p, lengths=p.lengths)
    actual = problems.layer_backward(native, p, h, gates, lengths=p.lengths)
    for b, length in enumerate(lengths):
        assert np.array_equal(h[b, : length + 1], h_all[b, : length + 1])
        assert np.array_equal(actual["dx"][b, :length], expected["dx"][b, :length])
    for name in ("dW_xh", "dW_hh", "db_h", "dh0"):
        assert np.array_equal(actual[name], expected[name]), name


@pytest.mark.native
@dtypes
@cells
def test_reverse_has_the_bits_of_reversed_inputs(native, dtype, cell):
    p = problem(cell, dtype, LENGTHS["unsorted, with zeros"])
    h, gates = problems.layer_forward(native, p, lengths=p.lengths, reverse=True)
    actual = problems.layer_backward(native, p, h, gates, lengths=p.lengths, reverse=True)
    for b, length in enumerate(p.lengths):
        for array in (p.x, p.dh, p.before["x"]):
            array[b, :length] = array[b, :length][::-1].copy()
    h_turned, gates_turned = problems.layer_forward(native, p, lengths=p.lengths)
    expected = problems.layer_backward(native, p, h_turned, gates_turned, lengths=p.lengths)
    for b, length in enumerate(p.lengths):
        assert np.array_equal(h[b, : length + 1], h_turned[b, : length + 1])
        turned = expected["dx"][b, :length][::-1]
        assert np.array_equal(actual["dx"][b, :length], turned)
    for name in ("dW_xh", "dW_hh", "db_h", "dh0"):
        assert np.array_equal(actual[name], expected[name]), name


def predictions_of(p, states):
    """The outputs (T, O) of one sequence, given its states (T + 1, S)."""
    h = states[1:, : p.H]
    return h @ p.params["W_hy"].T.astype(np.float64) + p.params["b_y"] if p.O else h


@dtypes
@cells
@reverses
@all_lengths
@pytest.mark.parametrize("O", [4, 0], ids=["output layer", "states alone"])
@pytest.mark.parametrize("layout", ["contiguous", "time_major"])
def test_predictions(kernels, assert_close, dtype, cell, reverse, lengths, O, layout):
    p = problem(cell, dtype, lengths, O=O)
    untouched = p.empty(p.B, p.T, p.outputs, layout=layout)
    how = {"x": p.x, "h0": p.h0, "layout": layout}
    y, h_n = problems.predict(kernels, p, **how, lengths=p.lengths, reverse=reverse)
    for b, (states, _, _) in enumerate(alone(p, reverse)):
        length, expected = lengths[b], predictions_of(p, states[0])
        expected = expected[::-1] if reverse else expected
        assert_close(y[b, :length], expected, dtype=dtype, label=f"y of {b}")
        assert np.array_equal(y[b, length:], untouched[b, length:], equal_nan=True)
        assert_close(h_n[b], states[0, -1], dtype=dtype, label=f"h_n of {b}")


CHUNKS = {
    "batch": {"T": 60, "B": 13, "H": 35},
    "one sequence": {"T": 60, "B": 1, "H": 35},
    "one sequence of few units": {"T": 60, "B": 1, "H": 8},
    "members share units": {"T": 30, "B": 3, "H": 256},
}


@dtypes
@cells
@reverses
@pytest.mark.parametrize("sizes", CHUNKS.values(), ids=CHUNKS)
def test_predictions_in_chunks(kernels, assert_close, dtype, cell, reverse, sizes):
    """Longer than the 24 steps whose states are kept."""
    sizes = SIZES | sizes
    T, B = sizes["T"], sizes["B"]
    lengths = np.array([T - 7, 0, 24, T, 1, 25, 3, T - 1, 23, 2, 48, 0, 5][:B])
    p = problem(cell, dtype, lengths, **sizes)
    how = {"lengths": p.lengths, "reverse": reverse}
    h, _ = problems.layer_forward(kernels, p, **how)
    y, h_n = problems.predict(kernels, p, x=p.x, h0=p.h0, **how)
    for b, length in enumerate(lengths):
        expected = predictions_of(p, h[b, : length + 1].astype(np.float64))
        expected = expected[::-1] if reverse else expected
        assert_close(y[b, :length], expected, dtype=dtype, label=f"y of {b}")
        assert_close(h_n[b], h[b, length], dtype=dtype, label=f"h_n of {b}")


@dtypes
@all_lengths
@pytest.mark.parametrize("layout", ["contiguous", "padded"])
def test_output_layer(kernels, assert_close, dtype, lengths, layout):
    p = problem("tanh", dtype, lengths)
    rng = np.random.default_rng(2)
    states = problems.laid_out(rng.standard_normal((p.B, p.T, p.H)).astype(dtype), layout)
    live = np.arange(p.T) < p.lengths[:, None]
    states[~live] = np.nan
    y = p.empty(p.B, p.T, p.O, layout=layout)
    dh = p.empty(p.B, p.T, p.H, layout=layout)
    dW_hy, db_y = p.before["W_hy"].copy(), p.before["b_y"].copy()
    W_hy, b_y = p.params["W_hy"], p.params["b_y"]
    with problems.output_workspace(kernels, p) as scratch:
        kernels.output_forward(states, W_hy, b_y, y, p.lengths, scratch)
    with problems.output_workspace(kernels, p) as scratch:
        kernels.output_backward(states, W_hy, p.dy, dW_hy, db_y, dh, p.lengths, scratch)
    rows, dy = states[live].astype(np.float64), p.dy[live].astype(np.float64)
    assert_close(y[live], rows @ W_hy.T + b_y, dtype=dtype)
    assert_close(dh[live], dy @ W_hy, dtype=dtype)
    assert not y[~live].any()
    assert not dh[~live].any()
    assert_close(dW_hy, p.before["W_hy"] + dy.T @ rows, dtype=dtype)
    assert_close(db_y, p.before["b_y"] + dy.sum(axis=0), dtype=dtype)
