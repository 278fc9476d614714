"""The grid of network sizes that every measurement runs over."""

from typing import NamedTuple


class Cell(NamedTuple):
    """Sizes of one measurement: time steps, batch, inputs, hidden units, outputs."""

    T: int
    B: int
    I: int
    H: int
    O: int


CELLS = {
    "nano": Cell(50, 1, 1, 8, 1),
    "tiny": Cell(100, 1, 8, 32, 4),
    "small": Cell(100, 16, 16, 64, 8),
    "medium": Cell(100, 32, 64, 128, 16),
    "charlm": Cell(128, 32, 65, 256, 65),
    "large": Cell(100, 64, 128, 512, 64),
}
