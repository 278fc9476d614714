"""Small data sets that the package contains."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["sunspots"]


def sunspots() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return yearly mean sunspot numbers, 1700 to 2008.

    Returns
    -------
    years : ndarray of int64, shape (309,)
        Calendar years without a gap.
    numbers : ndarray of float64, shape (309,)
        Mean sunspot number of each year (dimensionless count, 0 to 190.2).

    Notes
    -----
    Each call returns new arrays.

    The values are those before the revision of the series in 2015, which changed their scale: later
    numbers have to be converted before they are appended.

    References
    ----------
    National Geophysical Data Center, http://www.ngdc.noaa.gov/stp/solar/solarda3.html, as in the
    ``statsmodels`` package (``statsmodels.datasets.sunspots``, public domain).
    """
    source = Path(__file__).parent / "data" / "sunspots.csv"
    table = np.loadtxt(source, delimiter=",", skiprows=1, dtype=np.float64, encoding="utf-8")
    return table[:, 0].astype(np.int64), table[:, 1].copy()
