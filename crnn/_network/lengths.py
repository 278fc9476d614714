"""Sequences of different lengths side by side in one array (B, T, ...)."""

from collections.abc import Iterator

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


def clear_padding(y: Array, lengths: IntArray) -> None:
    """Set y (B, T, ...) to zero past each sequence's end."""
    for b in np.flatnonzero(lengths < y.shape[1]):
        y[b, lengths[b] :] = 0


def hold_last_states(h: Array, lengths: IntArray) -> None:
    """Set the states h (B, T+1, S) past each sequence's end to its last state."""
    for b in np.flatnonzero(lengths < h.shape[1] - 1):
        h[b, lengths[b] + 1 :] = h[b, lengths[b]]


def last_states(h: Array, lengths: IntArray | None) -> Array:
    """Return the states (B, S) of h (B, T+1, S) after each sequence's last step."""
    return h[:, -1] if lengths is None else h[np.arange(len(h)), lengths]


def write_features(h: Array, lengths: IntArray | None, reverse: bool, features: Array) -> None:
    """Write what a direction hands on: the states after each step, in the order of time.

    Parameters
    ----------
    h : array (B, T+1, S)
        In the order of reading.
    lengths : array (B,) or None
    reverse : bool
        Whether the direction reads sequences from their last step.
    features : array (B, T, H)
        Unspecified past a sequence's end.
    """
    H = features.shape[2]
    if not reverse:
        features[...] = h[:, 1:, :H]
    elif lengths is None:
        features[...] = h[:, :0:-1, :H]
    else:
        for b, length in enumerate(lengths.tolist()):
            features[b, :length] = h[b, length:0:-1, :H]
