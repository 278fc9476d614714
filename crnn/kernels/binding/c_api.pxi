# The table of functions that crnn.h declares for C and C++.

from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport ptrdiff_t

cdef extern from "crnn.h":
    enum: CRNN_API_VERSION, CRNN_OK, CRNN_BUSY, CRNN_WRONG_DTYPE
    enum: CRNN_WRONG_VALUE, CRNN_WRONG_SIZES, CRNN_NOT_FINITE
    const char* CRNN_API_NAME
    ctypedef struct crnn_stream:
        pass
    ctypedef struct crnn_trainer:
        pass
    ctypedef struct crnn_learner:
        pass
    ctypedef struct crnn_sizes:
        ptrdiff_t batch, inputs, hidden, outputs, state, itemsize
    ctypedef struct crnn_block_sizes:
        ptrdiff_t batch, time, inputs, outputs, itemsize, reads_classes
    ctypedef struct crnn_api:
        int version
        crnn_stream* (*get_stream)(void*) noexcept
        crnn_sizes (*get_sizes)(const crnn_stream*) noexcept nogil
        int (*step_float)(crnn_stream*, const float*, float*) noexcept nogil
        int (*step_double)(crnn_stream*, const double*, double*) noexcept nogil
        int (*get_state_float)(crnn_stream*, float*) noexcept nogil
        int (*get_state_double)(crnn_stream*, double*) noexcept nogil
        int (*set_state_float)(crnn_stream*, const float*) noexcept nogil
        int (*set_state_double)(crnn_stream*, const double*) noexcept nogil
        ptrdiff_t (*get_layers)(const crnn_stream*) noexcept nogil
        int (*step_categories_float)(crnn_stream*, const ptrdiff_t*, float*) noexcept nogil
        int (*step_categories_double)(crnn_stream*, const ptrdiff_t*, double*) noexcept nogil
        int (*run_float)(crnn_stream*, ptrdiff_t, const float*, float*) noexcept nogil
        int (*run_double)(crnn_stream*, ptrdiff_t, const double*, double*) noexcept nogil
        crnn_trainer* (*get_trainer)(void*) noexcept
        crnn_block_sizes (*get_block_sizes)(const crnn_trainer*) noexcept nogil
        int (*train_float)(crnn_trainer*, const float*, const float*, double*) noexcept nogil
        int (*train_double)(crnn_trainer*, const double*, const double*, double*) noexcept nogil
        int (*train_classes_float)(
            crnn_trainer*, const float*, const ptrdiff_t*, double*) noexcept nogil
        int (*train_classes_double)(
            crnn_trainer*, const double*, const ptrdiff_t*, double*) noexcept nogil
        int (*predict_float)(crnn_trainer*, const float*, float*) noexcept nogil
        int (*predict_double)(crnn_trainer*, const double*, double*) noexcept nogil
        int (*set_learning_rate)(crnn_trainer*, double) noexcept nogil
        int (*update_stream)(crnn_trainer*, crnn_stream*) noexcept nogil
        int (*reset_sequences)(crnn_stream*, const char*) noexcept nogil
        crnn_learner* (*get_learner)(void*) noexcept
        crnn_block_sizes (*get_learner_sizes)(const crnn_learner*) noexcept nogil
        int (*learn_float)(
            crnn_learner*, const float*, const float*, float*, double*) noexcept nogil
        int (*learn_double)(
            crnn_learner*, const double*, const double*, double*, double*) noexcept nogil
        int (*learn_classes_float)(
            crnn_learner*, const float*, const ptrdiff_t*, float*, double*) noexcept nogil
        int (*learn_classes_double)(
            crnn_learner*, const double*, const ptrdiff_t*, double*, double*) noexcept nogil
        int (*predict_next_float)(crnn_learner*, const float*, float*) noexcept nogil
        int (*predict_next_double)(crnn_learner*, const double*, double*) noexcept nogil
        int (*reset_learner)(crnn_learner*, const char*) noexcept nogil
        int (*set_learner_rate)(crnn_learner*, double) noexcept nogil
        int (*update_stream_by_learner)(crnn_learner*, crnn_stream*) noexcept nogil


cdef crnn_stream* get_stream(void* candidate) except NULL with gil:
    if not isinstance(<object> candidate, Stream):
        raise TypeError(
            "stream: expected what stream() of a network with compiled kernels returns, "
            f"got {type(<object> candidate).__name__}"
        )
    return <crnn_stream*> (<Stream> <object> candidate).data


cdef crnn_sizes get_sizes(const crnn_stream* stream) noexcept nogil:
    cdef StreamData* data = <StreamData*> stream
    cdef crnn_sizes sizes
    cdef Sizes s
    memset(&sizes, 0, sizeof(sizes))
    if data.count:
        s = sizes_of(data)
        sizes.batch, sizes.inputs, sizes.hidden, sizes.outputs = s.B, s.I, s.H, s.O
        # Of all layers, so that whoever asks no further has memory for them.
        sizes.state = data.count * s.cell.state_blocks * s.H
        sizes.itemsize = itemsize(data.dtype)
    return sizes


