"""Networks beyond the grid, beside PyTorch's: `python -m benchmarks.speed.shapes`.

Few sequences of many units, many sequences of few, several layers and directions, and sequences of
different lengths, for which PyTorch packs them.
"""

from typing import NamedTuple

import numpy as np

import crnn

OUTPUTS = 8
OPERATIONS = ("inference", "train step")


class Shape(NamedTuple):
    """Time steps, batch, inputs, hidden units, layers, directions and the shortest length."""

    T: int
    B: int
    I: int
    H: int
    layers: int = 1
    directions: int = 1
    shortest: int | None = None

    def __str__(self) -> str:
        """Return the sizes, and what differs from a simple layer."""
        text = f"T {self.T}, B {self.B}, I {self.I}, H {self.H}"
        if self.layers > 1:
            text += f", {self.layers} layers"
        if self.directions > 1:
            text += ", bidirectional"
        return text + (f", lengths from {self.shortest}" if self.shortest else "")


# The least ratio of PyTorch's time to crnn's by kind, for the operations in the order above
SHAPES = {
    Shape(200, 1, 64, 1024): {"LSTM": (1.2, 1.2), "GRU": (3, 7), "RNN": (1.3, 2.5)},
    Shape(100, 4, 64, 512): {"LSTM": (1.1, 1.3), "RNN": (3.4, 4.3)},
    Shape(1000, 1, 8, 256): {"LSTM": (1.5, 1.5)},
    Shape(100, 32, 128, 128, 2, 2, 20): {"LSTM": (1.7, 3), "GRU": (1.6, 3.2), "RNN": (1.7, 3)},
    Shape(20, 1024, 32, 32): {"LSTM": (1.6, 2.8)},
    Shape(100, 32, 128, 128, 2): {"LSTM": (1.15, 2)},
}


def network(kind: str, shape: Shape) -> crnn.RNN | crnn.GRU | crnn.LSTM:
    """Return a network with the same weights each time."""
    return getattr(crnn, kind)(
        shape.I,
        shape.H,
        OUTPUTS,
        num_layers=shape.layers,
        bidirectional=shape.directions == 2,
        seed=0,
        implementation="native",
    )


def data(shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return x (B, T, I), targets (B, T, OUTPUTS), and lengths in no order or None."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((shape.B, shape.T, shape.I)).astype(np.float32)
    y = rng.standard_normal((shape.B, shape.T, OUTPUTS)).astype(np.float32)
    if shape.shortest is None:
        return x, y, None
    lengths = np.linspace(shape.shortest, shape.T, shape.B).round().astype(np.int64)
    return x, y, rng.permutation(lengths)
