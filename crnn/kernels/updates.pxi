# What changes the flat vectors: clipping and the optimiser's step.

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


cdef bint sgd_step(Py_ssize_t n, real* theta, const real* dtheta, real* velocity, double lr,
                   double momentum, bint nesterov) noexcept nogil:
    """Take the step and return True, or do nothing where a parameter would not stay finite."""
    cdef real rate = <real> lr
    cdef real mu = <real> momentum
    cdef Py_ssize_t i
    cdef real next_velocity, next_theta
    cdef int found = 0
    for i in range(n):
        next_velocity = dtheta[i]
        if momentum != 0:
            next_velocity = mu * velocity[i] + dtheta[i]
        if nesterov:
            next_velocity = dtheta[i] + mu * next_velocity
        next_theta = theta[i] - rate * next_velocity
        found |= (next_theta - next_theta) != 0
    if found:
        return False
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
    return True
