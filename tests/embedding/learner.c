/* A C extension that runs blocks and categories through streams, and trains: what a user of crnn.h
   would write. Numbers are in buffers of the network's dtype; functions return crnn's codes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <crnn.h>

static const crnn_api *crnn;

/* block(stream, x, y, steps, count=1): x (batch, steps, inputs), y (batch, steps, outputs); so many
   times, until an error comes. */
static PyObject *block(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    Py_ssize_t steps, count = 1, i;
    crnn_stream *stream;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*n|n", &object, &x, &y, &steps, &count))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream) {
        Py_BEGIN_ALLOW_THREADS;
        for (i = 0; i < count && error == CRNN_OK; ++i) {
            if (crnn->get_sizes(stream).itemsize == 4)
                error = crnn->run_float(stream, steps, (const float *)x.buf, (float *)y.buf);
            else
                error = crnn->run_double(stream, steps, (const double *)x.buf, (double *)y.buf);
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return stream ? PyLong_FromLong(error) : NULL;
}

/* categories(stream, numbers, y): a step; numbers (batch,) of ptrdiff_t. */
static PyObject *categories(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    crnn_stream *stream;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &object, &x, &y))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream && crnn->get_sizes(stream).itemsize == 4)
        error = crnn->step_categories_float(stream, (const ptrdiff_t *)x.buf, (float *)y.buf);
    else if (stream)
        error = crnn->step_categories_double(stream, (const ptrdiff_t *)x.buf, (double *)y.buf);
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return stream ? PyLong_FromLong(error) : NULL;
}

/* reset(stream, which): which is a buffer of bytes, or None for all sequences. */
static PyObject *reset(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer which;
    crnn_stream *stream;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oz*", &object, &which))
        return NULL;
    stream = crnn->get_stream(object);
    if (stream)
        error = crnn->reset_sequences(stream, (const char *)which.buf);
    PyBuffer_Release(&which);
    return stream ? PyLong_FromLong(error) : NULL;
}

static PyObject *layers(PyObject *self, PyObject *object) {
    crnn_stream *stream = crnn->get_stream(object);
    (void)self;
    return stream ? PyLong_FromSsize_t(crnn->get_layers(stream)) : NULL;
}

static int train_once(crnn_trainer *trainer, const void *x, const void *y, double *loss) {
    crnn_block_sizes sizes = crnn->get_block_sizes(trainer);
    if (sizes.itemsize == 4 && sizes.reads_classes)
        return crnn->train_classes_float(trainer, (const float *)x, (const ptrdiff_t *)y, loss);
    if (sizes.itemsize == 4)
        return crnn->train_float(trainer, (const float *)x, (const float *)y, loss);
    if (sizes.reads_classes)
        return crnn->train_classes_double(trainer, (const double *)x, (const ptrdiff_t *)y, loss);
    return crnn->train_double(trainer, (const double *)x, (const double *)y, loss);
}

/* train(trainer, x, y, count): so many steps on one batch; the last code and loss. */
static PyObject *train(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    Py_ssize_t count, i;
    crnn_trainer *trainer;
    double loss = 0;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*y*n", &object, &x, &y, &count))
        return NULL;
    trainer = crnn->get_trainer(object);
    if (trainer) {
        Py_BEGIN_ALLOW_THREADS;
        for (i = 0; i < count && error == CRNN_OK; ++i)
            error = train_once(trainer, x.buf, y.buf, &loss);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return trainer ? Py_BuildValue("id", error, loss) : NULL;
}

/* other(trainer, scratch): what functions of the other dtype, or of other targets, say. */
static PyObject *other(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer view;
    crnn_trainer *trainer;
    double loss = 0;
    int codes[3] = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "Ow*", &object, &view))
        return NULL;
    trainer = crnn->get_trainer(object);
    if (trainer && crnn->get_block_sizes(trainer).itemsize == 4) {
        double *scratch = (double *)view.buf;
        codes[0] = crnn->train_double(trainer, scratch, scratch, &loss);
        codes[1] = crnn->predict_double(trainer, scratch, scratch);
        codes[2] = crnn->train_classes_float(trainer, (const float *)view.buf,
                                             (const ptrdiff_t *)view.buf, &loss);
    } else if (trainer) {
        float *scratch = (float *)view.buf;
        codes[0] = crnn->train_float(trainer, scratch, scratch, &loss);
        codes[1] = crnn->predict_float(trainer, scratch, scratch);
        codes[2] = crnn->train_classes_double(trainer, (const double *)view.buf,
                                              (const ptrdiff_t *)view.buf, &loss);
    }
    PyBuffer_Release(&view);
    return trainer ? Py_BuildValue("iii", codes[0], codes[1], codes[2]) : NULL;
}

/* predict(trainer, x, y) */
static PyObject *predict(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_buffer x, y;
    crnn_trainer *trainer;
    int error = CRNN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &object, &x, &y))
        return NULL;
    trainer = crnn->get_trainer(object);
    if (trainer && crnn->get_block_sizes(trainer).itemsize == 4)
        error = crnn->predict_float(trainer, (const float *)x.buf, (float *)y.buf);
    else if (trainer)
        error = crnn->predict_double(trainer, (const double *)x.buf, (double *)y.buf);
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return trainer ? PyLong_FromLong(error) : NULL;
}

static PyObject *sizes(PyObject *self, PyObject *object) {
    crnn_trainer *trainer = crnn->get_trainer(object);
    crnn_block_sizes s;
    (void)self;
    if (!trainer)
        return NULL;
    s = crnn->get_block_sizes(trainer);
    return Py_BuildValue("nnnnnn", s.batch, s.time, s.inputs, s.outputs, s.itemsize,
                         s.reads_classes);
}

/* update(trainer, stream) */
static PyObject *update(PyObject *self, PyObject *args) {
    PyObject *object, *streaming;
    crnn_trainer *trainer;
    crnn_stream *stream;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &object, &streaming))
        return NULL;
    trainer = crnn->get_trainer(object);
    stream = trainer ? crnn->get_stream(streaming) : NULL;
    return stream ? PyLong_FromLong(crnn->update_stream(trainer, stream)) : NULL;
}

/* rate(trainer, rate) */
static PyObject *rate(PyObject *self, PyObject *args) {
    PyObject *object;
    double value;
    crnn_trainer *trainer;
    (void)self;
    if (!PyArg_ParseTuple(args, "Od", &object, &value))
        return NULL;
    trainer = crnn->get_trainer(object);
    return trainer ? PyLong_FromLong(crnn->set_learning_rate(trainer, value)) : NULL;
}

static PyMethodDef methods[] = {
    {"block", block, METH_VARARGS, NULL},     {"categories", categories, METH_VARARGS, NULL},
    {"layers", layers, METH_O, NULL},         {"train", train, METH_VARARGS, NULL},
    {"other", other, METH_VARARGS, NULL},     {"predict", predict, METH_VARARGS, NULL},
    {"sizes", sizes, METH_O, NULL},           {"update", update, METH_VARARGS, NULL},
    {"rate", rate, METH_VARARGS, NULL},       {"reset", reset, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "learner", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_learner(void) {
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
