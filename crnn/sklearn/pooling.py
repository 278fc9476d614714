"""One output per sequence from a network's outputs at all steps, and losses of it.

Of the O + 1 outputs of a step, the first O are numbers a_t, and the last is a score s_t. The
sequence's output is the mean of a_t, weighted by softmax(s) over the steps:

    p = softmax(s_1 .. s_T)
    y = p_1 a_1 + ... + p_T a_T

This is attention without memory (Raffel and Ellis 2015, "Feed-forward networks with attention can
solve some long-term memory problems", equation 2): the mean over time where all scores are equal,
and one step where one score is much larger. It passes gradients to every step; over a hundred steps
the last state does not.

With ends, a step has 3 O + 1 outputs, numbers b_t and c_t between a_t and s_t. Those of the first
and the last step are added:

    y = p_1 a_1 + ... + p_T a_T + b_1 + c_T
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.losses import CustomLoss


def outputs_per_step(outputs: int, *, with_ends: bool) -> int:
    """Return how many outputs a step needs for so many outputs of the sequence."""
    return (3 if with_ends else 1) * outputs + 1


class Pooled(NamedTuple):
    """The outputs of sequences, and what their gradient needs."""

    y: npt.NDArray[Any]
    """(batch, outputs)"""
    step_outputs: npt.NDArray[Any]
    """(batch, time, outputs of a step)"""
    p: npt.NDArray[Any]
    """(batch, time), 0 past a sequence's end."""
    last: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    """The index of each sequence's last step."""

    def backward(self, dy: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return dL/d(step_outputs) from dy = dL/dy."""
        O = dy.shape[1]
        gradient = np.zeros_like(self.step_outputs)
        np.multiply(self.p[..., None], dy[:, None], out=gradient[..., :O])
        if _has_ends(self.step_outputs, O):
            gradient[:, 0, O : 2 * O] = dy
            gradient[..., 2 * O : -1][self.last] = dy
        # ds_t = p_t (a_t - mean of a) . dy
        along = np.einsum("bto,bo->bt", self.step_outputs[..., :O], dy)
        along -= (self.p * along).sum(axis=1, keepdims=True)
        np.multiply(self.p, along, out=gradient[..., -1])
        return gradient


def pooled(
    step_outputs: npt.NDArray[Any], outputs: int, lengths: npt.NDArray[np.intp] | None = None
) -> Pooled:
    """Return the outputs (batch, outputs) of sequences.

    Parameters
    ----------
    step_outputs : array (batch, time, outputs + 1) or (batch, time, 3 * outputs + 1)
        The latter with ends.
    outputs : int
    lengths : array of int (batch,), optional
        Steps of each sequence; without it all of them.
    """
    B, T, _ = step_outputs.shape
    O, scores = outputs, step_outputs[..., -1]
    if lengths is None:
        lengths = np.full(B, T)
    else:
        scores = np.where(np.arange(T) < lengths[:, None], scores, -np.inf)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    last = (np.arange(B), lengths - 1)
    y = np.einsum("bto,bt->bo", step_outputs[..., :O], p)
    if _has_ends(step_outputs, O):
        y += step_outputs[:, 0, O : 2 * O]
        y += step_outputs[..., 2 * O : -1][last]
    return Pooled(y, step_outputs, p, last)


def _has_ends(step_outputs: npt.NDArray[Any], outputs: int) -> bool:
    return bool(step_outputs.shape[2] != outputs_per_step(outputs, with_ends=False))


class PooledLoss:
    """A loss of the outputs of sequences, as `crnn.RNN.fit` takes one of the outputs of steps.

    Targets are repeated at every step of a sequence. The weights of a sequence's steps are its own
    weight divided by its length, and 0 past its end.

    Parameters
    ----------
    loss : loss
        Of outputs (batch, outputs), such as those of `crnn.losses`.
    outputs : int
    """

    # By the sequences' weights: a batch may be computed in parts.
    is_mean = True

    def __init__(self, loss: CustomLoss, outputs: int) -> None:
        self._loss = loss
        self._outputs = outputs

    def value(
        self,
        step_outputs: npt.NDArray[Any],
        y: npt.NDArray[Any],
        weights: npt.NDArray[np.float64] | None = None,
    ) -> float:
        """Return the loss."""
        outputs, targets = self._pooled(step_outputs, weights), y[:, 0]
        if weights is None:
            return self._loss.value(outputs.y, targets)
        return self._loss.value(outputs.y, targets, weights.sum(axis=1))

    def gradient(
        self,
        step_outputs: npt.NDArray[Any],
        y: npt.NDArray[Any],
        weights: npt.NDArray[np.float64] | None = None,
    ) -> npt.NDArray[Any]:
        """Return dL/d(step_outputs)."""
        outputs, targets = self._pooled(step_outputs, weights), y[:, 0]
        if weights is None:
            dy = self._loss.gradient(outputs.y, targets)
        else:
            dy = self._loss.gradient(outputs.y, targets, weights.sum(axis=1))
        return outputs.backward(np.asarray(dy))

    def _pooled(
        self, step_outputs: npt.NDArray[Any], weights: npt.NDArray[np.float64] | None
    ) -> Pooled:
        lengths = None if weights is None else (weights > 0).sum(axis=1)
        return pooled(step_outputs, self._outputs, lengths)
