"""The grid of networks that every measurement runs over, and what is aimed at on it."""

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
    "xl": Cell(50, 64, 256, 1024, 256),
    "long": Cell(10000, 1, 1, 32, 1),
}

OPERATIONS = ("train step", "inference", "streaming step")

FLOAT64_CELLS = ("tiny", "medium", "large")

# By kind of network: rows of W_xh and W_hh for each hidden unit
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
KINDS = tuple(GATES)

# Best peer's median over crnn's, float32, by operation in the order above; 0: none
OF_GATED = {
    **dict.fromkeys(("nano", "tiny", "long"), (3, 3, 8)),
    **dict.fromkeys(("small", "medium"), (3, 3, 0)),
    "charlm": (2.5, 2.5, 0),
    "large": (1.4, 1.4, 0),
    "xl": (1.4, 1.4, 0),
}
TARGETS = {
    "RNN": {
        "nano": (3, 8, 8),
        "tiny": (5, 6, 8),
        "small": (5, 5, 6),
        "medium": (4, 2.5, 2.5),
        "charlm": (3, 2.2, 2),
        "large": (1.5, 1.5, 1.2),
        "xl": (1.4, 1.4, 1.2),
        "long": (7, 6, 8),
    },
    "GRU": OF_GATED,
    "LSTM": OF_GATED,
}


def flops(operation: str, kind: str, cell: Cell) -> int:
    """Return the floating-point operations of the products that crnn computes; tanh not counted."""
    T, B, I, H, O = cell
    G = GATES[kind]
    forward = 2 * B * H * (G * (I + H) + O)
    if operation == "streaming step":
        return forward
    if operation == "inference":
        return T * forward
    # The weight gradients take as many as the forward pass; towards h there are W_hy and W_hh, and
    # nothing goes on towards x.
    return T * (2 * forward + 2 * B * H * (G * H + O))
