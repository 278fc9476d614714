"""Every kernel against an obviously correct third implementation, and the twins against each other.

The third implementation is float64 einsum with named axes (b batch, t time, i input, h and k
hidden, o output, g gate), one time step after the other. It shares no code with the two twins.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crnn.kernels import cells, contracts

DTYPES = ["float32", "float64"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)

CELLS = ["tanh", "relu", "gru", "gru_reset_before", "lstm"]
cells = pytest.mark.parametrize("cell", CELLS)

# By cell: gates, blocks of b_h and da, blocks of a state, blocks kept in `gates`
BLOCKS = {
    "tanh": (1, 1, 1, 0),
    "relu": (1, 1, 1, 0),
    "gru": (3, 4, 1, 4),
    "gru_reset_before": (3, 3, 1, 4),
    "lstm": (4, 4, 2, 4),
}

KERNELS = [
    "workspace_size",
    "rnn_forward",
    "rnn_backward",
    "output_forward",
    "output_backward",
    "mse",
    "sse",
    "cross_entropy",
    "all_finite",
    "global_norm",
    "clip_norm",
    "clip_value",
    "sgd_step",
    "rmsprop_step",
    "adam_step",
]

# 70 is past four times the widest vector (16 float32), so every remainder of every unrolling by
# up to four vectors appears; sizes past 64 also leave the first panel of any usual width.
LARGEST_SIZE = 70

# Around every remainder of the vectors and of a panel of 48, for the cells beside tanh
REMAINDERS = [*range(1, 19), *range(31, 35), *range(47, 51), *range(63, 67), LARGEST_SIZE]


def sizes_of(implementation, cell):
    """The sizes to sweep through; NumPy has no loops of its own whose remainders could be wrong."""
    if implementation == "python":
        return (1, 2, 9, LARGEST_SIZE)
    return range(1, LARGEST_SIZE + 1) if cell == "tanh" else REMAINDERS


# What the other sizes are while one is swept: small, odd and different from each other.
SIZES = {"T": 3, "B": 5, "I": 2, "H": 7, "O": 4}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class Problem:
    """Random asymmetric inputs of one size, and what the third implementation makes of them."""

    def __init__(self, *, T, B, I, H, O, dtype, seed, cell="tanh"):
        rng = np.random.default_rng(seed)

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(dtype)

        self.cell = cell
        self.sizes = T, B, I, H, O
        self.dtype = np.dtype(dtype)
        gates, sums, states, _ = BLOCKS[cell]
        self.x = normal(B, T, I)
        # Scaled by fan-in, so that neither the states saturate nor the gradients explode.
        self.W_xh = normal(gates * H, I, scale=1 / np.sqrt(I))
        self.W_hh = normal(gates * H, H, scale=0.9 / np.sqrt(H))
        self.b_h = normal(sums * H, scale=0.3)
        self.W_hy = normal(O, H, scale=1 / np.sqrt(H))
        self.b_y = normal(O, scale=0.3)
        self.h0 = np.tanh(normal(B, states * H))
        self.dy = normal(B, T, O)
        self.dh = normal(B, T, H)
        self.dc = normal(B, T, H) if states == 2 else None
        # What the accumulated gradients hold before the kernel adds to them.
        self.before = {
            "W_xh": normal(gates * H, I),
            "W_hh": normal(gates * H, H),
            "b_h": normal(sums * H),
            "W_hy": normal(O, H),
            "b_y": normal(O),
        }

    def room(self, layout, name):
        """An array for `gates` or `da`, or None where the cell has none."""
        T, B, _, H, _ = self.sizes
        _, sums, _, kept = BLOCKS[self.cell]
        if kept == 0:
            return None
        return layout((B, T, (sums if name == "da" else kept) * H), self.dtype)

    def _by_gate(self):
        """Weights (gates, H, ...) and biases (blocks, H) in float64."""
        H = self.sizes[3]
        W_xh, W_hh, b_h = wide(self.W_xh, self.W_hh, self.b_h)
        return W_xh.reshape(-1, H, W_xh.shape[1]), W_hh.reshape(-1, H, H), b_h.reshape(-1, H)

    def _step(self, x_t, state):
        """One step: the state after it, and all that the gradients are made of."""
        H = self.sizes[3]
        W_xh, W_hh, b_h = self._by_gate()
        h = state[:, :H]
        from_x = np.einsum("ghi,bi->gbh", W_xh, x_t)
        from_h = np.einsum("ghk,bk->gbh", W_hh, h)
        if self.cell in ("tanh", "relu"):
            a = from_x[0] + from_h[0] + b_h[0]
            return (np.tanh(a) if self.cell == "tanh" else np.where(a > 0, a, 0)), {}
        if self.cell == "lstm":
            a = from_x + from_h + b_h[:, None]
            kept = {"i": sigmoid(a[0]), "f": sigmoid(a[1]), "g": np.tanh(a[2]), "o": sigmoid(a[3])}
            c = kept["f"] * state[:, H:] + kept["i"] * kept["g"]
            return np.concatenate([kept["o"] * np.tanh(c), c], axis=1), kept
        kept = {"r": sigmoid(from_x[0] + from_h[0] + b_h[0])}
        kept["z"] = sigmoid(from_x[1] + from_h[1] + b_h[1])
        if self.cell == "gru":
            kept["q"] = from_h[2] + b_h[3]
            kept["n"] = np.tanh(from_x[2] + b_h[2] + kept["r"] * kept["q"])
        else:
            kept["q"] = kept["r"] * h
            inner = np.einsum("hk,bk->bh", W_hh[2], kept["q"])
            kept["n"] = np.tanh(from_x[2] + b_h[2] + inner)
        return kept["n"] + kept["z"] * (h - kept["n"]), kept

    def hidden_states(self):
        x, h0 = wide(self.x, self.h0)
        h = [h0]
        for t in range(x.shape[1]):
            h.append(self._step(x[:, t], h[-1])[0])
        return np.stack(h, axis=1)

    def kept(self, h):
        """What the steps keep beside their states, in the order in which the kernels keep it."""
        x = self.x.astype(np.float64)
        order = "ifgo" if self.cell == "lstm" else "rznq"
        steps = [self._step(x[:, t], h[:, t])[1] for t in range(x.shape[1])]
        return np.stack([np.concatenate([s[name] for name in order], axis=1) for s in steps], 1)

    def outputs(self, h):
        W_hy, b_y = wide(self.W_hy, self.b_y)
        return np.einsum("oh,bth->bto", W_hy, h) + b_y

    def output_gradients(self, h):
        W_hy, dy = wide(self.W_hy, self.dy)
        return {
            "W_hy": self.before["W_hy"] + np.einsum("bto,bth->oh", dy, h),
            "b_y": self.before["b_y"] + np.einsum("bto->o", dy),
            "h": np.einsum("oh,bto->bth", W_hy, dy),
        }

    def _step_back(self, t, h, carried):
        """By sum: its gradient. And what reaches the state before the step."""
        H = self.sizes[3]
        _, W_hh, _ = self._by_gate()
        before, after, dh = h[:, t], h[:, t + 1], carried[:, :H] + self.dh[:, t]
        _, kept = self._step(self.x[:, t].astype(np.float64), before)

        def back(gate, da):
            return np.einsum("hk,bh->bk", W_hh[gate], da)

        if self.cell in ("tanh", "relu"):
            slope = 1 - after**2 if self.cell == "tanh" else 1.0 * (after > 0)
            return [dh * slope], back(0, dh * slope)
        if self.cell == "lstm":
            i, f, g, o = (kept[name] for name in "ifgo")
            tanh_c = np.tanh(after[:, H:])
            dc = carried[:, H:] + self.dc[:, t] + dh * o * (1 - tanh_c**2)
            da = [dc * g * (i - i**2), dc * before[:, H:] * (f - f**2), dc * i * (1 - g**2)]
            da.append(dh * tanh_c * (o - o**2))
            dh_before = sum(back(gate, da_gate) for gate, da_gate in enumerate(da))
            return da, np.concatenate([dh_before, dc * f], axis=1)
        r, z, n, q = (kept[name] for name in "rznq")
        da_z, da_n = dh * (before - n) * (z - z**2), dh * (1 - z) * (1 - n**2)
        if self.cell == "gru":
            da_r, da_q = da_n * q * (r - r**2), da_n * r
            return [da_r, da_z, da_n, da_q], dh * z + back(0, da_r) + back(1, da_z) + back(2, da_q)
        dq = back(2, da_n)
        da_r = dq * before * (r - r**2)
        return [da_r, da_z, da_n], dh * z + dq * r + back(0, da_r) + back(1, da_z)

    def hidden_gradients(self, h):
        x, W_xh = wide(self.x, self.W_xh)
        T, H = x.shape[1], self.sizes[3]
        gates = BLOCKS[self.cell][0]
        da, carried = [None] * T, np.zeros_like(h[:, 0])
        for t in reversed(range(T)):
            # h[:, t + 1] is h_t of the formulas, because h[:, 0] is h_0 and t starts at 0.
            da[t], carried = self._step_back(t, h, carried)
        da = np.array(da)  # (T, blocks, B, H)
        dW_hh = np.einsum("tgbh,btk->ghk", da[:, :gates], h[:, :-1, :H])
        if self.cell == "gru":
            dW_hh[2] = np.einsum("tbh,btk->hk", da[:, 3], h[:, :-1])
        if self.cell == "gru_reset_before":
            q = self.kept(h)[..., 3 * H :]
            dW_hh[2] = np.einsum("tbh,btk->hk", da[:, 2], q)
        into_x = np.einsum("tgbh->btgh", da[:, :gates]).reshape(*x.shape[:2], -1)
        return {
            "a": np.einsum("tgbh->btgh", da).reshape(*x.shape[:2], -1),
            "W_xh": self.before["W_xh"] + np.einsum("btn,bti->ni", into_x, x),
            "W_hh": self.before["W_hh"] + dW_hh.reshape(-1, H),
            "b_h": self.before["b_h"] + np.einsum("tgbh->gh", da).reshape(-1),
            "x": np.einsum("ni,btn->bti", W_xh, into_x),
            "h0": carried,
        }


def wide(*arrays):
    return (array.astype(np.float64) for array in arrays)


def workspace_for(kernels, problem):
    """Scratch of exactly the promised size, full of NaN, before guard elements."""
    size = kernels.workspace_size(problem.cell, *problem.sizes, problem.dtype)
    # Guards as long as a cache line of 64 bytes in float32.
    buffer = np.full(size + 16, np.nan, problem.dtype)
    buffer[size:] = 7.0
    return buffer[:size], buffer[size:]


def contiguous(shape, dtype):
    return np.full(shape, np.nan, dtype)


def padded(shape, dtype):
    """Rows longer than they seem and batch entries further apart, as a padded tape has them."""
    B, T, last = shape
    return np.full((B, T + 2, last + 3), np.nan, dtype)[:, 1:-1, :last]


def time_major(shape, dtype):
    B, T, last = shape
    return np.full((T, B, last), np.nan, dtype).transpose(1, 0, 2)


def backwards(shape, dtype):
    B, T, last = shape
    return np.full((2 * B, T, last), np.nan, dtype)[::-2, ::-1]


LAYOUTS = [contiguous, padded, time_major, backwards]
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)


def laid_out(values, layout):
    array = layout(values.shape, values.dtype)
    array[...] = values
    return array


def run_forward(kernels, problem, workspace, layout=contiguous, x=None):
    """The states and the gates, from x in the problem's layout or as given."""
    T, B, _, _, _ = problem.sizes
    h = layout((B, T + 1, problem.h0.shape[1]), problem.dtype)
    h[:, 0] = problem.h0
    gates = problem.room(layout, "gates")
    x = laid_out(problem.x, layout) if x is None else x
    assert (
        kernels.rnn_forward(
            problem.cell, x, problem.W_xh, problem.W_hh, problem.b_h, h, gates, workspace
        )
        is None
    )
    return h, gates


