"""The arithmetic, written twice with the same names, signatures and errors.

`reference`
    NumPy: the equations in the fewest lines. Read it first: the recurrence is in `steps`.
`native`
    The compiled twin. `native.pyx` chooses the instruction set; `binding/` is what Python calls;
    `loops/` is the arithmetic, which `_baseline`, `_avx2` and `_avx512` compile for one instruction
    set each. The recurrence is in `loops/rnn.pxi`, `gru.pxi` and `lstm.pxi`, the matrix products in
    `tile.pxi.in` and `product.pxi`, tanh in `activations.pxi`.
`cells`
    The table of cells.
`contracts`
    The shapes and errors of both.

The tests in tests/kernels keep them equal. A change to one lands with the other.
"""
