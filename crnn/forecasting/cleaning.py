"""Rows that are exceptions: wild readings and level shifts, found while a series is read.

Each number is compared with its prediction from those before it. One that is further away than a
threshold is an exception: the prediction takes its place (a robust filter in the manner of Martin
and Thomson 1982). After several exceptions in a row that lie as far from their predictions, the
series has a new level: what follows is read relative to it. So neither a wild reading nor a change
of level enters the lags of later predictions.

Where a series has changed for good, its rows have to stop being exceptions. An exception that comes
again a season later is none. Where exceptions are frequent, the last numbers are read as they are.

A number is never judged by later ones, so a series may be read row by row.
"""

import copy
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting.linear import Extrapolation, one_step
from crnn.forecasting.recipe import Floats

__all__ = [
    "NO_LIMITS",
    "Cleaned",
    "Cleaner",
    "Limits",
    "clean",
    "first_limits",
    "limits_of",
    "robust_threshold",
]

# Rows of a series that may be exceptions: a share, and a number for short series. What happens
# more often is how the series behaves.
EXCEPTIONS_SHARE, FEW_EXCEPTIONS = 0.02, 5
# An exception is further off than so many standard deviations, estimated by the median,
DEVIATIONS = 8.0
# so many times the largest error that is none,
TIMES_LARGEST = 4.0
# and this share of the distance between the 5 % and the 95 % quantile of the series.
SHARE_OF_SPAN = 0.05
# The median of the absolute values of standard normal numbers
NORMAL_MEDIAN = 0.6745
# Exceptions in a row, alike, that make a new level
SHIFT_AFTER = 3
# Exceptions among the last rows after which those are read as they are
FREQUENT, RECENT_ROWS = 5, 12


class Limits(NamedTuple):
    """What is an exception.

    Attributes
    ----------
    error : float
        Largest error of a prediction that is none.
    step : float
        Largest difference from one number to the next that is none, where nothing else predicts.
    middle, reach : float
        A series that is predicted relative to a mean has another level if it begins further from
        `middle` than `reach`.
    """

    error: float
    step: float
    middle: float
    reach: float


NO_LIMITS = Limits(np.inf, np.inf, 0.0, np.inf)


@dataclass(frozen=True)
class Cleaned:
    """A series as predictions read it.

    Attributes
    ----------
    values : array (time,)
        Relative to the level, without wild readings.
    offsets : array (time + 1,)
        The level, by the number of rows that have been read.
    patches : dict
        By the number of rows that have been read: the last values, where they read otherwise then.
    wild : list of int
        Rows that are exceptions: wild readings, and the first row of each new level.
    errors : array (time,)
        Of the predictions; NaN where there is none, or where the level was about to change.
    """

    values: Floats
    offsets: Floats
    patches: dict[int, Floats]
    wild: list[int]
    errors: Floats

    @classmethod
    def of(cls, values: Floats, offset: float = 0.0) -> "Cleaned":
        """Return values that are clean, at one level."""
        offsets = np.full(len(values) + 1, offset)
        return cls(values, offsets, {}, [], np.full(len(values), np.nan))

    def after(self, rows: int) -> "Cleaned":
        """Return what follows so many rows that are not read, counted from the first of them."""
        if not rows:
            return self
        return Cleaned(
            np.concatenate([self.values[:1].repeat(rows), self.values]),
            np.concatenate([self.offsets[:1].repeat(rows), self.offsets]),
            {origin + rows: patch for origin, patch in self.patches.items()},
            [row + rows for row in self.wild],
            np.concatenate([np.full(rows, np.nan), self.errors]),
        )

    def windows(self, origins: npt.NDArray[np.intp], length: int) -> Floats:
        """Return the `length` values before each origin, as they read then.

        Places before the first row repeat it.
        """
        rows = origins[:, None] + np.arange(-length, 0)
        values: Floats = self.values[np.maximum(rows, 0)]
        for number, origin in enumerate(origins.tolist()):
            if origin in self.patches:
                patch = self.patches[origin][-length:]
                values[number, length - len(patch) :] = patch
        return values


