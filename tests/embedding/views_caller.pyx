# cython: language_level=3, freethreading_compatible=True
"""A Cython extension that calls `crnn.kernels.views`, with the checks of indices left on."""

from crnn.kernels cimport views
from crnn.kernels.views cimport real

CODES = {"OK": views.OK, "WRONG_VALUE": views.WRONG_VALUE, "WRONG_SIZES": views.WRONG_SIZES,
         "NOT_FINITE": views.NOT_FINITE}
CELLS = {"tanh": views.TANH_CELL, "relu": views.RELU_CELL, "gru": views.GRU_CELL,
         "gru_reset_before": views.GRU_RESET_BEFORE_CELL, "lstm": views.LSTM_CELL}


def workspace_size(int cell, T, B, I, H, O, itemsize):
    return views.workspace_size(cell, T, B, I, H, O, itemsize)


def hidden_update(int cell, const real[:, :, ::1] x, const real[:, ::1] W_xh,
                  const real[:, ::1] W_hh, const real[::1] b_h, real[:, :, ::1] h,
                  real[:, :, ::1] gates, real[::1] workspace):
    cdef int error
    with nogil:
        error = views.hidden_update(cell, x, W_xh, W_hh, b_h, h, gates, workspace)
    return error


def output_layer(int cell, const real[:, :, ::1] h, const real[:, ::1] W_hy, const real[::1] b_y,
                 real[:, :, ::1] y, real[::1] workspace):
    cdef int error
    with nogil:
        error = views.output_layer(cell, h, W_hy, b_y, y, workspace)
    return error


def bptt(int cell, const real[:, :, ::1] x, const real[:, :, ::1] h, const real[:, :, ::1] gates,
         const real[:, ::1] W_xh, const real[:, ::1] W_hh, const real[:, ::1] W_hy,
         const real[:, :, ::1] dy, real[:, :, ::1] dh, real[:, :, ::1] da, real[:, ::1] dstate,
         real[:, ::1] dW_xh, real[:, ::1] dW_hh, real[::1] db_h, real[:, ::1] dW_hy,
         real[::1] db_y, real[:, :, ::1] dx, real[::1] workspace):
    cdef int error
    with nogil:
        error = views.bptt(cell, x, h, gates, W_xh, W_hh, W_hy, dy, dh, da, dstate, dW_xh, dW_hh,
                           db_h, dW_hy, db_y, dx, workspace)
    return error


def mse(const real[:, :, ::1] y_hat, const real[:, :, ::1] y, real[:, :, ::1] dy):
    cdef double loss = -1
    cdef int error
    with nogil:
        error = views.mse(y_hat, y, dy, &loss)
    return error, loss


def sse(const real[:, :, ::1] y_hat, const real[:, :, ::1] y, real[:, :, ::1] dy):
    cdef double loss = -1
    cdef int error
    with nogil:
        error = views.sse(y_hat, y, dy, &loss)
    return error, loss


def clip_norm(real[::1] values, double max_norm):
    cdef double norm = -1
    cdef int error
    with nogil:
        error = views.clip_norm(values, max_norm, &norm)
    return error, norm


def sgd_step(real[::1] theta, const real[::1] dtheta, real[::1] velocity, double lr,
             double momentum, bint nesterov, double weight_decay):
    cdef int error
    with nogil:
        error = views.sgd_step(theta, dtheta, velocity, lr, momentum, nesterov, weight_decay)
    return error
