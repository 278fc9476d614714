"""The command that forecasts the next row after each line, and learns from each."""

from __future__ import annotations

import csv
import math
import operator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from crnn.cli.common import (
    AT_LEAST_0,
    AT_LEAST_1,
    FILE,
    INPUT,
    SHOW_DEFAULT,
    check_output,
    csv_row,
    split_names,
)
from crnn.cli.lines import NUMBER, lines_of_standard_input, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from crnn.forecasting import OnlineForecaster

__all__ = ["learn"]

# Where nothing is said, the first of them in the first line is the separator; otherwise spaces.
SEPARATORS = "\t;,"
OF_NETWORK = ("cell", "hidden", "lr", "seed", "lagged")


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("data", type=INPUT)
@click.option("--target", metavar="COLUMN", help="Column to forecast. A --model knows its own.")
@click.option(
    "--lagged",
    default="",
    show_default="none",
    help="Further columns, separated by commas, such as the weather. The forecast of a row reads "
    "their values in earlier rows.",
)
@click.option(
    "--sep",
    metavar="SIGN",
    show_default="found in the first line",
    help="Between values: a character, tab or space.",
)
@click.option("--decimal", type=click.Choice([".", ","]), default=".", help="Decimal sign.")
@click.option(
    "--header/--no-header",
    default=True,
    help="Whether the first line holds the columns' names. Without, they are named 1, 2, ...",
)
@click.option(
    "--cell", type=click.Choice(["rnn", "gru", "lstm"]), default="gru", help="Kind of network."
)
@click.option("--hidden", type=click.IntRange(1, 64), default=16, help="Hidden units.")
@click.option(
    "--lr", type=click.FloatRange(0.0), default=0.1, help="Learning rate of gradient descent."
)
@click.option("--seed", type=AT_LEAST_0, default=0, help="Seed of the initial network.")
@click.option(
    "--every",
    type=AT_LEAST_1,
    metavar="N",
    default=1000,
    help="Print the error so far after every N lines.",
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    help="What to do at a line that cannot be read.",
)
@click.option("--model", type=FILE, show_default="a new one", help="File of --save to go on with.")
@click.option(
    "--save", type=FILE, show_default="not kept", help="File for the model, written at the end."
)
@click.pass_context
def learn(
    ctx: click.Context,
    data: Path,
    target: str | None,
    lagged: str,
    sep: str | None,
    decimal: str,
    header: bool,
    cell: str,
    hidden: int,
    lr: float,
    seed: int,
    every: int,
    on_error: str,
    model: Path | None,
    save: Path | None,
) -> None:
    """Forecast a column line by line, and learn from each line.

    DATA is a text file such as CSV, one row a time step in order; - is the standard input, such as
    the output of `tail -f`. The answer to a line is the forecast of the target in the next line,
    from the lines so far. When the next line comes, the network first learns from the target in it.
    Nothing is read ahead: scales are those of the lines so far.

    The error of the forecasts is printed to the standard error, after every N lines and at the
    end, beside that of persistence: the forecast that the target stays as it is. The end is that of
    the file, or Ctrl-C.

    Every line gets a line; that of the names gets a name. A line with an empty target is answered,
    and not learned from: the forecast stands in for the target. An empty lagged column keeps its
    last value. The answers are empty until each column has had a value. A line that cannot be read
    gets an empty line and a sentence on the standard error; the model does not see it.
    """
    from crnn.forecasting import OnlineForecaster

    check_output(save, inputs=[data], is_model=True)
    if model is None:
        if target is None:
            raise ValueError("target: expected a column, got none")
        names = [target, *split_names(lagged)]
        forecaster = OnlineForecaster(
            len(names) - 1, cell=cell, hidden_size=hidden, lr=lr, seed=seed
        )
    else:
        given = [
            name
            for name in OF_NETWORK
            if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        ]
        if given:
            raise ValueError(f"{given[0]}: expected none beside --model, which has its own")
        forecaster, names = _loaded(model)
        if target not in (None, names[0]):
            raise ValueError(f"target: expected {names[0]!r}, as the model has, got {target!r}")
    errors, reader = Errors(), Reader(names, sep, decimal, header)
    said = {"target": names[0], "lagged": names[1:]}
    try:
        with _opened(data) as lines:
            for number, line in enumerate(lines, 1):
                click.echo(_answer(forecaster, reader, errors, number, line, on_error))
                if number % every == 0:
                    click.echo(f"{number} lines: {errors.recent(every)}", err=True)
    except KeyboardInterrupt:
        # The usual end of `tail -f`
        pass
    except BrokenPipeError:
        # The reader of the answers has had enough.
        if save is not None:
            forecaster.save(save, **said)
        raise
    if save is not None:
        forecaster.save(save, **said)
    click.echo(errors.table(), err=True)


def _answer(
    forecaster: OnlineForecaster,
    reader: Reader,
    errors: Errors,
    number: int,
    line: str,
    on_error: str,
) -> str:
    """Return the answer to a line."""
    from crnn import checks

    try:
        with checks.within(f"line {number}"):
            if reader.needs_names:
                reader.read_names(line)
                return f"{reader.names[0]}_next"
            target, *lagged = reader.numbers(line)
            forecast = forecaster.step(target, lagged)
    except (ValueError, TypeError) as error:
        if on_error == "stop" or reader.needs_names:
            raise
        click.echo(sentence(error), err=True)
        return ""
    errors.count(target, forecast)
    return csv_row([forecast])


