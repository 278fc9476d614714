# The tanh layer: h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h), and BPTT through it.
#
# At step t (0-based, as the arrays are):
#     x[:, t]       x_t
#     h[:, t]       h_{t-1}, the state the step starts from; h[:, 0] is h_0
#     h[:, t + 1]   h_t, the state it leaves
#     dh[:, t]      dL/dh_t through the outputs of step t; overwritten by da_t, the gradient
#                   towards the sum inside the tanh

cdef enum:
    # Inputs are projected for as many steps ahead as stay in L2 until the recurrence reads them,
    PROJECTED_BYTES = 1 << 18
    # and for no fewer than fill a few tiles of rows.
    PROJECTED_STEPS = 24


cdef void rnn_forward(Sizes s, Sequences x, const vec* W_xh, const vec* W_hh, const vec* b_h,
                      Sequences h, vec* workspace) noexcept nogil:
    cdef vec* W_xh_panels = aligned(workspace)
    cdef vec* W_hh_panels = at(W_xh_panels, packed_size(W_hh, s.I, s.H))
    cdef Py_ssize_t ahead = PROJECTED_BYTES // (s.B * s.H * itemsize(W_hh))
    cdef Py_ssize_t block, first, steps, b, t
    cdef vec* h_t
    ahead = min(max(ahead, PROJECTED_STEPS), s.T)
    pack(W_xh_panels, W_xh, 1, s.I, s.I, s.H)
    pack(W_hh_panels, W_hh, 1, s.H, s.H, s.H)
    for block in range(blocks(s.T, ahead)):
        first = block * ahead
        steps = min(ahead, s.T - first)
        # W_xh x_t + b_h does not recur: all these steps of a sequence are one product.
        for b in range(s.B):
            h_t = step_of(W_hh, h, b, first + 1)
            product(steps, s.H, s.I, step_of(W_hh, x, b, first), x.per_step, 1, W_xh_panels,
                    h_t, h.per_step, FROM_BIAS, b_h, PLAIN, h_t, 0)
        # + W_hh h_{t-1}, then tanh: the same step of all sequences is one product.
        for t in range(first, first + steps):
            h_t = step_of(W_hh, h, 0, t + 1)
            product(s.B, s.H, s.H, step_of(W_hh, h, 0, t), h.per_sequence, 1, W_hh_panels,
                    h_t, h.per_sequence, FROM_C, b_h, TANH, h_t, 0)


cdef void rnn_backward(Sizes s, Sequences x, Sequences h, const vec* W_xh, const vec* W_hh,
                       Sequences dh, vec* dW_xh, vec* dW_hh, vec* db_h, Sequences dx, vec* dh0,
                       vec* workspace) noexcept nogil:
    cdef vec* W_hh_panels = aligned(workspace)
    cdef vec* panels = at(W_hh_panels, packed_size(W_hh, s.H, s.H))
    cdef const vec* da = <const vec*> dh.data
    cdef vec* da_t
    cdef Py_ssize_t b, t
    pack(W_hh_panels, W_hh, s.H, 1, s.H, s.H)
    # Nothing of the recurrence reaches the last state: its product has depth 0.
    for t in range(s.T - 1, -1, -1):
        # da_t = (dh_t + W_hh^T da_{t+1}) (1 - h_t^2)
        da_t = step_of(W_hh, dh, 0, t)
        product(s.B, s.H, 0 if t == s.T - 1 else s.H, at(da_t, dh.per_step), dh.per_sequence, 1,
                W_hh_panels, da_t, dh.per_sequence, FROM_C, da_t, TANH_GRADIENT,
                step_of(W_hh, h, 0, t + 1), h.per_sequence)
    # dh_0 = W_hh^T da_1
    product(s.B, s.H, s.H, da, dh.per_sequence, 1, W_hh_panels, dh0, s.H, FROM_ZERO, dh0, PLAIN,
            dh0, 0)
    add_rows(db_h, da, s.B * s.T, s.H)
    add_outer_products(dW_xh, s.H, s.I, s.B, s.T, da, x, panels)
    add_outer_products(dW_hh, s.H, s.H, s.B, s.T, da, h, panels)
    if dx.data != NULL:
        # dx_t = W_xh^T da_t
        pack(panels, W_xh, s.I, 1, s.H, s.I)
        for b in range(s.B):
            product(s.T, s.I, s.H, step_of(W_hh, dh, b, 0), dh.per_step, 1, panels,
                    step_of(W_hh, dx, b, 0), dx.per_step, FROM_ZERO, dh0, PLAIN, dh0, 0)
