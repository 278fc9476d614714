"""Fleets beside loops over networks and `jax.vmap`: `python -m benchmarks.speed.fleets`.

A training step (mean squared error, Adam) and a prediction of many networks of one architecture, on
data that all of them share:

crnn.Fleet
    One call.
crnn
    A loop over networks: `train_step` with an optimizer for each, and `predict`.
JAX, JAX 0.4.31
    `jax.vmap` over the parameters, jitted, with donated parameters and without an optimizer's
    library. JAX 0.4.31 runs in the environment beside this one whose name ends in -jax, or by
    ``--old-jax PYTHON``.

Each library has a process of its own, and samples are interleaved, so noise affects all alike. With
``--growth FILE`` the time of a step over the number of models is drawn instead.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.speed.timing import fastest, interleaved, median_and_quartiles
from benchmarks.speed.workers import LostWorkerError, Worker

ROUNDS, SAMPLE_SECONDS = 9, 0.2
CHECKED_STEPS, RATE, TOLERANCE = 3, 1e-3, 1e-3
UNROLLINGS = (1, 4)
GROWTH = (1, 10, 100, 1_000, 10_000, 100_000)
MOST_IN_A_LOOP = 1_000  # models; more take as long each


class Problem(NamedTuple):
    """Models and data."""

    family: str
    N: int
    T: int
    B: int
    I: int
    H: int
    O: int

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y."""
        rng = np.random.default_rng(0)
        shapes = ((self.B, self.T, self.I), (self.B, self.T, self.O))
        x, y = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
        return x, y

    def __str__(self) -> str:
        return f"{self.N} {self.family} of {self.H}, T {self.T}, B {self.B}"


PROBLEMS = (
    Problem("GRU", 1000, T=100, B=8, I=3, H=2, O=2),
    Problem("GRU", 1000, T=100, B=8, I=3, H=16, O=2),
    Problem("RNN", 256, T=100, B=8, I=3, H=32, O=2),
)

Job = tuple[Callable[[], object], np.ndarray]


def first_parameters(p: Problem) -> np.ndarray:
    """Return the parameters (N, P) that all start from."""
    import crnn

    return crnn.Fleet(getattr(crnn, p.family)(p.I, p.H, p.O), p.N).flat_params


def fleet_job(p: Problem, operation: str) -> Job:
    """Return the job of crnn.Fleet, and what it is checked by."""
    import crnn

    fleet = crnn.Fleet(getattr(crnn, p.family)(p.I, p.H, p.O), p.N)
    x, y = p.data()
    if operation == "predict":
        return functools.partial(fleet.predict, x), fleet.predict(x)[:2]
    step = functools.partial(fleet.train_step, x, y, crnn.Adam(RATE))
    for _ in range(CHECKED_STEPS):
        step()
    return step, fleet.flat_params.copy()


def loop_job(p: Problem, operation: str) -> Job:
    """Return the job of a loop over networks, and what it is checked by."""
    import crnn

    fleet = crnn.Fleet(getattr(crnn, p.family)(p.I, p.H, p.O), p.N)
    nets = list(fleet)
    x, y = p.data()
    if operation == "predict":
        job = lambda: [net.predict(x) for net in nets]  # noqa: E731
        return job, np.stack(job()[:2])
    optimizers = [crnn.Adam(RATE) for _ in nets]

    def step() -> None:
        for net, optimizer in zip(nets, optimizers, strict=True):
            net.train_step(x, y, optimizer)

    for _ in range(CHECKED_STEPS):
        step()
    return step, fleet.flat_params.copy()


def jax_job(p: Problem, operation: str, theta: np.ndarray) -> Job:
    """Return the job of jax.vmap, and what it is checked by."""
    import jax

    jnp = jax.numpy
    blocks, biases = (3, 4) if p.family == "GRU" else (1, 1)
    shapes = ((blocks * p.H, p.I), (blocks * p.H, p.H), (biases * p.H,), (p.O, p.H), (p.O,))
    x, y = p.data()
    x, y = jnp.asarray(x.swapaxes(0, 1)), jnp.asarray(y.swapaxes(0, 1))

    def split(flat: Any) -> list[Any]:
        parts, first = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(flat[first : first + size].reshape(shape))
            first += size
        return parts

    def outputs(flat: Any, unroll: int) -> Any:
        W_xh, W_hh, b_h, W_hy, b_y = split(flat)
        H = p.H
        projected = x @ W_xh.T + b_h[: blocks * H]

        def gru(h: Any, z: Any) -> Any:
            a = h @ W_hh.T
            r, u = (
                jax.nn.sigmoid(z[:, :H] + a[:, :H]),
                jax.nn.sigmoid(z[:, H : 2 * H] + a[:, H : 2 * H]),
            )
            n = jnp.tanh(z[:, 2 * H :] + r * (a[:, 2 * H :] + b_h[3 * H :]))
            h = (1 - u) * n + u * h
            return h, h

        def plain(h: Any, z: Any) -> Any:
            h = jnp.tanh(z + h @ W_hh.T)
            return h, h

        step = gru if p.family == "GRU" else plain
        h0 = jnp.zeros((p.B, H), jnp.float32)
        return jax.lax.scan(step, h0, projected, unroll=unroll)[1] @ W_hy.T + b_y

    def loss(flat: Any, unroll: int) -> Any:
        return jnp.mean((outputs(flat, unroll) - y) ** 2)

    if operation == "predict":

        def predictor(unroll: int) -> Callable[[], object]:
            function = jax.jit(jax.vmap(functools.partial(outputs, unroll=unroll)))
            flat = jnp.asarray(theta)
            return lambda: function(flat).block_until_ready()

        job = fastest(*(predictor(unroll) for unroll in UNROLLINGS))
        return job, np.asarray(job())[:2].swapaxes(1, 2)

    class Step:
        """Steps of Adam of all models."""

        def __init__(self, unroll: int) -> None:
            gradient = jax.vmap(jax.value_and_grad(functools.partial(loss, unroll=unroll)))

            def step(flat: Any, mean: Any, square: Any, t: Any) -> Any:
                values, g = gradient(flat)
                mean = mean + 0.1 * (g - mean)
                square = 0.999 * square + 0.001 * g * g
                unbias = 1 / jnp.sqrt(1 - 0.999**t)
                rate = RATE / (1 - 0.9**t)
                flat = flat - rate * mean / (jnp.sqrt(square) * unbias + 1e-8)
                return flat, mean, square, t + 1, values

            self.step = jax.jit(step, donate_argnums=(0, 1, 2))
            zeros = np.zeros_like(theta)
            self.state = jnp.array(theta), jnp.array(zeros), jnp.array(zeros), jnp.float32(1)

        def __call__(self) -> object:
            *state, values = self.step(*self.state)
            self.state = tuple(state)
            return values.block_until_ready()

    checked = Step(UNROLLINGS[0])
    for _ in range(CHECKED_STEPS):
        checked()
    return fastest(*(Step(unroll) for unroll in UNROLLINGS)), np.asarray(checked.state[0])


