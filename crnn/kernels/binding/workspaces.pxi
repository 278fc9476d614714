# Sizes of workspaces.

cdef Table* table_of(dtype) except NULL:
    cdef int number = -1
    if isinstance(dtype, np.dtype):
        number = (<np.dtype> dtype).type_num
    if number == np.NPY_FLOAT:
        return &builds.float32
    return &builds.float64 if float_dtype(dtype) == "float64" else &builds.float32


def workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s
    s.cell = cell_of(cell)
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).workspace_size(NULL, s)


def gradient_workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s
    s.cell = cell_of(cell)
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).gradient_workspace_size(NULL, s)


def predict_workspace_size(cell, T, B, I, H, O, dtype):
    cdef Sizes s
    s.cell = cell_of(cell)
    s.T, s.B, s.I, s.H, s.O = T, B, I, H, O
    return table_of(dtype).predict_workspace_size(NULL, s)
