# The hidden layer over all steps: forward, and backpropagation through time.
#
# A cell is a row of cells.CELLS and one of the files plain.pxi, gru.pxi and lstm.pxi, which says
# what the arrays hold at a step, and computes the step. Here is what all cells share: the products
# that do not recur, and the order of the steps. The functions that choose between cells come first.
#
#     x[:, t]       x_t
#     h[:, t]       the state before step t: h_{t-1}, and for an LSTM c_{t-1}
#     gates[:, t]   what else BPTT needs of step t; before the step W_xh x_t + b_h, which without
#                   gates is in h[:, t + 1]
#     dh[:, t]      dL/dh_t through the outputs of step t; dc[:, t] likewise
#     da[:, t]      the gradients of step t's pre-activations; without gates the same memory as dh
#     dh0           the gradient of the state before the first step
#
# Members of a team share the sequences of the batch: each runs all steps of its own.

cdef enum:
    # The products W_xh x_t of several steps are computed before the recurrence reads them. In at
    # most these bytes they stay in L2 until then.
    PROJECTED_BYTES = 1 << 18
    # They are computed for at least this many steps, even in more bytes, to fill tiles of rows.
    PROJECTED_STEPS = 24
    # Members get sequences in pairs, which fill tiles of 4 and of 6 rows.
    DEAL_UNIT = 2


cdef inline bint is_gated(Sizes s) noexcept nogil:
    return s.cell.gate_blocks > 0


cdef void pack_recurrent(vec* packed, const vec* W_hh, Sizes s, bint forward,
                         Team team) noexcept nogil:
    """Pack W_hh for the forward pass, or for the backward pass."""
    cdef Py_ssize_t N = s.cell.weight_blocks * s.H
    if s.cell.kind == GRU_CELL or s.cell.kind == GRU_RESET_BEFORE_CELL:
        gru_pack(packed, W_hh, s, forward, team)
    elif not forward:
        pack_weights(packed, W_hh, s.H, 1, N, s.H, s.B == 1, team)
    elif is_gated(s) and s.B == 1:
        if team.index == 0:
            pack_units(packed, W_hh, 1, s.H, s.H, s.cell.weight_blocks, s.H)
    else:
        pack_weights(packed, W_hh, 1, s.H, s.H, N, s.B == 1, team)


cdef inline void forward_step(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                              Share mine) noexcept nogil:
    """Step t of this member's sequences, whose W_xh x_t + b_h is in its place already."""
    cdef Sizes s = c.sizes
    if s.cell.kind == LSTM_CELL:
        lstm_forward(c, p, dtype, t, mine)
    elif is_gated(s):
        gru_forward(c, p, dtype, t, mine)
    else:
        plain_step(s, mine, c.h, t, <const vec*> p.W_hh, c.h, t + 1, plain_epilogue(s), c.h, t + 1)


cdef inline void run_row(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                         Py_ssize_t steps, bint reads_x, bint is_padded) noexcept nogil:
    """Steps of one sequence from `first` on.

    Where it `reads_x` (see `reads_inputs`) with their outputs; otherwise W_xh x_t + b_h is in its
    place already. `is_padded` as in `run_forward`.
    """
    if c.sizes.cell.kind == LSTM_CELL:
        lstm_rows(c, p, dtype, first, steps, reads_x)
    elif is_gated(c.sizes):
        gru_rows(c, p, dtype, first, steps, reads_x)
    else:
        plain_rows(c, p, dtype, first, steps, reads_x, is_padded)


