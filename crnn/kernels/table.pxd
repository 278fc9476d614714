# What one build of the typed loops offers: a table of functions for each dtype.
#
# The loops are compiled once for each instruction set, into modules that share no symbols. Each
# hands its tables to native.pyx in a capsule. Arrays are untyped here because one table type
# serves float32 and float64; which of the two a table is for is its place in `Builds`.

cdef extern from "threads.h":
    ctypedef struct Team:
        int index
        int count
    void team_wait(Team) noexcept nogil
    ctypedef void (*Task)(void* arguments, Team team) noexcept nogil

cdef struct Sequences:
    # A (batch, time, features) array: the features of step t of sequence b are contiguous from
    # data + b * per_sequence + t * per_step, counted in scalars.
    void* data
    Py_ssize_t per_sequence
    Py_ssize_t per_step

cdef enum CellKind:
    # In the order of contracts.CELLS
    TANH_CELL
    RELU_CELL
    GRU_CELL
    GRU_RESET_BEFORE_CELL
    LSTM_CELL
    CELL_COUNT

cdef struct Cell:
    # A row of contracts.CELLS, which says what the numbers of blocks mean
    CellKind kind
    Py_ssize_t gates
    Py_ssize_t sums
    Py_ssize_t states
    Py_ssize_t kept

cdef struct Sizes:
    Py_ssize_t T    # time steps
    Py_ssize_t B    # sequences
    Py_ssize_t I    # inputs
    Py_ssize_t H    # hidden units
    Py_ssize_t O    # outputs
    const Cell* cell

cdef enum Loss:
    MSE
    SSE
    CROSS_ENTROPY

cdef struct Packed:
    # Parameters laid out once for the loops of many forward calls; NULL where there are none
    void* W_xh
    void* W_hh
    void* W_hy
    void* b_h
    void* b_y

cdef struct Call:
    # One call's arrays, named as the kernels name them; those a kernel does not use are NULL.
    Sizes sizes
    Sequences x, h, gates, y, dh, dc, da, dx
    Py_ssize_t to_c         # scalars from h_t to c_t in the state of an LSTM
    const void* W_xh
    const void* W_hh
    const void* b_h
    const void* W_hy
    const void* b_y
    void* dW_xh
    void* dW_hh
    void* db_h
    void* dW_hy
    void* db_y
    void* dh0
    const void* h0          # NULL: zero
    void* h_n
    void* workspace
    Packed packed           # what `predict` and `stream_step` read in place of the parameters

    # What a whole training step needs beside them.
    const void* targets
    Loss loss
    double* losses          # (B,), out: the part of each sequence

ctypedef double (*squared_error_function)(
    Py_ssize_t n, const void* y_hat, const void* y, double scale, void* dy) noexcept nogil
ctypedef double (*cross_entropy_function)(
    Py_ssize_t rows, Py_ssize_t classes, const void* y_hat, const Py_ssize_t* y, Py_ssize_t n,
    void* dy) noexcept nogil
ctypedef bint (*all_finite_function)(Py_ssize_t n, const void* values) noexcept nogil
ctypedef double (*global_norm_function)(Py_ssize_t n, const void* values) noexcept nogil
ctypedef void (*scale_function)(Py_ssize_t n, void* values, double factor) noexcept nogil
ctypedef void (*clip_value_function)(Py_ssize_t n, void* values, double limit) noexcept nogil
ctypedef bint (*sgd_step_function)(
    Py_ssize_t n, void* theta, const void* dtheta, void* velocity, double lr, double momentum,
    bint nesterov, double weight_decay) noexcept nogil
ctypedef bint (*rmsprop_step_function)(
    Py_ssize_t n, void* theta, const void* dtheta, void* square, void* velocity, double lr,
    double alpha, double eps, double momentum, double weight_decay) noexcept nogil
ctypedef bint (*adam_step_function)(
    Py_ssize_t n, void* theta, const void* dtheta, void* mean, void* square, Py_ssize_t step,
    double lr, double beta1, double beta2, double eps, double weight_decay,
    bint decoupled) noexcept nogil
ctypedef Py_ssize_t (*workspace_size_function)(const void* dtype, Sizes) noexcept nogil

ctypedef void (*lay_out_packed_function)(
    const void* dtype, Sizes, void* memory, Packed*) noexcept nogil

cdef struct Table:
    workspace_size_function workspace_size
    workspace_size_function gradient_workspace_size
    workspace_size_function predict_workspace_size
    workspace_size_function packed_size
    lay_out_packed_function lay_out_packed
    # Tasks of a team, on a Call
    Task rnn_forward
    Task rnn_backward
    Task output_forward
    Task output_backward
    Task gradient
    Task pack_forward
    Task predict
    Task stream_step
    squared_error_function squared_error
    cross_entropy_function cross_entropy
    all_finite_function all_finite
    global_norm_function global_norm
    scale_function scale
    clip_value_function clip_value
    sgd_step_function sgd_step
    rmsprop_step_function rmsprop_step
    adam_step_function adam_step

cdef struct Builds:
    Table float32
    Table float64
