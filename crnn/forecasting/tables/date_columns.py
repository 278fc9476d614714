"""Which column of a table holds its dates, and what they are."""

from __future__ import annotations

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

# Cells of a column that its family of formats is found from
SAMPLE_SIZE = 200
# Share of them that has to be of one family; of numbers such as years nearly all
MIN_SHARE, MIN_SHARE_OF_NUMBERS = 0.5, 0.9
# Words for a column that can hold nothing but dates
CERTAIN = {"date", "dates", "datetime", "timestamp", "ds", "datum", "fecha"}
YEARS = {"year", "years", "jahr", "ann\u00e9e", "annee", "a\u00f1o", "anno", *CERTAIN}


def find(table: Table, excluded: Collection[str]) -> str | None:
    """Return the column of dates; None: there is none.

    Parameters
    ----------
    table : Table
    excluded : collection of str
        Columns that are read as numbers or names.

    Raises
    ------
    ValueError
        There are several, or one that is named so cannot be read.
    """
    others = [name for name in table.names if name not in excluded]
    found = {name: family for name in others if (family := _family(table, name))}
    if len(found) > 1:
        # A year beside a date says nothing new.
        found = {name: family for name, family in found.items() if family != "year"} or found
    if len(found) > 1:
        named = [name for name in found if dates.is_named_like_dates(name)]
        if len(named) != 1:
            raise ValueError(
                f"{table.source}: expected one column of dates, got {_listed(found)} (--date says "
                "which, --no-date takes the rows in order)"
            )
        return named[0]
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
        if filled and dates.is_named_like_dates(name) and not table.is_numeric(name):
            table.note(
                f"{table.source}: {name!r} holds no dates that can be read: the rows are taken in "
                "order"
            )
    return None


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
    if any(":" in cell for cell in columns[-1].head(SAMPLE_SIZE)):
        *days, times = columns
        joined = _joined(days) if len(days) > 1 else days[0]
        return [f"{day} {time}".strip() for day, time in zip(joined, times, strict=True)]
    return _joined(columns)


def _joined(columns: Sequence[pd.Series]) -> list[str]:
    """Return year, month and day with dashes between them."""
    return ["-".join(filter(None, parts)) for parts in zip(*columns, strict=True)]


def _family(table: Table, name: str) -> str | None:
    family = _common_family(list(table.cells[name]), name, MIN_SHARE)
    if family and dates.FAMILIES[family][1]:
        cells = [cell for cell in table.cells[name] if not is_gap(cell)]
        words = set(name.lower().replace("_", " ").split())
        if _common_family(cells, name, MIN_SHARE_OF_NUMBERS) != family:
            return None
        if family == "year" and not words & YEARS:
            return None
    return family


def _common_family(cells: Sequence[str], name: str, share: float) -> str | None:
    """Return the family of formats of most cells."""
    filled = [cell for cell in cells if not is_gap(cell)]
    if not filled:
        return None
    places = np.unique(np.linspace(0, len(filled) - 1, min(SAMPLE_SIZE, len(filled))).astype(int))
    counts = Counter(family for place in places for family in dates.families(filled[place], name))
    if not counts:
        return None
    family, count = counts.most_common(1)[0]
    return family if count >= share * len(places) else None


def _listed(names: Collection[str]) -> str:
    *most, last = map(repr, names)
    return f"{', '.join(most)} and {last}"
