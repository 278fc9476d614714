"""Series of a table: target, further columns, dates, and how they are to be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crnn.forecasting.tables import dates

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from crnn.forecasting.recipe import Floats
    from crnn.forecasting.tables.frequency import Frequency

__all__ = ["Options", "Rows"]

FILLS, COMBINATIONS = ("previous", "linear", "zero"), ("sum", "mean")


@dataclass(frozen=True)
class Options:
    """How the rows of a table become a series.

    Parameters
    ----------
    target : str
        The column to forecast.
    known, lagged : sequence of str
        Further columns: known ahead, and known only afterwards.
    date : str, optional
        The column of dates; several separated by commas are read side by side. Default: found.
    use_dates : bool
        False: the rows are taken in order.
    date_format : str, optional
        As of `strptime`, or "epoch" or "epoch-ms".
    day_first : bool, optional
        Whether 01/02/2023 is in February. Default: found.
    usual_day_first : bool, optional
        The same where no date shows it. Default: such dates are refused.
    frequency : Frequency, optional
        How far apart the rows have to be. Default: found.
    fill : {"previous", "linear", "zero"}, optional
        What stands in missing rows and empty cells. Default: they are refused. "zero" holds for the
        target: further columns get what the row before has.
    combine : {"sum", "mean"}, optional
        What the rows of one date become: their targets' sum or mean, and the means of further
        columns. Default: they are refused.
    """

    target: str
    known: Sequence[str] = ()
    lagged: Sequence[str] = ()
    date: str | None = None
    use_dates: bool = True
    date_format: str | None = None
    day_first: bool | None = None
    usual_day_first: bool | None = None
    frequency: Frequency | None = None
    fill: str | None = None
    combine: str | None = None

    def __post_init__(self) -> None:
        for name, choices in (("fill", FILLS), ("combine", COMBINATIONS)):
            chosen = getattr(self, name)
            if chosen is not None and chosen not in choices:
                raise ValueError(f"{name}: expected {', '.join(choices)}, got {chosen!r}")
        names = [self.target, *self.known, *self.lagged]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"columns: expected each name once in target, known and lagged, got {twice!r} twice"
            )

    @property
    def columns(self) -> list[str]:
        """The columns of numbers, the target first."""
        return [self.target, *self.known, *self.lagged]


@dataclass
class Rows:
    """A series from a table.

    Parameters
    ----------
    target : array (time,)
    known : array (time + coming, columns)
        NaN in coming rows where a cell is empty.
    lagged : array (time, columns)
    dates : DatetimeIndex or None
        Of all rows, coming ones included. Without a zone.
    date_name : str
        The column of dates, or "".
    form, zone : str
        How dates are written, see `crnn.forecasting.tables.dates.Dates`.
    day_first : bool or None
        Whether dates such as 01/02/2023 were read as in February; None: there are none.
    frequency : Frequency or None
    places : list of str
        Where each row stands in its file.
    options : Options
    """

    target: Floats
    known: Floats
    lagged: Floats
    dates: pd.DatetimeIndex | None
    date_name: str
    form: str
    zone: str
    day_first: bool | None
    frequency: Frequency | None
    places: list[str] = field(repr=False)
    options: Options = field(repr=False)

    def __len__(self) -> int:
        """Return how many rows have a target."""
        return len(self.target)

    @property
    def coming(self) -> int:
        """How many rows at the end have no target."""
        return len(self.known) - len(self.target)

    def columns(self, end: int | None = None) -> tuple[Floats | None, Floats | None]:
        """Return what `Forecaster.fit` reads beside the target: `lagged` and `known`, or None.

        Parameters
        ----------
        end : int, optional
            How many rows. Default: those that have a target.

        Returns
        -------
        lagged : array (end, columns) or None
        known : array (end, columns) or None
        """
        end = len(self) if end is None else end
        lagged = self.lagged[:end] if self.options.lagged else None
        return lagged, self.known[:end] if self.options.known else None

    def labels(self) -> list[str] | None:
        """Return the dates of the rows that have a target, as they are written.

        Returns
        -------
        list of str or None
            None: there are no dates.
        """
        if self.dates is None:
            return None
        return dates.format_dates(self.dates[: len(self)], self.form, self.zone)

    def coming_dates(self, steps: int) -> pd.DatetimeIndex | None:
        """Return the dates of the steps after the last target.

        Parameters
        ----------
        steps : int

        Returns
        -------
        DatetimeIndex or None
            None: there are no dates.

        Raises
        ------
        ValueError
            There is one row, so the steps between dates are unknown.
        """
        if self.dates is None:
            return None
        if self.frequency is None:
            raise ValueError(
                f"{self.places[-1]}: expected at least 2 dates to find the next ones from, got 1"
            )
        return self.frequency.after(self.dates[len(self) - 1], steps)

    def coming_labels(self, steps: int) -> list[str] | None:
        """Return the dates of the steps after the last target, as they are written.

        Parameters
        ----------
        steps : int

        Returns
        -------
        list of str or None
            None: there are no dates.

        Raises
        ------
        ValueError
            As in `coming_dates`.
        """
        coming = self.coming_dates(steps)
        return None if coming is None else dates.format_dates(coming, self.form, self.zone)

    def known_through(self, steps: int) -> Floats | None:
        """Return the columns known ahead through so many coming rows.

        Parameters
        ----------
        steps : int

        Returns
        -------
        array (time + steps, columns) or None
            None: there are no such columns.

        Raises
        ------
        ValueError
            There are fewer, or a cell is empty.
        """
        names = self.options.known
        if not names:
            return None
        wanted = self.known[len(self) : len(self) + steps]
        full = np.asarray(~np.isnan(wanted).any(axis=1))
        count = int(np.argmin(full)) if not full.all() else len(full)
        if count < steps:
            last = self.places[min(len(self) + count, len(self.places)) - 1]
            raise ValueError(
                f"{last}: expected {steps} coming {'row' if steps == 1 else 'rows'} with "
                f"{', '.join(map(repr, names))} after it, got {count} (at the end of the data with "
                f"{self.options.target!r} empty, or by --future)"
            )
        return self.known[: len(self) + steps]
