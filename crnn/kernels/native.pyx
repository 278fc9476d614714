"""Every kernel compiled: look at the arrays, drop the GIL, call the loops of this processor.

The functions are those of `reference`, which documents them, with the same signatures and errors.
Each one here puts its arrays into a `Call`, whose pointers stay NULL where an array is not what the
loops rely on. Such a call is refused, and `contracts` says why.
"""

import os
from importlib import import_module
from importlib.util import find_spec

cimport numpy as np
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.math cimport INFINITY, isfinite
from libc.stddef cimport ptrdiff_t
from libc.string cimport memcpy, memset

from crnn.kernels.table cimport (
    CROSS_ENTROPY, MSE, SSE, Builds, Call, Sequences, Sizes, Table, Task,
)

import numpy

from crnn.kernels import contracts

np.import_array()

cdef extern from "pool.h" nogil:
    void run_team(int threads, Task task, void* arguments)
    void run_alone(Task task, void* arguments)
    ctypedef int crnn_atomic
    int atomic_swap(crnn_atomic*, int)
    void atomic_set(crnn_atomic*, int)
    enum: MOST_THREADS

cdef extern from "crnn.h":
    enum: CRNN_API_VERSION, CRNN_OK, CRNN_BUSY, CRNN_WRONG_DTYPE
    const char* CRNN_API_NAME
    ctypedef struct crnn_stream:
        pass
    ctypedef struct crnn_sizes:
        ptrdiff_t batch, inputs, hidden, outputs, itemsize
    ctypedef struct crnn_api:
        int version
        crnn_stream* (*get_stream)(void*) noexcept
        crnn_sizes (*get_sizes)(const crnn_stream*) noexcept nogil
        int (*step_float)(crnn_stream*, const float*, float*) noexcept nogil
        int (*step_double)(crnn_stream*, const double*, double*) noexcept nogil
        int (*get_state_float)(crnn_stream*, float*) noexcept nogil
        int (*get_state_double)(crnn_stream*, double*) noexcept nogil
        int (*set_state_float)(crnn_stream*, const float*) noexcept nogil
        int (*set_state_double)(crnn_stream*, const double*) noexcept nogil

cdef extern from *:
    """
    /* NumPy's headers include complex.h, where I is the imaginary unit. Here it is a size. */
    #undef I
    """

cdef extern from "cpu.h":
    bint cpu_supports_avx2()
    bint cpu_supports_avx512()


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


cdef inline Table* table(int dtype) noexcept nogil:
    return &builds.float64 if dtype == np.NPY_DOUBLE else &builds.float32


cdef inline Py_ssize_t itemsize(int dtype) noexcept nogil:
    return sizeof(double) if dtype == np.NPY_DOUBLE else sizeof(float)


cdef inline int float_type(object array) noexcept:
    """NumPy's number of the array's dtype if that is float32 or float64, or -1."""
    cdef int dtype = np.PyArray_TYPE(<np.ndarray> array) if np.PyArray_Check(array) else -1
    return dtype if dtype == np.NPY_FLOAT or dtype == np.NPY_DOUBLE else -1


cdef enum:
    READ = np.NPY_ARRAY_ALIGNED
    WRITTEN = np.NPY_ARRAY_ALIGNED | np.NPY_ARRAY_WRITEABLE


cdef inline bint is_array(object array, int dtype, int ndim, int flags) noexcept:
    """Whether it is an array of this machine's numbers with these flags and so many axes."""
    return (np.PyArray_Check(array) and np.PyArray_TYPE(<np.ndarray> array) == dtype
            and np.PyArray_NDIM(<np.ndarray> array) == ndim
            and np.PyArray_CHKFLAGS(<np.ndarray> array, flags)
            and np.PyArray_ISNOTSWAPPED(<np.ndarray> array))


# The data of a C-contiguous array of that shape, or NULL of anything else
cdef inline void* vector(object array, int dtype, Py_ssize_t n, int flags) noexcept:
    if (is_array(array, dtype, 1, flags | np.NPY_ARRAY_C_CONTIGUOUS)
            and np.PyArray_DIMS(<np.ndarray> array)[0] == n):
        return np.PyArray_DATA(<np.ndarray> array)
    return NULL


cdef inline void* matrix(object array, int dtype, Py_ssize_t rows, Py_ssize_t columns,
                         int flags) noexcept:
    cdef np.npy_intp* shape
    if is_array(array, dtype, 2, flags | np.NPY_ARRAY_C_CONTIGUOUS):
        shape = np.PyArray_DIMS(<np.ndarray> array)
        if shape[0] == rows and shape[1] == columns:
            return np.PyArray_DATA(<np.ndarray> array)
    return NULL