def measure(
    p: Problem, operation: str, workers: dict[str, Worker], rounds: int, seconds: float
) -> dict[str, float]:
    """Return the median seconds of each library, whose results agree."""
    theta = first_parameters(p)
    jobs: dict[str, tuple[Any, ...]] = {"crnn.Fleet": (fleet_job,), "crnn": (loop_job,)}
    scale = dict.fromkeys(workers, 1.0)
    results, timers = {}, {}
    for name, worker in workers.items():
        make, *arguments = jobs.get(name, (jax_job, theta))
        if name == "crnn" and p.N > MOST_IN_A_LOOP:
            scale[name] = p.N / MOST_IN_A_LOOP
            worker.prepare(make, p._replace(N=MOST_IN_A_LOOP), operation, *arguments)
        else:
            results[name] = worker.prepare(make, p, operation, *arguments)
        timers[name] = worker.seconds_per_call
    for name, result in results.items():
        error = np.abs(result - results["crnn.Fleet"]).max()
        if not error < TOLERANCE:
            sys.exit(f"{name}: expected the fleet's numbers, got others by {error}")
    samples = interleaved(timers, rounds, seconds)
    return {name: scale[name] * median_and_quartiles(samples[name])[0] for name in workers}


def draw_growth(workers: dict[str, Worker], path: str) -> None:
    """Draw the time of a training step over the number of models."""
    import matplotlib.pyplot as plt

    base = PROBLEMS[0]
    rows = [
        measure(base._replace(N=N), "train step", workers, rounds=3, seconds=0.1) for N in GROWTH
    ]
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in workers:
        times = [1e3 * row[name] for row in rows]
        print(f"{name:<12}" + "".join(f"{one:>12.3f}" for one in times), flush=True)
        ax.loglog(GROWTH, times, marker="o", label=name)
    ax.set(xlabel="models", ylabel="milliseconds of a training step", title=str(base)[5:])
    ax.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print a table, or draw the growth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.fleets", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--growth", metavar="FILE", help="draw the time over the number of models")
    parser.add_argument("--jax", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--old-jax", metavar="PYTHON", default=f"{sys.prefix}-jax/bin/python")
    options = parser.parse_args()
    pythons = {"crnn.Fleet": sys.executable, "crnn": sys.executable,
               "JAX": options.jax, "JAX 0.4.31": options.old_jax}  # fmt: skip
    workers = {}
    for name, python in pythons.items():
        try:
            workers[name] = Worker(Path(python))
            if name.startswith("JAX"):
                workers[name].prepare(jax_version)
        except (ImportError, LostWorkerError) as error:
            workers.pop(name, None)
            print(f"{name} is left out: {error}", flush=True)
    if options.growth:
        draw_growth(workers, options.growth)
        return
    print("milliseconds: medians; and as multiples of crnn.Fleet's\n")
    print(f"{'':<33}{'':<12}" + "".join(f"{name:>12}" for name in workers))
    for p in PROBLEMS:
        for operation in ("train step", "predict"):
            times = measure(p, operation, workers, ROUNDS, SAMPLE_SECONDS)
            ours = times["crnn.Fleet"]
            print(
                f"{p!s:<33}{operation:<12}"
                + "".join(f"{1e3 * times[name]:>12.2f}" for name in workers)
                + "".join(
                    f"{times[name] / ours:>7.1f}" for name in workers if name != "crnn.Fleet"
                ),
                flush=True,
            )


def jax_version() -> tuple[Callable[[], object], str]:
    """Return the version of JAX, for a worker that shows whether it has one."""
    import jax

    return (lambda: None), jax.__version__


if __name__ == "__main__":
    main()
