"""Forecasts one step ahead of a series that comes row by row, learned while it comes."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import archive, checks, conversion, descriptions
from crnn.errors import DivergenceError, ModelFileError
from crnn.networks import FAMILIES, get_family
from crnn.optimizers import SGD
from crnn.running import RunningScale

if TYPE_CHECKING:
    from crnn.learners import Learner

    Arrays = dict[str, npt.NDArray[Any]]
    Floats = npt.NDArray[np.float64]

__all__ = ["OnlineForecaster"]

KIND, FILE_VERSION = "streaming forecaster", 1
# The scales of the columns follow the last thousand rows or so.
MEMORY = 1000
# Inputs and targets beyond so many deviations are outliers.
LARGEST_SCALED = 10.0
# The squares of larger differences, times a thousand, would not be finite.
LARGEST = 1e150
CLIP_NORM = 1.0
# JSON and NumPy's counts hold so many rows.
MOST_ROWS = (1 << 53) - 1


class State(NamedTuple):
    """What changes from row to row: one object, so that it changes as a whole."""

    rows: int
    values: Floats
    """The last row: the target, and the lagged columns; gaps are filled."""
    inputs: npt.NDArray[np.float32] | None
    """What the network reads of the last row; None: nothing yet."""
    level: RunningScale
    """Of the columns."""
    change: RunningScale
    """Of the squares of the target's changes from row to row."""
    forecast: float


