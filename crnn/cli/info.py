"""The command that describes a model file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crnn.cli.common import FILE, describe_model
from crnn.cli.series import check_said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crnn import GRU, LSTM, RNN
    from crnn.forecasting import Forecaster

__all__ = ["info"]


@click.command()
@click.argument("model", type=FILE)
def info(model: Path) -> None:
    """Describe a model file."""
    import crnn
    from crnn import archive

    kind = archive.kind(model)
    click.echo(f"{model}: a {kind} of crnn")
    readers: dict[str, Callable[[Path], Any]] = {
        "network": crnn.load,
        "fleet": _fleet,
        "learner": _learner,
        "text model": _text_model,
        "forecaster": _forecaster,
        "panel of forecasters": _panel,
        "streaming forecaster": _streaming,
    }
    if kind == "sequential network":
        _echo_parts(crnn.load(model))
    elif kind in readers:
        net = readers[kind](model)
        _echo("network", repr(net))
        _echo("parameters", net.flat_params.size)


def _echo_parts(chain: Any) -> None:
    """Print the parts of a `crnn.Sequential`."""
    import crnn

    sizes = []
    for part in chain:
        if isinstance(part, crnn.Dense):
            sizes.append(part.weight.size + part.bias.size)
        elif not isinstance(part, crnn.LastStep):
            sizes.append(part.flat_params.size)
        _echo("part", repr(part))
    _echo("parameters", sum(sizes))


def _fleet(path: Path) -> Any:
    """Describe a fleet, and return it."""
    import crnn

    fleet: Any = crnn.load(path)
    _echo("models", len(fleet))
    return fleet


def _text_model(path: Path) -> RNN | GRU | LSTM:
    """Describe a text model, and return its network."""
    from crnn.text import load

    model = load(path)
    _echo("vocabulary", f"{len(model.vocabulary)}: {model.vocabulary!r}")
    return model.net


def _learner(path: Path) -> Any:
    """Describe a learner, and return its network."""
    import crnn

    learner = crnn.load_learner(path)
    _echo("optimizer", repr(learner.optimizer))
    _echo("steps", learner.steps)
    return learner.net


def _forecaster(path: Path) -> RNN | GRU | LSTM:
    """Describe a forecaster, and return its network."""
    from crnn.forecasting import load

    model, said = load(path)
    check_said(said, path)
    _echo_said(said)
    _echo("recipe", describe_model(model))
    _echo_intervals(model)
    _echo("needs", f"{model.needed} rows")
    return model.net


def _panel(path: Path) -> RNN | GRU | LSTM:
    """Describe a panel, and return the network of its first model."""
    from crnn.forecasting import Panel

    panel, said = Panel.load(path)
    check_said(said, path)
    _echo_said(said)
    for name, model in panel.items():
        _echo("recipe", f"{name}: {describe_model(model)}")
        _echo_intervals(model)
    _echo("needs", f"{max(model.needed for model in panel.values())} rows")
    return next(iter(panel.values())).net


def _streaming(path: Path) -> RNN | GRU | LSTM:
    """Describe a forecaster that learns online, and return its network."""
    from crnn.forecasting import OnlineForecaster

    model, said = OnlineForecaster.load(path)
    _echo_said(said)
    _echo("learned from", f"{model.rows} rows")
    net: RNN | GRU | LSTM = model.net
    return net


def _echo_intervals(model: Forecaster) -> None:
    """Print what prediction intervals come from, and what no forecast is below."""
    forecasts, steps = model.fitted.errors.shape
    if forecasts:
        _echo("intervals", f"from the errors of {forecasts} forecasts of up to {steps} steps")
    if model.floor is not None:
        _echo("floor", f"{model.floor:g}")


def _echo_said(said: dict[str, Any]) -> None:
    """Print what a file says beside its model."""
    for method, (square, absolute) in (said.pop("scores", None) or {}).items():
        _echo("score", f"{method}: RMSE {square:.4g}, MAE {absolute:.4g}")
    reading = said.pop("reading", None) or {}
    units = [f"{name} in {unit}" for name, unit in (reading.pop("units", None) or {}).items()]
    for name, value in {**reading, "units": ", ".join(units)}.items():
        if value not in (None, False, ""):
            _echo(name.replace("_", " "), value)
    frequency = said.pop("frequency", None)
    if frequency is not None:
        from crnn.forecasting.tables import Frequency

        _echo("rows", Frequency.of(frequency))
    for name, value in said.items():
        if value:
            _echo(name, ", ".join(map(str, value)) if isinstance(value, list) else value)


def _echo(name: str, value: Any) -> None:
    click.echo(f"{name:12s} {value}")
