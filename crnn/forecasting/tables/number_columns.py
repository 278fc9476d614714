"""Columns of cells, read as numbers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crnn.forecasting.tables.numerals import (
    AMBIGUOUS,
    GAPS,
    PLAIN,
    Evidence,
    Numeral,
    decimal_evidence,
    numeral,
    value,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from crnn.forecasting.recipe import Floats

__all__ = ["Column", "Reading"]

# In a column of numbers, more than this share of a sample of cells are numbers.
MIN_SHARE, SAMPLE_SIZE = 0.5, 200


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
    cells : Series of str
    """

    def __init__(self, cells: pd.Series) -> None:
        lower = cells.str.lower()
        self.gaps: npt.NDArray[np.bool_] = lower.isin(GAPS).to_numpy(bool)
        if not self.gaps.all() and lower[~self.gaps].isin({"true", "false"}).all():
            cells = lower.replace({"true": "1", "false": "0"})
        self.cells = cells

    @cached_property
    def _is_plain(self) -> npt.NDArray[np.bool_]:
        """Which cells are gaps or numbers as a computer writes them."""
        plain: npt.NDArray[np.bool_] = self.cells.str.fullmatch(PLAIN).to_numpy(bool)
        return plain | self.gaps

    @cached_property
    def _numerals(self) -> list[Numeral | None]:
        return [
            None if gap else numeral(cell) for cell, gap in zip(self.cells, self.gaps, strict=True)
        ]

    @cached_property
    def is_numeric(self) -> bool:
        """Whether most cells that are no gaps are numbers, as a sample shows."""
        filled = np.flatnonzero(~self.gaps)
        if not len(filled):
            return False
        places = np.unique(np.linspace(0, len(filled) - 1, SAMPLE_SIZE).astype(np.intp))
        sample = self.cells.iloc[filled[places]]
        return sum(numeral(cell) is not None for cell in sample) > MIN_SHARE * len(sample)

    @cached_property
    def evidence(self) -> Evidence:
        """Which decimal sign the numbers show."""
        if not self._is_plain.all():
            return decimal_evidence(self._numerals)
        pointed = self.cells.str.contains(".", regex=False).to_numpy(bool) & ~self.gaps
        either = self.cells.str.lstrip("+-").str.fullmatch(AMBIGUOUS.pattern).to_numpy(bool)
        shown, open_ = np.flatnonzero(pointed & ~either), np.flatnonzero(pointed & either)
        return Evidence(
            {".": int(shown[0])} if len(shown) else {}, int(open_[0]) if len(open_) else None
        )

    def read(self, decimal: str, thousands: str | None) -> Reading:
        """Return the numbers, with a decimal sign and one sign of thousands, or any."""
        if decimal == "." and self._is_plain.all():
            values = self.cells.where(~self.gaps, "nan").astype(np.float64).to_numpy()
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
