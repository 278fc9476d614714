"""The command that forecasts what follows a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crnn.cli.common import (
    AT_LEAST_1,
    FILE,
    INPUT,
    PICTURES,
    SHOW_DEFAULT,
    check_output,
    csv_row,
    write_lines,
)
from crnn.cli.models import load_with_rows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["forecast"]


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
    forecaster, target, series, columns = load_with_rows(model, data)
    values = forecaster.forecast(series, steps, columns)
    rows = [csv_row([step, value]) for step, value in enumerate(values, 1)]
    write_lines([f"step,{target}", *rows], output)
    if plot is not None:
        _draw(plot, series, values, target)


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
