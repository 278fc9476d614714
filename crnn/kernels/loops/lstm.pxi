# The LSTM: memory cells c_t behind gates.
#
#     i, f, g, o = W_xh x_t + W_hh h_{t-1} + b_h, one block of H after another
#     i, f, o through the sigmoid, g through tanh
#     c_t = f c_{t-1} + i g
#     h_t = o tanh(c_t)
#
# At step t, counted from 0, the arrays hold:
#     h[:, t]       h_{t-1} and, `to_c` scalars later, c_{t-1}
#     h[:, t + 1]   h_t and c_t
#     gates[:, t]   the blocks i, f, g, o: first W_xh x_t + b_h, then the gates' values
#     da[:, t]      the gradients of the four pre-activations
#     dh0           (B, 2H): what reaches h_t and c_t from later steps, then h_{t-1} and c_{t-1}
#
# A function of `n` units works on one register of them, and stores n of its lanes. Its pointers are
# to the first of these units in each array.

cdef inline vec lstm_units_memory(Py_ssize_t n, Py_ssize_t H, vec* gates, const vec* c_before,
                                  vec* c_t, vec i, vec f, vec g) noexcept nogil:
    """c_t of n units, whose pre-activations are given; also stored, as are the gates."""
    cdef vec c
    i, f, g = vector_sigmoid(i), vector_sigmoid(f), vector_tanh(g)
    c = f * load_some(c_before, 0, n) + i * g
    store_some(c_t, 0, n, c)
    store_some(gates, 0, n, i)
    store_some(gates, H, n, f)
    store_some(gates, 2 * H, n, g)
    return c


cdef inline void lstm_units_output(Py_ssize_t n, Py_ssize_t H, vec* gates, vec* h_t, vec c,
                                   vec o) noexcept nogil:
    """h_t of n units from c_t and the pre-activations of o."""
    o = vector_sigmoid(o)
    store_some(h_t, 0, n, o * vector_tanh(c))
    store_some(gates, 3 * H, n, o)


cdef inline void lstm_units_forward(Py_ssize_t n, Py_ssize_t H, vec* gates, const vec* c_before,
                                    vec* h_t, vec* c_t, vec i, vec f, vec g, vec o) noexcept nogil:
    """Gates and states of n units, whose pre-activations are given."""
    lstm_units_output(n, H, gates, h_t, lstm_units_memory(n, H, gates, c_before, c_t, i, f, g), o)


cdef inline void lstm_row_units(bint two, Py_ssize_t u, Py_ssize_t I, Py_ssize_t H,
                                const Packed* p, const vec* x_t, vec* gates, const vec* h,
                                vec* h_t, Py_ssize_t to_c) noexcept nogil:
    """A panel of units from u on, or `two`, of a step of one sequence."""
    cdef Py_ssize_t L = lanes(h), n = min(L, H - u), v = u + L
    cdef const vec* start = gates if x_t == NULL else <vec*> p.b_h
    cdef vec[8] z
    load_units_4(z, at(start, u), H, n)
    if two:
        load_units_4(&z[4], at(start, v), H, min(L, H - v))
    if x_t != NULL:
        add_units_4(two, I, x_t, at(<const vec*> p.W_xh, 4 * u * I), z)
    add_units_4(two, H, h, at(<const vec*> p.W_hh, 4 * u * H), z)
    lstm_units_forward(n, H, at(gates, u), at(h, to_c + u), at(h_t, u), at(h_t, to_c + u), z[0],
                       z[1], z[2], z[3])
    if two:
        lstm_units_forward(min(L, H - v), H, at(gates, v), at(h, to_c + v), at(h_t, v),
                           at(h_t, to_c + v), z[4], z[5], z[6], z[7])


cdef inline void lstm_row(Py_ssize_t I, Py_ssize_t H, const Packed* p, const vec* x_t, vec* gates,
                          const vec* h, vec* h_t, Py_ssize_t to_c, bint from_end) noexcept nogil:
    """A step of one sequence; without x_t, W_xh x_t + b_h is in `gates`."""
    cdef Py_ssize_t L = lanes(h), pairs = blocks(H, 2 * L), j, u
    for j in range(pairs):
        u = (pairs - 1 - j if from_end else j) * 2 * L
        if u + L < H:
            lstm_row_units(True, u, I, H, p, x_t, gates, h, h_t, to_c)
        else:
            lstm_row_units(False, u, I, H, p, x_t, gates, h, h_t, to_c)


