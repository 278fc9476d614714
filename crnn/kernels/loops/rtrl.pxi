# One step of learning online by real-time recurrent learning (Williams and Zipser 1989), for
# networks of one layer.
#
#     s_t = f(s_{t-1}, x_t; theta)         h_t, or for an LSTM h_t and c_t: S numbers
#     S_t = J_t S_{t-1} + M_t              ds_t / dtheta, (S, P), for the P recurrent parameters
#     dtheta = (dl_t / ds_t) S_t           l_t: the loss of this step alone
#
# J_t = df/ds_{t-1}, and M_t is the derivative with the state before held fixed. J_t is made of the
# rows of W_hh. M_t has few elements that are not zero: a weight to unit k changes row k alone,
# except for the reset gates of a GRU that resets before the product.
#
# At each step the arrays hold:
#     h[:, 0], h[:, 1]        the state before and after it, blocks padded to whole registers
#     S[:, 0], S[:, 1]        sensitivities before and after, in panels
#     gates[:, 0]             r, z, n, q, or i, f, g, o, tanh c_t; blocks padded likewise
#     y[:, 0], y[:, 1]        outputs and their gradients; the batch is the inner axis
#
# `exchange` in binding/learner.pxi makes what came after the step what is before the next one; a
# step that is not wanted is left out by not doing so.
#
# A panel is NV registers of parameters, in their flat order, by all S rows. The registers that are
# left make panels of one register. Padding stays zero. The product is in sensitivities.pxi.in.

cdef struct RtrlPlace:
    # Where everything is in the workspace, in scalars from its aligned start
    Py_ssize_t h            # scalars of one state
    Py_ssize_t gates        # of one sequence's gates
    Py_ssize_t S            # of one sequence's sensitivities
    Py_ssize_t y            # of all sequences' outputs
    Py_ssize_t J            # (S, padded H)
    Py_ssize_t G            # (H, padded H): the derivative of h_t by the sums of r; reset before
    Py_ssize_t factors      # (FACTORS, padded H)
    Py_ssize_t d            # (S,)
    Py_ssize_t delta        # (S,)
    Py_ssize_t size         # of the workspace

cdef enum:
    FACTORS = 5
    # Blocks of the pre-activations in W_xh and W_hh
    R_BLOCK = 0
    Z_BLOCK = 1
    N_BLOCK = 2
    Q_BLOCK = 3     # of b_h alone


cdef inline Py_ssize_t recurrent_count(Sizes s) noexcept nogil:
    """P."""
    return s.H * (s.cell.weight_blocks * (s.I + s.H) + s.cell.bias_blocks)


cdef RtrlPlace rtrl_place(const vec* dtype, Sizes s) noexcept nogil:
    cdef Py_ssize_t Hp = padded(dtype, s.H), rows = s.cell.state_blocks * s.H, used = 0
    cdef RtrlPlace p
    p.h = s.cell.state_blocks * Hp
    p.gates = (5 if s.cell.kind == LSTM_CELL else s.cell.gate_blocks) * Hp
    p.S = odd_lines(dtype, rows * padded(dtype, recurrent_count(s)))
    p.y = s.B * s.O
    reserve(dtype, &used, s.B * (2 * p.S + 2 * p.h + p.gates) + 2 * p.y)
    p.J = reserve(dtype, &used, rows * Hp)
    p.G = reserve(dtype, &used, s.H * Hp)
    p.factors = reserve(dtype, &used, FACTORS * Hp)
    p.d = reserve(dtype, &used, rows)
    p.delta = reserve(dtype, &used, rows)
    p.size = used
    return p