cdef inline void* scratch(object array, int dtype, Py_ssize_t n) noexcept:
    """The data of a vector of n scalars or more, or NULL."""
    if (is_array(array, dtype, 1, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
            and np.PyArray_DIMS(<np.ndarray> array)[0] >= n):
        return np.PyArray_DATA(<np.ndarray> array)
    return NULL


cdef inline Sequences sequences(object array, int dtype, Py_ssize_t B, Py_ssize_t T,
                                Py_ssize_t features, int flags) noexcept:
    """The array as the loops take it; its data are NULL if shape or strides do not suit them."""
    cdef Sequences s
    cdef np.npy_intp* shape
    cdef np.npy_intp* strides
    cdef Py_ssize_t size = itemsize(dtype)
    s.data, s.per_sequence, s.per_step = NULL, 0, 0
    if is_array(array, dtype, 3, flags):
        shape = np.PyArray_DIMS(<np.ndarray> array)
        strides = np.PyArray_STRIDES(<np.ndarray> array)
        if (shape[0] == B and shape[1] == T and shape[2] == features
                and (strides[2] == size or features == 1)
                and strides[0] % size == 0 and strides[1] % size == 0):
            s.data = np.PyArray_DATA(<np.ndarray> array)
            s.per_sequence, s.per_step = strides[0] // size, strides[1] // size
    return s


cdef inline Sizes sizes_of(object array, int dtype) noexcept:
    """B, T and I or H of a (batch, time, features) array, or zeros; 1 for what it does not fix."""
    cdef Sizes s
    cdef np.npy_intp* shape
    memset(&s, 0, sizeof(s))
    if is_array(array, dtype, 3, 0):
        shape = np.PyArray_DIMS(<np.ndarray> array)
        s.B, s.T, s.I, s.H, s.O = shape[0], shape[1], shape[2], 1, 1
    return s


cdef inline Py_ssize_t length(object array) noexcept:
    """The size of the first axis, or 0 of what is no array or has no axes."""
    if np.PyArray_Check(array) and np.PyArray_NDIM(<np.ndarray> array) > 0:
        return np.PyArray_DIMS(<np.ndarray> array)[0]
    return 0


cdef inline bint positive(Sizes s) noexcept nogil:
    return s.T > 0 and s.B > 0 and s.I > 0 and s.H > 0 and s.O > 0


def refuse(kernel, arrays, hidden_size=None, output_size=None):
    """Raise what is wrong with a call."""
    contracts.check(kernel, arrays, hidden_size, output_size)
    # All arrays are right, which leaves the one thing that only this implementation asks for.
    raise ValueError(
        "workspace: expected at least as many scalars as workspace_size says, "
        f"got {arrays['workspace'].size}"
    )


cdef Table* table_of(dtype) except NULL:
    cdef int number = -1
    if isinstance(dtype, np.dtype):
        number = (<np.dtype> dtype).type_num
    if number == np.NPY_FLOAT:
        return &builds.float32
    return &builds.float64 if contracts.float_dtype(dtype) == "float64" else &builds.float32


def workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).workspace_size(NULL, s)


def gradient_workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).gradient_workspace_size(NULL, s)


def predict_workspace_size(T, B, I, H, O, dtype):
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).predict_workspace_size(NULL, s)


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
    # Multiply-adds of a forward pass that are worth a thread: 12 microseconds of a core, or 40
    # with the gradient. Waking a thread takes 5 to 50, so below twice this two may well be slower.
    WORTH_A_THREAD = 1 << 20
    # Multiply-adds of a stream's step above which it lets other threads of Python run.
    LONG_STEP = 1 << 15


def set_num_threads(n):
    global num_threads
    num_threads = min(n, MOST_THREADS)


def get_num_threads():
    return num_threads


cdef dict LOSSES = {"mse": MSE, "sse": SSE, "cross_entropy": CROSS_ENTROPY}


