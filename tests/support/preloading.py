"""Shared libraries compiled from C when a program starts, and programs that preload one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

VARIABLE = "FAULTS_LIBRARY"


def shared_library(source: Path, folder: str | Path, *options: str) -> Path:
    """Compile a C file into a shared library in this folder; return its path."""
    library = Path(folder, f"{source.stem}.so")
    command = ["cc", "-O2", "-Wall", "-Wextra", *options, "-shared", "-fPIC", source, "-o", library]
    subprocess.run([*command, "-ldl", "-lm"], check=True)
    return library


def run_preloaded(source: Path) -> None:
    """Run this program again under the library, and end as it does; under the library, return."""
    if VARIABLE in os.environ:
        return
    with tempfile.TemporaryDirectory() as folder:
        library = str(shared_library(source, folder))
        environment = {**os.environ, "LD_PRELOAD": library, VARIABLE: library}
        sys.exit(subprocess.run([sys.executable, "-P", *sys.argv], env=environment).returncode)