cdef inline void lstm_steps(Py_ssize_t H, Call* c, const Packed* p, const vec* dtype,
                            Py_ssize_t first, Py_ssize_t steps, bint reads_x) noexcept nogil:
    cdef Py_ssize_t t
    for t in range(first, first + steps):
        lstm_row(c.sizes.I, H, p, step_of(dtype, c.x, 0, t) if reads_x else <vec*> NULL,
                 step_of(dtype, c.gates, 0, t), step_of(dtype, c.h, 0, t),
                 step_of(dtype, c.h, 0, t + 1), c.to_c, starts_from_end(H, c, t))
        if reads_x:
            output_step(H, c, p, dtype, t)


cdef void lstm_rows(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                    Py_ssize_t steps, bint reads_x) noexcept nogil:
    """Steps of one sequence, as `run_row` says."""
    # Sizes that the compiler knows make straight code of whole loops. Steps of float64 gain little.
    if c.sizes.H == 8:
        lstm_steps(8, c, p, dtype, first, steps, reads_x)
    elif vec is vec_f32 and c.sizes.H == 16:
        lstm_steps(16, c, p, dtype, first, steps, reads_x)
    elif vec is vec_f32 and c.sizes.H == 32:
        lstm_steps(32, c, p, dtype, first, steps, reads_x)
    else:
        lstm_steps(c.sizes.H, c, p, dtype, first, steps, reads_x)


