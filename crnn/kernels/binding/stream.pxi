# `Stream`: a network whose inputs come one step at a time, for Python, Cython and C. Its parameters
# and its state are laid out as the loops read them, so that a step costs little more than its
# arithmetic. c_api.pxi has the functions for C.

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport ptrdiff_t
from libc.string cimport memcpy

cdef extern from "crnn.h":
    enum: CRNN_API_VERSION, CRNN_OK, CRNN_BUSY, CRNN_WRONG_DTYPE
    const char* CRNN_API_NAME
    ctypedef struct crnn_stream:
        pass
    ctypedef struct crnn_sizes:
        ptrdiff_t batch, inputs, hidden, outputs, state, itemsize
    ctypedef struct crnn_api:
        int version
        crnn_stream* (*get_stream)(void*) noexcept
        crnn_sizes (*get_sizes)(const crnn_stream*) noexcept nogil
        int (*step_float)(crnn_stream*, const float*, float*) noexcept nogil
        int (*step_double)(crnn_stream*, const double*, double*) noexcept nogil
        int (*get_state_float)(crnn_stream*, float*) noexcept nogil
        int (*get_state_double)(crnn_stream*, double*) noexcept nogil
        int (*set_state_float)(crnn_stream*, const float*) noexcept nogil
        int (*set_state_double)(crnn_stream*, const double*) noexcept nogil


# What a crnn_stream is
cdef struct StreamData:
    crnn_atomic busy
    int dtype               # of NumPy; NO_DTYPE before __init__, when everything else is zero
    Table* table
    Call call               # of one step, without x and y
    bint releases_gil

cdef enum:
    NO_DTYPE = -1


cdef inline void exchange_states(StreamData* data) noexcept nogil:
    """Make the state that a step has written the one that the next step reads."""
    data.call.h.data = <char*> data.call.h.data + data.call.h.per_step * itemsize(data.dtype)
    data.call.h.per_step = -data.call.h.per_step


cdef inline int step_alone(StreamData* data, int dtype, const void* x, void* y) noexcept nogil:
    if data.dtype != dtype:
        return CRNN_WRONG_DTYPE
    if atomic_swap(&data.busy, 1):
        return CRNN_BUSY
    data.call.x.data, data.call.y.data = <void*> x, y
    run_alone(data.table.stream_step, &data.call)
    exchange_states(data)
    atomic_set(&data.busy, 0)
    return CRNN_OK


cdef void move_state(StreamData* data, const void* source, void* target) noexcept nogil:
    """Copy the state to (B, states * H) scalars, or from them; from neither, make it zero."""
    cdef Py_ssize_t b, k, size = itemsize(data.dtype), row = data.call.sizes.H * size, offset
    cdef Py_ssize_t states = data.call.sizes.cell.state_blocks
    cdef char* h
    for b in range(data.call.sizes.B):
        for k in range(states):
            offset = b * data.call.h.per_sequence + k * data.call.to_c
            h = <char*> data.call.h.data + offset * size
            if target:
                memcpy(<char*> target + (b * states + k) * row, h, row)
            elif source:
                memcpy(h, <const char*> source + (b * states + k) * row, row)
            else:
                memset(h, 0, row)


cdef int move_state_alone(StreamData* data, int dtype, const void* source,
                          void* target) noexcept nogil:
    if data.dtype != dtype:
        return CRNN_WRONG_DTYPE
    if atomic_swap(&data.busy, 1):
        return CRNN_BUSY
    move_state(data, source, target)
    atomic_set(&data.busy, 0)
    return CRNN_OK


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


cdef Call call_of(const StreamData* data) noexcept nogil:
    """A call with the sizes and parameters: steps of other threads change the rest."""
    cdef Call c
    memset(&c, 0, sizeof(c))
    c.sizes, c.packed = data.call.sizes, data.call.packed
    return c


cdef start(Stream self, int dtype, const Call* call):
    """Take over a call with packed parameters; the state is zero."""
    cdef StreamData* data = <StreamData*> self.data
    cdef Sizes one = call.sizes
    # Memory for one sequence more than there are. NumPy refuses a product of sizes that overflows;
    # `stream_workspace_size` would not.
    one.B = 1
    self.states = numpy.zeros(
        (call.sizes.B + 1, table(dtype).stream_workspace_size(NULL, one)), self.parameters.dtype
    )
    data.call = call[0]
    data.table = table(dtype)
    data.table.place_stream(NULL, &data.call, np.PyArray_DATA(<np.ndarray> self.states))
    data.call.x.per_sequence = data.call.x.per_step = call.sizes.I
    data.call.y.per_sequence = data.call.y.per_step = call.sizes.O
    data.releases_gil = multiply_adds(call.sizes) >= LONG_STEP
    data.dtype = dtype


