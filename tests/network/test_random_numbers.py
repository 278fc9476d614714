"""Normal numbers: by the formula, and distributed as such."""

import math

import numpy as np
import pytest

from crnn._network.random_numbers import CHUNK, StreamsOfSequences, dropout_mask, normal_noise

dtypes = pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64)])


@dtypes
@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (2, CHUNK // 2 + 3, 2)])
def test_by_the_formula(dtype, shape):
    noise = normal_noise(shape, 0.3, dtype, np.random.default_rng(5))
    rng, expected, size = np.random.default_rng(5), [], math.prod(shape)
    for count in (CHUNK,) * (size // CHUNK) + (size % CHUNK,):
        for bits in rng.integers(1 << 64, size=(count + 1) // 2, dtype=np.uint64).tolist():
            # In memory the low half comes first where bytes of a number do.
            halves = np.array([bits], np.uint64).view(np.uint32).tolist()
            radius = 0.3 * math.sqrt(-2 * math.log((halves[0] + 0.5) / 2**32))
            angle = 2 * math.pi * halves[1] / 2**32
            expected += [radius * math.cos(angle), radius * math.sin(angle)]
        del expected[len(expected) - count % 2 :]
    assert (noise.shape, noise.dtype) == (shape, dtype)
    np.testing.assert_allclose(noise.ravel(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937])
def test_distribution(bits):
    """Kolmogorov and Smirnov's distance, moments and correlations; a failure has odds of 1e-6."""
    n = 1 << 20
    numbers = normal_noise((n,), 1.0, np.dtype(np.float64), np.random.Generator(bits(11)))
    assert abs(numbers.mean()) < 5 / math.sqrt(n)
    assert abs(np.mean(numbers**2) - 1) < 5 * math.sqrt(2 / n)
    assert abs(np.mean(numbers**3)) < 5 * math.sqrt(15 / n)
    assert abs(np.mean(numbers**4) - 3) < 5 * math.sqrt(96 / n)
    below = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in np.sort(numbers).tolist()])
    assert np.abs(below - (np.arange(n) + 0.5) / n).max() < 2.7 / math.sqrt(n)
    for lag in (1, 2, CHUNK):
        for one in (numbers, numbers**2 - 1):
            limit = 5 * np.mean(one**2) / math.sqrt(n)
            assert abs(np.mean(one[lag:] * one[:-lag])) < limit, lag


@dtypes
def test_streams_do_not_depend_on_neighbors_or_padding(dtype):
    many, one = (StreamsOfSequences(9, np.array(rows)) for rows in ([4, 0, 7], [7]))
    first, again = (normal_noise((3, 11, 3), 0.5, dtype, many) for _ in range(2))
    assert normal_noise((1, 5, 3), 0.5, dtype, one)[0].tobytes() == first[2, :5].tobytes()
    assert len(np.unique([first, again])) == first.size + again.size


def test_masks_of_streams_do_not_depend_on_neighbors_or_padding():
    many, one = (StreamsOfSequences(9, np.array(rows)) for rows in ([4, 0, 7], [7]))
    first, again = (dropout_mask(np.ones((3, 40, 5)), 0.5, many) for _ in range(2))
    np.testing.assert_array_equal(dropout_mask(np.ones((1, 30, 5)), 0.5, one)[0], first[2, :30])
    assert len({row.tobytes() for row in (*first, *again)}) == 6


def test_both_dtypes_have_the_same_noise():
    noise = [
        normal_noise((4, 9), 0.5, np.dtype(dtype), np.random.default_rng(2))
        for dtype in ("float32", "float64")
    ]
    np.testing.assert_array_equal(noise[0], noise[1].astype(np.float32))
