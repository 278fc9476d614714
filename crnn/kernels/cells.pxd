# The kinds of cells, for Cython code of this package and of others.

cdef enum CellKind:
    # In the order in which cells.CELLS first has them
    TANH_CELL
    RELU_CELL
    GRU_CELL
    GRU_RESET_BEFORE_CELL
    LSTM_CELL
    LEAKY_TANH_CELL
    LEAKY_RELU_CELL
    CELL_KIND_COUNT
