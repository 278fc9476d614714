# A whole training step's gradient in one call: forward, loss, and BPTT chunk by chunk.
#
# The workspace stores the tape: the states h and gates of all steps, and the outputs y of an output
# layer, which dy overwrites. da and dh are those of one chunk of steps, which stays in cache
# between the recurrence that writes it and the weight gradients that read it; or of `reach` chunks,
# where members had to wait for one another lately.
#
# The gradients are sums over groups of sequences, whose number depends on the sizes alone. Where
# every member of a team has whole groups, it sums what is in its own cache, and members do not wait
# for each other between chunks. Otherwise, and where members had to wait for one another lately,
# they share the elements of each sum.

cdef enum:
    # In at most these bytes da of a chunk, for all sequences, stays in cache.
    CHUNK_BYTES = 1 << 18
    # A chunk has at least this many steps, counted over a group's sequences, even in more bytes.
    # Each chunk reads and writes the weight gradients once, and this many additions outweigh that.
    CHUNK_ROWS = 256
    # Members that had to wait for one another lately do several chunks, of at most these bytes,
    # before they meet.
    REACH_BYTES = 1 << 23
    # The sequences are in so many groups where the parameters take at most SUMS_BYTES, otherwise in
    # one. Each group has sums of its own, and larger ones would not stay in cache.
    SUM_GROUPS = 2
    SUMS_BYTES = 1 << 20
    # Padded states take at most these bytes. The states of longer sequences are not padded.
    PADDED_BYTES = 1 << 22


