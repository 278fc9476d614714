# cython: language_level=3, boundscheck=False, freethreading_compatible=True
"""Train networks in a loop of Cython without the GIL, of the pieces in `crnn.kernels.views`.

Build with the setup.py beside this file, crnn, Cython, setuptools and a C compiler installed:

    python setup.py build_ext --inplace
    python -c "import training; training.main()"

It trains two networks, once in this loop and once by crnn's own `fit`, and prints their losses:

    one unit, two steps    the smallest network that has a gradient through time
    sunspots               an LSTM that predicts the next year's number
"""

from crnn.kernels cimport views
from crnn.kernels.views cimport real

import copy

import numpy as np

import crnn
import crnn.datasets

# By the name of a network's cell: the cell, and how many blocks of hidden units h and gates have
CELLS = {
    "tanh": (views.TANH_CELL, 1, 0),
    "relu": (views.RELU_CELL, 1, 0),
    "gru": (views.GRU_CELL, 1, 4),
    "gru_reset_before": (views.GRU_RESET_BEFORE_CELL, 1, 4),
    "lstm": (views.LSTM_CELL, 2, 4),
}


def parts(flat, params):
    """The parts of a flat vector by name, in the shapes of the parameters."""
    ends = np.cumsum([values.size for values in params.values()])
    pieces = zip(params.items(), np.split(flat, ends[:-1]))
    return {name: piece.reshape(values.shape) for (name, values), piece in pieces}


def train(net, const real[:, :, ::1] x, const real[:, :, ::1] y, Py_ssize_t epochs, double lr,
          double momentum, double max_norm, bint is_mean=True):
    """Train a network of one layer with an output layer on one batch; return all losses.

    x (batch, time, inputs) and y (batch, time, outputs) have the dtype of the network.
    """
    cdef int cell, error = 0
    cdef Py_ssize_t epoch, B = x.shape[0], T = x.shape[1], I = x.shape[2], O = y.shape[2]
    cdef Py_ssize_t H = net.hidden_size
    cdef double norm
    cell, state_blocks, gate_blocks = CELLS[net.architecture.cell]
    dtype = net.flat_params.dtype

    # Memory for everything, once. The parameters are the network's own.
    params = net.params
    cdef real[::1] theta = net.flat_params
    cdef real[:, ::1] W_xh = params["W_xh"], W_hh = params["W_hh"], W_hy = params["W_hy"]
    cdef real[::1] b_h = params["b_h"], b_y = params["b_y"]
    flat = np.zeros_like(net.flat_params)
    grads = parts(flat, params)
    cdef real[::1] dtheta = flat, velocity = np.zeros_like(flat)
    cdef real[:, ::1] dW_xh = grads["W_xh"], dW_hh = grads["W_hh"], dW_hy = grads["W_hy"]
    cdef real[::1] db_h = grads["b_h"], db_y = grads["b_y"]
    cdef real[:, :, ::1] h = np.zeros((B, T + 1, state_blocks * H), dtype)
    cdef real[:, :, ::1] gates = np.empty((B, T, gate_blocks * H), dtype)
    cdef real[:, :, ::1] y_hat = np.empty((B, T, O), dtype), dy = np.empty((B, T, O), dtype)
    cdef real[:, :, ::1] dh = np.empty((B, T, H), dtype), da = np.empty((B, T, len(b_h)), dtype)
    cdef real[:, :, ::1] dx = None
    cdef real[:, ::1] dstate = np.empty((B, state_blocks * H), dtype)
    cdef real[::1] workspace = np.empty(
        max(0, views.workspace_size(cell, T, B, I, H, O, sizeof(real))), dtype)
    losses = np.zeros(epochs)
    cdef double[::1] loss = losses

    with nogil:
        for epoch in range(epochs):
            dtheta[:] = 0  # the gradients are added to it
            dstate[:, :] = 0
            error = (
                views.hidden_update(cell, x, W_xh, W_hh, b_h, h, gates, workspace)
                or views.output_layer(cell, h, W_hy, b_y, y_hat, workspace)
                or (views.mse(y_hat, y, dy, &loss[epoch]) if is_mean
                    else views.sse(y_hat, y, dy, &loss[epoch]))
                or views.bptt(cell, x, h, gates, W_xh, W_hh, W_hy, dy, dh, da, dstate, dW_xh, dW_hh,
                              db_h, dW_hy, db_y, dx, workspace)
                or views.clip_norm(dtheta, max_norm, &norm)
                or views.sgd_step(theta, dtheta, velocity, lr, momentum, False, 0)
            )
            if error:
                break
    if error == views.NOT_FINITE:
        raise FloatingPointError(f"epoch {epoch}: the gradient or a parameter is not finite")
    if error:
        raise ValueError("x, y: expected arrays that fit the network")
    return losses


def one_unit():
    """A network, x, y and settings."""
    net = crnn.RNN(1, 1, 1, dtype="float64")
    for name, value in {"W_xh": 0.875, "W_hh": -0.625, "b_h": 0.125, "W_hy": 1.5,
                        "b_y": -0.25}.items():
        net.params[name][...] = value
    x, y = np.array([[[0.5], [-1.25]]]), np.array([[[0.75], [-0.5]]])
    return net, x, y, {"epochs": 30, "lr": 0.125, "momentum": 0.0, "max_norm": np.inf}


def sunspots(dtype="float64"):
    """A network, x, y and settings: each year's number of sunspots, in hundreds, from the last."""
    _, numbers = crnn.datasets.sunspots()
    series = (numbers / 100).astype(dtype).reshape(1, -1, 1)
    net = crnn.LSTM(1, 16, 1, dtype=dtype, seed=0)
    x, y = series[:, :-1].copy(), series[:, 1:].copy()
    return net, x, y, {"epochs": 300, "lr": 0.1, "momentum": 0.9, "max_norm": 1.0}


def fitted(net, x, y, epochs, lr, momentum, max_norm, loss="mse"):
    """The losses of crnn's own training."""
    clip_norm = max_norm if np.isfinite(max_norm) else None
    history = net.fit(x, y, epochs=epochs, optimizer=crnn.SGD(lr, momentum=momentum), loss=loss,
                      clip_norm=clip_norm, shuffle=False, progress=False)
    return np.array(history.loss)


def main():
    for name, (net, x, y, settings), loss in (
        ("one unit, two steps", one_unit(), "sse"),
        ("sunspots", sunspots(), "mse"),
        ("sunspots, float32", sunspots("float32"), "mse"),
    ):
        twin = copy.deepcopy(net)
        losses = train(net, x, y, is_mean=loss == "mse", **settings)
        others = fitted(twin, x, y, loss=loss, **settings)
        difference = np.abs(losses - others).max()
        print(f"{name}: {loss} {losses[0]:.3g} before, {net.loss(x, y, loss):.3g} after; "
              f"fit {twin.loss(x, y, loss):.3g}; losses differ by {difference:.1g}")
