# What other Cython code may cimport: `from crnn cimport Learner, Stream, Trainer`. crnn.h says what
# the functions do, and has the numbers that they return. Those at the end are for `views.pxd`.

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
    cdef int reset_sequences(self, const char* which) noexcept nogil


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


cdef class Learner:
    cdef void* data         # a crnn_learner of crnn.h
    cdef object kept        # the memory that it points to
    cdef object __weakref__

    cdef int learn_float(self, const float* x, const float* y, float* y_hat,
                         double* loss) noexcept nogil
    cdef int learn_double(self, const double* x, const double* y, double* y_hat,
                          double* loss) noexcept nogil
    cdef int learn_classes_float(self, const float* x, const Py_ssize_t* y, float* y_hat,
                                 double* loss) noexcept nogil
    cdef int learn_classes_double(self, const double* x, const Py_ssize_t* y, double* y_hat,
                                  double* loss) noexcept nogil
    cdef int predict_float(self, const float* x, float* y_hat) noexcept nogil
    cdef int predict_double(self, const double* x, double* y_hat) noexcept nogil
    cdef int reset_sequences(self, const char* which) noexcept nogil
    cdef int update_stream(self, Stream stream) noexcept nogil


cdef struct View:
    # A C-contiguous array; axes that it does not have count 1.
    void* data
    Py_ssize_t[3] shape

cdef Py_ssize_t view_workspace_size(int cell, Py_ssize_t T, Py_ssize_t B, Py_ssize_t I,
                                    Py_ssize_t H, Py_ssize_t O, size_t size) noexcept nogil
cdef int view_hidden_update(int cell, View x, View W_xh, View W_hh, View b_h, View h, View gates,
                            View workspace, size_t size) noexcept nogil
cdef int view_output_layer(int cell, View h, View W_hy, View b_y, View y, View workspace,
                           size_t size) noexcept nogil
cdef int view_bptt(int cell, View x, View h, View gates, View W_xh, View W_hh, View W_hy, View dy,
                   View dh, View da, View dstate, View dW_xh, View dW_hh, View db_h, View dW_hy,
                   View db_y, View dx, View workspace, size_t size) noexcept nogil
cdef int view_loss(bint is_mean, View y_hat, View y, View dy, double* loss,
                   size_t size) noexcept nogil
cdef int view_clip_norm(View values, double max_norm, double* norm, size_t size) noexcept nogil
cdef int view_sgd_step(View theta, View dtheta, View velocity, double lr, double momentum,
                       bint nesterov, double weight_decay, size_t size) noexcept nogil
