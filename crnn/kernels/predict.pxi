# Predictions: the forward pass, with the states of only so many steps kept as stay in cache.

cdef enum:
    # The states of a chunk of steps, for all sequences, take so many bytes,
    KEPT_BYTES = 1 << 18
    # and no fewer steps than fill a few tiles of rows.
    KEPT_STEPS = 24


cdef inline Py_ssize_t steps_kept(const vec* dtype, Sizes s) noexcept nogil:
    return min(s.T, max(KEPT_STEPS, KEPT_BYTES // (s.B * s.H * itemsize(dtype))))


cdef Py_ssize_t predict_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that `predict` needs."""
    return (workspace_size(dtype, s) + outputs_size(dtype, s)
            + s.B * (steps_kept(dtype, s) + 1) * s.H)


cdef void predict(vec* dtype, Team team) noexcept nogil:
    """Fill y and the last states of the Call."""
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Call chunk = c[0]
    cdef Share mine = share(team, s.B, DEALT)
    cdef Py_ssize_t most = steps_kept(dtype, s)
    cdef vec* inputs = aligned(<const vec*> c.workspace)
    cdef vec* recurrent = at(inputs, inputs_size(dtype, s))
    cdef vec* outputs = at(recurrent, recurrent_size(dtype, s.H))
    cdef Py_ssize_t b, first = 0
    chunk.h.data = at(outputs, outputs_size(dtype, s))
    chunk.h.per_sequence, chunk.h.per_step = (most + 1) * s.H, s.H
    pack(inputs, <const vec*> c.W_xh, 1, s.I, s.I, s.H, team)
    pack_recurrent(recurrent, <const vec*> c.W_hh, 1, s.H, s, team)
    if c.W_hy != NULL:
        pack(outputs, <const vec*> c.W_hy, 1, s.H, s.H, s.O, team)
    for b in range(mine.first, mine.last):
        if c.h0 == NULL:
            clear(step_of(dtype, chunk.h, b, 0), s.H)
        else:
            copy_scalars(step_of(dtype, chunk.h, b, 0), 1, at(<const vec*> c.h0, b * s.H), 1, s.H)
    team_wait(team)
    while first < s.T:
        chunk.sizes.T = min(most, s.T - first)
        chunk.x.data = step_of(dtype, c.x, 0, first)
        chunk.y.data = step_of(dtype, c.y, 0, first)
        run_forward(&chunk, inputs, recurrent, <const vec*> c.b_h, mine)
        if c.W_hy != NULL:
            output_rows(&chunk, states_of(chunk.h, dtype), outputs, mine)
        for b in range(mine.first, mine.last):
            if c.W_hy == NULL:
                copy_scalars(step_of(dtype, chunk.y, b, 0), 1, step_of(dtype, chunk.h, b, 1), 1,
                             chunk.sizes.T * s.H)
            copy_scalars(step_of(dtype, chunk.h, b, 0), 1,
                         step_of(dtype, chunk.h, b, chunk.sizes.T), 1, s.H)
        first += most
    for b in range(mine.first, mine.last):
        copy_scalars(at(<vec*> c.h_n, b * s.H), 1, step_of(dtype, chunk.h, b, 0), 1, s.H)
