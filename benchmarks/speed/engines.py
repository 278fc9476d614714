"""What joblib's engines cost, and a model of clusters: `python -m benchmarks.speed.engines`.

Measured on this machine, with as many workers as it has cores: the start of an engine up to its
first result, the time of a task that does nothing, the bytes that twenty tasks with one array send
through sockets (Linux), and the same fleet and the same backtest in each engine, whose results
have to be the same bits. An engine that is not installed is left out.

Computed, not measured: a fleet over machines with Dask, and the data-parallel training of one
network with MPI, from the seconds of the work on this machine, the bytes that it sends, and a
network of given speed. `--computed` prints these tables alone.
"""

import argparse
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import crnn
from crnn import jobs
from crnn.forecasting import Forecaster, backtest

WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ROUNDS = 3
EMPTY_TASKS = 200
ARRAY = np.arange(2_000_000.0)
ARRAY_TASKS = 20

MODELS, EPOCHS, T, B, I, H, O = 1000, 40, 100, 32, 3, 2, 2
MACHINES = (8, 64, 512)
GIGABITS = (1, 10, 100)
LATENCY = 30e-6
"""Seconds of a message between two machines of one room, with TCP."""
CLUSTER_MODELS, CLUSTER_EPOCHS = 100_000, 1000
SHARED_BYTES = 100e6
"""Of the data that all models of the computed fleet read."""


class Engine(NamedTuple):
    """How tasks run."""

    name: str
    open: Callable[[], contextlib.AbstractContextManager[Any]]
    """What tasks run within."""
    n_jobs: int | None


@contextlib.contextmanager
def dask() -> Iterator[None]:
    """Start a cluster of this machine's processes."""
    import joblib
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


@contextlib.contextmanager
def ray() -> Iterator[None]:
    """Start Ray on this machine."""
    import joblib
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        register_ray()
        with joblib.parallel_config("ray", n_jobs=WORKERS):
            yield
    finally:
        ray.shutdown()


ENGINES = (
    Engine("this process", contextlib.nullcontext, None),
    Engine("joblib's processes", contextlib.nullcontext, WORKERS),
    Engine("Dask", dask, None),
    Engine("Ray", ray, None),
)


def socket_bytes() -> int:
    """Return how many bytes this machine has sent to itself."""
    counters = Path("/proc/net/dev")
    if not counters.exists():
        return 0
    line = next(one for one in counters.read_text().splitlines() if one.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[0])


def nothing(number: int) -> int:
    """Return the number."""
    return number


def element(array: np.ndarray, number: int) -> float:
    """Return a number of an array that all tasks take."""
    return float(array[number])


def fit_fleet(n_jobs: int | None) -> bytes:
    """Train a fleet on shared data, and return its parameters."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(B, T, I)), rng.normal(size=(B, T, O))
    fleet = crnn.Fleet(crnn.GRU(I, H, O), n=MODELS, seed=0)
    fleet.fit(x, y, epochs=EPOCHS, batch_size=8, optimizer=crnn.Adam(), n_jobs=n_jobs)
    return fleet.flat_params.tobytes()


def run_backtest(n_jobs: int | None) -> bytes:
    """Forecast from eight places, and return the forecasts."""
    t = np.arange(400)
    series = 10 + np.sin(t * 2 * np.pi / 12) + np.random.default_rng(0).normal(0, 0.3, len(t))
    result = backtest(
        series, horizon=6, origins=8, model=Forecaster(hidden_size=16, season=12), n_jobs=n_jobs
    )
    return result.forecasts["crnn"].tobytes()


def seconds(job: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """Return the median time of a job, and its last result."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        result = job()
        times.append(time.perf_counter() - started)
    return float(np.median(times)), result


def measured(engine: Engine) -> tuple[list[float], tuple[bytes, bytes]]:
    """Return the numbers of an engine's row, and the results of the fleet and the backtest."""
    begun = time.perf_counter()
    with engine.open():
        jobs.run(nothing, [(n,) for n in range(WORKERS)], engine.n_jobs)
        start = time.perf_counter() - begun
        tasks = [(n,) for n in range(EMPTY_TASKS)]
        empty, _ = seconds(lambda: jobs.run(nothing, tasks, engine.n_jobs), ROUNDS)
        before = socket_bytes()
        jobs.run(element, [(ARRAY, n) for n in range(ARRAY_TASKS)], engine.n_jobs)
        sent = socket_bytes() - before
        fleet, parameters = seconds(lambda: fit_fleet(engine.n_jobs), ROUNDS)
        tested, forecasts = seconds(lambda: run_backtest(engine.n_jobs), ROUNDS)
    numbers = [start, 1e3 * empty / EMPTY_TASKS, sent / 1e6, fleet, tested]
    return numbers, (parameters, forecasts)


