# Sums in float64, in an order that does not depend on the instruction set.

ctypedef fused real:
    float
    double

cdef enum:
    # Partial sums of a reduction: enough independent additions to fill the vector units.
    SUMS = 16


cdef inline double total(const double* sums) noexcept nogil:
    cdef double sum = 0
    cdef Py_ssize_t j
    for j in range(SUMS):
        sum += sums[j]
    return sum
