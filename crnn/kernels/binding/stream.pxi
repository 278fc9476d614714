# A network that is stepped as its inputs come: the class that Python and Cython see, and the
# functions that crnn.h declares for C. `reference.Stream` is its twin.

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


# A stream as C code sees it; crnn.h declares what may be done with it.
cdef struct Running:
    crnn_atomic busy
    int dtype
    Table* table
    Call call               # of one step; x and y are each step's own
    bint is_long            # worth other threads, and letting go of the GIL


cdef inline void exchange_states(Running* r) noexcept nogil:
    """Make the state that a step has written the one that the next step reads."""
    r.call.h.data = <char*> r.call.h.data + r.call.h.per_step * itemsize(r.dtype)
    r.call.h.per_step = -r.call.h.per_step


cdef inline int step_alone(Running* r, int dtype, const void* x, void* y) noexcept nogil:
    if r.dtype != dtype:
        return CRNN_WRONG_DTYPE
    if atomic_swap(&r.busy, 1):
        return CRNN_BUSY
    r.call.x.data, r.call.y.data = <void*> x, y
    run_alone(r.table.stream_step, &r.call)
    exchange_states(r)
    atomic_set(&r.busy, 0)
    return CRNN_OK


cdef void move_state(Running* r, const void* source, void* target) noexcept nogil:
    """Copy the state to (B, states * H) scalars, or from them; from neither, make it zero."""
    cdef Py_ssize_t b, k, size = itemsize(r.dtype), row = r.call.sizes.H * size
    cdef Py_ssize_t states = r.call.sizes.cell.states
    cdef char* h
    for b in range(r.call.sizes.B):
        for k in range(states):
            h = <char*> r.call.h.data + (b * r.call.h.per_sequence + k * r.call.to_c) * size
            if target:
                memcpy(<char*> target + (b * states + k) * row, h, row)
            elif source:
                memcpy(h, <const char*> source + (b * states + k) * row, row)
            else:
                memset(h, 0, row)


cdef int move_state_alone(Running* r, int dtype, const void* source, void* target) noexcept nogil:
    if r.dtype != dtype:
        return CRNN_WRONG_DTYPE
    if atomic_swap(&r.busy, 1):
        return CRNN_BUSY
    move_state(r, source, target)
    atomic_set(&r.busy, 0)
    return CRNN_OK


cdef int take(Running* r) except -1:
    """Keep other threads out of the stream."""
    if atomic_swap(&r.busy, 1):
        raise RuntimeError(streams.STREAM_BUSY)
    return 0


cdef void give(Running* r) noexcept:
    atomic_set(&r.busy, 0)


cdef start(Stream self, int dtype, const Call* call):
    """Take on a call with packed parameters, and begin with a state of zero."""
    cdef Running* r = <Running*> self.running
    cdef Sizes s = call.sizes
    # Two states a sequence, in whole cache lines, and an odd number of those from one sequence to
    # the next: a power of two would put the rows that a tile reads side by side into the same few
    # sets of the cache.
    cdef Py_ssize_t line = 64 // itemsize(dtype), kept = s.cell.kept * s.H
    cdef Py_ssize_t block = (s.H + line - 1) // line * line
    cdef Py_ssize_t state = s.cell.states * block, stride = 2 * state + line
    # One row more than there are sequences, to start at a cache line. NumPy refuses a size that
    # overflows; a product of our own would not.
    self.states = numpy.zeros((s.B + 1, stride), self.parameters.dtype)
    r.call = call[0]
    r.call.h.data = <void*> (<size_t> np.PyArray_DATA(<np.ndarray> self.states) + 63
                             & ~<size_t> 63)
    r.call.h.per_sequence, r.call.h.per_step, r.call.to_c = stride, state, block
    self.gates = numpy.empty((s.B, kept), self.parameters.dtype)
    r.call.gates.data = np.PyArray_DATA(<np.ndarray> self.gates)
    r.call.gates.per_sequence, r.call.gates.per_step = kept, kept
    r.call.x.per_sequence, r.call.x.per_step = s.I, s.I
    r.call.y.per_sequence, r.call.y.per_step = s.O, s.O
    r.table = table(dtype)
    r.is_long = s.B * s.H * (s.cell.gates * (s.I + s.H) + s.O) >= LONG_STEP
    r.dtype = dtype


