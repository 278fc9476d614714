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


def of_classes(smoothing, class_weights=(1, 1, 1, 1)):
    """The loss of a step over the weight of its class."""

    def of_step(p, c):
        total = 0.0
        for k, v in enumerate(class_weights):
            share = smoothing / 4 + (1 - smoothing) * (k == c)
            total -= share * v * math.log(math.exp(p[k]) / sum(map(math.exp, p)))
        return total / class_weights[c]

    return of_step


# Each loss with the loss of a step written out.
FORMULAS = {
    "mse": (MSE(), of_outputs(lambda p, q: (p - q) ** 2)),
    "sse": (SSE(), lambda p, q: sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 2),
    "cross_entropy": (
        CrossEntropy(),
        of_classes(0),
    ),
    "binary_cross_entropy": (
        BinaryCrossEntropy(),
        of_outputs(lambda z, q: -q * math.log(sigmoid(z)) - (1 - q) * math.log(1 - sigmoid(z))),
    ),
    "huber": (Huber(), huber(1.0)),
    "huber of delta": (Huber(delta=0.3), huber(0.3)),
    "class weights": (CrossEntropy(class_weight=[0.2, 3, 1, 0.7]), of_classes(0)),
    "class weights by class": (CrossEntropy(class_weight={1: 3, 0: 0.2}), of_classes(0)),
    "label smoothing": (CrossEntropy(label_smoothing=0.3), of_classes(0.3)),
    "class weights, label smoothing": (
        CrossEntropy([0.2, 3, 1, 0.7], label_smoothing=0.3),
        of_classes(0.3, [0.2, 3, 1, 0.7]),
    ),
}
# What multiplies the weight of a step, by case and class
CLASS_WEIGHTS_OF = {
    "class weights": [0.2, 3, 1, 0.7],
    "class weights by class": [0.2, 3, 1, 1],
    "class weights, label smoothing": [0.2, 3, 1, 0.7],
}


TAKES_CLASSES = {name for name, (loss, _) in FORMULAS.items() if isinstance(loss, CrossEntropy)}


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


class Cauchy:
    """A user's loss, sum of log(1 + e^2): robust, and of no base class."""

    def __init__(self):
        self.weighted = []

    def value(self, y_hat, y, weights=None):
        self.weighted.append(weights is not None)
        of_steps = np.log1p((y_hat - y) ** 2).sum(axis=-1)
        return np.average(of_steps, weights=weights)

    def gradient(self, y_hat, y, weights=None):
        self.weighted.append(weights is not None)
        w = np.ones(y_hat.shape[:-1]) if weights is None else weights
        e = y_hat - y
        return 2 * e / (1 + e**2) * (w / w.sum())[..., None]
