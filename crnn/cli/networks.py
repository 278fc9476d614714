"""What a network of `net.save` reads from rows of numbers, for several commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from crnn import GRU, LSTM, RNN, Sequential

__all__ = ["NETWORK_KINDS", "network_inputs"]

NETWORK_KINDS = ("network", "sequential network")
"""The kinds of files that `crnn.load` reads."""


def network_inputs(
    net: RNN | GRU | LSTM | Sequential, rows: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """Return what a network reads: features, or for a categorical one its category numbers."""
    if net.categorical and rows.shape[-1] == 1 and (rows % 1 == 0).all():
        return rows[..., 0].astype(int)
    return rows
