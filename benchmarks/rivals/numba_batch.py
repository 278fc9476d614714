"""Numba by explicit loops: all rows of a batch on one core, or a shard of them on each.

The products take four rows of the one matrix and four of the other at a time, so that a row of
sums is read and written once for sixteen multiply-adds and not for each. A shard keeps the sum of
its own gradients, and what does not recur comes after the loop over time.
"""

import numba
import numpy as np

from benchmarks.rivals.numba_tanh import tanh

OPTIONS = {"fastmath": True, "error_model": "numpy"}
compiled = numba.njit(**OPTIONS)

# Rows of one block of the weight gradients, so that they stay in the nearest cache.
BLOCK = 128

# So few outputs are sums along a row of W_hy; more go across the lanes.
FEW_OUTPUTS = 8


def _in_both_ways(function):
    """Return it compiled for one core and, its `prange` over shards shared out, for all."""
    return numba.njit(**OPTIONS)(function), numba.njit(parallel=True, **OPTIONS)(function)


@compiled
def add_product(V, W, Z):
    """Z (R, H) += V (R, K) W (K, H)."""
    R, K = V.shape
    H = W.shape[1]
    for r in range(0, R - 3, 4):
        for k in range(0, K - 3, 4):
            a0, a1, a2, a3 = V[r, k], V[r, k + 1], V[r, k + 2], V[r, k + 3]
            b0, b1, b2, b3 = V[r + 1, k], V[r + 1, k + 1], V[r + 1, k + 2], V[r + 1, k + 3]
            c0, c1, c2, c3 = V[r + 2, k], V[r + 2, k + 1], V[r + 2, k + 2], V[r + 2, k + 3]
            d0, d1, d2, d3 = V[r + 3, k], V[r + 3, k + 1], V[r + 3, k + 2], V[r + 3, k + 3]
            for j in range(H):
                w0, w1, w2, w3 = W[k, j], W[k + 1, j], W[k + 2, j], W[k + 3, j]
                Z[r, j] += (a0 * w0 + a1 * w1) + (a2 * w2 + a3 * w3)
                Z[r + 1, j] += (b0 * w0 + b1 * w1) + (b2 * w2 + b3 * w3)
                Z[r + 2, j] += (c0 * w0 + c1 * w1) + (c2 * w2 + c3 * w3)
                Z[r + 3, j] += (d0 * w0 + d1 * w1) + (d2 * w2 + d3 * w3)
        for k in range(K - K % 4, K):
            for j in range(H):
                w = W[k, j]
                Z[r, j] += V[r, k] * w
                Z[r + 1, j] += V[r + 1, k] * w
                Z[r + 2, j] += V[r + 2, k] * w
                Z[r + 3, j] += V[r + 3, k] * w
    for r in range(R - R % 4, R):
        for k in range(0, K - 3, 4):
            a0, a1, a2, a3 = V[r, k], V[r, k + 1], V[r, k + 2], V[r, k + 3]
            for j in range(H):
                Z[r, j] += (a0 * W[k, j] + a1 * W[k + 1, j]) + (a2 * W[k + 2, j] + a3 * W[k + 3, j])
        for k in range(K - K % 4, K):
            for j in range(H):
                Z[r, j] += V[r, k] * W[k, j]


@compiled
def fill_outputs(h, W_hy, W_hy_T, b_y, y):
    """y (R, O) = h (R, H) W_hy^T + b_y."""
    R, O = y.shape
    if O > FEW_OUTPUTS:
        for r in range(R):
            for o in range(O):
                y[r, o] = b_y[o]
        add_product(h, W_hy_T, y)
        return
    for r in range(R):
        for o in range(O):
            total = b_y[o]
            for k in range(h.shape[1]):
                total += W_hy[o, k] * h[r, k]
            y[r, o] = total


@compiled
def next_state(x, h, W_xh_T, W_hh_T, b_h, h_next):
    """x (R, I), h (R, H)."""
    R, H = h.shape
    for r in range(R):
        for j in range(H):
            h_next[r, j] = b_h[j]
    add_product(x, W_xh_T, h_next)
    add_product(h, W_hh_T, h_next)
    for r in range(R):
        for j in range(H):
            h_next[r, j] = tanh(h_next[r, j])


