"""Forecasts of a series of numbers: a linear part, and a network for what it leaves over.

A series is transformed (logarithms, differences from step to step or from season to season), and a
linear autoregression predicts the transformed numbers. A recurrent network reads the same numbers,
what the series was a season before, and further columns, and corrects the linear part as far as
that pays on validation data. Transformation, season and lags are chosen there too, and all of it is
kept with the model, so that forecasts come back in the units of the series.
"""

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn import networks as cells, checks, saved, schedules
from crnn.checks import Array
from crnn.errors import ModelFileError
from crnn.optimizers import AdamW

if TYPE_CHECKING:
    from crnn.base import RecurrentNetwork

__all__ = ["Forecaster", "Recipe", "load"]

KIND, FILE_VERSION = "forecaster", 1
# Orders of autoregressions that are tried
ORDERS = (1, 2, 3, 5, 8, 13, 21)
# A season is believed in where the series resembles itself a season later at least so much.
LEAST_RESEMBLANCE = 0.25
# How far the network may move the linear part
SHARES = (0.5, 1.0)
# An error has to fall so far for a recipe that comes later, and for a correction by the network.
WORTH_IT = 0.98
WORTH_A_NETWORK = 0.94
# Origins of the forecasts that choose
ORIGINS = 60
BATCH_SIZE = 32
UPDATES = 1500
RIDGE = 1e-4


class Recipe(NamedTuple):
    """How a series is transformed, and by what it is predicted.

    Parameters
    ----------
    log : bool
        Whether logarithms are taken.
    differences : tuple of int
        Lags of the differences that are taken one after another.
    lags : tuple of int
        What the linear part reads: transformed numbers so many steps back, 1 being the last.
    season : int
        Steps of a season; 0: none.
    """

    log: bool
    differences: tuple[int, ...]
    lags: tuple[int, ...]
    season: int

    @property
    def needed(self) -> int:
        """Numbers that a prediction needs before it."""
        return sum(self.differences) + max(*self.lags, self.season)

    def __str__(self) -> str:
        parts = ["logarithms"] if self.log else []
        parts += [f"differences of lag {lag}" for lag in self.differences]
        run = next(lag for lag in range(1, self.lags[-1] + 1) if lag + 1 not in self.lags)
        lags = [f"1 to {run}" if run > 1 else "1", *(str(lag) for lag in self.lags if lag > run)]
        return ", ".join([*parts, f"linear in the lags {' and '.join(lags)}"])