cdef inline void lstm_units_of_forward(Py_ssize_t columns, Py_ssize_t H, vec* gates, const vec* h,
                                       vec* h_t, Py_ssize_t to_c) noexcept nogil:
    """Gates and states of `columns` units, whose pre-activations are in `gates`."""
    cdef Py_ssize_t L = lanes(h), whole = columns // L * L, j, u
    # First c_t of all units, then h_t: a unit's h_t waits for its c_t, and the processor does not
    # look far enough ahead for work on other units. A literal number of lanes: whole registers are
    # loaded and stored without a branch.
    for j in range(columns // L):
        u = j * L
        lstm_units_memory(L, H, at(gates, u), at(h, to_c + u), at(h_t, to_c + u), load(gates, u),
                          load(gates, H + u), load(gates, 2 * H + u))
    for j in range(columns // L):
        u = j * L
        lstm_units_output(L, H, at(gates, u), at(h_t, u), load(h_t, to_c + u),
                          load(gates, 3 * H + u))
    if whole < columns:
        gates, h, h_t, columns = at(gates, whole), at(h, whole), at(h_t, whole), columns - whole
        lstm_units_forward(columns, H, gates, at(h, to_c), h_t, at(h_t, to_c),
                           load_some(gates, 0, columns), load_some(gates, H, columns),
                           load_some(gates, 2 * H, columns), load_some(gates, 3 * H, columns))


cdef inline void lstm_forward(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                              bint reads_x, Share rows, const Part* part) noexcept nogil:
    """Step t of these sequences."""
    cdef Py_ssize_t GR = group_columns(dtype), H = c.sizes.H, b, n, k, g, columns
    cdef Rows gates_t = rows_at(dtype, c.gates, rows.first, t)
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if is_far(dtype, c.sizes):
            prefetch_forward(c, dtype, t, rows, n, columns)
        for g in range(4):
            add_products(c, p, dtype, t, reads_x, rows, g, n, columns,
                         columns_from(dtype, gates_t, g * H + n))
        for b in range(rows.first, rows.last):
            lstm_units_of_forward(columns, H, at(step_of(dtype, c.gates, b, t), n),
                                  at(step_of(dtype, c.h, b, t), n),
                                  at(step_of(dtype, c.h, b, t + 1), n), c.to_c)


cdef inline void lstm_units_backward(Py_ssize_t n, Py_ssize_t H, const vec* gates,
                                     const vec* c_before, const vec* c_t, const vec* dh_t,
                                     const vec* dh_carried, vec* dc_carried,
                                     vec* da) noexcept nogil:
    """da_t of n units from all that reaches h_t and c_t; dc_carried is c_{t-1}'s on return."""
    cdef vec i = load_some(gates, 0, n), f = load_some(gates, H, n)
    cdef vec g = load_some(gates, 2 * H, n), o = load_some(gates, 3 * H, n)
    cdef vec tanh_c = vector_tanh(load_some(c_t, 0, n)), one = splat(gates, 1)
    cdef vec dh = load_some(dh_t, 0, n) + load_some(dh_carried, 0, n)
    cdef vec dc = load_some(dc_carried, 0, n) + dh * o * (one - tanh_c * tanh_c)
    store_some(da, 0, n, dc * g * i * (one - i))
    store_some(da, H, n, dc * load_some(c_before, 0, n) * f * (one - f))
    store_some(da, 2 * H, n, dc * i * (one - g * g))
    store_some(da, 3 * H, n, dh * tanh_c * o * (one - o))
    store_some(dc_carried, 0, n, dc * f)


cdef inline void lstm_units_of_backward(Call* c, const vec* dtype, Py_ssize_t t, Py_ssize_t first,
                                        Py_ssize_t b, Py_ssize_t n,
                                        Py_ssize_t columns) noexcept nogil:
    """da_t of one sequence's units from n on, given what reaches h_t and c_t in c.dh0."""
    cdef Py_ssize_t L = lanes(dtype), H = c.sizes.H, u, j
    cdef const vec* gates = step_of(dtype, c.gates, b, t)
    cdef const vec* c_before = at(step_of(dtype, c.h, b, t), c.to_c)
    cdef const vec* c_t = at(step_of(dtype, c.h, b, t + 1), c.to_c)
    cdef const vec* dh_t = step_of(dtype, c.dh, b, t - first)
    cdef vec* carried = at(<vec*> c.dh0, b * 2 * H)
    cdef vec* da = step_of(dtype, c.da, b, t - first)
    for j in range(columns // L):
        u = n + j * L
        lstm_units_backward(L, H, at(gates, u), at(c_before, u), at(c_t, u), at(dh_t, u),
                            at(carried, u), at(carried, H + u), at(da, u))
    u = n + columns // L * L
    if u < n + columns:
        lstm_units_backward(n + columns - u, H, at(gates, u), at(c_before, u), at(c_t, u),
                            at(dh_t, u), at(carried, u), at(carried, H + u), at(da, u))


cdef inline void lstm_row_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t,
                                   Py_ssize_t first) noexcept nogil:
    """da_t of one sequence, and the gradients of h_{t-1} and c_{t-1} in c.dh0."""
    cdef Py_ssize_t H = c.sizes.H
    cdef vec* carried = <vec*> c.dh0
    lstm_units_of_backward(c, W_hh_packed, t, first, 0, 0, H)
    clear(carried, H)
    row_product(4 * H, H, step_of(W_hh_packed, c.da, 0, t - first), W_hh_packed, carried, carried)


cdef inline void lstm_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t first,
                               Share rows, Py_ssize_t later, const Part* part) noexcept nogil:
    """da_t of these sequences; to h_t of the first `later` of them comes W_hh^T da_{t+1}, too."""
    cdef Py_ssize_t GR = group_columns(W_hh_packed), n, k, columns, b
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if is_far(W_hh_packed, c.sizes):
            prefetch_backward(c, W_hh_packed, t, first, rows, n, columns)
        lstm_carry(c, W_hh_packed, t + 1 - first, rows.first, later, n, columns)
        for b in range(rows.first, rows.last):
            lstm_units_of_backward(c, W_hh_packed, t, first, b, n, columns)


cdef inline void lstm_carry(Call* c, const vec* W_hh_packed, Py_ssize_t t_da, Py_ssize_t row,
                            Py_ssize_t count, Py_ssize_t n, Py_ssize_t columns) noexcept nogil:
    """c.dh0 = W_hh^T da, for `count` sequences from `row` on and the units from n on."""
    cdef Py_ssize_t H = c.sizes.H
    cdef vec* carried = at(<vec*> c.dh0, row * 2 * H + n)
    if count:
        product(count, columns, 4 * H, rows_at(W_hh_packed, c.da, row, t_da), 1,
                at(W_hh_packed, n * 4 * H), rows_of(<vec*> NULL, 0), rows_of(carried, 2 * H))
