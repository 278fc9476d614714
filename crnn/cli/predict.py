"""The command that predicts the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crnn.cli.common import FILE, INPUT, SHOW_DEFAULT, check_output, write_csv
from crnn.cli.networks import NETWORK_KINDS, load_network, network_inputs
from crnn.cli.series import load_series, show_coming
from crnn.cli.tables import TableOptions, show_notes, table_options

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["predict"]

Answer = tuple[list[str], list[list[str | float]]]


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("model", type=FILE)
@click.argument("data", type=INPUT)
@table_options
@click.option("-o", "--output", type=FILE, show_default="printed", help="File for the CSV.")
def predict(model: Path, data: Path, output: Path | None, **options: Any) -> None:
    """Write a model's predictions for the rows of a table.

    For a model of `crnn fit`: the target beside the prediction of each row from those before it,
    with the dates of the rows where there are dates.

    For a network of `net.save`: its outputs. Its inputs are the columns in order; --date takes a
    column of dates out of them, and puts the rows in its order.
    """
    from crnn import archive

    check_output(output, inputs=(model, data))
    of_network = archive.kind(model) in NETWORK_KINDS
    answer = _of_network if of_network else _of_forecaster
    names, rows = answer(model, data, TableOptions(**options))
    write_csv(names, rows, output)


def _of_forecaster(model: Path, data: Path, reading: TableOptions) -> Answer:
    """Return the names and the rows of the predictions of a forecaster or a panel."""
    series = load_series(model, data, reading)
    answer: list[list[str | float]] = []
    for name, forecaster, rows in series:
        show_coming(rows, ", and are left out")
        predictions = forecaster.predict(rows.target, *rows.columns())
        dates = rows.labels()
        for row, (value, prediction) in enumerate(zip(rows.target, predictions, strict=True)):
            before = [*([name] if series.id_column else []), *([dates[row]] if dates else [])]
            # The target as it was read: predictions have fewer digits.
            answer.append([*before, f"{value:.15g}", float(prediction)])
    return [*series.names(None), series.target, "predicted"], answer


def _of_network(model: Path, data: Path, reading: TableOptions) -> Answer:
    """Return the names and the rows of the outputs of a network."""
    import numpy as np

    from crnn.forecasting.tables import date_names

    net, table = load_network(model), reading.table(data)
    dates = date_names(table, reading.date) if reading.date is not None else []
    columns = [name for name in table.names if name not in dates]
    expected = 1 if net.categorical else net.input_size
    text = next((name for name in columns if not table.is_numeric(name)), None)
    if text is not None:
        raise ValueError(
            f"{data}: expected columns of numbers, the inputs of the network, got {text!r} "
            "(--date takes a column of dates out)"
        )
    if len(columns) != expected and not net.categorical:
        plural = "" if expected == 1 else "s"
        raise ValueError(
            f"{data}: expected {expected} column{plural}, the inputs of the network, got "
            f"{', '.join(map(repr, columns)) or 'none'}"
        )
    options = reading.for_rows() | {"use_dates": bool(dates)}
    rows = table.series(columns[0], lagged=columns[1:], **options)
    show_notes(table)
    if rows.coming:
        raise ValueError(
            f"{rows.places[len(rows)]}: expected a number in {columns[0]!r}, got a gap"
        )
    y = net.predict(network_inputs(net, np.column_stack([rows.target, rows.lagged])))
    outputs = y.reshape(-1, y.shape[-1]).tolist()
    labels = rows.labels()
    names = [f"y{number}" for number in range(y.shape[-1])]
    if labels is None:
        return names, outputs
    return [rows.date_name, *names], [[a, *b] for a, b in zip(labels, outputs, strict=True)]
