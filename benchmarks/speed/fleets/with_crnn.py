"""A fleet, and a loop over networks."""

import functools

import numpy as np

import crnn
from benchmarks.speed.fleets import CHECKED_STEPS, RATE, Job, Problem


def first_parameters(p: Problem) -> np.ndarray:
    """Return the parameters (N, P) that all start from."""
    return crnn.Fleet(getattr(crnn, p.family)(p.I, p.H, p.O), p.N).flat_params


def fleet_job(p: Problem, operation: str) -> Job:
    """Return the job of crnn.Fleet, and what it is checked by."""
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
