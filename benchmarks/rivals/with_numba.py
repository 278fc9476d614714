"""Hand-written Numba, everything of a step in one compiled call.

One sequence alone runs through loops written for it. A batch takes the fastest of loops on one
core, loops on all cores, and BLAS.
"""

import functools

import numba
import numpy as np

from benchmarks.rivals import Problem, numba_batch, numba_blas, numba_sequence
from benchmarks.timing import fastest

# As the compiled functions take them: x W_xh_T and h W_hh_T go along the rows of these.
KEPT = {"W_xh": "W_xh_T", "W_hh": "W_hh_T", "b_h": "b_h", "W_hy": "W_hy", "b_y": "b_y"}


def _arrays(problem: Problem) -> dict[str, np.ndarray]:
    p = problem.params
    found = {kept: p[name].T if kept != name else p[name] for name, kept in KEPT.items()}
    return {name: np.array(array, order="C") for name, array in found.items()}


def _weights(problem: Problem) -> list[np.ndarray]:
    """Return W_xh_T, W_hh_T, b_h, W_hy, W_hy_T, b_y."""
    found = _arrays(problem)
    *before, W_hy, b_y = found.values()
    return [*before, W_hy, np.ascontiguousarray(W_hy.T), b_y]


def _time_major(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(0, 1))


def _shards(problem: Problem) -> int:
    return min(numba.get_num_threads(), problem.cell.B)


class _Train:
    def __init__(self, problem: Problem) -> None:
        self._arrays = _arrays(problem)
        self._real = problem.dtype.type
        self.lr = 0.0
        if problem.cell.B == 1:
            x, y = problem.x[0], problem.y[0]
            self._train = functools.partial(numba_sequence.train, x, y)
            return
        x, y = map(_time_major, (problem.x, problem.y))
        shards = _shards(problem)
        serial, parallel = numba_batch.train
        forms = [
            lambda *rest: serial(x, y, *rest, 1),
            lambda *rest: parallel(x, y, *rest, shards),
            lambda *rest: numba_blas.train(x, y, *rest),
        ]
        jobs = {functools.partial(self._run, form): form for form in forms}
        self._train = jobs[fastest(*jobs)]

    def _run(self, train) -> None:
        train(*self._arrays.values(), self._real(self.lr))

    def __call__(self) -> None:
        self._run(self._train)

    def parameters(self) -> dict[str, np.ndarray]:
        return {
            name: self._arrays[kept].T.copy() if kept != name else self._arrays[kept].copy()
            for name, kept in KEPT.items()
        }


def train_step(problem: Problem) -> _Train:
    return _Train(problem)


def inference(problem: Problem):
    weights = _weights(problem)
    if problem.cell.B == 1:
        return lambda: numba_sequence.predict(problem.x[0], *weights)[None]
    x, shards = _time_major(problem.x), _shards(problem)
    serial, parallel = numba_batch.predict
    return fastest(
        lambda: serial(x, *weights, 1),
        lambda: parallel(x, *weights, shards),
        lambda: numba_blas.predict(x, *weights),
    )


def streaming_step(problem: Problem):
    weights = _weights(problem)
    _, B, _, H, O = problem.cell
    y = np.empty((B, O), problem.dtype)
    if B == 1:
        states = np.zeros((2, H), problem.dtype)

        def step_alone(x_t):
            numba_sequence.step(x_t, states, *weights, y)
            return y

        return step_alone
    h, h_next = np.zeros((2, B, H), problem.dtype)
    shards = _shards(problem)
    serial, parallel = numba_batch.step
    forms = [
        lambda x, *states: serial(x, states[0], *weights, states[1], y, 1),
        lambda x, *states: parallel(x, states[0], *weights, states[1], y, shards),
        lambda x, *states: numba_blas.step(x, states[0], *weights, states[1], y),
    ]
    x_0 = problem.x[:, 0].copy()
    jobs = {functools.partial(form, x_0, h, h_next): form for form in forms}
    form = jobs[fastest(*jobs)]

    def step(x_t):
        nonlocal h, h_next
        form(x_t, h, h_next)
        h, h_next = h_next, h
        return y

    return step
