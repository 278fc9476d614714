"""The grid of networks that every measurement runs over."""

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
