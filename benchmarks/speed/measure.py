"""One measurement: all rivals build the same job, prove that it is the same, and are timed."""

import functools
from typing import NamedTuple

import numpy as np

from benchmarks.speed import jobs, libraries
from benchmarks.speed.libraries import LIBRARIES, OURS, PEERS
from benchmarks.speed.peak import Peak
from benchmarks.speed.rivals import UnsuitedError, make_problem, with_numpy
from benchmarks.speed.sizes import Sizes, operations_count
from benchmarks.speed.timing import Timer, interleaved, median_and_quartiles
from benchmarks.speed.workers import LostWorkerError

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


@functools.lru_cache(maxsize=1)
def _exact_results(operation: str, kind: str, sizes: Sizes, dtype: str) -> jobs.Results:
    """Return the results in float64 by the NumPy kernels, of numbers in the given dtype."""
    problem = make_problem(kind, sizes, dtype)
    params = {name: values.astype(np.float64) for name, values in problem.params.items()}
    x, y = problem.x.astype(np.float64), problem.y.astype(np.float64)
    exact = problem._replace(params=params, x=x, y=y)
    return jobs.job_and_results(with_numpy, operation, exact)[1]


def _check(actual: jobs.Results, expected: jobs.Results, dtype: str) -> None:
    for name, values in expected.items():
        largest = np.abs(values).max()
        if actual[name].shape != values.shape or not (
            np.abs(actual[name] - values).max() <= TOLERANCES[dtype] * largest
        ):
            raise AssertionError(f"{name} differs from the exact result")


def _checked_timer(
    library: str, operation: str, kind: str, sizes: Sizes, dtype: str
) -> Timer | None:
    """Return the timer of a library's job, once its results are checked; None if it has no job."""
    worker = libraries.worker(library)
    if worker is None or (kind != "RNN" and library in PLAIN_RNN_ONLY):
        return None
    arguments = (operation, kind, sizes, dtype)
    try:
        results = worker.prepare(jobs.make, LIBRARIES[library].module, *arguments)
        _check(results, _exact_results(*arguments), dtype)
    except UnsuitedError:
        return None
    except LostWorkerError:
        raise
    except Exception as error:  # of one job: a long run goes on without it
        if library == OURS:
            raise
        print(f"{library} is left out of the next line: {error}", flush=True)
        return None
    return worker.seconds_per_call


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
            timers = {
                library: timer
                for library in (OURS, *peers)
                if (timer := _checked_timer(library, operation, kind, sizes, dtype))
            }
            before = peak.measure(dtype)
            samples = interleaved(timers, rounds, sample_seconds)
            after = peak.measure(dtype)
        except LostWorkerError as error:
            libraries.leave_out_lost(error)
            continue
        highest = None if before is None or after is None else max(before, after)
        return Measurement(operation, kind, name, sizes, dtype, samples, highest)
