"""crnn, with either of its implementations."""

import functools

import numpy as np

import crnn
from benchmarks.speed.rivals import NAMES, Problem


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


class Crnn:
    """The jobs of one implementation."""

    def __init__(self, implementation: str) -> None:
        self._implementation = implementation

    def _net(self, problem: Problem) -> crnn.RNN | crnn.GRU | crnn.LSTM:
        _, _, I, H, O = problem.sizes
        family = getattr(crnn, problem.kind)
        net = family(I, H, O, dtype=problem.dtype, implementation=self._implementation)
        for name in NAMES:
            net.params[name][...] = problem.params[name]
        return net

    def train_step(self, problem: Problem) -> _Train:
        return _Train(problem, self._net(problem))

    def inference(self, problem: Problem):
        return functools.partial(self._net(problem).predict, problem.x)

    def streaming_step(self, problem: Problem):
        stream = self._net(problem).stream(problem.sizes.B)
        y = np.empty((problem.sizes.B, problem.sizes.O), problem.dtype)
        return functools.partial(stream.step, out=y)
