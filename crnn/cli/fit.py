"""The command that learns to forecast a column of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crnn.cli.common import (
    AT_LEAST_0,
    AT_LEAST_1,
    FILE,
    INPUT,
    SHOW_DEFAULT,
    cell,
    check_output,
    describe_model,
    progress,
    seed,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fit"]

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
