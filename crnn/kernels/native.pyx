"""Every kernel compiled: look at the arrays, drop the GIL, call the loops of this processor.

The functions are those of `reference`, which documents them, with the same signatures and errors.
Each one here puts its arrays into a `Call`, whose pointers stay NULL where an array is not what the
loops rely on (`native_arrays.pxi`). Such a call is refused, and `contracts` says why. The class
`Stream` is in `native_stream.pxi`.
"""

import os
from importlib import import_module
from importlib.util import find_spec

cimport numpy as np
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY, isfinite
from libc.string cimport memset

from crnn.kernels.table cimport (
    CELL_COUNT, CROSS_ENTROPY, MSE, SSE, Builds, Call, Cell, CellKind, Sequences, Sizes, Table,
    Task,
)

import numpy

from crnn.kernels import contracts, streams
from crnn.kernels.cells import CELLS, float_dtype, get_cell

np.import_array()

cdef extern from "pool.h" nogil:
    void run_team(int threads, Task task, void* arguments)
    void run_alone(Task task, void* arguments)
    ctypedef int crnn_atomic
    int atomic_swap(crnn_atomic*, int)
    void atomic_set(crnn_atomic*, int)
    enum: MOST_THREADS

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


cdef Cell[CELL_COUNT] cells
cdef dict CELL_KINDS = {}
if len(CELLS) != CELL_COUNT:
    raise ImportError(f"CellKind: expected {len(CELLS)} kinds of cells, got {CELL_COUNT}")
for _kind, (_name, _cell) in enumerate(CELLS.items()):
    CELL_KINDS[_name] = _kind
    cells[_kind].kind = <CellKind> <int> _kind
    cells[_kind].gates, cells[_kind].sums, cells[_kind].states, cells[_kind].kept = _cell


cdef inline const Cell* cell_of(name) except NULL:
    kind = CELL_KINDS.get(name) if type(name) is str else None
    if kind is None:
        get_cell(name)
    return &cells[<int> kind]


include "native_arrays.pxi"


def refuse(kernel, arrays, cell="tanh", hidden_size=None, output_size=None):
    """Raise what is wrong with a call."""
    contracts.check(kernel, arrays, cell, hidden_size, output_size)
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
    return &builds.float64 if float_dtype(dtype) == "float64" else &builds.float32


def workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s
    s.cell = cell_of(cell)
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).workspace_size(NULL, s)


def gradient_workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s
    s.cell = cell_of(cell)
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).gradient_workspace_size(NULL, s)


def predict_workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s
    s.cell = cell_of(cell)
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
    cdef double work = <double> s.T * s.B * s.H * (s.cell.gates * (s.I + s.H) + s.O)
    return <int> max(1, min(num_threads, min((s.B + 1) // 2, work / WORTH_A_THREAD)))


cdef inline bint below(const Py_ssize_t* classes, Py_ssize_t n, Py_ssize_t limit) noexcept nogil:
    """Whether all are class numbers below the limit."""
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= classes[i] < limit:
            return False
    return True


cdef inline Sizes layer_sizes(x, h, W_hh, W_xh, cell, int dtype) except *:
    """T, B, I and H of a layer's call; of the states where there is no x."""
    cdef const Cell* of = cell_of(cell)
    cdef Sizes s = sizes_of(h if x is None else x, dtype)
    if x is None:
        s.T -= 1
        s.I = np.PyArray_DIMS(<np.ndarray> W_xh)[1] if is_array(W_xh, dtype, 2, 0) else 0
    s.cell = of
    s.H = np.PyArray_DIMS(<np.ndarray> W_hh)[1] if is_array(W_hh, dtype, 2, 0) else 0
    return s


def rnn_forward(cell, x, W_xh, W_hh, b_h, h, gates, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = layer_sizes(x, h, W_hh, W_xh, cell, dtype)
    cdef Py_ssize_t kept = s.cell.kept * s.H
    cdef Call c
    c.sizes, c.to_c = s, s.H
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.W_xh = matrix(W_xh, dtype, s.cell.gates * s.H, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, s.cell.gates * s.H, s.H, READ)
    c.b_h = vector(b_h, dtype, s.cell.sums * s.H, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.cell.states * s.H, WRITTEN)
    c.gates = sequences(gates, dtype, s.B, s.T, kept, WRITTEN)
    if not (positive(s) and (c.x.data or x is None) and c.W_xh and c.W_hh and c.b_h
            and c.h.data and (c.gates.data != NULL if kept else gates is None)):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, table(dtype).workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_forward", {"x": x, "W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "h": h,
                               "gates": gates, "workspace": workspace}, cell)
    with nogil:
        run_team(team_size(s), table(dtype).rnn_forward, &c)


def rnn_backward(cell, x, h, gates, W_xh, W_hh, dh, dc, da, dW_xh, dW_hh, db_h, dx, dh0, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = layer_sizes(x, h, W_hh, W_xh, cell, dtype)
    cdef Py_ssize_t kept = s.cell.kept * s.H, N = s.cell.gates * s.H, sums = s.cell.sums * s.H
    cdef bint has_c = s.cell.states == 2
    cdef Call c
    c.sizes, c.to_c = s, s.H
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.cell.states * s.H, READ)
    c.gates = sequences(gates, dtype, s.B, s.T, kept, READ)
    c.W_xh = matrix(W_xh, dtype, N, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, N, s.H, READ)
    c.dh = sequences(dh, dtype, s.B, s.T, s.H, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dc = sequences(dc, dtype, s.B, s.T, s.H, READ)
    c.da = c.dh
    if kept:
        c.da = sequences(da, dtype, s.B, s.T, sums, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dW_xh = matrix(dW_xh, dtype, N, s.I, WRITTEN)
    c.dW_hh = matrix(dW_hh, dtype, N, s.H, WRITTEN)
    c.db_h = vector(db_h, dtype, sums, WRITTEN)
    c.dx = sequences(dx, dtype, s.B, s.T, s.I, WRITTEN)
    c.dh0 = matrix(dh0, dtype, s.B, s.cell.states * s.H, WRITTEN)
    if not (positive(s) and (c.x.data or x is None) and c.h.data and c.W_xh and c.W_hh
            and c.dh.data and c.dW_xh and c.dW_hh and c.db_h and (c.dx.data or dx is None)
            and c.dh0 and (c.gates.data != NULL if kept else gates is None)
            and (c.da.data != NULL if kept else da is None)
            and (dc is None or (has_c and c.dc.data))):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, table(dtype).workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_backward", {"x": x, "h": h, "gates": gates, "W_xh": W_xh, "W_hh": W_hh,
                                "dh": dh, "dc": dc, "da": da, "dW_xh": dW_xh, "dW_hh": dW_hh,
                                "db_h": db_h, "dx": dx, "dh0": dh0, "workspace": workspace}, cell)
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
    cdef Py_ssize_t size = itemsize(dtype), N = s.cell.gates * s.H
    cdef Py_ssize_t W_hh = N * s.I, b_h = W_hh + N * s.H, W_hy = b_h + s.cell.sums * s.H
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
    cell, x, y, theta, dtheta, Py_ssize_t hidden_size, Py_ssize_t output_size, loss, max_norm,
    max_value, workspace
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
    s.cell = cell_of(cell)
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
               cell, hidden_size, output_size)
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


def rnn_predict(
    cell, x, h0, theta, Py_ssize_t hidden_size, Py_ssize_t output_size, y, h_n, workspace
):
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    cdef void* theta_data
    s.cell = cell_of(cell)
    s.H, s.O = hidden_size, output_size or hidden_size
    memset(&c.packed, 0, sizeof(c.packed))
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h0 = matrix(h0, dtype, s.B, s.cell.states * s.H, READ)
    theta_data = vector(theta, dtype, lay_parameters(&c, output_size != 0, dtype, NULL, NULL), READ)
    lay_parameters(&c, output_size != 0, dtype, theta_data, NULL)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.h_n = matrix(h_n, dtype, s.B, s.cell.states * s.H, WRITTEN)
    if not (positive(s) and c.x.data and (c.h0 or h0 is None) and theta_data and c.y.data
            and (c.h_n or h_n is None)):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, f.predict_workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_predict", {"x": x, "h0": h0, "theta": theta, "y": y, "h_n": h_n,
                               "workspace": workspace}, cell, hidden_size, output_size)
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


