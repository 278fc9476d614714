"""Tasks on several processes or machines, by joblib.

`Fleet.fit` and `crnn.forecasting.backtest` run their work so, and a loop over networks can:

>>> import crnn, crnn.jobs
>>> def trained(seed):
...     net = crnn.GRU(3, 2, 1, seed=seed)
...     return net  # after net.fit(...)
>>> nets = crnn.jobs.run(trained, [(seed,) for seed in range(3)], n_jobs=2)
"""

import contextlib
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import _backend, checks
from crnn._version import __version__

__all__ = ["count_workers", "run"]

RAY_RETRIES = {"max_restarts": 3, "max_task_retries": 3}
"""Without these, Ray gives up when a worker is lost. Dask retries a task as often."""


def count_workers(n_jobs: int | None = None) -> int:
    """Return how many tasks run at a time.

    Parameters
    ----------
    n_jobs : int, optional
        As in joblib: so many processes of this machine; -1: one a processor, -2: one less. None:
        what an enclosing ``joblib.parallel_config`` says, without one 1. Inside
        ``joblib.parallel_config("dask")`` any number means all workers of the cluster.

    Returns
    -------
    int
        1: in this process.

    Raises
    ------
    ValueError, TypeError
        `n_jobs` is 0 or no whole number.
    ImportError
        joblib is not installed, and `n_jobs` is neither None nor 1.
    """
    if n_jobs is None:
        # Without joblib there is no parallel_config.
        if "joblib" not in sys.modules:
            return 1
    elif checks.integer("n_jobs", n_jobs, at_least=-sys.maxsize) == 0:
        raise ValueError("n_jobs: expected None or a whole number but 0, got 0")
    try:
        import joblib
    except ImportError:
        if n_jobs in (None, 1):
            return 1
        raise ImportError(f"n_jobs={n_jobs} needs joblib: pip install 'crnn[jobs]'") from None
    return int(joblib.effective_n_jobs(None if n_jobs is None else int(n_jobs)))


def run(
    function: Callable[..., Any],
    tasks: Iterable[Sequence[Any]],
    n_jobs: int | None = None,
    *,
    after_task: Callable[[int, int], object] | None = None,
) -> list[Any]:
    """Call a function for each task, on several processes or machines.

    An array that is an argument of several tasks is sent once to each machine: processes of one
    machine share a memory map of it, Dask scatters it, Ray puts it into its store. Arrays of a task
    may be read-only. A worker of joblib, Dask or Ray uses its share of the processors, because
    these engines set OMP_NUM_THREADS for it. What a task calls with `n_jobs` runs in its worker.

    Parameters
    ----------
    function : callable
        A function of a module, or one that cloudpickle can send to a worker. An engine may call it
        again for a task whose worker was lost.
    tasks : iterable of tuple
        The arguments of each call.
    n_jobs : int, optional
        As in `count_workers`. On this machine no more processes than tasks are started.
    after_task : callable, optional
        Called in this process as ``after_task(count, total)`` with the number of completed tasks
        and of all tasks. If an engine returns all results at once, all calls come then.

    Returns
    -------
    list
        The results in the order of tasks.

    Raises
    ------
    ValueError, TypeError
        `n_jobs` does not fit.
    ImportError
        joblib is not installed, and is needed.
    RuntimeError
        A process of this machine has ended from outside, or workers of Dask have in one task four
        times; or a machine has another version of crnn.
    """
    listed = [tuple(task) for task in tasks]
    results: list[Any] = [None] * len(listed)
    workers = count_workers(n_jobs)
    if workers == 1:
        for number, task in enumerate(listed):
            results[number] = function(*task)
            if after_task is not None:
                after_task(number + 1, len(listed))
        return results
    import joblib  # which few need

    backend, _ = joblib.parallel.get_active_backend()
    calls = [(__version__, function, number, *task) for number, task in enumerate(listed)]
    if hasattr(backend, "client"):
        engine = _dask(backend, calls)
    else:
        engine = _joblib(backend, calls, n_jobs, workers)
    instruction_sets = {_backend.kernels.instruction_set}
    with engine as answers:
        for count, (number, instruction_set, result) in enumerate(answers, 1):
            results[number] = result
            instruction_sets.add(instruction_set)
            if after_task is not None:
                after_task(count, len(listed))
    if len(instruction_sets) > 1:
        warnings.warn(
            f"the machines ran the loops of {', '.join(sorted(instruction_sets))}, whose results "
            "differ by rounding: set CRNN_CPU on all for the same bits",
            RuntimeWarning,
            stacklevel=3,
        )
    return results


