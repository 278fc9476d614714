# The table of functions that crnn.h declares for C and C++.

cdef crnn_stream* get_stream(void* candidate) except NULL with gil:
    if not isinstance(<object> candidate, Stream):
        raise TypeError(
            "stream: expected what stream() of a network with compiled kernels returns, "
            f"got {type(<object> candidate).__name__}"
        )
    return <crnn_stream*> (<Stream> <object> candidate).data


cdef crnn_sizes get_sizes(const crnn_stream* stream) noexcept nogil:
    cdef StreamData* data = <StreamData*> stream
    cdef crnn_sizes sizes
    sizes.batch, sizes.inputs = data.call.sizes.B, data.call.sizes.I
    sizes.hidden, sizes.outputs = data.call.sizes.H, data.call.sizes.O
    sizes.state = data.call.sizes.cell.state_blocks * data.call.sizes.H
    sizes.itemsize = itemsize(data.dtype)
    return sizes


cdef int step_float(crnn_stream* stream, const float* x, float* y) noexcept nogil:
    return step_alone(<StreamData*> stream, np.NPY_FLOAT, x, y)


cdef int step_double(crnn_stream* stream, const double* x, double* y) noexcept nogil:
    return step_alone(<StreamData*> stream, np.NPY_DOUBLE, x, y)


cdef int get_state_float(crnn_stream* stream, float* h) noexcept nogil:
    return move_state_alone(<StreamData*> stream, np.NPY_FLOAT, NULL, h)


cdef int get_state_double(crnn_stream* stream, double* h) noexcept nogil:
    return move_state_alone(<StreamData*> stream, np.NPY_DOUBLE, NULL, h)


cdef int set_state_float(crnn_stream* stream, const float* h) noexcept nogil:
    return move_state_alone(<StreamData*> stream, np.NPY_FLOAT, h, NULL)


cdef int set_state_double(crnn_stream* stream, const double* h) noexcept nogil:
    return move_state_alone(<StreamData*> stream, np.NPY_DOUBLE, h, NULL)


cdef crnn_api api
api.version = CRNN_API_VERSION
api.get_stream = <crnn_stream* (*)(void*) noexcept> get_stream
api.get_sizes = get_sizes
api.step_float, api.step_double = step_float, step_double
api.get_state_float, api.get_state_double = get_state_float, get_state_double
api.set_state_float, api.set_state_double = set_state_float, set_state_double
c_api = PyCapsule_New(&api, CRNN_API_NAME, NULL)
