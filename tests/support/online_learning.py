"""Real-time recurrent learning in plain Python, from the equations of the cells alone.

A number of class `Dual` carries its derivatives with respect to all parameters, by the rules for
sums, products and functions of one number. The state of a step is made of such numbers, and goes
into the next: what they carry is what a learner's sensitivities are. Nothing here knows of arrays
or of this package. Parameters are dictionaries of lists, in the order of the flat vector.
"""

import math


class Dual:
    """A number and its derivatives with respect to all parameters."""

    def __init__(self, value, derivatives):
        self.value, self.derivatives = value, derivatives

    def __add__(self, other):
        if not isinstance(other, Dual):
            return Dual(self.value + other, self.derivatives)
        both = zip(self.derivatives, other.derivatives, strict=True)
        return Dual(self.value + other.value, [a + b for a, b in both])

    def __mul__(self, other):
        if not isinstance(other, Dual):
            return Dual(self.value * other, [a * other for a in self.derivatives])
        both = zip(self.derivatives, other.derivatives, strict=True)
        return Dual(self.value * other.value, [a * other.value + self.value * b for a, b in both])

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def through(self, value, slope):
        """A function of the number, given by its value and its slope there."""
        return Dual(value, [slope * a for a in self.derivatives])


def tanh(a):
    value = math.tanh(a.value)
    return a.through(value, 1 - value * value)


def relu(a):
    return a.through(max(a.value, 0.0), 1.0 if a.value > 0 else 0.0)


def sigmoid(a):
    value = 1 / (1 + math.exp(-a.value))
    return a.through(value, value * (1 - value))


def exp(a):
    return a.through(math.exp(a.value), math.exp(a.value))


def log(a):
    return a.through(math.log(a.value), 1 / a.value)


def product(row, numbers):
    """The sum of w * v over a row of weights."""
    total = row[0] * numbers[0]
    for w, v in zip(row[1:], numbers[1:], strict=True):
        total = total + w * v
    return total


def linear(theta, x, h, block, of_x="W_xh", of_h="W_hh"):
    """W_xg x + W_hg h + b_g of a block of H rows."""
    H = len(h)
    return [
        product(theta[of_x][k], x) + product(theta[of_h][k], h) + theta["b_h"][k]
        for k in range(block * H, (block + 1) * H)
    ]


def plain_cell(function):
    def step(theta, x, state):
        (h,) = state
        return ([function(a) for a in linear(theta, x, h, 0)],)

    return step


def gru_cell(theta, x, state):
    (h,) = state
    H = len(h)
    r, z = ([sigmoid(a) for a in linear(theta, x, h, block)] for block in (0, 1))
    new = []
    for k in range(H):
        of_x = product(theta["W_xh"][2 * H + k], x) + theta["b_h"][2 * H + k]
        q = product(theta["W_hh"][2 * H + k], h) + theta["b_h"][3 * H + k]
        n = tanh(of_x + r[k] * q)
        new.append((1 - z[k]) * n + z[k] * h[k])
    return (new,)


def gru_reset_before_cell(theta, x, state):
    (h,) = state
    r, z = ([sigmoid(a) for a in linear(theta, x, h, block)] for block in (0, 1))
    q = [r_k * h_k for r_k, h_k in zip(r, h, strict=True)]
    n = [tanh(a) for a in linear(theta, x, q, 2)]
    return ([(1 - z[k]) * n[k] + z[k] * h[k] for k in range(len(h))],)


def lstm_cell(theta, x, state):
    h, c = state
    i, f, g, o = (
        [function(a) for a in linear(theta, x, h, block)]
        for block, function in enumerate((sigmoid, sigmoid, tanh, sigmoid))
    )
    c = [f[k] * c[k] + i[k] * g[k] for k in range(len(c))]
    return [o[k] * tanh(c[k]) for k in range(len(c))], c


CELLS = {
    "tanh": plain_cell(tanh),
    "relu": plain_cell(relu),
    "gru": gru_cell,
    "gru_reset_before": gru_reset_before_cell,
    "lstm": lstm_cell,
}


def squared_errors(y_hat, y):
    return sum((a - b) * (a - b) for a, b in zip(y_hat, y, strict=True))


def cross_entropy(y_hat, y):
    return log(sum(exp(a) for a in y_hat)) - y_hat[y]


def binary_cross_entropy(y_hat, y):
    terms = (
        -q * log(sigmoid(a)) - (1 - q) * log(sigmoid(-a)) for a, q in zip(y_hat, y, strict=True)
    )
    return sum(terms) * (1 / len(y))


