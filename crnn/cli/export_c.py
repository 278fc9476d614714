"""The command that writes a network as a C header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crnn.cli.common import FILE, check_output
from crnn.cli.networks import load_network

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["export_c"]


@click.command("export-c")
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The header, such as pump.h.")
@click.option("--name", help="What names in it begin with.  [default: the header's name]")
@click.option(
    "--weights", type=click.Choice(["bfloat16", "int8"]), help="Round the weights to fewer bytes."
)
@click.option("--test", is_flag=True, help="Write a program, too, that tests the header.")
@click.option("--force", is_flag=True, help="Replace files that this command has not written.")
def export_c(
    model: Path, output: Path, name: str | None, weights: str | None, test: bool, force: bool
) -> None:
    """Write a network or a chain of `net.save` as a header in C.

    It needs no library, and is C99 and C++11. Its comments say how to use it.
    """
    import crnn

    check_output(output, inputs=(model,), is_model=True)
    net = load_network(model)
    written = crnn.export_c(net, output, name=name, weights=weights, test=test, overwrite=force)
    click.echo(
        f"{written.path}: {written.flash} bytes of constants, {written.ram} of state, "
        f"{written.stack} on the stack"
    )
    if written.test_path is not None:
        click.echo(f"{written.test_path}: tests it")
