# The hidden layer over all steps: forward, and backpropagation through time.
#
# A cell is a row of cells.CELLS and one of the files plain.pxi, leaky.pxi, gru.pxi and lstm.pxi,
# which says what the arrays hold at a step, and computes the step. Here is what all cells share:
# the products that do not recur, and the order of the steps. The functions that choose between
# cells come first.
#
#     x[:, t]       x_t
#     h[:, t]       the state before step t: h_{t-1}, and for an LSTM c_{t-1}
#     gates[:, t]   what else BPTT needs of step t; before the step W_xh x_t + b_h, where that is
#                   computed ahead (`projected_steps`); without gates that is in h[:, t + 1]
#     dh[:, t]      dL/dh_t through the outputs of step t
#     da[:, t]      the gradients of step t's pre-activations; without gates first dh[:, t]
#     dh0           the gradient of the state before the first step
#
# One sequence alone is computed for the least latency, by functions called `..._row`. Several go
# side by side, group by group of units: the sums of all gates of a group are complete, and near,
# before they become gates and states.

cdef enum:
    # The products W_xh x_t of several steps are computed before the recurrence reads them: of the
    # whole batch in at most these bytes, which are not far away by then.
    PROJECTED_BYTES = 1 << 20
    # They are computed for at least this many steps of one sequence, even in more bytes, to fill
    # tiles of rows.
    PROJECTED_STEPS = 24
    # Several sequences fill tiles in every step. Where fewer steps than these go into the bytes,
    # each step reads x_t itself. So does each step of a gated cell: its sums are many, and take
    # longer to write and to read again than small tiles of inputs cost.
    LEAST_PROJECTED_STEPS = 12
    # What a step of more bytes reads and writes is not in cache when its turn comes.
    NEAR_STEP_BYTES = 1 << 16
    # Backpropagation through a tanh layer's single sequence takes so many steps at most before it
    # asks whether it is interrupted: some milliseconds. The sums of the step between two such parts
    # are rounded in another order, so their size does not depend on whether the call asks.
    BACKWARD_STEPS = 1 << 14


cdef inline bint is_gated(Sizes s) noexcept nogil:
    return s.cell.gate_blocks > 0


cdef inline const vec* gate_panel(const vec* packed, Py_ssize_t gate, Py_ssize_t K, Py_ssize_t H,
                                  Py_ssize_t n) noexcept nogil:
    """The panel with unit n of a gate's (K, H) matrix, as `pack_gates` packs them."""
    return at(packed, gate * packed_size(packed, K, H) + n * K)


cdef void pack_gates(vec* packed, const vec* W, Py_ssize_t K, Sizes s, Team team) noexcept nogil:
    """Pack W (gates * H, K) as a (K, H) matrix for each gate."""
    cdef Py_ssize_t g
    for g in range(s.cell.weight_blocks):
        pack(at(packed, g * packed_size(W, K, s.H)), at(W, g * s.H * K), 1, K, K, s.H, team)


cdef void pack_recurrent(vec* packed, const vec* W_hh, Sizes s, bint forward,
                         Team team) noexcept nogil:
    """Pack W_hh for the forward pass, or for the backward pass."""
    cdef Py_ssize_t N = s.cell.weight_blocks * s.H
    if forward and not is_alone(s):
        pack_gates(packed, W_hh, s.H, s, team)
    elif s.cell.kind == GRU_CELL or s.cell.kind == GRU_RESET_BEFORE_CELL:
        gru_pack(packed, W_hh, s, forward, team)
    elif not forward:
        pack_weights(packed, W_hh, s.H, 1, N, s.H, is_alone(s), team)
    elif not is_gated(s):
        pack_weights(packed, W_hh, 1, s.H, s.H, N, True, team)
    elif team.index == 0:
        pack_units(packed, W_hh, 1, s.H, s.H, s.cell.weight_blocks, s.H)


