# A block of steps of a stream: predictions that go on from its states. Several layers are predicted
# some steps at a time, so that what one layer hands to the next takes little memory.

cdef struct Block:
    Py_ssize_t T                # steps of all sequences
    Py_ssize_t steps            # so many are predicted at a time
    const Py_ssize_t* lengths   # (B,): so many steps each sequence reads; NULL: all
    char* x                     # (B, T, I)
    char* y                     # (B, T, O), written
    char* states                # (layers, B, S), moved on
    # Scratch memory
    char* features[2]           # (B, steps, H): what a layer reads, and what it writes for the next
    Py_ssize_t* ends            # (B,): what `lengths` are for the steps of the moment
    void* workspace


cdef memory_of_block(const StreamData* data, Block* block, dtype):
    """Point the block at its scratch memory, which is returned."""
    cdef Sizes s
    cdef Py_ssize_t layer, steps, needed = 0, B = data.layers[0].sizes.B
    for layer in range(data.count):
        s = data.layers[layer].sizes
        for steps in (block.steps, block.T % block.steps):
            s.T = steps
            if steps:
                needed = max(needed, predict_size(data.dtype, s))
    workspace = numpy.empty(needed, dtype)
    ends = numpy.empty(B, numpy.intp)
    features = numpy.empty((2, B, block.steps if data.count > 1 else 0, s.H), dtype)
    block.workspace = np.PyArray_DATA(<np.ndarray> workspace)
    block.ends = <Py_ssize_t*> np.PyArray_DATA(<np.ndarray> ends)
    block.features[0] = np.PyArray_BYTES(<np.ndarray> features)
    block.features[1] = block.features[0] + B * block.steps * s.H * itemsize(data.dtype)
    return workspace, ends, features


cdef void predict_steps(const StreamData* data, const Block* block, Py_ssize_t layer,
                        Py_ssize_t first, Py_ssize_t steps, Interrupt* interrupt) noexcept nogil:
    """So many steps of one layer from step `first` on."""
    cdef Call c = call_of(&data.layers[layer])
    cdef Py_ssize_t size = itemsize(data.dtype)
    cdef Order order
    cdef char* states
    c.sizes.T = steps
    c.workspace = block.workspace
    c.x.per_step, c.y.per_step = c.sizes.I, c.sizes.O
    if layer == 0:
        c.x.data, c.x.per_sequence = block.x + first * c.sizes.I * size, block.T * c.sizes.I
    else:
        c.x.data, c.x.per_sequence = block.features[(layer - 1) % 2], steps * c.sizes.I
    if layer == data.count - 1:
        c.y.data, c.y.per_sequence = block.y + first * c.sizes.O * size, block.T * c.sizes.O
    else:
        c.y.data, c.y.per_sequence = block.features[layer % 2], steps * c.sizes.O
    order = order_of(&c, data.dtype, block.ends if block.lengths != NULL else NULL,
                     data.table.predict_workspace_size(NULL, c.sizes))
    put_in_order(&c.x, &order, False)
    put_in_order(&c.y, &order, False)
    states = block.states + layer * c.sizes.B * c.sizes.cell.state_blocks * c.sizes.H * size
    c.h0 = c.h_n = states_in_order(&order, states)
    run_team(team_size(c.sizes), data.table.predict, &c, interrupt)
    states_of_caller(&order, c.h_n, states)


cdef bint run_block(const StreamData* data, Block* block, Interrupt* interrupt) noexcept nogil:
    """Write the outputs and move the states on; return whether that was not interrupted."""
    cdef Sizes s = sizes_of(data)
    cdef Py_ssize_t first = 0, steps, longest = block.T, layer, b
    cdef Py_ssize_t per_step = s.O * itemsize(data.dtype)
    if block.lengths != NULL:
        longest = 0
        for b in range(s.B):
            longest = max(longest, block.lengths[b])
    while first < longest:
        # Not fewer in the last part: the memory is for these numbers of steps.
        steps = min(block.steps, block.T - first)
        for b in range(s.B if block.lengths != NULL else 0):
            block.ends[b] = max(0, min(block.lengths[b] - first, steps))
        for layer in range(data.count):
            predict_steps(data, block, layer, first, steps, interrupt)
            if interrupt != NULL and interrupt.is_stopped:
                return False
        first += steps
    for b in range(s.B if block.lengths != NULL else 0):
        memset(block.y + (b * block.T + block.lengths[b]) * per_step, 0,
               (block.T - block.lengths[b]) * per_step)
    return True
