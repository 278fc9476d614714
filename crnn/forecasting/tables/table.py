"""Tables as they are written: cells, and columns of them as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn.forecasting.tables.arranging import read_series
from crnn.forecasting.tables.number_columns import Column
from crnn.forecasting.tables.numerals import numeral, value

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from crnn.forecasting.recipe import Floats
    from crnn.forecasting.tables.rows import Rows

__all__ = ["Dialect", "Table"]


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
            Fields of `crnn.forecasting.tables.rows.Options`.

        Returns
        -------
        Rows

        Raises
        ------
        ValueError
            The rows are not as above. The sentence names the line.
        """
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
        return read_series(self, target, by=column, **options)

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = Column(list(self.cells[name]))
        return self._columns[name]

    def _refuse_number(
        self, name: str, wrong: np.ndarray[Any, Any], decimal: str, unit: str
    ) -> None:
        """Raise a ValueError that names the first of the rows whose cells are no such numbers."""
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
