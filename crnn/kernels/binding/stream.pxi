# `Stream`: a network whose inputs come one step at a time, for Python, Cython and C. Its parameters
# and its states are laid out as the loops read them, so that a step costs little more than its
# arithmetic.

from cpython.mem cimport PyMem_Calloc, PyMem_Free

cdef inline StreamData* data_of(Stream self) except NULL:
    if (<StreamData*> self.data).dtype == NO_DTYPE:
        raise TypeError("stream: expected one that __init__ has made, got an empty one")
    return <StreamData*> self.data


cdef int acquire(StreamData* data) except -1:
    """Keep other threads out of the stream."""
    if atomic_swap(&data.busy, 1):
        raise RuntimeError(streams.STREAM_BUSY)
    return 0


cdef void release(StreamData* data) noexcept:
    atomic_set(&data.busy, 0)


cdef void step_by_teams(StreamData* data, void* x, void* y) noexcept nogil:
    """As `step_layers`, with as many threads as pay."""
    cdef Py_ssize_t layer
    cdef Call* c
    data.layers[0].x.data, data.layers[data.count - 1].y.data = x, y
    for layer in range(data.count):
        c = &data.layers[layer]
        run_team(team_size(c.sizes), data.table.stream_step, c, NULL)
        exchange_states(c, data.dtype)


cdef list packed_layers(cell, parameters, Call* layers):
    """The parameters of layers of these sizes, packed; the calls are pointed at them."""
    cdef Sizes s
    cdef Call* c
    packed = []
    for layer, theta in enumerate(parameters):
        if float_type(theta) != float_type(parameters[0]):
            raise TypeError("parameters: expected arrays of one dtype")
        c = &layers[<Py_ssize_t> layer]
        s = c.sizes
        own = stream_parameters(cell, theta, s.I, s.H, s.O if s.has_output_layer else 0, s.B)
        table(float_type(theta)).place_packed(NULL, s, np.PyArray_DATA(<np.ndarray> own), &c.packed)
        packed.append(own)
    return packed


cdef start(Stream self, int dtype, const Call* layers, Py_ssize_t count, first_states):
    """Take over the calls of layers with packed parameters; the states are the first ones."""
    cdef StreamData* data = <StreamData*> self.data
    cdef Sizes s, top = layers[count - 1].sizes
    cdef Py_ssize_t layer
    cdef Call* c
    cdef double work = 0
    like = self.parameters[0].dtype
    self.memory = [first_states, numpy.zeros((top.B, layers[0].sizes.I), like)]
    PyMem_Free(data.layers)  # of an __init__ that lacked memory
    data.layers = <Call*> PyMem_Calloc(count, sizeof(Call))
    if not data.layers:
        raise MemoryError
    data.table, data.first_states = table(dtype), NULL
    if first_states is not None:
        data.first_states = np.PyArray_BYTES(<np.ndarray> first_states)
    data.one_hot = np.PyArray_BYTES(<np.ndarray> self.memory[1])
    for layer in range(count):
        data.layers[layer] = call_of(&layers[layer])
        c = &data.layers[layer]
        s = c.sizes
        # Memory for one sequence more than there are. NumPy refuses a product of sizes that
        # overflows; `stream_workspace_size` would not.
        s.B = 1
        memory = numpy.zeros((top.B + 1, data.table.stream_workspace_size(NULL, s)), like)
        data.table.place_stream(NULL, c, np.PyArray_DATA(<np.ndarray> memory))
        c.x.per_sequence = c.x.per_step = s.I
        c.y.per_sequence = c.y.per_step = s.O
        self.memory.append(memory)
        if layer:
            outputs = numpy.empty((top.B, s.I), like)
            c.x.data = np.PyArray_DATA(<np.ndarray> outputs)
            data.layers[layer - 1].y.data = c.x.data
            self.memory.append(outputs)
        work += multiply_adds(c.sizes)
    data.releases_gil = work >= LONG_STEP
    data.count, data.dtype = count, dtype
    move_states(data, NULL, NULL)


