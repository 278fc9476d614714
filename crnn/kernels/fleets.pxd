# The interface between native.pyx and the loops of fleets (loops/fleet.pxi.in): many networks of
# one architecture, each in a SIMD lane of its own.

from crnn.kernels.table cimport Loss, Sizes, size_function

cdef struct FleetCall:
    # Sequence b of model n has the steps x[starts[n, b]] to x[starts[n, b] + lengths[n, b] - 1].
    # NULL: not there, or not wanted.
    Sizes sizes                 # T, the most steps of a sequence; B, sequences of a model
    const void* x               # (S, I)
    const void* y               # (S, O), or class numbers (S,)
    const double* weights       # (S,)
    const Py_ssize_t* starts    # (N, B)
    const Py_ssize_t* lengths   # (N, B)
    const void* theta           # (N, P)
    Loss loss
    double delta                # of the Huber loss
    double* losses              # (N,), written
    bint wants_gradient
    void* outputs               # (R, O), written: those of a sequence from output_starts[n, b] on
    const Py_ssize_t* output_starts

# Models in the lanes of a group, by their numbers: outputs are written, or losses and, to a row of
# the workspace for each, gradients. Returns the first row; rows are P scalars.
ctypedef void* (*fleet_group_function)(
    const void* dtype, const FleetCall*, const Py_ssize_t* models, Py_ssize_t count,
    void* workspace) noexcept nogil

# The loss of a model from its outputs, sequence after sequence, which are written over.
ctypedef double (*fleet_loss_function)(
    const void* dtype, const FleetCall*, Py_ssize_t model, void* outputs) noexcept nogil

cdef struct FleetTable:
    Py_ssize_t lanes            # models of a group
    fleet_group_function group
    fleet_loss_function loss
    size_function workspace_size    # scalars for a group

cdef struct FleetBuilds:
    FleetTable float32
    FleetTable float64
