# `Trainer`: a network that is trained on one batch after another of the same size, for Python,
# Cython and C. What a step needs is allocated once, so a step is its arithmetic alone.

cdef enum:
    READ_WHOLE = READ | np.NPY_ARRAY_C_CONTIGUOUS
    WRITTEN_WHOLE = WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS


# What a crnn_trainer is
cdef struct TrainerData:
    crnn_atomic busy
    int dtype               # of NumPy; NO_DTYPE before __init__, when everything else is zero
    Call call               # of one batch, without its inputs and targets
    Optimizer optimizer
    double lr
    double max_norm
    double max_value
    Py_ssize_t* steps       # how many have been taken
    void* parameters
    void* gradient


cdef int train_alone(TrainerData* data, int dtype, bint is_classes, const void* x, const void* y,
                     double* loss, double* norm) noexcept nogil:
    """Take a step by the calling thread on x (B, T, I) and y (B, T, O), or classes (B, T).

    The loss before the step and the norm of its gradient are written.
    """
    cdef int error = enter(&data.busy, data.dtype, dtype)
    cdef Sizes s
    cdef Py_ssize_t n
    if error:
        return error
    s = data.call.sizes
    n = parameter_count(s)
    if is_classes != (data.call.loss == CROSS_ENTROPY):
        return leave(&data.busy, CRNN_WRONG_VALUE)
    if is_classes and not all_below(<const Py_ssize_t*> y, s.B * s.T, s.O):
        return leave(&data.busy, CRNN_WRONG_VALUE)
    data.call.x.data, data.call.targets = <void*> x, y
    memset(data.gradient, 0, n * itemsize(dtype))
    run_alone(table(dtype).gradient, &data.call)
    loss[0] = clip_gradient(&data.call, dtype, data.gradient, data.max_norm, data.max_value, norm)
    if not (isfinite(loss[0]) and isfinite(norm[0])):
        return leave(&data.busy, CRNN_NOT_FINITE)
    if not take_step(&data.optimizer, dtype, n, data.parameters, data.gradient, data.steps[0] + 1,
                     data.lr):
        return leave(&data.busy, CRNN_NOT_FINITE)
    data.steps[0] += 1
    return leave(&data.busy, CRNN_OK)


cdef int predict_alone(TrainerData* data, int dtype, const void* x, void* y) noexcept nogil:
    """Write the outputs (B, T, O) of x (B, T, I) with the parameters of the moment."""
    cdef int error = enter(&data.busy, data.dtype, dtype)
    cdef Call c
    if error:
        return error
    memset(&c, 0, sizeof(c))
    c.sizes, c.x, c.workspace = data.call.sizes, data.call.x, data.call.workspace
    c.x.data, c.y.data = <void*> x, y
    c.y.per_sequence, c.y.per_step = c.sizes.T * c.sizes.O, c.sizes.O
    place_parameters(&c, dtype, data.parameters)
    run_alone(table(dtype).predict, &c)
    return leave(&data.busy, CRNN_OK)


cdef int set_rate_alone(crnn_atomic* busy, int dtype, double* rate, double lr) noexcept nogil:
    """Set the rate of a trainer or a learner."""
    if not 0 <= lr < INFINITY:
        return CRNN_WRONG_VALUE
    if dtype == NO_DTYPE:
        return CRNN_WRONG_DTYPE
    cdef int error = enter(busy, dtype, dtype)
    if error:
        return error
    rate[0] = lr
    return leave(busy, CRNN_OK)


cdef int set_trainer_rate(TrainerData* data, double lr) noexcept nogil:
    return set_rate_alone(&data.busy, data.dtype, &data.lr, lr)


cdef bint is_of_sizes(const StreamData* stream, Sizes s) noexcept nogil:
    """Whether a stream has one layer of these sizes, starts from zero, and shares no parameters."""
    cdef Sizes own
    # With trained first states it is of a network that no trainer trains.
    if stream.count != 1 or stream.shares_parameters or stream.first_states != NULL:
        return False
    own = stream.layers[0].sizes
    return (own.cell == s.cell and own.I == s.I and own.H == s.H and own.O == s.O
            and own.has_output_layer == s.has_output_layer)


