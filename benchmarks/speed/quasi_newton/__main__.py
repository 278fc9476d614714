"""L-BFGS beside SciPy and jax-sysid: `python -m benchmarks.speed.quasi_newton`.

A tanh network of 8 units in float64 learns 2000 steps of a simulated oscillator whose spring
hardens, from the same first parameters:

crnn
    `net.fit` with `crnn.LBFGS`.
SciPy
    `scipy.optimize.minimize`, method L-BFGS-B, on the loss and the gradient of crnn.
jax-sysid
    The same solver on JAX's loss and gradient. It runs in the environment beside this one whose
    name ends in -jax, or by ``--jax PYTHON``; its seconds contain the compilation.

For a number of evaluations of the loss it prints seconds and mean squared error of each, and in
which time crnn has the error of the others. Fits are interleaved, and medians printed.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from benchmarks.speed.quasi_newton import Problem, make, oscillator, with_crnn
from benchmarks.speed.workers import LostWorkerError, Worker

EVALUATIONS, ROUNDS = (100, 300, 1000), 5


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.quasi_newton", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--jax", metavar="PYTHON", default=f"{sys.prefix}-jax/bin/python")
    options = parser.parse_args()
    problem = Problem(*oscillator(), with_crnn.first_parameters())
    ways = {
        "crnn": lambda count: with_crnn.crnn_fit(problem, count),
        "SciPy": lambda count: with_crnn.scipy_fit(problem, count),
    }
    try:
        worker = Worker(Path(options.jax))
        first = worker.prepare(make, "with_jax_sysid", "fit", problem, 1)["first"]
        ours = with_crnn.network(problem).loss(problem.u, problem.y)
        if abs(first - ours) > 1e-9 * ours:
            sys.exit(f"jax-sysid: expected to start from the error {ours}, got {first}")

        def of_jax(count: int) -> tuple[float, float]:
            found = worker.prepare(make, "with_jax_sysid", "fit", problem, count)
            return found["seconds"], found["error"]

        ways["jax-sysid"] = of_jax
    except (ImportError, LostWorkerError) as error:
        print(f"jax-sysid is left out: {error}", flush=True)
    print("seconds, mean squared error, and crnn's seconds to that error\n")
    print(f"{'steps':>6}" + "".join(f"{name:>30}" for name in ways))
    for count in EVALUATIONS:
        rounds = [{name: way(count) for name, way in ways.items()} for _ in range(ROUNDS)]
        columns = ""
        for name in ways:
            seconds, error = median(r[name][0] for r in rounds), rounds[0][name][1]
            same = [with_crnn.crnn_seconds_to(problem, error, 3 * count) for _ in range(ROUNDS)]
            columns += f"{seconds:>11.3f}{error:>10.2e}{median(same):>9.3f}"
        print(f"{count:>6}{columns}", flush=True)


if __name__ == "__main__":
    main()