def sgd_step(theta, dtheta, velocity, double lr, double momentum, bint nesterov,
             double weight_decay):
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
                                             nesterov, weight_decay)
    return stays_finite


def rmsprop_step(theta, dtheta, square, velocity, double lr, double alpha, double eps,
                 double momentum, double weight_decay):
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef void* gradient = vector(dtheta, dtype, n, READ)
    cdef void* squares = vector(square, dtype, n, WRITTEN)
    cdef void* memory = vector(velocity, dtype, n, WRITTEN)
    cdef bint stays_finite
    if velocity is None and momentum != 0:
        raise ValueError(contracts.VELOCITY_MISSING)
    if not (n and parameters and gradient and squares and (memory or velocity is None)):
        refuse("rmsprop_step", {"theta": theta, "dtheta": dtheta, "square": square,
                                "velocity": velocity})
    with nogil:
        stays_finite = table(dtype).rmsprop_step(n, parameters, gradient, squares, memory, lr,
                                                 alpha, eps, momentum, weight_decay)
    return stays_finite


def adam_step(theta, dtheta, mean, square, Py_ssize_t step, double lr, double beta1, double beta2,
              double eps, double weight_decay, bint decoupled):
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef void* gradient = vector(dtheta, dtype, n, READ)
    cdef void* means = vector(mean, dtype, n, WRITTEN)
    cdef void* squares = vector(square, dtype, n, WRITTEN)
    cdef bint stays_finite
    if not (n and parameters and gradient and means and squares):
        refuse("adam_step", {"theta": theta, "dtheta": dtheta, "mean": mean, "square": square})
    with nogil:
        stays_finite = table(dtype).adam_step(n, parameters, gradient, means, squares, step, lr,
                                              beta1, beta2, eps, weight_decay, decoupled)
    return stays_finite


def is_plain(array, like, tuple shape):
    cdef int dtype = float_type(like)
    cdef np.npy_intp* sizes
    cdef Py_ssize_t axis, n = 1, expected
    if (type(array) is not np.ndarray or dtype < 0
            or not is_array(array, dtype, len(shape), READ | np.NPY_ARRAY_C_CONTIGUOUS)):
        return False
    sizes = np.PyArray_DIMS(<np.ndarray> array)
    for axis in range(len(shape)):
        expected = shape[axis]
        if sizes[axis] == 0 or (expected >= 0 and sizes[axis] != expected):
            return False
        n *= sizes[axis]
    return table(dtype).all_finite(n, np.PyArray_DATA(<np.ndarray> array))


include "native_stream.pxi"
