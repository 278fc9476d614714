# cython: language_level=3, boundscheck=False, freethreading_compatible=True
"""A Cython extension that steps crnn streams: what a user of `from crnn cimport Stream` writes."""

from crnn cimport Learner, Stream, Trainer


def run_float(Stream stream, const float[:, ::1] x, float[:, ::1] y):
    cdef Py_ssize_t t
    cdef int error = 0
    with nogil:
        for t in range(x.shape[0]):
            error |= stream.step_float(&x[t, 0], &y[t, 0])
    return error


def run_double(Stream stream, const double[:, ::1] x, double[:, ::1] y):
    cdef Py_ssize_t t
    cdef int error = 0
    with nogil:
        for t in range(x.shape[0]):
            error |= stream.step_double(&x[t, 0], &y[t, 0])
    return error


def repeat_float(Stream stream, const float[::1] x, float[::1] y, Py_ssize_t steps):
    """The same inputs in each step, and outputs in one place."""
    cdef Py_ssize_t _
    cdef int error = 0
    with nogil:
        for _ in range(steps):
            error |= stream.step_float(&x[0], &y[0])
    return error


def repeat_double(Stream stream, const double[::1] x, double[::1] y, Py_ssize_t steps):
    cdef Py_ssize_t _
    cdef int error = 0
    with nogil:
        for _ in range(steps):
            error |= stream.step_double(&x[0], &y[0])
    return error


def control(Stream stream, Trainer trainer, const float[:, ::1] x, const float[:, ::1] targets,
            float[:, ::1] y, Py_ssize_t window):
    """Predict each step; from the last `window` steps learn, and predict with what was learned."""
    cdef Py_ssize_t t, first
    cdef double loss = 0
    cdef int error = 0
    with nogil:
        for t in range(x.shape[0]):
            error |= stream.step_float(&x[t, 0], &y[t, 0])
            first = t + 1 - window
            if first >= 0:
                error |= trainer.train_float(&x[first, 0], &targets[first, 0], &loss)
                error |= trainer.update_stream(stream)
    return error, loss


def adapt(Learner learner, Stream stream, const float[:, ::1] x, const float[:, ::1] targets,
          float[:, ::1] y):
    """Learn from each step, and give the stream what was learned."""
    cdef Py_ssize_t t
    cdef double loss = 0
    cdef int error = 0
    with nogil:
        for t in range(x.shape[0]):
            error |= learner.learn_float(&x[t, 0], &targets[t, 0], &y[t, 0], &loss)
        error |= learner.update_stream(stream)
    return error, loss
