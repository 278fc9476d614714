"""What a forecaster has learned, and the forecasts that follow from it."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting import cleaning, linear
from crnn.forecasting.cleaning import Cleaned, Cleaner, Limits
from crnn.forecasting.columns import Columns
from crnn.forecasting.linear import Coefficients, Extrapolation
from crnn.forecasting.recipe import Floats, Recipe
from crnn.networks import GRU, LSTM, RNN

__all__ = ["NO_ERRORS", "Fitted", "Scaling"]

NO_ERRORS = np.empty((0, 0), np.float32)

# The network reads numbers of at most so many standard deviations, and corrects by at most so many
# of the linear part's errors. What it learned from seldom goes further.
LARGEST_INPUT, LARGEST_CORRECTION = 10.0, 6.0
# Predictions of the network that are computed at once: this bounds memory.
AT_ONCE = 512


class Scaling(NamedTuple):
    """Means and standard deviations of what the network reads.

    Attributes
    ----------
    means, deviations : array (1 + columns,)
        Of the transformed series, then of each lagged and each known column. The deviation of a
        column that did not vary is 0, and the network reads 0.
    """

    means: Floats
    deviations: Floats

    @classmethod
    def of(cls, z: Floats, columns: Floats) -> "Scaling":
        """Return the scaling of a transformed series (time,) and its columns (time, columns)."""
        both = np.column_stack([z, columns])
        if not len(both):
            return cls(np.zeros(both.shape[1]), np.ones(both.shape[1]))
        deviations = both.std(axis=0)
        # A sum of rounded numbers need not be 0.
        deviations[deviations <= 1e-12 * np.abs(both).max(axis=0)] = 0.0
        if not deviations[0]:
            deviations[0] = 1.0
        return cls(both.mean(axis=0), deviations)

    def scaled(self, values: Floats, column: int | slice) -> Floats:
        """Return numbers of a column, or of several, as the network reads them."""
        deviations = self.deviations[column]
        inverse = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations != 0)
        return np.clip((values - self.means[column]) * inverse, -LARGEST_INPUT, LARGEST_INPUT)

    def inputs(
        self, z: Floats, columns: Floats, season: int, unknown: npt.NDArray[np.intp] | int = 0
    ) -> Floats:
        """Return what the network reads at each step.

        Parameters
        ----------
        z : array (..., time)
            The transformed series.
        columns : array (..., time, columns)
            The lagged columns of the step, and the known ones of the next.
        season : int
            Steps of a season, 0 for none.
        unknown : array (..., 1) of int
            How many of the first numbers of z are from before the series.

        Returns
        -------
        array (..., time, inputs)
            The scaled series; with a season also what the next number was a season before, 0 where
            that is unknown; the scaled columns.
        """
        scaled = self.scaled(z, 0)
        parts = [scaled]
        if season:
            places = np.arange(z.shape[-1]) + 1 - season
            before = scaled[..., np.maximum(places, 0)]
            parts.append(np.where(places >= unknown, before, 0.0))
        return np.concatenate([np.stack(parts, axis=-1), self.scaled(columns, slice(1, None))], -1)


@dataclass(frozen=True)
class Fitted:
    """A fitted forecaster.

    Attributes
    ----------
    recipe : Recipe
    found_season : int
        Steps of the season that was found, 0 for none. The recipe need not use it.
    coefficients : Coefficients
        The linear part.
    column_limits : array (2, lagged + known)
        Numbers of the further columns outside of these count as the limit.
    num_lagged : int
        How many of the further columns are known only afterwards.
    damping : float
        What remains of a trend after each step of a forecast.
    limits : Limits
        What is an exception.
    lowest : float
        With logarithms, lower numbers count as this one.
    scaling : Scaling
    residual_scale : float
        Standard deviation of what the linear part leaves over; the network predicts in this unit.
    window : int
        Steps that the network reads before each prediction.
    net : RNN, GRU or LSTM
    share : float
        Share of the network's correction that is added to the linear part.
    rows : int
        How many numbers the model was fitted to, or chosen by.
    errors : array (origins, steps) of float32
        Errors of forecasts of numbers that the model was not fitted to; see
        `crnn.forecasting.intervals`.
    """

    recipe: Recipe
    found_season: int
    coefficients: Coefficients
    column_limits: Floats
    num_lagged: int
    damping: float
    limits: Limits
    lowest: float
    scaling: Scaling
    residual_scale: float
    window: int
    net: RNN | GRU | LSTM
    share: float
    rows: int
    errors: npt.NDArray[np.float32]

    @property
    def num_columns(self) -> int:
        """How many further columns the model reads."""
        return len(self.scaling.means) - 1

    @property
    def context(self) -> int:
        """How many of the last numbers of a series, cleaned, a forecast can depend on."""
        recipe = self.recipe
        reach = sum(recipe.differences) + max(recipe.longest_lag, recipe.season)
        return max(self.window + reach, recipe.needed)

    @property
    def skipped(self) -> int:
        """How many of the first rows are not read: 1 if columns are known ahead.

        A stream gets those of the next row, so it never gets those of the first.
        """
        return int(self.num_columns > self.num_lagged)

    @property
    def needed(self) -> int:
        """Numbers that a prediction needs before it."""
        return self.recipe.needed + self.skipped

    @property
    def extrapolation(self) -> Extrapolation:
        """The linear part as a recursion on the series."""
        return Extrapolation.of(self.recipe, self.coefficients.slopes, self.damping)

    def levels(self, series: Floats) -> Floats:
        """Return a series, or its logarithms if the recipe takes them."""
        return np.log(np.maximum(series, self.lowest)) if self.recipe.log else series

    def explained(self, columns: Columns, length: int) -> tuple[Floats, Floats]:
        """Return what the further columns add to the level and to the step of each row, (length,).

        One of them is 0.
        """
        read = columns.limited(self.column_limits).of_rows(length)
        return linear.explained(read, self.recipe, self.coefficients.effects)

    def clean(self, series: Floats, columns: Columns) -> Cleaned:
        """Read a series (time,) and its columns: see `crnn.forecasting.cleaning`."""
        on_level, on_step = self.explained(columns, len(series))
        skipped = self.skipped
        cleaned = cleaning.clean(
            (self.levels(series) - on_level)[skipped:],
            self.extrapolation,
            self.limits,
            on_step[skipped:],
            season=self.recipe.season,
            centered=not self.recipe.differences,
        )
        return cleaned.after(skipped)

    def cleaner(self, beginning: Floats) -> Cleaner:
        """Return what reads a series row by row, after its first `recipe.needed` levels."""
        return Cleaner(
            self.extrapolation,
            self.limits,
            beginning,
            season=self.recipe.season,
            centered=not self.recipe.differences,
        )

    def with_limits(
        self, series: Floats, columns: Columns, usual: Floats, errors: Floats
    ) -> "Fitted":
        """Return this with limits by what it was fitted to.

        A series and its columns, its levels without exceptions, and the errors that are left there.
        """
        levels = self.levels(series) - self.explained(columns, len(series))[0]
        first = dataclasses.replace(self, limits=cleaning.first_limits(levels, errors, usual))
        limits = cleaning.limits_of(levels, first.clean(series, columns), usual)
        return dataclasses.replace(self, limits=limits)

    def forecast(
        self,
        series: Floats,
        columns: Columns,
        origins: npt.NDArray[np.intp],
        steps: int,
        share: float | None = None,
    ) -> Floats:
        """Forecast from each of several places in a series.

        Parameters
        ----------
        series : array (time,)
        columns : Columns
            The known ones of the steps too.
        origins : array (n,) of int
            Where the forecasts begin, each from `needed` on.
        steps : int
        share : float, optional
            In place of the share of the network that was chosen.

        Returns
        -------
        array (n, steps)
        """
        cleaned = self.clean(series, columns)
        parts = np.array_split(origins, max(1, len(origins) // AT_ONCE))
        return np.concatenate(
            [self.forecast_cleaned(cleaned, columns, part, steps, share) for part in parts]
        )

    def forecast_cleaned(
        self,
        cleaned: Cleaned,
        columns: Columns,
        origins: npt.NDArray[np.intp],
        steps: int,
        share: float | None = None,
    ) -> Floats:
        """Forecast as `forecast` does, from what `clean` has returned."""
        recipe, share = self.recipe, self.share if share is None else share
        columns = columns.limited(self.column_limits)
        on_level, on_step = linear.explained_ahead(
            columns, recipe, self.coefficients.effects, origins, steps
        )
        if share:
            values = self._corrected(cleaned, columns, origins, steps, share, on_step)
        else:
            before = cleaned.windows(origins, recipe.needed)
            values = linear.forecast(before, self.extrapolation, steps, on_step)
        if recipe.averaged_with:
            season = cleaned.windows(origins, recipe.averaged_with)
            values = (values + season[:, np.arange(steps) % recipe.averaged_with]) / 2
        return recipe.from_levels(values + cleaned.offsets[origins][:, None] + on_level)

    def _corrected(
        self,
        cleaned: Cleaned,
        columns: Columns,
        origins: npt.NDArray[np.intp],
        steps: int,
        share: float,
        on_step: Floats,
    ) -> Floats:
        """Return forecasts that the network has corrected, (origins, steps), of cleaned values."""
        recipe, extrapolation = self.recipe, self.extrapolation
        lost, reach = sum(recipe.differences), max(recipe.longest_lag, recipe.season)
        values = cleaned.windows(origins, self.context)
        length = values.shape[1]
        beside = columns.before(origins, self.window + reach)
        following = columns.ahead(origins, 0, steps + 1)
        # Rows of z that the network reads: as in training, those that the linear part can predict
        # from. There may be fewer than a window.
        skipped = max(recipe.longest_lag, 1) - 1
        for step in range(steps):
            available = origins + step - lost - self.skipped
            z = recipe.transform(values[:, step:])
            unknown = np.maximum(z.shape[1] - available, 0)[:, None]
            x = self.scaling.inputs(z, beside, recipe.season, unknown)[:, -self.window :]
            correction = self._outputs(x, np.clip(available - skipped, 0, self.window))
            z_next = linear.next_number(
                values[:, -recipe.needed :], extrapolation, step, on_step[:, step]
            )
            z_next = z_next + share * self.residual_scale * correction
            values = np.column_stack([values, z_next])
            beside = np.concatenate([beside[:, 1:], following[:, step + 1 : step + 2]], axis=1)
        return values[:, length:]

    def _outputs(self, x: Floats, counts: npt.NDArray[np.intp]) -> Floats:
        """Return the network's last output for the last `counts` steps of each row of x."""
        if (counts == x.shape[1]).all():
            last = self.net.predict(x.astype(np.float32))[:, -1, 0]
        else:
            # Sequences of different lengths begin at the first step.
            places = np.arange(x.shape[1]) + (x.shape[1] - counts)[:, None]
            places = np.minimum(places, x.shape[1] - 1)
            x = np.take_along_axis(x, places[..., None], axis=1)
            lengths = np.maximum(counts, 1)
            y = self.net.predict(x.astype(np.float32), lengths=lengths)
            last = np.where(counts > 0, y[np.arange(len(y)), lengths - 1, 0], 0.0)
        limit = LARGEST_CORRECTION
        outputs: Floats = np.clip(last.astype(np.float64), -limit, limit)
        return outputs
