"""Every kernel in NumPy: the fallback where nothing is compiled, and the oracle of the tests.

Functions on arrays, of one dtype a call (float32 or float64), that keep no state. The compiled
`native` module has the same functions with the same signatures and errors; `contracts` holds the
shapes, and the cells. Sizes are T (time steps), B (sequences), I (inputs), H (hidden units), O
(outputs). At step t, counted from 0:

    x[:, t]       x_t
    h[:, t]       the state the step starts from, h_{t-1} and of an LSTM c_{t-1} after it; h[:, 0]
                  is the first one
    h[:, t + 1]   the state it leaves
    gates[:, t]   what else BPTT needs of the step: of an LSTM i, f, g and o, of a GRU r, z, n and
                  q, which is W_hn h_{t-1} + b_hn, or r h_{t-1} where the reset comes before
    dh[:, t]      dL/dh_t through the outputs of step t
    da[:, t]      the gradient towards the step's sums, blocks of H in the order of b_h; without
                  gates it overwrites dh[:, t]

Blocks of H rows in W_xh, W_hh and b_h follow PyTorch's order: i, f, g, o of an LSTM; r, z, n of a
GRU, and in b_h last b_hn, unless the reset comes before.

Numbers that leave the range of the dtype become infinite without a warning: whoever trains looks
at the loss and the gradient norm.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from crnn.kernels import cells, contracts, streams

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

instruction_set, instruction_set_reason = "NumPy", "which decides by itself"


def set_num_threads(n: int) -> None:
    """Let a call use up to n threads: one in any case here, where NumPy has threads of its own."""


def get_num_threads() -> int:
    """Return how many threads a call may use."""
    return 1


def workspace_size(cell: str, T: int, B: int, I: int, H: int, O: int, dtype: Any) -> int:
    """Return how many scalars of scratch the kernels below need: none in NumPy.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    T, B, I, H, O : int
        Time steps, sequences, inputs, hidden units, outputs.
    dtype : dtype-like
        float32 or float64.
    """
    cells.get_cell(cell)
    cells.float_dtype(dtype)
    return 0


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + e^-a)."""
    # Where e^-a is infinite, its inverse is zero, as it should be.
    return 1 / (1 + np.exp(-a))


def _plain_step(
    f: Callable[..., Array], a: Array, h: Array, W_hh: Array, b_h: Array
) -> tuple[Array, Array]:
    """h_t = f(W_xh x_t + W_hh h_{t-1} + b_h)."""
    return f(a + h @ W_hh.T), a[:, :0]


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _gru_step(
    a: Array, h: Array, W_hh: Array, b_h: Array, *, reset_after: bool
) -> tuple[Array, Array]:
    """h_t = (1 - z) n + z h_{t-1}."""
    H = h.shape[1]
    W_rz, W_hn = W_hh[: 2 * H], W_hh[2 * H :]
    rz = sigmoid(a[:, : 2 * H] + h @ W_rz.T)
    r, z = rz[:, :H], rz[:, H:]
    if reset_after:
        q = h @ W_hn.T + b_h[3 * H :]
        n = np.tanh(a[:, 2 * H :] + r * q)
    else:
        q = r * h
        n = np.tanh(a[:, 2 * H :] + q @ W_hn.T)
    return (1 - z) * n + z * h, np.concatenate([r, z, n, q], axis=1)


