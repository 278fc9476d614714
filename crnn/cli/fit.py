"""The command that learns to forecast a column of a table."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from crnn.cli.backtests import draw_backtest, run_backtest, suggest_statsforecast
from crnn.cli.common import (
    AT_LEAST_0,
    AT_LEAST_1,
    FILE,
    INPUT,
    PICTURES,
    SHOW_DEFAULT,
    cell,
    check_output,
    describe_model,
    progress,
    seed,
    split_names,
)
from crnn.cli.series import show_coming, show_wild
from crnn.cli.tables import TableOptions, show_notes, table_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from crnn.forecasting import Forecaster
    from crnn.forecasting.tables import Rows

    Scores = dict[str, tuple[float, float]]

__all__ = ["fit"]

# The report recommends another method whose error is smaller by more than seeds differ.
MAX_ERROR_RATIO = 1.03


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("data", type=INPUT)
@click.option("--target", required=True, help="Column to forecast.")
@click.option(
    "--known",
    "--features",
    default="",
    show_default="none",
    help="Further columns that are known ahead, such as prices and holidays, separated by commas. "
    "The prediction of a row reads their values in that row.",
)
@click.option(
    "--lagged",
    default="",
    show_default="none",
    help="Further columns that are known only afterwards, such as the weather. The prediction of a "
    "row reads their values in earlier rows.",
)
@click.option(
    "--id",
    "id_column",
    metavar="COLUMN",
    help="Column of the names of series; each series gets a model of its own. Networks of all "
    "series are trained side by side.",
)
@table_options
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
    "--floor", type=float, show_default="none", help="Lowest forecast, such as 0 for counts."
)
@click.option(
    "--test-size",
    type=click.FloatRange(0, 0.9, min_open=True),
    default=0.2,
    help="Share of the rows, the last ones, that are test data.",
)
@click.option(
    "--backtest",
    type=AT_LEAST_1,
    metavar="N",
    show_default="none",
    help="Forecast from N places in the test data, each time with models fitted to the rows "
    "before, and compare with more methods.",
)
@click.option(
    "--jobs",
    type=AT_LEAST_1,
    show_default="1",
    help="Processes that share the places of the backtest; more than 1 need joblib.",
)
@click.option("--plot", type=FILE, help="File for a picture of the backtest (.png, .pdf or .svg).")
@seed
@progress
@click.option("-o", "--output", type=FILE, required=True, help="File for the model.")
def fit(
    data: Path,
    target: str,
    known: str,
    lagged: str,
    id_column: str | None,
    horizon: int,
    season: int | None,
    window: int | None,
    cell: str,
    hidden: int,
    epochs: int | None,
    floor: float | None,
    test_size: float,
    backtest: int | None,
    jobs: int | None,
    plot: Path | None,
    seed: int,
    progress: bool,
    output: Path,
    **options: Any,
) -> None:
    """Learn to forecast a column of a table, one row a time step.

    DATA is a text file such as CSV. How it is written and which column holds dates is found in the
    file, or given by options. Rows are sorted by date. Doubled and missing dates are refused
    unless --id, --sum, --mean or --fill says what to do. Rows at the end without a target are left
    out.

    The season, the transformation and the share of the network are chosen on validation data, which
    is part of the training rows. The report compares the model on the last rows, the test data,
    with persistence, the season before and an autoregression. Then the model is trained again on
    all rows and saved.

    A backtest says more, and takes about N times as long: all methods are fitted anew at each of N
    places. It counts how many numbers are inside the intervals of 80 and 95 %. If statsforecast is
    installed, its AutoETS and AutoARIMA are compared, too.
    """
    from crnn import checks
    from crnn.forecasting import Forecaster, Panel
    from crnn.forecasting.tables import read_series

    check_output(output, inputs=[data], is_model=True)
    check_output(plot, PICTURES, inputs=[data])
    if math.isnan(test_size):
        raise ValueError("test_size: expected a number, got nan")
    for name, value in (("plot", plot), ("jobs", jobs)):
        if value is not None and backtest is None:
            raise ValueError(f"{name}: expected --backtest N with it, got none")
    if plot is not None and id_column is not None:
        raise ValueError("plot: expected one series, got one for each value of --id")
    reading = TableOptions(**options)
    table = reading.table(data)
    columns: dict[str, Any] = {"known": split_names(known), "lagged": split_names(lagged)}
    series = read_series(table, target, by=id_column, **columns, **reading.for_rows())
    show_notes(table)
    models: dict[str, Forecaster] = {}
    firsts: dict[str, int] = {}
    scores: dict[str, Scores] = {}

    def within(name: str) -> AbstractContextManager[None]:
        return nullcontext() if id_column is None else checks.within(f"{id_column} {name!r}")

    for name, rows in series.items():
        show_coming(rows, ", and are left out")
        with within(name):
            firsts[name] = _first_of_test(rows, data, test_size, horizon)
        models[name] = Forecaster(
            cell=cell,
            hidden_size=hidden,
            window=window,
            season=season,
            epochs=epochs,
            seed=seed,
            floor=floor,
        )
    panel = Panel(models)
    if id_column is None:
        rows, first = series[""], firsts[""]
        models[""].fit(
            rows.target[:first], *rows.columns(first), horizon=horizon, progress=progress
        )
    else:
        panel.fit(*_by_name(series, firsts), horizon=horizon, label=id_column, progress=progress)
    for name, rows in series.items():
        model, first = models[name], firsts[name]
        with within(name):
            scores[name] = model.scores(rows.target, *rows.columns(), first=first, horizon=horizon)
            if id_column is None:
                _report(rows, first, horizon, model)
                _report_scores(scores[name])
            if backtest is not None:
                if id_column is not None:
                    click.echo(f"{id_column} {name!r}:")
                result = run_backtest(model, rows, first, horizon, backtest, jobs, progress)
                if plot is not None:
                    draw_backtest(plot, rows, result)
    if id_column is None:
        models[""].refit(series[""].target, *series[""].columns())
    else:
        panel.refit(*_by_name(series, {}), label=id_column)
    for name, rows in series.items():
        show_wild(models[name], rows)
    if backtest is not None:
        suggest_statsforecast()
    one = next(iter(series.values()))
    same = all(rows.frequency == one.frequency for rows in series.values())
    said = {
        "target": target,
        **columns,
        "horizon": horizon,
        "reading": reading.usual(table, one),
        "frequency": one.frequency if same else None,
    }
    if id_column is None:
        models[""].save(output, **said, scores=scores[""])
    else:
        _report_panel(list(series.values()), scores, horizon, test_size)
        panel.save(output, **said, id=id_column)
    total = sum(map(len, series.values()))
    click.echo("")
    click.echo(f"trained again on all {total} rows: {output}")


def _by_name(
    series: Mapping[str, Rows], ends: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return target, lagged and known columns of each series, up to its end if there is one."""
    columns = {name: rows.columns(ends.get(name)) for name, rows in series.items()}
    return (
        {name: rows.target[: ends.get(name)] for name, rows in series.items()},
        {name: lagged for name, (lagged, _) in columns.items()},
        {name: known for name, (_, known) in columns.items()},
    )