cdef ptrdiff_t get_layers(const crnn_stream* stream) noexcept nogil:
    return (<StreamData*> stream).count


cdef int step_float(crnn_stream* stream, const float* x, float* y) noexcept nogil:
    return step_alone(<StreamData*> stream, np.NPY_FLOAT, x, y)


cdef int step_double(crnn_stream* stream, const double* x, double* y) noexcept nogil:
    return step_alone(<StreamData*> stream, np.NPY_DOUBLE, x, y)


cdef int get_state_float(crnn_stream* stream, float* h) noexcept nogil:
    return move_states_alone(<StreamData*> stream, np.NPY_FLOAT, NULL, h)


cdef int get_state_double(crnn_stream* stream, double* h) noexcept nogil:
    return move_states_alone(<StreamData*> stream, np.NPY_DOUBLE, NULL, h)


cdef int set_state_float(crnn_stream* stream, const float* h) noexcept nogil:
    return move_states_alone(<StreamData*> stream, np.NPY_FLOAT, h, NULL)


cdef int set_state_double(crnn_stream* stream, const double* h) noexcept nogil:
    return move_states_alone(<StreamData*> stream, np.NPY_DOUBLE, h, NULL)


cdef int step_categories_float(crnn_stream* stream, const ptrdiff_t* x, float* y) noexcept nogil:
    return step_categories_alone(<StreamData*> stream, np.NPY_FLOAT, <const Py_ssize_t*> x, y)


cdef int step_categories_double(crnn_stream* stream, const ptrdiff_t* x, double* y) noexcept nogil:
    return step_categories_alone(<StreamData*> stream, np.NPY_DOUBLE, <const Py_ssize_t*> x, y)


cdef int run_float(crnn_stream* stream, ptrdiff_t steps, const float* x, float* y) noexcept nogil:
    return run_steps_alone(<StreamData*> stream, np.NPY_FLOAT, steps, x, y)


cdef int run_double(crnn_stream* stream, ptrdiff_t steps, const double* x,
                    double* y) noexcept nogil:
    return run_steps_alone(<StreamData*> stream, np.NPY_DOUBLE, steps, x, y)


cdef int reset_sequences(crnn_stream* stream, const char* which) noexcept nogil:
    return reset_alone(<StreamData*> stream, which)


cdef crnn_trainer* get_trainer(void* candidate) except NULL with gil:
    # `crnn.Trainer` has the compiled one as its `core`.
    trainer = getattr(<object> candidate, "core", <object> candidate)
    if not isinstance(trainer, Trainer):
        raise TypeError(
            "trainer: expected what trainer() of a network with compiled kernels returns, "
            f"got {type(<object> candidate).__name__}"
        )
    return <crnn_trainer*> (<Trainer> trainer).data


cdef crnn_block_sizes block_sizes_of(const Call* call, int dtype) noexcept nogil:
    cdef Sizes s = call.sizes
    cdef crnn_block_sizes sizes
    memset(&sizes, 0, sizeof(sizes))
    if dtype != NO_DTYPE:
        sizes.batch, sizes.time, sizes.inputs, sizes.outputs = s.B, s.T, s.I, s.O
        sizes.itemsize = itemsize(dtype)
        sizes.reads_classes = call.loss == CROSS_ENTROPY
    return sizes


cdef crnn_block_sizes get_block_sizes(const crnn_trainer* trainer) noexcept nogil:
    cdef TrainerData* data = <TrainerData*> trainer
    return block_sizes_of(&data.call, data.dtype)


cdef int train_float(crnn_trainer* trainer, const float* x, const float* y,
                     double* loss) noexcept nogil:
    cdef double norm
    return train_alone(<TrainerData*> trainer, np.NPY_FLOAT, False, x, y, loss, &norm)


cdef int train_double(crnn_trainer* trainer, const double* x, const double* y,
                      double* loss) noexcept nogil:
    cdef double norm
    return train_alone(<TrainerData*> trainer, np.NPY_DOUBLE, False, x, y, loss, &norm)


cdef int train_classes_float(crnn_trainer* trainer, const float* x, const ptrdiff_t* y,
                             double* loss) noexcept nogil:
    cdef double norm
    return train_alone(<TrainerData*> trainer, np.NPY_FLOAT, True, x, y, loss, &norm)


cdef int train_classes_double(crnn_trainer* trainer, const double* x, const ptrdiff_t* y,
                              double* loss) noexcept nogil:
    cdef double norm
    return train_alone(<TrainerData*> trainer, np.NPY_DOUBLE, True, x, y, loss, &norm)


cdef int predict_float(crnn_trainer* trainer, const float* x, float* y) noexcept nogil:
    return predict_alone(<TrainerData*> trainer, np.NPY_FLOAT, x, y)


