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

   No function of the table but get_stream needs the GIL, and none allocates, locks or calls the
   operating system. One thread at a time may use a stream: while it does, calls of others return
   CRNN_BUSY and do nothing. Different streams are independent. */
#ifndef CRNN_H
#define CRNN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Later versions add members to the end of the table and change none. */
#define CRNN_API_VERSION 1
#define CRNN_API_MODULE "crnn.kernels.native"
#define CRNN_API_NAME CRNN_API_MODULE ".c_api"

enum {
    CRNN_OK = 0,
    CRNN_BUSY = -1,       /* another thread uses this stream */
    CRNN_WRONG_DTYPE = -2 /* the stream's network has the other dtype */
};

typedef struct crnn_stream crnn_stream;

typedef struct {
    ptrdiff_t batch, inputs, hidden, outputs;
    ptrdiff_t state;    /* scalars of one sequence's state: hidden; for an LSTM twice as many */
    ptrdiff_t itemsize; /* bytes of a scalar: 4, use the _float functions; 8, the _double ones */
} crnn_sizes;

typedef struct {
    int version;

    /* The stream of a Python object, a PyObject*; NULL and a TypeError if it is none. */
    crnn_stream *(*get_stream)(void *object);
    crnn_sizes (*get_sizes)(const crnn_stream *stream);

    /* Read one step's inputs, move the state, write the outputs. */
    int (*step_float)(crnn_stream *stream, const float *x, float *y);
    int (*step_double)(crnn_stream *stream, const double *x, double *y);

    /* The state, batch * state scalars; for an LSTM each sequence's h and then its c. Setting it
       from NULL makes it zero. */
    int (*get_state_float)(crnn_stream *stream, float *h);
    int (*get_state_double)(crnn_stream *stream, double *h);
    int (*set_state_float)(crnn_stream *stream, const float *h);
    int (*set_state_double)(crnn_stream *stream, const double *h);
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
