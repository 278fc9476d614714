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
from libc.math cimport INFINITY, isfinite
from libc.string cimport memset

from crnn.kernels.table cimport (
    CROSS_ENTROPY, MSE, SSE, Builds, Call, Loss, Sequences, Sizes, Table, Task,
)

from crnn.kernels import contracts

cdef extern from "pool.h" nogil:
    void run_team(int threads, Task task, void* arguments)
    enum: MOST_THREADS

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


def refuse(kernel, arrays, hidden_size=None, output_size=None):
    """Raise what is wrong with a call that the typed function did not take."""
    contracts.check(kernel, arrays, hidden_size, output_size)
    if "workspace" not in arrays:
        raise ValueError(f"{kernel}: expected plain arrays, got some that cannot be read")
    # All shapes are right, which leaves the one thing that only this implementation asks for.
    raise ValueError(
        "workspace: expected at least as many scalars as workspace_size says, "
        f"got {arrays['workspace'].size}"
    )


cdef Table* table_of(dtype) except NULL:
    return &builds.float64 if contracts.float_dtype(dtype) == "float64" else &builds.float32


def workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).workspace_size(NULL, s)


def _choose_num_threads():
    """Return CRNN_NUM_THREADS, or the number of processors that this process may use."""
    wanted = os.environ.get("CRNN_NUM_THREADS")
    if not wanted:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(
            f"CRNN_NUM_THREADS: expected a whole number of at least 1, got {wanted!r}"
        )
    return int(wanted)


cdef int num_threads = min(_choose_num_threads(), MOST_THREADS)

cdef enum:
    # Multiply-adds of a forward pass below which a second thread costs more than it brings.
    WORTH_A_THREAD = 1 << 18


def set_num_threads(n):
    global num_threads
    num_threads = min(n, MOST_THREADS)


def get_num_threads():
    return num_threads


