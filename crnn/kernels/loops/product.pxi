# The matrix product of several rows, with an epilogue; row.pxi.in has that of one row.
#
#     C[m, n] = epilogue(start[m, n] + sum_k A[m, k] B[k, n])
#
# B is read from panels (`pack`). A panel is K rows of NV registers of columns, the last panel of
# fewer where fewer hold its columns. It is aligned to 64 bytes and padded with zeros to whole
# registers. Each row of tiles (tile.pxi.in) reads all panels. A may have any strides, so a
# transposed operand needs no copy. `start` is rows of their own, C itself, or one row for all (rows
# 0 apart): a bias.
#
# Panels and tiles follow BLIS (Van Zee and van de Geijn 2015, ACM TOMS 41, 14). The names MR and NR
# are from there.

cdef enum:
    # What becomes of a sum
    IDENTITY        # C = sum
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


cdef inline void finish_rows(int epilogue, Py_ssize_t M, Py_ssize_t columns, vec* C,
                             Py_ssize_t C_m, const vec* h, Py_ssize_t h_m) noexcept nogil:
    cdef Py_ssize_t L = lanes(C), m, n, i, part
    cdef vec sum
    for m in range(M):
        for i in range(blocks(columns, L)):
            n = i * L
            part = min(L, columns - n)
            sum = load_some(C, m * C_m + n, part)
            store_some(C, m * C_m + n, part, finished(sum, h, m * h_m + n, part, epilogue))


cdef void finish(int epilogue, Py_ssize_t M, Py_ssize_t columns, vec* C, Py_ssize_t C_m,
                 const vec* h, Py_ssize_t h_m) noexcept nogil:
    """The epilogue of sums that are in C and in L1."""
    # A literal in each call, so that the loops are compiled without a branch for each epilogue.
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
            # A literal number of registers in each call: see `tile`.
            if width == NR:
                tile_rows(M, NV, last, piece, a, A_m, A_k, panel, source, from_m, at(C, n), C_m)
            elif NV > 2 and width == 2 * L:
                tile_rows(M, 2, last, piece, a, A_m, A_k, panel, source, from_m, at(C, n), C_m)
            else:
                tile_rows(M, 1, last, piece, a, A_m, A_k, panel, source, from_m, at(C, n), C_m)
            source, from_m = at(C, n), C_m
        if epilogue != IDENTITY:
            finish(epilogue, M, columns, at(C, n), C_m, at(h, n), h_m)
