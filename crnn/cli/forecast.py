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
    checked_levels,
    write_csv,
)
from crnn.cli.series import load_series, show_coming
from crnn.cli.tables import TableOptions, future_option, table_options

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from crnn.forecasting.tables import Rows

    Floats = npt.NDArray[np.float64]

__all__ = ["forecast"]


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("model", type=FILE)
@click.argument("data", type=INPUT)
@click.option("--steps", type=AT_LEAST_1, default=1, help="Rows to forecast.")
@click.option(
    "--interval",
    "levels",
    callback=checked_levels,
    show_default="none",
    metavar="LEVELS",
    help="Prediction intervals of these levels in percent, such as 80,95.",
)
@future_option
@table_options
@click.option("--plot", type=FILE, help="File for a picture (.png, .pdf or .svg).")
@click.option("-o", "--output", type=FILE, show_default="printed", help="File for the CSV.")
def forecast(
    model: Path,
    data: Path,
    steps: int,
    levels: tuple[float, ...] | None,
    future: Path | None,
    plot: Path | None,
    output: Path | None,
    **options: Any,
) -> None:
    """Forecast the rows after the last one of a table.

    MODEL is a file of `crnn fit`. Writes CSV: the date of each step, or its number where the table
    has no dates, and the forecast in the column's units; with --interval 80 also TARGET_80_low and
    TARGET_80_high, between which 80 % of the numbers should be. What `crnn fit` was told about
    dates and gaps holds here, too.

    A model with columns that are known ahead needs them for the coming rows: at the end of DATA,
    with the target empty, or in a file of their own (--future).
    """
    inputs = model, data, future
    if str(data) == str(future) == "-":
        raise ValueError("future: expected a file, as the standard input is the data, got '-'")
    check_output(plot, PICTURES, inputs=inputs)
    check_output(output, inputs=inputs)
    series = load_series(model, data, TableOptions(**options), future)
    if plot is not None and series.id_column is not None:
        raise ValueError(f"plot: expected a model of one series, got one of {len(series.models)}")
    rows_out: list[list[str | float]] = []
    for name, forecaster, rows in series:
        if not rows.options.known:
            show_coming(rows, ", and the first of them is step 1")
        lagged, _ = rows.columns()
        read = lagged, rows.known_through(steps)
        values, bands = forecaster.forecast(rows.target, steps, *read), None
        if levels is not None:
            bands = forecaster.intervals(rows.target, steps, levels, *read)
        # Forecast, then the lower and the upper end of each level
        numbers = [values, *([] if bands is None else bands.reshape(-1, steps))]
        dates = rows.coming_labels(steps)
        for step in range(steps):
            label = str(step + 1) if dates is None else dates[step]
            row = [float(column[step]) for column in numbers]
            rows_out.append([*([name] if series.id_column else []), label, *row])
        if plot is not None:
            drawn = {} if bands is None else dict(zip(levels or (), bands, strict=True))
            _draw(plot, rows, values, drawn)
    ends = [f"{series.target}_{level:g}_{end}" for level in levels or () for end in ("low", "high")]
    write_csv([*series.names("step"), series.target, *ends], rows_out, output)


def _draw(path: Path, rows: Rows, values: Floats, bands: dict[float, Floats]) -> None:
    """Draw the end of a series and its forecast."""
    import numpy as np

    from crnn import plots

    length, steps = len(rows), len(values)
    first = length - min(length, max(5 * steps, 100))
    coming = rows.coming_dates(steps)
    if rows.dates is None or coming is None:
        times, ahead = np.arange(1, length + 1), np.arange(length + 1, length + steps + 1)
    else:
        times, ahead = rows.dates[:length].to_numpy(), coming.to_numpy()
    ax = plots.forecast(
        times[first:],
        rows.target[first:],
        ahead=(ahead, values),
        # The widest first
        bands={f"{level:g} % interval": (*bands[level],) for level in sorted(bands, reverse=True)},
        time_label=rows.date_name or "row",
        value_label=rows.options.target,
    )
    figure: Any = ax.get_figure(root=True)
    figure.savefig(path, dpi=150)
