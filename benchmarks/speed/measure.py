"""One measurement: all rivals build the same job, prove that it is the same, and are timed."""

import functools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.speed import jobs
from benchmarks.speed.peak import Peak
from benchmarks.speed.rivals import UnsuitedError, make_problem, with_numpy
from benchmarks.speed.sizes import Sizes, operations_count
from benchmarks.speed.timing import Timer, interleaved, median_and_quartiles
from benchmarks.speed.workers import LostWorkerError, Worker

OURS = "crnn"


class Rival(NamedTuple):
    """Where a rival's jobs are."""

    module: str
    """The module in `benchmarks.speed.rivals`."""
    environment: str = ""
    """The end of the name of its environment, if it has one of its own."""


RIVALS = {
    OURS: Rival("with_crnn"),
    "NumPy": Rival("with_numpy"),
    "lists": Rival("with_lists"),
    "Numba": Rival("with_numba"),
    "PyTorch": Rival("with_torch"),
    "JAX": Rival("with_jax"),
    "JAX 0.4.31": Rival("with_jax", "jax"),
    "ONNX Runtime": Rival("with_onnxruntime"),
    "OpenVINO": Rival("with_openvino"),
}
PEERS = tuple(name for name in RIVALS if name != OURS)

# GRU and LSTM are not written out by hand.
PLAIN_RNN_ONLY = ("lists", "Numba")

# How far a rival's results may be from the exact ones, as a share of the largest update or output:
# some hundred roundings
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}


class Measurement(NamedTuple):
    """The samples of one operation on a network of one kind and size, in seconds per call."""

    operation: str
    kind: str
    name: str
    sizes: Sizes
    dtype: str
    samples: dict[str, list[float]]
    peak: float | None
    """Operations per second of all cores, around the time of the samples."""

    def median(self, rival: str) -> float:
        """Return the median of a rival's samples."""
        return median_and_quartiles(self.samples[rival])[0]

    def best_peer(self) -> str | None:
        """Return the fastest rival other than crnn; None if crnn was measured alone."""
        peers = [name for name in self.samples if name != OURS]
        return min(peers, key=self.median, default=None)

    def ratio(self, rival: str) -> float:
        """Return the rival's median over crnn's."""
        return self.median(rival) / self.median(OURS)

    def share_of_peak(self) -> float | None:
        """Return crnn's share of the machine's peak."""
        if self.peak is None:
            return None
        operations = operations_count(self.operation, self.kind, self.sizes)
        return operations / self.median(OURS) / self.peak


def environment(name: str) -> Path:
    """Return the interpreter of the environment beside this one whose name ends in `-name`."""
    return Path(f"{sys.prefix}-{name}") / "bin" / "python"


@functools.cache
def workers() -> tuple[dict[str, Worker], list[str]]:
    """Return a worker for each rival, and a line for each that is not installed."""
    found, missing = {}, []
    for name, rival in RIVALS.items():
        try:
            python = environment(rival.environment) if rival.environment else sys.executable
            found[name] = Worker(python)
            found[name].prepare(jobs.try_import, rival.module)
        except (ImportError, LostWorkerError) as error:
            found.pop(name, None)
            missing.append(f"{name} is left out: {error}")
    return found, missing


@functools.lru_cache(maxsize=1)
def _exact_results(operation: str, kind: str, sizes: Sizes, dtype: str) -> jobs.Results:
    """Return the results in float64 by the NumPy kernels, of numbers in the given dtype."""
    problem = make_problem(kind, sizes, dtype)
    params = {name: values.astype(np.float64) for name, values in problem.params.items()}
    x, y = problem.x.astype(np.float64), problem.y.astype(np.float64)
    exact = problem._replace(params=params, x=x, y=y)
    return jobs.job_and_results(with_numpy, operation, exact)[1]


def _check(label: str, actual: jobs.Results, expected: jobs.Results, dtype: str) -> None:
    for name, values in expected.items():
        largest = np.abs(values).max()
        if actual[name].shape != values.shape or not (
            np.abs(actual[name] - values).max() <= TOLERANCES[dtype] * largest
        ):
            raise AssertionError(f"{label}: {name} differs from the exact result")


def _timers(
    operation: str, kind: str, sizes: Sizes, dtype: str, peers: tuple[str, ...]
) -> dict[str, Timer]:
    """Return the timers of crnn's job and of its peers', once their results are checked."""
    arguments = (operation, kind, sizes, dtype)
    timers = {}
    for name, worker in workers()[0].items():
        if name not in (OURS, *peers) or (kind != "RNN" and name in PLAIN_RNN_ONLY):
            continue
        try:
            results = worker.prepare(jobs.make, RIVALS[name].module, *arguments)
        except UnsuitedError:
            continue
        label = f"{name}, {kind} {tuple(sizes)} {operation}"
        _check(label, results, _exact_results(*arguments), dtype)
        timers[name] = worker.seconds_per_call
    return timers


def _leave_out_lost(error: LostWorkerError) -> None:
    """Go on without a peer whose process has ended, and say so."""
    found = workers()[0]
    lost = [name for name, worker in found.items() if not worker.runs]
    if OURS in lost or not lost:
        raise error
    for name in lost:
        del found[name]
        print(f"{name} is left out from here: {error}")


def measure(
    operation: str,
    kind: str,
    name: str,
    sizes: Sizes,
    dtype: str,
    *,
    rounds: int,
    sample_seconds: float,
    peak: Peak,
    peers: tuple[str, ...] = PEERS,
) -> Measurement:
    """Measure crnn and those of the peers that are installed and have this kind of network."""
    while True:
        try:
            timers = _timers(operation, kind, sizes, dtype, peers)
            before = peak.measure(dtype)
            samples = interleaved(timers, rounds, sample_seconds)
            after = peak.measure(dtype)
            break
        except LostWorkerError as error:
            _leave_out_lost(error)
    highest = None if before is None or after is None else max(before, after)
    return Measurement(operation, kind, name, sizes, dtype, samples, highest)
