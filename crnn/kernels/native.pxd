# What other Cython code may cimport: `from crnn cimport Stream, Trainer`. crnn.h says what the
# functions do, and has the numbers that they return.

cdef class Stream:
    cdef void* data         # a crnn_stream of crnn.h
    cdef object parameters  # packed, of each layer; copies of the stream share them
    cdef object memory      # the first states, one-hot vectors, and of each layer its states
    cdef object convert
    cdef bint always_convert
    cdef readonly object batch_size
    cdef object __weakref__

    cdef int step_float(self, const float* x, float* y) noexcept nogil
    cdef int step_double(self, const double* x, double* y) noexcept nogil
    cdef int step_categories_float(self, const Py_ssize_t* x, float* y) noexcept nogil
    cdef int step_categories_double(self, const Py_ssize_t* x, double* y) noexcept nogil
    cdef int run_float(self, Py_ssize_t steps, const float* x, float* y) noexcept nogil
    cdef int run_double(self, Py_ssize_t steps, const double* x, double* y) noexcept nogil


cdef class Trainer:
    cdef void* data         # a crnn_trainer of crnn.h
    cdef object kept        # the memory that it points to
    cdef object __weakref__

    cdef int train_float(self, const float* x, const float* y, double* loss) noexcept nogil
    cdef int train_double(self, const double* x, const double* y, double* loss) noexcept nogil
    cdef int train_classes_float(self, const float* x, const Py_ssize_t* y,
                                 double* loss) noexcept nogil
    cdef int train_classes_double(self, const double* x, const Py_ssize_t* y,
                                  double* loss) noexcept nogil
    cdef int predict_float(self, const float* x, float* y) noexcept nogil
    cdef int predict_double(self, const double* x, double* y) noexcept nogil
    cdef int update_stream(self, Stream stream) noexcept nogil
