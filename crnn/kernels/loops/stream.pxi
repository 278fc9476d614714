# One step of sequences whose inputs come one at a time, from packed parameters.
#
#     h[:, 0]       h_{t-1}
#     h[:, 1]       h_t, written; the caller exchanges the two before the next step
#     gates[:, 0]   scratch
#
# States have room for whole registers.
#
# The same products as in `predict`, with the sequences of the batch as their rows.

cdef void stream_step(vec* dtype, Team team) noexcept nogil:
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef const Packed* p = &c.packed
    cdef Share mine = share(team, s.B, DEALT)
    cdef Py_ssize_t rows = mine.last - mine.first, b
    cdef Sequences z = projected(c, <const vec*> dtype)
    cdef vec* h_t = step_of(dtype, c.h, mine.first, 1)
    cdef vec* y_t = step_of(dtype, c.y, mine.first, 0)
    if reads_inputs(dtype, s, p.W_hy != NULL):
        forward_step(c, p, <const vec*> dtype, 0, True, True, mine)
        output_step(c, p, <const vec*> dtype, 0)
    else:
        affine(rows, s.cell.gates * s.H, s.I, step_of(dtype, c.x, mine.first, 0), c.x.per_sequence,
               <const vec*> p.W_xh, inputs_by_rows(dtype, s), <const vec*> p.b_h,
               step_of(dtype, z, mine.first, 0), z.per_sequence)
        forward_step(c, p, <const vec*> dtype, 0, False, True, mine)
        if p.W_hy != NULL:
            affine(rows, s.O, s.H, h_t, c.h.per_sequence, <const vec*> p.W_hy,
                   by_rows(dtype, s, s.H, s.O), <const vec*> p.b_y, y_t, c.y.per_sequence)
    for b in range(rows if p.W_hy == NULL else 0):
        copy_scalars(at(y_t, b * c.y.per_sequence), 1, at(h_t, b * c.h.per_sequence), 1, s.H)
