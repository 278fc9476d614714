"""Hand-written Numba: loops or BLAS for one sequence, BLAS for a batch.

Each job is one compiled call. For one sequence the faster of the two forms runs.
"""

import numba
import numpy as np

from benchmarks.speed.rivals import NAMES, Problem
from benchmarks.speed.timing import fastest

compiled = numba.njit(fastmath=True, error_model="numpy")


@compiled
def forward_loops(x, W_xh_T, W_hh_T, b_h, h):
    """x (T, I), h (T+1, H)."""
    T, I = x.shape
    H = len(b_h)
    z = np.empty_like(b_h)
    for t in range(T):
        z[:] = b_h
        for i in range(I):
            for j in range(H):
                z[j] += x[t, i] * W_xh_T[i, j]
        for k in range(H):
            for j in range(H):
                z[j] += h[t, k] * W_hh_T[k, j]
        for j in range(H):
            h[t + 1, j] = np.tanh(z[j])


@compiled
def outputs_loops(h, W_hy, b_y, y):
    """h (T+1, H), y (T, O)."""
    T, O = y.shape
    for t in range(T):
        for o in range(O):
            total = b_y[o]
            for k in range(h.shape[1]):
                total += W_hy[o, k] * h[t + 1, k]
            y[t, o] = total


@compiled
def predict_loops(x, W_xh_T, W_hh_T, b_h, W_hy, b_y):
    h = np.zeros((len(x) + 1, len(b_h)), x.dtype)
    y = np.empty((len(x), len(b_y)), x.dtype)
    forward_loops(x, W_xh_T, W_hh_T, b_h, h)
    outputs_loops(h, W_hy, b_y, y)
    return y


@compiled
def train_loops(x, target, W_xh_T, W_hh_T, b_h, W_hy, b_y, lr):
    T, I = x.shape
    H, O = len(b_h), len(b_y)
    h = np.zeros((T + 1, H), x.dtype)
    y = np.empty((T, O), x.dtype)
    forward_loops(x, W_xh_T, W_hh_T, b_h, h)
    outputs_loops(h, W_hy, b_y, y)
    dW_xh_T, dW_hh_T = np.zeros_like(W_xh_T), np.zeros_like(W_hh_T)
    dW_hy, db_h, db_y = np.zeros_like(W_hy), np.zeros_like(b_h), np.zeros_like(b_y)
    da, dh = np.zeros_like(b_h), np.empty_like(b_h)
    W_hh = np.ascontiguousarray(W_hh_T.T)
    scale = x.dtype.type(2 / (T * O))
    loss = x.dtype.type(0)
    for t in range(T - 1, -1, -1):
        dh[:] = 0
        for k in range(H):
            for j in range(H):
                dh[j] += da[k] * W_hh[k, j]
        for o in range(O):
            error = y[t, o] - target[t, o]
            loss += error * error
            dy = scale * error
            db_y[o] += dy
            for j in range(H):
                dh[j] += dy * W_hy[o, j]
                dW_hy[o, j] += dy * h[t + 1, j]
        for j in range(H):
            da[j] = dh[j] * (1 - h[t + 1, j] * h[t + 1, j])
            db_h[j] += da[j]
        for i in range(I):
            for j in range(H):
                dW_xh_T[i, j] += x[t, i] * da[j]
        for k in range(H):
            for j in range(H):
                dW_hh_T[k, j] += h[t, k] * da[j]
    W_xh_T -= lr * dW_xh_T
    W_hh_T -= lr * dW_hh_T
    b_h -= lr * db_h
    W_hy -= lr * dW_hy
    b_y -= lr * db_y
    return loss


@compiled
def states_blas(x, W_xh_T, W_hh_T, b_h):
    """x (T, B, I); returns h (T+1, B, H)."""
    T, B, I = x.shape
    H = len(b_h)
    h = np.zeros((T + 1, B, H), x.dtype)
    z = (np.dot(x.reshape(T * B, I), W_xh_T) + b_h).reshape(T, B, H)
    for t in range(T):
        h[t + 1] = np.tanh(z[t] + np.dot(h[t], W_hh_T))
    return h


@compiled
def predict_blas(x, W_xh_T, W_hh_T, b_h, W_hy_T, b_y):
    T, B, _ = x.shape
    h = states_blas(x, W_xh_T, W_hh_T, b_h)
    y = np.dot(h[1:].reshape(T * B, len(b_h)), W_hy_T) + b_y
    return y.reshape(T, B, len(b_y))


