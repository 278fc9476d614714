"""Timing of rivals in interleaved rounds, so that the machine's drift meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

# Threads of a BLAS library spin for tens of milliseconds after their last work, on cores that the
# next job needs.
REST_SECONDS = 0.1

# Samples of a candidate, and the rest before each: enough to tell forms apart that differ by a
# tenth. What is so many times as slow as another at its first call takes no further part.
CANDIDATE_SECONDS, CANDIDATE_ROUNDS, CANDIDATE_REST, HOPELESS = 0.02, 3, 0.03, 3


def seconds_of(job: Callable[[], object], calls: int) -> float:
    """Return how long a call takes, over so many."""
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def calls_for(job: Callable[[], object], least_seconds: float) -> int:
    """Return how many calls take at least so long; the job has run before."""
    calls = 1
    while (taken := seconds_of(job, calls) * calls) < least_seconds / 10:
        calls *= 10
    return max(1, round(calls * least_seconds / taken))


def interleaved(
    jobs: Mapping[str, Callable[[], object]],
    rounds: int,
    least_seconds: float,
    rest: float = REST_SECONDS,
) -> dict[str, list[float]]:
    """Return the seconds a call of each job takes, once for each round.

    Every job runs to warm up, which also tells how many calls make a sample of at least
    `least_seconds`; then all jobs take one sample in turn, round after round. Before each sample
    the job before it is left time to come to rest, and one call is not counted.
    """
    calls = {}
    for name, job in jobs.items():
        job()
        calls[name] = calls_for(job, least_seconds)
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            time.sleep(rest)
            job()
            samples[name].append(seconds_of(job, calls[name]))
    return samples


def fastest(*candidates: Callable[[], object]) -> Callable[[], object]:
    """Return the fastest of several forms of the same work."""
    for candidate in candidates:
        candidate()
    first = [seconds_of(candidate, 1) for candidate in candidates]
    jobs = {str(i): candidates[i] for i, s in enumerate(first) if s <= HOPELESS * min(first)}
    if len(jobs) > 1:
        samples = interleaved(jobs, CANDIDATE_ROUNDS, CANDIDATE_SECONDS, CANDIDATE_REST)
        return jobs[min(jobs, key=lambda name: min(samples[name]))]
    return next(iter(jobs.values()))


def spread(samples: list[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles below and above it."""
    low, median, high = statistics.quantiles(samples, n=4)
    return median, low, high
