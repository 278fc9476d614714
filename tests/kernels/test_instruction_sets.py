"""The tests marked `loops` once more, in processes for each build of the loops that runs here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

NEEDED = {
    "baseline": [],
    "avx2": ["AVX2", "FMA3"],
    "avx512": ["AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL"],
}
# The oracle's products are too small for several threads.
FIXED = {"CRNN_IMPLEMENTATION": "native", "OPENBLAS_NUM_THREADS": "1"}
HERE = Path(__file__).parent
# The files whose tests take longest have a process of their own, all others share one.
LONGEST = [HERE / "test_sizes.py", HERE / "test_chunks.py"]
FILES = {path.stem: [path] for path in LONGEST}
FILES["others"] = sorted(set(HERE.glob("test_*.py")) - {*LONGEST})


def runs_here(instruction_set):
    """Whether NumPy says that this processor has it."""
    core = np._core if hasattr(np, "_core") else np.core
    features = core._multiarray_umath.__cpu_features__
    return all(features.get(feature, False) for feature in NEEDED[instruction_set])


@pytest.mark.native
@pytest.mark.slow
@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("instruction_set", NEEDED)
def test_loops_of(native, pytestconfig, tmp_path, instruction_set, files):
    if not runs_here(instruction_set):
        pytest.skip(f"this processor has no {instruction_set}")
    if native.instruction_set == instruction_set:
        pytest.skip("all tests of this process run on it")
    result = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", *map(str, FILES[files]), "-q", "-x"),
            *("-c", str(pytestconfig.inipath), "--rootdir", str(pytestconfig.rootpath)),
            *("-m", "loops", "--implementations", "native", "-p", "no:cacheprovider"),
        ],
        env=os.environ | FIXED | {"CRNN_CPU": instruction_set},
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert " passed" in result.stdout


@pytest.mark.native
@pytest.mark.loops
def test_the_build_is_the_one_asked_for(native):
    asked_for = os.environ.get("CRNN_CPU")
    assert native.instruction_set == asked_for or not asked_for
