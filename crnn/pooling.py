"""One output per sequence from a network's outputs for all steps, and losses of it.

Of the 2 O + 1 outputs of a step, the first O are numbers a_t, the next O numbers b_t, and the last
is a score s_t. The sequence's output is a mean of a_t, weighted by softmax(s) over the steps, plus
b_T of its last step:

    p = softmax(s_1 .. s_T)
    y = p_1 a_1 + ... + p_T a_T + b_T

The first part is attention without memory (Raffel and Ellis 2015, "Feed-forward networks with
attention can solve some long-term memory problems", equation 2): a mean over time where all scores
are alike, and one step where a score stands out. Gradients reach every step through it, which those
of the last state do not over a hundred steps.
"""

from typing import Any, NamedTuple

import numpy as np

from crnn.checks import Array


def outputs_per_step(outputs: int) -> int:
    """Return how many outputs a step needs for so many of the sequence."""
    return 2 * outputs + 1


class Pooled(NamedTuple):
    """The outputs of sequences, and what their gradient needs."""

    y: Array
    """(batch, outputs)"""
    a: Array
    """(batch, time, outputs)"""
    p: Array
    """(batch, time), 0 past a sequence's end."""
    last: tuple[Array, Array]
    """The index of each sequence's last step."""

    def backward(self, dy: Array) -> Array:
        """Return dL/d(outputs of steps) of dy = dL/dy."""
        B, T, O = self.a.shape
        of_steps = np.zeros((B, T, outputs_per_step(O)), self.a.dtype)
        np.multiply(self.p[..., None], dy[:, None], out=of_steps[..., :O])
        of_steps[..., O:-1][self.last] = dy
        # ds_t = p_t (a_t - mean of a) . dy
        along = np.einsum("bto,bo->bt", self.a, dy)
        along -= (self.p * along).sum(axis=1, keepdims=True)
        np.multiply(self.p, along, out=of_steps[..., -1])
        return of_steps


def pooled(of_steps: Array, lengths: Array | None = None) -> Pooled:
    """Return the outputs (batch, outputs) of sequences.

    Parameters
    ----------
    of_steps : array (batch, time, 2 * outputs + 1)
    lengths : array of int (batch,), optional
        Steps of each sequence; without it all of them.
    """
    B, T, _ = of_steps.shape
    O = of_steps.shape[2] // 2
    a, b, scores = of_steps[..., :O], of_steps[..., O:-1], of_steps[..., -1]
    if lengths is None:
        lengths = np.full(B, T)
    else:
        scores = np.where(np.arange(T) < lengths[:, None], scores, -np.inf)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    last = (np.arange(B), lengths - 1)
    return Pooled(np.einsum("bto,bt->bo", a, p) + b[last], a, p, last)


class PooledLoss:
    """A loss of the sequences' outputs, as `RNN.fit` takes one of the outputs of steps.

    Targets stand at every step, the same at all of a sequence. So do weights: those of a sequence's
    steps are its own divided by its length, and 0 past its end.

    Parameters
    ----------
    loss : object
        Of outputs (batch, outputs), as those of `crnn.losses`.
    """

    def __init__(self, loss: Any) -> None:
        self._loss = loss

    def value(self, of_steps: Array, y: Array, weights: Array | None = None) -> float:
        """Return the loss."""
        done, of_sequences = self._pooled(of_steps, weights)
        value: float = self._loss.value(done.y, y[:, 0], of_sequences)
        return value

    def gradient(self, of_steps: Array, y: Array, weights: Array | None = None) -> Array:
        """Return its gradient towards the outputs of steps."""
        done, of_sequences = self._pooled(of_steps, weights)
        return done.backward(self._loss.gradient(done.y, y[:, 0], of_sequences))

    @staticmethod
    def _pooled(of_steps: Array, weights: Array | None) -> tuple[Pooled, Array | None]:
        if weights is None:
            return pooled(of_steps), None
        return pooled(of_steps, (weights > 0).sum(axis=1)), weights.sum(axis=1)
