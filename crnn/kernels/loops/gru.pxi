# The GRU, in its two forms: the reset gate r acts after the recurrent product, or before it.
#
#     r, z = sigmoid(W_xh x_t + W_hh h_{t-1} + b_h), of the blocks r and z
#     n    = tanh(W_xn x_t + b_n + r q),   q = W_hn h_{t-1} + b_hn      after
#     n    = tanh(W_xn x_t + b_n + W_hn q),   q = r h_{t-1}             before
#     h_t  = (1 - z) n + z h_{t-1}
#
# At step t, counted from 0, the arrays hold:
#     h[:, t]       h_{t-1}
#     h[:, t + 1]   h_t
#     gates[:, t]   the blocks r, z, n, q: first W_xh x_t + b_h in r, z and n, then the values
#     da[:, t]      the gradients of the pre-activations of r, z and n; with "after" also q's
#     dh0           (B, H): what reaches h_t from later steps, then h_{t-1}
#
# For one sequence alone and for the backward pass, W_hh is packed in two parts: the rows of r and
# z, then those of n; for steps of one sequence of the form "after" all together.
#
# A function of `count` units works on one register of them, and stores `count` of its lanes. Its
# pointers are to the first of these units in each array.

cdef inline bint resets_after(Sizes s) noexcept nogil:
    return s.cell.kind == GRU_CELL


cdef inline Py_ssize_t rz_size(const vec* dtype, Sizes s, bint forward) noexcept nogil:
    """Scalars that the packed rows of r and z take."""
    if not forward:
        return packed_size(dtype, 2 * s.H, s.H)
    return units_size(dtype, s.H, 2, s.H)


cdef void gru_pack(vec* packed, const vec* W_hh, Sizes s, bint forward, Team team) noexcept nogil:
    """Pack W_hh for one sequence alone, or for the backward pass."""
    cdef const vec* W_hn = at(W_hh, 2 * s.H * s.H)
    cdef vec* packed_n = at(packed, rz_size(W_hh, s, forward))
    if not forward:
        pack_weights(packed, W_hh, s.H, 1, 2 * s.H, s.H, is_alone(s), team)
        pack_weights(packed_n, W_hn, s.H, 1, s.H, s.H, is_alone(s), team)
    elif team.index == 0 and resets_after(s):
        pack_units(packed, W_hh, 1, s.H, s.H, 3, s.H)
    elif team.index == 0:
        pack_units(packed, W_hh, 1, s.H, s.H, 2, s.H)
        pack_units(packed_n, W_hn, 1, s.H, s.H, 1, s.H)


cdef inline void gru_units_state(Py_ssize_t count, Py_ssize_t H, vec* gates, const vec* h,
                                 vec* h_t, vec z, vec n) noexcept nogil:
    """h_t of these units from their gate z and the pre-activations of n."""
    n = vector_tanh(n)
    store_some(h_t, 0, count, (splat(h, 1) - z) * n + z * load_some(h, 0, count))
    store_some(gates, 2 * H, count, n)


cdef inline void gru_units_gates(Py_ssize_t count, Py_ssize_t H, vec* gates, vec r, vec z, vec n,
                                 vec q) noexcept nogil:
    """After: stores r, z and the pre-activations of n of these units."""
    r = vector_sigmoid(r)
    store_some(gates, 0, count, r)
    store_some(gates, H, count, vector_sigmoid(z))
    store_some(gates, 2 * H, count, n + r * q)


cdef inline void gru_units_after(Py_ssize_t count, Py_ssize_t H, vec* gates, const vec* h,
                                 vec* h_t, vec r, vec z, vec n, vec q) noexcept nogil:
    """After: gates and h_t of these units, whose pre-activations and q are given."""
    r, z = vector_sigmoid(r), vector_sigmoid(z)
    store_some(gates, 0, count, r)
    store_some(gates, H, count, z)
    store_some(gates, 3 * H, count, q)
    gru_units_state(count, H, gates, h, h_t, z, n + r * q)


cdef inline void gru_units_reset(Py_ssize_t count, Py_ssize_t H, vec* gates, const vec* h, vec r,
                                 vec z) noexcept nogil:
    """Before: r, z and q = r h_{t-1} of these units, from the pre-activations of r and z."""
    r = vector_sigmoid(r)
    store_some(gates, 0, count, r)
    store_some(gates, H, count, vector_sigmoid(z))
    store_some(gates, 3 * H, count, r * load_some(h, 0, count))


