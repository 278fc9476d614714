/* A C extension that steps crnn streams: what a user of crnn.h would write. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#ifdef __linux__
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <crnn.h>

static const crnn_api *crnn;

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

/* codes(stream, other, scratch): what step, get_state and set_state say, of the stream's dtype or of
   the other one; and the sizes. scratch is a writable buffer for all that they may write. */
static PyObject *codes(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer view;
    crnn_stream *stream;
    crnn_sizes sizes;
    int other, step, get, set;
    (void)self;
    if (!PyArg_ParseTuple(args, "Opw*", &object, &other, &view))
        return NULL;
    stream = crnn->get_stream(object);
    if (!stream) {
        PyBuffer_Release(&view);
        return NULL;
    }
    sizes = crnn->get_sizes(stream);
    if ((sizes.itemsize == 4) != other) {
        float *scratch = (float *)view.buf;
        step = crnn->step_float(stream, scratch, scratch);
        get = crnn->get_state_float(stream, scratch);
        set = crnn->set_state_float(stream, scratch);
    } else {
        double *scratch = (double *)view.buf;
        step = crnn->step_double(stream, scratch, scratch);
        get = crnn->get_state_double(stream, scratch);
        set = crnn->set_state_double(stream, scratch);
    }
    PyBuffer_Release(&view);
    return Py_BuildValue("iiinnnnnn", step, get, set, sizes.batch, sizes.inputs, sizes.hidden,
                         sizes.outputs, sizes.state, sizes.itemsize);
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
    ptrdiff_t x_step, y_step; /* scalars from one step's inputs and outputs to the next one's */
    Py_ssize_t steps;
    int busy;
} Work;

static void *keep_stepping(void *argument) {
    Work *work = (Work *)argument;
    Py_ssize_t t;
    for (t = 0; t < work->steps; ++t)
        work->busy += crnn->step_float(work->stream, work->x + t * work->x_step,
                                       work->y + t * work->y_step) == CRNN_BUSY;
    return NULL;
}

/* collide(stream, x, steps): step one stream from two threads; how many calls were refused. */
static PyObject *collide(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x;
    Py_ssize_t steps;
    Work work[2] = {{0}};
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

enum { MOST_THREADS = 8 };

/* side_by_side(streams, xs, ys, steps): each stream by a thread of its own, none of which Python
   knows, while this one holds the GIL: a step that waited for it would wait for ever. */
static PyObject *side_by_side(PyObject *self, PyObject *args) {
    PyObject *streams, *xs, *ys;
    Py_buffer views[2 * MOST_THREADS];
    Work work[MOST_THREADS] = {{0}};
    pthread_t threads[MOST_THREADS];
    Py_ssize_t steps, count, i, held = 0, started = 0;
    int busy = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!O!n", &PyList_Type, &streams, &PyList_Type, &xs, &PyList_Type,
                          &ys, &steps))
        return NULL;
    count = PyList_GET_SIZE(streams);
    if (count > MOST_THREADS || PyList_GET_SIZE(xs) != count || PyList_GET_SIZE(ys) != count)
        return PyErr_Format(PyExc_ValueError, "expected 3 lists as long, of up to %d", MOST_THREADS);
    for (i = 0; i < count; ++i) {
        crnn_sizes sizes;
        work[i].stream = crnn->get_stream(PyList_GET_ITEM(streams, i));
        if (!work[i].stream)
            goto done;
        sizes = crnn->get_sizes(work[i].stream);
        work[i].x_step = sizes.batch * sizes.inputs;
        work[i].y_step = sizes.batch * sizes.outputs;
        work[i].steps = steps;
        if (PyObject_GetBuffer(PyList_GET_ITEM(xs, i), &views[held], PyBUF_SIMPLE) < 0)
            goto done;
        work[i].x = (const float *)views[held++].buf;
        if (PyObject_GetBuffer(PyList_GET_ITEM(ys, i), &views[held], PyBUF_WRITABLE) < 0)
            goto done;
        work[i].y = (float *)views[held++].buf;
    }
    while (started < count &&
           !pthread_create(&threads[started], NULL, keep_stepping, &work[started]))
        ++started;
    for (i = 0; i < started; ++i) {
        pthread_join(threads[i], NULL);
        busy += work[i].busy;
    }
    if (started < count)
        PyErr_SetString(PyExc_OSError, "no thread");
