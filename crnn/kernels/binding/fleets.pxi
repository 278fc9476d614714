# Fleets: many networks of one architecture. Members of a team take pieces of work, each some models
# in lanes or one model of many units, until none is left. What is computed of a model does not
# depend on the others.

from crnn.kernels import fleets
from crnn.kernels.fleets cimport (
    FleetBuilds, FleetCall, FleetTable,
)
from crnn.kernels.table cimport Team, claim_piece, did_work, is_stopped

cdef FleetBuilds* fleet_builds = <FleetBuilds*> PyCapsule_GetPointer(
    import_module(f"crnn.kernels._{instruction_set}").fleet_capsule, "crnn.kernels.FleetBuilds")

cdef Py_ssize_t LANE_UNITS = fleets.LANE_UNITS

cdef struct Fleet:
    int dtype
    FleetCall call
    Py_ssize_t* models      # (N,): those in lanes, then those that are computed alone
    Py_ssize_t in_lanes
    Py_ssize_t alone
    char* workspace
    Py_ssize_t bytes        # of each member's part
    void* dtheta            # (N, P), written; or NULL
    # Of a step of training; `norms` is NULL where none is taken.
    void* theta
    Optimizer optimizer     # of the first model
    double max_norm
    double max_value
    Py_ssize_t* steps
    const double* rates
    const double* weight_decay
    const double* l1
    double* norms
    char* taken


cdef inline FleetTable* fleet_table(int dtype) noexcept nogil:
    return &fleet_builds.float64 if dtype == np.NPY_DOUBLE else &fleet_builds.float32


cdef inline void* row_at(int dtype, const void* rows, Py_ssize_t n,
                         Py_ssize_t width) noexcept nogil:
    """Row n, or NULL where there are none."""
    return NULL if rows == NULL else <char*> rows + n * width * itemsize(dtype)


cdef void finish_model(Fleet* f, Py_ssize_t n, void* gradient) noexcept nogil:
    """Give out the gradient of model n, or take its step."""
    cdef Py_ssize_t P = parameter_count(f.call.sizes)
    cdef Optimizer o = f.optimizer
    cdef void* theta = row_at(f.dtype, f.theta, n, P)
    if f.dtheta != NULL:
        memcpy(row_at(f.dtype, f.dtheta, n, P), gradient, P * itemsize(f.dtype))
    if f.norms == NULL:
        return
    f.norms[n] = clip_to_norm(f.dtype, P, gradient, f.max_norm)
    if isfinite(f.max_value):
        table(f.dtype).clip_value(P, gradient, f.max_value)
    if not (isfinite(f.call.losses[n]) and isfinite(f.norms[n])):
        return
    o.velocity, o.mean = row_at(f.dtype, o.velocity, n, P), row_at(f.dtype, o.mean, n, P)
    o.square, o.weight_decay = row_at(f.dtype, o.square, n, P), f.weight_decay[n]
    if f.l1 != NULL:
        o.l1_factor = f.l1[n]
    if not take_step(&o, f.dtype, P, theta, gradient, f.steps[n] + 1, f.rates[n]):
        return
    f.steps[n] += 1
    f.taken[n] = True


cdef Sizes sizes_alone(const Fleet* f, Py_ssize_t n) noexcept nogil:
    """T and B of model n, whose sequences have as many steps each."""
    cdef Sizes s = f.call.sizes
    cdef const Py_ssize_t* lengths = f.call.lengths + n * s.B
    cdef Py_ssize_t B = s.B, b
    s.B = s.T = 0
    for b in range(B):
        if lengths[b] > 0:
            s.T, s.B = lengths[b], s.B + 1
    return s


cdef bint can_be_alone(const Fleet* f, Py_ssize_t n) noexcept nogil:
    """Whether the kernels of one network compute model n: it depends on nothing but the model."""
    cdef Sizes s = f.call.sizes
    cdef const Py_ssize_t* lengths = f.call.lengths + n * s.B
    cdef Py_ssize_t T = 0, b
    if s.H <= LANE_UNITS:
        return False
    if f.call.wants_gradient and (f.call.weights != NULL
                                  or f.call.loss == BINARY_CROSS_ENTROPY):
        return False
    for b in range(s.B):
        if lengths[b] > 0:
            if T > 0 and lengths[b] != T:
                return False
            T = lengths[b]
    return T > 0


