"""How far results may be from what is expected, by dtype."""

import numpy as np

# Largest error allowed, as a share of the largest expected magnitude in the array: about 256
# times the unit roundoff of each dtype. Sums of up to 70 x 70 products, walked through up to
# 70 steps of tanh, stay well below; a missing or misplaced term is orders of magnitude above.
TOLERANCES = {"float32": 3e-5, "float64": 6e-14}


def assert_close(actual, expected, *, dtype, label=""):
    """Check type, dtype, shape and values."""
    dtype = np.dtype(dtype)
    assert isinstance(actual, np.ndarray), label
    assert actual.dtype == dtype, f"{label}: dtype {actual.dtype}, expected {dtype}"
    expected = np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape, f"{label}: {actual.shape} != {expected.shape}"
    np.testing.assert_allclose(
        actual.astype(np.float64),
        expected,
        rtol=0,
        atol=TOLERANCES[dtype.name] * np.abs(expected).max(initial=0.0),
        err_msg=label,
    )
