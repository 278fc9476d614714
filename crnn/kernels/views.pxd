# The pieces of a pass and of training over typed memoryviews, for loops in Cython without the GIL:
#
#     from crnn.kernels cimport views
#
# T are time steps, B sequences, I inputs, H hidden units and O outputs of a layer. A cell is one of
# the numbers below. Its arrays have so many blocks of H:
#
#                              weights    biases    states    gates
#     TANH_CELL, RELU_CELL        1          1         1        0
#     GRU_CELL                    3          4         1        4
#     GRU_RESET_BEFORE_CELL       3          3         1        4
#     LSTM_CELL                   4          4         2        4
#
# Parameters are laid out as those of a network, so that `net.params["W_xh"]` can be passed.
#
# Every function is for float and for double, which may not be mixed in a call. It needs no GIL,
# allocates nothing, and works in the calling thread alone. Any number of threads may call, each
# with arrays of its own to write to.
#
# It returns OK or one of these numbers of crnn.h, in which case it has changed nothing:
#
#     WRONG_SIZES    a shape does not fit the others, a size is 0, or the workspace is too short
#     WRONG_VALUE    no such cell, or a setting is out of its range
#     NOT_FINITE     a norm or a new parameter; `clip_norm` and `sgd_step` alone look at numbers
#
# Where an argument may be absent, None and every array without elements are. Declare a view that is
# None before the block without the GIL:  cdef float[:, :, ::1] gates = None
#
# What a function writes must not overlap its other arguments, which is not checked. What it only
# reads may be const. `workspace` is scratch memory of at least `workspace_size` scalars; it holds
# nothing between calls.

cimport cython

from crnn.kernels.cells cimport (
    GRU_CELL, GRU_RESET_BEFORE_CELL, LSTM_CELL, RELU_CELL, TANH_CELL,
)
from crnn.kernels.native cimport (
    View, view_bptt, view_clip_norm, view_hidden_update, view_loss, view_output_layer,
    view_sgd_step, view_workspace_size,
)

ctypedef fused real:
    float
    double

cdef enum:
    OK = 0
    WRONG_VALUE = -3
    WRONG_SIZES = -4
    NOT_FINITE = -5


cdef inline View view_of(const void* data, const Py_ssize_t* shape, int ndim) noexcept nogil:
    cdef View view
    view.data, view.shape[0] = <void*> data, shape[0]
    view.shape[1] = shape[1] if ndim > 1 else 1
    view.shape[2] = shape[2] if ndim > 2 else 1
    return view


# The address of a first element may be that of none: it is not read here. Decorators of functions
# in a .pxd have no effect.

cdef inline View vector(const real[::1] a) noexcept nogil:
    with cython.boundscheck(False):
        return view_of(&a[0], a.shape, 1)


cdef inline View matrix(const real[:, ::1] a) noexcept nogil:
    with cython.boundscheck(False):
        return view_of(&a[0, 0], a.shape, 2)


cdef inline View sequences(const real[:, :, ::1] a) noexcept nogil:
    with cython.boundscheck(False):
        return view_of(&a[0, 0, 0], a.shape, 3)


cdef inline Py_ssize_t workspace_size(int cell, Py_ssize_t T, Py_ssize_t B, Py_ssize_t I,
                                      Py_ssize_t H, Py_ssize_t O, size_t itemsize) noexcept nogil:
    """How many scalars of workspace serve every function here.

    O may be 0: there is no output layer. itemsize is sizeof(float) or sizeof(double). What is
    wrong gives a number below zero, WRONG_SIZES or WRONG_VALUE.
    """
    return view_workspace_size(cell, T, B, I, H, O, itemsize)


cdef inline int hidden_update(
    int cell, const real[:, :, ::1] x, const real[:, ::1] W_xh, const real[:, ::1] W_hh,
    const real[::1] b_h, real[:, :, ::1] h, real[:, :, ::1] gates, real[::1] workspace
) noexcept nogil:
    """Run a layer over all steps.

        x       (B, T, I)
        W_xh    (weights*H, I)
        W_hh    (weights*H, H)
        b_h     (biases*H,)
        h       (B, T+1, states*H)  h[:, 0] is read: the first states. The states after step t are
                                    written to h[:, t+1]
        gates   (B, T, gates*H)     written; absent for cells without gates
    """
    return view_hidden_update(cell, sequences(x), matrix(W_xh), matrix(W_hh), vector(b_h),
                              sequences(h), sequences(gates), vector(workspace), sizeof(real))


