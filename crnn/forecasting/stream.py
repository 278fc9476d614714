"""Predictions of a series that comes row by row."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting.cleaning import SHIFT_AFTER, Cleaned, Cleaner
from crnn.forecasting.columns import Columns
from crnn.forecasting.fitted import Fitted
from crnn.forecasting.recipe import Floats, differenced

__all__ = ["Stream"]


class _State(NamedTuple):
    """What a stream keeps from row to row: one object, so that it changes as a whole."""

    rows: int
    lagged: Floats
    known: Floats
    beginning: list[float]
    """The first numbers, until there is a cleaner."""
    cleaner: Cleaner | None


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
        lagged, known = np.empty((0, fitted.num_lagged)), np.empty((0, self._num_known))
        self._state = _State(0, lagged, known, [], None)

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
        series = _numbers("value", [value], 1)
        lagged_row = _numbers("lagged", lagged, self._fitted.num_lagged)
        known_row = _numbers("known", known, self._num_known)
        prediction, state = self._read(series, lagged_row, known_row)
        # The last thing: the stream is as before where anything is raised, such as by Ctrl-C.
        self._state = state
        return prediction

    def _read(self, series: Floats, lagged_row: Floats, known_row: Floats) -> tuple[float, _State]:
        """Return the prediction after a row, and the state."""
        fitted, recipe, before = self._fitted, self._fitted.recipe, self._state
        lagged = np.vstack([before.lagged, lagged_row])[-self._kept :]
        # The known columns of the first row were not passed, and are not read: see Fitted.skipped.
        known = np.vstack([before.known if before.rows else known_row, known_row])
        state = before._replace(rows=before.rows + 1, lagged=lagged, known=known[-self._kept - 1 :])
        if state.rows <= fitted.skipped:
            return float("nan"), state
        columns, length = Columns(state.lagged, state.known), len(lagged)

        lost = sum(recipe.differences)
        explained = columns.limited(fitted.column_limits).of_rows(length)[-1 - lost :]
        effects = fitted.coefficients.effects
        number, on_step = float(fitted.levels(series)[0]), 0.0
        if recipe.effects == "level":
            number -= float(explained[-1] @ effects)
        elif recipe.effects == "step" and len(explained) > lost:
            on_step = float(differenced(explained @ effects, recipe.differences)[-1])
        if before.cleaner is not None:
            cleaner = before.cleaner.copy()
            cleaner.push(number, on_step)
            del cleaner.values[: -self._kept]
        else:
            beginning = [*before.beginning, number]
            state = state._replace(beginning=beginning)
            if state.rows < fitted.needed:
                return float("nan"), state
            cleaner = fitted.cleaner(np.array(beginning))
        values = np.array(cleaner.values)
        cleaned = Cleaned.of(values, cleaner.offset).after(length - len(values))
        forecast: Floats = fitted.forecast_cleaned(cleaned, columns, np.array([length]), 1)
        prediction = float(forecast[0, 0])
        if self._floor is not None:
            prediction = max(prediction, self._floor)
        return prediction, state._replace(cleaner=cleaner)


def _numbers(name: str, values: npt.ArrayLike, count: int) -> Floats:
    """Return an array (count,) of finite numbers."""
    numbers = np.atleast_1d(np.asarray(values, np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        plural = "" if count == 1 else "s"
        raise ValueError(f"{name}: expected {count} finite number{plural}, got {values!r}")
    return numbers
