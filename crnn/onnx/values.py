"""What the tensors of a model are, and what of a network they hold."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

# Whether numbers are all zero is asked of no more: each of many nodes may ask it of the same ones.
MOST_ZEROS = 10_000


class RuntimeValue(NamedTuple):
    """A tensor that depends on the inputs, but is neither sequences nor last states."""

    repeated: npt.NDArray[Any] | None = None
    """The numbers that it repeats, where it repeats some."""
    source: str = ""
    """The input of the model that it is, or is a part of."""
    rows: tuple[int, int] | None = None
    """Which rows of that input; None: all."""
    mask_part: str = ""
    """Its part in a mask of the steps before the sequences' ends: "lengths", "steps" or "mask"."""

    @property
    def is_input(self) -> bool:
        """Whether it is an input of the model or some rows of one."""
        return bool(self.source) and not self.mask_part


class Sequences(NamedTuple):
    """The model's first input, or the outputs of some layers."""

    layers: int
    """How many; 0 for the input."""
    axes: tuple[str, ...]
    """"T" for time, "B" for batch, "D" for directions, "F" for features; "0", "1" where open."""
    stage: int = 0
    """1 after the product of the output layer, 2 after its bias."""


class LastStates(NamedTuple):
    """The last states h of the topmost of some layers, or the outputs made of them."""

    layers: int
    axes: tuple[str, ...]
    stage: int = 0


Value: TypeAlias = npt.NDArray[Any] | RuntimeValue | Sequences | LastStates | None
"""An array is a constant of the model; None is an input that a node leaves out."""


class Weights(NamedTuple):
    """The parameters of a layer in one direction, as crnn has them."""

    W_xh: npt.NDArray[Any]
    W_hh: npt.NDArray[Any]
    b_h: npt.NDArray[Any]


class Layer(NamedTuple):
    """A recurrent node."""

    cell: str
    directions: list[Weights]
    first_states: list[npt.NDArray[Any] | RuntimeValue | None]
    """h_0, and for an LSTM c_0: (directions, hidden); an input of the model; or None, for zero."""
    lengths: str
    """The input of the model that holds the sequences' lengths, or "" for none."""

    @property
    def hidden_size(self) -> int:
        """Hidden units of each direction."""
        return int(self.directions[0].W_hh.shape[1])

    @property
    def features(self) -> int:
        """What it hands to the next layer at each step."""
        return len(self.directions) * self.hidden_size


class OutputLayer(NamedTuple):
    """The product above the recurrent layers."""

    W_hy: npt.NDArray[Any]
    b_y: npt.NDArray[Any] | None
    """None as long as none was found."""


@dataclass
class NetworkParts:
    """What has been found of a network."""

    layers: list[Layer] = field(default_factory=list)
    output_layer: OutputLayer | None = None
    size: int = 0
    """How many numbers the constants of the model have."""
    size_of_weights: int = 0
    """How many of them the recurrent nodes have taken, W and R."""
    size_of_copies: int = 0
    """How many numbers have been copied, to change their shape."""
    metadata: set[str] = field(default_factory=set)
    """The names of the entries that are true."""
    result: Value = None
    """The first output of the model."""
    result_name: str = "none"

    @property
    def stage(self) -> int:
        """As of `Sequences`: how far the output layer has been found."""
        if self.output_layer is None:
            return 0
        return 1 if self.output_layer.b_y is None else 2
