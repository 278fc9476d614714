# `Learner`: sequences that are predicted and learned from step by step, for Python, Cython and C.
# What a step needs is allocated once, so a step is its arithmetic alone.

cdef enum:
    MOST_LANES = 16     # of a register

# What a crnn_learner is
cdef struct LearnerData:
    crnn_atomic busy
    int dtype               # of NumPy; NO_DTYPE before __init__, when everything else is zero
    bint has_batch          # arrays have a batch axis
    bint releases_gil
    Call call               # of one step, without its inputs and targets
    Optimizer optimizer
    double lr
    double max_norm
    double max_value
    double loss
    Py_ssize_t* steps       # how many have been taken
    void* parameters
    void* gradient          # of the last step that learned
    void* next_gradient


cdef inline void exchange_with_next(Call* c, int dtype) noexcept nogil:
    """Make the state and the sensitivities after a step those before the next one."""
    exchange_states(c, dtype)
    c.S.data = <char*> c.S.data + c.S.per_step * itemsize(dtype)
    c.S.per_step = -c.S.per_step


cdef int learn_alone(LearnerData* data, int dtype, bint is_classes, const void* x, const void* y,
                     void* y_hat, double* loss, double* norm) noexcept nogil:
    """Take a step by the calling thread on x (B, I), with y (B, O) or classes (B,).

    y NULL: state and sensitivities move on, and nothing is learned. The outputs, the loss and the
    norm of its gradient are written; y_hat last of all, so it may be x or y.
    """
    cdef int error = enter(&data.busy, data.dtype, dtype)
    cdef Call* c = &data.call
    cdef Sizes s
    cdef Py_ssize_t n
    cdef bint taken
    if error:
        return error
    s = c.sizes
    n = parameter_count(s)
    if y != NULL and is_classes != (c.loss == CROSS_ENTROPY):
        return leave(&data.busy, CRNN_WRONG_VALUE)
    if y != NULL and is_classes and not all_below(<const Py_ssize_t*> y, s.B, s.O):
        return leave(&data.busy, CRNN_WRONG_VALUE)
    c.x.data, c.targets, c.losses = <void*> x, y, &data.loss
    place_gradients(c, dtype, data.parameters, data.next_gradient)
    run_alone(table(dtype).rtrl_step, c)
    loss[0] = data.loss
    norm[0] = clip_values(dtype, n, data.next_gradient, data.max_norm, data.max_value)
    taken = isfinite(norm[0]) and table(dtype).all_finite(s.B * s.O, c.y.data)
    if y != NULL:
        taken = (taken and isfinite(loss[0])
                 and take_step(&data.optimizer, dtype, n, data.parameters, data.next_gradient,
                               data.steps[0] + 1, data.lr))
    if not taken:
        return leave(&data.busy, CRNN_NOT_FINITE)
    if y != NULL:
        data.steps[0] += 1
        data.gradient, data.next_gradient = data.next_gradient, data.gradient
    exchange_with_next(c, dtype)
    memcpy(y_hat, c.y.data, s.B * s.O * itemsize(dtype))
    return leave(&data.busy, CRNN_OK)


cdef int predict_step_alone(LearnerData* data, int dtype, const void* x,
                            void* y_hat) noexcept nogil:
    """Write the outputs (B, O) that a step on x (B, I) would have; nothing moves."""
    cdef int error = enter(&data.busy, data.dtype, dtype)
    cdef Call* c = &data.call
    if error:
        return error
    c.x.data = <void*> x
    run_alone(table(dtype).rtrl_predict, c)
    memcpy(y_hat, c.y.data, c.sizes.B * c.sizes.O * itemsize(dtype))
    return leave(&data.busy, CRNN_OK)


cdef inline void clear_step(Sequences s, Py_ssize_t b, Py_ssize_t size) noexcept nogil:
    """Zeros at the first of a sequence's two steps."""
    memset(<char*> s.data + b * s.per_sequence * size, 0, max(s.per_step, -s.per_step) * size)