def _lstm_step(a: Array, state: Array, W_hh: Array, b_h: Array) -> tuple[Array, Array]:
    """c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)."""
    H = W_hh.shape[1]
    h, c = state[:, :H], state[:, H:]
    i, f, g, o = np.split(a + h @ W_hh.T, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * c + i * g
    return np.concatenate([o * np.tanh(c), c], axis=1), np.concatenate([i, f, g, o], axis=1)


# From W_xh x_t + b_h (B, weights * H), the state before, W_hh and b_h: the state after, and the gates
_STEPS: dict[str, Callable[[Array, Array, Array, Array], tuple[Array, Array]]] = {
    "tanh": partial(_plain_step, np.tanh),
    "relu": partial(_plain_step, _relu),
    "gru": partial(_gru_step, reset_after=True),
    "gru_reset_before": partial(_gru_step, reset_after=False),
    "lstm": _lstm_step,
}


def _plain_step_back(
    derivative: Callable[[Array], Array],
    dstate: Array,
    before: Array,
    after: Array,
    gates: Array,
    W_hh: Array,
) -> tuple[Array, Array]:
    da = dstate * derivative(after)
    return da, da @ W_hh


def _tanh_derivative(h: Array) -> Array:
    return 1 - h**2


def _relu_derivative(h: Array) -> Array:
    return (h > 0).astype(h.dtype)


def _gru_step_back(
    dh: Array, h: Array, after: Array, gates: Array, W_hh: Array, *, reset_after: bool
) -> tuple[Array, Array]:
    H = h.shape[1]
    W_rz, W_hn = W_hh[: 2 * H], W_hh[2 * H :]
    r, z, n, q = np.split(gates, 4, axis=1)
    da_n = dh * (1 - z) * (1 - n**2)
    da_z = dh * (h - n) * z * (1 - z)
    if reset_after:
        dr, dq = da_n * q, da_n * r
        through_n = dq @ W_hn
    else:
        dq = da_n @ W_hn
        dr, through_n = dq * h, dq * r
    da_r = dr * r * (1 - r)
    da = np.concatenate([da_r, da_z, da_n, *([dq] if reset_after else [])], axis=1)
    return da, dh * z + through_n + da[:, : 2 * H] @ W_rz


def _lstm_step_back(
    dstate: Array, before: Array, after: Array, gates: Array, W_hh: Array
) -> tuple[Array, Array]:
    H = W_hh.shape[1]
    i, f, g, o = np.split(gates, 4, axis=1)
    dh, tanh_c = dstate[:, :H], np.tanh(after[:, H:])
    dc = dstate[:, H:] + dh * o * (1 - tanh_c**2)
    da = np.concatenate(
        [
            dc * g * i * (1 - i),
            dc * before[:, H:] * f * (1 - f),
            dc * i * (1 - g**2),
            dh * tanh_c * o * (1 - o),
        ],
        axis=1,
    )
    return da, np.concatenate([da @ W_hh, dc * f], axis=1)


# From the gradient towards the state after a step, the states before and after, the gates and
# W_hh: da_t, and the gradient towards the state before
_STEPS_BACK: dict[str, Callable[[Array, Array, Array, Array, Array], tuple[Array, Array]]] = {
    "tanh": partial(_plain_step_back, _tanh_derivative),
    "relu": partial(_plain_step_back, _relu_derivative),
    "gru": partial(_gru_step_back, reset_after=True),
    "gru_reset_before": partial(_gru_step_back, reset_after=False),
    "lstm": _lstm_step_back,
}


def rnn_forward(
    cell: str,
    x: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    h: Array,
    gates: Array | None,
    workspace: Array,
) -> None:
    """Run a layer.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`, which says how many blocks of H the arrays have.
    x : array (B, T, I) or None
        Inputs. None: W_xh x_t + b_h is in the gates already, or without gates in h.
    W_xh : array (weights * H, I)
    W_hh : array (weights * H, H)
    b_h : array (biases * H,)
    h : array (B, T+1, states * H)
        On entry ``h[:, 0]`` holds the first states, and without x and gates ``h[:, t + 1]`` holds
        W_xh x_t + b_h; the states after each step are written.
    gates : array (B, T, gates * H) or None
        Written. Without x, the first weights * H of a step hold W_xh x_t + b_h on entry. None where
        nothing is kept.
    workspace : array (n,)
        Scratch of at least `workspace_size` scalars.
    """
    contracts.check("rnn_forward", locals(), cell)
    step, N = _STEPS[cell], len(W_xh)
    with np.errstate(over="ignore", invalid="ignore"):
        projected = h[:, 1:] if gates is None else gates[..., :N]
        if x is not None:
            projected[...] = x @ W_xh.T + b_h[:N]
        for t in range(h.shape[1] - 1):
            h[:, t + 1], kept = step(projected[:, t], h[:, t], W_hh, b_h)
            if gates is not None:
                gates[:, t] = kept


def rnn_backward(
    cell: str,
    x: Array | None,
    h: Array,
    gates: Array | None,
    W_xh: Array,
    W_hh: Array,
    dh: Array,
    dc: Array | None,
    da: Array | None,
    dW_xh: Array,
    dW_hh: Array,
    db_h: Array,
    dx: Array | None,
    dh0: Array,
    workspace: Array,
) -> None:
    """Backpropagate through time.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I) or None
        Inputs, as given to `rnn_forward`.
    h : array (B, T+1, states * H)
        States, as left by `rnn_forward`.
    gates : array (B, T, gates * H) or None
        As left by `rnn_forward`.
    W_xh : array (weights * H, I)
    W_hh : array (weights * H, H)
    dh : array (B, T, H)
        dL/dh_t through the outputs of step t alone; overwritten by da_t where da is None.
    dc : array (B, T, H) or None
        What reaches the c_t of an LSTM from elsewhere than later steps and h_t; None: nothing.
    da : array (B, T, biases * H) or None
        da_t is written. None where the cell keeps no gates.
    dW_xh : array (weights * H, I)
        The sum over all steps of da_t x_t^T is added; nothing without x.
    dW_hh : array (weights * H, H)
        The sum of da_t h_{t-1}^T is added.
    db_h : array (biases * H,)
        The sum of da_t is added.
    dx : array (B, T, I) or None
        dL/dx_t = W_xh^T da_t is written, where wanted.
    dh0 : array (B, states * H)
        The gradient towards the first states is written.
    workspace : array (n,)
        Scratch of at least `workspace_size` scalars.
    """
    contracts.check("rnn_backward", locals(), cell)
    step_back, N, H = _STEPS_BACK[cell], len(W_xh), W_hh.shape[1]
    kept = h[:, 1:, :0] if gates is None else gates
    da = dh if da is None else da
    with np.errstate(over="ignore", invalid="ignore"):
        # What reaches a state from the step after it
        carried = np.zeros_like(dh0)
        for t in reversed(range(dh.shape[1])):
            carried[:, :H] += dh[:, t]
            if dc is not None:
                carried[:, H:] += dc[:, t]
            da[:, t], carried = step_back(carried, h[:, t], h[:, t + 1], kept[:, t], W_hh)
        dh0[...] = carried
        if x is not None:
            dW_xh += np.tensordot(da[..., :N], x, axes=([0, 1], [0, 1]))
        dW_hh += _recurrent_gradient(cell, da, h[:, :-1, :H], kept)
        db_h += da.sum(axis=(0, 1))
        if dx is not None:
            dx[...] = da[..., :N] @ W_xh


def _recurrent_gradient(cell: str, da: Array, h: Array, gates: Array) -> Array:
    """Return dL/dW_hh of da_t, h_{t-1} and the gates of all steps."""
    H = h.shape[2]
    if not cell.startswith("gru"):
        sums: Array = np.tensordot(da, h, axes=([0, 1], [0, 1]))
        return sums
    dW_rz = np.tensordot(da[..., : 2 * H], h, axes=([0, 1], [0, 1]))
    # The rows of n meet h_{t-1} on their way to q, or q = r h_{t-1} on the way to n.
    read = h if cell == "gru" else gates[..., 3 * H :]
    dW_hn = np.tensordot(da[..., -H:], read, axes=([0, 1], [0, 1]))
    return np.concatenate([dW_rz, dW_hn])


def output_forward(h: Array, W_hy: Array, b_y: Array, y: Array, workspace: Array) -> None:
    """Compute the outputs y_t = W_hy h_t + b_y.

    Parameters
    ----------
    h : array (B, T, H)
        The states h_t, without h_0.
    W_hy : array (O, H)
    b_y : array (O,)
    y : array (B, T, O)
        Written.
    workspace : array (n,)
        Scratch of at least `workspace_size` scalars.
    """
    contracts.check("output_forward", locals())
    with np.errstate(over="ignore", invalid="ignore"):
        y[...] = h @ W_hy.T + b_y


def output_backward(
    h: Array, W_hy: Array, dy: Array, dW_hy: Array, db_y: Array, dh: Array, workspace: Array
) -> None:
    """Backpropagate through the output layer.

    Parameters
    ----------
    h : array (B, T, H)
        The states h_t, without h_0.
    W_hy : array (O, H)
    dy : array (B, T, O)
        dL/dy_t.
    dW_hy : array (O, H)
        The sum over all steps of dy_t h_t^T is added.
    db_y : array (O,)
        The sum of dy_t is added.
    dh : array (B, T, H)
        W_hy^T dy_t, the part of dL/dh_t that comes through y_t, is written.
    workspace : array (n,)
        Scratch of at least `workspace_size` scalars.
    """
    contracts.check("output_backward", locals())
    with np.errstate(over="ignore", invalid="ignore"):
        dW_hy += np.tensordot(dy, h, axes=([0, 1], [0, 1]))
        db_y += dy.sum(axis=(0, 1))
        dh[...] = dy @ W_hy


def gradient_workspace_size(cell: str, T: int, B: int, I: int, H: int, O: int, dtype: Any) -> int:
    """Return how many scalars of scratch `rnn_gradient` needs: none in NumPy."""
    cells.get_cell(cell)
    cells.float_dtype(dtype)
    return 0


def predict_workspace_size(cell: str, T: int, B: int, I: int, H: int, O: int, dtype: Any) -> int:
    """Return how many scalars of scratch `rnn_predict` needs: none in NumPy."""
    cells.get_cell(cell)
    cells.float_dtype(dtype)
    return 0


def rnn_gradient(
    cell: str,
    x: Array,
    y: Array,
    theta: Array,
    dtheta: Array,
    hidden_size: int,
    output_size: int,
    loss: str,
    max_norm: float | None,
    max_value: float | None,
    workspace: Array,
) -> tuple[float, float]:
    """Compute the loss from zero initial states, and its clipped gradient.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I)
        Inputs.
    y : array (B, T, O), or for "cross_entropy" (B, T) of intp
        Targets.
    theta : array (P,)
        The parameters, as `contracts.parameters` lays them out.
    dtheta : array (P,)
        The gradient is written, after clipping.
    hidden_size, output_size : int
        H and O; an output_size of 0 means no output layer, and outputs that are the states.
    loss : {"mse", "sse", "cross_entropy"}
    max_norm, max_value : float or None
        Limits of the gradient's norm and, after that, of its elements.
    workspace : array (n,)
        Scratch of at least `gradient_workspace_size` scalars.

    Returns
    -------
    loss : float
    norm : float
        The gradient's norm before clipping.
    """
    arrays = {"x": x, "y": y, "theta": theta, "dtheta": dtheta, "workspace": workspace}
    kernel = "rnn_gradient of classes" if loss == "cross_entropy" else "rnn_gradient"
    contracts.check(kernel, arrays, cell, hidden_size, output_size)
    of = cells.get_cell(cell)
    B, T, I = x.shape
    shapes = cells.parameter_shapes(cell, I, hidden_size, output_size)
    W, dW = cells.views(theta, shapes), cells.views(dtheta, shapes)
    h = np.zeros((B, T + 1, of.states * hidden_size), theta.dtype)
    gates = da = None
    if of.gates:
        gates = np.empty((B, T, of.gates * hidden_size), theta.dtype)
        da = np.empty((B, T, of.biases * hidden_size), theta.dtype)
    rnn_forward(cell, x, W["W_xh"], W["W_hh"], W["b_h"], h, gates, workspace)
    states = h[:, 1:, :hidden_size]
    y_hat = np.ascontiguousarray(states)
    if output_size:
        y_hat = np.empty((B, T, output_size), theta.dtype)
        output_forward(states, W["W_hy"], W["b_y"], y_hat, workspace)
    dy = np.empty_like(y_hat)
    value = {"mse": mse, "sse": sse, "cross_entropy": cross_entropy}[loss](y_hat, y, dy)
    dtheta[...] = 0
    dh = dy
    if output_size:
        dh = np.empty((B, T, hidden_size), theta.dtype)
        output_backward(states, W["W_hy"], dy, dW["W_hy"], dW["b_y"], dh, workspace)
    rnn_backward(
        cell, x, h, gates, W["W_xh"], W["W_hh"], dh, None, da, dW["W_xh"], dW["W_hh"], dW["b_h"],
        None, np.empty_like(h[:, 0]), workspace,
    )  # fmt: skip
    norm = global_norm(dtheta) if max_norm is None else clip_norm(dtheta, max_norm)
    if max_value is not None:
        clip_value(dtheta, max_value)
    return value, norm


def rnn_predict(
    cell: str,
    x: Array,
    h0: Array | None,
    theta: Array,
    hidden_size: int,
    output_size: int,
    y: Array,
    h_n: Array | None,
    workspace: Array,
) -> None:
    """Compute the outputs, and the last states alone.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I)
        Inputs.
    h0 : array (B, states * H) or None
        The states to start from, or zero.
    theta : array (P,)
        The parameters, as `contracts.parameters` lays them out.
    hidden_size, output_size : int
        H and O; an output_size of 0 means no output layer, and outputs that are the states.
    y : array (B, T, O)
        The outputs are written.
    h_n : array (B, states * H) or None
        The last states are written, where wanted.
    workspace : array (n,)
        Scratch of at least `predict_workspace_size` scalars.
    """
    contracts.check("rnn_predict", locals(), cell, hidden_size, output_size)
    W = cells.views(theta, cells.parameter_shapes(cell, x.shape[2], hidden_size, output_size))
    states = cells.get_cell(cell).states
    h = np.zeros((x.shape[0], states * hidden_size), theta.dtype) if h0 is None else h0
    for t in range(x.shape[1]):
        y[:, t], h = _step(cell, W, np.ascontiguousarray(x[:, t]), h)
    if h_n is not None:
        h_n[...] = h


def _step(cell: str, W: dict[str, Array], x_t: Array, state: Array) -> tuple[Array, Array]:
    """Return the outputs (B, O) and states (B, states * H) of one step.

    A product for all steps at once would be faster, and of other bits than a stream's.
    """
    W_hh = W["W_hh"]
    with np.errstate(over="ignore", invalid="ignore"):
        projected = x_t @ W["W_xh"].T + W["b_h"][: len(W_hh)]
        state, _ = _STEPS[cell](projected, state, W_hh, W["b_h"])
        h_t = state[:, : W_hh.shape[1]]
        return (h_t @ W["W_hy"].T + W["b_y"] if "W_hy" in W else h_t), state


def mse(y_hat: Array, y: Array, dy: Array | None) -> float:
    """Return the mean of (y_hat - y)^2 over everything; its gradient is 2 (y_hat - y) / n.

    Parameters
    ----------
    y_hat, y : array (B, T, O)
        Outputs and targets.
    dy : array (B, T, O) or None
        The gradient towards y_hat is written, where wanted.

    Returns
    -------
    float
        The loss, summed in float64.
    """
    contracts.check("mse", locals())
    return _squared_error(y_hat, y, dy, 2 / y.size) / y.size


def sse(y_hat: Array, y: Array, dy: Array | None) -> float:
    """Return half the sum of (y_hat - y)^2; its gradient is y_hat - y.

    Parameters
    ----------
    y_hat, y : array (B, T, O)
        Outputs and targets.
    dy : array (B, T, O) or None
        The gradient towards y_hat is written, where wanted.

    Returns
    -------
    float
        The loss, summed in float64.
    """
    contracts.check("sse", locals())
    return _squared_error(y_hat, y, dy, 1) / 2


def _squared_error(y_hat: Array, y: Array, dy: Array | None, scale: float) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        difference = y_hat - y
        if dy is not None:
            np.multiply(difference, difference.dtype.type(scale), out=dy)
        return float(np.sum(np.square(difference, dtype=np.float64)))


def cross_entropy(y_hat: Array, y: Array, dy: Array | None) -> float:
    """Return the mean over all steps of -log softmax(y_hat)[y].

    Parameters
    ----------
    y_hat : array (B, T, O)
        Logits, one for each class.
    y : array (B, T) of intp
        Class numbers from 0 to O - 1.
    dy : array (B, T, O) or None
        The gradient (softmax(y_hat) - one_hot(y)) / (B T) is written, where wanted.

    Returns
    -------
    float
        The loss in nats, summed in float64.
    """
    contracts.check("cross_entropy", locals())
    with np.errstate(over="ignore", invalid="ignore"):
        logits = y_hat.astype(np.float64)
        # Shifted by the largest, no exponential overflows.
        logits -= logits.max(axis=-1, keepdims=True)
        exponentials = np.exp(logits)
        normaliser = exponentials.sum(axis=-1, keepdims=True)
        target = np.take_along_axis(logits, y[..., None], axis=-1)
        if dy is not None:
            softmax = exponentials / normaliser
            chosen = np.take_along_axis(softmax, y[..., None], axis=-1)
            np.put_along_axis(softmax, y[..., None], chosen - 1, axis=-1)
            dy[...] = softmax / y.size
        return float(np.mean(np.log(normaliser) - target))


def all_finite(values: Array) -> bool:
    """Return whether a vector (n,) is free of NaN and infinities."""
    contracts.check("all_finite", locals())
    return bool(np.isfinite(values).all())


def global_norm(values: Array) -> float:
    """Return the Euclidean norm of a vector (n,), summed in float64."""
    contracts.check("global_norm", locals())
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squared = float(np.sum(np.square(values, dtype=np.float64)))
        largest = float(np.abs(values).max())
        if 1e-280 < squared < np.inf or largest == 0 or not np.isfinite(largest):
            return float(np.sqrt(squared))
        # Squares of large or small float64 values leave its range: measure in units of the largest.
        return largest * float(np.sqrt(np.sum(np.square(values / largest, dtype=np.float64))))


def clip_norm(values: Array, max_norm: float) -> float:
    """Scale a vector (n,) in place so that its norm is at most `max_norm`.

    Returns
    -------
    float
        The norm before. If it is not finite, the vector is left as it is.
    """
    contracts.check("clip_norm", locals())
    norm = global_norm(values)
    if max_norm < norm < np.inf:
        values *= values.dtype.type(max_norm / norm)
    return norm


def clip_value(values: Array, limit: float) -> None:
    """Bring each element of a vector (n,) in place between -limit and limit. NaN stays."""
    contracts.check("clip_value", locals())
    with np.errstate(over="ignore"):
        real_limit = values.dtype.type(limit)
    np.clip(values, -real_limit, real_limit, out=values)


def sgd_step(
    theta: Array,
    dtheta: Array,
    velocity: Array | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> bool:
    """Take one step of stochastic gradient descent in place, or none at all.

    With g = dtheta + weight_decay theta and momentum mu: v = mu v + g; theta -= lr v, or
    lr (g + mu v) for Nesterov's form (Sutskever et al. 2013, in the arrangement that PyTorch uses).
    Without momentum: theta -= lr g.

    Parameters
    ----------
    theta, dtheta : array (n,)
        Parameters and their gradient.
    velocity : array (n,) or None
        The optimiser's memory; may be None where momentum is 0.
    lr, momentum : float
    nesterov : bool
    weight_decay : float

    Returns
    -------
    bool
        Whether all new parameters are finite. If not, nothing has changed.
    """
    contracts.check("sgd_step", locals())
    real = theta.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = dtheta + real(weight_decay) * theta
        if momentum == 0:
            return _replace({}, theta, theta - real(lr) * gradient)
        if velocity is None:
            raise ValueError(contracts.VELOCITY_MISSING)
        new_velocity = real(momentum) * velocity + gradient
        step = gradient + real(momentum) * new_velocity if nesterov else new_velocity
        new_theta = theta - real(lr) * step
    return _replace({"velocity": (velocity, new_velocity)}, theta, new_theta)


def rmsprop_step(
    theta: Array,
    dtheta: Array,
    square: Array,
    velocity: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
) -> bool:
    """Take one step of RMSprop in place, or none at all (Tieleman and Hinton 2012, lecture 6.5).

    With g = dtheta + weight_decay theta: s = alpha s + (1 - alpha) g^2 and u = g / (sqrt(s) + eps);
    theta -= lr u, or with momentum mu v = mu v + u and theta -= lr v.

    Parameters
    ----------
    theta, dtheta : array (n,)
        Parameters and their gradient.
    square, velocity : array (n,)
        The optimiser's memory, s and v; velocity may be None where momentum is 0.
    lr, alpha, eps, momentum, weight_decay : float

    Returns
    -------
    bool
        Whether all new parameters are finite. If not, nothing has changed.
    """
    contracts.check("rmsprop_step", locals())
    real = theta.dtype.type
    if momentum != 0 and velocity is None:
        raise ValueError(contracts.VELOCITY_MISSING)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        gradient = dtheta + real(weight_decay) * theta
        new_square = real(alpha) * square + (1 - real(alpha)) * gradient * gradient
        step = gradient / (np.sqrt(new_square) + real(eps))
        memory = {"square": (square, new_square)}
        if momentum != 0 and velocity is not None:
            step = real(momentum) * velocity + step
            memory["velocity"] = velocity, step
        new_theta = theta - real(lr) * step
    return _replace(memory, theta, new_theta)


def adam_step(
    theta: Array,
    dtheta: Array,
    mean: Array,
    square: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> bool:
    """Take one step of Adam in place, or none at all (Kingma and Ba 2015, algorithm 1).

    m += (1 - beta1) (g - m); s = beta2 s + (1 - beta2) g^2; with both corrected for their start at
    zero, theta -= lr m / (sqrt(s) + eps). Weight decay is part of g = dtheta + weight_decay theta
    or, decoupled, theta -= lr weight_decay theta before (Loshchilov and Hutter 2019).

    Parameters
    ----------
    theta, dtheta : array (n,)
        Parameters and their gradient.
    mean, square : array (n,)
        The optimiser's memory, m and s.
    step : int
        The number of this step, from 1.
    lr, beta1, beta2, eps, weight_decay : float
    decoupled : bool

    Returns
    -------
    bool
        Whether all new parameters are finite. If not, nothing has changed.
    """
    contracts.check("adam_step", locals())
    real = theta.dtype.type
    rate = real(lr / (1 - beta1**step))
    unbias = real(1 / math.sqrt(1 - beta2**step))
    kept = real(1 - lr * weight_decay if decoupled else 1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        gradient = dtheta + real(0 if decoupled else weight_decay) * theta
        new_mean = mean + (1 - real(beta1)) * (gradient - mean)
        new_square = real(beta2) * square + (1 - real(beta2)) * gradient * gradient
        new_theta = kept * theta - rate * new_mean / (np.sqrt(new_square) * unbias + real(eps))
    return _replace({"mean": (mean, new_mean), "square": (square, new_square)}, theta, new_theta)


def _replace(memory: dict[str, tuple[Array, Array]], theta: Array, new_theta: Array) -> bool:
    """Write an optimiser's new parameters and memory, all or none; return whether it was all."""
    if not np.isfinite(new_theta).all():
        return False
    changes = [(theta, new_theta), *memory.values()]
    old = [array.copy() for array, _ in changes]
    try:
        for array, new in changes:
            array[...] = new
    except BaseException:
        # Ctrl-C between two of them: the step is whole or it is not.
        for (array, _), before in zip(changes, old, strict=True):
            array[...] = before
        raise
    return True


def is_plain(array: Any, like: Array, shape: tuple[int, ...]) -> bool:
    """Return whether the kernels can take an array as it is.

    It has to be a plain C-contiguous ndarray of `like`'s dtype with finite numbers, and of that
    shape, where -1 stands for any size of at least 1.
    """
    return (
        type(array) is np.ndarray
        and array.dtype == like.dtype
        and array.flags.c_contiguous
        and array.flags.aligned
        and array.ndim == len(shape)
        and array.size > 0
        and all(n in (-1, size) for n, size in zip(shape, array.shape, strict=True))
        and bool(np.isfinite(array).all())
    )


class Stream:
    """Sequences whose inputs come one step at a time: a state, and the parameters as they were.

    `RNN.stream` makes them. Outputs have the bits of `RNN.predict` on the same inputs, however
    they are cut into steps and blocks. One thread at a time may use a stream.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    dtype : numpy dtype
    state : array (batch, hidden) or (hidden,); of an LSTM the pair of h and c
        A copy of the last hidden state; may be assigned to.
    """

    def __init__(
        self,
        cell: str,
        theta: Array,
        input_size: int,
        hidden_size: int,
        output_size: int,
        batch_size: int | None,
        convert: Callable[[str, Any, str], Array] | None,
    ) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = output_size or hidden_size
        self.batch_size = batch_size
        self.dtype = theta.dtype
        self._cell = cell
        self._states = cells.get_cell(cell).states
        self._W = cells.views(
            theta.copy(), cells.parameter_shapes(cell, input_size, hidden_size, output_size)
        )
        self._convert = convert
        self._h = np.zeros((batch_size or 1, self._states * hidden_size), theta.dtype)
        self._taken = threading.Lock()

    def step(self, x: Any, out: Array | None = None) -> Array:
        """Read the inputs of one step, move the state on, return the outputs.

        Nothing is allocated where `x` has the network's dtype, and `out` is given.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,)
        out : array (batch, outputs) or (outputs,), optional
            C-contiguous and of the network's dtype; the outputs are written to it. It may be `x`.

        Returns
        -------
        array (batch, outputs) or (outputs,)
            `out`, or a new array.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the state is as before.
        RuntimeError
            Another thread is using this stream.
        """
        x = x if self._convert is None else self._convert("x", x, "inputs")
        y = np.empty((*x.shape[:-1], self.output_size), self.dtype)
        if out is None:
            out = y
        elif not (
            isinstance(out, np.ndarray)
            and (out.dtype, out.shape) == (y.dtype, y.shape)
            and out.flags.carray
        ):
            streams.check_out(out, y)
        with self._alone():
            y, h = _step(self._cell, self._W, x.reshape(-1, self.input_size), self._h)
            out[...] = y.reshape(out.shape)
            self._h = h
        return out

    def run(self, x: Any) -> Array:
        """Read a block of steps, move the state on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the state is as before.
        RuntimeError
            Another thread is using this stream.
        """
        x = x if self._convert is None else self._convert("x", x, "time inputs")
        steps = np.ascontiguousarray(np.moveaxis(x, -2, 0)).reshape(x.shape[-2], -1, x.shape[-1])
        y = np.empty((*x.shape[:-1], self.output_size), self.dtype)
        with self._alone():
            h = self._h
            for t, x_t in enumerate(steps):
                y_t, h = _step(self._cell, self._W, x_t, h)
                y[..., t, :] = y_t.reshape(y[..., t, :].shape)
            self._h = h
        return y

    @property
    def state(self) -> Any:
        """A copy of the last state (batch, hidden) or (hidden,), or a pair; may be assigned to."""
        with self._alone():
            state = self._h[0].copy() if self.batch_size is None else self._h.copy()
        return streams.public_state(state, self.hidden_size)

    @state.setter
    def state(self, value: Any) -> None:
        state = streams.state_from(value, self._states, self._convert)
        state = state.reshape(self._h.shape).copy()
        with self._alone():
            self._h = state

    @state.deleter
    def state(self) -> None:
        raise AttributeError("state: expected an assignment, got a deletion; reset() makes it zero")

    def reset(self) -> None:
        """Make the state zero.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        with self._alone():
            self._h = np.zeros_like(self._h)

    def copy(self) -> "Stream":
        """Return a stream that goes on from the same state, independent of this one.

        Returns
        -------
        Stream

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        twin = object.__new__(Stream)
        with self._alone():
            twin.__dict__.update(self.__dict__, _h=self._h.copy(), _taken=threading.Lock())
        return twin

    def __copy__(self) -> "Stream":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "Stream":
        return self.copy()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(streams.STREAM_PICKLED)

    def __repr__(self) -> str:
        return streams.stream_repr(self)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out."""
        if not self._taken.acquire(blocking=False):
            raise RuntimeError(streams.STREAM_BUSY)
        try:
            yield
        finally:
            self._taken.release()
