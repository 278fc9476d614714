# The output layer: y_t = W_hy h_t + b_y, and its gradients. Here h[:, t] is h_t itself.

cdef void output_forward(Sizes s, Sequences h, const vec* W_hy, const vec* b_y, Sequences y,
                         vec* workspace) noexcept nogil:
    cdef vec* panels = aligned(workspace)
    cdef Py_ssize_t b
    cdef vec* y_b
    pack(panels, W_hy, 1, s.H, s.H, s.O)
    for b in range(s.B):
        y_b = step_of(W_hy, y, b, 0)
        product(s.T, s.O, s.H, step_of(W_hy, h, b, 0), h.per_step, 1, panels, y_b, y.per_step,
                FROM_BIAS, b_y, PLAIN, y_b, 0)


cdef void output_backward(Sizes s, Sequences h, const vec* W_hy, Sequences dy, vec* dW_hy,
                          vec* db_y, Sequences dh, vec* workspace) noexcept nogil:
    cdef vec* panels = aligned(workspace)
    cdef const vec* dy_1 = <const vec*> dy.data
    cdef Py_ssize_t b
    cdef vec* dh_b
    add_rows(db_y, dy_1, s.B * s.T, s.O)
    add_outer_products(dW_hy, s.O, s.H, s.B, s.T, dy_1, h, panels)
    # dL/dh_t through y_t = W_hy^T dy_t
    pack(panels, W_hy, s.H, 1, s.O, s.H)
    for b in range(s.B):
        dh_b = step_of(W_hy, dh, b, 0)
        product(s.T, s.H, s.O, step_of(W_hy, dy, b, 0), dy.per_step, 1, panels, dh_b, dh.per_step,
                FROM_ZERO, dh_b, PLAIN, dh_b, 0)
