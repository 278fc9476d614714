# What happens to the flat vectors: checks, norm, clipping and the optimiser's step.

from libc.math cimport isfinite, sqrt

cdef bint all_finite(Py_ssize_t n, const real* values) noexcept nogil:
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        # Zero for every number, NaN for NaN and the infinities.
        found |= values[i] - values[i] != 0
    return not found


cdef double sum_of_squares(Py_ssize_t n, const real* values, double unit) noexcept nogil:
    """Sum of (values / unit)^2 in float64."""
    cdef double[SUMS] sums
    cdef double value
    cdef Py_ssize_t i, j
    for j in range(SUMS):
        sums[j] = 0
    for i in range(n // SUMS):
        for j in range(SUMS):
            value = <double> values[i * SUMS + j] / unit
            sums[j] += value * value
    for i in range(n // SUMS * SUMS, n):
        value = <double> values[i] / unit
        sums[0] += value * value
    return total(sums)


cdef double global_norm(Py_ssize_t n, const real* values) noexcept nogil:
    cdef double sum = sum_of_squares(n, values, 1)
    cdef double largest = 0
    cdef Py_ssize_t i
    if 1e-280 < sum and isfinite(sum):
        return sqrt(sum)
    # Squares of large or small float64 values leave its range: measure in units of the largest.
    for i in range(n):
        largest = max(largest, <double> abs(values[i]))
    if largest == 0 or not all_finite(n, values):
        return sqrt(sum)
    return largest * sqrt(sum_of_squares(n, values, largest))


cdef void scale(Py_ssize_t n, real* values, double factor) noexcept nogil:
    cdef real real_factor = <real> factor
    cdef Py_ssize_t i
    for i in range(n):
        values[i] *= real_factor


cdef void clip_value(Py_ssize_t n, real* values, double limit) noexcept nogil:
    cdef real upper = <real> limit
    cdef Py_ssize_t i
    for i in range(n):
        # A NaN passes both comparisons and stays.
        values[i] = upper if values[i] > upper else values[i]
        values[i] = -upper if values[i] < -upper else values[i]


cdef void sgd_step(Py_ssize_t n, real* theta, const real* dtheta, real* velocity, double lr,
                   double momentum, bint nesterov) noexcept nogil:
    cdef real rate = <real> lr
    cdef real mu = <real> momentum
    cdef Py_ssize_t i
    if momentum == 0:
        for i in range(n):
            theta[i] -= rate * dtheta[i]
    elif nesterov:
        for i in range(n):
            velocity[i] = mu * velocity[i] + dtheta[i]
            theta[i] -= rate * (dtheta[i] + mu * velocity[i])
    else:
        for i in range(n):
            velocity[i] = mu * velocity[i] + dtheta[i]
            theta[i] -= rate * velocity[i]
