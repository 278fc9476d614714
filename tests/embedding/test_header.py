"""crnn.h and the Cython declarations: they compile, and say which version they are."""

import ctypes
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import crnn

pytestmark = pytest.mark.xdist_group("embedding")

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


def test_include_folder():
    header = Path(crnn.get_include()) / "crnn.h"
    assert "CRNN_API_VERSION 3" in header.read_text()


@pytest.mark.parametrize(
    ("compiler", "flags"), [("cc", ["-xc", "-std=c99"]), ("c++", ["-xc++", "-std=c++11"])]
)
@pytest.mark.parametrize("with_python", [True, False])
def test_header_compiles(tmp_path, compiler, flags, with_python):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    source = tmp_path / "use.c"
    first = "#include <Python.h>\n" if with_python else ""
    source.write_text(
        f"{first}#include <crnn.h>\nint version(void) {{ return CRNN_API_VERSION; }}\n"
    )
    includes = [f"-I{crnn.get_include()}", "-isystem", sysconfig.get_path("include")]
    unused = ["-Wno-unused-function"]
    subprocess.run(
        [compiler, *flags, *WARNINGS, *unused, *includes, "-fsyntax-only", source], check=True
    )


def test_import_from_c(steppers, run_python):
    """Whatever the default implementation is; without the compiled kernels, an ImportError."""
    folder = Path(steppers[0].__file__).parent
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    process = run_python(
        code + "import stepper; print(stepper.version)", CRNN_IMPLEMENTATION="python"
    )
    assert process.stdout == "3\n", process.stderr
    code += """
sys.modules["crnn.kernels.native"] = None
import warnings
warnings.simplefilter("ignore")
try:
    import stepper
except ImportError as error:
    print(error.name)
"""
    process = run_python(code)
    assert process.stdout == "crnn.kernels.native\n", process.stderr


def test_later_header(steppers, run_python):
    """A table older than the header that the extension was compiled with is not used."""
    folder = Path(steppers[0].__file__).parent / "newer"
    process = run_python(f"import sys; sys.path.insert(0, {str(folder)!r})\nimport stepper")
    last = process.stderr.splitlines()[-1]
    assert last == "ImportError: crnn.h: expected version 4 or later, got version 3"


def test_capsule(native):
    """Its name and the version in front are what any later header will rely on."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = get(native.c_api, b"crnn.kernels.native.c_api")
    assert ctypes.cast(table, ctypes.POINTER(ctypes.c_int))[0] == 3
    functions = (Path(crnn.get_include()) / "crnn.h").read_text().count("(*")
    addresses = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[1 : 1 + functions]
    assert len(set(addresses)) == functions
    assert all(addresses)
