# The matrix product of several rows; row.pxi.in has that of one row.
#
#     C[m, n] = start[m, n] + sum_k A[m, k] B[k, n]       `product`
#     C[m, n] = epilogue(C[m, n])                         `finish`
#
# `products` adds two such sums to `start`. B is read from panels (`pack`). A panel is K rows of NV
# registers of columns, the last panel of fewer where fewer hold its columns. It is aligned to 64
# bytes and padded with zeros to whole registers. Each row of tiles (tile.pxi.in) reads all panels.
# A may have any strides, so a transposed operand needs no copy. `start` is rows of their own, C
# itself, or one row for all (stride 0): a bias.
#
# Panels and tiles follow BLIS (Van Zee and van de Geijn 2015, ACM TOMS 41, 14). The names MR and NR
# are from there.

cdef enum:
    # What becomes of a sum
    IDENTITY        # C = sum
    TANH            # C = tanh(sum)
    RELU            # C = max(sum, 0)
    TANH_GRADIENT   # C = sum * (1 - h^2)
    RELU_GRADIENT   # C = sum where h > 0, else 0

cdef enum:
    PANEL_ALIGNMENT = 64
    # Half of the smallest L1: the piece of a panel that all rows pass by before the next
    PANEL_BYTES = 1 << 14


cdef inline Py_ssize_t panel_columns(const vec* dtype) noexcept nogil:
    return NV * lanes(dtype)


cdef inline Py_ssize_t padded(const vec* dtype, Py_ssize_t N) noexcept nogil:
    """N rounded up to whole registers."""
    return blocks(N, lanes(dtype)) * lanes(dtype)


cdef inline Py_ssize_t packed_size(const vec* dtype, Py_ssize_t K, Py_ssize_t N) noexcept nogil:
    """Scalars that a packed (K, N) matrix takes; a multiple of the alignment."""
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype)
    return blocks(K * padded(dtype, N), unit) * unit


cdef inline Py_ssize_t odd_lines(const vec* dtype, Py_ssize_t n) noexcept nogil:
    """n scalars or more: an odd number of cache lines.

    Rows a power of two apart would share few sets of the cache.
    """
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype)
    return (blocks(n, unit) | 1) * unit


cdef inline Py_ssize_t alignment_slack(const vec* dtype) noexcept nogil:
    """Scalars that `aligned` may skip."""
    return PANEL_ALIGNMENT // itemsize(dtype)


cdef inline vec* aligned(const vec* p) noexcept nogil:
    return <vec*> ((<size_t> p + (PANEL_ALIGNMENT - 1)) & ~<size_t> (PANEL_ALIGNMENT - 1))


cdef void pack(vec* panels, const vec* B, Py_ssize_t B_k, Py_ssize_t B_n, Py_ssize_t K,
               Py_ssize_t N, Team team) noexcept nogil:
    """Copy B[k, n], at B + k * B_k + n * B_n, to panels: this member's share of them."""
    cdef Py_ssize_t NR = panel_columns(B)
    cdef Share mine = share(team, blocks(N, NR), 1)
    cdef Py_ssize_t p, n, k, v, columns, width
    cdef vec* panel
    for p in range(mine.first, mine.last):
        n = p * NR
        columns = min(NR, N - n)
        width = padded(B, columns)
        panel = at(panels, n * K)
        for k in range(K if columns < width else 0):
            store(panel, (k + 1) * width - lanes(B), splat(B, 0))
        if B_n == 1:
            for k in range(K):
                copy_scalars(at(panel, k * width), 1, at(B, k * B_k + n), 1, columns)
        else:
            # Column by column: a transposed B is then read along its rows.
            for v in range(columns):
                copy_scalars(at(panel, v), width, at(B, (n + v) * B_n), B_k, K)


cdef inline vec with_epilogue(vec sum, vec h, int epilogue) noexcept nogil:
    if epilogue == TANH:
        return vector_tanh(sum)
    if epilogue == TANH_GRADIENT:
        return sum * (splat(&h, 1) - h * h)
    if epilogue == RELU:
        return vector_relu(sum)
    if epilogue == RELU_GRADIENT:
        return relu_backward(sum, h)
    return sum


