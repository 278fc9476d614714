"""Sequences of different lengths side by side in one array (B, T, ...)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from crnn._network import memory
from crnn._typing import Array, IntArray

# Steps of padding that are always allowed: less memory than many small passes would cost time
PADDING = 4096


def steps_within(lengths: IntArray | None, first: int, last: int) -> IntArray | None:
    """Return how many steps of each sequence lie in [first, last); None: all of them."""
    return None if lengths is None else np.clip(lengths - first, 0, last - first)


def padded(arrays: list[Array], T: int) -> Array:
    """Return arrays (T_i, ...) side by side (n, T, ...), zeros past the end of each."""
    side_by_side = memory.zeros((len(arrays), T, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(side_by_side, arrays, strict=True):
        row[: len(array)] = array
    return side_by_side


def slices_of_similar_length(lengths: IntArray, most: int) -> Iterator[slice]:
    """Yield slices of consecutive sequences to put side by side, at most `most` in each.

    A slice has at most as many steps of padding as of sequences, or `PADDING`. So memory is bounded
    by the sum of the lengths: one long sequence among short ones does not pad all of them.
    """
    first = longest = steps = 0
    for number, length in enumerate(lengths.tolist()):
        count, now_longest, now_steps = number - first + 1, max(longest, length), steps + length
        padding = count * now_longest - now_steps
        if count > most or padding > max(now_steps, PADDING):
            yield slice(first, number)
            first, now_longest, now_steps = number, length, length
        longest, steps = now_longest, now_steps
    if len(lengths):
        yield slice(first, len(lengths))


def reversed_steps(x: Array, lengths: IntArray | None) -> Array:
    """Return each sequence of x (B, T, ...) from its last step to its first; padding stays."""
    if lengths is None:
        backwards: Array = x[:, ::-1]
        return backwards
    twin = memory.empty(x.shape, x.dtype)
    for x_b, twin_b, length in zip(x, twin, lengths.tolist(), strict=True):
        twin_b[:length] = x_b[:length][::-1]
        twin_b[length:] = x_b[length:]
    return twin


def steps_in_order(
    direction: int, lengths: IntArray | None, first: int, last: int, T: int
) -> tuple[Any, Any]:
    """Return the index into (B, T, ...) of the steps [first, last) that a direction reads.

    Direction 1 reads each sequence from its last step to its first, and padding as it is.
    """
    if direction == 0:
        return slice(None), slice(first, last)
    if lengths is None:
        return slice(None), slice(T - 1 - first, None if last == T else T - 1 - last, -1)
    steps, ends = np.arange(first, last), lengths[:, None]
    return np.arange(len(lengths))[:, None], np.where(steps < ends, ends - 1 - steps, steps)


def clear_padding(y: Array, lengths: IntArray) -> None:
    """Set y (B, T, ...) to zero past each sequence's end."""
    for b in np.flatnonzero(lengths < y.shape[1]):
        y[b, lengths[b] :] = 0


def hold_last_states(h: Array, lengths: IntArray) -> None:
    """Set the states h (B, T+1, S) past each sequence's end to its last state."""
    for b in np.flatnonzero(lengths < h.shape[1] - 1):
        h[b, lengths[b] + 1 :] = h[b, lengths[b]]


def add_at_last_step(dh: Array, dh_n: Array, lengths: IntArray | None) -> None:
    """Add dh_n (B, H) to dh (B, T, H) at the last step of each sequence that has one."""
    with np.errstate(all="ignore"):
        if lengths is None:
            dh[:, -1] += dh_n
        else:
            rows = np.flatnonzero(lengths)
            dh[rows, lengths[rows] - 1] += dh_n[rows]