cdef int predict_double(crnn_trainer* trainer, const double* x, double* y) noexcept nogil:
    return predict_alone(<TrainerData*> trainer, np.NPY_DOUBLE, x, y)


cdef int set_learning_rate(crnn_trainer* trainer, double lr) noexcept nogil:
    return set_trainer_rate(<TrainerData*> trainer, lr)


cdef int update_stream(crnn_trainer* trainer, crnn_stream* stream) noexcept nogil:
    return update_by_trainer(<TrainerData*> trainer, <StreamData*> stream)


cdef crnn_learner* get_learner(void* candidate) except NULL with gil:
    # `crnn.Learner` has the compiled one as its `core`.
    learner = getattr(<object> candidate, "core", <object> candidate)
    if not isinstance(learner, Learner):
        raise TypeError(
            "learner: expected what learner() of a network with compiled kernels returns, "
            f"got {type(<object> candidate).__name__}"
        )
    return <crnn_learner*> (<Learner> learner).data


cdef crnn_block_sizes get_learner_sizes(const crnn_learner* learner) noexcept nogil:
    cdef LearnerData* data = <LearnerData*> learner
    return block_sizes_of(&data.call, data.dtype)


cdef int learn_float(crnn_learner* learner, const float* x, const float* y, float* y_hat,
                     double* loss) noexcept nogil:
    cdef double norm
    return learn_alone(<LearnerData*> learner, np.NPY_FLOAT, False, x, y, y_hat, loss, &norm)


cdef int learn_double(crnn_learner* learner, const double* x, const double* y, double* y_hat,
                      double* loss) noexcept nogil:
    cdef double norm
    return learn_alone(<LearnerData*> learner, np.NPY_DOUBLE, False, x, y, y_hat, loss, &norm)


cdef int learn_classes_float(crnn_learner* learner, const float* x, const ptrdiff_t* y,
                             float* y_hat, double* loss) noexcept nogil:
    cdef double norm
    return learn_alone(<LearnerData*> learner, np.NPY_FLOAT, True, x, y, y_hat, loss, &norm)


cdef int learn_classes_double(crnn_learner* learner, const double* x, const ptrdiff_t* y,
                              double* y_hat, double* loss) noexcept nogil:
    cdef double norm
    return learn_alone(<LearnerData*> learner, np.NPY_DOUBLE, True, x, y, y_hat, loss, &norm)


cdef int predict_next_float(crnn_learner* learner, const float* x, float* y_hat) noexcept nogil:
    return predict_step_alone(<LearnerData*> learner, np.NPY_FLOAT, x, y_hat)


cdef int predict_next_double(crnn_learner* learner, const double* x,
                             double* y_hat) noexcept nogil:
    return predict_step_alone(<LearnerData*> learner, np.NPY_DOUBLE, x, y_hat)


cdef int reset_learner(crnn_learner* learner, const char* which) noexcept nogil:
    return reset_learner_alone(<LearnerData*> learner, which)


cdef int set_learner_rate(crnn_learner* learner, double lr) noexcept nogil:
    return set_rate_of_learner(<LearnerData*> learner, lr)


cdef int update_stream_by_learner(crnn_learner* learner, crnn_stream* stream) noexcept nogil:
    return update_by_learner(<LearnerData*> learner, <StreamData*> stream)


cdef crnn_api api
api.version = CRNN_API_VERSION
api.get_stream = <crnn_stream* (*)(void*) noexcept> get_stream
api.get_sizes, api.get_layers = get_sizes, get_layers
api.step_float, api.step_double = step_float, step_double
api.get_state_float, api.get_state_double = get_state_float, get_state_double
api.set_state_float, api.set_state_double = set_state_float, set_state_double
api.step_categories_float = step_categories_float
api.step_categories_double = step_categories_double
api.run_float, api.run_double = run_float, run_double
api.get_trainer = <crnn_trainer* (*)(void*) noexcept> get_trainer
api.get_block_sizes = get_block_sizes
api.train_float, api.train_double = train_float, train_double
api.train_classes_float = train_classes_float
api.train_classes_double = train_classes_double
api.predict_float, api.predict_double = predict_float, predict_double
api.set_learning_rate, api.update_stream = set_learning_rate, update_stream
api.reset_sequences = reset_sequences
api.get_learner = <crnn_learner* (*)(void*) noexcept> get_learner
api.get_learner_sizes = get_learner_sizes
api.learn_float, api.learn_double = learn_float, learn_double
api.learn_classes_float = learn_classes_float
api.learn_classes_double = learn_classes_double
api.predict_next_float, api.predict_next_double = predict_next_float, predict_next_double
api.reset_learner, api.set_learner_rate = reset_learner, set_learner_rate
api.update_stream_by_learner = update_stream_by_learner
c_api = PyCapsule_New(&api, CRNN_API_NAME, NULL)