def huber(y_hat, y, delta=0.3):
    total = 0.0
    for error in (a - b for a, b in zip(y_hat, y, strict=True)):
        size = error if error.value > 0 else -error
        total = total + (error * error * 0.5 if size.value <= delta else (size - delta / 2) * delta)
    return total * (1 / len(y))


# By name: the loss of a step of one sequence, and whether that of a batch is their mean
LOSSES = {
    "mse": (lambda y_hat, y: squared_errors(y_hat, y) * (1 / len(y)), True),
    "sse": (lambda y_hat, y: squared_errors(y_hat, y) * 0.5, False),
    "cross_entropy": (cross_entropy, True),
    "binary_cross_entropy": (binary_cross_entropy, True),
    "huber": (huber, True),
}


class SGD:
    """SGD with momentum, on lists."""

    def __init__(self, lr, momentum=0.0):
        self.lr, self.momentum, self.velocity = lr, momentum, None

    def step(self, theta, gradient):
        before = self.velocity or [0.0] * len(theta)
        self.velocity = [self.momentum * v + g for v, g in zip(before, gradient, strict=True)]
        return [p - self.lr * v for p, v in zip(theta, self.velocity, strict=True)]


class Adam:
    """Adam by its algorithm 1, on lists."""

    def __init__(self, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.betas, self.eps = lr, (beta1, beta2), eps
        self.count, self.mean, self.square = 0, None, None

    def step(self, theta, gradient):
        (beta1, beta2), zeros = self.betas, [0.0] * len(theta)
        self.count += 1
        self.mean = [
            beta1 * m + (1 - beta1) * g for m, g in zip(self.mean or zeros, gradient, strict=True)
        ]
        self.square = [
            beta2 * s + (1 - beta2) * g * g
            for s, g in zip(self.square or zeros, gradient, strict=True)
        ]
        new = []
        for p, m, s in zip(theta, self.mean, self.square, strict=True):
            m, s = m / (1 - beta1**self.count), s / (1 - beta2**self.count)
            new.append(p - self.lr * m / (math.sqrt(s) + self.eps))
        return new


class PlainLearner:
    """A learner of B sequences.

    Parameters
    ----------
    cell : str
    params : dict
        Lists of numbers, or lists of such, by parameter name, in the order of the flat vector.
    batch, hidden_size : int
    loss : str
    optimizer : SGD or Adam
    clip_norm, clip_value : float or None
    """

    def __init__(
        self, cell, params, batch, hidden_size, loss, optimizer, clip_norm=None, clip_value=None
    ):
        self.cell, self.loss, self.optimizer = cell, loss, optimizer
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.shapes = {
            name: (len(values), len(values[0])) if isinstance(values[0], list) else (len(values),)
            for name, values in params.items()
        }
        rows = [row for values in params.values() for row in values]
        self.theta = [p for row in rows for p in (row if isinstance(row, list) else [row])]
        blocks = 2 if cell == "lstm" else 1
        zero = Dual(0.0, [0.0] * len(self.theta))
        self.states = [tuple([zero] * hidden_size for _ in range(blocks)) for _ in range(batch)]

    def duals(self):
        """The parameters by name, each of which is its own derivative."""
        numbers = iter(
            [
                Dual(p, [float(i == j) for j in range(len(self.theta))])
                for i, p in enumerate(self.theta)
            ]
        )
        return {
            name: [
                [next(numbers) for _ in range(shape[1])] if len(shape) > 1 else next(numbers)
                for _ in range(shape[0])
            ]
            for name, shape in self.shapes.items()
        }

    def step(self, x, y):
        """Give the outputs, the loss and the gradient's norm; learn from y unless it is None."""
        theta, outputs = self.duals(), []
        self.states = [
            CELLS[self.cell](theta, x_b, state) for x_b, state in zip(x, self.states, strict=True)
        ]
        for h, *_ in self.states:
            if "W_hy" in theta:
                outputs.append(
                    [
                        product(row, h) + b
                        for row, b in zip(theta["W_hy"], theta["b_y"], strict=True)
                    ]
                )
            else:
                outputs.append(h)
        values = [[number.value for number in row] for row in outputs]
        if y is None:
            return values, None, None
        of_step, is_mean = LOSSES[self.loss]
        loss = sum(of_step(y_hat, y_b) for y_hat, y_b in zip(outputs, y, strict=True))
        if is_mean:
            loss = loss * (1 / len(outputs))
        gradient = loss.derivatives
        norm = math.sqrt(sum(g * g for g in gradient))
        if self.clip_norm is not None and norm > self.clip_norm:
            gradient = [g * self.clip_norm / norm for g in gradient]
        if self.clip_value is not None:
            gradient = [max(-self.clip_value, min(self.clip_value, g)) for g in gradient]
        self.theta = self.optimizer.step(self.theta, gradient)
        return values, loss.value, norm
