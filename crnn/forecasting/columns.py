"""Further columns of a series: which row of them a prediction reads."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting.recipe import Floats

__all__ = ["Columns", "column_limits"]

# A column is mostly one number from this share of its rows on; others of it are no exceptions.
MOSTLY = 0.5
# A number is an exception if it is so many times further from the median than the share of the
# rows below, at least three, are not.
TIMES_LARGEST, EXCEPTIONS_SHARE, FEW_EXCEPTIONS = 4.0, 0.02, 3


class Columns(NamedTuple):
    """The further columns of a series.

    Attributes
    ----------
    lagged : array (time, columns)
        A row is read by the predictions of later rows.
    known : array (time or more, columns)
        A row is read by the prediction of that row and of later ones.
    """

    lagged: Floats
    known: Floats

    @classmethod
    def none(cls, rows: int) -> "Columns":
        """Return no further columns of a series of so many rows."""
        return cls(np.empty((rows, 0)), np.empty((rows, 0)))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return int(self.lagged.shape[1] + self.known.shape[1])

    def first(self, rows: int) -> "Columns":
        """Return the first rows."""
        return Columns(self.lagged[:rows], self.known[:rows])

    def limited(self, limits: Floats) -> "Columns":
        """Return columns whose numbers are within `limits` (2, columns)."""
        split = self.lagged.shape[1]
        return Columns(
            np.clip(self.lagged, *limits[:, :split]), np.clip(self.known, *limits[:, split:])
        )

    def of_rows(self, length: int) -> Floats:
        """Return what the predictions of rows 0 to length - 1 read, (length, columns).

        Row 0 reads the known columns of row 1: models skip it, see `Fitted.skipped`.
        """
        rows = np.arange(length)
        return self._read(np.maximum(rows - 1, 0), rows)

    def usual(self) -> "Columns":
        """Return columns within the limits that they have themselves."""
        return self.limited(column_limits(self))

    def to_learn_from(self) -> Floats:
        """Return what the predictions of all rows read, with the known columns of row 0 too."""
        read = self.of_rows(len(self.lagged))
        read[:1, self.lagged.shape[1] :] = self.known[:1]
        return read

    def ahead(self, origins: npt.NDArray[np.intp], back: int, steps: int) -> Floats:
        """Return what forecasts read, (origins, back + steps, columns).

        From `back` rows before each origin on. The lagged columns stay as they are at the origin.
        """
        rows = origins[:, None] + np.arange(-back, steps)
        return self._read(np.clip(rows - 1, 0, origins[:, None] - 1), np.maximum(rows, 0))

    def before(self, origins: npt.NDArray[np.intp], length: int) -> Floats:
        """Return what the network reads beside each of the last rows, (origins, length, columns).

        The lagged columns of that row, and the known columns of the next.
        """
        rows = origins[:, None] + np.arange(-length, 0)
        return self._read(np.maximum(rows, 0), rows + 1)

    def _read(self, lagged: npt.NDArray[np.intp], known: npt.NDArray[np.intp]) -> Floats:
        """Return these rows (...) of the lagged and of the known columns, (..., columns)."""
        last = len(self.known) - 1
        known = np.clip(known, min(1, last), last) if last >= 0 else known
        return np.concatenate(
            [
                self.lagged[lagged],
                self.known[known] if self.known.shape[1] else np.empty((*known.shape, 0)),
            ],
            axis=-1,
        )


def column_limits(columns: Columns) -> Floats:
    """Return the range of each column, widened by its own width, (2, columns).

    Numbers far outside of the others do not count for the range.
    """
    limits = [_range(column) for part in columns for column in part.T]
    return np.ascontiguousarray(np.array(limits).reshape(len(limits), 2).T)


def _range(column: Floats) -> tuple[float, float]:
    """Return the limits of a column."""
    _, counts = np.unique(column, return_counts=True)
    usual = column
    if counts.max() < MOSTLY * len(column):
        distances = np.abs(column - np.median(column))
        few = int(max(EXCEPTIONS_SHARE * len(column), FEW_EXCEPTIONS))
        largest = np.sort(distances)[-1 - min(few, len(column) // 8)]
        usual = column[distances <= TIMES_LARGEST * largest]
    low, high = float(usual.min()), float(usual.max())
    return low - (high - low), high + (high - low)
