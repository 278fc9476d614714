"""Measurements of the shapes: both libraries prove that they do the same, and are timed."""

import importlib
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.speed import libraries, report
from benchmarks.speed.jobs import Results
from benchmarks.speed.libraries import OURS
from benchmarks.speed.measure import Measurement
from benchmarks.speed.shapes import OPERATIONS, SHAPES, Shape
from benchmarks.speed.timing import interleaved

PEER = "PyTorch"
MODULES = {OURS: "with_crnn", PEER: "with_torch"}
SAMPLE_SECONDS = 0.05

WIDTH = 90  # of the first column

# How far the results may be from each other, as a share of the largest: some hundred roundings
TOLERANCE = 1e-3


def make(
    module: str, operation: str, kind: str, shape: Shape
) -> tuple[Callable[[], object], Results]:
    """Return the job of one library, and its results."""
    return importlib.import_module(f"{__package__}.{module}").job(operation, kind, shape)


def measure(operation: str, kind: str, shape: Shape, rounds: int) -> Measurement:
    """Measure both libraries, or crnn alone where PyTorch is missing."""
    timers, results = {}, {}
    for library, module in MODULES.items():
        worker = libraries.worker(library)
        if worker is not None:
            results[library] = worker.prepare(make, module, operation, kind, shape)
            timers[library] = worker.seconds_per_call
    for name, ours in results[OURS].items():
        theirs = results.get(PEER, results[OURS])[name]
        if not np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max():
            raise AssertionError(f"{kind}, {shape}, {operation}: {name} differs from {PEER}'s")
    samples = interleaved(timers, rounds, SAMPLE_SECONDS)
    return Measurement(operation, kind, str(shape), shape, "float32", samples, peak=None)


def measure_all(rounds: int) -> Iterator[Measurement]:
    """Measure all shapes, and print a line for each."""
    print(f"\n{'beside PyTorch':<{WIDTH}}{OURS:>10}{PEER:>10}{'ratio':>8}{'target':>8}")
    for shape, kinds in SHAPES.items():
        for kind in kinds:
            for operation in OPERATIONS:
                m = measure(operation, kind, shape, rounds)
                line = f"{f'{kind}, {shape}, {operation}':<{WIDTH}}"
                line += "".join(f"{report.duration(m.median(name)):>10}" for name in m.samples)
                if PEER in m.samples:
                    line += f"{m.ratio(PEER):>8.2f}{target(m):>8}"
                print(line, flush=True)
                yield m


def target(m: Measurement) -> float:
    """Return the least ratio of PyTorch's time to crnn's."""
    return SHAPES[m.sizes][m.kind][OPERATIONS.index(m.operation)]


def missed(measurements: list[Measurement]) -> list[str]:
    """Return a line for each target that crnn misses."""
    return [
        f"{m.kind}, {m.name}, {m.operation}: {PEER} / crnn {m.ratio(PEER):.2f}, target {target(m)}"
        for m in measurements
        if PEER in m.samples and m.ratio(PEER) < target(m)
    ]
