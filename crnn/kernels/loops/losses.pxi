# Losses: the value, summed in float64, and where dy is wanted the gradient beside it.

from libc.math cimport NAN, exp, log

cdef double squared_error(Py_ssize_t n, const real* y_hat, const real* y, double scale,
                          real* dy) noexcept nogil:
    """Sum of (y_hat - y)^2; dy = scale (y_hat - y)."""
    cdef double[SUMS] sums
    cdef real difference
    cdef real factor = <real> scale
    cdef Py_ssize_t i, j
    for j in range(SUMS):
        sums[j] = 0
    for i in range(n // SUMS):
        for j in range(SUMS):
            difference = y_hat[i * SUMS + j] - y[i * SUMS + j]
            sums[j] += <double> difference * <double> difference
    for i in range(n // SUMS * SUMS, n):
        difference = y_hat[i] - y[i]
        sums[0] += <double> difference * <double> difference
    if dy != NULL:
        for i in range(n):
            dy[i] = factor * (y_hat[i] - y[i])
    return total(sums)


cdef double cross_entropy(Py_ssize_t rows, Py_ssize_t classes, const real* y_hat,
                          const Py_ssize_t* y, Py_ssize_t n, real* dy) noexcept nogil:
    """Sum over rows of -log softmax(y_hat)[y]; dy = (softmax(y_hat) - one_hot(y)) / n."""
    cdef double loss = 0, highest, normaliser, of_target
    cdef Py_ssize_t row, c, target
    for row in range(rows):
        # Read once, and looked at again: another thread may have changed it since it was checked.
        target = y[row]
        if not 0 <= target < classes:
            return NAN
        # Shifted by the largest, no exponential overflows.
        highest = y_hat[0]
        for c in range(1, classes):
            highest = max(highest, <double> y_hat[c])
        normaliser = 0
        for c in range(classes):
            normaliser += exp(y_hat[c] - highest)
        of_target = y_hat[target] - highest
        loss += log(normaliser) - of_target
        if dy != NULL:
            # dy may be y_hat itself.
            for c in range(classes):
                dy[c] = <real> (exp(y_hat[c] - highest) / (normaliser * n))
            dy[target] = <real> ((exp(of_target) / normaliser - 1) / n)
            dy += classes
        y_hat += classes
    return loss
