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
# W_hh is packed in two parts: the rows of r and z, then those of n; for steps of one sequence of
# the form "after" all together.
#
# A function of `count` units works on one register of them, and stores `count` of its lanes. Its
# pointers are to the first of these units in each array.

cdef inline bint resets_after(Sizes s) noexcept nogil:
    return s.cell.kind == GRU_CELL


cdef inline Py_ssize_t rz_size(const vec* dtype, Sizes s, bint forward) noexcept nogil:
    """Scalars that the packed rows of r and z take."""
    if not forward:
        return packed_size(dtype, 2 * s.H, s.H)
    return units_size(dtype, s.H, 2, s.H) if s.B == 1 else packed_size(dtype, s.H, 2 * s.H)


cdef void gru_pack(vec* packed, const vec* W_hh, Sizes s, bint forward, Team team) noexcept nogil:
    cdef const vec* W_hn = at(W_hh, 2 * s.H * s.H)
    cdef vec* packed_n = at(packed, rz_size(W_hh, s, forward))
    if forward and s.B == 1 and resets_after(s):
        if team.index == 0:
            pack_units(packed, W_hh, 1, s.H, s.H, 3, s.H)
    elif forward and s.B == 1:
        if team.index == 0:
            pack_units(packed, W_hh, 1, s.H, s.H, 2, s.H)
            pack_units(packed_n, W_hn, 1, s.H, s.H, 1, s.H)
    elif forward:
        pack(packed, W_hh, 1, s.H, s.H, 2 * s.H, team)
        pack(packed_n, W_hn, 1, s.H, s.H, s.H, team)
    else:
        pack_weights(packed, W_hh, s.H, 1, 2 * s.H, s.H, s.B == 1, team)
        pack_weights(packed_n, W_hn, s.H, 1, s.H, s.H, s.B == 1, team)


cdef inline void gru_units_state(Py_ssize_t count, Py_ssize_t H, vec* gates, const vec* h,
                                 vec* h_t, vec r, vec z, vec n) noexcept nogil:
    """h_t of these units from their gates r and z and the pre-activations of n."""
    n = vector_tanh(n)
    store_some(h_t, 0, count, (splat(h, 1) - z) * n + z * load_some(h, 0, count))
    store_some(gates, 0, count, r)
    store_some(gates, H, count, z)
    store_some(gates, 2 * H, count, n)