class Cleaner:
    """Reads a series row by row.

    Parameters
    ----------
    extrapolation : Extrapolation
    limits : Limits
    beginning : array (needed,)
        The first rows of the series, which nothing predicts.
    season : int
        Steps of a season, 0 for none.
    centered : bool
        Whether the predictions tend to a mean.

    Attributes
    ----------
    values : list of float
        What predictions read, relative to the level. The first ones may be deleted, but for as many
        as a prediction needs.
    offset : float
        The level.
    rewritten : int
        How many of the last values the last number has changed, itself included.
    shift : float
        By how much it has changed the level.
    wild : list of int
        Rows of the beginning that are exceptions.
    """

    def __init__(
        self,
        extrapolation: Extrapolation,
        limits: Limits,
        beginning: Floats,
        *,
        season: int,
        centered: bool,
    ) -> None:
        self.weights, self.constant = extrapolation.first, extrapolation.constant
        self.limits, self.season, self.centered = limits, season, centered
        # The errors and the numbers of the exceptions in a row that came last
        self._run: list[tuple[float, float]] = []
        self.rewritten, self.shift, self.offset = 1, 0.0, 0.0
        self.values, self.wild = beginning[:1].tolist(), []
        # Nothing predicts these rows but the number before.
        for row, number in enumerate(beginning[1:].tolist(), 1):
            if abs(self._read(number, self.values[-1], limits.step)) > limits.step:
                self.wild.append(row)
            if self.shift:
                self.wild = [place for place in self.wild if place <= row + 1 - self.rewritten]
        self._center()
        self.resume(self.values, beginning)

    def resume(self, values: list[float], numbers: Floats) -> None:
        """Go on after these values and numbers, among which are no exceptions."""
        self.values = values
        self._row = len(numbers)
        self._numbers = deque(numbers.tolist(), maxlen=len(self.weights))
        self._run.clear()
        # By row the errors of the exceptions of the last season, or of the last rows
        self._exceptions: dict[int, float] = {}

    def copy(self) -> "Cleaner":
        """Return one that goes on from here, independent of this one."""
        twin = copy.copy(self)
        for changing in ("values", "_run", "_numbers", "_exceptions"):
            setattr(twin, changing, getattr(self, changing).copy())
        return twin

    def push(self, number: float, inputs: float = 0.0) -> float:
        """Read a number, and return the error of its prediction."""
        recent = np.array(self.values[-len(self.weights) :])
        prediction = float(self.weights @ recent) + self.constant + inputs
        self._numbers.append(number)
        error, row = number - self.offset - prediction, self._row
        self._row += 1
        before = self._exceptions.pop(row - max(self.season, RECENT_ROWS), None)
        if self.season >= RECENT_ROWS:
            again = before
        else:
            again = self._exceptions.get(row - self.season) if self.season else None
        if again is not None and _are_alike([again, error], self.limits.error):
            prediction = number - self.offset
        self._read(number, prediction, self.limits.error)
        if abs(error) > self.limits.error:
            self._exceptions[row] = error
            many = sum(place > row - RECENT_ROWS for place in self._exceptions) >= FREQUENT
            if many and not self.shift:
                self._start_again()
        return error

    def _read(self, number: float, prediction: float, limit: float) -> float:
        """Keep a number or its prediction, and return the error."""
        error = number - self.offset - prediction
        self.rewritten, self.shift = 1, 0.0
        if abs(error) <= limit:
            self._run.clear()
            self.values.append(number - self.offset)
            return error
        self._run.append((error, number))
        self.values.append(prediction)
        errors = [error for error, _ in self._run[-SHIFT_AFTER:]]
        if len(errors) == SHIFT_AFTER and _are_alike(errors, limit):
            self.shift, self.rewritten = float(np.median(errors)), SHIFT_AFTER
            self.offset += self.shift
            # Only the rows that agree on the new level are read relative to it.
            for place in range(-SHIFT_AFTER, 0):
                self.values[place] = self._run[place][1] - self.offset
            self._run.clear()
        return error

    def _start_again(self) -> None:
        """Read the last numbers as they are."""
        self.rewritten = len(self._numbers)
        self.values[-self.rewritten :] = [number - self.offset for number in self._numbers]
        self._center()
        self._run.clear()
        self._exceptions.clear()

    def _center(self) -> None:
        """Change the level if the last values are far from the mean that they are predicted by."""
        needed = len(self.weights)
        middle = float(np.median(self.values[-needed:]))
        if self.centered and abs(middle - self.limits.middle) > self.limits.reach:
            shift = middle - self.limits.middle
            self.offset += shift
            self.values[-needed:] = [value - shift for value in self.values[-needed:]]


