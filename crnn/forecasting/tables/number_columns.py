"""Columns of cells, read as numbers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crnn.forecasting.tables.numerals import (
    AMBIGUOUS,
    PLAIN,
    Evidence,
    Numeral,
    decimal_evidence,
    is_gap,
    numeral,
    value,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from crnn.forecasting.recipe import Floats

__all__ = ["Column", "Reading"]

# In a column of numbers, more than this share of a sample of cells are numbers.
MIN_SHARE, SAMPLE_SIZE = 0.5, 200
TRUTHS = {"true": "1", "false": "0"}


class Reading(NamedTuple):
    """A column as numbers.

    Attributes
    ----------
    values : array (rows,)
        NaN where a cell is a gap or no number.
    wrong : array of int
        The rows whose cells are no finite numbers and no gaps.
    unit : str
        The percent or currency sign of the numbers, or "".
    """

    values: Floats
    wrong: npt.NDArray[np.intp]
    unit: str


class Column:
    """Cells of a column.

    Parameters
    ----------
    cells : list of str
        Not a Series: tables may have thousands of columns of a few rows.
    """

    def __init__(self, cells: list[str]) -> None:
        self.gaps: npt.NDArray[np.bool_] = np.array([is_gap(cell) for cell in cells], bool)
        self._filled = np.flatnonzero(~self.gaps)
        if len(self._filled) and all(cells[row].lower() in TRUTHS for row in self._filled):
            cells = [TRUTHS.get(cell.lower(), cell) for cell in cells]
        self.cells = cells

    @cached_property
    def _is_plain(self) -> bool:
        """Whether all cells are gaps or numbers as a computer writes them."""
        return all(PLAIN.fullmatch(self.cells[row]) for row in self._filled)

    @cached_property
    def _numerals(self) -> list[Numeral | None]:
        return [
            None if gap else numeral(cell) for cell, gap in zip(self.cells, self.gaps, strict=True)
        ]

    @cached_property
    def is_numeric(self) -> bool:
        """Whether most cells that are no gaps are numbers, as a sample shows."""
        if not len(self._filled):
            return False
        places = np.unique(np.linspace(0, len(self._filled) - 1, SAMPLE_SIZE).astype(np.intp))
        sample = [self.cells[row] for row in self._filled[places]]
        return sum(numeral(cell) is not None for cell in sample) > MIN_SHARE * len(sample)

    @cached_property
    def evidence(self) -> Evidence:
        """Which decimal sign the numbers show."""
        if not self._is_plain:
            return decimal_evidence(self._numerals)
        shown: dict[str, int] = {}
        ambiguous = None
        for row in map(int, self._filled):
            cell = self.cells[row]
            if "." not in cell:
                continue
            if not AMBIGUOUS.fullmatch(cell.lstrip("+-")):
                shown.setdefault(".", row)
            elif ambiguous is None:
                ambiguous = row
        return Evidence(shown, ambiguous)

    def read(self, decimal: str, thousands: str | None) -> Reading:
        """Return the numbers, with a decimal sign and one sign of thousands, or any."""
        if decimal == "." and self._is_plain:
            values = np.full(len(self.cells), np.nan)
            values[self._filled] = [float(self.cells[row]) for row in self._filled]
            return Reading(values, np.flatnonzero(np.isinf(values)), "")
        found = [
            None if number is None else value(number, decimal, thousands)
            for number in self._numerals
        ]
        values = np.array([np.nan if number is None else number for number in found])
        wrong = ~self.gaps & ~np.isfinite(values)
        units = [None if number is None else number.unit for number in self._numerals]
        unit = next(filter(None, units), "")
        # A currency sign may stand at the first number alone; per cent and plain numbers differ.
        allowed = {None, unit} if unit == "%" else {None, unit, ""}
        wrong |= np.array([other not in allowed for other in units])
        return Reading(values, np.flatnonzero(wrong), unit)
