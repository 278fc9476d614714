"""Tables from text files such as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crnn.forecasting.tables import dialects
from crnn.forecasting.tables.dates import is_date
from crnn.forecasting.tables.numerals import is_gap, numeral
from crnn.forecasting.tables.table import Dialect, Table

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["read_csv"]


def read_csv(
    path: str | os.PathLike[str],
    *,
    sep: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
) -> Table:
    r"""Read a table from a text file: CSV of any separator, decimal sign and encoding.

    What is not given is found in the file. Where that leaves two readings, as of 1.234, the numbers
    are refused. Lines that begin with "#", blank lines on top and a separator at
    each row's end are left out.

    Parameters
    ----------
    path : path-like
        "-" is the standard input. A file that ends in .gz, .bz2 or .xz is decompressed.
    sep : str, optional
        Between the cells: one character, "tab" or "space".
    decimal : {".", ","}, optional
        The decimal sign.
    thousands : str, optional
        The sign between thousands.
    encoding : str, optional
        Default: that of the byte order mark, else UTF-8, else cp1252.
    header : bool, optional
        Whether the first row holds the names of the columns. False: they are named 1, 2, and so on.
        Default: it does, and one of numbers or dates is refused.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        The file holds no such table, or an argument is not as above. The sentence names the line
        of the file, and the option of the ``crnn`` command that is called as the argument here.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from crnn.forecasting import read_csv
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sales.csv"
    >>> _ = path.write_text("date;units\n02.01.2023;1.012,5\n13.01.2023;998\n")
    >>> table = read_csv(path)
    >>> table.names
    ['date', 'units']
    >>> table.numbers("units")
    array([1012.5,  998. ])
    """
    decimal, thousands = _signs(decimal, thousands)
    text, encoding = dialects.read_text(path, encoding)
    sep = dialects.find_separator(text) if sep is None else dialects.separator(sep)
    comments: list[int] = []
    rows = list(dialects.split(text, sep, path, comments))
    if dialects.EXCEL_HINT.fullmatch(text.partition("\n")[0]):
        rows = [row for row in rows if row.line > 1]
    while rows and not rows[-1].width:
        del rows[-1]
    while rows and not rows[0].width:
        del rows[0]
    if not rows:
        raise ValueError(f"{path}: expected a table, got an empty file")
    names, rows = _names(rows, header, path)
    if not rows:
        beside = " but comments, lines that begin with '#'" if comments else ""
        raise ValueError(f"{path}: expected rows of numbers, got none{beside}")
    width = len(names)
    for row in rows:
        if row.width > width:
            expected = f"{width} values" if width != 1 else "1 value"
            raise ValueError(
                f"{path}, line {row.line}: expected at most {expected}, one for each name, got "
                f"{row.width}"
            )
    columns = list(zip(*(_padded(row.cells, width) for row in rows), strict=True))
    _check_unnamed(names, columns, rows, path)
    cells = pd.DataFrame(
        {place: pd.Series(column, dtype=object) for place, column in enumerate(columns)}
    )
    # Of a column without a name one without values is the end of rows that end in a separator.
    kept = [place for place, name in enumerate(names) if name or any(columns[place])]
    cells = cells[kept]
    cells.columns = [names[place] or f"column {place + 1}" for place in kept]
    lines = np.array([row.line for row in rows])
    table = Table(
        str(path), cells, lines, Dialect(sep, encoding, header is not False, decimal, thousands)
    )
    later = [line for line in comments if line > lines[0]]
    if later:
        table.note(
            f"{path}: comment lines between or after the rows are left out: {len(later)}, the "
            f"first in line {later[0]}"
        )
    return table


def _signs(decimal: str | None, thousands: str | None) -> tuple[str | None, str | None]:
    """Return both signs, the decimal sign where thousands leave one only."""
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal: expected '.' or ',', got {decimal!r}")
    if thousands is None:
        return decimal, None
    thousands = dialects.WORDS.get(thousands.lower(), thousands)
    if thousands not in tuple(".,'\u2019 \u00a0\u2009\u202f"):
        raise ValueError(
            f"thousands: expected a comma, a point, a space or an apostrophe, got {thousands!r}"
        )
    if decimal is None and thousands in ".,":
        decimal = "," if thousands == "." else "."
    if decimal == thousands:
        raise ValueError(f"thousands: expected another sign than decimal, got {thousands!r} twice")
    return decimal, thousands


def _names(
    rows: list[dialects.Row], header: bool | None, path: str | os.PathLike[str]
) -> tuple[list[str], list[dialects.Row]]:
    """Return the names of the columns, and the rows below them."""
    first = rows[0]
    if header is False:
        width = max(row.width for row in rows)
        return [str(place + 1) for place in range(width)], rows
    filled = [cell for cell in first.cells if not is_gap(cell)]
    if header is None and filled and all(numeral(cell) or is_date(cell) for cell in filled):
        raise ValueError(
            f"{path}, line {first.line}: expected the names of the columns, got "
            f"{', '.join(map(repr, filled[:3]))} (--no-header reads a table without names, "
            "--header takes these for names)"
        )
    names = [" ".join(cell.split()) for cell in first.cells]
    places: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if name and name in places:
            raise ValueError(
                f"{path}, line {first.line}: expected each column's name once, got {name!r} for "
                f"the columns {places[name]} and {place}"
            )
        places[name] = place
    width = first.width
    # Rows without names at their end, or beyond it
    names = names[:width] + [""] * (len(names) - width)
    return names, rows[1:]


def _check_unnamed(
    names: list[str],
    columns: list[tuple[str, ...]],
    rows: list[dialects.Row],
    path: str | os.PathLike[str],
) -> None:
    """Check that columns right of the first name have names, if they have values.

    A value there may be the decimals of the one before it.
    """
    first = next((place for place, name in enumerate(names) if name), 0)
    for place in range(first, len(names)):
        filled = [row for row, cell in enumerate(columns[place]) if cell]
        if not names[place] and filled:
            raise ValueError(
                f"{path}, line {rows[filled[0]].line}: expected no value in column {place + 1}, "
                f"which has no name, got {columns[place][filled[0]]!r}"
            )


def _padded(cells: Sequence[str], width: int) -> list[str]:
    return [*cells[:width], *[""] * (width - len(cells))]