cdef inline void* inputs_of(Stream self, StreamData* data, x, Py_ssize_t* T) noexcept:
    """The data of one step's inputs, or of T steps' unless T is NULL; NULL if they do not fit.

    The number of steps is written to T.
    """
    cdef Sizes s = sizes_of(data)
    cdef int batch_axes = self.batch_size is not None, axes = batch_axes + (T != NULL) + 1
    cdef np.npy_intp* shape
    cdef Py_ssize_t n = s.B * s.I
    if type(x) is not np.ndarray or not is_array(x, data.dtype, axes,
                                                 READ | np.NPY_ARRAY_C_CONTIGUOUS):
        return NULL
    shape = np.PyArray_DIMS(<np.ndarray> x)
    if (batch_axes and shape[0] != s.B) or shape[axes - 1] != s.I:
        return NULL
    if T:
        T[0] = shape[batch_axes]
        n *= T[0]
    if n == 0:
        return NULL
    # Without `convert` the caller has checked the numbers: here nobody could say what is wrong.
    if self.convert is not None and not data.table.all_finite(n, np.PyArray_DATA(<np.ndarray> x)):
        return NULL
    return np.PyArray_DATA(<np.ndarray> x)


cdef inline outputs_for(Stream self, StreamData* data, Py_ssize_t T):
    """A new array for the outputs of T steps, without a time axis where T is 0."""
    cdef Sizes s = sizes_of(data)
    cdef np.npy_intp[3] shape
    cdef int axes = 0
    if self.batch_size is not None:
        shape[axes] = s.B
        axes += 1
    if T:
        shape[axes] = T
        axes += 1
    shape[axes] = s.O
    return np.PyArray_EMPTY(axes + 1, shape, data.dtype, 0)


_CONVERT = "convert: expected to return an array that the stream can take"
_LENGTHS = "lengths: expected an intp array of a number from 0 to the steps of x for each sequence"
_UNCONVERTED = "x: expected an array that the stream can take as it is, for it has no `convert`"


cdef states_for(Stream self, StreamData* data):
    """A new array (layers, batch, states * hidden) for the states."""
    cdef Sizes s = sizes_of(data)
    return numpy.empty((data.count, s.B, s.cell.state_blocks * s.H), self.parameters[0].dtype)


cdef converted(Stream self, x, str axes):
    if self.convert is None:
        raise TypeError(_UNCONVERTED)
    return self.convert("x", x, axes)