cdef int update_stream_alone(crnn_atomic* busy, int dtype, Sizes sizes, void* parameters,
                             StreamData* stream) noexcept nogil:
    """Give a stream the parameters of the moment of a trainer or a learner; its state stays."""
    cdef int error = enter(&stream.busy, stream.dtype, dtype)
    cdef Call c
    if error:
        return error
    error = enter(busy, dtype, stream.dtype)
    if error:
        return leave(&stream.busy, error)
    if is_of_sizes(stream, sizes):
        c = call_of(&stream.layers[0])
        place_parameters(&c, dtype, parameters)
        run_alone(table(dtype).pack_forward, &c)
    else:
        error = CRNN_WRONG_SIZES
    leave(&stream.busy, error)
    return leave(busy, error)


cdef int update_by_trainer(TrainerData* data, StreamData* stream) noexcept nogil:
    return update_stream_alone(&data.busy, data.dtype, data.call.sizes, data.parameters, stream)


cdef inline TrainerData* trainer_of(Trainer self) except NULL:
    if (<TrainerData*> self.data).dtype == NO_DTYPE:
        raise TypeError("trainer: expected one that __init__ has made, got an empty one")
    return <TrainerData*> self.data


cdef int raise_if_busy(int error) except -1:
    if error == CRNN_BUSY:
        raise RuntimeError(contracts.TRAINER_BUSY)
    return 0