cdef inline void gru_row_after(bint two, Py_ssize_t u, Py_ssize_t I, Py_ssize_t H, const Packed* p,
                               const vec* x_t, vec* gates, const vec* h, vec* h_t) noexcept nogil:
    """After: a panel of units from u on, or `two`, of a step of one sequence."""
    cdef Py_ssize_t L = lanes(h), n = min(L, H - u), v = u + L
    cdef const vec* start = gates if x_t == NULL else <vec*> p.b_h
    cdef const vec* b_hn = at(<const vec*> p.b_h, 3 * H)
    cdef vec[6] z       # r, z and n of each panel
    cdef vec[2] n_x
    load_units_3(z, at(start, u), H, n)
    if two:
        load_units_3(&z[3], at(start, v), H, min(L, H - v))
    if x_t != NULL:
        add_units_3(two, I, x_t, at(<const vec*> p.W_xh, 3 * u * I), z)
    n_x[0], z[2] = z[2], load_some(b_hn, u, n)
    if two:
        n_x[1], z[5] = z[5], load_some(b_hn, v, min(L, H - v))
    add_units_3(two, H, h, at(<const vec*> p.W_hh, 3 * u * H), z)
    gru_units_after(n, H, at(gates, u), at(h, u), at(h_t, u), z[0], z[1], n_x[0], z[2])
    if two:
        gru_units_after(min(L, H - v), H, at(gates, v), at(h, v), at(h_t, v), z[3], z[4], n_x[1],
                        z[5])


cdef inline void gru_row_before(Sizes s, const Packed* p, const vec* x_t, vec* gates, const vec* h,
                                vec* h_t) noexcept nogil:
    """Before: a step of one sequence."""
    cdef Py_ssize_t L = lanes(h), H = s.H, j, u, count
    cdef const vec* start = gates if x_t == NULL else <vec*> p.b_h
    cdef const vec* W_rz = <const vec*> p.W_hh
    cdef const vec* W_hn = at(W_rz, rz_size(h, s, True))
    cdef vec[3] z
    for j in range(blocks(H, L)):
        u = j * L
        count = min(L, H - u)
        load_units_3(z, at(start, u), H, count)
        if x_t != NULL:
            add_units_3x1(s.I, x_t, at(<const vec*> p.W_xh, 3 * u * s.I), z)
        add_units_2x1(H, h, at(W_rz, 2 * u * H), z)
        store_some(gates, 2 * H + u, count, z[2])
        gru_units_reset(count, H, at(gates, u), at(h, u), z[0], z[1])
    for j in range(blocks(H, L)):
        u = j * L
        count = min(L, H - u)
        z[0] = load_some(gates, 2 * H + u, count)
        add_units_1x1(H, at(gates, 3 * H), at(W_hn, u * H), z)
        gru_units_state(count, H, at(gates, u), at(h, u), at(h_t, u),
                        load_some(gates, H + u, count), z[0])


cdef inline void gru_row(bint after, Py_ssize_t H, Sizes s, const Packed* p, const vec* x_t,
                         vec* gates, const vec* h, vec* h_t, bint from_end) noexcept nogil:
    """A step of one sequence; without x_t, W_xh x_t + b_h is in `gates`."""
    cdef Py_ssize_t L = lanes(h), pairs = blocks(H, 2 * L), j, u
    if not after:
        gru_row_before(s, p, x_t, gates, h, h_t)
        return
    for j in range(pairs):
        u = (pairs - 1 - j if from_end else j) * 2 * L
        if u + L < H:
            gru_row_after(True, u, s.I, H, p, x_t, gates, h, h_t)
        else:
            gru_row_after(False, u, s.I, H, p, x_t, gates, h, h_t)


cdef inline void gru_steps(bint after, Py_ssize_t H, Call* c, const Packed* p, const vec* dtype,
                           Py_ssize_t first, Py_ssize_t steps, bint reads_x) noexcept nogil:
    cdef Py_ssize_t t
    for t in range(first, first + steps):
        gru_row(after, H, c.sizes, p, step_of(dtype, c.x, 0, t) if reads_x else <vec*> NULL,
                step_of(dtype, c.gates, 0, t), step_of(dtype, c.h, 0, t),
                step_of(dtype, c.h, 0, t + 1), starts_from_end(H, c, t))
        if reads_x:
            output_step(H, c, p, dtype, t)