@compiled
def train_blas(x, target, W_xh, W_hh, b_h, W_hy, b_y, lr):
    T, B, I = x.shape
    H, O = len(b_h), len(b_y)
    h = states_blas(x, np.ascontiguousarray(W_xh.T), np.ascontiguousarray(W_hh.T), b_h)
    rows = h[1:].copy().reshape(T * B, H)
    error = np.dot(rows, W_hy.T.copy()) + b_y - target.reshape(T * B, O)
    loss = (error * error).sum()
    dy = error * x.dtype.type(2 / (T * B * O))
    dh = np.dot(dy, W_hy).reshape(T, B, H)
    da = np.empty((T, B, H), x.dtype)
    carried = np.zeros((B, H), x.dtype)
    for t in range(T - 1, -1, -1):
        da[t] = (dh[t] + carried) * (1 - h[t + 1] * h[t + 1])
        carried = np.dot(da[t], W_hh)
    flat = da.reshape(T * B, H)
    dW_hy = np.dot(dy.T.copy(), rows)
    dW_xh = np.dot(flat.T.copy(), x.reshape(T * B, I))
    dW_hh = np.dot(flat.T.copy(), h[:-1].copy().reshape(T * B, H))
    W_hy -= lr * dW_hy
    b_y -= lr * dy.sum(axis=0)
    W_xh -= lr * dW_xh
    W_hh -= lr * dW_hh
    b_h -= lr * flat.sum(axis=0)
    return loss


@compiled
def step_loops(x, h, W_xh_T, W_hh_T, b_h, W_hy, b_y, y):
    """One sequence: x (1, I), h (2, H) with the state in its first row."""
    forward_loops(x, W_xh_T, W_hh_T, b_h, h)
    outputs_loops(h, W_hy, b_y, y)
    h[0] = h[1]
    return y


@compiled
def step_blas(x, h, W_xh_T, W_hh_T, b_h, W_hy_T, b_y):
    h[:] = np.tanh(np.dot(x, W_xh_T) + np.dot(h, W_hh_T) + b_h)
    return np.dot(h, W_hy_T) + b_y


def _arrays(problem: Problem) -> dict[str, np.ndarray]:
    found = {name: problem.params[name].copy() for name in NAMES}
    return found | {f"{n}_T": found[n].T.copy() for n in ("W_xh", "W_hh", "W_hy")}


class _Train:
    def __init__(self, problem: Problem) -> None:
        self.lr = 0.0
        self._real = problem.dtype.type
        self._p = _arrays(problem)
        self._x, self._y = problem.x, problem.y
        self._time_major = [np.ascontiguousarray(a.swapaxes(0, 1)) for a in (self._x, self._y)]
        self._by_loops = False
        if problem.sizes.B == 1:
            self._by_loops = fastest(self._loops, self._blas) == self._loops

    def _loops(self):
        p = self._p
        train_loops(
            self._x[0], self._y[0], p["W_xh_T"], p["W_hh_T"], p["b_h"], p["W_hy"], p["b_y"],
            self._real(self.lr),
        )  # fmt: skip

    def _blas(self):
        train_blas(*self._time_major, *(self._p[name] for name in NAMES), self._real(self.lr))

    def __call__(self) -> None:
        if self._by_loops:
            self._loops()
        else:
            self._blas()

    def parameters(self) -> dict[str, np.ndarray]:
        found = {name: self._p[name].copy() for name in NAMES}
        if self._by_loops:
            found |= {name: self._p[f"{name}_T"].T.copy() for name in ("W_xh", "W_hh")}
        return found


def train_step(problem: Problem) -> _Train:
    return _Train(problem)


def inference(problem: Problem):
    p = _arrays(problem)
    x = np.ascontiguousarray(problem.x.swapaxes(0, 1))

    def blas():
        return predict_blas(x, p["W_xh_T"], p["W_hh_T"], p["b_h"], p["W_hy_T"], p["b_y"])

    def loops():
        return predict_loops(problem.x[0], p["W_xh_T"], p["W_hh_T"], p["b_h"], p["W_hy"], p["b_y"])[
            None
        ]

    return fastest(loops, blas) if problem.sizes.B == 1 else blas


def streaming_step(problem: Problem):
    p = _arrays(problem)
    _, B, _, H, O = problem.sizes
    states, y = np.zeros((2, H), problem.dtype), np.empty((1, O), problem.dtype)
    h = np.zeros((B, H), problem.dtype)

    def loops(x_t):
        return step_loops(x_t, states, p["W_xh_T"], p["W_hh_T"], p["b_h"], p["W_hy"], p["b_y"], y)

    def blas(x_t):
        return step_blas(x_t, h, p["W_xh_T"], p["W_hh_T"], p["b_h"], p["W_hy_T"], p["b_y"])

    return loops if B == 1 else blas
