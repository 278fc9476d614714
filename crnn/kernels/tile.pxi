# One register tile serves every matrix product of the package:
#
#     C[m, n] = epilogue(start + sum_k A[m, k] B[k, n])
#
# B is read from panels (`pack`): NV registers of columns wide, K rows deep, aligned to 64 bytes and
# padded with zeros, made once per call and read once per tile row. A may have any strides, so a
# transposed operand needs no copy. A tile holds up to MR rows of C in registers over the whole sum;
# its accumulators are named one by one because the C compiler keeps names in registers and spills
# arrays. NV and MR are constants of the instruction set, and `rows`, `start` and `epilogue` become
# literals where the compiler clones `tile` for its callers: it drops what a clone does not use.
#
# Panels and the tile follow BLIS (Van Zee and van de Geijn 2015, ACM TOMS 41, 14), whose names MR
# and NR they keep.

cdef enum:
    # what the sum starts from
    FROM_ZERO
    FROM_BIAS       # bias[n], the same for every row
    FROM_C          # what C holds
    # what becomes of it
    PLAIN
    TANH            # C = tanh(sum)
    TANH_GRADIENT   # C = sum * (1 - h^2), with the rows of h h_m apart

cdef enum:
    PANEL_ALIGNMENT = 64
    # Half of the smallest L1: the piece of a panel that all rows pass by before the next
    PANEL_BYTES = 1 << 14


cdef inline Py_ssize_t panel_columns(const vec* dtype) noexcept nogil:
    return NV * lanes(dtype)


cdef struct Share:
    Py_ssize_t first
    Py_ssize_t last


