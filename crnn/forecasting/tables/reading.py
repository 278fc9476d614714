"""Tables from text files such as CSV."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crnn.forecasting.tables import dialects
from crnn.forecasting.tables.dates import is_date
from crnn.forecasting.tables.numerals import is_gap, numeral
from crnn.forecasting.tables.table import Dialect, Table

if TYPE_CHECKING:
    import os

__all__ = ["read_csv"]

# A table of more columns takes more than a second to read, whatever its rows.
MOST_COLUMNS = 10_000
# Cells that rows may leave out in all. Those of whole rows are no more than the characters.
MOST_PADDED = 1_000_000
# Texts of fewer characters are kept once.
SHORT = 6


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
    each row's end are left out. There are at most 10 000 columns.

    Parameters
    ----------
    path : path-like
        "-" is the standard input. A file that ends in .gz, .bz2 or .xz is decompressed, unless its
        text is longer than 30 times the file and 8 MB.
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
    comments = array("q")
    rows = dialects.split(text, sep, path, comments)
    if dialects.EXCEL_HINT.fullmatch(text.partition("\n")[0]):
        rows = (row for row in rows if row.line > 1)
    first = next((row for row in rows if row.width), None)
    if first is None:
        raise ValueError(f"{path}: expected a table, got an empty file")
    columns = Columns(path, len(text) + MOST_PADDED)
    if header is False:
        columns.add(first)
    else:
        columns.names = _names(first, header, path)
        columns.check_width(first.line, len(columns.names))
    for row in rows:
        columns.add(row)
    names, lines = columns.names, np.array(columns.lines)
    if header is False:
        names = [str(place + 1) for place in range(len(columns.cells))]
    if not len(lines):
        beside = " but comments, lines that begin with '#'" if comments else ""
        raise ValueError(f"{path}: expected rows of numbers, got none{beside}")
    _check_unnamed(names, columns.cells, lines, path)
    # Of a column without a name one without values is the end of rows that end in a separator.
    kept = [place for place, name in enumerate(names) if name or any(columns.cells[place])]
    # One array: a Series takes some kilobytes, and a table may have thousands.
    cells = pd.DataFrame(columns.array(kept), dtype=object)
    cells.columns = [names[place] or f"column {place + 1}" for place in kept]
    table = Table(
        str(path), cells, lines, Dialect(sep, encoding, header is not False, decimal, thousands)
    )
    later = bisect_right(comments, lines[0])
    if later < len(comments):
        table.note(
            f"{path}: comment lines between or after the rows are left out: "
            f"{len(comments) - later}, the first in line {comments[later]}"
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


class Columns:
    """The cells of a table, column by column as its rows are read.

    Parameters
    ----------
    path : path-like
        For errors.
    most : int
        How many cells the table may have.

    Attributes
    ----------
    names : list of str
        Empty in a table without names.
    cells : list of list of str
        By column. Empty rows at the end are left out.
    lines : array of int
        The line of each row in the file.
    """

    def __init__(self, path: str | os.PathLike[str], most: int) -> None:
        self.names: list[str] = []
        self.cells: list[list[str]] = []
        self.lines = array("q")
        self._path, self._most = path, most
        self._empty_lines = array("q")
        # A text is an object of some 50 bytes, and tables have many like ones.
        self._short: dict[str, str] = {}

    def add(self, row: dialects.Row) -> None:
        """Add a row, or raise a ValueError if it has more cells than names."""
        width = row.width
        if not width:
            self._empty_lines.append(row.line)
            return
        if self.names and width > len(self.names):
            count = len(self.names)
            expected = f"{count} values" if count != 1 else "1 value"
            raise ValueError(
                f"{self._path}, line {row.line}: expected at most {expected}, one for each name, "
                f"got {width}"
            )
        columns = max(len(self.names), len(self.cells), width)
        self.check_width(row.line, columns)
        before = len(self.lines) + len(self._empty_lines)
        if columns * (before + 1) > self._most:
            raise ValueError(
                f"{self._path}, line {row.line}: expected rows of about as many values as there "
                f"are columns, got {columns} columns and many rows that are shorter"
            )
        while len(self.cells) < columns:
            self.cells.append([""] * len(self.lines))
        self.lines += self._empty_lines
        self.lines.append(row.line)
        short = self._short
        for column in self.cells:
            column.extend([""] * len(self._empty_lines))
        for column, cell in zip(self.cells, row.cells, strict=False):
            column.append(short.setdefault(cell, cell) if len(cell) < SHORT else cell)
        for column in self.cells[len(row.cells) :]:
            column.append("")
        self._empty_lines = array("q")

    def check_width(self, line: int, width: int) -> None:
        """Raise a ValueError if a table has too many columns."""
        if width > MOST_COLUMNS:
            raise ValueError(
                f"{self._path}, line {line}: expected at most {MOST_COLUMNS} columns, got {width}"
            )

    def array(self, kept: list[int]) -> np.ndarray[Any, Any]:
        """Return some columns as an array of objects (rows, columns)."""
        cells = np.empty((len(self.lines), len(kept)), object)
        for place, column in enumerate(kept):
            cells[:, place] = self.cells[column]
            self.cells[column] = []
        return cells


def _names(first: dialects.Row, header: bool | None, path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the columns."""
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
    return names[:width] + [""] * (len(names) - width)


def _check_unnamed(
    names: list[str],
    columns: list[list[str]],
    lines: np.ndarray[Any, Any],
    path: str | os.PathLike[str],
) -> None:
    """Check that columns right of the first name have names, if they have values.

    A value there may be the decimals of the one before it.
    """
    first = next((place for place, name in enumerate(names) if name), 0)
    for place in range(first, len(names)):
        filled = () if names[place] else [row for row, cell in enumerate(columns[place]) if cell]
        if filled:
            raise ValueError(
                f"{path}, line {lines[filled[0]]}: expected no value in column {place + 1}, "
                f"which has no name, got {columns[place][filled[0]]!r}"
            )
