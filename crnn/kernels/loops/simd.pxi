# `vec`: one SIMD register of float32 or of float64 lanes, with its loads and stores; where steps
# and rows are in memory; and loops that clear, copy and add scalars.
#
# An array of either dtype is passed as `vec*`: the pointer says the dtype and nothing about the
# alignment, and every offset and stride counts scalars, never registers. A parameter called
# `dtype` is not read and may be NULL: its type picks the specialization. Cython takes a vec for a
# number, so a * b + c in these files is the C compiler's own vector arithmetic. simd.h holds the
# rest.

cdef extern from "simd.h" nogil:
    ctypedef float vec_f32
    ctypedef double vec_f64
    enum: MR, NV, LANES_F32, LANES_F64
    void prefetch_line(const void*)
    vec_f32 splat_f32(float)
    vec_f64 splat_f64(double)
    vec_f32 load_f32(const float*)
    vec_f64 load_f64(const double*)
    void store_f32(float*, vec_f32)
    void store_f64(double*, vec_f64)
    vec_f32 load_first_f32(const float*, Py_ssize_t)
    vec_f64 load_first_f64(const double*, Py_ssize_t)
    void store_first_f32(float*, Py_ssize_t, vec_f32)
    void store_first_f64(double*, Py_ssize_t, vec_f64)
    vec_f32 magnitude_f32(vec_f32)
    vec_f64 magnitude_f64(vec_f64)
    vec_f32 with_sign_of_f32(vec_f32, vec_f32)
    vec_f64 with_sign_of_f64(vec_f64, vec_f64)
    vec_f32 select_below_f32(vec_f32, vec_f32, vec_f32, vec_f32)
    vec_f64 select_below_f64(vec_f64, vec_f64, vec_f64, vec_f64)
    vec_f32 at_most_f32(vec_f32, vec_f32)
    vec_f64 at_most_f64(vec_f64, vec_f64)
    vec_f32 at_least_f32(vec_f32, vec_f32)
    vec_f64 at_least_f64(vec_f64, vec_f64)
    vec_f32 power_of_two_f32(vec_f32)
    vec_f64 power_of_two_f64(vec_f64)

ctypedef fused vec:
    vec_f32
    vec_f64


cdef inline Py_ssize_t lanes(const vec* dtype) noexcept nogil:
    if vec is vec_f32:
        return LANES_F32
    else:
        return LANES_F64


cdef inline vec* at(const vec* p, Py_ssize_t offset) noexcept nogil:
    """The address `offset` scalars after p."""
    if vec is vec_f32:
        return <vec*> (<float*> p + offset)
    else:
        return <vec*> (<double*> p + offset)


cdef inline vec load(const vec* p, Py_ssize_t offset) noexcept nogil:
    if vec is vec_f32:
        return load_f32(<const float*> p + offset)
    else:
        return load_f64(<const double*> p + offset)


cdef inline void store(vec* p, Py_ssize_t offset, vec value) noexcept nogil:
    if vec is vec_f32:
        store_f32(<float*> p + offset, value)
    else:
        store_f64(<double*> p + offset, value)


cdef inline vec load_first(const vec* p, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """The n scalars from p[offset] on, less than a register holds, and zeros."""
    if vec is vec_f32:
        return load_first_f32(<const float*> p + offset, n)
    else:
        return load_first_f64(<const double*> p + offset, n)


cdef inline void store_first(vec* p, Py_ssize_t offset, Py_ssize_t n, vec value) noexcept nogil:
    if vec is vec_f32:
        store_first_f32(<float*> p + offset, n, value)
    else:
        store_first_f64(<double*> p + offset, n, value)


cdef inline vec load_some(const vec* p, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """The n scalars from p[offset] on: a register full or less."""
    return load(p, offset) if n == lanes(p) else load_first(p, offset, n)


cdef inline void store_some(vec* p, Py_ssize_t offset, Py_ssize_t n, vec value) noexcept nogil:
    if n == lanes(p):
        store(p, offset, value)
    else:
        store_first(p, offset, n, value)


cdef inline vec broadcast(const vec* p, Py_ssize_t offset) noexcept nogil:
    """Every lane holds the scalar at p[offset]."""
    if vec is vec_f32:
        return splat_f32((<const float*> p)[offset])
    else:
        return splat_f64((<const double*> p)[offset])


cdef inline vec splat(const vec* dtype, double value) noexcept nogil:
    """Every lane holds value; the pointer only says which dtype."""
    if vec is vec_f32:
        return splat_f32(<float> value)
    else:
        return splat_f64(value)


cdef inline Py_ssize_t itemsize(const vec* dtype) noexcept nogil:
    if vec is vec_f32:
        return sizeof(float)
    else:
        return sizeof(double)


cdef inline vec* step_of(const vec* dtype, Sequences s, Py_ssize_t b, Py_ssize_t t) noexcept nogil:
    """The features of step t of sequence b."""
    return at(<const vec*> s.data,
              (b * s.per_sequence if s.offsets == NULL else s.offsets[b]) + t * s.per_step)


cdef struct Rows:
    # Rows of a matrix: row m is at data + offsets[m], or without offsets at data + m * stride, all
    # counted in scalars
    void* data
    Py_ssize_t stride
    const Py_ssize_t* offsets


cdef inline Rows rows_of(const vec* data, Py_ssize_t stride) noexcept nogil:
    cdef Rows rows
    rows.data, rows.stride, rows.offsets = <void*> data, stride, NULL
    return rows


cdef inline vec* row_of(const vec* dtype, Rows rows, Py_ssize_t m) noexcept nogil:
    return at(<const vec*> rows.data, m * rows.stride if rows.offsets == NULL else rows.offsets[m])


cdef inline Rows columns_from(const vec* dtype, Rows rows, Py_ssize_t n) noexcept nogil:
    """The same rows from column n on."""
    rows.data = at(<const vec*> rows.data, n)
    return rows


cdef inline Rows rows_at(const vec* dtype, Sequences s, Py_ssize_t first,
                         Py_ssize_t t) noexcept nogil:
    """Step t of the sequences from `first` on: a row for each."""
    cdef Rows rows
    rows.stride, rows.offsets = s.per_sequence, NULL
    if s.offsets == NULL:
        rows.data = step_of(dtype, s, first, t)
    else:
        rows.data, rows.offsets = at(<const vec*> s.data, t * s.per_step), s.offsets + first
    return rows


cdef inline void prefetch_rows(const vec* dtype, Rows rows, Py_ssize_t M,
                               Py_ssize_t columns) noexcept nogil:
    """Load what will be read or written of M rows into L1, where it does not follow in memory."""
    cdef Py_ssize_t m, line, lines = (columns * itemsize(dtype) + 63) // 64
    for m in range(M):
        for line in range(lines):
            prefetch_line(<const char*> row_of(dtype, rows, m) + 64 * line)


cdef inline void clear(vec* p, Py_ssize_t n) noexcept nogil:
    memset(p, 0, n * itemsize(p))


cdef inline void copy_scalars(vec* to, Py_ssize_t to_stride, const vec* source,
                              Py_ssize_t source_stride, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if vec is vec_f32:
            (<float*> to)[i * to_stride] = (<const float*> source)[i * source_stride]
        else:
            (<double*> to)[i * to_stride] = (<const double*> source)[i * source_stride]


cdef inline void add_scalars(vec* to, const vec* terms, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if vec is vec_f32:
            (<float*> to)[i] += (<const float*> terms)[i]
        else:
            (<double*> to)[i] += (<const double*> terms)[i]