cdef inline void* inputs_of(Stream self, x, Py_ssize_t* T) noexcept:
    """The data of one step's inputs, or of T steps' unless T is NULL; NULL if they do not fit.

    T is filled in.
    """
    cdef Running* r = <Running*> self.running
    cdef Sizes s = r.call.sizes
    cdef int batch_axes = self.batch_size is not None, axes = batch_axes + (T != NULL) + 1
    cdef np.npy_intp* shape
    cdef Py_ssize_t n = s.B * s.I
    if type(x) is not np.ndarray or not is_array(x, r.dtype, axes,
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
    # Without a converter nobody could say what is wrong: then whoever steps it has looked.
    if self.convert is not None and not r.table.all_finite(n, np.PyArray_DATA(<np.ndarray> x)):
        return NULL
    return np.PyArray_DATA(<np.ndarray> x)


cdef inline outputs_for(Stream self, Py_ssize_t T):
    """A new array for the outputs of T steps, without a time axis where T is 0."""
    cdef Sizes s = (<Running*> self.running).call.sizes
    cdef np.npy_intp[3] shape
    cdef int axes = 0
    if self.batch_size is not None:
        shape[axes] = s.B
        axes += 1
    if T:
        shape[axes] = T
        axes += 1
    shape[axes] = s.O
    return np.PyArray_EMPTY(axes + 1, shape, (<Running*> self.running).dtype, 0)


CONVERT = "convert: expected to return an array that the stream can take"


cdef state_for(Stream self):
    """A new array (batch, states * hidden) for the state."""
    cdef Sizes s = (<Running*> self.running).call.sizes
    return numpy.empty((s.B, s.cell.states * s.H), self.dtype)


cdef class Stream:
    """Sequences whose inputs come one step at a time: a state, and the parameters as they were.

    `RNN.stream` makes them. Outputs have the bits of `RNN.predict` on the same inputs, however
    they are cut into steps and blocks. One thread at a time may use a stream.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    dtype : numpy dtype
    state : array (batch, hidden) or (hidden,); of an LSTM the pair of h and c
        A copy of the last hidden state; may be assigned to.
    """

    def __cinit__(self):
        self.running = PyMem_Calloc(1, sizeof(Running))
        if not self.running:
            raise MemoryError
        (<Running*> self.running).dtype = -1
        (<Running*> self.running).call.sizes.cell = &cells[0]

    def __dealloc__(self):
        PyMem_Free(self.running)

    def __init__(self, cell, theta, Py_ssize_t input_size, Py_ssize_t hidden_size,
                 Py_ssize_t output_size, batch_size, convert):
        cdef Running* r = <Running*> self.running
        cdef Call c
        cdef int dtype = float_type(theta)
        cdef void* data
        if r.dtype >= 0:
            raise RuntimeError("stream: expected to be made once, got a second __init__")
        memset(&c, 0, sizeof(c))
        c.sizes.cell = cell_of(cell)
        c.sizes.T, c.sizes.B, c.sizes.I = 1, 1 if batch_size is None else batch_size, input_size
        c.sizes.H, c.sizes.O = hidden_size, output_size or hidden_size
        if not positive(c.sizes):
            raise ValueError("stream: expected sizes of at least 1")
        data = vector(theta, dtype, lay_parameters(&c, output_size != 0, dtype, NULL, NULL), READ)
        if not data:
            raise ValueError("theta: expected the parameters of a network of these sizes")
        lay_parameters(&c, output_size != 0, dtype, data, NULL)
        parameters = numpy.empty(table(dtype).packed_size(NULL, c.sizes), theta.dtype)
        table(dtype).lay_out_packed(NULL, c.sizes, np.PyArray_DATA(<np.ndarray> parameters),
                                    &c.packed)
        run_alone(table(dtype).pack_forward, &c)
        self.parameters, self.convert, self.batch_size = parameters, convert, batch_size
        start(self, dtype, &c)

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
        cdef Running* r = <Running*> self.running
        cdef void* x_t = inputs_of(self, x, NULL)
        cdef void* y_t
        if not x_t:
            x = self.convert("x", x, "inputs")
            x_t = inputs_of(self, x, NULL)
            if not x_t:
                raise TypeError(CONVERT)
        if out is None:
            out = outputs_for(self, 0)
            y_t = np.PyArray_DATA(<np.ndarray> out)
        elif self.batch_size is None:
            y_t = vector(out, r.dtype, r.call.sizes.O, WRITTEN)
        else:
            y_t = matrix(out, r.dtype, r.call.sizes.B, r.call.sizes.O, WRITTEN)
        if not y_t:
            streams.check_out(out, outputs_for(self, 0))
        take(r)
        r.call.x.data, r.call.y.data = x_t, y_t
        if r.is_long:
            with nogil:
                run_team(team_size(r.call.sizes), r.table.stream_step, &r.call)
        else:
            run_alone(r.table.stream_step, &r.call)
        exchange_states(r)
        give(r)
        return out

    def run(self, x):
        """Read a block of steps, move the state on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the state is as before.
        RuntimeError
            Another thread is using this stream.
        """
        cdef Running* r = <Running*> self.running
        cdef Call c = r.call
        cdef Py_ssize_t T = 0
        cdef void* data = inputs_of(self, x, &T)
        if not data:
            x = self.convert("x", x, "time inputs")
            data = inputs_of(self, x, &T)
            if not data:
                raise TypeError(CONVERT)
        y = outputs_for(self, T)
        h = state_for(self)
        c.sizes.T = T
        c.x.data, c.x.per_sequence = data, T * c.sizes.I
        c.y.data, c.y.per_sequence = np.PyArray_DATA(<np.ndarray> y), T * c.sizes.O
        c.h0 = c.h_n = np.PyArray_DATA(<np.ndarray> h)
        workspace = numpy.empty(r.table.predict_workspace_size(NULL, c.sizes), y.dtype)
        c.workspace = np.PyArray_DATA(<np.ndarray> workspace)
        take(r)
        with nogil:
            move_state(r, NULL, c.h_n)
            run_team(team_size(c.sizes), r.table.predict, &c)
            move_state(r, c.h_n, NULL)
        give(r)
        return y

    @property
    def state(self):
        """A copy of the last state (batch, hidden) or (hidden,), or a pair; may be assigned to."""
        state = state_for(self)
        take(<Running*> self.running)
        move_state(<Running*> self.running, NULL, np.PyArray_DATA(<np.ndarray> state))
        give(<Running*> self.running)
        return streams.public_state(state[0] if self.batch_size is None else state, self.hidden_size)

    @state.setter
    def state(self, value):
        cdef Running* r = <Running*> self.running
        cdef Sizes s = r.call.sizes
        state = streams.state_from(value, s.cell.states, self.convert)
        if self.batch_size is None:
            state = state[None]
        cdef void* data = matrix(state, r.dtype, s.B, s.cell.states * s.H, READ)
        if not data:
            raise TypeError(CONVERT)
        take(r)
        move_state(r, data, NULL)
        give(<Running*> self.running)

    @state.deleter
    def state(self):
        raise AttributeError("state: expected an assignment, got a deletion; reset() makes it zero")

    def reset(self):
        """Make the state zero.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        take(<Running*> self.running)
        move_state(<Running*> self.running, NULL, NULL)
        give(<Running*> self.running)

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
        cdef Running* r = <Running*> self.running
        state = state_for(self)
        take(r)
        move_state(r, NULL, np.PyArray_DATA(<np.ndarray> state))
        give(r)
        twin.parameters, twin.convert = self.parameters, self.convert
        twin.batch_size = self.batch_size
        start(twin, r.dtype, &r.call)
        move_state(<Running*> twin.running, np.PyArray_DATA(<np.ndarray> state), NULL)
        return twin

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        raise TypeError(streams.STREAM_PICKLED)

    @property
    def input_size(self):
        return (<Running*> self.running).call.sizes.I

    @property
    def hidden_size(self):
        return (<Running*> self.running).call.sizes.H

    @property
    def output_size(self):
        return (<Running*> self.running).call.sizes.O

    @property
    def dtype(self):
        return self.parameters.dtype

    def __repr__(self):
        return streams.stream_repr(self)

    cdef int step_float(self, const float* x, float* y) noexcept nogil:
        return step_alone(<Running*> self.running, np.NPY_FLOAT, x, y)

    cdef int step_double(self, const double* x, double* y) noexcept nogil:
        return step_alone(<Running*> self.running, np.NPY_DOUBLE, x, y)
