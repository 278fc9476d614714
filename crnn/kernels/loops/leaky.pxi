# The leaky layer: a share a of each state is new at a step, where f is tanh or relu.
#
#     v    = f(W_xh x_t + W_hh h_{t-1} + b_h)
#     h_t  = (1 - a) h_{t-1} + a v
#
# At step t, counted from 0, the arrays hold:
#     h[:, t]       h_{t-1}
#     h[:, t + 1]   h_t
#     gates[:, t]   first W_xh x_t + b_h, then v
#     da[:, t]      the pre-activations' gradients and, where leaks are trained, a block of theirs
#     dh0           (B, H): what reaches h_t from later steps, then h_{t-1}
#
# The leaks follow the biases in b_h: one a unit, or one for all. A function of `count` units works
# on one register of them, from unit u on, and stores `count` of its lanes.

cdef inline vec leak_of(Sizes s, const vec* b_h, Py_ssize_t u, Py_ssize_t count) noexcept nogil:
    """The leaks of these units."""
    cdef const vec* leaks = at(b_h, s.cell.bias_blocks * s.H)
    return broadcast(leaks, 0) if s.cell.shared_leaks else load_some(leaks, u, count)


cdef void leaky_units_of_forward(Sizes s, const vec* b_h, Py_ssize_t n, Py_ssize_t columns,
                                 vec* gates, const vec* h, vec* h_t) noexcept nogil:
    """v and h_t of the units from n on, whose pre-activations are in `gates`."""
    cdef Py_ssize_t L = lanes(h), j, u, count
    cdef bint is_relu = s.cell.kind == LEAKY_RELU_CELL
    cdef vec leak, v
    for j in range(blocks(columns, L)):
        u = n + j * L
        count = min(L, n + columns - u)
        leak, v = leak_of(s, b_h, u, count), load_some(gates, u, count)
        v = vector_relu(v) if is_relu else vector_tanh(v)
        store_some(gates, u, count, v)
        store_some(h_t, u, count, (splat(h, 1) - leak) * load_some(h, u, count) + leak * v)


cdef void leaky_rows(Call* c, const Packed* p, const vec* dtype, Py_ssize_t first,
                     Py_ssize_t steps, bint reads_x) noexcept nogil:
    """Steps of one sequence, as `run_row` says."""
    cdef Py_ssize_t L = lanes(dtype), H = c.sizes.H, I = c.sizes.I, t, j, u, count
    cdef const vec* h
    cdef vec* gates
    cdef vec sum
    for t in range(first, first + steps):
        h, gates = step_of(dtype, c.h, 0, t), step_of(dtype, c.gates, 0, t)
        for j in range(blocks(H, L)):
            u = j * L
            count = min(L, H - u)
            sum = load_some(<const vec*> p.b_h if reads_x else gates, u, count)
            if reads_x:
                add_units_1x1(I, step_of(dtype, c.x, 0, t), at(<const vec*> p.W_xh, u * I), &sum)
            add_units_1x1(H, h, at(<const vec*> p.W_hh, u * H), &sum)
            store_some(gates, u, count, sum)
        leaky_units_of_forward(c.sizes, <const vec*> p.b_h, 0, H, gates, h,
                               step_of(dtype, c.h, 0, t + 1))
        if reads_x:
            output_step(H, c, p, dtype, t)


cdef inline void leaky_forward(Call* c, const Packed* p, const vec* dtype, Py_ssize_t t,
                               bint reads_x, Share rows, const Part* part) noexcept nogil:
    """Step t of these sequences."""
    cdef Py_ssize_t GR = group_columns(dtype), n, k, columns, b
    cdef Rows gates_t = rows_at(dtype, c.gates, rows.first, t)
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if is_far(dtype, c.sizes):
            prefetch_forward(c, dtype, t, rows, n, columns)
        add_products(c, p, dtype, t, reads_x, rows, 0, n, columns, columns_from(dtype, gates_t, n))
        for b in range(rows.first, rows.last):
            leaky_units_of_forward(c.sizes, <const vec*> p.b_h, n, columns,
                                   step_of(dtype, c.gates, b, t), step_of(dtype, c.h, b, t),
                                   step_of(dtype, c.h, b, t + 1))


