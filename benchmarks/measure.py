"""One measurement: all rivals build the same job, prove that it is the same, and are timed."""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cells import Cell, flops
from benchmarks.peak import Peak
from benchmarks.rivals import Problem, UnsuitedError, problem_of
from benchmarks.rivals.with_crnn import Crnn
from benchmarks.timing import interleaved, spread

OURS = "crnn"

# What is compared with crnn's compiled kernels, and the module that does it
PEERS = {
    "NumPy": None,  # crnn's own NumPy kernels
    "lists": "with_lists",
    "Numba": "with_numba",
    "PyTorch": "with_torch",
    "JAX": "with_jax",
    "ONNX Runtime": "with_onnxruntime",
}

# Nobody writes the other kinds out by hand.
OF_RNN_ALONE = ("lists", "Numba")

# Of the largest update or output, by which a rival's may differ: some hundred roundings.
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}

CHECKED_STEPS = 5
# So small a rate that the numbers stay ordinary ones however long it runs.
TIMED_LR = 1e-6


class Measurement(NamedTuple):
    """The samples of one operation on one cell, in seconds a call."""

    operation: str
    kind: str
    cell: str
    sizes: Cell
    dtype: str
    samples: dict[str, list[float]]
    peak: float | None
    """Operations a second of the machine's cores, around the time of the samples."""

    def median(self, rival: str) -> float:
        """Return the median of a rival's samples."""
        return spread(self.samples[rival])[0]

    def best_peer(self) -> str:
        """Return which rival other than crnn is fastest."""
        return min((name for name in self.samples if name != OURS), key=self.median)

    def ratio(self, rival: str) -> float:
        """Return how many times as long as crnn a rival takes: its median over crnn's."""
        return self.median(rival) / self.median(OURS)

    def share(self) -> float | None:
        """Return crnn's share of the machine's peak."""
        if self.peak is None:
            return None
        return flops(self.operation, self.kind, self.sizes) / self.median(OURS) / self.peak


@functools.cache
def rivals() -> tuple[dict[str, Any], list[str]]:
    """Return what can take part, by name, and a line for each that cannot."""
    found: dict[str, Any] = {OURS: Crnn("native"), "NumPy": Crnn("python")}
    missing = []
    for name, module in PEERS.items():
        if module is None:
            continue
        try:
            found[name] = importlib.import_module(f"benchmarks.rivals.{module}")
        except ImportError as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing


@functools.lru_cache(maxsize=1)
def _truth(kind: str, cell: Cell, dtype: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the update of a step with rate 1 and the outputs, in float64 by the NumPy kernels."""
    problem = problem_of(kind, cell, dtype)
    exact = Problem(
        kind,
        cell,
        {name: values.astype(np.float64) for name, values in problem.params.items()},
        problem.x.astype(np.float64),
        problem.y.astype(np.float64),
    )
    return _update(Crnn("python"), exact), Crnn("python").inference(exact)()


def _update(rival: Any, problem: Problem) -> dict[str, np.ndarray]:
    step = rival.train_step(problem)
    step.lr = 1.0
    step()
    return {name: now - problem.params[name] for name, now in step.parameters().items()}


def _check(name: str, actual: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    actual = np.asarray(actual, np.float64)
    largest = np.abs(expected).max()
    if actual.shape != expected.shape or not (
        np.abs(actual - expected).max() <= TOLERANCES[dtype] * largest
    ):
        raise AssertionError(f"{name} computes something else")


def _job(rival: Any, name: str, operation: str, problem: Problem) -> Callable[[], object]:
    """Return the job of one rival, which has shown that it computes the same."""
    dtype = problem.dtype.name
    update, y = _truth(problem.kind, problem.cell, dtype)
    if operation == "train step":
        for parameter, change in _update(rival, problem).items():
            _check(f"{name}: {parameter}", change, update[parameter], dtype)
        step = rival.train_step(problem)
        step.lr = TIMED_LR
        return step
    if operation == "inference":
        job = rival.inference(problem)
        outputs = np.asarray(job())
        if outputs.shape[:2] != y.shape[:2]:
            outputs = outputs.swapaxes(0, 1)
        _check(f"{name}: y", outputs, y, dtype)
        return job
    stream = rival.streaming_step(problem)
    for t in range(CHECKED_STEPS):
        y_t = stream(np.ascontiguousarray(problem.x[:, t]))
        _check(f"{name}: y of step {t}", y_t, y[:, t], dtype)
    return functools.partial(stream, problem.x[:, 0].copy())


def measure(
    operation: str,
    kind: str,
    cell_name: str,
    sizes: Cell,
    dtype: str,
    *,
    rounds: int,
    sample_seconds: float,
    peak: Peak,
    only: tuple[str, ...] = (),
) -> Measurement:
    """Measure all rivals, or only some of the peers."""
    problem = problem_of(kind, sizes, dtype)
    jobs = {}
    for name, rival in rivals()[0].items():
        if (only and name not in (OURS, *only)) or (kind != "RNN" and name in OF_RNN_ALONE):
            continue
        try:
            jobs[name] = _job(rival, name, operation, problem)
        except UnsuitedError:
            continue
    before = peak.measure(dtype)
    samples = interleaved(jobs, rounds, sample_seconds)
    after = peak.measure(dtype)
    highest = None if before is None or after is None else max(before, after)
    return Measurement(operation, kind, cell_name, sizes, dtype, samples, highest)
