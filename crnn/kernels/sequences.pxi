# Products that run over the steps of many sequences at once.

cdef enum:
    # Rows of a weight gradient's sum that are packed at a time: 256 rows of 64 float32 columns
    # are 64 KB and stay in L2 together with the rows of da they meet.
    ROWS_PACKED = 256


cdef inline vec* step_of(const vec* dtype, Sequences s, Py_ssize_t b, Py_ssize_t t) noexcept nogil:
    """The features of step t of sequence b."""
    return at(<const vec*> s.data, b * s.per_sequence + t * s.per_step)


cdef void pack_steps(vec* panels, Sequences s, Py_ssize_t T, Py_ssize_t first, Py_ssize_t K,
                     Py_ssize_t N) noexcept nogil:
    """Pack K steps as the rows of a (K, N) matrix, from number `first` of all B * T on."""
    cdef Py_ssize_t NR = panel_columns(panels)
    cdef Py_ssize_t p, n, k, v, t, columns
    cdef const vec* row
    for p in range(blocks(N, NR)):
        n = p * NR
        columns = min(NR, N - n)
        t = first % T
        row = step_of(panels, s, first // T, t)
        for k in range(K):
            if columns < NR:
                for v in range(NV):
                    store(panels, v * lanes(panels), splat(panels, 0))
            copy_scalars(panels, 1, at(row, n), 1, columns)
            panels = at(panels, NR)
            t += 1
            row = at(row, s.per_step)
            if t == T:
                t = 0
                row = at(row, s.per_sequence - T * s.per_step)


cdef void add_outer_products(vec* dW, Py_ssize_t M, Py_ssize_t N, Py_ssize_t B, Py_ssize_t T,
                             const vec* da, Sequences x, vec* panels) noexcept nogil:
    """dW (M, N) += sum over all steps of da_t x_t^T; da is (B, T, M), contiguous."""
    cdef Py_ssize_t block, first, K
    for block in range(blocks(B * T, ROWS_PACKED)):
        first = block * ROWS_PACKED
        K = min(ROWS_PACKED, B * T - first)
        pack_steps(panels, x, T, first, K, N)
        product(M, N, K, at(da, first * M), 1, M, panels, dW, N, FROM_C, dW, PLAIN, dW, 0)


cdef void add_rows(vec* db, const vec* da, Py_ssize_t rows, Py_ssize_t N) noexcept nogil:
    """db (N,) += the sum of the rows of da (rows, N), contiguous."""
    cdef Py_ssize_t row, n
    for row in range(rows):
        for n in range(N):
            if vec is vec_f32:
                (<float*> db)[n] += (<const float*> da)[row * N + n]
            else:
                (<double*> db)[n] += (<const double*> da)[row * N + n]
