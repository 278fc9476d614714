# Losses and their gradients.

cdef squared_error(name, y_hat, y, dy, bint mean):
    cdef int dtype = float_type(y_hat)
    cdef Sizes s = sizes_of(y_hat, dtype)
    cdef Py_ssize_t n = s.B * s.T * s.I
    cdef int read = READ | np.NPY_ARRAY_C_CONTIGUOUS
    cdef void* outputs = sequences(y_hat, dtype, s.B, s.T, s.I, read).data
    cdef void* targets = sequences(y, dtype, s.B, s.T, s.I, read).data
    cdef void* gradient = sequences(dy, dtype, s.B, s.T, s.I,
                                    WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS).data
    cdef double value
    if not (n and outputs and targets and (gradient or dy is None)):
        refuse(name, {"y_hat": y_hat, "y": y, "dy": dy})
    with nogil:
        value = table(dtype).squared_error(n, outputs, targets, 2.0 / n if mean else 1.0, gradient)
    return value / n if mean else value / 2


def mse(y_hat, y, dy):
    return squared_error("mse", y_hat, y, dy, True)


def sse(y_hat, y, dy):
    return squared_error("sse", y_hat, y, dy, False)


def cross_entropy(y_hat, y, dy):
    cdef int dtype = float_type(y_hat)
    cdef Sizes s = sizes_of(y_hat, dtype)
    cdef Py_ssize_t rows = s.B * s.T
    cdef void* outputs = sequences(y_hat, dtype, s.B, s.T, s.I,
                                   READ | np.NPY_ARRAY_C_CONTIGUOUS).data
    cdef Py_ssize_t* targets = <Py_ssize_t*> matrix(y, np.NPY_INTP, s.B, s.T, READ)
    cdef void* gradient = sequences(dy, dtype, s.B, s.T, s.I,
                                    WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS).data
    cdef double value
    if not (rows and s.I and outputs and targets and below(targets, rows, s.I)
            and (gradient or dy is None)):
        refuse("cross_entropy", {"y_hat": y_hat, "y": y, "dy": dy})
    with nogil:
        value = table(dtype).cross_entropy(rows, s.I, outputs, targets, rows, gradient)
    return value / rows
