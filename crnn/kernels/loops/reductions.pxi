# Reductions of whole vectors: sums in float64, the norm, and whether all numbers are finite.
#
# `real` is the dtype of loops over scalars, which the compiler vectorizes; `vec` is that of loops
# over registers.

from libc.math cimport isfinite, sqrt

ctypedef fused real:
    float
    double

cdef enum:
    # Partial sums of a reduction: enough independent additions to fill the vector units.
    PARTIAL_SUMS = 16


cdef inline double total_of(const double* sums) noexcept nogil:
    cdef double sum = 0
    cdef Py_ssize_t j
    for j in range(PARTIAL_SUMS):
        sum += sums[j]
    return sum


cdef bint all_finite(Py_ssize_t n, const real* values) noexcept nogil:
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        # Zero for every number, NaN for NaN and the infinities.
        found |= (values[i] - values[i]) != 0
    return not found


cdef inline double sum_of_squares(Py_ssize_t n, const real* values, double unit) noexcept nogil:
    """Sum of (values / unit)^2 in float64. Inline, so that a unit of 1 divides nothing."""
    cdef double[PARTIAL_SUMS] sums
    cdef double value
    cdef Py_ssize_t i, j
    for j in range(PARTIAL_SUMS):
        sums[j] = 0
    for i in range(n // PARTIAL_SUMS):
        for j in range(PARTIAL_SUMS):
            value = <double> values[i * PARTIAL_SUMS + j] / unit
            sums[j] += value * value
    for i in range(n // PARTIAL_SUMS * PARTIAL_SUMS, n):
        value = <double> values[i] / unit
        sums[0] += value * value
    return total_of(sums)


cdef double global_norm(Py_ssize_t n, const real* values) noexcept nogil:
    cdef double sum = sum_of_squares(n, values, 1)
    cdef double largest = 0
    cdef Py_ssize_t i
    # Below 1e-280 the squares underflow and lose digits.
    if 1e-280 < sum and isfinite(sum):
        return sqrt(sum)
    # Squares of large or small float64 values leave its range: measure in units of the largest.
    for i in range(n):
        largest = max(largest, <double> abs(values[i]))
    if largest == 0 or not all_finite(n, values):
        return sqrt(sum)
    return largest * sqrt(sum_of_squares(n, values, largest))
