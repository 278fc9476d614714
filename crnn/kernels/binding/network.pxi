# A network of one layer in one call: its gradient, and its predictions.

# As in contracts.py
cdef dict GRADIENT_LOSSES = {"mse": MSE, "sse": SSE, "cross_entropy": CROSS_ENTROPY}
cdef dict LOSSES = {
    **GRADIENT_LOSSES, "binary_cross_entropy": BINARY_CROSS_ENTROPY, "huber": HUBER,
}


cdef inline Sizes network_sizes(x, int dtype, cell, Py_ssize_t hidden_size,
                                Py_ssize_t output_size) except *:
    cdef const Cell* row = get_cell_row(cell)
    cdef Sizes s = batch_sizes(x, dtype)
    s.cell, s.I, s.H, s.O = row, width(x), hidden_size, output_size or hidden_size
    s.has_output_layer = output_size != 0
    return s


cdef inline void place_parameters(Call* c, int dtype, void* theta) noexcept nogil:
    """Point the call at the parameters in a flat vector."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t size = itemsize(dtype), N = s.cell.weight_blocks * s.H
    cdef char* p = <char*> theta
    c.W_xh = p
    c.W_hh = p + N * s.I * size
    c.b_h = p + N * (s.I + s.H) * size
    if s.has_output_layer:
        c.W_hy = p + (N * (s.I + s.H) + bias_count(s)) * size
        c.b_y = <char*> c.W_hy + s.O * s.H * size


cdef inline void place_gradients(Call* c, int dtype, void* theta, void* dtheta) noexcept nogil:
    """Point the call at the gradients in a flat vector, once `place_parameters` has run."""
    cdef char* p = <char*> theta
    cdef char* d = <char*> dtheta
    c.dW_xh, c.dW_hh = d, d + (<char*> c.W_hh - p)
    c.db_h = d + (<char*> c.b_h - p)
    if c.sizes.has_output_layer:
        c.dW_hy, c.db_y = d + (<char*> c.W_hy - p), d + (<char*> c.b_y - p)


cdef double clip_values(int dtype, Py_ssize_t n, void* gradients, double max_norm,
                        double max_value) noexcept nogil:
    """Clip a flat vector of gradients; return its norm before."""
    cdef double norm = clip_to_norm(dtype, n, gradients, max_norm)
    if isfinite(max_value):
        table(dtype).clip_value(n, gradients, max_value)
    return norm


cdef double clip_gradient(const Call* c, int dtype, void* gradients, double max_norm,
                          double max_value, double* norm) noexcept nogil:
    """Clip a flat vector of gradients that was computed; write its norm before, return the loss."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t b
    cdef double value = 0
    for b in range(s.B):
        value += c.losses[b]
    norm[0] = clip_values(dtype, parameter_count(s), gradients, max_norm, max_value)
    if c.loss == SSE:
        return value / 2
    return value / (s.B * s.T * (1 if c.loss == CROSS_ENTROPY else s.O))


cdef double clipped_gradient(Call* c, int dtype, void* gradients, double max_norm,
                             double max_value, double* norm, int threads,
                             Interrupt* interrupt) noexcept nogil:
    """Write a flat vector of gradients, clipped, and their norm before; return the loss.

    All are unspecified where the call was interrupted.
    """
    memset(gradients, 0, parameter_count(c.sizes) * itemsize(dtype))
    run_team(threads, table(dtype).gradient, c, interrupt)
    return clip_gradient(c, dtype, gradients, max_norm, max_value, norm)


cdef bint read_targets(Call* c, int dtype, y, loss, const Py_ssize_t* rows,
                       Py_ssize_t count) except -1:
    """Fill in the loss and its targets; return whether they suit the loops.

    Class numbers are looked at in these rows, or without rows in all.
    """
    cdef Sizes s = c.sizes
    cdef const Py_ssize_t* classes
    cdef Py_ssize_t i
    kind = GRADIENT_LOSSES.get(loss) if type(loss) is str else None
    if kind is None:
        return False
    c.loss = kind
    if c.loss != CROSS_ENTROPY:
        c.targets = sequences(y, dtype, s.B, s.T, s.O, READ | np.NPY_ARRAY_C_CONTIGUOUS).data
        return c.targets != NULL
    classes = <const Py_ssize_t*> matrix(y, np.NPY_INTP, s.B, s.T, READ)
    c.targets = classes
    if classes == NULL:
        return False
    if rows == NULL:
        return all_below(classes, s.B * s.T, s.O)
    for i in range(count):
        if not all_below(classes + rows[i] * s.T, s.T, s.O):
            return False
    return True