cdef inline void project_gate(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t, Share rows,
                              Py_ssize_t gate, Py_ssize_t n, Py_ssize_t columns,
                              Rows sums) noexcept nogil:
    """sums = W_xh x_t + b_h of some units of a gate, for these sequences."""
    cdef Sizes s = c.sizes
    product(rows.last - rows.first, columns, s.I, rows_at(dtype, c.x, rows.first, t), 1,
            gate_panel(<const vec*> p.W_xh, gate, s.I, s.H, n),
            rows_of(at(<const vec*> p.b_h, gate * s.H + n), 0), sums)


cdef inline void add_products(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                              bint reads_x, Share rows, Py_ssize_t gate, Py_ssize_t n,
                              Py_ssize_t columns, Rows sums) noexcept nogil:
    """sums += W_hh h_{t-1}; a step that `reads_x` makes sums = W_xh x_t + b_h + W_hh h_{t-1}."""
    cdef Sizes s = c.sizes
    cdef Rows x = rows_at(dtype, c.x, rows.first, t), start = sums
    if reads_x:
        start = rows_of(at(<const vec*> p.b_h, gate * s.H + n), 0)
    products(rows.last - rows.first, columns, s.I if reads_x else 0, x,
             gate_panel(<const vec*> p.W_xh, gate, s.I, s.H, n), s.H,
             rows_at(dtype, c.h, rows.first, t), 1,
             gate_panel(<const vec*> p.W_hh, gate, s.H, s.H, n), start, sums)


cdef inline void prefetch_blocks(const vec* dtype, Sequences s, Share rows, Py_ssize_t t,
                                 Py_ssize_t n, Py_ssize_t columns, Py_ssize_t count,
                                 Py_ssize_t block) noexcept nogil:
    """Load units [n, n + columns) of a step's `count` blocks: these places are far apart."""
    cdef Rows at_t = rows_at(dtype, s, rows.first, t)
    cdef Py_ssize_t k
    for k in range(count):
        prefetch_rows(dtype, columns_from(dtype, at_t, k * block + n), rows.last - rows.first,
                      columns)


cdef inline void prefetch_forward(Call* c, const vec* dtype, Py_ssize_t t, Share rows,
                                  Py_ssize_t n, Py_ssize_t columns) noexcept nogil:
    """Prefetch what a step writes of some units; see `is_far`."""
    prefetch_blocks(dtype, c.h, rows, t + 1, n, columns, c.sizes.cell.state_blocks, c.to_c)
    if c.gates.per_step:
        prefetch_blocks(dtype, c.gates, rows, t, n, columns, c.sizes.cell.gate_blocks, c.sizes.H)


cdef inline void prefetch_backward(Call* c, const vec* dtype, Py_ssize_t t, Py_ssize_t first,
                                   Share rows, Py_ssize_t n, Py_ssize_t columns) noexcept nogil:
    """Prefetch what a step backward reads and writes of some units; see `is_far`."""
    prefetch_blocks(dtype, c.gates, rows, t, n, columns, c.sizes.cell.gate_blocks, c.sizes.H)
    prefetch_blocks(dtype, c.da, rows, t - first, n, columns, c.sizes.cell.da_blocks, c.sizes.H)
    prefetch_blocks(dtype, c.h, rows, t, n, columns, c.sizes.cell.state_blocks, c.to_c)
    prefetch_blocks(dtype, c.dh, rows, t - first, n, columns, 1, 0)


cdef inline void run_row(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                         Py_ssize_t steps, bint reads_x, bint is_padded) noexcept nogil:
    """Steps of one sequence from `first` on.

    Where it `reads_x` (see `reads_inputs`) with their outputs; otherwise W_xh x_t + b_h is in its
    place already. `is_padded`: b_h and the states have room for whole registers.
    """
    if c.sizes.cell.kind == LSTM_CELL:
        lstm_rows(c, p, dtype, first, steps, reads_x)
    elif has_leak(c.sizes):
        leaky_rows(c, p, dtype, first, steps, reads_x)
    elif is_gated(c.sizes):
        gru_rows(c, p, dtype, first, steps, reads_x)
    else:
        plain_rows(c, p, dtype, first, steps, reads_x, is_padded)


