"""Rows of a table, arranged as series: sorted by date, one a date, without gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crnn.forecasting.tables import date_columns, dates, gaps
from crnn.forecasting.tables.frequency import infer
from crnn.forecasting.tables.rows import Options, Rows

if TYPE_CHECKING:
    from crnn.forecasting.tables.table import Table

__all__ = ["read_series"]

# Columns that tell the rows of a year apart, where one of them is enough, and those of a day
PARTS_OF_YEARS, PARTS_OF_DAYS = ("month", "quarter", "week"), {"hour", "minute", "time"}


def read_series(
    table: Table, target: str, *, by: str | None = None, future: Table | None = None, **options: Any
) -> dict[str, Rows]:
    """Return the series in a table: one, or one for each value of a column.

    Parameters
    ----------
    table : Table
        Of `read_csv`. Its notes say what was done: sorted, filled, combined.
    target : str
        The column to forecast. Rows at the end where it is empty are coming rows.
    by : str, optional
        A column of names of series, such as shops. Default: there is one series, named "".
    future : Table, optional
        Coming rows: dates, names of series, and the columns that are known ahead.
    **options
        Fields of `Options`.

    Returns
    -------
    dict of Rows
        By name, in the order of their first rows.

    Raises
    ------
    ValueError
        A column is missing or unreadable, dates are doubled, missing or uneven, or cells are empty.
        The sentence names the line.
    """
    settings = Options(target, **options)
    if by is not None:
        table.check_name(by)
        if by in settings.columns:
            raise ValueError(f"id: expected another column than {by!r}, which is read as numbers")
    date = None
    if settings.use_dates:
        excluded = {*settings.columns, *([] if by is None else [by])}
        date = settings.date or date_columns.find(table, excluded, settings.date_format)
    frame, found = _frame(table, settings, future, by, date)
    if by is None:
        return {"": _series(table, frame, found, date or "", settings, "")}
    empty = np.flatnonzero(frame["id"].to_numpy() == "")
    if len(empty):
        raise ValueError(f"{frame['place'].iloc[empty[0]]}: expected a value in {by!r}, got a gap")
    return {
        str(name): _series(table, part, found, date or "", settings, f" of {by} {name!r}")
        for name, part in frame.groupby("id", sort=False)
    }


def _frame(
    table: Table, options: Options, future: Table | None, by: str | None, date: str | None
) -> tuple[pd.DataFrame, dates.Dates | None]:
    """Return the rows of both tables as one frame, and how their dates are written.

    Its columns are "place", where a row stands; "future", whether it is of that table; "date" and
    "id", if there are any; and those of numbers, with "=" before their names, because one may be
    named as one of these.
    """
    for name in options.columns:
        table.check_name(name)
    frame, found = _frame_of(table, options, date, by, with_target=True)
    if future is None:
        return frame, found
    coming, other = _frame_of(future, options, date, by, with_target=False)
    if by is not None and not coming["id"].isin(frame["id"]).all():
        row = coming[~coming["id"].isin(frame["id"])].iloc[0]
        got = repr(row["id"]) if row["id"] else "a gap"
        raise ValueError(
            f"{row['place']}: expected a value in {by!r} that {table.source} has, got {got}"
        )
    for sentence in future.notes:
        table.note(sentence)
    if found is not None and other is not None:
        if bool(found.zone) != bool(other.zone):
            raise ValueError(
                f"{future.source}: expected dates {'with' if found.zone else 'without'} an offset "
                f"from UTC in {date!r}, as in {table.source}, got others"
            )
        coming["date"] += pd.Timedelta(dates.minutes(found.zone) - dates.minutes(other.zone), "min")
    return pd.concat([frame, coming], ignore_index=True), found


def _frame_of(
    table: Table, options: Options, date: str | None, by: str | None, *, with_target: bool
) -> tuple[pd.DataFrame, dates.Dates | None]:
    """Return the rows of a table as `_frame` has them."""
    columns: dict[str, Any] = {"place": [table.place(row) for row in range(len(table))]}
    columns["future"] = not with_target
    found = None
    # As an array: pandas compares column by column.
    blank = (table.cells.to_numpy() == "").all(axis=1)
    if date is not None:
        found, cells = date_columns.read(
            table,
            date,
            day_first=options.day_first,
            usual_day_first=options.usual_day_first,
            date_format=options.date_format,
        )
        columns["date"] = found.dates
        wrong = np.flatnonzero(found.dates.isna() & ~blank)
        if len(wrong):
            cell = cells[wrong[0]]
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise ValueError(
                f"{table.place(wrong[0])}: expected a date in {date!r}, got "
                f"{repr(cell) if cell else 'a gap'}{more}"
            )
    if by is not None:
        table.check_name(by)
        columns["id"] = list(table.cells[by])
    for name in options.columns:
        if with_target or name in options.known:
            columns[f"={name}"] = table.numbers(name, gaps=True)
        else:
            columns[f"={name}"] = np.nan
    frame = pd.DataFrame(columns)
    # Between dated rows a blank line says nothing.
    return (frame[~blank] if date is not None else frame), found


def _series(
    table: Table,
    frame: pd.DataFrame,
    found: dates.Dates | None,
    name: str,
    options: Options,
    whose: str,
) -> Rows:
    """Return the series of a frame: sorted, combined, filled and checked."""
    frame, frequency = frame.reset_index(drop=True), None
    if found is not None:
        frame = _sorted(table, frame, name, whose)
        frame = _without_extra_rows(table, frame, options, whose)
        frame = _one_row_a_date(table, frame, name, options, whose)
        index = pd.DatetimeIndex(frame["date"])
        given = index[~frame["future"].to_numpy(bool)]
        frequency = options.frequency or infer(given if len(given) > 1 else index)
        frame = gaps.without_missing_dates(table, frame, frequency, found, name, options, whose)
    targets = frame[f"={options.target}"].to_numpy(np.float64)
    filled = np.flatnonzero(~np.isnan(targets))
    count = int(filled[-1]) + 1 if len(filled) else 0
    if not count:
        raise ValueError(f"{table.source}: expected numbers in {options.target!r}{whose}, got none")
    frame = gaps.without_empty_cells(table, frame, count, options, whose)
    values = frame[[f"={column}" for column in options.columns]].to_numpy(np.float64)
    known = 1 + len(options.known)
    return Rows(
        target=values[:count, 0].copy(),
        known=values[:, 1:known].copy(),
        lagged=values[:count, known:].copy(),
        dates=pd.DatetimeIndex(frame["date"]) if found is not None else None,
        date_name=name,
        form=found.form if found else "",
        zone=found.zone if found else "",
        day_first=found.day_first if found else None,
        frequency=frequency,
        places=frame["place"].tolist(),
        options=options,
    )


def _sorted(table: Table, frame: pd.DataFrame, name: str, whose: str) -> pd.DataFrame:
    """Return the rows in the order of their dates."""
    for _, rows in frame.groupby("future"):
        if not rows["date"].is_monotonic_increasing:
            order = "newest first" if rows["date"].is_monotonic_decreasing else "out of order"
            source = rows["place"].iloc[0].rpartition(", line ")[0]
            table.note(f"{source}: rows{whose} were {order}, and are sorted by {name!r}")
    return frame.sort_values("date", kind="stable", ignore_index=True)


def _without_extra_rows(
    table: Table, frame: pd.DataFrame, options: Options, whose: str
) -> pd.DataFrame:
    """Return the rows without coming rows that are there twice, or not after the data."""
    numbers = [f"={column}" for column in options.columns]
    last = frame["date"][frame[numbers[0]].notna()].max()
    if frame["future"].any():
        # Coming rows of the table that hold nothing but dates make room for those of the file.
        empty = ~frame["future"] & (frame["date"] > last) & frame[numbers].isna().all(axis=1)
        frame = frame[~empty].reset_index(drop=True)
    extra = frame["future"] & (frame["date"] <= last)
    if extra.any():
        table.note(
            f"{frame['place'][extra.idxmax()]}: {int(extra.sum())} coming rows{whose} are not "
            "after the data, and left out"
        )
        frame = frame[~extra].reset_index(drop=True)
    return frame


def _one_row_a_date(
    table: Table, frame: pd.DataFrame, name: str, options: Options, whose: str
) -> pd.DataFrame:
    """Return the rows with those of the same date combined, or refuse them."""
    doubled = frame["date"].duplicated()
    if not doubled.any():
        return frame
    row = int(doubled.idxmax())
    date = dates.format_dates(pd.DatetimeIndex([frame["date"][row]]), "time", "")[0].removesuffix(
        "T00:00:00"
    )
    if options.combine is None:
        parts = _parts(table, name, are_years=bool((frame["date"].dt.day_of_year == 1).all()))
        joined = f", or --date '{','.join([name, *parts])}' reads them together" if parts else ""
        by_id = "" if whose else "--id COLUMN makes one model a series, "
        raise ValueError(
            f"{frame['place'][row]}: expected each date once in {name!r}{whose}, got {date} "
            f"again ({by_id}--sum or --mean combines the rows of a date{joined})"
        )
    numbers = [f"={column}" for column in options.columns]
    part_empty = frame.groupby("date")[numbers[0]].transform(
        lambda v: v.isna().any() and v.notna().any()
    )
    if part_empty.any():
        row = int((part_empty & frame[numbers[0]].isna()).idxmax())
        raise ValueError(
            f"{frame['place'][row]}: expected a number in {options.target!r} to combine, got a gap"
        )
    groups = frame.groupby("date", sort=True)
    combined = groups.first().reset_index()
    for column in numbers:
        is_sum = options.combine == "sum" and column == numbers[0]
        values = groups[column].sum(min_count=1) if is_sum else groups[column].mean()
        combined[column] = values.to_numpy()
    table.note(
        f"{table.source}: {len(frame)} rows{whose} became {len(combined)}, one a date, by "
        f"--{options.combine}"
    )
    return combined


def _parts(table: Table, name: str, *, are_years: bool) -> list[str]:
    """Return the columns that may tell apart the rows of a date."""
    others = {other.lower(): other for other in table.names if other != name}
    parts = set(PARTS_OF_DAYS)
    if are_years:
        first = next((part for part in PARTS_OF_YEARS if part in others), "month")
        parts |= {"month", "day"} if first == "month" else {first}
    return [other for lower, other in others.items() if lower in parts]