cdef inline int team_size(Sizes s) noexcept nogil:
    """How many threads a call of these sizes is worth: no more than one for two sequences."""
    cdef double work = <double> s.T * s.B * s.H * (s.I + s.H + s.O)
    return <int> max(1, min(num_threads, min((s.B + 1) // 2, work / WORTH_A_THREAD)))


cdef inline bint below(const Py_ssize_t* classes, Py_ssize_t n, Py_ssize_t limit) noexcept nogil:
    """Whether all are class numbers below the limit."""
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= classes[i] < limit:
            return False
    return True


def rnn_forward(x, W_xh, W_hh, b_h, h, workspace):
    cdef int dtype = float_type(x)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    s.H = length(b_h)
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.W_xh = matrix(W_xh, dtype, s.H, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, s.H, s.H, READ)
    c.b_h = vector(b_h, dtype, s.H, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.H, WRITTEN)
    if not (positive(s) and c.x.data and c.W_xh and c.W_hh and c.b_h and c.h.data):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, table(dtype).workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_forward", {"x": x, "W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "h": h,
                               "workspace": workspace})
    with nogil:
        run_team(team_size(s), table(dtype).rnn_forward, &c)


def rnn_backward(x, h, W_xh, W_hh, dh, dW_xh, dW_hh, db_h, dx, dh0, workspace):
    cdef int dtype = float_type(x)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    s.H = length(db_h)
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.H, READ)
    c.W_xh = matrix(W_xh, dtype, s.H, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, s.H, s.H, READ)
    c.dh = sequences(dh, dtype, s.B, s.T, s.H, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dW_xh = matrix(dW_xh, dtype, s.H, s.I, WRITTEN)
    c.dW_hh = matrix(dW_hh, dtype, s.H, s.H, WRITTEN)
    c.db_h = vector(db_h, dtype, s.H, WRITTEN)
    c.dx = sequences(dx, dtype, s.B, s.T, s.I, WRITTEN)
    c.dh0 = matrix(dh0, dtype, s.B, s.H, WRITTEN)
    if not (positive(s) and c.x.data and c.h.data and c.W_xh and c.W_hh and c.dh.data and c.dW_xh
            and c.dW_hh and c.db_h and (c.dx.data or dx is None) and c.dh0):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, table(dtype).workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_backward", {"x": x, "h": h, "W_xh": W_xh, "W_hh": W_hh, "dh": dh,
                                "dW_xh": dW_xh, "dW_hh": dW_hh, "db_h": db_h, "dx": dx, "dh0": dh0,
                                "workspace": workspace})
    with nogil:
        run_team(team_size(s), table(dtype).rnn_backward, &c)


def output_forward(h, W_hy, b_y, y, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = sizes_of(h, dtype)
    cdef Call c
    s.I, s.H, s.O = s.H, s.I, length(b_y)
    c.sizes = s
    c.h = sequences(h, dtype, s.B, s.T, s.H, READ)
    c.W_hy = matrix(W_hy, dtype, s.O, s.H, READ)
    c.b_y = vector(b_y, dtype, s.O, READ)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN)
    if not (positive(s) and c.h.data and c.W_hy and c.b_y and c.y.data):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, table(dtype).workspace_size(NULL, s))
    if not c.workspace:
        refuse("output_forward", {"h": h, "W_hy": W_hy, "b_y": b_y, "y": y, "workspace": workspace})
    with nogil:
        run_team(team_size(s), table(dtype).output_forward, &c)


