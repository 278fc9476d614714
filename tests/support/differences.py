"""Gradients held to central differences in float64.

An array is moved along a random direction, so every element takes part in the comparison.
"""

import numpy as np

# Truncation grows with the square of the step and rounding shrinks with it. The cube root of the
# unit roundoff, 6e-6, balances both at about 1e-10 of the value.
STEP = 6e-6
TOLERANCE = 1e-7


def assert_gradient(gradient, objective, array, label, *, directions=1):
    """Check d objective() / d array, which objective() reads; array is as before afterwards."""
    assert gradient.dtype == np.float64, label
    assert gradient.shape == array.shape, label
    rng = np.random.default_rng(array.size)
    kept = array.copy()
    for _ in range(directions):
        direction = rng.standard_normal(array.shape)
        values = []
        for sign in (1, -1):
            array[...] = kept + sign * STEP * direction
            values.append(objective())
        array[...] = kept
        slope = (values[0] - values[1]) / (2 * STEP)
        # Terms may cancel, so the error is measured by their sizes.
        scale = np.linalg.norm(gradient * direction) + 1e-3
        error = abs(np.vdot(gradient, direction) - slope)
        assert error < TOLERANCE * scale, f"{label}: {error:.2e} of {scale:.2e}"


def assert_elements(gradient, objective, array, label):
    """Check each element by itself: small ones are not hidden by large ones."""
    for index in np.ndindex(array.shape):
        kept, values = array[index], []
        for sign in (1, -1):
            array[index] = kept + sign * STEP
            values.append(objective())
        array[index] = kept
        slope = (values[0] - values[1]) / (2 * STEP)
        np.testing.assert_allclose(
            gradient[index], slope, rtol=1e-5, atol=TOLERANCE, err_msg=f"{label}{index}"
        )
