# Predictions: the forward pass, which stores the states of no more steps than stay in cache.
#
#     x[:, t], y[:, t]  x_t and y_t of the whole sequences
#     h, gates          of a chunk of steps, in the workspace; h[:, 0] is the state before the chunk
#     h0, h_n           (B, states * H): the first states, or NULL for zero; the last ones, or NULL
#
# Where sequences have lengths, no step past their ends is computed, and y is not written there.
#
# Parameters are packed first (`pack_forward`): once for a prediction of whole sequences, or once
# for all steps of a stream. The order in which a number of y is summed depends on the sizes of the
# network and of the batch, and not on the number of steps. So the outputs of a stream have the bits
# of a prediction's.

cdef enum:
    # In at most these bytes the states and gates of a chunk, for all sequences, stay in cache.
    CHUNK_STATES_BYTES = 1 << 18
    # A chunk has at least this many steps, even in more bytes, to fill tiles of rows.
    CHUNK_STEPS = 24


cdef struct PackedPlan:
    # Where the packed parameters are, in scalars from the aligned start of their memory
    Py_ssize_t W_xh
    Py_ssize_t W_hh
    Py_ssize_t W_hy
    Py_ssize_t b_h
    Py_ssize_t b_y
    Py_ssize_t size


cdef inline PackedPlan plan_packed(const vec* dtype, Sizes s) noexcept nogil:
    cdef PackedPlan plan
    plan.size = 0
    plan.W_xh = reserve(dtype, &plan.size, inputs_size(dtype, s))
    plan.W_hh = reserve(dtype, &plan.size, recurrent_size(dtype, s))
    plan.b_h = reserve(dtype, &plan.size,
                       max(bias_count(s), s.cell.bias_blocks * padded(dtype, s.H)))
    plan.W_hy = plan.b_y = 0
    if s.has_output_layer:
        plan.W_hy = reserve(dtype, &plan.size, packed_size(dtype, s.H, s.O))
        plan.b_y = reserve(dtype, &plan.size, s.O)
    if s.B == 1:
        # Parameters for one sequence alone are laid out in another way. A cache line more tells
        # them from those for several, which take no more otherwise: `stream_step` checks the size.
        plan.size += PANEL_ALIGNMENT // itemsize(dtype)
    return plan


cdef Py_ssize_t packed_forward_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed parameters take, with the slack to align them."""
    return alignment_slack(dtype) + plan_packed(dtype, s).size


cdef void place_packed(const vec* dtype, Sizes s, void* memory, Packed* p) noexcept nogil:
    """Point at the places of the packed parameters in so much memory."""
    cdef PackedPlan plan = plan_packed(dtype, s)
    cdef vec* start = aligned(<const vec*> memory)
    p.W_xh, p.W_hh, p.b_h = at(start, plan.W_xh), at(start, plan.W_hh), at(start, plan.b_h)
    p.W_hy = p.b_y = NULL
    if s.has_output_layer:
        p.W_hy, p.b_y = at(start, plan.W_hy), at(start, plan.b_y)


cdef void pack_forward(Call* c, Team team, const vec* dtype) noexcept nogil:
    """Pack the Call's parameters to the places in c.packed."""
    pack_parameters(c, &c.packed, team, dtype)
    if c.sizes.has_output_layer and team.index == 0:
        copy_scalars(<vec*> c.packed.b_y, 1, <const vec*> c.b_y, 1, c.sizes.O)


cdef inline Py_ssize_t block_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars from h_t to c_t: a sequence alone has room for whole registers."""
    return padded(dtype, s.H) if is_alone(s) else s.H


cdef inline bint keeps_gates(const vec* dtype, Sizes s) noexcept nogil:
    """Whether there are gates for each step of a chunk; otherwise one step's are overwritten."""
    return projected_steps(dtype, s) > 0


