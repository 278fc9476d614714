# A whole training step's gradient in one call: forward, loss, and BPTT chunk by chunk.
#
# The workspace stores the tape: the states h and gates of all steps, and the outputs y of an output
# layer, which dy overwrites. da and dh are those of one chunk of steps, which stays in cache
# between the recurrence that writes it and the weight gradients that read it.

cdef enum:
    # In at most these bytes da of a chunk, for all sequences, stays in cache.
    CHUNK_BYTES = 1 << 18
    # A chunk has at least this many steps, counted over all sequences, even in more bytes. Each
    # chunk reads and writes the weight gradients once, and this many additions outweigh that.
    CHUNK_ROWS = 256
    # Padded states take at most these bytes. The states of longer sequences are not padded.
    PADDED_BYTES = 1 << 22


cdef struct Plan:
    # Where everything is in the workspace, in scalars from its aligned start
    Py_ssize_t chunk            # steps of a chunk
    bint is_padded              # states, b_h and da of one sequence have room for whole registers
    Py_ssize_t to_c             # scalars from h_t to c_t
    Py_ssize_t h_per_step
    Py_ssize_t h_per_sequence
    Py_ssize_t da_per_step
    Py_ssize_t h                # (B, T+1, states * H), sequences h_per_sequence apart
    Py_ssize_t gates            # (B, T, gates * H)
    Py_ssize_t y                # (B, T, O), with an output layer
    Py_ssize_t da               # (B, chunk, biases * H)
    Py_ssize_t dh               # (B, chunk, H); without gates the same as da
    Py_ssize_t b_h              # (biases * H,)
    Py_ssize_t carried          # (B, states * H): a chunk's last state gets it from the next chunk
    Py_ssize_t losses           # (B,) of float64
    Py_ssize_t inputs           # packed W_xh, then the packed steps of a weight gradient
    Py_ssize_t recurrent        # packed W_hh, first for the forward pass, then for the backward
    Py_ssize_t outputs          # packed W_hy, likewise
    Py_ssize_t size             # scalars in all


cdef inline Py_ssize_t reserve(const vec* dtype, Py_ssize_t* used, Py_ssize_t n) noexcept nogil:
    """The place of the next n scalars, in whole cache lines."""
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype), place = used[0]
    used[0] += blocks(n, unit) * unit
    return place


