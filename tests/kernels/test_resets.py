"""Sequences that restart, in the kernels: parity, and the pieces computed one by one."""

from itertools import pairwise

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, Problem
from tolerances import TOLERANCES

SIZES = [
    {"T": 9, "B": 7, "I": 3, "H": 13, "O": 2},
    {"T": 11, "B": 1, "I": 4, "H": 6, "O": 3},  # a sequence alone
    {"T": 4, "B": 2, "I": 5, "H": 259, "O": 2},  # laid out for threads that share units
    {"T": 12, "B": 10, "I": 9, "H": 34, "O": 0},
]


def marks(p, rng):
    """Resets with steps in a row, at the first and the last step; the other steps by chance."""
    resets = rng.random((p.B, p.T)) < 0.25
    resets[0, :2] = resets[0, -1] = True
    resets[-1, 0] = False
    return resets


def problem_and_marks(cell, dtype, sizes, lengths, from_zero):
    p = Problem(cell, dtype, **sizes)
    rng = np.random.default_rng(7)
    ends = rng.integers(1, p.T + 1, p.B) if lengths else None
    start = None if from_zero else rng.standard_normal(p.h0.shape[1]).astype(dtype)
    return p, {"lengths": ends, "resets": marks(p, rng), "start": start}


def by_pieces(kernels, p, options):
    """What the layer and the prediction write, of one piece of one sequence after another."""
    lengths, resets, start = (options[name] for name in ("lengths", "resets", "start"))
    start = np.zeros(p.h0.shape[1], p.dtype) if start is None else start
    h, gates = p.empty(p.B, p.T + 1, p.h0.shape[1]), p.empty_gates("contiguous")
    h[:, 0] = p.h0
    whole = {f"d{n}": p.before[n].copy() for n in ("W_xh", "W_hh", "b_h", "x")}
    whole |= {"dh0": p.dstate.copy(), "dstart": np.zeros_like(p.dstate)}
    for b in range(p.B):
        end = p.T if lengths is None else lengths[b]
        begins = [0, *(t for t in range(end) if resets[b, t]), end]
        pieces = [(s, e) for s, e in pairwise(begins) if s < e]
        for first, last in reversed(pieces):
            one = Problem(p.cell, p.dtype, T=last - first, B=1, I=p.I, H=p.H, O=p.O)
            one.params = p.params
            is_reset = bool(resets[b, first])
            one.h0 = (start if is_reset else p.h0[b])[None].copy()
            one.x = p.x[b : b + 1, first:last].copy()
            one.dh = p.dh[b : b + 1, first:last].copy()
            one.before = {n: whole[f"d{n}"] for n in ("W_xh", "W_hh", "b_h")}
            one.before["x"] = whole["dx"][b : b + 1, first:last].copy()
            one.dstate = (p.dstate[b] if last == end else 0 * p.dstate[b])[None].copy()
            h_one, gates_one = problems.layer_forward(kernels, one)
            h[b, first + 1 : last + 1] = h_one[0, 1:]
            if gates is not None:
                gates[b, first:last] = gates_one[0]
            d = problems.layer_backward(kernels, one, h_one, gates_one)
            for name in ("dW_xh", "dW_hh", "db_h"):
                whole[name] = d[name]
            whole["dx"][b, first:last] = d["dx"][0]
            if is_reset:
                whole["dstart"][b] += d["dh0"][0]
            if first == 0:
                whole["dh0"][b] = 0 if is_reset else d["dh0"][0]
    return h, gates, whole


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=lambda s: "{T}-{B}-{I}-{H}-{O}".format(**s))
@pytest.mark.parametrize("lengths", [False, True], ids=["whole, from zero", "lengths"])
def test_layer_is_that_of_its_pieces(kernels, cell, dtype, sizes, lengths):
    p, options = problem_and_marks(cell, dtype, sizes, lengths, from_zero=not lengths)
    h, gates = problems.layer_forward(kernels, p, **options)
    written = problems.layer_backward(kernels, p, h, gates, **options)
    expected_h, expected_gates, expected = by_pieces(kernels, p, options)
    tolerance = {"rtol": 0, "atol": 10 * TOLERANCES[dtype]}
    ends = np.full(p.B, p.T) if options["lengths"] is None else options["lengths"]
    for b, end in enumerate(ends):
        np.testing.assert_allclose(h[b, : end + 1], expected_h[b, : end + 1], **tolerance)
        if gates is not None:
            np.testing.assert_allclose(gates[b, :end], expected_gates[b, :end], **tolerance)
    for name, values in expected.items():
        np.testing.assert_allclose(written[name], values, err_msg=name, **tolerance)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=lambda s: "{T}-{B}-{I}-{H}-{O}".format(**s))
@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
def test_prediction_is_that_of_the_layer(kernels, cell, dtype, sizes, lengths):
    p, options = problem_and_marks(cell, dtype, sizes | {"O": 0}, lengths, from_zero=False)
    h, _ = problems.layer_forward(kernels, p, **options)
    y, h_n = problems.predict(kernels, p, h0=p.h0, **options)
    ends = np.full(p.B, p.T) if options["lengths"] is None else options["lengths"]
    for b, end in enumerate(ends):
        np.testing.assert_allclose(y[b, :end], h[b, 1 : end + 1, : p.H], atol=1e-5, rtol=0)
        np.testing.assert_allclose(h_n[b], h[b, end], atol=1e-5, rtol=0)


def test_not_in_reverse(all_kernels):
    p = Problem("gru", T=3, B=2, I=2, H=5, O=4)
    resets = np.zeros((2, 3), bool)
    for kernels in all_kernels:
        for call in (problems.layer_forward, problems.predict):
            with pytest.raises(ValueError, match=r"^resets: expected None with reverse, got an ar"):
                call(kernels, p, resets=resets, reverse=True)
