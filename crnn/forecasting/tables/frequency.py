"""How far apart the rows of a series are: days, business days, months, seconds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from crnn.forecasting.tables.dates import MAX_YEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Frequency", "first_gap", "infer"]

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY, WORKING_DAYS = "1111111", "1111100"
# Days that a weekday has to be missing from before it counts as one without rows
MIN_DAYS_FOR_WEEKDAYS = 14
# Share of the steps that have to be as long as the commonest one
MIN_SHARE = 0.5
DAY = 86_400_000_000  # microseconds
UNITS = (("day", DAY), ("hour", DAY // 24), ("minute", DAY // 1440), ("second", 1_000_000))
MONTHS = {1: "month", 3: "quarter", 12: "year"}
# Days of the month that need not be the same number: its last day, its first or last working day
ENDS = {"end": pd.offsets.MonthEnd, "business end": pd.offsets.BusinessMonthEnd,
        "business start": pd.offsets.BusinessMonthBegin}  # fmt: skip


class Frequency(NamedTuple):
    """A step from a date to the next.

    Attributes
    ----------
    unit : {"months", "days", "microseconds"}
    every : int
        How many of the unit.
    at : str
        Of months the day: "1" to "31", "end", "business end" or "business start". Of days those
        of the week that have rows, such as "1111100" for Monday to Friday. Else "".
    """

    unit: str
    every: int
    at: str

    def __str__(self) -> str:
        if self.unit == "months":
            every = MONTHS.get(self.every)
            return f"a {every} apart" if every else f"{self.every} months apart"
        if self.unit == "days":
            if self.at == WORKING_DAYS:
                return "a business day apart"
            if self.at == EVERY_DAY:
                return "a day apart"
            return f"a day apart, of {', '.join(self._weekdays)}"
        for name, size in UNITS:
            if self.every % size == 0:
                count = self.every // size
                return (
                    f"{'an' if name == 'hour' else 'a'} {name} apart"
                    if count == 1
                    else f"{count} {name}s apart"
                )
        return f"{self.every / 1_000_000:g} seconds apart"

    def after(self, date: pd.Timestamp, steps: int) -> pd.DatetimeIndex:
        """Return the dates of the steps after a date.

        Raises
        ------
        ValueError
            They are later than the year 9999, the last that has four digits.
        """
        try:
            dates = pd.date_range(date, periods=steps + 1, freq=self._offset())[1:]
        except (OverflowError, NotImplementedError, TypeError, ValueError):
            # Each is what pandas raises for some kind of step.
            dates = None
        if dates is None or dates[-1].year > MAX_YEAR:
            raise ValueError(
                f"steps: expected dates up to the year {MAX_YEAR}, got {steps} steps after {date}"
            )
        return dates

    def between(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
        """Return the dates from one to another, both included."""
        return pd.date_range(first, last, freq=self._offset())

    @property
    def _weekdays(self) -> list[str]:
        """The days of the week that have rows."""
        return [name for name, has in zip(WEEKDAYS, self.at, strict=True) if has == "1"]

    def _offset(self) -> Any:
        """Return the step as pandas takes it."""
        if self.unit == "microseconds":
            return pd.Timedelta(self.every, unit="us")
        if self.unit == "days":
            return pd.offsets.CustomBusinessDay(weekmask=" ".join(self._weekdays))
        if self.at in ENDS:
            return ENDS[self.at](self.every)
        return pd.DateOffset(months=self.every)

    @classmethod
    def of(cls, parts: Sequence[Any]) -> Frequency:
        """Return a frequency from its attributes, as a file holds them.

        Raises
        ------
        ValueError
            They are none.
        """
        if _is_frequency(parts):
            return cls(*parts)
        raise ValueError(f"frequency: expected a unit, a number and a day, got {parts!r}")


def _is_frequency(parts: Any) -> bool:
    """Whether these are the attributes of a frequency."""
    if not (isinstance(parts, (list, tuple)) and list(map(type, parts)) == [str, int, str]):
        return False
    unit: str
    every: int
    at: str
    unit, every, at = parts
    if not 0 < every < 1 << 62:
        return False
    if unit == "months":
        return every < 12 * MAX_YEAR and at in (*ENDS, *map(str, range(1, 32)))
    if unit == "days":
        return every == 1 and len(at) == 7 and set(at) in ({"1"}, {"0", "1"})
    return unit == "microseconds" and at == ""


def infer(dates: pd.DatetimeIndex) -> Frequency | None:
    """Return how far apart dates are.

    Parameters
    ----------
    dates : DatetimeIndex
        Growing.

    Returns
    -------
    Frequency or None
        None: there are fewer than two, or no step is common enough.
    """
    if len(dates) < 2:
        return None
    if len(set(dates - dates.normalize())) == 1:
        return _months(dates) or _days(dates)
    return _seconds(dates)


def first_gap(
    dates: pd.DatetimeIndex, frequency: Frequency
) -> tuple[int, pd.Timestamp, int] | None:
    """Return where growing dates leave one out.

    Returns
    -------
    position : int
        Of the date after the first gap.
    missing : Timestamp
        The first date that is missing; the date at the position itself, where it is none that the
        frequency leads to.
    count : int
        How many dates are missing in all; 0 where a date is none that the frequency leads to.
    """
    steps = _steps(dates, frequency)
    wrong = np.flatnonzero(steps != 1)
    if not len(wrong):
        return None
    odd = np.flatnonzero(steps < 1)
    if len(odd):
        position = int(odd[0]) + 1
        return position, dates[position], 0
    position = int(wrong[0]) + 1
    missing = frequency.after(dates[position - 1], 1)[0]
    return position, missing, int((steps - 1).sum())


def _steps(dates: pd.DatetimeIndex, frequency: Frequency) -> np.ndarray[Any, Any]:
    """Return how many steps there are from each date to the next; 0 for no whole number."""
    if frequency.unit == "months":
        months = _month_numbers(dates)
        whole, rest = np.divmod(np.diff(months), frequency.every)
        fits = _fits_day(dates, frequency.at)
        return np.where((rest == 0) & fits[1:] & fits[:-1], whole, 0)
    if frequency.unit == "days":
        days = dates.normalize().to_numpy().astype("datetime64[D]")
        weekmask = [has == "1" for has in frequency.at]
        working = np.is_busday(days, weekmask=weekmask)
        working &= np.asarray(dates - dates.normalize() == dates[0] - dates[0].normalize())
        count = np.busday_count(days[:-1], days[1:], weekmask=weekmask)
        return np.where(working[1:] & working[:-1], count, 0)
    whole, rest = np.divmod(np.diff(_microseconds(dates)), frequency.every)
    return np.where(rest == 0, whole, 0)


def _months(dates: pd.DatetimeIndex) -> Frequency | None:
    """Return the frequency of dates at the same day of their months."""
    months = np.diff(_month_numbers(dates))
    if months.min() < 1:
        return None
    at = ["1", *ENDS, str(dates[0].day)]
    found = next((name for name in at if _fits_day(dates, name).all()), None)
    if found is None or (len(dates) == 2 and (dates[1] - dates[0]).days < 28):
        return None
    every = _common(months)
    return None if every is None else Frequency("months", every, found)


def _fits_day(dates: pd.DatetimeIndex, at: str) -> np.ndarray[Any, Any]:
    """Return which dates are at a day of their months."""
    if at in ENDS:
        offset = ENDS[at](1)
        return np.array([offset.is_on_offset(date) for date in dates])
    return np.asarray(dates.day == int(at))


def _days(dates: pd.DatetimeIndex) -> Frequency | None:
    """Return the frequency of dates that are whole days apart."""
    days = dates.normalize().to_numpy().astype("datetime64[D]").astype(np.int64)
    steps = np.diff(days)
    every = _common(steps)
    if every != 1:
        return None if every is None else Frequency("microseconds", every * DAY, "")
    # Day 0 was a Thursday.
    present = {int(day) for day in (days + 3) % 7}
    at = "".join("1" if day in present else "0" for day in range(7))
    if days[-1] - days[0] < MIN_DAYS_FOR_WEEKDAYS:
        skipped = {int(day + 3) % 7 for day in set(range(days[0], days[-1])) - set(days.tolist())}
        at = WORKING_DAYS if skipped == {5, 6} and present <= set(range(5)) else EVERY_DAY
    return Frequency("days", 1, at)


def _seconds(dates: pd.DatetimeIndex) -> Frequency | None:
    """Return the frequency of dates with times."""
    every = _common(np.diff(_microseconds(dates)))
    return None if every is None else Frequency("microseconds", every, "")


def _common(steps: np.ndarray[Any, Any]) -> int | None:
    """Return the commonest step, the shorter of two; None: it is not common enough."""
    step, count = min(Counter(steps.tolist()).items(), key=lambda item: (-item[1], item[0]))
    return int(step) if count >= MIN_SHARE * len(steps) else None


def _month_numbers(dates: pd.DatetimeIndex) -> np.ndarray[Any, Any]:
    return np.asarray(12 * dates.year + dates.month, dtype=np.int64)


def _microseconds(dates: pd.DatetimeIndex) -> np.ndarray[Any, Any]:
    return np.asarray(dates.to_numpy().astype("datetime64[us]").astype(np.int64))