cdef inline void gru_units_after(Py_ssize_t count, Py_ssize_t H, vec* gates, const vec* h,
                                 vec* h_t, vec r, vec z, vec n, vec q) noexcept nogil:
    """After: gates and h_t of these units, whose pre-activations and q are given."""
    r = vector_sigmoid(r)
    store_some(gates, 3 * H, count, q)
    gru_units_state(count, H, gates, h, h_t, r, vector_sigmoid(z), n + r * q)


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
    cdef const vec* start = gates if x_t == NULL else <const vec*> p.b_h
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
    cdef const vec* start = gates if x_t == NULL else <const vec*> p.b_h
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
        gru_units_state(count, H, at(gates, u), at(h, u), at(h_t, u), load_some(gates, u, count),
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
        gru_row(after, H, c.sizes, p, step_of(dtype, c.x, 0, t) if reads_x else <const vec*> NULL,
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


cdef inline void gru_forward(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                             Share mine) noexcept nogil:
    """Step t of this member's sequences of several."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t L = lanes(dtype), H = s.H, rows = mine.last - mine.first, b, j, u, count
    cdef Py_ssize_t h_m = c.h.per_sequence, gates_m = c.gates.per_sequence
    cdef vec* gates = step_of(dtype, c.gates, mine.first, t)
    cdef vec* h = step_of(dtype, c.h, mine.first, t)
    cdef vec* h_t = step_of(dtype, c.h, mine.first, t + 1)
    cdef const vec* W_rz = <const vec*> p.W_hh
    cdef const vec* W_hn = at(W_rz, rz_size(dtype, s, True))
    cdef const vec* none = NULL
    product(rows, 2 * H, H, h, h_m, 1, W_rz, gates, gates_m, gates, gates_m, IDENTITY, none, 0)
    if resets_after(s):
        product(rows, H, H, h, h_m, 1, W_hn, at(<const vec*> p.b_h, 3 * H), 0, at(gates, 3 * H),
                gates_m, IDENTITY, none, 0)
    else:
        for b in range(rows):
            for j in range(blocks(H, L)):
                u = j * L
                count = min(L, H - u)
                gru_units_reset(count, H, at(gates, b * gates_m + u), at(h, b * h_m + u),
                                load_some(gates, b * gates_m + u, count),
                                load_some(gates, b * gates_m + H + u, count))
        product(rows, H, H, at(gates, 3 * H), gates_m, 1, W_hn, at(gates, 2 * H), gates_m,
                at(gates, 2 * H), gates_m, IDENTITY, none, 0)
    for b in range(rows):
        for j in range(blocks(H, L)):
            u = j * L
            count = min(L, H - u)
            if resets_after(s):
                gru_units_after(count, H, at(gates, u), at(h, u), at(h_t, u),
                                load_some(gates, u, count), load_some(gates, H + u, count),
                                load_some(gates, 2 * H + u, count),
                                load_some(gates, 3 * H + u, count))
            else:
                gru_units_state(count, H, at(gates, u), at(h, u), at(h_t, u),
                                load_some(gates, u, count), load_some(gates, H + u, count),
                                load_some(gates, 2 * H + u, count))
        gates, h, h_t = at(gates, gates_m), at(h, h_m), at(h_t, h_m)


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


cdef inline void add_recurrent(Call* c, Py_ssize_t K, const vec* a, const vec* W, vec* to,
                               Py_ssize_t to_m, Share mine) noexcept nogil:
    """to (B, H) += a (B, K) W for this member's sequences, where a is blocks of da."""
    if c.sizes.B == 1:
        row_product(K, c.sizes.H, a, W, to, to)
    else:
        product(mine.last - mine.first, c.sizes.H, K, a, c.da.per_sequence, 1, W, to, to_m, to,
                to_m, IDENTITY, to, 0)


cdef inline void gru_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t first,
                              Share mine) noexcept nogil:
    """da_t, and the gradient of h_{t-1} in c.dh0."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t L = lanes(W_hh_packed), H = s.H, b, j, u, rows = mine.last - mine.first
    cdef bint after = resets_after(s)
    cdef const vec* W_hn = at(W_hh_packed, rz_size(W_hh_packed, s, False))
    cdef vec* da_t = step_of(W_hh_packed, c.da, mine.first, t - first)
    cdef vec* carried = at(<vec*> c.dh0, mine.first * H)
    cdef const vec* gates
    cdef const vec* h
    cdef vec* da
    for b in range(rows):
        gates = step_of(W_hh_packed, c.gates, mine.first + b, t)
        h = step_of(W_hh_packed, c.h, mine.first + b, t)
        da = at(da_t, b * c.da.per_sequence)
        for j in range(blocks(H, L)):
            u = j * L
            gru_units_backward(after, min(L, H - u), H, at(gates, u), at(h, u),
                               at(step_of(W_hh_packed, c.dh, mine.first + b, t - first), u),
                               at(carried, b * H + u), at(da, u))
            if not after:
                # dL/dq is summed from zero in the place of r's da_t.
                store_some(da, u, min(L, H - u), splat(h, 0))
    if after:
        add_recurrent(c, H, at(da_t, 3 * H), W_hn, carried, H, mine)
    else:
        add_recurrent(c, H, at(da_t, 2 * H), W_hn, da_t, c.da.per_sequence, mine)
        for b in range(rows):
            gates = step_of(W_hh_packed, c.gates, mine.first + b, t)
            h = step_of(W_hh_packed, c.h, mine.first + b, t)
            for j in range(blocks(H, L)):
                u = j * L
                gru_units_reset_backward(min(L, H - u), at(gates, u), at(h, u),
                                         at(carried, b * H + u),
                                         at(da_t, b * c.da.per_sequence + u))
    add_recurrent(c, 2 * H, da_t, W_hh_packed, carried, H, mine)


cdef inline void gru_recurrent_gradient(Call* c, Py_ssize_t T, const vec* da, Sequences h,
                                        Sequences gates, vec* panels, Py_ssize_t size,
                                        Team team) noexcept nogil:
    """dW_hh += the part of T steps, given their da, the states before them and their gates."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t H = s.H, da_m = c.da.per_step
    add_outer_products(<vec*> c.dW_hh, 2 * H, H, s.B, T, da, da_m, h, panels, size, team)
    if resets_after(s):
        add_outer_products(at(<vec*> c.dW_hh, 2 * H * H), H, H, s.B, T, at(da, 3 * H), da_m, h,
                           panels, size, team)
    else:
        gates.data = at(<const vec*> gates.data, 3 * H)
        add_outer_products(at(<vec*> c.dW_hh, 2 * H * H), H, H, s.B, T, at(da, 2 * H), da_m, gates,
                           panels, size, team)
