# Training in one call: for each batch the gradient, and a step of the optimizer with it.

from libc.stdint cimport uintptr_t

cdef enum:
    CACHE_LINE = 64

cdef struct Data:
    # What batches are taken from
    const char* x           # (B, T, I)
    const char* y           # (B, T, O), or class numbers (B, T)
    Py_ssize_t x_size       # bytes of a sequence
    Py_ssize_t y_size
    const Py_ssize_t* rows  # (R,): the sequences in their order
    Py_ssize_t count        # R


cdef inline Py_ssize_t whole_lines(Py_ssize_t size) noexcept nogil:
    return (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


# Bytes of the parts of the workspace for a batch, in their order: the gradient, what its kernel
# needs, and the batch's inputs and targets. Where they are not copied, this memory is not touched.
cdef inline Py_ssize_t gradient_bytes(int dtype, Sizes s) noexcept nogil:
    return whole_lines(parameter_count(s) * itemsize(dtype))


cdef inline Py_ssize_t kernel_bytes(int dtype, Sizes s) noexcept nogil:
    return whole_lines(table(dtype).gradient_workspace_size(NULL, s) * itemsize(dtype))


cdef inline Py_ssize_t input_bytes(int dtype, Sizes s) noexcept nogil:
    return whole_lines(s.B * s.T * s.I * itemsize(dtype))


cdef inline Py_ssize_t target_bytes(int dtype, Sizes s) noexcept nogil:
    return whole_lines(s.B * s.T * max(s.O * itemsize(dtype), <Py_ssize_t> sizeof(Py_ssize_t)))


cdef Py_ssize_t training_size(int dtype, Sizes s) noexcept nogil:
    """Scalars of the workspace for a batch, with the slack to align them."""
    cdef Py_ssize_t size = gradient_bytes(dtype, s) + kernel_bytes(dtype, s)
    size += input_bytes(dtype, s) + target_bytes(dtype, s)
    return (size + CACHE_LINE) // itemsize(dtype)


cdef inline const char* gathered(const char* values, Py_ssize_t size, const Py_ssize_t* rows,
                                 Py_ssize_t n, char* memory) noexcept nogil:
    """Rows of so many bytes: in their place if they are consecutive, otherwise copied."""
    cdef Py_ssize_t i
    for i in range(1, n):
        if rows[i] != rows[0] + i:
            break
    else:
        return values + rows[0] * size
    for i in range(n):
        memcpy(memory + i * size, values + rows[i] * size, size)
    return memory


cdef void place_batch(Call* c, int dtype, const Data* data, Py_ssize_t first, Py_ssize_t size,
                      void* parameters, char* workspace) noexcept nogil:
    """Point the call at the sequences of a batch and at its parts of the workspace."""
    cdef char* x_copy
    cdef char* y_copy
    c.sizes.B = size
    place_gradients(c, dtype, parameters, workspace)
    c.workspace = workspace + gradient_bytes(dtype, c.sizes)
    x_copy = <char*> c.workspace + kernel_bytes(dtype, c.sizes)
    y_copy = x_copy + input_bytes(dtype, c.sizes)
    c.x.data = <void*> gathered(data.x, data.x_size, data.rows + first, size, x_copy)
    c.targets = gathered(data.y, data.y_size, data.rows + first, size, y_copy)


def rnn_train(
    cell, x, y, rows, Py_ssize_t batch_size, theta, Py_ssize_t hidden_size, Py_ssize_t output_size,
    loss, max_norm, max_value, optimizer, dict memory, dict settings, constraints, steps, rates,
    losses, norms, workspace
):
    cdef double norm_limit = INFINITY if max_norm is None else max_norm
    cdef double value_limit = INFINITY if max_value is None else max_value
    cdef int dtype = float_type(x)
    cdef Sizes s = network_sizes(x, dtype, cell, hidden_size, output_size)
    cdef Py_ssize_t n = parameter_count(s), needed = 0, batches, number, first
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef char* start = NULL
    cdef Py_ssize_t* taken
    cdef const double* lr
    cdef double* value
    cdef double* norm
    cdef Data data
    cdef Call c
    cdef Optimizer o
    cdef Interrupt interrupt_memory
    cdef Interrupt* interrupt
    memset(&c, 0, sizeof(c))
    memset(&data, 0, sizeof(data))
    data.count = length(rows)
    data.rows = <const Py_ssize_t*> vector(rows, np.NPY_INTP, data.count, READ)
    batches = (data.count + batch_size - 1) // max(batch_size, 1)
    taken = <Py_ssize_t*> vector(steps, np.NPY_INTP, 1, WRITTEN)
    lr = <const double*> vector(rates, np.NPY_DOUBLE, batches, READ)
    value = <double*> vector(losses, np.NPY_DOUBLE, batches, WRITTEN)
    norm = <double*> vector(norms, np.NPY_DOUBLE, batches, WRITTEN)
    c.sizes, c.x = s, sequences(x, dtype, s.B, s.T, s.I, READ | np.NPY_ARRAY_C_CONTIGUOUS)
    if (positive(s) and batch_size > 0 and data.count > 0 and parameters and c.x.data
            and data.rows and all_below(data.rows, data.count, s.B)
            and taken and lr and value and norm
            and read_targets(&c, dtype, y, loss, data.rows, data.count)):
        c.x.per_sequence, c.x.per_step = s.T * s.I, s.I
        data.x, data.x_size = <const char*> c.x.data, s.T * s.I * itemsize(dtype)
        data.y, data.y_size = <const char*> c.targets, s.T * s.O * itemsize(dtype)
        if c.loss == CROSS_ENTROPY:
            data.y_size = s.T * sizeof(Py_ssize_t)
        s.B = min(batch_size, data.count)
        needed = training_size(dtype, s)
        s.B = data.count - (batches - 1) * batch_size
        needed = max(needed, training_size(dtype, s))
        start = <char*> scratch(workspace, dtype, needed)
    if not start:
        _refuse("rnn_train", {"x": x, "rows": rows, "y": y, "theta": theta, "steps": steps,
                              "rates": rates, "losses": losses, "norms": norms,
                              "workspace": workspace}, needed, cell=cell, loss=loss,
                batch_size=batch_size, hidden_size=hidden_size, output_size=output_size)
    o = read_optimizer(optimizer, memory, settings, constraints, theta)
    start += whole_lines(<uintptr_t> start) - <uintptr_t> start
    place_parameters(&c, dtype, parameters)
    s.B = min(batch_size, data.count)
    interrupt = interrupt_of(s, &interrupt_memory)
    with nogil:
        for number in range(batches):
            first = number * batch_size
            place_batch(&c, dtype, &data, first, min(batch_size, data.count - first), parameters,
                        start)
            value[number] = clipped_gradient(&c, dtype, start, norm_limit, value_limit,
                                             &norm[number], team_size(c.sizes), interrupt)
            if interrupt != NULL and interrupt.is_stopped:
                break
            if not (isfinite(value[number]) and isfinite(norm[number])):
                break
            if not take_step(&o, dtype, n, parameters, start, taken[0] + 1, lr[number]):
                break
            taken[0] += 1
    raise_if_stopped(interrupt)
