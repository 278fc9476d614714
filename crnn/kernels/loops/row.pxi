# One sequence alone: a step is a vector times a matrix, and latency is all.
#
#     z = epilogue(start + sum_k a[k] W[k, :])
#
# W stands in rows of `padded` length, a whole number of registers (`pack_rows`). Columns go across
# lanes and each a[k] is broadcast. A sum over k is one long chain of additions, so it is split into
# several that run side by side: 8 accumulators cover the latency of the multiply-add units. The
# order of the additions depends on the size alone. Where N fills no register, the last one is
# loaded and stored in part, unless the vectors have `room` for whole registers: a part that has
# just been stored would reach the loads of the next step late.

cdef void pack_rows(vec* W, const vec* B, Py_ssize_t B_k, Py_ssize_t B_n, Py_ssize_t K,
                    Py_ssize_t N) noexcept nogil:
    """Lay B[k, n], which stands at B + k * B_k + n * B_n, out in rows padded with zeros."""
    cdef Py_ssize_t width = padded(B, N), k
    for k in range(K):
        store(W, (k + 1) * width - lanes(B), splat(B, 0))
        copy_scalars(at(W, k * width), 1, at(B, k * B_k), B_n, N)


cdef inline void row_columns(Py_ssize_t K, Py_ssize_t N, Py_ssize_t width, const vec* a,
                             const vec* W, const vec* start, vec* z, bint room, int epilogue,
                             const vec* h) noexcept nogil:
    cdef Py_ssize_t L = lanes(a), n = 0, k, part
    cdef vec a0, a1, a2, a3, c0, c1, c2, c3, d0, d1, d2, d3
    while n + 4 * L <= N:
        c0, c1 = load(start, n), load(start, n + L)
        c2, c3 = load(start, n + 2 * L), load(start, n + 3 * L)
        d0 = d1 = d2 = d3 = splat(a, 0)
        for k in range(0, K - 1, 2):
            a0, a1 = broadcast(a, k), broadcast(a, k + 1)
            c0 = c0 + a0 * load(W, k * width + n)
            c1 = c1 + a0 * load(W, k * width + n + L)
            c2 = c2 + a0 * load(W, k * width + n + 2 * L)
            c3 = c3 + a0 * load(W, k * width + n + 3 * L)
            d0 = d0 + a1 * load(W, (k + 1) * width + n)
            d1 = d1 + a1 * load(W, (k + 1) * width + n + L)
            d2 = d2 + a1 * load(W, (k + 1) * width + n + 2 * L)
            d3 = d3 + a1 * load(W, (k + 1) * width + n + 3 * L)
        if K % 2:
            a0 = broadcast(a, K - 1)
            c0 = c0 + a0 * load(W, (K - 1) * width + n)
            c1 = c1 + a0 * load(W, (K - 1) * width + n + L)
            c2 = c2 + a0 * load(W, (K - 1) * width + n + 2 * L)
            c3 = c3 + a0 * load(W, (K - 1) * width + n + 3 * L)
        store(z, n, ended(c0 + d0, h, n, epilogue))
        store(z, n + L, ended(c1 + d1, h, n + L, epilogue))
        store(z, n + 2 * L, ended(c2 + d2, h, n + 2 * L, epilogue))
        store(z, n + 3 * L, ended(c3 + d3, h, n + 3 * L, epilogue))
        n += 4 * L
    while n + 2 * L <= N:
        c0, c1 = load(start, n), load(start, n + L)
        c2 = c3 = d0 = d1 = d2 = d3 = splat(a, 0)
        for k in range(0, K - 3, 4):
            a0, a1 = broadcast(a, k), broadcast(a, k + 1)
            a2, a3 = broadcast(a, k + 2), broadcast(a, k + 3)
            c0 = c0 + a0 * load(W, k * width + n)
            c1 = c1 + a0 * load(W, k * width + n + L)
            c2 = c2 + a1 * load(W, (k + 1) * width + n)
            c3 = c3 + a1 * load(W, (k + 1) * width + n + L)
            d0 = d0 + a2 * load(W, (k + 2) * width + n)
            d1 = d1 + a2 * load(W, (k + 2) * width + n + L)
            d2 = d2 + a3 * load(W, (k + 3) * width + n)
            d3 = d3 + a3 * load(W, (k + 3) * width + n + L)
        for k in range(K // 4 * 4, K):
            a0 = broadcast(a, k)
            c0 = c0 + a0 * load(W, k * width + n)
            c1 = c1 + a0 * load(W, k * width + n + L)
        store(z, n, ended((c0 + c2) + (d0 + d2), h, n, epilogue))
        store(z, n + L, ended((c1 + c3) + (d1 + d3), h, n + L, epilogue))
        n += 2 * L
    while n < N:
        part = L if room else min(L, N - n)
        c0 = load_some(start, n, part)
        c1 = c2 = c3 = splat(a, 0)
        for k in range(0, K - 3, 4):
            c0 = c0 + broadcast(a, k) * load(W, k * width + n)
            c1 = c1 + broadcast(a, k + 1) * load(W, (k + 1) * width + n)
            c2 = c2 + broadcast(a, k + 2) * load(W, (k + 2) * width + n)
            c3 = c3 + broadcast(a, k + 3) * load(W, (k + 3) * width + n)
        for k in range(K // 4 * 4, K):
            c0 = c0 + broadcast(a, k) * load(W, k * width + n)
        c0 = (c0 + c1) + (c2 + c3)
        if part == L:
            store(z, n, ended(c0, h, n, epilogue))
        else:
            store_first(z, n, part, ended_first(c0, h, n, part, epilogue))
        n += L


cdef void row_product(Py_ssize_t K, Py_ssize_t N, const vec* a, const vec* W, const vec* start,
                      vec* z, bint room, int epilogue, const vec* h) noexcept nogil:
    """z (N,) = epilogue(start + a W) for W (K, N) packed by rows."""
    # Sizes known to the compiler make whole loops straight code.
    if K == 8 and N == 8:
        row_columns(8, 8, padded(a, 8), a, W, start, z, room, epilogue, h)
    elif K == 16 and N == 16:
        row_columns(16, 16, padded(a, 16), a, W, start, z, room, epilogue, h)
    elif K == 32 and N == 32:
        row_columns(32, 32, padded(a, 32), a, W, start, z, room, epilogue, h)
    elif K == 64 and N == 64:
        row_columns(64, 64, padded(a, 64), a, W, start, z, room, epilogue, h)
    else:
        row_columns(K, N, padded(a, N), a, W, start, z, room, epilogue, h)


# The gates of a unit are wanted together: then their weights stand in panels of one register of
# units,
#
#     W[p, k, g, lane]   from unit p * lanes + lane of gate g to input k, zero past the last unit
#
# and the sums of all gates of a panel's units stay in registers until they have become states.

cdef inline bint starts_from_end(const Call* c, Py_ssize_t t) noexcept nogil:
    """Whether a step goes through the panels from the last one to the first.

    Every second step does, so that what of W is in L1 still is read before it is pushed out. (A
    stream exchanges its two states after each step.)
    """
    return (t % 2 != 0) != (c.h.per_step < 0)


cdef inline Py_ssize_t units_size(const vec* dtype, Py_ssize_t K, Py_ssize_t gates,
                                  Py_ssize_t H) noexcept nogil:
    """Scalars that the weights of K inputs take in panels of units."""
    return packed_size(dtype, K, gates * padded(dtype, H))


cdef void pack_units(vec* W, const vec* B, Py_ssize_t B_k, Py_ssize_t B_n, Py_ssize_t K,
                     Py_ssize_t gates, Py_ssize_t H) noexcept nogil:
    """Lay B[k, g H + u], which stands at B + k * B_k + (g H + u) * B_n, out in panels of units."""
    cdef Py_ssize_t L = lanes(B), j, u, k, g, part
    for j in range(blocks(H, L)):
        u = j * L
        part = min(L, H - u)
        for k in range(K):
            for g in range(gates):
                store(W, 0, splat(B, 0))
                copy_scalars(W, 1, at(B, k * B_k + (g * H + u) * B_n), B_n, part)
                W = at(W, L)


cdef inline void add_units(int gates, Py_ssize_t K, const vec* a, const vec* W, vec* sum0,
                           vec* sum1, vec* sum2, vec* sum3) noexcept nogil:
    """Add a W to the sums of as many gates; W is one panel of units."""
    cdef Py_ssize_t L = lanes(a), k
    cdef vec a0, a1, a2, a3, c0, c1, c2, c3, d0, d1, d2, d3
    c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = splat(a, 0)
    if gates == 1:
        for k in range(0, K - 3, 4):
            c0 = c0 + broadcast(a, k) * load(W, k * L)
            c1 = c1 + broadcast(a, k + 1) * load(W, (k + 1) * L)
            c2 = c2 + broadcast(a, k + 2) * load(W, (k + 2) * L)
            c3 = c3 + broadcast(a, k + 3) * load(W, (k + 3) * L)
        for k in range(K // 4 * 4, K):
            c0 = c0 + broadcast(a, k) * load(W, k * L)
        sum0[0] = sum0[0] + ((c0 + c1) + (c2 + c3))
    elif gates == 2:
        for k in range(0, K - 3, 4):
            a0, a1 = broadcast(a, k), broadcast(a, k + 1)
            a2, a3 = broadcast(a, k + 2), broadcast(a, k + 3)
            c0 = c0 + a0 * load(W, 2 * k * L)
            c1 = c1 + a0 * load(W, (2 * k + 1) * L)
            c2 = c2 + a1 * load(W, (2 * k + 2) * L)
            c3 = c3 + a1 * load(W, (2 * k + 3) * L)
            d0 = d0 + a2 * load(W, (2 * k + 4) * L)
            d1 = d1 + a2 * load(W, (2 * k + 5) * L)
            d2 = d2 + a3 * load(W, (2 * k + 6) * L)
            d3 = d3 + a3 * load(W, (2 * k + 7) * L)
        for k in range(K // 4 * 4, K):
            a0 = broadcast(a, k)
            c0 = c0 + a0 * load(W, 2 * k * L)
            c1 = c1 + a0 * load(W, (2 * k + 1) * L)
        sum0[0] = sum0[0] + ((c0 + c2) + (d0 + d2))
        sum1[0] = sum1[0] + ((c1 + c3) + (d1 + d3))
    else:
        for k in range(0, K - 1, 2):
            a0, a1 = broadcast(a, k), broadcast(a, k + 1)
            c0 = c0 + a0 * load(W, gates * k * L)
            c1 = c1 + a0 * load(W, (gates * k + 1) * L)
            c2 = c2 + a0 * load(W, (gates * k + 2) * L)
            if gates == 4:
                c3 = c3 + a0 * load(W, (gates * k + 3) * L)
            d0 = d0 + a1 * load(W, gates * (k + 1) * L)
            d1 = d1 + a1 * load(W, (gates * (k + 1) + 1) * L)
            d2 = d2 + a1 * load(W, (gates * (k + 1) + 2) * L)
            if gates == 4:
                d3 = d3 + a1 * load(W, (gates * (k + 1) + 3) * L)
        if K % 2:
            a0 = broadcast(a, K - 1)
            c0 = c0 + a0 * load(W, gates * (K - 1) * L)
            c1 = c1 + a0 * load(W, (gates * (K - 1) + 1) * L)
            c2 = c2 + a0 * load(W, (gates * (K - 1) + 2) * L)
            if gates == 4:
                c3 = c3 + a0 * load(W, (gates * (K - 1) + 3) * L)
        sum0[0] = sum0[0] + (c0 + d0)
        sum1[0] = sum1[0] + (c1 + d1)
        sum2[0] = sum2[0] + (c2 + d2)
        if gates == 4:
            sum3[0] = sum3[0] + (c3 + d3)


cdef enum:
    # One row reads all of W: beyond this size, many rows share what they read of it (`product`).
    ROWS_BYTES = 1 << 14


cdef inline bint by_rows(const vec* dtype, Sizes s, Py_ssize_t K, Py_ssize_t N) noexcept nogil:
    """Whether a (K, N) matrix that meets every step is packed by rows."""
    return s.B == 1 and K * padded(dtype, N) * itemsize(dtype) <= ROWS_BYTES


cdef inline void pack_weights(vec* packed, const vec* W, Py_ssize_t W_k, Py_ssize_t W_n,
                              Py_ssize_t K, Py_ssize_t N, bint rows, Team team) noexcept nogil:
    """Lay W[k, n], which stands at W + k * W_k + n * W_n, out by panels or by rows."""
    if not rows:
        pack(packed, W, W_k, W_n, K, N, team)
    elif team.index == 0:
        pack_rows(packed, W, W_k, W_n, K, N)


cdef inline void affine(Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const vec* A, Py_ssize_t A_m,
                        const vec* packed, bint rows, const vec* bias, vec* C,
                        Py_ssize_t C_m) noexcept nogil:
    """C (M, N) = A (M, K) W + bias, with the rows of A and C A_m and C_m apart."""
    cdef Py_ssize_t m
    if rows:
        for m in range(M):
            row_product(K, N, at(A, m * A_m), packed, bias, at(C, m * C_m), False, PLAIN, bias)
    else:
        product(M, N, K, A, A_m, 1, packed, bias, 0, C, C_m, PLAIN, bias, 0)
