"""The one place that chooses between the compiled kernels and the NumPy ones.

The environment variable CRNN_IMPLEMENTATION is `auto` (the default), `native` or `python`. `auto`
falls back to NumPy without a word when the compiled kernels are absent on purpose, and with a
warning when they are present and fail to load, when the build of this installation failed, or when
what is imported is the source folder, where nothing is compiled.
"""

import importlib
import os
import sys
import warnings
from types import ModuleType

import numpy as np

_MODULES = {"native": "crnn.kernels.native", "python": "crnn.kernels.reference"}
# By os.path: pathlib would take a third of the time that the import of crnn takes.
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
    """Return the implementation whose kernels these are."""
    return next(name for name, module in _MODULES.items() if module == kernels.__name__)


def build_failure() -> str | None:
    """Return why the compiled kernels could not be built, if that is why they are absent."""
    try:
        with open(os.path.join(_FOLDER, "native_build_failure.txt"), encoding="utf-8") as note:
            # The last line is the compiler's own complaint, without which the others say little.
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
            warnings.warn(
                "crnn: the compiled kernels could not be used, so the much slower NumPy kernels "
                f"run. Reason: {failure}. To build them anew, install a C compiler and reinstall "
                "with pip's --force-reinstall and --no-cache-dir. To silence this, set "
                "CRNN_IMPLEMENTATION=python.",
                RuntimeWarning,
                stacklevel=4,  # whoever imports crnn
            )
        return "python", load("python"), str(error)


def _unintended(error: ImportError) -> str | None:
    """Return why the compiled kernels did not load, or None where nobody wanted any."""
    if not isinstance(error, ModuleNotFoundError) or error.name != _MODULES["native"]:
        return f"they fail to load: {error}"
    if build_failure():
        return str(error)
    if os.path.isfile(os.path.join(_FOLDER, "native.pyx")):
        return (
            "this crnn is the source folder, where nothing is compiled; run from another folder, "
            "or pip install --editable this one"
        )
    return None


implementation, kernels, reason = _choose()


def show_config() -> None:
    """Print which implementation and instruction set run, and why."""
    from crnn import __version__

    print(f"crnn            {__version__}")
    print(f"implementation  {implementation} ({reason})")
    print(f"instruction set {kernels.instruction_set} ({kernels.instruction_set_reason})")
    print(f"threads         {kernels.get_num_threads()} at most")
    print(f"NumPy           {np.__version__}")
    print(f"Python          {sys.version.split()[0]}")
