"""Fleets beside loops over networks and `jax.vmap`: `python -m benchmarks.speed.fleets`.

A training step (mean squared error, Adam) and a prediction of many networks of one architecture, on
data that all of them share:

crnn.Fleet
    One call.
crnn
    A loop over networks: `train_step` with an optimizer for each, and `predict`.
JAX, JAX 0.4.31
    `jax.vmap` over the parameters, jitted, with donated parameters and without an optimizer's
    library. JAX 0.4.31 runs in the environment beside this one whose name ends in -jax, or by
    ``--old-jax PYTHON``.

Each library has a process of its own, and samples are interleaved, so noise affects all alike. With
``--growth FILE`` the time of a step over the number of models is drawn instead.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.fleets import Problem, make, with_crnn
from benchmarks.speed.timing import interleaved, median_and_quartiles
from benchmarks.speed.workers import LostWorkerError, Worker

ROUNDS, SAMPLE_SECONDS = 9, 0.2
TOLERANCE = 1e-3
GROWTH = (1, 10, 100, 1_000, 10_000, 100_000)
MOST_IN_A_LOOP = 1_000  # models; more take as long each
MOST_OF_JAX = 10_000  # models; a step of more takes longer than twenty seconds

PROBLEMS = (
    Problem("GRU", 1000, T=100, B=8, I=3, H=2, O=2),
    Problem("GRU", 1000, T=100, B=8, I=3, H=16, O=2),
    Problem("RNN", 256, T=100, B=8, I=3, H=32, O=2),
)


def measure(
    p: Problem, operation: str, workers: dict[str, Worker], rounds: int, seconds: float
) -> dict[str, float]:
    """Return the median seconds of each library, whose results agree."""
    theta = with_crnn.first_parameters(p)
    jobs: dict[str, tuple[Any, ...]] = {
        "crnn.Fleet": ("with_crnn", "fleet_job"),
        "crnn": ("with_crnn", "loop_job"),
    }
    scale = dict.fromkeys(workers, 1.0)
    results, timers = {}, {}
    for name, worker in workers.items():
        where = jobs.get(name, ("with_jax", "jax_job", theta))
        if name == "crnn" and p.N > MOST_IN_A_LOOP:
            scale[name] = p.N / MOST_IN_A_LOOP
            worker.prepare(make, *where[:2], p._replace(N=MOST_IN_A_LOOP), operation)
        else:
            results[name] = worker.prepare(make, *where[:2], p, operation, *where[2:])
        timers[name] = worker.seconds_per_call
    for name, result in results.items():
        error = np.abs(result - results["crnn.Fleet"]).max()
        if not error < TOLERANCE:
            sys.exit(f"{name}: expected the fleet's numbers, got others by {error}")
    samples = interleaved(timers, rounds, seconds)
    return {name: scale[name] * median_and_quartiles(samples[name])[0] for name in workers}


def draw_growth(workers: dict[str, Worker], path: str) -> None:
    """Draw the time of a training step over the number of models."""
    import matplotlib.pyplot as plt

    base = PROBLEMS[0]
    rows = []
    for N in GROWTH:
        drawn = {n: w for n, w in workers.items() if not (n.startswith("JAX") and N > MOST_OF_JAX)}
        rows.append(
            dict.fromkeys(workers, np.nan)
            | measure(base._replace(N=N), "train step", drawn, rounds=3, seconds=0.1)
        )
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in workers:
        times = [1e3 * row[name] for row in rows]
        print(f"{name:<12}" + "".join(f"{one:>12.3f}" for one in times), flush=True)
        label = "crnn, a loop over networks" if name == "crnn" else name
        ax.loglog(GROWTH, times, marker="o", label=label)
    ax.set(xlabel="models", ylabel="milliseconds of a training step", title=str(base)[5:])
    ax.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print a table, or draw the growth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.fleets", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--growth", metavar="FILE", help="draw the time over the number of models")
    parser.add_argument("--jax", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--old-jax", metavar="PYTHON", default=f"{sys.prefix}-jax/bin/python")
    options = parser.parse_args()
    pythons = {"crnn.Fleet": sys.executable, "crnn": sys.executable,
               "JAX": options.jax, "JAX 0.4.31": options.old_jax}  # fmt: skip
    workers = {}
    for name, python in pythons.items():
        try:
            workers[name] = Worker(Path(python))
            if name.startswith("JAX"):
                workers[name].prepare(make, "with_jax", "version")
        except (ImportError, LostWorkerError) as error:
            workers.pop(name, None)
            print(f"{name} is left out: {error}", flush=True)
    if options.growth:
        draw_growth(workers, options.growth)
        return
    print("milliseconds: medians; and as multiples of crnn.Fleet's\n")
    print(f"{'':<33}{'':<12}" + "".join(f"{name:>12}" for name in workers))
    for p in PROBLEMS:
        for operation in ("train step", "predict"):
            times = measure(p, operation, workers, ROUNDS, SAMPLE_SECONDS)
            ours = times["crnn.Fleet"]
            print(
                f"{p!s:<33}{operation:<12}"
                + "".join(f"{1e3 * times[name]:>12.2f}" for name in workers)
                + "".join(
                    f"{times[name] / ours:>7.1f}" for name in workers if name != "crnn.Fleet"
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
