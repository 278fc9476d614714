# What other Cython code may cimport: `from crnn cimport Stream`.

cdef class Stream:
    cdef void* running      # a crnn_stream, of crnn.h
    cdef object parameters  # packed; shared by copies
    cdef object states
    cdef object gates
    cdef object convert
    cdef readonly object batch_size
    cdef object __weakref__

    # Read x (batch * inputs scalars), move the state, write y (batch * outputs scalars), which may
    # be x. Numbers are not checked. Returns 0; -1 if another thread is in this stream; -2 if the
    # network is of the other dtype.
    cdef int step_float(self, const float* x, float* y) noexcept nogil
    cdef int step_double(self, const double* x, double* y) noexcept nogil
