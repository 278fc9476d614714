"""Every kernel compiled: look at the arrays, drop the GIL, call the loops of this processor.

The functions are those of `reference`, which documents them, with the same signatures and errors.
Each one here puts its arrays into a `Call`, whose pointers stay NULL where an array is not what the
loops rely on (`native_arrays.pxi`). Such a call is refused, and `contracts` says why. The class
`Stream` is in `native_stream.pxi`.
"""

import os
from importlib import import_module
from importlib.util import find_spec

cimport numpy as np
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY, isfinite
from libc.string cimport memset

from crnn.kernels.table cimport (
    CELL_COUNT, CROSS_ENTROPY, MSE, SSE, Builds, Call, Cell, CellKind, Sequences, Sizes, Table,
    Task,
)

import numpy

from crnn.kernels import contracts, streams
from crnn.kernels.cells import CELLS, float_dtype, get_cell

np.import_array()

cdef extern from "pool.h" nogil:
    void run_team(int threads, Task task, void* arguments)
    void run_alone(Task task, void* arguments)
    ctypedef int crnn_atomic
    int atomic_swap(crnn_atomic*, int)
    void atomic_set(crnn_atomic*, int)
    enum: MOST_THREADS

cdef extern from *:
    """
    /* NumPy's headers include complex.h, where I is the imaginary unit. Here it is a size. */
    #undef I
    """

cdef extern from "cpu.h":
    bint cpu_supports_avx2()
    bint cpu_supports_avx512()


def _choose_instruction_set():
    """Return the best build that this processor runs, or the one that CRNN_CPU names; and why."""
    runs = {"avx512": cpu_supports_avx512(), "avx2": cpu_supports_avx2(), "baseline": True}
    # A build for several architectures at once has the baseline alone.
    supported = [name for name in runs if runs[name] and find_spec(f"crnn.kernels._{name}")]
    name = os.environ.get("CRNN_CPU")
    if not name:
        return supported[0], "the best that this processor runs"
    if name not in supported:
        # Not an ImportError: nothing is broken that the NumPy kernels should stand in for.
        raise ValueError(
            f"CRNN_CPU: expected one of {', '.join(supported)} on this processor, got {name!r}"
        )
    return name, f"CRNN_CPU={name}"


instruction_set, instruction_set_reason = _choose_instruction_set()
cdef Builds* builds = <Builds*> PyCapsule_GetPointer(
    import_module(f"crnn.kernels._{instruction_set}").capsule, "crnn.kernels.Builds")


cdef inline Table* table(int dtype) noexcept nogil:
    return &builds.float64 if dtype == np.NPY_DOUBLE else &builds.float32


cdef Cell[CELL_COUNT] cells
cdef dict CELL_KINDS = {}
if len(CELLS) != CELL_COUNT:
    raise ImportError(f"CellKind: expected {len(CELLS)} kinds of cells, got {CELL_COUNT}")
for _kind, (_name, _cell) in enumerate(CELLS.items()):
    CELL_KINDS[_name] = _kind
    cells[_kind].kind = <CellKind> <int> _kind
    cells[_kind].gates, cells[_kind].sums, cells[_kind].states, cells[_kind].kept = _cell


cdef inline const Cell* cell_of(name) except NULL:
    kind = CELL_KINDS.get(name) if type(name) is str else None
    if kind is None:
        get_cell(name)
    return &cells[<int> kind]


def _choose_num_threads():
    """Return CRNN_NUM_THREADS, or the number of processors that this process may use."""
    wanted = os.environ.get("CRNN_NUM_THREADS")
    if not wanted:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(
            f"CRNN_NUM_THREADS: expected a whole number of at least 1, got {wanted!r}"
        )
    return int(wanted)


cdef int num_threads = min(_choose_num_threads(), MOST_THREADS)

cdef enum:
    # Multiply-adds of a forward pass that are worth a thread: 12 microseconds of a core, or 40
    # with the gradient. Waking a thread takes 5 to 50, so below twice this two may well be slower.
    WORTH_A_THREAD = 1 << 20
    # Multiply-adds of a stream's step above which it lets other threads of Python run.
    LONG_STEP = 1 << 15


def set_num_threads(n):
    global num_threads
    num_threads = min(n, MOST_THREADS)


def get_num_threads():
    return num_threads


cdef dict LOSSES = {"mse": MSE, "sse": SSE, "cross_entropy": CROSS_ENTROPY}


cdef inline int team_size(Sizes s) noexcept nogil:
    """How many threads a call of these sizes is worth: no more than one for two sequences."""
    cdef double work = <double> s.T * s.B * s.H * (s.cell.gates * (s.I + s.H) + s.O)
    return <int> max(1, min(num_threads, min((s.B + 1) // 2, work / WORTH_A_THREAD)))


include "binding/arguments.pxi"
include "binding/workspaces.pxi"
include "binding/layers.pxi"
include "binding/network.pxi"
include "binding/losses.pxi"
include "binding/updates.pxi"
include "binding/stream.pxi"
include "binding/c_api.pxi"
