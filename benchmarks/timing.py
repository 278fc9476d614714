"""Timing of rivals in interleaved rounds, so that the machine's drift meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

# Threads of a BLAS library spin for tens of milliseconds after their last work, on cores that the
# next job needs.
REST_SECONDS = 0.1


def interleaved(
    jobs: Mapping[str, Callable[[], object]], rounds: int, least_seconds: float
) -> dict[str, list[float]]:
    """Return the seconds a call of each job takes, once for each round.

    Every job runs once to warm up, which also tells how many calls make a sample of at least
    `least_seconds`; then all jobs take one sample in turn, round after round. Before each sample
    the job before it is left time to come to rest, and one call is not counted.
    """
    calls = {}
    for name, job in jobs.items():
        job()
        start = time.perf_counter()
        job()
        calls[name] = max(1, round(least_seconds / (time.perf_counter() - start)))
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            time.sleep(REST_SECONDS)
            job()
            start = time.perf_counter()
            for _ in range(calls[name]):
                job()
            samples[name].append((time.perf_counter() - start) / calls[name])
    return samples


def spread(samples: list[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles below and above it."""
    low, median, high = statistics.quantiles(samples, n=4)
    return median, low, high