cdef inline void run_row_until_stopped(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                                       Py_ssize_t last, bint reads_x, bint is_padded,
                                       const Part* part) noexcept nogil:
    """Steps [first, last) of one sequence, or fewer where the call ends early."""
    cdef Share left, steps
    cdef Py_ssize_t t, end
    left.first, left.last = first, last
    while left.first < left.last:
        steps = next_steps(part.team, &left, work_of_step(c.sizes, 1))
        t = steps.first
        while t < steps.last:
            end = next_restart(c, 0, t + 1, steps.last)
            move_states(c, dtype, t, part.rows, part, False)
            run_row(c, p, dtype, t, end - t, reads_x, is_padded)
            move_states(c, dtype, t, part.rows, part, True)
            t = end


cdef inline void forward_rows(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                              bint reads_x, const Part* part) noexcept nogil:
    """Step t of the member's part; unless it `reads_x`, W_xh x_t + b_h is computed already."""
    cdef Share rows = live_at(c, part.rows, t)
    cdef bint some = some_restart(c, rows, t)
    if some:
        move_states(c, dtype, t, rows, part, False)
        wait_for_units(part)
    if reads_x and is_far(dtype, c.sizes) and t + 1 < c.sizes.T:
        prefetch_rows(dtype, rows_at(dtype, c.x, rows.first, t + 1), rows.last - rows.first,
                      c.sizes.I)
    if rows.first < rows.last:
        if c.sizes.cell.kind == LSTM_CELL:
            lstm_forward(c, p, dtype, t, reads_x, rows, part)
        elif has_leak(c.sizes):
            leaky_forward(c, p, dtype, t, reads_x, rows, part)
        elif is_gated(c.sizes):
            gru_forward(c, p, dtype, t, reads_x, rows, part)
        else:
            plain_forward(c, p, dtype, t, reads_x, rows, part)
    wait_for_units(part)
    if some:
        move_states(c, dtype, t, rows, part, True)
        wait_for_units(part)


cdef inline void carry_rows(Call* c, const vec* W_hh_packed, Py_ssize_t t_da, Share rows,
                            const Part* part) noexcept nogil:
    """c.dh0 of these sequences: what reaches the state before a step, whose da is at `t_da`."""
    cdef Py_ssize_t GR = group_columns(W_hh_packed), H = c.sizes.H, n, k, columns
    cdef Py_ssize_t count = rows.last - rows.first
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if c.sizes.cell.kind == LSTM_CELL:
            lstm_carry(c, W_hh_packed, t_da, rows.first, count, n, columns)
        elif has_leak(c.sizes):
            leaky_carry(c, W_hh_packed, t_da, rows.first, count, n, columns)
        elif is_gated(c.sizes):
            gru_carry(c, W_hh_packed, t_da, rows.first, count, n, columns)
        elif count:
            product(count, columns, H, rows_at(W_hh_packed, c.da, rows.first, t_da), 1,
                    at(W_hh_packed, n * H), rows_of(<vec*> NULL, 0),
                    rows_of(at(<vec*> c.dh0, rows.first * H + n), H))


cdef inline void end_flow(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t t_da,
                          Share rows, const Part* part) noexcept nogil:
    """Of the sequences that restart before step t, whose da_t is complete: the start's gradient."""
    cdef Share one
    cdef Py_ssize_t b
    if not some_restart(c, rows, t):
        return
    for b in range(rows.first, rows.last):
        if restarts(c, b, t):
            one.first, one.last = b, b + 1
            if c.dstart != NULL:
                carry_rows(c, W_hh_packed, t_da, one, part)
            take_start_gradient(c, W_hh_packed, b, part)
    wait_for_units(part)


