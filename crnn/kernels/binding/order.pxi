# The order of the sequences of a call: with lengths, the loops count them from the longest to the
# shortest, so that each step works on the first of them. No array moves: each has offsets that say
# where its sequences are. They lie in the workspace, after the memory of the loops.

cdef enum:
    # The arrays of a call that have offsets: at most x, h, gates, dx, dh, da and resets
    ORDERED_ARRAYS = 7


cdef struct Order:
    Sizes sizes
    Py_ssize_t itemsize
    Py_ssize_t* lengths     # as Call.lengths; NULL: all sequences have T steps, in their own order
    Py_ssize_t* places      # as Call.places
    Py_ssize_t* unused      # room for the offsets of further arrays
    char* states            # (B, S) of scalars, then S zeros
    char* start_gradients   # (B, S)
    char* kept              # room for `restarts.pxi`: (B, S), then (B, da_blocks * H)


cdef inline Py_ssize_t order_size(int dtype, Sizes s) noexcept nogil:
    """Scalars that an order takes, with the slack to align them."""
    cdef Py_ssize_t numbers = (2 + ORDERED_ARRAYS) * s.B + s.T + 1
    cdef Py_ssize_t bytes_of_numbers = (numbers + 1) * <Py_ssize_t> sizeof(Py_ssize_t)
    cdef Py_ssize_t blocks_of_sequence = 3 * s.cell.state_blocks + s.cell.da_blocks
    return (bytes_of_numbers // itemsize(dtype)
            + (s.B * blocks_of_sequence + s.cell.state_blocks) * s.H)


cdef inline Py_ssize_t layer_size(int dtype, Sizes s) noexcept nogil:
    """Scalars of workspace of a recurrent layer's call."""
    return table(dtype).layer_workspace_size(NULL, s) + order_size(dtype, s)


cdef inline Py_ssize_t predict_size(int dtype, Sizes s) noexcept nogil:
    """Scalars of workspace of a prediction."""
    return table(dtype).predict_workspace_size(NULL, s) + order_size(dtype, s)


cdef inline Py_ssize_t output_size(int dtype, Sizes s) noexcept nogil:
    """Scalars of workspace of an output layer's call."""
    return table(dtype).output_workspace_size(NULL, s) + order_size(dtype, s)


cdef inline Py_ssize_t state_bytes(const Order* order) noexcept nogil:
    return order.sizes.cell.state_blocks * order.sizes.H * order.itemsize


cdef inline Order order_of(Call* c, int dtype, const Py_ssize_t* lengths,
                           Py_ssize_t first) noexcept nogil:
    """The order of the caller's `lengths`, from scalar `first` of the workspace on."""
    cdef Order order
    cdef Sizes s = c.sizes
    cdef Py_ssize_t unit = sizeof(Py_ssize_t), b, n, count, place = 0
    cdef size_t start = <size_t> c.workspace + first * itemsize(dtype)
    cdef Py_ssize_t* counts
    order.sizes, order.itemsize = s, itemsize(dtype)
    order.lengths = <Py_ssize_t*> ((start + unit - 1) // unit * unit)
    order.places = order.lengths + s.B
    order.unused = order.places + s.B
    counts = order.unused + ORDERED_ARRAYS * s.B
    order.states = <char*> (counts + s.T + 1)
    order.start_gradients = order.states + (s.B + 1) * state_bytes(&order)
    order.kept = order.start_gradients + s.B * state_bytes(&order)
    if lengths == NULL:
        order.lengths = order.places = NULL
        return order
    # By counting, which keeps the order of equal lengths
    memset(counts, 0, (s.T + 1) * unit)
    for b in range(s.B):
        counts[lengths[b]] += 1
    for n in range(s.T, -1, -1):
        count, counts[n] = counts[n], place
        place += count
    for b in range(s.B):
        n = lengths[b]
        order.places[b] = counts[n]
        order.lengths[counts[n]] = n
        counts[n] += 1
    c.lengths, c.places = order.lengths, order.places
    return order


cdef inline void put_in_order(Sequences* a, Order* order, bint reverse) noexcept nogil:
    """Count its sequences in this order and, in reverse, their steps from the last on."""
    cdef Py_ssize_t T = order.sizes.T, b, place
    cdef Py_ssize_t* offsets = order.unused
    cdef Py_ssize_t per_step = a.per_step
    if a.data == NULL:
        return
    if reverse:
        a.per_step = -per_step
    if order.lengths == NULL:
        if reverse:
            a.data = <char*> a.data + (T - 1) * per_step * order.itemsize
        return
    for b in range(order.sizes.B):
        place = order.places[b]
        offsets[place] = b * a.per_sequence
        if reverse:
            offsets[place] += (order.lengths[place] - 1) * per_step
    a.offsets, order.unused = offsets, offsets + order.sizes.B


cdef inline void put_steps_together(Sequences* a, Order* order) noexcept nogil:
    """Let the steps of a contiguous array's sequences follow one another in the caller's order."""
    cdef Py_ssize_t b, place, start = 0
    if order.lengths == NULL:
        return
    for b in range(order.sizes.B):
        place = order.places[b]
        order.unused[place] = start
        start += order.lengths[place] * a.per_step
    a.offsets, order.unused = order.unused, order.unused + order.sizes.B


cdef inline void* zeros_in(const Order* order) noexcept nogil:
    """S zeros, which serve as every step of an array."""
    cdef char* zeros = order.states + order.sizes.B * state_bytes(order)
    memset(zeros, 0, state_bytes(order))
    return zeros


cdef inline void put_restarts_in_order(Call* c, Order* order, const void* resets,
                                       const void* start, void* dstart) noexcept nogil:
    """Let the sequences of a call restart; NULL: none does, or from zero, or without a gradient.

    With lengths c.dstart is in this order.
    """
    if resets == NULL:
        return
    c.resets.data, c.resets.per_sequence, c.resets.per_step = <void*> resets, c.sizes.T, 1
    put_in_order(&c.resets, order, False)
    c.start = start
    if start == NULL:
        c.start = zeros_in(order)
    c.kept_states = order.kept
    c.kept_gradients = order.kept + order.sizes.B * state_bytes(order)
    c.dstart = dstart
    if dstart != NULL:
        memset(dstart, 0, order.sizes.B * state_bytes(order))
        if order.lengths != NULL:
            c.dstart = order.start_gradients
            memset(c.dstart, 0, order.sizes.B * state_bytes(order))


cdef inline void* states_in_order(const Order* order, void* states) noexcept nogil:
    """The states (B, S) in this order: a copy, where it is not the caller's."""
    cdef Py_ssize_t size = state_bytes(order), b
    if order.lengths == NULL:
        return states
    for b in range(order.sizes.B):
        memcpy(order.states + order.places[b] * size, <char*> states + b * size, size)
    return order.states


cdef inline void states_of_caller(const Order* order, const void* in_order,
                                  void* states) noexcept nogil:
    """Write states in this order to the caller's, where they are others."""
    cdef Py_ssize_t size = state_bytes(order), b
    if order.lengths == NULL or states == NULL:
        return
    for b in range(order.sizes.B):
        memcpy(<char*> states + b * size, <const char*> in_order + order.places[b] * size, size)