def run_backward(kernels, problem, h, gates, workspace, *, dx, x=None):
    """What the backward kernel writes, by name, with dx where there is room for it."""
    _, B, _, _, _ = problem.sizes
    grads = {name: problem.before[name].copy() for name in ("W_xh", "W_hh", "b_h")}
    dh, da = problem.dh.copy(), problem.room(contiguous, "da")
    dh0 = np.full((B, problem.h0.shape[1]), np.nan, problem.dtype)
    kernels.rnn_backward(
        cell=problem.cell,
        x=x,
        h=h,
        gates=gates,
        W_xh=problem.W_xh,
        W_hh=problem.W_hh,
        dh=dh,
        dc=problem.dc,
        da=da,
        dW_xh=grads["W_xh"],
        dW_hh=grads["W_hh"],
        db_h=grads["b_h"],
        dx=dx,
        dh0=dh0,
        workspace=workspace,
    )
    results = {"d" + name: values for name, values in grads.items()}
    return results | {"da": dh if da is None else da, "dx": dx, "dh0": dh0}


def run_all(kernels, problem, layout=contiguous):
    """Every sequence kernel on one problem: a dict of what they wrote, by name."""
    T, B, I, H, O = problem.sizes
    dtype = problem.dtype
    workspace, guard = workspace_for(kernels, problem)
    x = laid_out(problem.x, layout)
    states, gates = run_forward(kernels, problem, workspace, layout, x)
    h = states[:, 1:, :H]

    y = layout((B, T, O), dtype)
    assert kernels.output_forward(h, problem.W_hy, problem.b_y, y, workspace) is None

    grads = {name: problem.before[name].copy() for name in ("W_hy", "b_y")}
    dh_outputs = layout((B, T, H), dtype)
    workspace[:] = np.nan
    kernels.output_backward(
        h, problem.W_hy, problem.dy, grads["W_hy"], grads["b_y"], dh_outputs, workspace
    )

    workspace[:] = np.nan
    dx = layout((B, T, I), dtype)
    results = run_backward(kernels, problem, states, gates, workspace, dx=dx, x=x)
    assert np.all(guard == 7.0), "a kernel wrote past the workspace"
    results |= {"d" + name: values for name, values in grads.items()}
    results |= {} if gates is None else {"gates": gates}
    return results | {"h": states, "y": y, "dh": dh_outputs}


