# One sequence alone: a step is a vector times a matrix, and latency is all.
#
#     z = epilogue(z + sum_k a[k] W[k, :])
#
# W stands in rows of `width`, a whole number of registers (`pack_rows`). Columns
# go across lanes and each a[k] is broadcast. A sum over k is one long chain of additions, so it is
# split into several that run side by side: 8 accumulators cover the latency of the multiply-add
# units. The order of the additions depends on the size alone.

cdef inline Py_ssize_t row_width(const vec* dtype, Py_ssize_t N) noexcept nogil:
    return blocks(N, lanes(dtype)) * lanes(dtype)


cdef void pack_rows(vec* W, const vec* B, Py_ssize_t B_k, Py_ssize_t B_n, Py_ssize_t K,
                    Py_ssize_t N) noexcept nogil:
    """Lay B[k, n], which stands at B + k * B_k + n * B_n, out in rows padded with zeros."""
    cdef Py_ssize_t width = row_width(B, N), k
    for k in range(K):
        store(W, (k + 1) * width - lanes(B), splat(B, 0))
        copy_scalars(at(W, k * width), 1, at(B, k * B_k), B_n, N)


cdef inline void row_columns(Py_ssize_t K, Py_ssize_t width, Py_ssize_t columns, const vec* a,
                             const vec* W, vec* z, int epilogue, const vec* h) noexcept nogil:
    """z = epilogue(z + a W) for whole registers of columns of a W in rows of `width`."""
    cdef Py_ssize_t L = lanes(a), n = 0, k
    cdef vec a0, a1, a2, a3, c0, c1, c2, c3, d0, d1, d2, d3
    while n + 4 * L <= columns:
        c0, c1 = load(z, n), load(z, n + L)
        c2, c3 = load(z, n + 2 * L), load(z, n + 3 * L)
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
        store(z, n, with_epilogue(c0 + d0, h, n, epilogue))
        store(z, n + L, with_epilogue(c1 + d1, h, n + L, epilogue))
        store(z, n + 2 * L, with_epilogue(c2 + d2, h, n + 2 * L, epilogue))
        store(z, n + 3 * L, with_epilogue(c3 + d3, h, n + 3 * L, epilogue))
        n += 4 * L
    while n + 2 * L <= columns:
        c0, c1 = load(z, n), load(z, n + L)
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
        store(z, n, with_epilogue((c0 + c2) + (d0 + d2), h, n, epilogue))
        store(z, n + L, with_epilogue((c1 + c3) + (d1 + d3), h, n + L, epilogue))
        n += 2 * L
    if n < columns:
        c0 = load(z, n)
        c1 = c2 = c3 = splat(a, 0)
        for k in range(0, K - 3, 4):
            c0 = c0 + broadcast(a, k) * load(W, k * width + n)
            c1 = c1 + broadcast(a, k + 1) * load(W, (k + 1) * width + n)
            c2 = c2 + broadcast(a, k + 2) * load(W, (k + 2) * width + n)
            c3 = c3 + broadcast(a, k + 3) * load(W, (k + 3) * width + n)
        for k in range(K // 4 * 4, K):
            c0 = c0 + broadcast(a, k) * load(W, k * width + n)
        store(z, n, with_epilogue((c0 + c1) + (c2 + c3), h, n, epilogue))


cdef void row_step(Py_ssize_t H, const vec* a, const vec* W, vec* z, int epilogue,
                   const vec* h) noexcept nogil:
    """z (H,) = epilogue(z + a W) for W (H, H)."""
    cdef Py_ssize_t width = row_width(a, H)
    cdef Py_ssize_t whole = H // lanes(a) * lanes(a)
    # The last columns, where they fill no register, pass through these.
    cdef vec edge_z, edge_h
    # Sizes known to the compiler make whole loops straight code.
    if H == 8 and width == 8:
        row_columns(8, 8, 8, a, W, z, epilogue, h)
    elif H == 16:
        row_columns(16, 16, 16, a, W, z, epilogue, h)
    elif H == 32:
        row_columns(32, 32, 32, a, W, z, epilogue, h)
    elif H == 64:
        row_columns(64, 64, 64, a, W, z, epilogue, h)
    else:
        row_columns(H, width, whole, a, W, z, epilogue, h)
        if whole < H:
            edge_z = edge_h = splat(a, 0)
            copy_scalars(&edge_z, 1, at(z, whole), 1, H - whole)
            if epilogue == TANH_GRADIENT:
                copy_scalars(&edge_h, 1, at(h, whole), 1, H - whole)
            row_columns(H, width, lanes(a), a, at(W, whole), &edge_z, epilogue, &edge_h)
            copy_scalars(at(z, whole), 1, &edge_z, 1, H - whole)