cdef inline void backward_rows(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t first,
                               Py_ssize_t later, const Part* part) noexcept nogil:
    """da_t of the member's part, whose first `later` sequences have da_{t+1}."""
    cdef Share rows = live_at(c, part.rows, t), after = rows
    cdef bint some
    after.last = rows.first + later
    some = some_restart(c, rows, t) or some_restart(c, after, t + 1)
    if some:
        move_states(c, W_hh_packed, t, rows, part, False)
        move_gradients(c, W_hh_packed, t + 1, t + 1 - first, after, part, False)
        wait_for_units(part)
    if rows.first < rows.last:
        if c.sizes.cell.kind == LSTM_CELL:
            lstm_backward(c, W_hh_packed, t, first, rows, later, part)
        elif has_leak(c.sizes):
            leaky_backward(c, W_hh_packed, t, first, rows, later, part)
        elif is_gated(c.sizes):
            gru_backward(c, W_hh_packed, t, first, rows, later, part)
        else:
            plain_backward(c, W_hh_packed, t, first, rows, later, part)
    wait_for_units(part)
    if some:
        move_states(c, W_hh_packed, t, rows, part, True)
        move_gradients(c, W_hh_packed, t + 1, t + 1 - first, after, part, True)
    end_flow(c, W_hh_packed, t, t - first, rows, part)


cdef inline void carry(Call* c, const vec* W_hh_packed, Py_ssize_t first,
                       const Part* part) noexcept nogil:
    """c.dh0: what reaches the state before step `first`, whose da is complete."""
    cdef Share rows = live_at(c, part.rows, first)
    cdef bint some = some_restart(c, rows, first)
    if some:
        move_gradients(c, W_hh_packed, first, 0, rows, part, False)
        wait_for_units(part)
    carry_rows(c, W_hh_packed, 0, rows, part)
    if some:
        wait_for_units(part)
        move_gradients(c, W_hh_packed, first, 0, rows, part, True)


cdef void run_backward(Call* c, const vec* W_hh_packed, Py_ssize_t first, Py_ssize_t last,
                       bint carried, bint is_padded, Part* part) noexcept nogil:
    """da_t for t from last - 1, or from `part.step - 1`, down to first, which `part.step` is then.

    c.da and c.dh begin with step `first`. Where it is `carried`, c.dh0 holds the gradient of the
    last state through the steps after it; otherwise that is zero. On return c.dh0 holds the
    gradient of the state before the first step. `is_padded` as in `run_row`, for all arrays that
    are read and written here. The call may end early here.
    """
    cdef Py_ssize_t H = c.sizes.H, b, k, t, top = part.step, later = 0
    cdef Call rest
    part.step = first
    if is_alone(c.sizes) and part.rows.last == 0:
        return
    if top < last:
        later = live_at(c, part.rows, top).last - part.rows.first
    elif not carried:
        for b in range(part.rows.first, part.rows.last):
            for k in range(c.sizes.cell.state_blocks):
                clear(at(<vec*> c.dh0, (b * c.sizes.cell.state_blocks + k) * H + part.units.first),
                      part.units.last - part.units.first)
    if c.sizes.B == 1:
        top = max(first, steps_of(c, 0, top))
    if is_alone(c.sizes) and not is_gated(c.sizes) and first < top:
        rest = c[0]
        while first < top and not is_over(part, work_of_step(c.sizes, BACKWARD_STEPS)):
            t = top - 1
            while t > max(first, top - BACKWARD_STEPS) and not restarts(c, 0, t):
                t -= 1
            rest.da.data = at(<vec*> c.da.data, (t - first) * c.da.per_step)
            plain_row_backward(&rest, W_hh_packed, t, top, carried, is_padded)
            if restarts(c, 0, t):
                take_start_gradient(c, W_hh_packed, 0, part)
            top, carried = t, True
        return
    for t in range(top - 1, first - 1, -1):
        if is_over(part, work_of_step(c.sizes, part.rows.last - part.rows.first)):
            return
        if not is_alone(c.sizes):
            backward_rows(c, W_hh_packed, t, first, later, part)
            if t > first and not part.by_units:
                give(part, t, t - part.end)
            later = live_at(c, part.rows, t).last - part.rows.first
            continue
        move_states(c, W_hh_packed, t, part.rows, part, False)
        if c.sizes.cell.kind == LSTM_CELL:
            lstm_row_backward(c, W_hh_packed, t, first)
        elif has_leak(c.sizes):
            leaky_row_backward(c, W_hh_packed, t, first)
        else:
            gru_row_backward(c, W_hh_packed, t, first)
        move_states(c, W_hh_packed, t, part.rows, part, True)
        if restarts(c, 0, t):
            take_start_gradient(c, W_hh_packed, 0, part)
    if not is_alone(c.sizes):
        carry(c, W_hh_packed, first, part)


