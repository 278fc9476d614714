"""The ``crnn`` command (needs click, tqdm and pandas, the ``cli`` extra)."""

from __future__ import annotations

import importlib
import sys
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
    """Return the ``crnn`` command.

    Returns
    -------
    click.Group
        Imported here, so that importing this package needs no click.
    """
    from crnn.cli.program import crnn

    return crnn
