# Sums over the steps of all sequences: weight gradients and bias gradients.

cdef enum:
    # A weight gradient sums over steps, which are packed in groups. In at most these bytes a group
    # stays in L2.
    PACKED_BYTES = 1 << 17
    # A group has at least this many steps, even in more bytes. Each group reads and writes the
    # gradient once, and this many additions outweigh that.
    PACKED_STEPS = 256
    # A member's share of a weight gradient is taken in at most so many pieces, by itself or by a
    # member that has finished its own.
    PIECES = 4
    # A piece by rows has at least so many: each packs all steps.
    PIECE_ROWS = 48


cdef struct Chunks:
    # The steps from `first` to before `last`, in chunks of at most `size` from the last one on. The
    # gradients of chunk 0 come first in memory, those of a chunk without gaps; the other arrays are
    # those of all steps.
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t size
    Py_ssize_t apart    # steps of all sequences from one chunk's gradients to the next one's
    Py_ssize_t row      # the number of the Call's first sequence among those of the gradients


cdef inline Chunks one_chunk(Py_ssize_t T) noexcept nogil:
    cdef Chunks chunks
    chunks.first, chunks.last, chunks.size, chunks.apart, chunks.row = 0, T, T, 0, 0
    return chunks


cdef inline Share steps_of_chunk(Chunks chunks, Py_ssize_t k) noexcept nogil:
    cdef Share steps
    steps.last = chunks.last - k * chunks.size
    steps.first = max(chunks.first, steps.last - chunks.size)
    return steps


cdef inline Py_ssize_t count_of(Chunks chunks) noexcept nogil:
    return blocks(chunks.last - chunks.first, chunks.size)


cdef inline vec* gradients_of_chunk(const vec* dtype, Sequences da, Chunks chunks,
                                    Py_ssize_t k) noexcept nogil:
    """Chunk k's gradients of the Call's first sequence."""
    cdef Share steps = steps_of_chunk(chunks, k)
    return at(<const vec*> da.data,
              (k * chunks.apart + chunks.row * (steps.last - steps.first)) * da.per_step)


cdef inline Py_ssize_t steps_size(const vec* dtype, Sizes s) noexcept nogil:
    """Scalars for the steps that the members of a team pack at a time.

    A step takes whole cache lines, so that each member's part is large enough for one step where
    there are no more members than steps.
    """
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(dtype)
    cdef Py_ssize_t width = blocks(padded(dtype, max(s.I, s.H)), unit) * unit
    return unit * blocks(min(s.B * s.T * width, max(PACKED_BYTES // itemsize(dtype),
                                                    PACKED_STEPS * width)), unit)


cdef inline const vec* or_start(const Call* of_states, const vec* row, Py_ssize_t b, Py_ssize_t t,
                                Py_ssize_t n) noexcept nogil:
    """Features from the n-th on of the state that step t of sequence b starts from."""
    if of_states != NULL and restarts(of_states, b, t):
        return at(<const vec*> of_states.start, n)
    return row


