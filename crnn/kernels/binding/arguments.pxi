# Checks of arguments through NumPy's C API. A typed memoryview of each argument would cost more
# than the arithmetic of a small network.

cdef inline Py_ssize_t itemsize(int dtype) noexcept nogil:
    return sizeof(double) if dtype == np.NPY_DOUBLE else sizeof(float)


cdef inline int float_type(object array) noexcept:
    """NumPy's number of the array's dtype if that is float32 or float64, or -1."""
    cdef int dtype = np.PyArray_TYPE(<np.ndarray> array) if np.PyArray_Check(array) else -1
    return dtype if dtype == np.NPY_FLOAT or dtype == np.NPY_DOUBLE else -1


cdef enum:
    READ = np.NPY_ARRAY_ALIGNED
    WRITTEN = np.NPY_ARRAY_ALIGNED | np.NPY_ARRAY_WRITEABLE


cdef inline bint is_array(object array, int dtype, int ndim, int flags) noexcept:
    """Whether it is an array of this dtype, in native byte order, with these flags and axes."""
    return (np.PyArray_Check(array) and np.PyArray_TYPE(<np.ndarray> array) == dtype
            and np.PyArray_NDIM(<np.ndarray> array) == ndim
            and np.PyArray_CHKFLAGS(<np.ndarray> array, flags)
            and np.PyArray_ISNOTSWAPPED(<np.ndarray> array))


# The data of a C-contiguous array of that shape, or NULL for anything else
cdef inline void* vector(object array, int dtype, Py_ssize_t n, int flags) noexcept:
    if (is_array(array, dtype, 1, flags | np.NPY_ARRAY_C_CONTIGUOUS)
            and np.PyArray_DIMS(<np.ndarray> array)[0] == n):
        return np.PyArray_DATA(<np.ndarray> array)
    return NULL


cdef inline void* matrix(object array, int dtype, Py_ssize_t rows, Py_ssize_t columns,
                         int flags) noexcept:
    cdef np.npy_intp* shape
    if is_array(array, dtype, 2, flags | np.NPY_ARRAY_C_CONTIGUOUS):
        shape = np.PyArray_DIMS(<np.ndarray> array)
        if shape[0] == rows and shape[1] == columns:
            return np.PyArray_DATA(<np.ndarray> array)
    return NULL


cdef inline void* scratch(object array, int dtype, Py_ssize_t n) noexcept:
    """The data of a vector of n scalars or more, or NULL."""
    if (is_array(array, dtype, 1, WRITTEN | np.NPY_ARRAY_C_CONTIGUOUS)
            and np.PyArray_DIMS(<np.ndarray> array)[0] >= n):
        return np.PyArray_DATA(<np.ndarray> array)
    return NULL


cdef inline Sequences sequences(object array, int dtype, Py_ssize_t B, Py_ssize_t T,
                                Py_ssize_t features, int flags) noexcept:
    """The array as the loops take it; its data are NULL if shape or strides do not suit them."""
    cdef Sequences s
    cdef np.npy_intp* shape
    cdef np.npy_intp* strides
    cdef Py_ssize_t size = itemsize(dtype)
    s.data, s.per_sequence, s.per_step, s.offsets = NULL, 0, 0, NULL
    if is_array(array, dtype, 3, flags):
        shape = np.PyArray_DIMS(<np.ndarray> array)
        strides = np.PyArray_STRIDES(<np.ndarray> array)
        if (shape[0] == B and shape[1] == T and shape[2] == features
                and (strides[2] == size or features == 1)
                and strides[0] % size == 0 and strides[1] % size == 0):
            s.data = np.PyArray_DATA(<np.ndarray> array)
            s.per_sequence, s.per_step = strides[0] // size, strides[1] // size
            if flags & np.NPY_ARRAY_C_CONTIGUOUS:
                # NumPy leaves the stride of an axis of length 1 open.
                s.per_sequence, s.per_step = T * features, features
    return s


cdef inline Py_ssize_t length(object array) noexcept:
    """The size of the first axis; 0 for what is no array or has no axes."""
    if np.PyArray_Check(array) and np.PyArray_NDIM(<np.ndarray> array) > 0:
        return np.PyArray_DIMS(<np.ndarray> array)[0]
    return 0


cdef inline Py_ssize_t width(object array) noexcept:
    """The size of the last axis; 0 for what is no array or has no axes."""
    cdef int ndim = np.PyArray_NDIM(<np.ndarray> array) if np.PyArray_Check(array) else 0
    return np.PyArray_DIMS(<np.ndarray> array)[ndim - 1] if ndim > 0 else 0


cdef inline Sizes batch_sizes(object array, int dtype) noexcept:
    """B and T of a (batch, time, features) array, or zeros. I, H and O are 1."""
    cdef Sizes s
    memset(&s, 0, sizeof(s))
    s.cell = &cells[0]
    s.I = s.H = s.O = 1
    if is_array(array, dtype, 3, 0):
        s.B, s.T = length(array), np.PyArray_DIMS(<np.ndarray> array)[1]
    return s


cdef inline bint positive(Sizes s) noexcept nogil:
    return s.T > 0 and s.B > 0 and s.I > 0 and s.H > 0 and s.O > 0


cdef inline bint all_below(const Py_ssize_t* numbers, Py_ssize_t n,
                           Py_ssize_t limit) noexcept nogil:
    """Whether all n numbers are from 0 to limit - 1."""
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= numbers[i] < limit:
            return False
    return True


def _refuse(kernel, arrays, needed=0, **rest):
    """Raise the error of a call with a wrong argument, or else with too small a workspace."""
    contracts.check(kernel, arrays, **rest)
    if "workspace" not in arrays:
        raise ValueError(f"{kernel}: expected arrays that the loops can take")
    raise ValueError(
        f"workspace: expected at least {needed} scalars, got {arrays['workspace'].size}"
    )


def is_kernel_ready(array, like, tuple shape):
    cdef int dtype = float_type(like)
    cdef np.npy_intp* sizes
    cdef Py_ssize_t axis, n = 1, expected
    if (type(array) is not np.ndarray or dtype < 0
            or not is_array(array, dtype, len(shape), READ | np.NPY_ARRAY_C_CONTIGUOUS)):
        return False
    sizes = np.PyArray_DIMS(<np.ndarray> array)
    for axis in range(len(shape)):
        expected = shape[axis]
        if sizes[axis] == 0 or (expected >= 0 and sizes[axis] != expected):
            return False
        n *= sizes[axis]
    return table(dtype).all_finite(n, np.PyArray_DATA(<np.ndarray> array))
