# The recurrent layer and the output layer, forward and backward.

cdef inline Sizes layer_sizes(x, h, W_hh, W_xh, cell, int dtype) except *:
    """T, B, I and H of a layer's call; T and B from the states where there is no x."""
    cdef const Cell* row = get_cell_row(cell)
    cdef Sizes s = batch_sizes(h if x is None else x, dtype)
    if x is None:
        s.T -= 1
    s.cell, s.I, s.H = row, width(W_xh if x is None else x), width(W_hh)
    return s


cdef inline bint read_lengths(lengths, Sizes s, const Py_ssize_t** numbers) noexcept:
    """Whether `lengths` are None or those of all sequences, which `numbers` then points at."""
    if lengths is None:
        numbers[0] = NULL
        return True
    numbers[0] = <const Py_ssize_t*> vector(lengths, np.NPY_INTP, s.B, READ)
    return numbers[0] != NULL and all_below(numbers[0], s.B, s.T + 1)


cdef inline bint read_restarts(resets, start, bint reverse, Sizes s, int dtype,
                               const void** marks, const void** state) noexcept:
    """Whether `resets` and `start` are None or suit the loops, and `marks` and `state` what is."""
    marks[0] = matrix(resets, np.NPY_BOOL, s.B, s.T, READ)
    state[0] = vector(start, dtype, s.cell.state_blocks * s.H, READ)
    return ((marks[0] != NULL and not reverse or resets is None)
            and (state[0] != NULL or start is None))


