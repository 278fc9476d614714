"""Arguments of fleets: seeds, and numbers for each model."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._typing import FloatArray
from crnn.conversion import as_numbers


def seeds_of(n: Any, seed: Any) -> npt.NDArray[Any]:
    """Return the seeds (n,) of n models; n of None: as many as there are."""
    if np.ndim(seed) == 0 and not isinstance(seed, str):
        if n is None:
            raise ValueError("n: expected the number of models, or a list of seeds, got neither")
        n = checks.integer("n", n, at_least=1)
        checks.integer("seed", seed, at_least=0)
        return np.random.SeedSequence(int(seed)).generate_state(n, np.uint64)
    seeds = seed_for_each(seed, len(seed))
    if n is not None and n != len(seeds):
        raise ValueError(f"seed: expected {n} seeds, one a model, got {len(seeds)}")
    if not len(seeds):
        raise ValueError("seed: expected at least one seed, got none")
    return seeds


def orders_for_each(seed: Any, N: int) -> "list[int | np.random.Generator]":
    """Return a seed or generator for each of N models, of one seed for all or of N of these."""
    listed = list(seed) if isinstance(seed, (list, tuple)) else []
    if not any(isinstance(one, np.random.Generator) for one in listed):
        numbers: list[int | np.random.Generator] = seed_for_each(seed, N).tolist()
        return numbers
    distinct = len({id(one) for one in listed})
    if len(listed) != N or distinct != N:
        raise ValueError(f"seed: expected {N} generators, one a model, got {distinct}")
    return [checks.generator(one) for one in listed]


def seed_for_each(seed: Any, N: int) -> npt.NDArray[np.uint64]:
    """Return seeds (N,) of one seed, which is for all models, or of N."""
    listed = [seed] * N if np.ndim(seed) == 0 else list(seed)
    if len(listed) != N:
        raise ValueError(f"seed: expected {N} seeds, one a model, got {len(listed)}")
    numbers = [checks.integer("seed", number, at_least=0) for number in listed]
    if max(numbers, default=0) >= 1 << 64:
        raise ValueError(f"seed: expected numbers below 2**64, got {max(numbers)}")
    return np.array(numbers, np.uint64)


def number_for_each(name: str, default: float, value: Any, N: int) -> FloatArray:
    """Return an argument as numbers (N,), finite and at least 0; None: the default."""
    value = default if value is None else value
    if np.ndim(value) == 0:
        return np.full(N, checks.number(name, value, at_least=0.0))
    numbers = as_numbers(name, value).astype(np.float64)
    if numbers.shape != (N,):
        raise ValueError(f"{name}: expected a number or shape (models={N},), got {numbers.shape}")
    wrong = np.flatnonzero(~((numbers >= 0) & np.isfinite(numbers)))
    if len(wrong):
        raise ValueError(
            f"{name}: expected finite numbers of at least 0, got {numbers[wrong[0]]} for model "
            f"{wrong[0]}"
        )
    return numbers