def expected_of(problem, h):
    """What the third implementation makes of the problem. Its backward part starts from the h
    that the kernel computed, as the kernel's does."""
    (h,) = wide(h)
    states = h[:, 1:, : problem.sizes[3]]
    hidden, output = problem.hidden_gradients(h), problem.output_gradients(states)
    expected = {
        "h": problem.hidden_states(),
        "y": problem.outputs(states),
        "dh": output["h"],
        "dW_hy": output["W_hy"],
        "db_y": output["b_y"],
        "da": hidden["a"],
        "dW_xh": hidden["W_xh"],
        "dW_hh": hidden["W_hh"],
        "db_h": hidden["b_h"],
        "dx": hidden["x"],
        "dh0": hidden["h0"],
    }
    return expected | ({"gates": problem.kept(h)} if BLOCKS[problem.cell][3] else {})


def check_problem(kernels, problem, assert_close, layout=contiguous):
    results = run_all(kernels, problem, layout)
    expected = expected_of(problem, results["h"])
    assert results.keys() == expected.keys()
    for name in expected:
        assert_close(
            results[name], expected[name], dtype=problem.dtype, label=f"{name} {problem.sizes}"
        )


@dtypes
@cells
@pytest.mark.parametrize("swept", SIZES)
def test_sequence_kernels_at_every_size(implementation, kernels, assert_close, dtype, cell, swept):
    for size in sizes_of(implementation, cell):
        problem = Problem(**(SIZES | {swept: size}), dtype=dtype, seed=size, cell=cell)
        check_problem(kernels, problem, assert_close)


@dtypes
@cells
@pytest.mark.parametrize("swept", ["T", "I", "H"])
def test_one_sequence_at_every_size(implementation, kernels, assert_close, dtype, cell, swept):
    """Alone, a sequence has loops of its own."""
    for size in sizes_of(implementation, cell):
        sizes = SIZES | {"B": 1, swept: size}
        check_problem(kernels, Problem(**sizes, dtype=dtype, seed=size, cell=cell), assert_close)


@dtypes
@cells
@pytest.mark.parametrize("seed", range(6))
def test_sequence_kernels_at_random_sizes(kernels, assert_close, dtype, cell, seed):
    # Remainders of two sizes meet here: rows and columns of one tile, tile and chunk of time.
    T, B, I, H, O = (
        int(size) for size in np.random.default_rng(seed).integers(1, LARGEST_SIZE + 1, size=5)
    )
    problem = Problem(T=T, B=B, I=I, H=H, O=O, dtype=dtype, seed=seed, cell=cell)
    check_problem(kernels, problem, assert_close)


@dtypes
@cells
@pytest.mark.parametrize(
    "sizes",
    [
        # More steps than any chunk over time that fits a cache, one sequence.
        pytest.param({"T": 1500, "B": 1, "I": 3, "H": 9, "O": 2}, id="long"),
        # More hidden units than one panel's depth, and a power of two plus one.
        pytest.param({"T": 3, "B": 2, "I": 5, "H": 257, "O": 6}, id="wide"),
        pytest.param({"T": 2, "B": 3, "I": 300, "H": 6, "O": 270}, id="many features"),
        pytest.param({"T": 2, "B": 200, "I": 3, "H": 10, "O": 5}, id="large batch"),
    ],
)
def test_sequence_kernels_at_large_sizes(kernels, assert_close, dtype, cell, sizes):
    check_problem(kernels, Problem(**sizes, dtype=dtype, seed=0, cell=cell), assert_close)


@dtypes
@cells
@layouts
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({"T": 6, "B": 4, "I": 3, "H": 5, "O": 2}, id="small"),
        pytest.param({"T": 5, "B": 13, "I": 19, "H": 37, "O": 23}, id="several vectors"),
    ],
)
def test_strides_of_batch_and_time(kernels, assert_close, dtype, cell, layout, sizes):
    problem = Problem(**sizes, dtype=dtype, seed=11, cell=cell)
    check_problem(kernels, problem, assert_close, layout)


def test_the_table_of_cells():
    assert {name: tuple(cell) for name, cell in cells.CELLS.items()} == BLOCKS


@dtypes
@cells
def test_nothing_is_written_between_the_rows(kernels, dtype, cell):
    problem = Problem(**SIZES, dtype=dtype, seed=12, cell=cell)
    results = run_all(kernels, problem, padded)
    for name in {"h", "gates", "y", "dh", "dx"} & results.keys():
        rows = results[name]
        whole = rows.base
        untouched = np.ones(whole.shape, dtype=bool)
        untouched[:, 1:-1, : rows.shape[-1]] = False
        assert np.isnan(whole[untouched]).all(), name
        assert np.isfinite(rows).all(), name


@dtypes
@cells
def test_repeated_input_rows(kernels, assert_close, dtype, cell):
    # One sequence seen by all of the batch with a stride of zero.
    problem = Problem(**SIZES, dtype=dtype, seed=13, cell=cell)
    problem.x = np.broadcast_to(problem.x[:1], problem.x.shape)
    workspace, _ = workspace_for(kernels, problem)
    h, _ = run_forward(kernels, problem, workspace, x=problem.x)
    assert_close(h, problem.hidden_states(), dtype=dtype)


@dtypes
@cells
@pytest.mark.parametrize("B", [1, 5])
def test_inputs_that_are_projected_already(kernels, assert_close, dtype, cell, B):
    """Without x the kernels find W_xh x_t + b_h where they would put it, and leave dW_xh alone."""
    problem = Problem(**(SIZES | {"B": B}), dtype=dtype, seed=16, cell=cell)
    expected = run_all(kernels, problem)
    T, B, I, _, _ = problem.sizes
    N = len(problem.W_xh)
    h = np.empty((B, T + 1, problem.h0.shape[1]), dtype)
    h[:, 0] = problem.h0
    gates = problem.room(contiguous, "gates")
    projected = h[:, 1:] if gates is None else gates[..., :N]
    projected[...] = problem.x @ problem.W_xh.T + problem.b_h[:N]
    workspace, guard = workspace_for(kernels, problem)
    kernels.rnn_forward(cell, None, problem.W_xh, problem.W_hh, problem.b_h, h, gates, workspace)
    assert_close(h, expected["h"], dtype=dtype)

    results = run_backward(
        kernels, problem, expected["h"], expected.get("gates"), workspace,
        dx=np.empty((B, T, I), dtype),
    )  # fmt: skip
    assert np.array_equal(results["dW_xh"], problem.before["W_xh"])
    for name in ("da", "dx", "dh0", "dW_hh", "db_h"):
        assert np.array_equal(results[name], expected[name]), name
    assert np.all(guard == 7.0)


