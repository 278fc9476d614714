"""Constraints of parameters in training: fixed zeros, signs, bounds, norms, and a penalty.

After each step of an optimizer, in the same call, parameters are moved to the nearest values that
meet their constraints.

>>> import crnn
>>> from crnn.constraints import MaxNorm, NonNegative
>>> net = crnn.RNN(input_size=1, hidden_size=8, output_size=1, seed=0)
>>> x, y = [[0.1], [0.2], [0.4]], [[0.2], [0.4], [0.8]]
>>> constraints = {"W_xh": NonNegative(), "W_hh": MaxNorm(0.5)}
>>> history = net.fit(x, y, epochs=10, constraints=constraints)
>>> bool((net.W_xh >= 0).all())
True
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._network.network import Network
from crnn._typing import FloatArray
from crnn.conversion import as_numbers
from crnn.kernels.constraints import Constraints

__all__ = ["L1", "Bounds", "Constraint", "Mask", "MaxNorm", "NonNegative", "Sign"]

MOST_SHOWN = 8
"""Of a larger array `repr` shows the shape and a checksum."""


class Constraint:
    """The base class of all constraints. They never change, so several networks may share one."""

    def _bounds(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """Return the least and the largest value of a parameter of this shape, or of each number.

        Raises
        ------
        ValueError
            An array has another shape.
        """
        return -np.inf, np.inf

    def _settings(self) -> dict[str, Any]:
        """Return what `repr` shows, by name."""
        return {}

    def __repr__(self) -> str:
        shown = [f"{name}={_shown(value)}" for name, value in self._settings().items()]
        return f"{type(self).__name__}({', '.join(shown)})"


ConstraintsLike: TypeAlias = Mapping[str, Constraint | Sequence[Constraint]]
"""Constraints by the names of parameters."""


class Mask(Constraint):
    """Fixed zeros, such as the missing connections of a sparse network.

    Parameters
    ----------
    values : array of bool, or of 0 and 1
        Of the parameter's shape. Where it is 0, the parameter is 0.

    Raises
    ------
    ValueError
        It holds other numbers.
    """

    def __init__(self, values: npt.ArrayLike) -> None:
        self._values = _numbers("values", values, (0, 1)).astype(np.bool_)

    def _settings(self) -> dict[str, Any]:
        return {"values": self._values.astype(np.int64)}

    def _bounds(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        values = _of_shape("values", self._values, shape)
        return np.where(values, -np.inf, 0), np.where(values, np.inf, 0)


class Sign(Constraint):
    """Signs, such as those of excitatory and inhibitory units (Dale's law).

    W_hh has a column for each unit that sends and a row for each that receives. So a sign a column
    makes a unit excitatory (1) or inhibitory (-1) for all others.

    Parameters
    ----------
    signs : array (columns,), or of the parameter's shape
        1: at least 0, -1: at most 0, 0: any number.

    Raises
    ------
    ValueError
        It holds other numbers.
    """

    def __init__(self, signs: npt.ArrayLike) -> None:
        self._signs = _numbers("signs", signs, (-1, 0, 1)).astype(np.int64)

    def _settings(self) -> dict[str, Any]:
        return {"signs": self._signs}

    def _bounds(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        signs = self._signs
        if signs.shape not in (shape, shape[-1:]):
            raise ValueError(f"signs: expected shape {shape[-1:]} or {shape}, got {signs.shape}")
        return np.where(signs > 0, 0, -np.inf), np.where(signs < 0, 0, np.inf)


class Bounds(Constraint):
    """A least and a largest value.

    Parameters
    ----------
    low, high : float or array of the parameter's shape, optional
        None: no limit on that side, as for numbers that are infinite.

    Raises
    ------
    ValueError, TypeError
        A limit is no number.
    """

    def __init__(self, low: npt.ArrayLike | None = None, high: npt.ArrayLike | None = None) -> None:
        self._low = _numbers("low", -np.inf if low is None else low)
        self._high = _numbers("high", np.inf if high is None else high)

    def _settings(self) -> dict[str, Any]:
        return {"low": self._low, "high": self._high}

    def _bounds(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        low, high = self._low, self._high
        if low.ndim:
            low = _of_shape("low", low, shape)
        if high.ndim:
            high = _of_shape("high", high, shape)
        return low, high


class NonNegative(Bounds):
    """No number below 0."""

    def __init__(self) -> None:
        super().__init__(low=0.0)

    def _settings(self) -> dict[str, Any]:
        return {}


class MaxNorm(Constraint):
    """A largest Euclidean norm: a vector with a larger one is scaled down to it.

    Parameters
    ----------
    limit : float
        Above 0.
    axis : int or None, default -1
        The axis along which vectors lie. With the last axis of a matrix of weights these are its
        rows: what comes into each unit. None: the whole parameter is one vector.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range or no number.
    """

    def __init__(self, limit: float, axis: int | None = -1) -> None:
        self.limit = checks.number("limit", limit, above=0.0)
        self.axis = None if axis is None else checks.integer("axis", axis, at_least=-2)

    def _settings(self) -> dict[str, Any]:
        return {"limit": self.limit, "axis": self.axis}

    def _group(self, shape: tuple[int, ...]) -> list[int]:
        """Return a row of `Constraints.groups` for a parameter at place 0."""
        size = int(np.prod(shape))
        if self.axis is None:
            return [0, 1, 0, size, 1]
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"axis: expected one of the shape {shape}, got {self.axis}")
        if self.axis % len(shape) == len(shape) - 1:
            return [0, size // shape[-1], shape[-1], shape[-1], 1]
        return [0, shape[1], 1, shape[0], shape[1]]


class L1(Constraint):
    """A penalty ``strength * |w|``, which makes small parameters zero.

    After each step of the optimizer parameters move towards zero by ``lr * strength``, and become
    zero where they would cross it: a proximal step (Parikh and Boyd 2014, "Proximal algorithms").
    Losses are without the penalty.

    Parameters
    ----------
    strength : float
        Not negative.

    Raises
    ------
    ValueError, TypeError
        It is out of its range or no number.
    """

    def __init__(self, strength: float) -> None:
        self.strength = checks.number("strength", strength, at_least=0.0)

    def _settings(self) -> dict[str, Any]:
        return {"strength": self.strength}


class ConstraintSet:
    """The constraints of several parameters, checked but for what depends on a network.

    Parameters
    ----------
    constraints : dict of Constraint or of lists of these
        By the names of parameters.

    Raises
    ------
    TypeError
        It is no such dictionary.
    """

    def __init__(self, constraints: ConstraintsLike) -> None:
        if not isinstance(constraints, Mapping):
            raise TypeError(
                "constraints: expected a dictionary of constraints by the names of parameters, "
                f"got {type(constraints).__name__}"
            )
        self.by_name: dict[str, tuple[Constraint, ...]] = {}
        for name, given in constraints.items():
            listed: Sequence[Any] = given if isinstance(given, (list, tuple)) else [given]
            for one in listed:
                if not isinstance(one, Constraint):
                    raise TypeError(
                        f"constraints[{name!r}]: expected constraints such as "
                        f"crnn.constraints.NonNegative(), got {one!r}"
                    )
            self.by_name[name] = tuple(listed)
        # The shapes and the fixed leaks of the last network, and what was compiled for it
        self._compiled: tuple[Any, bytes, Constraints | None] = None, b"", None

    def __repr__(self) -> str:
        shown = {k: v[0] if len(v) == 1 else list(v) for k, v in self.by_name.items()}
        return repr(shown)

    def __getstate__(self) -> dict[str, Any]:
        return {"by_name": self.by_name, "_compiled": (None, b"", None)}

    def compiled(self, network: Network) -> Constraints | None:
        """Return the constraints of a network's vector of parameters, with those of its own.

        Raises
        ------
        ValueError
            There is no such parameter, a shape does not fit, or no number meets all constraints of
            a parameter.
        """
        shapes, fixed, compiled = self._compiled
        fixed_now = network.fixed_leaks
        if shapes is not network.shapes or fixed != fixed_now:
            compiled = self._compile(network)
            self._compiled = network.shapes, fixed_now, compiled
        return compiled

    def _compile(self, network: Network) -> Constraints | None:
        unknown = [name for name in self.by_name if name not in network.shapes]
        if unknown:
            known = ", ".join(network.shapes)
            raise ValueError(f"constraints: expected names among {known}, got {unknown[0]!r}")
        dtype, P = network.flat.dtype, network.flat.size
        lower, upper, l1 = np.full(P, -np.inf), np.full(P, np.inf), np.zeros(P)
        own = network.constraints
        if own is not None and own.lower is not None and own.upper is not None:
            lower[...], upper[...] = own.lower, own.upper
        groups, norms, place = [], [], 0
        for name, shape in network.shapes.items():
            size = int(np.prod(shape))
            values = slice(place, place + size)
            listed = self.by_name.get(name, ())
            with checks.within(f"constraints[{name!r}]"):
                for one in listed:
                    low, high = (np.broadcast_to(b, shape).ravel() for b in one._bounds(shape))
                    lower[values] = np.maximum(lower[values], low)
                    upper[values] = np.minimum(upper[values], high)
                    if isinstance(one, L1):
                        l1[values] += one.strength
                    if isinstance(one, MaxNorm):
                        start, *others = one._group(shape)
                        groups.append([place + start, *others])
                        norms.append(one.limit)
                has_norm = any(isinstance(one, MaxNorm) for one in listed)
                _check_bounds(lower[values], upper[values], dtype, shape, has_norm=has_norm)
            place += size
        is_bounded = bool(np.isfinite(lower).any() or np.isfinite(upper).any())
        # What leaves the range of float32 is no limit, or the largest penalty.
        with np.errstate(over="ignore"):
            compiled = Constraints(
                l1=np.minimum(l1, np.finfo(dtype).max).astype(dtype) if l1.any() else None,
                lower=lower.astype(dtype) if is_bounded else None,
                upper=upper.astype(dtype) if is_bounded else None,
                groups=np.array(groups, np.intp) if groups else None,
                norms=np.array(norms) if groups else None,
            )
        return None if all(part is None for part in compiled) else compiled


def _check_bounds(
    lower: FloatArray,
    upper: FloatArray,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    *,
    has_norm: bool,
) -> None:
    """Raise a ValueError unless each parameter can have a value, which is 0 with a MaxNorm."""
    largest = float(np.finfo(dtype).max)
    wrong = np.flatnonzero((lower > upper) | (lower > largest) | (upper < -largest))
    if len(wrong):
        first = wrong[0]
        place = tuple(int(i) for i in np.unravel_index(first, shape))
        raise ValueError(
            f"expected constraints that a number of {dtype} meets, got a least value of "
            f"{lower[first]:g} and a largest of {upper[first]:g} at {place}"
        )
    if has_norm and bool(((lower > 0) | (upper < 0)).any()):
        raise ValueError("expected bounds that 0 meets beside MaxNorm, got others")


def _numbers(name: str, value: Any, choices: tuple[int, ...] = ()) -> FloatArray:
    """Return an argument as an array of its own of float64 without NaN; of these numbers alone."""
    array: FloatArray = as_numbers(name, value).astype(np.float64)
    wrong = array[~np.isin(array, choices)] if choices else array[np.isnan(array)]
    if wrong.size:
        expected = checks.any_of(map(str, choices)) if choices else "numbers"
        raise ValueError(f"{name}: expected {expected}, got {wrong.flat[0]:g}")
    return array


def _of_shape(name: str, values: Any, shape: tuple[int, ...]) -> Any:
    """Return an array that has this shape."""
    if values.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {values.shape}")
    return values


def _shown(value: Any) -> str:
    """Return the text of a setting, which differs where the setting does."""
    if not isinstance(value, np.ndarray):
        return f"{value}"
    if value.size <= MOST_SHOWN:
        return repr(value.tolist())
    # Imported here: it takes longer to import than crnn.
    import hashlib

    return f"<{value.shape}, {hashlib.sha256(value.tobytes()).hexdigest()[:16]}>"
