"""The command that runs the demonstrations."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from crnn.cli.common import (
    AT_LEAST_0,
    AT_LEAST_1,
    PICTURES,
    SHOW_DEFAULT,
    check_output,
    progress,
    seed,
)

__all__ = ["demo"]


@click.command(context_settings=SHOW_DEFAULT)
@click.argument(
    "name", type=click.Choice(["sunspots", "digits", "text", "amp"]), default="sunspots"
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=Path("crnn-demo.png"),
    help="File for the picture of sunspots and amp; its suffix (.png, .pdf, .svg) is the format.",
)
@click.option(
    "--epochs", type=AT_LEAST_1, show_default="the demonstration's", help="Passes over the data."
)
@seed
@click.option(
    "--rounds",
    type=AT_LEAST_0,
    show_default="5",
    help="How often sunspots times each implementation; 0 skips it.",
)
@progress
def demo(
    name: str, output: Path, epochs: int | None, seed: int, rounds: int | None, progress: bool
) -> None:
    """Show what a network learns, on data that needs no download.

    sunspots: learn the yearly sunspot numbers of 1700-1979, predict the held-out years 1980-2008
    beside persistence and an autoregression, forecast 2009-2019, compare the speed of the compiled
    kernels with NumPy, and draw crnn-demo.png.

    digits: read scikit-learn's images of digits row by row, and classify them.

    text: read the texts of Python's help() character by character, and continue them.

    amp: learn a guitar amplifier sample by sample, say how much faster than real time a stream is,
    and write crnn-demo.wav, crnn-demo.nam, the network in C as crnn-demo.h, and a picture of the
    signals and their spectra.
    """
    module = importlib.import_module(f"crnn.demos.{name}")
    settings: dict[str, Any] = {"seed": seed, "progress": progress, "echo": click.echo}
    if epochs is not None:
        settings["epochs"] = epochs
    if name in ("sunspots", "amp"):
        try:
            check_output(output, PICTURES)
            for suffix in (".wav", ".nam", ".h") if name == "amp" else ():
                check_output(output.with_suffix(suffix), is_model=True)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="-o") from None
        settings["output"] = output
    if name == "sunspots" and rounds is not None:
        settings["timed_rounds"] = rounds
    module.run(**settings)