cdef void gru_rows(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                   Py_ssize_t steps, bint reads_x) noexcept nogil:
    """Steps of one sequence, as `run_row` says."""
    # Sizes that the compiler knows make straight code of whole loops. Steps of float64 gain little.
    if not resets_after(c.sizes):
        gru_steps(False, c.sizes.H, c, p, dtype, first, steps, reads_x)
    elif c.sizes.H == 8:
        gru_steps(True, 8, c, p, dtype, first, steps, reads_x)
    elif vec is vec_f32 and c.sizes.H == 16:
        gru_steps(True, 16, c, p, dtype, first, steps, reads_x)
    elif vec is vec_f32 and c.sizes.H == 32:
        gru_steps(True, 32, c, p, dtype, first, steps, reads_x)
    else:
        gru_steps(True, c.sizes.H, c, p, dtype, first, steps, reads_x)


cdef inline void gru_units_of_forward(bint after, Py_ssize_t columns, Py_ssize_t H, vec* gates,
                                      const vec* h, vec* h_t) noexcept nogil:
    """After: gates and h_t of `columns` units whose sums are in `gates`. Before: r, z and q."""
    cdef Py_ssize_t L = lanes(h), whole = columns // L * L if after else 0, j, u, count
    # First the gates of all units, then h_t: a unit's h_t waits for r, and the processor does not
    # look far enough ahead for work on other units. A literal number of lanes: whole registers are
    # loaded and stored without a branch.
    for j in range(whole // L):
        u = j * L
        gru_units_gates(L, H, at(gates, u), load(gates, u), load(gates, H + u),
                        load(gates, 2 * H + u), load(gates, 3 * H + u))
    for j in range(whole // L):
        u = j * L
        gru_units_state(L, H, at(gates, u), at(h, u), at(h_t, u), load(gates, H + u),
                        load(gates, 2 * H + u))
    for j in range(blocks(columns - whole, L)):
        u = whole + j * L
        count = min(L, columns - u)
        if after:
            gru_units_after(count, H, at(gates, u), at(h, u), at(h_t, u),
                            load_some(gates, u, count), load_some(gates, H + u, count),
                            load_some(gates, 2 * H + u, count), load_some(gates, 3 * H + u, count))
        else:
            gru_units_reset(count, H, at(gates, u), at(h, u), load_some(gates, u, count),
                            load_some(gates, H + u, count))


cdef inline void gru_forward(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                             bint reads_x, Share rows, const Part* part) noexcept nogil:
    """Step t of these sequences."""
    cdef Py_ssize_t L = lanes(dtype), GR = group_columns(dtype), H = c.sizes.H
    cdef Py_ssize_t M = rows.last - rows.first, b, n, k, j, u, g, columns, count
    cdef bint after = resets_after(c.sizes)
    cdef Rows gates_t = rows_at(dtype, c.gates, rows.first, t), sums_n
    cdef vec* gates
    cdef vec* h
    cdef vec* h_t
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if is_far(dtype, c.sizes):
            prefetch_forward(c, dtype, t, rows, n, columns)
        for g in range(2):
            add_products(c, p, dtype, t, reads_x, rows, g, n, columns,
                         columns_from(dtype, gates_t, g * H + n))
        if reads_x:
            project_gate(c, p, dtype, t, rows, 2, n, columns,
                         columns_from(dtype, gates_t, 2 * H + n))
        if after:
            product(M, columns, H, rows_at(dtype, c.h, rows.first, t), 1,
                    gate_panel(<const vec*> p.W_hh, 2, H, H, n),
                    rows_of(at(<const vec*> p.b_h, 3 * H + n), 0),
                    columns_from(dtype, gates_t, 3 * H + n))
        for b in range(rows.first, rows.last):
            gates, h = at(step_of(dtype, c.gates, b, t), n), at(step_of(dtype, c.h, b, t), n)
            h_t = at(step_of(dtype, c.h, b, t + 1), n)
            # A literal in each call, so that the loop is compiled for either form.
            if after:
                gru_units_of_forward(True, columns, H, gates, h, h_t)
            else:
                gru_units_of_forward(False, columns, H, gates, h, h_t)
    if after:
        return
    wait_for_units(part)
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        sums_n = columns_from(dtype, gates_t, 2 * H + n)
        product(M, columns, H, columns_from(dtype, gates_t, 3 * H), 1,
                gate_panel(<const vec*> p.W_hh, 2, H, H, n), sums_n, sums_n)
        for b in range(rows.first, rows.last):
            gates, h = step_of(dtype, c.gates, b, t), step_of(dtype, c.h, b, t)
            h_t = step_of(dtype, c.h, b, t + 1)
            for j in range(blocks(columns, L)):
                u = n + j * L
                count = min(L, H - u)
                gru_units_state(count, H, at(gates, u), at(h, u), at(h_t, u),
                                load_some(gates, H + u, count),
                                load_some(gates, 2 * H + u, count))


cdef inline void gru_units_backward(bint after, Py_ssize_t count, Py_ssize_t H, const vec* gates,
                                    const vec* h, const vec* dh_t, vec* carried,
                                    vec* da) noexcept nogil:
    """da_t of these units; "before" r's is still missing. carried: through z to h_{t-1}."""
    cdef vec r = load_some(gates, 0, count), z = load_some(gates, H, count), one = splat(gates, 1)
    cdef vec n = load_some(gates, 2 * H, count), q, da_n
    cdef vec dh = load_some(dh_t, 0, count) + load_some(carried, 0, count)
    da_n = dh * (one - z) * (one - n * n)
    store_some(da, H, count, dh * (load_some(h, 0, count) - n) * z * (one - z))
    store_some(da, 2 * H, count, da_n)
    store_some(carried, 0, count, dh * z)
    if after:
        q = load_some(gates, 3 * H, count)
        store_some(da, 0, count, da_n * q * r * (one - r))
        store_some(da, 3 * H, count, da_n * r)


cdef inline void gru_units_reset_backward(Py_ssize_t count, const vec* r_t, const vec* h,
                                          vec* carried, vec* da) noexcept nogil:
    """Before: r's da_t of these units, which holds dL/dq on entry; through r to h_{t-1}."""
    cdef vec r = load_some(r_t, 0, count), dq = load_some(da, 0, count)
    store_some(carried, 0, count, load_some(carried, 0, count) + dq * r)
    store_some(da, 0, count, dq * load_some(h, 0, count) * r * (splat(h, 1) - r))


cdef inline void gru_units_of_backward(Call* c, const vec* dtype, Py_ssize_t t, Py_ssize_t first,
                                       Py_ssize_t b, Py_ssize_t n,
                                       Py_ssize_t columns) noexcept nogil:
    """da_t of one sequence's units from n on; "before" r's is zero, to add dL/dq."""
    cdef Py_ssize_t L = lanes(dtype), H = c.sizes.H, u, j
    cdef const vec* gates = step_of(dtype, c.gates, b, t)
    cdef const vec* h = step_of(dtype, c.h, b, t)
    cdef const vec* dh_t = step_of(dtype, c.dh, b, t - first)
    cdef vec* carried = at(<vec*> c.dh0, b * H)
    cdef vec* da = step_of(dtype, c.da, b, t - first)
    for j in range(blocks(columns, L)):
        u = n + j * L
        gru_units_backward(resets_after(c.sizes), min(L, H - u), H, at(gates, u), at(h, u),
                           at(dh_t, u), at(carried, u), at(da, u))
        if not resets_after(c.sizes):
            store_some(da, u, min(L, H - u), splat(h, 0))


cdef inline void gru_units_of_reset_backward(Call* c, const vec* dtype, Py_ssize_t t,
                                             Py_ssize_t first, Py_ssize_t b, Py_ssize_t n,
                                             Py_ssize_t columns) noexcept nogil:
    """Before: r's da_t of one sequence's units from n on."""
    cdef Py_ssize_t L = lanes(dtype), u, j
    cdef const vec* gates = step_of(dtype, c.gates, b, t)
    cdef const vec* h = step_of(dtype, c.h, b, t)
    cdef vec* da = step_of(dtype, c.da, b, t - first)
    for j in range(blocks(columns, L)):
        u = n + j * L
        gru_units_reset_backward(min(L, c.sizes.H - u), at(gates, u), at(h, u),
                                 at(<vec*> c.dh0, b * c.sizes.H + u), at(da, u))


cdef inline void gru_row_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t,
                                  Py_ssize_t first) noexcept nogil:
    """da_t of one sequence, and the gradient of h_{t-1} in c.dh0."""
    cdef Py_ssize_t H = c.sizes.H
    cdef const vec* W_hn = at(W_hh_packed, rz_size(W_hh_packed, c.sizes, False))
    cdef vec* da = step_of(W_hh_packed, c.da, 0, t - first)
    cdef vec* dh0 = <vec*> c.dh0
    gru_units_of_backward(c, W_hh_packed, t, first, 0, 0, H)
    if resets_after(c.sizes):
        row_product(H, H, at(da, 3 * H), W_hn, dh0, dh0)
    else:
        row_product(H, H, at(da, 2 * H), W_hn, da, da)
        gru_units_of_reset_backward(c, W_hh_packed, t, first, 0, 0, H)
    row_product(2 * H, H, da, W_hh_packed, dh0, dh0)


cdef inline void gru_carry(Call* c, const vec* W_hh_packed, Py_ssize_t t_da, Py_ssize_t row,
                           Py_ssize_t count, Py_ssize_t n, Py_ssize_t columns) noexcept nogil:
    """c.dh0 += W_hh^T da, for `count` sequences from `row` on and the units from n on."""
    cdef Py_ssize_t H = c.sizes.H
    cdef const vec* W_hn = at(W_hh_packed, rz_size(W_hh_packed, c.sizes, False))
    cdef Rows da, carried
    if count == 0:
        return
    da = rows_at(W_hh_packed, c.da, row, t_da)
    carried = rows_of(at(<vec*> c.dh0, row * H + n), H)
    if resets_after(c.sizes):
        product(count, columns, H, columns_from(W_hh_packed, da, 3 * H), 1, at(W_hn, n * H),
                carried, carried)
    product(count, columns, 2 * H, da, 1, at(W_hh_packed, n * 2 * H), carried, carried)


cdef inline void gru_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t first,
                              Share rows, Py_ssize_t later, const Part* part) noexcept nogil:
    """da_t of these sequences; to h_t of the first `later` of them comes W_hh^T da_{t+1}, too."""
    cdef Py_ssize_t GR = group_columns(W_hh_packed), H = c.sizes.H, n, k, columns, b
    cdef const vec* W_hn = at(W_hh_packed, rz_size(W_hh_packed, c.sizes, False))
    cdef Rows da = rows_at(W_hh_packed, c.da, rows.first, t - first), dq
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if is_far(W_hh_packed, c.sizes):
            prefetch_backward(c, W_hh_packed, t, first, rows, n, columns)
        gru_carry(c, W_hh_packed, t + 1 - first, rows.first, later, n, columns)
        for b in range(rows.first, rows.last):
            gru_units_of_backward(c, W_hh_packed, t, first, b, n, columns)
    if resets_after(c.sizes):
        return
    wait_for_units(part)
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        dq = columns_from(W_hh_packed, da, n)
        product(rows.last - rows.first, columns, H, columns_from(W_hh_packed, da, 2 * H), 1,
                at(W_hn, n * H), dq, dq)
        for b in range(rows.first, rows.last):
            gru_units_of_reset_backward(c, W_hh_packed, t, first, b, n, columns)


cdef inline void gru_recurrent_gradient(Call* c, Chunks chunks, vec* panels, Py_ssize_t size,
                                        Team team) noexcept nogil:
    """dW_hh += the part of these steps."""
    cdef Py_ssize_t H = c.sizes.H
    cdef Sequences q = c.gates
    cdef vec* dW_hn = at(<vec*> c.dW_hh, 2 * H * H)
    add_outer_products(<vec*> c.dW_hh, 2 * H, H, c, chunks, c.da, 0, c.h, panels, size, team)
    if resets_after(c.sizes):
        add_outer_products(dW_hn, H, H, c, chunks, c.da, 3 * H, c.h, panels, size, team)
    else:
        q.data = at(<const vec*> q.data, 3 * H)
        add_outer_products(dW_hn, H, H, c, chunks, c.da, 2 * H, q, panels, size, team)
