"""One step of each cell, and its gradient: the recurrence itself.

At step t the arrays of the B sequences hold

    projected      W_xh x_t + b_h, blocks of H; the part of a pre-activation that does not recur
    state          h_{t-1}; for an LSTM h_{t-1} and c_{t-1} side by side
    gates          what the gradient of the step needs beside the states: i, f, g, o for an LSTM;
                   r, z, n, q for a GRU; v for a leaky layer; nothing, an array (B, 0), for tanh and
                   relu
    d...           the gradient of the loss with respect to ..., so dstate dL/dh_t, or for an LSTM
                   dL/dh_t and dL/dc_t side by side
    da             the gradient with respect to the pre-activations, in the order of b_h; after it,
                   where leaks are trained, with respect to the leak of each unit

W_xh, W_hh and b_h are blocks of H rows in PyTorch's order: i, f, g, o for an LSTM; r, z, n for a
GRU, where b_h ends with b_hn unless the reset gate is applied before the product. q of a GRU is
W_hn h_{t-1} + b_hn, or with the reset before the product r h_{t-1}. b_h of a leaky layer ends with
its leaks, one a unit or one for all.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from crnn._typing import Array


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + e^-a)."""
    # Where e^-a overflows to infinity, its inverse is zero, the limit.
    return 1 / (1 + np.exp(-a))


def relu(a: Array) -> Array:
    """Return the larger of a and 0."""
    return np.maximum(a, 0)


def plain_step(
    f: Callable[..., Array], projected: Array, h: Array, W_hh: Array, b_h: Array
) -> tuple[Array, Array]:
    """h_t = f(W_xh x_t + W_hh h_{t-1} + b_h)."""
    return f(projected + h @ W_hh.T), projected[:, :0]


def leaky_step(
    f: Callable[..., Array], projected: Array, h: Array, W_hh: Array, b_h: Array
) -> tuple[Array, Array]:
    """h_t = (1 - a) h_{t-1} + a v, where v = f(W_xh x_t + W_hh h_{t-1} + b_h)."""
    leak = b_h[h.shape[1] :]
    v = f(projected + h @ W_hh.T)
    return (1 - leak) * h + leak * v, v


def gru_step(
    projected: Array, h: Array, W_hh: Array, b_h: Array, *, reset_after: bool
) -> tuple[Array, Array]:
    """h_t = (1 - z) n + z h_{t-1}."""
    H = h.shape[1]
    W_rz, W_hn = W_hh[: 2 * H], W_hh[2 * H :]
    rz = sigmoid(projected[:, : 2 * H] + h @ W_rz.T)
    r, z = rz[:, :H], rz[:, H:]
    if reset_after:
        q = h @ W_hn.T + b_h[3 * H :]
        n = np.tanh(projected[:, 2 * H :] + r * q)
    else:
        q = r * h
        n = np.tanh(projected[:, 2 * H :] + q @ W_hn.T)
    return (1 - z) * n + z * h, np.concatenate([r, z, n, q], axis=1)


