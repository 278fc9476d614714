# One register tile serves every matrix product of the package:
#
#     C[m, n] = epilogue(start[m, n] + sum_k A[m, k] B[k, n])
#
# B is read from panels (`pack`): NV registers of columns wide, the last one as wide as it needs to
# be, K rows deep, aligned to 64 bytes and padded with zeros to whole registers, made once per call
# and read once per tile row. A may have any strides, so a transposed operand needs no copy. `start`
# is rows of their own, C itself, or one row for all (rows 0 apart): a bias. A tile holds up to MR
# rows of C in registers over the whole sum; its accumulators are named one by one because the C
# compiler keeps names in registers and spills arrays. `rows` and `nv` are literals wherever `tile`
# is called and all of it is inlined there, so each call is straight code of its own.
#
# Panels and the tile follow BLIS (Van Zee and van de Geijn 2015, ACM TOMS 41, 14), whose names MR
# and NR they keep.

cdef enum:
    # what becomes of a sum
    PLAIN
    TANH            # C = tanh(sum)
    RELU            # C = max(sum, 0)
    TANH_GRADIENT   # C = sum * (1 - h^2), with the rows of h h_m apart
    RELU_GRADIENT   # C = sum where h > 0, else 0

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
    mine.first, mine.last = 0, n
    if team.count > 1:
        mine.first = min(n, blocks(n, unit) * team.index // team.count * unit)
        mine.last = min(n, blocks(n, unit) * (team.index + 1) // team.count * unit)
    return mine


cdef inline Py_ssize_t padded(const vec* dtype, Py_ssize_t N) noexcept nogil:
    """N rounded up to whole registers."""
    return blocks(N, lanes(dtype)) * lanes(dtype)


cdef inline Py_ssize_t packed_size(const vec* dtype, Py_ssize_t K, Py_ssize_t N) noexcept nogil:
    """Scalars that a packed (K, N) matrix takes; a multiple of the alignment."""
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype)
    return blocks(K * padded(dtype, N), unit) * unit


cdef inline vec* aligned(const vec* p) noexcept nogil:
    return <vec*> ((<size_t> p + (PANEL_ALIGNMENT - 1)) & ~<size_t> (PANEL_ALIGNMENT - 1))


cdef void pack(vec* panels, const vec* B, Py_ssize_t B_k, Py_ssize_t B_n, Py_ssize_t K,
               Py_ssize_t N, Team team) noexcept nogil:
    """Lay B[k, n], which stands at B + k * B_k + n * B_n, out in panels: this member's share."""
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


cdef inline vec load_some(const vec* p, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """The n scalars from p[offset] on: a register full or less."""
    return load(p, offset) if n == lanes(p) else load_first(p, offset, n)


cdef inline void store_some(vec* p, Py_ssize_t offset, Py_ssize_t n, vec value) noexcept nogil:
    if n == lanes(p):
        store(p, offset, value)
    else:
        store_first(p, offset, n, value)


cdef inline void tile(int rows, int nv, Py_ssize_t last, Py_ssize_t K, const vec* A, Py_ssize_t A_m,
                      Py_ssize_t A_k, const vec* panel, const vec* start, Py_ssize_t start_m,
                      vec* C, Py_ssize_t C_m) noexcept nogil:
    """`rows` rows of `nv` registers, of whose last one `last` lanes belong to C."""
    cdef Py_ssize_t L = lanes(C), k
    cdef vec a, b0, b1, b2
    cdef vec c00, c01, c02
    cdef vec c10, c11, c12
    cdef vec c20, c21, c22
    cdef vec c30, c31, c32
    cdef vec c40, c41, c42
    cdef vec c50, c51, c52
    cdef vec c60, c61, c62
    cdef vec c70, c71, c72
    c00 = load_some(start, 0 * start_m + 0 * L, last if nv == 1 else L)
    if nv > 1:
        c01 = load_some(start, 0 * start_m + 1 * L, last if nv == 2 else L)
    if nv > 2:
        c02 = load_some(start, 0 * start_m + 2 * L, last)
    if rows > 1:
        c10 = load_some(start, 1 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c11 = load_some(start, 1 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c12 = load_some(start, 1 * start_m + 2 * L, last)
    if rows > 2:
        c20 = load_some(start, 2 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c21 = load_some(start, 2 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c22 = load_some(start, 2 * start_m + 2 * L, last)
    if rows > 3:
        c30 = load_some(start, 3 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c31 = load_some(start, 3 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c32 = load_some(start, 3 * start_m + 2 * L, last)
    if rows > 4:
        c40 = load_some(start, 4 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c41 = load_some(start, 4 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c42 = load_some(start, 4 * start_m + 2 * L, last)
    if rows > 5:
        c50 = load_some(start, 5 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c51 = load_some(start, 5 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c52 = load_some(start, 5 * start_m + 2 * L, last)
    if rows > 6:
        c60 = load_some(start, 6 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c61 = load_some(start, 6 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c62 = load_some(start, 6 * start_m + 2 * L, last)
    if rows > 7:
        c70 = load_some(start, 7 * start_m + 0 * L, last if nv == 1 else L)
        if nv > 1:
            c71 = load_some(start, 7 * start_m + 1 * L, last if nv == 2 else L)
        if nv > 2:
            c72 = load_some(start, 7 * start_m + 2 * L, last)
    for k in range(K):
        b0 = load(panel, k * nv * L)
        if nv > 1:
            b1 = load(panel, k * nv * L + L)
        if nv > 2:
            b2 = load(panel, k * nv * L + 2 * L)
        a = broadcast(A, 0 * A_m + k * A_k)
        c00 = c00 + a * b0
        if nv > 1:
            c01 = c01 + a * b1
        if nv > 2:
            c02 = c02 + a * b2
        if rows > 1:
            a = broadcast(A, 1 * A_m + k * A_k)
            c10 = c10 + a * b0
            if nv > 1:
                c11 = c11 + a * b1
            if nv > 2:
                c12 = c12 + a * b2
        if rows > 2:
            a = broadcast(A, 2 * A_m + k * A_k)
            c20 = c20 + a * b0
            if nv > 1:
                c21 = c21 + a * b1
            if nv > 2:
                c22 = c22 + a * b2
        if rows > 3:
            a = broadcast(A, 3 * A_m + k * A_k)
            c30 = c30 + a * b0
            if nv > 1:
                c31 = c31 + a * b1
            if nv > 2:
                c32 = c32 + a * b2
        if rows > 4:
            a = broadcast(A, 4 * A_m + k * A_k)
            c40 = c40 + a * b0
            if nv > 1:
                c41 = c41 + a * b1
            if nv > 2:
                c42 = c42 + a * b2
        if rows > 5:
            a = broadcast(A, 5 * A_m + k * A_k)
            c50 = c50 + a * b0
            if nv > 1:
                c51 = c51 + a * b1
            if nv > 2:
                c52 = c52 + a * b2
        if rows > 6:
            a = broadcast(A, 6 * A_m + k * A_k)
            c60 = c60 + a * b0
            if nv > 1:
                c61 = c61 + a * b1
            if nv > 2:
                c62 = c62 + a * b2
        if rows > 7:
            a = broadcast(A, 7 * A_m + k * A_k)
            c70 = c70 + a * b0
            if nv > 1:
                c71 = c71 + a * b1
            if nv > 2:
                c72 = c72 + a * b2
    store_some(C, 0 * C_m + 0 * L, last if nv == 1 else L, c00)
    if nv > 1:
        store_some(C, 0 * C_m + 1 * L, last if nv == 2 else L, c01)
    if nv > 2:
        store_some(C, 0 * C_m + 2 * L, last, c02)
    if rows > 1:
        store_some(C, 1 * C_m + 0 * L, last if nv == 1 else L, c10)
        if nv > 1:
            store_some(C, 1 * C_m + 1 * L, last if nv == 2 else L, c11)
        if nv > 2:
            store_some(C, 1 * C_m + 2 * L, last, c12)
    if rows > 2:
        store_some(C, 2 * C_m + 0 * L, last if nv == 1 else L, c20)
        if nv > 1:
            store_some(C, 2 * C_m + 1 * L, last if nv == 2 else L, c21)
        if nv > 2:
            store_some(C, 2 * C_m + 2 * L, last, c22)
    if rows > 3:
        store_some(C, 3 * C_m + 0 * L, last if nv == 1 else L, c30)
        if nv > 1:
            store_some(C, 3 * C_m + 1 * L, last if nv == 2 else L, c31)
        if nv > 2:
            store_some(C, 3 * C_m + 2 * L, last, c32)
    if rows > 4:
        store_some(C, 4 * C_m + 0 * L, last if nv == 1 else L, c40)
        if nv > 1:
            store_some(C, 4 * C_m + 1 * L, last if nv == 2 else L, c41)
        if nv > 2:
            store_some(C, 4 * C_m + 2 * L, last, c42)
    if rows > 5:
        store_some(C, 5 * C_m + 0 * L, last if nv == 1 else L, c50)
        if nv > 1:
            store_some(C, 5 * C_m + 1 * L, last if nv == 2 else L, c51)
        if nv > 2:
            store_some(C, 5 * C_m + 2 * L, last, c52)
    if rows > 6:
        store_some(C, 6 * C_m + 0 * L, last if nv == 1 else L, c60)
        if nv > 1:
            store_some(C, 6 * C_m + 1 * L, last if nv == 2 else L, c61)
        if nv > 2:
            store_some(C, 6 * C_m + 2 * L, last, c62)
    if rows > 7:
        store_some(C, 7 * C_m + 0 * L, last if nv == 1 else L, c70)
        if nv > 1:
            store_some(C, 7 * C_m + 1 * L, last if nv == 2 else L, c71)
        if nv > 2:
            store_some(C, 7 * C_m + 2 * L, last, c72)


cdef inline void tile_rows(Py_ssize_t rows, int nv, Py_ssize_t last, Py_ssize_t K, const vec* A,
                           Py_ssize_t A_m, Py_ssize_t A_k, const vec* panel, const vec* start,
                           Py_ssize_t start_m, vec* C, Py_ssize_t C_m) noexcept nogil:
    """Any number of rows of a panel."""
    # A tile of few rows leaves multiply-add units idle: 7 and 8 rows go as 4 + 3 and 4 + 4, not
    # as 6 + 1 and 6 + 2.
    while rows >= MR + 3 or rows == MR:
        tile(MR, nv, last, K, A, A_m, A_k, panel, start, start_m, C, C_m)
        rows -= MR
        A, C, start = at(A, MR * A_m), at(C, MR * C_m), at(start, MR * start_m)
    while rows >= 4 and rows != 5:
        tile(4, nv, last, K, A, A_m, A_k, panel, start, start_m, C, C_m)
        rows -= 4
        A, C, start = at(A, 4 * A_m), at(C, 4 * C_m), at(start, 4 * start_m)
    if rows >= 3:
        tile(3, nv, last, K, A, A_m, A_k, panel, start, start_m, C, C_m)
        rows -= 3
        A, C, start = at(A, 3 * A_m), at(C, 3 * C_m), at(start, 3 * start_m)
    if rows == 2:
        tile(2, nv, last, K, A, A_m, A_k, panel, start, start_m, C, C_m)
    elif rows == 1:
        tile(1, nv, last, K, A, A_m, A_k, panel, start, start_m, C, C_m)


cdef inline vec with_epilogue(vec sum, vec h, int epilogue) noexcept nogil:
    if epilogue == TANH:
        return vector_tanh(sum)
    if epilogue == TANH_GRADIENT:
        return sum * (splat(&h, 1) - h * h)
    if epilogue == RELU:
        return vector_relu(sum)
    if epilogue == RELU_GRADIENT:
        return through_relu(sum, h)
    return sum


cdef inline bint reads_states(int epilogue) noexcept nogil:
    return epilogue == TANH_GRADIENT or epilogue == RELU_GRADIENT


cdef inline vec ended(vec sum, const vec* h, Py_ssize_t offset, int epilogue) noexcept nogil:
    return with_epilogue(sum, load(h, offset) if reads_states(epilogue) else sum, epilogue)


cdef inline vec ended_first(vec sum, const vec* h, Py_ssize_t offset, Py_ssize_t n,
                            int epilogue) noexcept nogil:
    """The same of the first n lanes."""
    return with_epilogue(sum, load_first(h, offset, n) if reads_states(epilogue) else sum, epilogue)


cdef inline void finish_rows(int epilogue, Py_ssize_t M, Py_ssize_t columns, vec* C,
                             Py_ssize_t C_m, const vec* h, Py_ssize_t h_m) noexcept nogil:
    cdef Py_ssize_t L = lanes(C), m, n, i
    cdef Py_ssize_t whole = columns // L, part = columns % L
    cdef vec sum
    for m in range(M):
        for i in range(whole):
            n = i * L
            sum = load(C, m * C_m + n)
            store(C, m * C_m + n, ended(sum, h, m * h_m + n, epilogue))
        n = whole * L
        if part:
            sum = load_first(C, m * C_m + n, part)
            store_first(C, m * C_m + n, part, ended_first(sum, h, m * h_m + n, part, epilogue))


cdef void finish(int epilogue, Py_ssize_t M, Py_ssize_t columns, vec* C, Py_ssize_t C_m,
                 const vec* h, Py_ssize_t h_m) noexcept nogil:
    """The epilogue of sums that stand in C and in L1."""
    # A literal in each call: the loops then hold no branch.
    if epilogue == TANH:
        finish_rows(TANH, M, columns, C, C_m, h, h_m)
    elif epilogue == TANH_GRADIENT:
        finish_rows(TANH_GRADIENT, M, columns, C, C_m, h, h_m)
    elif epilogue == RELU:
        finish_rows(RELU, M, columns, C, C_m, h, h_m)
    else:
        finish_rows(RELU_GRADIENT, M, columns, C, C_m, h, h_m)


cdef void product(Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const vec* A, Py_ssize_t A_m,
                  Py_ssize_t A_k, const vec* panels, const vec* start, Py_ssize_t start_m,
                  vec* C, Py_ssize_t C_m, int epilogue, const vec* h,
                  Py_ssize_t h_m) noexcept nogil:
    """C (M, N), rows C_m apart, from A[m, k] at A + m * A_m + k * A_k and packed B (K, N).

    The sums start from the rows of `start`, or from zero where it is NULL.
    """
    cdef Py_ssize_t L = lanes(C), NR = panel_columns(C)
    cdef Py_ssize_t p, n, k, q, columns, width, last, piece, from_m
    cdef const vec* a
    cdef const vec* panel
    cdef const vec* source
    # A panel is used up in pieces that stay in L1 while the rows pass by.
    cdef Py_ssize_t depth = PANEL_BYTES // (NR * itemsize(C))
    cdef vec[NV] zeros
    if start == NULL:
        memset(zeros, 0, sizeof(zeros))
    for p in range(blocks(N, NR)):
        n = p * NR
        columns = min(NR, N - n)
        width = padded(C, columns)
        last = columns - (width - L)
        source, from_m = <vec*> zeros, 0
        if start != NULL:
            source, from_m = at(start, n), start_m
        for q in range(blocks(K, depth)):
            k = q * depth
            piece = min(depth, K - k)
            a, panel = at(A, k * A_k), at(panels, n * K + k * width)
            if width == NR:
                tile_rows(M, NV, last, piece, a, A_m, A_k, panel, source, from_m, at(C, n), C_m)
            elif NV > 2 and width == 2 * L:
                tile_rows(M, 2, last, piece, a, A_m, A_k, panel, source, from_m, at(C, n), C_m)
            else:
                tile_rows(M, 1, last, piece, a, A_m, A_k, panel, source, from_m, at(C, n), C_m)
            source, from_m = at(C, n), C_m
        if epilogue != PLAIN:
            finish(epilogue, M, columns, at(C, n), C_m, at(h, n), h_m)
