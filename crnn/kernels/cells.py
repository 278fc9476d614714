"""The table of cells, and the layout of their parameters in one vector."""

import itertools
import math
from typing import Any, NamedTuple

from crnn._typing import Array


class Cell(NamedTuple):
    """How many blocks of H (hidden units) a cell's arrays are made of."""

    kind: str
    """The cell's step: a key of `reference.steps.STEPS`, and in native code a `CellKind`."""
    weight_blocks: int
    """In the rows of W_xh and W_hh."""
    bias_blocks: int
    """In b_h: pre-activations with a bias of their own."""
    da_blocks: int
    """In da: what has a gradient of its own at each step, the pre-activations and a trained leak.
    """
    state_blocks: int
    """In a state: h, and for an LSTM c after it."""
    gate_blocks: int
    """In what backpropagation reads of a step beside its states. 0: the states are enough."""
    leak_blocks: int = 0
    """Of leaks after the biases in b_h: 1 where each unit has its own."""
    shared_leaks: int = 0
    """1 where all units share one, which follows the biases in b_h."""

    @property
    def has_leak(self) -> bool:
        """Whether states leak: a share of each stays at a step."""
        return bool(self.leak_blocks or self.shared_leaks)

    @property
    def trains_leak(self) -> bool:
        """Whether there is a leak that is trained."""
        return self.da_blocks > self.bias_blocks

    def leak_count(self, H: int) -> int:
        """Return how many leaks a layer of H units has."""
        return self.leak_blocks * H + self.shared_leaks

    def bias_count(self, H: int) -> int:
        """Return the size of b_h, with the leaks after the biases."""
        return self.bias_blocks * H + self.leak_count(H)


def _cell(kind: str, weights: int, biases: int, states: int, gates: int) -> Cell:
    return Cell(kind, weights, biases, biases, states, gates)


def leaky_name(kind: str, *, each: bool, trained: bool) -> str:
    """Return the name of a leaky cell, with a leak for each unit or one for all."""
    return kind + ("_each" if each else "") + ("_trained" if trained else "")


def _leaky_cell(kind: str, *, each: bool, trained: bool) -> Cell:
    return Cell(
        kind, weight_blocks=1, bias_blocks=1, da_blocks=1 + trained, state_blocks=1, gate_blocks=1,
        leak_blocks=int(each), shared_leaks=int(not each),
    )  # fmt: skip


# Every cell by name. The steps of `reference` and the loops of `native` compute them; everything
# else, from checks to files, reads this table.
CELLS = {
    "tanh": _cell("tanh", weights=1, biases=1, states=1, gates=0),
    "relu": _cell("relu", weights=1, biases=1, states=1, gates=0),
    "gru": _cell("gru", weights=3, biases=4, states=1, gates=4),
    "gru_reset_before": _cell("gru_reset_before", weights=3, biases=3, states=1, gates=4),
    "lstm": _cell("lstm", weights=4, biases=4, states=2, gates=4),
}
# A leak that all units share, or one a unit; fixed or trained
for _kind, _each, _trained in itertools.product(
    ("leaky_tanh", "leaky_relu"), (False, True), (False, True)
):
    CELLS[leaky_name(_kind, each=_each, trained=_trained)] = _leaky_cell(
        _kind, each=_each, trained=_trained
    )


def get_cell(name: Any) -> Cell:
    """Return a cell's row of `CELLS`, or raise a ValueError."""
    if not isinstance(name, str) or name not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {name!r}")
    return CELLS[name]


def parameter_shapes(cell: str, I: int, H: int, O: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters by name, in the order of the flat vector.

    Leaks are the end of b_h.

    Parameters
    ----------
    cell : str
        A name in `CELLS`.
    I, H, O : int
        Inputs, hidden units, outputs. O = 0: no output layer.
    """
    cell_row = CELLS[cell]
    shapes: dict[str, tuple[int, ...]] = {
        "W_xh": (cell_row.weight_blocks * H, I),
        "W_hh": (cell_row.weight_blocks * H, H),
        "b_h": (cell_row.bias_count(H),),
    }
    return shapes | {"W_hy": (O, H), "b_y": (O,)} if O else shapes


def parameter_count(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the size of the flat vector of parameters of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def views(flat: Array, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return views of a flat vector by name: its parts one after another, in these shapes."""
    parts, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        parts[name] = flat[start:end].reshape(shape)
        start = end
    return parts