def rnn_gradient(
    cell, x, y, theta, dtheta, Py_ssize_t hidden_size, Py_ssize_t output_size, loss, max_norm,
    max_value, workspace
):
    cdef double norm_limit = INFINITY if max_norm is None else max_norm
    cdef double value_limit = INFINITY if max_value is None else max_value
    cdef int dtype = float_type(x)
    cdef Sizes s = network_sizes(x, dtype, cell, hidden_size, output_size)
    cdef Py_ssize_t n = parameter_count(s), needed = 0
    cdef void* parameters = vector(theta, dtype, n, READ)
    cdef void* gradients = vector(dtheta, dtype, n, WRITTEN)
    cdef Call c
    cdef Interrupt memory
    cdef Interrupt* interrupt
    cdef double value, norm
    memset(&c, 0, sizeof(c))
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    if (positive(s) and c.x.data and parameters and gradients
            and read_targets(&c, dtype, y, loss, NULL, 0)):
        needed = table(dtype).gradient_workspace_size(NULL, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("rnn_gradient", {"x": x, "y": y, "theta": theta, "dtheta": dtheta,
                                 "workspace": workspace}, needed, cell=cell, loss=loss,
                hidden_size=hidden_size, output_size=output_size)
    place_parameters(&c, dtype, parameters)
    place_gradients(&c, dtype, parameters, gradients)
    interrupt = interrupt_of(s, &memory)
    with nogil:
        value = clipped_gradient(&c, dtype, gradients, norm_limit, value_limit, &norm, team_size(s),
                                 interrupt)
    raise_if_stopped(interrupt)
    return value, norm


def rnn_predict(
    cell, x, h0, theta, Py_ssize_t hidden_size, Py_ssize_t output_size, y, h_n, lengths,
    bint reverse, resets, start, workspace
):
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = network_sizes(x, dtype, cell, hidden_size, output_size)
    cdef Py_ssize_t state = s.cell.state_blocks * s.H
    cdef void* parameters = vector(theta, dtype, parameter_count(s), READ)
    cdef Py_ssize_t needed = 0
    cdef const Py_ssize_t* ends = NULL
    cdef const void* marks = NULL
    cdef const void* start_state = NULL
    cdef Order order
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h0 = matrix(h0, dtype, s.B, state, READ)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN)
    c.h_n = matrix(h_n, dtype, s.B, state, WRITTEN)
    if (positive(s) and c.x.data and (c.h0 or h0 is None) and parameters
            and (c.y.data or (y is None and output_size == 0)) and (c.h_n or h_n is None)
            and read_lengths(lengths, s, &ends)
            and read_restarts(resets, start, reverse, s, dtype, &marks, &start_state)):
        needed = predict_size(dtype, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("rnn_predict", {"x": x, "h0": h0, "theta": theta, "y": y, "h_n": h_n,
                                "lengths": lengths, "reverse": reverse, "resets": resets,
                                "start": start, "workspace": workspace}, needed, cell=cell,
                hidden_size=hidden_size, output_size=output_size)
    place_parameters(&c, dtype, parameters)
    order = order_of(&c, dtype, ends, f.predict_workspace_size(NULL, s))
    put_in_order(&c.x, &order, reverse)
    put_in_order(&c.y, &order, reverse)
    if c.h0 != NULL:
        c.h0 = states_in_order(&order, <void*> c.h0)
    if c.h_n != NULL and ends != NULL:
        c.h_n = order.states
    put_restarts_in_order(&c, &order, marks, start_state, NULL)
    run(f.predict, &c)
    if c.h_n != NULL:
        states_of_caller(&order, c.h_n, np.PyArray_DATA(<np.ndarray> h_n))
