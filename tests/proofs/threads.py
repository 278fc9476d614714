"""Threads that predict with one network, train their own and step streams, for many rounds.

    python tests/proofs/threads.py --rounds 200

The jobs are those of `tests/support/thread_problems.py`, on every cell and kind of network, in both
dtypes and implementations. A result that is not, to the bit, what one thread computes ends it with
an error. In a free-threaded Python the GIL has to be off. ThreadSanitizer sees the kernels where
crnn is built with it.
"""

import argparse
import faulthandler
import functools
import itertools
import sys
import sysconfig
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import thread_problems
from network_problems import ALL_CELLS, network

import crnn

KINDS = {
    "one layer": {},
    "layers": {"num_layers": 2},
    "both directions": {"bidirectional": True},
    "one output": {"return_sequences": False},
    "trained h0": {"trainable_h0": True},
    "categories": {"categorical": True},
    "no output layer": {"output_size": None},
}
CHOICES = {
    "implementations": ("native", "python"),
    "dtypes": ("float32", "float64"),
    "cells": ALL_CELLS,
    "kinds": KINDS,
    "jobs": thread_problems.JOBS,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="of each thread (default: 20)")
    for name, choices in CHOICES.items():
        parser.add_argument(f"--{name}", nargs="+", default=list(choices), choices=list(choices))
    arguments = parser.parse_args()
    faulthandler.enable()
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Python {sys.version.split()[0]}, GIL {'on' if has_gil else 'off'}; ", end="")
    print(f"crnn {crnn.implementation}, {crnn.get_num_threads()} threads", flush=True)
    if is_free and has_gil:
        sys.exit("the GIL of this free-threaded Python is on")
    counts = dict.fromkeys(arguments.jobs, 0)
    for implementation, dtype, cell, kind in itertools.product(
        arguments.implementations, arguments.dtypes, arguments.cells, arguments.kinds
    ):
        settings = thread_problems.SIZES | ALL_CELLS[cell] | KINDS[kind]
        settings |= {"dtype": dtype, "implementation": implementation}
        before = time.monotonic()
        for job in counts:
            if "stream" in job and settings.get("bidirectional"):
                continue  # has none
            thread_problems.JOBS[job](functools.partial(network, **settings), arguments.rounds)
            counts[job] += arguments.rounds * thread_problems.THREADS
        print(
            f"{implementation} {dtype} {cell}, {kind}: {time.monotonic() - before:.1f} s",
            flush=True,
        )
    for job, count in counts.items():
        print(f"{job}: {count} rounds of {thread_problems.THREADS} threads in all")


if __name__ == "__main__":
    main()