@dtypes
@cells
def test_initial_state_is_read_not_written(kernels, dtype, cell):
    problem = Problem(**SIZES, dtype=dtype, seed=14, cell=cell)
    assert np.array_equal(run_all(kernels, problem)["h"][:, 0], problem.h0)


@dtypes
@cells
def test_inputs_stay_as_they_were_and_may_be_read_only(kernels, dtype, cell):
    problem = Problem(**SIZES, dtype=dtype, seed=15, cell=cell)
    inputs = ["x", "W_xh", "W_hh", "b_h", "W_hy", "b_y", "dy"]
    inputs += [] if problem.dc is None else ["dc"]
    before = {name: getattr(problem, name).copy() for name in inputs}
    for name in inputs:
        getattr(problem, name).flags.writeable = False
    results = run_all(kernels, problem)
    for name in inputs:
        assert np.array_equal(getattr(problem, name), before[name]), name

    # Backward reads what forward wrote.
    read = [results["h"]] + ([results["gates"]] if "gates" in results else [])
    copies = [array.copy() for array in read]
    for array in read:
        array.flags.writeable = False
    workspace, _ = workspace_for(kernels, problem)
    grads = {name: np.zeros_like(values) for name, values in problem.before.items()}
    kernels.output_backward(
        results["h"][:, 1:, : SIZES["H"]],
        problem.W_hy,
        problem.dy,
        grads["W_hy"],
        grads["b_y"],
        np.empty_like(problem.dh),
        workspace,
    )
    run_backward(
        kernels, problem, results["h"], results.get("gates"), workspace, dx=None, x=problem.x
    )
    for array, kept in zip(read, copies, strict=True):
        assert np.array_equal(array, kept)


@dtypes
@cells
def test_backward_without_input_gradient(kernels, dtype, cell):
    problem = Problem(**SIZES, dtype=dtype, seed=16, cell=cell)
    with_dx = run_all(kernels, problem)
    workspace, _ = workspace_for(kernels, problem)
    results = run_backward(
        kernels, problem, with_dx["h"], with_dx.get("gates"), workspace, dx=None, x=problem.x
    )
    for name in ("dW_xh", "dW_hh", "db_h", "da", "dh0"):
        assert np.array_equal(results[name], with_dx[name]), name


@dtypes
@pytest.mark.parametrize("B", [1, 3])
def test_no_gradient_from_elsewhere_is_a_gradient_of_zero(kernels, dtype, B):
    problem = Problem(**(SIZES | {"B": B}), dtype=dtype, seed=18, cell="lstm")
    workspace, _ = workspace_for(kernels, problem)
    h, gates = run_forward(kernels, problem, workspace)
    problem.dc[...] = 0
    zero = run_backward(kernels, problem, h, gates, workspace, dx=None, x=problem.x)
    problem.dc = None
    none = run_backward(kernels, problem, h, gates, workspace, dx=None, x=problem.x)
    for name in ("dW_xh", "dW_hh", "db_h", "da", "dh0"):
        assert np.array_equal(zero[name], none[name]), name


@dtypes
@cells
def test_same_call_same_bits(kernels, dtype, cell):
    problem = Problem(T=9, B=11, I=21, H=35, O=18, dtype=dtype, seed=17, cell=cell)
    first, second = run_all(kernels, problem), run_all(kernels, problem)
    for name in first:
        assert np.array_equal(first[name], second[name]), name


def tanh_of(kernels, values):
    """tanh as rnn_forward computes it: one step with W_xh = 1, W_hh = 0, b_h = 0."""
    dtype = values.dtype
    h = np.zeros((len(values), 2, 1), dtype)
    workspace = np.empty(kernels.workspace_size("tanh", 1, len(values), 1, 1, 1, dtype), dtype)
    one, zero = np.ones((1, 1), dtype), np.zeros((1, 1), dtype)
    kernels.rnn_forward(
        "tanh", values.reshape(-1, 1, 1), one, zero, np.zeros(1, dtype), h, None, workspace
    )
    return h[:, 1, 0]


def wide_tanh_of(kernels, values):
    """The same with the values along the hidden units, where whole vectors are at work."""
    dtype, H = values.dtype, len(values)
    h = np.zeros((1, 2, H), dtype)
    workspace = np.empty(kernels.workspace_size("tanh", 1, 1, 1, H, 1, dtype), dtype)
    W_xh, W_hh = np.ascontiguousarray(values.reshape(H, 1)), np.zeros((H, H), dtype)
    kernels.rnn_forward(
        "tanh", np.ones((1, 1, 1), dtype), W_xh, W_hh, np.zeros(H, dtype), h, None, workspace
    )
    return h[0, 1]


def sigmoid_of(kernels, values):
    """The sigmoid as the gate r of one GRU unit a sequence, whose weights but W_xr are zero."""
    dtype, B = values.dtype, len(values)
    gates = np.empty((B, 1, 4), dtype)
    workspace = np.empty(kernels.workspace_size("gru", 1, B, 1, 1, 1, dtype), dtype)
    W_xh, W_hh = np.array([[1], [0], [0]], dtype), np.zeros((3, 1), dtype)
    h, b_h = np.zeros((B, 2, 1), dtype), np.zeros(4, dtype)
    kernels.rnn_forward("gru", values.reshape(B, 1, 1), W_xh, W_hh, b_h, h, gates, workspace)
    return gates[:, 0, 0]


