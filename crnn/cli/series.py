"""Commands for columns of numbers: fit, forecast, predict, stream."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from crnn.cli.common import (
    AT_LEAST_0,
    AT_LEAST_1,
    FILE,
    INPUT,
    PICTURES,
    SHOW_DEFAULT,
    cell,
    check_output,
    csv_row,
    describe_model,
    progress,
    seed,
    write_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from crnn import GRU, LSTM, RNN
    from crnn.forecasting import Forecaster

    Floats = npt.NDArray[np.float64]

__all__ = ["fit", "forecast", "predict", "stream"]

# The report recommends another method whose error is smaller by more than seeds differ.
MAX_ERROR_RATIO = 1.03


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("data", type=INPUT)
@click.option("--target", required=True, help="Column to forecast.")
@click.option(
    "--features",
    default="",
    show_default="none",
    help="Further columns to predict it from, separated by commas.",
)
@click.option("--horizon", type=AT_LEAST_1, default=1, help="Steps of each forecast.")
@click.option(
    "--season",
    type=AT_LEAST_0,
    show_default="found by autocorrelation",
    help="Steps of a season, 0 for none.",
)
@click.option(
    "--window",
    type=click.IntRange(min=2),
    show_default="two seasons, 24 to 200",
    help="Steps that the network reads before each prediction.",
)
@cell
@click.option("--hidden", type=AT_LEAST_1, default=32, help="Hidden units.")
@click.option(
    "--epochs",
    type=AT_LEAST_1,
    show_default="as many as make 1500 steps of training",
    help="Passes over the windows.",
)
@click.option(
    "--test-size",
    type=click.FloatRange(0, 0.9, min_open=True),
    default=0.2,
    help="Share of the rows, the last ones, that are test data.",
)
@seed
@progress
@click.option("-o", "--output", type=FILE, required=True, help="File for the model.")
def fit(
    data: Path,
    target: str,
    features: str,
    horizon: int,
    season: int | None,
    window: int | None,
    cell: str,
    hidden: int,
    epochs: int | None,
    test_size: float,
    seed: int,
    progress: bool,
    output: Path,
) -> None:
    """Learn to forecast a column of a CSV file, one row a time step.

    The season, the transformation and the share of the network are chosen on validation data, which
    is part of the training rows. The report compares the model on the last rows, the test data,
    with persistence, the season before and an autoregression. Then the model is trained again on
    all rows and saved.
    """
    from crnn.forecasting import Forecaster, tables

    check_output(output)
    table = tables.read(data)
    series = tables.column(table, target, data)
    names = [name.strip() for name in features.split(",") if name.strip()]
    columns = tables.columns(table, names, data)
    first = len(series) - max(horizon, round(len(series) * test_size))
    if first < 1:
        raise ValueError(
            f"{data}: expected more rows than the horizon of {horizon}, got {len(series)}"
        )
    model = Forecaster(
        cell=cell,
        hidden_size=hidden,
        window=window,
        season=season,
        # The model is trained on all rows in the end, so none of them may be 0.
        logarithms=bool(series.min() > 0),
        epochs=epochs,
        seed=seed,
    )
    model.fit(series[:first], columns[:first], horizon=horizon, progress=progress)
    scores = model.scores(series, columns, first=first, horizon=horizon)
    click.echo(
        f"{target}: {len(series)} rows, learned from {first}, tried on the last "
        f"{len(series) - first}, {horizon} {'step' if horizon == 1 else 'steps'} ahead"
    )
    season_found = f"a season of {model.found_season} steps" if model.found_season else "no season"
    click.echo(f"found {season_found}; {describe_model(model)}")
    _report_scores(scores)
    model.refit(series, columns)
    model.save(output, target=target, features=names, horizon=horizon, scores=scores)
    click.echo("")
    click.echo(f"trained again on all {len(series)} rows: {output}")


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("model", type=FILE)
@click.argument("data", type=INPUT)
@click.option("--steps", type=AT_LEAST_1, default=1, help="Rows to forecast.")
@click.option("--plot", type=FILE, help="File for a picture (.png, .pdf or .svg).")
@click.option("-o", "--output", type=FILE, show_default="printed", help="File for the CSV.")
def forecast(model: Path, data: Path, steps: int, plot: Path | None, output: Path | None) -> None:
    """Forecast what follows the last row of a CSV file, with a model of `crnn fit`.

    Writes CSV: the number of the step, and the forecast in the column's units.
    """
    check_output(plot, PICTURES)
    check_output(output)
    forecaster, target, series, columns = _load_with_rows(model, data)
    values = forecaster.forecast(series, steps, columns)
    rows = [csv_row([step, value]) for step, value in enumerate(values, 1)]
    write_lines([f"step,{target}", *rows], output)
    if plot is not None:
        _draw(plot, series, values, target)


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("model", type=FILE)
@click.argument("data", type=INPUT)
@click.option("-o", "--output", type=FILE, show_default="printed", help="File for the CSV.")
def predict(model: Path, data: Path, output: Path | None) -> None:
    """Write a model's predictions for the rows of a CSV file.

    For a model of `crnn fit`: the target beside the prediction of each row from those before it.
    For a network of `net.save`: its outputs; its inputs are the columns in order.
    """
    import crnn
    from crnn import archive
    from crnn.forecasting import tables

    check_output(output)
    if archive.kind(model) == "network":
        net, table = crnn.load(model), tables.read(data)
        y = net.predict(_network_inputs(net, tables.columns(table, list(table.columns), data)))
        names = [f"y{number}" for number in range(y.shape[-1])]
        rows = y.reshape(-1, y.shape[-1]).tolist()
    else:
        forecaster, target, series, columns = _load_with_rows(model, data)
        names = [target, "predicted"]
        rows = list(zip(series, forecaster.predict(series, columns), strict=True))
    write_lines([",".join(names), *map(csv_row, rows)], output)


@click.command()
@click.argument("model", type=FILE)
def stream(model: Path) -> None:
    """Answer each line of the standard input at once.

    For a model of `crnn fit`: a line is the target and then the features of a row, the answer is
    the prediction of the next row's target. It is empty until enough rows have come. For a network
    of `net.save`: a line is its inputs, the answer its outputs. Numbers are separated by commas or
    spaces.
    """
    from crnn import archive, checks

    network = archive.kind(model) == "network"
    width, answer = _network_stream(model) if network else _forecaster_stream(model)
    for number, line in enumerate(sys.stdin, 1):
        with checks.within(f"line {number}"):
            click.echo(answer(_numbers(line, width)))


def _load_with_rows(model: Path, data: Path) -> tuple[Forecaster, str, Floats, Floats]:
    """Return a forecaster, the name of its target, and the columns that it reads."""
    from crnn.forecasting import load, tables

    forecaster, said = load(model)
    target, features = said.get("target"), said.get("features")
    if not isinstance(target, str) or not isinstance(features, list):
        raise ValueError(
            f"{model}: expected a model that says which columns it reads, as those of crnn fit do"
        )
    table = tables.read(data)
    series = tables.column(table, target, data)
    return forecaster, target, series, tables.columns(table, features, data)


def _report_scores(scores: dict[str, tuple[float, float]]) -> None:
    """Print the errors of each method, and which other one is better."""
    width = max(map(len, scores))
    click.echo("")
    click.echo(f"{'':{width}s}  {'RMSE':>10s}  {'MAE':>10s}")
    for name, (square, absolute) in scores.items():
        click.echo(f"{name:{width}s}  {square:10.4g}  {absolute:10.4g}")
    errors = {name: square for name, (square, _) in scores.items()}
    error = errors.pop("crnn")
    best = min(errors, key=lambda name: errors[name])
    if error > MAX_ERROR_RATIO * errors[best]:
        click.echo("")
        click.echo(
            f"On these rows {best!r} was better: its error is "
            f"{1 - errors[best] / error:.0%} smaller. Prefer that."
        )


def _draw(path: Path, series: Floats, values: Floats, target: str) -> None:
    """Draw the end of a series and its forecast."""
    import numpy as np

    from crnn import plots

    length, steps = len(series), len(values)
    first = length - min(length, max(5 * steps, 100))
    rows = np.arange(1, length + steps + 1)
    ax = plots.forecast(
        rows[first:length],
        series[first:],
        ahead=(rows[length:], values),
        time_label="row",
        value_label=target,
    )
    figure: Any = ax.get_figure(root=True)
    figure.savefig(path, dpi=150)


def _numbers(line: str, width: int) -> list[float]:
    """Return the numbers of a line."""
    try:
        row = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        row = []
    if len(row) != width or not all(map(math.isfinite, row)):
        raise ValueError(f"expected {width} numbers, got {line.strip()!r}") from None
    return row


def _network_inputs(net: RNN | GRU | LSTM, rows: Floats) -> npt.NDArray[Any]:
    """Return what a network reads: features, or for a categorical one its category numbers."""
    if net.categorical and rows.shape[-1] == 1 and (rows % 1 == 0).all():
        return rows[..., 0].astype(int)
    return rows


def _network_stream(model: Path) -> tuple[int, Callable[[list[float]], str]]:
    """Return how many numbers a line has, and what answers it."""
    import numpy as np

    import crnn

    net = crnn.load(model)
    stream = net.stream()

    def answer(row: list[float]) -> str:
        return csv_row(stream.step(_network_inputs(net, np.array(row))), digits=7)

    return 1 if net.categorical else net.input_size, answer


def _forecaster_stream(model: Path) -> tuple[int, Callable[[list[float]], str]]:
    """Return how many numbers a line has, and what answers it."""
    from crnn.forecasting import load

    forecaster, _ = load(model)
    rows: list[list[float]] = []

    def answer(row: list[float]) -> str:
        rows.append(row)
        del rows[: -forecaster.context]
        if len(rows) < forecaster.needed:
            return ""
        series, features = [row[0] for row in rows], [row[1:] for row in rows]
        return csv_row(forecaster.forecast(series, 1, features))

    return 1 + forecaster.num_features, answer