cdef Py_ssize_t rtrl_workspace_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars that a learner needs, with the slack to align them."""
    return alignment_slack(dtype) + rtrl_place(dtype, s).size


cdef void place_rtrl(const vec* dtype, Call* c, void* memory) noexcept nogil:
    """Point the call at its places in so much memory."""
    cdef RtrlPlace p = rtrl_place(dtype, c.sizes)
    cdef Py_ssize_t B = c.sizes.B
    c.workspace = aligned(<const vec*> memory)
    c.S.data, c.S.per_sequence, c.S.per_step = c.workspace, 2 * p.S, p.S
    c.h.data, c.h.per_sequence, c.h.per_step = step_of(dtype, c.S, B, 0), 2 * p.h, p.h
    c.to_c = padded(dtype, c.sizes.H)
    c.gates.data = step_of(dtype, c.h, B, 0)
    c.gates.per_sequence = c.gates.per_step = p.gates
    c.y.data, c.y.per_sequence, c.y.per_step = step_of(dtype, c.gates, B, 0), c.sizes.O, p.y


cdef inline vec* column_of(vec* panels, Py_ssize_t S, Py_ssize_t P, Py_ssize_t row,
                           Py_ssize_t column, Py_ssize_t* left) noexcept nogil:
    """The address of an element of S. The row goes on there for `left` scalars."""
    cdef Py_ssize_t L = lanes(panels), NR = panel_columns(panels), width = NR, first
    first = column // NR * NR
    if first + NR > padded(panels, P):
        width = L
        first = column // L * L
    left[0] = first + width - column
    return at(panels, first * S + row * width + column - first)


cdef void copy_sensitivities(const vec* dtype, const Call* c, bint to_rows,
                             void* rows) noexcept nogil:
    """Copy S_{t-1} of all sequences to (B, S, P) rows, or from them."""
    cdef Py_ssize_t P = recurrent_count(c.sizes), S = c.sizes.cell.state_blocks * c.sizes.H
    cdef Py_ssize_t b, m, n, part
    cdef vec* row
    cdef vec* place
    for b in range(c.sizes.B):
        for m in range(S):
            row = at(<const vec*> rows, (b * S + m) * P)
            n = 0
            while n < P:
                place = column_of(step_of(dtype, c.S, b, 0), S, P, m, n, &part)
                part = min(part, P - n)
                if to_rows:
                    copy_scalars(at(row, n), 1, place, 1, part)
                else:
                    copy_scalars(place, 1, at(row, n), 1, part)
                n += part


cdef inline void set_scaled(vec* to, vec factor, const vec* terms, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t L = lanes(to), i, part
    for i in range(blocks(n, L)):
        part = min(L, n - i * L)
        store_some(to, i * L, part, factor * load_some(terms, i * L, part))


cdef void add_scaled(vec* to, vec factor, const vec* terms, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t L = lanes(to), i, part
    for i in range(blocks(n, L)):
        part = min(L, n - i * L)
        store_some(to, i * L, part,
                   load_some(to, i * L, part) + factor * load_some(terms, i * L, part))


cdef void block_sums(Py_ssize_t N, Py_ssize_t I, const vec* W_x, const vec* x,
                     Py_ssize_t H, const vec* W_h, const vec* h, const vec* b,
                     vec* z) noexcept nogil:
    """z (N,) = b + W_x x + W_h h."""
    if vec is vec_f32:
        affine_rows(N, I, <const float*> W_x, <const float*> x, H, <const float*> W_h,
                    <const float*> h, <const float*> b, <float*> z)
    else:
        affine_rows(N, I, <const double*> W_x, <const double*> x, H, <const double*> W_h,
                    <const double*> h, <const double*> b, <double*> z)


cdef inline void gate_sums(const Call* c, Py_ssize_t g, const vec* x, const vec* h,
                           vec* z) noexcept nogil:
    """The pre-activations of block g."""
    cdef Py_ssize_t I = c.sizes.I, H = c.sizes.H
    block_sums(H, I, at(<const vec*> c.W_xh, g * H * I), x, H,
               at(<const vec*> c.W_hh, g * H * H), h, at(<const vec*> c.b_h, g * H), z)


cdef inline void rtrl_forward_gru(const Call* c, const vec* x, const vec* h, vec* gates,
                                  vec* h_t) noexcept nogil:
    cdef Py_ssize_t L = lanes(x), I = c.sizes.I, H = c.sizes.H, Hp = padded(x, H), u, j
    cdef bint after = resets_after(c.sizes)
    cdef const vec* W_hn = at(<const vec*> c.W_hh, 2 * H * H)
    cdef vec* n = at(gates, 2 * Hp)
    cdef vec* q = at(gates, 3 * Hp)
    cdef vec z, n_u
    gate_sums(c, R_BLOCK, x, h, gates)
    gate_sums(c, Z_BLOCK, x, h, at(gates, Hp))
    for j in range(blocks(Hp, L)):
        u = j * L
        store(gates, u, vector_sigmoid(load(gates, u)))
        store(gates, Hp + u, vector_sigmoid(load(gates, Hp + u)))
        if not after:
            store(q, u, load(gates, u) * load(h, u))
    if after:
        block_sums(H, 0, W_hn, x, H, W_hn, h, at(<const vec*> c.b_h, 3 * H), q)
        block_sums(H, I, at(<const vec*> c.W_xh, 2 * H * I), x, 0, W_hn, h,
                   at(<const vec*> c.b_h, 2 * H), n)
    else:
        gate_sums(c, N_BLOCK, x, q, n)
    for j in range(blocks(Hp, L)):
        u = j * L
        z, n_u = load(gates, Hp + u), load(n, u)
        n_u = vector_tanh(n_u + load(gates, u) * load(q, u) if after else n_u)
        store(n, u, n_u)
        store(h_t, u, (splat(x, 1) - z) * n_u + z * load(h, u))


cdef inline void rtrl_forward_lstm(const Call* c, const vec* x, const vec* h, vec* gates,
                                   vec* h_t) noexcept nogil:
    cdef Py_ssize_t L = lanes(x), Hp = padded(x, c.sizes.H), u, g, j
    cdef vec i, f, o, memory
    for g in range(4):
        gate_sums(c, g, x, h, at(gates, g * Hp))
    for j in range(blocks(Hp, L)):
        u = j * L
        i, f = vector_sigmoid(load(gates, u)), vector_sigmoid(load(gates, Hp + u))
        o = vector_sigmoid(load(gates, 3 * Hp + u))
        store(gates, u, i)
        store(gates, Hp + u, f)
        store(gates, 2 * Hp + u, vector_tanh(load(gates, 2 * Hp + u)))
        store(gates, 3 * Hp + u, o)
        memory = f * load(h, Hp + u) + i * load(gates, 2 * Hp + u)
        store(h_t, Hp + u, memory)
        memory = vector_tanh(memory)
        store(gates, 4 * Hp + u, memory)
        store(h_t, u, o * memory)


cdef void rtrl_forward(Call* c, const vec* dtype, Py_ssize_t b) noexcept nogil:
    """s_t and y_t of a sequence."""
    cdef Sizes s = c.sizes
    cdef Py_ssize_t L = lanes(dtype), u, j
    cdef const vec* x = step_of(dtype, c.x, b, 0)
    cdef const vec* h = step_of(dtype, c.h, b, 0)
    cdef vec* h_t = step_of(dtype, c.h, b, 1)
    cdef vec* y = step_of(dtype, c.y, b, 0)
    if s.cell.kind == LSTM_CELL:
        rtrl_forward_lstm(c, x, h, step_of(dtype, c.gates, b, 0), h_t)
    elif is_gated(s):
        rtrl_forward_gru(c, x, h, step_of(dtype, c.gates, b, 0), h_t)
    else:
        gate_sums(c, 0, x, h, h_t)
        for j in range(blocks(padded(dtype, s.H), L)):
            u = j * L
            if s.cell.kind == RELU_CELL:
                store(h_t, u, vector_relu(load(h_t, u)))
            else:
                store(h_t, u, vector_tanh(load(h_t, u)))
    if s.has_output_layer:
        block_sums(s.O, 0, h, x, s.H, <const vec*> c.W_hy, h_t, <const vec*> c.b_y, y)
    else:
        copy_scalars(y, 1, h_t, 1, s.H)


cdef void rtrl_predict(Call* c, Team team, const vec* dtype) noexcept nogil:
    """The outputs of the state before, which stays."""
    cdef Py_ssize_t b
    for b in range(c.sizes.B):
        rtrl_forward(c, dtype, b)


cdef inline double loss_of_outputs(const Call* c, const real* y_hat, real* dy) noexcept nogil:
    """The loss of one step of all sequences, and its gradient."""
    cdef Py_ssize_t B = c.sizes.B, O = c.sizes.O, n = B * O
    cdef const real* y = <const real*> c.targets
    if c.loss == MSE:
        return squared_error(n, y_hat, y, 2.0 / n, dy) / n
    if c.loss == SSE:
        return squared_error(n, y_hat, y, 1, dy) / 2
    if c.loss == HUBER:
        return huber(B, O, y_hat, y, NULL, B, c.huber_delta, dy) / n
    if c.loss == BINARY_CROSS_ENTROPY:
        return binary_cross_entropy(0, B, O, y_hat, y, NULL, B, dy) / n
    return cross_entropy(0, B, O, y_hat, <const Py_ssize_t*> c.targets, NULL, B, dy) / B


cdef inline double loss_of_step(const Call* c, const vec* dtype) noexcept nogil:
    """The loss, and its gradient in c.y. Without targets NaN, and a gradient of zero."""
    cdef vec* y_hat = step_of(dtype, c.y, 0, 0)
    cdef vec* dy = step_of(dtype, c.y, 0, 1)
    if c.targets == NULL:
        clear(dy, c.sizes.B * c.sizes.O)
        return NAN
    if vec is vec_f32:
        return loss_of_outputs(c, <const float*> y_hat, <float*> dy)
    else:
        return loss_of_outputs(c, <const double*> y_hat, <double*> dy)


cdef inline void add_output_gradient(Call* c, const vec* dtype, Py_ssize_t b,
                                     vec* delta) noexcept nogil:
    """dl/ds_t of a sequence; adds the gradients of the output layer."""
    cdef Py_ssize_t H = c.sizes.H, o
    cdef const vec* dy = step_of(dtype, c.y, b, 1)
    cdef const vec* h_t = step_of(dtype, c.h, b, 1)
    clear(delta, c.sizes.cell.state_blocks * H)
    if not c.sizes.has_output_layer:
        copy_scalars(delta, 1, dy, 1, H)
        return
    add_scalars(<vec*> c.db_y, dy, c.sizes.O)
    for o in range(c.sizes.O):
        add_scaled(delta, broadcast(dy, o), at(<const vec*> c.W_hy, o * H), H)
        add_scaled(at(<vec*> c.dW_hy, o * H), broadcast(dy, o), h_t, H)


cdef struct Step:
    # One sequence's step, after its forward pass
    Sizes sizes
    Py_ssize_t rows         # S
    Py_ssize_t P
    Py_ssize_t Hp           # H padded to whole registers
    void* J
    void* G
    void* factors
    void* d
    void* delta
    void* S_t
    void* dtheta
    const void* x
    const void* h           # what W_hh multiplies: h_{t-1}, or q of n where the reset is before


cdef void add_to_row(const Step* s, Py_ssize_t row, Py_ssize_t column, Py_ssize_t n,
                     vec factor, const vec* terms, vec* check) noexcept nogil:
    """Add factor * terms to n columns of a row of S_t. What is not finite makes `check` NaN."""
    cdef Py_ssize_t L = lanes(terms), i = 0, left, part
    cdef vec* place
    cdef vec sum
    while i < n:
        place = column_of(<vec*> s.S_t, s.rows, s.P, row, column + i, &left)
        part = min(L, min(left, n - i))
        sum = load_some(place, 0, part) + factor * load_some(terms, i, part)
        store_some(place, 0, part, sum)
        check[0] = check[0] + (sum - sum)
        i += part


cdef inline void add_segment(const Step* s, Py_ssize_t row, Py_ssize_t column, Py_ssize_t n,
                             vec factor, const vec* terms, vec* check) noexcept nogil:
    """Add factor * terms to n columns of a row of M_t, and so to S_t and to the gradient."""
    add_to_row(s, row, column, n, factor, terms, check)
    if row < s.sizes.H:  # dl_t/dc_t is zero
        add_scaled(at(<vec*> s.dtheta, column), factor * broadcast(<vec*> s.delta, row), terms, n)


# The first columns of unit k of block g, in W_xh, W_hh and b_h
cdef inline Py_ssize_t column_x(const Step* s, Py_ssize_t g, Py_ssize_t k) noexcept nogil:
    return (g * s.sizes.H + k) * s.sizes.I


cdef inline Py_ssize_t column_h(const Step* s, Py_ssize_t g, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t H = s.sizes.H
    return s.sizes.cell.weight_blocks * H * s.sizes.I + (g * H + k) * H


cdef inline Py_ssize_t column_b(const Step* s, Py_ssize_t g, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t H = s.sizes.H
    return s.sizes.cell.weight_blocks * H * (s.sizes.I + H) + g * H + k


cdef inline void add_unit(const Step* s, Py_ssize_t g, Py_ssize_t k, Py_ssize_t row, vec factor,
                          vec* check) noexcept nogil:
    """M_t's row at the parameters of unit k of block g. factor: ds_t[row] by its pre-activation."""
    cdef vec one = splat(check, 1)
    add_segment(s, row, column_x(s, g, k), s.sizes.I, factor, <const vec*> s.x, check)
    add_segment(s, row, column_h(s, g, k), s.sizes.H, factor, <const vec*> s.h, check)
    add_segment(s, row, column_b(s, g, k), 1, factor, &one, check)


