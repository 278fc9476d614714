"""Rows that are exceptions: wild readings and level shifts, found while a series is read.

Each number is compared with its prediction from those before it. One that is further away than a
threshold is an exception: the prediction takes its place (a robust filter in the manner of Martin
and Thomson 1982). After several exceptions in a row that lie as far from their predictions, the
series has a new level: what follows is read relative to it. So neither a wild reading nor a change
of level enters the lags of later predictions.

A number is never judged by later ones, so a series may be read row by row.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting.linear import Extrapolation, one_step
from crnn.forecasting.recipe import Floats

__all__ = ["Cleaned", "Cleaner", "Limits", "clean", "limits_of", "robust_threshold"]

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
# Exceptions in a row, alike, that make a new level; and in a row, however different.
SHIFT_AFTER, LOST_AFTER = 3, 12
# Neighbors on a side that a number at the beginning is compared with
NEIGHBORS = 3


class Limits(NamedTuple):
    """What is an exception.

    Attributes
    ----------
    error : float
        Largest error of a prediction that is none.
    jump : float
        Largest distance from the median of the neighbors that is none, where there is no
        prediction yet.
    low, high : float
        A series without differences that begins outside of these has another level.
    """

    error: float
    jump: float
    low: float
    high: float


NO_LIMITS = Limits(np.inf, np.inf, -np.inf, np.inf)


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
    """

    def __init__(
        self, extrapolation: Extrapolation, limits: Limits, beginning: Floats, centered: bool
    ) -> None:
        self.weights, self.constant = extrapolation.first, extrapolation.constant
        self.limits = limits
        values = beginning.copy()
        self.wild = _jumps(values, limits.jump)
        self.offset = 0.0
        middle = float(np.median(values))
        if centered and not limits.low <= middle <= limits.high:
            # The series is predicted relative to a mean, and begins far from it.
            self.offset = middle - (limits.low + limits.high) / 2
        self.values: list[float] = (values - self.offset).tolist()
        # The errors and the numbers of the exceptions in a row that came last
        self._run: list[tuple[float, float]] = []
        self.shift: float | None = None

    def push(self, number: float, inputs: float = 0.0) -> float:
        """Read a number, and return the error of its prediction.

        `shift` is then the change of level that it has made known, or None.
        """
        needed = len(self.weights)
        recent = np.array(self.values[-needed:])
        prediction = float(self.weights @ recent) + self.constant + inputs
        error = number - self.offset - prediction
        self.shift = None
        if abs(error) <= self.limits.error:
            self._run.clear()
            self.values.append(number - self.offset)
            return error
        self._run.append((error, number))
        self.values.append(prediction)
        self.shift = _shift([error for error, _ in self._run], self.limits.error)
        if self.shift is not None:
            self.offset += self.shift
            # Only the rows that agree on the new level are read relative to it.
            count = len(self._run) if len(self._run) >= LOST_AFTER else SHIFT_AFTER
            for place in range(count):
                self.values[-1 - place] = self._run[-1 - place][1] - self.offset
            self.rewritten = count
            self._run.clear()
        return error


def clean(
    levels: Floats,
    extrapolation: Extrapolation,
    limits: Limits,
    inputs: Floats | None = None,
    *,
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
    centered : bool
        Whether the predictions tend to a mean.

    Returns
    -------
    Cleaned
    """
    needed, length = len(extrapolation.first), len(levels)
    inputs = np.zeros(length) if inputs is None else inputs
    cleaner = Cleaner(extrapolation, limits, levels[:needed], centered)
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
    cleaner.values = values[:first].tolist()
    for row in range(first, length):
        errors[row] = cleaner.push(float(levels[row]), float(inputs[row]))
        if abs(errors[row]) > limits.error:
            wild.append(row)
        if cleaner.shift is not None:
            start = row + 1 - cleaner.rewritten
            before = values[start:row].copy()
            for origin in range(start + 1, row + 1):
                patches[origin] = before[: origin - start]
            values[start : row + 1] = cleaner.values[start:]
            errors[start : row + 1] = np.nan
            errors[start] = cleaner.shift
            wild = [place for place in wild if place <= start]
        else:
            values[row] = cleaner.values[-1]
        offsets[row + 1] = cleaner.offset
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
        # Rounding is no error.
        1e-9 * span,
    )


def limits_of(levels: Floats, cleaned: Cleaned) -> Limits:
    """Return what is an exception, by the errors of a first reading.

    Parameters
    ----------
    levels : array (time,)
        As they came.
    cleaned : Cleaned

    Returns
    -------
    Limits
    """
    values = cleaned.values
    span = _span(values)
    usual = _usual_deviation(levels)
    low, high = float(values.min()), float(values.max())
    return Limits(
        max(robust_threshold(cleaned.errors, span), usual),
        max(robust_threshold(_distances(values, 1), span), usual),
        low - (high - low),
        high + (high - low),
    )


def first_limits(levels: Floats, errors: Floats) -> Limits:
    """Return what is an exception, by errors that exceptions have entered.

    A wild reading is in several differences, so only the median is asked.
    """
    span = _span(levels)
    sizes = np.abs(errors)
    usual = _usual_deviation(levels)
    jumps = _distances(levels, 1)

    def threshold(sizes: Floats) -> float:
        sizes = sizes[np.isfinite(sizes)]
        middle = float(np.median(sizes)) / NORMAL_MEDIAN if len(sizes) else np.inf
        return max(DEVIATIONS * middle, SHARE_OF_SPAN * span, usual)

    return Limits(threshold(sizes), threshold(jumps), -np.inf, np.inf)


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


def _distances(values: Floats, side: int) -> Floats:
    """Return how far each number is from the median of its neighbors on one side.

    `side` is 1 for those after it, -1 for those before; infinity where there are fewer than three.
    """
    distances = np.full(len(values), np.inf)
    if len(values) > NEIGHBORS:
        windows = np.lib.stride_tricks.sliding_window_view(values, NEIGHBORS)
        medians = np.median(windows, axis=1)
        if side > 0:
            distances[:-NEIGHBORS] = np.abs(values[:-NEIGHBORS] - medians[1:])
        else:
            distances[NEIGHBORS:] = np.abs(values[NEIGHBORS:] - medians[:-1])
    return distances


def _jumps(values: Floats, limit: float) -> list[int]:
    """Put the median of the neighbors in place of each number far from them; return their rows."""
    if len(values) <= NEIGHBORS:
        return []
    after, before = _distances(values, 1), _distances(values, -1)
    rows = np.flatnonzero(np.minimum(after, before) > limit)
    rows = rows[np.isfinite(np.minimum(after, before)[rows])]
    original = values.copy()
    for row in rows.tolist():
        near = original[row + 1 : row + 1 + NEIGHBORS]
        near = near if np.isfinite(after[row]) else original[row - NEIGHBORS : row]
        values[row] = np.median(near)
    return [int(row) for row in rows]


def _shift(errors: list[float], limit: float) -> float | None:
    """Return by how much the level has changed, by the exceptions in a row; None if it has not."""
    last = errors[-SHIFT_AFTER:]
    middle = float(np.median(last))
    alike = max(last) - min(last) <= max(limit, abs(middle) / 2)
    if len(last) == SHIFT_AFTER and alike:
        return middle
    return float(np.median(errors)) if len(errors) >= LOST_AFTER else None
