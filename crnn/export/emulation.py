"""The arithmetic of the header, operation by operation, in NumPy.

NumPy rounds every sum and product, so these are the bits of the header compiled with contraction
off. `c/float.h` and `c/double.h` say what the constants are.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn.export.layout import ChainLayout, DenseLayout, Layer, Layout, Weights

__all__ = ["exp", "run", "sigmoid", "tanh"]

Array = npt.NDArray[Any]


def _select_below(magnitude: Array, limit: float, yes: Array, no: Array) -> Array:
    """Return `yes` where the magnitude is below the limit, elsewhere and for NaN `no`."""
    return np.where(magnitude < magnitude.dtype.type(limit), yes, no)


def _at_most(magnitude: Array, limit: float) -> Array:
    """Return the smaller one; NaN passes."""
    bound = magnitude.dtype.type(limit)
    return np.where(magnitude > bound, bound, magnitude)


def _power_float(shifted: Array) -> Array:
    return (shifted.view(np.uint32) << np.uint32(23)).view(np.float32)


def _exp_tail(r: Array, rr: Array) -> Array:
    f = np.float32
    tail = f(8.368717e-3) * r + f(4.166839e-2)
    tail = f(1.3814599e-3) * rr + tail
    return tail * rr + (f(1.6666521e-1) * r + f(4.9999994e-1))


def _tanh_float(x: Array) -> Array:
    f = np.float32
    a = _at_most(np.abs(x), 9.1)
    z = a * a
    near = f(1.643758e-2) * z - f(5.2671812e-2)
    near = near * z + f(1.3320725e-1)
    near = near * z - f(3.3332947e-1)
    near = near * z * a + a
    shifted = a * f(2.8853901) + f(12583039.0)
    n = shifted - f(12583039.0)
    power = _power_float(shifted)
    r = (a + a) - n * f(0.693147182)
    rr = r * r
    total = power * rr * _exp_tail(r, rr) + (power * r + (power + f(1)))
    far = f(1) - f(2) / total
    return np.copysign(_select_below(a, 0.55, near, far), x)


def _sigmoid_float(x: Array) -> Array:
    f = np.float32
    t = np.copysign(_at_most(np.abs(x), 87), x)
    shifted = t * f(-1.44269502) + f(12583039.0)
    n = shifted - f(12583039.0)
    power = _power_float(shifted)
    r = t + n * f(0.693359375) + n * f(-2.12194442e-4)
    rr = r * r
    result: Array = f(1) / (power * (rr * _exp_tail(-r, rr) - r) + (power + f(1)))
    return result


def _exp_float(x: Array) -> Array:
    f = np.float32
    t = np.copysign(_at_most(np.abs(x), 87), x)
    shifted = t * f(1.44269502) + f(12583039.0)
    n = shifted - f(12583039.0)
    power = _power_float(shifted)
    r = t - n * f(0.693359375) - n * f(-2.12194442e-4)
    rr = r * r
    result: Array = power * (rr * _exp_tail(r, rr) + r) + power
    return result


def _reduced(t: Array) -> tuple[Array, Array]:
    """Return r and the power of e^t = power e^r."""
    shifted = t * 1.4426950408889634 + 6755399441056767.0
    n = shifted - 6755399441056767.0
    power = (shifted.view(np.uint64) << np.uint64(52)).view(np.float64)
    return t - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6, power


def _exp_rational(r: Array) -> tuple[Array, Array]:
    """Return P and Q of e^r = (Q + P) / (Q - P)."""
    rr = r * r
    P = 1.26177193074810590878e-4 * rr + 3.02994407707441961300e-2
    P = (P * rr + 9.99999999999999999910e-1) * r
    Q = 3.00198505138664455042e-6 * rr + 2.52448340349684104192e-3
    Q = Q * rr + 2.27265548208155028766e-1
    return P, Q * rr + 2


def _tanh_double(x: Array) -> Array:
    a = _at_most(np.abs(x), 19.1)
    z = a * a
    r, power = _reduced(a + a)
    P, Q = _exp_rational(r)
    numerator = -2 * (Q - P)
    denominator = power * (Q + P) + (Q - P)
    near_P = -9.64399179425052238628e-1 * z - 9.92877231001918586564e1
    near_P = near_P * z - 1.61468768441708447952e3
    near_Q = z + 1.12811678491632931402e2
    near_Q = near_Q * z + 2.23548839060100448583e3
    near_Q = near_Q * z + 4.84406305325125486048e3
    base = _select_below(a, 0.625, a, np.ones_like(a))
    numerator = _select_below(a, 0.625, near_P * z * a, numerator)
    denominator = _select_below(a, 0.625, near_Q, denominator)
    return np.copysign(base + numerator / denominator, x)


def _sigmoid_double(x: Array) -> Array:
    r, power = _reduced(-np.copysign(_at_most(np.abs(x), 700), x))
    P, Q = _exp_rational(r)
    result: Array = (Q - P) / (power * (Q + P) + (Q - P))
    return result


def _exp_double(x: Array) -> Array:
    r, power = _reduced(np.copysign(_at_most(np.abs(x), 700), x))
    P, Q = _exp_rational(r)
    result: Array = power * ((Q + P) / (Q - P))
    return result


def exp(x: Array) -> Array:
    """Return e^x as the header computes it."""
    return _exp_float(x) if x.dtype == np.float32 else _exp_double(x)


def tanh(x: Array) -> Array:
    """Return tanh as the header computes it."""
    return _tanh_float(x) if x.dtype == np.float32 else _tanh_double(x)


def sigmoid(x: Array) -> Array:
    """Return the sigmoid as the header computes it."""
    return _sigmoid_float(x) if x.dtype == np.float32 else _sigmoid_double(x)


def _relu(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(0), x)


def _add(sums: Array, W: Weights, x: Array) -> Array:
    """Return sums (B, rows) and the products of W with x, added one by one.

    x is (B, n), or (B,) category numbers, of which the header reads a column of W each.
    """
    total = sums if W.scales is None else np.zeros_like(sums)
    if x.ndim == 1:
        total = total + W.values.T[x]
    else:
        for column, value in zip(W.values.T, x.T, strict=True):
            total = total + column * value[:, None]
    return total if W.scales is None else sums + W.scales * total


def _step(cell: str, layer: Layer, x: Array, state: dict[str, Array]) -> dict[str, Array]:
    """Return the state of a layer after a step."""
    h = state["h"]
    sums = [np.repeat(b[None], len(x), axis=0) for b in layer.b]
    for number, W in enumerate(layer.W_x):
        sums[number] = _add(sums[number], W, x)
    for number, W in enumerate(layer.W_h, layer.h_start):
        sums[number] = _add(sums[number], W, h)
    if cell == "lstm":
        i, f, g, o = sigmoid(sums[0]), sigmoid(sums[1]), tanh(sums[2]), sigmoid(sums[3])
        c = f * state["c"] + i * g
        return {"h": o * tanh(c), "c": c}
    if cell in ("gru", "gru_reset_before"):
        r, z = sigmoid(sums[1]), sigmoid(sums[2])
        if cell == "gru":
            new = tanh(sums[0] + r * sums[3])
        else:
            new = tanh(_add(sums[0], layer.W_q[0], r * h))
        return {"h": (1 - z) * new + z * h}
    return {"h": tanh(sums[0]) if cell == "tanh" else _relu(sums[0])}


def _softmax(a: Array) -> Array:
    """Return the softmax of each row (B, O), its sum added up one by one."""
    powers = exp(a - a.max(axis=1, keepdims=True))
    total = np.zeros_like(powers[:, :1])
    for column in range(powers.shape[1]):
        total = total + powers[:, column : column + 1]
    result: Array = powers / total
    return result


_ACTIVATIONS = {"relu": _relu, "tanh": tanh, "sigmoid": sigmoid, "softmax": _softmax}


class _Network:
    """A network in the middle of B sequences."""

    def __init__(self, layout: Layout, B: int) -> None:
        self._layout = layout
        architecture = layout.architecture
        zeros = np.zeros((architecture.num_layers, architecture.hidden_size), layout.dtype)
        self._states = [
            {
                name: np.repeat(layout.first_states.get(name, zeros)[number][None], B, axis=0)
                for name in layout.states
            }
            for number in range(architecture.num_layers)
        ]

    def step(self, x: Array) -> Array:
        """Return the outputs (B, O) of a step."""
        layout = self._layout
        for number, layer in enumerate(layout.layers):
            self._states[number] = _step(layout.architecture.cell, layer, x, self._states[number])
            x = self._states[number]["h"]
        if layout.W_hy is not None and layout.b_y is not None:
            x = _add(np.repeat(layout.b_y[None], len(x), axis=0), layout.W_hy, x)
        return x


class _Dense:
    """A dense layer."""

    def __init__(self, layout: DenseLayout) -> None:
        self._layout = layout

    def step(self, x: Array) -> Array:
        """Return the outputs (B, O) of a step."""
        layout = self._layout
        y = _add(np.repeat(layout.b[None], len(x), axis=0), layout.W, x)
        return _ACTIVATIONS[layout.activation](y) if layout.activation else y


def run(layout: Layout | ChainLayout, x: Array) -> Array:
    """Return the outputs of all steps.

    Parameters
    ----------
    layout : Layout or ChainLayout
    x : array (B, T, I) of the network's dtype, or (B, T) of category numbers

    Returns
    -------
    array (B, T, O)
    """
    parts = [
        _Dense(part) if isinstance(part, DenseLayout) else _Network(part, len(x))
        for part in (layout.parts if isinstance(layout, ChainLayout) else [layout])
    ]
    y = np.empty((*x.shape[:2], layout.outputs), layout.dtype)
    with np.errstate(all="ignore"):
        for t in range(x.shape[1]):
            values = x[:, t]
            for part in parts:
                values = part.step(values)
            y[:, t] = values
    return y
