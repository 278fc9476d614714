"""The losses of crnn with the loss of a step written out, and examples for them."""

import math

import numpy as np

from crnn.losses import MSE, SSE, BinaryCrossEntropy, CrossEntropy, Huber


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def of_outputs(function):
    """The loss of a step as the mean of those of its outputs."""
    return lambda y_hat, y: sum(map(function, y_hat, y)) / len(y_hat)


def huber(delta):
    def of_output(y_hat, y):
        error = abs(y_hat - y)
        return error**2 / 2 if error <= delta else delta * (error - delta / 2)

    return of_outputs(of_output)


# Each loss with the loss of a step written out.
FORMULAS = {
    "mse": (MSE(), of_outputs(lambda p, q: (p - q) ** 2)),
    "sse": (SSE(), lambda p, q: sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 2),
    "cross_entropy": (
        CrossEntropy(),
        lambda p, c: -math.log(math.exp(p[c]) / sum(map(math.exp, p))),
    ),
    "binary_cross_entropy": (
        BinaryCrossEntropy(),
        of_outputs(lambda z, q: -q * math.log(sigmoid(z)) - (1 - q) * math.log(1 - sigmoid(z))),
    ),
    "huber": (Huber(), huber(1.0)),
    "huber of delta": (Huber(delta=0.3), huber(0.3)),
    "class weights": (
        CrossEntropy(class_weights=[0.2, 3, 1, 0.7]),
        lambda p, c: -math.log(math.exp(p[c]) / sum(map(math.exp, p))),
    ),
}


TAKES_CLASSES = {name for name in FORMULAS if name in ("cross_entropy", "class weights")}


def example(case, shape, dtype="float64"):
    """Outputs, targets and weights of which one is 0, for outputs of this shape."""
    rng = np.random.default_rng(len(case))
    y_hat = 1.5 * rng.standard_normal(shape)
    if case in TAKES_CLASSES:
        y = rng.integers(shape[-1], size=shape[:-1])
    else:
        y = rng.random(shape).astype(dtype)
    weights = rng.uniform(0.1, 3, shape[:-1])
    weights[-1] = 0
    return y_hat.astype(dtype), y, weights
