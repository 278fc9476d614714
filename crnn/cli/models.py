"""Models of both kinds and the rows that they read, for several commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from crnn import GRU, LSTM, RNN
    from crnn.forecasting import Forecaster

    Floats = npt.NDArray[np.float64]

__all__ = ["load_with_rows", "network_inputs"]


def load_with_rows(model: Path, data: Path) -> tuple[Forecaster, str, Floats, Floats]:
    """Return a forecaster, the name of its target, and the columns that it reads."""
    from crnn.forecasting import load, tables

    forecaster, said = load(model)
    target, features = said.get("target"), said.get("features")
    if not isinstance(target, str) or not isinstance(features, list):
        raise ValueError(
            f"{model}: expected a model that says which columns it reads, as those of crnn fit do"
        )
    table = tables.read(data)
    series = tables.column(table, target, data)
    return forecaster, target, series, tables.columns(table, features, data)


def network_inputs(net: RNN | GRU | LSTM, rows: Floats) -> npt.NDArray[Any]:
    """Return what a network reads: features, or for a categorical one its category numbers."""
    if net.categorical and rows.shape[-1] == 1 and (rows % 1 == 0).all():
        return rows[..., 0].astype(int)
    return rows
