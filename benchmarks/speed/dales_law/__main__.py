"""Networks that obey Dale's law, beside nn4n: `python -m benchmarks.speed.dales_law`.

A relu network, four of five of whose units are excitatory, learns which of two noisy inputs is the
stronger one: 55 steps, of which the last ten count in a cross entropy, and Adam. Weights keep their
signs, inputs excite, no unit sends to itself, and excitatory units alone reach the output.

same equation
    Without leak and noise both libraries compute the same network from the same first parameters.
    The losses of the first three steps have to agree.
leak and noise
    A leak of 0.2, and noise. crnn's states leak, h_t = (1 - a) h_{t-1} + a f(W h_{t-1} + ...);
    nn4n's pre-activations do, v_t = (1 - a) v_{t-1} + a (W f(v_{t-1}) + ...). The arithmetic is
    the same in amount.

nn4n is PyTorch without compilation. It runs in this environment, or by ``--torch PYTHON`` in
another one. The times are medians of interleaved samples, each library with the number of threads
that is best for it.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from benchmarks.speed.dales_law import make, make_problem
from benchmarks.speed.workers import Worker

NETWORKS = [(50, 16), (100, 16), (100, 64)]  # units, trials of a batch
MODELS = {"same equation": (1.0, 0.0), "leak and noise": (0.2, 0.05)}
THREADS = (1, 2)
ROUNDS, SECONDS = 9, 0.15


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.dales_law", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--torch", metavar="PYTHON", default=sys.executable)
    options = parser.parse_args()
    ways = [("with_crnn", sys.executable), ("with_nn4n", options.torch)]
    workers = {
        (name, threads): Worker(Path(python)) for name, python in ways for threads in THREADS
    }
    print("ms a training step\n")
    print(f"{'units':>5}{'trials':>8}  {'':<16}{'crnn':>8}{'nn4n':>8}{'times':>8}")
    for units, batch in NETWORKS:
        for model, (leak, noise) in MODELS.items():
            problem = make_problem(units, batch, leak, noise)
            losses = {
                (name, threads): worker.prepare(make, name, "train", problem, threads)
                for (name, threads), worker in workers.items()
            }
            ours, theirs = losses["with_crnn", 1], losses["with_nn4n", 1]
            agree = all(abs(a - b) < 1e-4 * a for a, b in zip(ours, theirs, strict=True))
            if model == "same equation" and not agree:
                sys.exit(f"expected the same losses, got {ours} of crnn and {theirs} of nn4n")
            calls = {
                key: max(1, int(SECONDS / worker.seconds_per_call(2)))
                for key, worker in workers.items()
            }
            samples = [
                {key: worker.seconds_per_call(calls[key]) for key, worker in workers.items()}
                for _ in range(ROUNDS)
            ]
            best = {
                name: min(median(s[name, threads] for s in samples) for threads in THREADS)
                for name, _ in ways
            }
            print(
                f"{units:>5}{batch:>8}  {model:<16}{1e3 * best['with_crnn']:>8.2f}"
                f"{1e3 * best['with_nn4n']:>8.1f}{best['with_nn4n'] / best['with_crnn']:>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
