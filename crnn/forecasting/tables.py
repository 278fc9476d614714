"""Tables from text files such as CSV (needs pandas, the ``cli`` extra)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn.forecasting import dialects

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd

    from crnn.forecasting.number_columns import Column
    from crnn.forecasting.recipe import Floats
    from crnn.forecasting.rows import Rows

__all__ = ["Dialect", "Table", "read_csv"]


class Dialect(NamedTuple):
    """How a table is written.

    Parameters
    ----------
    sep : str
        Between the cells of a row.
    encoding : str
    header : bool
        Whether the first row holds the names of the columns.
    decimal : str or None
        None: found when numbers are read.
    thousands : str or None
        None: any sign that is no decimal sign.
    """

    sep: str
    encoding: str
    header: bool
    decimal: str | None
    thousands: str | None


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

    What is not given is found by looking. Where that leaves two readings, as of 1.234, the table
    says so in place of choosing. Lines that begin with "#", blank lines on top and a separator at
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
    ImportError
        pandas is not installed.

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
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("CSV files need pandas: pip install 'crnn[cli]'") from None
    decimal, thousands = _signs(decimal, thousands)
    text, encoding = dialects.read_text(path, encoding)
    sep = dialects.find_separator(text) if sep is None else dialects.separator(sep)
    rows = list(dialects.split(text, sep, path))
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
        raise ValueError(f"{path}: expected rows of numbers, got none")
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
    comments = dialects.comments(text, sep)
    later = [line for line in comments if line > lines[0]]
    if later:
        table.note(
            f"{path}: comment lines between or after the rows are left out: {len(later)}, the "
            f"first in line {later[0]}"
        )
    return table


class Table:
    """A table as it is written, of `read_csv`.

    Parameters
    ----------
    source : str
        The file, for errors.
    cells : DataFrame
        The cells as they are written, without spaces around them.
    lines : array (rows,) of int
        The line of each row in the file.
    dialect : Dialect
        How the file is written.

    Attributes
    ----------
    usual_decimal : str or None
        The decimal sign where no number shows it. Default: such columns are refused.
    notes : list of str
        What was done that the file does not say, such as sorting: one sentence each.
    """

    def __init__(
        self, source: str, cells: pd.DataFrame, lines: np.ndarray[Any, Any], dialect: Dialect
    ) -> None:
        self.source = source
        self.cells = cells
        self.lines = lines
        self.dialect = dialect
        self.usual_decimal: str | None = None
        self.notes: list[str] = []
        self._columns: dict[str, Column] = {}
        if dialect.encoding in ("cp1252", "latin-1"):
            self.note(f"{source}: not in UTF-8, read as {dialect.encoding}")

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.cells)

    @property
    def names(self) -> list[str]:
        """The names of the columns in order."""
        return list(self.cells.columns)

    def note(self, sentence: str) -> None:
        """Add to the notes, once.

        Parameters
        ----------
        sentence : str
        """
        if sentence not in self.notes:
            self.notes.append(sentence)

    def place(self, row: int) -> str:
        """Return in words where a row stands.

        Parameters
        ----------
        row : int
            From 0.

        Returns
        -------
        str
            The file and the line.
        """
        return f"{self.source}, line {self.lines[row]}"

    def check_name(self, name: str) -> None:
        """Check that there is a column of a name.

        Parameters
        ----------
        name : str

        Raises
        ------
        ValueError
            There is none.
        """
        if name in self.names:
            return
        near = [other for other in self.names if other.lower() == name.strip().lower()]
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"{self.source}: expected a column {name!r}, got {', '.join(map(repr, self.names))}"
            f"{hint}"
        )

    def is_numeric(self, name: str) -> bool:
        """Return whether most values of a column are numbers.

        Parameters
        ----------
        name : str

        Returns
        -------
        bool
        """
        return self._column(name).is_numeric

    def numbers(self, name: str, *, gaps: bool = False) -> Floats:
        """Return a column of numbers.

        Parameters
        ----------
        name : str
        gaps : bool
            Whether cells without a value are allowed; they are NaN.

        Returns
        -------
        array (rows,)
            In the column's own unit: 5.3% is 5.3.

        Raises
        ------
        ValueError
            There is no such column, a value is no finite number, or its decimal sign is unclear.
        """
        self.check_name(name)
        column = self._column(name)
        decimal = self.decimal(name)
        reading = column.read(decimal, self.dialect.thousands)
        if len(reading.wrong):
            self._refuse_number(name, reading.wrong, decimal, reading.unit)
        missing = np.flatnonzero(column.gaps)
        if not gaps and len(missing):
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ValueError(
                f"{self.place(missing[0])}: expected a number in {name!r}, got a gap{more}"
            )
        if reading.unit == "%":
            self.note(f"{self.source}: {name!r} is read in percent: 5.3% is 5.3")
        return reading.values

    def decimal(self, name: str) -> str:
        """Return the decimal sign of a column.

        Parameters
        ----------
        name : str

        Returns
        -------
        {".", ","}
            The one that was given, or the one that the numbers of the table show.

        Raises
        ------
        ValueError
            They show both, or leave open what 1.234 is.
        """
        if self.dialect.decimal is not None:
            return self.dialect.decimal
        shown = self._shown_decimals(name)
        if len(shown) > 1:
            (first, one), (second, two) = shown["."], shown[","]
            raise ValueError(
                f"{self.place(two)}: expected the decimal sign of {self.cells[first][one]!r} in "
                f"line {self.lines[one]}, got {self.cells[second][two]!r} (--decimal says which is "
                "right)"
            )
        ambiguous = self._column(name).evidence.ambiguous
        if ambiguous is None or self._column(name).evidence.shown:
            return next(iter(shown), ".")
        cell = self.cells[name][ambiguous]
        if shown:
            sign, (other, row) = next(iter(shown.items()))
            example = f"as {self.cells[other][row]!r} in {other!r}"
        elif self.usual_decimal is not None:
            sign, example = self.usual_decimal, "as in the rows that the model has learned from"
        else:
            raise ValueError(
                f"{self.place(ambiguous)}: expected a clear decimal sign in {name!r}, got {cell!r} "
                "and the like (--decimal . or --decimal , says what it is)"
            )
        self.note(f"{self.source}: {cell!r} in {name!r} has the decimal sign {sign!r}, {example}")
        return sign

    def shown_decimal(self, name: str) -> str | None:
        """Return the decimal sign that was given or that numbers show; None: nothing shows it.

        Parameters
        ----------
        name : str

        Returns
        -------
        str or None
        """
        return self.dialect.decimal or next(iter(self._shown_decimals(name)), None)

    def unit(self, name: str) -> str:
        """Return the percent or currency sign of a column of numbers, or "".

        Parameters
        ----------
        name : str

        Returns
        -------
        str
        """
        return self._column(name).read(self.decimal(name), self.dialect.thousands).unit

    def _shown_decimals(self, name: str) -> dict[str, tuple[str, int]]:
        """Return by decimal sign the column and the row that show it first."""
        shown: dict[str, tuple[str, int]] = {}
        for other in (name, *self.names):
            column = self._column(other)
            if other == name or column.is_numeric:
                for sign, row in column.evidence.shown.items():
                    shown.setdefault(sign, (other, row))
        return shown

    def series(
        self,
        target: str,
        *,
        known: Sequence[str] = (),
        lagged: Sequence[str] = (),
        future: Table | None = None,
        **options: Any,
    ) -> Rows:
        """Return a series with its dates and further columns, as a `Forecaster` reads them.

        Rows are sorted by date. Doubled, missing and uneven dates and empty cells are refused where
        no option says what to do.

        Parameters
        ----------
        target : str
            The column to forecast. Rows at the end where it is empty are coming rows.
        known, lagged : sequence of str
            Further columns: known ahead, and known only afterwards.
        future : Table, optional
            Coming rows: their dates and known columns.
        **options
            Fields of `crnn.forecasting.rows.Options`.

        Returns
        -------
        Rows

        Raises
        ------
        ValueError
            The rows are not as above. The sentence names the line.
        """
        from crnn.forecasting.arranging import read_series

        return read_series(self, target, known=known, lagged=lagged, future=future, **options)[""]

    def series_by(self, column: str, target: str, **options: Any) -> dict[str, Rows]:
        """Return a series for each value of a column, such as one for each shop.

        Parameters
        ----------
        column : str
            The names of the series.
        target : str
            The column to forecast.
        **options
            The other arguments of `series`.

        Returns
        -------
        dict of Rows
            By name, in the order of their first rows.

        Raises
        ------
        ValueError
            As in `series`.
        """
        from crnn.forecasting.arranging import read_series

        return read_series(self, target, by=column, **options)

    def _column(self, name: str) -> Column:
        from crnn.forecasting.number_columns import Column

        if name not in self._columns:
            self._columns[name] = Column(self.cells[name])
        return self._columns[name]

    def _refuse_number(
        self, name: str, wrong: np.ndarray[Any, Any], decimal: str, unit: str
    ) -> None:
        from crnn.forecasting.numerals import numeral, value

        row = int(wrong[0])
        cell = self.cells[name][row]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        found = numeral(cell)
        what = "a number"
        if found is not None and found.unit != unit:
            what = f"numbers in {unit}"
        elif found is not None and value(found, decimal) is None:
            what = f"numbers with the decimal sign {decimal!r}"
        elif found is not None and np.isfinite(value(found, decimal) or 0.0):
            what = f"thousands separated by {self.dialect.thousands!r}"
        raise ValueError(f"{self.place(row)}: expected {what} in {name!r}, got {cell!r}{more}")


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
    from crnn.forecasting.dates import is_date
    from crnn.forecasting.numerals import is_gap, numeral

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
