"""Numba with its np.dot, SciPy's BLAS on all cores, for every product; the rest in plain loops."""

import numpy as np

from benchmarks.rivals.numba_batch import compiled
from benchmarks.rivals.numba_tanh import tanh


@compiled
def fill_states(x, W_xh_T, W_hh_T, b_h, h):
    """x (T, B, I), h (T+1, B, H) from its first step on."""
    T, B, I = x.shape
    H = len(b_h)
    z = np.dot(x.reshape(T * B, I), W_xh_T).reshape(T, B, H)
    for t in range(T):
        np.dot(h[t], W_hh_T, h[t + 1])
        for b in range(B):
            for j in range(H):
                h[t + 1, b, j] = tanh(h[t + 1, b, j] + z[t, b, j] + b_h[j])


@compiled
def predict(x, W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y):
    """x (T, B, I); returns y (T, B, O)."""
    T, B, _ = x.shape
    H, O = len(b_h), len(b_y)
    h = np.empty((T + 1, B, H), x.dtype)
    h[0] = 0
    fill_states(x, W_xh_T, W_hh_T, b_h, h)
    return (np.dot(h[1:].reshape(T * B, H), W_hy_T) + b_y).reshape(T, B, O)


@compiled
def step(x, h, W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y, h_next, y):
    """x (B, I), h and h_next (B, H), y (B, O)."""
    B, H = h.shape
    z = np.dot(x, W_xh_T)
    np.dot(h, W_hh_T, h_next)
    for b in range(B):
        for j in range(H):
            h_next[b, j] = tanh(h_next[b, j] + z[b, j] + b_h[j])
    np.dot(h_next, W_hy_T, y)
    y += b_y


@compiled
def train(x, target, W_xh_T, W_hh_T, b_h, W_hy, b_y, lr):
    """x (T, B, I), target (T, B, O)."""
    T, B, I = x.shape
    H, O = len(b_h), len(b_y)
    n = T * B
    h = np.empty((T + 1, B, H), x.dtype)
    h[0] = 0
    fill_states(x, W_xh_T, W_hh_T, b_h, h)
    states = h[1:].reshape(n, H)
    dy = np.dot(states, W_hy.T)
    targets = target.reshape(n, O)
    scale = x.dtype.type(2 / (n * O))
    loss = x.dtype.type(0)
    db_y, db_h = np.zeros_like(b_y), np.zeros_like(b_h)
    for r in range(n):
        for o in range(O):
            error = dy[r, o] + b_y[o] - targets[r, o]
            loss += error * error
            dy[r, o] = scale * error
            db_y[o] += scale * error
    da = np.dot(dy, W_hy).reshape(T, B, H)
    W_hh = np.ascontiguousarray(W_hh_T.T)
    carried = np.zeros((B, H), x.dtype)
    for t in range(T - 1, -1, -1):
        for b in range(B):
            for j in range(H):
                s = h[t + 1, b, j]
                da[t, b, j] = (da[t, b, j] + carried[b, j]) * (1 - s * s)
                db_h[j] += da[t, b, j]
        if t:
            np.dot(da[t], W_hh, carried)
    flat = da.reshape(n, H)
    W_xh_T -= lr * np.dot(x.reshape(n, I).T, flat)
    W_hh_T -= lr * np.dot(h[:-1].reshape(n, H).T, flat)
    W_hy -= lr * np.dot(dy.T, states)
    b_h -= lr * db_h
    b_y -= lr * db_y
    return loss / (n * O)