cdef inline Plan plan_gradient(const vec* dtype, Sizes s) noexcept nogil:
    cdef Plan plan
    cdef Py_ssize_t biases = s.cell.bias_blocks * s.H
    plan.chunk = max(CHUNK_BYTES // (s.B * biases * itemsize(dtype)), blocks(CHUNK_ROWS, s.B))
    plan.chunk = min(plan.chunk, s.T)
    # Without an output layer the states are the outputs too, which the loss reads side by side.
    plan.is_padded = (is_alone(s) and s.has_output_layer
                      and s.T * padded(dtype, s.H) * itemsize(dtype) <= PADDED_BYTES)
    plan.to_c = padded(dtype, s.H) if plan.is_padded else s.H
    plan.h_per_step = s.cell.state_blocks * plan.to_c
    plan.h_per_sequence = odd_lines(dtype, (s.T + 1) * plan.h_per_step)
    plan.da_per_step = biases if is_gated(s) else plan.to_c
    plan.size = 0
    plan.h = reserve(dtype, &plan.size, s.B * plan.h_per_sequence)
    plan.gates = reserve(dtype, &plan.size, s.B * s.T * s.cell.gate_blocks * s.H)
    plan.y = reserve(dtype, &plan.size, s.B * s.T * s.O if s.has_output_layer else 0)
    plan.da = reserve(dtype, &plan.size, s.B * plan.chunk * plan.da_per_step)
    plan.dh = plan.da
    if is_gated(s):
        plan.dh = reserve(dtype, &plan.size, s.B * plan.chunk * s.H)
    plan.b_h = reserve(dtype, &plan.size, max(biases, plan.to_c))
    plan.carried = reserve(dtype, &plan.size, s.B * s.cell.state_blocks * s.H)
    plan.losses = reserve(dtype, &plan.size, s.B * <Py_ssize_t> sizeof(double) // itemsize(dtype))
    plan.inputs = reserve(dtype, &plan.size, max(inputs_size(dtype, s), steps_size(dtype, s)))
    plan.recurrent = reserve(dtype, &plan.size, recurrent_size(dtype, s))
    plan.outputs = reserve(dtype, &plan.size, outputs_size(dtype, s) if s.has_output_layer else 0)
    return plan


cdef Py_ssize_t gradient_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that `gradient` needs, with the slack to align them."""
    return alignment_slack(dtype) + plan_gradient(dtype, s).size


cdef inline double loss_of_steps(Call* c, Py_ssize_t b, Py_ssize_t first, Py_ssize_t steps,
                                 real* y_hat) noexcept nogil:
    """The sum over these steps of sequence b; dL/dy replaces y_hat."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t row = b * s.T + first
    cdef double scale = 2.0 / (s.B * s.T * s.O) if c.loss == MSE else 1.0
    if c.loss == CROSS_ENTROPY:
        return cross_entropy(steps, s.O, y_hat, <const Py_ssize_t*> c.targets + row, NULL,
                             s.B * s.T, y_hat)
    return squared_error(steps * s.O, y_hat, <const real*> c.targets + row * s.O, scale, y_hat)


cdef inline void add_losses(Call* c, Sequences y, Py_ssize_t first, Py_ssize_t last, Share mine,
                            const vec* dtype) noexcept nogil:
    """Steps [first, last) of this member's sequences: their loss, and dL/dy in place of y_hat."""
    cdef Py_ssize_t b
    cdef vec* y_hat
    for b in range(mine.first, mine.last):
        y_hat = step_of(dtype, y, b, 0)
        if vec is vec_f32:
            c.losses[b] += loss_of_steps(c, b, first, last - first, <float*> y_hat)
        else:
            c.losses[b] += loss_of_steps(c, b, first, last - first, <double*> y_hat)


cdef inline void place_tape(Call* c, const Plan* plan, vec* start) noexcept nogil:
    """Point the Call at what the workspace holds during the whole task; da and dh change."""
    cdef Sizes s = c.sizes
    c.losses = <double*> at(start, plan.losses)
    c.dh0, c.to_c = at(start, plan.carried), plan.to_c
    c.h.data, c.h.per_step = at(start, plan.h), plan.h_per_step
    c.h.per_sequence = plan.h_per_sequence
    c.gates.data, c.gates.per_step = at(start, plan.gates), s.cell.gate_blocks * s.H
    c.gates.per_sequence = s.T * c.gates.per_step
    c.y.data, c.y.per_step = at(start, plan.y), s.O
    c.y.per_sequence = s.T * s.O
    c.packed.W_xh, c.packed.W_hh = at(start, plan.inputs), at(start, plan.recurrent)
    c.packed.W_hy, c.packed.b_h = at(start, plan.outputs), at(start, plan.b_h)
    c.packed.b_y = <void*> c.b_y


cdef inline void place_chunk(Call* c, const Plan* plan, vec* start,
                             Py_ssize_t steps) noexcept nogil:
    """Point the Call at the places of da and dh of a chunk of so many steps."""
    c.da.data, c.da.per_step = at(start, plan.da), plan.da_per_step
    c.da.per_sequence = steps * plan.da_per_step
    c.dh.data = at(start, plan.dh)
    c.dh.per_step = c.sizes.H if is_gated(c.sizes) else plan.da_per_step
    c.dh.per_sequence = steps * c.dh.per_step


cdef inline void start_sequences(Call* c, Share mine, const vec* dtype) noexcept nogil:
    """The states before the first step, and the losses: zero."""
    cdef Py_ssize_t b
    for b in range(mine.first, mine.last):
        clear(step_of(dtype, c.h, b, 0), c.h.per_step)
        c.losses[b] = 0


cdef inline void write_states_gradient(Call* c, Py_ssize_t first, Py_ssize_t last, Share mine,
                                       const Part* part, const vec* dtype) noexcept nogil:
    """c.dh of steps [first, last): through the output layer, or without one from the loss."""
    cdef Sizes s = c.sizes
    cdef Sequences states = states_of(c.h, dtype)
    cdef Py_ssize_t b, t
    if s.has_output_layer:
        states_gradient(c, c.y, c.dh, <const vec*> c.packed.W_hy, part, first, last)
        return
    for b in range(mine.first, mine.last):
        for t in range(first, last):
            copy_scalars(step_of(dtype, c.dh, b, t - first), 1, step_of(dtype, states, b, t), 1,
                         s.H)
    add_losses(c, c.dh, first, last, mine, dtype)


cdef inline void add_chunk_gradients(Call* c, Py_ssize_t first, Py_ssize_t last, vec* panels,
                                     Team team) noexcept nogil:
    """The layer's gradients += the part of steps [first, last), whose da is complete."""
    cdef Sequences x = c.x, h = c.h, gates = c.gates
    x.data = step_of(panels, x, 0, first)
    h.data = step_of(panels, h, 0, first)
    gates.data = step_of(panels, gates, 0, first)
    add_layer_gradients(c, last - first, x, h, gates, panels, team)


cdef void gradient(Call* c, Team team, const vec* dtype) noexcept nogil:
    """Write c.losses and add to the gradients, which are zero before."""
    cdef Sizes s = c.sizes
    cdef Plan plan = plan_gradient(dtype, s)
    cdef Part part = part_of(dtype, c, team)
    cdef Share mine = share(team, s.B, DEAL_UNIT)
    cdef Call mine_c = c[0]
    cdef vec* start = aligned(<const vec*> c.workspace)
    cdef vec* inputs = at(start, plan.inputs)
    cdef vec* recurrent = at(start, plan.recurrent)
    cdef Py_ssize_t first, last = s.T

    place_tape(&mine_c, &plan, start)
    if team.index == 0:
        c.losses = mine_c.losses
    pack_parameters(&mine_c, &mine_c.packed, team, dtype)
    start_sequences(&mine_c, mine, dtype)
    team_wait(team)
    run_forward(&mine_c, &mine_c.packed, dtype, plan.is_padded, &part)
    if s.has_output_layer:
        wait_for_units(&part)
        add_losses(&mine_c, mine_c.y, 0, s.T, mine, dtype)
    team_wait(team)

    pack_recurrent(recurrent, <const vec*> c.W_hh, s, False, team)
    if s.has_output_layer:
        add_output_gradients(&mine_c, states_of(mine_c.h, dtype), inputs, team)
        pack(<vec*> mine_c.packed.W_hy, <const vec*> c.W_hy, s.H, 1, s.O, s.H, team)
    team_wait(team)
    while last > 0:
        first = max(0, last - plan.chunk)
        place_chunk(&mine_c, &plan, start, last - first)
        write_states_gradient(&mine_c, first, last, mine, &part, dtype)
        wait_for_units(&part)
        run_backward(&mine_c, recurrent, first, last, last < s.T, plan.is_padded, &part)
        team_wait(team)
        add_chunk_gradients(&mine_c, first, last, inputs, team)
        team_wait(team)
        last = first
