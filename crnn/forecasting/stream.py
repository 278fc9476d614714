"""Predictions of a series that comes row by row."""

import numpy as np
import numpy.typing as npt

from crnn.forecasting.cleaning import SHIFT_AFTER, Cleaned, Cleaner
from crnn.forecasting.columns import Columns
from crnn.forecasting.fitted import Fitted
from crnn.forecasting.recipe import Floats, differenced

__all__ = ["Stream"]


class Stream:
    """A forecaster that reads a series row by row, and predicts the next number after each.

    `Forecaster.stream` makes streams. The predictions are those of `Forecaster.predict`, but for
    rounding. The memory it takes does not grow.
    """

    def __init__(self, fitted: Fitted, floor: float | None) -> None:
        self._fitted, self._floor = fitted, floor
        self._num_known = fitted.num_columns - fitted.num_lagged
        # A forecast can depend on the context, and a change of level rewrites the last rows.
        self._kept = fitted.context + SHIFT_AFTER + 2
        self._rows = 0
        self._lagged = np.empty((0, fitted.num_lagged))
        self._known = np.empty((0, self._num_known))
        self._beginning: list[float] = []
        self._cleaner: Cleaner | None = None

    def step(self, value: float, lagged: npt.ArrayLike = (), known: npt.ArrayLike = ()) -> float:
        """Read a row, and predict the number of the next one.

        Parameters
        ----------
        value : float
            The number of this row.
        lagged : array (lagged columns,)
            The lagged columns of this row.
        known : array (known columns,)
            The known columns of the next row.

        Returns
        -------
        float
            NaN until enough rows have come.

        Raises
        ------
        ValueError, TypeError
            A shape or value does not fit; the stream is as before.
        """
        fitted, recipe = self._fitted, self._fitted.recipe
        series = _numbers("value", [value], 1)
        lagged_row = _numbers("lagged", lagged, fitted.num_lagged)
        known_row = _numbers("known", known, self._num_known)
        self._lagged = np.vstack([self._lagged, lagged_row])[-self._kept :]
        # The known columns of the first row were not passed, and are not read: see Fitted.skipped.
        rows = [self._known, known_row] if self._rows else [known_row, known_row]
        self._known = np.vstack(rows)[-self._kept - 1 :]
        self._rows += 1
        if self._rows <= fitted.skipped:
            return float("nan")
        columns, length = Columns(self._lagged, self._known), len(self._lagged)

        lost = sum(recipe.differences)
        explained = columns.limited(fitted.column_limits).of_rows(length)[-1 - lost :]
        effects = fitted.coefficients.effects
        number, on_step = float(fitted.levels(series)[0]), 0.0
        if recipe.effects == "level":
            number -= float(explained[-1] @ effects)
        elif recipe.effects == "step" and len(explained) > lost:
            on_step = float(differenced(explained @ effects, recipe.differences)[-1])
        if self._cleaner is not None:
            self._cleaner.push(number, on_step)
            del self._cleaner.values[: -self._kept]
        else:
            self._beginning.append(number)
            if self._rows < fitted.needed:
                return float("nan")
            beginning = np.array(self._beginning)
            self._cleaner = fitted.cleaner(beginning)
        values = np.array(self._cleaner.values)
        cleaned = Cleaned.of(values, self._cleaner.offset).after(length - len(values))
        forecast: Floats = fitted.forecast_cleaned(cleaned, columns, np.array([length]), 1)
        prediction = float(forecast[0, 0])
        return prediction if self._floor is None else max(prediction, self._floor)


def _numbers(name: str, values: npt.ArrayLike, count: int) -> Floats:
    """Return an array (count,) of finite numbers."""
    numbers = np.atleast_1d(np.asarray(values, np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        plural = "" if count == 1 else "s"
        raise ValueError(f"{name}: expected {count} finite number{plural}, got {values!r}")
    return numbers
