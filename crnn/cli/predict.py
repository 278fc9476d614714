"""The command that predicts the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crnn.cli.common import FILE, INPUT, SHOW_DEFAULT, check_output, csv_row, write_lines
from crnn.cli.models import load_with_rows, network_inputs

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["predict"]


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
        y = net.predict(network_inputs(net, tables.columns(table, list(table.columns), data)))
        names = [f"y{number}" for number in range(y.shape[-1])]
        rows = y.reshape(-1, y.shape[-1]).tolist()
    else:
        forecaster, target, series, columns = load_with_rows(model, data)
        names = [target, "predicted"]
        rows = list(zip(series, forecaster.predict(series, columns), strict=True))
    write_lines([",".join(names), *map(csv_row, rows)], output)
