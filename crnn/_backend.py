"""The choice between the compiled kernels and the NumPy ones, their threads and their headers.

The environment variable CRNN_IMPLEMENTATION is `auto` (the default), `native` or `python`. `auto`
falls back to NumPy silently where the compiled kernels are absent on purpose, and with a warning
where they fail to load, where the build of this installation failed, where crnn comes from the
wheel for systems that no other wheel serves, or where it is imported from the source folder, in
which nothing is compiled.
"""

import importlib
import os
import sys
import warnings
from importlib import machinery
from types import ModuleType
from typing import SupportsIndex

import numpy as np

from crnn import _interpreter, checks
from crnn._version import __version__

_MODULES = {"native": "crnn.kernels.native", "python": "crnn.kernels.reference"}
_ADVICE = (
    "To build them anew, install a C compiler and reinstall with pip's --force-reinstall and "
    "--no-cache-dir. "
)
# os.path, because importing pathlib takes a third as long as importing crnn.
_FOLDER = os.path.join(os.path.dirname(__file__), "kernels")


def load(name: str) -> ModuleType:
    """Return the kernels of one implementation.

    Parameters
    ----------
    name : {"native", "python"}

    Raises
    ------
    ValueError
        Another name.
    ImportError
        The compiled kernels are absent, or fail to load.
    """
    if name not in _MODULES:
        raise ValueError(f"implementation: expected 'native' or 'python', got {name!r}")
    try:
        return importlib.import_module(_MODULES[name])
    except ModuleNotFoundError as error:
        if error.name != _MODULES[name]:
            raise
        failure = build_failure()
        raise ModuleNotFoundError(
            "the compiled kernels are absent: "
            + (f"their build failed: {failure}" if failure else "this installation has none"),
            name=error.name,
        ) from None


def name_of(kernels: ModuleType) -> str:
    """Return the name of the implementation of these kernels."""
    return next(name for name, module in _MODULES.items() if module == kernels.__name__)


def build_failure() -> str | None:
    """Return why the compiled kernels could not be built, or None if their build did not fail."""
    try:
        with open(os.path.join(_FOLDER, "native_build_failure.txt"), encoding="utf-8") as note:
            # All lines: the last one is what the compiler says.
            return " | ".join(note.read().split("\n")).strip(" |")
    except FileNotFoundError:
        return None


def _choose() -> tuple[str, ModuleType, str]:
    """Return the default implementation, its kernels, and why it is that one."""
    wanted = os.environ.get("CRNN_IMPLEMENTATION") or "auto"
    if wanted not in ("auto", *_MODULES):
        raise ValueError(
            f"CRNN_IMPLEMENTATION: expected 'auto', 'native' or 'python', got {wanted!r}"
        )
    if wanted != "auto":
        return wanted, load(wanted), f"CRNN_IMPLEMENTATION={wanted}"
    try:
        return "native", load("native"), "the default: compiled kernels found"
    except ImportError as error:
        failure = _unintended(error)
        if failure:
            advice = _ADVICE if _interpreter.is_main() else ""
            warnings.warn(
                "crnn: the compiled kernels could not be used, so the much slower NumPy kernels "
                f"run. Reason: {failure}. {advice}To silence this, set "
                "CRNN_IMPLEMENTATION=python.",
                RuntimeWarning,
                stacklevel=4,  # whoever imports crnn
            )
        return "python", load("python"), str(error)


def _unintended(error: ImportError) -> str | None:
    """Return why the compiled kernels did not load, or None where they are absent on purpose."""
    if not isinstance(error, ModuleNotFoundError) or error.name != _MODULES["native"]:
        if not _interpreter.is_main():
            return "this is a subinterpreter, and they load in one interpreter of a process"
        return f"they fail to load: {error}"
    if build_failure():
        return str(error)
    # Only the wheel for all other systems has this file; see build_kernels.py.
    if os.path.isfile(os.path.join(_FOLDER, "pure_python_wheel.txt")):
        # What the interpreter loads: `sysconfig.get_platform` names a 64-bit system where a 32-bit
        # Python runs on it, and neither musl nor free threading.
        build = machinery.EXTENSION_SUFFIXES[0].split(".")[1]
        return (
            f"no wheel of crnn has compiled kernels for Python {sys.version.split()[0]} ({build}); "
            "build them from the source distribution, with pip's --no-binary crnn"
        )
    if os.path.isfile(os.path.join(_FOLDER, "native.pyx")):
        return (
            "this crnn is the source folder, where nothing is compiled; run from another folder, "
            "or pip install --editable this one"
        )
    return None


implementation, kernels, reason = _choose()


def show_config() -> None:
    """Print which implementation and instruction set run, and why."""
    print(f"crnn            {__version__}")
    print(f"implementation  {implementation} ({reason})")
    print(f"instruction set {kernels.instruction_set} ({kernels.instruction_set_reason})")
    print(f"threads         {kernels.get_num_threads()} at most")
    print(f"NumPy           {np.__version__}")
    print(f"Python          {sys.version.split()[0]}")


def set_num_threads(n: SupportsIndex) -> None:
    """Set how many threads one call of the compiled kernels may use.

    The default is CRNN_NUM_THREADS, or the number of processors that the process may use, or
    OMP_NUM_THREADS if that is less. A call uses fewer where the work is too little to share;
    results are the same bits for any number. The NumPy kernels are left to NumPy.

    Parameters
    ----------
    n : int
        At least 1; the calling thread is one of them.

    Raises
    ------
    ValueError, TypeError
        `n` is no whole number of at least 1.
    """
    _threaded_kernels().set_num_threads(checks.integer("n", n, at_least=1))


def get_num_threads() -> int:
    """Return how many threads one call of the compiled kernels may use.

    Returns
    -------
    int
        1 where there are no compiled kernels.
    """
    number: int = _threaded_kernels().get_num_threads()
    return number


def use_openmp(library: str | os.PathLike[str] | None) -> None:
    """Let calls of the compiled kernels run on OpenMP's threads instead of threads of their own.

    Use it where another library of the process works on OpenMP's threads in between: after such
    work they go on spinning for milliseconds, on the cores that crnn's threads would need.
    Importing `crnn.torch` does it for PyTorch's. After a fork the child has crnn's own threads
    again. The NumPy kernels are left to NumPy.

    Parameters
    ----------
    library : path-like or None
        A shared library that is an OpenMP runtime, or that is linked with the one to use. None:
        threads of crnn's own.

    Raises
    ------
    OSError
        The library cannot be loaded.
    ValueError
        It has no OpenMP functions, or not under GCC's names.
    RuntimeError
        A handler of a signal calls it, which has interrupted another call.
    """
    addresses = None
    if library is not None:
        import ctypes  # here, because few need it

        loaded = ctypes.CDLL(os.fspath(library))
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        if not all(hasattr(loaded, name) for name in names):
            raise ValueError(
                "library: expected an OpenMP library with GOMP_parallel, got "
                f"{os.fspath(library)!r}"
            )
        addresses = tuple(
            ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value for name in names
        )
    _threaded_kernels().use_openmp(addresses)


def _threaded_kernels() -> ModuleType:
    """Return the compiled kernels, which a network may use whatever the default is."""
    try:
        return load("native")
    except ImportError:
        return load("python")


def get_include() -> str:
    """Return the folder of crnn.h, for a C compiler's include path.

    Cython code needs no path: ``from crnn cimport Stream`` finds the package.

    Returns
    -------
    str
        An absolute path.
    """
    return os.path.join(os.path.dirname(__file__), "include")