cdef inline void add_recurrent_gradient(Call* c, Chunks chunks, vec* panels, Py_ssize_t size,
                                        Team team) noexcept nogil:
    """dW_hh += the part of these steps."""
    cdef Sizes s = c.sizes
    if s.cell.kind == GRU_CELL or s.cell.kind == GRU_RESET_BEFORE_CELL:
        gru_recurrent_gradient(c, chunks, panels, size, team)
    else:
        add_outer_products(<vec*> c.dW_hh, s.cell.weight_blocks * s.H, s.H, c, chunks, c.da, 0,
                           c.h, panels, size, team)


# From here on cells differ by the numbers in their row of the table alone.

cdef inline bint reads_inputs(const vec* dtype, Sizes s) noexcept nogil:
    """Whether a step of one sequence alone reads x_t itself and makes y_t too.

    The inputs and outputs of a small step do not wait for the states before it, so the processor
    works on them while it waits for those states.
    """
    return (is_alone(s) and by_rows(dtype, s, s.I, s.cell.weight_blocks * s.H)
            and (not s.has_output_layer or by_rows(dtype, s, s.H, s.O)))


cdef inline bint inputs_by_rows(const vec* dtype, Sizes s) noexcept nogil:
    """Whether W_xh is packed by rows where steps do not read x_t themselves."""
    return is_alone(s) and not is_gated(s) and by_rows(dtype, s, s.I, s.H)


cdef inline Py_ssize_t gates_size(const vec* dtype, Py_ssize_t K, Sizes s) noexcept nogil:
    """Scalars that the weights of K inputs take, packed by gates or in panels of units."""
    cdef Py_ssize_t by_gates = s.cell.weight_blocks * packed_size(dtype, K, s.H)
    return max(by_gates, units_size(dtype, K, s.cell.weight_blocks, s.H))


