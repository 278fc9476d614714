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


cdef inline void plain_step(Sizes s, Share mine, Sequences a, Py_ssize_t t_a, const vec* packed,
                            Sequences z, Py_ssize_t t_z, int epilogue, Sequences h,
                            Py_ssize_t t_h) noexcept nogil:
    """z[:, t_z] = epilogue(z[:, t_z] + a[:, t_a] W) for this member's sequences of several."""
    cdef vec* z_t = step_of(packed, z, mine.first, t_z)
    product(mine.last - mine.first, s.H, s.H, step_of(packed, a, mine.first, t_a), a.per_sequence,
            1, packed, z_t, z.per_sequence, z_t, z.per_sequence, epilogue,
            step_of(packed, h, mine.first, t_h), h.per_sequence)


cdef inline Sequences from_step(Sequences s, Py_ssize_t t, Py_ssize_t direction,
                                const vec* dtype) noexcept nogil:
    """The steps from t on, or backward from t on."""
    s.data = step_of(dtype, s, 0, t)
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


cdef inline void plain_backward_steps(Call* c, const vec* W_hh_packed, Py_ssize_t first,
                                      Py_ssize_t last, bint carried, bint is_padded,
                                      Share mine) noexcept nogil:
    """da_t for t from last - 1 down to first, as `run_backward` says."""
    cdef Sizes s = c.sizes
    cdef int epilogue = plain_gradient_epilogue(s)
    cdef Sequences dh0
    cdef Py_ssize_t b, t
    cdef vec* da_t
    dh0.data, dh0.per_sequence, dh0.per_step = c.dh0, s.H, s.H
    for b in range(mine.first, mine.last):
        da_t = step_of(W_hh_packed, c.da, b, last - 1 - first)
        if carried:
            add_scalars(da_t, step_of(W_hh_packed, dh0, b, 0), s.H)
        finish(epilogue, 1, s.H, da_t, 0, step_of(W_hh_packed, c.h, b, last), 0)
        clear(step_of(W_hh_packed, dh0, b, 0), s.H)
    if s.B == 1:
        plain_backward_rows(c, W_hh_packed, first, last, is_padded)
        row_product(s.H, s.H, step_of(W_hh_packed, c.da, 0, 0), W_hh_packed, <vec*> c.dh0,
                    <vec*> c.dh0)
        return
    for t in range(last - 2, first - 1, -1):
        # da_t = (dh_t + W_hh^T da_{t+1}) f'
        plain_step(s, mine, c.da, t + 1 - first, W_hh_packed, c.da, t - first, epilogue, c.h,
                   t + 1)
    plain_step(s, mine, c.da, 0, W_hh_packed, dh0, 0, IDENTITY, c.h, 0)
