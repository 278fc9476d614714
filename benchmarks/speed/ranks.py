"""Training on ranks of MPI beside threads: `python -m benchmarks.speed.ranks [--ranks 1 2]`.

Seconds of an epoch of `fit`: in one process with one thread and with as many as ranks, and on ranks
of one thread each. And what the sum of the gradients costs: its time where no rank waits for
another, the time that a step spends in it with the waiting, and the bytes that a rank sends for a
step. Processes of each way are run in turn. It needs mpi4py, and an `mpiexec` as of the package
mpich.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import crnn
from benchmarks.speed.sizes import Sizes
from crnn._training.ranks import HEADER_SIZE, Ranks

SEQUENCES, EPOCHS, ROUNDS, EXCHANGES = 512, 3, 3, 200
NETWORKS = {
    "GRU": Sizes(T=50, B=32, I=8, H=32, O=4),
    "LSTM": Sizes(T=50, B=128, I=64, H=128, O=16),
    "LSTM, larger": Sizes(T=50, B=128, I=64, H=256, O=16),
}


class Timed:
    """A communicator that adds up the seconds in its calls."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.seconds = comm, 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.comm, name)

        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def measure(name: str, comm: Any) -> dict[str, float]:
    """Return what one process, or this rank of several, measures."""
    sizes = NETWORKS[name]
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((SEQUENCES, sizes.T, n), np.float32) for n in (sizes.I, sizes.O))
    net = getattr(crnn, name.split(",")[0])(sizes.I, sizes.H, sizes.O, seed=0)
    timed = None if comm is None else Timed(comm)
    moments = []

    def note(net: Any, history: Any) -> None:
        moments.append((time.perf_counter(), 0.0 if timed is None else timed.seconds))

    net.fit(
        x, y, epochs=EPOCHS + 1, batch_size=sizes.B, optimizer=crnn.Adam(1e-3), callbacks=[note],
        comm=timed,
    )  # fmt: skip
    epochs, exchanges = np.diff(np.array(moments), axis=0).T
    steps = SEQUENCES / sizes.B
    found = {"epoch": median(epochs), "in exchanges": median(exchanges) / steps}
    if comm is not None:
        found["exchange"] = exchange_alone(net.flat_params.copy(), comm)
    return found | {"parameters": net.flat_params.size}


def exchange_alone(gradient: np.ndarray, comm: Any) -> float:
    """Return the seconds of the exchange of a step, with no rank late for it."""
    seconds, ranks = [], Ranks(comm)
    ranks.make_room(gradient)
    for _ in range(EXCHANGES):
        comm.Barrier()
        started = time.perf_counter()
        ranks.exchange(1.0, 1.0)
        ranks.add_up(gradient)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def bytes_sent(parameters: int, ranks: int) -> float:
    """Return the bytes that a rank sends for a step, if each number goes to each rank once."""
    # Its gradient but for the part that it adds itself, and this part of the sum to all others
    others = ranks - 1
    return 4 * parameters * others / ranks * 2 + 8 * HEADER_SIZE * others


def run(name: str, ranks: int | None, threads: int) -> dict[str, float]:
    """Return what processes of one way measure."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "benchmarks.speed.ranks", "--job", name]
    if ranks is not None:
        mpiexec = shutil.which("mpiexec", path=path)
        if mpiexec is None:
            raise SystemExit("no mpiexec: pip install mpi4py mpich")
        command = [mpiexec, "-n", str(ranks), *command, "--mpi"]
    environment = os.environ | {"PATH": path, "CRNN_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.ranks", description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--job", choices=NETWORKS, help=argparse.SUPPRESS)
    parser.add_argument("--mpi", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        comm = None
        if arguments.mpi:
            from mpi4py import MPI

            comm = MPI.COMM_WORLD
        found = measure(arguments.job, comm)
        if comm is None or comm.Get_rank() == 0:
            print(json.dumps(found))
        return
    crnn.show_config()
    ways: list[tuple[int | None, int]] = [(None, n) for n in arguments.ranks]
    ways += [(n, 1) for n in arguments.ranks]
    print(f"\n{SEQUENCES} sequences; medians of {ROUNDS} runs of {EPOCHS} epochs")
    print(f"{'network (T, B, I, H, O)':<48}{'epoch':>11}   in exchanges")
    for name, sizes in NETWORKS.items():
        results: dict[tuple[int | None, int], list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, of_way in results.items():
                of_way.append(run(name, *way))
        for (ranks, threads), of_way in results.items():
            values = {key: median(found[key] for found in of_way) for key in of_way[0]}
            label = f"{name} {tuple(sizes)}"
            count, noun = (threads, "thread") if ranks is None else (ranks, "rank")
            way = f"{count} {noun}{'s' * (count > 1)}"
            line = f"{label:<38}{way:<10}{1e3 * values['epoch']:>8.0f} ms"
            if ranks is not None:
                steps = SEQUENCES / sizes.B
                share = values["in exchanges"] * steps / values["epoch"]
                sent = bytes_sent(int(values["parameters"]), ranks)
                line += (
                    f"{1e6 * values['in exchanges']:>8.0f} us a step ({share:.0%}), "
                    f"{1e6 * values['exchange']:.0f} us where none waits, {sent / 1e3:.0f} kB"
                )
            print(line, flush=True)


if __name__ == "__main__":
    main()
