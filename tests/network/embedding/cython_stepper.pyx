# cython: language_level=3, boundscheck=False
"""A Cython extension that steps crnn streams: what a user of `from crnn cimport Stream` writes."""

import time

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


def nanoseconds(Stream stream, const float[::1] x, float[::1] y, Py_ssize_t steps):
    cdef Py_ssize_t t
    start = time.perf_counter_ns()
    with nogil:
        for t in range(steps):
            stream.step_float(&x[0], &y[0])
    return (time.perf_counter_ns() - start) / steps
