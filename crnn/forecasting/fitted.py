"""What a forecaster has learned, and the forecasts that follow from it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.forecasting import linear
from crnn.forecasting.recipe import Floats, Recipe
from crnn.networks import GRU, LSTM, RNN

__all__ = ["Fitted", "Scaling"]


class Scaling(NamedTuple):
    """Means and standard deviations of what the network reads.

    Attributes
    ----------
    means, deviations : array (1 + features,)
        Of the transformed series, then of each feature.
    """

    means: Floats
    deviations: Floats

    @classmethod
    def of(cls, z: Floats, features: Floats) -> "Scaling":
        """Return the scaling of a transformed series (time,) and its features (time, columns)."""
        columns = np.column_stack([z, features])
        deviations = columns.std(axis=0)
        deviations[deviations == 0] = 1.0
        return cls(columns.mean(axis=0), deviations)

    def inputs(self, z: Floats, features: Floats, season: int) -> Floats:
        """Return what the network reads at each step.

        Parameters
        ----------
        z : array (..., time)
            The transformed series.
        features : array (..., time, columns)
        season : int
            Steps of a season, 0 for none.

        Returns
        -------
        array (..., time, inputs)
            The scaled series; with a season also what the next number was a season before, 0 where
            that is unknown; the scaled features.
        """
        scaled = (z - self.means[0]) / self.deviations[0]
        columns = [scaled]
        if season:
            unknown = np.zeros((*z.shape[:-1], season))
            columns.append(np.concatenate([unknown, scaled], axis=-1)[..., 1 : z.shape[-1] + 1])
        scaled_features = (features - self.means[1:]) / self.deviations[1:]
        return np.concatenate([np.stack(columns, axis=-1), scaled_features], axis=-1)


@dataclass(frozen=True)
class Fitted:
    """A fitted forecaster.

    Attributes
    ----------
    recipe : Recipe
    found_season : int
        Steps of the season that was found, 0 for none. The recipe need not use it.
    coefficients : array (lags + 1,)
        The linear part.
    scaling : Scaling
    residual_scale : float
        Standard deviation of what the linear part leaves over; the network predicts in this unit.
    window : int
        Steps that the network reads before each prediction.
    net : RNN, GRU or LSTM
    share : float
        Share of the network's correction that is added to the linear part.
    """

    recipe: Recipe
    found_season: int
    coefficients: Floats
    scaling: Scaling
    residual_scale: float
    window: int
    net: RNN | GRU | LSTM
    share: float

    @property
    def num_features(self) -> int:
        """How many further columns the network reads."""
        return len(self.scaling.means) - 1

    @property
    def context(self) -> int:
        """How many of the last numbers of a series a forecast can depend on."""
        return self.window + self.recipe.needed

    def forecast(
        self,
        series: Floats,
        features: Floats,
        origins: npt.NDArray[np.intp],
        steps: int,
        share: float | None = None,
    ) -> Floats:
        """Forecast from each of several places in a series.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns)
        origins : array (n,) of int
            Where the forecasts begin, each from `recipe.needed` on.
        steps : int
        share : float, optional
            In place of the share of the network that was chosen.

        Returns
        -------
        array (n, steps)
        """
        recipe, share = self.recipe, self.share if share is None else share
        length = min(self.context, int(origins.min()))
        before = origins[:, None] + np.arange(-length, 0)
        values: Floats = series[before]
        known = features[before]
        for _ in range(steps):
            z = recipe.transform(values)
            z_next = linear.predict(z, recipe, self.coefficients)[..., -1]
            if share:
                inputs = self.scaling.inputs(z, known[:, -z.shape[1] :], recipe.season)
                x = inputs[:, -self.window :].astype(np.float32)
                correction = self.net.predict(x)[:, -1, 0].astype(float)
                z_next = z_next + share * self.residual_scale * correction
            values = np.column_stack([values, recipe.restore(values, z_next)])
            # Features of the future are taken to stay as they are.
            known = np.concatenate([known, known[:, -1:]], axis=1)
        return values[:, length:]
