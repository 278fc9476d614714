"""The grid of networks that every measurement runs over, and the targets on it."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Sizes of one measurement: time steps, batch, inputs, hidden units, outputs."""

    T: int
    B: int
    I: int
    H: int
    O: int


SIZES = {
    "nano": Sizes(50, 1, 1, 8, 1),
    "tiny": Sizes(100, 1, 8, 32, 4),
    "small": Sizes(100, 16, 16, 64, 8),
    "medium": Sizes(100, 32, 64, 128, 16),
    "charlm": Sizes(128, 32, 65, 256, 65),
    "large": Sizes(100, 64, 128, 512, 64),
    "xl": Sizes(50, 64, 256, 1024, 256),
    "long": Sizes(10000, 1, 1, 32, 1),
}

OPERATIONS = ("train step", "inference", "streaming step")

# By kind of network: blocks of H rows in W_xh and W_hh
BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}
KINDS = tuple(BLOCKS)

# What a full run measures in float64, where the ratios are about those of float32
FLOAT64 = {("RNN", name) for name in ("tiny", "medium", "large")}

# The least ratio of the best peer's median to crnn's in float32, for the operations in the order
# above; 0: no target
GATED_TARGETS = {
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
    "GRU": GATED_TARGETS,
    "LSTM": GATED_TARGETS,
}

# Further targets of a training step: the share of the peak in the products of large and xl, and
# PyTorch's time over crnn's for one sequence of a plain RNN
SHARE_OF_PEAK = 0.6
PYTORCH_RATIO = 100


def operations_count(operation: str, kind: str, sizes: Sizes) -> int:
    """Return the floating-point operations of crnn's products; activations are not counted."""
    T, B, I, H, O = sizes
    blocks = BLOCKS[kind]
    forward = 2 * B * H * (blocks * (I + H) + O)
    if operation == "streaming step":
        return forward
    if operation == "inference":
        return T * forward
    # The weight gradients take as many as the forward pass. The gradient of h needs W_hy and W_hh;
    # that of x is not computed.
    return T * (2 * forward + 2 * B * H * (blocks * H + O))
