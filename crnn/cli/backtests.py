"""Backtests of the command `fit`: the report and the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from crnn.forecasting import Backtest, Forecaster
    from crnn.forecasting.tables import Rows

__all__ = ["draw_backtest", "run_backtest", "suggest_statsforecast"]


def run_backtest(
    model: Forecaster,
    rows: Rows,
    first: int,
    horizon: int,
    count: int,
    n_jobs: int | None,
    progress: bool,
) -> Backtest:
    """Forecast from several places, and print the errors of each method."""
    from tqdm import tqdm

    from crnn.forecasting import backtest

    with tqdm(total=count, desc="backtest", unit="place", disable=not progress) as bar:

        def show(done: int, places: int) -> None:
            bar.total = places
            bar.update(done - bar.n)

        result = backtest(
            rows.target,
            *rows.columns(),
            horizon=horizon,
            origins=count,
            first=first,
            model=model,
            progress=show,
            n_jobs=n_jobs,
        )
    _report(result)
    return result


def suggest_statsforecast() -> None:
    """Print how more methods can be compared, unless statsforecast is installed."""
    from crnn.forecasting import has_statsforecast

    if not has_statsforecast():
        click.echo("")
        click.echo(
            "A backtest compares AutoETS and AutoARIMA, too, where statsforecast is installed: "
            "pip install statsforecast"
        )


def _report(result: Backtest) -> None:
    """Print errors and coverage of each method, and which one has the lowest error."""
    scores, by_step, coverage = result.scores(), result.by_step(), result.coverage()
    count, horizon = result.truth.shape
    width = max(map(len, scores))
    click.echo("")
    click.echo(
        f"backtest: {count} {'forecast' if count == 1 else 'forecasts'} of {horizon} "
        f"{'step' if horizon == 1 else 'steps'}, each method fitted to the rows before each"
    )
    click.echo("")
    # Of several steps the errors of the first and the last one, too
    steps = [1, horizon] if horizon > 1 else []
    names = ["RMSE", *(f"at step {step}" for step in steps), "MAE"]
    names += [f"in {level:g} %" for level in result.levels]
    click.echo(f"{'':{width}s}" + "".join(f"  {name:>10s}" for name in names))
    for name, (square, absolute) in scores.items():
        errors = [square, *(by_step[name][step - 1] for step in steps), absolute]
        words = [f"{error:.4g}" for error in errors]
        words += [f"{share:.0%}" for share in coverage.get(name, ())]
        click.echo(f"{name:{width}s}" + "".join(f"  {word:>10s}" for word in words))
    for name, error in result.failed.items():
        click.echo(f"{name}: left out, for it failed: {error}", err=True)
    click.echo("")
    click.echo(_lowest(scores))


def draw_backtest(path: Path, rows: Rows, result: Backtest) -> None:
    """Draw the forecasts, and the errors of each method by step."""
    import numpy as np

    from crnn import plots

    horizon, target, length = result.truth.shape[1], rows.options.target, len(rows)
    times = np.arange(1, length + 1) if rows.dates is None else rows.dates[:length].to_numpy()
    first = max(0, int(result.origins[0]) - max(2 * horizon, 30))
    figure = plots.figure(11, 4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    ends = result.bands["crnn"]
    order = sorted(range(len(result.levels)), key=lambda place: -result.levels[place])
    plots.rolling(
        times[first:],
        rows.target[first:],
        result.origins - first,
        result.forecasts["crnn"],
        bands={
            f"{result.levels[place]:g} % interval": (ends[:, place, 0], ends[:, place, 1])
            for place in order
        },
        time_label=rows.date_name or "row",
        value_label=target,
        ax=left,
    )
    errors: dict[str, Any] = {
        name: values - result.truth for name, values in result.forecasts.items()
    }
    plots.errors(errors, value_label=target, ax=right)
    figure.savefig(path, dpi=150)


def _lowest(scores: dict[str, tuple[float, float]]) -> str:
    """Return in words which method has the lowest error."""
    first, second = sorted(scores, key=lambda name: scores[name][0])[:2]
    best, next_best = scores[first][0], scores[second][0]
    less = f", {1 - best / next_best:.0%} below that of {second}" if next_best else ""
    return f"{first} has the lowest RMSE: {best:.4g}{less}"