cdef inline Py_ssize_t blocks(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """How many blocks of `size` cover n."""
    return (n + size - 1) // size


cdef inline Share share(Team team, Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    """Which of n things, dealt in whole units, a member of the team works on."""
    cdef Share mine
    mine.first = min(n, blocks(n, unit) * team.index // team.count * unit)
    mine.last = min(n, blocks(n, unit) * (team.index + 1) // team.count * unit)
    return mine


cdef inline Py_ssize_t packed_size(const vec* dtype, Py_ssize_t K, Py_ssize_t N) noexcept nogil:
    """Scalars that the panels of a (K, N) matrix take; a multiple of the alignment."""
    cdef Py_ssize_t NR = panel_columns(dtype)
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype)
    return blocks(blocks(N, NR) * NR * K, unit) * unit


cdef inline vec* aligned(const vec* p) noexcept nogil:
    return <vec*> ((<size_t> p + (PANEL_ALIGNMENT - 1)) & ~<size_t> (PANEL_ALIGNMENT - 1))


cdef void pack(vec* panels, const vec* B, Py_ssize_t B_k, Py_ssize_t B_n, Py_ssize_t K,
               Py_ssize_t N, Team team) noexcept nogil:
    """Lay B[k, n], which stands at B + k * B_k + n * B_n, out in panels: this member's share."""
    cdef Py_ssize_t NR = panel_columns(B)
    cdef Share mine = share(team, blocks(N, NR), 1)
    cdef Py_ssize_t p, n, k, v, columns
    for p in range(mine.first, mine.last):
        n = p * NR
        columns = min(NR, N - n)
        for k in range(K if columns < NR else 0):
            for v in range(NV):
                store(panels, (p * K + k) * NR + v * lanes(B), splat(B, 0))
        if B_n == 1:
            for k in range(K):
                copy_scalars(at(panels, (p * K + k) * NR), 1, at(B, k * B_k + n), 1, columns)
        else:
            # Column by column: a transposed B is then read along its rows.
            for v in range(columns):
                copy_scalars(at(panels, p * K * NR + v), NR, at(B, (n + v) * B_n), B_k, K)


cdef inline vec with_epilogue(vec total, const vec* h, Py_ssize_t offset,
                              int epilogue) noexcept nogil:
    cdef vec state
    if epilogue == TANH:
        return vector_tanh(total)
    if epilogue == TANH_GRADIENT:
        state = load(h, offset)
        return total * (splat(h, 1) - state * state)
    return total


cdef inline vec started(const vec* C, const vec* bias, Py_ssize_t row, Py_ssize_t column,
                        int start) noexcept nogil:
    if start == FROM_C:
        return load(C, row + column)
    if start == FROM_BIAS:
        return load(bias, column)
    return splat(C, 0)


cdef void tile(int rows, Py_ssize_t K, const vec* A, Py_ssize_t A_m, Py_ssize_t A_k,
               const vec* panel, vec* C, Py_ssize_t C_m, int start, const vec* bias,
               int epilogue, const vec* h, Py_ssize_t h_m) noexcept nogil:
    """A tile of `rows` full rows: C[0:rows, 0:NR]."""
    cdef Py_ssize_t L = lanes(C), NR = panel_columns(C), k
    cdef vec a, b0, b1, b2
    cdef vec c00, c01, c02
    cdef vec c10, c11, c12
    cdef vec c20, c21, c22
    cdef vec c30, c31, c32
    cdef vec c40, c41, c42
    cdef vec c50, c51, c52
    cdef vec c60, c61, c62
    cdef vec c70, c71, c72
    c00 = started(C, bias, 0 * C_m, 0 * L, start)
    c01 = started(C, bias, 0 * C_m, 1 * L, start)
    if NV > 2:
        c02 = started(C, bias, 0 * C_m, 2 * L, start)
    if rows > 1:
        c10 = started(C, bias, 1 * C_m, 0 * L, start)
        c11 = started(C, bias, 1 * C_m, 1 * L, start)
        if NV > 2:
            c12 = started(C, bias, 1 * C_m, 2 * L, start)
    if rows > 2:
        c20 = started(C, bias, 2 * C_m, 0 * L, start)
        c21 = started(C, bias, 2 * C_m, 1 * L, start)
        if NV > 2:
            c22 = started(C, bias, 2 * C_m, 2 * L, start)
    if rows > 3:
        c30 = started(C, bias, 3 * C_m, 0 * L, start)
        c31 = started(C, bias, 3 * C_m, 1 * L, start)
        if NV > 2:
            c32 = started(C, bias, 3 * C_m, 2 * L, start)
    if rows > 4:
        c40 = started(C, bias, 4 * C_m, 0 * L, start)
        c41 = started(C, bias, 4 * C_m, 1 * L, start)
        if NV > 2:
            c42 = started(C, bias, 4 * C_m, 2 * L, start)
    if rows > 5:
        c50 = started(C, bias, 5 * C_m, 0 * L, start)
        c51 = started(C, bias, 5 * C_m, 1 * L, start)
        if NV > 2:
            c52 = started(C, bias, 5 * C_m, 2 * L, start)
    if rows > 6:
        c60 = started(C, bias, 6 * C_m, 0 * L, start)
        c61 = started(C, bias, 6 * C_m, 1 * L, start)
        if NV > 2:
            c62 = started(C, bias, 6 * C_m, 2 * L, start)
    if rows > 7:
        c70 = started(C, bias, 7 * C_m, 0 * L, start)
        c71 = started(C, bias, 7 * C_m, 1 * L, start)
        if NV > 2:
            c72 = started(C, bias, 7 * C_m, 2 * L, start)
    for k in range(K):
        b0 = load(panel, k * NR)
        b1 = load(panel, k * NR + L)
        if NV > 2:
            b2 = load(panel, k * NR + 2 * L)
        a = broadcast(A, 0 * A_m + k * A_k)
        c00 = c00 + a * b0
        c01 = c01 + a * b1
        if NV > 2:
            c02 = c02 + a * b2
        if rows > 1:
            a = broadcast(A, 1 * A_m + k * A_k)
            c10 = c10 + a * b0
            c11 = c11 + a * b1
            if NV > 2:
                c12 = c12 + a * b2
        if rows > 2:
            a = broadcast(A, 2 * A_m + k * A_k)
            c20 = c20 + a * b0
            c21 = c21 + a * b1
            if NV > 2:
                c22 = c22 + a * b2
        if rows > 3:
            a = broadcast(A, 3 * A_m + k * A_k)
            c30 = c30 + a * b0
            c31 = c31 + a * b1
            if NV > 2:
                c32 = c32 + a * b2
        if rows > 4:
            a = broadcast(A, 4 * A_m + k * A_k)
            c40 = c40 + a * b0
            c41 = c41 + a * b1
            if NV > 2:
                c42 = c42 + a * b2
        if rows > 5:
            a = broadcast(A, 5 * A_m + k * A_k)
            c50 = c50 + a * b0
            c51 = c51 + a * b1
            if NV > 2:
                c52 = c52 + a * b2
        if rows > 6:
            a = broadcast(A, 6 * A_m + k * A_k)
            c60 = c60 + a * b0
            c61 = c61 + a * b1
            if NV > 2:
                c62 = c62 + a * b2
        if rows > 7:
            a = broadcast(A, 7 * A_m + k * A_k)
            c70 = c70 + a * b0
            c71 = c71 + a * b1
            if NV > 2:
                c72 = c72 + a * b2
    store(C, 0 * C_m + 0 * L, with_epilogue(c00, h, 0 * h_m + 0 * L, epilogue))
    store(C, 0 * C_m + 1 * L, with_epilogue(c01, h, 0 * h_m + 1 * L, epilogue))
    if NV > 2:
        store(C, 0 * C_m + 2 * L, with_epilogue(c02, h, 0 * h_m + 2 * L, epilogue))
    if rows > 1:
        store(C, 1 * C_m + 0 * L, with_epilogue(c10, h, 1 * h_m + 0 * L, epilogue))
        store(C, 1 * C_m + 1 * L, with_epilogue(c11, h, 1 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 1 * C_m + 2 * L, with_epilogue(c12, h, 1 * h_m + 2 * L, epilogue))
    if rows > 2:
        store(C, 2 * C_m + 0 * L, with_epilogue(c20, h, 2 * h_m + 0 * L, epilogue))
        store(C, 2 * C_m + 1 * L, with_epilogue(c21, h, 2 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 2 * C_m + 2 * L, with_epilogue(c22, h, 2 * h_m + 2 * L, epilogue))
    if rows > 3:
        store(C, 3 * C_m + 0 * L, with_epilogue(c30, h, 3 * h_m + 0 * L, epilogue))
        store(C, 3 * C_m + 1 * L, with_epilogue(c31, h, 3 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 3 * C_m + 2 * L, with_epilogue(c32, h, 3 * h_m + 2 * L, epilogue))
    if rows > 4:
        store(C, 4 * C_m + 0 * L, with_epilogue(c40, h, 4 * h_m + 0 * L, epilogue))
        store(C, 4 * C_m + 1 * L, with_epilogue(c41, h, 4 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 4 * C_m + 2 * L, with_epilogue(c42, h, 4 * h_m + 2 * L, epilogue))
    if rows > 5:
        store(C, 5 * C_m + 0 * L, with_epilogue(c50, h, 5 * h_m + 0 * L, epilogue))
        store(C, 5 * C_m + 1 * L, with_epilogue(c51, h, 5 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 5 * C_m + 2 * L, with_epilogue(c52, h, 5 * h_m + 2 * L, epilogue))
    if rows > 6:
        store(C, 6 * C_m + 0 * L, with_epilogue(c60, h, 6 * h_m + 0 * L, epilogue))
        store(C, 6 * C_m + 1 * L, with_epilogue(c61, h, 6 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 6 * C_m + 2 * L, with_epilogue(c62, h, 6 * h_m + 2 * L, epilogue))
    if rows > 7:
        store(C, 7 * C_m + 0 * L, with_epilogue(c70, h, 7 * h_m + 0 * L, epilogue))
        store(C, 7 * C_m + 1 * L, with_epilogue(c71, h, 7 * h_m + 1 * L, epilogue))
        if NV > 2:
            store(C, 7 * C_m + 2 * L, with_epilogue(c72, h, 7 * h_m + 2 * L, epilogue))


cdef inline void tile_rows(Py_ssize_t rows, Py_ssize_t K, const vec* A, Py_ssize_t A_m,
                           Py_ssize_t A_k, const vec* panel, vec* C, Py_ssize_t C_m,
                           int start, const vec* bias, int epilogue, const vec* h,
                           Py_ssize_t h_m) noexcept nogil:
    """C[0:rows, 0:NR] for any number of rows."""
    # A tile of few rows leaves multiply-add units idle: 7 and 8 rows go as 4 + 3 and 4 + 4, not
    # as 6 + 1 and 6 + 2.
    while rows >= MR + 3 or rows == MR:
        tile(MR, K, A, A_m, A_k, panel, C, C_m, start, bias, epilogue, h, h_m)
        rows -= MR
        A, C, h = at(A, MR * A_m), at(C, MR * C_m), at(h, MR * h_m)
    while rows >= 4 and rows != 5:
        tile(4, K, A, A_m, A_k, panel, C, C_m, start, bias, epilogue, h, h_m)
        rows -= 4
        A, C, h = at(A, 4 * A_m), at(C, 4 * C_m), at(h, 4 * h_m)
    if rows >= 3:
        tile(3, K, A, A_m, A_k, panel, C, C_m, start, bias, epilogue, h, h_m)
        rows -= 3
        A, C, h = at(A, 3 * A_m), at(C, 3 * C_m), at(h, 3 * h_m)
    if rows == 2:
        tile(2, K, A, A_m, A_k, panel, C, C_m, start, bias, epilogue, h, h_m)
    elif rows == 1:
        tile(1, K, A, A_m, A_k, panel, C, C_m, start, bias, epilogue, h, h_m)


cdef inline void product(Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
                         const vec* A, Py_ssize_t A_m, Py_ssize_t A_k, const vec* panels,
                         vec* C, Py_ssize_t C_m, int start, const vec* bias,
                         int epilogue, const vec* h, Py_ssize_t h_m) noexcept nogil:
    """C (M, N), rows C_m apart, from A[m, k] at A + m * A_m + k * A_k and packed B (K, N)."""
    cdef Py_ssize_t NR = panel_columns(C)
    cdef Py_ssize_t p, n, q, m, k, columns, rows
    # A panel is used up in pieces that stay in L1 while the rows pass by.
    cdef Py_ssize_t depth = PANEL_BYTES // (NR * itemsize(C))
    # The last columns, where a panel is wider than C, pass through these.
    cdef vec[MR * NV] edge_C, edge_h
    cdef vec[NV] edge_bias
    for p in range(blocks(N, NR)):
        n = p * NR
        columns = N - n
        if columns >= NR:
            if K <= depth:
                tile_rows(M, K, A, A_m, A_k, panels, at(C, n), C_m, start, at(bias, n), epilogue,
                          at(h, n), h_m)
            else:
                tile_rows(M, depth, A, A_m, A_k, panels, at(C, n), C_m, start, at(bias, n), PLAIN,
                          bias, 0)
                k = depth
                while k + depth < K:
                    tile_rows(M, depth, at(A, k * A_k), A_m, A_k, at(panels, k * NR), at(C, n),
                              C_m, FROM_C, bias, PLAIN, bias, 0)
                    k += depth
                tile_rows(M, K - k, at(A, k * A_k), A_m, A_k, at(panels, k * NR), at(C, n), C_m,
                          FROM_C, bias, epilogue, at(h, n), h_m)
            panels = at(panels, K * NR)
            continue
        memset(edge_C, 0, sizeof(edge_C))
        memset(edge_h, 0, sizeof(edge_h))
        memset(edge_bias, 0, sizeof(edge_bias))
        if start == FROM_BIAS:
            copy_scalars(<vec*> edge_bias, 1, at(bias, n), 1, columns)
        for q in range(blocks(M, MR)):
            m = q * MR
            rows = min(MR, M - m)
            if start == FROM_C:
                for k in range(rows):
                    copy_scalars(at(<vec*> edge_C, k * NR), 1, at(C, (m + k) * C_m + n), 1, columns)
            if epilogue == TANH_GRADIENT:
                for k in range(rows):
                    copy_scalars(at(<vec*> edge_h, k * NR), 1, at(h, (m + k) * h_m + n), 1, columns)
            tile_rows(rows, K, at(A, m * A_m), A_m, A_k, panels, <vec*> edge_C, NR, start,
                      <vec*> edge_bias, epilogue, <vec*> edge_h, NR)
            for k in range(rows):
                copy_scalars(at(C, (m + k) * C_m + n), 1, at(<vec*> edge_C, k * NR), 1, columns)
