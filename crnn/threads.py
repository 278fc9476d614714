"""How many threads one call of the kernels may use."""

from types import ModuleType
from typing import SupportsIndex

from crnn import _backend, checks


def set_num_threads(n: SupportsIndex) -> None:
    """Let one call of the compiled kernels use up to `n` threads.

    By default that is CRNN_NUM_THREADS, or the number of processors that the process may use. A
    call uses fewer where the work is too little to share; results are the same bits for any
    number. NumPy kernels are left to NumPy.

    Parameters
    ----------
    n : int
        At least 1; the calling thread is one of them.

    Raises
    ------
    ValueError, TypeError
        `n` is no whole number of at least 1.
    """
    threads = checks.integer("n", n, at_least=1)
    _threaded_kernels().set_num_threads(threads)


def get_num_threads() -> int:
    """Return how many threads one call of the compiled kernels may use.

    Returns
    -------
    int
        1 where there are no compiled kernels.
    """
    number: int = _threaded_kernels().get_num_threads()
    return number


def _threaded_kernels() -> ModuleType:
    """Return the compiled kernels, which a network may use whatever the default is."""
    try:
        return _backend.load("native")
    except ImportError:
        return _backend.load("python")