cdef class Trainer:
    """A network that is trained on batches of one size, without the GIL and without allocations.

    `crnn.RNN.trainer` makes one. One thread at a time may use it.

    Parameters
    ----------
    cell : str
    theta : array (P,)
        The parameters; changed by each step.
    T, B : int
        Time steps and sequences of a batch.
    input_size, hidden_size, output_size : int
        An output_size of 0 means no output layer.
    loss, max_norm, max_value, optimizer, memory, settings, constraints, steps
        As of `rnn_train`.
    lr : float
        The learning rate.
    """

    def __cinit__(self):
        self.data = PyMem_Calloc(1, sizeof(TrainerData))
        if not self.data:
            raise MemoryError
        (<TrainerData*> self.data).dtype = NO_DTYPE

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __init__(self, cell, theta, Py_ssize_t T, Py_ssize_t B, Py_ssize_t input_size,
                 Py_ssize_t hidden_size, Py_ssize_t output_size, loss, max_norm, max_value,
                 optimizer, dict memory, dict settings, constraints, steps, double lr):
        cdef TrainerData* data = <TrainerData*> self.data
        cdef int dtype = float_type(theta)
        cdef Sizes s = as_sizes(cell, T, B, input_size, hidden_size, output_size)
        cdef Py_ssize_t n = parameter_count(s), needed
        cdef Call* c = &data.call
        if data.dtype != NO_DTYPE:
            raise RuntimeError("trainer: expected to be made once, got a second __init__")
        if not positive(s) or loss not in GRADIENT_LOSSES or not 0 <= lr < INFINITY:
            raise ValueError("trainer: expected sizes of at least 1, a known loss and an lr from 0")
        data.parameters = vector(theta, dtype, n, WRITTEN)
        data.steps = <Py_ssize_t*> vector(steps, np.NPY_INTP, 1, WRITTEN)
        if not (data.parameters and data.steps):
            raise TypeError("trainer: expected parameters and a number of steps that it can take")
        data.optimizer = read_optimizer(optimizer, memory, settings, constraints, theta)
        data.max_norm = INFINITY if max_norm is None else max_norm
        data.max_value = INFINITY if max_value is None else max_value
        data.lr = lr
        gradient = numpy.empty(n, theta.dtype)
        needed = max(table(dtype).gradient_workspace_size(NULL, s),
                     table(dtype).predict_workspace_size(NULL, s))
        workspace = numpy.empty(needed, theta.dtype)
        data.gradient = np.PyArray_DATA(<np.ndarray> gradient)
        c.sizes, c.loss = s, GRADIENT_LOSSES[loss]
        c.x.per_sequence, c.x.per_step = T * s.I, s.I
        c.workspace = np.PyArray_DATA(<np.ndarray> workspace)
        place_parameters(c, dtype, data.parameters)
        place_gradients(c, dtype, data.parameters, data.gradient)
        self.kept = theta, memory, steps, gradient, workspace, constraints
        data.dtype = dtype

    def train(self, x, y):
        """Take a step on arrays that fit.

        Returns
        -------
        loss : float
            Before the step.
        norm : float
            Of its gradient before clipping.
        taken : bool
        """
        cdef TrainerData* data = trainer_of(self)
        cdef Sizes s = data.call.sizes
        cdef bint is_classes = data.call.loss == CROSS_ENTROPY
        cdef const void* inputs = sequences(x, data.dtype, s.B, s.T, s.I, READ_WHOLE).data
        cdef const void* targets
        cdef double loss = 0, norm = 0
        cdef int error
        if is_classes:
            targets = matrix(y, np.NPY_INTP, s.B, s.T, READ)
        else:
            targets = sequences(y, data.dtype, s.B, s.T, s.O, READ_WHOLE).data
        if not (inputs and targets):
            raise TypeError("x, y: expected arrays that the trainer can take")
        with nogil:
            error = train_alone(data, data.dtype, is_classes, inputs, targets, &loss, &norm)
        if error == CRNN_WRONG_VALUE:
            raise ValueError(f"y: expected classes from 0 to {s.O - 1}")
        raise_if_busy(error)
        return loss, norm, error == CRNN_OK

    def predict(self, x, y):
        """Write the outputs of x (B, T, I) to y (B, T, O)."""
        cdef TrainerData* data = trainer_of(self)
        cdef Sizes s = data.call.sizes
        cdef const void* inputs = sequences(x, data.dtype, s.B, s.T, s.I, READ_WHOLE).data
        cdef void* outputs = sequences(y, data.dtype, s.B, s.T, s.O, WRITTEN_WHOLE).data
        cdef int error
        if not (inputs and outputs):
            raise TypeError("x, y: expected arrays that the trainer can take")
        with nogil:
            error = predict_alone(data, data.dtype, inputs, outputs)
        raise_if_busy(error)

    def copied(self):
        """Return copies of parameters, of the optimizer's vectors by name, and of the steps."""
        cdef TrainerData* data = trainer_of(self)
        raise_if_busy(enter(&data.busy, data.dtype, data.dtype))
        try:
            theta, memory, steps = self.kept[:3]
            vectors = {k: None if v is None else v.copy() for k, v in memory.items()}
            return theta.copy(), vectors, int(steps[0])
        finally:
            leave(&data.busy, 0)

    @property
    def steps(self):
        return trainer_of(self).steps[0]

    @property
    def lr(self):
        return trainer_of(self).lr

    @lr.setter
    def lr(self, double value):
        cdef int error = set_trainer_rate(trainer_of(self), value)
        if error == CRNN_WRONG_VALUE:
            raise ValueError(f"lr: expected a finite number of at least 0, got {value}")
        raise_if_busy(error)

    cdef int train_float(self, const float* x, const float* y, double* loss) noexcept nogil:
        cdef double norm
        return train_alone(<TrainerData*> self.data, np.NPY_FLOAT, False, x, y, loss, &norm)

    cdef int train_double(self, const double* x, const double* y, double* loss) noexcept nogil:
        cdef double norm
        return train_alone(<TrainerData*> self.data, np.NPY_DOUBLE, False, x, y, loss, &norm)

    cdef int train_classes_float(self, const float* x, const Py_ssize_t* y,
                                 double* loss) noexcept nogil:
        cdef double norm
        return train_alone(<TrainerData*> self.data, np.NPY_FLOAT, True, x, y, loss, &norm)

    cdef int train_classes_double(self, const double* x, const Py_ssize_t* y,
                                  double* loss) noexcept nogil:
        cdef double norm
        return train_alone(<TrainerData*> self.data, np.NPY_DOUBLE, True, x, y, loss, &norm)

    cdef int predict_float(self, const float* x, float* y) noexcept nogil:
        return predict_alone(<TrainerData*> self.data, np.NPY_FLOAT, x, y)

    cdef int predict_double(self, const double* x, double* y) noexcept nogil:
        return predict_alone(<TrainerData*> self.data, np.NPY_DOUBLE, x, y)

    cdef int update_stream(self, Stream stream) noexcept nogil:
        return update_by_trainer(<TrainerData*> self.data, <StreamData*> stream.data)
