"""crnn, with its compiled kernels unless another implementation is named."""

import functools

import numpy as np

import crnn
from benchmarks.speed.rivals import NAMES, Problem


def _net(problem: Problem, implementation: str) -> crnn.RNN | crnn.GRU | crnn.LSTM:
    _, _, I, H, O = problem.sizes
    family = getattr(crnn, problem.kind)
    net = family(I, H, O, dtype=problem.dtype, implementation=implementation)
    for name in NAMES:
        net.params[name][...] = problem.params[name]
    return net


class _Train:
    def __init__(self, problem: Problem, net: crnn.RNN | crnn.GRU | crnn.LSTM) -> None:
        self._net, self._sgd = net, crnn.SGD(0.0)
        self._step = functools.partial(net.train_step, problem.x, problem.y, self._sgd)

    @property
    def lr(self) -> float:
        return self._sgd.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._sgd.lr = value

    def __call__(self) -> object:
        return self._step()

    def parameters(self) -> dict[str, np.ndarray]:
        return {name: self._net.params[name].copy() for name in NAMES}


def train_step(problem: Problem, implementation: str = "native") -> _Train:
    return _Train(problem, _net(problem, implementation))


def inference(problem: Problem, implementation: str = "native"):
    return functools.partial(_net(problem, implementation).predict, problem.x)


def streaming_step(problem: Problem, implementation: str = "native"):
    stream = _net(problem, implementation).stream(problem.sizes.B)
    y = np.empty((problem.sizes.B, problem.sizes.O), problem.dtype)
    return functools.partial(stream.step, out=y)
