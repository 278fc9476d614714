# A whole network of one layer in one call: its gradient, and its predictions.

cdef inline Py_ssize_t lay_parameters(Call* c, bint has_output_layer, int dtype, void* theta,
                                      void* dtheta) noexcept nogil:
    """Point the call at the parameters in a flat vector, and return how many there are."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t size = itemsize(dtype), N = s.cell.gates * s.H
    cdef Py_ssize_t W_hh = N * s.I, b_h = W_hh + N * s.H, W_hy = b_h + s.cell.sums * s.H
    cdef Py_ssize_t b_y = W_hy + s.O * s.H
    cdef char* p = <char*> theta
    cdef char* d = <char*> dtheta
    c.W_xh, c.W_hh, c.b_h = p, p + W_hh * size, p + b_h * size
    c.W_hy, c.b_y = p + W_hy * size, p + b_y * size
    c.dW_xh, c.dW_hh, c.db_h = d, d + W_hh * size, d + b_h * size
    c.dW_hy, c.db_y = d + W_hy * size, d + b_y * size
    if has_output_layer:
        return b_y + s.O
    c.W_hy = c.b_y = c.dW_hy = c.db_y = NULL
    return W_hy


def rnn_gradient(
    cell, x, y, theta, dtheta, Py_ssize_t hidden_size, Py_ssize_t output_size, loss, max_norm,
    max_value, workspace
):
    cdef double norm_limit = INFINITY if max_norm is None else max_norm
    cdef double value_limit = INFINITY if max_value is None else max_value
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    cdef Py_ssize_t b, n
    cdef double value = 0, norm
    cdef void* theta_data
    cdef void* d
    s.cell = cell_of(cell)
    s.H, s.O = hidden_size, output_size or hidden_size
    memset(&c.packed, 0, sizeof(c.packed))
    c.sizes, c.loss = s, LOSSES[loss]
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    n = lay_parameters(&c, output_size != 0, dtype, NULL, NULL)
    theta_data = vector(theta, dtype, n, READ)
    d = vector(dtheta, dtype, n, WRITTEN)
    lay_parameters(&c, output_size != 0, dtype, theta_data, d)
    if c.loss == CROSS_ENTROPY:
        c.targets = matrix(y, np.NPY_INTP, s.B, s.T, READ)
        if c.targets and not below(<const Py_ssize_t*> c.targets, s.B * s.T, s.O):
            c.targets = NULL
    else:
        c.targets = sequences(y, dtype, s.B, s.T, s.O, READ | np.NPY_ARRAY_C_CONTIGUOUS).data
    if not (positive(s) and c.x.data and theta_data and d and c.targets):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, f.gradient_workspace_size(NULL, s))
    if not c.workspace:
        kernel = "rnn_gradient of classes" if c.loss == CROSS_ENTROPY else "rnn_gradient"
        refuse(kernel, {"x": x, "y": y, "theta": theta, "dtheta": dtheta, "workspace": workspace},
               cell, hidden_size, output_size)
    with nogil:
        memset(d, 0, n * itemsize(dtype))
        run_team(team_size(s), f.gradient, &c)
        for b in range(s.B):
            value += c.losses[b]
        norm = f.global_norm(n, d)
        if norm_limit < norm and isfinite(norm):
            f.scale(n, d, norm_limit / norm)
        if isfinite(value_limit):
            f.clip_value(n, d, value_limit)
    if c.loss == SSE:
        return value / 2, norm
    return value / (s.B * s.T * (s.O if c.loss == MSE else 1)), norm


def rnn_predict(
    cell, x, h0, theta, Py_ssize_t hidden_size, Py_ssize_t output_size, y, h_n, workspace
):
    cdef int dtype = float_type(x)
    cdef Table* f = table(dtype)
    cdef Sizes s = sizes_of(x, dtype)
    cdef Call c
    cdef void* theta_data
    s.cell = cell_of(cell)
    s.H, s.O = hidden_size, output_size or hidden_size
    memset(&c.packed, 0, sizeof(c.packed))
    c.sizes = s
    c.x = sequences(x, dtype, s.B, s.T, s.I, READ)
    c.h0 = matrix(h0, dtype, s.B, s.cell.states * s.H, READ)
    theta_data = vector(theta, dtype, lay_parameters(&c, output_size != 0, dtype, NULL, NULL), READ)
    lay_parameters(&c, output_size != 0, dtype, theta_data, NULL)
    c.y = sequences(y, dtype, s.B, s.T, s.O, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
    c.h_n = matrix(h_n, dtype, s.B, s.cell.states * s.H, WRITTEN)
    if not (positive(s) and c.x.data and (c.h0 or h0 is None) and theta_data and c.y.data
            and (c.h_n or h_n is None)):
        c.workspace = NULL
    else:
        c.workspace = scratch(workspace, dtype, f.predict_workspace_size(NULL, s))
    if not c.workspace:
        refuse("rnn_predict", {"x": x, "h0": h0, "theta": theta, "y": y, "h_n": h_n,
                               "workspace": workspace}, cell, hidden_size, output_size)
    with nogil:
        run_team(team_size(s), f.predict, &c)
