"""What of a network a model holds: recurrent layers, dense layers, and the order they come in."""

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt


class Weights(NamedTuple):
    """The parameters of a layer in one direction, as crnn has them."""

    W_xh: npt.NDArray[Any]
    W_hh: npt.NDArray[Any]
    b_h: npt.NDArray[Any]


class StateInput(NamedTuple):
    """First states that are an input of the model."""

    name: str
    row: int
    """The first of its (layers * directions) rows that the layer takes."""
    rows: int
    """How many rows it has."""


FirstState: TypeAlias = npt.NDArray[Any] | StateInput | None
"""h_0 or c_0 of a layer: (directions, hidden); an input of the model; or None, for zero."""


class Layer(NamedTuple):
    """A recurrent layer."""

    cell: str
    forward: Weights | None
    backward: Weights | None
    first_states: tuple[FirstState, ...]
    """h_0, and for an LSTM c_0."""
    lengths: str
    """The input of the model that holds the sequences' lengths, or "" for none."""
    is_categorical: bool = False
    """Whether it reads the numbers of categories, each of which has a column of W_xh."""

    @property
    def directions(self) -> list[Weights]:
        """The weights that there are."""
        return [weights for weights in (self.forward, self.backward) if weights is not None]

    @property
    def hidden_size(self) -> int:
        """Hidden units of each direction."""
        return int(self.directions[0].W_hh.shape[1])

    @property
    def outputs(self) -> int:
        """What it hands on at each step."""
        return len(self.directions) * self.hidden_size


class Embedding(NamedTuple):
    """The row of a table that a category number says, at each step by itself."""

    table: npt.NDArray[Any]
    """(categories, outputs)"""

    @property
    def outputs(self) -> int:
        """What it hands on at each step."""
        return int(self.table.shape[1])


class Affine(NamedTuple):
    """activation(weight x + bias) at each step, by itself."""

    weight: npt.NDArray[Any]
    """(outputs, inputs), or (features,) where each feature is scaled."""
    bias: npt.NDArray[Any]
    activation: str | None = None

    @property
    def outputs(self) -> int:
        """What it hands on at each step."""
        return len(self.weight)


Part: TypeAlias = Layer | Affine
Result: TypeAlias = Literal["all steps", "last states", "last step"]
"""What of the last part's outputs the model returns.

Last states are those of all directions. Of a layer that reads forward alone they are the last step.
"""


class Chain(NamedTuple):
    """All parts in the order of reading."""

    parts: tuple[Part, ...]
    result: Result


def are_equal(one: Any, other: Any) -> bool:
    """Return whether two parts, or what they hold, are the same numbers."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, tuple):
        return (
            type(one) is type(other)
            and len(one) == len(other)
            and all(are_equal(a, b) for a, b in zip(one, other, strict=True))
        )
    return bool(one == other)
