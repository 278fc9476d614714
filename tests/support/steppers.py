"""Builds the extensions of tests/embedding as a user's own package would, and imports them."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import crnn

SOURCES = Path(__file__).parents[1] / "embedding"

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
        stepper("learner", crnn.get_include()),
        stepper("online", crnn.get_include()),
        stepper("older", "."),
        # -O1 takes two thirds of the time to compile, -O0 a third.
        *cythonize([
            setuptools.Extension("cython_stepper", ["cython_stepper.pyx"],
                                 extra_compile_args=["-O1"]),
            setuptools.Extension("views_caller", ["views_caller.pyx"],
                                 extra_compile_args=["-O0"]),
        ], quiet=True),
    ],
    script_args=["-q", "build_ext", "--inplace"],
)
"""


def build_steppers(folder):
    """Build the extensions of tests/embedding in this folder; `older` is one for version 1.

    In its folder `newer` stands `stepper` again, built with the header of a later crnn.
    """
    newer = folder / "newer"
    newer.mkdir()
    for name in (
        "stepper.c", "learner.c", "online.c", "cython_stepper.pyx", "views_caller.pyx",
        "version1/older.c", "version1/crnn.h",
    ):  # fmt: skip
        shutil.copy(SOURCES / name, folder)
    shutil.copy(SOURCES / "stepper.c", newer)
    header = (Path(crnn.get_include()) / "crnn.h").read_text()
    later = header.replace("#define CRNN_API_VERSION 3\n", "#define CRNN_API_VERSION 4\n")
    assert later != header
    (newer / "crnn.h").write_text(later)
    process = subprocess.run(
        [sys.executable, "-P", "-c", BUILD], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert process.returncode == 0, process.stdout + process.stderr


def import_from(folder, name):
    """Import a module that was built in this folder."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