cdef inline void* inputs_of(Stream self, StreamData* data, x, Py_ssize_t* T) noexcept:
    """The data of one step's inputs, or of T steps' unless T is NULL; NULL if they do not fit.

    The number of steps is written to T.
    """
    cdef Sizes s = data.call.sizes
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
    cdef Sizes s = data.call.sizes
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


cdef state_for(Stream self, StreamData* data):
    """A new array (batch, states * hidden) for the state."""
    return numpy.empty((data.call.sizes.B, data.call.sizes.cell.state_blocks * data.call.sizes.H),
                       self.parameters.dtype)


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
    theta : array (P,)
        The parameters.
    input_size, hidden_size, output_size : int
        An output_size of 0 means no output layer.
    batch_size : int or None
    convert : callable or None
        Called with "x" or "state", what was passed, and the names of the array's axes after the
        batch; returns an array that fits, or raises. With lengths it gets these as well, and
        returns the pair of both arrays. None: the caller passes arrays that fit.
    always_convert : bool
        Inputs go through `convert` even where they are arrays that fit.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    dtype : numpy dtype
    state : array (batch, hidden) or (hidden,); for an LSTM: the pair (h, c)
        A copy of the last state; may be assigned to.
    """

    def __cinit__(self):
        self.data = PyMem_Calloc(1, sizeof(StreamData))
        if not self.data:
            raise MemoryError
        (<StreamData*> self.data).dtype = NO_DTYPE
        (<StreamData*> self.data).call.sizes.cell = &cells[0]

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __init__(self, cell, theta, Py_ssize_t input_size, Py_ssize_t hidden_size,
                 Py_ssize_t output_size, batch_size, convert, bint always_convert=False):
        cdef StreamData* data = <StreamData*> self.data
        cdef Call c
        cdef int dtype = float_type(theta)
        batch = 1 if batch_size is None else batch_size
        parameters = stream_parameters(cell, theta, input_size, hidden_size, output_size, batch)
        memset(&c, 0, sizeof(c))
        c.sizes = as_sizes(cell, 1, batch, input_size, hidden_size, output_size)
        table(dtype).place_packed(NULL, c.sizes, np.PyArray_DATA(<np.ndarray> parameters),
                                  &c.packed)
        acquire(data)
        try:
            if data.dtype != NO_DTYPE:
                raise RuntimeError("stream: expected to be made once, got a second __init__")
            self.parameters, self.convert, self.batch_size = parameters, convert, batch_size
            self.always_convert = always_convert
            start(self, dtype, &c)
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
            y_t = vector(out, data.dtype, data.call.sizes.O, WRITTEN)
        else:
            y_t = matrix(out, data.dtype, data.call.sizes.B, data.call.sizes.O, WRITTEN)
        if not y_t:
            streams.check_out(out, outputs_for(self, data, 0))
        acquire(data)
        data.call.x.data, data.call.y.data = x_t, y_t
        if data.releases_gil:
            with nogil:
                run_team(team_size(data.call.sizes), data.table.stream_step, &data.call, NULL)
        else:
            run_alone(data.table.stream_step, &data.call)
        exchange_states(data)
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
        cdef Call c = call_of(data)
        cdef Py_ssize_t T = 0, size, b
        cdef const Py_ssize_t* ends = NULL
        cdef void* inputs = NULL
        cdef void* last
        cdef bint is_whole
        cdef Order order
        cdef Interrupt memory
        cdef Interrupt* interrupt
        if lengths is not None and self.convert is not None:
            x, lengths = self.convert("x", x, "time inputs", lengths)
        elif not self.always_convert:
            inputs = inputs_of(self, data, x, &T)
        if not inputs:
            if lengths is None or self.convert is None:
                x = converted(self, x, "time inputs")
            axes = () if self.batch_size is None else (self.batch_size,)
            if type(x) is np.ndarray and (<object> x).shape == (*axes, 0, c.sizes.I):
                return numpy.empty((*axes, 0, c.sizes.O), self.parameters.dtype)
            inputs = inputs_of(self, data, x, &T)
            if not inputs:
                raise TypeError(_CONVERT)
        c.sizes.T = T
        if not read_lengths(lengths, c.sizes, &ends):
            raise TypeError(_LENGTHS)
        y = outputs_for(self, data, T)
        h = state_for(self, data)
        last = np.PyArray_DATA(<np.ndarray> h)
        c.x.data, c.x.per_sequence, c.x.per_step = inputs, T * c.sizes.I, c.sizes.I
        c.y.data, c.y.per_step = np.PyArray_DATA(<np.ndarray> y), c.sizes.O
        c.y.per_sequence = T * c.sizes.O
        workspace = numpy.empty(predict_size(data.dtype, c.sizes), y.dtype)
        c.workspace = np.PyArray_DATA(<np.ndarray> workspace)
        order = order_of(&c, data.dtype, ends, data.table.predict_workspace_size(NULL, c.sizes))
        put_in_order(&c.x, &order, False)
        put_in_order(&c.y, &order, False)
        interrupt = interrupt_of(c.sizes, &memory)
        acquire(data)
        with nogil:
            move_state(data, NULL, last)
            c.h0 = c.h_n = states_in_order(&order, last)
            run_team(team_size(c.sizes), data.table.predict, &c, interrupt)
            is_whole = interrupt == NULL or not interrupt.is_stopped
            if is_whole and ends != NULL:
                states_of_caller(&order, last)
                size = c.sizes.O * itemsize(data.dtype)
                for b in range(c.sizes.B):
                    memset(<char*> c.y.data + (b * T + ends[b]) * size, 0, (T - ends[b]) * size)
            if is_whole:
                move_state(data, last, NULL)
        release(data)
        raise_if_stopped(interrupt)
        return y

    @property
    def state(self):
        """A copy of the last state (batch, hidden) or (hidden,), or a pair; may be assigned to."""
        cdef StreamData* data = data_of(self)
        state = state_for(self, data)
        acquire(data)
        move_state(data, NULL, np.PyArray_DATA(<np.ndarray> state))
        release(data)
        return streams.public_state(
            state[0] if self.batch_size is None else state, data.call.sizes.H
        )

    @state.setter
    def state(self, value):
        cdef StreamData* data = data_of(self)
        cdef Sizes s = data.call.sizes
        state = streams.state_from(value, s.cell.state_blocks, self.convert)
        if self.batch_size is None:
            state = state[None]
        cdef void* source = matrix(state, data.dtype, s.B, s.cell.state_blocks * s.H, READ)
        if not source:
            raise TypeError(_CONVERT)
        acquire(data)
        move_state(data, source, NULL)
        release(data)

    @state.deleter
    def state(self):
        raise AttributeError(streams.STATE_DELETED)

    def reset(self):
        """Return to the state that sequences start from: zero.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        cdef StreamData* data = data_of(self)
        acquire(data)
        move_state(data, NULL, NULL)
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
        cdef Call c = call_of(data)
        state = state_for(self, data)
        acquire(data)
        move_state(data, NULL, np.PyArray_DATA(<np.ndarray> state))
        release(data)
        twin.parameters, twin.convert = self.parameters, self.convert
        twin.batch_size, twin.always_convert = self.batch_size, self.always_convert
        start(twin, data.dtype, &c)
        move_state(<StreamData*> twin.data, np.PyArray_DATA(<np.ndarray> state), NULL)
        return twin

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        raise TypeError(streams.STREAM_PICKLED)

    @property
    def input_size(self):
        return (<StreamData*> self.data).call.sizes.I

    @property
    def hidden_size(self):
        return (<StreamData*> self.data).call.sizes.H

    @property
    def output_size(self):
        return (<StreamData*> self.data).call.sizes.O

    @property
    def dtype(self):
        data_of(self)
        return self.parameters.dtype

    def __repr__(self):
        return streams.stream_repr(self)

    cdef int step_float(self, const float* x, float* y) noexcept nogil:
        return step_alone(<StreamData*> self.data, np.NPY_FLOAT, x, y)

    cdef int step_double(self, const double* x, double* y) noexcept nogil:
        return step_alone(<StreamData*> self.data, np.NPY_DOUBLE, x, y)
