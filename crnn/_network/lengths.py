"""Sequences of different lengths side by side in one array (B, T, ...)."""

import numpy as np

from crnn._typing import Array, IntArray


def steps_within(lengths: IntArray | None, first: int, last: int) -> IntArray | None:
    """Return how many steps of each sequence lie in [first, last); None: all of them."""
    return None if lengths is None else np.clip(lengths - first, 0, last - first)


def padded(arrays: list[Array], T: int) -> Array:
    """Return arrays (T_i, ...) side by side (n, T, ...), zeros past the end of each."""
    side_by_side = np.zeros((len(arrays), T, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(side_by_side, arrays, strict=True):
        row[: len(array)] = array
    return side_by_side


def reversed_steps(x: Array, lengths: IntArray | None) -> Array:
    """Return each sequence of x (B, T, ...) from its last step to its first; padding stays."""
    if lengths is None:
        return x[:, ::-1]
    steps = np.arange(x.shape[1])
    ends = lengths[:, None]
    order = np.where(steps < ends, ends - 1 - steps, steps)
    return x[np.arange(len(x))[:, None], order]


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
    with np.errstate(over="ignore"):
        if lengths is None:
            dh[:, -1] += dh_n
        else:
            rows = np.flatnonzero(lengths)
            dh[rows, lengths[rows] - 1] += dh_n[rows]
