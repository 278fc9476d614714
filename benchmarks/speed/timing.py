"""Timing of jobs in interleaved rounds, so noise affects all of them equally."""

import functools
import statistics
import time
from collections.abc import Callable, Mapping

# Threads of ONNX Runtime spin for some 50 ms after their last work, those of a BLAS library for 20,
# on cores that the next job needs.
REST_SECONDS = 0.07

# Long calls vary less from one to the next, so fewer of them will do.
LEAST_ROUNDS, MOST_SECONDS = 3, 12
# A call of so many seconds is a sample at once.
LONG_SECONDS = 0.2

# Samples of a candidate, and the rest before each: enough to tell forms apart that differ by a
# tenth. A candidate whose first call takes so many times as long as another's is left out.
CANDIDATE_SECONDS, CANDIDATE_ROUNDS, CANDIDATE_REST, HOPELESS = 0.02, 3, 0.03, 3


# A function from a number of calls of a job to the seconds per call
Timer = Callable[[int], float]


def seconds_per_call(job: Callable[[], object], calls: int) -> float:
    """Return the mean time of a call over so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def timer_of(job: Callable[[], object]) -> Timer:
    """Return the timer of a job in this process."""
    return functools.partial(seconds_per_call, job)


def calls_for(timer: Timer, least_seconds: float) -> tuple[int, float]:
    """Return how many calls take at least `least_seconds`, and how long they take.

    The first call warms up.
    """
    calls, taken = 1, timer(1)
    if taken < LONG_SECONDS:
        while (taken := timer(calls) * calls) < least_seconds / 10:
            calls *= 10
    of_sample = max(1, round(calls * least_seconds / taken))
    return of_sample, taken / calls * of_sample


def interleaved(
    timers: Mapping[str, Timer], rounds: int, least_seconds: float, rest: float = REST_SECONDS
) -> dict[str, list[float]]:
    """Return the seconds per call of each job, one sample for each round.

    Every job first runs to warm up and to find how many calls make a sample of at least
    `least_seconds`. Then all jobs take one sample in turn, round after round: fewer rounds, but at
    least LEAST_ROUNDS, where they would take more than MOST_SECONDS. Before each sample there is a
    pause, in which the threads of the job before come to rest, and one untimed call where a call is
    shorter than the sample.
    """
    calls, round_seconds = {}, 0.0
    for name, timer in timers.items():
        calls[name], seconds = calls_for(timer, least_seconds)
        round_seconds += rest + seconds
    fitting = max(LEAST_ROUNDS, round(MOST_SECONDS / round_seconds))
    samples: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(min(rounds, fitting)):
        for name, timer in timers.items():
            time.sleep(rest)
            if calls[name] > 1:
                timer(1)
            samples[name].append(timer(calls[name]))
    return samples


def fastest(*candidates: Callable[[], object]) -> Callable[[], object]:
    """Return the fastest of several forms of the same work."""
    for candidate in candidates:
        candidate()
    first = [seconds_per_call(candidate, 1) for candidate in candidates]
    quickest = min(first)
    if quickest >= LONG_SECONDS:
        return candidates[first.index(quickest)]
    jobs = {str(i): candidates[i] for i, s in enumerate(first) if s <= HOPELESS * quickest}
    if len(jobs) > 1:
        timers = {name: timer_of(job) for name, job in jobs.items()}
        samples = interleaved(timers, CANDIDATE_ROUNDS, CANDIDATE_SECONDS, CANDIDATE_REST)
        return jobs[min(jobs, key=lambda name: min(samples[name]))]
    return next(iter(jobs.values()))


def median_and_quartiles(samples: list[float]) -> tuple[float, float, float]:
    """Return the median, the lower and the upper quartile."""
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return median, low, high
