# One step of sequences whose inputs come one at a time, from packed parameters.
#
#     h[:, 0]   h_{t-1}
#     h[:, 1]   h_t, written; the caller exchanges the two before the next step
#
# States have room for whole registers.
#
# The same products as in `predict`, with the sequences of the batch as their rows.

cdef void stream_step(vec* dtype, Team team) noexcept nogil:
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Share mine = share(team, s.B, DEALT)
    cdef Py_ssize_t rows = mine.last - mine.first, b
    cdef vec* h_t = step_of(dtype, c.h, mine.first, 1)
    cdef vec* y_t = step_of(dtype, c.y, mine.first, 0)
    cdef const vec* x_t = step_of(dtype, c.x, mine.first, 0)
    if by_rows(dtype, s, s.I, s.H) and by_rows(dtype, s, s.H, s.O):
        forward_row(s, &c.packed, x_t, <const vec*> c.h.data, h_t, True, y_t)
    else:
        affine(rows, s.H, s.I, x_t, c.x.per_sequence, <const vec*> c.packed.W_xh,
               by_rows(dtype, s, s.I, s.H), <const vec*> c.packed.b_h, h_t, c.h.per_sequence)
        recurrent_step(s, mine, c.h, 0, <const vec*> c.packed.W_hh, c.h, 1, True, TANH, c.h, 1)
        if c.packed.W_hy != NULL:
            affine(rows, s.O, s.H, h_t, c.h.per_sequence, <const vec*> c.packed.W_hy,
                   by_rows(dtype, s, s.H, s.O), <const vec*> c.packed.b_y, y_t, c.y.per_sequence)
    for b in range(rows if c.packed.W_hy == NULL else 0):
        copy_scalars(at(y_t, b * c.y.per_sequence), 1, at(h_t, b * c.h.per_sequence), 1, s.H)