@dtypes
def test_sigmoid_is_accurate_also_where_it_is_small(kernels, dtype):
    values = np.unique(np.concatenate([tanh_arguments(dtype), -tanh_arguments(dtype)]))
    # Below, the inverse of 1 + e^-x leaves the range of whole precision.
    values = values[values > (-87 if dtype == "float32" else -700)]
    expected = 1 / (1 + np.exp(-values.astype(np.longdouble)))
    result = sigmoid_of(kernels, values)
    assert result.dtype == dtype
    error = np.abs(result - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= 4, values[np.argmax(error)]
    beyond = sigmoid_of(kernels, np.array([-1e30, -1000, 1000, np.inf, -np.inf, np.nan], dtype))
    assert np.array_equal(beyond[2:4], [1, 1])
    assert np.all(beyond[[0, 1, 4]] < 1e-37)
    assert np.isnan(beyond[5])


def around(values, steps):
    """Every number up to so many steps of the last place away from each of the values."""
    integer = f"i{values.itemsize}"
    bits = values.view(integer)[:, None] + np.arange(-steps, steps + 1, dtype=integer)
    return np.unique(bits.ravel()).view(values.dtype)


def tanh_arguments(dtype):
    """Positive arguments in order: dense where formulas change, and all over the rest."""
    # Above 0.34 e^(2x) = 2^n e^r takes another n each ln(2) / 2, halfway between its multiples.
    changes = [0.625, 1.25, 9.1, 19.1, *(np.log(2) / 2 * (np.arange(56) + 0.5))]
    rng = np.random.default_rng(0)
    return np.unique(
        np.concatenate(
            [
                around(np.array(changes, dtype), 300),
                np.linspace(0, 2, 20_001)[1:].astype(dtype),
                np.linspace(2, 25, 5_001).astype(dtype),
                np.logspace(-30, 30, 2_001).astype(dtype),
                np.exp(rng.uniform(-3, 3, 100_000)).astype(dtype),
            ]
        )
    )


@dtypes
@pytest.mark.parametrize("tanh", [tanh_of, wide_tanh_of], ids=["one unit", "many units"])
def test_tanh_is_accurate_bounded_monotone_and_odd(kernels, dtype, tanh):
    values = tanh_arguments(dtype)
    if tanh is wide_tanh_of:
        values = values[:: len(values) // 1500]  # W_hh is their square
    expected = np.tanh(values.astype(np.longdouble))
    result = tanh(kernels, values)
    assert result.dtype == dtype
    error = np.abs(result - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= 2, values[np.argmax(error)]
    assert result.max() == 1.0
    # Neighbours may be a unit in the last place out of order: each is up to two off the truth.
    assert np.all(np.diff(result) >= -np.spacing(result[1:])), "not monotone"
    assert np.array_equal(tanh(kernels, -values), -result)


@dtypes
def test_tanh_is_monotone_on_a_fine_sweep(kernels, dtype):
    result = tanh_of(kernels, np.linspace(-20, 20, 2_000_001).astype(dtype))
    assert np.all(np.diff(result) >= 0)
    assert (result[0], result[-1]) == (-1, 1)


@dtypes
def test_tanh_of_zeros_keeps_their_sign(both_kernels, dtype):
    native, _ = both_kernels
    # Sums of negative zeros alone, W_xh x = -0 x 1 and W_hh h_0 = -0 x 0, and of more than one
    # sequence: other sums start from a positive zero.
    h = np.zeros((2, 2, 2), dtype)
    workspace = np.empty(native.workspace_size("tanh", 1, 2, 1, 2, 1, dtype), dtype)
    W_xh, b_h = np.array([[-0.0], [0.0]], dtype), np.array([-0.0, 0.0], dtype)
    x = np.ones((2, 1, 1), dtype)
    W_hh = np.full((2, 2), -0.0, dtype)
    native.rnn_forward("tanh", x, W_xh, W_hh, b_h, h, None, workspace)
    assert np.array_equal(h[:, 1], np.zeros((2, 2)))
    assert np.array_equal(np.signbit(h[0, 1]), [True, False])


@dtypes
def test_nan_is_carried_not_hidden(kernels, dtype):
    values = np.array([0.5, np.nan, -0.5, 3.0], dtype)
    assert np.array_equal(np.isnan(tanh_of(kernels, values)), [False, True, False, False])
    infinite = np.array([np.inf, -np.inf], dtype)
    assert np.array_equal(tanh_of(kernels, infinite), np.array([1.0, -1.0], dtype))


@dtypes
def test_losses_at_every_size(kernels, assert_close, dtype, tolerances):
    for size in range(1, LARGEST_SIZE + 1):
        rng = np.random.default_rng(size)
        y_hat = rng.standard_normal((2, 3, size)).astype(dtype)
        y = rng.standard_normal((2, 3, size)).astype(dtype)
        error = y_hat.astype(np.float64) - y.astype(np.float64)
        dy = np.full_like(y_hat, np.nan)
        close = pytest.approx
        assert kernels.mse(y_hat, y, dy) == close(np.mean(error**2), rel=tolerances[dtype])
        assert_close(dy, 2 * error / error.size, dtype=dtype)
        assert kernels.sse(y_hat, y, dy) == close(np.sum(error**2) / 2, rel=tolerances[dtype])
        assert_close(dy, error, dtype=dtype)

        classes = rng.integers(size, size=(2, 3))
        exponentials = np.exp(y_hat.astype(np.float64))
        softmax = exponentials / exponentials.sum(axis=-1, keepdims=True)
        one_hot = np.eye(size)[classes]
        expected = -np.log(np.sum(softmax * one_hot, axis=-1)).mean()
        assert kernels.cross_entropy(y_hat, classes, dy) == close(
            expected, rel=tolerances[dtype], abs=tolerances[dtype]
        )
        # A single class gives an exact zero, which has no magnitude to be relative to.
        if size > 1:
            assert_close(dy, (softmax - one_hot) / 6, dtype=dtype)
        else:
            assert np.array_equal(dy, np.zeros_like(dy))


@dtypes
def test_vector_kernels_at_every_size(kernels, assert_close, dtype, tolerances):
    for size in range(1, LARGEST_SIZE + 1):
        rng = np.random.default_rng(size)
        values = rng.standard_normal(size).astype(dtype)
        norm = np.sqrt(np.sum(values.astype(np.float64) ** 2))
        assert kernels.all_finite(values) is True
        assert kernels.global_norm(values) == pytest.approx(norm, rel=1e-14)

        clipped = values.copy()
        assert kernels.clip_norm(clipped, norm / 3) == pytest.approx(norm, rel=1e-14)
        assert_close(clipped, values.astype(np.float64) / 3, dtype=dtype)

        clipped = values.copy()
        assert kernels.clip_value(clipped, 0.5) is None
        assert np.array_equal(clipped, np.clip(values, -0.5, 0.5))

        theta = rng.standard_normal(size).astype(dtype)
        velocity = rng.standard_normal(size).astype(dtype)
        for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
            new_theta, new_velocity, dtheta = theta.copy(), velocity.copy(), values.copy()
            kernels.sgd_step(
                theta=new_theta,
                dtheta=dtheta,
                velocity=new_velocity if momentum else None,
                lr=0.125,
                momentum=momentum,
                nesterov=nesterov,
                weight_decay=0.0,
            )
            g, v, old = wide(values, velocity, theta)
            v = momentum * v + g
            step = g + momentum * v if nesterov else v
            assert_close(new_theta, old - 0.125 * step, dtype=dtype)
            assert np.array_equal(dtheta, values)
            if momentum:
                assert_close(new_velocity, v, dtype=dtype)


@dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_found_anywhere(kernels, dtype, value):
    for size in (1, 2, 7, 16, 33, LARGEST_SIZE):
        for position in range(size):
            values = np.full(size, 0.25, dtype)
            values[position] = value
            assert kernels.all_finite(values) is False
            assert not np.isfinite(kernels.global_norm(values))


@dtypes
def test_largest_values_are_finite(kernels, dtype):
    # Their sum is not, so that a test by summing would be wrong.
    assert kernels.all_finite(np.full(9, np.finfo(dtype).max, dtype)) is True


@dtypes
def test_opposite_infinities_are_not_finite(kernels, dtype):
    assert kernels.all_finite(np.array([np.inf, 1.0, -np.inf], dtype)) is False


@pytest.mark.parametrize(
    "unit",
    # The squares of all but 1.0 overflow or underflow in float64.
    [1.0, 1e300, 1e-300],
)
def test_norm_of_huge_and_tiny_values(kernels, unit):
    values = np.array([2.0, -3.0, 6.0]) * unit
    assert kernels.global_norm(values) == pytest.approx(7.0 * unit, rel=1e-15)
    clipped = values.copy()
    assert kernels.clip_norm(clipped, 3.5 * unit) == pytest.approx(7.0 * unit, rel=1e-15)
    np.testing.assert_allclose(clipped, np.array([1.0, -1.5, 3.0]) * unit, rtol=1e-15)


def test_norm_of_huge_float32_values_is_accumulated_in_float64(kernels):
    values = np.array([2e38, -3e38], np.float32)
    expected = np.sqrt(np.sum(values.astype(np.float64) ** 2))
    assert kernels.global_norm(values) == pytest.approx(expected, rel=1e-14)
    # A million equal values: a float32 sum of squares would be off in the third digit.
    many = np.full(1_000_000, 0.1, np.float32)
    assert kernels.global_norm(many) == pytest.approx(1000 * float(np.float32(0.1)), rel=1e-9)


@dtypes
def test_norm_of_zeros(kernels, dtype):
    values = np.zeros(5, dtype)
    assert kernels.global_norm(values) == 0.0
    assert kernels.clip_norm(values, 1.0) == 0.0
    assert np.array_equal(values, np.zeros(5, dtype))


@dtypes
@pytest.mark.parametrize("max_norm", [5.0, 6.0])
def test_norm_within_the_limit_leaves_values_alone(kernels, dtype, max_norm):
    # The norm of (3, 4) is 5, exactly.
    values = np.array([3.0, -4.0], dtype)
    assert kernels.clip_norm(values, max_norm) == 5.0
    assert np.array_equal(values, np.array([3.0, -4.0], dtype))


@dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clip_norm_leaves_values_alone_when_the_norm_is_not_finite(kernels, dtype, value):
    values = np.array([1.0, value, -2.0], dtype)
    kept = values.copy()
    assert not np.isfinite(kernels.clip_norm(values, 0.5))
    assert values.tobytes() == kept.tobytes()


@dtypes
def test_clip_value_keeps_nan_and_limits_infinity(kernels, dtype):
    values = np.array([np.nan, np.inf, -np.inf, 0.25, -3.0], dtype)
    kernels.clip_value(values, 0.5)
    assert np.isnan(values[0])
    assert np.array_equal(values[1:], np.array([0.5, -0.5, 0.25, -0.5], dtype))


@pytest.mark.parametrize("name", KERNELS)
def test_same_signature_in_both(both_kernels, name):
    def shape_of(module):
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    native, reference = both_kernels
    assert shape_of(native) == shape_of(reference)


SIGNATURES = {
    "workspace_size": ["cell", "T", "B", "I", "H", "O", "dtype"],
    "rnn_forward": ["cell", "x", "W_xh", "W_hh", "b_h", "h", "gates", "workspace"],
    "rnn_backward": [
        *("cell", "x", "h", "gates", "W_xh", "W_hh", "dh", "dc", "da"),
        *("dW_xh", "dW_hh", "db_h", "dx", "dh0", "workspace"),
    ],
    "output_forward": ["h", "W_hy", "b_y", "y", "workspace"],
    "output_backward": ["h", "W_hy", "dy", "dW_hy", "db_y", "dh", "workspace"],
    "mse": ["y_hat", "y", "dy"],
    "sse": ["y_hat", "y", "dy"],
    "cross_entropy": ["y_hat", "y", "dy"],
    "all_finite": ["values"],
    "global_norm": ["values"],
    "clip_norm": ["values", "max_norm"],
    "clip_value": ["values", "limit"],
    "sgd_step": ["theta", "dtheta", "velocity", "lr", "momentum", "nesterov", "weight_decay"],
    "rmsprop_step": [
        *("theta", "dtheta", "square", "velocity", "lr", "alpha", "eps", "momentum"),
        "weight_decay",
    ],
    "adam_step": [
        *("theta", "dtheta", "mean", "square", "step", "lr", "beta1", "beta2", "eps"),
        *("weight_decay", "decoupled"),
    ],
}


@pytest.mark.parametrize("name", KERNELS)
def test_argument_names(kernels, name):
    assert list(inspect.signature(getattr(kernels, name)).parameters) == SIGNATURES[name]


@dtypes
@cells
@pytest.mark.parametrize("seed", range(6))
def test_native_agrees_with_python(both_kernels, assert_close, dtype, cell, seed):
    # Directly, beside both agreeing with the third implementation: the dtype's own tolerance.
    native, reference = both_kernels
    T, B, I, H, O = (
        int(size) for size in np.random.default_rng(seed).integers(1, LARGEST_SIZE + 1, size=5)
    )
    problem = Problem(T=T, B=B, I=I, H=H, O=O, dtype=dtype, seed=seed, cell=cell)
    ours, theirs = run_all(native, problem), run_all(reference, problem)
    for name in theirs:
        assert_close(ours[name], theirs[name], dtype=dtype, label=name)


def good_arguments(name, kernels, dtype="float64"):
    """Arguments that the kernel accepts, by name, to be spoilt one at a time."""
    T, B, I, H, O = 3, 5, 2, 7, 4
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(dtype)

    # The cell whose every array there is
    arrays = {
        "x": normal(B, T, I),
        "W_xh": normal(4 * H, I),
        "W_hh": normal(4 * H, H),
        "b_h": normal(4 * H),
        "gates": normal(B, T, 4 * H),
        "dc": normal(B, T, H),
        "da": normal(B, T, 4 * H),
        "W_hy": normal(O, H),
        "b_y": normal(O),
        "dW_xh": normal(4 * H, I),
        "dW_hh": normal(4 * H, H),
        "db_h": normal(4 * H),
        "dW_hy": normal(O, H),
        "db_y": normal(O),
        "dx": normal(B, T, I),
        "dh0": normal(B, 2 * H),
        "dh": normal(B, T, H),
        "dy": normal(B, T, O),
        "y": normal(B, T, O),
        "y_hat": normal(B, T, O),
        "h": normal(B, T + 1, 2 * H) if name.startswith("rnn") else normal(B, T, H),
        "values": normal(H),
        "theta": normal(H),
        "dtheta": normal(H),
        "velocity": normal(H),
        "mean": normal(H),
        "square": normal(H) ** 2,
        # A little more than needed, for NumPy may need none and an empty array has no strides.
        "workspace": normal(kernels.workspace_size("lstm", T, B, I, H, O, dtype) + 8),
    }
    if name == "cross_entropy":
        arrays["y"] = rng.integers(O, size=(B, T)).astype(np.intp)
    numbers = {"max_norm": 1.0, "limit": 1.0, "lr": 0.1, "momentum": 0.9, "nesterov": False}
    numbers |= {"weight_decay": 0.01, "alpha": 0.9, "eps": 1e-8, "step": 3, "beta1": 0.9}
    numbers |= {"beta2": 0.99, "decoupled": True}
    numbers |= {"cell": "lstm", "T": T, "B": B, "I": I, "H": H, "O": O, "dtype": dtype}
    return {key: (arrays | numbers)[key] for key in SIGNATURES[name]}


NUMBERS = {"max_norm", "limit", "lr", "momentum", "nesterov", "dtype", "weight_decay", "alpha"}
NUMBERS |= {"eps", "step", "beta1", "beta2", "decoupled", "cell"}


def array_arguments(*, but=()):
    """(kernel, argument) for every argument that is an array."""
    return [
        (name, argument)
        for name in KERNELS
        for argument in SIGNATURES[name]
        if name != "workspace_size" and argument not in NUMBERS and argument not in but
    ]


def refusal(kernels, name, arguments):
    """Type and message of what the kernel raises."""
    with pytest.raises((TypeError, ValueError)) as caught:
        getattr(kernels, name)(**arguments)
    return caught.type, str(caught.value)


def assert_names(message, argument):
    words = message.replace(",", " ").replace(":", " ").replace("'", " ").replace("`", " ").split()
    assert argument in words, message


@pytest.mark.parametrize("name", KERNELS)
@dtypes
def test_good_arguments_are_good(kernels, name, dtype):
    getattr(kernels, name)(**good_arguments(name, kernels, dtype))


# Of each kernel, the array that the others are measured by: spoilt, it is they that do not fit.
FIRST = ("x", "y_hat", "values", "theta", "h")

# What may be None; the velocity only without momentum, which has a test of its own.
OPTIONAL = [
    *[("rnn_forward", "x"), ("rnn_backward", "x"), ("rnn_backward", "dx"), ("rnn_backward", "dc")],
    *[("mse", "dy"), ("sse", "dy"), ("cross_entropy", "dy")],
]


@pytest.mark.parametrize(("name", "argument"), array_arguments(but=FIRST))
def test_mixed_widths(kernels, name, argument):
    arguments = good_arguments(name, kernels)
    arguments[argument] = arguments[argument].astype("float32")
    kind, message = refusal(kernels, name, arguments)
    assert kind is TypeError, message
    assert_names(message, argument)
    assert "float32" in message


@pytest.mark.parametrize(("name", "argument"), array_arguments())
@pytest.mark.parametrize("dtype", ["int16", "float16", "complex128", ">f8"])
def test_wrong_dtype(kernels, name, argument, dtype):
    arguments = good_arguments(name, kernels)
    arguments[argument] = arguments[argument].astype(dtype)
    kind, message = refusal(kernels, name, arguments)
    assert kind is TypeError, message
    assert_names(message, argument)
    assert dtype in message


@pytest.mark.parametrize(("name", "argument"), array_arguments())
def test_list_instead_of_an_array(kernels, name, argument):
    arguments = good_arguments(name, kernels)
    arguments[argument] = arguments[argument].tolist()
    kind, message = refusal(kernels, name, arguments)
    assert kind is TypeError, message
    assert_names(message, argument)
    assert "list" in message


@pytest.mark.parametrize(
    ("name", "argument"),
    [case for case in array_arguments(but=["velocity"]) if case not in OPTIONAL],
)
def test_none_instead_of_an_array(kernels, name, argument):
    arguments = good_arguments(name, kernels)
    arguments[argument] = None
    kind, message = refusal(kernels, name, arguments)
    assert kind is TypeError, message
    assert_names(message, argument)
    assert "None" in message


def test_momentum_needs_a_velocity(kernels):
    arguments = good_arguments("sgd_step", kernels) | {"velocity": None, "momentum": 0.9}
    before = arguments["theta"].copy()
    _, message = refusal(kernels, "sgd_step", arguments)
    assert_names(message, "velocity")
    assert "None" in message
    assert np.array_equal(arguments["theta"], before)


@pytest.mark.parametrize(("name", "argument"), array_arguments(but=("values", "workspace")))
@pytest.mark.parametrize("axis", ["first", "last", "rank"])
def test_wrong_shape(kernels, name, argument, axis):
    arguments = good_arguments(name, kernels)
    good = arguments[argument]
    if axis == "rank":
        arguments[argument] = good[np.newaxis]
    elif axis == "first":
        arguments[argument] = np.concatenate([good, good[:1]])
    else:
        arguments[argument] = np.concatenate([good, good[..., :1]], axis=-1)
    kind, message = refusal(kernels, name, arguments)
    assert kind is ValueError, message
    # With x or theta wrong it may be another array that does not fit; the shape is named still.
    assert any(str(size) in message for size in arguments[argument].shape), message
    if axis == "rank":
        assert_names(message, argument)


@pytest.mark.parametrize("name", ["all_finite", "global_norm", "clip_norm", "clip_value"])
def test_wrong_rank_of_values(kernels, name):
    arguments = good_arguments(name, kernels)
    arguments["values"] = arguments["values"].reshape(1, -1)
    kind, message = refusal(kernels, name, arguments)
    assert kind is ValueError
    assert_names(message, "values")


@pytest.mark.parametrize(("name", "argument"), array_arguments())
def test_last_axis_must_be_contiguous(kernels, name, argument):
    arguments = good_arguments(name, kernels)
    good = arguments[argument]
    arguments[argument] = np.repeat(good, 2, axis=-1)[..., ::2]
    assert np.array_equal(arguments[argument], good)
    kind, message = refusal(kernels, name, arguments)
    assert kind is ValueError, message
    assert_names(message, argument)
    assert "contiguous" in message


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("rnn_backward", "dh"),
        ("rnn_backward", "da"),
        ("rnn_backward", "dh0"),
        ("output_backward", "dy"),
        ("mse", "y_hat"),
        ("mse", "y"),
        ("mse", "dy"),
        ("sse", "y_hat"),
        ("sse", "y"),
        ("sse", "dy"),
        ("cross_entropy", "y_hat"),
        ("cross_entropy", "y"),
        ("cross_entropy", "dy"),
    ],
)
def test_whole_array_must_be_contiguous(kernels, name, argument):
    arguments = good_arguments(name, kernels)
    good = arguments[argument]
    arguments[argument] = np.repeat(good, 2, axis=0)[::2]
    kind, message = refusal(kernels, name, arguments)
    assert kind is ValueError, message
    assert_names(message, argument)
    assert "contiguous" in message


WRITTEN = {
    "rnn_forward": ["h", "gates", "workspace"],
    "rnn_backward": ["dh", "da", "dW_xh", "dW_hh", "db_h", "dx", "dh0", "workspace"],
    "output_forward": ["y", "workspace"],
    "output_backward": ["dW_hy", "db_y", "dh", "workspace"],
    "mse": ["dy"],
    "sse": ["dy"],
    "cross_entropy": ["dy"],
    "clip_norm": ["values"],
    "clip_value": ["values"],
    "sgd_step": ["theta", "velocity"],
    "rmsprop_step": ["theta", "square", "velocity"],
    "adam_step": ["theta", "mean", "square"],
}


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, argument) for name, written in WRITTEN.items() for argument in written],
)
def test_results_are_not_written_to_read_only_arrays(kernels, name, argument):
    arguments = good_arguments(name, kernels)
    arguments[argument].flags.writeable = False
    kept = arguments[argument].copy()
    kind, message = refusal(kernels, name, arguments)
    assert kind is ValueError, message
    assert_names(message, argument)
    assert np.array_equal(arguments[argument], kept)


