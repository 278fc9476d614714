# The recurrent layer and the output layer, forward and backward.

cdef inline Sizes layer_sizes(x, h, W_hh, W_xh, cell, int dtype) except *:
    """T, B, I and H of a layer's call; T and B from the states where there is no x."""
    cdef const Cell* row = get_cell_row(cell)
    cdef Sizes s = batch_sizes(h if x is None else x, dtype)
    if x is None:
        s.T -= 1
    s.cell, s.I, s.H = row, width(W_xh if x is None else x), width(W_hh)
    return s


def rnn_forward(cell, x, W_xh, W_hh, b_h, h, gates, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = layer_sizes(x, h, W_hh, W_xh, cell, dtype)
    cdef Py_ssize_t gates_width = s.cell.gate_blocks * s.H, needed = 0
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes, c.to_c = s, s.H
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.W_xh = matrix(W_xh, dtype, s.cell.weight_blocks * s.H, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, s.cell.weight_blocks * s.H, s.H, READ)
    c.b_h = vector(b_h, dtype, s.cell.bias_blocks * s.H, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.cell.state_blocks * s.H, WRITTEN)
    c.gates = sequences(gates, dtype, s.B, s.T, gates_width, WRITTEN)
    if (positive(s) and (c.x.data or x is None) and c.W_xh and c.W_hh and c.b_h
            and c.h.data and (c.gates.data != NULL if gates_width else gates is None)):
        needed = table(dtype).layer_workspace_size(NULL, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("rnn_forward", {"x": x, "W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "h": h,
                                "gates": gates, "workspace": workspace}, needed, cell=cell)
    with nogil:
        run_team(team_size(s), table(dtype).rnn_forward, &c)


def rnn_backward(cell, x, h, gates, W_xh, W_hh, dh, dc, da, dW_xh, dW_hh, db_h, dx, dh0, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = layer_sizes(x, h, W_hh, W_xh, cell, dtype)
    cdef Py_ssize_t gates_width = s.cell.gate_blocks * s.H, N = s.cell.weight_blocks * s.H
    cdef Py_ssize_t biases = s.cell.bias_blocks * s.H, needed = 0
    cdef bint has_c = s.cell.state_blocks == 2
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes, c.to_c = s, s.H
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h = sequences(h, dtype, s.B, s.T + 1, s.cell.state_blocks * s.H, READ)
    c.gates = sequences(gates, dtype, s.B, s.T, gates_width, READ)
    c.W_xh = matrix(W_xh, dtype, N, s.I, READ)
    c.W_hh = matrix(W_hh, dtype, N, s.H, READ)
    c.dh = sequences(dh, dtype, s.B, s.T, s.H, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dc = sequences(dc, dtype, s.B, s.T, s.H, READ)
    c.da = c.dh
    if gates_width:
        c.da = sequences(da, dtype, s.B, s.T, biases, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.dW_xh = matrix(dW_xh, dtype, N, s.I, WRITTEN)
    c.dW_hh = matrix(dW_hh, dtype, N, s.H, WRITTEN)
    c.db_h = vector(db_h, dtype, biases, WRITTEN)
    c.dx = sequences(dx, dtype, s.B, s.T, s.I, WRITTEN)
    c.dh0 = matrix(dh0, dtype, s.B, s.cell.state_blocks * s.H, WRITTEN)
    if (positive(s) and (c.x.data or x is None) and c.h.data and c.W_xh and c.W_hh
            and c.dh.data and c.dW_xh and c.dW_hh and c.db_h and (c.dx.data or dx is None)
            and c.dh0 and (c.gates.data != NULL if gates_width else gates is None)
            and (c.da.data != NULL if gates_width else da is None)
            and (dc is None or (has_c and c.dc.data))):
        needed = table(dtype).layer_workspace_size(NULL, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("rnn_backward", {"x": x, "h": h, "gates": gates, "W_xh": W_xh, "W_hh": W_hh,
                                 "dh": dh, "dc": dc, "da": da, "dW_xh": dW_xh, "dW_hh": dW_hh,
                                 "db_h": db_h, "dx": dx, "dh0": dh0, "workspace": workspace},
                needed, cell=cell)
    with nogil:
        run_team(team_size(s), table(dtype).rnn_backward, &c)


def output_forward(h, W_hy, b_y, y, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = batch_sizes(h, dtype)
    cdef Py_ssize_t needed = 0
    cdef Call c
    s.H, s.O = width(h), length(b_y)
    memset(&c, 0, sizeof(c))
    c.sizes = s
    c.h = sequences(h, dtype, s.B, s.T, s.H, READ)
    c.W_hy = matrix(W_hy, dtype, s.O, s.H, READ)
    c.b_y = vector(b_y, dtype, s.O, READ)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN)
    if positive(s) and c.h.data and c.W_hy and c.b_y and c.y.data:
        needed = table(dtype).output_workspace_size(NULL, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("output_forward", {"h": h, "W_hy": W_hy, "b_y": b_y, "y": y,
                                   "workspace": workspace}, needed)
    with nogil:
        run_team(team_size(s), table(dtype).output_forward, &c)


def output_backward(h, W_hy, dy, dW_hy, db_y, dh, workspace):
    cdef int dtype = float_type(h)
    cdef Sizes s = batch_sizes(h, dtype)
    cdef Py_ssize_t needed = 0
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
    if positive(s) and c.h.data and c.W_hy and c.y.data and c.dW_hy and c.db_y and c.dh.data:
        needed = table(dtype).output_workspace_size(NULL, s)
        c.workspace = scratch(workspace, dtype, needed)
    if not c.workspace:
        _refuse("output_backward", {"h": h, "W_hy": W_hy, "dy": dy, "dW_hy": dW_hy, "db_y": db_y,
                                    "dh": dh, "workspace": workspace}, needed)
    with nogil:
        run_team(team_size(s), table(dtype).output_backward, &c)
