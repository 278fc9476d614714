"""A rival's job on one problem of the grid, with the results that it is checked by."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.speed.rivals import Problem, make_problem
from benchmarks.speed.sizes import Sizes

CHECKED_STEPS = 5
# Small, so the parameters stay ordinary numbers in any number of timed steps.
TIMED_LR = 1e-6

Results = dict[str, np.ndarray]


def load(module: str) -> Any:
    """Return the module of a rival."""
    return importlib.import_module(f"benchmarks.speed.rivals.{module}")


def try_import(module: str) -> tuple[Callable[[], object], None]:
    """Import the module of a rival; for a worker that shows whether it can."""
    load(module)
    return (lambda: None), None


def make(
    module: str, operation: str, kind: str, sizes: Sizes, dtype: str
) -> tuple[Callable[[], object], Results]:
    """Return a rival's job, ready to be timed, and its results on the same numbers as all."""
    return job_and_results(load(module), operation, make_problem(kind, sizes, dtype))


def job_and_results(
    rival: Any, operation: str, problem: Problem
) -> tuple[Callable[[], object], Results]:
    """Return a job and its results.

    The results are the update of each parameter by a step with rate 1, or y (B, T, O), or y of the
    first steps of a stream.
    """
    if operation == "train step":
        step = rival.train_step(problem)
        step.lr = 1.0
        step()
        updates = {name: now - problem.params[name] for name, now in step.parameters().items()}
        step.lr = TIMED_LR
        return step, updates
    if operation == "inference":
        job = rival.inference(problem)
        y = np.asarray(job())
        return job, {"y": y if y.shape[:2] == problem.y.shape[:2] else y.swapaxes(0, 1)}
    stream = rival.streaming_step(problem)
    first = [np.array(stream(np.ascontiguousarray(problem.x[:, t]))) for t in range(CHECKED_STEPS)]
    return functools.partial(stream, problem.x[:, 0].copy()), {"y": np.stack(first, 1)}
