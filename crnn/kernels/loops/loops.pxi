# Everything that the build for one instruction set contains: the loops, and the table of them.

from cpython.pycapsule cimport PyCapsule_New

from libc.string cimport memset

from crnn.kernels.cells cimport (
    GRU_CELL, GRU_RESET_BEFORE_CELL, LEAKY_RELU_CELL, LSTM_CELL, RELU_CELL,
)
from crnn.kernels.table cimport (
    BINARY_CROSS_ENTROPY, CROSS_ENTROPY, HUBER, MSE, SSE, WORK_PER_LOOK, Builds, Call, Mailbox,
    Packed, Sequences, Sizes, Table, Task, Team, adam_step_function, all_finite_function,
    ask_for_rows, bias_count, binary_cross_entropy_function, claim_piece, clip_value_function,
    copy_sensitivities_function, cross_entropy_function, did_work, finish_job, give_nothing,
    give_rows, global_norm_function, has_leak, huber_function, is_asked, is_stopped,
    parameter_count, place_call_function, place_packed_function, rmsprop_step_function,
    scale_function, sgd_step_function, size_function, splits_units, squared_error_function,
    team_wait, trains_leak, was_stopped, weighted_squared_error_function,
)

include "simd.pxi"
include "activations.pxi"
include "sharing.pxi"
include "restarts.pxi"
include "tile.pxi"
include "product.pxi"
include "weight_gradients.pxi"
include "row.pxi"
include "output.pxi"
include "plain.pxi"
include "gru.pxi"
include "lstm.pxi"
include "leaky.pxi"
include "recurrence.pxi"
include "reductions.pxi"
include "losses.pxi"
include "updates.pxi"
include "gradient.pxi"
include "predict.pxi"
include "stream.pxi"
include "sensitivities.pxi"
include "rtrl.pxi"
include "fleet.pxi"


cdef void fill(Table* table, const vec* dtype, const real* scalar) noexcept:
    table.rnn_forward = <Task> rnn_forward[vec]
    table.rnn_backward = <Task> rnn_backward[vec]
    table.output_forward = <Task> output_forward[vec]
    table.output_backward = <Task> output_backward[vec]
    table.gradient = <Task> gradient[vec]
    table.pack_forward = <Task> pack_forward[vec]
    table.predict = <Task> predict[vec]
    table.stream_step = <Task> stream_step[vec]
    table.rtrl_step = <Task> rtrl_step[vec]
    table.rtrl_predict = <Task> rtrl_predict[vec]
    table.layer_workspace_size = <size_function> layer_workspace_size[vec]
    table.output_workspace_size = <size_function> output_workspace_size[vec]
    table.gradient_workspace_size = <size_function> gradient_workspace_size[vec]
    table.packed_forward_size = <size_function> packed_forward_size[vec]
    table.predict_workspace_size = <size_function> predict_workspace_size[vec]
    table.stream_workspace_size = <size_function> stream_workspace_size[vec]
    table.place_packed = <place_packed_function> place_packed[vec]
    table.place_stream = <place_call_function> place_stream[vec]
    table.rtrl_workspace_size = <size_function> rtrl_workspace_size[vec]
    table.place_rtrl = <place_call_function> place_rtrl[vec]
    table.copy_sensitivities = <copy_sensitivities_function> copy_sensitivities[vec]
    table.squared_error = <squared_error_function> squared_error[real]
    table.weighted_squared_error = <weighted_squared_error_function> weighted_squared_error[real]
    table.huber = <huber_function> huber[real]
    table.binary_cross_entropy = <binary_cross_entropy_function> binary_cross_entropy[real]
    table.cross_entropy = <cross_entropy_function> cross_entropy[real]
    table.all_finite = <all_finite_function> all_finite[real]
    table.global_norm = <global_norm_function> global_norm[real]
    table.scale = <scale_function> scale[real]
    table.clip_value = <clip_value_function> clip_value[real]
    table.sgd_step = <sgd_step_function> sgd_step[real]
    table.rmsprop_step = <rmsprop_step_function> rmsprop_step[real]
    table.adam_step = <adam_step_function> adam_step[real]


cdef Builds builds
fill(&builds.float32, <const vec_f32*> NULL, <const float*> NULL)
fill(&builds.float64, <const vec_f64*> NULL, <const double*> NULL)
capsule = PyCapsule_New(&builds, "crnn.kernels.Builds", NULL)
