"""Commands for texts: text, generate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from crnn.cli.common import (
    AT_LEAST_0,
    AT_LEAST_1,
    FILE,
    INPUT,
    SHOW_DEFAULT,
    cell,
    check_output,
    progress,
    seed,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["generate", "text"]

MIN_CHARACTERS = 100


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("file", type=INPUT)
@cell
@click.option("--hidden", type=AT_LEAST_1, default=256, help="Hidden units of each layer.")
@click.option("--layers", type=AT_LEAST_1, default=1, help="Hidden layers.")
@click.option(
    "--epochs",
    type=AT_LEAST_1,
    show_default="15, up to 40 for short texts",
    help="Times that the text is read.",
)
@seed
@progress
@click.option("-o", "--output", type=FILE, required=True, help="File for the model.")
def text(
    file: Path,
    cell: str,
    hidden: int,
    layers: int,
    epochs: int | None,
    seed: int,
    progress: bool,
    output: Path,
) -> None:
    """Learn to write like a text, character by character.

    The first nine tenths are training data. The report compares the bits per character of the last
    tenth with those of a trigram model.
    """
    from crnn.text import TextModel

    check_output(output, inputs=[file], is_model=True)
    content = _read(file)
    cut = len(content) * 9 // 10
    training, held_out = content[:cut], content[cut:]
    model = TextModel(content, hidden_size=hidden, num_layers=layers, cell=cell, seed=seed)
    model.fit(training, epochs=epochs, progress=progress)
    bits = model.scores(training, held_out)
    click.echo(f"{len(content)} characters, {len(model.vocabulary)} different")
    click.echo(
        f"bits per character on the last tenth: {bits['crnn']:.2f}; trigrams {bits['trigrams']:.2f}"
    )
    if bits["crnn"] > bits["trigrams"]:
        click.echo("Trigrams predict it better: the text is short for a network.")
    model.save(output)
    click.echo(f"written: {output}")


@click.command(context_settings=SHOW_DEFAULT)
@click.argument("model", type=FILE)
@click.option("--prompt", required=True, help="Beginning of the text.")
@click.option("--length", type=AT_LEAST_0, default=500, help="Characters to write.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.7,
    help="Below 1 likely characters become likelier; 0 always takes the likeliest.",
)
@click.option("--seed", type=AT_LEAST_0, show_default="random", help="Seed of what is written.")
def generate(model: Path, prompt: str, length: int, temperature: float, seed: int | None) -> None:
    """Continue a prompt with a model of `crnn text`."""
    from crnn.text import load

    click.echo(load(model).generate(prompt, length, temperature=temperature, seed=seed))


def _read(file: Path) -> str:
    """Return the text in a file, or of the standard input."""
    from crnn.text import decode

    from_input = str(file) == "-"
    # Bytes: a file opened as text would have its line ends translated.
    content = sys.stdin.buffer.read() if from_input else file.read_bytes()
    text = decode(content, str(file))
    if len(text) < MIN_CHARACTERS:
        raise ValueError(f"{file}: expected at least {MIN_CHARACTERS} characters, got {len(text)}")
    return text
