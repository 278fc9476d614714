import numpy as np

from crnn.datasets import sunspots


def test_sunspots_known_values():
    # Read off the file of statsmodels.datasets.sunspots.
    years, numbers = sunspots()
    known = {1700: 5.0, 1816: 45.8, 1957: 190.2, 1980: 154.6, 2008: 2.9}
    assert {year: numbers[years == year].item() for year in known} == known


def test_sunspots_years_have_no_gap():
    years, numbers = sunspots()
    np.testing.assert_array_equal(years, np.arange(1700, 2009))
    assert numbers.shape == (309,)


def test_sunspots_dtypes_and_range():
    years, numbers = sunspots()
    assert years.dtype == np.int64
    assert numbers.dtype == np.float64
    assert numbers.min() == 0
    assert numbers.max() == 190.2


def test_sunspots_belong_to_the_caller():
    years, numbers = sunspots()
    years[:], numbers[:] = 0, 0
    again_years, again_numbers = sunspots()
    assert again_years[0] == 1700
    assert again_numbers[0] == 5