def measure() -> None:
    """Print a line for each engine."""
    columns = ("start s", "task ms", "MB sent", "fleet s", "backtest s")
    print(f"{WORKERS} workers{'':<12}" + "".join(f"{one:>12}" for one in columns))
    expected = None
    for engine in ENGINES:
        try:
            numbers, results = measured(engine)
        except ImportError as error:
            print(f"{engine.name:<21} left out: {error}")
            continue
        expected = expected or results
        if results != expected:
            raise SystemExit(f"{engine.name}: expected the bits of this process, got others")
        print(f"{engine.name:<21}" + "".join(f"{one:>12.3g}" for one in numbers), flush=True)
    print(f"An array of {ARRAY.nbytes / 1e6:.0f} MB goes to {ARRAY_TASKS} tasks.")


def compute_fleet(task_seconds: float) -> None:
    """Print the times of a large fleet on machines with as many cores as this one."""
    alone, _ = seconds(lambda: fit_fleet(None), ROUNDS)
    of_model_epoch = alone / (MODELS * EPOCHS)
    P = crnn.GRU(I, H, O).flat_params.size
    # Parameters there; parameters, two vectors of Adam and three losses an epoch back
    of_model = 4 * P + 12 * P + 24 * CLUSTER_EPOCHS
    print(
        f"\nComputed: {CLUSTER_MODELS:,} GRUs of {H} units, {CLUSTER_EPOCHS} epochs of {B} x {T} "
        f"steps, {1e6 * of_model_epoch:.2g} us a model and epoch on {WORKERS} cores; "
        f"{CLUSTER_MODELS * of_model / 1e9:.2g} GB of parameters, states and losses and "
        f"{SHARED_BYTES / 1e6:.0f} MB of shared data"
    )
    print(f"{'machines':>10}{'compute s':>12}" + "".join(f"{f'{g} Gbit/s':>14}" for g in GIGABITS))
    for machines in MACHINES:
        compute = CLUSTER_MODELS * CLUSTER_EPOCHS * of_model_epoch / machines
        tasks = 4 * WORKERS * machines
        shares = []
        for gigabits in GIGABITS:
            # Models pass through one machine. Shared data come from it once, and then every machine
            # that has them sends them to another.
            sent = CLUSTER_MODELS * of_model + SHARED_BYTES * (1 + math.log2(machines))
            other = 8 * sent / (gigabits * 1e9) + tasks * task_seconds
            shares.append(compute / (compute + other))
        print(f"{machines:>10}{compute:>12.3g}" + "".join(f"{one:>14.0%}" for one in shares))
    print("Last columns: the share of time in which all machines compute.")


def compute_ranks() -> None:
    """Print the times of data-parallel steps: each rank has as many sequences as one alone."""
    for family, hidden, batch in ((crnn.GRU, 64, 32), (crnn.LSTM, 512, 32)):
        net = family(32, hidden, 32, seed=0)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(2, batch, 100, 32)).astype(np.float32)
        optimizer = crnn.Adam(1e-6)
        net.train_step(x, y, optimizer)

        def step(net: Any = net, x: Any = x, y: Any = y, optimizer: Any = optimizer) -> None:
            net.train_step(x, y, optimizer)

        compute, _ = seconds(step, 5)
        P = net.flat_params.size
        print(
            f"\nComputed: {family.__name__} of {hidden} units, {P:,} parameters, {batch} x 100 "
            f"steps a rank: {1e3 * compute:.3g} ms on {WORKERS} cores"
        )
        print(f"{'ranks':>10}{'MB a step':>12}" + "".join(f"{f'{g} Gbit/s':>14}" for g in GIGABITS))
        for ranks in MACHINES:
            # A piece of the gradient to every other rank, then the sum of a piece to every other
            sent = 2 * 4 * P * (ranks - 1) / ranks
            waits = 2 * (ranks - 1) * LATENCY
            shares = [compute / (compute + waits + 8 * sent / (g * 1e9)) for g in GIGABITS]
            print(f"{ranks:>10}{sent / 1e6:>12.3g}" + "".join(f"{one:>14.0%}" for one in shares))
    print("Last columns: the share of time in which all ranks compute.")


def main() -> None:
    """Measure, compute and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.engines", description=__doc__)
    parser.add_argument("--computed", action="store_true")
    parser.add_argument("--task-ms", type=float, default=1.5, help="of Dask, for the model")
    chosen = parser.parse_args()
    # New processes import this module by its name; an installed crnn is found first.
    sys.path.append(str(Path(__file__).parents[2]))
    if not chosen.computed:
        measure()
    compute_fleet(chosen.task_ms / 1e3)
    compute_ranks()


if __name__ == "__main__":
    main()
