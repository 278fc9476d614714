# The output layer: y_t = W_hy h_t + b_y, and its gradients.
#
#     h[:, t]   h_t, without h_0 (unlike in the recurrent layer)
#     y[:, t]   y_t; in the backward pass dL/dy_t
#     dh[:, t]  W_hy^T dL/dy_t, the part of dL/dh_t that comes through y_t
#
# Members of a team share the sequences of the batch, and the elements of dW_hy.

cdef inline Sequences states_of(Sequences h, const vec* dtype) noexcept nogil:
    """The states h_t without h_0, as the output layer counts them."""
    h.data = at(<const vec*> h.data, h.per_step)
    return h


cdef inline void output_step(Py_ssize_t H, Call* c, const Packed* p, const vec* dtype,
                             Py_ssize_t t) noexcept nogil:
    """y_t of one sequence whose weights are packed by rows, where there is an output layer."""
    if c.sizes.has_output_layer:
        row_output(H, c.sizes.O, step_of(dtype, c.h, 0, t + 1), <const vec*> p.W_hy,
                   <const vec*> p.b_y, step_of(dtype, c.y, 0, t))


cdef inline void output_rows(Call* c, Sequences h, const vec* W_hy, const vec* b_y,
                             const Part* part) noexcept nogil:
    """y of the member's part, with packed weights."""
    cdef Sizes s = c.sizes
    cdef Share left, steps
    cdef Py_ssize_t b
    for b in range(part.rows.first, part.rows.last):
        left = steps_share(part, steps_of(c, b, s.T))
        while left.first < left.last:
            steps = next_steps(part.team, &left, <double> s.O * s.H)
            affine(steps.last - steps.first, s.O, s.H,
                   rows_of(step_of(W_hy, h, b, steps.first), h.per_step), W_hy,
                   by_rows(W_hy, s, s.H, s.O), b_y,
                   rows_of(step_of(W_hy, c.y, b, steps.first), c.y.per_step))


cdef inline void states_gradient(Call* c, Sequences dy, Sequences dh, const vec* panels,
                                 const Part* part, Py_ssize_t first,
                                 Py_ssize_t last) noexcept nogil:
    """dh_t = W_hy^T dy_t of the steps from `first` to before `last`; dh[:, 0] is step `first`."""
    cdef Sizes s = c.sizes
    cdef Share left, steps
    cdef Py_ssize_t b
    for b in range(part.rows.first, part.rows.last):
        left = steps_share(part, max(0, steps_of(c, b, last) - first))
        while left.first < left.last:
            steps = next_steps(part.team, &left, <double> s.O * s.H)
            product(steps.last - steps.first, s.H, s.O,
                    rows_of(step_of(panels, dy, b, first + steps.first), dy.per_step), 1, panels,
                    rows_of(<vec*> NULL, 0),
                    rows_of(step_of(panels, dh, b, steps.first), dh.per_step))


cdef void add_output_gradients(Call* c, Sequences h, vec* panels, Team team) noexcept nogil:
    """dW_hy and db_y += the part of all steps, whose dL/dy_t is in c.y, without gaps."""
    cdef Sizes s = c.sizes
    add_rows(<vec*> c.db_y, c, one_chunk(s.T), c.y, s.O, team)
    add_outer_products(<vec*> c.dW_hy, s.O, s.H, c, one_chunk(s.T), c.y, 0, h, panels,
                       steps_size(panels, s), team)


cdef inline Py_ssize_t outputs_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that packed W_hy takes, for either direction."""
    return max(packed_size(dtype, s.H, s.O), packed_size(dtype, s.O, s.H))


cdef Py_ssize_t output_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that either of the two tasks below needs."""
    return alignment_slack(dtype) + max(outputs_size(dtype, s), steps_size(dtype, s))


cdef inline void clear_past_ends(Call* c, const vec* dtype, Sequences a, Py_ssize_t features,
                                 const Part* part) noexcept nogil:
    """Zeros past the ends of the member's sequences."""
    cdef Share steps
    cdef Py_ssize_t b, t, live
    for b in range(part.rows.first, part.rows.last):
        live = steps_of(c, b, c.sizes.T)
        steps = steps_share(part, c.sizes.T - live)
        for t in range(live + steps.first, live + steps.last):
            clear(step_of(dtype, a, b, t), features)


cdef void output_forward(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef Part part = part_of(dtype, c, team)
    cdef vec* W_hy = aligned(<const vec*> c.workspace)
    pack_weights(W_hy, <const vec*> c.W_hy, 1, s.H, s.H, s.O, by_rows(dtype, s, s.H, s.O), team)
    team_wait(team)
    output_rows(c, c.h, W_hy, <const vec*> c.b_y, &part)
    clear_past_ends(c, dtype, c.y, s.O, &part)


cdef void output_backward(Call* c, Team team, const vec* dtype) noexcept nogil:
    cdef Sizes s = c.sizes
    cdef Part part = part_of(dtype, c, team)
    cdef vec* panels = aligned(<const vec*> c.workspace)
    add_output_gradients(c, c.h, panels, team)
    team_wait(team)
    pack(panels, <const vec*> c.W_hy, s.H, 1, s.O, s.H, team)
    team_wait(team)
    states_gradient(c, c.y, c.dh, panels, &part, 0, s.T)
    clear_past_ends(c, dtype, c.dh, s.H, &part)
