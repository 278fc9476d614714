"""Speed while another process holds a core: `python -m benchmarks.speed.held`.

A busy loop is pinned to one of the cores that crnn may use, and stopped and continued in turn. The
system shares that core between the two, so crnn has half a core less: on two cores its share is
1.33 times the undisturbed time. If all threads waited for the one on that core it would be 2. Each
of crnn's threads is pinned to a core of its own: otherwise the system at times puts two of them on
one core and leaves the other to the busy loop.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.rivals import make_problem, with_crnn
from benchmarks.speed.sizes import KINDS, SIZES
from benchmarks.speed.timing import Timer, interleaved, median_and_quartiles, timer_of

OPERATIONS = ("train step", "inference")
ROUNDS, SAMPLE_SECONDS, REST_SECONDS = 9, 0.3, 0.05

LOOP = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextlib.contextmanager
def busy_loop(core: int) -> Iterator[subprocess.Popen]:
    """Run a process on a core, stopped at first."""
    process = subprocess.Popen([sys.executable, "-c", LOOP, str(core)])
    try:
        time.sleep(0.5)  # until it is pinned
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait()


def while_running(process: subprocess.Popen, timer: Timer) -> Timer:
    """Return the same timer, with the process running."""

    def held(calls: int) -> float:
        process.send_signal(signal.SIGCONT)
        try:
            return timer(calls)
        finally:
            process.send_signal(signal.SIGSTOP)

    return held


def pin_threads(cores: list[int]) -> None:
    """Pin the calling thread and the latest threads of this process to a core each."""
    threads = sorted(int(task.name) for task in Path("/proc/self/task").iterdir())
    for thread, core in zip([threads[0], *threads[1 - len(cores) :]], cores, strict=True):
        os.sched_setaffinity(thread, [core])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.held", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="charlm")
    name = parser.parse_args().size
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) / (len(cores) - 0.5)
    print(f"{name}, {len(cores)} cores; with one of them shared, {share:.2f} is crnn's share\n")
    print(f"{'':<20}{'alone':>12}{'one core held':>16}{'ratio':>8}{'spread':>14}")
    # The first call on all cores starts crnn's threads.
    with_crnn.inference(make_problem("LSTM", SIZES["charlm"], "float32"))()
    pin_threads(cores)
    with busy_loop(cores[-1]) as process:
        for kind in KINDS:
            problem = make_problem(kind, SIZES[name], "float32")
            for operation in OPERATIONS:
                make = with_crnn.inference if operation == "inference" else with_crnn.train_step
                timer = timer_of(make(problem))
                timers = {"alone": timer, "held": while_running(process, timer)}
                samples = interleaved(timers, ROUNDS, SAMPLE_SECONDS, REST_SECONDS)
                alone, held = (median_and_quartiles(samples[label])[0] for label in timers)
                pairs = zip(samples["held"], samples["alone"], strict=True)
                _, low, high = median_and_quartiles([a / b for a, b in pairs])
                print(
                    f"{f'{kind} {operation}':<20}{alone * 1e3:>9.1f} ms{held * 1e3:>13.1f} ms"
                    f"{held / alone:>8.2f}{f'{low:.2f}-{high:.2f}':>14}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
