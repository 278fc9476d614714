"""Every kernel compiled: unpack the arrays, drop the GIL, call the loops of this processor.

The functions are those of `reference`, which documents them, with the same signatures and errors.
Each one here is a pair: the `def` function picks the dtype, and where the arrays do not fit has
`contracts` say why; the `cdef` function beside it takes typed memoryviews, compares the sizes that
the loops rely on, and calls the table of functions of the instruction set chosen at import.
"""

import os
from importlib import import_module
from importlib.util import find_spec

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport isfinite

from crnn.kernels.table cimport Builds, Sequences, Sizes, Table

from crnn.kernels import contracts

cdef extern from "cpu.h":
    bint cpu_supports_avx2()
    bint cpu_supports_avx512()

ctypedef fused real:
    float
    double


def _choose_instruction_set():
    """Return the best build that this processor runs, or the one that CRNN_CPU names; and why."""
    runs = {"avx512": cpu_supports_avx512(), "avx2": cpu_supports_avx2(), "baseline": True}
    # A build for several architectures at once has the baseline alone.
    supported = [name for name in runs if runs[name] and find_spec(f"crnn.kernels._{name}")]
    name = os.environ.get("CRNN_CPU")
    if not name:
        return supported[0], "the best that this processor runs"
    if name not in supported:
        # Not an ImportError: nothing is broken that the NumPy kernels should stand in for.
        raise ValueError(
            f"CRNN_CPU: expected one of {', '.join(supported)} on this processor, got {name!r}"
        )
    return name, f"CRNN_CPU={name}"


instruction_set, instruction_set_reason = _choose_instruction_set()
cdef Builds* builds = <Builds*> PyCapsule_GetPointer(
    import_module(f"crnn.kernels._{instruction_set}").capsule, "crnn.kernels.Builds")


cdef inline Table* table(const real* dtype) noexcept nogil:
    if real is float:
        return &builds.float32
    else:
        return &builds.float64


cdef inline bint is_double(array):
    """Whether to try float64; an array of neither dtype fails to convert and gets its error."""
    return array.itemsize == sizeof(double)


cdef inline Sequences sequences(const real* data, const Py_ssize_t* shape,
                                const Py_ssize_t* strides) noexcept nogil:
    """The array as the loops take it; its data are NULL where strides do not suit them."""
    cdef Py_ssize_t itemsize = sizeof(real)
    cdef Sequences s
    s.data = <void*> data
    s.per_sequence = strides[0] // itemsize
    s.per_step = strides[1] // itemsize
    if (strides[2] != itemsize and shape[2] != 1) or strides[0] % itemsize or strides[1] % itemsize:
        s.data = NULL
    return s


