/* A C extension that steps crnn streams: what a user of crnn.h would write. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <time.h>

#include <crnn.h>

static const crnn_api *crnn;

/* The clock's own time, some 20 ns, is in no sample: each one holds so many steps. */
enum { STEPS_TIMED = 100 };

/* run(stream, x, y, steps): x (steps, batch * inputs) and y (steps, batch * outputs) as buffers. */
static PyObject *run(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    Py_ssize_t steps, t;
    crnn_stream *stream;
    crnn_sizes sizes;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*n", &object, &x, &y, &steps))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream) {
        Py_BEGIN_ALLOW_THREADS;
        sizes = crnn->get_sizes(stream);
        for (t = 0; t < steps && error == CRNN_OK; ++t) {
            ptrdiff_t of_x = t * sizes.batch * sizes.inputs, of_y = t * sizes.batch * sizes.outputs;
            if (sizes.itemsize == 4)
                error = crnn->step_float(stream, (const float *)x.buf + of_x, (float *)y.buf + of_y);
            else
                error =
                    crnn->step_double(stream, (const double *)x.buf + of_x, (double *)y.buf + of_y);
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return stream ? PyLong_FromLong(error) : NULL;
}

/* nanoseconds(stream, x, y, samples): what a step takes, as the mean of STEPS_TIMED, sorted out by
   the caller. samples is a writable buffer of doubles. */
static PyObject *nanoseconds(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y, samples;
    Py_ssize_t i;
    crnn_stream *stream;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*w*", &object, &x, &y, &samples))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream) {
        Py_BEGIN_ALLOW_THREADS;
        for (i = 0; i < samples.len / (Py_ssize_t)sizeof(double); ++i) {
            struct timespec start, end;
            int step;
            clock_gettime(CLOCK_MONOTONIC, &start);
            for (step = 0; step < STEPS_TIMED; ++step)
                crnn->step_float(stream, (const float *)x.buf, (float *)y.buf);
            clock_gettime(CLOCK_MONOTONIC, &end);
            ((double *)samples.buf)[i] = ((double)(end.tv_sec - start.tv_sec) * 1e9 +
                                          (double)(end.tv_nsec - start.tv_nsec)) /
                                         STEPS_TIMED;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    PyBuffer_Release(&samples);
    if (!stream)
        return NULL;
    Py_RETURN_NONE;
}

/* codes(stream): what the functions of the other dtype say, and sizes. */
static PyObject *codes(PyObject *self, PyObject *object) {
    crnn_stream *stream = crnn->get_stream(object);
    crnn_sizes sizes;
    double scratch[64] = {0};
    int step, get, set;
    (void)self;
    if (!stream)
        return NULL;
    sizes = crnn->get_sizes(stream);
    if (sizes.itemsize == 4) {
        step = crnn->step_double(stream, scratch, scratch);
        get = crnn->get_state_double(stream, scratch);
        set = crnn->set_state_double(stream, scratch);
    } else {
        step = crnn->step_float(stream, (float *)scratch, (float *)scratch);
        get = crnn->get_state_float(stream, (float *)scratch);
        set = crnn->set_state_float(stream, (float *)scratch);
    }
    return Py_BuildValue("iiinnnnn", step, get, set, sizes.batch, sizes.inputs, sizes.hidden,
                         sizes.outputs, sizes.itemsize);
}

/* state(stream, buffer or None, set): read the state into a buffer, or set it from one; None: 0. */
static PyObject *state(PyObject *self, PyObject *args) {
    PyObject *object, *numbers;
    Py_buffer view = {0};
    crnn_stream *stream;
    int set, error = CRNN_OK, is_float;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOp", &object, &numbers, &set))
        return NULL;
    stream = crnn->get_stream(object);
    if (!stream)
        return NULL;
    if (numbers != Py_None && PyObject_GetBuffer(numbers, &view, PyBUF_WRITABLE) < 0)
        return NULL;
    is_float = crnn->get_sizes(stream).itemsize == 4;
    if (set && is_float)
        error = crnn->set_state_float(stream, (const float *)view.buf);
    else if (set)
        error = crnn->set_state_double(stream, (const double *)view.buf);
    else if (is_float)
        error = crnn->get_state_float(stream, (float *)view.buf);
    else
        error = crnn->get_state_double(stream, (double *)view.buf);
    if (view.obj)
        PyBuffer_Release(&view);
    return PyLong_FromLong(error);
}

typedef struct {
    crnn_stream *stream;
    const float *x;
    float *y;
    Py_ssize_t steps;
    int busy;
} Work;

static void *keep_stepping(void *argument) {
    Work *work = (Work *)argument;
    Py_ssize_t t;
    for (t = 0; t < work->steps; ++t)
        work->busy += crnn->step_float(work->stream, work->x, work->y) == CRNN_BUSY;
    return NULL;
}

/* collide(stream, x, steps): step one stream from two threads; how many calls were refused. */
static PyObject *collide(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x;
    Py_ssize_t steps;
    Work work[2];
    float y[2][64];
    pthread_t thread;
    int i, failed = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*n", &object, &x, &steps))
        return NULL;
    for (i = 0; i < 2; ++i) {
        work[i].stream = crnn->get_stream(object);
        work[i].x = (const float *)x.buf;
        work[i].y = y[i];
        work[i].steps = steps;
        work[i].busy = 0;
    }
    if (work[0].stream) {
        Py_BEGIN_ALLOW_THREADS;
        failed = pthread_create(&thread, NULL, keep_stepping, &work[1]);
        if (!failed) {
            keep_stepping(&work[0]);
            pthread_join(thread, NULL);
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x);
    if (!work[0].stream)
        return NULL;
    if (failed)
        return PyErr_Format(PyExc_OSError, "no thread: %d", failed);
    return Py_BuildValue("ii", work[0].busy, work[1].busy);
}

static PyMethodDef methods[] = {{"run", run, METH_VARARGS, NULL},
                                {"nanoseconds", nanoseconds, METH_VARARGS, NULL},
                                {"codes", codes, METH_O, NULL},
                                {"state", state, METH_VARARGS, NULL},
                                {"collide", collide, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "stepper", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_stepper(void) {
    PyObject *made;
    crnn = crnn_import();
    if (!crnn)
        return NULL;
    made = PyModule_Create(&module);
    if (made && PyModule_AddIntConstant(made, "version", crnn->version) < 0)
        Py_CLEAR(made);
    return made;
}
