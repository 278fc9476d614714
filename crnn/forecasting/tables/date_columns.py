"""Which column of a table holds its dates, and what they are."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from crnn.forecasting.tables import dates
from crnn.forecasting.tables.numerals import is_gap

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from crnn.forecasting.tables.table import Table

__all__ = ["date_names", "find", "read"]

# Cells of a column from which its family of formats is found
SAMPLE_SIZE = 200
# Share of them that has to be of one family; of numbers such as years nearly all
MIN_SHARE, MIN_SHARE_OF_NUMBERS = 0.5, 0.9
# Names of columns that can hold nothing but dates
CERTAIN = {"date", "dates", "datetime", "timestamp", "ds", "datum", "fecha"}
YEARS = {"year", "years", "jahr", "ann\u00e9e", "annee", "a\u00f1o", "anno", *CERTAIN}
# Put before the numbers of these columns, where columns are read side by side: 2023-Q1
SIGNS = {"quarter": "Q", "week": "W"}
CLOCK = {"hour", "minute", "second"}
# Numbers that are often dates whatever their column is named: 20230131, and since 1970
LIKELY = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|1\d{9}(?:\d{3})?(?:[.,]\d+)?"
)


def find(table: Table, excluded: Collection[str], date_format: str | None) -> str | None:
    """Return the column of dates; None: there is none.

    Parameters
    ----------
    table : Table
    excluded : collection of str
        Columns that are read as numbers or names.
    date_format : str, optional
        How dates are written.

    Raises
    ------
    ValueError
        There are several, or one that is named so cannot be read.
    """
    others = [name for name in table.names if name not in excluded]
    if date_format is not None:
        return _find_written(table, others, date_format)
    found = {name: family for name in others if (family := _family(table, name))}
    if len(found) > 1:
        # A year beside a date says nothing new.
        found = {name: family for name, family in found.items() if family != "year"} or found
    if len(found) > 1:
        return _named(table, found)
    if found:
        return next(iter(found))
    for name in others:
        filled = [cell for cell in table.cells[name] if not is_gap(cell)]
        if filled and name.lower() in CERTAIN:
            raise ValueError(
                f"{table.source}: expected dates in {name!r}, got {filled[0]!r} (--date-format "
                "says how they are written, as epoch for seconds since 1970; --no-date takes the "
                "rows in order)"
            )
        if filled and all(map(LIKELY.fullmatch, filled)):
            table.note(
                f"{table.source}: {name!r} might hold dates, as {filled[0]!r}, and is not read: "
                "the rows are taken in order (--date and --date-format read it)"
            )
        elif filled and dates.is_named_like_dates(name):
            table.note(
                f"{table.source}: {name!r} holds no dates that can be read: the rows are taken in "
                "order"
            )
    return None


def _find_written(table: Table, names: Sequence[str], date_format: str) -> str:
    """Return the column of dates that are written in a format."""
    found = []
    for name in names:
        sample = _sample([cell for cell in table.cells[name] if not is_gap(cell)])
        read = dates.read(sample, "", date_format=date_format).dates if sample else []
        if sum(date == date for date in read) > MIN_SHARE * len(sample):
            found.append(name)
    if not found:
        raise ValueError(
            f"{table.source}: expected a column of dates as {date_format!r}, got none (--no-date "
            "takes the rows in order)"
        )
    return found[0] if len(found) == 1 else _named(table, found)


def _named(table: Table, found: Collection[str]) -> str:
    """Return the one column of several that is named like dates."""
    named = [name for name in found if dates.is_named_like_dates(name)]
    if len(named) == 1:
        return named[0]
    *most, last = map(repr, found)
    raise ValueError(
        f"{table.source}: expected one column of dates, got {', '.join(most)} and {last} (--date "
        "says which, --no-date takes the rows in order)"
    )


def read(
    table: Table,
    name: str,
    *,
    day_first: bool | None,
    usual_day_first: bool | None,
    date_format: str | None,
) -> tuple[dates.Dates, list[str]]:
    """Return the dates of a column, and its cells.

    Parameters
    ----------
    table : Table
    name : str
        A column, or several separated by commas, such as one of days and one of times.
    day_first, usual_day_first, date_format
        As in `crnn.forecasting.tables.dates.read`.

    Raises
    ------
    ValueError
        There is no such column, or its cells are no dates.
    """
    cells = _cells(table, name)
    family = ""
    if date_format is None:
        family = _common_family(cells, f"date {name}", MIN_SHARE) or ""
        if not family:
            shown = next((cell for cell in cells if not is_gap(cell)), "gaps")
            raise ValueError(
                f"{table.source}: expected dates in {name!r}, got {shown!r} (--date-format says "
                "how they are written)"
            )
    try:
        found = dates.read(
            cells,
            family,
            day_first=day_first,
            usual_day_first=usual_day_first,
            date_format=date_format,
        )
    except ValueError as error:
        raise ValueError(f"{table.source}: {name!r}: {error}") from None
    return found, cells


def date_names(table: Table, name: str) -> list[str]:
    """Return the columns that a name of dates stands for."""
    if name in table.names:
        return [name]
    return [part.strip() for part in name.split(",")]


def _cells(table: Table, name: str) -> list[str]:
    """Return the cells of a column, or those of several side by side."""
    names = date_names(table, name)
    for part in names:
        table.check_name(part)
    columns = [table.cells[part] for part in names]
    if len(columns) == 1:
        return list(columns[0])
    clock = [part for part in names if part.lower() in CLOCK]
    if not clock and any(":" in cell for cell in columns[-1].head(SAMPLE_SIZE)):
        clock = names[-1:]
    days = _joined([column for column in columns if column.name not in clock], "-")
    if not clock:
        return days
    # An hour alone is a time, too.
    ends = ":00" if [part.lower() for part in clock] == ["hour"] else ""
    times = [time and time + ends for time in _joined([table.cells[part] for part in clock], ":")]
    return [f"{day} {time}".strip() for day, time in zip(days, times, strict=True)]


def _joined(columns: Sequence[pd.Series], sign: str) -> list[str]:
    """Return cells of several columns with a sign between them, as 2023-01 and 2023-Q1."""
    signs = [SIGNS.get(str(column.name).lower(), "") for column in columns]
    return [
        sign.join(
            (f"{before}{cell}" if before else cell.zfill(2)) if cell.isdigit() else cell
            for before, cell in zip(signs, row, strict=True)
            if cell
        )
        for row in zip(*columns, strict=True)
    ]


def _family(table: Table, name: str) -> str | None:
    """Return the family of formats of a column; None: it holds no dates."""
    family = _common_family(list(table.cells[name]), name, MIN_SHARE)
    if family in dates.NUMBERS:
        cells = [cell for cell in table.cells[name] if not is_gap(cell)]
        words = set(name.lower().replace("_", " ").split())
        is_plausible = family != "year" or words & YEARS
        if not is_plausible or _common_family(cells, name, MIN_SHARE_OF_NUMBERS) != family:
            return None
    return family


def _common_family(cells: Sequence[str], name: str, share: float) -> str | None:
    """Return the family of formats of most cells."""
    filled = [cell for cell in cells if not is_gap(cell)]
    if not filled:
        return None
    sample = _sample(filled)
    counts = Counter(family for cell in sample for family in dates.families(cell, name))
    if not counts:
        return None
    family, count = counts.most_common(1)[0]
    return family if count >= share * len(sample) else None


def _sample(cells: Sequence[str]) -> list[str]:
    """Return cells from all over a column."""
    places = np.linspace(0, len(cells) - 1, min(SAMPLE_SIZE, len(cells)))
    return [cells[place] for place in np.unique(places.astype(int))]