cdef inline void plain_jacobian(const Step* s, const vec* W_hh, const vec* h_t) noexcept nogil:
    """factors: dh_t / da_t."""
    cdef Py_ssize_t L = lanes(W_hh), H = s.sizes.H, u, k, j
    cdef vec one = splat(W_hh, 1), h
    for j in range(blocks(s.Hp, L)):
        u = j * L
        h = load(h_t, u)
        h = relu_backward(one, h) if s.sizes.cell.kind == RELU_CELL else one - h * h
        store(<vec*> s.factors, u, h)
    for k in range(H):
        set_scaled(at(<vec*> s.J, k * s.Hp), broadcast(<vec*> s.factors, k), at(W_hh, k * H), H)


cdef inline void add_plain(const Step* s, vec* check) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(s.sizes.H):
        add_unit(s, 0, k, k, broadcast(<vec*> s.factors, k), check)


cdef inline void gru_jacobian(const Step* s, const vec* W_hh, const vec* h,
                              const vec* gates) noexcept nogil:
    """factors: dh_t by the pre-activations of r (before: dq by them), of z and of n, and by q."""
    cdef Py_ssize_t L = lanes(h), H = s.sizes.H, Hp = s.Hp, u, k, l, j, part
    cdef bint after = resets_after(s.sizes)
    cdef const vec* W_hz = at(W_hh, H * H)
    cdef const vec* W_hn = at(W_hh, 2 * H * H)
    cdef vec* factors = <vec*> s.factors
    cdef vec* J_k
    cdef vec* G_k
    cdef vec one = splat(h, 1), r, z, n, dr, dn
    for j in range(blocks(Hp, L)):
        u = j * L
        r, z, n = load(gates, u), load(gates, Hp + u), load(gates, 2 * Hp + u)
        dr, dn = r * (one - r), (one - z) * (one - n * n)
        store(factors, u, dn * load(gates, 3 * Hp + u) * dr if after else load(h, u) * dr)
        store(factors, Hp + u, (load(h, u) - n) * z * (one - z))
        store(factors, 2 * Hp + u, dn)
        store(factors, 3 * Hp + u, dn * r)
    for k in range(H):
        J_k = at(<vec*> s.J, k * Hp)
        set_scaled(J_k, broadcast(factors, Hp + k), at(W_hz, k * H), H)
        if after:
            add_scaled(J_k, broadcast(factors, k), at(W_hh, k * H), H)
            add_scaled(J_k, broadcast(factors, 3 * Hp + k), at(W_hn, k * H), H)
        else:
            # h_t reads q = r h: through h, and through the pre-activations of all r.
            G_k = at(<vec*> s.G, k * Hp)
            for j in range(blocks(H, L)):
                u = j * L
                part = min(L, H - u)
                dn = broadcast(factors, 2 * Hp + k) * load_some(W_hn, k * H + u, part)
                store(G_k, u, dn * load(factors, u))
                dn = dn * load(gates, u)
                store_some(J_k, u, part, load_some(J_k, u, part) + dn)
            for j in range(blocks(H, L)):
                u = j * L
                part = min(L, H - u)
                dn = load_some(J_k, u, part)
                for l in range(H):
                    dn = dn + broadcast(G_k, l) * load_some(W_hh, l * H + u, part)
                store_some(J_k, u, part, dn)
        add_scaled(at(J_k, k), one, at(gates, Hp + k), 1)


