"""Checks of series and of their further columns."""

import numpy as np
import numpy.typing as npt

from crnn import conversion
from crnn.forecasting.columns import Columns
from crnn.forecasting.recipe import Floats

__all__ = ["check_size", "checked_columns", "checked_series"]

# Errors are kept in float32, whose largest number is 3e38.
LARGEST = 1e30


def checked_series(series: npt.ArrayLike) -> Floats:
    """Return a series as finite float64 numbers.

    Parameters
    ----------
    series : array (time,)

    Returns
    -------
    array (time,)

    Raises
    ------
    ValueError, TypeError
        It has another shape or dtype, or a number is not finite.
    """
    values = conversion.as_numbers("series", series).astype(np.float64)
    if values.ndim != 1:
        raise ValueError(f"series: expected numbers (time,), got shape {values.shape}")
    _check_finite("series", values)
    return values


def check_size(series: Floats) -> None:
    """Check that a series can be learned from: most numbers are not too large.

    Parameters
    ----------
    series : array (time,)

    Raises
    ------
    ValueError
        They are.
    """
    middle = float(np.median(np.abs(series))) if len(series) else 0.0
    if middle > LARGEST:
        raise ValueError(
            f"series: expected numbers of at most {LARGEST:g} to learn from, got some such as "
            f"{middle:.3g}"
        )


def checked_columns(
    series: Floats, lagged: npt.ArrayLike | None, known: npt.ArrayLike | None, steps: int = 0
) -> Columns:
    """Return the further columns of a series and of so many steps after it.

    Parameters
    ----------
    series : array (time,)
    lagged : array (time, columns), optional
    known : array (time + steps, columns), optional
        With steps, more rows are not read.
    steps : int

    Returns
    -------
    Columns

    Raises
    ------
    ValueError, TypeError
        A shape or dtype does not fit, or a number is not finite.
    """
    parts = []
    for name, columns, length in (("lagged", lagged, 0), ("known", known, steps)):
        length += len(series)
        values = np.empty((length, 0))
        if columns is not None:
            values = conversion.as_numbers(name, columns).astype(np.float64)
        if values.ndim != 2 or len(values) < length or (len(values) > length and not steps):
            raise ValueError(f"{name}: expected shape (time={length}, columns), got {values.shape}")
        _check_finite(name, values[:length])
        parts.append(values[:length])
    return Columns(*parts)


def _check_finite(name: str, values: Floats) -> None:
    """Raise an error that names the first row with a number that is not finite."""
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad.reshape(len(values), -1).any(axis=1)))
        raise ValueError(
            f"{name}: expected finite numbers, got NaN or an infinity in row {row}, counted from 0"
        )
