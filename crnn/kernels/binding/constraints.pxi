# What follows a step of an optimizer: parameters are brought back to where they may be. Compiled
# once, for every processor: it takes a small part of the time of a step.

from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport fabs, sqrt

from crnn.kernels import constraints as constraint_checks

ctypedef fused constrained:
    float
    double

cdef Py_ssize_t constraint_fields = constraint_checks.GROUP_FIELDS

cdef struct Constraints:
    # `crnn.kernels.constraints.Constraints`; what is not given is NULL.
    const void* l1
    const void* lower
    const void* upper
    const Py_ssize_t* groups
    const double* norms
    Py_ssize_t group_count


cdef Constraints read_constraints(constraints, theta) except *:
    """The constraints of these parameters, or the error of what is wrong with them."""
    cdef Constraints c
    memset(&c, 0, sizeof(c))
    if constraints is None:
        return c
    constraint_checks.check(constraints, theta)
    l1, lower, upper, groups, norms = constraints
    if l1 is not None:
        c.l1 = np.PyArray_DATA(<np.ndarray> l1)
    if lower is not None:
        c.lower = np.PyArray_DATA(<np.ndarray> lower)
        c.upper = np.PyArray_DATA(<np.ndarray> upper)
    if groups is not None:
        c.groups = <const Py_ssize_t*> np.PyArray_DATA(<np.ndarray> groups)
        c.norms = <const double*> np.PyArray_DATA(<np.ndarray> norms)
        c.group_count = length(groups)
    return c


cdef void limit_norm(constrained* values, Py_ssize_t n, Py_ssize_t stride,
                     double limit) noexcept nogil:
    """Scale n numbers down to this norm, where theirs is larger."""
    cdef double largest = 1, total = 0, value
    cdef Py_ssize_t i
    for i in range(n):
        value = values[i * stride]
        total += value * value
    if not 1e-280 < total < INFINITY:
        # Squares leave the range: in units of the largest
        largest, total = 0, 0
        for i in range(n):
            largest = max(largest, fabs(values[i * stride]))
        for i in range(n if largest > 0 else 0):
            value = values[i * stride] / largest
            total += value * value
    total = sqrt(total)
    if largest * total > limit:
        for i in range(n):
            value = values[i * stride] / largest * (limit / total)
            values[i * stride] = <constrained> value


cdef void constrain_values(const Constraints* c, Py_ssize_t n, constrained* theta,
                           double shrinkage) noexcept nogil:
    cdef const constrained* l1 = <const constrained*> c.l1
    cdef const constrained* lower = <const constrained*> c.lower
    cdef const constrained* upper = <const constrained*> c.upper
    cdef const Py_ssize_t* g
    cdef constrained factor = <constrained> shrinkage, low, high, value, part
    cdef Py_ssize_t i, k
    # An infinite factor times a strength of 0 would be NaN.
    if not isfinite(factor):
        factor = <constrained> (FLT_MAX if constrained is float else DBL_MAX)
    # Loaded first, so that the compiler needs no branches, whose way no processor can guess.
    if l1 != NULL and factor > 0:
        for i in range(n):
            value, high = theta[i], factor * l1[i]
            low = -high
            part = low if value < low else value
            theta[i] = value - (high if part > high else part)
    if lower != NULL:
        for i in range(n):
            value, low, high = theta[i], lower[i], upper[i]
            value = low if value < low else value
            theta[i] = high if value > high else value
    for k in range(c.group_count):
        g = c.groups + k * constraint_fields
        for i in range(g[1]):
            limit_norm(theta + g[0] + i * g[2], g[3], g[4], c.norms[k])


cdef void constrain_theta(const Constraints* c, int dtype, Py_ssize_t n, void* theta,
                          double shrinkage) noexcept nogil:
    """Apply the constraints; strengths of l1 count `shrinkage` times."""
    if dtype == np.NPY_DOUBLE:
        constrain_values(c, n, <double*> theta, shrinkage)
    else:
        constrain_values(c, n, <float*> theta, shrinkage)


def constrain(values, constraints):
    cdef void* data = values_of("constrain", values, WRITTEN)
    cdef Py_ssize_t n = length(values)
    cdef int dtype = float_type(values)
    cdef Constraints c = read_constraints(constraints, values)
    with nogil:
        constrain_theta(&c, dtype, n, data, 0)
