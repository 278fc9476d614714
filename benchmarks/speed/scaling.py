"""Speed over the number of threads: `python -m benchmarks.speed.scaling [--picture FILE]`.

From one thread to as many as the machine has cores, 16 at most: a training step and an inference of
charlm and large, and one sequence through 1024 units, of each kind. For a picture of documentation
run it on an idle machine of 16 cores.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import crnn
from benchmarks.speed import report
from benchmarks.speed.rivals import make_problem, with_crnn
from benchmarks.speed.sizes import KINDS, SIZES, Sizes
from benchmarks.speed.timing import Timer, interleaved, median_and_quartiles, timer_of

MOST_THREADS = 16
ROUNDS, SAMPLE_SECONDS, REST_SECONDS = 5, 0.1, 0.02

NETWORKS = {
    "charlm": SIZES["charlm"],
    "large": SIZES["large"],
    "one sequence": Sizes(T=200, B=1, I=64, H=1024, O=8),
}
OPERATIONS = {"train step": with_crnn.train_step, "inference": with_crnn.inference}

Speeds = dict[tuple[str, str], dict[str, list[float]]]
"""By network and operation, and by kind: how many times as fast as one thread, for 1, 2, ..."""


def with_threads(n: int, job: Callable[[], object]) -> Timer:
    """Return a timer of the job with n threads."""
    timer = timer_of(job)

    def timed(calls: int) -> float:
        crnn.set_num_threads(n)
        return timer(calls)

    return timed


def measure(threads: int) -> Speeds:
    """Measure all, and print a line for each."""
    counts = range(1, threads + 1)
    print(f"{'time with 1 thread; threads:':<44}" + "".join(f"{n:>7}" for n in counts))
    found: Speeds = {}
    for name, sizes in NETWORKS.items():
        for operation, make in OPERATIONS.items():
            for kind in KINDS:
                job = make(make_problem(kind, sizes, "float32"))
                timers = {str(n): with_threads(n, job) for n in counts}
                samples = interleaved(timers, ROUNDS, SAMPLE_SECONDS, REST_SECONDS)
                seconds = [median_and_quartiles(samples[n])[0] for n in timers]
                speeds = [seconds[0] / s for s in seconds]
                found.setdefault((name, operation), {})[kind] = speeds
                label = f"{kind} {name}, {operation}"
                line = f"{label:<34}{report.duration(seconds[0]):>10}"
                print(line + "".join(f"{speed:>7.2f}" for speed in speeds), flush=True)
    return found


def draw(found: Speeds, path: Path) -> None:
    """Draw a panel for each network and operation, with a line for each kind."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        len(OPERATIONS), len(NETWORKS), figsize=(11, 6.4), sharex=True, sharey=True
    )
    for panel, (name, operation) in zip(
        panels.flat, ((n, o) for o in OPERATIONS for n in NETWORKS), strict=True
    ):
        for kind, speeds in found[name, operation].items():
            counts = range(1, len(speeds) + 1)
            panel.plot(counts, speeds, marker="o", markersize=4, label=kind)
        panel.plot([1, len(speeds)], [1, len(speeds)], color="0.6", linewidth=1, label="ideal")
        T, B, I, H, _ = NETWORKS[name]
        panel.set_title(f"{name}, {operation}\nT {T}, B {B}, I {I}, H {H}", fontsize=10)
        panel.grid(color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("threads")
        panel.xaxis.get_major_locator().set_params(integer=True)
    for panel in panels[:, 0]:
        panel.set_ylabel("times as fast as one")
    panels[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.scaling", description=__doc__)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=min(cores or 1, MOST_THREADS))
    parser.add_argument("--picture", type=Path)
    chosen = parser.parse_args()
    found = measure(chosen.threads)
    if chosen.picture:
        draw(found, chosen.picture)
        print(f"written: {chosen.picture}")


if __name__ == "__main__":
    main()