cdef inline vec finished(vec sum, const vec* h, Py_ssize_t offset, Py_ssize_t n,
                         int epilogue) noexcept nogil:
    """The epilogue of n sums, whose states are h[offset:]."""
    if epilogue == TANH_GRADIENT or epilogue == RELU_GRADIENT:
        return with_epilogue(sum, load_some(h, offset, n), epilogue)
    return with_epilogue(sum, sum, epilogue)


cdef inline void finish_rows(int epilogue, Py_ssize_t M, Py_ssize_t columns, const vec* dtype,
                             Rows C, Rows h) noexcept nogil:
    cdef Py_ssize_t L = lanes(dtype), m, n, i, part
    cdef vec* C_m
    cdef const vec* h_m
    for m in range(M):
        C_m, h_m = row_of(dtype, C, m), row_of(dtype, h, m)
        for i in range(blocks(columns, L)):
            n = i * L
            part = min(L, columns - n)
            store_some(C_m, n, part, finished(load_some(C_m, n, part), h_m, n, part, epilogue))


cdef void finish(int epilogue, Py_ssize_t M, Py_ssize_t columns, const vec* dtype, Rows C,
                 Rows h) noexcept nogil:
    """The epilogue of sums that are in C and in L1."""
    # A literal in each call, so that the loops are compiled without a branch for each epilogue.
    if epilogue == TANH:
        finish_rows(TANH, M, columns, dtype, C, h)
    elif epilogue == TANH_GRADIENT:
        finish_rows(TANH_GRADIENT, M, columns, dtype, C, h)
    elif epilogue == RELU:
        finish_rows(RELU, M, columns, dtype, C, h)
    elif epilogue == RELU_GRADIENT:
        finish_rows(RELU_GRADIENT, M, columns, dtype, C, h)


cdef void products(Py_ssize_t M, Py_ssize_t N, Py_ssize_t K_x, Rows X, const vec* panels_x,
                   Py_ssize_t K, Rows A, Py_ssize_t A_k, const vec* panels, Rows start,
                   Rows C) noexcept nogil:
    """C (M, N) = start + X (M, K_x) B_x + A (M, K) B, both packed. No data in `start`: zero."""
    cdef Py_ssize_t NR = panel_columns(panels), side = panels_side_by_side(M), n = 0, width, k_x, k
    # Panels are used up in pieces that stay in L1 while the rows pass by.
    cdef Py_ssize_t depth = PANEL_BYTES // (NR * itemsize(panels)) if side == 1 else K_x + K
    cdef vec[MOST_PANELS * NV] zeros
    cdef Operands o
    if start.data == NULL:
        memset(zeros, 0, sizeof(zeros))
    o.A_k, o.to_next_x, o.to_next = A_k, K_x * NR, K * NR
    while n < N:
        o.columns = side * NR if n + side * NR <= N else min(NR, N - n)
        o.start = rows_of(<vec*> zeros, 0)
        if start.data != NULL:
            o.start = columns_from(panels, start, n)
        o.C, o.X, o.A = columns_from(panels, C, n), X, A
        o.panel_x, o.panel = at(panels_x, n * K_x), at(panels, n * K)
        k_x, k = K_x, K
        while k_x + k > 0:
            o.K_x = min(depth, k_x)
            o.K = min(depth - o.K_x, k)
            tile_rows(M, &o, panels)
            k_x, k = k_x - o.K_x, k - o.K
            if k_x + k > 0:
                width = padded(panels, o.columns)
                o.start = o.C
                o.X, o.A = columns_from(panels, o.X, o.K_x), columns_from(panels, o.A, o.K * A_k)
                o.panel_x = at(<const vec*> o.panel_x, o.K_x * width)
                o.panel = at(<const vec*> o.panel, o.K * width)
        n += o.columns


cdef void product(Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, Rows A, Py_ssize_t A_k,
                  const vec* panels, Rows start, Rows C) noexcept nogil:
    """C (M, N) = start + A (M, K) B, packed."""
    products(M, N, 0, A, panels, K, A, A_k, panels, start, C)
