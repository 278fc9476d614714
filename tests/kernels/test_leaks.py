"""Leaky cells: every form of leak against the third implementation; learners refuse them."""

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import DTYPES, Problem

from crnn.kernels import cells

LEAKY_CELLS = [name for name, row in cells.CELLS.items() if row.leak_count(1)]


@pytest.mark.parametrize("cell", LEAKY_CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "sizes",
    [
        {"T": 5, "B": 7, "I": 3, "H": 21, "O": 2},
        {"T": 6, "B": 1, "I": 3, "H": 19, "O": 2},
        {"T": 4, "B": 2, "I": 3, "H": 70, "O": 0},
        # As many sequences as are in two groups with sums of their own, in several chunks
        {"T": 300, "B": 9, "I": 2, "H": 33, "O": 1},
    ],
    ids=lambda sizes: "{T}-{B}-{I}-{H}-{O}".format(**sizes),
)
def test_every_form_of_leak(kernels, check, cell, dtype, sizes):
    check(kernels, Problem(cell, dtype, **sizes))


@pytest.mark.native
@pytest.mark.parametrize("cell", LEAKY_CELLS)
def test_two_threads_share_units(native, set_num_threads, cell):
    """Few sequences of many units: the members of a team share every step's units."""
    p = Problem(cell, "float32", T=7, B=2, I=40, H=512, O=3)
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        _, _, dtheta = problems.gradient(native, p)
        results.append((*problems.predict(native, p), dtheta))
    for alone, shared in zip(*results, strict=True):
        assert alone.tobytes() == shared.tobytes()


def test_learner_refuses_leaks(all_kernels):
    said = set()
    for kernels in all_kernels:
        p = Problem("leaky_tanh", T=1, B=1, I=2, H=3, O=1)
        with pytest.raises(ValueError, match="for a learner, got 'leaky_tanh'") as caught:
            kernels.Learner(
                p.cell, p.theta, None, 2, 3, 1, "mse", None, None, "sgd_step", {"velocity": None},
                {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}, None,
                np.zeros(1, np.intp), 0.1,
            )  # fmt: skip
        said.add(str(caught.value))
    assert len(said) == 1
