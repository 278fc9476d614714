"""Compiled learners at many sizes, beside the NumPy ones: tiles of all heights and both widths."""

import numpy as np
import pytest
from kernel_problems import PLAIN_CELLS

from crnn.kernels import cells

pytestmark = [pytest.mark.native, pytest.mark.loops]

# Up to two whole tiles of the tallest kind and whatever is left, then some larger ones
UNITS = [*range(1, 20), 31, 32, 33, 45, 64]
STEPS = 5
SETTINGS = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.01, "decoupled": True}
TOLERANCES = {"float32": 2e-4, "float64": 1e-11}


def results(kernels, cell, dtype, I, H, O, batch):
    """All that steps of a learner leave, by name."""
    rng = np.random.default_rng(H)
    n = cells.parameter_count(cells.parameter_shapes(cell, I, H, O))
    theta = (rng.standard_normal(n) * 0.7 / np.sqrt(H)).astype(dtype)
    memory = {"mean": np.zeros(n, dtype), "square": np.zeros(n, dtype)}
    learner = kernels.Learner(
        cell, theta, batch, I, H, O, "huber", 1.3, None, "adam_step", memory, SETTINGS, None,
        np.zeros(1, np.intp), 1e-3, 0.8,
    )  # fmt: skip
    out = np.empty((batch, O or H), dtype)
    for t in range(STEPS):
        x = rng.standard_normal((batch, I)).astype(dtype)
        y = rng.standard_normal(out.shape).astype(dtype)
        assert learner.step(x, None if t == 1 else y, out)[2]
    states, sensitivities = learner.copied()
    return {
        "outputs": out, "parameters": theta, "gradient": learner.gradient, "states": states,
        "sensitivities": sensitivities,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("cell", PLAIN_CELLS)
def test_sizes(native, reference, cell, dtype):
    for H in UNITS:
        sizes = (1 + 5 * H % 7, H, H % 4, 1 + (H < 20 and H % 3))
        found = results(native, cell, dtype, *sizes)
        for name, expected in results(reference, cell, dtype, *sizes).items():
            np.testing.assert_allclose(
                found[name], expected, rtol=0, err_msg=f"{name} of I, H, O, B = {sizes}",
                atol=TOLERANCES[dtype] * max(1, abs(expected).max()),
            )  # fmt: skip


@pytest.mark.parametrize("cell", PLAIN_CELLS)
def test_the_same_bits_again(native, cell):
    sizes = (3, 21, 2, 2)
    first, again = (results(native, cell, "float32", *sizes) for _ in range(2))
    for name, array in first.items():
        assert array.tobytes() == again[name].tobytes(), name