cdef inline int output_layer(
    int cell, const real[:, :, ::1] h, const real[:, ::1] W_hy, const real[::1] b_y,
    real[:, :, ::1] y, real[::1] workspace
) noexcept nogil:
    """y_t = W_hy h_t + b_y.

        h       (B, T+1, states*H)  as `hidden_update` leaves it
        W_hy    (O, H)
        b_y     (O,)
        y       (B, T, O)           written
    """
    return view_output_layer(cell, sequences(h), matrix(W_hy), vector(b_y), sequences(y),
                             vector(workspace), sizeof(real))


cdef inline int bptt(
    int cell, const real[:, :, ::1] x, const real[:, :, ::1] h, const real[:, :, ::1] gates,
    const real[:, ::1] W_xh, const real[:, ::1] W_hh, const real[:, ::1] W_hy,
    const real[:, :, ::1] dy, real[:, :, ::1] dh, real[:, :, ::1] da, real[:, ::1] dstate,
    real[:, ::1] dW_xh, real[:, ::1] dW_hh, real[::1] db_h, real[:, ::1] dW_hy, real[::1] db_y,
    real[:, :, ::1] dx, real[::1] workspace
) noexcept nogil:
    """Backpropagate through the output layer and through time, and add to every gradient.

        x, h, gates                 as `hidden_update` had and left them
        W_xh, W_hh                  as above
        W_hy    (O, H)              absent without an output layer, and so are dy, dW_hy and db_y
        dy      (B, T, O)           dL/dy_t
        dh      (B, T, H)           written: W_hy^T dy_t. Without an output layer it is read: the
                                    part of dL/dh_t that does not come through later steps
        da      (B, T, biases*H)    written: the gradients of the pre-activations
        dstate  (B, states*H)       the gradient of the last states, beside dh, becomes that of the
                                    first states. Zeros where no later steps are known
        dW_xh, dW_hh, db_h, dW_hy, db_y, dx
                                    the gradient is added; they have the shapes of W_xh, W_hh, b_h,
                                    W_hy, b_y and x. dx may be absent
    """
    return view_bptt(cell, sequences(x), sequences(h), sequences(gates), matrix(W_xh), matrix(W_hh),
                     matrix(W_hy), sequences(dy), sequences(dh), sequences(da), matrix(dstate),
                     matrix(dW_xh), matrix(dW_hh), vector(db_h), matrix(dW_hy), vector(db_y),
                     sequences(dx), vector(workspace), sizeof(real))


cdef inline int mse(const real[:, :, ::1] y_hat, const real[:, :, ::1] y, real[:, :, ::1] dy,
                    double* loss) noexcept nogil:
    """The mean of the squared errors of all elements (B, T, O); its gradient is written to dy.

    dy may be absent. Numbers are not checked: the loss may be NaN.
    """
    return view_loss(True, sequences(y_hat), sequences(y), sequences(dy), loss, sizeof(real))


cdef inline int sse(const real[:, :, ::1] y_hat, const real[:, :, ::1] y, real[:, :, ::1] dy,
                    double* loss) noexcept nogil:
    """Half the sum of the squared errors, and otherwise as `mse`; the gradient is y_hat - y."""
    return view_loss(False, sequences(y_hat), sequences(y), sequences(dy), loss, sizeof(real))


cdef inline int clip_norm(real[::1] values, double max_norm, double* norm) noexcept nogil:
    """Scale a vector, such as all gradients, down to a Euclidean norm of at most max_norm.

    max_norm is above 0; infinity leaves all values as they are. The norm before is written. It is
    written also where it is not finite, which is NOT_FINITE; then the values stay.
    """
    return view_clip_norm(vector(values), max_norm, norm, sizeof(real))


cdef inline int sgd_step(
    real[::1] theta, const real[::1] dtheta, real[::1] velocity, double lr, double momentum,
    bint nesterov, double weight_decay
) noexcept nogil:
    """Take a step of stochastic gradient descent, as `crnn.SGD` does; NOT_FINITE: there was none.

        theta, dtheta   (n,)    parameters and their gradient
        velocity        (n,)    zeros before the first step; absent where momentum is 0

    lr and weight_decay are finite and from 0 up, 0 <= momentum < 1; nesterov needs a momentum.
    """
    return view_sgd_step(vector(theta), vector(dtheta), vector(velocity), lr, momentum, nesterov,
                         weight_decay, sizeof(real))