cdef struct Plan:
    # Where everything is in the workspace, in scalars from its aligned start
    Py_ssize_t chunk            # steps of a chunk
    Py_ssize_t groups           # of sequences, each with sums of its own
    Py_ssize_t reach            # most chunks whose da are kept
    bint is_padded              # states, b_h and da of one sequence have room for whole registers
    Py_ssize_t to_c             # scalars from h_t to c_t
    Py_ssize_t h_per_step
    Py_ssize_t h_per_sequence
    Py_ssize_t da_per_step
    Py_ssize_t h                # (B, T+1, states * H), sequences h_per_sequence apart
    Py_ssize_t gates            # (B, T, gates * H)
    Py_ssize_t y                # (B, T, O), with an output layer
    Py_ssize_t da               # (reach, B, chunk, da_blocks * H)
    Py_ssize_t dh               # (reach, B, chunk, H); without gates the same as da
    Py_ssize_t b_h              # (biases,)
    Py_ssize_t carried          # (B, states * H): a chunk's last state gets it from the next chunk
    Py_ssize_t losses           # (B,) of float64
    Py_ssize_t sums             # (groups - 1, parameters): gradients of all groups but the first
    Py_ssize_t inputs           # packed W_xh, then each group's packed steps of weight gradients
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
    cdef Py_ssize_t da_size = s.cell.da_blocks * s.H
    plan.groups = 1
    if (s.B >= SUM_GROUPS * DEAL_UNIT and not splits_units(s)
            and parameter_count(s) * itemsize(dtype) <= SUMS_BYTES):
        plan.groups = SUM_GROUPS
    plan.chunk = max(CHUNK_BYTES // (s.B * da_size * itemsize(dtype)),
                     blocks(plan.groups * CHUNK_ROWS, s.B))
    # With an odd number of steps da of two sequences is not a power of two apart.
    plan.chunk = min(plan.chunk | 1, s.T)
    plan.reach = REACH_BYTES // (s.B * plan.chunk * da_size * itemsize(dtype))
    plan.reach = max(1, min(plan.reach, blocks(s.T, plan.chunk)))
    # Without an output layer the states are the outputs too, which the loss reads side by side.
    plan.is_padded = (is_alone(s) and s.has_output_layer
                      and s.T * padded(dtype, s.H) * itemsize(dtype) <= PADDED_BYTES)
    plan.to_c = padded(dtype, s.H) if plan.is_padded else s.H
    plan.h_per_step = s.cell.state_blocks * plan.to_c
    plan.h_per_sequence = odd_lines(dtype, (s.T + 1) * plan.h_per_step)
    plan.da_per_step = da_size if is_gated(s) else plan.to_c
    plan.size = 0
    plan.h = reserve(dtype, &plan.size, s.B * plan.h_per_sequence)
    plan.gates = reserve(dtype, &plan.size, s.B * s.T * s.cell.gate_blocks * s.H)
    plan.y = reserve(dtype, &plan.size, s.B * s.T * s.O if s.has_output_layer else 0)
    plan.da = reserve(dtype, &plan.size, plan.reach * s.B * plan.chunk * plan.da_per_step)
    plan.dh = plan.da
    if is_gated(s):
        plan.dh = reserve(dtype, &plan.size, plan.reach * s.B * plan.chunk * s.H)
    plan.b_h = reserve(dtype, &plan.size, max(bias_count(s), plan.to_c))
    plan.carried = reserve(dtype, &plan.size, s.B * s.cell.state_blocks * s.H)
    plan.losses = reserve(dtype, &plan.size, s.B * <Py_ssize_t> sizeof(double) // itemsize(dtype))
    plan.sums = reserve(dtype, &plan.size, (plan.groups - 1) * parameter_count(s))
    plan.inputs = reserve(dtype, &plan.size,
                          max(inputs_size(dtype, s), plan.groups * steps_size(dtype, s)))
    plan.recurrent = reserve(dtype, &plan.size, recurrent_size(dtype, s))
    plan.outputs = reserve(dtype, &plan.size, outputs_size(dtype, s) if s.has_output_layer else 0)
    return plan


cdef Py_ssize_t gradient_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that `gradient` needs, with the slack to align them."""
    return alignment_slack(dtype) + plan_gradient(dtype, s).size


cdef inline double loss_of_steps(Call* c, Py_ssize_t b, Py_ssize_t first, Py_ssize_t steps,
                                 Team team, real* y_hat) noexcept nogil:
    """The sum over these steps of sequence b; dL/dy replaces y_hat."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t row = b * s.T + first
    cdef double value = 0, scale = 2.0 / (s.B * s.T * s.O) if c.loss == MSE else 1.0
    cdef Share left, next
    if c.loss == CROSS_ENTROPY:
        left.first, left.last = 0, steps
        while left.first < left.last:
            next = next_steps(team, &left, <double> s.O * EXPONENTIAL)
            value = cross_entropy(value, next.last - next.first, s.O, y_hat + next.first * s.O,
                                  <const Py_ssize_t*> c.targets + row + next.first, NULL,
                                  s.B * s.T, y_hat + next.first * s.O)
        return value
    if c.loss == HUBER:
        return huber(steps, s.O, y_hat, <const real*> c.targets + row * s.O, NULL, s.B * s.T,
                     c.huber_delta, y_hat)
    return squared_error(steps * s.O, y_hat, <const real*> c.targets + row * s.O, scale, y_hat)


cdef inline void add_losses(Call* c, Sequences y, Py_ssize_t first, Py_ssize_t last, Share mine,
                            Team team, const vec* dtype) noexcept nogil:
    """Steps [first, last) of this member's sequences: their loss, and dL/dy in place of y_hat."""
    cdef Py_ssize_t b
    cdef vec* y_hat
    for b in range(mine.first, mine.last):
        y_hat = step_of(dtype, y, b, 0)
        if vec is vec_f32:
            c.losses[b] += loss_of_steps(c, b, first, last - first, team, <float*> y_hat)
        else:
            c.losses[b] += loss_of_steps(c, b, first, last - first, team, <double*> y_hat)


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


cdef inline Sequences chunk_at(vec* place, Py_ssize_t per_step, const Plan* plan, Py_ssize_t steps,
                               Py_ssize_t b) noexcept nogil:
    """Sequences without gaps. Where sequence b starts does not depend on the number of steps."""
    cdef Sequences chunk
    chunk.data, chunk.offsets = at(place, b * (plan.chunk - steps) * per_step), NULL
    chunk.per_sequence, chunk.per_step = steps * per_step, per_step
    return chunk


cdef inline void place_chunk(Call* c, const Plan* plan, vec* start, Py_ssize_t k, Py_ssize_t steps,
                             Py_ssize_t b) noexcept nogil:
    """Point the Call at the k-th places of da and dh, of a chunk of so many steps.

    Sequences from b on have places of their own, whichever chunk others are at.
    """
    cdef Py_ssize_t da = plan.da_per_step, dh = c.sizes.H if is_gated(c.sizes) else da
    cdef Py_ssize_t before = k * c.sizes.B * plan.chunk
    c.da = chunk_at(at(start, plan.da + before * da), da, plan, steps, b)
    c.dh = chunk_at(at(start, plan.dh + before * dh), dh, plan, steps, b)


cdef inline void start_sequences(Call* c, Share mine, const vec* dtype) noexcept nogil:
    """The states before the first step, and the losses: zero."""
    cdef Py_ssize_t b
    for b in range(mine.first, mine.last):
        clear(step_of(dtype, c.h, b, 0), c.h.per_step)
        c.losses[b] = 0


cdef inline void write_states_gradient(Call* c, Py_ssize_t first, Py_ssize_t last,
                                       const Part* part, const vec* dtype) noexcept nogil:
    """c.dh of steps [first, last): through the output layer, or without one from the loss."""
    cdef Sizes s = c.sizes
    cdef Sequences states = states_of(c.h, dtype)
    cdef Share rows = sequences_of(part, s.B)
    cdef Py_ssize_t b, t
    if s.has_output_layer:
        states_gradient(c, c.y, c.dh, <const vec*> c.packed.W_hy, part, first, last)
        return
    for b in range(rows.first, rows.last):
        for t in range(first, last):
            copy_scalars(step_of(dtype, c.dh, b, t - first), 1, step_of(dtype, states, b, t), 1,
                         s.H)
    add_losses(c, c.dh, first, last, rows, part.team, dtype)


cdef void backward_chunks(Call* c, const Plan* plan, vec* start, const vec* recurrent,
                          Chunks chunks, Py_ssize_t b, Part* part) noexcept nogil:
    """da of the member's part of these chunks, from step `part.step - 1` down.

    `b` as in `place_chunk`.
    """
    cdef Py_ssize_t k
    cdef Share steps
    part.steps, part.end = chunks.last - chunks.first, chunks.first
    while part.step > chunks.first and not is_over(part, 0):
        k = (chunks.last - part.step) // chunks.size
        steps = steps_of_chunk(chunks, k)
        place_chunk(c, plan, start, k, steps.last - steps.first, b)
        if part.step == steps.last:
            write_states_gradient(c, steps.first, steps.last, part, recurrent)
            wait_for_units(part)
        run_backward(c, recurrent, steps.first, steps.last, steps.last < c.sizes.T, plan.is_padded,
                     part)


cdef void forward_losses(Call* c, const vec* dtype, bint is_padded, Part* part) noexcept nogil:
    """The forward pass of the member's part, and with an output layer the losses."""
    run_forward(c, &c.packed, dtype, is_padded, part)
    if c.sizes.has_output_layer and not is_over(part, 0):
        wait_for_units(part)
        add_losses(c, c.y, 0, c.sizes.T, sequences_of(part, c.sizes.B), part.team, dtype)


cdef inline Share rows_of_group(const Plan* plan, Sizes s, Py_ssize_t k) noexcept nogil:
    cdef Team team
    team.index, team.count = <int> k, <int> plan.groups
    return share(team, s.B, DEAL_UNIT)


cdef inline Call call_of_group(const Call* c, const Plan* plan, vec* start,
                               Py_ssize_t k) noexcept nogil:
    """The sequences of group k and their gradients; da stays that of all sequences."""
    cdef Sizes s = c.sizes
    cdef Call group = c[0]
    cdef Share rows = rows_of_group(plan, s, k)
    cdef vec* sums
    group.sizes.B = rows.last - rows.first
    group.x.data = step_of(start, c.x, rows.first, 0)
    group.h.data = step_of(start, c.h, rows.first, 0)
    group.gates.data = step_of(start, c.gates, rows.first, 0)
    group.y.data = step_of(start, c.y, rows.first, 0)
    if k > 0:
        sums = at(start, plan.sums + (k - 1) * parameter_count(s))
        group.dW_xh, sums = sums, at(sums, s.cell.weight_blocks * s.H * s.I)
        group.dW_hh, sums = sums, at(sums, s.cell.weight_blocks * s.H * s.H)
        group.db_h, sums = sums, at(sums, bias_count(s))
        group.dW_hy, group.db_y = sums, at(sums, s.O * s.H)
    return group


cdef inline void add_gradients(void* to, const void* terms, Py_ssize_t n, Team team,
                               const vec* dtype) noexcept nogil:
    cdef Share mine = share(team, n, PANEL_ALIGNMENT // itemsize(dtype))
    add_scalars(at(<const vec*> to, mine.first), at(<const vec*> terms, mine.first),
                mine.last - mine.first)


cdef void add_groups(Call* c, const Plan* plan, vec* start, Team team) noexcept nogil:
    """The gradients, so far those of the first group, += those of the others, one by one."""
    cdef Sizes s = c.sizes
    cdef Call group
    cdef Py_ssize_t k
    for k in range(1, plan.groups):
        group = call_of_group(c, plan, start, k)
        add_gradients(c.dW_xh, group.dW_xh, s.cell.weight_blocks * s.H * s.I, team, start)
        add_gradients(c.dW_hh, group.dW_hh, s.cell.weight_blocks * s.H * s.H, team, start)
        add_gradients(c.db_h, group.db_h, bias_count(s), team, start)
        if s.has_output_layer:
            add_gradients(c.dW_hy, group.dW_hy, s.O * s.H, team, start)
            add_gradients(c.db_y, group.db_y, s.O, team, start)


cdef void gradient(Call* c, Team team, const vec* dtype) noexcept nogil:
    """Write c.losses and add to the gradients, which are zero before.

    Where the call ends early, members go through the rest without computing it, and leave the loop
    of chunks together.
    """
    cdef Sizes s = c.sizes
    cdef Plan plan = plan_gradient(dtype, s)
    cdef Part part = part_of(dtype, c, team)
    cdef Share mine = share(team, s.B, DEAL_UNIT)
    cdef Call mine_c = c[0]
    cdef vec* start = aligned(<const vec*> c.workspace)
    cdef vec* inputs = at(start, plan.inputs)
    cdef vec* recurrent = at(start, plan.recurrent)
    # Whether each member sums whole groups, those of its own sequences
    cdef bint owns_groups = plan.groups % team.count == 0 and not team.is_held
    cdef Team summing = team
    cdef Share groups
    cdef Call group
    cdef Chunks chunks
    cdef Py_ssize_t k, b = 0

    groups.first, groups.last = 0, plan.groups
    place_tape(&mine_c, &plan, start)
    pack_parameters(&mine_c, &mine_c.packed, team, dtype)
    start_sequences(&mine_c, mine, dtype)
    team_wait(team)
    if team.index == 0:
        c.losses = mine_c.losses  # now that every member has its copy of the Call
    forward_losses(&mine_c, dtype, plan.is_padded, &part)
    while take(&part):
        forward_losses(&mine_c, dtype, plan.is_padded, &part)
    team_wait(team)

    pack_recurrent(recurrent, <const vec*> c.W_hh, s, False, team)
    if s.has_output_layer:
        pack(<vec*> mine_c.packed.W_hy, <const vec*> c.W_hy, s.H, 1, s.O, s.H, team)
    if owns_groups:
        groups, b = share(team, plan.groups, 1), mine.first
        inputs = at(inputs, groups.first * steps_size(dtype, s))
        summing.index, summing.count = 0, 1
    for k in range(max(1, groups.first), groups.last if summing.index == 0 else 0):
        group = call_of_group(&mine_c, &plan, start, k)
        clear(<vec*> group.dW_xh, parameter_count(s))
    team_wait(team)
    for k in range(groups.first, groups.last if s.has_output_layer else 0):
        group = call_of_group(&mine_c, &plan, start, k)
        add_output_gradients(&group, states_of(group.h, dtype), inputs, summing)
        team_wait(summing)
    chunks.last, chunks.size, chunks.apart = s.T, plan.chunk, s.B * plan.chunk
    while chunks.last > 0:
        chunks.first = max(0, chunks.last - (plan.reach if team.is_held else 1) * plan.chunk)
        part = part_of(dtype, c, team)
        part.step = chunks.last
        backward_chunks(&mine_c, &plan, start, recurrent, chunks, b, &part)
        while not owns_groups and take(&part):
            backward_chunks(&mine_c, &plan, start, recurrent, chunks, b, &part)
        team_wait(summing)
        if was_stopped(summing):
            break
        place_chunk(&mine_c, &plan, start, 0, min(plan.chunk, chunks.last), b)
        for k in range(groups.first, groups.last):
            group = call_of_group(&mine_c, &plan, start, k)
            chunks.row = rows_of_group(&plan, s, k).first
            add_layer_gradients(&group, chunks, inputs, summing)
            # Groups of other sizes have the members' packed steps at other places.
            team_wait(summing)
        chunks.last = chunks.first
    if owns_groups:
        team_wait(team)
    add_groups(&mine_c, &plan, start, team)