cdef int reset_learner_alone(LearnerData* data, const char* which) noexcept nogil:
    """Set the state and the sensitivities of these sequences to zero; NULL: of all."""
    if data.dtype == NO_DTYPE:
        return CRNN_WRONG_DTYPE
    cdef int error = enter(&data.busy, data.dtype, data.dtype)
    cdef Py_ssize_t b, size = itemsize(data.dtype)
    cdef Call* c = &data.call
    if error:
        return error
    for b in range(c.sizes.B):
        if which == NULL or which[b] != 0:
            clear_step(c.h, b, size)
            clear_step(c.S, b, size)
    return leave(&data.busy, CRNN_OK)


cdef int set_rate_of_learner(LearnerData* data, double lr) noexcept nogil:
    return set_rate_alone(&data.busy, data.dtype, &data.lr, lr)


cdef int update_by_learner(LearnerData* data, StreamData* stream) noexcept nogil:
    return update_stream_alone(&data.busy, data.dtype, data.call.sizes, data.parameters, stream)


cdef void copy_learner_states(LearnerData* data, bint to_rows, void* rows) noexcept nogil:
    """Copy the states to (B, S) rows, or from them."""
    cdef Call* c = &data.call
    cdef Py_ssize_t size = itemsize(data.dtype), H = c.sizes.H, blocks = c.sizes.cell.state_blocks
    cdef Py_ssize_t b, k
    cdef char* place
    cdef char* row
    for b in range(c.sizes.B):
        for k in range(blocks):
            place = <char*> c.h.data + (b * c.h.per_sequence + k * c.to_c) * size
            row = <char*> rows + (b * blocks + k) * H * size
            if to_rows:
                memcpy(row, place, H * size)
            else:
                memcpy(place, row, H * size)


cdef inline LearnerData* learner_of(Learner self) except NULL:
    if (<LearnerData*> self.data).dtype == NO_DTYPE:
        raise TypeError("learner: expected one that __init__ has made, got an empty one")
    return <LearnerData*> self.data


cdef int raise_if_learner_busy(int error) except -1:
    if error == CRNN_BUSY:
        raise RuntimeError(contracts.LEARNER_BUSY)
    return 0


# The data of one step's arrays, or NULL where they do not suit.
cdef inline void* features_of(const LearnerData* data, array, Py_ssize_t n, int flags) noexcept:
    # Inputs and targets of other classes are converted: a masked array has numbers that are none.
    if flags == READ and type(array) is not np.ndarray:
        return NULL
    if data.has_batch:
        return matrix(array, data.dtype, data.call.sizes.B, n, flags)
    return vector(array, data.dtype, n, flags)


cdef inline const void* targets_of(const LearnerData* data, y) noexcept:
    cdef const Py_ssize_t* classes = NULL
    if data.call.loss != CROSS_ENTROPY:
        return features_of(data, y, data.call.sizes.O, READ)
    if type(y) is not np.ndarray:
        return NULL
    if data.has_batch:
        classes = <const Py_ssize_t*> vector(y, np.NPY_INTP, data.call.sizes.B, READ)
    elif is_array(y, np.NPY_INTP, 0, READ):
        classes = <const Py_ssize_t*> np.PyArray_DATA(<np.ndarray> y)
    if classes != NULL and not all_below(classes, data.call.sizes.B, data.call.sizes.O):
        return NULL
    return classes


cdef inline bint all_probabilities(const LearnerData* data, const void* y) noexcept:
    cdef Py_ssize_t i
    cdef double value
    for i in range(data.call.sizes.B * data.call.sizes.O):
        value = ((<const double*> y)[i] if data.dtype == np.NPY_DOUBLE
                 else (<const float*> y)[i])
        if not 0 <= value <= 1:
            return False
    return True


