"""Vectors of parameters and gradients: finiteness, norm, clipping, and the optimizers' steps."""

import math
from typing import Any

import numpy as np

from crnn._typing import Array, IntArray
from crnn.kernels import contracts
from crnn.kernels.constraints import Constraints
from crnn.kernels.constraints import check as check_constraints


def all_finite(values: Array) -> bool:
    """Return whether a vector (n,) is free of NaN and infinities."""
    contracts.check("all_finite", locals())
    return bool(np.isfinite(values).all())


def global_norm(values: Array) -> float:
    """Return the Euclidean norm of a vector (n,), summed in float64."""
    contracts.check("global_norm", locals())
    squared = float(np.sum(np.square(values, dtype=np.float64)))
    largest = float(np.abs(values).max())
    if 1e-280 < squared < np.inf or largest == 0 or not np.isfinite(largest):
        return float(np.sqrt(squared))
    # Squares of large or small float64 values leave its range: measure in units of the largest.
    return largest * float(np.sqrt(np.sum(np.square(values / largest, dtype=np.float64))))


def clip_norm(values: Array, max_norm: float) -> float:
    """Scale a vector (n,) in place so that its norm is at most `max_norm`.

    Returns
    -------
    float
        The norm before. If it is not finite, the vector is left as it is.
    """
    contracts.check("clip_norm", locals())
    norm = global_norm(values)
    if max_norm < norm < np.inf:
        values *= values.dtype.type(max_norm / norm)
    return norm


def clip_value(values: Array, limit: float) -> None:
    """Bring each element of a vector (n,) in place between -limit and limit. NaN stays."""
    contracts.check("clip_value", locals())
    real_limit = values.dtype.type(limit)
    np.clip(values, -real_limit, real_limit, out=values)


def clip(values: Array, max_norm: float | None, max_value: float | None) -> float:
    """Limit a vector's norm and, after that, its elements in place; return the norm before."""
    norm = global_norm(values) if max_norm is None else clip_norm(values, max_norm)
    if max_value is not None:
        clip_value(values, max_value)
    return norm


def sgd_step(
    theta: Array,
    dtheta: Array,
    velocity: Array | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    steps: IntArray | None,
    constraints: Constraints | None,
) -> bool:
    """Take one step of stochastic gradient descent in place, or none at all.

    With g = dtheta + weight_decay theta and momentum mu: v = mu v + g; theta -= lr v, or
    lr (g + mu v) for Nesterov's form (Sutskever et al. 2013, in the arrangement that PyTorch uses).
    Without momentum: theta -= lr g.

    Parameters
    ----------
    theta, dtheta : array (n,)
        Parameters and their gradient.
    velocity : array (n,) or None
        The optimizer's memory; may be None where momentum is 0.
    lr, momentum : float
    nesterov : bool
    weight_decay : float
    steps : array (1,) of intp or None
        How many steps have been taken; this step adds one. The count stays where an exception
        such as Ctrl-C's comes right after this call, and what the call returns is lost.
    constraints : Constraints or None
        The new parameters are brought within them.

    Returns
    -------
    bool
        Whether all new numbers are finite. If not, nothing has changed.
    """
    contracts.check("sgd_step", locals())
    real = theta.dtype.type
    if momentum != 0 and velocity is None:
        raise ValueError(contracts.VELOCITY_MISSING)
    changes = []
    with np.errstate(all="ignore"):
        step = dtheta + real(weight_decay) * theta
        if momentum != 0 and velocity is not None:
            new_velocity = real(momentum) * velocity + step
            step = step + real(momentum) * new_velocity if nesterov else new_velocity
            changes.append((velocity, new_velocity))
        changes.append((theta, theta - real(lr) * step))
    return _replace(changes, steps, lr, constraints)


def rmsprop_step(
    theta: Array,
    dtheta: Array,
    square: Array,
    velocity: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
    steps: IntArray | None,
    constraints: Constraints | None,
) -> bool:
    """Take one step of RMSprop in place, or none at all (Tieleman and Hinton 2012, lecture 6.5).

    With g = dtheta + weight_decay theta: s = alpha s + (1 - alpha) g^2 and u = g / (sqrt(s) + eps);
    theta -= lr u, or with momentum mu v = mu v + u and theta -= lr v.

    Parameters
    ----------
    theta, dtheta : array (n,)
        Parameters and their gradient.
    square, velocity : array (n,)
        The optimizer's memory, s and v; velocity may be None where momentum is 0.
    lr, alpha, eps, momentum, weight_decay : float
    steps : array (1,) of intp or None
    constraints : Constraints or None
        As in `sgd_step`.

    Returns
    -------
    bool
        Whether all new numbers are finite. If not, nothing has changed.
    """
    contracts.check("rmsprop_step", locals())
    real = theta.dtype.type
    if momentum != 0 and velocity is None:
        raise ValueError(contracts.VELOCITY_MISSING)
    with np.errstate(all="ignore"):
        gradient = dtheta + real(weight_decay) * theta
        new_square = real(alpha) * square + (1 - real(alpha)) * gradient * gradient
        step = gradient / (np.sqrt(new_square) + real(eps))
        changes = [(square, new_square)]
        if momentum != 0 and velocity is not None:
            step = real(momentum) * velocity + step
            changes.append((velocity, step))
        changes.append((theta, theta - real(lr) * step))
    return _replace(changes, steps, lr, constraints)


