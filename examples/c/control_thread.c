/* A C program with Python inside: Python loads a network and makes its stream, a thread of the
   program steps the stream each millisecond. The thread never asks for the GIL, so it goes on while
   Python computes.

       cc -O2 $(python3-config --includes) -I$(python -c 'import crnn; print(crnn.get_include())') \
           control_thread.c -o control_thread $(python3-config --ldflags --embed) -pthread
       ./control_thread $(which python) pump.npz 1000

   The arguments are the Python of the environment that has crnn, a float32 network of `net.save`
   with at most MOST_NUMBERS inputs and outputs, and the number of steps. The outputs are printed,
   one step a line; then, to the standard error, how long steps took and how late they began. */
#define _POSIX_C_SOURCE 200809L
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <crnn.h>

enum { PERIOD_NS = 1000000, MOST_NUMBERS = 64 };

/* What the thread has. Python's side reads `done` while the thread runs, and the rest after it. */
typedef struct {
    const crnn_api *crnn;
    crnn_stream *stream;
    crnn_sizes sizes;
    int steps;
    float *outputs; /* (steps, sizes.outputs) */
    int error;
    long long longest_ns, latest_ns;
    atomic_int done;
} Controller;

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The sensors at step t: in a program of yours, what the hardware gives. */
static void read_sensors(int t, float *x, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; ++i)
        x[i] = (float)((t * (i + 3)) % 17 - 8) / 8;
}

/* Nothing in here needs Python, allocates or locks. */
static void *control(void *argument) {
    Controller *c = (Controller *)argument;
    float x[MOST_NUMBERS];
    long long due = now_ns();
    for (int t = 0; t < c->steps && c->error == CRNN_OK; ++t, due += PERIOD_NS) {
        struct timespec at = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        long long start = now_ns();
        read_sensors(t, x, c->sizes.inputs);
        c->error = c->crnn->step_float(c->stream, x, c->outputs + t * c->sizes.outputs);
        long long took = now_ns() - start;
        c->longest_ns = took > c->longest_ns ? took : c->longest_ns;
        c->latest_ns = start - due > c->latest_ns ? start - due : c->latest_ns;
    }
    atomic_store(&c->done, 1);
    return NULL;
}

/* Start Python as the interpreter at this path would, with its packages. */
static int start_python(const char *interpreter) {
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, interpreter);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        fprintf(stderr, "Python: %s\n", status.err_msg);
    return PyStatus_Exception(status) ? -1 : 0;
}

/* The stream of the network in a file; NULL and an exception. */
static PyObject *open_stream(const char *path) {
    PyObject *stream = NULL, *module = PyImport_ImportModule("crnn");
    PyObject *net = module ? PyObject_CallMethod(module, "load", "s", path) : NULL;
    if (net)
        stream = PyObject_CallMethod(net, "stream", NULL);
    Py_XDECREF(net);
    Py_XDECREF(module);
    return stream;
}

/* Run the thread, and Python until it is done; 0, or -1 and an exception. */
static int run(PyObject *stream, Controller *c) {
    pthread_t thread;
    c->crnn = crnn_import();
    if (!c->crnn || !(c->stream = c->crnn->get_stream(stream)))
        return -1;
    c->sizes = c->crnn->get_sizes(c->stream);
    if (c->sizes.inputs > MOST_NUMBERS || c->sizes.outputs > MOST_NUMBERS) {
        PyErr_SetString(PyExc_ValueError, "expected a network of at most 64 inputs and outputs");
        return -1;
    }
    c->outputs = calloc((size_t)c->steps * (size_t)c->sizes.outputs, sizeof(float));
    if (!c->outputs || pthread_create(&thread, NULL, control, c) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    int failed = 0;
    while (!atomic_load(&c->done)) /* Python has the GIL and is busy. */
        failed |= PyRun_SimpleString("sum(n * n for n in range(1000))");
    pthread_join(thread, NULL); /* before the stream may go */
    if (failed || c->error != CRNN_OK) {
        PyErr_Format(PyExc_RuntimeError, "a step returned %d", c->error);
        return -1;
    }
    return 0;
}

static void print_results(const Controller *c) {
    for (int t = 0; t < c->steps; ++t) {
        for (ptrdiff_t o = 0; o < c->sizes.outputs; ++o)
            printf("%.9g ", (double)c->outputs[t * c->sizes.outputs + o]);
        printf("\n");
    }
    fprintf(stderr, "%d steps: the longest took %lld us, the latest began %lld us late\n", c->steps,
            c->longest_ns / 1000, c->latest_ns / 1000);
}

int main(int argc, char **argv) {
    Controller controller = {0};
    if (argc != 4 || (controller.steps = atoi(argv[3])) < 1) {
        fprintf(stderr, "usage: %s PYTHON NETWORK STEPS\n", argv[0]);
        return 2;
    }
    if (start_python(argv[1]) < 0)
        return 1;
    PyObject *stream = open_stream(argv[2]);
    int failed = !stream || run(stream, &controller) < 0;
    if (failed)
        PyErr_Print();
    else
        print_results(&controller);
    free(controller.outputs);
    Py_XDECREF(stream);
    return Py_FinalizeEx() < 0 || failed;
}