def output_backward(h, W_hy, dy, dW_hy, db_y, dh, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = sizes_of(h, dtype)
    cdef Call c
    s.I, s.H, s.O = s.H, s.I, length(db_y)
    c.sizes = s
    c.h = sequences(h, dtype, s.B, s.T, s.H, READ)
    c.W_hy = matrix(W_hy, dtype, s.O, s.H, READ)
    c.y = sequences(dy, dtype, s.B, s.T, s.O, READ | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dW_hy = matrix(dW_hy, dtype, s.O, s.H, WRITTEN)
    c.db_y = vector(db_y, dtype, s.O, WRITTEN)
    c.dh = sequences(dh, dtype, s.B, s.T, s.H, WRITTEN)
    if not (positive(s) and c.h.data and c.W_hy and c.y.data and c.dW_hy and c.db_y and c.dh.data):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, table(dtype).workspace_size(NULL, s))
    if not c.workspace:
        refuse("output_backward", {"h": h, "W_hy": W_hy, "dy": dy, "dW_hy": dW_hy, "db_y": db_y,
                                   "dh": dh, "workspace": workspace})
    with nogil:
        run_team(team_size(s), table(dtype).output_backward, &c)


cdef inline Py_ssize_t lay_parameters(Call* c, bint has_output_layer, int dtype, void* theta,
                                      void* dtheta) noexcept nogil:
    """Point the call at the parameters in a flat vector, and return how many there are."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t size = itemsize(dtype)
    cdef Py_ssize_t W_hh = s.H * s.I, b_h = W_hh + s.H * s.H, W_hy = b_h + s.H
    cdef Py_ssize_t b_y = W_hy + s.O * s.H
    cdef char* p = <char*> theta
    cdef char* d = <char*> dtheta
    c.W_xh, c.W_hh, c.b_h = p, p + W_hh * size, p + b_h * size
    c.W_hy, c.b_y = p + W_hy * size, p + b_y * size
    c.dW_xh, c.dW_hh, c.db_h = d, d + W_hh * size, d + b_h * size
    c.dW_hy, c.db_y = d + W_hy * size, d + b_y * size
    if has_output_layer:
        return b_y + s.O
    c.W_hy = c.b_y = c.dW_hy = c.db_y = NULL
    return W_hy


def rnn_gradient(
    x, y, theta, dtheta, Py_ssize_t hidden_size, Py_ssize_t output_size, loss, max_norm, max_value,
    workspace
):
    cdef double norm_limit = INFINITY if max_norm is None else max_norm
    cdef double value_limit = INFINITY if max_value is None else max_value
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    cdef Py_ssize_t b, n
    cdef double value = 0, norm
    cdef void* theta_data
    cdef void* d
    s.H, s.O = hidden_size, output_size or hidden_size
    memset(&c.packed, 0, sizeof(c.packed))
    c.sizes, c.loss = s, LOSSES[loss]
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    n = lay_parameters(&c, output_size != 0, dtype, NULL, NULL)
    theta_data = vector(theta, dtype, n, READ)
    d = vector(dtheta, dtype, n, WRITTEN)
    lay_parameters(&c, output_size != 0, dtype, theta_data, d)
    if c.loss == CROSS_ENTROPY:
        c.targets = matrix(y, np.NPY_INTP, s.B, s.T, READ)
        if c.targets and not below(<const Py_ssize_t*> c.targets, s.B * s.T, s.O):
            c.targets = NULL
    else:
        c.targets = sequences(y, dtype, s.B, s.T, s.O, READ | np.NPY_ARRAY_C_CONTIGUOUS).data
    if not (positive(s) and c.x.data and theta_data and d and c.targets):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, f.gradient_workspace_size(NULL, s))
    if not c.workspace:
        kernel = "rnn_gradient of classes" if c.loss == CROSS_ENTROPY else "rnn_gradient"
        refuse(kernel, {"x": x, "y": y, "theta": theta, "dtheta": dtheta, "workspace": workspace},
               hidden_size, output_size)
    with nogil:
        memset(d, 0, n * itemsize(dtype))
        run_team(team_size(s), f.gradient, &c)
        for b in range(s.B):
            value += c.losses[b]
        norm = f.global_norm(n, d)
        if norm_limit < norm and isfinite(norm):
            f.scale(n, d, norm_limit / norm)
        if isfinite(value_limit):
            f.clip_value(n, d, value_limit)
    if c.loss == SSE:
        return value / 2, norm
    return value / (s.B * s.T * (s.O if c.loss == MSE else 1)), norm


def rnn_predict(x, h0, theta, Py_ssize_t hidden_size, Py_ssize_t output_size, y, h_n, workspace):
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    cdef void* theta_data
    s.H, s.O = hidden_size, output_size or hidden_size
    memset(&c.packed, 0, sizeof(c.packed))
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h0 = matrix(h0, dtype, s.B, s.H, READ)
    theta_data = vector(theta, dtype, lay_parameters(&c, output_size != 0, dtype, NULL, NULL), READ)
    lay_parameters(&c, output_size != 0, dtype, theta_data, NULL)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.h_n = matrix(h_n, dtype, s.B, s.H, WRITTEN)
    if not (positive(s) and c.x.data and (c.h0 or h0 is None) and theta_data and c.y.data
            and c.h_n):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, f.predict_workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_predict", {"x": x, "h0": h0, "theta": theta, "y": y, "h_n": h_n,
                               "workspace": workspace}, hidden_size, output_size)
    with nogil:
        run_team(team_size(s), f.predict, &c)


cdef squared_error(name, y_hat, y, dy, bint mean):
    cdef int dtype = float_type(y_hat)
    cdef Sizes s = sizes_of(y_hat, dtype)
    cdef Py_ssize_t n = s.B * s.T * s.I
    cdef int read = READ | np.NPY_ARRAY_C_CONTIGUOUS
    cdef void* outputs = sequences(y_hat, dtype, s.B, s.T, s.I, read).data
    cdef void* targets = sequences(y, dtype, s.B, s.T, s.I, read).data
    cdef void* gradient = sequences(dy, dtype, s.B, s.T, s.I,
                                    WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS).data
    cdef double value
    if not (n and outputs and targets and (gradient or dy is None)):
        refuse(name, {"y_hat": y_hat, "y": y, "dy": dy})
    with nogil:
        value = table(dtype).squared_error(n, outputs, targets, 2.0 / n if mean else 1.0, gradient)
    return value / n if mean else value / 2


def mse(y_hat, y, dy):
    return squared_error("mse", y_hat, y, dy, True)


def sse(y_hat, y, dy):
    return squared_error("sse", y_hat, y, dy, False)


def cross_entropy(y_hat, y, dy):
    cdef int dtype = float_type(y_hat)
    cdef Sizes s = sizes_of(y_hat, dtype)
    cdef Py_ssize_t rows = s.B * s.T
    cdef void* outputs = sequences(y_hat, dtype, s.B, s.T, s.I,
                                   READ | np.NPY_ARRAY_C_CONTIGUOUS).data
    cdef Py_ssize_t* targets = <Py_ssize_t*> matrix(y, np.NPY_INTP, s.B, s.T, READ)
    cdef void* gradient = sequences(dy, dtype, s.B, s.T, s.I,
                                    WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS).data
    cdef double value
    if not (rows and s.I and outputs and targets and below(targets, rows, s.I)
            and (gradient or dy is None)):
        refuse("cross_entropy", {"y_hat": y_hat, "y": y, "dy": dy})
    with nogil:
        value = table(dtype).cross_entropy(rows, s.I, outputs, targets, rows, gradient)
    return value / rows


cdef void* values_of(kernel, values, int flags) except NULL:
    """The data of a vector that is not empty."""
    cdef void* data = vector(values, float_type(values), length(values), flags)
    if length(values) == 0 or not data:
        refuse(kernel, {"values": values})
    return data


def all_finite(values):
    cdef void* data = values_of("all_finite", values, READ)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    cdef bint finite
    with nogil:
        finite = f.all_finite(n, data)
    return finite


def global_norm(values):
    cdef void* data = values_of("global_norm", values, READ)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    cdef double norm
    with nogil:
        norm = f.global_norm(n, data)
    return norm


def clip_norm(values, double max_norm):
    cdef void* data = values_of("clip_norm", values, WRITTEN)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    cdef double norm
    with nogil:
        norm = f.global_norm(n, data)
        if max_norm < norm and isfinite(norm):
            f.scale(n, data, max_norm / norm)
    return norm


def clip_value(values, double limit):
    cdef void* data = values_of("clip_value", values, WRITTEN)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    with nogil:
        f.clip_value(n, data, limit)


def sgd_step(theta, dtheta, velocity, double lr, double momentum, bint nesterov):
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef void* gradient = vector(dtheta, dtype, n, READ)
    cdef void* memory = vector(velocity, dtype, n, WRITTEN)
    cdef bint stays_finite
    if velocity is None and momentum != 0:
        raise ValueError(contracts.VELOCITY_MISSING)
    if not (n and parameters and gradient and (memory or velocity is None)):
        refuse("sgd_step", {"theta": theta, "dtheta": dtheta, "velocity": velocity})
    with nogil:
        stays_finite = table(dtype).sgd_step(n, parameters, gradient, memory, lr, momentum,
                                             nesterov)
    return stays_finite


def is_plain(array, like, shape):
    cdef int dtype = float_type(like)
    cdef np.npy_intp* sizes
    cdef Py_ssize_t axis, n = 1, expected
    if (type(array) is not np.ndarray or dtype < 0
            or not is_array(array, dtype, len(shape), READ | np.NPY_ARRAY_C_CONTIGUOUS)):
        return False
    sizes = np.PyArray_DIMS(<np.ndarray> array)
    for axis in range(len(<tuple> shape)):
        expected = (<tuple> shape)[axis]
        if sizes[axis] == 0 or (expected >= 0 and sizes[axis] != expected):
            return False
        n *= sizes[axis]
    return table(dtype).all_finite(n, np.PyArray_DATA(<np.ndarray> array))


# A stream as C code sees it; crnn.h declares what may be done with it.
cdef struct Running:
    crnn_atomic busy
    int dtype
    Table* table
    Call call               # of one step; x and y are each step's own
    bint is_long            # worth other threads, and letting go of the GIL


cdef inline void exchange_states(Running* r) noexcept nogil:
    """Make the state that a step has written the one that the next step reads."""
    r.call.h.data = <char*> r.call.h.data + r.call.h.per_step * itemsize(r.dtype)
    r.call.h.per_step = -r.call.h.per_step


cdef inline int step_alone(Running* r, int dtype, const void* x, void* y) noexcept nogil:
    if r.dtype != dtype:
        return CRNN_WRONG_DTYPE
    if atomic_swap(&r.busy, 1):
        return CRNN_BUSY
    r.call.x.data, r.call.y.data = <void*> x, y
    run_alone(r.table.stream_step, &r.call)
    exchange_states(r)
    atomic_set(&r.busy, 0)
    return CRNN_OK


cdef void move_state(Running* r, const void* source, void* target) noexcept nogil:
    """Copy the state to (B, H) scalars, or from them; from neither, make it zero."""
    cdef Py_ssize_t b, size = itemsize(r.dtype), row = r.call.sizes.H * size
    cdef char* h
    for b in range(r.call.sizes.B):
        h = <char*> r.call.h.data + b * r.call.h.per_sequence * size
        if target:
            memcpy(<char*> target + b * row, h, row)
        elif source:
            memcpy(h, <const char*> source + b * row, row)
        else:
            memset(h, 0, row)


cdef int move_state_alone(Running* r, int dtype, const void* source, void* target) noexcept nogil:
    if r.dtype != dtype:
        return CRNN_WRONG_DTYPE
    if atomic_swap(&r.busy, 1):
        return CRNN_BUSY
    move_state(r, source, target)
    atomic_set(&r.busy, 0)
    return CRNN_OK


cdef int take(Running* r) except -1:
    """Keep other threads out of the stream."""
    if atomic_swap(&r.busy, 1):
        raise RuntimeError(contracts.STREAM_BUSY)
    return 0


cdef void give(Running* r) noexcept:
    atomic_set(&r.busy, 0)


cdef start(Stream self, int dtype, const Call* call):
    """Take on a call with packed parameters, and begin with a state of zero."""
    cdef Running* r = <Running*> self.running
    cdef Sizes s = call.sizes
    # Two states a sequence, in whole cache lines, and an odd number of those from one sequence to
    # the next: a power of two would put the rows that a tile reads side by side into the same few
    # sets of the cache.
    cdef Py_ssize_t line = 64 // itemsize(dtype)
    cdef Py_ssize_t state = (s.H + line - 1) // line * line
    cdef Py_ssize_t stride = 2 * state + line
    self.states = numpy.zeros(s.B * stride + line, self.parameters.dtype)
    r.call = call[0]
    r.call.h.data = <void*> (<size_t> np.PyArray_DATA(<np.ndarray> self.states) + 63
                             & ~<size_t> 63)
    r.call.h.per_sequence, r.call.h.per_step = stride, state
    r.call.x.per_sequence, r.call.x.per_step = s.I, s.I
    r.call.y.per_sequence, r.call.y.per_step = s.O, s.O
    r.table = table(dtype)
    r.is_long = s.B * s.H * (s.I + s.H + s.O) >= LONG_STEP
    r.dtype = dtype


cdef inline void* inputs_of(Stream self, x, Py_ssize_t* T) noexcept:
    """The data of one step's inputs, or of T steps' unless T is NULL; NULL if they do not fit.

    T is filled in.
    """
    cdef Running* r = <Running*> self.running
    cdef Sizes s = r.call.sizes
    cdef int batch_axes = self.batch_size is not None, axes = batch_axes + (T != NULL) + 1
    cdef np.npy_intp* shape
    cdef Py_ssize_t n = s.B * s.I
    if type(x) is not np.ndarray or not is_array(x, r.dtype, axes,
                                                 READ | np.NPY_ARRAY_C_CONTIGUOUS):
        return NULL
    shape = np.PyArray_DIMS(<np.ndarray> x)
    if (batch_axes and shape[0] != s.B) or shape[axes - 1] != s.I:
        return NULL
    if T:
        T[0] = shape[batch_axes]
        n *= T[0]
    if n == 0 or not r.table.all_finite(n, np.PyArray_DATA(<np.ndarray> x)):
        return NULL
    return np.PyArray_DATA(<np.ndarray> x)


cdef inline outputs_for(Stream self, Py_ssize_t T):
    """A new array for the outputs of T steps, without a time axis where T is 0."""
    cdef Sizes s = (<Running*> self.running).call.sizes
    cdef np.npy_intp[3] shape
    cdef int axes = 0
    if self.batch_size is not None:
        shape[axes] = s.B
        axes += 1
    if T:
        shape[axes] = T
        axes += 1
    shape[axes] = s.O
    return np.PyArray_EMPTY(axes + 1, shape, (<Running*> self.running).dtype, 0)


CONVERT = "convert: expected to return an array that the stream can take"


cdef state_for(Stream self):
    """A new array (batch, hidden) for the state."""
    cdef Sizes s = (<Running*> self.running).call.sizes
    return numpy.empty((s.B, s.H), self.dtype)


cdef class Stream:
    """Sequences whose inputs come one step at a time: a state, and the parameters as they were.

    `RNN.stream` makes them. Outputs have the bits of `RNN.predict` on the same inputs, however
    they are cut into steps and blocks. One thread at a time may use a stream.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    dtype : numpy dtype
    state : array (batch, hidden) or (hidden,)
        A copy of the last hidden state; may be assigned to.
    """

    def __cinit__(self):
        self.running = PyMem_Calloc(1, sizeof(Running))
        if not self.running:
            raise MemoryError
        (<Running*> self.running).dtype = -1

    def __dealloc__(self):
        PyMem_Free(self.running)

    def __init__(self, theta, Py_ssize_t input_size, Py_ssize_t hidden_size,
                 Py_ssize_t output_size, batch_size, convert):
        cdef Running* r = <Running*> self.running
        cdef Call c
        cdef int dtype = float_type(theta)
        cdef void* data
        if r.dtype >= 0:
            raise RuntimeError("stream: expected to be made once, got a second __init__")
        memset(&c, 0, sizeof(c))
        c.sizes.T, c.sizes.B, c.sizes.I = 1, 1 if batch_size is None else batch_size, input_size
        c.sizes.H, c.sizes.O = hidden_size, output_size or hidden_size
        if not positive(c.sizes):
            raise ValueError("stream: expected sizes of at least 1")
        data = vector(theta, dtype, lay_parameters(&c, output_size != 0, dtype, NULL, NULL), READ)
        if not data:
            raise ValueError("theta: expected the parameters of a network of these sizes")
        lay_parameters(&c, output_size != 0, dtype, data, NULL)
        parameters = numpy.empty(table(dtype).packed_size(NULL, c.sizes), theta.dtype)
        table(dtype).lay_out_packed(NULL, c.sizes, np.PyArray_DATA(<np.ndarray> parameters),
                                    &c.packed)
        run_alone(table(dtype).pack_forward, &c)
        self.parameters, self.convert, self.batch_size = parameters, convert, batch_size
        start(self, dtype, &c)

    def step(self, x, out=None):
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
        cdef Running* r = <Running*> self.running
        cdef void* x_t = inputs_of(self, x, NULL)
        cdef void* y_t
        if not x_t:
            x = self.convert("x", x, "inputs")
            x_t = inputs_of(self, x, NULL)
            if not x_t:
                raise TypeError(CONVERT)
        if out is None:
            out = outputs_for(self, 0)
            y_t = np.PyArray_DATA(<np.ndarray> out)
        elif self.batch_size is None:
            y_t = vector(out, r.dtype, r.call.sizes.O, WRITTEN)
        else:
            y_t = matrix(out, r.dtype, r.call.sizes.B, r.call.sizes.O, WRITTEN)
        if not y_t:
            contracts.check_out(out, outputs_for(self, 0))
        take(r)
        r.call.x.data, r.call.y.data = x_t, y_t
        if r.is_long:
            with nogil:
                run_team(team_size(r.call.sizes), r.table.stream_step, &r.call)
        else:
            run_alone(r.table.stream_step, &r.call)
        exchange_states(r)
        give(r)
        return out

    def run(self, x):
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
        cdef Running* r = <Running*> self.running
        cdef Call c = r.call
        cdef Py_ssize_t T = 0
        cdef void* data = inputs_of(self, x, &T)
        if not data:
            x = self.convert("x", x, "time inputs")
            data = inputs_of(self, x, &T)
            if not data:
                raise TypeError(CONVERT)
        y = outputs_for(self, T)
        h = state_for(self)
        c.sizes.T = T
        c.x.data, c.x.per_sequence = data, T * c.sizes.I
        c.y.data, c.y.per_sequence = np.PyArray_DATA(<np.ndarray> y), T * c.sizes.O
        c.h0 = c.h_n = np.PyArray_DATA(<np.ndarray> h)
        workspace = numpy.empty(r.table.predict_workspace_size(NULL, c.sizes), y.dtype)
        c.workspace = np.PyArray_DATA(<np.ndarray> workspace)
        take(r)
        with nogil:
            move_state(r, NULL, c.h_n)
            run_team(team_size(c.sizes), r.table.predict, &c)
            move_state(r, c.h_n, NULL)
        give(r)
        return y

    @property
    def state(self):
        """A copy of the last hidden state (batch, hidden) or (hidden,); may be assigned to."""
        h = state_for(self)
        take(<Running*> self.running)
        move_state(<Running*> self.running, NULL, np.PyArray_DATA(<np.ndarray> h))
        give(<Running*> self.running)
        return h[0] if self.batch_size is None else h

    @state.setter
    def state(self, value):
        cdef Running* r = <Running*> self.running
        cdef Sizes s = r.call.sizes
        cdef void* data
        h = self.convert("state", value, "hidden")
        if self.batch_size is None:
            data = vector(h, r.dtype, s.H, READ)
        else:
            data = matrix(h, r.dtype, s.B, s.H, READ)
        if not data:
            raise TypeError(CONVERT)
        take(r)
        move_state(r, data, NULL)
        give(<Running*> self.running)

    def reset(self):
        """Make the state zero.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        take(<Running*> self.running)
        move_state(<Running*> self.running, NULL, NULL)
        give(<Running*> self.running)

    def copy(self):
        """Return a stream that goes on from the same state, independent of this one.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        cdef Stream twin = Stream.__new__(Stream)
        cdef Running* r = <Running*> self.running
        h = self.state
        twin.parameters, twin.convert = self.parameters, self.convert
        twin.batch_size = self.batch_size
        start(twin, r.dtype, &r.call)
        move_state(<Running*> twin.running, np.PyArray_DATA(<np.ndarray> h), NULL)
        return twin

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        raise TypeError(contracts.STREAM_PICKLED)

    @property
    def input_size(self):
        return (<Running*> self.running).call.sizes.I

    @property
    def hidden_size(self):
        return (<Running*> self.running).call.sizes.H

    @property
    def output_size(self):
        return (<Running*> self.running).call.sizes.O

    @property
    def dtype(self):
        return self.parameters.dtype

    def __repr__(self):
        return contracts.stream_repr(self)

    cdef int step_float(self, const float* x, float* y) noexcept nogil:
        return step_alone(<Running*> self.running, np.NPY_FLOAT, x, y)

    cdef int step_double(self, const double* x, double* y) noexcept nogil:
        return step_alone(<Running*> self.running, np.NPY_DOUBLE, x, y)


# The functions of crnn.h

cdef crnn_stream* get_stream(void* candidate) except NULL with gil:
    if not isinstance(<object> candidate, Stream):
        raise TypeError(
            "stream: expected what stream() of a network with compiled kernels returns, "
            f"got {type(<object> candidate).__name__}"
        )
    return <crnn_stream*> (<Stream> <object> candidate).running


cdef crnn_sizes get_sizes(const crnn_stream* stream) noexcept nogil:
    cdef Running* r = <Running*> stream
    cdef crnn_sizes sizes
    sizes.batch, sizes.inputs = r.call.sizes.B, r.call.sizes.I
    sizes.hidden, sizes.outputs = r.call.sizes.H, r.call.sizes.O
    sizes.itemsize = itemsize(r.dtype)
    return sizes


cdef int step_float(crnn_stream* stream, const float* x, float* y) noexcept nogil:
    return step_alone(<Running*> stream, np.NPY_FLOAT, x, y)


cdef int step_double(crnn_stream* stream, const double* x, double* y) noexcept nogil:
    return step_alone(<Running*> stream, np.NPY_DOUBLE, x, y)


cdef int get_state_float(crnn_stream* stream, float* h) noexcept nogil:
    return move_state_alone(<Running*> stream, np.NPY_FLOAT, NULL, h)


cdef int get_state_double(crnn_stream* stream, double* h) noexcept nogil:
    return move_state_alone(<Running*> stream, np.NPY_DOUBLE, NULL, h)


cdef int set_state_float(crnn_stream* stream, const float* h) noexcept nogil:
    return move_state_alone(<Running*> stream, np.NPY_FLOAT, h, NULL)


cdef int set_state_double(crnn_stream* stream, const double* h) noexcept nogil:
    return move_state_alone(<Running*> stream, np.NPY_DOUBLE, h, NULL)


cdef crnn_api api
api.version = CRNN_API_VERSION
api.get_stream = <crnn_stream* (*)(void*) noexcept> get_stream
api.get_sizes = get_sizes
api.step_float, api.step_double = step_float, step_double
api.get_state_float, api.get_state_double = get_state_float, get_state_double
api.set_state_float, api.set_state_double = set_state_float, set_state_double
c_api = PyCapsule_New(&api, CRNN_API_NAME, NULL)