def clean(
    levels: Floats,
    extrapolation: Extrapolation,
    limits: Limits,
    inputs: Floats | None = None,
    *,
    season: int = 0,
    centered: bool = False,
) -> Cleaned:
    """Read a whole series.

    Parameters
    ----------
    levels : array (time,)
        At least as many as a prediction needs.
    extrapolation : Extrapolation
    limits : Limits
    inputs : array (time,), optional
        Added to the prediction of each row.
    season, centered
        As in `Cleaner`.

    Returns
    -------
    Cleaned
    """
    needed, length = len(extrapolation.first), len(levels)
    inputs = np.zeros(length) if inputs is None else inputs
    cleaner = Cleaner(extrapolation, limits, levels[:needed], season=season, centered=centered)
    offset, wild = cleaner.offset, list(cleaner.wild)
    values = np.concatenate([cleaner.values, levels[needed:] - offset])
    offsets = np.full(length + 1, offset)
    errors = np.full(length, np.nan)
    errors[needed:] = values[needed:] - one_step(values, extrapolation)[:-1] - inputs[needed:]
    exceptions = np.flatnonzero(np.abs(errors) > limits.error)
    patches: dict[int, Floats] = {}
    if not len(exceptions):
        return Cleaned(values, offsets, patches, wild, errors)
    first = int(exceptions[0])
    cleaner.resume(values[:first].tolist(), levels[:first])
    for row in range(first, length):
        errors[row] = cleaner.push(float(levels[row]), float(inputs[row]))
        if abs(errors[row]) > limits.error:
            wild.append(row)
        start = row + 1 - cleaner.rewritten
        for origin in range(start + 1, row + 1):
            # As it was read then: some of it may have changed before.
            patch, latest = values[start:origin].copy(), patches.get(origin, values[:0])
            if len(latest) < len(patch):
                patch[len(patch) - len(latest) :] = latest
                patches[origin] = patch
        values[start : row + 1] = cleaner.values[start:]
        offsets[row + 1] = cleaner.offset
        if cleaner.shift:
            errors[start : row + 1] = np.nan
            errors[start] = cleaner.shift
            wild = [place for place in wild if place <= start]
    return Cleaned(values, offsets, patches, wild, errors)


def robust_threshold(errors: Floats, span: float) -> float:
    """Return the largest error that is no exception.

    Parameters
    ----------
    errors : array (n,)
    span : float
        How far the series ranges without its exceptions.

    Returns
    -------
    float
    """
    sizes = np.sort(np.abs(errors[np.isfinite(errors)]))
    if not len(sizes):
        return np.inf
    few = int(max(EXCEPTIONS_SHARE * len(sizes), min(FEW_EXCEPTIONS, len(sizes) // 8)))
    return max(
        DEVIATIONS * float(np.median(sizes)) / NORMAL_MEDIAN,
        TIMES_LARGEST * float(sizes[-1 - few]),
        SHARE_OF_SPAN * span,
    )


def limits_of(levels: Floats, cleaned: Cleaned, usual: Floats) -> Limits:
    """Return what is an exception, by the errors of a first reading.

    Parameters
    ----------
    levels : array (time,)
        As they came.
    cleaned : Cleaned
    usual : array (time,)
        Without their exceptions.

    Returns
    -------
    Limits
    """
    span, deviation = _span(usual), _usual_deviation(levels)
    return Limits(
        max(robust_threshold(cleaned.errors, span), deviation),
        max(robust_threshold(np.diff(usual), span), deviation),
        *_middle_and_reach(usual),
    )


def first_limits(levels: Floats, errors: Floats, usual: Floats) -> Limits:
    """Return what is an exception, by errors that exceptions have entered.

    A wild reading is in several differences, so only the median is used. The arguments are those
    of `limits_of`, with errors (n,).
    """
    span, deviation = _span(usual), _usual_deviation(levels)

    def threshold(errors: Floats) -> float:
        middle = float(np.median(np.abs(errors))) / NORMAL_MEDIAN if len(errors) else np.inf
        return max(DEVIATIONS * middle, SHARE_OF_SPAN * span, deviation)

    return Limits(threshold(errors), threshold(np.diff(levels)), *_middle_and_reach(usual))


def _middle_and_reach(usual: Floats) -> tuple[float, float]:
    low, high = float(usual.min()), float(usual.max())
    return float(np.median(usual)), 1.5 * (high - low)


def _span(values: Floats) -> float:
    low, high = np.quantile(values, [0.05, 0.95])
    return float(high - low)


def _usual_deviation(levels: Floats) -> float:
    """Return how far numbers may be from one that most of a series are, 0 without such a number.

    Counts are often 0, and events then are no exceptions.
    """
    numbers, counts = np.unique(levels, return_counts=True)
    share = counts.max() / len(levels)
    if not 0.5 < share < 0.95:
        return 0.0
    others = np.abs(numbers[counts.argmax()] - levels)
    return TIMES_LARGEST * float(np.quantile(others[others > 0], 0.95))


def _are_alike(errors: list[float], limit: float) -> bool:
    """Return whether errors are the same but for as much as a number may be off."""
    middle = abs(float(np.median(errors)))
    return max(errors) - min(errors) <= max(limit, middle / 2)
