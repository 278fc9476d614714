"""Options of the commands that read tables, and what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from crnn.cli.common import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from crnn.forecasting import Table
    from crnn.forecasting.tables import Rows

    Command = TypeVar("Command", bound=Callable[..., Any])

__all__ = ["TableOptions", "check_units", "future_option", "show_notes", "table_options"]

FOUND = "found in the file"
OPTIONS = (
    click.option(
        "--sep",
        metavar="SIGN",
        show_default=FOUND,
        help="Between values: a character, tab or space.",
    ),
    click.option(
        "--decimal", type=click.Choice([".", ","]), show_default=FOUND, help="Decimal sign."
    ),
    click.option(
        "--thousands",
        metavar="SIGN",
        show_default=FOUND,
        help="Between thousands: , . ' or space.",
    ),
    click.option(
        "--encoding",
        metavar="NAME",
        show_default=FOUND,
        help="Such as utf-8, utf-16 or cp1252.",
    ),
    click.option(
        "--header/--no-header",
        default=None,
        show_default="header",
        help="Whether the first row holds the columns' names. Without, they are named 1, 2, ...",
    ),
    click.option(
        "--date",
        metavar="COLUMN",
        show_default=FOUND,
        help="Column of dates; several, such as --date day,time, are read side by side.",
    ),
    click.option("--no-date", is_flag=True, help="Take the rows in order, whatever their dates."),
    click.option(
        "--date-format",
        metavar="FORMAT",
        show_default=FOUND,
        help="How dates are written, such as %d.%m.%y; epoch or epoch-ms for numbers since 1970.",
    ),
    click.option(
        "--dayfirst/--monthfirst",
        "day_first",
        default=None,
        show_default=FOUND,
        help="Whether 01/02/2023 is 1 February.",
    ),
    click.option(
        "--fill",
        type=click.Choice(["previous", "linear", "zero"]),
        show_default="refused",
        help="Fill missing dates and empty cells; zero is for the target alone.",
    ),
    click.option(
        "--sum",
        "combine",
        flag_value="sum",
        default=None,
        help="Sum the target over rows of one date.",
    ),
    click.option(
        "--mean",
        "combine",
        flag_value="mean",
        default=None,
        help="Average the target over rows of one date.",
    ),
)

future_option = click.option(
    "--future",
    type=INPUT,
    help="File with the coming rows of the columns that are known ahead.",
)


def table_options(command: Command) -> Command:
    """Add the options of tables to a command. What is not given is found in the file."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


class TableOptions(NamedTuple):
    """What was said about a table on the command line; None: nothing.

    They are arguments of `crnn.forecasting.read_csv` and of `crnn.forecasting.tables.Options`.
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    date: str | None = None
    no_date: bool = False
    date_format: str | None = None
    day_first: bool | None = None
    fill: str | None = None
    combine: str | None = None

    def table(self, path: Path, usual: dict[str, Any] | None = None) -> Table:
        """Read a file. `usual`: what the method `usual` returned for the table of `crnn fit`."""
        from crnn.forecasting import read_csv

        usual = usual or {}
        table = read_csv(
            path,
            sep=self.sep,
            decimal=self.decimal,
            thousands=self.thousands,
            encoding=self.encoding,
            header=usual.get("header") if self.header is None else self.header,
        )
        learned = usual.get("sep")
        # A file with another separator was written by another program.
        if len(table.names) == 1 or learned in (None, _separator(table)):
            table.usual_decimal = usual.get("decimal")
        return table

    def for_rows(self, usual: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the fields of `Options`, those of `usual` where nothing else was said."""
        usual = usual or {}

        def chosen(name: str) -> Any:
            said = getattr(self, name)
            return usual.get(name) if said is None else said

        no_date = self.no_date or (usual.get("no_date", False) and self.date is None)
        return {
            "date": None if no_date else chosen("date"),
            "use_dates": not no_date,
            "date_format": chosen("date_format"),
            "day_first": self.day_first,
            "usual_day_first": usual.get("day_first"),
            "fill": chosen("fill"),
            "combine": chosen("combine"),
        }

    def usual(self, table: Table, rows: Rows) -> dict[str, Any]:
        """Return what a model's file keeps, so that forecasts read tables as `fit` did."""
        target = rows.options.target
        units = {name: table.unit(name) for name in rows.options.columns}
        return {
            "header": self.header,
            "sep": _separator(table) if len(table.names) > 1 else None,
            "decimal": table.shown_decimal(target),
            "units": {name: unit for name, unit in units.items() if unit},
            "date": rows.date_name or None,
            "no_date": self.no_date,
            "date_format": self.date_format,
            "day_first": rows.day_first,
            "fill": self.fill,
            "combine": self.combine,
        }


def check_units(table: Table, names: Sequence[str], usual: dict[str, Any]) -> None:
    """Check that columns are in the units that a model has learned from.

    Raises
    ------
    ValueError
        One is in per cent and the other is not, or they are in two currencies.
    """
    if usual.get("units") is None:
        return
    for name in names:
        unit, found = usual["units"].get(name, ""), table.unit(name)
        if found == unit or ("%" not in (found, unit) and not (found and unit)):
            continue
        expected = (
            "in percent" if unit == "%" else f"in {unit}" if unit else "without a percent sign"
        )
        raise ValueError(
            f"{table.source}: expected numbers {expected} in {name!r}, as the model has learned "
            f"from, got {table.cells[name].iloc[0]!r}"
        )


def _separator(table: Table) -> str:
    """Return the separator of a table, or the word for it."""
    return {"\t": "tab", " ": "space"}.get(table.dialect.sep, table.dialect.sep)


def show_notes(table: Table) -> None:
    """Print to the standard error what was done to a table."""
    for sentence in table.notes:
        click.echo(sentence, err=True)
    table.notes.clear()
