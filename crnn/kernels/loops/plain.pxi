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


cdef inline void recurrent_step(Sizes s, Share mine, Sequences a, Py_ssize_t t_a, const vec* packed,
                                Sequences z, Py_ssize_t t_z, bint is_padded, int epilogue,
                                Sequences h, Py_ssize_t t_h) noexcept nogil:
    """z[:, t_z] = epilogue(z[:, t_z] + a[:, t_a] W) for this member's sequences."""
    cdef vec* z_t = step_of(packed, z, mine.first, t_z)
    cdef const vec* h_t = step_of(packed, h, mine.first, t_h)
    if s.B == 1:
        row_product(s.H, s.H, step_of(packed, a, 0, t_a), packed, z_t, z_t, is_padded, epilogue,
                    h_t)
    else:
        product(mine.last - mine.first, s.H, s.H, step_of(packed, a, mine.first, t_a),
                a.per_sequence, 1, packed, z_t, z.per_sequence, z_t, z.per_sequence, epilogue, h_t,
                h.per_sequence)


cdef inline void plain_row(Sizes s, const Packed* p, const vec* x_t, const vec* h, vec* h_t,
                           bint is_padded) noexcept nogil:
    """A step of one sequence whose weights are packed by rows."""
    row_product(s.I, s.H, x_t, <const vec*> p.W_xh, <const vec*> p.b_h, h_t, is_padded, IDENTITY, h)
    row_product(s.H, s.H, h, <const vec*> p.W_hh, h_t, h_t, is_padded, plain_epilogue(s), h)


cdef inline void plain_backward_steps(Call* c, const vec* W_hh_packed, Py_ssize_t first,
                                      Py_ssize_t last, bint carried, bint is_padded,
                                      Share mine) noexcept nogil:
    """da_t for t from last - 1 down to first, as `run_backward` says."""
    cdef Sizes s = c.sizes
    cdef Sequences dh0
    cdef Py_ssize_t b, t
    cdef vec* da_t
    cdef const vec* h_t
    dh0.data, dh0.per_sequence, dh0.per_step = c.dh0, s.H, s.H
    for t in range(last - 1, first - 1, -1):
        if t < last - 1:
            # da_t = (dh_t + W_hh^T da_{t+1}) f'
            recurrent_step(s, mine, c.da, t + 1 - first, W_hh_packed, c.da, t - first, is_padded,
                           plain_gradient_epilogue(s), c.h, t + 1)
            continue
        for b in range(mine.first, mine.last):
            da_t = step_of(W_hh_packed, c.da, b, t - first)
            h_t = step_of(W_hh_packed, c.h, b, t + 1)
            if carried:
                add_scalars(da_t, step_of(W_hh_packed, dh0, b, 0), s.H)
            finish(plain_gradient_epilogue(s), 1, s.H, da_t, 0, h_t, 0)
    for b in range(mine.first, mine.last):
        clear(step_of(W_hh_packed, dh0, b, 0), s.H)
    recurrent_step(s, mine, c.da, 0, W_hh_packed, dh0, 0, is_padded, IDENTITY, c.h, 0)
