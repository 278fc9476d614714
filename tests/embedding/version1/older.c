/* An extension as it was written for version 1 of crnn.h, which stands beside it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <crnn.h>

static const crnn_api *crnn;

/* run(stream, x, y, h, steps): x (steps, batch * inputs), y (steps, batch * outputs) and the last
   state h (batch * state), as float buffers. */
static PyObject *run(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y, h;
    Py_ssize_t steps, t;
    crnn_stream *stream;
    crnn_sizes sizes;
    int error = CRNN_OK, fits = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*w*n", &object, &x, &y, &h, &steps))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream) {
        sizes = crnn->get_sizes(stream);
        fits = (size_t)h.len == (size_t)(sizes.batch * sizes.state) * sizeof(float);
        for (t = 0; t < steps && fits && error == CRNN_OK; ++t)
            error = crnn->step_float(stream, (const float *)x.buf + t * sizes.batch * sizes.inputs,
                                     (float *)y.buf + t * sizes.batch * sizes.outputs);
        if (fits && error == CRNN_OK)
            error = crnn->get_state_float(stream, (float *)h.buf);
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    PyBuffer_Release(&h);
    return stream ? Py_BuildValue("ii", fits, error) : NULL;
}

static PyMethodDef methods[] = {{"run", run, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "older", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_older(void) {
    PyObject *made;
    crnn = crnn_import();
    if (!crnn)
        return NULL;
    made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (made)
        PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED);
#endif
    return made;
}