cdef void run_backward(Call* c, const vec* W_hh_packed, Py_ssize_t first, Py_ssize_t last,
                       bint carried, bint is_padded, Share mine) noexcept nogil:
    """da_t for t from last - 1 down to first. c.da, c.dh and c.dc begin with step `first`.

    Where it is `carried`, c.dh0 holds the gradient of the last state through the steps after it;
    otherwise that is zero. On return c.dh0 holds the gradient of the state before the first step.
    `is_padded` as in `run_forward`, for all arrays that are read and written here.
    """
    cdef Py_ssize_t state = c.sizes.cell.state_blocks * c.sizes.H, t
    if not is_gated(c.sizes):
        plain_backward_steps(c, W_hh_packed, first, last, carried, is_padded, mine)
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
    """dW_hh += the part of T steps, given their da, the states before them and their gates."""
    cdef Sizes s = c.sizes
    if s.cell.kind == GRU_CELL or s.cell.kind == GRU_RESET_BEFORE_CELL:
        gru_recurrent_gradient(c, T, da, h, gates, panels, size, team)
    else:
        add_outer_products(<vec*> c.dW_hh, s.cell.weight_blocks * s.H, s.H, s.B, T, da,
                           c.da.per_step, h, panels, size, team)


# From here on cells differ by the numbers in their row of the table alone.

cdef inline bint reads_inputs(const vec* dtype, Sizes s) noexcept nogil:
    """Whether a step of the recurrence reads x_t itself and makes y_t too.

    The inputs and outputs of a small step do not wait for the states before it, so the processor
    works on them while it waits for those states.
    """
    return (by_rows(dtype, s, s.I, s.cell.weight_blocks * s.H)
            and (not s.has_output_layer or by_rows(dtype, s, s.H, s.O)))


cdef inline bint inputs_by_rows(const vec* dtype, Sizes s) noexcept nogil:
    """Whether W_xh is packed by rows where steps do not read x_t themselves."""
    return not is_gated(s) and by_rows(dtype, s, s.I, s.H)


cdef inline Py_ssize_t inputs_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_xh takes, for either direction."""
    cdef Py_ssize_t N = s.cell.weight_blocks * s.H
    cdef Py_ssize_t panels = max(packed_size(dtype, s.I, N), packed_size(dtype, N, s.I))
    return max(panels, units_size(dtype, s.I, s.cell.weight_blocks, s.H) if s.B == 1 else 0)


cdef inline Py_ssize_t recurrent_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_hh takes, for either direction."""
    # A GRU's W_hh is packed in two parts, each of which may take a cache line more.
    return (max(units_size(dtype, s.H, s.cell.weight_blocks, s.H),
                packed_size(dtype, s.cell.weight_blocks * s.H, s.H))
            + 2 * PANEL_ALIGNMENT // itemsize(dtype))


cdef void pack_inputs(vec* packed, const vec* W_xh, Sizes s, Team team) noexcept nogil:
    if not (reads_inputs(W_xh, s) and is_gated(s)):
        pack_weights(packed, W_xh, 1, s.I, s.I, s.cell.weight_blocks * s.H,
                     inputs_by_rows(W_xh, s), team)
    elif team.index == 0:
        pack_units(packed, W_xh, 1, s.I, s.I, s.cell.weight_blocks, s.H)


cdef void pack_parameters(Call* c, const Packed* p, Team team, const vec* dtype) noexcept nogil:
    """Pack the Call's parameters for the forward pass, all but b_y, to the places in p."""
    cdef Sizes s = c.sizes
    pack_inputs(<vec*> p.W_xh, <const vec*> c.W_xh, s, team)
    pack_recurrent(<vec*> p.W_hh, <const vec*> c.W_hh, s, True, team)
    if s.has_output_layer:
        pack_weights(<vec*> p.W_hy, <const vec*> c.W_hy, 1, s.H, s.H, s.O,
                     by_rows(dtype, s, s.H, s.O), team)
    if team.index == 0:
        copy_scalars(<vec*> p.b_h, 1, <const vec*> c.b_h, 1, s.cell.bias_blocks * s.H)


cdef inline Sequences projected(Call* c, const vec* dtype) noexcept nogil:
    """Where W_xh x_t + b_h is written: to the gates, or without gates to the place of h_t."""
    return c.gates if is_gated(c.sizes) else states_of(c.h, dtype)


cdef void run_forward(Call* c, const Packed* p, const vec* dtype, bint is_padded,
                      Share mine) noexcept nogil:
    """All steps of this member's sequences, and their outputs where there is an output layer.

    Without inputs, W_xh x_t + b_h is in its place already. `is_padded`: b_h and the states of one
    sequence have room for whole registers.
    """
    cdef Sizes s = c.sizes
    cdef Py_ssize_t N = s.cell.weight_blocks * s.H
    cdef Py_ssize_t ahead = PROJECTED_BYTES // (max(1, mine.last - mine.first) * N
                                                * itemsize(dtype))
    cdef Py_ssize_t block, first, steps, b, t
    cdef Sequences z = projected(c, dtype)
    if c.x.data != NULL and reads_inputs(dtype, s):
        run_row(c, p, dtype, 0, s.T, True, is_padded)
        return
    ahead = min(max(ahead, PROJECTED_STEPS), s.T)
    for block in range(blocks(s.T, ahead)):
        first = block * ahead
        steps = min(ahead, s.T - first)
        # W_xh x_t + b_h does not recur, so these steps of a sequence are one product.
        for b in range(mine.first, mine.last if c.x.data != NULL else mine.first):
            affine(steps, N, s.I, step_of(dtype, c.x, b, first), c.x.per_step,
                   <const vec*> p.W_xh, inputs_by_rows(dtype, s), <const vec*> p.b_h,
                   step_of(dtype, z, b, first), z.per_step)
        if s.B == 1:
            run_row(c, p, dtype, first, steps, False, is_padded)
            continue
        for t in range(first, first + steps):
            forward_step(c, p, dtype, t, mine)
    if s.has_output_layer:
        output_rows(c, states_of(c.h, dtype), <const vec*> p.W_hy, <const vec*> p.b_y, mine)