class Forecaster:
    """A model of one series, with further columns that help to predict it.

    Parameters
    ----------
    hidden_size : int
    window : int, optional
        Steps that the network reads before each prediction; by default two seasons, from 24 to 200.
    season : int, optional
        Steps of a season, 0 for none; without it, it is looked for.
    logarithms : bool
        Whether logarithms may be taken where they pay: not of a series that can reach zero.
    epochs : int, optional
        By default as many as make 1500 steps of training.
    seed : int, optional
    cell : {"rnn", "gru", "lstm"}
        Which network: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.

    Attributes
    ----------
    recipe : Recipe
        After `fit`.
    share : float
        How far the network corrects the linear part: 0 where that did not pay.
    net : RNN, GRU or LSTM
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
        self.seed = seed
        cells.find(cell)
        self.cell = cell

    def fit(
        self,
        series: Any,
        features: Any = None,
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
            Steps ahead that forecasts are judged by.
        progress : bool, optional
            As of `RNN.fit`.

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
        n = len(series)
        held = max(min(n // 4, max(4 * horizon, 40)), horizon)
        if n - held < 20:
            raise ValueError(
                f"series: expected at least {20 + held} numbers to learn from, got {n}"
            )
        self.recipe = self._choose(series, n - held, horizon)
        # The network learns from what is before the validation data, to see there what it is worth.
        self._train(series[: n - held], features[: n - held], progress)
        self.share = self._worth(series, features, n - held, horizon)
        return self

    def refit(self, series: Any, features: Any = None) -> "Forecaster":
        """Train again, on all of a series, by the recipe and the share that `fit` has chosen.

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
            A shape, dtype or value does not fit, or the recipe takes logarithms of what is not
            above zero.
        """
        series, features = self._suitable(series, features)
        self._train(series, features, False)
        return self

    def forecast(self, series: Any, steps: int, features: Any = None) -> Array:
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
        array (steps,)

        Raises
        ------
        ValueError, TypeError
            The series is too short, a shape, dtype or value does not fit, or the recipe takes
            logarithms of what is not above zero.
        """
        series, features = self._suitable(series, features)
        steps = checks.integer("steps", steps, at_least=1)
        if len(series) < self.needed:
            raise ValueError(f"series: expected at least {self.needed} numbers, got {len(series)}")
        forecast: Array = self._forecasts(series, features, np.array([len(series)]), steps)[0]
        return forecast

    def predict(self, series: Any, features: Any = None) -> Array:
        """Return the prediction of each number from those before it; NaN where too few are.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns), optional

        Returns
        -------
        array (time,)

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or the recipe takes logarithms of what is not
            above zero.
        """
        series, features = self._suitable(series, features)
        predictions = np.full(len(series), np.nan)
        origins = np.arange(self.needed, len(series))
        for part in np.array_split(origins, max(1, len(origins) // 512)):
            if len(part):
                predictions[part] = self._forecasts(series, features, part, 1)[:, 0]
        return predictions

    @property
    def needed(self) -> int:
        """Numbers that a prediction needs before it."""
        return self.recipe.needed

    def scores(
        self, series: Any, features: Any = None, *, first: int, horizon: int
    ) -> dict[str, tuple[float, float]]:
        """Compare with usual forecasts on the part of a series that begins at `first`.

        Parameters
        ----------
        series : array (time,)
        features : array (time, columns), optional
        first : int
            Where the part begins that nothing was learned from.
        horizon : int
            Steps of each forecast.

        Returns
        -------
        dict of (float, float)
            By method the root mean square and the mean absolute error, over all steps.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or the recipe takes logarithms of what is not
            above zero.
        """
        series, features = self._suitable(series, features)
        origins = _origins(first, len(series), horizon, 500)
        truth = series[origins[:, None] + np.arange(horizon)]
        found = {"crnn": self._forecasts(series, features, origins, horizon)}
        if self.share:
            share, self.share = self.share, 0.0
            found["its linear part alone"] = self._forecasts(series, features, origins, horizon)
            self.share = share
        found["persistence"] = np.repeat(series[origins - 1][:, None], horizon, axis=1)
        season = self.found_season
        if season:
            back = np.arange(horizon) % season - season
            found["same as a season before"] = series[origins[:, None] + back]
        order = self._best_order(series[:first], horizon)
        plain = Recipe(False, (), tuple(range(1, order + 1)), 0)
        coefficients = _regression(_transformed(series[:first], plain), plain)
        found[f"AR({order})"] = _linear_forecasts(series, plain, coefficients, origins, horizon)
        return {
            name: (
                float(np.sqrt(np.mean((values - truth) ** 2))),
                float(np.mean(np.abs(values - truth))),
            )
            for name, values in found.items()
        }

    def _suitable(self, series: Any, features: Any) -> tuple[Array, Array]:
        """Return a series and its features, checked against what the model has learned."""
        series, features = _checked(series, features)
        columns = len(self.means) - 1
        if features.shape[1] != columns:
            raise ValueError(
                f"features: expected {columns} columns, as the model has learned from, "
                f"got {features.shape[1]}"
            )
        if self.recipe.log and len(series) and series.min() <= 0:
            raise ValueError(
                "series: expected numbers above 0, for the model takes logarithms, "
                f"got {series.min():.6g}"
            )
        return series, features

    def _best_order(self, series: Array, horizon: int) -> int:
        """Return the order of a plain autoregression that is best on validation data."""
        n = len(series)
        first = n - max(min(n // 4, max(4 * horizon, 40)), horizon)
        return min(
            (order for order in ORDERS if order < first // 4),
            key=lambda order: _linear_error(
                series, Recipe(False, (), tuple(range(1, order + 1)), 0), first, horizon
            ),
        )

    def _choose(self, series: Array, first: int, horizon: int) -> Recipe:
        """Return the recipe whose linear part is best from `first` on."""
        if self.season is None:
            seasons = _seasons_of(series)
        else:
            # As below: what a recipe needs fits three times into what it is learned from.
            most = first // 3 - 1
            if self.season > most:
                raise ValueError(
                    f"season: expected at most {most} steps, for there are {first} numbers before "
                    f"the validation data, got {self.season}"
                )
            seasons = [self.season] if self.season else []
        best, lowest = None, math.inf
        for season in (0, *seasons):
            lagged = [()] if not season else [(), (season,), (season, 1)]
            for differences in [*lagged, (1,)]:
                for log in (False, True) if self.logarithms and series.min() > 0 else (False,):
                    for order in ORDERS:
                        lags = set(range(1, order + 1))
                        if season:
                            lags |= {season, season + 1}
                        recipe = Recipe(log, differences, tuple(sorted(lags)), season)
                        if 3 * recipe.needed > first or 4 * len(lags) > first - recipe.needed:
                            continue
                        error = _linear_error(series, recipe, first, horizon)
                        if error < lowest * (WORTH_IT if best else 1):
                            best, lowest = recipe, error
        best = best or Recipe(False, (1,), (1,), 0)
        self.found_season = best.season or next(iter(seasons), 0)
        return best

    def _train(self, series: Array, features: Array, progress: bool | None) -> None:
        """Fit the linear part and the network to a series."""
        recipe = self.recipe
        z = _transformed(series, recipe)
        self.coefficients = _regression(z, recipe)
        self._scale_inputs(z, features[-len(z) :])
        inputs = self._inputs(z, features[-len(z) :])
        start = max(*recipe.lags, recipe.season)
        residuals = z[start:] - _linear(z, recipe, self.coefficients)[: len(z) - start]
        self.residual_scale = float(residuals.std()) or 1.0
        # The input of a step stands beside the residual of the next.
        x, y = inputs[start - 1 : -1], residuals[:, None] / self.residual_scale
        window = self.window or min(200, max(24, 2 * recipe.season))
        self.used_window = min(window, max(2, len(x) // 2))
        starts = np.arange(0, len(x) - self.used_window + 1, max(1, self.used_window // 8))
        steps = starts[:, None] + np.arange(self.used_window)
        self.net: RecurrentNetwork = cells.find(self.cell)(
            x.shape[1], self.hidden_size, 1, seed=self.seed
        )
        # At first the network corrects nothing.
        self.net.W_hy[...] = 0
        of_an_epoch = math.ceil(len(starts) / BATCH_SIZE)
        epochs = self.epochs or math.ceil(UPDATES / of_an_epoch)
        self.net.fit(
            x[steps].astype(np.float32),
            y[steps].astype(np.float32),
            epochs=epochs,
            batch_size=BATCH_SIZE,
            optimizer=AdamW(schedules.cosine(0.003, epochs * of_an_epoch), weight_decay=0.01),
            loss="huber",
            clip_norm=1.0,
            progress=progress,
        )

    def _worth(self, series: Array, features: Array, first: int, horizon: int) -> float:
        """Return how far the network should correct the linear part, by what follows `first`."""
        origins = _origins(first, len(series), horizon, ORIGINS)
        truth = series[origins[:, None] + np.arange(horizon)]
        errors = {}
        for share in (0.0, *SHARES):
            self.share = share
            forecasts = self._forecasts(series, features, origins, horizon)
            # Of the earlier and the later half: luck seldom lasts for both.
            squares = np.mean((forecasts - truth) ** 2, axis=1)
            halves = np.array_split(squares, 2) if len(squares) > 1 else [squares]
            errors[share] = np.sqrt([np.mean(half) for half in halves])
        alone = errors.pop(0.0)
        best, found = min(errors.items(), key=lambda item: float(item[1].sum()))
        pays = found.sum() < WORTH_A_NETWORK * alone.sum() and (found < alone).all()
        return best if pays else 0.0

    def _scale_inputs(self, z: Array, features: Array) -> None:
        columns = np.column_stack([z, features])
        self.means, self.deviations = columns.mean(axis=0), columns.std(axis=0)
        self.deviations[self.deviations == 0] = 1.0

    def _inputs(self, z: Array, features: Array) -> Array:
        """Return what the network reads at each step of z (..., time): (..., time, inputs)."""
        columns = [(z - self.means[0]) / self.deviations[0]]
        if self.recipe.season:
            # What the next number was a season before
            m = self.recipe.season
            ahead = np.concatenate([z[..., :m] * 0 + self.means[0], z], axis=-1)[..., 1:]
            columns.append((ahead[..., : z.shape[-1]] - self.means[0]) / self.deviations[0])
        scaled = (features - self.means[1:]) / self.deviations[1:]
        return np.concatenate([np.stack(columns, axis=-1), scaled], axis=-1)

    def _forecasts(self, series: Array, features: Array, origins: Array, steps: int) -> Array:
        """Return the forecasts (origins, steps) of what stands from each origin on."""
        recipe = self.recipe
        kept = max(self.used_window + max(*recipe.lags, recipe.season), 1) + sum(recipe.differences)
        kept = min(kept, int(origins.min()))
        back = origins[:, None] + np.arange(-kept, 0)
        values, known = series[back], features[back]
        for _ in range(steps):
            z = _transformed(values, recipe)
            ahead = _linear(z, recipe, self.coefficients)[..., -1]
            if self.share:
                inputs = self._inputs(z, known[:, -z.shape[1] :])[:, -self.used_window :]
                y = self.net.predict(inputs.astype(np.float32))[:, -1, 0].astype(float)
                ahead = ahead + self.share * self.residual_scale * y
            values = np.column_stack([values, _restored(values, ahead, recipe)])
            known = np.concatenate([known, known[:, -1:]], axis=1)
        return values[:, kept:]

    def save(self, path: str | os.PathLike[str], **said: Any) -> None:
        """Write the model to a file, from which `crnn.forecasting.load` makes it again.

        Parameters
        ----------
        path : path-like
            An existing file is replaced, whole or not at all.
        **said
            What else the file should say, of what JSON can hold.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from crnn import archive as files

        description = {
            "format": f"crnn {KIND}",
            "version": FILE_VERSION,
            "network": saved.describe(self.net),
            "recipe": self.recipe._asdict(),
            "settings": {name: getattr(self, name) for name in SETTINGS},
            "share": self.share,
            "residual_scale": self.residual_scale,
            "used_window": self.used_window,
            "found_season": self.found_season,
            "said": said,
        }
        arrays = {name: getattr(self, name) for name in ("coefficients", "means", "deviations")}
        files.write(path, description, {"parameters": self.net.flat_params} | arrays)


SETTINGS = ("hidden_size", "window", "season", "logarithms", "epochs", "seed", "cell")


def load(path: str | os.PathLike[str]) -> tuple[Forecaster, dict[str, Any]]:
    """Return the model that `Forecaster.save` wrote to a file, and what else that says.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    model : Forecaster
    said : dict
        What `Forecaster.save` was told to say beside it.

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
    OSError
        It cannot be opened.
    """
    from crnn import archive as files

    def expected(description: Any) -> files.Shapes:
        files.check_kind(description, KIND, FILE_VERSION)
        shapes = saved.shapes_of(description.get("network"))
        recipe, columns = _recipe_of(description), description["network"]["input_size"]
        if description["network"]["output_size"] != 1 or columns < 1 + bool(recipe.season):
            raise ModelFileError("network: expected one that belongs to the recipe")
        for name in ("share", "residual_scale"):
            if not isinstance(description.get(name), float):
                raise ModelFileError(f"{name}: expected a number, got {description.get(name)!r}")
        for name, least in (("used_window", 1), ("found_season", 0)):
            number = description.get(name)
            if type(number) is not int or not least <= number < 1 << 20:
                raise ModelFileError(f"{name}: expected a whole number, got {number!r}")
        scaled = (np.dtype(np.float64), (columns - bool(recipe.season),))
        linear = (np.dtype(np.float64), (len(recipe.lags) + 1,))
        return shapes | {"coefficients": linear, "means": scaled, "deviations": scaled}

    description, arrays = files.read(path, expected)
    try:
        model = Forecaster(**description["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{os.fspath(path)}: settings: {error}") from error
    model.recipe = _recipe_of(description)
    model.net = saved.rebuild(description["network"], arrays, None)
    for name in ("share", "residual_scale", "used_window", "found_season"):
        setattr(model, name, description[name])
    for name in ("coefficients", "means", "deviations"):
        setattr(model, name, arrays[name])
    said = description.get("said")
    return model, said if isinstance(said, dict) else {}


def _recipe_of(description: dict[str, Any]) -> Recipe:
    found = description.get("recipe")
    try:
        recipe = Recipe(**found)  # type: ignore[arg-type]
        recipe = recipe._replace(differences=tuple(recipe.differences), lags=tuple(recipe.lags))
        numbers = [*recipe.differences, *recipe.lags]
        right = (
            type(recipe.log) is bool
            and type(recipe.season) is int
            and 0 <= recipe.season < 1 << 20
            and recipe.lags
            and len(numbers) < 10_000
            and all(type(number) is int and 1 <= number < 1 << 20 for number in numbers)
        )
    except TypeError:
        right = False
    if not right:
        raise ModelFileError(f"recipe: expected one of a forecaster, got {found!r}")
    return recipe


def _checked(series: Any, features: Any) -> tuple[Array, Array]:
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


def _seasons_of(series: Array) -> list[int]:
    """Return after how many steps a series resembles itself, up to three such lags."""
    t = np.arange(len(series))
    rest = series - np.polyval(np.polyfit(t, series, 1), t)
    # What wanders resembles itself at every small lag, its steps do not.
    if (rest[1:] * rest[:-1]).sum() > 0.9 * (rest**2).sum():
        rest = np.diff(series)
    rest = rest - rest.mean()
    most = min(len(rest) // 3, 400)
    if most < 3 or not rest.any():
        return []
    spectrum = np.abs(np.fft.rfft(rest, 2 * len(rest))) ** 2
    resemblance = np.fft.irfft(spectrum)[: most + 1]
    # Longer lags have fewer products to sum.
    resemblance *= len(rest) / (len(rest) - np.arange(most + 1)) / resemblance[0]
    peaks = [
        lag
        for lag in range(2, most)
        if resemblance[lag] >= max(resemblance[lag - 1], resemblance[lag + 1], LEAST_RESEMBLANCE)
    ]
    if not peaks:
        return []
    # The season's multiples resemble as much as the season; a day's may resemble more as weeks.
    highest = max(resemblance[lag] for lag in peaks)
    found = {
        next(lag for lag in peaks if resemblance[lag] >= share * highest)
        for share in (0.5, 0.9, 1.0)
    }
    return sorted(found)


def _transformed(values: Array, recipe: Recipe) -> Array:
    """Return transformed numbers (..., time): fewer, by the lags of the differences."""
    z = np.log(values) if recipe.log else values
    for lag in recipe.differences:
        z = z[..., lag:] - z[..., :-lag]
    return z


def _restored(values: Array, ahead: Array, recipe: Recipe) -> Array:
    """Return the numbers (...) after values (..., time) whose transformed ones are `ahead`."""
    levels = [np.log(values) if recipe.log else values]
    for lag in recipe.differences:
        levels.append(levels[-1][..., lag:] - levels[-1][..., :-lag])
    for lag, level in zip(reversed(recipe.differences), reversed(levels[:-1]), strict=True):
        ahead = ahead + level[..., -lag]
    # A forecast that runs away shall not overflow.
    return np.exp(np.minimum(ahead, 700.0)) if recipe.log else ahead


def _lagged(z: Array, recipe: Recipe) -> Array:
    """Return what the linear part reads to predict from number max(lags, season) on to the next."""
    start, end = max(*recipe.lags, recipe.season), z.shape[-1] + 1
    columns = [z[..., start - lag : end - lag] for lag in recipe.lags]
    return np.stack([*columns, np.ones_like(columns[0])], axis=-1)


def _regression(z: Array, recipe: Recipe) -> Array:
    """Return the coefficients of the lags and the constant, by ridge regression."""
    A = _lagged(z, recipe)[:-1, :-1]
    b = z[-len(A) :]
    # About their means, for squares of numbers far from zero would leave no digits to what varies.
    means, mean = A.mean(axis=0), b.mean()
    A = A - means
    penalty = RIDGE * len(A) * z.var() * np.eye(A.shape[1])
    slopes = np.linalg.lstsq(A.T @ A + penalty, A.T @ (b - mean), rcond=None)[0]
    return np.append(slopes, mean - means @ slopes)


def _linear(z: Array, recipe: Recipe, coefficients: Array) -> Array:
    predictions: Array = _lagged(z, recipe) @ coefficients
    return predictions


def _linear_forecasts(
    series: Array, recipe: Recipe, coefficients: Array, origins: Array, steps: int
) -> Array:
    """Return the linear part's forecasts (origins, steps)."""
    values = series[origins[:, None] + np.arange(-recipe.needed, 0)]
    for _ in range(steps):
        recent = values[:, -recipe.needed :]
        ahead = _linear(_transformed(recent, recipe), recipe, coefficients)[..., -1]
        values = np.column_stack([values, _restored(recent, ahead, recipe)])
    return values[:, recipe.needed :]


def _linear_error(series: Array, recipe: Recipe, first: int, horizon: int) -> float:
    """Return the root mean square error from `first` on of what is learned before."""
    coefficients = _regression(_transformed(series[:first], recipe), recipe)
    origins = _origins(first, len(series), horizon, ORIGINS)
    forecasts = _linear_forecasts(series, recipe, coefficients, origins, horizon)
    truth = series[origins[:, None] + np.arange(horizon)]
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean((forecasts - truth) ** 2)))
    return error if math.isfinite(error) else math.inf


def _origins(first: int, end: int, horizon: int, most: int) -> Array:
    """Return where forecasts of a part of a series begin, evenly spread."""
    last = end - horizon
    return np.unique(np.linspace(first, last, min(most, last - first + 1)).astype(int))