def rnn_forward(cell, x, W_xh, W_hh, b_h, h, gates, lengths, bint reverse, resets, start,
                workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = layer_sizes(x, h, W_hh, W_xh, cell, dtype)
    cdef Py_ssize_t gates_width = s.cell.gate_blocks * s.H, needed = 0
    cdef const Py_ssize_t* ends = NULL
    cdef const void* marks = NULL
    cdef const void* start_state = NULL
    cdef Order order
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes, c.to_c = s, s.H
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.W_xh = matrix(W_xh, dtype, s.cell.weight_blocks * s.H, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, s.cell.weight_blocks * s.H, s.H, READ)
    c.b_h = vector(b_h, dtype, bias_count(s), READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.cell.state_blocks * s.H, WRITTEN)
    c.gates = sequences(gates, dtype, s.B, s.T, gates_width, WRITTEN)
    if (positive(s) and (c.x.data or x is None) and c.W_xh and c.W_hh and c.b_h
            and c.h.data and (c.gates.data != NULL if gates_width else gates is None)
            and read_lengths(lengths, s, &ends)
            and read_restarts(resets, start, reverse, s, dtype, &marks, &start_state)):
        needed = layer_size(dtype, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("rnn_forward", {"x": x, "W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "h": h,
                                "gates": gates, "lengths": lengths, "reverse": reverse,
                                "resets": resets, "start": start, "workspace": workspace},
                needed, cell=cell)
    order = order_of(&c, dtype, ends, table(dtype).layer_workspace_size(NULL, s))
    put_in_order(&c.x, &order, reverse)
    put_in_order(&c.h, &order, False)
    put_in_order(&c.gates, &order, False)
    put_restarts_in_order(&c, &order, marks, start_state, NULL)
    run(table(dtype).rnn_forward, &c)


def rnn_backward(cell, x, h, gates, W_xh, W_hh, b_h, dh, da, dstate, dW_xh, dW_hh, db_h, dx,
                 lengths, bint reverse, resets, start, dstart, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = layer_sizes(x, h, W_hh, W_xh, cell, dtype)
    cdef Py_ssize_t gates_width = s.cell.gate_blocks * s.H, N = s.cell.weight_blocks * s.H
    cdef Py_ssize_t needed = 0
    cdef const Py_ssize_t* ends = NULL
    cdef const void* marks = NULL
    cdef const void* start_state = NULL
    cdef void* start_gradients = matrix(dstart, dtype, s.B, s.cell.state_blocks * s.H, WRITTEN)
    cdef Order order
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes, c.to_c = s, s.H
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.cell.state_blocks * s.H, READ)
    c.gates = sequences(gates, dtype, s.B, s.T, gates_width, READ)
    c.W_xh = matrix(W_xh, dtype, N, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, N, s.H, READ)
    c.b_h = vector(b_h, dtype, bias_count(s), READ)
    c.dh = sequences(dh, dtype, s.B, s.T, s.H, READ)
    c.da = sequences(da, dtype, s.B, s.T, s.cell.da_blocks * s.H,
                     WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dh0 = matrix(dstate, dtype, s.B, s.cell.state_blocks * s.H, WRITTEN)
    c.dW_xh = matrix(dW_xh, dtype, N, s.I, WRITTEN)
    c.dW_hh = matrix(dW_hh, dtype, N, s.H, WRITTEN)
    c.db_h = vector(db_h, dtype, bias_count(s), WRITTEN)
    c.dx = sequences(dx, dtype, s.B, s.T, s.I, WRITTEN)
    if (positive(s) and (c.x.data or x is None) and c.h.data and c.W_xh and c.W_hh
            and c.b_h and (c.dh.data or dh is None) and c.da.data and c.dh0 and c.dW_xh and c.dW_hh
            and c.db_h and (c.dx.data or dx is None)
            and (c.gates.data != NULL if gates_width else gates is None)
            and read_lengths(lengths, s, &ends)
            and read_restarts(resets, start, reverse, s, dtype, &marks, &start_state)
            and (start_gradients or dstart is None)):
        needed = layer_size(dtype, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("rnn_backward", {"x": x, "h": h, "gates": gates, "W_xh": W_xh, "W_hh": W_hh,
                                 "b_h": b_h, "dh": dh, "da": da, "dstate": dstate, "dW_xh": dW_xh,
                                 "dW_hh": dW_hh, "db_h": db_h, "dx": dx, "lengths": lengths,
                                 "reverse": reverse, "resets": resets, "start": start,
                                 "dstart": dstart, "workspace": workspace}, needed, cell=cell)
    order = order_of(&c, dtype, ends, table(dtype).layer_workspace_size(NULL, s))
    put_in_order(&c.x, &order, reverse)
    put_in_order(&c.h, &order, False)
    put_in_order(&c.gates, &order, False)
    put_in_order(&c.dx, &order, reverse)
    put_steps_together(&c.da, &order)
    if dh is None:
        c.dh.data = zeros_in(&order)
    else:
        put_in_order(&c.dh, &order, reverse)
    c.dh0 = states_in_order(&order, c.dh0)
    put_restarts_in_order(&c, &order, marks, start_state, start_gradients)
    run(table(dtype).rnn_backward, &c)
    states_of_caller(&order, c.dh0, np.PyArray_DATA(<np.ndarray> dstate))
    if marks != NULL:
        states_of_caller(&order, c.dstart, start_gradients)


def output_forward(h, W_hy, b_y, y, lengths, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = batch_sizes(h, dtype)
    cdef Py_ssize_t needed = 0
    cdef const Py_ssize_t* ends = NULL
    cdef Order order
    cdef Call c
    s.H, s.O = width(h), length(b_y)
    memset(&c, 0, sizeof(c))
    c.sizes = s
    c.h = sequences(h, dtype, s.B, s.T, s.H, READ)
    c.W_hy = matrix(W_hy, dtype, s.O, s.H, READ)
    c.b_y = vector(b_y, dtype, s.O, READ)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN)
    if (positive(s) and c.h.data and c.W_hy and c.b_y and c.y.data
            and read_lengths(lengths, s, &ends)):
        needed = output_size(dtype, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("output_forward", {"h": h, "W_hy": W_hy, "b_y": b_y, "y": y, "lengths": lengths,
                                   "workspace": workspace}, needed)
    order = order_of(&c, dtype, ends, table(dtype).output_workspace_size(NULL, s))
    put_in_order(&c.h, &order, False)
    put_in_order(&c.y, &order, False)
    run(table(dtype).output_forward, &c)


def output_backward(h, W_hy, dy, dW_hy, db_y, dh, lengths, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = batch_sizes(h, dtype)
    cdef Py_ssize_t needed = 0
    cdef const Py_ssize_t* ends = NULL
    cdef Order order
    cdef Call c
    s.H, s.O = width(h), length(db_y)
    memset(&c, 0, sizeof(c))
    c.sizes = s
    c.h = sequences(h, dtype, s.B, s.T, s.H, READ)
    c.W_hy = matrix(W_hy, dtype, s.O, s.H, READ)
    c.y = sequences(dy, dtype, s.B, s.T, s.O, READ | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dW_hy = matrix(dW_hy, dtype, s.O, s.H, WRITTEN)
    c.db_y = vector(db_y, dtype, s.O, WRITTEN)
    c.dh = sequences(dh, dtype, s.B, s.T, s.H, WRITTEN)
    if (positive(s) and c.h.data and c.W_hy and c.y.data and c.dW_hy and c.db_y and c.dh.data
            and read_lengths(lengths, s, &ends)):
        needed = output_size(dtype, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("output_backward", {"h": h, "W_hy": W_hy, "dy": dy, "dW_hy": dW_hy, "db_y": db_y,
                                    "dh": dh, "lengths": lengths, "workspace": workspace}, needed)
    order = order_of(&c, dtype, ends, table(dtype).output_workspace_size(NULL, s))
    put_in_order(&c.h, &order, False)
    put_in_order(&c.y, &order, False)
    put_in_order(&c.dh, &order, False)
    run(table(dtype).output_backward, &c)
