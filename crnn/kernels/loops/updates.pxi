# Updates of flat vectors: clipping and the optimizers' steps.

from libc.math cimport pow, sqrt

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


# A step of an optimizer computes every new parameter twice: first to see whether all stay finite,
# then, if they do, to write them. A mean square that overflows would keep its parameter where it is
# for ever: without `write` the parameter is NaN then.
#
# `<real> 1`, because Cython writes 1 as a double, and C computes in double what has a double in it.

cdef inline real sgd_element(const real* theta, const real* dtheta, real* velocity, Py_ssize_t i,
                             real rate, real mu, bint nesterov, real decay,
                             bint write) noexcept nogil:
    """The new theta[i]."""
    cdef real gradient = dtheta[i] + decay * theta[i]
    cdef real v = gradient
    if mu != 0:
        v = mu * velocity[i] + gradient
        if write:
            velocity[i] = v
        if nesterov:
            v = gradient + mu * v
    return theta[i] - rate * v


cdef bint sgd_step(Py_ssize_t n, real* theta, const real* dtheta, real* velocity, double lr,
                   double momentum, bint nesterov, double weight_decay) noexcept nogil:
    """Take the step and return True, or do nothing where a parameter would not stay finite."""
    cdef real rate = <real> lr, mu = <real> momentum, decay = <real> weight_decay, new
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        new = sgd_element(theta, dtheta, velocity, i, rate, mu, nesterov, decay, False)
        found |= (new - new) != 0
    if found:
        return False
    # Two loops: without momentum `velocity` may be NULL, and the compiler vectorizes either.
    if mu == 0:
        for i in range(n):
            theta[i] = sgd_element(theta, dtheta, velocity, i, rate, 0, False, decay, True)
    else:
        for i in range(n):
            theta[i] = sgd_element(theta, dtheta, velocity, i, rate, mu, nesterov, decay, True)
    return True


cdef inline real rmsprop_element(const real* theta, const real* dtheta, real* square,
                                 real* velocity, Py_ssize_t i, real rate, real alpha, real eps,
                                 real mu, real decay, bint write) noexcept nogil:
    """The new theta[i]."""
    cdef real gradient = dtheta[i] + decay * theta[i]
    cdef real s = alpha * square[i] + (<real> 1 - alpha) * gradient * gradient
    cdef real v = gradient / (<real> sqrt(s) + eps)
    cdef real new
    if write:
        square[i] = s
    if mu != 0:
        v = mu * velocity[i] + v
        if write:
            velocity[i] = v
    new = theta[i] - rate * v
    return new if write else new + (s - s)


cdef bint rmsprop_step(Py_ssize_t n, real* theta, const real* dtheta, real* square, real* velocity,
                       double lr, double alpha, double eps, double momentum,
                       double weight_decay) noexcept nogil:
    """Take the step and return True, or do nothing where a new number would not be finite."""
    cdef real rate = <real> lr, mu = <real> momentum, decay = <real> weight_decay, new
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        new = rmsprop_element(theta, dtheta, square, velocity, i, rate, <real> alpha, <real> eps,
                              mu, decay, False)
        found |= (new - new) != 0
    if found:
        return False
    for i in range(n):
        theta[i] = rmsprop_element(theta, dtheta, square, velocity, i, rate, <real> alpha,
                                   <real> eps, mu, decay, True)
    return True


cdef inline real adam_element(const real* theta, const real* dtheta, real* mean, real* square,
                              Py_ssize_t i, real rate, real shrink, real beta1, real beta2,
                              real unbias, real eps, real decay, bint write) noexcept nogil:
    """The new theta[i]; decoupled decay multiplies the old one by `shrink`."""
    cdef real gradient = dtheta[i] + decay * theta[i]
    cdef real m = mean[i] + (<real> 1 - beta1) * (gradient - mean[i])
    cdef real s = beta2 * square[i] + (<real> 1 - beta2) * gradient * gradient
    cdef real new
    if write:
        mean[i] = m
        square[i] = s
    new = shrink * theta[i] - rate * m / (<real> sqrt(s) * unbias + eps)
    return new if write else new + (s - s)


cdef bint adam_step(Py_ssize_t n, real* theta, const real* dtheta, real* mean, real* square,
                    Py_ssize_t step, double lr, double beta1, double beta2, double eps,
                    double weight_decay, bint decoupled) noexcept nogil:
    """Take the step and return True, or do nothing where a new number would not be finite."""
    cdef real rate = <real> (lr / (1 - pow(beta1, step)))
    cdef real unbias = <real> (1 / sqrt(1 - pow(beta2, step)))
    cdef real shrink = <real> (1 - lr * weight_decay if decoupled else 1)
    cdef real decay = <real> (0 if decoupled else weight_decay)
    cdef real new
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(n):
        new = adam_element(theta, dtheta, mean, square, i, rate, shrink, <real> beta1, <real> beta2,
                           unbias, <real> eps, decay, False)
        found |= (new - new) != 0
    if found:
        return False
    for i in range(n):
        theta[i] = adam_element(theta, dtheta, mean, square, i, rate, shrink, <real> beta1,
                                <real> beta2, unbias, <real> eps, decay, True)
    return True
