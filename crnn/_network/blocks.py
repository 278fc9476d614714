"""Blocks of steps: long sequences are computed a block at a time, in little memory."""

from collections.abc import Iterator

from crnn._network.lengths import steps_within
from crnn._typing import IntArray

# A prediction keeps the states of a block of steps: about so many scalars.
BLOCK_SCALARS = 1 << 18
# A block has at least so many steps, however wide the layers are.
BLOCK_STEPS = 32


def block_steps(B: int, features: int) -> int:
    """Return how many steps of B sequences are predicted at a time."""
    return max(BLOCK_STEPS, BLOCK_SCALARS // max(1, B * features))


def in_blocks(
    T: int, lengths: IntArray | None, every: int | None, *, reverse: bool = False
) -> Iterator[tuple[int, int, IntArray | None]]:
    """Yield blocks of `every` steps: where they begin and end, and the sequences' lengths in them.

    None: one block of all steps. `reverse`: from the last block to the first.
    """
    every = every or max(T, 1)
    starts = range(0, T, every)
    for first in reversed(starts) if reverse else starts:
        last = min(first + every, T)
        yield first, last, steps_within(lengths, first, last)
