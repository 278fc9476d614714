"""Export to C: a network as one header that needs no library, for programs and devices.

>>> import crnn, os, tempfile
>>> net = crnn.GRU(input_size=2, hidden_size=8, output_size=1, seed=0)
>>> with tempfile.TemporaryDirectory() as folder:
...     crnn.export_c(net, os.path.join(folder, "pump.h")).flash
1124
"""

import os
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy.typing as npt

from crnn import checks
from crnn.networks import GRU, LSTM, RNN
from crnn.sequential import Sequential

__all__ = ["ExportedC", "export_c"]


class ExportedC(NamedTuple):
    """What `export_c` has written.

    Attributes
    ----------
    path : str
        The header.
    test_path : str or None
        The test, if there is one.
    flash : int
        Bytes of the weights and other constants, beside the code.
    ram : int
        Bytes of a state.
    stack : int
        Bytes of the arrays that a step has on the stack.
    error : float or None
        With `x`: the largest difference of an output from that of `RNN.predict`, as a share of the
        largest output.
    """

    path: str
    test_path: str | None
    flash: int
    ram: int
    stack: int
    error: float | None


def export_c(
    net: RNN | GRU | LSTM | Sequential,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    weights: str | None = None,
    x: npt.ArrayLike | None = None,
    test: bool = False,
    overwrite: bool = False,
) -> ExportedC:
    """Write a network, or a chain, as a header in C99 that is C++11, too.

    It defines ``NAME_state``, ``NAME_reset(&state)`` and ``NAME_step(&state, x, y)``, which reads
    the inputs of a step and writes its outputs, in the network's dtype. With categories the second
    argument of the step is the category's number; where there is no such category it returns -1 and
    changes nothing, otherwise 0. `NAME_INPUTS` or `NAME_CATEGORIES`, `NAME_OUTPUTS`, `NAME_HIDDEN`
    and `NAME_LAYERS` are the sizes; those of the parts of a chain are `NAME_PART0_HIDDEN` and so
    on.

    Compiled with contraction off (``-ffp-contract=off``) it gives the same bits on every machine
    whose floating-point numbers are those of IEEE 754. They are not the bits of `predict`, whose
    sums have another order: in float32 they agree to 1e-6 of the largest output, in float64 to
    1e-14, unless the network enlarges small differences.

    Parameters
    ----------
    net : RNN, GRU, LSTM or Sequential
        In one direction. Outputs are those after each step, with `return_sequences` or without.
    path : path-like
        Of the header. An existing file is replaced if this function has written it.
    name : str, optional
        What the names in the header begin with, by default the file's name without its ending.
    weights : {"bfloat16", "int8"}, optional
        What weights are kept as, by default numbers of the network's dtype: bfloat16 takes half
        the memory of float32, int8 with a scale for each row of a matrix a quarter.
        Biases and first states keep the network's dtype, and so do all sums.
    x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
        Data on which the outputs of the header are compared with those of the network; optional.
    test : bool
        Whether to write a program beside the header, ``NAME_test.c``. It runs the first 64 steps of
        the first sequence of `x`, or without it random numbers, and compares the outputs: their
        bits with contraction off. The exit status is 0 where they agree.
    overwrite : bool
        Whether files that this function has not written are replaced, too.

    Returns
    -------
    ExportedC
        The paths, sizes in bytes, and the error on `x`.

    Raises
    ------
    ValueError, TypeError
        The network reads sequences from both ends or has parameters that are not finite, the name
        is no identifier of C and C++, or an argument is of the wrong kind.
    FileExistsError
        There is another file at the path, or where the test would be.
    OSError
        A file cannot be written.

    Notes
    -----
    Both files are written whole or not at all, the test first.

    Examples
    --------
    >>> import crnn, os, tempfile
    >>> net = crnn.LSTM(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     exported = crnn.export_c(net, os.path.join(folder, "pump.h"), weights="int8")
    >>> exported.flash, exported.ram
    (720, 64)
    """
    # Here, because they take longer to import than what most programs need of crnn.
    from crnn import archive
    from crnn.export import files, programs
    from crnn.export.comparison import compare
    from crnn.export.layout import layout_of

    if not isinstance(net, (RNN, GRU, LSTM, Sequential)):
        raise TypeError(
            f"net: expected an RNN, GRU, LSTM or Sequential of crnn, got {type(net).__name__}"
        )
    if weights is not None:
        checks.choice("weights", weights, ("bfloat16", "int8"))
    with_test = checks.boolean("test", test)
    replaces = checks.boolean("overwrite", overwrite)
    header, test_path, prefix = files.paths(path, name)
    if with_test and test_path == header:
        raise ValueError(f"path: expected another one than that of the test, got {header!r}")
    layout = layout_of(net, weights)
    comparison = compare(net, layout, x) if with_test or x is not None else None
    contents: dict[str, str] = {}
    if with_test and comparison is not None:
        contents[test_path] = programs.test(layout, prefix, header, comparison)
    contents[header] = programs.header(layout, prefix, comparison if x is not None else None)
    for target in contents:
        files.check_free(target, replaces=replaces)
    for target, content in contents.items():
        archive.write_file(target, partial(_fill, content.encode("ascii")))
    return ExportedC(
        header,
        test_path if with_test else None,
        layout.flash,
        layout.ram,
        layout.stack,
        None if x is None or comparison is None else comparison.error,
    )


def _fill(content: bytes, file: BinaryIO) -> None:
    file.write(content)
