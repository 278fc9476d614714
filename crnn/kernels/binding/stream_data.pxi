# What a stream is made of, and what is done with it without the GIL. stream.pxi has the class that
# owns it, c_api.pxi the functions for C.

# What a crnn_stream is
cdef struct StreamData:
    crnn_atomic busy
    int dtype                   # of NumPy; NO_DTYPE before __init__, when everything else is zero
    Table* table
    Py_ssize_t count            # of layers
    # A call of one step for each layer. x of the first and y of the last are those of the caller.
    Call* layers
    const char* first_states    # (layers, S); NULL: zero
    char* one_hot               # (B, I) of scalars, zero between two calls
    Py_ssize_t steps_of_block   # that `run` takes through all layers; 0: all
    bint releases_gil
    bint shares_parameters      # with copies

cdef enum:
    NO_DTYPE = -1


cdef inline Sizes sizes_of(const StreamData* data) noexcept nogil:
    """B, I and H of the stream, and O of its last layer; zeros before __init__."""
    cdef Sizes s
    memset(&s, 0, sizeof(s))
    if data.count:
        s = data.layers[data.count - 1].sizes
        s.I = data.layers[0].sizes.I
    return s


cdef Call call_of(const Call* layer) noexcept nogil:
    """A call with a layer's sizes and parameters: steps of other threads change the rest."""
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes, c.packed = layer.sizes, layer.packed
    return c


cdef inline void exchange_states(Call* c, int dtype) noexcept nogil:
    """Make the state that a step has written the one that the next step reads."""
    c.h.data = <char*> c.h.data + c.h.per_step * itemsize(dtype)
    c.h.per_step = -c.h.per_step


cdef inline void step_layers(StreamData* data, const void* x, void* y) noexcept nogil:
    """A step of all layers by the calling thread, without a lock or a system call."""
    cdef Py_ssize_t layer
    data.layers[0].x.data, data.layers[data.count - 1].y.data = <void*> x, y
    for layer in range(data.count):
        run_alone(data.table.stream_step, &data.layers[layer])
        exchange_states(&data.layers[layer], data.dtype)


cdef inline int enter(crnn_atomic* busy, int own_dtype, int dtype) noexcept nogil:
    """Keep other threads out of a stream or a trainer, or return what is wrong."""
    if own_dtype != dtype:
        return CRNN_WRONG_DTYPE
    return CRNN_BUSY if atomic_swap(busy, 1) else CRNN_OK


cdef inline int leave(crnn_atomic* busy, int error) noexcept nogil:
    """Let other threads in again, and return the error."""
    atomic_set(busy, 0)
    return error


cdef inline int step_alone(StreamData* data, int dtype, const void* x, void* y) noexcept nogil:
    cdef int error = enter(&data.busy, data.dtype, dtype)
    if error:
        return error
    step_layers(data, x, y)
    return leave(&data.busy, CRNN_OK)


cdef int step_categories_alone(StreamData* data, int dtype, const Py_ssize_t* x,
                               void* y) noexcept nogil:
    """A step whose inputs are the one-hot vectors of these numbers (B,)."""
    cdef int error = enter(&data.busy, data.dtype, dtype)
    cdef Py_ssize_t B, I, b
    if error:
        return error
    B, I = data.layers[0].sizes.B, data.layers[0].sizes.I
    if not all_below(x, B, I):
        return leave(&data.busy, CRNN_WRONG_VALUE)
    for b in range(B):
        if dtype == np.NPY_FLOAT:
            (<float*> data.one_hot)[b * I + x[b]] = 1
        else:
            (<double*> data.one_hot)[b * I + x[b]] = 1
    step_layers(data, data.one_hot, y)
    for b in range(B):
        memset(data.one_hot + (b * I + x[b]) * itemsize(dtype), 0, itemsize(dtype))
    return leave(&data.busy, CRNN_OK)


cdef int run_steps_alone(StreamData* data, int dtype, Py_ssize_t steps, const void* x,
                         void* y) noexcept nogil:
    """Steps of x (B, steps, I), with their outputs (B, steps, O)."""
    cdef int error = enter(&data.busy, data.dtype, dtype)
    cdef Call* first
    cdef Call* last
    cdef Py_ssize_t t, size = itemsize(dtype)
    if error:
        return error
    if steps < 0:
        return leave(&data.busy, CRNN_WRONG_VALUE)
    first, last = data.layers, data.layers + data.count - 1
    first.x.per_sequence, last.y.per_sequence = steps * first.sizes.I, steps * last.sizes.O
    for t in range(steps):
        step_layers(data, <const char*> x + t * first.sizes.I * size,
                    <char*> y + t * last.sizes.O * size)
    first.x.per_sequence, last.y.per_sequence = first.sizes.I, last.sizes.O
    return leave(&data.busy, CRNN_OK)


cdef void move_states(StreamData* data, const void* source, void* target,
                      const char* which=NULL) noexcept nogil:
    """Copy the states to (layers, B, S) scalars, or from them; from neither, make them the first.

    `which`: a byte for each sequence, 0 for those that stay; NULL: none does.
    """
    cdef Call* c
    cdef Py_ssize_t layer, b, k, B, states, size = itemsize(data.dtype), row, place
    cdef char* h
    for layer in range(data.count):
        c = &data.layers[layer]
        B, states, row = c.sizes.B, c.sizes.cell.state_blocks, c.sizes.H * size
        for b in range(B):
            if which != NULL and which[b] == 0:
                continue
            for k in range(states):
                h = <char*> c.h.data + (b * c.h.per_sequence + k * c.to_c) * size
                place = ((layer * B + b) * states + k) * row
                if target:
                    memcpy(<char*> target + place, h, row)
                elif source:
                    memcpy(h, <const char*> source + place, row)
                elif data.first_states:
                    memcpy(h, data.first_states + (layer * states + k) * row, row)
                else:
                    memset(h, 0, row)


cdef int move_states_alone(StreamData* data, int dtype, const void* source,
                           void* target) noexcept nogil:
    cdef int error = enter(&data.busy, data.dtype, dtype)
    if error:
        return error
    move_states(data, source, target)
    return leave(&data.busy, CRNN_OK)


cdef int reset_alone(StreamData* data, const char* which) noexcept nogil:
    """Return these sequences to their first states; NULL: all of them."""
    if data.dtype == NO_DTYPE:
        return CRNN_WRONG_DTYPE
    cdef int error = enter(&data.busy, data.dtype, data.dtype)
    if error:
        return error
    move_states(data, NULL, NULL, which)
    return leave(&data.busy, CRNN_OK)
