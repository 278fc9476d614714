"""Training of networks that obey Dale's law, with crnn and nn4n."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

INPUTS, OUTPUTS, TIME, DECISION = 2, 2, 55, 10
RATE = 1e-3

# A training step, which returns the loss before it
Job = Callable[[], float]


class Problem(NamedTuple):
    """What both libraries start from."""

    x: np.ndarray
    """Evidence (batch, time, 2)."""
    y: np.ndarray
    """Choices (batch,); the last `DECISION` steps count."""
    signs: np.ndarray
    """1 or -1 for each unit (units,)."""
    mask: np.ndarray
    """Which units are connected (units, units): 0 on the diagonal."""
    params: dict[str, np.ndarray]
    """The first parameters, float32, by crnn's names."""
    leak: float
    """The share of a time constant that a step takes; 1: none."""
    noise: float


def make_problem(units: int, batch: int, leak: float, noise: float) -> Problem:
    """Return evidence, and weights that meet the constraints."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, batch)
    x = 0.5 + 0.5 * rng.standard_normal((batch, TIME, INPUTS))
    x[np.arange(batch), :, y] += 0.2
    signs, mask = np.where(np.arange(units) < 0.8 * units, 1, -1), 1 - np.eye(units)
    weights = rng.gamma(2.0, size=(units, units)) * signs * mask
    weights[:, signs < 0] *= 4
    params = {
        "W_xh": rng.random((units, INPUTS)),
        "W_hh": weights / np.abs(np.linalg.eigvals(weights)).max(),
        "b_h": np.zeros(units),
        "W_hy": rng.random((OUTPUTS, units)) * (signs > 0) / np.sqrt(units),
        "b_y": np.zeros(OUTPUTS),
    }
    params = {name: values.astype(np.float32) for name, values in params.items()}
    return Problem(x.astype(np.float32), y, signs, mask, params, leak, noise)


def make(module: str, function: str, *arguments: Any) -> tuple[Callable[[], object], Any]:
    """Return what a function of a library's module makes; for a worker."""
    return getattr(importlib.import_module(f"benchmarks.speed.dales_law.{module}"), function)(
        *arguments
    )