@contextlib.contextmanager
def _joblib(
    backend: Any, calls: list[tuple[Any, ...]], n_jobs: int | None, workers: int
) -> Iterator[Iterable[Any]]:
    """Return what `_answer` returns for each of its arguments, from a backend of joblib."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    options: dict[str, Any] = {}
    if type(backend).__module__.startswith("ray."):
        calls = _held_by_ray(calls)
        options["ray_remote_args"] = RAY_RETRIES | (backend.ray_remote_args or {})
    elif workers > len(calls):
        n_jobs = max(len(calls), 1)  # joblib would start a process for each worker.
    as_they_come = getattr(backend, "supports_return_generator", False)
    if as_they_come:
        options["return_as"] = "generator_unordered"
    answers = joblib.Parallel(n_jobs, **options)(joblib.delayed(_answer)(*call) for call in calls)
    try:
        yield answers
    except BaseException as error:
        if as_they_come:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the rest is given up
                answers.close()
        if isinstance(error, TerminatedWorkerError):
            raise RuntimeError(
                "a worker process has ended from outside, perhaps for lack of memory"
            ) from error
        raise


@contextlib.contextmanager
def _dask(backend: Any, calls: list[tuple[Any, ...]]) -> Iterator[Iterable[Any]]:
    """Return what `_answer` returns for each of its arguments, from the workers of Dask.

    Not by joblib's backend: it waits for ever for a task that Dask has given up. Arrays that
    several tasks take are sent once, as the result of a task of their own. So the scheduler holds
    them, and can send them again when a worker is lost.
    """
    import distributed

    client = backend.client
    with _large_graphs():
        held = {key: client.submit(_itself, one, pure=False) for key, one in _shared(calls).items()}
        futures = [
            client.submit(
                _answer, *(held.get(id(one), one) for one in call), pure=False,
                **backend.submit_kwargs,
            )
            for call in calls
        ]  # fmt: skip
        try:
            with backend.retrieval_context():
                yield (answer for _, answer in distributed.as_completed(futures, with_results=True))
        except distributed.scheduler.KilledWorker as error:
            raise RuntimeError(
                "workers of Dask have ended from outside, perhaps for lack of memory"
            ) from error
        finally:
            client.cancel(futures)


def _answer(
    version: str, function: Callable[..., Any], number: int, *arguments: Any
) -> tuple[int, str, Any]:
    """Return a task's number, the instruction set of this worker, and the result."""
    if version != __version__:
        raise RuntimeError(f"crnn: expected {version} on all machines, got {__version__}")
    import joblib

    values = [one.value() if isinstance(one, _InRay) else one for one in arguments]
    # Otherwise Dask would share out what a task calls with n_jobs=None.
    with joblib.parallel_config("sequential", n_jobs=1):
        result = function(*values)
    return number, _backend.kernels.instruction_set, result


class _InRay(NamedTuple):
    """An array in Ray's store, from which processes of a machine read the same memory."""

    reference: Any

    def value(self) -> Any:
        import ray

        return ray.get(self.reference)


def _shared(tasks: list[tuple[Any, ...]]) -> dict[int, npt.NDArray[Any]]:
    """Return the arrays that several tasks take, by identity."""
    uses = Counter(id(one) for task in tasks for one in task)
    return {
        id(one): one
        for task in tasks
        for one in task
        if isinstance(one, np.ndarray) and uses[id(one)] > 1
    }


def _held_by_ray(tasks: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return tasks whose arrays are in Ray's store, if several take them."""
    import ray

    held = {key: _InRay(ray.put(one)) for key, one in _shared(tasks).items()}
    return [tuple(held.get(id(one), one) for one in task) for task in tasks]


def _itself(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array


def _large_graphs() -> Any:
    """Return a context in which Dask does not warn of data in tasks."""
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PiB"})
