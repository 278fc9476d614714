"""Training on processes of MPI; `test_ranks` says more of what they do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mpi_training
import numpy as np
import pytest

pytest.importorskip("mpi4py")
# In one process, so that the jobs run once and one after the other
pytestmark = pytest.mark.xdist_group("mpi")

# Of training on 1, 2 and 4 ranks, in float64
LARGEST_DIFFERENCE = 1e-12


def launch(job, size, folder):
    """Run a job of `mpi_training` on so many ranks; return the process that has ended."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=path)
    if mpiexec is None:
        pytest.skip("no mpiexec here; the test extra has it where there are wheels of MPICH")
    command = [mpiexec, "-n", str(size), sys.executable, mpi_training.__file__, job, str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PATH": path, "CRNN_NUM_THREADS": "1"},
    )  # fmt: skip


def results_of(job, size, folder):
    """What the ranks have found, by number."""
    done = launch(job, size, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the ranks of 2 and of 4 processes have found."""
    return {
        size: results_of("several_runs", size, tmp_path_factory.mktemp("ranks")) for size in (2, 4)
    }


def test_ranks_have_the_same_bits_in_every_run(results):
    for of_ranks in results.values():
        for result in of_ranks:
            assert result["bits"] == result["again"] == of_ranks[0]["bits"]


def test_as_many_ranks_train_as_one_process(results):
    alone = np.array(mpi_training.train(None))
    for of_ranks in results.values():
        found = np.array([float.fromhex(number) for number in of_ranks[0]["bits"]])
        assert np.abs(found - alone).max() < LARGEST_DIFFERENCE


def test_ctrl_c_on_one_rank_stops_all(results):
    for size, of_ranks in results.items():
        *others, last = (result["interrupted"] for result in of_ranks)
        assert last == "KeyboardInterrupt: "
        expected = f"RuntimeError: comm: rank {size - 1} stopped: KeyboardInterrupt"
        assert others == [expected] * (size - 1)


def test_divergence_and_disagreement_stop_all(results):
    for size, of_ranks in results.items():
        for result in of_ranks:
            assert result["diverged"] == of_ranks[0]["diverged"]
            assert result["diverged"].startswith("DivergenceError: ")
            assert result["disagreed"] == (
                "ValueError: epochs: expected the same on all ranks, got 3 on rank 0 and 4 on "
                f"rank {size - 1}"
            )


def test_a_job_with_a_killed_rank_ends_and_is_resumed(results, tmp_path):
    done = launch("killed_run", 2, tmp_path)
    assert done.returncode != 0
    assert [path.name for path in tmp_path.glob("*.json")] == []
    whole = results[2][0]["bits"]
    assert results_of("resumed_run", 2, tmp_path) == [whole, whole]
