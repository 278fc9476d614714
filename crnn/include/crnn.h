/* crnn from C and C++: step a trained network's stream without the GIL.

       #include <Python.h>
       #include <crnn.h>            // in the folder that crnn.get_include() names

       const crnn_api *crnn = crnn_import();                    // with the GIL, once
       crnn_stream *stream = crnn->get_stream(object);          // what net.stream() returned
       int error = crnn->step_float(stream, x, y);              // with or without the GIL

   A stream belongs to the Python object it came from: keep a reference to that object for as long
   as the pointer is used. The parameters are those of the moment in which the stream was made.
   x has batch * inputs scalars and y batch * outputs, one sequence after another; y may be x.
   Numbers are not checked: a NaN in x stays in the state.

   A trainer is what net.trainer(...) returned: it has parameters of its own, and trains them on
   batches of one size.

       crnn_trainer *trainer = crnn->get_trainer(object);
       error = crnn->train_float(trainer, x, y, &loss);         // a step of the optimizer
       error = crnn->update_stream(trainer, stream);            // the stream has learned, too

   A learner is what net.learner(...) returned: it predicts each step as it comes, then learns from
   it by real-time recurrent learning. The parameters that it changes are the network's own.

       crnn_learner *learner = crnn->get_learner(object);
       error = crnn->learn_float(learner, x, y, y_hat, &loss);  // y_hat is by what was known before

   No function of the table but get_stream, get_trainer and get_learner needs the GIL, and none
   allocates, locks or calls the operating system. One thread at a time may use a stream, a trainer
   or a learner: while it does, calls of others return CRNN_BUSY and do nothing. What returns an
   error has changed nothing. Different streams and trainers are independent, and so are learners of
   different networks. */
#ifndef CRNN_H
#define CRNN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Later versions add members to the end of the table and change none. */
#define CRNN_API_VERSION 3
#define CRNN_API_MODULE "crnn.kernels.native"
#define CRNN_API_NAME CRNN_API_MODULE ".c_api"

enum {
    CRNN_OK = 0,
    CRNN_BUSY = -1,        /* another thread uses this stream, trainer or learner */
    CRNN_WRONG_DTYPE = -2, /* its network has the other dtype */
    CRNN_WRONG_VALUE = -3, /* a category, a class, a number of steps or a rate is out of range;
                              a trainer's or learner's targets are classes, or are none */
    CRNN_WRONG_SIZES = -4, /* the stream is of another network, or it has copies */
    CRNN_NOT_FINITE = -5   /* the loss, its gradient, a new parameter, or a learner's new state:
                              no step was taken */
};

typedef struct crnn_stream crnn_stream;
typedef struct crnn_trainer crnn_trainer;
typedef struct crnn_learner crnn_learner;

typedef struct {
    ptrdiff_t batch, inputs, hidden, outputs;
    ptrdiff_t state;    /* scalars of one sequence's states of all layers: layers * hidden; for
                           an LSTM twice as many */
    ptrdiff_t itemsize; /* bytes of a scalar: 4, use the _float functions; 8, the _double ones */
} crnn_sizes;

typedef struct {
    ptrdiff_t batch, time, inputs, outputs; /* of the batches that a trainer takes; a learner's
                                               time is 1 */
    ptrdiff_t itemsize;
    ptrdiff_t reads_classes; /* whether targets are classes, for the loss "cross_entropy" */
} crnn_block_sizes;

