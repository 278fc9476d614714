"""What each rank of `test_mpi` runs: `mpiexec -n 2 python mpi_training.py JOB FOLDER`."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

import crnn

EPOCHS = 3


def train(comm, **arguments):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((22, 9, 3)), rng.standard_normal((22, 9, 2))
    net = crnn.GRU(3, 5, 2, seed=1, dtype="float64")
    history = net.fit(
        x,
        y,
        comm=comm,
        batch_size=6,
        clip_norm=0.1,
        lengths=rng.integers(2, 10, size=22),
        validation_fraction=0.2,
        metrics=["mae"],
        **{"epochs": EPOCHS, "optimizer": crnn.Adam(0.02)} | arguments,
    )
    return [
        *net.flat_params.tolist(),
        *history.loss,
        *history.val_loss,
        *history.metrics["val_mae"],
    ]


def said(comm, **arguments):
    """The error of a run."""
    try:
        train(comm, **arguments)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def ctrl_c(net, history):
    if len(history.loss) == 2:
        os.kill(os.getpid(), signal.SIGINT)


def kill(net, history):
    if len(history.loss) == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def bits(comm, **arguments):
    return [number.hex() for number in train(comm, **arguments)]


def several_runs(comm, folder, *, is_last):
    return {
        "bits": bits(comm),
        "again": bits(comm),
        "interrupted": said(comm, callbacks=[ctrl_c] * is_last),
        "diverged": said(comm, optimizer=crnn.SGD(1e300)),
        "disagreed": said(comm, epochs=EPOCHS + is_last),
    }


def killed_run(comm, folder, *, is_last):
    bits(comm, checkpoint=Path(folder, "run.npz"), callbacks=[kill] * is_last)


def resumed_run(comm, folder, *, is_last):
    return bits(comm, checkpoint=Path(folder, "run.npz"), resume=True)


def main(job, folder):
    from mpi4py import MPI  # which starts MPI, not wanted where the functions are imported

    comm = MPI.COMM_WORLD
    is_last = comm.Get_rank() == comm.Get_size() - 1
    results = globals()[job](comm, folder, is_last=is_last)
    path = Path(folder, f"{comm.Get_rank()}.json")
    path.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
