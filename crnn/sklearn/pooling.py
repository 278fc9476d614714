"""One output per sequence from a network's outputs for all steps, and losses of it.

Of the O + 1 outputs of a step, the first O are numbers a_t, and the last is a score s_t. The
sequence's output is the mean of a_t, weighted by softmax(s) over the steps:

    p = softmax(s_1 .. s_T)
    y = p_1 a_1 + ... + p_T a_T

This is attention without memory (Raffel and Ellis 2015, "Feed-forward networks with attention can
solve some long-term memory problems", equation 2): a mean over time where all scores are alike, and
one step where a score stands out. Gradients reach every step through it, which those of the last
state do not over a hundred steps.

With ends, a step has 3 O + 1 outputs, numbers b_t and c_t between a_t and s_t. Those of the first
and the last step are added:

    y = p_1 a_1 + ... + p_T a_T + b_1 + c_T
"""

from typing import Any, NamedTuple

import numpy as np

from crnn.checks import Array


def outputs_per_step(outputs: int, *, with_ends: bool) -> int:
    """Return how many outputs a step needs for so many of the sequence."""
    return (3 if with_ends else 1) * outputs + 1


class Pooled(NamedTuple):
    """The outputs of sequences, and what their gradient needs."""

    y: Array
    """(batch, outputs)"""
    of_steps: Array
    """(batch, time, outputs of a step)"""
    p: Array
    """(batch, time), 0 past a sequence's end."""
    last: tuple[Array, Array]
    """The index of each sequence's last step."""

    def backward(self, dy: Array) -> Array:
        """Return dL/d(outputs of steps) of dy = dL/dy."""
        O = dy.shape[1]
        gradient: Array = np.zeros_like(self.of_steps)
        np.multiply(self.p[..., None], dy[:, None], out=gradient[..., :O])
        if _has_ends(self.of_steps, O):
            gradient[:, 0, O : 2 * O] = dy
            gradient[..., 2 * O : -1][self.last] = dy
        # ds_t = p_t (a_t - mean of a) . dy
        along = np.einsum("bto,bo->bt", self.of_steps[..., :O], dy)
        along -= (self.p * along).sum(axis=1, keepdims=True)
        np.multiply(self.p, along, out=gradient[..., -1])
        return gradient


def pooled(of_steps: Array, outputs: int, lengths: Array | None = None) -> Pooled:
    """Return the outputs (batch, outputs) of sequences.

    Parameters
    ----------
    of_steps : array (batch, time, outputs + 1) or (batch, time, 3 * outputs + 1)
        With ends if it is the latter.
    outputs : int
    lengths : array of int (batch,), optional
        Steps of each sequence; without it all of them.
    """
    B, T, _ = of_steps.shape
    O, scores = outputs, of_steps[..., -1]
    if lengths is None:
        lengths = np.full(B, T)
    else:
        scores = np.where(np.arange(T) < lengths[:, None], scores, -np.inf)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    last = (np.arange(B), lengths - 1)
    y = np.einsum("bto,bt->bo", of_steps[..., :O], p)
    if _has_ends(of_steps, O):
        y += of_steps[:, 0, O : 2 * O]
        y += of_steps[..., 2 * O : -1][last]
    return Pooled(y, of_steps, p, last)


def _has_ends(of_steps: Array, outputs: int) -> bool:
    return bool(of_steps.shape[2] != outputs_per_step(outputs, with_ends=False))


class PooledLoss:
    """A loss of the sequences' outputs, as `RNN.fit` takes one of the outputs of steps.

    Targets stand at every step, the same at all of a sequence. So do weights: those of a sequence's
    steps are its own divided by its length, and 0 past its end.

    Parameters
    ----------
    loss : object
        Of outputs (batch, outputs), as those of `crnn.losses`.
    outputs : int
    """

    def __init__(self, loss: Any, outputs: int) -> None:
        self._loss = loss
        self._outputs = outputs

    def value(self, of_steps: Array, y: Array, weights: Array | None = None) -> float:
        """Return the loss."""
        done, of_sequences = self._pooled(of_steps, weights)
        value: float = self._loss.value(done.y, y[:, 0], of_sequences)
        return value

    def gradient(self, of_steps: Array, y: Array, weights: Array | None = None) -> Array:
        """Return its gradient towards the outputs of steps."""
        done, of_sequences = self._pooled(of_steps, weights)
        return done.backward(self._loss.gradient(done.y, y[:, 0], of_sequences))

    def _pooled(self, of_steps: Array, weights: Array | None) -> tuple[Pooled, Array | None]:
        if weights is None:
            return pooled(of_steps, self._outputs), None
        lengths = (weights > 0).sum(axis=1)
        return pooled(of_steps, self._outputs, lengths), weights.sum(axis=1)
