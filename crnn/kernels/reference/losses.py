"""Losses over the steps of all sequences, and their gradients with respect to the outputs.

With l the loss of a step and w its weight, which is 1 without weights, the value is
sum(w l) / sum(w); for `sse` it is sum(w l). Sums are taken in float64.
"""

import numpy as np

from crnn._typing import Array
from crnn.kernels import contracts


def mse(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float:
    """Return the mean over all steps of l = mean over the outputs of (y_hat - y)^2.

    Parameters
    ----------
    y_hat, y : array (B, T, O)
        Outputs and targets.
    weights : array (B, T) of float64, or None
        The weight of each step. None: 1.
    dy : array (B, T, O) or None
        The gradient 2 w (y_hat - y) / (O sum(w)) is written. None: not wanted.

    Returns
    -------
    float
    """
    contracts.check("mse", locals())
    w, total = _weights(y_hat, weights)
    contracts.check_weight(total)
    real = y_hat.dtype.type
    O: int = y_hat.shape[-1]
    error = y_hat - y
    if dy is not None and weights is None:
        dy[...] = error * real(2 / y.size)
    elif dy is not None:
        dy[...] = error * real(2 / O) * (w / total).astype(real)
    return float(np.sum(w * np.square(error, dtype=np.float64))) / (O * total)


def sse(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float:
    """Return the sum over all steps of l = half the sum over the outputs of (y_hat - y)^2.

    Parameters
    ----------
    y_hat, y : array (B, T, O)
        Outputs and targets.
    weights : array (B, T) of float64, or None
        The weight of each step. None: 1.
    dy : array (B, T, O) or None
        The gradient w (y_hat - y) is written. None: not wanted.

    Returns
    -------
    float
    """
    contracts.check("sse", locals())
    w, _ = _weights(y_hat, weights)
    error = y_hat - y
    if dy is not None:
        dy[...] = error * w.astype(error.dtype)
    return float(np.sum(w * np.square(error, dtype=np.float64))) / 2


def cross_entropy(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float:
    """Return the mean over all steps of l = -log softmax(y_hat)[y], in nats.

    Parameters
    ----------
    y_hat : array (B, T, O)
        Logits, one for each class.
    y : array (B, T) of intp
        Class numbers from 0 to O - 1.
    weights : array (B, T) of float64, or None
        The weight of each step. None: 1.
    dy : array (B, T, O) or None
        The gradient w (softmax(y_hat) - one_hot(y)) / sum(w) is written. None: not wanted.

    Returns
    -------
    float
    """
    contracts.check("cross_entropy", locals())
    w, total = _weights(y_hat, weights)
    contracts.check_weight(total)
    logits = y_hat.astype(np.float64)
    # The largest logit subtracted from all changes nothing, and no exponential overflows.
    logits -= logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(logits)
    normalizer = exponentials.sum(axis=-1, keepdims=True)
    target = np.take_along_axis(logits, y[..., None], axis=-1)
    if dy is not None:
        gradient = exponentials / normalizer
        probability = np.take_along_axis(gradient, y[..., None], axis=-1)
        np.put_along_axis(gradient, y[..., None], probability - 1, axis=-1)
        dy[...] = gradient * w / total
    return float(np.sum(w * (np.log(normalizer) - target))) / total


def binary_cross_entropy(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float:
    """Return the mean over all steps of l = mean over the outputs of -y log p - (1 - y) log(1 - p).

    Parameters
    ----------
    y_hat : array (B, T, O)
        Logits: p = 1 / (1 + exp(-y_hat)).
    y : array (B, T, O)
        Targets from 0 to 1.
    weights : array (B, T) of float64, or None
        The weight of each step. None: 1.
    dy : array (B, T, O) or None
        The gradient w (p - y) / (O sum(w)) is written. None: not wanted.

    Returns
    -------
    float
    """
    contracts.check("binary_cross_entropy", locals())
    w, total = _weights(y_hat, weights)
    contracts.check_weight(total)
    real = y_hat.dtype.type
    O: int = y_hat.shape[-1]
    # log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), in which nothing overflows
    z = y_hat.astype(np.float64)
    terms = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    if dy is not None:
        # p - y = (1 - y) p - y (1 - p), where p and 1 - p keep their digits however small
        small = np.exp(-np.abs(y_hat))
        p, one_minus_p = np.where(y_hat >= 0, 1, small), np.where(y_hat >= 0, small, 1)
        difference = ((1 - y) * p - y * one_minus_p) / (1 + small)
        dy[...] = difference / real(O) * (w / total).astype(real)
    return float(np.sum(w * terms)) / (O * total)


def huber(y_hat: Array, y: Array, weights: Array | None, delta: float, dy: Array | None) -> float:
    """Return the mean over all steps of the loss of Huber (1964).

    With e = y_hat - y, l is the mean over the outputs of e^2 / 2 where |e| <= delta, and of
    delta (|e| - delta / 2) elsewhere.

    Parameters
    ----------
    y_hat, y : array (B, T, O)
        Outputs and targets.
    weights : array (B, T) of float64, or None
        The weight of each step. None: 1.
    delta : float
        Above 0.
    dy : array (B, T, O) or None
        The gradient w min(max(e, -delta), delta) / (O sum(w)) is written. None: not wanted.

    Returns
    -------
    float
    """
    contracts.check("huber", locals())
    w, total = _weights(y_hat, weights)
    contracts.check_weight(total)
    real = y_hat.dtype.type
    O: int = y_hat.shape[-1]
    error = y_hat - y
    magnitude = np.abs(error).astype(np.float64)
    near = np.minimum(magnitude, delta)
    if dy is not None:
        limit = real(delta)
        dy[...] = np.clip(error, -limit, limit) / real(O) * (w / total).astype(real)
    return float(np.sum(w * near * (magnitude - near / 2))) / (O * total)


def _weights(y_hat: Array, weights: Array | None) -> tuple[Array, float]:
    """Return the weights of the steps, (B, T, 1) or 1, and their sum."""
    if weights is None:
        return np.ones(()), y_hat.shape[0] * y_hat.shape[1]
    return weights[..., None], float(weights.sum())
