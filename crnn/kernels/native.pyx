"""Every kernel compiled: check the arrays, release the GIL, call the loops of this processor.

The functions are those of `reference`, which documents them, with the same signatures and errors.
Here are the choice of the instruction set, the tables of loops and the number of threads; what
Python calls is in binding/, one file a subject. A function there puts its arrays into a `Call`,
whose pointers stay NULL where an array does not suit the loops. Such a call is refused, and
`contracts` says why.
"""

import os
import threading
from importlib import import_module
from importlib.util import find_spec

cimport numpy as np
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY, NAN, isfinite
from libc.string cimport memcpy, memset

from crnn.kernels.cells cimport CELL_KIND_COUNT, LEAKY_TANH_CELL, CellKind
from crnn.kernels.table cimport (
    BINARY_CROSS_ENTROPY, CROSS_ENTROPY, HUBER, MSE, SSE, Builds, Call, Cell, Interrupt, Sequences,
    Sizes, Table, Task, bias_count, has_leak, parameter_count, splits_units,
)

import numpy

from crnn.kernels import contracts, streams
from crnn.kernels.cells import CELLS, get_cell

np.import_array()

cdef extern from "pool.h" nogil:
    void run_team(int threads, Task task, void* call, Interrupt*)
    void start_interrupt(Interrupt*, int (*ask)() noexcept nogil)
    void run_alone(Task task, void* call)
    ctypedef struct OpenMP:
        void* parallel
        void* thread_number
        void* thread_count
    bint set_openmp(const OpenMP*)
    ctypedef int crnn_atomic
    int atomic_swap(crnn_atomic*, int)
    int atomic_get(crnn_atomic*)
    void atomic_set(crnn_atomic*, int)
    enum: MOST_THREADS

cdef extern from *:
    """
    /* NumPy's headers include complex.h, where I is the imaginary unit. Here it is a size. */
    #undef I
    """

cdef extern from "Python.h":
    enum: PY_SSIZE_T_MAX
    int PyErr_CheckSignals() noexcept  # -1: a handler has raised
    ctypedef struct PyInterpreterState:
        pass
    PyInterpreterState* PyInterpreterState_Get() noexcept
    PyInterpreterState* PyInterpreterState_Main() noexcept

cdef extern from "cpu.h":
    bint cpu_supports_avx2()
    bint cpu_supports_avx512()


def _choose_instruction_set():
    """Return the best instruction set of this processor, or what CRNN_CPU says; and the reason."""
    runs = {"avx512": cpu_supports_avx512(), "avx2": cpu_supports_avx2(), "baseline": True}
    # Some builds have fewer: one for several architectures has the baseline alone.
    supported = [name for name in runs if runs[name] and find_spec(f"crnn.kernels._{name}")]
    if not supported:
        raise ImportError("expected compiled loops that this processor runs, got none")
    name = os.environ.get("CRNN_CPU")
    if not name:
        return supported[0], "the best that this processor runs"
    if name not in supported:
        # No ImportError, for which the NumPy kernels would be used instead.
        raise ValueError(
            f"CRNN_CPU: expected one of {', '.join(supported)} on this processor, got {name!r}"
        )
    return name, f"CRNN_CPU={name}"


instruction_set, instruction_set_reason = _choose_instruction_set()
cdef Builds* builds = <Builds*> PyCapsule_GetPointer(
    import_module(f"crnn.kernels._{instruction_set}").capsule, "crnn.kernels.Builds")


cdef inline Table* table(int dtype) noexcept nogil:
    return &builds.float64 if dtype == np.NPY_DOUBLE else &builds.float32


cdef enum:
    CELL_COUNT = 13

# The rows of `CELLS`. Each kind before LEAKY_TANH_CELL has one row, whose number is the kind's.
cdef Cell[CELL_COUNT] cells
cdef list CELL_NAMES = list(CELLS)
cdef dict CELL_ROWS = {name: row for row, name in enumerate(CELLS)}
_kinds = list(dict.fromkeys(cell.kind for cell in CELLS.values()))
if len(CELLS) != CELL_COUNT or len(_kinds) != CELL_KIND_COUNT:
    raise ImportError(
        f"cells: expected {CELL_COUNT} of {CELL_KIND_COUNT} kinds, got {len(CELLS)} of "
        f"{len(_kinds)}"
    )
for _row, _cell in enumerate(CELLS.values()):
    cells[_row].kind = <CellKind> <int> _kinds.index(_cell.kind)
    cells[_row].weight_blocks, cells[_row].bias_blocks = _cell.weight_blocks, _cell.bias_blocks
    cells[_row].state_blocks, cells[_row].gate_blocks = _cell.state_blocks, _cell.gate_blocks
    cells[_row].leak_blocks, cells[_row].shared_leaks = _cell.leak_blocks, _cell.shared_leaks
    cells[_row].da_blocks = _cell.da_blocks


cdef inline const Cell* get_cell_row(name) except NULL:
    row = CELL_ROWS.get(name) if type(name) is str else None
    if row is None:
        get_cell(name)  # raises
    return &cells[<int> row]


