"""Numba for one sequence alone: explicit loops over plain vectors, four rows of W at a time.

One row at a time, each sum would wait for the one before it; and a view of a matrix for each step
costs more than the arithmetic of the smallest networks.
"""

import numpy as np

from benchmarks.rivals.numba_batch import add_gradient, compiled, fill_outputs
from benchmarks.rivals.numba_tanh import tanh


@compiled
def fill_states(x, W_xh_T, W_hh_T, b_h, h):
    """x (T, I), h (T+1, H) from its first row on."""
    T, I = x.shape
    H = len(b_h)
    z = np.empty_like(b_h)
    for t in range(T):
        for j in range(H):
            z[j] = b_h[j]
        for i in range(0, I - 3, 4):
            a0, a1, a2, a3 = x[t, i], x[t, i + 1], x[t, i + 2], x[t, i + 3]
            for j in range(H):
                z[j] += (a0 * W_xh_T[i, j] + a1 * W_xh_T[i + 1, j]) + (
                    a2 * W_xh_T[i + 2, j] + a3 * W_xh_T[i + 3, j]
                )
        for i in range(I - I % 4, I):
            for j in range(H):
                z[j] += x[t, i] * W_xh_T[i, j]
        for k in range(0, H - 3, 4):
            a0, a1, a2, a3 = h[t, k], h[t, k + 1], h[t, k + 2], h[t, k + 3]
            for j in range(H):
                z[j] += (a0 * W_hh_T[k, j] + a1 * W_hh_T[k + 1, j]) + (
                    a2 * W_hh_T[k + 2, j] + a3 * W_hh_T[k + 3, j]
                )
        for k in range(H - H % 4, H):
            for j in range(H):
                z[j] += h[t, k] * W_hh_T[k, j]
        for j in range(H):
            h[t + 1, j] = tanh(z[j])


@compiled
def predict(x, W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y):
    """x (T, I); returns y (T, O)."""
    T = len(x)
    h = np.empty((T + 1, len(b_h)), x.dtype)
    h[0] = 0
    y = np.empty((T, len(b_y)), x.dtype)
    fill_states(x, W_xh_T, W_hh_T, b_h, h)
    fill_outputs(h[1:], W_hy, W_hy_T, b_y, y)
    return y


@compiled
def step(x, h, W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y, y):
    """x (1, I), h (2, H) with the state in its first row, y (1, O)."""
    fill_states(x, W_xh_T, W_hh_T, b_h, h)
    fill_outputs(h[1:], W_hy, W_hy_T, b_y, y)
    h[0] = h[1]


@compiled
def train(x, target, W_xh_T, W_hh_T, b_h, W_hy, b_y, lr):
    """x (T, I), target (T, O)."""
    T = len(x)
    H, O = len(b_h), len(b_y)
    h = np.empty((T + 1, H), x.dtype)
    h[0] = 0
    fill_states(x, W_xh_T, W_hh_T, b_h, h)
    dy = np.empty((T, O), x.dtype)
    fill_outputs(h[1:], W_hy, W_hy.T, b_y, dy)
    scale = x.dtype.type(2 / (T * O))
    loss = x.dtype.type(0)
    db_y = np.zeros_like(b_y)
    for t in range(T):
        for o in range(O):
            error = dy[t, o] - target[t, o]
            loss += error * error
            dy[t, o] = scale * error
            db_y[o] += scale * error
    W_hh = np.ascontiguousarray(W_hh_T.T)
    da = np.empty((T + 1, H), x.dtype)
    da[T] = 0
    dh, db_h = np.empty_like(b_h), np.zeros_like(b_h)
    for t in range(T - 1, -1, -1):
        for j in range(H):
            dh[j] = 0
        for o in range(O):
            for j in range(H):
                dh[j] += dy[t, o] * W_hy[o, j]
        for k in range(0, H - 3, 4):
            a0, a1, a2, a3 = da[t + 1, k], da[t + 1, k + 1], da[t + 1, k + 2], da[t + 1, k + 3]
            for j in range(H):
                dh[j] += (a0 * W_hh[k, j] + a1 * W_hh[k + 1, j]) + (
                    a2 * W_hh[k + 2, j] + a3 * W_hh[k + 3, j]
                )
        for k in range(H - H % 4, H):
            for j in range(H):
                dh[j] += da[t + 1, k] * W_hh[k, j]
        for j in range(H):
            da[t, j] = dh[j] * (1 - h[t + 1, j] * h[t + 1, j])
            db_h[j] += da[t, j]
    dW_xh_T, dW_hh_T, dW_hy = np.zeros_like(W_xh_T), np.zeros_like(W_hh_T), np.zeros_like(W_hy)
    add_gradient(x, da[:T], dW_xh_T)
    add_gradient(h[:T], da[:T], dW_hh_T)
    add_gradient(dy, h[1:], dW_hy)
    W_xh_T -= lr * dW_xh_T
    W_hh_T -= lr * dW_hh_T
    b_h -= lr * db_h
    W_hy -= lr * dW_hy
    b_y -= lr * db_y
    return loss / (T * O)
