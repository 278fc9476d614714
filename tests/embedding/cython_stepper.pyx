# cython: language_level=3, boundscheck=False, freethreading_compatible=True
"""A Cython extension that steps crnn streams: what a user of `from crnn cimport Stream` writes."""

from crnn cimport Stream


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
    cdef Py_ssize_t t
    cdef int error = 0
    with nogil:
        for t in range(steps):
            error |= stream.step_float(&x[0], &y[0])
    return error


def repeat_double(Stream stream, const double[::1] x, double[::1] y, Py_ssize_t steps):
    cdef Py_ssize_t t
    cdef int error = 0
    with nogil:
        for t in range(steps):
            error |= stream.step_double(&x[0], &y[0])
    return error