typedef struct {
    int version;

    /* The stream of a Python object, a PyObject*; NULL and a TypeError if it is none. */
    crnn_stream *(*get_stream)(void *object);
    crnn_sizes (*get_sizes)(const crnn_stream *stream);

    /* Read one step's inputs, move the state, write the outputs. */
    int (*step_float)(crnn_stream *stream, const float *x, float *y);
    int (*step_double)(crnn_stream *stream, const double *x, double *y);

    /* The state, batch * state scalars: for each layer each sequence's h, for an LSTM h and then c.
       Setting it from NULL makes it the one that sequences start from: zero, or the trained h0. */
    int (*get_state_float)(crnn_stream *stream, float *h);
    int (*get_state_double)(crnn_stream *stream, double *h);
    int (*set_state_float)(crnn_stream *stream, const float *h);
    int (*set_state_double)(crnn_stream *stream, const double *h);

    /* From version 2 on */

    ptrdiff_t (*get_layers)(const crnn_stream *stream);

    /* A step whose inputs are categories: x has batch numbers from 0 to inputs - 1, each read as
       the vector that is 1 there and 0 elsewhere. */
    int (*step_categories_float)(crnn_stream *stream, const ptrdiff_t *x, float *y);
    int (*step_categories_double)(crnn_stream *stream, const ptrdiff_t *x, double *y);

    /* So many steps, from 0 up: x (batch, steps, inputs), y (batch, steps, outputs). y may be x
       where there are as many outputs as inputs. */
    int (*run_float)(crnn_stream *stream, ptrdiff_t steps, const float *x, float *y);
    int (*run_double)(crnn_stream *stream, ptrdiff_t steps, const double *x, double *y);

    /* The trainer of a Python object, a PyObject*; NULL and a TypeError if it is none. */
    crnn_trainer *(*get_trainer)(void *object);
    crnn_block_sizes (*get_block_sizes)(const crnn_trainer *trainer);

    /* A step of the optimizer on x (batch, time, inputs) and y (batch, time, outputs), or classes
       (batch, time) from 0 to outputs - 1. The loss before the step is written. */
    int (*train_float)(crnn_trainer *trainer, const float *x, const float *y, double *loss);
    int (*train_double)(crnn_trainer *trainer, const double *x, const double *y, double *loss);
    int (*train_classes_float)(crnn_trainer *trainer, const float *x, const ptrdiff_t *y,
                               double *loss);
    int (*train_classes_double)(crnn_trainer *trainer, const double *x, const ptrdiff_t *y,
                                double *loss);

    /* The outputs y (batch, time, outputs) of x (batch, time, inputs), by the parameters of the
       moment; sequences start from zero. */
    int (*predict_float)(crnn_trainer *trainer, const float *x, float *y);
    int (*predict_double)(crnn_trainer *trainer, const double *x, double *y);

    /* The learning rate of the steps that follow, from 0 up. */
    int (*set_learning_rate)(crnn_trainer *trainer, double rate);

    /* Give a stream of the same network the trainer's parameters; its state stays. */
    int (*update_stream)(crnn_trainer *trainer, crnn_stream *stream);

    /* From version 3 on */

    /* Return sequences to the states that they start from: those whose byte of `which`, (batch,),
       is not 0. NULL: all. */
    int (*reset_sequences)(crnn_stream *stream, const char *which);

    /* The learner of a Python object, a PyObject*; NULL and a TypeError if it is none. Python makes
       another one where the optimizer has been used elsewhere, so keep a reference to `core` of
       the object, and get the learner again after such a use. */
    crnn_learner *(*get_learner)(void *object);
    crnn_block_sizes (*get_learner_sizes)(const crnn_learner *learner);

    /* A step: the outputs y_hat (batch, outputs) of x (batch, inputs) by the parameters before it,
       then a step of the optimizer with the gradient of its loss by y (batch, outputs), or by
       classes (batch,) from 0 to outputs - 1. y NULL: the state moves on, nothing is learned, and
       the loss is NaN. y_hat may be x or y. */
    int (*learn_float)(crnn_learner *learner, const float *x, const float *y, float *y_hat,
                       double *loss);
    int (*learn_double)(crnn_learner *learner, const double *x, const double *y, double *y_hat,
                        double *loss);
    int (*learn_classes_float)(crnn_learner *learner, const float *x, const ptrdiff_t *y,
                               float *y_hat, double *loss);
    int (*learn_classes_double)(crnn_learner *learner, const double *x, const ptrdiff_t *y,
                                double *y_hat, double *loss);

    /* The outputs that a step on x would have; nothing moves. */
    int (*predict_next_float)(crnn_learner *learner, const float *x, float *y_hat);
    int (*predict_next_double)(crnn_learner *learner, const double *x, double *y_hat);

    /* A state of zero for sequences, as reset_sequences has them; what was learned stays. */
    int (*reset_learner)(crnn_learner *learner, const char *which);

    /* As set_learning_rate and update_stream for trainers. The optimizer in Python keeps its rate,
       which is the learner's again when it is changed there. */
    int (*set_learner_rate)(crnn_learner *learner, double rate);
    int (*update_stream_by_learner)(crnn_learner *learner, crnn_stream *stream);
} crnn_api;

#ifdef Py_PYTHON_H
/* The table of the installed crnn; NULL and an ImportError where its compiled kernels are absent
   or older than this header. */
static inline const crnn_api *crnn_import(void) {
    const crnn_api *api;
    /* PyCapsule_Import imports no module inside a package by itself before Python 3.12. */
    PyObject *module = PyImport_ImportModule(CRNN_API_MODULE);
    if (!module)
        return NULL;
    Py_DECREF(module);
    api = (const crnn_api *)PyCapsule_Import(CRNN_API_NAME, 0);
    if (api && api->version < CRNN_API_VERSION) {
        PyErr_Format(PyExc_ImportError, "crnn.h: expected version %d or later, got version %d",
                     CRNN_API_VERSION, api->version);
        return NULL;
    }
    return api;
}
#endif

#ifdef __cplusplus
}
#endif
#endif
