# The functions of `views.pxd`, which says what they do, over pointers. They check the sizes, fill a
# `Call` and run the loops in the calling thread. `size` is that of a scalar, in bytes.

cdef inline int type_of(size_t size) noexcept nogil:
    """NumPy's number of a dtype."""
    return np.NPY_DOUBLE if size == sizeof(double) else np.NPY_FLOAT


cdef inline bint is_shape(View a, Py_ssize_t first, Py_ssize_t second,
                          Py_ssize_t third) noexcept nogil:
    return a.shape[0] == first and a.shape[1] == second and a.shape[2] == third


cdef inline bint is_absent(View a) noexcept nogil:
    return a.shape[0] == 0 or a.shape[1] == 0 or a.shape[2] == 0


cdef inline bint is_cell(int cell) noexcept nogil:
    return 0 <= cell < LEAKY_TANH_CELL


cdef inline Sizes view_sizes(int cell, Py_ssize_t T, Py_ssize_t B, Py_ssize_t I,
                             Py_ssize_t H, Py_ssize_t O) noexcept nogil:
    cdef Sizes s
    s.T, s.B, s.I, s.H, s.O, s.has_output_layer, s.cell = T, B, I, H, O, False, &cells[cell]
    return s


cdef inline Sequences view_sequences(View a) noexcept nogil:
    """The array as the loops take it; NULL where it is absent."""
    cdef Sequences s
    s.data = NULL if is_absent(a) else a.data
    s.per_sequence, s.per_step, s.offsets = a.shape[1] * a.shape[2], a.shape[2], NULL
    return s


cdef Py_ssize_t view_workspace_size(int cell, Py_ssize_t T, Py_ssize_t B, Py_ssize_t I,
                                    Py_ssize_t H, Py_ssize_t O, size_t size) noexcept nogil:
    cdef Table* f = table(type_of(size))
    cdef Py_ssize_t needed
    cdef Sizes s
    if not is_cell(cell):
        return CRNN_WRONG_VALUE
    s = view_sizes(cell, T, B, I, H, 1)
    if not positive(s) or O < 0:
        return CRNN_WRONG_SIZES
    needed = f.layer_workspace_size(NULL, s)
    if O > 0:
        needed = max(needed, f.output_workspace_size(NULL, view_sizes(0, T, B, 1, H, O)))
    return needed


cdef int view_hidden_update(int cell, View x, View W_xh, View W_hh, View b_h, View h, View gates,
                            View workspace, size_t size) noexcept nogil:
    cdef Py_ssize_t B = x.shape[0], T = x.shape[1], I = x.shape[2], H = W_hh.shape[1]
    cdef Py_ssize_t N, G
    cdef Call c
    if not is_cell(cell):
        return CRNN_WRONG_VALUE
    memset(&c, 0, sizeof(c))
    c.sizes, c.to_c = view_sizes(cell, T, B, I, H, 1), H
    N, G = cells[cell].weight_blocks * H, cells[cell].gate_blocks * H
    if not (positive(c.sizes) and is_shape(W_xh, N, I, 1) and is_shape(W_hh, N, H, 1)
            and is_shape(b_h, cells[cell].bias_blocks * H, 1, 1)
            and is_shape(h, B, T + 1, cells[cell].state_blocks * H)
            and (is_shape(gates, B, T, G) if G else is_absent(gates))
            and workspace.shape[0] >= view_workspace_size(cell, T, B, I, H, 0, size)):
        return CRNN_WRONG_SIZES
    c.x, c.h, c.gates = view_sequences(x), view_sequences(h), view_sequences(gates)
    c.W_xh, c.W_hh, c.b_h, c.workspace = W_xh.data, W_hh.data, b_h.data, workspace.data
    run_alone(table(type_of(size)).rnn_forward, &c)
    return CRNN_OK


cdef inline Sequences states_after_steps(View h, size_t size) noexcept nogil:
    """The states h_t, without h_0, as the output layer counts them."""
    cdef Sequences s = view_sequences(h)
    s.data = <char*> h.data + s.per_step * size
    return s


cdef int view_output_layer(int cell, View h, View W_hy, View b_y, View y, View workspace,
                           size_t size) noexcept nogil:
    cdef Py_ssize_t B = y.shape[0], T = y.shape[1], O = y.shape[2], H = W_hy.shape[1]
    cdef Call c
    if not is_cell(cell):
        return CRNN_WRONG_VALUE
    memset(&c, 0, sizeof(c))
    c.sizes = view_sizes(0, T, B, 1, H, O)
    if not (positive(c.sizes) and is_shape(h, B, T + 1, cells[cell].state_blocks * H)
            and is_shape(W_hy, O, H, 1) and is_shape(b_y, O, 1, 1)
            and workspace.shape[0] >= table(type_of(size)).output_workspace_size(NULL, c.sizes)):
        return CRNN_WRONG_SIZES
    c.h, c.y = states_after_steps(h, size), view_sequences(y)
    c.W_hy, c.b_y, c.workspace = W_hy.data, b_y.data, workspace.data
    run_alone(table(type_of(size)).output_forward, &c)
    return CRNN_OK


