"""The random numbers of a training step: dropout's masks, and noise on pre-activations."""

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from crnn._network import memory
from crnn._typing import Array, IntArray

if TYPE_CHECKING:
    from collections.abc import Iterator

# What draws the numbers of a batch
RandomSource: TypeAlias = "np.random.Generator | StreamsOfSequences"

# Numbers drawn at a time, so that what the passes over them read and write stays in L2; even
CHUNK = 1 << 15


class StreamsOfSequences:
    """Random numbers for a batch, those of each sequence from a stream of its own.

    So they depend neither on the other sequences of a rank's part nor on how far these are padded.

    Parameters
    ----------
    key : int
        Another one for each step.
    rows : array (B,)
        The numbers of the sequences.
    """

    def __init__(self, key: int, rows: IntArray) -> None:
        self._key = key
        self._rows = rows.tolist()
        self._calls = 0

    def each(self, out: Array) -> "Iterator[tuple[np.random.Generator, Array]]":
        """Yield the generator of each sequence of an array (B, ...), and its part of the array."""
        self._calls += 1
        for row, values in zip(self._rows, out, strict=True):
            # A counter of 256 bits, of which numbers of one stream count the lowest word.
            counter = [0, 0, self._calls, row]
            yield np.random.Generator(np.random.Philox(key=self._key, counter=counter)), values


def dropout_mask(x: Array, dropout: float, rng: RandomSource) -> Array:
    """Return what x (B, ...) is multiplied by: 0 for a share `dropout` of its numbers."""
    share = 1 - dropout
    mask = memory.empty(x.shape, x.dtype)
    drawn = memory.empty(x.shape, np.dtype(np.float64))
    for generator, values in _streams(rng, drawn):
        generator.random(out=values)
    np.less(drawn, share, out=mask, casting="unsafe")
    # What is left is scaled up here, so that predictions need no scaling.
    mask *= 1 / (share or 1)
    return mask


def normal_noise(
    shape: tuple[int, ...],
    deviation: float,
    dtype: "np.dtype[np.floating[Any]]",
    rng: RandomSource,
) -> Array:
    """Return normal numbers (B, ...) of a standard deviation, alike in both dtypes.

    With u and v uniform, sqrt(-2 ln u) cos(2 pi v) and sqrt(-2 ln u) sin(2 pi v) are two
    independent standard normal numbers (Box and Muller 1958). Both are computed in float32, whose
    logarithms, sines and cosines NumPy computes by vector instructions: for some thousands of
    numbers that takes less than half the time of `Generator.standard_normal`. u is a multiple of
    2^-32 plus 2^-33, rounded to float32, so none is beyond 6.8, as 1 of 7e10 normal numbers is.
    """
    noise = memory.empty(shape, dtype)
    # Finite in its dtype, for 0 times infinity is not a number.
    deviation = min(deviation, float(np.finfo(dtype).max))
    for generator, values in _streams(rng, noise):
        flat = values.reshape(-1)
        for first in range(0, flat.size, CHUNK):
            _fill(flat[first : first + CHUNK], deviation, generator)
    return noise


def _fill(numbers: Array, deviation: float, generator: "np.random.Generator") -> None:
    """Fill an array (n,) with normal numbers, as `normal_noise` says."""
    # Pairs are neighbors, so that the first numbers do not depend on how many there are.
    pairs, n_sines = (numbers.size + 1) // 2, numbers.size // 2
    bits = generator.integers(1 << 64, size=pairs, dtype=np.uint64).view(np.uint32)
    radius, angle = bits[::2].astype(np.float32), bits[1::2].astype(np.float32)
    radius += np.float32(0.5)
    radius *= np.float32(2.0**-32)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2.0**-31 * math.pi)
    with np.errstate(all="ignore"):
        scaled = np.multiply(radius, deviation, dtype=numbers.dtype)
        np.multiply(scaled, np.cos(angle), out=numbers[::2])
        np.multiply(scaled[:n_sines], np.sin(angle[:n_sines]), out=numbers[1::2])


def _streams(rng: RandomSource, out: Array) -> "Iterator[tuple[np.random.Generator, Array]]":
    """Yield generators, and the part of an array (B, ...) that each fills."""
    if isinstance(rng, StreamsOfSequences):
        yield from rng.each(out)
    else:
        yield rng, out