cdef Py_ssize_t alone_bytes(const Fleet* f, Py_ssize_t n) noexcept nogil:
    """Memory that `compute_alone` needs for model n."""
    cdef Sizes s = sizes_alone(f, n)
    cdef Py_ssize_t outputs = s.B * s.T * s.O * itemsize(f.dtype)
    if f.call.wants_gradient:
        return training_size(f.dtype, s) * itemsize(f.dtype)
    return (predict_size(f.dtype, s) * itemsize(f.dtype)
            + 2 * whole_lines(s.B * sizeof(Py_ssize_t))
            + (whole_lines(outputs) if f.call.outputs == NULL else 0))


cdef void compute_alone(Fleet* f, Py_ssize_t n, Team team, char* memory) noexcept nogil:
    """What is wanted of model n, by the kernels of one network."""
    cdef Sizes s = sizes_alone(f, n), all_sizes = f.call.sizes
    cdef Py_ssize_t size = itemsize(f.dtype), P = parameter_count(s), first = n * all_sizes.B
    cdef Py_ssize_t b, k = 0, width = s.O * size
    cdef Py_ssize_t* x_offsets = <Py_ssize_t*> memory
    cdef Py_ssize_t* y_offsets = <Py_ssize_t*> (memory + whole_lines(s.B * sizeof(Py_ssize_t)))
    cdef char* x_copy
    cdef char* y_copy
    cdef double norm
    cdef Call c
    memset(&c, 0, sizeof(c))
    team.index, team.count, team.is_held = 0, 1, False
    c.sizes, c.x.per_sequence, c.x.per_step = s, s.T * s.I, s.I
    place_parameters(&c, f.dtype, row_at(f.dtype, f.call.theta, n, P))
    if not f.call.wants_gradient:
        y_copy = memory + 2 * whole_lines(s.B * sizeof(Py_ssize_t))
        c.workspace = y_copy
        if f.call.outputs == NULL:
            c.workspace = y_copy + whole_lines(s.B * s.T * width)
        c.x.data, c.x.offsets = <void*> f.call.x, x_offsets
        c.y.data, c.y.offsets, c.y.per_step = f.call.outputs, y_offsets, s.O
        if f.call.outputs == NULL:
            c.y.data = y_copy
        for b in range(first, first + all_sizes.B):
            if f.call.lengths[b] > 0:
                x_offsets[k] = f.call.starts[b] * s.I
                y_offsets[k] = k * s.T * s.O
                if f.call.outputs != NULL:
                    y_offsets[k] = f.call.output_starts[b] * s.O
                k += 1
        table(f.dtype).predict(&c, team, NULL)
        if f.call.outputs == NULL and not is_stopped(team):
            f.call.losses[n] = fleet_table(f.dtype).loss(NULL, &f.call, n, y_copy)
        return
    place_gradients(&c, f.dtype, row_at(f.dtype, f.call.theta, n, P), memory)
    memset(memory, 0, P * size)
    c.workspace = memory + gradient_bytes(f.dtype, s)
    x_copy = <char*> c.workspace + kernel_bytes(f.dtype, s)
    y_copy = x_copy + input_bytes(f.dtype, s)
    c.x.data, c.targets, c.loss, c.huber_delta = x_copy, y_copy, f.call.loss, f.call.delta
    if c.loss == CROSS_ENTROPY:
        width = sizeof(Py_ssize_t)
    for b in range(first, first + all_sizes.B):
        if f.call.lengths[b] > 0:
            memcpy(x_copy + k * s.T * s.I * size,
                   <char*> f.call.x + f.call.starts[b] * s.I * size, s.T * s.I * size)
            memcpy(y_copy + k * s.T * width, <char*> f.call.y + f.call.starts[b] * width,
                   s.T * width)
            k += 1
    table(f.dtype).gradient(&c, team, NULL)
    if not is_stopped(team):
        f.call.losses[n] = clip_gradient(&c, f.dtype, memory, INFINITY, INFINITY, &norm)
        finish_model(f, n, memory)


