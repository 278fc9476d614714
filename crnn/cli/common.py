"""Options, checks and output that the commands share."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crnn.forecasting import Forecaster

__all__ = [
    "AT_LEAST_0",
    "AT_LEAST_1",
    "FILE",
    "INPUT",
    "PICTURES",
    "SHOW_DEFAULT",
    "cell",
    "check_output",
    "checked_levels",
    "csv_row",
    "describe_model",
    "progress",
    "seed",
    "split_names",
    "write_csv",
]

SHOW_DEFAULT = {"show_default": True}
FILE = click.Path(dir_okay=False, path_type=Path)
# "-" is the standard input.
INPUT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
AT_LEAST_0, AT_LEAST_1 = click.IntRange(min=0), click.IntRange(min=1)
PICTURES = (".png", ".pdf", ".svg")

cell = click.option(
    "--cell", type=click.Choice(["rnn", "gru", "lstm"]), default="rnn", help="Kind of network."
)
seed = click.option("--seed", type=AT_LEAST_0, default=0, help="Seed of all random numbers.")
progress = click.option(
    "--progress/--no-progress", default=True, help="Whether to show a progress bar."
)


def checked_levels(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Return levels of intervals in percent from text such as "80,95"; None: none were given."""
    if value is None:
        return None
    try:
        levels = tuple(float(word) for word in value.split(","))
    except ValueError:
        levels = ()
    if not levels or len(set(levels)) < len(levels) or not all(0 < x < 100 for x in levels):
        raise click.BadParameter(
            f"expected different numbers between 0 and 100, such as 80,95, got {value!r}"
        )
    return levels


def split_names(names: str) -> list[str]:
    """Return names that are separated by commas; one with a comma in it is quoted."""
    (row,) = csv.reader([names], skipinitialspace=True) if names else [[]]
    return [name.strip() for name in row if name.strip()]


def check_output(
    path: Path | None,
    suffixes: tuple[str, ...] = (),
    *,
    inputs: Iterable[Path | None] = (),
    is_model: bool = False,
) -> None:
    """Check that a file can be written there. Commands call this before they work.

    Parameters
    ----------
    path : Path or None
        None: nothing will be written.
    suffixes : tuple of str
        Those that the file may have; empty: any.
    inputs : iterable of Path or None
        The files that the command reads.
    is_model : bool
        Whether a model will be written, which replaces what is there.

    Raises
    ------
    ValueError
        The folder does not exist or is not writable, the suffix is another one, the file is one of
        those that are read, or a model would replace a device or a pipe.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(f"{path}: expected a path in a folder to write to, got none in {folder}")
    if is_model and path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a path for a file, got a device or a pipe")
    for source in filter(None, inputs):
        if path.exists() and source.exists() and path.samefile(source):
            raise ValueError(f"{path}: expected another file to write to than those that are read")
    if suffixes and path.suffix.lower() not in suffixes:
        *most, last = suffixes
        raise ValueError(
            f"{path}: expected a file ending in {', '.join(most)} or {last}, got {path.name}"
        )


def write_csv(
    names: Iterable[str], rows: Iterable[Iterable[str | float]], output: Path | None
) -> None:
    """Write a table as CSV to a file; None: print it. NaN is empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    if output is None:
        click.echo(lines.getvalue(), nl=False)
    else:
        output.write_text(lines.getvalue(), encoding="utf-8", newline="\n")


def csv_row(values: Iterable[float], digits: int = 10) -> str:
    """Return numbers separated by commas; NaN is empty."""
    return ",".join(_cell(value, digits) for value in values)


def _cell(value: str | float, digits: int = 10) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.{digits}g}"


def describe_model(model: Forecaster) -> str:
    """Return in words how a forecaster forecasts."""
    if not model.share:
        network = "the network added nothing on validation data, and is left out"
    else:
        network = "corrected by the network"
        if model.share != 1:
            network += f", by {model.share:.0%} of its output"
    return f"{model.recipe}; {network}"
