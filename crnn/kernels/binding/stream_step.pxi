# A step of sequences whose inputs come one at a time, with states that the caller holds.

cdef enum:
    # Where packed parameters are in their memory depends on its address modulo this, which is the
    # alignment of panels in the loops. `stream_parameters` returns memory at a multiple of it, and
    # `stream_step` refuses any other: a copy of the array.
    PARAMETERS_ALIGNMENT = 64


cdef bint is_aligned(const void* data) noexcept nogil:
    return <size_t> data % PARAMETERS_ALIGNMENT == 0


cdef packed_memory(Sizes s, like, int dtype):
    """A new aligned vector of `packed_forward_size` scalars."""
    cdef Py_ssize_t n = table(dtype).packed_forward_size(NULL, s), size = itemsize(dtype)
    cdef Py_ssize_t line = PARAMETERS_ALIGNMENT // size
    memory = numpy.empty(n + line, like.dtype)
    cdef Py_ssize_t first = (-<Py_ssize_t> np.PyArray_DATA(<np.ndarray> memory)
                             & (PARAMETERS_ALIGNMENT - 1)) // size
    return memory[first:first + n]


def stream_parameters(cell, theta, Py_ssize_t input_size, Py_ssize_t hidden_size,
                      Py_ssize_t output_size, Py_ssize_t batch):
    cdef int dtype = float_type(theta)
    cdef Call c
    cdef void* data = NULL
    memset(&c, 0, sizeof(c))
    c.sizes = as_sizes(cell, 1, batch, input_size, hidden_size, output_size)
    if positive(c.sizes):
        data = vector(theta, dtype, parameter_count(c.sizes), READ)
    if not data:
        _refuse("stream_parameters", {"theta": theta}, cell=cell, batch=batch,
                input_size=input_size, hidden_size=hidden_size, output_size=output_size)
    parameters = packed_memory(c.sizes, theta, dtype)
    place_parameters(&c, dtype, data)
    table(dtype).place_packed(NULL, c.sizes, np.PyArray_DATA(<np.ndarray> parameters), &c.packed)
    run_alone(table(dtype).pack_forward, &c)
    return parameters


cdef inline Sizes step_sizes(x, h, cell, Py_ssize_t output_size) except *:
    """Sizes from x (B, I) and h (B, states * H)."""
    cdef Sizes s = as_sizes(cell, 1, length(x), width(x), 0, output_size)
    s.H = width(h) // s.cell.state_blocks
    s.O = output_size or s.H
    return s


def stream_step(cell, parameters, x, h, h_next, y, Py_ssize_t output_size, workspace):
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = step_sizes(x, h, cell, output_size)
    cdef Py_ssize_t state = s.cell.state_blocks * s.H, needed = 0
    cdef Call c
    cdef void* packed = NULL
    cdef void* memory = NULL
    memset(&c, 0, sizeof(c))
    c.sizes = s
    c.x.data = matrix(x, dtype, s.B, s.I, READ)
    c.h0 = matrix(h, dtype, s.B, state, READ)
    c.h_n = matrix(h_next, dtype, s.B, state, WRITTEN)
    c.y.data = matrix(y, dtype, s.B, s.O, WRITTEN)
    if positive(s) and c.x.data and c.h0 and c.h_n and c.y.data:
        packed = vector(parameters, dtype, f.packed_forward_size(NULL, s), READ)
        if not is_aligned(packed):
            packed = NULL
        needed = f.stream_workspace_size(NULL, s)
        memory = scratch(workspace, dtype, needed)
    if not (packed and memory):
        arrays = {"x": x, "h": h, "h_next": h_next, "y": y, "parameters": parameters,
                  "workspace": workspace}
        contracts.check("stream_step", arrays, cell=cell, output_size=output_size)
        if not packed:
            raise contracts.foreign_parameters(parameters)
        _refuse("stream_step", arrays, needed, cell=cell, output_size=output_size)
    c.x.per_sequence = c.x.per_step = s.I
    c.y.per_sequence = c.y.per_step = s.O
    f.place_packed(NULL, s, packed, &c.packed)
    f.place_stream(NULL, &c, memory)
    if multiply_adds(s) >= LONG_STEP:
        with nogil:
            run_team(team_size(s), f.stream_step, &c, NULL)
    else:
        run_alone(f.stream_step, &c)