cdef void run_fleet(void* call, Team team, const void* dtype) noexcept nogil:
    """A `Task`: pieces of a fleet's work."""
    cdef Fleet* f = <Fleet*> call
    cdef Py_ssize_t L = fleet_table(f.dtype).lanes, P = parameter_count(f.call.sizes), first, count
    cdef Py_ssize_t groups = (f.in_lanes + L - 1) // L, k
    cdef int pieces = <int> (groups + f.alone), piece = -1
    cdef char* memory = f.workspace + team.index * f.bytes
    cdef void* rows
    while not is_stopped(team):
        piece = piece + 1 if team.count == 1 else claim_piece(team, 0, pieces)
        if not 0 <= piece < pieces:
            return
        if piece >= groups:
            compute_alone(f, f.models[f.in_lanes + piece - groups], team, memory)
            did_work(team, multiply_adds(f.call.sizes))
            continue
        first = piece * L
        count = min(L, f.in_lanes - first)
        rows = fleet_table(f.dtype).group(NULL, &f.call, f.models + first, count, memory)
        for k in range(count if f.call.wants_gradient else 0):
            finish_model(f, f.models[first + k], row_at(f.dtype, rows, k, P))
        did_work(team, count * multiply_adds(f.call.sizes))


cdef object start_fleet(Fleet* f, cell, x, starts, lengths, theta, Py_ssize_t hidden_size,
                        Py_ssize_t output_size):
    """Fill in what all calls of fleets take, checked before."""
    cdef Sizes s
    memset(f, 0, sizeof(Fleet))
    f.dtype = float_type(x)
    s.cell, s.I, s.H, s.O = get_cell_row(cell), width(x), hidden_size, output_size or hidden_size
    s.has_output_layer = output_size != 0
    s.B, s.T = width(starts), lengths.max()
    f.call.sizes = s
    f.call.x = np.PyArray_DATA(<np.ndarray> x)
    f.call.starts = <const Py_ssize_t*> np.PyArray_DATA(<np.ndarray> starts)
    f.call.lengths = <const Py_ssize_t*> np.PyArray_DATA(<np.ndarray> lengths)
    f.call.theta = np.PyArray_DATA(<np.ndarray> theta)


cdef object add_targets(Fleet* f, y, weights, loss, double delta, losses):
    f.call.y = np.PyArray_DATA(<np.ndarray> y)
    f.call.weights = NULL
    if weights is not None:
        f.call.weights = <const double*> np.PyArray_DATA(<np.ndarray> weights)
    f.call.loss, f.call.delta = LOSSES[loss], delta
    f.call.losses = <double*> np.PyArray_DATA(<np.ndarray> losses)


cdef object compute_fleet(Fleet* f, Py_ssize_t N):
    """Deal the models to a team."""
    cdef Py_ssize_t L = fleet_table(f.dtype).lanes, n, pieces, last = N
    cdef Interrupt interrupt_memory
    cdef Interrupt* interrupt
    cdef Sizes all_sizes = f.call.sizes
    cdef int threads
    if f.call.sizes.T == 0:
        return  # no sequence has a step
    models = numpy.empty(N, numpy.intp)
    f.models = <Py_ssize_t*> np.PyArray_DATA(<np.ndarray> models)
    for n in range(N):
        if can_be_alone(f, n):
            last -= 1
            f.models[last] = n
            f.bytes = max(f.bytes, alone_bytes(f, n))
        else:
            f.models[f.in_lanes] = n
            f.in_lanes += 1
    f.alone = N - last
    if f.in_lanes > 0:
        f.bytes = max(f.bytes, fleet_table(f.dtype).workspace_size(NULL, f.call.sizes)
                      * itemsize(f.dtype))
    f.bytes = whole_lines(f.bytes)
    all_sizes.B *= N
    pieces = (f.in_lanes + L - 1) // L + f.alone
    threads = <int> max(1, min(atomic_get(&num_threads),
                               min(pieces, multiply_adds(all_sizes) / WORTH_A_THREAD)))
    workspace = numpy.empty(threads * f.bytes + CACHE_LINE, numpy.uint8)
    f.workspace = <char*> np.PyArray_DATA(<np.ndarray> workspace)
    f.workspace += whole_lines(<uintptr_t> f.workspace) - <uintptr_t> f.workspace
    interrupt = interrupt_of(all_sizes, &interrupt_memory)
    with nogil:
        run_team(threads, run_fleet, f, interrupt)
    raise_if_stopped(interrupt)


