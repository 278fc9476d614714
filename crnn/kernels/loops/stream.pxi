# One step of sequences whose inputs come one at a time, from packed parameters.
#
#     x[:, 0]       x_t
#     h[:, 0]       the state before the step
#     h[:, 1]       the state after it, written
#     gates[:, 0]   scratch
#     y[:, 0]       y_t, written; it may be x[:, 0]
#     h0, h_n       (B, states * H): where they are not NULL, the state is read and written there
#
# A stream without h0 and h_n exchanges h[:, 0] and h[:, 1] after each step. The products are those
# of `predict`, with the sequences of the batch as their rows, so the bits are the same.

cdef inline Py_ssize_t stream_state_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars of one of a sequence's two states: each block of H takes whole cache lines."""
    cdef Py_ssize_t line = PANEL_ALIGNMENT // itemsize(dtype)
    return s.cell.state_blocks * blocks(s.H, line) * line


cdef inline Py_ssize_t stream_stride(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars from one sequence's states to the next one's: an odd number of cache lines.

    A power of two would put the rows that a tile reads side by side into the same few sets of the
    cache.
    """
    return 2 * stream_state_size(dtype, s) + PANEL_ALIGNMENT // itemsize(dtype)


cdef Py_ssize_t stream_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that the states and gates of a stream take, with the slack to align them."""
    return alignment_slack(dtype) + s.B * (stream_stride(dtype, s) + s.cell.gate_blocks * s.H)


cdef void place_stream(const vec* dtype, Call* c, void* memory) noexcept nogil:
    """Point c.h and c.gates at their places in so much memory."""
    cdef Sizes s = c.sizes
    c.h.data, c.h.per_sequence = aligned(<const vec*> memory), stream_stride(dtype, s)
    c.h.per_step = stream_state_size(dtype, s)
    c.to_c = c.h.per_step // s.cell.state_blocks
    c.gates.data = at(<const vec*> c.h.data, s.B * c.h.per_sequence)
    c.gates.per_sequence = c.gates.per_step = s.cell.gate_blocks * s.H


cdef void stream_step(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef const Packed* p = &c.packed
    cdef Share mine = share(team, s.B, DEAL_UNIT)
    cdef Py_ssize_t rows = mine.last - mine.first, state = s.cell.state_blocks * s.H, b
    cdef Sequences z = projected(c, dtype)
    cdef vec* h = step_of(dtype, c.h, mine.first, 0)
    cdef vec* h_t = step_of(dtype, c.h, mine.first, 1)
    cdef vec* y_t = step_of(dtype, c.y, mine.first, 0)
    for b in range(rows if c.h0 != NULL else 0):
        copy_state(at(h, b * c.h.per_sequence), c.to_c,
                   at(<const vec*> c.h0, (mine.first + b) * state), s.H, s)
    if reads_inputs(dtype, s):
        run_row(c, p, dtype, 0, 1, True, True)
    else:
        affine(rows, s.cell.weight_blocks * s.H, s.I, step_of(dtype, c.x, mine.first, 0),
               c.x.per_sequence, <const vec*> p.W_xh, inputs_by_rows(dtype, s),
               <const vec*> p.b_h, step_of(dtype, z, mine.first, 0), z.per_sequence)
        if s.B == 1:
            run_row(c, p, dtype, 0, 1, False, True)
        else:
            forward_step(c, p, dtype, 0, mine)
        if s.has_output_layer:
            affine(rows, s.O, s.H, h_t, c.h.per_sequence, <const vec*> p.W_hy,
                   by_rows(dtype, s, s.H, s.O), <const vec*> p.b_y, y_t, c.y.per_sequence)
    for b in range(0 if s.has_output_layer else rows):
        copy_scalars(at(y_t, b * c.y.per_sequence), 1, at(h_t, b * c.h.per_sequence), 1, s.H)
    for b in range(rows if c.h_n != NULL else 0):
        copy_state(at(<vec*> c.h_n, (mine.first + b) * state), s.H,
                   at(h_t, b * c.h.per_sequence), c.to_c, s)
