"""Steps that are skipped: states stay as they are, and outputs are those of the step before.

The steps that are not skipped, the live ones, are moved together at the start of each sequence, so
that layers see shorter sequences and need not know. What the layers return is moved back. Arrays of
all steps are called *whole* here, (B, T, ...), those of the live steps *short*, (B, n, ...), where
n is the largest number of live steps, but at least 1. Both are in the order of time. *Left* arrays
(B, n + 1, ...) are short ones with a place more, of what was there before a direction's first step:
the first place for a forward direction, for a backward one the place after each sequence's last.
"""

import numpy as np

from crnn._network import memory
from crnn._typing import Array, BoolArray, IntArray


class LiveSteps:
    """The live steps of a block of sequences.

    Parameters
    ----------
    skip : bool array (B, T)
        Whether a step is skipped.
    ends : array (B,) or None
        Steps of each sequence, of which some are skipped; None: T.

    Attributes
    ----------
    lengths : array (B,)
        Live steps of each sequence.
    """

    def __init__(self, skip: BoolArray, ends: IntArray | None) -> None:
        B, T = skip.shape
        live = ~skip
        if ends is not None:
            live &= np.arange(T) < ends[:, None]
        self._ends: IntArray = np.full(B, T) if ends is None else ends
        self._rows = np.arange(B)[:, None]
        # How many live steps there are before each step, and at the end
        self._before = np.zeros((B, T + 1), np.intp)
        np.cumsum(live, axis=1, out=self._before[:, 1:])
        self.lengths: IntArray = self._before[:, -1].copy()
        self._n = max(1, int(self.lengths.max()))
        # Short step k of a sequence is its whole step _steps[k], a skipped one past its length.
        self._steps = np.argsort(~live, axis=1, kind="stable")[:, : self._n]

    def shorten(self, x: Array) -> Array:
        """Return the live steps of x (B, T, ...); past a sequence's length stands a skipped one."""
        return x[self._rows, self._steps]

    def lengthen(self, dx: Array) -> Array:
        """Return the gradient with respect to x of that with respect to `shorten(x)`.

        Parameters
        ----------
        dx : array (B, n, ...)
            Zero past each sequence's length.

        Returns
        -------
        array (B, T, ...)
            Zero at skipped steps.
        """
        B, T = len(dx), self._before.shape[1] - 1
        whole = memory.zeros((B, T, *dx.shape[2:]), dx.dtype)
        whole[self._rows, self._steps] = dx
        return whole

    def hold(self, states: Array, direction: int) -> Array:
        """Return the states of all steps: a skipped step holds what was before it.

        Parameters
        ----------
        states : array (B, n + 1, S)
            Before the first and after each short step, in the order in which the direction reads.
        direction : int
            1 if sequences are read from their end, else 0.

        Returns
        -------
        array (B, T + 1, S)
            In that order, too.
        """
        read = self._before
        if direction:
            to_end = self._ends[:, None] - np.arange(read.shape[1])
            read = self.lengths[:, None] - read[self._rows, np.maximum(to_end, 0)]
        return states[self._rows, read]

    def last_left(self, direction: int) -> IntArray:
        """Return which place of *left* arrays each whole step holds (B, T)."""
        return self._before[:, :-1] if direction else self._before[:, 1:]

    def start_left(self, direction: int) -> tuple[IntArray, IntArray]:
        """Return the index into *left* arrays of what was there before the first step."""
        place = self.lengths if direction else np.zeros_like(self.lengths)
        return self._rows[:, 0], place

    def whole(self, left: Array, direction: int) -> Array:
        """Return (B, T, ...) of what each step holds, of a *left* array (B, n + 1, ...)."""
        return left[self._rows, self.last_left(direction)]

    def top(self, states: list[Array], H: int) -> Array:
        """Return the outputs (B, T, directions * H) of a layer from its states of short steps.

        Parameters
        ----------
        states : list of array (B, n + 1, S)
            By direction, in the order in which it reads.
        H : int
            The part of a state that is an output.
        """
        B, T = len(states[0]), self._before.shape[1] - 1
        top = memory.empty((B, T, len(states) * H), states[0].dtype)
        for direction, h in enumerate(states):
            read = self.last_left(direction)
            if direction:
                read = self.lengths[:, None] - read
            top[..., direction * H : (direction + 1) * H] = h[self._rows, read, :H]
        return top

    def top_gradient(self, dtop: Array, directions: int) -> tuple[Array, Array]:
        """Return the gradient with respect to states of that with respect to their `top`.

        Parameters
        ----------
        dtop : array (B, T, directions * H)
            Zero past each sequence's end.
        directions : int

        Returns
        -------
        dtop : array (B, n, directions * H)
            With respect to the outputs of short steps.
        dh0 : array (directions, B, H)
            With respect to the states before them.
        """
        B, H = len(dtop), dtop.shape[2] // directions
        short = memory.empty((B, self._n, directions * H), dtop.dtype)
        dh0 = np.empty((directions, B, H), dtop.dtype)
        for direction in range(directions):
            part = slice(direction * H, (direction + 1) * H)
            left = self._left_gradient(dtop[..., part], direction)
            dh0[direction] = left[self.start_left(direction)]
            short[..., part] = left[:, : self._n] if direction else left[:, 1:]
        return short, dh0

    def _left_gradient(self, dwhole: Array, direction: int) -> Array:
        """Return the gradient (B, n + 1, H) of `left` where that of `whole(left)` is given."""
        B, T, H = dwhole.shape
        held = self.last_left(direction)
        # Each place is held for steps that follow each other.
        begins = np.ones((B, T), bool)
        begins[:, 1:] = held[:, 1:] != held[:, :-1]
        b, t = np.nonzero(begins)
        left = np.zeros((B, self._n + 1, H), dwhole.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            left[b, held[b, t]] = np.add.reduceat(dwhole.reshape(B * T, H), b * T + t, axis=0)
        return left
