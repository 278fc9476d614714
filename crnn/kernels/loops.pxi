# Everything an instruction-set build contains: the loops, and the table that hands them out.

from cpython.pycapsule cimport PyCapsule_New

from crnn.kernels.table cimport (
    Builds, Sequences, Sizes, Table, all_finite_function, clip_value_function,
    cross_entropy_function, global_norm_function, output_backward_function,
    output_forward_function, rnn_backward_function, rnn_forward_function, scale_function,
    sgd_step_function, squared_error_function, workspace_size_function,
)

include "simd.pxi"
include "activations.pxi"
include "tile.pxi"
include "sequences.pxi"
include "rnn.pxi"
include "output.pxi"
include "reductions.pxi"
include "losses.pxi"
include "updates.pxi"


cdef Py_ssize_t workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that any one of the kernels needs, and the slack to align them."""
    cdef Py_ssize_t slack = PANEL_ALIGNMENT // itemsize(dtype)
    cdef Py_ssize_t forward = packed_size(dtype, s.I, s.H) + packed_size(dtype, s.H, s.H)
    cdef Py_ssize_t rows = packed_size(dtype, ROWS_PACKED, max(s.I, s.H))
    cdef Py_ssize_t inputs = packed_size(dtype, s.H, s.I)
    cdef Py_ssize_t backward = packed_size(dtype, s.H, s.H) + max(rows, inputs)
    cdef Py_ssize_t output = max(packed_size(dtype, s.H, s.O),
                                 max(packed_size(dtype, s.O, s.H), rows))
    return slack + max(forward, max(backward, output))


cdef void fill(Table* table, const vec* dtype, const real* scalar) noexcept:
    table.workspace_size = <workspace_size_function> workspace_size[vec]
    table.rnn_forward = <rnn_forward_function> rnn_forward[vec]
    table.rnn_backward = <rnn_backward_function> rnn_backward[vec]
    table.output_forward = <output_forward_function> output_forward[vec]
    table.output_backward = <output_backward_function> output_backward[vec]
    table.squared_error = <squared_error_function> squared_error[real]
    table.cross_entropy = <cross_entropy_function> cross_entropy[real]
    table.all_finite = <all_finite_function> all_finite[real]
    table.global_norm = <global_norm_function> global_norm[real]
    table.scale = <scale_function> scale[real]
    table.clip_value = <clip_value_function> clip_value[real]
    table.sgd_step = <sgd_step_function> sgd_step[real]


cdef Builds builds
fill(&builds.float32, <const vec_f32*> NULL, <const float*> NULL)
fill(&builds.float64, <const vec_f64*> NULL, <const double*> NULL)
capsule = PyCapsule_New(&builds, "crnn.kernels.Builds", NULL)
