# A whole training step's gradient in one call: forward, loss, and BPTT chunk by chunk.
#
# The states and gates of all steps are kept (the tape); da only of one chunk of steps, which stays
# in cache between the recurrence that makes it and the weight gradients that read it. The outputs
# of an output layer are kept too, and dy overwrites them.

cdef enum:
    # da of a chunk, for all sequences, takes so many bytes,
    CHUNK_BYTES = 1 << 18
    # and no fewer steps than fill the sums of the weight gradients.
    CHUNK_ROWS = 256
    # States that are padded take no more than this; longer sequences go without, a little slower.
    PADDED_BYTES = 1 << 22


cdef struct Plan:
    # Where everything lies in the workspace
    Py_ssize_t chunk            # steps of a chunk
    bint room                   # states and da of one sequence have room for whole registers
    Py_ssize_t to_c             # scalars from h_t to c_t
    Py_ssize_t h_per_step
    Py_ssize_t h_per_sequence
    Py_ssize_t da_per_step
    void* h                     # (B, T+1, states * H), sequences h_per_sequence apart
    void* gates                 # (B, T, kept * H)
    void* y                     # (B, T, O), with an output layer
    void* da                    # (B, chunk, sums * H)
    void* dh                    # (B, chunk, H); without gates the same as da
    void* b_h                   # (sums * H,), with room
    void* carried               # (B, states * H): what a chunk's last state gets from the next one
    double* losses              # (B,)
    void* inputs                # panels of W_xh, then of the steps of a weight gradient
    void* recurrent             # W_hh packed, first for the forward pass, then for the backward
    void* outputs               # panels of W_hy, likewise
    Py_ssize_t size             # scalars in all


cdef inline vec* reserve(const vec* workspace, Py_ssize_t* used, Py_ssize_t n) noexcept nogil:
    """The next n scalars of a workspace, aligned."""
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(workspace)
    cdef vec* start = at(workspace, used[0])
    used[0] += blocks(n, unit) * unit
    return start


cdef inline Py_ssize_t outputs_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that the panels of W_hy take."""
    return max(packed_size(dtype, s.H, s.O), packed_size(dtype, s.O, s.H))


cdef inline Plan lay_out(Sizes s, bint has_output_layer, const vec* workspace) noexcept nogil:
    """The plan of a workspace; of no workspace, for its size alone."""
    cdef Plan plan
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(workspace)
    cdef Py_ssize_t used = 0, sums = s.cell.sums * s.H
    cdef vec* start = aligned(workspace)
    plan.chunk = max(CHUNK_BYTES // (s.B * sums * itemsize(workspace)), blocks(CHUNK_ROWS, s.B))
    plan.chunk = min(plan.chunk, s.T)
    # An odd number of cache lines from sequence to sequence: a power of two would put the rows
    # that a tile reads side by side into the same few sets of the cache.
    # Without an output layer the states are the outputs too, and the loss takes them side by side.
    plan.room = (s.B == 1 and has_output_layer
                 and s.T * padded(workspace, s.H) * itemsize(workspace) <= PADDED_BYTES)
    plan.to_c = padded(workspace, s.H) if plan.room else s.H
    plan.h_per_step = s.cell.states * plan.to_c
    plan.h_per_sequence = (blocks((s.T + 1) * plan.h_per_step, unit) | 1) * unit
    plan.da_per_step = sums if is_gated(s) else plan.to_c
    plan.h = reserve(start, &used, s.B * plan.h_per_sequence)
    plan.gates = reserve(start, &used, s.B * s.T * s.cell.kept * s.H)
    plan.y = reserve(start, &used, s.B * s.T * s.O if has_output_layer else 0)
    plan.da = reserve(start, &used, s.B * plan.chunk * plan.da_per_step)
    plan.dh = reserve(start, &used, s.B * plan.chunk * s.H) if is_gated(s) else plan.da
    plan.b_h = reserve(start, &used, max(sums, plan.to_c))
    plan.carried = reserve(start, &used, s.B * s.cell.states * s.H)
    plan.losses = <double*> reserve(start, &used, s.B * 8 // itemsize(workspace))
    plan.inputs = reserve(start, &used, inputs_size(workspace, s))
    plan.recurrent = reserve(start, &used, recurrent_size(workspace, s))
    plan.outputs = reserve(start, &used, outputs_size(workspace, s))
    plan.size = used + unit
    return plan


cdef inline void add_losses(Call* c, Sequences y, Py_ssize_t first, Py_ssize_t last, Share mine,
                            const vec* dtype) noexcept nogil:
    """Steps [first, last) of this member's sequences: their loss, and dL/dy in place of y_hat."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t T = last - first
    cdef double scale = 2.0 / (s.B * s.T * s.O) if c.loss == MSE else 1.0
    cdef Py_ssize_t b, step
    cdef vec* y_b
    for b in range(mine.first, mine.last):
        step = b * s.T + first
        y_b = step_of(dtype, y, b, 0)
        if c.loss == CROSS_ENTROPY:
            if vec is vec_f32:
                c.losses[b] += cross_entropy[float](
                    T, s.O, <const float*> y_b, <const Py_ssize_t*> c.targets + step,
                    s.T * s.B, <float*> y_b)
            else:
                c.losses[b] += cross_entropy[double](
                    T, s.O, <const double*> y_b, <const Py_ssize_t*> c.targets + step,
                    s.T * s.B, <double*> y_b)
        elif vec is vec_f32:
            c.losses[b] += squared_error[float](
                T * s.O, <const float*> y_b, <const float*> c.targets + step * s.O, scale,
                <float*> y_b)
        else:
            c.losses[b] += squared_error[double](
                T * s.O, <const double*> y_b, <const double*> c.targets + step * s.O, scale,
                <double*> y_b)


