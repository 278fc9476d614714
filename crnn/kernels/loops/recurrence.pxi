# The hidden layer over all steps: forward, and backpropagation through time.
#
# A cell is its row of cells.CELLS and a file: rnn.pxi, gru.pxi or lstm.pxi, which says what the
# arrays hold at a step and what happens to them there. What all cells share is here: whatever does
# not recur, and the order of things. The functions that choose between cells stand first.
#
# Members of a team share the sequences of the batch: each runs all steps of its own.

cdef enum:
    # Inputs are projected for as many steps ahead as stay in L2 until the recurrence reads them,
    PROJECTED_BYTES = 1 << 18
    # and for no fewer than fill a few tiles of rows.
    PROJECTED_STEPS = 24
    # Sequences are dealt in twos, which tiles of 4 and 6 rows both serve well.
    DEALT = 2


cdef inline bint is_gated(Sizes s) noexcept nogil:
    return s.cell.kept > 0


cdef void pack_recurrent(vec* packed, const vec* W_hh, Sizes s, bint forward,
                         Team team) noexcept nogil:
    """Lay W_hh out for the forward pass, or for the backward pass."""
    cdef Py_ssize_t N = s.cell.gates * s.H
    if s.cell.kind == GRU_CELL or s.cell.kind == GRU_RESET_BEFORE_CELL:
        gru_pack(packed, W_hh, s, forward, team)
    elif not forward:
        pack_weights(packed, W_hh, s.H, 1, N, s.H, s.B == 1, team)
    elif is_gated(s) and s.B == 1:
        if team.index == 0:
            pack_units(packed, W_hh, 1, s.H, s.H, s.cell.gates, s.H)
    else:
        pack_weights(packed, W_hh, 1, s.H, s.H, N, s.B == 1, team)


cdef inline void forward_step(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                              bint reads_x, bint room, Share mine) noexcept nogil:
    """h_t of this member's sequences; unless it `reads_x`, from W_xh x_t + b_h in its place."""
    cdef Sizes s = c.sizes
    if s.cell.kind == LSTM_CELL:
        lstm_forward(c, p, dtype, t, reads_x, mine)
    elif is_gated(s):
        gru_forward(c, p, dtype, t, reads_x, mine)
    elif reads_x:
        rnn_row(s, p, step_of(dtype, c.x, 0, t), step_of(dtype, c.h, 0, t),
                step_of(dtype, c.h, 0, t + 1), room)
    else:
        recurrent_step(s, mine, c.h, t, <const vec*> p.W_hh, c.h, t + 1, room, rnn_epilogue(s),
                       c.h, t + 1)


cdef void run_backward(Call* c, const vec* W_hh_packed, Py_ssize_t first, Py_ssize_t last,
                       bint carried, bint room, Share mine) noexcept nogil:
    """da_t for t from last - 1 down to first; step 0 of c.da, c.dh and c.dc stands for `first`.

    What the steps after the last send to its state comes from c.dh0 where it is `carried`; on
    return that holds what these steps send to the state before them. `room` as in `run_forward`,
    of all that is read and written here.
    """
    cdef Py_ssize_t state = c.sizes.cell.states * c.sizes.H, t
    if not is_gated(c.sizes):
        rnn_backward_steps(c, W_hh_packed, first, last, carried, room, mine)
        return
    if not carried:
        clear(at(<vec*> c.dh0, mine.first * state), (mine.last - mine.first) * state)
    for t in range(last - 1, first - 1, -1):
        if c.sizes.cell.kind == LSTM_CELL:
            lstm_backward(c, W_hh_packed, t, first, mine)
        else:
            gru_backward(c, W_hh_packed, t, first, mine)


cdef inline void add_recurrent_gradient(Call* c, Py_ssize_t T, const vec* da, Sequences h,
                                        Sequences gates, vec* panels, Py_ssize_t size,
                                        Team team) noexcept nogil:
    """dW_hh += what T steps contribute, whose da, states before them and gates begin there."""
    cdef Sizes s = c.sizes
    if s.cell.kind == GRU_CELL or s.cell.kind == GRU_RESET_BEFORE_CELL:
        gru_recurrent_gradient(c, T, da, h, gates, panels, size, team)
    else:
        add_outer_products(<vec*> c.dW_hh, s.cell.gates * s.H, s.H, s.B, T, da, c.da.per_step, h,
                           panels, size, team)


# From here on the cells are their numbers alone.

cdef inline bint reads_inputs(const vec* dtype, Sizes s, bint has_output_layer) noexcept nogil:
    """Whether a step of the recurrence reads x_t itself and makes y_t too.

    Nothing of a small step's inputs and outputs waits for the states before it, so the processor
    works on them while it waits for those.
    """
    return (by_rows(dtype, s, s.I, s.cell.gates * s.H)
            and (not has_output_layer or by_rows(dtype, s, s.H, s.O)))


cdef inline bint inputs_by_rows(const vec* dtype, Sizes s) noexcept nogil:
    """Whether W_xh is packed by rows where steps do not read x_t themselves."""
    return not is_gated(s) and by_rows(dtype, s, s.I, s.H)