cdef int view_bptt(int cell, View x, View h, View gates, View W_xh, View W_hh, View W_hy, View dy,
                   View dh, View da, View dstate, View dW_xh, View dW_hh, View db_h, View dW_hy,
                   View db_y, View dx, View workspace, size_t size) noexcept nogil:
    cdef Py_ssize_t B = x.shape[0], T = x.shape[1], I = x.shape[2], H = W_hh.shape[1]
    cdef Py_ssize_t O = 0 if is_absent(W_hy) else W_hy.shape[0]
    cdef Py_ssize_t N, S, biases, G
    cdef Call c
    if not is_cell(cell):
        return CRNN_WRONG_VALUE
    memset(&c, 0, sizeof(c))
    c.sizes, c.to_c, c.workspace = view_sizes(cell, T, B, I, H, 1), H, workspace.data
    N, S = cells[cell].weight_blocks * H, cells[cell].state_blocks * H
    biases, G = cells[cell].bias_blocks * H, cells[cell].gate_blocks * H
    if not (positive(c.sizes) and is_shape(h, B, T + 1, S)
            and (is_shape(gates, B, T, G) if G else is_absent(gates))
            and is_shape(W_xh, N, I, 1) and is_shape(W_hh, N, H, 1)
            and is_shape(dh, B, T, H) and is_shape(da, B, T, biases) and is_shape(dstate, B, S, 1)
            and is_shape(dW_xh, N, I, 1) and is_shape(dW_hh, N, H, 1)
            and is_shape(db_h, biases, 1, 1) and (is_absent(dx) or is_shape(dx, B, T, I))
            and workspace.shape[0] >= view_workspace_size(cell, T, B, I, H, O, size)):
        return CRNN_WRONG_SIZES
    if O == 0:
        if not (is_absent(dy) and is_absent(dW_hy) and is_absent(db_y)):
            return CRNN_WRONG_SIZES
    elif not (is_shape(W_hy, O, H, 1) and is_shape(dy, B, T, O) and is_shape(dW_hy, O, H, 1)
              and is_shape(db_y, O, 1, 1)):
        return CRNN_WRONG_SIZES
    c.dh = view_sequences(dh)
    if O > 0:
        c.sizes = view_sizes(0, T, B, 1, H, O)
        c.h, c.y, c.W_hy = states_after_steps(h, size), view_sequences(dy), W_hy.data
        c.dW_hy, c.db_y = dW_hy.data, db_y.data
        run_alone(table(type_of(size)).output_backward, &c)
        c.sizes = view_sizes(cell, T, B, I, H, 1)
    c.x, c.h, c.gates = view_sequences(x), view_sequences(h), view_sequences(gates)
    c.da, c.dx, c.dh0 = view_sequences(da), view_sequences(dx), dstate.data
    c.W_xh, c.W_hh = W_xh.data, W_hh.data
    c.dW_xh, c.dW_hh, c.db_h = dW_xh.data, dW_hh.data, db_h.data
    run_alone(table(type_of(size)).rnn_backward, &c)
    return CRNN_OK


cdef int view_loss(bint is_mean, View y_hat, View y, View dy, double* loss,
                   size_t size) noexcept nogil:
    cdef Py_ssize_t B = y_hat.shape[0], T = y_hat.shape[1], O = y_hat.shape[2], n = B * T * O
    cdef void* gradient = NULL if is_absent(dy) else dy.data
    if not (n and is_shape(y, B, T, O) and (is_absent(dy) or is_shape(dy, B, T, O))):
        return CRNN_WRONG_SIZES
    if is_mean:
        loss[0] = mean_squared_error(type_of(size), n, y_hat.data, y.data, gradient)
    else:
        loss[0] = half_squared_error(type_of(size), n, y_hat.data, y.data, gradient)
    return CRNN_OK


cdef int view_clip_norm(View values, double max_norm, double* norm, size_t size) noexcept nogil:
    if is_absent(values):
        return CRNN_WRONG_SIZES
    if not max_norm > 0:
        return CRNN_WRONG_VALUE
    norm[0] = clip_to_norm(type_of(size), values.shape[0], values.data, max_norm)
    return CRNN_OK if isfinite(norm[0]) else CRNN_NOT_FINITE


cdef int view_sgd_step(View theta, View dtheta, View velocity, double lr, double momentum,
                       bint nesterov, double weight_decay, size_t size) noexcept nogil:
    cdef Py_ssize_t n = theta.shape[0]
    if not (n and is_shape(dtheta, n, 1, 1)
            and (is_shape(velocity, n, 1, 1) or (is_absent(velocity) and momentum == 0))):
        return CRNN_WRONG_SIZES
    if not (0 <= lr < INFINITY and 0 <= momentum < 1 and 0 <= weight_decay < INFINITY
            and (momentum > 0 or not nesterov)):
        return CRNN_WRONG_VALUE
    if table(type_of(size)).sgd_step(n, theta.data, dtheta.data, velocity.data, lr, momentum,
                                     nesterov, weight_decay):
        return CRNN_OK
    return CRNN_NOT_FINITE
