"""L-BFGS on an oscillator, with crnn, SciPy and jax-sysid."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STEPS, HIDDEN_SIZE = 2000, 8

# A fit, which returns the mean squared error at its end
Job = Callable[[], float]


class Problem(NamedTuple):
    """What all libraries start from."""

    u: np.ndarray
    """Inputs (time, 1)."""
    y: np.ndarray
    """Outputs (time, 1)."""
    params: dict[str, np.ndarray]
    """The first parameters, float64, by crnn's names."""


def oscillator(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and outputs, (time, 1), of a simulated Duffing oscillator.

    y'' + 0.5 y' + y + y^3 = u, as the circuit of the Silverbox data (Wigren and Schoukens 2013) in
    units of its own: twenty cosines below and around the resonance, held for a fifth of a second;
    Runge-Kutta of fourth order. Both have a standard deviation of 1, and y has noise of 0.01.
    """
    rng = np.random.default_rng(seed)
    t, between = np.arange(STEPS) * 0.2, 4
    frequencies = rng.uniform(0.02, 0.4, 20)
    u = np.cos(2 * np.pi * np.outer(t, frequencies) + rng.uniform(0, 2 * np.pi, 20)).sum(axis=1)
    u /= u.std()

    def change(state: np.ndarray, force: float) -> np.ndarray:
        place, speed = state
        return np.array([speed, force - 0.5 * speed - place - place**3])

    state, places, step = np.zeros(2), np.empty(STEPS), 0.2 / between
    for k in range(STEPS):
        for _ in range(between):
            k1 = change(state, u[k])
            k2 = change(state + step / 2 * k1, u[k])
            k3 = change(state + step / 2 * k2, u[k])
            k4 = change(state + step * k3, u[k])
            state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        places[k] = state[0]
    y = places / places.std() + 0.01 * rng.standard_normal(STEPS)
    return u[:, None], y[:, None]


def make(module: str, function: str, *arguments: Any) -> tuple[Callable[[], object], Any]:
    """Return what a function of a library's module makes; for a worker."""
    return getattr(importlib.import_module(f"benchmarks.speed.quasi_newton.{module}"), function)(
        *arguments
    )