cdef void leaky_units_of_backward(Call* c, const vec* dtype, Py_ssize_t t, Py_ssize_t first,
                                  Py_ssize_t b, Py_ssize_t n, Py_ssize_t columns) noexcept nogil:
    """da_t of one sequence's units from n on, given what reaches h_t in c.dh0.

    On return c.dh0 holds what reaches h_{t-1} but for W_hh^T da_t.
    """
    cdef Py_ssize_t L = lanes(dtype), H = c.sizes.H, j, u, count
    cdef bint is_relu = c.sizes.cell.kind == LEAKY_RELU_CELL
    cdef bint is_trained = trains_leak(c.sizes)
    cdef const vec* gates = step_of(dtype, c.gates, b, t)
    cdef const vec* h = step_of(dtype, c.h, b, t)
    cdef const vec* dh_t = step_of(dtype, c.dh, b, t - first)
    cdef vec* carried = at(<vec*> c.dh0, b * H)
    cdef vec* da = step_of(dtype, c.da, b, t - first)
    cdef vec leak, v, dh, dv, one = splat(dtype, 1)
    for j in range(blocks(columns, L)):
        u = n + j * L
        count = min(L, n + columns - u)
        leak, v = leak_of(c.sizes, <const vec*> c.b_h, u, count), load_some(gates, u, count)
        dh = load_some(dh_t, u, count) + load_some(carried, u, count)
        dv = dh * leak
        dv = relu_backward(dv, v) if is_relu else dv * (one - v * v)
        store_some(da, u, count, dv)
        if is_trained:
            store_some(da, H + u, count, dh * (v - load_some(h, u, count)))
        store_some(carried, u, count, dh * (one - leak))


cdef inline void leaky_row_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t,
                                    Py_ssize_t first) noexcept nogil:
    """da_t of one sequence, and the gradient of h_{t-1} in c.dh0."""
    cdef Py_ssize_t H = c.sizes.H
    cdef vec* carried = <vec*> c.dh0
    leaky_units_of_backward(c, W_hh_packed, t, first, 0, 0, H)
    row_product(H, H, step_of(W_hh_packed, c.da, 0, t - first), W_hh_packed, carried, carried)


cdef inline void leaky_carry(Call* c, const vec* W_hh_packed, Py_ssize_t t_da, Py_ssize_t row,
                             Py_ssize_t count, Py_ssize_t n, Py_ssize_t columns) noexcept nogil:
    """c.dh0 += W_hh^T da, for `count` sequences from `row` on and the units from n on."""
    cdef Py_ssize_t H = c.sizes.H
    cdef Rows carried = rows_of(at(<vec*> c.dh0, row * H + n), H)
    if count:
        product(count, columns, H, rows_at(W_hh_packed, c.da, row, t_da), 1,
                at(W_hh_packed, n * H), carried, carried)


cdef inline void leaky_backward(Call* c, const vec* W_hh_packed, Py_ssize_t t, Py_ssize_t first,
                                Share rows, Py_ssize_t later, const Part* part) noexcept nogil:
    """da_t of these sequences; to h_t of the first `later` of them comes W_hh^T da_{t+1}, too."""
    cdef Py_ssize_t GR = group_columns(W_hh_packed), n, k, columns, b
    for k in range(groups_of(part, GR)):
        n, columns = group_first(part, GR, k), group_width(part, GR, k)
        if is_far(W_hh_packed, c.sizes):
            prefetch_backward(c, W_hh_packed, t, first, rows, n, columns)
        leaky_carry(c, W_hh_packed, t + 1 - first, rows.first, later, n, columns)
        for b in range(rows.first, rows.last):
            leaky_units_of_backward(c, W_hh_packed, t, first, b, n, columns)


cdef vec leak_rows(vec sum, const vec* da, Py_ssize_t da_m, Py_ssize_t rows,
                   Py_ssize_t H) noexcept nogil:
    """`sum` and the sum of these rows of H, of which each lane adds some."""
    cdef Py_ssize_t L = lanes(da), row, j
    for row in range(rows):
        for j in range(blocks(H, L)):
            sum = sum + load_some(da, row * da_m + j * L, min(L, H - j * L))
    return sum


cdef void add_lanes(vec* dleak, vec sum) noexcept nogil:
    """The gradient of the one leak += all lanes."""
    cdef vec[1] terms
    cdef Py_ssize_t i
    terms[0] = sum
    for i in range(lanes(dleak)):
        add_scalars(dleak, at(terms, i), 1)


cdef void add_leak_gradient(Call* c, Chunks chunks, Team team, const vec* dtype) noexcept nogil:
    """The gradient of the leaks, which follows that of the biases, += the part of these steps."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t first = s.cell.bias_blocks * s.H, k, row, b
    cdef vec* dleak = at(<const vec*> c.db_h, first)
    cdef Sequences da = c.da
    cdef Share steps
    cdef vec sum = splat(dtype, 0)
    da.data = at(<const vec*> c.da.data, first)
    if s.cell.leak_blocks:
        add_rows(dleak, c, chunks, da, s.H, team)
    if s.cell.leak_blocks or team.index > 0:
        return
    if c.lengths == NULL:
        # Chunk by chunk: the order must not depend on how many of them a call is given.
        for k in range(count_of(chunks)):
            steps = steps_of_chunk(chunks, k)
            add_lanes(dleak, leak_rows(splat(dtype, 0), gradients_of_chunk(dtype, da, chunks, k),
                                       da.per_step, s.B * (steps.last - steps.first), s.H))
        return
    # All sequences at once, as in one chunk: steps past their ends would add zeros.
    for row in range(s.B):
        b = c.places[row]
        sum = leak_rows(sum, step_of(dtype, da, b, 0), da.per_step, c.lengths[b], s.H)
    add_lanes(dleak, sum)
