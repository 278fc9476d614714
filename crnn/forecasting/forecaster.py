"""The class that users construct: it checks arguments, fits, forecasts and compares."""

import dataclasses
import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import checks, schedules
from crnn.forecasting import files, linear, selection
from crnn.forecasting.fitted import Fitted, Scaling
from crnn.forecasting.recipe import Floats, Recipe
from crnn.forecasting.seasons import find_seasons
from crnn.networks import GRU, LSTM, RNN, get_family
from crnn.optimizers import AdamW

__all__ = ["Forecaster", "load"]

# Numbers before the validation data that a recipe is fitted to
MIN_TRAINING_SIZE = 20
# Forecasts that `Forecaster.scores` compares, and predictions that `Forecaster.predict` computes
# at once: both bound memory.
SCORED_ORIGINS, PREDICTED_AT_ONCE = 500, 512
BATCH_SIZE = 32
LEARNING_RATE, WEIGHT_DECAY = 0.003, 0.01
# Steps of training where `epochs` is not given
UPDATES = 1500


class Forecaster:
    """A model of one series, with further columns that help to predict it.

    Parameters
    ----------
    hidden_size : int
        Hidden units of the network.
    window : int, optional
        Steps that the network reads before each prediction. Default: two seasons, from 24 to 200.
    season : int, optional
        Steps of a season, 0 for none. Default: found by autocorrelation.
    logarithms : bool
        Whether logarithms may be taken where that lowers the validation error. Pass False for a
        series that can reach zero later.
    epochs : int, optional
        Passes over the windows. Default: as many as make 1500 steps of training.
    seed : int, optional
    cell : {"rnn", "gru", "lstm"}
        The network's class: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.

    Raises
    ------
    ValueError, TypeError
        An argument is not as above.
    """

    def __init__(
        self,
        *,
        hidden_size: int = 32,
        window: int | None = None,
        season: int | None = None,
        logarithms: bool = True,
        epochs: int | None = None,
        seed: int | None = 0,
        cell: str = "rnn",
    ) -> None:
        self.hidden_size = checks.integer("hidden_size", hidden_size, at_least=1)
        self.window = None if window is None else checks.integer("window", window, at_least=2)
        self.season = None if season is None else checks.integer("season", season, at_least=0)
        self.logarithms = checks.boolean("logarithms", logarithms)
        self.epochs = None if epochs is None else checks.integer("epochs", epochs, at_least=1)
        self.seed = None if seed is None else checks.integer("seed", seed, at_least=0)
        get_family(cell)
        self.cell = cell
        self._fitted: Fitted | None = None

    @property
    def fitted(self) -> Fitted:
        """What `fit` has learned; an AttributeError before. `load` assigns it."""
        if self._fitted is None:
            raise AttributeError("this Forecaster has learned nothing yet: call fit first")
        return self._fitted

    @fitted.setter
    def fitted(self, fitted: Fitted) -> None:
        self._fitted = fitted

    @property
    def recipe(self) -> Recipe:
        """How the series is transformed, and the lags that predict it."""
        return self.fitted.recipe

    @property
    def found_season(self) -> int:
        """Steps of the season that was found, 0 for none. The recipe need not use it."""
        return self.fitted.found_season

    @property
    def share(self) -> float:
        """Share of the network's correction that is added: 0 where the network does not help."""
        return self.fitted.share

    @property
    def net(self) -> RNN | GRU | LSTM:
        """The network: an RNN, GRU or LSTM."""
        return self.fitted.net

    @property
    def num_features(self) -> int:
        """How many further columns the model reads."""
        return self.fitted.num_features

    @property
    def needed(self) -> int:
        """Numbers that a prediction needs before it."""
        return self.fitted.recipe.needed

    @property
    def context(self) -> int:
        """How many of the last numbers of a series a forecast can depend on."""
        return self.fitted.context

    def fit(
        self,
        series: npt.ArrayLike,
        features: npt.ArrayLike | None = None,
        *,
        horizon: int = 1,
        progress: bool | None = False,
    ) -> "Forecaster":
        """Choose a recipe for forecasts of so many steps, and train.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns), optional
            Known at each step, and not beyond the last.
        horizon : int
            Steps ahead for which the validation error is computed.
        progress : bool, optional
            Whether to show a progress bar, as in `RNN.fit`.

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        ValueError, TypeError
            The series is too short, or a shape, dtype or value does not fit.
        """
        series, features = _checked(series, features)
        horizon = checks.integer("horizon", horizon, at_least=1)
        held = selection.validation_size(len(series), horizon)
        first = len(series) - held
        if first < MIN_TRAINING_SIZE:
            raise ValueError(
                f"series: expected at least {MIN_TRAINING_SIZE + held} numbers to learn from, "
                f"got {len(series)}"
            )
        seasons = self._seasons(series, first)
        recipe = selection.choose_recipe(
            series,
            first,
            horizon,
            seasons=seasons,
            logarithms=bool(self.logarithms and series.min() > 0),
        )
        found_season = recipe.season or next(iter(seasons), 0)
        # Trained without the validation data, so that the share can be chosen there.
        fitted = self._train(series[:first], features[:first], recipe, found_season, progress)
        share = selection.choose_share(fitted, series, features, first, horizon)
        self.fitted = dataclasses.replace(fitted, share=share)
        return self

    def refit(self, series: npt.ArrayLike, features: npt.ArrayLike | None = None) -> "Forecaster":
        """Train again on a whole series, with the recipe and the share that `fit` has chosen.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns), optional

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or the recipe takes logarithms and a number is
            not above zero.
        """
        series, features = self._checked(series, features)
        fitted = self._train(series, features, self.recipe, self.found_season, False)
        self.fitted = dataclasses.replace(fitted, share=self.share)
        return self

    def forecast(
        self, series: npt.ArrayLike, steps: int, features: npt.ArrayLike | None = None
    ) -> Floats:
        """Return what follows a series.

        Parameters
        ----------
        series : array (time,)
            At least `needed` numbers.
        steps : int
            How many numbers to forecast, each from the forecasts before it.
        features : array (time, columns), optional
            Beyond the last step they are taken to stay as they are.

        Returns
        -------
        array (steps,) of float64

        Raises
        ------
        ValueError, TypeError
            The series is too short, a shape, dtype or value does not fit, or the recipe takes
            logarithms and a number is not above zero.
        """
        series, features = self._checked(series, features)
        steps = checks.integer("steps", steps, at_least=1)
        if len(series) < self.needed:
            raise ValueError(f"series: expected at least {self.needed} numbers, got {len(series)}")
        forecast: Floats = self.fitted.forecast(series, features, np.array([len(series)]), steps)[0]
        return forecast

    def predict(self, series: npt.ArrayLike, features: npt.ArrayLike | None = None) -> Floats:
        """Return the prediction of each number from those before it.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns), optional

        Returns
        -------
        array (time,) of float64
            The first `needed` are NaN.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or the recipe takes logarithms and a number is
            not above zero.
        """
        series, features = self._checked(series, features)
        predictions = np.full(len(series), np.nan)
        origins = np.arange(self.needed, len(series))
        for part in np.array_split(origins, max(1, len(origins) // PREDICTED_AT_ONCE)):
            if len(part):
                predictions[part] = self.fitted.forecast(series, features, part, 1)[:, 0]
        return predictions

    def scores(
        self,
        series: npt.ArrayLike,
        features: npt.ArrayLike | None = None,
        *,
        first: int,
        horizon: int,
    ) -> dict[str, tuple[float, float]]:
        """Compare with simple methods on the part of a series that begins at `first`.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns), optional
        first : int
            Where the part begins that the model was not fitted to.
            At least `needed`, and `horizon` + 20.
        horizon : int
            Steps of each forecast.

        Returns
        -------
        dict of (float, float)
            By method the root mean square error and the mean absolute error over all steps.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or the recipe takes logarithms and a number is
            not above zero.
        """
        series, features = self._checked(series, features)
        fitted = self.fitted
        horizon = checks.integer("horizon", horizon, at_least=1)
        lowest = max(self.needed, MIN_TRAINING_SIZE + horizon)
        first = checks.integer("first", first, at_least=lowest)
        if first > len(series) - horizon:
            raise ValueError(f"first: expected at most {len(series) - horizon}, got {first}")
        origins = selection.spread_origins(first, len(series), horizon, SCORED_ORIGINS)
        methods = {"crnn": fitted.forecast(series, features, origins, horizon)}
        if fitted.share:
            methods["its linear part alone"] = fitted.forecast(
                series, features, origins, horizon, share=0.0
            )
        methods["persistence"] = np.repeat(series[origins - 1][:, None], horizon, axis=1)
        season = fitted.found_season
        if season:
            back = np.arange(horizon) % season - season
            methods["same as a season before"] = series[origins[:, None] + back]
        order = selection.choose_order(series[:first], horizon)
        plain = selection.autoregression(order)
        coefficients = linear.fit(plain.transform(series[:first]), plain)
        methods[f"AR({order})"] = linear.forecast(series, plain, coefficients, origins, horizon)
        truth = selection.true_values(series, origins, horizon)
        return {
            name: (
                float(np.sqrt(np.mean((forecasts - truth) ** 2))),
                float(np.mean(np.abs(forecasts - truth))),
            )
            for name, forecasts in methods.items()
        }

    def save(self, path: str | os.PathLike[str], **said: Any) -> None:
        """Write the model to a file that `crnn.forecasting.load` reads.

        Parameters
        ----------
        path : path-like
            An existing file is replaced, whole or not at all.
        **said
            Anything else that the file should hold, of what JSON can hold.

        Raises
        ------
        ValueError, TypeError
            `said` is too long, or JSON cannot hold it.
        OSError
            The file cannot be written.
        """
        settings = {
            "hidden_size": self.hidden_size,
            "window": self.window,
            "season": self.season,
            "logarithms": self.logarithms,
            "epochs": self.epochs,
            "seed": self.seed,
            "cell": self.cell,
        }
        files.write(path, settings, self.fitted, said)

    def _checked(
        self, series: npt.ArrayLike, features: npt.ArrayLike | None
    ) -> tuple[Floats, Floats]:
        """Return a series and its features, checked against what the model was fitted to."""
        series, features = _checked(series, features)
        if features.shape[1] != self.num_features:
            raise ValueError(
                f"features: expected {self.num_features} columns, as the model has learned from, "
                f"got {features.shape[1]}"
            )
        if self.recipe.log and len(series) and series.min() <= 0:
            raise ValueError(
                "series: expected numbers above 0, for the model takes logarithms, "
                f"got {series.min():.6g}"
            )
        return series, features

    def _seasons(self, series: Floats, first: int) -> list[int]:
        """Return the seasons to try, from those given or found."""
        if self.season is None:
            return find_seasons(series)
        # A recipe needs at most a third of what it is fitted to, see selection.choose_recipe.
        longest = first // 3 - 1
        if self.season > longest:
            raise ValueError(
                f"season: expected at most {longest} steps, for there are {first} numbers before "
                f"the validation data, got {self.season}"
            )
        return [self.season] if self.season else []

    def _train(
        self,
        series: Floats,
        features: Floats,
        recipe: Recipe,
        found_season: int,
        progress: bool | None,
    ) -> Fitted:
        """Fit the linear part and the network to a series; the share is 1."""
        z = recipe.transform(series)
        features = features[-len(z) :]
        coefficients = linear.fit(z, recipe)
        scaling = Scaling.of(z, features)
        # The input of a step belongs to the residual of the next.
        first = recipe.longest_lag
        x = scaling.inputs(z, features, recipe.season)[first - 1 : -1]
        residuals = z[first:] - linear.predict(z, recipe, coefficients)[:-1]
        residual_scale = float(residuals.std()) or 1.0
        y = residuals[:, None] / residual_scale

        window = self.window or min(200, max(24, 2 * recipe.season))
        window = min(window, max(2, len(x) // 2))
        starts = np.arange(0, len(x) - window + 1, max(1, window // 8))
        steps = starts[:, None] + np.arange(window)
        batches = math.ceil(len(starts) / BATCH_SIZE)
        epochs = self.epochs or math.ceil(UPDATES / batches)
        net = get_family(self.cell)(x.shape[1], self.hidden_size, 1, seed=self.seed)
        # Before training the correction is 0.
        net.W_hy[...] = 0
        net.fit(
            x[steps].astype(np.float32),
            y[steps].astype(np.float32),
            epochs=epochs,
            batch_size=BATCH_SIZE,
            optimizer=AdamW(
                schedules.cosine(LEARNING_RATE, epochs * batches), weight_decay=WEIGHT_DECAY
            ),
            loss="huber",
            clip_norm=1.0,
            progress=progress,
        )
        return Fitted(
            recipe=recipe,
            found_season=found_season,
            coefficients=coefficients,
            scaling=scaling,
            residual_scale=residual_scale,
            window=window,
            net=net,
            share=1.0,
        )


def load(path: str | os.PathLike[str]) -> tuple[Forecaster, dict[str, Any]]:
    """Return the model that `Forecaster.save` wrote to a file, and what else the file holds.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    model : Forecaster
    said : dict
        The further arguments of `Forecaster.save`.

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
    OSError
        It cannot be opened.
    """
    settings, fitted, said = files.read(path)
    model = Forecaster(**settings)
    model.fitted = fitted
    return model, said


def _checked(series: npt.ArrayLike, features: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    """Return a series (time,) and its features (time, columns) as finite float64 numbers."""
    series = np.asarray(series)
    if series.ndim != 1 or series.dtype.kind not in "fiu":
        raise ValueError(
            f"series: expected numbers (time,), got {series.dtype} of shape {series.shape}"
        )
    series = series.astype(np.float64)
    features = np.empty((len(series), 0)) if features is None else np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) != len(series):
        raise ValueError(
            f"features: expected shape (time={len(series)}, columns), got {features.shape}"
        )
    for name, values in (("series", series), ("features", features)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or an infinity")
    return series, features