def fleet_predict(cell, x, starts, lengths, theta, Py_ssize_t hidden_size, Py_ssize_t output_size,
                  y, y_starts):
    cdef Fleet f
    N, _, _ = fleets.check(cell, x, starts, lengths, theta, hidden_size, output_size)
    fleets.check_array("y", y, x.dtype, (None, output_size or hidden_size), is_written=True)
    fleets.check_array("y_starts", y_starts, numpy.intp, lengths.shape)
    fleets.check_rows("y_starts", y_starts, lengths, len(y))
    start_fleet(&f, cell, x, starts, lengths, theta, hidden_size, output_size)
    f.call.outputs = np.PyArray_DATA(<np.ndarray> y)
    f.call.output_starts = <const Py_ssize_t*> np.PyArray_DATA(<np.ndarray> y_starts)
    compute_fleet(&f, N)


def fleet_gradient(cell, x, y, weights, starts, lengths, theta, dtheta, Py_ssize_t hidden_size,
                   Py_ssize_t output_size, loss, double delta, losses):
    cdef Fleet f
    N, _, P = fleets.check(cell, x, starts, lengths, theta, hidden_size, output_size)
    fleets.check_targets(loss, y, weights, x, output_size or hidden_size, delta)
    fleets.check_array("losses", losses, numpy.float64, (N,), is_written=True)
    if dtheta is not None:
        fleets.check_array("dtheta", dtheta, x.dtype, (N, P), is_written=True)
        dtheta[...] = 0
    losses[...] = numpy.nan
    start_fleet(&f, cell, x, starts, lengths, theta, hidden_size, output_size)
    add_targets(&f, y, weights, loss, delta, losses)
    if dtheta is not None:
        f.dtheta, f.call.wants_gradient = np.PyArray_DATA(<np.ndarray> dtheta), True
    compute_fleet(&f, N)


def fleet_train(cell, x, y, weights, starts, lengths, theta, Py_ssize_t hidden_size,
                Py_ssize_t output_size, loss, double delta, max_norm, max_value, optimizer,
                dict memory, dict settings, constraints, steps, rates, weight_decay, l1, losses,
                norms, taken):
    cdef Fleet f
    N, _, _ = fleets.check(cell, x, starts, lengths, theta, hidden_size, output_size)
    fleets.check_targets(loss, y, weights, x, output_size or hidden_size, delta)
    fleets.check_array("theta", theta, x.dtype, theta.shape, is_written=True)
    vectors = {"steps": steps, "rates": rates, "weight_decay": weight_decay, "l1": l1,
               "losses": losses, "norms": norms, "taken": taken}
    fleets.check_step(optimizer, memory, settings, vectors, theta)
    start_fleet(&f, cell, x, starts, lengths, theta, hidden_size, output_size)
    add_targets(&f, y, weights, loss, delta, losses)
    first = {name: None if array is None else array[0] for name, array in memory.items()}
    f.optimizer = read_optimizer(optimizer, first, settings | {"weight_decay": 0.0}, constraints,
                                 theta[0])
    f.max_norm = INFINITY if max_norm is None else max_norm
    f.max_value = INFINITY if max_value is None else max_value
    f.theta, f.call.wants_gradient = np.PyArray_DATA(<np.ndarray> theta), True
    f.steps = <Py_ssize_t*> np.PyArray_DATA(<np.ndarray> steps)
    f.rates = <const double*> np.PyArray_DATA(<np.ndarray> rates)
    f.weight_decay = <const double*> np.PyArray_DATA(<np.ndarray> weight_decay)
    if l1 is not None:
        f.l1 = <const double*> np.PyArray_DATA(<np.ndarray> l1)
    f.norms = <double*> np.PyArray_DATA(<np.ndarray> norms)
    f.taken = <char*> np.PyArray_DATA(<np.ndarray> taken)
    losses[...], norms[...], taken[...] = numpy.nan, numpy.nan, False
    compute_fleet(&f, N)