cdef inline int team_size(Sizes s) noexcept nogil:
    """How many threads a call of these sizes is worth: no more than one for two sequences."""
    cdef double work = <double> s.T * s.B * s.H * (s.I + s.H + s.O)
    return <int> max(1, min(num_threads, min((s.B + 1) // 2, work / WORTH_A_THREAD)))


cdef dict LOSSES = {"mse": MSE, "sse": SSE, "cross_entropy": CROSS_ENTROPY}


cdef inline bint below(const Py_ssize_t* classes, Py_ssize_t n, Py_ssize_t limit) noexcept nogil:
    """Whether all are class numbers below the limit."""
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= classes[i] < limit:
            return False
    return True


cdef inline bint roomy(const real[::1] workspace, Sizes s) noexcept nogil:
    return workspace.shape[0] >= table(&workspace[0]).workspace_size(NULL, s)


cdef bint typed_rnn_forward(const real[:, :, :] x, const real[:, ::1] W_xh, const real[:, ::1] W_hh,
                            const real[::1] b_h, real[:, :, :] h, real[::1] workspace) except -1:
    cdef Sequences inputs = sequences(&x[0, 0, 0], x.shape, x.strides)
    cdef Sequences states = sequences(&h[0, 0, 0], h.shape, h.strides)
    cdef Call call
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = x.shape[0], x.shape[1], x.shape[2], W_hh.shape[0], 1
    if not (positive(s) and inputs.data and states.data
            and sized(W_xh.shape, s.H, s.I) and sized(W_hh.shape, s.H, s.H)
            and b_h.shape[0] == s.H and shaped(h.shape, s.B, s.T + 1, s.H)
            and roomy(workspace, s)):
        return False
    call.sizes, call.x, call.h = s, inputs, states
    call.W_xh, call.W_hh, call.b_h = &W_xh[0, 0], &W_hh[0, 0], &b_h[0]
    call.workspace = &workspace[0]
    with nogil:
        run_team(team_size(s), table(&b_h[0]).rnn_forward, &call)
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
    cdef Call call
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
    call.sizes, call.x, call.h, call.dh, call.dx = s, inputs, states, d_states, d_inputs
    call.W_xh, call.W_hh = &W_xh[0, 0], &W_hh[0, 0]
    call.dW_xh, call.dW_hh, call.db_h = &dW_xh[0, 0], &dW_hh[0, 0], &db_h[0]
    call.dh0, call.workspace = &dh0[0, 0], &workspace[0]
    with nogil:
        run_team(team_size(s), table(&db_h[0]).rnn_backward, &call)
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
    cdef Call call
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = h.shape[0], h.shape[1], 1, h.shape[2], W_hy.shape[0]
    if not (positive(s) and states.data and outputs.data and sized(W_hy.shape, s.O, s.H)
            and b_y.shape[0] == s.O and shaped(y.shape, s.B, s.T, s.O) and roomy(workspace, s)):
        return False
    call.sizes, call.h, call.y = s, states, outputs
    call.W_hy, call.b_y, call.workspace = &W_hy[0, 0], &b_y[0], &workspace[0]
    with nogil:
        run_team(team_size(s), table(&b_y[0]).output_forward, &call)
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
    cdef Call call
    cdef Sizes s
    s.B, s.T, s.I, s.H, s.O = h.shape[0], h.shape[1], 1, h.shape[2], W_hy.shape[0]
    if not (positive(s) and states.data and d_states.data and sized(W_hy.shape, s.O, s.H)
            and shaped(dy.shape, s.B, s.T, s.O) and sized(dW_hy.shape, s.O, s.H)
            and db_y.shape[0] == s.O and shaped(dh.shape, s.B, s.T, s.H) and roomy(workspace, s)):
        return False
    call.sizes, call.h, call.y, call.dh = s, states, d_outputs, d_states
    call.W_hy, call.dW_hy, call.db_y = &W_hy[0, 0], &dW_hy[0, 0], &db_y[0]
    call.workspace = &workspace[0]
    with nogil:
        run_team(team_size(s), table(&db_y[0]).output_backward, &call)
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
    cdef Py_ssize_t rows = y_hat.shape[0] * y_hat.shape[1], classes = y_hat.shape[2]
    cdef const Py_ssize_t* targets
    cdef real* gradient = NULL
    cdef double value
    if not (rows and classes and y.shape[0] == y_hat.shape[0] and y.shape[1] == y_hat.shape[1]):
        return None
    targets = &y[0, 0]
    if not below(targets, rows, classes):
        return None
    if dy is not None:
        if not shaped(dy.shape, y_hat.shape[0], y_hat.shape[1], classes):
            return None
        gradient = &dy[0, 0, 0]
    with nogil:
        value = table(gradient).cross_entropy(rows, classes, &y_hat[0, 0, 0], targets, rows,
                                              gradient)
    return value / rows


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


def clip_norm(values, double max_norm):
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


def clip_value(values, double limit):
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


cdef typed_sgd_step(real[::1] theta, const real[::1] dtheta, real[::1] velocity, double lr,
                    double momentum, bint nesterov):
    cdef bint stays_finite
    cdef Py_ssize_t n = theta.shape[0]
    cdef real* memory = NULL
    if n == 0 or dtheta.shape[0] != n or (velocity is not None and velocity.shape[0] != n):
        return None
    if velocity is not None:
        memory = &velocity[0]
    with nogil:
        stays_finite = table(memory).sgd_step(n, &theta[0], &dtheta[0], memory, lr, momentum,
                                              nesterov)
    return stays_finite


def sgd_step(theta, dtheta, velocity, double lr, double momentum, bint nesterov):
    value = None
    if velocity is None and momentum != 0:
        raise ValueError(contracts.VELOCITY_MISSING)
    try:
        if is_double(theta):
            value = typed_sgd_step[double](theta, dtheta, velocity, lr, momentum, nesterov)
        else:
            value = typed_sgd_step[float](theta, dtheta, velocity, lr, momentum, nesterov)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if value is None:
        refuse("sgd_step", {"theta": theta, "dtheta": dtheta, "velocity": velocity})
    return value


def gradient_workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).gradient_workspace_size(NULL, s)


def predict_workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).predict_workspace_size(NULL, s)


cdef inline Py_ssize_t lay_parameters(Call* call, Sizes s, bint has_output_layer, const real* theta,
                                      real* dtheta) noexcept nogil:
    """Point the call at the parameters in a flat vector, and return how many there are."""
    cdef Py_ssize_t W_hh = s.H * s.I, b_h = W_hh + s.H * s.H, W_hy = b_h + s.H
    cdef Py_ssize_t b_y = W_hy + s.O * s.H
    call.W_xh, call.W_hh, call.b_h = theta, theta + W_hh, theta + b_h
    call.W_hy, call.b_y = theta + W_hy, theta + b_y
    call.dW_xh, call.dW_hh, call.db_h = dtheta, dtheta + W_hh, dtheta + b_h
    call.dW_hy, call.db_y = dtheta + W_hy, dtheta + b_y
    if has_output_layer:
        return b_y + s.O
    call.W_hy = call.b_y = call.dW_hy = call.db_y = NULL
    return W_hy


cdef typed_rnn_gradient(const real[:, :, :] x, const real[:, :, ::1] y,
                        const Py_ssize_t[:, ::1] classes, const real[::1] theta,
                        real[::1] dtheta, Py_ssize_t hidden_size, Py_ssize_t output_size,
                        Loss loss, double max_norm, double max_value, real[::1] workspace):
    cdef Call call
    cdef Sizes s
    cdef Table* f = table(&theta[0])
    cdef Py_ssize_t b, n
    cdef double value = 0, norm
    s.B, s.T, s.I, s.H = x.shape[0], x.shape[1], x.shape[2], hidden_size
    s.O = output_size or hidden_size
    call.sizes, call.loss, call.workspace = s, loss, &workspace[0]
    call.x = sequences(&x[0, 0, 0], x.shape, x.strides)
    n = lay_parameters(&call, s, output_size != 0, &theta[0], &dtheta[0])
    if not (positive(s) and call.x.data and theta.shape[0] == n and dtheta.shape[0] == n
            and workspace.shape[0] >= f.gradient_workspace_size(NULL, s)):
        return None
    if loss == CROSS_ENTROPY:
        if not (classes.shape[0] == s.B and classes.shape[1] == s.T
                and below(&classes[0, 0], s.B * s.T, s.O)):
            return None
        call.targets = &classes[0, 0]
    else:
        if not shaped(y.shape, s.B, s.T, s.O):
            return None
        call.targets = &y[0, 0, 0]
    with nogil:
        memset(&dtheta[0], 0, n * sizeof(real))
        run_team(team_size(s), f.gradient, &call)
        for b in range(s.B):
            value += call.losses[b]
        norm = f.global_norm(n, &dtheta[0])
        if max_norm < norm and isfinite(norm):
            f.scale(n, &dtheta[0], max_norm / norm)
        if isfinite(max_value):
            f.clip_value(n, &dtheta[0], max_value)
    if loss == SSE:
        return value / 2, norm
    return value / (s.B * s.T * (s.O if loss == MSE else 1)), norm


def rnn_gradient(
    x, y, theta, dtheta, hidden_size, output_size, loss, max_norm, max_value, workspace
):
    cdef Loss number = LOSSES[loss]
    cdef double norm_limit = INFINITY if max_norm is None else max_norm
    cdef double value_limit = INFINITY if max_value is None else max_value
    values, classes = (None, y) if number == CROSS_ENTROPY else (y, None)
    result = None
    try:
        if is_double(x):
            result = typed_rnn_gradient[double](
                x, values, classes, theta, dtheta, hidden_size, output_size, number, norm_limit,
                value_limit, workspace)
        else:
            result = typed_rnn_gradient[float](
                x, values, classes, theta, dtheta, hidden_size, output_size, number, norm_limit,
                value_limit, workspace)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if result is None:
        kernel = "rnn_gradient" if classes is None else "rnn_gradient of classes"
        refuse(kernel, {"x": x, "y": y, "theta": theta, "dtheta": dtheta, "workspace": workspace},
               hidden_size, output_size)
    return result


cdef bint typed_rnn_predict(const real[:, :, :] x, const real[:, ::1] h0, const real[::1] theta,
                            Py_ssize_t hidden_size, Py_ssize_t output_size, real[:, :, ::1] y,
                            real[:, ::1] h_n, real[::1] workspace) except -1:
    cdef Call call
    cdef Sizes s
    cdef Table* f = table(&theta[0])
    s.B, s.T, s.I, s.H = x.shape[0], x.shape[1], x.shape[2], hidden_size
    s.O = output_size or hidden_size
    call.sizes, call.workspace, call.h_n = s, &workspace[0], &h_n[0, 0]
    call.x = sequences(&x[0, 0, 0], x.shape, x.strides)
    call.y = sequences(&y[0, 0, 0], y.shape, y.strides)
    call.h0 = NULL
    if h0 is not None:
        if not sized(h0.shape, s.B, s.H):
            return False
        call.h0 = &h0[0, 0]
    if not (positive(s) and call.x.data and shaped(y.shape, s.B, s.T, s.O)
            and sized(h_n.shape, s.B, s.H)
            and theta.shape[0] == lay_parameters(&call, s, output_size != 0, &theta[0],
                                                 <real*> &theta[0])
            and workspace.shape[0] >= f.predict_workspace_size(NULL, s)):
        return False
    with nogil:
        run_team(team_size(s), f.predict, &call)
    return True


def rnn_predict(x, h0, theta, hidden_size, output_size, y, h_n, workspace):
    fits = False
    try:
        if is_double(x):
            fits = typed_rnn_predict[double](x, h0, theta, hidden_size, output_size, y, h_n,
                                             workspace)
        else:
            fits = typed_rnn_predict[float](x, h0, theta, hidden_size, output_size, y, h_n,
                                            workspace)
    except (AttributeError, BufferError, TypeError, ValueError):
        pass
    if not fits:
        refuse("rnn_predict", {"x": x, "h0": h0, "theta": theta, "y": y, "h_n": h_n,
                               "workspace": workspace}, hidden_size, output_size)
