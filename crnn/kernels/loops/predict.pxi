# Predictions: the forward pass, with the states of only so many steps kept as stay in cache.
#
# Parameters are packed first (`pack_forward`), once for a prediction of a whole sequence or once
# for all steps of a stream. Every number of y is summed in an order that the sizes of the network
# and of the batch fix and the number of steps does not, so a stream's outputs have the bits of a
# prediction's.

cdef enum:
    # The states of a chunk of steps, for all sequences, take so many bytes,
    KEPT_BYTES = 1 << 18
    # and no fewer steps than fill a few tiles of rows.
    KEPT_STEPS = 24


cdef Py_ssize_t packed_forward_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed parameters take, with the slack to align them."""
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype)
    return unit * (1 + blocks(inputs_size(dtype, s), unit) + blocks(recurrent_size(dtype, s), unit)
                   + blocks(packed_size(dtype, s.H, s.O), unit)
                   + blocks(s.cell.sums * padded(dtype, s.H), unit) + blocks(s.O, unit))


cdef void lay_out_packed(const vec* dtype, Sizes s, void* memory, Packed* p) noexcept nogil:
    """Say where in so much memory each packed parameter lies."""
    cdef vec* start = aligned(<const vec*> memory)
    cdef Py_ssize_t used = 0
    p.W_xh = reserve(start, &used, inputs_size(dtype, s))
    p.W_hh = reserve(start, &used, recurrent_size(dtype, s))
    p.W_hy = reserve(start, &used, packed_size(dtype, s.H, s.O))
    p.b_h = reserve(start, &used, s.cell.sums * padded(dtype, s.H))
    p.b_y = reserve(start, &used, s.O)


cdef void pack_forward(vec* dtype, Team team) noexcept nogil:
    """Fill c.packed, which `lay_out_packed` gave its places, from the Call's parameters."""
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    pack_inputs(<vec*> c.packed.W_xh, <const vec*> c.W_xh, s, c.W_hy != NULL, team)
    pack_recurrent(<vec*> c.packed.W_hh, <const vec*> c.W_hh, s, True, team)
    if team.index == 0:
        copy_scalars(<vec*> c.packed.b_h, 1, <const vec*> c.b_h, 1, s.cell.sums * s.H)
    if c.W_hy == NULL:
        c.packed.W_hy = NULL
    else:
        pack_weights(<vec*> c.packed.W_hy, <const vec*> c.W_hy, 1, s.H, s.H, s.O,
                     by_rows(dtype, s, s.H, s.O), team)
        if team.index == 0:
            copy_scalars(<vec*> c.packed.b_y, 1, <const vec*> c.b_y, 1, s.O)


cdef inline Py_ssize_t block_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars from h_t to c_t: a sequence alone has room for whole registers."""
    return padded(dtype, s.H) if s.B == 1 else s.H


cdef inline Py_ssize_t steps_kept(const vec* dtype, Sizes s) noexcept nogil:
    cdef Py_ssize_t of_a_step = (s.cell.states + s.cell.kept) * s.B * s.H * itemsize(dtype)
    return min(s.T, max(KEPT_STEPS, KEPT_BYTES // of_a_step))


cdef Py_ssize_t predict_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that `predict` needs."""
    cdef Py_ssize_t steps = steps_kept(dtype, s)
    return (packed_forward_size(dtype, s)
            + s.B * (steps + 1) * s.cell.states * block_size(dtype, s)
            + s.B * steps * s.cell.kept * s.H)


cdef inline void copy_state(vec* to, Py_ssize_t to_c, const vec* source, Py_ssize_t source_to_c,
                            Sizes s) noexcept nogil:
    """Copy h_t, and c_t where there is one."""
    copy_scalars(to, 1, source, 1, s.H)
    if s.cell.states == 2:
        copy_scalars(at(to, to_c), 1, at(source, source_to_c), 1, s.H)


cdef void predict(vec* dtype, Team team) noexcept nogil:
    """Fill y and, where wanted, the last states; from packed parameters where the Call has them."""
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Call chunk = c[0]
    cdef Share mine = share(team, s.B, DEALT)
    cdef Py_ssize_t most = steps_kept(dtype, s), state = s.cell.states * s.H
    cdef Py_ssize_t b, t, first = 0
    chunk.h.data = at(<const vec*> c.workspace, packed_forward_size(dtype, s))
    if c.packed.W_hh == NULL:
        lay_out_packed(dtype, s, c.workspace, &chunk.packed)
        pack_forward(<vec*> &chunk, team)
        team_wait(team)
    chunk.to_c = block_size(dtype, s)
    chunk.h.per_step = s.cell.states * chunk.to_c
    chunk.h.per_sequence = (most + 1) * chunk.h.per_step
    chunk.gates.data = step_of(dtype, chunk.h, s.B, 0)
    chunk.gates.per_step = s.cell.kept * s.H
    chunk.gates.per_sequence = most * chunk.gates.per_step
    for b in range(mine.first, mine.last):
        if c.h0 == NULL:
            clear(step_of(dtype, chunk.h, b, 0), chunk.h.per_step)
        else:
            copy_state(step_of(dtype, chunk.h, b, 0), chunk.to_c,
                       at(<const vec*> c.h0, b * state), s.H, s)
    while first < s.T:
        chunk.sizes.T = min(most, s.T - first)
        chunk.x.data = step_of(dtype, c.x, 0, first)
        chunk.y.data = step_of(dtype, c.y, 0, first)
        run_forward(&chunk, &chunk.packed, <const vec*> dtype, True, mine)
        for b in range(mine.first, mine.last):
            for t in range(chunk.sizes.T if chunk.packed.W_hy == NULL else 0):
                copy_scalars(step_of(dtype, chunk.y, b, t), 1, step_of(dtype, chunk.h, b, t + 1), 1,
                             s.H)
            copy_state(step_of(dtype, chunk.h, b, 0), chunk.to_c,
                       step_of(dtype, chunk.h, b, chunk.sizes.T), chunk.to_c, s)
        first += most
    for b in range(mine.first, mine.last if c.h_n != NULL else mine.first):
        copy_state(at(<vec*> c.h_n, b * state), s.H, step_of(dtype, chunk.h, b, 0), chunk.to_c, s)