cdef void add_layer_gradients(Call* c, Py_ssize_t T, Sequences x, Sequences h, Sequences gates,
                              vec* panels, Team team) noexcept nogil:
    """The parameters' gradients += the part of T steps; `x`, `h` and `gates` begin with the first.

    c.da holds these steps alone. No member may still be writing it.
    """
    cdef Sizes s = c.sizes
    cdef const vec* da = <const vec*> c.da.data
    cdef Py_ssize_t steps = steps_size(da, s)
    add_rows(<vec*> c.db_h, da, c.da.per_step, s.B * T, s.cell.bias_blocks * s.H, team)
    if x.data != NULL:
        add_outer_products(<vec*> c.dW_xh, s.cell.weight_blocks * s.H, s.I, s.B, T, da,
                           c.da.per_step, x, panels, steps, team)
    add_recurrent_gradient(c, T, da, h, gates, panels, steps, team)


cdef Py_ssize_t layer_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that either of the two tasks below needs."""
    return (alignment_slack(dtype) + recurrent_size(dtype, s)
            + max(inputs_size(dtype, s), steps_size(dtype, s)))


cdef void rnn_forward(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef Packed p
    cdef vec* W_xh = aligned(<const vec*> c.workspace)
    p.W_xh, p.W_hh, p.b_h = W_xh, at(W_xh, inputs_size(dtype, s)), <void*> c.b_h
    p.W_hy = p.b_y = NULL
    if c.x.data != NULL:
        pack_inputs(W_xh, <const vec*> c.W_xh, s, team)
    pack_recurrent(<vec*> p.W_hh, <const vec*> c.W_hh, s, True, team)
    team_wait(team)
    run_forward(c, &p, dtype, False, share(team, s.B, DEAL_UNIT))


cdef void rnn_backward(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef Share mine = share(team, s.B, DEAL_UNIT)
    cdef Py_ssize_t N = s.cell.weight_blocks * s.H, b
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
                    <const vec*> NULL, 0, step_of(dtype, c.dx, b, 0), c.dx.per_step, IDENTITY,
                    <const vec*> NULL, 0)