cdef inline void add_gru(const Step* s, const vec* gates, vec* check) noexcept nogil:
    cdef Py_ssize_t I = s.sizes.I, H = s.sizes.H, Hp = s.Hp, k, row
    cdef bint after = resets_after(s.sizes)
    cdef const vec* factors = <const vec*> s.factors
    cdef const vec* q = at(gates, 3 * Hp)
    cdef const vec* G_k
    cdef vec* da_r = at(<vec*> s.factors, 4 * Hp)
    cdef vec one = splat(check, 1), dn, dq
    for k in range(H):
        add_unit(s, Z_BLOCK, k, k, broadcast(factors, Hp + k), check)
        dn = broadcast(factors, 2 * Hp + k)
        dq = broadcast(factors, 3 * Hp + k)
        add_segment(s, k, column_x(s, N_BLOCK, k), I, dn, <const vec*> s.x, check)
        add_segment(s, k, column_b(s, N_BLOCK, k), 1, dn, &one, check)
        if after:
            add_unit(s, R_BLOCK, k, k, broadcast(factors, k), check)
            add_segment(s, k, column_h(s, N_BLOCK, k), H, dq, <const vec*> s.h, check)
            add_segment(s, k, column_b(s, Q_BLOCK, k), 1, dq, &one, check)
        else:
            add_segment(s, k, column_h(s, N_BLOCK, k), H, dn, q, check)
    if after:
        return
    clear(da_r, H)
    for row in range(H):
        # Every unit of n reads every r: these columns of M_t are full.
        G_k = at(<const vec*> s.G, row * Hp)
        add_scaled(da_r, broadcast(<const vec*> s.delta, row), G_k, H)
        add_to_row(s, row, column_b(s, R_BLOCK, 0), H, one, G_k, check)
        for k in range(H):
            dn = broadcast(G_k, k)
            add_to_row(s, row, column_x(s, R_BLOCK, k), I, dn, <const vec*> s.x, check)
            add_to_row(s, row, column_h(s, R_BLOCK, k), H, dn, <const vec*> s.h, check)
    add_scaled(at(<vec*> s.dtheta, column_b(s, R_BLOCK, 0)), one, da_r, H)
    for k in range(H):
        dn = broadcast(da_r, k)
        add_scaled(at(<vec*> s.dtheta, column_x(s, R_BLOCK, k)), dn, <const vec*> s.x, I)
        add_scaled(at(<vec*> s.dtheta, column_h(s, R_BLOCK, k)), dn, <const vec*> s.h, H)


