"""Fleets beside loops over networks and `jax.vmap`: what the jobs of all libraries share."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CHECKED_STEPS, RATE = 3, 1e-3

Job = tuple[Callable[[], object], np.ndarray]
"""A job, and what it is checked by: parameters after some steps, or two models' outputs."""


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


def make(module: str, function: str, *arguments: object) -> tuple[Callable[[], object], object]:
    """Return what a function of a library's module returns, for a worker that has the library."""
    found = importlib.import_module(f"benchmarks.speed.fleets.{module}")
    made: tuple[Callable[[], object], object] = getattr(found, function)(*arguments)
    return made
