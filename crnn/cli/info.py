"""The command that describes a model file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crnn.cli.common import FILE, describe_model

if TYPE_CHECKING:
    from pathlib import Path

    from crnn import GRU, LSTM, RNN

__all__ = ["info"]


@click.command()
@click.argument("model", type=FILE)
def info(model: Path) -> None:
    """Describe a model file."""
    import crnn
    from crnn import archive

    kind = archive.kind(model)
    click.echo(f"{model}: a {kind} of crnn")
    readers = {"network": crnn.load, "text model": _text_model, "forecaster": _forecaster}
    if kind in readers:
        net = readers[kind](model)
        _echo("network", repr(net))
        _echo("parameters", net.flat_params.size)


def _text_model(path: Path) -> RNN | GRU | LSTM:
    """Describe a text model, and return its network."""
    from crnn.text import load

    model = load(path)
    _echo("vocabulary", f"{len(model.vocabulary)}: {model.vocabulary!r}")
    return model.net


def _forecaster(path: Path) -> RNN | GRU | LSTM:
    """Describe a forecaster, and return its network."""
    from crnn.forecasting import load

    model, said = load(path)
    for name, value in said.items():
        if isinstance(value, dict):
            for method, (square, absolute) in value.items():
                _echo("score", f"{method}: RMSE {square:.4g}, MAE {absolute:.4g}")
        elif value:
            _echo(name, ", ".join(value) if isinstance(value, list) else value)
    _echo("recipe", describe_model(model))
    _echo("needs", f"{model.needed} rows")
    return model.net


def _echo(name: str, value: Any) -> None:
    click.echo(f"{name:12s} {value}")
