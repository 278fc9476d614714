"""What a network of `net.save` reads from rows of numbers, for several commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from crnn import GRU, LSTM, RNN, Sequential

__all__ = ["NETWORK_KINDS", "load_network", "network_inputs"]

NETWORK_KINDS = ("network", "sequential network")
"""The kinds of files of one network or a chain."""


def load_network(path: Path) -> RNN | GRU | LSTM | Sequential:
    """Return the network or the chain of a file."""
    import crnn

    net = crnn.load(path)
    if isinstance(net, crnn.Fleet):
        raise ValueError(f"{path}: expected one network, got a fleet of {len(net)}")
    return net


def network_inputs(
    net: RNN | GRU | LSTM | Sequential, rows: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """Return what a network reads: features, or for a categorical one its category numbers."""
    if net.categorical and rows.shape[-1] == 1 and (rows % 1 == 0).all():
        return rows[..., 0].astype(int)
    return rows
