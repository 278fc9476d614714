"""Models of `crnn fit` and the series that they read, for several commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from crnn.cli.tables import check_units, show_notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crnn.cli.tables import TableOptions
    from crnn.forecasting import Forecaster
    from crnn.forecasting.tables import Rows

__all__ = ["LoadedSeries", "check_said", "load_series", "show_coming", "show_wild"]

# Wild rows that are named one by one
MOST_SHOWN = 5
PANEL = "panel of forecasters"


@dataclass
class LoadedSeries:
    """A model file and the rows for it.

    Attributes
    ----------
    models : mapping of str to Forecaster
        By the name of the series; "" where there is one without a name.
    rows : dict of Rows
        By name.
    said : dict
        What the file says beside the models.
    """

    models: Mapping[str, Forecaster]
    rows: dict[str, Rows]
    said: dict[str, Any]

    @property
    def target(self) -> str:
        """The column that is forecast."""
        return str(self.said["target"])

    @property
    def id_column(self) -> str | None:
        """The column of the names of series."""
        column: str | None = self.said.get("id")
        return column

    def __iter__(self) -> Iterator[tuple[str, Forecaster, Rows]]:
        """Return name, model and rows of each series."""
        for name, rows in self.rows.items():
            yield name, self.models[name], rows

    def names(self, counter: str | None) -> list[str]:
        """Return the names of the columns before the numbers of an answer: series and dates.

        Parameters
        ----------
        counter : str or None
            Name of the column of row numbers where there are no dates; None: there is none.
        """
        first = next(iter(self.rows.values()))
        dated = [first.date_name] if first.dates is not None else [counter] if counter else []
        return [*([self.id_column] if self.id_column else []), *dated]


def check_said(said: dict[str, Any], path: Path) -> None:
    """Check what a model's file says beside the model, where it is of `crnn fit`.

    Raises
    ------
    ModelFileError
        It says something else than `crnn fit` does.
    """
    from crnn import ModelFileError, archive

    text, truth = archive.optional(archive.text()), archive.optional(archive.boolean())
    names = archive.optional(archive.list_of(archive.text()))
    by_name = archive.optional(archive.nested())
    pair = archive.Field(
        "two numbers", lambda value: type(value) is list and list(map(type, value)) == [float] * 2
    )
    reading = dict.fromkeys(("sep", "decimal", "date", "date_format", "fill", "combine"), text)
    reading |= dict.fromkeys(("header", "no_date", "day_first"), truth) | {"units": by_name}
    try:
        archive.check_fields(
            said,
            dict.fromkeys(("target", "id"), text)
            | dict.fromkeys(("known", "lagged", "features"), names)
            | {"scores": by_name, "reading": archive.optional(archive.nested(reading))},
        )
        scores, units = said.get("scores") or {}, (said.get("reading") or {}).get("units") or {}
        archive.check_fields(scores, dict.fromkeys(scores, pair), "scores.")
        archive.check_fields(units, dict.fromkeys(units, archive.text()), "reading.units.")
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None


def load_series(
    model: Path, data: Path, reading: TableOptions, future: Path | None = None
) -> LoadedSeries:
    """Read a model of `crnn fit`, and the columns of a table that it reads.

    Raises
    ------
    ValueError
        The file does not say which columns it reads, or the table does not have them.
    """
    from crnn import archive
    from crnn.forecasting import Panel, load
    from crnn.forecasting.tables import Frequency, read_series

    models: Mapping[str, Forecaster]
    if archive.kind(model) == PANEL:
        models, said = Panel.load(model)
    else:
        forecaster, said = load(model)
        models = {"": forecaster}
    check_said(said, model)
    # Files of the first version call lagged columns features.
    target, lagged = said.get("target"), said.get("lagged", said.get("features"))
    known, usual = said.get("known", []), said.get("reading") or {}
    if target is None or lagged is None or known is None:
        raise ValueError(
            f"{model}: expected a model that says which columns it reads, as those of crnn fit do"
        )
    table = reading.table(data, usual)
    coming = None if future is None else reading.table(future, usual)
    id_column = said.get("id")
    frequency = said.get("frequency")
    series = read_series(
        table,
        target,
        by=id_column,
        future=coming,
        known=known,
        lagged=lagged,
        frequency=None if frequency is None else Frequency.of(frequency),
        **reading.for_rows(usual),
    )
    check_units(table, [target, *known, *lagged], usual)
    if coming is not None:
        check_units(coming, known, usual)
    for name in series:
        if name not in models:
            raise ValueError(
                f"{data}: expected names in {id_column!r} that the model knows, got {name!r}"
            )
    missing = [name for name in models if name not in series]
    if missing:
        table.note(f"{data}: no rows of {', '.join(map(repr, missing))} in {id_column!r}")
    show_notes(table)
    loaded = LoadedSeries(models, series, {**said, "target": target})
    for _, forecaster, rows in loaded:
        show_wild(forecaster, rows)
    return loaded


def show_coming(rows: Rows, then: str) -> None:
    """Print to the standard error that rows at the end have no target, and what becomes of them."""
    if rows.coming:
        click.echo(
            f"{rows.places[len(rows)]}: rows from here on have no {rows.options.target!r}{then}: "
            f"{rows.coming}",
            err=True,
        )


def show_wild(model: Forecaster, rows: Rows) -> None:
    """Print to the standard error which rows look wild."""
    wild = model.wild(rows.target, *rows.columns())
    for row in wild[:MOST_SHOWN]:
        click.echo(
            f"{rows.places[row]}: {rows.target[row]:.6g} in {rows.options.target!r} looks wild, "
            "and counts little",
            err=True,
        )
    if len(wild) > MOST_SHOWN:
        click.echo(f"{len(wild) - MOST_SHOWN} more rows look wild", err=True)
