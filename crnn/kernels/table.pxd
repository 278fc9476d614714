# The interface between native.pyx and the loops: a Call, and a table of functions for each dtype.
#
# The loops are compiled once for each instruction set, into modules that share no symbols. Each
# module offers its two tables in a capsule. Arrays are untyped here, because one type of table
# serves float32 and float64: a table's place in `Builds` says its dtype.

from crnn.kernels.cells cimport CellKind

cdef extern from "threads.h":
    ctypedef struct Mailbox:
        Py_ssize_t first
        Py_ssize_t last
        Py_ssize_t step
    ctypedef struct Interrupt:
        int is_stopped
    ctypedef struct Team:
        int index
        int count
        Mailbox* mailboxes
        bint is_held
        Interrupt* interrupt
    void team_wait(Team) noexcept nogil
    bint is_asked(Team) noexcept nogil
    void give_rows(Team, Py_ssize_t first, Py_ssize_t last, Py_ssize_t step) noexcept nogil
    void give_nothing(Team) noexcept nogil
    bint ask_for_rows(Team) noexcept nogil
    int claim_piece(Team, int member, int pieces) noexcept nogil
    void finish_job(Team, int pieces) noexcept nogil
    void did_work(Team, double multiply_adds) noexcept nogil
    bint is_stopped(Team) noexcept nogil
    bint was_stopped(Team) noexcept nogil
    enum: WORK_PER_LOOK
    # A task is defined as (Call*, Team, const vec* dtype).
    ctypedef void (*Task)(void* call, Team team, const void* dtype) noexcept nogil

cdef struct Sequences:
    # A (batch, time, features) array: the features of step t of sequence b are contiguous from
    # data + b * per_sequence + t * per_step, or where there are offsets from
    # data + offsets[b] + t * per_step, counted in scalars.
    void* data
    Py_ssize_t per_sequence
    Py_ssize_t per_step
    const Py_ssize_t* offsets

cdef struct Cell:
    # A row of cells.CELLS: how many blocks of H the arrays are made of
    CellKind kind
    Py_ssize_t weight_blocks
    Py_ssize_t bias_blocks
    Py_ssize_t da_blocks
    Py_ssize_t state_blocks
    Py_ssize_t gate_blocks
    Py_ssize_t leak_blocks
    Py_ssize_t shared_leaks

cdef struct Sizes:
    Py_ssize_t T    # time steps
    Py_ssize_t B    # sequences
    Py_ssize_t I    # inputs
    Py_ssize_t H    # hidden units
    Py_ssize_t O    # width of the outputs, which without an output layer is H
    bint has_output_layer
    const Cell* cell

cdef enum:
    # At most so many sequences of at least so many units are shared by units: with so few rows, a
    # step takes as long as reading the weights, of which each member then reads its share.
    FEW_SEQUENCES = 8
    MANY_UNITS = 256

cdef inline bint splits_units(Sizes s) noexcept nogil:
    """Whether members of a team share the units of every step, and not the sequences."""
    return s.B <= FEW_SEQUENCES and s.H >= MANY_UNITS

cdef inline bint has_leak(Sizes s) noexcept nogil:
    return s.cell.leak_blocks + s.cell.shared_leaks > 0

cdef inline bint trains_leak(Sizes s) noexcept nogil:
    """Whether there is a leak that is trained."""
    return s.cell.da_blocks > s.cell.bias_blocks

cdef inline Py_ssize_t bias_count(Sizes s) noexcept nogil:
    """The length of b_h, with the leaks after the biases."""
    return (s.cell.bias_blocks + s.cell.leak_blocks) * s.H + s.cell.shared_leaks

cdef inline Py_ssize_t parameter_count(Sizes s) noexcept nogil:
    """The length of the flat vector of parameters."""
    cdef Py_ssize_t n = s.H * s.cell.weight_blocks * (s.I + s.H) + bias_count(s)
    return n + s.O * (s.H + 1) if s.has_output_layer else n

cdef enum Loss:
    MSE
    SSE
    CROSS_ENTROPY
    # Of learners and fleets alone
    BINARY_CROSS_ENTROPY
    HUBER

