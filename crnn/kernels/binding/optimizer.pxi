# The optimizer of `rnn_train`: the kernel of its step, with that kernel's arguments.

cdef enum StepKernel:
    SGD_STEP
    RMSPROP_STEP
    ADAM_STEP

cdef dict STEP_KERNELS = {"sgd_step": SGD_STEP, "rmsprop_step": RMSPROP_STEP,
                          "adam_step": ADAM_STEP}

cdef struct Optimizer:
    # What the kernel does not take is NULL or zero.
    StepKernel kernel
    void* velocity
    void* mean
    void* square
    double momentum
    double alpha
    double beta1
    double beta2
    double eps
    double weight_decay
    bint nesterov
    bint decoupled
    Constraints constraints
    double l1_factor        # of the strengths of `constraints`


cdef Optimizer read_optimizer(name, dict memory, dict settings, constraints, theta) except *:
    """The optimizer by the names of its kernel's arguments, or the error of what is wrong."""
    cdef int dtype = float_type(theta)
    cdef Py_ssize_t n = length(theta)
    cdef bint has_all_vectors
    cdef Optimizer o
    memset(&o, 0, sizeof(o))
    velocity = memory.get("velocity")
    o.velocity = vector(velocity, dtype, n, WRITTEN)
    o.mean = vector(memory.get("mean"), dtype, n, WRITTEN)
    o.square = vector(memory.get("square"), dtype, n, WRITTEN)
    o.momentum = settings.get("momentum", 0)
    kernel = STEP_KERNELS.get(name) if type(name) is str else None
    if kernel is not None:
        o.kernel = kernel
        has_all_vectors = o.velocity or (velocity is None and o.momentum == 0)
        if o.kernel == ADAM_STEP:
            has_all_vectors = o.mean and o.square
        elif o.kernel == RMSPROP_STEP:
            has_all_vectors = has_all_vectors and o.square
    if kernel is None or not has_all_vectors:
        contracts.check_step(name, memory, theta, o.momentum)
        raise ValueError("memory: expected vectors that the loops can take")
    o.weight_decay = settings["weight_decay"]
    o.constraints, o.l1_factor = read_constraints(constraints, theta), 1
    if o.kernel == SGD_STEP:
        o.nesterov = settings["nesterov"]
    elif o.kernel == RMSPROP_STEP:
        o.alpha, o.eps = settings["alpha"], settings["eps"]
    else:
        o.beta1, o.beta2, o.eps = settings["beta1"], settings["beta2"], settings["eps"]
        o.decoupled = settings["decoupled"]
    return o


cdef bint take_step(const Optimizer* o, int dtype, Py_ssize_t n, void* theta, const void* dtheta,
                    Py_ssize_t step, double lr) noexcept nogil:
    """Take the step of this number, and return whether all parameters stay finite."""
    cdef Table* f = table(dtype)
    cdef bint taken
    if o.kernel == SGD_STEP:
        taken = f.sgd_step(n, theta, dtheta, o.velocity, lr, o.momentum, o.nesterov,
                           o.weight_decay)
    elif o.kernel == RMSPROP_STEP:
        taken = f.rmsprop_step(n, theta, dtheta, o.square, o.velocity, lr, o.alpha, o.eps,
                               o.momentum, o.weight_decay)
    else:
        taken = f.adam_step(n, theta, dtheta, o.mean, o.square, step, lr, o.beta1, o.beta2, o.eps,
                            o.weight_decay, o.decoupled)
    if taken:
        constrain_theta(&o.constraints, dtype, n, theta, lr * o.l1_factor)
    return taken
