"""The class that users construct: it checks arguments, fits, forecasts and compares."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn.forecasting import comparisons, files, intervals, selection
from crnn.forecasting.arguments import check_size, checked_columns, checked_series
from crnn.forecasting.columns import Columns
from crnn.forecasting.fitted import Fitted
from crnn.forecasting.fleets import Work, run_alone
from crnn.forecasting.preparation import prepared, robustly_explained
from crnn.forecasting.recipe import Floats, Recipe
from crnn.forecasting.seasons import find_seasons
from crnn.forecasting.stream import Stream
from crnn.forecasting.training import train
from crnn.networks import GRU, LSTM, RNN, get_family

__all__ = ["Forecaster", "load"]

# Numbers before the validation data that a recipe is fitted to
MIN_TRAINING_SIZE = 10
# Forecasts that `Forecaster.scores` compares
SCORED_ORIGINS = 500


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
        Whether logarithms may be taken where that lowers the validation error, and no number is 0
        or less, wild readings aside. In later rows, numbers below half of the lowest one that the
        model was fitted to then count as that.
    epochs : int, optional
        Passes over the windows. Default: as many as make 1500 steps of training.
    seed : int, optional
    cell : {"rnn", "gru", "lstm"}
        The network's class: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.
    floor : float, optional
        Lowest forecast: 0 for counts. Lower ones are raised to it.

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
        floor: float | None = None,
    ) -> None:
        self.hidden_size = checks.integer("hidden_size", hidden_size, at_least=1)
        self.window = None if window is None else checks.integer("window", window, at_least=2)
        self.season = None if season is None else checks.integer("season", season, at_least=0)
        self.logarithms = checks.boolean("logarithms", logarithms)
        self.epochs = None if epochs is None else checks.integer("epochs", epochs, at_least=1)
        self.seed = None if seed is None else checks.integer("seed", seed, at_least=0)
        get_family(cell)
        self.cell = cell
        self.floor = None if floor is None else checks.number("floor", floor)
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
    def used_window(self) -> int:
        """Steps that the network reads before each prediction."""
        return self.fitted.window

    @property
    def num_lagged(self) -> int:
        """How many further columns the model reads that are known only afterwards."""
        return self.fitted.num_lagged

    @property
    def num_known(self) -> int:
        """How many further columns the model reads that are known ahead."""
        return self.fitted.num_columns - self.fitted.num_lagged

    @property
    def needed(self) -> int:
        """Numbers that a prediction needs before it."""
        return self.fitted.needed

    def fit(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
        *,
        horizon: int = 1,
        progress: bool | None = False,
    ) -> "Forecaster":
        """Choose a recipe for forecasts of so many steps, and train.

        Wild readings and changes of level do not count: see `wild`.

        Parameters
        ----------
        series : array (time,)
        lagged : array (time, columns), optional
            Further columns that are known only afterwards, such as the weather. The prediction of a
            row reads their values in earlier rows.
        known : array (time, columns), optional
            Further columns that are known ahead, such as prices and holidays. The prediction of a
            row reads their values in that row.
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
        self.fitted = run_alone(self.fitting(series, lagged, known, horizon=horizon), progress)
        return self

    def fitting(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
        *,
        horizon: int = 1,
    ) -> Work[Fitted]:
        """Fit as `fit` does, but leave the training of each network to the caller.

        `Panel.fit` trains the networks of many series together.

        Parameters
        ----------
        series : array (time,)
        lagged, known : array (time, columns), optional
        horizon : int
            As in `fit`.

        Returns
        -------
        Fitted
            The value of `fitted`, which is not assigned.

        Yields
        ------
        Training
            A network, which has to be trained before the generator goes on.

        Raises
        ------
        ValueError, TypeError
            As in `fit`, from the first step of the generator.
        """
        values = checked_series(series)
        check_size(values)
        columns = checked_columns(values, lagged, known)
        horizon = checks.integer("horizon", horizon, at_least=1)
        held = selection.validation_size(len(values), horizon)
        first = len(values) - held
        if first < MIN_TRAINING_SIZE:
            raise ValueError(
                f"series: expected at least {MIN_TRAINING_SIZE + held} numbers to learn from, "
                f"got {len(values)}"
            )
        read = columns.usual().to_learn_from()
        # A wild reading would hide a season, and so would what the columns explain.
        clean = prepared(values, read, 0)
        seasons = self._seasons(clean - robustly_explained(clean, read), first)
        clean = prepared(values, read, seasons[0] if seasons else 0)
        recipes = selection.choose_recipes(
            clean,
            columns,
            first,
            horizon,
            seasons=seasons,
            logarithms=bool(self.logarithms and clean.min() > 0),
        )
        lowest, chosen = math.inf, None
        for recipe in recipes:
            found_season = recipe.season or recipe.averaged_with or (seasons[0] if seasons else 0)
            # Trained without the validation data, so that the share can be chosen there.
            fitted = yield from self._train(
                values[:first], clean[:first], columns.first(first), recipe, found_season
            )
            share, error = selection.choose_share(fitted, clean, columns, first, horizon)
            if chosen is None or error < lowest * selection.NETWORK_ERROR_SHARE:
                lowest, chosen = error, dataclasses.replace(fitted, share=share)
        assert chosen is not None
        errors = yield from self._calibrate(chosen, clean, columns, horizon)
        return dataclasses.replace(chosen, errors=errors, rows=len(values))

    def refit(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
    ) -> "Forecaster":
        """Train again on a whole series, with the recipe and the share that `fit` has chosen.

        The network is not trained if the share is 0.

        Parameters
        ----------
        series : array (time,)
        lagged, known : array (time, columns), optional
            As in `fit`.

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        self.fitted = run_alone(self.refitting(series, lagged, known))
        return self

    def refitting(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
    ) -> Work[Fitted]:
        """Train again as `refit` does, but leave the training of each network to the caller.

        Parameters
        ----------
        series : array (time,)
        lagged, known : array (time, columns), optional
            As in `fit`.

        Returns
        -------
        Fitted
            As in `fitting`.

        Yields
        ------
        Training
            As in `fitting`.

        Raises
        ------
        ValueError, TypeError
            As in `refit`, from the first step of the generator.
        """
        values, columns = self._checked(series, lagged, known)
        recipe, season = self.recipe, self.found_season
        clean = prepared(values, columns.usual().to_learn_from(), season)
        fitted = yield from self._train(
            values, clean, columns, recipe, season, with_network=bool(self.share)
        )
        return dataclasses.replace(
            fitted,
            share=min(self.share, fitted.share),
            errors=intervals.errors_after(self.fitted, clean, columns, self.floor),
        )

    def forecast(
        self,
        series: npt.ArrayLike,
        steps: int,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
    ) -> Floats:
        """Return what follows a series.

        Parameters
        ----------
        series : array (time,)
            At least `needed` numbers.
        steps : int
            How many numbers to forecast, each from the forecasts before it.
        lagged : array (time, columns), optional
            Later steps read the last row.
        known : array (time + steps, columns), optional
            Those of the steps too. More rows are not read.

        Returns
        -------
        array (steps,) of float64

        Raises
        ------
        ValueError, TypeError
            The series is too short, or a shape, dtype or value does not fit.
        """
        steps = checks.integer("steps", steps, at_least=1)
        values, columns = self._checked(series, lagged, known, steps)
        if len(values) < self.needed:
            raise ValueError(f"series: expected at least {self.needed} numbers, got {len(values)}")
        forecast: Floats = self._forecast(values, columns, np.array([len(values)]), steps)[0]
        return forecast

    def intervals(
        self,
        series: npt.ArrayLike,
        steps: int,
        levels: Sequence[float] = (80, 95),
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
    ) -> Floats:
        """Return prediction intervals of what follows a series.

        Each number is inside its interval with about the probability `level`, as far as the errors
        of forecasts stay as they were on numbers that the model was not fitted to: see
        `crnn.forecasting.intervals`. If the series goes on after the rows of `fit` and `refit`, the
        errors there count, too. That is no statement on all steps of a forecast at once.

        Parameters
        ----------
        series : array (time,)
            At least `needed` numbers.
        steps : int
            Beyond those that `fit` has computed errors of, intervals widen as the errors of the
            linear part alone would.
        levels : sequence of float
            In percent.
        lagged, known : array, optional
            As in `forecast`.

        Returns
        -------
        array (levels, 2, steps) of float64
            The lower and the upper end. Intervals of a higher level contain those of a lower one,
            and they do not become narrower from step to step: with logarithms the ratio of their
            ends does not.

        Raises
        ------
        ValueError, TypeError
            As `forecast`; a level is not between 0 and 100; or the model comes from a file of
            version 1, which has no errors.
        """
        levels = intervals.checked_levels(levels)
        if not self.fitted.errors.size:
            raise ValueError(
                "intervals: expected a model with errors to calibrate them by, got one from a file "
                "without: fit it again"
            )
        forecast = self.forecast(series, steps, lagged, known)
        values, columns = self._checked(series, lagged, known, steps)
        factors = intervals.changes_since(self.fitted, values, columns, steps, self.floor)
        return intervals.bands(self.fitted, forecast, levels, factors, self.floor)

    def predict(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
    ) -> Floats:
        """Return the prediction of each number from those before it.

        It is what `forecast` returns for the rows before it: rows after it do not change it.

        Parameters
        ----------
        series : array (time,)
        lagged, known : array (time, columns), optional
            As in `fit`.

        Returns
        -------
        array (time,) of float64
            The first `needed` are NaN.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        values, columns = self._checked(series, lagged, known)
        predictions = np.full(len(values), np.nan)
        origins = np.arange(self.needed, len(values))
        if len(origins):
            predictions[origins] = self._forecast(values, columns, origins, 1)[:, 0]
        return predictions

    def stream(self) -> Stream:
        """Return a stream, which reads a series row by row and predicts the next number.

        Returns
        -------
        Stream
            Its method `step(value, lagged=(), known=())` returns the prediction, as `predict` does.
        """
        return Stream(self.fitted, self.floor)

    def wild(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
    ) -> list[int]:
        """Return the rows that look wild: their numbers are far from their predictions.

        Forecasts read the prediction in place of a wild reading. After three rows that lie as far
        from their predictions the series has a new level, and forecasts follow it.

        Parameters
        ----------
        series : array (time,)
        lagged, known : array (time, columns), optional
            As in `fit`.

        Returns
        -------
        list of int
            From 0. Of a new level the first row.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        values, columns = self._checked(series, lagged, known)
        if len(values) < self.needed:
            return []
        return self.fitted.clean(values, columns).wild

    def scores(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None = None,
        known: npt.ArrayLike | None = None,
        *,
        first: int,
        horizon: int,
    ) -> dict[str, tuple[float, float]]:
        """Compare with simple methods on the part of a series that begins at `first`.

        Parameters
        ----------
        series : array (time,)
        lagged, known : array (time, columns), optional
            As in `fit`.
        first : int
            Where the part begins that the model was not fitted to. At least `needed`, and
            `horizon` + 10.
        horizon : int
            Steps of each forecast.

        Returns
        -------
        dict of (float, float)
            By method the root mean square error and the mean absolute error over all steps.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        values, columns = self._checked(series, lagged, known)
        fitted = self.fitted
        horizon = checks.integer("horizon", horizon, at_least=1)
        lowest = max(self.needed, MIN_TRAINING_SIZE + horizon)
        first = checks.integer("first", first, at_least=lowest)
        if first > len(values) - horizon:
            raise ValueError(f"first: expected at most {len(values) - horizon}, got {first}")
        origins = selection.spread_origins(first, len(values), horizon, SCORED_ORIGINS)
        methods = {"crnn": self._forecast(values, columns, origins, horizon)}
        if fitted.share:
            methods["its linear part alone"] = self._forecast(
                values, columns, origins, horizon, share=0.0
            )
        methods["persistence"] = np.repeat(values[origins - 1][:, None], horizon, axis=1)
        season = fitted.found_season
        if season:
            back = np.arange(horizon) % season - season
            methods["same as a season before"] = values[origins[:, None] + back]
        order = selection.choose_order(values[:first], horizon)
        methods[f"AR({order})"] = selection.autoregressive(values, order, first, origins, horizon)
        truth = selection.true_values(values, origins, horizon)
        return comparisons.scores(methods, truth)

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
        files.write(path, self.settings, self.fitted, said)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the constructor, by name."""
        return {
            "hidden_size": self.hidden_size,
            "window": self.window,
            "season": self.season,
            "logarithms": self.logarithms,
            "epochs": self.epochs,
            "seed": self.seed,
            "cell": self.cell,
            "floor": self.floor,
        }

    def _forecast(
        self,
        values: Floats,
        columns: Columns,
        origins: npt.NDArray[np.intp],
        steps: int,
        share: float | None = None,
    ) -> Floats:
        """Return forecasts from each of several places, (origins, steps), not below the floor."""
        forecasts = self.fitted.forecast(values, columns, origins, steps, share)
        return forecasts if self.floor is None else np.maximum(forecasts, self.floor)

    def _calibrate(
        self, fitted: Fitted, series: Floats, columns: Columns, horizon: int
    ) -> Work[npt.NDArray[np.float32]]:
        """Return the errors of forecasts by models that are fitted to what comes before each."""
        recipe, season = fitted.recipe, fitted.found_season
        places = intervals.places(fitted, len(series))
        steps = intervals.calibrated_steps(horizon, places[0], len(series))
        errors = []
        for place, origins in intervals.origins_of(places, len(series)):
            model = fitted
            if place != fitted.rows or not fitted.share:
                before, own = series[:place], columns.first(place)
                model = yield from self._train(
                    before, before, own, recipe, season, bool(fitted.share)
                )
                model = dataclasses.replace(model, share=min(fitted.share, model.share))
            errors.append(intervals.errors_of(model, series, columns, origins, steps, self.floor))
        return np.concatenate(errors)

    def _checked(
        self,
        series: npt.ArrayLike,
        lagged: npt.ArrayLike | None,
        known: npt.ArrayLike | None,
        steps: int = 0,
    ) -> tuple[Floats, Columns]:
        """Return a series and its columns, checked against what the model was fitted to."""
        fitted, values = self.fitted, checked_series(series)
        columns = checked_columns(values, lagged, known, steps)
        for name, got, expected in (
            ("lagged", columns.lagged.shape[1], fitted.num_lagged),
            ("known", columns.known.shape[1], self.num_known),
        ):
            if got != expected:
                plural = "" if expected == 1 else "s"
                raise ValueError(
                    f"{name}: expected {expected} column{plural}, as the model has learned from, "
                    f"got {got}"
                )
        return values, columns

    def _seasons(self, series: Floats, first: int) -> list[int]:
        """Return the seasons to try, from those given or found."""
        if self.season is None:
            return [season for season in find_seasons(series) if season <= first]
        if self.season > first:
            raise ValueError(
                f"season: expected at most {first} steps, as many as there are numbers before the "
                f"validation data, got {self.season}"
            )
        return [self.season] if self.season > 1 else []

    def _train(
        self,
        series: Floats,
        clean: Floats,
        columns: Columns,
        recipe: Recipe,
        found_season: int,
        with_network: bool = True,
    ) -> Work[Fitted]:
        """Fit the linear part and the network to a series."""
        return train(
            series,
            clean,
            columns,
            recipe,
            found_season,
            cell=self.cell,
            hidden_size=self.hidden_size,
            window=self.window,
            epochs=self.epochs,
            seed=self.seed,
            with_network=with_network,
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
