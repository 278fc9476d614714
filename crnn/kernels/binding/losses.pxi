# Losses and their gradients. The loops return sums over all elements; the functions here divide
# them.

cdef struct Rows:
    # The outputs and targets of all steps, and the steps' weights
    int dtype
    Py_ssize_t count        # steps of all sequences
    Py_ssize_t outputs
    void* y_hat
    void* y
    const double* weights   # NULL: all 1
    double total            # the sum of the weights
    void* dy                # NULL: not wanted


cdef enum:
    # Elements of an entropy between two questions whether a signal has come: some 30 milliseconds
    ELEMENTS_OF_A_LOOK = 1 << 20


cdef Rows rows_of(kernel, y_hat, y, weights, dy, bint of_classes, bint is_mean) except *:
    """The arrays of a loss, checked. `is_mean`: the weights need a sum to divide by."""
    cdef int dtype = float_type(y_hat), read = READ | np.NPY_ARRAY_C_CONTIGUOUS
    cdef int written = WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS
    cdef Sizes s = batch_sizes(y_hat, dtype)
    cdef Rows r
    s.O = width(y_hat)
    r.dtype, r.count, r.outputs = dtype, s.B * s.T, s.O
    r.y_hat = sequences(y_hat, dtype, s.B, s.T, s.O, read).data
    if of_classes:
        r.y = matrix(y, np.NPY_INTP, s.B, s.T, READ)
        if r.y and not all_below(<const Py_ssize_t*> r.y, r.count, s.O):
            r.y = NULL
    else:
        r.y = sequences(y, dtype, s.B, s.T, s.O, read).data
    r.weights = <const double*> matrix(weights, np.NPY_DOUBLE, s.B, s.T, READ)
    r.dy = sequences(dy, dtype, s.B, s.T, s.O, written).data
    if not (r.count and r.outputs and r.y_hat and r.y and (r.weights or weights is None)
            and (r.dy or dy is None)):
        _refuse(kernel, {"y_hat": y_hat, "y": y, "weights": weights, "dy": dy})
    r.total = r.count
    if r.weights:
        # NumPy's sum, as in `reference`: its order decides on the gradients' last bits.
        r.total = weights.sum()
        if is_mean:
            contracts.check_weight(r.total)
    return r


cdef inline double mean_squared_error(int dtype, Py_ssize_t n, const void* y_hat, const void* y,
                                      void* dy) noexcept nogil:
    return table(dtype).squared_error(n, y_hat, y, 2.0 / n, dy) / n


cdef inline double half_squared_error(int dtype, Py_ssize_t n, const void* y_hat, const void* y,
                                      void* dy) noexcept nogil:
    return table(dtype).squared_error(n, y_hat, y, 1, dy) / 2


def mse(y_hat, y, weights, dy):
    cdef Rows r = rows_of("mse", y_hat, y, weights, dy, False, True)
    cdef Table* f = table(r.dtype)
    cdef double value
    with nogil:
        if r.weights:
            value = f.weighted_squared_error(r.count, r.outputs, r.y_hat, r.y, r.weights, r.total,
                                             2.0 / r.outputs, r.dy) / (r.outputs * r.total)
        else:
            value = mean_squared_error(r.dtype, r.count * r.outputs, r.y_hat, r.y, r.dy)
    return value


def sse(y_hat, y, weights, dy):
    cdef Rows r = rows_of("sse", y_hat, y, weights, dy, False, False)
    cdef Table* f = table(r.dtype)
    cdef double value
    with nogil:
        if r.weights:
            value = f.weighted_squared_error(r.count, r.outputs, r.y_hat, r.y, r.weights, 1, 1,
                                             r.dy) / 2
        else:
            value = half_squared_error(r.dtype, r.count * r.outputs, r.y_hat, r.y, r.dy)
    return value


cdef void take_off(Rows* r, Py_ssize_t count, Py_ssize_t size_of_y) noexcept:
    """Go on to the rows after the first `count`. `size_of_y`: the bytes of a row's targets."""
    cdef Py_ssize_t bytes_of_rows = count * r.outputs * itemsize(r.dtype)
    r.count -= count
    r.y_hat, r.y = <char*> r.y_hat + bytes_of_rows, <char*> r.y + count * size_of_y
    if r.weights:
        r.weights += count
    if r.dy:
        r.dy = <char*> r.dy + bytes_of_rows


cdef Py_ssize_t next_count(const Rows* r) except -1:
    """How many rows to take now. Raises what the handler of a signal that has come raises."""
    if PyErr_CheckSignals():
        return -1
    return min(r.count, max(1, ELEMENTS_OF_A_LOOK // r.outputs))


def cross_entropy(y_hat, y, weights, dy):
    cdef Rows r = rows_of("cross_entropy", y_hat, y, weights, dy, True, True)
    cdef Table* f = table(r.dtype)
    cdef double value = 0
    cdef Py_ssize_t count
    while r.count:
        count = next_count(&r)
        with nogil:
            value = f.cross_entropy(value, count, r.outputs, r.y_hat, <const Py_ssize_t*> r.y,
                                    r.weights, r.total, r.dy)
        take_off(&r, count, sizeof(Py_ssize_t))
    return value / r.total


def binary_cross_entropy(y_hat, y, weights, dy):
    cdef Rows r = rows_of("binary_cross_entropy", y_hat, y, weights, dy, False, True)
    cdef Table* f = table(r.dtype)
    cdef double value = 0
    cdef Py_ssize_t count
    while r.count:
        count = next_count(&r)
        with nogil:
            value = f.binary_cross_entropy(value, count, r.outputs, r.y_hat, r.y, r.weights,
                                           r.total, r.dy)
        take_off(&r, count, r.outputs * itemsize(r.dtype))
    return value / (r.outputs * r.total)


def huber(y_hat, y, weights, double delta, dy):
    cdef Rows r = rows_of("huber", y_hat, y, weights, dy, False, True)
    cdef Table* f = table(r.dtype)
    cdef double value
    with nogil:
        value = f.huber(r.count, r.outputs, r.y_hat, r.y, r.weights, r.total, delta, r.dy)
    return value / (r.outputs * r.total)
