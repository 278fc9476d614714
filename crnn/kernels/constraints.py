"""Constraints of the flat vector of parameters, as the kernels of optimizers take them."""

from typing import Any, NamedTuple

import numpy as np

from crnn._typing import Array, FloatArray, IntArray

GROUP_FIELDS = 5
"""Numbers of a row of `Constraints.groups`."""


class Constraints(NamedTuple):
    """Constraints of a vector of parameters (P,); after each step they are applied in this order.

    None: there is no such constraint. All arrays are C-contiguous, and those of (P,) have the dtype
    of the parameters.
    """

    l1: Array | None = None
    """(P,): the strength of a penalty on the magnitude of each parameter. It is brought nearer to
    zero by the learning rate times this, to zero at most (a proximal step)."""
    lower: Array | None = None
    """(P,): the least value of each parameter, or -inf."""
    upper: Array | None = None
    """(P,): the largest; given where `lower` is."""
    groups: IntArray | None = None
    """(G, 5) of intp: sets of vectors within the parameters. Each row has the place of the first
    vector, the number of vectors, the places from one vector to the next, the length of each
    vector, and the places from one of its elements to the next."""
    norms: FloatArray | None = None
    """(G,) of float64: the largest Euclidean norm of the vectors of each row; longer ones are
    scaled down. Given where `groups` is."""


def check(constraints: Any, theta: Array) -> None:
    """Raise the error of constraints that the kernels cannot take for these parameters (P,).

    Raises
    ------
    TypeError, ValueError
        An array has another dtype or shape, or a group is not within the parameters.
    """
    if constraints is None:
        return
    if not isinstance(constraints, Constraints):
        raise TypeError(f"constraints: expected Constraints, got {type(constraints).__name__}")
    groups = constraints.groups
    count = 0 if groups is None else len(groups)
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
        "l1": (theta.dtype, theta.shape),
        "lower": (theta.dtype, theta.shape),
        "upper": (theta.dtype, theta.shape),
        "groups": (np.dtype(np.intp), (count, GROUP_FIELDS)),
        "norms": (np.dtype(np.float64), (count,)),
    }
    for name, (dtype, shape) in wanted.items():
        array = getattr(constraints, name)
        if array is None:
            continue
        if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
            raise ValueError(
                f"constraints.{name}: expected a C-contiguous array of {dtype} and shape {shape}, "
                f"got {array.dtype} and {array.shape}"
            )
    for first, second in (("lower", "upper"), ("groups", "norms")):
        if (getattr(constraints, first) is None) != (getattr(constraints, second) is None):
            raise ValueError(f"constraints: expected both of {first} and {second}, got one")
    if groups is None:
        return
    start, vectors, step, length, stride = groups.T
    last = start + (vectors - 1) * step + (length - 1) * stride
    if (groups < 0).any() or (groups[:, [1, 3]] < 1).any() or (last >= len(theta)).any():
        raise ValueError(f"constraints.groups: expected places among {len(theta)} parameters")