def _loaded(path: Path) -> tuple[OnlineForecaster, list[str]]:
    """Return the forecaster of a file, and the names of its columns."""
    from crnn import ModelFileError, archive
    from crnn.forecasting import OnlineForecaster

    forecaster, said = OnlineForecaster.load(path)
    try:
        archive.check_fields(
            said, {"target": archive.text(), "lagged": archive.list_of(archive.text())}
        )
        if len(said["lagged"]) != forecaster.num_lagged:
            raise ModelFileError(f"lagged: expected {forecaster.num_lagged} names")
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return forecaster, [said["target"], *said["lagged"]]


@contextmanager
def _opened(data: Path) -> Iterator[Iterator[str]]:
    """Open the lines of a file, or of the standard input."""
    if str(data) == "-":
        yield lines_of_standard_input()
    else:
        with data.open(encoding="utf-8-sig", errors="replace") as file:
            yield file


class Reader:
    """The numbers of some columns in lines of text.

    Parameters
    ----------
    names : sequence of str
        The columns.
    sep : str or None
        As said on the command line.
    decimal : {".", ","}
    header : bool
        Whether the first line holds the names.
    """

    def __init__(self, names: Sequence[str], sep: str | None, decimal: str, header: bool) -> None:
        from crnn.forecasting.tables import dialects

        self.names, self.needs_names = names, header
        self._sep = None if sep is None else dialects.separator(sep)
        self._decimal, self._header = decimal, header
        if self._sep == decimal:
            raise ValueError(f"sep: expected another sign than --decimal, got {sep!r}")
        self._places: list[int] = []
        self._width = 0

    def read_names(self, line: str) -> None:
        """Read the line of names, or the first line of a file without one."""
        cells = self._cells(line)
        names = cells if self._header else [str(place + 1) for place in range(len(cells))]
        for name in self.names:
            if names.count(name) != 1:
                known = ", ".join(map(repr, names))
                raise ValueError(f"expected one column {name!r}, got the columns {known}")
        self._places = [names.index(name) for name in self.names]
        self._width, self.needs_names = len(names), False

    def numbers(self, line: str) -> list[float]:
        """Return the numbers of a line; NaN where a cell is empty."""
        if not self._places:
            self.read_names(line)
        cells = self._cells(line)
        if len(cells) == self._width + 1 and not cells[-1]:
            del cells[-1]
        if len(cells) != self._width:
            raise ValueError(f"expected {self._width} values, got {line.strip()!r}")
        return [
            self._number(name, cells[place])
            for name, place in zip(self.names, self._places, strict=True)
        ]

    def _cells(self, line: str) -> list[str]:
        line = line.rstrip("\r\n")
        if self._sep is None:
            self._sep = next(
                (sign for sign in SEPARATORS if sign in line and sign != self._decimal), " "
            )
        if self._sep == " ":
            return line.split()
        try:
            (cells,) = csv.reader([line], delimiter=self._sep)
        except csv.Error as error:
            raise ValueError(f"expected values, got {error}") from None
        return [cell.strip() for cell in cells]

    def _number(self, name: str, cell: str) -> float:
        from crnn.forecasting.tables import numerals

        if numerals.is_gap(cell):
            return math.nan
        number = cell
        if self._decimal == ",":
            number = "" if "." in cell else cell.replace(",", ".")
        if not NUMBER.fullmatch(number) or not math.isfinite(float(number)):
            raise ValueError(f"expected a number in {name!r}, got {cell!r}")
        return float(number)


class Errors:
    """The errors of the forecasts beside those of persistence."""

    def __init__(self) -> None:
        # The squared and the absolute errors of both, and how many there were
        self._all, self._recent = [0.0] * 5, [0.0] * 5
        self._forecast = self._last = math.nan

    def count(self, target: float, forecast: float) -> None:
        """Count the errors of a line.

        Parameters
        ----------
        target : float
            In this line; NaN: not known.
        forecast : float
            For the next line; NaN: none.
        """
        if not math.isnan(target):
            errors = abs(self._forecast - target), abs(self._last - target)
            if not any(map(math.isnan, errors)):
                ours, persistence = errors
                counted = (ours * ours, persistence * persistence, ours, persistence, 1.0)
                for sums in (self._all, self._recent):
                    sums[:] = map(operator.add, sums, counted)
            self._last = target
        self._forecast = forecast

    def recent(self, lines: int) -> str:
        """Return the errors so far, and those of as many lines since the last call, in words."""
        parts = []
        for sums, when in ((self._all, ""), (self._recent, f"of the last {lines} ")):
            count = sums[4]
            if count:
                ours, persistence = (math.sqrt(square / count) for square in sums[:2])
                parts.append(f"{when}RMSE {ours:.4g}, persistence {persistence:.4g}")
        self._recent = [0.0] * 5
        return "; ".join(parts) or "no forecast yet"

    def table(self) -> str:
        """Return the errors of all lines."""
        count = self._all[4]
        if not count:
            return "no forecast was followed by a target"
        rows = [f"{'':11s}  {'RMSE':>10s}  {'MAE':>10s}"]
        for name, place in (("crnn", 0), ("persistence", 1)):
            rmse, mae = math.sqrt(self._all[place] / count), self._all[place + 2] / count
            rows.append(f"{name:11s}  {rmse:10.4g}  {mae:10.4g}")
        return "\n".join(rows)
