# The plain layer: h_t = f(W_xh x_t + W_hh h_{t-1} + b_h), where f is tanh or relu.
#
# At step t, counted from 0, the arrays hold:
#     h[:, t]       h_{t-1}
#     h[:, t + 1]   first W_xh x_t + b_h, then h_t
#     da[:, t]      first dL/dh_t through the outputs of step t, then da_t, the pre-activation's
#                   gradient

cdef inline int plain_epilogue(Sizes s) noexcept nogil:
    return RELU if s.cell.kind == RELU_CELL else TANH


cdef inline int plain_gradient_epilogue(Sizes s) noexcept nogil:
    return RELU_GRADIENT if s.cell.kind == RELU_CELL else TANH_GRADIENT


cdef inline Sequences from_step(Sequences s, Py_ssize_t t, Py_ssize_t direction,
                                const vec* dtype) noexcept nogil:
    """The steps from t on, or backward from t on."""
    s.data, s.offsets = step_of(dtype, s, 0, t), NULL
    s.per_step *= direction
    return s


cdef inline void plain_rows(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                            Py_ssize_t steps, bint reads_x, bint is_padded) noexcept nogil:
    """Steps of one sequence from `first` on; where it `reads_x`, with their outputs."""
    cdef Sizes s = c.sizes
    cdef RowSteps r
    r.T, r.I, r.O, r.is_padded, r.is_gradient = steps, 0, 0, is_padded, False
    r.is_relu = s.cell.kind == RELU_CELL
    r.a, r.z = from_step(c.h, first, 1, dtype), from_step(c.h, first + 1, 1, dtype)
    r.x = r.start = r.h = r.y = r.z
    r.W = r.W_x = r.W_y = p.W_hh
    r.b_y = p.b_y
    if reads_x:
        r.I, r.x, r.W_x = s.I, from_step(c.x, first, 1, dtype), p.W_xh
        r.start.data, r.start.per_step = p.b_h, 0
        if s.has_output_layer:
            r.O, r.y, r.W_y = s.O, from_step(c.y, first, 1, dtype), p.W_hy
    run_rows(s.H, &r, dtype)


cdef inline void plain_backward_rows(Call* c, const vec* W_hh_packed, Py_ssize_t first,
                                     Py_ssize_t last, bint is_padded) noexcept nogil:
    """da_t of one sequence for t from last - 2 down to first."""
    cdef RowSteps r
    r.T, r.I, r.O, r.is_padded, r.is_gradient = last - 1 - first, 0, 0, is_padded, True
    r.is_relu = c.sizes.cell.kind == RELU_CELL
    r.a = from_step(c.da, last - 1 - first, -1, W_hh_packed)
    r.z = from_step(c.da, last - 2 - first, -1, W_hh_packed)
    r.h = from_step(c.h, last - 1, -1, W_hh_packed)
    r.x = r.start = r.y = r.z
    r.W = r.W_x = r.W_y = r.b_y = W_hh_packed
    run_rows(c.sizes.H, &r, W_hh_packed)


cdef inline void plain_row_backward(Call* c, const vec* W_hh_packed, Py_ssize_t first,
                                    Py_ssize_t last, bint carried, bint is_padded) noexcept nogil:
    """da_t of one sequence for t from last - 1 down to first, as `run_backward` says."""
    cdef Sizes s = c.sizes
    cdef vec* da_t = step_of(W_hh_packed, c.da, 0, last - 1 - first)
    cdef vec* dh0 = <vec*> c.dh0
    if carried:
        add_scalars(da_t, dh0, s.H)
    finish(plain_gradient_epilogue(s), 1, s.H, W_hh_packed, rows_of(da_t, 0),
           rows_of(step_of(W_hh_packed, c.h, 0, last), 0))
    plain_backward_rows(c, W_hh_packed, first, last, is_padded)
    clear(dh0, s.H)
    row_product(s.H, s.H, step_of(W_hh_packed, c.da, 0, 0), W_hh_packed, dh0, dh0)


cdef inline void plain_forward(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                               bint reads_x, Share rows, const Part* part) noexcept nogil:
    """Step t of these sequences."""
    cdef Py_ssize_t GR = group_columns(dtype), n, k, columns
    cdef Rows h_t = rows_at(dtype, c.h, rows.first, t + 1), sums
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        sums = columns_from(dtype, h_t, n)
        add_products(c, p, dtype, t, reads_x, rows, 0, n, columns, sums)
        finish(plain_epilogue(c.sizes), rows.last - rows.first, columns, dtype, sums, sums)


cdef inline void plain_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t first,
                                Share rows, Py_ssize_t later, const Part* part) noexcept nogil:
    """da_t of these sequences, the first `later` of which have da_{t+1}; the others have dh0."""
    cdef Py_ssize_t GR = group_columns(W_hh_packed), H = c.sizes.H, n, k, columns, b
    cdef Rows da_t = rows_at(W_hh_packed, c.da, rows.first, t - first), sums
    cdef Rows h_t = rows_at(W_hh_packed, c.h, rows.first, t + 1)
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        sums = columns_from(W_hh_packed, da_t, n)
        # da_t = (dh_t + W_hh^T da_{t+1}) f'
        if later:
            product(later, columns, H, rows_at(W_hh_packed, c.da, rows.first, t + 1 - first),
                    1, at(W_hh_packed, n * H), sums, sums)
        for b in range(later, rows.last - rows.first):
            add_scalars(row_of(W_hh_packed, sums, b), at(<vec*> c.dh0, (rows.first + b) * H + n),
                        columns)
        finish(plain_gradient_epilogue(c.sizes), rows.last - rows.first, columns, W_hh_packed, sums,
               columns_from(W_hh_packed, h_t, n))