cdef inline void lstm_jacobian(const Step* s, const vec* W_hh, const vec* c_before,
                               const vec* gates) noexcept nogil:
    """factors: dc_t by the pre-activations of i, f, g; dh_t by those of o; dh_t by c_t.

    J has the columns of h_{t-1}; those of c_{t-1} are diagonal, and in d.
    """
    cdef Py_ssize_t L = lanes(gates), H = s.sizes.H, Hp = s.Hp, u, k, g, j, part
    cdef vec* factors = <vec*> s.factors
    cdef vec* d = <vec*> s.d
    cdef vec* J_h
    cdef vec* J_c
    cdef vec one = splat(gates, 1), i, f, g_u, o, tanh_c, by_c
    for j in range(blocks(H, L)):
        u = j * L
        part = min(L, H - u)
        i, f, g_u = load(gates, u), load(gates, Hp + u), load(gates, 2 * Hp + u)
        o, tanh_c = load(gates, 3 * Hp + u), load(gates, 4 * Hp + u)
        by_c = o * (one - tanh_c * tanh_c)
        store(factors, u, g_u * i * (one - i))
        store(factors, Hp + u, load(c_before, u) * f * (one - f))
        store(factors, 2 * Hp + u, i * (one - g_u * g_u))
        store(factors, 3 * Hp + u, tanh_c * o * (one - o))
        store(factors, 4 * Hp + u, by_c)
        store_some(d, u, part, by_c * f)
        store_some(d, H + u, part, f)
    for k in range(H):
        J_h, J_c = at(<vec*> s.J, k * Hp), at(<vec*> s.J, (H + k) * Hp)
        set_scaled(J_c, broadcast(factors, k), at(W_hh, k * H), H)
        for g in range(1, 3):
            add_scaled(J_c, broadcast(factors, g * Hp + k), at(W_hh, (g * H + k) * H), H)
        set_scaled(J_h, broadcast(factors, 3 * Hp + k), at(W_hh, (3 * H + k) * H), H)
        add_scaled(J_h, broadcast(factors, 4 * Hp + k), J_c, H)


