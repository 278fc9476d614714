# Flat vectors: whether they are finite, their norm, clipping, and the optimizers' steps.

cdef void* values_of(kernel, values, int flags) except NULL:
    """The data of a vector that is not empty."""
    cdef void* data = vector(values, float_type(values), length(values), flags)
    if length(values) == 0 or not data:
        _refuse(kernel, {"values": values})
    return data


def all_finite(values):
    cdef void* data = values_of("all_finite", values, READ)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    cdef bint finite
    with nogil:
        finite = f.all_finite(n, data)
    return finite


def global_norm(values):
    cdef void* data = values_of("global_norm", values, READ)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    cdef double norm
    with nogil:
        norm = f.global_norm(n, data)
    return norm


cdef double clip_to_norm(int dtype, Py_ssize_t n, void* values, double max_norm) noexcept nogil:
    """Scale the values down to this norm, where theirs is larger and finite; return theirs."""
    cdef Table* f = table(dtype)
    cdef double norm = f.global_norm(n, values)
    if max_norm < norm and isfinite(norm):
        f.scale(n, values, max_norm / norm)
    return norm


def clip_norm(values, double max_norm):
    cdef void* data = values_of("clip_norm", values, WRITTEN)
    cdef Py_ssize_t n = length(values)
    cdef int dtype = float_type(values)
    cdef double norm
    with nogil:
        norm = clip_to_norm(dtype, n, data, max_norm)
    return norm


def clip_value(values, double limit):
    cdef void* data = values_of("clip_value", values, WRITTEN)
    cdef Py_ssize_t n = length(values)
    cdef Table* f = table(float_type(values))
    with nogil:
        f.clip_value(n, data, limit)


cdef Py_ssize_t* counter_of(steps) noexcept:
    """The number of steps taken that a step adds to; NULL if there is none or it does not suit."""
    return <Py_ssize_t*> vector(steps, np.NPY_INTP, 1, WRITTEN)


# A step is counted before the GIL is taken again: then Ctrl-C's exception may come.

def sgd_step(theta, dtheta, velocity, double lr, double momentum, bint nesterov,
             double weight_decay, steps, constraints):
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef void* gradient = vector(dtheta, dtype, n, READ)
    cdef void* memory = vector(velocity, dtype, n, WRITTEN)
    cdef Py_ssize_t* counter = counter_of(steps)
    cdef Constraints limits
    cdef bint stays_finite
    if velocity is None and momentum != 0:
        raise ValueError(contracts.VELOCITY_MISSING)
    if not (n and parameters and gradient and (memory or velocity is None)
            and (counter or steps is None)):
        _refuse("sgd_step", {"theta": theta, "dtheta": dtheta, "velocity": velocity,
                             "steps": steps})
    limits = read_constraints(constraints, theta)
    with nogil:
        stays_finite = table(dtype).sgd_step(n, parameters, gradient, memory, lr, momentum,
                                             nesterov, weight_decay)
        if stays_finite:
            constrain_theta(&limits, dtype, n, parameters, lr)
        if counter and stays_finite:
            counter[0] += 1
    return stays_finite


def rmsprop_step(theta, dtheta, square, velocity, double lr, double alpha, double eps,
                 double momentum, double weight_decay, steps, constraints):
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef void* gradient = vector(dtheta, dtype, n, READ)
    cdef void* squares = vector(square, dtype, n, WRITTEN)
    cdef void* memory = vector(velocity, dtype, n, WRITTEN)
    cdef Py_ssize_t* counter = counter_of(steps)
    cdef Constraints limits
    cdef bint stays_finite
    if velocity is None and momentum != 0:
        raise ValueError(contracts.VELOCITY_MISSING)
    if not (n and parameters and gradient and squares and (memory or velocity is None)
            and (counter or steps is None)):
        _refuse("rmsprop_step", {"theta": theta, "dtheta": dtheta, "square": square,
                                 "velocity": velocity, "steps": steps})
    limits = read_constraints(constraints, theta)
    with nogil:
        stays_finite = table(dtype).rmsprop_step(n, parameters, gradient, squares, memory, lr,
                                                 alpha, eps, momentum, weight_decay)
        if stays_finite:
            constrain_theta(&limits, dtype, n, parameters, lr)
        if counter and stays_finite:
            counter[0] += 1
    return stays_finite


def adam_step(theta, dtheta, mean, square, Py_ssize_t step, double lr, double beta1, double beta2,
              double eps, double weight_decay, bint decoupled, steps, constraints):
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef void* parameters = vector(theta, dtype, n, WRITTEN)
    cdef void* gradient = vector(dtheta, dtype, n, READ)
    cdef void* means = vector(mean, dtype, n, WRITTEN)
    cdef void* squares = vector(square, dtype, n, WRITTEN)
    cdef Py_ssize_t* counter = counter_of(steps)
    cdef Constraints limits
    cdef bint stays_finite
    if not (n and parameters and gradient and means and squares and (counter or steps is None)):
        _refuse("adam_step", {"theta": theta, "dtheta": dtheta, "mean": mean, "square": square,
                              "steps": steps})
    limits = read_constraints(constraints, theta)
    with nogil:
        stays_finite = table(dtype).adam_step(n, parameters, gradient, means, squares, step, lr,
                                              beta1, beta2, eps, weight_decay, decoupled)
        if stays_finite:
            constrain_theta(&limits, dtype, n, parameters, lr)
        if counter and stays_finite:
            counter[0] += 1
    return stays_finite