done:
    while (held)
        PyBuffer_Release(&views[--held]);
    return PyErr_Occurred() ? NULL : PyLong_FromLong(busy);
}

/* repeat(stream, x, y, steps): the same inputs in each step, and outputs in one place. */
static PyObject *repeat(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    Py_ssize_t steps, t;
    crnn_stream *stream;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*n", &object, &x, &y, &steps))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream && crnn->get_sizes(stream).itemsize == 4)
        for (t = 0; t < steps; ++t)
            error |= crnn->step_float(stream, (const float *)x.buf, (float *)y.buf);
    else if (stream)
        for (t = 0; t < steps; ++t)
            error |= crnn->step_double(stream, (const double *)x.buf, (double *)y.buf);
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return stream ? PyLong_FromLong(error) : NULL;
}

/* calls_in(function, counter): by how much a counter moves while a Python function is called. It is
   the address of a C function without arguments that returns an unsigned long. */
static PyObject *calls_in(PyObject *self, PyObject *args) {
    PyObject *function, *result;
    unsigned long long address;
    unsigned long (*counter)(void), before;
    (void)self;
    if (!PyArg_ParseTuple(args, "OK", &function, &address))
        return NULL;
    counter = (unsigned long (*)(void))(size_t)address;
    before = counter();
    result = PyObject_CallNoArgs(function);
    before = counter() - before;
    Py_XDECREF(result);
    return result ? PyLong_FromUnsignedLong(before) : NULL;
}

/* confined(function, trespass): call a Python function in a child process to which the kernel allows
   no system call but to read, to write and to leave, and which is killed for any other; trespass
   makes one. Whether it came to its end, or None where nothing confines it. */
static PyObject *confined(PyObject *self, PyObject *args) {
    PyObject *function;
    int trespass;
    (void)self;
    if (!PyArg_ParseTuple(args, "Op", &function, &trespass))
        return NULL;
#ifdef __linux__
    {
        int state = -1;
        pid_t child = fork();
        if (child == 0) {
            PyObject *result = PyObject_CallNoArgs(function); /* what is made once is made here */
            if (result && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
                _exit(77);
            result = result ? PyObject_CallNoArgs(function) : NULL;
            if (trespass)
                syscall(SYS_getppid);
            syscall(SYS_exit, result ? 0 : 1);
        }
        if (child < 0 || waitpid(child, &state, 0) != child)
            return PyErr_SetFromErrno(PyExc_OSError);
        if (!WIFEXITED(state) || WEXITSTATUS(state) != 77)
            return PyBool_FromLong(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    }
#endif
    (void)trespass;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"run", run, METH_VARARGS, NULL},
                                {"codes", codes, METH_VARARGS, NULL},
                                {"state", state, METH_VARARGS, NULL},
                                {"collide", collide, METH_VARARGS, NULL},
                                {"side_by_side", side_by_side, METH_VARARGS, NULL},
                                {"repeat", repeat, METH_VARARGS, NULL},
                                {"calls_in", calls_in, METH_VARARGS, NULL},
                                {"confined", confined, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "stepper", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_stepper(void) {
    PyObject *made;
    crnn = crnn_import();
    if (!crnn)
        return NULL;
    made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    /* Otherwise a free-threaded Python would turn its GIL on. */
    if (made)
        PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED);
#endif
    if (made && PyModule_AddIntConstant(made, "version", crnn->version) < 0)
        Py_CLEAR(made);
    return made;
}