cdef inline void add_lstm(const Step* s, vec* check) noexcept nogil:
    cdef Py_ssize_t H = s.sizes.H, Hp = s.Hp, k, g
    cdef const vec* factors = <const vec*> s.factors
    cdef vec dc, by_c
    for k in range(H):
        by_c = broadcast(factors, 4 * Hp + k)
        for g in range(3):
            dc = broadcast(factors, g * Hp + k)
            add_unit(s, g, k, k, by_c * dc, check)
            add_unit(s, g, k, H + k, dc, check)
        add_unit(s, 3, k, k, broadcast(factors, 3 * Hp + k), check)


cdef inline void move_sensitivities(const Step* s, const vec* before, vec* after,
                                    vec* dtheta) noexcept nogil:
    """S_t = J S_{t-1} and diag(d) c's rows, and the gradient that comes through it."""
    cdef Py_ssize_t L = lanes(before), NR = panel_columns(before)
    cdef Py_ssize_t registers = blocks(s.P, L), n = 0
    cdef Motion o
    o.J, o.J_stride, o.H, o.S, o.delta = s.J, s.Hp, s.sizes.H, s.rows, s.delta
    o.d = s.d if s.sizes.cell.kind == LSTM_CELL else NULL
    while n < registers // NV * NR:
        move_panel(True, &o, at(before, n * s.rows), at(after, n * s.rows), at(dtheta, n))
        n += NR
    while n < registers * L:
        move_panel(False, &o, at(before, n * s.rows), at(after, n * s.rows), at(dtheta, n))
        n += L


