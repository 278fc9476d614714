"""Plain Python: lists of floats and the standard library."""

import math

import numpy as np

from benchmarks.speed.rivals import NAMES, Problem, UnsuitedError

# Multiply-adds of a forward pass. Beyond them nobody would use lists.
MOST_WORK = 200_000


def _affine(W, x, b):
    return [sum(map(float.__mul__, row, x), start) for row, start in zip(W, b, strict=True)]


def _transposed(W):
    return [list(column) for column in zip(*W, strict=True)]


class _Network:
    def __init__(self, problem: Problem) -> None:
        T, B, I, H, O = problem.sizes
        if B > 1 or T * H * (I + H + O) > MOST_WORK:
            raise UnsuitedError("lists are for small sizes")
        for name in NAMES:
            setattr(self, name, problem.params[name].astype(float).tolist())
        self.x = problem.x[0].astype(float).tolist()
        self.y = problem.y[0].astype(float).tolist()
        self.lr = 0.0

    def step(self, x, h):
        sums = _affine(self.W_hh, h, _affine(self.W_xh, x, self.b_h))
        return [math.tanh(a) for a in sums]

    def predict(self):
        h, y = [0.0] * len(self.b_h), []
        for x in self.x:
            h = self.step(x, h)
            y.append(_affine(self.W_hy, h, self.b_y))
        return [y]

    def __call__(self):
        H = len(self.b_h)
        states = [[0.0] * H]
        for x in self.x:
            states.append(self.step(x, states[-1]))
        scale = 2 / (len(self.x) * len(self.b_y))
        W_hy_T, W_hh_T = _transposed(self.W_hy), _transposed(self.W_hh)
        dW_xh = [[0.0] * len(row) for row in self.W_xh]
        dW_hh = [[0.0] * H for _ in range(H)]
        dW_hy = [[0.0] * H for _ in self.W_hy]
        db_h, db_y, carried = [0.0] * H, [0.0] * len(self.b_y), [0.0] * H
        for t in reversed(range(len(self.x))):
            h, h_before, x = states[t + 1], states[t], self.x[t]
            y = _affine(self.W_hy, h, self.b_y)
            dy = [scale * (a - b) for a, b in zip(y, self.y[t], strict=True)]
            dh = _affine(W_hy_T, dy, carried)
            da = [d * (1 - s * s) for d, s in zip(dh, h, strict=True)]
            carried = _affine(W_hh_T, da, [0.0] * H)
            for d, row in zip(dy, dW_hy, strict=True):
                row[:] = [w + d * v for w, v in zip(row, h, strict=True)]
            for d, row_x, row_h in zip(da, dW_xh, dW_hh, strict=True):
                row_x[:] = [w + d * v for w, v in zip(row_x, x, strict=True)]
                row_h[:] = [w + d * v for w, v in zip(row_h, h_before, strict=True)]
            db_h = [a + b for a, b in zip(db_h, da, strict=True)]
            db_y = [a + b for a, b in zip(db_y, dy, strict=True)]
        for W, dW in ((self.W_xh, dW_xh), (self.W_hh, dW_hh), (self.W_hy, dW_hy)):
            for row, d_row in zip(W, dW, strict=True):
                row[:] = [w - self.lr * d for w, d in zip(row, d_row, strict=True)]
        self.b_h = [w - self.lr * d for w, d in zip(self.b_h, db_h, strict=True)]
        self.b_y = [w - self.lr * d for w, d in zip(self.b_y, db_y, strict=True)]

    def parameters(self) -> dict[str, np.ndarray]:
        return {name: np.array(getattr(self, name)) for name in NAMES}


def train_step(problem: Problem) -> _Network:
    return _Network(problem)


def inference(problem: Problem):
    return _Network(problem).predict


def streaming_step(problem: Problem):
    network = _Network(problem)
    h = [0.0] * problem.sizes.H

    def step(x_t):
        nonlocal h
        h = network.step(x_t[0].tolist(), h)
        return np.array([_affine(network.W_hy, h, network.b_y)])

    return step