cdef inline bint sized(const Py_ssize_t* shape, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    return shape[0] == rows and shape[1] == columns


cdef inline bint shaped(const Py_ssize_t* shape, Py_ssize_t B, Py_ssize_t T,
                        Py_ssize_t features) noexcept nogil:
    return shape[0] == B and shape[1] == T and shape[2] == features


cdef inline bint positive(Sizes s) noexcept nogil:
    return s.T > 0 and s.B > 0 and s.I > 0 and s.H > 0 and s.O > 0


def refuse(kernel, arrays):
    """Raise what is wrong with a call that the typed function did not take."""
    contracts.check(kernel, arrays)
    # All shapes are right, which leaves the one thing that only this implementation asks for.
    raise ValueError(
        "workspace: expected at least as many scalars as workspace_size says, "
        f"got {arrays['workspace'].size}"
    )


def workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    if dtype == "float32":
        return builds.float32.workspace_size(NULL, s)
    return builds.float64.workspace_size(NULL, s)


cdef inline bint roomy(const real[::1] workspace, Sizes s) noexcept nogil:
    return workspace.shape[0] >= table(&workspace[0]).workspace_size(NULL, s)


cdef bint typed_rnn_forward(const real[:, :, :] x, const real[:, ::1] W_xh, const real[:, ::1] W_hh,
                            const real[::1] b_h, real[:, :, :] h, real[::1] workspace) except -1:
    cdef Sequences inputs = sequences(&x[0, 0, 0], x.shape, x.strides)
    cdef Sequences states = sequences(&h[0, 0, 0], h.shape, h.strides)
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = x.shape[0], x.shape[1], x.shape[2], W_hh.shape[0], 1
    if not (positive(s) and inputs.data and states.data
            and sized(W_xh.shape, s.H, s.I) and sized(W_hh.shape, s.H, s.H)
            and b_h.shape[0] == s.H and shaped(h.shape, s.B, s.T + 1, s.H)
            and roomy(workspace, s)):
        return False
    with nogil:
        table(&b_h[0]).rnn_forward(s, inputs, &W_xh[0, 0], &W_hh[0, 0], &b_h[0], states,
                                   &workspace[0])
    return True


def rnn_forward(x, W_xh, W_hh, b_h, h, workspace):
    fits = False
    try:
        if is_double(x):
            fits = typed_rnn_forward[double](x, W_xh, W_hh, b_h, h, workspace)
        else:
            fits = typed_rnn_forward[float](x, W_xh, W_hh, b_h, h, workspace)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("rnn_forward", {"x": x, "W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "h": h,
                               "workspace": workspace})


cdef bint typed_rnn_backward(const real[:, :, :] x, const real[:, :, :] h, const real[:, ::1] W_xh,
                             const real[:, ::1] W_hh, real[:, :, ::1] dh, real[:, ::1] dW_xh,
                             real[:, ::1] dW_hh, real[::1] db_h, real[:, :, :] dx, real[:, ::1] dh0,
                             real[::1] workspace) except -1:
    cdef Sequences inputs = sequences(&x[0, 0, 0], x.shape, x.strides)
    cdef Sequences states = sequences(&h[0, 0, 0], h.shape, h.strides)
    cdef Sequences d_states = sequences(&dh[0, 0, 0], dh.shape, dh.strides)
    cdef Sequences d_inputs
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = x.shape[0], x.shape[1], x.shape[2], W_hh.shape[0], 1
    if not (positive(s) and inputs.data and states.data
            and shaped(h.shape, s.B, s.T + 1, s.H)
            and sized(W_xh.shape, s.H, s.I) and sized(W_hh.shape, s.H, s.H)
            and shaped(dh.shape, s.B, s.T, s.H) and sized(dh0.shape, s.B, s.H)
            and sized(dW_xh.shape, s.H, s.I) and sized(dW_hh.shape, s.H, s.H)
            and db_h.shape[0] == s.H and roomy(workspace, s)):
        return False
    d_inputs.data = NULL
    if dx is not None:
        d_inputs = sequences(&dx[0, 0, 0], dx.shape, dx.strides)
        if not (d_inputs.data and shaped(dx.shape, s.B, s.T, s.I)):
            return False
    with nogil:
        table(&db_h[0]).rnn_backward(s, inputs, states, &W_xh[0, 0], &W_hh[0, 0], d_states,
                                     &dW_xh[0, 0], &dW_hh[0, 0], &db_h[0], d_inputs, &dh0[0, 0],
                                     &workspace[0])
    return True


def rnn_backward(x, h, W_xh, W_hh, dh, dW_xh, dW_hh, db_h, dx, dh0, workspace):
    fits = False
    try:
        if is_double(x):
            fits = typed_rnn_backward[double](x, h, W_xh, W_hh, dh, dW_xh, dW_hh, db_h, dx, dh0,
                                              workspace)
        else:
            fits = typed_rnn_backward[float](x, h, W_xh, W_hh, dh, dW_xh, dW_hh, db_h, dx, dh0,
                                             workspace)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("rnn_backward", {"x": x, "h": h, "W_xh": W_xh, "W_hh": W_hh, "dh": dh,
                                "dW_xh": dW_xh, "dW_hh": dW_hh, "db_h": db_h, "dx": dx, "dh0": dh0,
                                "workspace": workspace})


cdef bint typed_output_forward(const real[:, :, :] h, const real[:, ::1] W_hy, const real[::1] b_y,
                               real[:, :, :] y, real[::1] workspace) except -1:
    cdef Sequences states = sequences(&h[0, 0, 0], h.shape, h.strides)
    cdef Sequences outputs = sequences(&y[0, 0, 0], y.shape, y.strides)
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = h.shape[0], h.shape[1], 1, h.shape[2], W_hy.shape[0]
    if not (positive(s) and states.data and outputs.data and sized(W_hy.shape, s.O, s.H)
            and b_y.shape[0] == s.O and shaped(y.shape, s.B, s.T, s.O) and roomy(workspace, s)):
        return False
    with nogil:
        table(&b_y[0]).output_forward(s, states, &W_hy[0, 0], &b_y[0], outputs, &workspace[0])
    return True


def output_forward(h, W_hy, b_y, y, workspace):
    fits = False
    try:
        if is_double(h):
            fits = typed_output_forward[double](h, W_hy, b_y, y, workspace)
        else:
            fits = typed_output_forward[float](h, W_hy, b_y, y, workspace)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("output_forward", {"h": h, "W_hy": W_hy, "b_y": b_y, "y": y, "workspace": workspace})


cdef bint typed_output_backward(const real[:, :, :] h, const real[:, ::1] W_hy,
                                const real[:, :, ::1] dy, real[:, ::1] dW_hy, real[::1] db_y,
                                real[:, :, :] dh, real[::1] workspace) except -1:
    cdef Sequences states = sequences(&h[0, 0, 0], h.shape, h.strides)
    cdef Sequences d_outputs = sequences(&dy[0, 0, 0], dy.shape, dy.strides)
    cdef Sequences d_states = sequences(&dh[0, 0, 0], dh.shape, dh.strides)
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = h.shape[0], h.shape[1], 1, h.shape[2], W_hy.shape[0]
    if not (positive(s) and states.data and d_states.data and sized(W_hy.shape, s.O, s.H)
            and shaped(dy.shape, s.B, s.T, s.O) and sized(dW_hy.shape, s.O, s.H)
            and db_y.shape[0] == s.O and shaped(dh.shape, s.B, s.T, s.H) and roomy(workspace, s)):
        return False
    with nogil:
        table(&db_y[0]).output_backward(s, states, &W_hy[0, 0], d_outputs, &dW_hy[0, 0], &db_y[0],
                                        d_states, &workspace[0])
    return True


def output_backward(h, W_hy, dy, dW_hy, db_y, dh, workspace):
    fits = False
    try:
        if is_double(h):
            fits = typed_output_backward[double](h, W_hy, dy, dW_hy, db_y, dh, workspace)
        else:
            fits = typed_output_backward[float](h, W_hy, dy, dW_hy, db_y, dh, workspace)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("output_backward", {"h": h, "W_hy": W_hy, "dy": dy, "dW_hy": dW_hy, "db_y": db_y,
                                   "dh": dh, "workspace": workspace})


cdef typed_squared_error(const real[:, :, ::1] y_hat, const real[:, :, ::1] y, real[:, :, ::1] dy,
                         bint mean):
    cdef Py_ssize_t n = y_hat.shape[0] * y_hat.shape[1] * y_hat.shape[2]
    cdef real* gradient = NULL
    cdef double value
    if not (n and shaped(y.shape, y_hat.shape[0], y_hat.shape[1], y_hat.shape[2])):
        return None
    if dy is not None:
        if not shaped(dy.shape, y_hat.shape[0], y_hat.shape[1], y_hat.shape[2]):
            return None
        gradient = &dy[0, 0, 0]
    with nogil:
        value = table(gradient).squared_error(n, &y_hat[0, 0, 0], &y[0, 0, 0],
                                              2.0 / n if mean else 1.0, gradient)
    return value / n if mean else value / 2


cdef squared_error(name, y_hat, y, dy, bint mean):
    value = None
    try:
        if is_double(y_hat):
            value = typed_squared_error[double](y_hat, y, dy, mean)
        else:
            value = typed_squared_error[float](y_hat, y, dy, mean)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if value is None:
        refuse(name, {"y_hat": y_hat, "y": y, "dy": dy})
    return value


def mse(y_hat, y, dy):
    return squared_error("mse", y_hat, y, dy, True)


def sse(y_hat, y, dy):
    return squared_error("sse", y_hat, y, dy, False)


cdef typed_cross_entropy(const real[:, :, ::1] y_hat, const Py_ssize_t[:, ::1] y,
                         real[:, :, ::1] dy):
    cdef Py_ssize_t rows = y_hat.shape[0] * y_hat.shape[1], classes = y_hat.shape[2], row
    cdef const Py_ssize_t* targets
    cdef real* gradient = NULL
    cdef double value
    if not (rows and classes and y.shape[0] == y_hat.shape[0] and y.shape[1] == y_hat.shape[1]):
        return None
    targets = &y[0, 0]
    for row in range(rows):
        if not 0 <= targets[row] < classes:
            return None
    if dy is not None:
        if not shaped(dy.shape, y_hat.shape[0], y_hat.shape[1], classes):
            return None
        gradient = &dy[0, 0, 0]
    with nogil:
        value = table(gradient).cross_entropy(rows, classes, &y_hat[0, 0, 0], targets, gradient)
    return value


def cross_entropy(y_hat, y, dy):
    value = None
    try:
        if is_double(y_hat):
            value = typed_cross_entropy[double](y_hat, y, dy)
        else:
            value = typed_cross_entropy[float](y_hat, y, dy)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if value is None:
        refuse("cross_entropy", {"y_hat": y_hat, "y": y, "dy": dy})
    return value


cdef typed_all_finite(const real[::1] values):
    cdef Py_ssize_t n = values.shape[0]
    cdef bint finite
    if n == 0:
        return None
    with nogil:
        finite = table(&values[0]).all_finite(n, &values[0])
    return finite


def all_finite(values):
    value = None
    try:
        if is_double(values):
            value = typed_all_finite[double](values)
        else:
            value = typed_all_finite[float](values)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if value is None:
        refuse("all_finite", {"values": values})
    return value


cdef typed_global_norm(const real[::1] values):
    cdef Py_ssize_t n = values.shape[0]
    cdef double norm
    if n == 0:
        return None
    with nogil:
        norm = table(&values[0]).global_norm(n, &values[0])
    return norm


def global_norm(values):
    value = None
    try:
        if is_double(values):
            value = typed_global_norm[double](values)
        else:
            value = typed_global_norm[float](values)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if value is None:
        refuse("global_norm", {"values": values})
    return value


cdef typed_clip_norm(real[::1] values, double max_norm):
    cdef Py_ssize_t n = values.shape[0]
    cdef double norm
    if n == 0:
        return None
    with nogil:
        norm = table(&values[0]).global_norm(n, &values[0])
        if max_norm < norm and isfinite(norm):
            table(&values[0]).scale(n, &values[0], max_norm / norm)
    return norm


def clip_norm(values, max_norm):
    value = None
    try:
        if is_double(values):
            value = typed_clip_norm[double](values, max_norm)
        else:
            value = typed_clip_norm[float](values, max_norm)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if value is None:
        refuse("clip_norm", {"values": values})
    return value


cdef bint typed_clip_value(real[::1] values, double limit) except -1:
    cdef Py_ssize_t n = values.shape[0]
    if n == 0:
        return False
    with nogil:
        table(&values[0]).clip_value(n, &values[0], limit)
    return True


def clip_value(values, limit):
    fits = False
    try:
        if is_double(values):
            fits = typed_clip_value[double](values, limit)
        else:
            fits = typed_clip_value[float](values, limit)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("clip_value", {"values": values})


cdef bint typed_sgd_step(real[::1] theta, const real[::1] dtheta, real[::1] velocity, double lr,
                         double momentum, bint nesterov) except -1:
    cdef Py_ssize_t n = theta.shape[0]
    cdef real* memory = NULL
    if n == 0 or dtheta.shape[0] != n or (velocity is not None and velocity.shape[0] != n):
        return False
    if velocity is not None:
        memory = &velocity[0]
    with nogil:
        table(memory).sgd_step(n, &theta[0], &dtheta[0], memory, lr, momentum, nesterov)
    return True


def sgd_step(theta, dtheta, velocity, lr, momentum, nesterov):
    fits = False
    if velocity is None and momentum != 0:
        raise ValueError(contracts.VELOCITY_MISSING)
    try:
        if is_double(theta):
            fits = typed_sgd_step[double](theta, dtheta, velocity, lr, momentum, nesterov)
        else:
            fits = typed_sgd_step[float](theta, dtheta, velocity, lr, momentum, nesterov)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("sgd_step", {"theta": theta, "dtheta": dtheta, "velocity": velocity})
