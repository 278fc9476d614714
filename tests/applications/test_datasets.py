"""Data sets of the package."""

import numpy as np

from crnn.datasets import sunspots


def test_sunspots():
    years, numbers = sunspots()
    assert years.dtype == np.int64
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(years, np.arange(1700, 2009))
    assert numbers.shape == (309,)
    # From the file of statsmodels.datasets.sunspots
    known = {1700: 5.0, 1816: 45.8, 1957: 190.2, 1980: 154.6, 2008: 2.9}
    assert {year: numbers[years == year].item() for year in known} == known
    assert numbers.min() == 0
    assert numbers.max() == 190.2


def test_each_call_returns_new_arrays():
    years, numbers = sunspots()
    years[:], numbers[:] = 0, 0
    years, numbers = sunspots()
    assert years[0] == 1700
    assert numbers[0] == 5
