# What other Cython code may cimport: `from crnn cimport Stream`.

cdef class Stream:
    cdef void* data         # a crnn_stream of crnn.h
    cdef object parameters  # packed; copies of the stream share them
    cdef object states      # the memory of the states and gates
    cdef object convert
    cdef bint always_convert
    cdef readonly object batch_size
    cdef object __weakref__

    # Read x (batch * inputs scalars), move the state, write y (batch * outputs scalars), which may
    # be x. Numbers are not checked. Returns 0; -1 if another thread uses this stream; -2 if the
    # network has the other dtype.
    cdef int step_float(self, const float* x, float* y) noexcept nogil
    cdef int step_double(self, const double* x, double* y) noexcept nogil