def _first_of_test(rows: Rows, data: Path, test_size: float, horizon: int) -> int:
    """Return the first row of the test data, which has at least one forecast."""
    first = len(rows) - max(horizon, round(len(rows) * test_size))
    if first < 1:
        raise ValueError(
            f"{data}: expected more rows than the horizon of {horizon}, got {len(rows)}"
        )
    return first


def _report(rows: Rows, first: int, horizon: int, model: Forecaster) -> None:
    """Print what a model was fitted to, and how it forecasts."""
    click.echo(
        f"{rows.options.target}: {len(rows)} rows{_apart(rows)}, learned from {first}, tried on "
        f"the last {len(rows) - first}, {_steps(horizon)} ahead"
    )
    season = f"a season of {model.found_season} steps" if model.found_season else "no season"
    click.echo(f"found {season}; {describe_model(model)}")


def _apart(rows: Rows) -> str:
    return f" {rows.frequency}" if rows.frequency else ""


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _report_scores(scores: Scores) -> None:
    """Print the errors of each method, and which other one is better."""
    width = max(map(len, scores))
    click.echo("")
    click.echo(f"{'':{width}s}  {'RMSE':>10s}  {'MAE':>10s}")
    for name, (square, absolute) in scores.items():
        click.echo(f"{name:{width}s}  {square:10.4g}  {absolute:10.4g}")
    best, error, lowest = _best_other(scores)
    if error > MAX_ERROR_RATIO * lowest:
        click.echo("")
        click.echo(
            f"On these rows {best!r} was better: its error is {1 - lowest / error:.0%} smaller. "
            "Prefer that."
        )


def _report_panel(
    series: list[Rows], scores: dict[str, Scores], horizon: int, test_size: float
) -> None:
    """Print the errors of each series beside those of the best other method."""
    apart = _apart(series[0]) if len({rows.frequency for rows in series}) == 1 else ""
    click.echo(
        f"{series[0].options.target}: {len(series)} series, {sum(map(len, series))} rows"
        f"{apart}, tried on the last {test_size:.0%} of each, {_steps(horizon)} ahead"
    )
    width = max(map(len, [*scores, "RMSE"]))
    click.echo("")
    click.echo(f"{'RMSE':{width}s}  {'crnn':>10s}  {'best other':>10s}")
    for name, own in scores.items():
        best, error, lowest = _best_other(own)
        click.echo(f"{name:{width}s}  {error:10.4g}  {lowest:10.4g}  {best}")


def _best_other(scores: Scores) -> tuple[str, float, float]:
    """Return the best of the other methods, the error of crnn, and that of the other method."""
    errors = {name: square for name, (square, _) in scores.items()}
    error = errors.pop("crnn")
    best = min(errors, key=lambda name: errors[name])
    return best, error, errors[best]
