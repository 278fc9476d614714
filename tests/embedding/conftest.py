"""Extensions in C and Cython, built once against crnn as a user's own package would be.

The tests here are one group of pytest-xdist, so one process builds them (`--dist loadgroup`).
"""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crnn

SOURCES = Path(__file__).parent


BUILD = """
import setuptools
from Cython.Build import cythonize
import crnn

def stepper(name, header):
    return setuptools.Extension(name, [name.replace(".", "/") + ".c"], include_dirs=[header],
                                extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"])

setuptools.setup(
    name="steppers",
    packages=[],
    ext_modules=[
        stepper("stepper", crnn.get_include()),
        stepper("newer.stepper", "newer"),
        # -O1 takes two thirds of the time to compile.
        *cythonize(setuptools.Extension("cython_stepper", ["cython_stepper.pyx"],
                                        extra_compile_args=["-O1"]), quiet=True),
    ],
    script_args=["-q", "build_ext", "--inplace"],
)
"""


@pytest.fixture(scope="session")
def steppers(native, tmp_path_factory):
    """(C extension, Cython extension), built in a folder of their own.

    In its folder `newer` stands the C extension again, built with the header of a later crnn.
    """
    folder = tmp_path_factory.mktemp("embedding")
    newer = folder / "newer"
    newer.mkdir()
    for name in ("stepper.c", "cython_stepper.pyx"):
        shutil.copy(SOURCES / name, folder)
    shutil.copy(SOURCES / "stepper.c", newer)
    header = (Path(crnn.get_include()) / "crnn.h").read_text()
    later = header.replace("#define CRNN_API_VERSION 1\n", "#define CRNN_API_VERSION 2\n")
    assert later != header
    (newer / "crnn.h").write_text(later)
    process = subprocess.run(
        [sys.executable, "-P", "-c", BUILD], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stdout + process.stderr
    sys.path.insert(0, str(folder))
    try:
        modules = tuple(map(importlib.import_module, ("stepper", "cython_stepper")))
    finally:
        sys.path.remove(str(folder))
    return modules


@pytest.fixture(scope="session")
def trained(native):
    """Build a network that a few steps of training have moved away from where it started."""

    def build(I, H, O, dtype="float32", family=crnn.RNN):
        net = family(I, H, O, dtype=dtype, seed=0, implementation="native")
        rng = np.random.default_rng(1)
        x, y = rng.standard_normal((4, 20, I)), rng.standard_normal((4, 20, O))
        net.fit(x, y, epochs=3, optimizer=crnn.SGD(0.1))
        return net

    return build