@pytest.mark.parametrize(
    "name", ["rnn_forward", "rnn_backward", "output_forward", "output_backward"]
)
def test_small_workspace(kernels, name):
    cell = "lstm" if name.startswith("rnn") else "tanh"
    needed = kernels.workspace_size(cell, 3, 5, 2, 7, 4, "float64")
    arguments = good_arguments(name, kernels)
    if needed == 0:
        arguments["workspace"] = np.empty(0)
        getattr(kernels, name)(**arguments)
        return
    # What one kernel needs may be less than the largest of the four, which the size is for; an
    # empty one is enough for none that uses it.
    arguments["workspace"] = np.empty(needed - 1)
    kind, message = refusal(kernels, name, arguments)
    assert kind is ValueError
    assert_names(message, "workspace")
    assert str(needed - 1) in message


@dtypes
def test_workspace_size_is_a_number_of_scalars(kernels, dtype):
    sizes = {"cell": "gru", "T": 3, "B": 5, "I": 2, "H": 7, "O": 4}
    size = kernels.workspace_size(**sizes, dtype=np.dtype(dtype))
    assert type(size) is int
    assert size >= 0
    assert size == kernels.workspace_size(**sizes, dtype=dtype)


@pytest.mark.parametrize("name", ["workspace_size", "rnn_forward", "rnn_backward"])
@pytest.mark.parametrize("cell", ["LSTM", "", None, 3, ["tanh"]])
def test_cells_that_do_not_exist(kernels, name, cell):
    kind, message = refusal(kernels, name, good_arguments(name, kernels) | {"cell": cell})
    assert kind is ValueError
    assert message == f"cell: expected one of {', '.join(CELLS)}, got {cell!r}"


