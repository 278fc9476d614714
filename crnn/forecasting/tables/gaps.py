"""Missing rows and empty cells: refused by their first, or filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crnn.forecasting.tables.dates import Dates, format_dates
from crnn.forecasting.tables.frequency import Frequency, first_gap

if TYPE_CHECKING:
    from crnn.forecasting.recipe import Floats
    from crnn.forecasting.tables.rows import Options
    from crnn.forecasting.tables.table import Table

__all__ = ["without_empty_cells", "without_missing_dates"]

# Rows that may be filled in for each that is there: more means that a date is mistyped.
MAX_FILLED = 20
FILL_ADVICE = "--fill previous, linear or zero fills them"


def without_missing_dates(
    table: Table,
    frame: pd.DataFrame,
    frequency: Frequency | None,
    found: Dates,
    name: str,
    options: Options,
    whose: str,
) -> pd.DataFrame:
    """Return a frame with a row at each date, those that were missing with NaN.

    Parameters
    ----------
    table : Table
        For notes and errors.
    frame : DataFrame
        Of `arranging`, sorted by date.
    frequency : Frequency or None
        None: no step between the dates is common enough.
    found : Dates
        How the dates are written.
    name : str
        The column of dates.
    options : Options
    whose : str
        Which of several series, as " of shop 'north'", or "".

    Raises
    ------
    ValueError
        Dates are missing and not to be filled, or uneven.
    """
    index = pd.DatetimeIndex(frame["date"])
    if frequency is None:
        if len(index) < 2:
            return frame
        raise ValueError(
            f"{table.source}: expected dates evenly apart in {name!r}{whose}, got some "
            f"{_some_steps(index)} apart (--no-date takes the rows in order)"
        )
    gap = first_gap(index, frequency)
    if gap is None:
        return frame
    position, date, count = gap
    apart = f"{frequency}, as the model has learned" if options.frequency else str(frequency)
    place = frame["place"][position]
    shown = format_dates(pd.DatetimeIndex([date]), found.form, found.zone)[0]
    if count == 0:
        raise ValueError(
            f"{place}: expected dates {apart} in {name!r}{whose}, got {shown} "
            "(--no-date takes the rows in order)"
        )
    if options.fill is None:
        more = f", and {count - 1} more are missing" if count > 1 else ""
        raise ValueError(
            f"{place}: expected a row for {shown}{whose} before it, as dates are {apart}, "
            f"got none{more} ({FILL_ADVICE})"
        )
    if count > MAX_FILLED * len(frame):
        raise ValueError(
            f"{place}: expected at most {MAX_FILLED} missing dates a row{whose}, got {count} "
            f"missing for {len(frame)} rows, the first {shown}"
        )
    dates = frequency.between(index[0], index[-1])
    whole = frame.set_index("date").reindex(dates.rename("date"))
    whole["missing"] = ~whole.index.isin(index)
    whole["place"] = whole["place"].bfill()
    table.note(
        f"{table.source}: missing dates{whose} filled in by --fill {options.fill}: {count}, "
        f"from {shown} on"
    )
    return whole.reset_index()


def without_empty_cells(
    table: Table, frame: pd.DataFrame, count: int, options: Options, whose: str
) -> pd.DataFrame:
    """Return a frame with a number in each cell of the first `count` rows, those with a target.

    The other arguments are those of `without_missing_dates`. In columns known ahead, coming rows
    keep their empty cells, except those that are filled between others.

    Raises
    ------
    ValueError
        A cell is empty, and is not to be filled or has nothing to fill it from.
    """
    frame = frame.copy()
    for name in options.columns:
        values = frame[f"={name}"].to_numpy(np.float64).copy()
        last = pd.Series(values).last_valid_index()
        end = max(count, 0 if last is None else int(last) + 1) if name in options.known else count
        empty = np.isnan(values[:end])
        if options.fill is not None and empty.any():
            if "missing" in frame:
                empty &= ~frame["missing"].to_numpy(bool)[:end]
            missing = int(empty.sum())
            values[:end] = _filled(values[:end], options.fill, is_target=name == options.target)
            if missing:
                table.note(
                    f"{table.source}: empty cells of {name!r}{whose} filled by --fill "
                    f"{options.fill}: {missing}"
                )
        rest = np.flatnonzero(np.isnan(values[:count]))
        if len(rest):
            more = f" (and {len(rest) - 1} more)" if len(rest) > 1 else ""
            advice = FILL_ADVICE if options.fill is None else "nothing stands before it"
            raise ValueError(
                f"{frame['place'][rest[0]]}: expected a number in {name!r}{whose}, got a gap"
                f"{more} ({advice})"
            )
        frame[f"={name}"] = values
    return frame


def _filled(values: Floats, fill: str, *, is_target: bool) -> Floats:
    """Return a column (time,), filled; NaN stays where there is nothing to fill it from."""
    series = pd.Series(values)
    if fill == "zero" and is_target:
        filled = series.fillna(0.0)
    elif fill == "linear":
        filled = series.interpolate(limit_area="inside").ffill()
    else:
        filled = series.ffill()
    return np.asarray(filled, np.float64)


def _some_steps(index: pd.DatetimeIndex) -> str:
    """Return the first steps between dates in words."""
    steps = np.diff(index.to_numpy().astype("datetime64[us]").astype(np.int64))
    words = [
        str(Frequency("microseconds", step, "")).removesuffix(" apart")
        for step in list(dict.fromkeys(steps.tolist()))[:3]
    ]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
