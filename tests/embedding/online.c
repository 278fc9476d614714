/* A C extension that learns online: what a user of crnn.h would write. Numbers are in buffers of
   the network's dtype; functions return crnn's codes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <crnn.h>

static const crnn_api *crnn;

static int learn_once(crnn_learner *learner, const void *x, const void *y, void *y_hat,
                      double *loss) {
    crnn_block_sizes sizes = crnn->get_learner_sizes(learner);
    if (sizes.itemsize == 4 && sizes.reads_classes)
        return crnn->learn_classes_float(learner, (const float *)x, (const ptrdiff_t *)y,
                                         (float *)y_hat, loss);
    if (sizes.itemsize == 4)
        return crnn->learn_float(learner, (const float *)x, (const float *)y, (float *)y_hat, loss);
    if (sizes.reads_classes)
        return crnn->learn_classes_double(learner, (const double *)x, (const ptrdiff_t *)y,
                                          (double *)y_hat, loss);
    return crnn->learn_double(learner, (const double *)x, (const double *)y, (double *)y_hat, loss);
}

/* learn(learner, x, y, y_hat, count=1) -> (code, loss): the same step so many times, until an error
   comes. y may be None. */
static PyObject *learn(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y, y_hat;
    Py_ssize_t count = 1, i;
    double loss = 0;
    int error = CRNN_OK;
    crnn_learner *learner;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*z*w*|n", &object, &x, &y, &y_hat, &count))
        return NULL;
    learner = crnn->get_learner(object);
    if (learner) {
        Py_BEGIN_ALLOW_THREADS;
        for (i = 0; i < count && error == CRNN_OK; ++i)
            error = learn_once(learner, x.buf, y.buf, y_hat.buf, &loss);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    PyBuffer_Release(&y_hat);
    return learner ? Py_BuildValue("id", error, loss) : NULL;
}

/* predict(learner, x, y_hat) */
static PyObject *predict(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y_hat;
    crnn_learner *learner;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &object, &x, &y_hat))
        return NULL;
    learner = crnn->get_learner(object);
    if (learner && crnn->get_learner_sizes(learner).itemsize == 4)
        error = crnn->predict_next_float(learner, (const float *)x.buf, (float *)y_hat.buf);
    else if (learner)
        error = crnn->predict_next_double(learner, (const double *)x.buf, (double *)y_hat.buf);
    PyBuffer_Release(&x);
    PyBuffer_Release(&y_hat);
    return learner ? PyLong_FromLong(error) : NULL;
}

/* others(learner, buffer): what functions of the other dtype and of the other kind of targets say. */
static PyObject *others(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer b;
    crnn_learner *learner;
    crnn_block_sizes sizes;
    double loss = 0;
    int codes[3] = {0, 0, 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "Ow*", &object, &b))
        return NULL;
    learner = crnn->get_learner(object);
    if (learner) {
        float *f = (float *)b.buf;
        double *d = (double *)b.buf;
        sizes = crnn->get_learner_sizes(learner);
        if (sizes.itemsize == 4) {
            codes[0] = crnn->learn_double(learner, d, d, d, &loss);
            codes[1] = crnn->predict_next_double(learner, d, d);
        } else {
            codes[0] = crnn->learn_float(learner, f, f, f, &loss);
            codes[1] = crnn->predict_next_float(learner, f, f);
        }
        if (sizes.itemsize == 4)
            codes[2] = sizes.reads_classes
                           ? crnn->learn_float(learner, f, f, f, &loss)
                           : crnn->learn_classes_float(learner, f, (ptrdiff_t *)f, f, &loss);
        else
            codes[2] = sizes.reads_classes
                           ? crnn->learn_double(learner, d, d, d, &loss)
                           : crnn->learn_classes_double(learner, d, (ptrdiff_t *)d, d, &loss);
    }
    PyBuffer_Release(&b);
    return learner ? Py_BuildValue("iii", codes[0], codes[1], codes[2]) : NULL;
}

static PyObject *sizes(PyObject *self, PyObject *object) {
    crnn_learner *learner = crnn->get_learner(object);
    crnn_block_sizes s;
    (void)self;
    if (!learner)
        return NULL;
    s = crnn->get_learner_sizes(learner);
    return Py_BuildValue("nnnnnn", s.batch, s.time, s.inputs, s.outputs, s.itemsize,
                         s.reads_classes);
}

/* reset(learner, which): which is a buffer of bytes, or None for all sequences. */
static PyObject *reset(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer which;
    crnn_learner *learner;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oz*", &object, &which))
        return NULL;
    learner = crnn->get_learner(object);
    if (learner)
        error = crnn->reset_learner(learner, (const char *)which.buf);
    PyBuffer_Release(&which);
    return learner ? PyLong_FromLong(error) : NULL;
}

/* rate(learner, rate) */
static PyObject *rate(PyObject *self, PyObject *args) {
    PyObject *object;
    double value;
    crnn_learner *learner;
    (void)self;
    if (!PyArg_ParseTuple(args, "Od", &object, &value))
        return NULL;
    learner = crnn->get_learner(object);
    return learner ? PyLong_FromLong(crnn->set_learner_rate(learner, value)) : NULL;
}

/* update(learner, stream) */
static PyObject *update(PyObject *self, PyObject *args) {
    PyObject *object, *streaming;
    crnn_learner *learner;
    crnn_stream *stream;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &object, &streaming))
        return NULL;
    learner = crnn->get_learner(object);
    stream = learner ? crnn->get_stream(streaming) : NULL;
    return stream ? PyLong_FromLong(crnn->update_stream_by_learner(learner, stream)) : NULL;
}

static PyMethodDef methods[] = {
    {"learn", learn, METH_VARARGS, NULL},   {"predict", predict, METH_VARARGS, NULL},
    {"others", others, METH_VARARGS, NULL}, {"sizes", sizes, METH_O, NULL},
    {"reset", reset, METH_VARARGS, NULL},   {"rate", rate, METH_VARARGS, NULL},
    {"update", update, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "online", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_online(void) {
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
