# Sequences that restart: before a step the state becomes `start`, and no gradient flows back past
# it.
#
# The arrays of a call keep the states h_{t-1} that a restart ends, because outputs and gradients of
# the step before read them. `start` takes their place while a step of the sequence is computed, and
# they are put back after it. Backward, the gradients da_t of a step that begins with a restart are
# zero while the step before is computed, so nothing flows to it.
#
# Each member moves its own units. Where members share units (`Part.by_units`) they wait for one
# another between moving and reading: all see the same restarts.

cdef inline bint restarts(const Call* c, Py_ssize_t b, Py_ssize_t t) noexcept nogil:
    """Whether sequence b restarts before step t."""
    cdef Py_ssize_t first
    if c.resets.data == NULL:
        return False
    first = b * c.resets.per_sequence if c.resets.offsets == NULL else c.resets.offsets[b]
    return (<const char*> c.resets.data)[first + c.passed + t] != 0


cdef inline Py_ssize_t next_restart(const Call* c, Py_ssize_t b, Py_ssize_t t,
                                    Py_ssize_t last) noexcept nogil:
    """The first step from t on before which sequence b restarts, or `last`."""
    if c.resets.data == NULL:
        return last
    while t < last and not restarts(c, b, t):
        t += 1
    return t


cdef inline bint some_restart(const Call* c, Share rows, Py_ssize_t t) noexcept nogil:
    """Whether one of the sequences restarts before step t."""
    cdef Py_ssize_t b
    if c.resets.data != NULL:
        for b in range(rows.first, rows.last):
            if restarts(c, b, t):
                return True
    return False


cdef inline void move_states(Call* c, const vec* dtype, Py_ssize_t t, Share rows, const Part* part,
                             bint back) noexcept nogil:
    """Put `start` in the place of h_{t-1} of the sequences that restart, or these states back."""
    cdef Py_ssize_t H = c.sizes.H, n = part.units.last - part.units.first, b, k
    cdef vec* state
    cdef vec* kept
    if c.resets.data == NULL:
        return
    for b in range(rows.first, rows.last):
        if not restarts(c, b, t):
            continue
        for k in range(c.sizes.cell.state_blocks):
            state = at(step_of(dtype, c.h, b, t), k * c.to_c + part.units.first)
            kept = at(<vec*> c.kept_states,
                      (b * c.sizes.cell.state_blocks + k) * H + part.units.first)
            if back:
                copy_scalars(state, 1, kept, 1, n)
            else:
                copy_scalars(kept, 1, state, 1, n)
                copy_scalars(state, 1, at(<const vec*> c.start, k * H + part.units.first), 1, n)


cdef inline void move_gradients(Call* c, const vec* dtype, Py_ssize_t t, Py_ssize_t t_da,
                                Share rows, const Part* part, bint back) noexcept nogil:
    """Put zeros in the place of da_t of the sequences that restart, or these gradients back."""
    cdef Py_ssize_t H = c.sizes.H, n = part.units.last - part.units.first, b, k
    cdef vec* da
    cdef vec* kept
    for b in range(rows.first, rows.last):
        if not restarts(c, b, t):
            continue
        for k in range(c.sizes.cell.da_blocks):
            da = at(step_of(dtype, c.da, b, t_da), k * H + part.units.first)
            kept = at(<vec*> c.kept_gradients,
                      (b * c.sizes.cell.da_blocks + k) * H + part.units.first)
            if back:
                copy_scalars(da, 1, kept, 1, n)
            else:
                copy_scalars(kept, 1, da, 1, n)
                clear(da, n)


cdef inline void take_start_gradient(Call* c, const vec* dtype, Py_ssize_t b,
                                     const Part* part) noexcept nogil:
    """Add c.dh0, of a state that is `start`, to c.dstart; c.dh0 becomes zero."""
    cdef Py_ssize_t H = c.sizes.H, n = part.units.last - part.units.first, k, place
    for k in range(c.sizes.cell.state_blocks):
        place = (b * c.sizes.cell.state_blocks + k) * H + part.units.first
        if c.dstart != NULL:
            add_scalars(at(<vec*> c.dstart, place), at(<const vec*> c.dh0, place), n)
        clear(at(<vec*> c.dh0, place), n)
