"""The command that answers each line of the standard input."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import click

from crnn.cli.common import FILE, csv_row
from crnn.cli.models import network_inputs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["stream"]


@click.command()
@click.argument("model", type=FILE)
def stream(model: Path) -> None:
    """Answer each line of the standard input at once.

    For a model of `crnn fit`: a line is the target and then the features of a row, the answer is
    the prediction of the next row's target. It is empty until enough rows have come. For a network
    of `net.save`: a line is its inputs, the answer its outputs. Numbers are separated by commas or
    spaces.
    """
    from crnn import archive, checks

    network = archive.kind(model) == "network"
    width, answer = _network_stream(model) if network else _forecaster_stream(model)
    for number, line in enumerate(sys.stdin, 1):
        with checks.within(f"line {number}"):
            click.echo(answer(_numbers(line, width)))


def _numbers(line: str, width: int) -> list[float]:
    """Return the numbers of a line."""
    try:
        row = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        row = []
    if len(row) != width or not all(map(math.isfinite, row)):
        raise ValueError(f"expected {width} numbers, got {line.strip()!r}") from None
    return row


def _network_stream(model: Path) -> tuple[int, Callable[[list[float]], str]]:
    """Return how many numbers a line has, and what answers it."""
    import numpy as np

    import crnn

    net = crnn.load(model)
    stream = net.stream()

    def answer(row: list[float]) -> str:
        return csv_row(stream.step(network_inputs(net, np.array(row))), digits=7)

    return 1 if net.categorical else net.input_size, answer


def _forecaster_stream(model: Path) -> tuple[int, Callable[[list[float]], str]]:
    """Return how many numbers a line has, and what answers it."""
    from crnn.forecasting import load

    forecaster, _ = load(model)
    stream, known = forecaster.stream(), 1 + forecaster.num_lagged

    def answer(row: list[float]) -> str:
        return csv_row([stream.step(row[0], row[1:known], row[known:])])

    return known + forecaster.num_known, answer
