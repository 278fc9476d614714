"""The one place that chooses between the compiled kernels and the NumPy ones.

The environment variable CRNN_IMPLEMENTATION is `auto` (the default), `native` or `python`. `auto`
falls back to NumPy without a word when the compiled kernels are absent, and with a warning when
they are present and fail to load, or when the build of this installation failed.
"""

import importlib
import os
import sys
import warnings
from importlib import resources
from types import ModuleType

import numpy as np

_MODULES = {"native": "crnn.kernels.native", "python": "crnn.kernels.reference"}


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
            + (f"their build failed ({failure})" if failure else "this installation has none"),
            name=error.name,
        ) from None


def name_of(kernels: ModuleType) -> str:
    """Return the implementation whose kernels these are."""
    return next(name for name, module in _MODULES.items() if module == kernels.__name__)


def build_failure() -> str | None:
    """Return why the compiled kernels could not be built, if that is why they are absent."""
    note = resources.files("crnn.kernels") / "native_build_failure.txt"
    return note.read_text(encoding="utf-8").strip() if note.is_file() else None


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
        return "native", load("native"), "the compiled kernels are there"
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == _MODULES["native"]
        if not absent or build_failure():
            reason = str(error) if absent else f"the compiled kernels fail to load: {error}"
            warnings.warn(
                f"crnn runs on its much slower NumPy kernels, because {reason}. "
                "CRNN_IMPLEMENTATION=python says that this is meant; with a C compiler, "
                "pip install --force-reinstall --no-cache-dir crnn builds anew.",
                RuntimeWarning,
                stacklevel=2,
            )
        return "python", load("python"), str(error)


implementation, kernels, reason = _choose()


def show_config() -> None:
    """Print which implementation and instruction set run, and why."""
    from crnn import __version__

    print(f"crnn            {__version__}")
    print(f"implementation  {implementation} ({reason})")
    print(f"instruction set {kernels.instruction_set} ({kernels.instruction_set_reason})")
    print(f"NumPy           {np.__version__}")
    print(f"Python          {sys.version.split()[0]}")
