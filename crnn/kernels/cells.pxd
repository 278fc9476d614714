# The kinds of cells, for Cython code of this package and of others.

cdef enum CellKind:
    # In the order of cells.CELLS
    TANH_CELL
    RELU_CELL
    GRU_CELL
    GRU_RESET_BEFORE_CELL
    LSTM_CELL
    CELL_COUNT