cdef void gradient(vec* dtype, Team team) noexcept nogil:
    """Fill c.losses and the gradients, which stand at zero before."""
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef bint has_output_layer = c.W_hy != NULL
    cdef Plan plan = lay_out(s, has_output_layer, <const vec*> c.workspace)
    cdef Share mine = share(team, s.B, DEALT)
    cdef Call mine_c = c[0]
    cdef Sequences x = c.x, states, before, gates
    cdef Sizes chunk = s
    cdef vec* inputs = <vec*> plan.inputs
    cdef vec* recurrent = <vec*> plan.recurrent
    cdef vec* outputs = <vec*> plan.outputs
    cdef const vec* dy
    cdef Packed packed
    cdef Py_ssize_t b, t, first, last

    packed.W_xh, packed.W_hh, packed.b_h = inputs, recurrent, plan.b_h
    packed.W_hy, packed.b_y = outputs if has_output_layer else NULL, <void*> c.b_y
    if team.index == 0:
        c.losses = plan.losses
    mine_c.losses, mine_c.dh0, mine_c.to_c = plan.losses, plan.carried, plan.to_c
    mine_c.h.data, mine_c.h.per_sequence = plan.h, plan.h_per_sequence
    mine_c.h.per_step = plan.h_per_step
    mine_c.gates.data, mine_c.gates.per_step = plan.gates, s.cell.kept * s.H
    mine_c.gates.per_sequence = s.T * mine_c.gates.per_step
    mine_c.y.data, mine_c.y.per_sequence, mine_c.y.per_step = plan.y, s.T * s.O, s.O
    mine_c.dc.data = NULL
    states = states_of(mine_c.h, dtype)

    pack_inputs(inputs, <const vec*> c.W_xh, s, has_output_layer, team)
    pack_recurrent(recurrent, <const vec*> c.W_hh, s, True, team)
    if has_output_layer:
        pack_weights(outputs, <const vec*> c.W_hy, 1, s.H, s.H, s.O, by_rows(dtype, s, s.H, s.O),
                     team)
    if team.index == 0:
        copy_scalars(<vec*> plan.b_h, 1, <const vec*> c.b_h, 1, s.cell.sums * s.H)
    for b in range(mine.first, mine.last):
        clear(step_of(dtype, mine_c.h, b, 0), plan.h_per_step)
        plan.losses[b] = 0
    team_wait(team)
    run_forward(&mine_c, &packed, <const vec*> dtype, plan.room, mine)
    if has_output_layer:
        add_losses(&mine_c, mine_c.y, 0, s.T, mine, <const vec*> dtype)
    team_wait(team)

    pack_recurrent(recurrent, <const vec*> c.W_hh, s, False, team)
    if has_output_layer:
        dy = <const vec*> plan.y
        add_rows(<vec*> c.db_y, dy, s.O, s.B * s.T, s.O, team)
        add_outer_products(<vec*> c.dW_hy, s.O, s.H, s.B, s.T, dy, s.O, states, inputs,
                           steps_size(dtype, s), team)
        pack(outputs, <const vec*> c.W_hy, s.H, 1, s.O, s.H, team)
    team_wait(team)
    last = s.T
    while last > 0:
        first = max(0, last - plan.chunk)
        chunk.T = last - first
        mine_c.da.data, mine_c.da.per_step = plan.da, plan.da_per_step
        mine_c.da.per_sequence = chunk.T * plan.da_per_step
        mine_c.dh.data = plan.dh
        mine_c.dh.per_step = s.H if is_gated(s) else plan.da_per_step
        mine_c.dh.per_sequence = chunk.T * mine_c.dh.per_step
        if has_output_layer:
            towards_states(s, mine_c.y, mine_c.dh, outputs, mine, first, last)
        else:
            for b in range(mine.first, mine.last):
                for t in range(first, last):
                    copy_scalars(step_of(dtype, mine_c.dh, b, t - first), 1,
                                 step_of(dtype, states, b, t), 1, s.H)
            add_losses(&mine_c, mine_c.dh, first, last, mine, <const vec*> dtype)
        run_backward(&mine_c, recurrent, first, last, last < s.T, plan.room, mine)
        team_wait(team)
        x.data = step_of(dtype, c.x, 0, first)
        before, gates = mine_c.h, mine_c.gates
        before.data = step_of(dtype, mine_c.h, 0, first)
        gates.data = step_of(dtype, mine_c.gates, 0, first)
        add_layer_gradients(&mine_c, chunk.T, x, before, gates, inputs, team)
        team_wait(team)
        last = first