cdef class Stream:
    """Sequences whose inputs come one step at a time: a state, and a copy of the parameters.

    The method `stream` of a network makes one. Outputs have the bits of `predict` on the same
    inputs, however these are divided into steps and blocks. One thread at a time may use a stream.

    Parameters
    ----------
    cell : str
    parameters : list of array (n,)
        Those of each layer, from the first to the last, whose end with the output layer's.
    input_size, hidden_size, output_size : int
        An output_size of 0 means no output layer.
    batch_size : int or None
    convert : callable or None
        Called with "x", what was passed, and the names of the array's axes after the batch;
        returns an array that fits, or raises. With lengths it gets these as well, and returns the
        pair of both arrays. Called with "state", a state and "hidden", it returns an array
        (layers, batch, states * hidden). None: the caller passes arrays that fit, and states in
        that form.
    always_convert : bool
        Inputs go through `convert` even where they are arrays that fit.
    first_states : array (layers, states * hidden) or None
        The states that sequences start from; None: zero.
    block_steps : int
        `run` takes so many steps through all layers at a time; 0: all.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    dtype : numpy dtype
    state : array (layers, batch, hidden), or for an LSTM a pair of such
        A copy of the last states, without the axis of a single layer or of a single sequence. It
        may be assigned to.
    """

    def __cinit__(self):
        self.data = PyMem_Calloc(1, sizeof(StreamData))
        if not self.data:
            raise MemoryError
        (<StreamData*> self.data).dtype = NO_DTYPE

    def __dealloc__(self):
        if self.data:
            PyMem_Free((<StreamData*> self.data).layers)
        PyMem_Free(self.data)

    def __init__(self, cell, parameters, Py_ssize_t input_size, Py_ssize_t hidden_size,
                 Py_ssize_t output_size, batch_size, convert, bint always_convert=False,
                 first_states=None, Py_ssize_t block_steps=0):
        cdef StreamData* data = <StreamData*> self.data
        cdef Py_ssize_t count = len(parameters), layer, I, O
        cdef int dtype
        cdef Call* layers
        if count == 0:
            raise ValueError("parameters: expected those of a layer or more, got none")
        dtype = float_type(parameters[0])
        batch = 1 if batch_size is None else batch_size
        calls = numpy.zeros(count * sizeof(Call), numpy.uint8)
        layers = <Call*> np.PyArray_DATA(<np.ndarray> calls)
        for layer in range(count):
            I = hidden_size if layer else input_size
            O = output_size if layer == count - 1 else 0
            layers[layer].sizes = as_sizes(cell, 1, batch, I, hidden_size, O)
        packed = packed_layers(cell, parameters, layers)
        if first_states is not None and not matrix(
            first_states, dtype, count, layers[0].sizes.cell.state_blocks * hidden_size, READ
        ):
            raise TypeError("first_states: expected an array that the stream can take")
        acquire(data)
        try:
            if data.dtype != NO_DTYPE:
                raise RuntimeError("stream: expected to be made once, got a second __init__")
            self.parameters, self.convert, self.batch_size = packed, convert, batch_size
            self.always_convert = always_convert
            data.steps_of_block = max(0, block_steps)
            start(self, dtype, layers, count, first_states)
        finally:
            release(data)

    def step(self, x, out=None):
        """Read the inputs of one step, move the state on, return the outputs.

        Nothing is allocated where `x` has the network's dtype, and `out` is given.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,)
        out : array (batch, outputs) or (outputs,), optional
            C-contiguous and of the network's dtype; the outputs are written to it. It may be `x`.

        Returns
        -------
        array (batch, outputs) or (outputs,)
            `out`, or a new array.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the state is as before.
        RuntimeError
            Another thread is using this stream.
        """
        cdef StreamData* data = data_of(self)
        cdef void* x_t = NULL if self.always_convert else inputs_of(self, data, x, NULL)
        cdef void* y_t
        if not x_t:
            x = converted(self, x, "inputs")
            x_t = inputs_of(self, data, x, NULL)
            if not x_t:
                raise TypeError(_CONVERT)
        if out is None:
            out = outputs_for(self, data, 0)
            y_t = np.PyArray_DATA(<np.ndarray> out)
        elif self.batch_size is None:
            y_t = vector(out, data.dtype, sizes_of(data).O, WRITTEN)
        else:
            y_t = matrix(out, data.dtype, sizes_of(data).B, sizes_of(data).O, WRITTEN)
        if not y_t:
            streams.check_out(out, outputs_for(self, data, 0))
        acquire(data)
        if data.releases_gil:
            with nogil:
                step_by_teams(data, x_t, y_t)
        else:
            step_layers(data, x_t, y_t)
        release(data)
        return out

    def run(self, x, lengths=None):
        """Read a block of steps, move the state on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)
        lengths : array (batch,), optional
            So many of its steps each sequence reads, from 0 to all; its state is then that after
            the last of them. What `x` holds past them has no effect.

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)
            Zero past a sequence's length.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the state is as before.
        RuntimeError
            Another thread is using this stream.
        """
        cdef StreamData* data = data_of(self)
        cdef Sizes s = sizes_of(data)
        cdef Block block
        cdef void* inputs = NULL
        cdef Interrupt memory
        cdef Interrupt* interrupt
        memset(&block, 0, sizeof(block))
        if lengths is not None and self.convert is not None:
            x, lengths = self.convert("x", x, "time inputs", lengths)
        elif not self.always_convert:
            inputs = inputs_of(self, data, x, &block.T)
        if not inputs:
            if lengths is None or self.convert is None:
                x = converted(self, x, "time inputs")
            axes = () if self.batch_size is None else (self.batch_size,)
            if type(x) is np.ndarray and (<object> x).shape == (*axes, 0, s.I):
                return numpy.empty((*axes, 0, s.O), self.parameters[0].dtype)
            inputs = inputs_of(self, data, x, &block.T)
            if not inputs:
                raise TypeError(_CONVERT)
        s.T = block.T
        if not read_lengths(lengths, s, &block.lengths):
            raise TypeError(_LENGTHS)
        y = outputs_for(self, data, block.T)
        states = states_for(self, data)
        block.steps = min(block.T, data.steps_of_block or block.T)
        block.x, block.y = <char*> inputs, np.PyArray_BYTES(<np.ndarray> y)
        block.states = np.PyArray_BYTES(<np.ndarray> states)
        scratch_memory = memory_of_block(data, &block, self.parameters[0].dtype)
        interrupt = interrupt_of(s, &memory)
        acquire(data)
        with nogil:
            move_states(data, NULL, block.states)
            if run_block(data, &block, interrupt):
                move_states(data, block.states, NULL)
        release(data)
        raise_if_stopped(interrupt)
        return y

    @property
    def state(self):
        """A copy of the last states; may be assigned to."""
        cdef StreamData* data = data_of(self)
        states = states_for(self, data)
        acquire(data)
        move_states(data, NULL, np.PyArray_DATA(<np.ndarray> states))
        release(data)
        layers, batch = 0 if data.count == 1 else slice(None), slice(None)
        return streams.public_state(
            states[layers, 0 if self.batch_size is None else batch], sizes_of(data).H
        )

    @state.setter
    def state(self, value):
        cdef StreamData* data = data_of(self)
        cdef Sizes s = sizes_of(data)
        cdef Py_ssize_t state = s.cell.state_blocks * s.H
        if self.convert is not None:
            value = self.convert("state", value, "hidden")
        cdef void* source = NULL
        if type(value) is np.ndarray and (<object> value).shape == (data.count, s.B, state):
            # Where the array is not contiguous this is a copy, which must stay until it is read.
            value = value.reshape(-1, state)
            source = matrix(value, data.dtype, data.count * s.B, state, READ)
        if not source:
            raise TypeError(_CONVERT)
        acquire(data)
        move_states(data, source, NULL)
        release(data)

    @state.deleter
    def state(self):
        raise AttributeError(streams.STATE_DELETED)

    def take_parameters(self, theta):
        """Go on with other parameters of the same network; the state stays.

        Parameters
        ----------
        theta : array (P,)
            A network's `flat_params`; they are copied.

        Raises
        ------
        ValueError, TypeError
            The shape or dtype does not fit; the stream is as before.
        RuntimeError
            Another thread is using this stream.
        """
        cdef StreamData* data = data_of(self)
        cdef Py_ssize_t layer, n, first = 0, states = 0
        cdef Sizes s = sizes_of(data)
        calls = numpy.empty(data.count * sizeof(Call), numpy.uint8)
        cdef Call* layers = <Call*> np.PyArray_DATA(<np.ndarray> calls)
        parts = []
        for layer in range(data.count):
            layers[layer] = call_of(&data.layers[layer])
            n = parameter_count(layers[layer].sizes)
            parts.append(slice(first, first + n))
            first += n
        if data.first_states:
            states = data.count * s.cell.state_blocks * s.H
        streams.check_parameters(theta, first + states, self.dtype)
        first_states = None
        if states:
            # h of all layers, then c
            trained = theta[first:].reshape(s.cell.state_blocks, data.count, s.H)
            first_states = trained.swapaxes(0, 1).reshape(data.count, -1).copy()
        cell = CELL_NAMES[s.cell - cells]
        packed = packed_layers(cell, [theta[part] for part in parts], layers)
        memory = [first_states, *self.memory[1:]]
        acquire(data)
        for layer in range(data.count):
            data.layers[layer].packed = layers[layer].packed
        if states:
            data.first_states = np.PyArray_BYTES(<np.ndarray> first_states)
        self.parameters, self.memory, data.shares_parameters = packed, memory, False
        release(data)

    def reset(self, which=None):
        """Return to the states that sequences start from: zero, or the trained h0.

        Parameters
        ----------
        which : array of bool (batch,), optional
            The sequences that return; the others go on. Default: all.

        Raises
        ------
        ValueError, TypeError
            A shape or dtype does not fit; the states are as before.
        RuntimeError
            Another thread is using this stream.
        """
        cdef StreamData* data = data_of(self)
        cdef const char* marks = NULL
        if which is not None:
            if self.convert is not None:
                which = self.convert("which", which, "sequences")
            marks = <const char*> vector(which, np.NPY_BOOL, sizes_of(data).B, READ)
            if marks == NULL:
                raise TypeError("which: expected a contiguous array of bools, one a sequence")
        acquire(data)
        move_states(data, NULL, NULL, marks)
        release(data)

    def copy(self):
        """Return a stream that goes on from the same state, independent of this one.

        Returns
        -------
        Stream

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        cdef Stream twin = Stream.__new__(Stream)
        cdef StreamData* data = data_of(self)
        states = states_for(self, data)
        calls = numpy.empty(data.count * sizeof(Call), numpy.uint8)
        cdef Call* layers = <Call*> np.PyArray_DATA(<np.ndarray> calls)
        # Together, and marked as shared: another thread may give the stream other parameters.
        acquire(data)
        move_states(data, NULL, np.PyArray_DATA(<np.ndarray> states))
        memcpy(layers, data.layers, data.count * sizeof(Call))
        twin.parameters, memory = self.parameters, self.memory
        data.shares_parameters = (<StreamData*> twin.data).shares_parameters = True
        release(data)
        twin.convert = self.convert
        twin.batch_size, twin.always_convert = self.batch_size, self.always_convert
        (<StreamData*> twin.data).steps_of_block = data.steps_of_block
        start(twin, data.dtype, layers, data.count, memory[0])
        move_states(<StreamData*> twin.data, np.PyArray_DATA(<np.ndarray> states), NULL)
        return twin

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        raise TypeError(streams.STREAM_PICKLED)

    @property
    def input_size(self):
        return sizes_of(<StreamData*> self.data).I

    @property
    def hidden_size(self):
        return sizes_of(<StreamData*> self.data).H

    @property
    def output_size(self):
        return sizes_of(<StreamData*> self.data).O

    @property
    def dtype(self):
        data_of(self)
        return self.parameters[0].dtype

    def __repr__(self):
        return streams.stream_repr(self)

    cdef int step_float(self, const float* x, float* y) noexcept nogil:
        return step_alone(<StreamData*> self.data, np.NPY_FLOAT, x, y)

    cdef int step_double(self, const double* x, double* y) noexcept nogil:
        return step_alone(<StreamData*> self.data, np.NPY_DOUBLE, x, y)

    cdef int step_categories_float(self, const Py_ssize_t* x, float* y) noexcept nogil:
        return step_categories_alone(<StreamData*> self.data, np.NPY_FLOAT, x, y)

    cdef int step_categories_double(self, const Py_ssize_t* x, double* y) noexcept nogil:
        return step_categories_alone(<StreamData*> self.data, np.NPY_DOUBLE, x, y)

    cdef int run_float(self, Py_ssize_t steps, const float* x, float* y) noexcept nogil:
        return run_steps_alone(<StreamData*> self.data, np.NPY_FLOAT, steps, x, y)

    cdef int run_double(self, Py_ssize_t steps, const double* x, double* y) noexcept nogil:
        return run_steps_alone(<StreamData*> self.data, np.NPY_DOUBLE, steps, x, y)

    cdef int reset_sequences(self, const char* which) noexcept nogil:
        return reset_alone(<StreamData*> self.data, which)