def _predict(x, W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y, shards):
    """x (T, B, I); returns y (T, B, O)."""
    T, B, _ = x.shape
    H = len(b_h)
    y = np.empty((T, B, len(b_y)), x.dtype)
    for shard in numba.prange(shards):
        low, high = B * shard // shards, B * (shard + 1) // shards
        h = np.zeros((2, high - low, H), x.dtype)
        for t in range(T):
            now, following = h[t % 2], h[(t + 1) % 2]
            next_state(x[t, low:high], now, W_xh_T, W_hh_T, b_h, following)
            fill_outputs(following, W_hy, W_hy_T, b_y, y[t, low:high])
    return y


def _step(x, h, W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y, h_next, y, shards):
    """x (B, I), h and h_next (B, H), y (B, O)."""
    B = len(x)
    for shard in numba.prange(shards):
        low, high = B * shard // shards, B * (shard + 1) // shards
        next_state(x[low:high], h[low:high], W_xh_T, W_hh_T, b_h, h_next[low:high])
        fill_outputs(h_next[low:high], W_hy, W_hy_T, b_y, y[low:high])


@compiled
def add_gradient(left, right, dW):
    """dW (L, H) += left (n, L)^T right (n, H)."""
    for start in range(0, len(left), BLOCK):
        add_product(left[start : start + BLOCK].T, right[start : start + BLOCK], dW)


@compiled
def gradients(x, target, W_xh_T, W_hh_T, W_hh, b_h, W_hy, W_hy_T, b_y, scale, sums):
    """One shard, x (T, R, I): add to dW_xh_T, dW_hh_T, db_h, dW_hy, db_y; return the errors^2."""
    dW_xh_T, dW_hh_T, db_h, dW_hy, db_y = sums
    T, R, I = x.shape
    H, O = len(b_h), len(b_y)
    h = np.empty((T + 1, R, H), x.dtype)
    h[0] = 0
    for t in range(T):
        next_state(x[t], h[t], W_xh_T, W_hh_T, b_h, h[t + 1])
    states = h[1:].reshape(T * R, H)
    dy = np.empty((T * R, O), x.dtype)
    fill_outputs(states, W_hy, W_hy_T, b_y, dy)
    loss = x.dtype.type(0)
    for t in range(T):
        for r in range(R):
            for o in range(O):
                error = dy[t * R + r, o] - target[t, r, o]
                loss += error * error
                dy[t * R + r, o] = scale * error
                db_y[o] += scale * error
    da = np.zeros((T * R, H), x.dtype)
    add_product(dy, W_hy, da)
    for t in range(T - 1, -1, -1):
        now = da[t * R : (t + 1) * R]
        if t + 1 < T:
            add_product(da[(t + 1) * R : (t + 2) * R], W_hh, now)
        for r in range(R):
            for j in range(H):
                now[r, j] *= 1 - h[t + 1, r, j] * h[t + 1, r, j]
                db_h[j] += now[r, j]
    add_gradient(dy, states, dW_hy)
    add_gradient(x.reshape(T * R, I), da, dW_xh_T)
    add_gradient(h[:-1].reshape(T * R, H), da, dW_hh_T)
    return loss


def _train(x, target, W_xh_T, W_hh_T, b_h, W_hy, b_y, lr, shards):
    """x (T, B, I), target (T, B, O)."""
    T, B, _ = x.shape
    H, I = len(b_h), len(W_xh_T)
    O = len(b_y)
    W_hh, W_hy_T = np.ascontiguousarray(W_hh_T.T), np.ascontiguousarray(W_hy.T)
    scale = x.dtype.type(2 / (T * B * O))
    dW_xh_T, dW_hh_T = np.zeros((shards, I, H), x.dtype), np.zeros((shards, H, H), x.dtype)
    dW_hy = np.zeros((shards, O, H), x.dtype)
    db_h, db_y = np.zeros((shards, H), x.dtype), np.zeros((shards, O), x.dtype)
    losses = np.zeros(shards, x.dtype)
    for shard in numba.prange(shards):
        low, high = B * shard // shards, B * (shard + 1) // shards
        sums = dW_xh_T[shard], dW_hh_T[shard], db_h[shard], dW_hy[shard], db_y[shard]
        losses[shard] = gradients(
            np.ascontiguousarray(x[:, low:high]), target[:, low:high],
            W_xh_T, W_hh_T, W_hh, b_h, W_hy, W_hy_T, b_y, scale, sums,
        )  # fmt: skip
    for shard in range(shards):
        W_xh_T -= lr * dW_xh_T[shard]
        W_hh_T -= lr * dW_hh_T[shard]
        b_h -= lr * db_h[shard]
        W_hy -= lr * dW_hy[shard]
        b_y -= lr * db_y[shard]
    return losses.sum() / (T * B * O)


predict, step, train = map(_in_both_ways, (_predict, _step, _train))