def adam_step(
    theta: Array,
    dtheta: Array,
    mean: Array,
    square: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    steps: IntArray | None,
    constraints: Constraints | None,
) -> bool:
    """Take one step of Adam in place, or none at all (Kingma and Ba 2015, algorithm 1).

    m += (1 - beta1) (g - m); s = beta2 s + (1 - beta2) g^2; with both corrected for their start at
    zero, theta -= lr m / (sqrt(s) + eps). Weight decay is part of g = dtheta + weight_decay theta
    or, decoupled, theta -= lr weight_decay theta before (Loshchilov and Hutter 2019).

    Parameters
    ----------
    theta, dtheta : array (n,)
        Parameters and their gradient.
    mean, square : array (n,)
        The optimizer's memory, m and s.
    step : int
        The number of this step, from 1.
    lr, beta1, beta2, eps, weight_decay : float
    decoupled : bool
    steps : array (1,) of intp or None
    constraints : Constraints or None
        As in `sgd_step`.

    Returns
    -------
    bool
        Whether all new numbers are finite. If not, nothing has changed.
    """
    contracts.check("adam_step", locals())
    real = theta.dtype.type
    with np.errstate(all="ignore"):
        rate = real(lr / (1 - beta1**step))
        unbias = real(1 / math.sqrt(1 - beta2**step))
        decay = real(1 - lr * weight_decay if decoupled else 1)
        gradient = dtheta + real(0 if decoupled else weight_decay) * theta
        new_mean = mean + (1 - real(beta1)) * (gradient - mean)
        new_square = real(beta2) * square + (1 - real(beta2)) * gradient * gradient
        new_theta = decay * theta - rate * new_mean / (np.sqrt(new_square) * unbias + real(eps))
    changes = [(mean, new_mean), (square, new_square), (theta, new_theta)]
    return _replace(changes, steps, lr, constraints)


def constrain(values: Array, constraints: Constraints | None) -> None:
    """Bring parameters (n,) in place within constraints; a penalty l1 is for steps alone."""
    contracts.check("constrain", locals())
    check_constraints(constraints, values)
    values[...] = _constrained(values, constraints, 0.0)


def _constrained(theta: Array, constraints: Constraints | None, shrinkage: float) -> Array:
    """Return parameters within constraints; strengths of l1 count `shrinkage` times."""
    new = theta.copy()
    if constraints is None:
        return new
    if constraints.l1 is not None and shrinkage > 0:
        # An infinite factor times a strength of 0 would be NaN.
        amount = theta.dtype.type(min(shrinkage, np.finfo(theta.dtype).max)) * constraints.l1
        new = np.where(new > amount, new - amount, np.where(new < -amount, new + amount, 0))
    if constraints.lower is not None and constraints.upper is not None:
        new = np.minimum(np.maximum(new, constraints.lower), constraints.upper)
    if constraints.groups is not None and constraints.norms is not None:
        for group, limit in zip(constraints.groups.tolist(), constraints.norms, strict=True):
            start, vectors, step, length, stride = group
            for first in range(vectors):
                places = start + first * step + np.arange(length) * stride
                new[places] = _of_limited_norm(new[places], float(limit))
    return new


def _of_limited_norm(values: Array, limit: float) -> Array:
    """Return a vector scaled down to this norm, where its own is larger."""
    largest = float(np.abs(values).max())
    if largest == 0:
        return values
    units = values.astype(np.float64) / largest  # whose squares stay within range
    total = math.sqrt(float(units @ units))
    return units * (limit / total) if largest * total > limit else values


def _replace(
    changes: list[tuple[Array, Any]],
    steps: IntArray | None,
    lr: float,
    constraints: Constraints | None,
) -> bool:
    """Write an optimizer's new memory and parameters, all or none; return whether it was all.

    A step does this last, after the end of `np.errstate`, which needs memory and may fail.

    Parameters
    ----------
    changes : list of (array, array)
        What changes, and its new values; the parameters last.
    steps : array (1,) of intp or None
        The number of steps taken; one is added.
    lr : float
    constraints : Constraints or None
        The parameters are brought within them.
    """
    theta, new_theta = changes[-1]
    check_constraints(constraints, theta)
    if not all(np.isfinite(new).all() for _, new in changes):
        return False
    with np.errstate(all="ignore"):
        changes[-1] = theta, _constrained(new_theta, constraints, lr)
    if steps is not None:
        changes.append((steps, steps + 1))
    old = [array.copy() for array, _ in changes]
    try:
        for array, new in changes:
            array[...] = new
        return True
    except BaseException:
        # Ctrl-C between two of them: the step is whole or it is not.
        for (array, _), before in zip(changes, old, strict=True):
            array[...] = before
        raise
