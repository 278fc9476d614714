"""Steps that are skipped: states stay as they are, and outputs are those of the step before.

The steps that are not skipped, the live ones, are moved together at the start of each sequence, so
that layers see shorter sequences and need not know. What the layers return is moved back. Arrays of
all steps are called *whole* here, (B, T, ...), those of the live steps *short*, (B, n, ...), where
n is the largest number of live steps, but at least 1.
"""

import numpy as np

from crnn._network.lengths import reversed_steps
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
        live = ~skip
        if ends is not None:
            live &= np.arange(skip.shape[1]) < ends[:, None]
        self._live = live
        self._ends = ends
        self._rows = np.arange(len(live))[:, None]
        self.lengths: IntArray = live.sum(axis=1)
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
        whole = np.zeros((*self._live.shape, *dx.shape[2:]), dx.dtype)
        whole[self._rows, self._steps] = dx
        return whole

    def hold(self, states: Array, direction: int) -> Array:
        """Return what short steps left, for all steps: a skipped step holds what was before it.

        Parameters
        ----------
        states : array (B, n + 1, ...)
            Of before the first step and after each short step, in the order of the direction.
        direction : int
            1 if sequences are read from their end, else 0.

        Returns
        -------
        array (B, T + 1, ...)
            In that order, too.
        """
        return states[self._rows, self._live_steps_before(direction)]

    def add_held(self, dh: Array, direction: int) -> Array:
        """Return the gradient with respect to states of that with respect to `hold(states)[:, 1:]`.

        Parameters
        ----------
        dh : array (B, T, H)
        direction : int

        Returns
        -------
        array (B, n + 1, H)
        """
        B, T, H = dh.shape
        # Each state is held for steps that follow each other: from the first or a live one on.
        begins = self._in_order(direction).copy()
        begins[:, 0] = True
        b, t = np.nonzero(begins)
        index = self._live_steps_before(direction)[b, t + 1]
        short = np.zeros((B, self._n + 1, H), dh.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            short[b, index] = np.add.reduceat(dh.reshape(B * T, H), b * T + t, axis=0)
        return short

    def top(self, states: list[Array], H: int) -> Array:
        """Return the outputs (B, T, directions * H) of a layer from its states of short steps.

        Parameters
        ----------
        states : list of array (B, n + 1, S)
            By direction.
        H : int
            The part of a state that is an output.
        """
        outputs = []
        for direction, h in enumerate(states):
            held = self.hold(h[..., :H], direction)[:, 1:]
            outputs.append(reversed_steps(held, self._ends) if direction else held)
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)

    def top_gradient(self, dtop: Array, directions: int) -> tuple[Array, Array]:
        """Return the gradient with respect to states of that with respect to their `top`.

        Parameters
        ----------
        dtop : array (B, T, directions * H)
        directions : int

        Returns
        -------
        dtop : array (B, n, directions * H)
            With respect to the outputs of short steps.
        dh0 : array (directions, B, H)
            With respect to the states before them.
        """
        steps, first = [], []
        for direction, part in enumerate(np.split(dtop, directions, axis=-1)):
            dh = reversed_steps(part, self._ends) if direction else part
            dh = self.add_held(dh, direction)
            first.append(dh[:, 0])
            steps.append(reversed_steps(dh[:, 1:], self.lengths) if direction else dh[:, 1:])
        return np.concatenate(steps, axis=-1), np.stack(first)

    def _in_order(self, direction: int) -> BoolArray:
        """Return which steps are live (B, T), in the order in which a direction reads."""
        return reversed_steps(self._live, self._ends) if direction else self._live

    def _live_steps_before(self, direction: int) -> IntArray:
        """Return how many live steps there are before each step, and at the end (B, T + 1)."""
        live = self._in_order(direction)
        counts = np.zeros((len(live), live.shape[1] + 1), np.intp)
        np.cumsum(live, axis=1, out=counts[:, 1:])
        return counts
