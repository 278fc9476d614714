"""The arithmetic, written twice with the same names, signatures and errors.

`reference.py`
    NumPy: the equations in the fewest lines. Read it first; the recurrence is in `rnn_forward`
    and `rnn_backward`.
`native.pyx`
    The compiled twin: takes arrays, drops the GIL, calls the loops. The recurrence is in
    `rnn.pxi`, the matrix products in `tile.pxi`, tanh in `activations.pxi`.
`contracts.py`
    The shapes and errors of both.

`tests/test_kernels.py` keeps them equal: both against a third, einsum version and each other, at
every size from 1 to 70, on every instruction set that the machine runs. A change to one lands with
the other.
"""
