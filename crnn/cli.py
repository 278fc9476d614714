"""The ``crnn`` command (needs click and tqdm, the ``cli`` extra)."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

__all__ = ["command", "main"]


def main() -> None:
    """Run the ``crnn`` command, or say how to install what it needs."""
    for name in ("click", "tqdm"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            sys.exit(f"crnn: the command line needs {name}: pip install 'crnn[cli]'")
    command()(prog_name="crnn")


def command() -> click.Group:
    """Build the ``crnn`` command.

    Returns
    -------
    click.Group
        Made here and not at import, so that importing this module needs no click.
    """
    import click

    from crnn import __version__
    from crnn.demos import sunspots as demo

    @click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    @click.version_option(__version__, prog_name="crnn")
    def crnn() -> None:
        """Small and medium recurrent networks on a CPU. `crnn demo` shows what they do."""

    @crnn.command("demo", context_settings={"show_default": True})
    @click.option(
        "--output",
        "-o",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        default=Path("crnn-demo.png"),
        help="File for the picture; its suffix (.png, .pdf, .svg) decides the format.",
    )
    @click.option(
        "--epochs",
        type=click.IntRange(min=1),
        default=demo.EPOCHS,
        help="Passes over the training windows.",
    )
    @click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        help="Seed of the first weights and of the order of the windows.",
    )
    @click.option(
        "--rounds",
        type=click.IntRange(min=0),
        default=demo.TIMED_ROUNDS,
        help="How often to time each implementation; 0 skips the comparison.",
    )
    @click.option("--progress/--no-progress", default=True, help="Whether to show a progress bar.")
    def run_demo(output: Path, epochs: int, seed: int, rounds: int, progress: bool) -> None:
        """Learn the yearly sunspot numbers, forecast them and draw a picture.

        Trains on 1700-1979, tests on the held-out years 1980-2008 beside persistence and
        an autoregression, forecasts 2009-2019, times the compiled kernels against the NumPy
        ones, and draws crnn-demo.png.
        """
        # Before the work, not after it
        if output.suffix.lower() not in (".png", ".pdf", ".svg"):
            raise click.BadParameter(f"{output} ends in none of .png, .pdf, .svg", param_hint="-o")
        folder = output.absolute().parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise click.BadParameter(f"{folder} is no folder to write to", param_hint="-o")
        demo.run(
            output,
            epochs=epochs,
            seed=seed,
            timed_rounds=rounds,
            progress=progress,
            echo=click.echo,
        )

    return crnn
