"""Random generators of many seeds, one after another."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Seeds = npt.NDArray[np.uint64]

# The constants of `np.random.SeedSequence` (O'Neill 2015, "Developing a seed_seq alternative"), and
# the multiplier of `np.random.PCG64` (O'Neill 2014).
POOL_SIZE, STATE_WORDS = 4, 8
INIT_A, MULT_A, INIT_B, MULT_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
MIX_LEFT, MIX_RIGHT = 0xCA01F9DD, 0x4973F715
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645


def generators_of(seeds: Seeds) -> "Iterator[np.random.Generator]":
    """Yield ``np.random.default_rng(seed)`` for each seed.

    It may be the same object each time, with another state: making one takes ten times as long.
    """
    rng = np.random.default_rng(int(seeds[0]))
    found: dict[str, Any] = dict(rng.bit_generator.state)
    numbers = _pcg_states(seeds)
    state, inc = next(numbers)
    if found["bit_generator"] != "PCG64" or found["state"] != {"state": state, "inc": inc}:
        # Another version of NumPy may make another generator of a seed.
        for seed in seeds.tolist():
            yield np.random.default_rng(seed)
        return
    yield rng
    for state, inc in numbers:
        found["state"] = {"state": state, "inc": inc}
        rng.bit_generator.state = found
        yield rng


def _pcg_states(seeds: Seeds) -> Iterator[tuple[int, int]]:
    """Yield the first state and the increment of `np.random.PCG64` for each seed."""
    mask = (1 << 128) - 1
    for high, low, inc_high, inc_low in _generated(seeds).tolist():
        inc = ((inc_high << 65) | (inc_low << 1) | 1) & mask
        yield ((((high << 64) | low) + inc) * MULTIPLIER + inc) & mask, inc


def _generated(seeds: Seeds) -> Seeds:
    """Return ``np.random.SeedSequence(seed).generate_state(4, np.uint64)`` for each, (n, 4)."""
    factor = INIT_A

    def hashed(values: npt.NDArray[np.uint32], multiplier: int) -> npt.NDArray[np.uint32]:
        nonlocal factor
        values = values ^ np.uint32(factor)
        factor = factor * multiplier & 0xFFFFFFFF
        values = values * np.uint32(factor)
        return values ^ (values >> np.uint32(16))

    # A word of 0 and one that is not there are the same.
    nothing = np.zeros(len(seeds), np.uint32)
    words = [seeds.astype(np.uint32), (seeds >> np.uint64(32)).astype(np.uint32), nothing, nothing]
    pool = [hashed(word, MULT_A) for word in words]
    for source in range(POOL_SIZE):
        for target in range(POOL_SIZE):
            if source != target:
                mixed = np.uint32(MIX_LEFT) * pool[target]
                mixed -= np.uint32(MIX_RIGHT) * hashed(pool[source], MULT_A)
                pool[target] = mixed ^ (mixed >> np.uint32(16))
    factor = INIT_B
    state = [hashed(pool[n % POOL_SIZE], MULT_B).astype(np.uint64) for n in range(STATE_WORDS)]
    pairs = zip(state[::2], state[1::2], strict=True)
    return np.stack([low | high << np.uint64(32) for low, high in pairs], axis=1)
