"""crnn's jobs."""

import functools

import crnn
from benchmarks.speed.jobs import TIMED_LR
from benchmarks.speed.shapes import Shape, data, network


def job(operation: str, kind: str, shape: Shape):
    """Return the job, and its outputs or the updates of the weights by a step with rate 1."""
    net = network(kind, shape)
    x, y, lengths = data(shape)
    if operation == "inference":
        predict = functools.partial(net.predict, x, lengths=lengths)
        return predict, {"y": predict()}
    sgd = crnn.SGD(1.0)
    step = functools.partial(net.train_step, x, y, sgd, lengths=lengths)
    before = {name: values.copy() for name, values in net.params.items()}
    step()
    # PyTorch's biases of hidden units are others.
    updates = {
        name: values - before[name]
        for name, values in net.params.items()
        if not name.startswith("b_h")
    }
    sgd.lr = TIMED_LR
    return step, updates