cdef inline void rtrl_backward(Call* c, const RtrlPlace* p, const vec* dtype, Py_ssize_t b,
                               vec* check) noexcept nogil:
    """S_t of a sequence, whose states and outputs are there; adds its gradient."""
    cdef vec* workspace = <vec*> c.workspace
    cdef vec* dtheta = <vec*> c.dW_xh
    cdef const vec* W_hh = <const vec*> c.W_hh
    cdef const vec* h = step_of(dtype, c.h, b, 0)
    cdef const vec* h_t = step_of(dtype, c.h, b, 1)
    cdef const vec* gates = step_of(dtype, c.gates, b, 0)
    cdef Step s
    s.sizes, s.Hp, s.P = c.sizes, c.to_c, recurrent_count(c.sizes)
    s.rows = c.sizes.cell.state_blocks * c.sizes.H
    s.J, s.G, s.factors = at(workspace, p.J), at(workspace, p.G), at(workspace, p.factors)
    s.d, s.delta, s.dtheta = at(workspace, p.d), at(workspace, p.delta), dtheta
    s.S_t, s.x, s.h = step_of(dtype, c.S, b, 1), step_of(dtype, c.x, b, 0), h
    add_output_gradient(c, dtype, b, <vec*> s.delta)
    if c.sizes.cell.kind == LSTM_CELL:
        lstm_jacobian(&s, W_hh, at(h, s.Hp), gates)
    elif is_gated(c.sizes):
        gru_jacobian(&s, W_hh, h, gates)
    else:
        plain_jacobian(&s, W_hh, h_t)
    move_sensitivities(&s, step_of(dtype, c.S, b, 0), <vec*> s.S_t, dtheta)
    if c.sizes.cell.kind == LSTM_CELL:
        add_lstm(&s, check)
    elif is_gated(c.sizes):
        add_gru(&s, gates, check)
    else:
        add_plain(&s, check)


cdef void rtrl_step(Call* c, Team team, const vec* dtype) noexcept nogil:
    """s_t, y_t, S_t, the loss, and the gradient, in which NaN says that S_t is not finite.

    Where h_t is not finite, y_t is not.
    """
    cdef RtrlPlace p = rtrl_place(dtype, c.sizes)
    cdef Py_ssize_t b
    cdef vec check = splat(dtype, 0)
    for b in range(c.sizes.B):
        rtrl_forward(c, dtype, b)
    c.losses[0] = loss_of_step(c, dtype)
    clear(<vec*> c.dW_xh, parameter_count(c.sizes))
    for b in range(c.sizes.B):
        rtrl_backward(c, &p, dtype, b, &check)
    # Each lane is zero or NaN. There is room for a register, and no lane from P on is NaN.
    store(<vec*> c.dW_xh, 0, load(<vec*> c.dW_xh, 0) + check)
