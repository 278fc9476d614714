# What one build of the typed loops offers: a table of functions for each dtype.
#
# The loops are compiled once for each instruction set, into modules that share no symbols. Each
# hands its tables to native.pyx in a capsule. Arrays are untyped here because one table type
# serves float32 and float64; which of the two a table is for is its place in `Builds`.

cdef struct Sequences:
    # A (batch, time, features) array: the features of step t of sequence b are contiguous from
    # data + b * per_sequence + t * per_step, counted in scalars.
    void* data
    Py_ssize_t per_sequence
    Py_ssize_t per_step

cdef struct Sizes:
    Py_ssize_t T    # time steps
    Py_ssize_t B    # sequences
    Py_ssize_t I    # inputs
    Py_ssize_t H    # hidden units
    Py_ssize_t O    # outputs

ctypedef Py_ssize_t (*workspace_size_function)(const void* dtype, Sizes) noexcept nogil
ctypedef void (*rnn_forward_function)(
    Sizes, Sequences x, const void* W_xh, const void* W_hh, const void* b_h, Sequences h,
    void* workspace) noexcept nogil
ctypedef void (*rnn_backward_function)(
    Sizes, Sequences x, Sequences h, const void* W_xh, const void* W_hh, Sequences dh, void* dW_xh,
    void* dW_hh, void* db_h, Sequences dx, void* dh0, void* workspace) noexcept nogil
ctypedef void (*output_forward_function)(
    Sizes, Sequences h, const void* W_hy, const void* b_y, Sequences y,
    void* workspace) noexcept nogil
ctypedef void (*output_backward_function)(
    Sizes, Sequences h, const void* W_hy, Sequences dy, void* dW_hy, void* db_y, Sequences dh,
    void* workspace) noexcept nogil
ctypedef double (*squared_error_function)(
    Py_ssize_t n, const void* y_hat, const void* y, double scale, void* dy) noexcept nogil
ctypedef double (*cross_entropy_function)(
    Py_ssize_t rows, Py_ssize_t classes, const void* y_hat, const Py_ssize_t* y,
    void* dy) noexcept nogil
ctypedef bint (*all_finite_function)(Py_ssize_t n, const void* values) noexcept nogil
ctypedef double (*global_norm_function)(Py_ssize_t n, const void* values) noexcept nogil
ctypedef void (*scale_function)(Py_ssize_t n, void* values, double factor) noexcept nogil
ctypedef void (*clip_value_function)(Py_ssize_t n, void* values, double limit) noexcept nogil
ctypedef void (*sgd_step_function)(
    Py_ssize_t n, void* theta, const void* dtheta, void* velocity, double lr, double momentum,
    bint nesterov) noexcept nogil

cdef struct Table:
    workspace_size_function workspace_size
    rnn_forward_function rnn_forward
    rnn_backward_function rnn_backward
    output_forward_function output_forward
    output_backward_function output_backward
    squared_error_function squared_error
    cross_entropy_function cross_entropy
    all_finite_function all_finite
    global_norm_function global_norm
    scale_function scale
    clip_value_function clip_value
    sgd_step_function sgd_step

cdef struct Builds:
    Table float32
    Table float64
