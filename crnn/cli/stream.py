"""The command that answers each line of the standard input."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import click

from crnn.cli.common import FILE, SHOW_DEFAULT, csv_row
from crnn.cli.lines import NUMBER, lines_of_standard_input, sentence
from crnn.cli.networks import NETWORK_KINDS, load_network, network_inputs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["stream"]

# Between numbers, where nothing else is said; a decimal comma separates nothing.
SEPARATORS = {".": r"\s*[,;]\s*|\s+", ",": r"\s*;\s*|\s+"}


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("model", type=FILE)
@click.option(
    "--sep",
    metavar="SIGN",
    show_default="commas, semicolons, tabs or spaces",
    help="Between the numbers of a line: a character, tab or space.",
)
@click.option("--decimal", type=click.Choice([".", ","]), default=".", help="Decimal sign.")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    help="What to do at a line that cannot be read.",
)
def stream(model: Path, sep: str | None, decimal: str, on_error: str) -> None:
    """Answer each line of the standard input at once.

    For a model of `crnn fit`: a line is the target and then the lagged columns of a row, and then
    the known columns of the next row. The answer is the prediction of the next row's target. It is
    empty until enough rows have come. For a network of `net.save`: a line is its inputs, the answer
    its outputs.

    Every line gets a line. One that cannot be read, such as a line of names, an empty one or one
    with nan, gets an empty line and a sentence on the standard error; the model does not see it.
    With --on-error stop it ends the stream, with exit code 2.
    """
    from crnn import archive, checks

    if decimal == sep:
        raise ValueError(f"sep: expected another sign than --decimal, got {sep!r}")
    pattern = SEPARATORS[decimal] if sep is None else _pattern(sep)
    network = archive.kind(model) in NETWORK_KINDS
    width, answer = _network_stream(model) if network else _forecaster_stream(model)
    for number, line in enumerate(lines_of_standard_input(), 1):
        try:
            with checks.within(f"line {number}"):
                answered = answer(_numbers(line.strip(), width, pattern, decimal))
        except (ValueError, TypeError) as error:
            if on_error == "stop":
                raise
            click.echo(sentence(error), err=True)
            answered = ""
        click.echo(answered)


def _pattern(sep: str) -> str:
    """Return the pattern of a separator."""
    from crnn.forecasting.tables import dialects

    sign = dialects.separator(sep)
    return r" +" if sign == " " else rf" *{re.escape(sign)} *"


def _numbers(line: str, width: int, pattern: str, decimal: str) -> list[float]:
    """Return the numbers of a line, which may end in a separator."""
    words = re.split(pattern, line)
    if len(words) > 1 and not words[-1]:
        del words[-1]
    if decimal == ",":
        words = ["" if "." in word else word.replace(",", ".") for word in words]
    row = [float(word) if NUMBER.fullmatch(word) else math.nan for word in words]
    if len(row) != width or not all(map(math.isfinite, row)):
        raise ValueError(f"expected {width} {'number' if width == 1 else 'numbers'}, got {line!r}")
    return row


def _network_stream(model: Path) -> tuple[int, Callable[[list[float]], str]]:
    """Return how many numbers a line has, and what answers it."""
    import numpy as np

    net = load_network(model)
    stream = net.stream()

    def answer(row: list[float]) -> str:
        return csv_row(stream.step(network_inputs(net, np.array(row))), digits=7)

    return 1 if net.categorical else net.input_size, answer


def _forecaster_stream(model: Path) -> tuple[int, Callable[[list[float]], str]]:
    """Return how many numbers a line has, and what answers it."""
    from crnn.forecasting import load

    forecaster, _ = load(model)
    stream = forecaster.stream()
    lagged = forecaster.num_lagged

    def answer(row: list[float]) -> str:
        return csv_row([stream.step(row[0], row[1 : 1 + lagged], row[1 + lagged :])])

    return 1 + lagged + forecaster.num_known, answer
