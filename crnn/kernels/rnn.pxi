# The tanh layer: h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h), and BPTT through it.
#
# At step t (0-based, as the arrays are):
#     x[:, t]       x_t
#     h[:, t]       h_{t-1}, the state the step starts from; h[:, 0] is h_0
#     h[:, t + 1]   h_t, the state it leaves
#     dh[:, t]      dL/dh_t through the outputs of step t; overwritten by da_t, the gradient
#                   towards the sum inside the tanh
#
# Members of a team share the sequences of the batch: each runs all steps of its own.

cdef enum:
    # Inputs are projected for as many steps ahead as stay in L2 until the recurrence reads them,
    PROJECTED_BYTES = 1 << 18
    # and for no fewer than fill a few tiles of rows.
    PROJECTED_STEPS = 24
    # Sequences are dealt in twos, which tiles of 4 and 6 rows both serve well.
    DEALT = 2


cdef inline void recurrent_step(Sizes s, Share mine, Sequences a, Py_ssize_t t_a, const vec* packed,
                                Sequences z, Py_ssize_t t_z, bint room, int epilogue, Sequences h,
                                Py_ssize_t t_h) noexcept nogil:
    """z[:, t_z] = epilogue(z[:, t_z] + a[:, t_a] W) for this member's sequences."""
    cdef vec* z_t = step_of(packed, z, mine.first, t_z)
    cdef const vec* h_t = step_of(packed, h, mine.first, t_h)
    if s.B == 1:
        row_product(s.H, s.H, step_of(packed, a, 0, t_a), packed, z_t, z_t, room, epilogue, h_t)
    else:
        product(mine.last - mine.first, s.H, s.H, step_of(packed, a, mine.first, t_a),
                a.per_sequence, 1, packed, z_t, z.per_sequence, z_t, z.per_sequence, epilogue, h_t,
                h.per_sequence)


cdef void run_forward(Call* c, const Packed* p, const vec* dtype, bint room,
                      Share mine) noexcept nogil:
    """All steps of this member's sequences, and their outputs where there is an output layer.

    Without inputs, W_xh x_t + b_h stands where h_t will be. `room`: b_h and the states of one
    sequence alone have room for whole registers.
    """
    cdef Sizes s = c.sizes
    cdef const vec* b_h = <const vec*> p.b_h
    cdef Py_ssize_t of_a_step = max(1, mine.last - mine.first) * s.H * itemsize(dtype)
    cdef Py_ssize_t ahead = PROJECTED_BYTES // of_a_step
    cdef Py_ssize_t block, first, steps, b, t
    cdef vec* h_t
    if (c.x.data != NULL and by_rows(dtype, s, s.I, s.H)
            and (p.W_hy == NULL or by_rows(dtype, s, s.H, s.O))):
        # Nothing of a step's inputs and outputs waits for the states before it, so the processor
        # works on them while it waits for those.
        for t in range(s.T):
            forward_row(s, p, step_of(dtype, c.x, 0, t), step_of(dtype, c.h, 0, t),
                        step_of(dtype, c.h, 0, t + 1), room, step_of(dtype, c.y, 0, t))
        return
    ahead = min(max(ahead, PROJECTED_STEPS), s.T)
    for block in range(blocks(s.T, ahead)):
        first = block * ahead
        steps = min(ahead, s.T - first)
        # W_xh x_t + b_h does not recur: all these steps of a sequence are one product.
        for b in range(mine.first, mine.last if c.x.data != NULL else mine.first):
            h_t = step_of(dtype, c.h, b, first + 1)
            affine(steps, s.H, s.I, step_of(dtype, c.x, b, first), c.x.per_step,
                   <const vec*> p.W_xh, by_rows(dtype, s, s.I, s.H), b_h, h_t, c.h.per_step)
        # + W_hh h_{t-1}, then tanh: the same step of all sequences is one product.
        for t in range(first, first + steps):
            recurrent_step(s, mine, c.h, t, <const vec*> p.W_hh, c.h, t + 1, room, TANH, c.h,
                           t + 1)
    if p.W_hy != NULL:
        output_rows(c, states_of(c.h, dtype), <const vec*> p.W_hy, <const vec*> p.b_y, mine)


cdef inline void forward_row(Sizes s, const Packed* p, const vec* x_t, const vec* h, vec* h_t,
                             bint room, vec* y_t) noexcept nogil:
    """One step of one sequence whose weights are packed by rows."""
    row_product(s.I, s.H, x_t, <const vec*> p.W_xh, <const vec*> p.b_h, h_t, room, PLAIN, h)
    row_product(s.H, s.H, h, <const vec*> p.W_hh, h_t, h_t, room, TANH, h)
    if p.W_hy != NULL:
        row_product(s.H, s.O, h_t, <const vec*> p.W_hy, <const vec*> p.b_y, y_t, False, PLAIN, h)


