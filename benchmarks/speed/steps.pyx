# cython: language_level=3, boundscheck=False
"""Timed steps of streams, from C and from Cython, and of trainers; without the GIL."""

from libc.stddef cimport ptrdiff_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cpython.object cimport PyObject

from crnn cimport Stream, Trainer

cdef extern from "crnn.h":
    ctypedef struct crnn_stream:
        pass
    ctypedef struct crnn_api:
        crnn_stream *(*get_stream)(void *stream)
        int (*step_float)(crnn_stream *stream, const float *x, float *y) nogil
    const crnn_api *crnn_import() except NULL

cdef const crnn_api *crnn = crnn_import()

# The clock takes some 20 ns, so each sample holds many steps.
cdef enum:
    STEPS = 100


cdef inline double now() noexcept nogil:
    """Return nanoseconds of a clock that only moves forward."""
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1e9 + time.tv_nsec


def from_c(object stream, const float[::1] x, float[::1] y, double[::1] samples):
    """Fill `samples` with nanoseconds per step, each the mean of 100 steps by `crnn.h`."""
    cdef crnn_stream *pointer = crnn.get_stream(<PyObject *> stream)
    cdef ptrdiff_t i, _
    cdef double start
    if pointer is NULL:
        raise TypeError("expected a stream of the compiled kernels")
    with nogil:
        for i in range(samples.shape[0]):
            start = now()
            for _ in range(STEPS):
                crnn.step_float(pointer, &x[0], &y[0])
            samples[i] = (now() - start) / STEPS


def from_cython(Stream stream, const float[::1] x, float[::1] y, double[::1] samples):
    """Fill `samples` with nanoseconds per step, each the mean of 100 steps by `Stream`."""
    cdef ptrdiff_t i, _
    cdef double start
    with nogil:
        for i in range(samples.shape[0]):
            start = now()
            for _ in range(STEPS):
                stream.step_float(&x[0], &y[0])
            samples[i] = (now() - start) / STEPS


def learn_from_cython(Trainer trainer, Stream stream, const float[:, ::1] x,
                      const float[:, ::1] targets, float[:, ::1] y, double[::1] samples):
    """Fill `samples` with nanoseconds: a step of a stream, one of the optimizer, an update.

    x and targets have the steps of a window, for a trainer of one sequence. All are there after as
    before, so each sample takes the same ones.
    """
    cdef ptrdiff_t i
    cdef int error = 0
    cdef double start, loss
    with nogil:
        for i in range(samples.shape[0]):
            start = now()
            error |= stream.step_float(&x[0, 0], &y[0, 0])
            error |= trainer.train_float(&x[0, 0], &targets[0, 0], &loss)
            error |= trainer.update_stream(stream)
            samples[i] = now() - start
    if error:
        raise RuntimeError("expected steps without an error")