cdef void pack_steps(vec* panels, Sequences s, Py_ssize_t T, Py_ssize_t first, Py_ssize_t K,
                     Share features, const Call* of_states, Py_ssize_t b) noexcept nogil:
    """Pack K steps, of all B * T those from `first` on, as the rows of a (K, features) matrix.

    `of_states`: not NULL for states h_{t-1} of sequences that may restart, of which b is the first.
    """
    cdef Py_ssize_t NR = panel_columns(panels), N = features.last - features.first
    cdef Py_ssize_t L = lanes(panels), p, n, k, t, i, columns, width
    cdef Py_ssize_t sequence
    cdef vec* panel
    cdef const vec* row
    cdef const vec* start
    for p in range(blocks(N, NR)):
        n = p * NR
        columns = min(NR, N - n)
        width = padded(panels, columns)
        t, sequence = first % T, b + first // T
        row = at(step_of(panels, s, first // T, t), features.first + n)
        panel = at(panels, n * K)
        for k in range(K):
            start = or_start(of_states, row, sequence, t, features.first + n)
            for i in range(blocks(columns, L)):
                store(panel, i * L, load_some(start, i * L, min(L, columns - i * L)))
            panel = at(panel, width)
            t += 1
            row = at(row, s.per_step)
            if t == T:
                t, sequence = 0, sequence + 1
                row = at(row, s.per_sequence - T * s.per_step)


cdef inline Sequences steps_alone(Sequences s, const vec* dtype, Py_ssize_t b,
                                  Py_ssize_t n) noexcept nogil:
    """One sequence's features from the n-th on."""
    s.data = at(step_of(dtype, s, b, 0), n)
    s.offsets = NULL
    return s


cdef void add_products_of_steps(vec* dW, Py_ssize_t N, Share rows, Share columns, Py_ssize_t B,
                                Py_ssize_t T, Sequences da, Sequences x, const Call* of_states,
                                Py_ssize_t b, vec* panels, Py_ssize_t size,
                                Team team) noexcept nogil:
    """These elements of dW (M, N) += sum over B * T steps of da_t x_t^T, da without gaps.

    `of_states` and b as in `pack_steps`.
    """
    cdef Py_ssize_t width = padded(panels, columns.last - columns.first)
    cdef Py_ssize_t most = max(1, min(size // width, B * T)), group, first, K
    cdef Rows at_dW = rows_of(at(dW, rows.first * N + columns.first), N)
    for group in range(blocks(B * T, most)):
        if is_stopped(team):
            return
        first = group * most
        K = min(most, B * T - first)
        pack_steps(panels, x, T, first, K, columns, of_states, b)
        product(rows.last - rows.first, columns.last - columns.first, K,
                rows_of(at(<const vec*> da.data, first * da.per_step + rows.first), 1),
                da.per_step, panels, at_dW, at_dW)
        did_work(team, <double> K * (rows.last - rows.first) * (columns.last - columns.first))


cdef inline Share piece_of(Share whole, Py_ssize_t unit, int piece, int pieces) noexcept nogil:
    """A piece of a member's share, in whole units."""
    cdef Py_ssize_t units = blocks(whole.last - whole.first, unit), first = whole.first
    cdef Share mine
    mine.first = min(whole.last, first + units * piece // pieces * unit)
    mine.last = min(whole.last, first + units * (piece + 1) // pieces * unit)
    return mine


cdef void add_outer_product(vec* dW, Py_ssize_t N, Share rows, Share columns, Call* c,
                            Chunks chunks, Sequences da, Py_ssize_t block, Sequences x,
                            vec* panels, Py_ssize_t size, Team team) noexcept nogil:
    """These elements of dW, as `add_outer_products` says."""
    cdef Py_ssize_t B = c.sizes.B, k, row, b
    cdef Sequences of_chunk = x, da_of_chunk = da
    cdef const Call* of_states = NULL
    cdef Share steps
    if c.resets.data != NULL and x.data == c.h.data:
        of_states = c
    if c.lengths == NULL:
        for k in range(count_of(chunks)):
            steps = steps_of_chunk(chunks, k)
            of_chunk.data = step_of(panels, x, 0, steps.first)
            da_of_chunk.data = at(gradients_of_chunk(panels, da, chunks, k), block)
            add_products_of_steps(dW, N, rows, columns, B, steps.last - steps.first, da_of_chunk,
                                  of_chunk, of_states, 0, panels, size, team)
        return
    for row in range(B):
        b = c.places[row]
        add_products_of_steps(dW, N, rows, columns, 1, c.lengths[b],
                              steps_alone(da, panels, b, block), steps_alone(x, panels, b, 0),
                              of_states, b, panels, size, team)


cdef void add_outer_products(vec* dW, Py_ssize_t M, Py_ssize_t N, Call* c, Chunks chunks,
                             Sequences da, Py_ssize_t block, Sequences x, vec* panels,
                             Py_ssize_t size, Team team) noexcept nogil:
    """dW (M, N) += sum over these steps of da_t x_t^T, with the M numbers of da from `block` on.

    Members share the elements of dW, never the sum of one, so the order of its additions does not
    depend on them: it is that of the caller's sequences. Each packs what it reads in its own part
    of the `size` scalars of `panels`, so none waits for another. One that has finished its share
    takes pieces of the others'.
    """
    cdef Py_ssize_t unit = PANEL_ALIGNMENT // itemsize(panels), NR = panel_columns(panels), part
    cdef bint by_columns
    cdef int pieces = PIECES, piece = 0, k
    cdef Team owner = team
    cdef Share rows, columns
    # A part has room for one step of all that there are, so no more members than steps.
    owner.count = <int> min(team.count, c.sizes.B * c.sizes.T)
    part = size // owner.count // unit * unit
    panels = at(panels, team.index * part)
    by_columns = blocks(N, NR) >= 2 * owner.count
    if not by_columns:
        pieces = <int> max(1, min(PIECES, M // owner.count // PIECE_ROWS))
    rows.first, rows.last, columns.first, columns.last = 0, M, 0, N
    if team.count == 1:
        add_outer_product(dW, N, rows, columns, c, chunks, da, block, x, panels, part, team)
        return
    for k in range(owner.count if team.index < owner.count else 0):
        owner.index = (team.index + k) % owner.count
        piece = claim_piece(team, owner.index, pieces)
        while piece >= 0:
            if by_columns:
                columns = piece_of(share(owner, N, NR), NR, piece, pieces)
            else:
                rows = piece_of(share(owner, M, MR), MR, piece, pieces)
            if rows.first < rows.last and columns.first < columns.last:
                add_outer_product(dW, N, rows, columns, c, chunks, da, block, x, panels, part, team)
            piece = claim_piece(team, owner.index, pieces)
    finish_job(team, pieces)


cdef void add_rows_of(vec* db, const vec* da, Py_ssize_t da_m, Py_ssize_t rows,
                      Share mine) noexcept nogil:
    """These elements of db += the sum of rows of da, da_m apart."""
    cdef Py_ssize_t L = lanes(da), n = mine.first, row, part
    cdef vec s0, s1, s2, s3
    # Four registers side by side: each sum is a chain of additions that wait for one another.
    while n + 4 * L <= mine.last:
        s0, s1, s2, s3 = load(db, n), load(db, n + L), load(db, n + 2 * L), load(db, n + 3 * L)
        for row in range(rows):
            s0 = s0 + load(da, row * da_m + n)
            s1 = s1 + load(da, row * da_m + n + L)
            s2 = s2 + load(da, row * da_m + n + 2 * L)
            s3 = s3 + load(da, row * da_m + n + 3 * L)
        store(db, n, s0)
        store(db, n + L, s1)
        store(db, n + 2 * L, s2)
        store(db, n + 3 * L, s3)
        n += 4 * L
    while n < mine.last:
        part = min(L, mine.last - n)
        s0 = load_some(db, n, part)
        for row in range(rows):
            s0 = s0 + load_some(da, row * da_m + n, part)
        store_some(db, n, part, s0)
        n += L


cdef void add_rows(vec* db, Call* c, Chunks chunks, Sequences da, Py_ssize_t N,
                   Team team) noexcept nogil:
    """db (N,) += the sum of da over these steps."""
    cdef Share mine = share(team, N, lanes(db)), steps
    cdef Py_ssize_t k, row, b
    if c.lengths == NULL:
        for k in range(count_of(chunks)):
            steps = steps_of_chunk(chunks, k)
            add_rows_of(db, gradients_of_chunk(db, da, chunks, k), da.per_step,
                        c.sizes.B * (steps.last - steps.first), mine)
        return
    for row in range(c.sizes.B):
        b = c.places[row]
        add_rows_of(db, step_of(db, da, b, 0), da.per_step, c.lengths[b], mine)
