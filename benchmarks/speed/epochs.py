"""What `fit` costs beside its gradient kernels: `python -m benchmarks.speed.epochs`.

The time of a batch in `fit` is compared with that of the kernel that computes the batch's gradient,
called alone on one batch. Gathering the batch, the optimizer's step and all else in an
epoch is the difference. Then two threads of Python fit two networks, over the same in turn.
"""

import argparse
import functools
import threading
from collections.abc import Callable

import numpy as np

import crnn
from benchmarks.speed import report
from benchmarks.speed.sizes import KINDS, SIZES, Sizes
from benchmarks.speed.timing import interleaved, median_and_quartiles, timer_of
from crnn.kernels import native

NETWORKS = {
    "windows": Sizes(T=22, B=32, I=1, H=16, O=1),
    "nano": SIZES["nano"],
    "tiny": SIZES["tiny"],
}
BATCHES, EPOCHS = 20, 10
ROUNDS, SAMPLE_SECONDS, REST_SECONDS = 7, 0.05, 0.02
MOST_OVER_KERNELS, LEAST_OF_THREADS = 1.15, 1.8  # targets


def fit_job(kind: str, sizes: Sizes) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a fit of BATCHES * EPOCHS batches, and the kernel's call for one of them."""
    T, B, I, H, O = sizes
    rng = np.random.default_rng(0)
    x = rng.standard_normal((B * BATCHES, T, I)).astype(np.float32)
    y = rng.standard_normal((B * BATCHES, T, O)).astype(np.float32)
    net = getattr(crnn, kind)(I, H, O, seed=0, implementation="native")
    fit = functools.partial(
        net.fit, x, y, epochs=EPOCHS, batch_size=B, optimizer=crnn.Adam(1e-6), clip_norm=1.0
    )
    cell = net.architecture.cell
    workspace = np.empty(native.gradient_workspace_size(cell, T, B, I, H, O, net.dtype), net.dtype)
    gradient = np.empty_like(net.flat_params)
    kernel = functools.partial(
        native.rnn_gradient,
        cell, x[:B], y[:B], net.flat_params, gradient, H, O, "mse", 1.0, None, workspace,
    )  # fmt: skip
    return fit, kernel


def in_threads(jobs: list[Callable[[], object]]) -> None:
    """Run the jobs at once."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.epochs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    print(
        f"{'T, B, I, H, O':<32}{'batch in fit':>14}{'kernel':>12}{'ratio':>8}"
        f"{'two threads / in turn':>24}"
    )
    for name, sizes in NETWORKS.items():
        for kind in KINDS:
            fit, kernel = fit_job(kind, sizes)
            fits = [fit, fit_job(kind, sizes)[0]]
            jobs = {
                "fit": fit,
                "kernel": kernel,
                "in turn": lambda fits=fits: [job() for job in fits],
                "threads": lambda fits=fits: in_threads(fits),
            }
            timers = {job: timer_of(call) for job, call in jobs.items()}
            samples = interleaved(timers, rounds, SAMPLE_SECONDS, REST_SECONDS)
            seconds = {job: median_and_quartiles(samples[job])[0] for job in jobs}
            batch, of_kernel = seconds["fit"] / (BATCHES * EPOCHS), seconds["kernel"]
            label = f"{kind} {name}: {', '.join(map(str, sizes))}"
            print(
                f"{label:<32}{report.duration(batch):>14}{report.duration(of_kernel):>12}"
                f"{batch / of_kernel:>8.2f}{seconds['in turn'] / seconds['threads']:>24.2f}",
                flush=True,
            )
    print(f"\ntargets: ratio at most {MOST_OVER_KERNELS}, two threads at least {LEAST_OF_THREADS}")


if __name__ == "__main__":
    main()
