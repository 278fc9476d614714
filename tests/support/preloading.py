"""Programs that run under a preloaded library of their own, compiled from C when they start."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

VARIABLE = "FAULTS_LIBRARY"


def run_preloaded(source: Path) -> None:
    """Run this program again under the library, and end as it does; under the library, return."""
    if VARIABLE in os.environ:
        return
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/{source.stem}.so"
        command = ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source]
        subprocess.run([*command, "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": library, VARIABLE: library}
        sys.exit(subprocess.run([sys.executable, "-P", *sys.argv], env=environment).returncode)
