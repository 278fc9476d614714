/* A Python for RealtimeSanitizer, whose runtime has to be in the program: it ends the program at
   the first call in a function marked `nonblocking` that may block. realtime.py runs in it, with
   the module `marked`, whose loop over steps is such a function. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include <crnn.h>

static const crnn_api *crnn;

static int step_often(crnn_stream *stream, const void *x, void *y, Py_ssize_t steps, int is_float,
                      int trespass) __attribute__((nonblocking)) {
    Py_ssize_t t;
    int error = CRNN_OK;
    void *volatile memory = NULL; /* volatile: a compiler leaves out what nobody uses */
    for (t = 0; t < steps; ++t)
        error |= is_float ? crnn->step_float(stream, (const float *)x, (float *)y)
                          : crnn->step_double(stream, (const double *)x, (double *)y);
    if (trespass)
        memory = malloc((size_t)steps);
    if (trespass)
        free(memory);
    return error;
}

/* repeat(stream, x, y, steps, trespass): the same inputs in each step; trespass allocates after. */
static PyObject *repeat(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    Py_ssize_t steps;
    int error = CRNN_OK, trespass;
    crnn_stream *stream;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*np", &object, &x, &y, &steps, &trespass))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream)
        error = step_often(stream, x.buf, y.buf, steps, crnn->get_sizes(stream).itemsize == 4,
                           trespass);
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return stream ? PyLong_FromLong(error) : NULL;
}

static PyMethodDef methods[] = {{"repeat", repeat, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "marked", NULL, -1, methods, NULL, NULL, NULL, NULL};

static PyObject *make_module(void) {
    crnn = crnn_import();
    return crnn ? PyModule_Create(&module) : NULL;
}

int main(int argc, char **argv) {
    PyImport_AppendInittab("marked", make_module);
    return Py_BytesMain(argc, argv);
}