cdef void run_backward(Call* c, const vec* W_hh_packed, Py_ssize_t first, Py_ssize_t last,
                       bint carried, bint room, Share mine) noexcept nogil:
    """da_t for t from last - 1 down to first, in c.dh, whose step 0 stands for step `first`.

    What da_{t+1} adds to the last step comes from c.dh0 (B, H) where it is `carried`; on return
    that holds W_hh^T da_first. `room` as in `run_forward`, of all that is read and written here.
    """
    cdef Sizes s = c.sizes
    cdef Sequences dh0
    cdef Py_ssize_t b, t
    cdef vec* da_t
    dh0.data, dh0.per_sequence, dh0.per_step = c.dh0, s.H, s.H
    for t in range(last - 1, first - 1, -1):
        if t < last - 1:
            # da_t = (dh_t + W_hh^T da_{t+1}) (1 - h_t^2)
            recurrent_step(s, mine, c.dh, t + 1 - first, W_hh_packed, c.dh, t - first, room,
                           TANH_GRADIENT, c.h, t + 1)
        else:
            for b in range(mine.first, mine.last):
                da_t = step_of(W_hh_packed, c.dh, b, t - first)
                add_through_tanh(da_t, step_of(W_hh_packed, dh0, b, 0), carried,
                                 step_of(W_hh_packed, c.h, b, t + 1), s.H)
    for b in range(mine.first, mine.last):
        clear(step_of(W_hh_packed, dh0, b, 0), s.H)
    recurrent_step(s, mine, c.dh, 0, W_hh_packed, dh0, 0, room, PLAIN, c.h, 0)


cdef inline void add_through_tanh(vec* da, const vec* carried, bint is_carried, const vec* h,
                                  Py_ssize_t H) noexcept nogil:
    """da (H,) = (da + carried) (1 - h^2)."""
    cdef Py_ssize_t n
    for n in range(H):
        if vec is vec_f32:
            if is_carried:
                (<float*> da)[n] += (<const float*> carried)[n]
            (<float*> da)[n] *= 1 - (<const float*> h)[n] * (<const float*> h)[n]
        else:
            if is_carried:
                (<double*> da)[n] += (<const double*> carried)[n]
            (<double*> da)[n] *= 1 - (<const double*> h)[n] * (<const double*> h)[n]


cdef void rnn_forward(vec* dtype, Team team) noexcept nogil:
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Packed p
    cdef vec* W_xh = aligned(<const vec*> c.workspace)
    p.W_xh, p.W_hh, p.b_h = W_xh, at(W_xh, inputs_size(dtype, s)), <void*> c.b_h
    p.W_hy = p.b_y = NULL
    if c.x.data != NULL:
        pack_weights(W_xh, <const vec*> c.W_xh, 1, s.I, s.I, s.H, by_rows(dtype, s, s.I, s.H),
                     team)
    pack_weights(<vec*> p.W_hh, <const vec*> c.W_hh, 1, s.H, s.H, s.H, s.B == 1, team)
    team_wait(team)
    run_forward(c, &p, <const vec*> dtype, False, share(team, s.B, DEALT))


cdef void rnn_backward(vec* dtype, Team team) noexcept nogil:
    cdef Call* c = <Call*> dtype
    cdef Sizes s = c.sizes
    cdef Share mine = share(team, s.B, DEALT)
    cdef vec* W_hh_packed = aligned(<const vec*> c.workspace)
    cdef vec* panels = at(W_hh_packed, packed_size(dtype, s.H, s.H))
    cdef const vec* da = <const vec*> c.dh.data
    cdef Py_ssize_t b, steps = steps_size(dtype, s)
    pack_weights(W_hh_packed, <const vec*> c.W_hh, s.H, 1, s.H, s.H, s.B == 1, team)
    team_wait(team)
    run_backward(c, W_hh_packed, 0, s.T, False, False, mine)
    team_wait(team)
    add_rows(<vec*> c.db_h, da, s.H, s.B * s.T, s.H, team)
    if c.x.data != NULL:
        add_outer_products(<vec*> c.dW_xh, s.H, s.I, s.B, s.T, da, s.H, c.x, panels, steps, team)
    add_outer_products(<vec*> c.dW_hh, s.H, s.H, s.B, s.T, da, s.H, c.h, panels, steps, team)
    if c.dx.data != NULL:
        # dx_t = W_xh^T da_t
        team_wait(team)
        pack(panels, <const vec*> c.W_xh, s.I, 1, s.H, s.I, team)
        team_wait(team)
        for b in range(mine.first, mine.last):
            product(s.T, s.I, s.H, step_of(dtype, c.dh, b, 0), c.dh.per_step, 1, panels,
                    <const vec*> NULL, 0, step_of(dtype, c.dx, b, 0), c.dx.per_step, PLAIN,
                    <const vec*> NULL, 0)