cdef class Learner:
    """Sequences of which each step is predicted, and then learned from with its exact gradient.

    `crnn.RNN.learner` makes one. One thread at a time may use it. A step takes neither the GIL nor
    memory.

    Parameters
    ----------
    cell : str
    theta : array (P,)
        The parameters; changed by each step that learns, and read anew by each step.
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    input_size, hidden_size, output_size : int
        An output_size of 0 means no output layer.
    loss : {"mse", "sse", "cross_entropy", "binary_cross_entropy", "huber"}
    max_norm, max_value, optimizer, memory, settings, constraints, steps
        As of `rnn_train`.
    lr : float
        The learning rate.
    delta : float
        The setting of the loss "huber".
    """

    def __cinit__(self):
        self.data = PyMem_Calloc(1, sizeof(LearnerData))
        if not self.data:
            raise MemoryError
        (<LearnerData*> self.data).dtype = NO_DTYPE

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __init__(self, cell, theta, batch_size, Py_ssize_t input_size, Py_ssize_t hidden_size,
                 Py_ssize_t output_size, loss, max_norm, max_value, optimizer, dict memory,
                 dict settings, constraints, steps, double lr, double delta=1.0):
        cdef LearnerData* data = <LearnerData*> self.data
        cdef int dtype = float_type(theta)
        cdef Sizes s = as_sizes(cell, 1, 1 if batch_size is None else batch_size, input_size,
                                hidden_size, output_size)
        cdef Py_ssize_t n = parameter_count(s)
        cdef Call* c = &data.call
        if data.dtype != NO_DTYPE:
            raise RuntimeError("learner: expected to be made once, got a second __init__")
        if has_leak(s):
            contracts.check_learner_cell(cell)
        if not positive(s) or loss not in LOSSES or not 0 <= lr < INFINITY:
            raise ValueError("learner: expected sizes of at least 1, a known loss and an lr from 0")
        data.parameters = vector(theta, dtype, n, WRITTEN)
        data.steps = <Py_ssize_t*> vector(steps, np.NPY_INTP, 1, WRITTEN)
        if not (data.parameters and data.steps):
            raise TypeError("learner: expected parameters and a number of steps that it can take")
        data.optimizer = read_optimizer(optimizer, memory, settings, constraints, theta)
        # `rtrl_workspace_size` would overflow.
        if (4.0 * s.B * s.cell.state_blocks * (s.H + MOST_LANES) * (n + s.O + MOST_LANES)
                * itemsize(dtype) > PY_SSIZE_T_MAX):
            raise MemoryError
        data.max_norm = INFINITY if max_norm is None else max_norm
        data.max_value = INFINITY if max_value is None else max_value
        data.lr = lr
        # Written, so that no step is the first to touch a page.
        workspace = numpy.empty(table(dtype).rtrl_workspace_size(NULL, s), theta.dtype)
        workspace.fill(0)
        gradients = numpy.empty((2, n + MOST_LANES), theta.dtype)
        gradients.fill(0)
        data.gradient = np.PyArray_DATA(<np.ndarray> gradients)
        data.next_gradient = <char*> data.gradient + (n + MOST_LANES) * itemsize(dtype)
        c.sizes, c.loss, c.huber_delta = s, LOSSES[loss], delta
        c.x.per_sequence = c.x.per_step = s.I
        place_parameters(c, dtype, data.parameters)
        table(dtype).place_rtrl(NULL, c, np.PyArray_DATA(<np.ndarray> workspace))
        data.has_batch = batch_size is not None
        data.releases_gil = (<double> s.B * s.cell.state_blocks * s.H * s.H * n >= LONG_STEP)
        self.kept = theta, memory, steps, gradients, workspace, constraints
        data.dtype = dtype

    def fits(self, x, y, out):
        """Return whether `step` can take these as they are.

        Parameters
        ----------
        x : array (B, I) or (I,)
            C-contiguous, of the dtype of theta, finite.
        y : array (B, O) or (O,), or for "cross_entropy" (B,) or () of intp; or None
            Likewise; for "binary_cross_entropy" from 0 to 1.
        out : array (B, O) or (O,)
            C-contiguous and writable, of the dtype of theta.
        """
        cdef LearnerData* data = learner_of(self)
        cdef Sizes s = data.call.sizes
        cdef Table* f = table(data.dtype)
        cdef const void* inputs = features_of(data, x, s.I, READ)
        cdef const void* targets
        if not (inputs and f.all_finite(s.B * s.I, inputs)
                and features_of(data, out, s.O, WRITTEN)):
            return False
        if y is None:
            return True
        targets = targets_of(data, y)
        if targets == NULL or data.call.loss == CROSS_ENTROPY:
            return targets != NULL
        if data.call.loss == BINARY_CROSS_ENTROPY:
            return all_probabilities(data, targets)
        return f.all_finite(s.B * s.O, targets)

    def step(self, x, y, out):
        """Predict a step, and learn from it; as a whole or not at all.

        Parameters
        ----------
        x, y, out
            As of `fits`. With y None nothing is learned: states and sensitivities move on. The
            outputs by the parameters before the step are written to out, which may be x or y.

        Returns
        -------
        loss : float
            Before the step; NaN without y.
        norm : float
            Of its gradient before clipping; NaN without y.
        taken : bool
            False: a number would not stay finite; nothing has changed.
        """
        cdef LearnerData* data = learner_of(self)
        cdef Sizes s = data.call.sizes
        cdef bint is_classes = data.call.loss == CROSS_ENTROPY
        cdef const void* inputs = features_of(data, x, s.I, READ)
        cdef void* outputs = features_of(data, out, s.O, WRITTEN)
        cdef const void* targets = NULL
        cdef double loss = NAN, norm = NAN
        cdef int error
        if y is not None:
            targets = targets_of(data, y)
        if not (inputs and outputs and (targets or y is None)):
            raise TypeError("x, y, out: expected arrays that the learner can take")
        if data.releases_gil:
            with nogil:
                error = learn_alone(data, data.dtype, is_classes, inputs, targets, outputs, &loss,
                                    &norm)
        else:
            error = learn_alone(data, data.dtype, is_classes, inputs, targets, outputs, &loss,
                                &norm)
        raise_if_learner_busy(error)
        return loss, NAN if y is None else norm, error == CRNN_OK

    def predict(self, x, out):
        """Write the outputs of the step that would come with x; nothing moves.

        Parameters
        ----------
        x, out
            As of `fits`; out may be x.
        """
        cdef LearnerData* data = learner_of(self)
        cdef Sizes s = data.call.sizes
        cdef const void* inputs = features_of(data, x, s.I, READ)
        cdef void* outputs = features_of(data, out, s.O, WRITTEN)
        if not (inputs and outputs):
            raise TypeError("x, out: expected arrays that the learner can take")
        raise_if_learner_busy(predict_step_alone(data, data.dtype, inputs, outputs))

    def reset(self, which):
        """Set states and sensitivities to zero.

        Parameters
        ----------
        which : array (B,) of bool, or None
            Of these sequences; None: of all.
        """
        cdef LearnerData* data = learner_of(self)
        cdef const char* marks = NULL
        if which is not None:
            marks = <const char*> vector(which, np.NPY_BOOL, data.call.sizes.B, READ)
            if marks == NULL:
                raise TypeError("which: expected a contiguous array of bools, one a sequence")
        raise_if_learner_busy(reset_learner_alone(data, marks))

    def copied(self):
        """Return copies of states (B, S) and sensitivities (B, S, n)."""
        cdef LearnerData* data = learner_of(self)
        cdef Sizes s = data.call.sizes
        cdef Py_ssize_t rows = s.cell.state_blocks * s.H
        cdef Py_ssize_t n = s.H * (s.cell.weight_blocks * (s.I + s.H) + s.cell.bias_blocks)
        like = self.kept[0].dtype
        states = numpy.empty((s.B, rows), like)
        sensitivities = numpy.empty((s.B, rows, n), like)
        raise_if_learner_busy(enter(&data.busy, data.dtype, data.dtype))
        copy_learner_states(data, True, np.PyArray_DATA(<np.ndarray> states))
        table(data.dtype).copy_sensitivities(NULL, &data.call, True,
                                             np.PyArray_DATA(<np.ndarray> sensitivities))
        leave(&data.busy, CRNN_OK)
        return states, sensitivities

    def restore(self, states, sensitivities):
        """Take states (B, S) and sensitivities (B, S, n); they are copied."""
        cdef LearnerData* data = learner_of(self)
        cdef Sizes s = data.call.sizes
        cdef Py_ssize_t rows = s.cell.state_blocks * s.H
        cdef Py_ssize_t n = s.H * (s.cell.weight_blocks * (s.I + s.H) + s.cell.bias_blocks)
        states, sensitivities = map(numpy.ascontiguousarray, (states, sensitivities))
        cdef void* state_rows = matrix(states, data.dtype, s.B, rows, READ)
        cdef void* sensitivity_rows = sequences(sensitivities, data.dtype, s.B, rows, n,
                                                READ_WHOLE).data
        if not (state_rows and sensitivity_rows):
            raise TypeError("states, sensitivities: expected arrays that the learner can take")
        raise_if_learner_busy(enter(&data.busy, data.dtype, data.dtype))
        copy_learner_states(data, False, state_rows)
        table(data.dtype).copy_sensitivities(NULL, &data.call, False, sensitivity_rows)
        leave(&data.busy, CRNN_OK)

    @property
    def gradient(self):
        """A copy of the gradient (P,) of the last step that learned, after clipping."""
        cdef LearnerData* data = learner_of(self)
        theta, gradients = self.kept[0], self.kept[3]
        raise_if_learner_busy(enter(&data.busy, data.dtype, data.dtype))
        try:
            is_second = data.gradient != np.PyArray_DATA(<np.ndarray> gradients)
            return gradients[int(is_second), :len(theta)].copy()
        finally:
            leave(&data.busy, CRNN_OK)

    @property
    def steps(self):
        return learner_of(self).steps[0]

    @property
    def lr(self):
        return learner_of(self).lr

    @lr.setter
    def lr(self, double value):
        cdef int error = set_rate_of_learner(learner_of(self), value)
        if error == CRNN_WRONG_VALUE:
            raise ValueError(f"lr: expected a finite number of at least 0, got {value}")
        raise_if_learner_busy(error)

    cdef int learn_float(self, const float* x, const float* y, float* y_hat,
                         double* loss) noexcept nogil:
        cdef double norm
        return learn_alone(<LearnerData*> self.data, np.NPY_FLOAT, False, x, y, y_hat, loss, &norm)

    cdef int learn_double(self, const double* x, const double* y, double* y_hat,
                          double* loss) noexcept nogil:
        cdef double norm
        return learn_alone(<LearnerData*> self.data, np.NPY_DOUBLE, False, x, y, y_hat, loss, &norm)

    cdef int learn_classes_float(self, const float* x, const Py_ssize_t* y, float* y_hat,
                                 double* loss) noexcept nogil:
        cdef double norm
        return learn_alone(<LearnerData*> self.data, np.NPY_FLOAT, True, x, y, y_hat, loss, &norm)

    cdef int learn_classes_double(self, const double* x, const Py_ssize_t* y, double* y_hat,
                                  double* loss) noexcept nogil:
        cdef double norm
        return learn_alone(<LearnerData*> self.data, np.NPY_DOUBLE, True, x, y, y_hat, loss, &norm)

    cdef int predict_float(self, const float* x, float* y_hat) noexcept nogil:
        return predict_step_alone(<LearnerData*> self.data, np.NPY_FLOAT, x, y_hat)

    cdef int predict_double(self, const double* x, double* y_hat) noexcept nogil:
        return predict_step_alone(<LearnerData*> self.data, np.NPY_DOUBLE, x, y_hat)

    cdef int reset_sequences(self, const char* which) noexcept nogil:
        return reset_learner_alone(<LearnerData*> self.data, which)

    cdef int update_stream(self, Stream stream) noexcept nogil:
        return update_by_learner(<LearnerData*> self.data, <StreamData*> stream.data)
