"""The arithmetic on arrays, written twice with the same names, signatures and errors.

`cells.py`
    The table of cells, and the layout of parameters in one vector.
`contracts.py`
    The shapes of every kernel's arguments; both implementations check by this one table.
`reference/`
    NumPy. Read it first: the recurrence is in `steps.py`, a function a cell for the step and one
    for its gradient; `rnn_forward` and `rnn_backward` in `layers.py` go through time.
`native.pyx`
    The compiled module: `binding/` takes arrays and releases the GIL, `loops/` computes. The
    recurrence is in `loops/plain.pxi` (tanh, relu), `loops/gru.pxi` and `loops/lstm.pxi`;
    `loops/recurrence.pxi` goes through time. Matrix products are in `loops/product.pxi`, over the
    register tile of `loops/tile.pxi.in`; for a sequence alone in `loops/row.pxi.in`. Learners step
    in `loops/rtrl.pxi`.

`tests/kernels/` compares both with a third implementation, and their errors with each
other. The compiled tanh layer is tested at every size from 1 to 70, the other cells and NumPy at
some of them; compiled kernels on every instruction set that the machine runs. A change to one
implementation lands with the other in the same commit.
"""
