# How many scalars of workspace the kernels need.

cdef Table* table_of(dtype) except NULL:
    cdef int number = -1
    if isinstance(dtype, np.dtype):
        number = (<np.dtype> dtype).type_num
    if number == np.NPY_FLOAT:
        return &builds.float32
    return &builds.float64 if contracts.float_dtype(dtype) == "float64" else &builds.float32


cdef Sizes as_sizes(cell, Py_ssize_t T, Py_ssize_t B, Py_ssize_t I, Py_ssize_t H,
                    Py_ssize_t O) except *:
    """Sizes from numbers; O = 0: no output layer."""
    cdef Sizes s
    s.cell = get_cell_row(cell)
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O or H
    s.has_output_layer = O != 0
    return s


cdef int number_of(dtype) except -1:
    """NumPy's number of a dtype."""
    return np.NPY_DOUBLE if table_of(dtype) == &builds.float64 else np.NPY_FLOAT


def layer_workspace_size(cell, T, B, I, H, dtype):
    return layer_size(number_of(dtype), as_sizes(cell, T, B, I, H, 0))


def output_workspace_size(T, B, H, O, dtype):
    return output_size(number_of(dtype), as_sizes("tanh", T, B, 1, H, O))


def gradient_workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s = as_sizes(cell, T, B, I, H, O)
    return table_of(dtype).gradient_workspace_size(NULL, s)


def train_workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s = as_sizes(cell, T, B, I, H, O)
    return training_size(number_of(dtype), s)


def predict_workspace_size(cell, T, B, I, H, O, dtype):
    return predict_size(number_of(dtype), as_sizes(cell, T, B, I, H, O))


def stream_workspace_size(cell, B, I, H, O, dtype):
    cdef Sizes s = as_sizes(cell, 1, B, I, H, O)
    return table_of(dtype).stream_workspace_size(NULL, s)
