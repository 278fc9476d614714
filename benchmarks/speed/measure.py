"""One measurement: all rivals build the same job, prove that it is the same, and are timed."""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.speed.peak import Peak
from benchmarks.speed.rivals import Problem, UnsuitedError, make_problem
from benchmarks.speed.rivals.with_crnn import Crnn
from benchmarks.speed.sizes import Sizes, operations_count
from benchmarks.speed.timing import interleaved, median_and_quartiles

OURS = "crnn"

# Rivals of crnn's compiled kernels, and the module of each
PEERS = {
    "NumPy": None,  # crnn's own NumPy kernels
    "lists": "with_lists",
    "Numba": "with_numba",
    "PyTorch": "with_torch",
    "JAX": "with_jax",
    "ONNX Runtime": "with_onnxruntime",
}

# GRU and LSTM are not written out by hand.
PLAIN_RNN_ONLY = ("lists", "Numba")

# How far a rival's results may be from the exact ones, as a share of the largest update or output:
# some hundred roundings
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}

CHECKED_STEPS = 5
# Small, so the parameters stay ordinary numbers in any number of timed steps.
TIMED_LR = 1e-6


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


@functools.cache
def rivals() -> tuple[dict[str, Any], list[str]]:
    """Return all rivals by name, and a line for each that is not installed."""
    found: dict[str, Any] = {OURS: Crnn("native"), "NumPy": Crnn("python")}
    missing = []
    for name, module in PEERS.items():
        if module is None:
            continue
        try:
            found[name] = importlib.import_module(f"benchmarks.speed.rivals.{module}")
        except ImportError as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing


def _exact(problem: Problem) -> Problem:
    """Return the same problem in float64."""
    params = {name: values.astype(np.float64) for name, values in problem.params.items()}
    x, y = problem.x.astype(np.float64), problem.y.astype(np.float64)
    return problem._replace(params=params, x=x, y=y)


@functools.lru_cache(maxsize=1)
def _exact_update(kind: str, sizes: Sizes, dtype: str) -> dict[str, np.ndarray]:
    """Return the update of a step with rate 1, in float64 by the NumPy kernels."""
    return _update(Crnn("python"), _exact(make_problem(kind, sizes, dtype)))


@functools.lru_cache(maxsize=1)
def _exact_outputs(kind: str, sizes: Sizes, dtype: str, steps: int) -> np.ndarray:
    """Return the outputs of the first steps, in float64 by the NumPy kernels."""
    problem = _exact(make_problem(kind, sizes, dtype))
    return Crnn("python").inference(problem._replace(x=problem.x[:, :steps]))()


def _update(rival: Any, problem: Problem) -> dict[str, np.ndarray]:
    step = rival.train_step(problem)
    step.lr = 1.0
    step()
    return {name: now - problem.params[name] for name, now in step.parameters().items()}


def _check(label: str, actual: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    actual = np.asarray(actual, np.float64)
    largest = np.abs(expected).max()
    if actual.shape != expected.shape or not (
        np.abs(actual - expected).max() <= TOLERANCES[dtype] * largest
    ):
        raise AssertionError(f"{label} differs from the exact result")


def _checked_job(rival: Any, label: str, operation: str, problem: Problem) -> Callable[[], object]:
    """Return the job of one rival, once its results are those of the exact computation."""
    dtype = problem.dtype.name
    exact = (problem.kind, problem.sizes, dtype)
    if operation == "train step":
        expected = _exact_update(*exact)
        for parameter, change in _update(rival, problem).items():
            _check(f"{label}: {parameter}", change, expected[parameter], dtype)
        step = rival.train_step(problem)
        step.lr = TIMED_LR
        return step
    if operation == "inference":
        job = rival.inference(problem)
        y = _exact_outputs(*exact, problem.sizes.T)
        outputs = np.asarray(job())
        if outputs.shape[:2] != y.shape[:2]:
            outputs = outputs.swapaxes(0, 1)
        _check(f"{label}: y", outputs, y, dtype)
        return job
    stream = rival.streaming_step(problem)
    y = _exact_outputs(*exact, CHECKED_STEPS)
    for t in range(CHECKED_STEPS):
        y_t = stream(np.ascontiguousarray(problem.x[:, t]))
        _check(f"{label}: y of step {t}", y_t, y[:, t], dtype)
    return functools.partial(stream, problem.x[:, 0].copy())


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
    peers: tuple[str, ...] = tuple(PEERS),
) -> Measurement:
    """Measure crnn and those of the peers that are installed and have this kind of network."""
    problem = make_problem(kind, sizes, dtype)
    jobs = {}
    for label, rival in rivals()[0].items():
        if label not in (OURS, *peers) or (kind != "RNN" and label in PLAIN_RNN_ONLY):
            continue
        try:
            jobs[label] = _checked_job(rival, label, operation, problem)
        except UnsuitedError:
            continue
    before = peak.measure(dtype)
    samples = interleaved(jobs, rounds, sample_seconds)
    after = peak.measure(dtype)
    highest = None if before is None or after is None else max(before, after)
    return Measurement(operation, kind, name, sizes, dtype, samples, highest)