def lstm_step(projected: Array, state: Array, W_hh: Array, b_h: Array) -> tuple[Array, Array]:
    """c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)."""
    H = W_hh.shape[1]
    h, c = state[:, :H], state[:, H:]
    i, f, g, o = np.split(projected + h @ W_hh.T, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * c + i * g
    return np.concatenate([o * np.tanh(c), c], axis=1), np.concatenate([i, f, g, o], axis=1)


STEPS: dict[str, Callable[[Array, Array, Array, Array], tuple[Array, Array]]] = {
    "tanh": partial(plain_step, np.tanh),
    "relu": partial(plain_step, relu),
    "gru": partial(gru_step, reset_after=True),
    "gru_reset_before": partial(gru_step, reset_after=False),
    "lstm": lstm_step,
    "leaky_tanh": partial(leaky_step, np.tanh),
    "leaky_relu": partial(leaky_step, relu),
}
"""By kind of cell: step(projected, state, W_hh, b_h) returns the new state and the gates."""


def plain_step_gradient(
    derivative: Callable[[Array], Array],
    dstate: Array,
    before: Array,
    after: Array,
    gates: Array,
    W_hh: Array,
    b_h: Array,
) -> tuple[Array, Array]:
    """da_t = f'(a_t) dh_t;  dh_{t-1} = W_hh^T da_t."""
    da = dstate * derivative(after)
    return da, da @ W_hh


def leaky_step_gradient(
    derivative: Callable[[Array], Array],
    dh: Array,
    before: Array,
    after: Array,
    v: Array,
    W_hh: Array,
    b_h: Array,
) -> tuple[Array, Array]:
    """da_t = f' a dh_t;  d leak = (v - h_{t-1}) dh_t;  dh_{t-1} = (1 - a) dh_t + W_hh^T da_t."""
    leak = b_h[dh.shape[1] :]
    da = dh * leak * derivative(v)
    return np.concatenate([da, dh * (v - before)], axis=1), dh * (1 - leak) + da @ W_hh


def tanh_derivative(h: Array) -> Array:
    """Return the derivative of tanh where its value is h."""
    return 1 - h**2


def relu_derivative(h: Array) -> Array:
    """Return the derivative of relu where its value is h."""
    return (h > 0).astype(h.dtype)


def gru_step_gradient(
    dh: Array, h: Array, after: Array, gates: Array, W_hh: Array, b_h: Array, *, reset_after: bool
) -> tuple[Array, Array]:
    """dh_{t-1} = z dh_t + what comes through n, r and z."""
    H = h.shape[1]
    W_rz, W_hn = W_hh[: 2 * H], W_hh[2 * H :]
    r, z, n, q = np.split(gates, 4, axis=1)
    da_n = dh * (1 - z) * (1 - n**2)
    da_z = dh * (h - n) * z * (1 - z)
    if reset_after:
        dr, dq = da_n * q, da_n * r
        through_n = dq @ W_hn
    else:
        dq = da_n @ W_hn
        dr, through_n = dq * h, dq * r
    da_r = dr * r * (1 - r)
    da = np.concatenate([da_r, da_z, da_n, *([dq] if reset_after else [])], axis=1)
    return da, dh * z + through_n + da[:, : 2 * H] @ W_rz


def lstm_step_gradient(
    dstate: Array, before: Array, after: Array, gates: Array, W_hh: Array, b_h: Array
) -> tuple[Array, Array]:
    """dc_t += o (1 - tanh(c_t)^2) dh_t;  dc_{t-1} = f dc_t;  dh_{t-1} = W_hh^T da_t."""
    H = W_hh.shape[1]
    i, f, g, o = np.split(gates, 4, axis=1)
    dh, tanh_c = dstate[:, :H], np.tanh(after[:, H:])
    dc = dstate[:, H:] + dh * o * (1 - tanh_c**2)
    da = np.concatenate(
        [
            dc * g * i * (1 - i),
            dc * before[:, H:] * f * (1 - f),
            dc * i * (1 - g**2),
            dh * tanh_c * o * (1 - o),
        ],
        axis=1,
    )
    return da, np.concatenate([da @ W_hh, dc * f], axis=1)


StepGradient: TypeAlias = Callable[[Array, Array, Array, Array, Array, Array], tuple[Array, Array]]

STEP_GRADIENTS: dict[str, StepGradient] = {
    "tanh": partial(plain_step_gradient, tanh_derivative),
    "relu": partial(plain_step_gradient, relu_derivative),
    "gru": partial(gru_step_gradient, reset_after=True),
    "gru_reset_before": partial(gru_step_gradient, reset_after=False),
    "lstm": lstm_step_gradient,
    "leaky_tanh": partial(leaky_step_gradient, tanh_derivative),
    "leaky_relu": partial(leaky_step_gradient, relu_derivative),
}
"""By kind of cell: step_gradient(dstate, before, after, gates, W_hh, b_h), with the gradient with
respect to the state after the step and the states before and after it, returns da_t and the
gradient with respect to the state before. That of leaks is in da_t even where they are fixed."""