@pytest.mark.parametrize(
    ("name", "argument"),
    [("rnn_forward", "gates"), ("rnn_backward", "gates"), ("rnn_backward", "da")],
)
def test_arrays_that_a_cell_has_none_of(kernels, name, argument):
    problem = Problem(**SIZES, dtype="float64", seed=19)
    T, B, _, H, _ = problem.sizes
    arguments = good_arguments(name, kernels) | {"cell": "tanh", "gates": None, "da": None}
    arguments |= {"W_xh": problem.W_xh, "W_hh": problem.W_hh, "b_h": problem.b_h, "dc": None}
    arguments |= {"dW_xh": problem.W_xh.copy(), "dW_hh": problem.W_hh.copy()}
    arguments |= {"db_h": problem.b_h.copy(), "dh0": np.empty((B, H)), "h": np.ones((B, T + 1, H))}
    arguments = {key: arguments[key] for key in SIGNATURES[name]}
    getattr(kernels, name)(**arguments)
    kind, message = refusal(kernels, name, arguments | {argument: np.empty((B, T, H))})
    assert kind is TypeError
    assert message == f"{argument}: expected None with cell 'tanh', got ndarray"


@pytest.mark.parametrize("number", [-1, 4])
def test_class_out_of_range(kernels, number):
    arguments = good_arguments("cross_entropy", kernels)
    arguments["y"][1, 2] = number
    dy = arguments["dy"].copy()
    kind, message = refusal(kernels, "cross_entropy", arguments)
    assert kind is ValueError
    assert_names(message, "y")
    assert str(number) in message
    assert np.array_equal(arguments["dy"], dy)