cdef struct Packed:
    # Parameters laid out once for the loops of many forward calls; NULL: not there
    void* W_xh
    void* W_hh
    void* W_hy
    void* b_h
    void* b_y

cdef struct Call:
    # The arrays of one call, named as the kernels name them; NULL: not there, or not wanted.
    # `reference` says what they hold.
    Sizes sizes
    Sequences x, h, gates, y, dh, da, dx
    Py_ssize_t to_c         # scalars from h_t to c_t in the state of an LSTM
    # Where sequences have lengths, they are counted from the longest to the shortest, and
    # `offsets` say where each is. NULL: all have T steps.
    const Py_ssize_t* lengths   # (B,): of each sequence
    const Py_ssize_t* places    # (B,): the number of each sequence of the caller's order
    Py_ssize_t passed           # steps that lengths count and that are before those of the arrays
    # Sequences that restart (restarts.pxi). data NULL: none does
    Sequences resets            # a byte for each step, not 0 where the sequence restarts before it
    const void* start           # (S,): the state then
    void* dstart                # (B, S): its gradients are added; or NULL
    void* kept_states           # (B, S) of room, and (B, biases * H)
    void* kept_gradients
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
    const void* h0          # `predict`: NULL is zero; `stream_step`: NULL is the state in h
    void* h_n
    void* workspace
    Packed packed           # `predict` and `stream_step` read these instead of the parameters

    # `gradient` and `rtrl_step` alone
    const void* targets
    Loss loss
    double huber_delta
    double* losses          # (B,), written: the sum over each sequence's steps; `rtrl_step`: (1,)
    # `rtrl_step` alone
    Sequences S             # sensitivities (rtrl.pxi)

# Sums over rows of outputs; the gradients go to dy unless that is NULL. `weights` has a number for
# each row, or is NULL: all are 1. The rows' gradients are divided by `total`. `value` is the sum
# over the rows before.
ctypedef double (*squared_error_function)(
    Py_ssize_t n, const void* y_hat, const void* y, double scale, void* dy) noexcept nogil
ctypedef double (*weighted_squared_error_function)(
    Py_ssize_t rows, Py_ssize_t outputs, const void* y_hat, const void* y, const double* weights,
    double total, double scale, void* dy) noexcept nogil
ctypedef double (*huber_function)(
    Py_ssize_t rows, Py_ssize_t outputs, const void* y_hat, const void* y, const double* weights,
    double total, double delta, void* dy) noexcept nogil
ctypedef double (*binary_cross_entropy_function)(
    double value, Py_ssize_t rows, Py_ssize_t outputs, const void* y_hat, const void* y,
    const double* weights, double total, void* dy) noexcept nogil
ctypedef double (*cross_entropy_function)(
    double value, Py_ssize_t rows, Py_ssize_t classes, const void* y_hat, const Py_ssize_t* y,
    const double* weights, double total, void* dy) noexcept nogil

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

# How many scalars of memory a task needs
ctypedef Py_ssize_t (*size_function)(const void* dtype, Sizes) noexcept nogil
ctypedef void (*place_packed_function)(
    const void* dtype, Sizes, void* memory, Packed*) noexcept nogil
ctypedef void (*place_call_function)(const void* dtype, Call*, void* memory) noexcept nogil
ctypedef void (*copy_sensitivities_function)(
    const void* dtype, const Call*, bint to_rows, void* rows) noexcept nogil

cdef struct Table:
    # Tasks of a team, on a Call
    Task rnn_forward
    Task rnn_backward
    Task output_forward
    Task output_backward
    Task gradient
    Task pack_forward
    Task predict
    Task stream_step
    Task rtrl_step
    Task rtrl_predict
    # Their memory
    size_function layer_workspace_size
    size_function output_workspace_size
    size_function gradient_workspace_size
    size_function packed_forward_size
    size_function predict_workspace_size
    size_function stream_workspace_size
    size_function rtrl_workspace_size
    place_packed_function place_packed
    place_call_function place_stream
    place_call_function place_rtrl
    copy_sensitivities_function copy_sensitivities
    # Functions on vectors
    squared_error_function squared_error
    weighted_squared_error_function weighted_squared_error
    huber_function huber
    binary_cross_entropy_function binary_cross_entropy
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
