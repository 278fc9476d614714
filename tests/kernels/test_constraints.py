"""Constraints: what follows a step of an optimizer, against plain loops over single parameters."""

import math
import re

import numpy as np
import pytest
from kernel_problems import DTYPES

from crnn.kernels.constraints import Constraints

N = 37
STEPS = {
    "sgd_step": (
        ["velocity"],
        {"lr": 0.3, "momentum": 0.7, "nesterov": True, "weight_decay": 0.02},
    ),
    "rmsprop_step": (
        ["square", "velocity"],
        {"lr": 0.3, "alpha": 0.9, "eps": 1e-6, "momentum": 0.4, "weight_decay": 0.0},
    ),
    "adam_step": (
        ["mean", "square"],
        {
            "step": 3,
            "lr": 0.3,
            "beta1": 0.8,
            "beta2": 0.9,
            "eps": 1e-6,
            "weight_decay": 0.1,
            "decoupled": True,
        },
    ),
}
# Vectors that cross each other's places and leave gaps: rows, columns, and the last two parameters
GROUPS = [(1, 3, 5, 4, 1), (16, 4, 1, 3, 4), (35, 1, 0, 2, 1)]
NORMS = [0.9, 0.4, 0.05]


def constraints(dtype, *kinds):
    rng = np.random.default_rng(2)
    lower = np.where(rng.random(N) < 0.4, -rng.random(N), -np.inf)
    upper = np.where(rng.random(N) < 0.4, rng.random(N), np.inf)
    lower[5:8], upper[5:8] = 0, 0
    found = {
        "l1": {"l1": np.where(rng.random(N) < 0.5, rng.random(N), 0).astype(dtype)},
        "bounds": {"lower": lower.astype(dtype), "upper": upper.astype(dtype)},
        "norms": {"groups": np.array(GROUPS, np.intp), "norms": np.array(NORMS)},
    }
    return Constraints(**{k: v for kind in kinds for k, v in found[kind].items()})


def constrained(theta, limits, lr):
    """The same, one parameter after the other."""
    new = [float(value) for value in theta]
    if limits.l1 is not None:
        for i, strength in enumerate(limits.l1):
            new[i] = math.copysign(max(abs(new[i]) - lr * float(strength), 0), new[i])
    if limits.lower is not None:
        new = [
            min(max(v, float(low)), float(high))
            for v, low, high in zip(new, limits.lower, limits.upper, strict=True)
        ]
    if limits.groups is not None:
        for (start, vectors, step, length, stride), limit in zip(
            limits.groups, limits.norms, strict=True
        ):
            for vector in range(vectors):
                places = [start + vector * step + i * stride for i in range(length)]
                norm = math.sqrt(sum(new[i] ** 2 for i in places))
                for i in places:
                    new[i] *= min(1, limit / norm) if norm else 1
    return np.array(new)


KINDS = [("l1",), ("bounds",), ("norms",), ("l1", "bounds", "norms")]
kinds = pytest.mark.parametrize("kinds", KINDS, ids="+".join)


@kinds
@pytest.mark.parametrize("kernel", STEPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_ends_within_its_constraints(kernels, assert_close, kernel, dtype, kinds):
    names, numbers = STEPS[kernel]
    rng = np.random.default_rng(4)
    start = {
        name: np.abs(rng.standard_normal(N)).astype(dtype) for name in ("theta", "dtheta", *names)
    }
    start["theta"] *= np.where(np.arange(N) % 2, 1, -1)
    limits = constraints(dtype, *kinds)
    free, bound = ({k: v.copy() for k, v in start.items()} for _ in range(2))
    step = getattr(kernels, kernel)
    assert step(**free, **numbers, steps=None, constraints=None)
    assert step(**bound, **numbers, steps=None, constraints=limits)
    expected = constrained(free["theta"], limits, numbers["lr"])
    assert_close(bound["theta"], expected, dtype=dtype)
    assert not np.allclose(expected, free["theta"])
    for name in names:
        assert bound[name].tobytes() == free[name].tobytes()


@kinds
@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_are_brought_within_constraints(kernels, assert_close, dtype, kinds):
    theta = np.random.default_rng(4).standard_normal(N).astype(dtype)
    limits = constraints(dtype, *kinds)
    expected = constrained(theta, limits, 0)
    kernels.constrain(theta, limits)
    assert_close(theta, expected, dtype=dtype)


def test_a_step_that_is_not_taken_leaves_parameters_outside_of_constraints(kernels):
    theta = np.full(N, 5.0)
    before = theta.tobytes()
    dtheta = np.zeros(N)
    dtheta[3] = np.nan
    limits = constraints("float64", "l1", "bounds", "norms")
    assert not kernels.sgd_step(theta, dtheta, None, 0.1, 0.0, False, 0.0, None, limits)
    assert theta.tobytes() == before


@pytest.mark.parametrize("size", [1e-300, 1e200])
def test_norms_of_large_and_small_numbers(kernels, size):
    theta = np.array([3.0, -4.0]) * size
    limits = Constraints(groups=np.array([(0, 1, 0, 2, 1)], np.intp), norms=np.array([size]))
    kernels.constrain(theta, limits)
    np.testing.assert_allclose(theta, np.array([0.6, -0.8]) * size, rtol=1e-14)


ARRAY = "expected a C-contiguous array of float64 and shape (37,), got"
WRONG = {
    "no constraints": ({"lower": 1}, "constraints: expected Constraints, got dict"),
    "dtype": (
        Constraints(l1=np.zeros(N, np.float32)),
        f"constraints.l1: {ARRAY} float32 and (37,)",
    ),
    "shape": (
        Constraints(lower=np.zeros(N), upper=np.zeros(N - 1)),
        f"constraints.upper: {ARRAY} float64 and (36,)",
    ),
    "half": (
        Constraints(upper=np.zeros(N)),
        "constraints: expected both of lower and upper, got one",
    ),
    "places": (
        Constraints(groups=np.array([(1, 4, 9, 10, 1)], np.intp), norms=np.ones(1)),
        "constraints.groups: expected places among 37 parameters",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_constraints_that_do_not_fit(kernels, case):
    limits, sentence = WRONG[case]
    theta = np.ones(N)
    for call in (
        lambda: kernels.constrain(theta, limits),
        lambda: kernels.sgd_step(theta, theta.copy(), None, 0.1, 0.0, False, 0.0, None, limits),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}$"):
            call()
    assert (theta == 1).all()