cdef inline Py_ssize_t inputs_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_xh takes, either way, or the steps of a weight gradient."""
    cdef Py_ssize_t N = s.cell.gates * s.H
    cdef Py_ssize_t panels = max(packed_size(dtype, s.I, N), packed_size(dtype, N, s.I))
    return max(max(panels, units_size(dtype, s.I, s.cell.gates, s.H) if s.B == 1 else 0),
               steps_size(dtype, s))


cdef inline Py_ssize_t recurrent_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_hh takes, in either direction."""
    # Each of two parts may take a whole line more.
    return (max(units_size(dtype, s.H, s.cell.gates, s.H),
                packed_size(dtype, s.cell.gates * s.H, s.H))
            + 2 * PANEL_ALIGNMENT // itemsize(dtype))


cdef void pack_inputs(vec* packed, const vec* W_xh, Sizes s, bint has_output_layer,
                      Team team) noexcept nogil:
    cdef bint inside = reads_inputs(W_xh, s, has_output_layer)
    if not (inside and is_gated(s)):
        pack_weights(packed, W_xh, 1, s.I, s.I, s.cell.gates * s.H, inputs_by_rows(W_xh, s), team)
    elif team.index == 0:
        pack_units(packed, W_xh, 1, s.I, s.I, s.cell.gates, s.H)


cdef inline Sequences projected(Call* c, const vec* dtype) noexcept nogil:
    """Where W_xh x_t + b_h goes: to the gates, or else to the place of h_t."""
    return c.gates if is_gated(c.sizes) else states_of(c.h, dtype)


cdef void run_forward(Call* c, const Packed* p, const vec* dtype, bint room,
                      Share mine) noexcept nogil:
    """All steps of this member's sequences, and their outputs where there is an output layer.

    Without inputs, W_xh x_t + b_h stands where it would be put. `room`: b_h and the states of one
    sequence alone have room for whole registers.
    """
    cdef Sizes s = c.sizes
    cdef Py_ssize_t N = s.cell.gates * s.H
    cdef Py_ssize_t ahead = PROJECTED_BYTES // (max(1, mine.last - mine.first) * N
                                                * itemsize(dtype))
    cdef Py_ssize_t block, first, steps, b, t
    cdef Sequences z = projected(c, dtype)
    if c.x.data != NULL and reads_inputs(dtype, s, p.W_hy != NULL):
        for t in range(s.T):
            forward_step(c, p, dtype, t, True, room, mine)
            output_step(c, p, dtype, t)
        return
    ahead = min(max(ahead, PROJECTED_STEPS), s.T)
    for block in range(blocks(s.T, ahead)):
        first = block * ahead
        steps = min(ahead, s.T - first)
        # W_xh x_t + b_h does not recur: all these steps of a sequence are one product.
        for b in range(mine.first, mine.last if c.x.data != NULL else mine.first):
            affine(steps, N, s.I, step_of(dtype, c.x, b, first), c.x.per_step,
                   <const vec*> p.W_xh, inputs_by_rows(dtype, s), <const vec*> p.b_h,
                   step_of(dtype, z, b, first), z.per_step)
        for t in range(first, first + steps):
            forward_step(c, p, dtype, t, False, room, mine)
    if p.W_hy != NULL:
        output_rows(c, states_of(c.h, dtype), <const vec*> p.W_hy, <const vec*> p.b_y, mine)


cdef void add_layer_gradients(Call* c, Py_ssize_t T, Sequences x, Sequences h, Sequences gates,
                              vec* panels, Team team) noexcept nogil:
    """The parameters' gradients of T steps, whose arrays begin where these do, and da at its own.

    No member may still be at work on da.
    """
    cdef Sizes s = c.sizes
    cdef const vec* da = <const vec*> c.da.data
    cdef Py_ssize_t steps = steps_size(da, s)
    add_rows(<vec*> c.db_h, da, c.da.per_step, s.B * T, s.cell.sums * s.H, team)
    if x.data != NULL:
        add_outer_products(<vec*> c.dW_xh, s.cell.gates * s.H, s.I, s.B, T, da, c.da.per_step, x,
                           panels, steps, team)
    add_recurrent_gradient(c, T, da, h, gates, panels, steps, team)


cdef void rnn_forward(vec* dtype, Team team) noexcept nogil:
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Packed p
    cdef vec* W_xh = aligned(<const vec*> c.workspace)
    p.W_xh, p.W_hh, p.b_h = W_xh, at(W_xh, inputs_size(dtype, s)), <void*> c.b_h
    p.W_hy = p.b_y = NULL
    if c.x.data != NULL:
        pack_inputs(W_xh, <const vec*> c.W_xh, s, False, team)
    pack_recurrent(<vec*> p.W_hh, <const vec*> c.W_hh, s, True, team)
    team_wait(team)
    run_forward(c, &p, <const vec*> dtype, False, share(team, s.B, DEALT))


cdef void rnn_backward(vec* dtype, Team team) noexcept nogil:
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Share mine = share(team, s.B, DEALT)
    cdef Py_ssize_t N = s.cell.gates * s.H, b
    cdef vec* W_hh_packed = aligned(<const vec*> c.workspace)
    cdef vec* panels = at(W_hh_packed, recurrent_size(dtype, s))
    pack_recurrent(W_hh_packed, <const vec*> c.W_hh, s, False, team)
    team_wait(team)
    run_backward(c, W_hh_packed, 0, s.T, False, False, mine)
    team_wait(team)
    add_layer_gradients(c, s.T, c.x, c.h, c.gates, panels, team)
    if c.dx.data != NULL:
        # dx_t = W_xh^T da_t
        team_wait(team)
        pack(panels, <const vec*> c.W_xh, s.I, 1, N, s.I, team)
        team_wait(team)
        for b in range(mine.first, mine.last):
            product(s.T, s.I, N, step_of(dtype, c.da, b, 0), c.da.per_step, 1, panels,
                    <const vec*> NULL, 0, step_of(dtype, c.dx, b, 0), c.dx.per_step, PLAIN,
                    <const vec*> NULL, 0)
