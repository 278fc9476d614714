"""Checks of single arguments, for crnn and for code built on it.

Each check returns the converted value, or raises one sentence that names the argument, what was
expected, and what came.

>>> import crnn.checks
>>> crnn.checks.integer("steps", 0, at_least=1)
Traceback (most recent call last):
ValueError: steps: expected at least 1, got 0
"""

import math
import numbers
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, SupportsIndex

import numpy as np

__all__ = ["boolean", "choice", "generator", "integer", "no_leak", "number", "within"]


def integer(name: str, value: SupportsIndex, *, at_least: int) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    name : str
        The argument's name, for the error.
    value : int or NumPy integer
        Not a bool.
    at_least : int

    Returns
    -------
    int

    Raises
    ------
    TypeError
        The value is of another kind.
    ValueError
        It is out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if number < at_least:
        raise ValueError(f"{name}: expected at least {at_least}, got {number}")
    return number


def number(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number within the limits, as a float.

    Parameters
    ----------
    name : str
        The argument's name, for the error.
    value : real number
        Not a bool.
    at_least, above, below : float, optional
        Limits: at_least <= value, above < value < below.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        The value is of another kind.
    ValueError
        It is out of range.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    limits = {"of at least": at_least, "above": above, "below": below}
    if (
        not math.isfinite(converted)
        or (at_least is not None and converted < at_least)
        or (above is not None and converted <= above)
        or (below is not None and converted >= below)
    ):
        named = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
        within = " " + " and ".join(named) if named else ""
        raise ValueError(f"{name}: expected a finite number{within}, got {value!r}")
    return converted


def choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return a string that is one of the choices.

    Parameters
    ----------
    name : str
        The argument's name, for the error.
    value : str
    choices : tuple of str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The value is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected {any_of(map(repr, choices))}, got {value!r}")
    return value


def boolean(name: str, value: Any) -> bool:
    """Return True or False.

    Parameters
    ----------
    name : str
        The argument's name, for the error.
    value : bool or NumPy bool

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        The value is no bool.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def generator(seed: Any) -> "np.random.Generator":
    """Return the random generator of a seed.

    Parameters
    ----------
    seed : int, numpy Generator or None
        A generator is returned as it is; None: seeded by the system.

    Returns
    -------
    numpy Generator

    Raises
    ------
    TypeError, ValueError
        The seed is none of these, or negative.
    """
    # The annotations name np.random in strings: importing it takes as long as the rest of crnn.
    if isinstance(seed, (bool, np.bool_)):
        raise TypeError(f"seed: expected a whole number of at least 0, got {seed!r}")
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed: expected a whole number of at least 0, got {seed!r}") from None


def no_leak(architecture: Any, target: str) -> None:
    """Raise a ValueError if a network has a leak, for a format or package that has none.

    Parameters
    ----------
    architecture : Architecture
    target : str
        What the network would be converted to, such as "PyTorch".

    Raises
    ------
    ValueError
        There is a leak.
    """
    if architecture.has_leak:
        raise ValueError(
            f"net: expected a network without a leak for {target}, got one with a leak"
        )


@contextmanager
def within(outer: str) -> Iterator[None]:
    """Put the name of an outer argument before the errors of checks in a `with` block.

    Parameters
    ----------
    outer : str
        As in "validation_data: x: expected ...".

    Yields
    ------
    None
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{outer}: {error}") from None


def any_of(words: Iterable[str]) -> str:
    """Return "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else str(last)