class OnlineForecaster:
    """A network that forecasts the next number of a series, and learns when it comes.

    A forecast is the last number plus a correction. The correction is the output of a network that
    reads, for each row, the number, its change, and the lagged columns, in deviations of the rows
    so far: of the last thousand, roughly. It starts as 0, so the first forecasts are those of
    persistence. The network learns by `RNN.learner` from each number that comes.

    Parameters
    ----------
    num_lagged : int
        Further columns that are known with the number of a row.
    cell : {"rnn", "gru", "lstm"}
    hidden_size : int
        At most 64.
    lr : float
        The learning rate of plain gradient descent; gradients are clipped to a norm of 1.
    seed : int
        Of the initial parameters.

    Attributes
    ----------
    net : RNN, GRU or LSTM
        The network, with the parameters of the moment.
    learner : Learner
        What trains it.
    state : State
        What changes from row to row beside network and learner.
    rows : int
        How many rows have been read.
    forecast : float
        The last forecast; NaN before the first.

    Examples
    --------
    >>> import numpy as np
    >>> from crnn.forecasting import OnlineForecaster
    >>> series = 20 + 5 * np.sin(0.3 * np.arange(600))
    >>> model = OnlineForecaster()
    >>> forecasts = np.array([model.step(number) for number in series])
    >>> errors = np.abs(forecasts[:-1] - series[1:])
    >>> bool(errors[-50:].max() < 0.3 * errors[:50].max())
    True
    """

    def __init__(
        self,
        num_lagged: int = 0,
        *,
        cell: str = "gru",
        hidden_size: int = 16,
        lr: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.num_lagged = checks.integer("num_lagged", num_lagged, at_least=0)
        self.cell = cell
        net = get_family(cell)(2 + self.num_lagged, hidden_size, 1, seed=seed)
        net.params["W_hy"][...] = 0
        columns = 1 + self.num_lagged
        unknown = np.full(columns, math.nan)
        level = RunningScale(0, np.zeros(columns), np.zeros(columns))
        self.state = State(0, unknown, None, level, RunningScale(), math.nan)
        self.net = net
        self.learner: Learner[Any] = net.learner(SGD(lr), clip_norm=CLIP_NORM)

    @property
    def rows(self) -> int:
        """How many rows have been read."""
        return self.state.rows

    @property
    def forecast(self) -> float:
        """The last forecast; NaN before the first."""
        return self.state.forecast

    def step(self, target: float | None, lagged: npt.ArrayLike = ()) -> float:
        """Learn from a row, and forecast the number of the next one.

        Parameters
        ----------
        target : float or None
            The number of this row. None or NaN: it is not known. Nothing is learned, and the
            forecast stands in for it.
        lagged : array (num_lagged,)
            The lagged columns of this row. NaN: as in the row before.

        Returns
        -------
        float
            NaN until the target and each column have had a number.

        Raises
        ------
        ValueError, TypeError
            A shape or value does not fit; the forecaster is as before.
        """
        before = self.state
        row = self._row(target, lagged)
        is_known = not math.isnan(row[0])
        gaps = np.isnan(row)
        row[gaps] = before.values[gaps]
        if not is_known and not math.isnan(before.forecast):
            row[0] = before.forecast
        if np.isnan(row).any():
            self.state = before._replace(rows=before.rows + 1, values=row)
            return math.nan
        difference, change = 0.0, before.change
        if before.inputs is not None:
            difference = float(row[0] - before.values[0])
            scale = math.sqrt(before.change.mean) or abs(difference) or 1.0
            self._learn(before.inputs, difference / scale if is_known else None)
            if is_known:
                change = change.updated(difference * difference, MEMORY)
        level = before.level.updated(row, MEMORY)
        deviations = np.sqrt(level.variance)
        deviations[deviations == 0] = 1
        scaled = (row - level.mean) / deviations
        of_change = difference / (math.sqrt(change.mean) or 1.0)
        inputs = _clipped(scaled[0], of_change, *scaled[1:])
        correction = float(self.learner.predict(inputs)[0])
        forecast = float(row[0] + math.sqrt(change.mean) * correction)
        self.state = State(before.rows + 1, row, inputs, level, change, forecast)
        return forecast

    def _learn(self, inputs: npt.NDArray[np.float32], change: float | None) -> None:
        """Move the learner on, and learn from the scaled change to this row; None: unknown."""
        try:
            self.learner.step(inputs, None if change is None else _clipped(change))
        except DivergenceError:
            # The sensitivities outgrow float32 where the network amplifies its state. The
            # parameters are finite.
            self.learner.reset()

    def _row(self, target: float | None, lagged: npt.ArrayLike) -> Floats:
        """Return the numbers of a row (1 + num_lagged,), NaN at its gaps."""
        number = math.nan if target is None else target
        columns = conversion.as_numbers("lagged", lagged).astype(np.float64)
        if columns.shape != (self.num_lagged,):
            raise ValueError(f"lagged: expected {self.num_lagged} numbers, got {columns.shape}")
        row = np.append(conversion.as_numbers("target", number).astype(np.float64), columns)
        if row.shape != (1 + self.num_lagged,):
            raise ValueError("target: expected one number, got an array")
        if (np.abs(row) > LARGEST).any():
            raise ValueError(f"expected numbers of at most {LARGEST:g}, got {row.tolist()}")
        return row

    def save(self, path: str | os.PathLike[str], **said: Any) -> None:
        """Write the forecaster to a file, which `load` reads.

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
        state, no_inputs = self.state, np.zeros(self.net.input_size, np.float32)
        description = {
            "format": f"crnn {KIND}",
            "version": FILE_VERSION,
            "cell": self.cell,
            "network": self.net.describe(),
            "lr": self.learner.lr,
            "rows": state.rows,
            "has_inputs": state.inputs is not None,
            "levels_seen": state.level.seen,
            "changes_seen": state.change.seen,
            "said": said,
        }
        arrays = {
            "parameters": self.net.flat_params,
            "values": state.values,
            "inputs": no_inputs if state.inputs is None else state.inputs,
            "means": state.level.mean,
            "variances": state.level.variance,
            "change_and_forecast": np.array([state.change.mean, state.forecast]),
            **self.learner.state,
        }
        archive.write(path, description, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple[OnlineForecaster, dict[str, Any]]:
        """Return the forecaster that `save` wrote, and what the file says beside it.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        model : OnlineForecaster
            It goes on where it was saved.
        said : dict
            The further arguments of `save`.

        Raises
        ------
        ModelFileError
            The file is damaged, holds something else, or was written by a newer version.
        OSError
            It cannot be opened.
        """
        description, arrays = archive.read(path, _shapes)
        try:
            return _from_parts(description, arrays), description["said"]
        except (ModelFileError, ValueError) as error:
            raise ModelFileError(f"{os.fspath(path)}: {error}") from None


def _clipped(*scaled: float) -> npt.NDArray[np.float32]:
    """Return scaled numbers as the network takes them."""
    return np.clip(scaled, -LARGEST_SCALED, LARGEST_SCALED).astype(np.float32)


def _from_parts(description: archive.Description, arrays: Arrays) -> OnlineForecaster:
    """Return the forecaster of parts that `_shapes` has checked."""
    _check_finite(arrays, description["has_inputs"])
    network = description["network"]
    model = OnlineForecaster(
        network["input_size"] - 2,
        cell=description["cell"],
        hidden_size=network["hidden_size"],
        lr=description["lr"],
    )
    if model.net.describe() != network:
        raise ModelFileError("network: expected one of a streaming forecaster")
    model.net.flat_params[...] = arrays["parameters"]
    model.learner.state = {name: arrays[name] for name in model.learner.state}
    change, forecast = arrays["change_and_forecast"].tolist()
    model.state = State(
        description["rows"],
        arrays["values"],
        arrays["inputs"] if description["has_inputs"] else None,
        RunningScale(description["levels_seen"], arrays["means"], arrays["variances"]),
        RunningScale(description["changes_seen"], change),
        forecast,
    )
    return model


def _shapes(description: archive.Description) -> archive.Shapes:
    """Check a description and return the dtypes and shapes of the arrays that belong to it."""
    archive.check_kind(description, KIND, FILE_VERSION)
    count = archive.whole_number(0, MOST_ROWS)
    archive.check_fields(
        description,
        {
            "cell": archive.one_of(*FAMILIES),
            "network": archive.nested(),
            "lr": archive.number(at_least=0.0),
            "rows": count,
            "has_inputs": archive.boolean(),
            "levels_seen": count,
            "changes_seen": count,
            "said": archive.nested(),
        },
    )
    network = description["network"]
    shapes = descriptions.check_description(network)
    I, H = network["input_size"], network["hidden_size"]
    if I < 2:
        raise ModelFileError(f"network.input_size: expected at least 2, got {I}")
    of_network, floats = shapes["parameters"][0], np.dtype(np.float64)
    states = ("h", "c") if network["cell"] == "lstm" else ("h",)
    of_recurrence = shapes["parameters"][1][0] - (H + 1)
    return shapes | {
        "inputs": (of_network, (I,)),
        "values": (floats, (I - 1,)),
        "means": (floats, (I - 1,)),
        "variances": (floats, (I - 1,)),
        "change_and_forecast": (floats, (2,)),
        "sensitivities": (of_network, (len(states) * H, of_recurrence)),
        **dict.fromkeys(states, (of_network, (H,))),
    }


def _check_finite(arrays: Arrays, has_inputs: bool) -> None:
    """Raise a ModelFileError unless the numbers of a file are such as `save` writes."""
    change, forecast = arrays["change_and_forecast"]
    finite = [arrays["inputs"], arrays["means"], arrays["variances"], change]
    # There are NaNs until each column has had a number.
    finite += [arrays["values"], forecast] if has_inputs else []
    if not all(np.isfinite(numbers).all() for numbers in finite):
        raise ModelFileError("expected finite numbers, got others")
    if change < 0 or (arrays["variances"] < 0).any():
        raise ModelFileError("expected variances of 0 or above, got others")