cdef inline Py_ssize_t inputs_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_xh takes, for either direction."""
    return max(gates_size(dtype, s.I, s), packed_size(dtype, s.cell.weight_blocks * s.H, s.I))


cdef inline Py_ssize_t recurrent_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_hh takes, for either direction."""
    # A GRU's W_hh may be packed in two parts, each of which may take a cache line more.
    return (max(gates_size(dtype, s.H, s), packed_size(dtype, s.cell.weight_blocks * s.H, s.H))
            + 2 * PANEL_ALIGNMENT // itemsize(dtype))


cdef void pack_inputs(vec* packed, const vec* W_xh, Sizes s, Team team) noexcept nogil:
    if inputs_by_rows(W_xh, s):
        pack_weights(packed, W_xh, 1, s.I, s.I, s.H, True, team)
    elif not reads_inputs(W_xh, s):
        pack_gates(packed, W_xh, s.I, s, team)
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
        copy_scalars(<vec*> p.b_h, 1, <const vec*> c.b_h, 1, bias_count(s))


cdef inline Sequences projected(Call* c, const vec* dtype) noexcept nogil:
    """Where W_xh x_t + b_h is written: to the gates, or without gates to the place of h_t."""
    return c.gates if is_gated(c.sizes) else states_of(c.h, dtype)


cdef inline Py_ssize_t projected_steps(const vec* dtype, Sizes s) noexcept nogil:
    """For how many steps ahead W_xh x_t + b_h is computed; 0: each step reads x_t itself."""
    cdef Py_ssize_t n = PROJECTED_BYTES // (s.B * s.cell.weight_blocks * s.H * itemsize(dtype))
    if s.B == 1:
        return 0 if reads_inputs(dtype, s) else max(n, PROJECTED_STEPS)
    return 0 if is_gated(s) or n < LEAST_PROJECTED_STEPS else n


cdef inline bint is_far(const vec* dtype, Sizes s) noexcept nogil:
    """Whether a step's pre-activations are so large that what it needs has to be prefetched."""
    return s.B * s.cell.weight_blocks * s.H * itemsize(dtype) > NEAR_STEP_BYTES


cdef inline void project(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                         Py_ssize_t last, const Part* part) noexcept nogil:
    """W_xh x_t + b_h of steps [first, last) of the member's part."""
    cdef Sizes s = c.sizes
    cdef Sequences z = projected(c, dtype)
    cdef Py_ssize_t b, g, n = part.units.first, steps
    cdef Rows x, sums
    for b in range(part.rows.first, part.rows.last):
        steps = max(0, steps_of(c, b, last) - first)
        x = rows_of(step_of(dtype, c.x, b, first), c.x.per_step)
        sums = rows_of(step_of(dtype, z, b, first), z.per_step)
        if inputs_by_rows(dtype, s):
            affine(steps, s.H, s.I, x, <const vec*> p.W_xh, True, <const vec*> p.b_h, sums)
            continue
        for g in range(s.cell.weight_blocks):
            product(steps, part.units.last - n, s.I, x, 1,
                    gate_panel(<const vec*> p.W_xh, g, s.I, s.H, n),
                    rows_of(at(<const vec*> p.b_h, g * s.H + n), 0),
                    columns_from(dtype, sums, g * s.H + n))


cdef void run_forward(Call* c, const Packed* p, const vec* dtype, bint is_padded,
                      Part* part) noexcept nogil:
    """The steps of the member's part from `part.step` on, which is 0 then.

    Where there is an output layer, the outputs of all steps too. Without inputs, W_xh x_t + b_h is
    in its place already. `is_padded` as in `run_row`. The call may end early here.
    """
    cdef Sizes s = c.sizes
    cdef bint has_x = c.x.data != NULL
    cdef Py_ssize_t T = s.T if s.B > 1 else steps_of(c, 0, s.T), t, first = part.step, last
    cdef Py_ssize_t ahead = projected_steps(dtype, s) if has_x else 0
    cdef bint reads_x = has_x and ahead == 0
    part.step = 0
    if part.rows.first == part.rows.last:
        return
    if reads_x and is_alone(s):
        run_row_until_stopped(c, p, dtype, 0, T, True, is_padded, part)
        return
    while first < T:
        # W_xh x_t + b_h does not recur, so several steps of a sequence are one product.
        last = min((first // ahead + 1) * ahead, T) if ahead else T
        if ahead and first % ahead == 0:
            project(c, p, dtype, first, last, part)
        if is_alone(s):
            run_row_until_stopped(c, p, dtype, first, last, False, is_padded, part)
        for t in range(last if is_alone(s) else first, last):
            if is_over(part, work_of_step(s, part.rows.last - part.rows.first)):
                return
            forward_rows(c, p, dtype, t, reads_x, part)
            if t + 1 < T and not part.by_units:
                give(part, c.passed + t + 1, part.steps - c.passed - t - 1)
        if is_over(part, 0):
            return
        first = last
    if s.has_output_layer:
        output_rows(c, states_of(c.h, dtype), <const vec*> p.W_hy, <const vec*> p.b_y, part)


cdef void add_layer_gradients(Call* c, Chunks chunks, vec* panels, Team team) noexcept nogil:
    """The parameters' gradients += the part of these steps, whose da no member is still writing."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t steps = steps_size(panels, s)
    add_rows(<vec*> c.db_h, c, chunks, c.da, s.cell.bias_blocks * s.H, team)
    if trains_leak(s):
        add_leak_gradient(c, chunks, team, panels)
    if c.x.data != NULL:
        add_outer_products(<vec*> c.dW_xh, s.cell.weight_blocks * s.H, s.I, c, chunks, c.da, 0,
                           c.x, panels, steps, team)
    add_recurrent_gradient(c, chunks, panels, steps, team)


cdef Py_ssize_t layer_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that either of the two tasks below needs."""
    return (alignment_slack(dtype) + recurrent_size(dtype, s)
            + max(inputs_size(dtype, s), steps_size(dtype, s)))


cdef void rnn_forward(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef Part part = part_of(dtype, c, team)
    cdef Packed p
    cdef vec* W_xh = aligned(<const vec*> c.workspace)
    p.W_xh, p.W_hh, p.b_h = W_xh, at(W_xh, inputs_size(dtype, s)), <void*> c.b_h
    p.W_hy = p.b_y = NULL
    if c.x.data != NULL:
        pack_inputs(W_xh, <const vec*> c.W_xh, s, team)
    pack_recurrent(<vec*> p.W_hh, <const vec*> c.W_hh, s, True, team)
    team_wait(team)
    run_forward(c, &p, dtype, False, &part)
    while take(&part):
        run_forward(c, &p, dtype, False, &part)


cdef inline void start_da(Call* c, const vec* dtype, const Part* part) noexcept nogil:
    """Without gates da starts as dh, which is the caller's and may be strided."""
    cdef Share steps
    cdef Py_ssize_t b, t
    if is_gated(c.sizes):
        return
    for b in range(part.rows.first, part.rows.last):
        steps = steps_share(part, steps_of(c, b, c.sizes.T))
        for t in range(steps.first, steps.last):
            copy_scalars(step_of(dtype, c.da, b, t), 1, step_of(dtype, c.dh, b, t), 1, c.sizes.H)
    wait_for_units(part)


cdef void rnn_backward(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef Part part = part_of(dtype, c, team)
    cdef Share left, steps
    cdef Rows dx
    cdef Py_ssize_t N = s.cell.weight_blocks * s.H, b
    cdef vec* W_hh_packed = aligned(<const vec*> c.workspace)
    cdef vec* panels = at(W_hh_packed, recurrent_size(dtype, s))
    pack_recurrent(W_hh_packed, <const vec*> c.W_hh, s, False, team)
    team_wait(team)
    start_da(c, dtype, &part)
    part.step = s.T
    run_backward(c, W_hh_packed, 0, s.T, True, False, &part)
    while take(&part):
        run_backward(c, W_hh_packed, 0, s.T, True, False, &part)
    team_wait(team)
    add_layer_gradients(c, one_chunk(s.T), panels, team)
    part = part_of(dtype, c, team)
    if c.dx.data != NULL:
        # dx_t += W_xh^T da_t
        team_wait(team)
        pack(panels, <const vec*> c.W_xh, s.I, 1, N, s.I, team)
        team_wait(team)
        for b in range(part.rows.first, part.rows.last):
            left = steps_share(&part, steps_of(c, b, s.T))
            while left.first < left.last:
                steps = next_steps(team, &left, <double> s.I * N)
                dx = rows_of(step_of(dtype, c.dx, b, steps.first), c.dx.per_step)
                product(steps.last - steps.first, s.I, N,
                        rows_of(step_of(dtype, c.da, b, steps.first), c.da.per_step), 1, panels, dx,
                        dx)