def _choose_num_threads():
    """Return CRNN_NUM_THREADS, or the number of processors that this process may use.

    Engines that run several processes on a machine set OMP_NUM_THREADS to the share of each.
    """
    wanted = os.environ.get("CRNN_NUM_THREADS")
    if not wanted:
        affinity = getattr(os, "sched_getaffinity", None)
        processors = len(affinity(0)) if affinity else os.cpu_count() or 1
        # A list is for nested teams.
        share = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        return min(processors, max(int(share), 1)) if share.isdecimal() else processors
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(
            f"CRNN_NUM_THREADS: expected a whole number of at least 1, got {wanted!r}"
        )
    return int(wanted)


# Threads may set it while others call.
cdef crnn_atomic num_threads = min(_choose_num_threads(), MOST_THREADS)

cdef enum:
    # Multiply-adds of a forward pass for each thread: 12 microseconds of a core, or 40 with the
    # gradient. Waking a thread takes 5 to 50, so two threads with less may be slower than one.
    WORTH_A_THREAD = 1 << 20
    # Units of a step for each thread, where sequences share them: as many outweigh a barrier.
    UNITS_OF_A_THREAD = 64
    # A stream's step of as many multiply-adds releases the GIL and may use several threads.
    LONG_STEP = 1 << 15
    # A call of as many multiply-adds, or steps of sequences, may take ten milliseconds or more.
    LONG_CALL = 1 << 26
    LONG_CALL_STEPS = 1 << 16


def set_num_threads(n):
    atomic_set(&num_threads, min(n, MOST_THREADS))


def get_num_threads():
    return atomic_get(&num_threads)


def use_openmp(addresses):
    cdef OpenMP functions
    cdef size_t parallel, number, count
    parallel, number, count = addresses or (0, 0, 0)
    functions.parallel, functions.thread_number = <void*> parallel, <void*> number
    functions.thread_count = <void*> count
    cdef bint is_set
    if threading.get_ident() == threading.main_thread().ident and questions:
        # It would wait for a call that waits for it.
        raise RuntimeError(
            "use_openmp: expected no running call of this thread, got one that a handler of a "
            "signal has interrupted"
        )
    with nogil:  # A running call that is waited for may want the GIL.
        is_set = set_openmp(&functions)
    if not is_set:
        raise MemoryError("no memory for a fork handler")


cdef inline double multiply_adds(Sizes s) noexcept nogil:
    return <double> s.T * s.B * s.H * (s.cell.weight_blocks * (s.I + s.H) + s.O)


cdef inline int team_size(Sizes s) noexcept nogil:
    """How many threads a call of these sizes uses.

    At most one for each pair of sequences, or where they share units for so many units.
    """
    cdef Py_ssize_t most = s.H // UNITS_OF_A_THREAD if splits_units(s) else (s.B + 1) // 2
    return <int> max(1, min(atomic_get(&num_threads), min(most, multiply_adds(s) / WORTH_A_THREAD)))


# Of calls in the main thread that handlers of signals have interrupted
cdef int questions = 0


cdef int caller_is_interrupted() noexcept with gil:
    """Call the handlers of signals that have come; whether one of them has raised an exception."""
    global questions
    questions += 1
    cdef bint has_raised = PyErr_CheckSignals() != 0
    questions -= 1
    return has_raised


cdef Interrupt* interrupt_of(Sizes s, Interrupt* memory) except? NULL:
    """What ends a call of these sizes early, in this memory.

    NULL: the call is short, or in an interpreter or a thread to which Python does not deliver
    signals.
    """
    if multiply_adds(s) < LONG_CALL and s.T * s.B < LONG_CALL_STEPS:
        return NULL
    if PyInterpreterState_Get() != PyInterpreterState_Main():
        return NULL
    if threading.get_ident() != threading.main_thread().ident:
        return NULL
    start_interrupt(memory, caller_is_interrupted)
    return memory


cdef int raise_if_stopped(const Interrupt* interrupt) except -1:
    """Raise the exception for which the call has ended early, if it has."""
    return -1 if interrupt != NULL and interrupt.is_stopped else 0


cdef int run(Task task, Call* c) except -1:
    """Run a task on a call, without the GIL; raise the exception for which it has ended early."""
    cdef Interrupt memory
    cdef Interrupt* interrupt = interrupt_of(c.sizes, &memory)
    with nogil:
        run_team(team_size(c.sizes), task, c, interrupt)
    return raise_if_stopped(interrupt)


include "binding/arguments.pxi"
include "binding/workspaces.pxi"
include "binding/order.pxi"
include "binding/layers.pxi"
include "binding/network.pxi"
include "binding/losses.pxi"
include "binding/constraints.pxi"
include "binding/updates.pxi"
include "binding/optimizer.pxi"
include "binding/training.pxi"
include "binding/fleets.pxi"
include "binding/stream_step.pxi"
include "binding/stream_data.pxi"
include "binding/stream_block.pxi"
include "binding/stream.pxi"
include "binding/trainer.pxi"
include "binding/learner.pxi"
include "binding/views.pxi"
include "binding/c_api.pxi"