cdef inline Py_ssize_t chunk_steps(const vec* dtype, Sizes s) noexcept nogil:
    cdef Py_ssize_t blocks_of_step = s.cell.state_blocks
    if keeps_gates(dtype, s):
        blocks_of_step += s.cell.gate_blocks
    return min(s.T, max(CHUNK_STEPS,
                        CHUNK_STATES_BYTES // (blocks_of_step * s.B * s.H * itemsize(dtype))))


cdef inline Py_ssize_t states_stride(const vec* dtype, Sizes s, Py_ssize_t steps) noexcept nogil:
    """Scalars from one sequence's states to the next one's."""
    return odd_lines(dtype, (steps + 1) * s.cell.state_blocks * block_size(dtype, s))


cdef inline Py_ssize_t gates_stride(const vec* dtype, Sizes s, Py_ssize_t steps) noexcept nogil:
    """Scalars from one sequence's gates to the next one's."""
    cdef Py_ssize_t kept = steps if keeps_gates(dtype, s) else 1
    return odd_lines(dtype, kept * s.cell.gate_blocks * s.H)


cdef Py_ssize_t predict_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that `predict` needs: packed parameters, then the states and gates of a chunk."""
    cdef Py_ssize_t steps = chunk_steps(dtype, s)
    return (packed_forward_size(dtype, s)
            + s.B * (states_stride(dtype, s, steps) + gates_stride(dtype, s, steps)))


cdef inline void copy_state(vec* to, Py_ssize_t to_c, const vec* source, Py_ssize_t source_to_c,
                            Sizes s) noexcept nogil:
    """Copy h_t, and c_t where there is one."""
    copy_scalars(to, 1, source, 1, s.H)
    if s.cell.state_blocks == 2:
        copy_scalars(at(to, to_c), 1, at(source, source_to_c), 1, s.H)


cdef void predict_part(Call* c, Call* chunk, const vec* dtype, Py_ssize_t most,
                       Part* part) noexcept nogil:
    """The steps of the member's part from `part.step` on, in chunks of at most `most` steps."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t T = steps_of(c, 0, s.T), state = s.cell.state_blocks * s.H, b, t
    cdef bint copies = c.y.data != NULL and not s.has_output_layer
    cdef Share rows, steps
    chunk.passed = part.step // most * most
    part.step -= chunk.passed
    while chunk.passed < T:
        chunk.sizes.T = min(most, T - chunk.passed)
        chunk.x.data = at(<const vec*> c.x.data, chunk.passed * c.x.per_step)
        chunk.y.data = at(<const vec*> c.y.data, chunk.passed * c.y.per_step)
        run_forward(chunk, &chunk.packed, dtype, True, part)
        if is_over(part, 0):
            return
        for b in range(part.rows.first, part.rows.last if copies else part.rows.first):
            steps = steps_share(part, steps_of(chunk, b, chunk.sizes.T))
            for t in range(steps.first, steps.last):
                copy_scalars(step_of(dtype, chunk.y, b, t), 1, step_of(dtype, chunk.h, b, t + 1), 1,
                             s.H)
        rows = sequences_of(part, s.B)
        for b in range(rows.first, rows.last):
            t = steps_of(chunk, b, chunk.sizes.T)
            if t > 0:
                copy_state(step_of(dtype, chunk.h, b, 0), chunk.to_c,
                           step_of(dtype, chunk.h, b, t), chunk.to_c, s)
        wait_for_units(part)
        chunk.passed += most
    rows = sequences_of(part, s.B)
    for b in range(rows.first, rows.last if c.h_n != NULL else rows.first):
        copy_state(at(<vec*> c.h_n, b * state), s.H, step_of(dtype, chunk.h, b, 0), chunk.to_c, s)


cdef void predict(Call* c, Team team, const vec* dtype) noexcept nogil:
    """Write y and the last states, each where it is wanted.

    Pack the parameters unless the Call has them.
    """
    cdef Sizes s = c.sizes
    cdef Call chunk = c[0]
    cdef Part part = part_of(dtype, c, team)
    cdef Share mine = sequences_of(&part, s.B)
    cdef Py_ssize_t most = chunk_steps(dtype, s), state = s.cell.state_blocks * s.H, b
    chunk.h.data = at(<const vec*> c.workspace, packed_forward_size(dtype, s))
    if c.packed.W_hh == NULL:
        place_packed(dtype, s, c.workspace, &chunk.packed)
        pack_forward(&chunk, team, dtype)
    chunk.to_c = block_size(dtype, s)
    chunk.h.per_step = s.cell.state_blocks * chunk.to_c
    chunk.h.per_sequence = states_stride(dtype, s, most)
    chunk.gates.data = step_of(dtype, chunk.h, s.B, 0)
    chunk.gates.per_sequence = gates_stride(dtype, s, most)
    chunk.gates.per_step = s.cell.gate_blocks * s.H if keeps_gates(dtype, s) else 0
    for b in range(mine.first, mine.last):
        if c.h0 == NULL:
            clear(step_of(dtype, chunk.h, b, 0), chunk.h.per_step)
        else:
            copy_state(step_of(dtype, chunk.h, b, 0), chunk.to_c,
                       at(<const vec*> c.h0, b * state), s.H, s)
    team_wait(team)
    predict_part(c, &chunk, dtype, most, &part)
    while take(&part):
        predict_part(c, &chunk, dtype, most, &part)