def spoilt_arguments():
    """Every bad call above in one list: (kernel, argument, how to spoil it)."""
    spoil = {
        "float16": lambda good: good.astype("float16"),
        "complex": lambda good: good.astype("complex128"),
        "list": lambda good: good.tolist(),
        "text": lambda good: "text",
        "one axis more": lambda good: good[np.newaxis],
        "one axis less": lambda good: good[0],
        "longer": lambda good: np.concatenate([good, good[:1]]),
        "empty": lambda good: good[:0],
        "strided": lambda good: np.repeat(good, 2, axis=-1)[..., ::2],
        "swapped bytes": lambda good: good.astype(good.dtype.newbyteorder()),
    }
    for name, argument in array_arguments():
        for how, change in spoil.items():
            yield name, argument, how, change


def test_same_errors_in_both(both_kernels):
    native, reference = both_kernels
    different = []
    for name, argument, how, change in spoilt_arguments():
        outcomes = []
        for module in (native, reference):
            # One size of workspace for both: the twins may need different amounts.
            arguments = good_arguments(name, native)
            arguments[argument] = change(arguments[argument])
            try:
                getattr(module, name)(**arguments)
            except Exception as error:
                outcomes.append((type(error), str(error)))
            else:
                outcomes.append("accepted")
        if outcomes[0] != outcomes[1]:
            different.append((name, argument, how, *outcomes))
    # Accepted by one alone: a workspace that only the native loops need to be large.
    different = [
        case for case in different if not (case[1] == "workspace" and "accepted" in case[3:])
    ]
    assert not different, "\n".join(map(str, different))


def runnable(instruction_set):
    """Whether NumPy says that this processor has the instruction set."""
    core = np._core if hasattr(np, "_core") else np.core
    features = core._multiarray_umath.__cpu_features__
    needed = {
        "baseline": [],
        "avx2": ["AVX2", "FMA3"],
        "avx512": ["AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL"],
    }[instruction_set]
    return all(features.get(feature, False) for feature in needed)


# Words in the names of the tests that are about the loops
OF_EVERY_BUILD = ["every", "random_sizes", "large_sizes", "strides", "chunks", "tanh", "nan"]


@pytest.mark.parametrize("instruction_set", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(both_kernels, tmp_path, instruction_set):
    """Run the kernel tests again in a fresh process whose native loops are of the given build."""
    if not runnable(instruction_set):
        pytest.skip(f"this processor has no {instruction_set}")
    native, _ = both_kernels
    if native.instruction_set == instruction_set:
        pytest.skip("all tests of this process run on it")
    result = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", __file__, "-q", "-x"),
            str(Path(__file__).with_name("test_fused.py")),
            *("--implementations", "native", "-p", "no:cacheprovider"),
            *("-k", f"({' or '.join(OF_EVERY_BUILD)}) and not instruction_set"),
        ],
        env=os.environ | {"CRNN_CPU": instruction_set, "CRNN_IMPLEMENTATION": "native"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
