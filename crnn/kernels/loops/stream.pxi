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
    cdef Part part = part_of(dtype, c, team)
    cdef Share mine = share(team, s.B, DEAL_UNIT)
    cdef Py_ssize_t state = s.cell.state_blocks * s.H, b
    for b in range(mine.first, mine.last if c.h0 != NULL else mine.first):
        copy_state(step_of(dtype, c.h, b, 0), c.to_c, at(<const vec*> c.h0, b * state), s.H, s)
    if reads_inputs(dtype, s):
        run_row(c, p, dtype, 0, 1, True, True)
    else:
        wait_for_units(&part)
        if s.B == 1:
            project(c, p, dtype, 0, 1, &part)
        if is_alone(s):
            run_row(c, p, dtype, 0, 1, False, True)
        else:
            forward_rows(c, p, dtype, 0, s.B > 1, &part)
        if s.has_output_layer:
            affine(mine.last - mine.first, s.O, s.H, rows_at(dtype, c.h, mine.first, 1),
                   <const vec*> p.W_hy, by_rows(dtype, s, s.H, s.O), <const vec*> p.b_y,
                   rows_at(dtype, c.y, mine.first, 0))
    for b in range(mine.first, mine.first if s.has_output_layer else mine.last):
        copy_scalars(step_of(dtype, c.y, b, 0), 1, step_of(dtype, c.h, b, 1), 1, s.H)
    for b in range(mine.first, mine.last if c.h_n != NULL else mine.first):
        copy_state(at(<vec*> c.h_n, b * state), s.H, step_of(dtype, c.h, b, 1), c.to_c, s)
