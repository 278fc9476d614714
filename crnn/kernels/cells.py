"""The table of cells, and the layout of their parameters in one vector."""

import math
from typing import Any, NamedTuple

from crnn._typing import Array


class Cell(NamedTuple):
    """How many blocks of H (hidden units) a cell's arrays are made of."""

    weight_blocks: int
    """In the rows of W_xh and W_hh."""
    bias_blocks: int
    """In b_h and da: pre-activations with a bias and a gradient of their own."""
    state_blocks: int
    """In a state: h, and for an LSTM c after it."""
    gate_blocks: int
    """In what backpropagation reads of a step beside its states. 0: the states are enough."""


# Every cell by name. The steps of `reference` and the loops of `native` compute them; everything
# else, from checks to files, reads this table.
CELLS = {
    "tanh": Cell(weight_blocks=1, bias_blocks=1, state_blocks=1, gate_blocks=0),
    "relu": Cell(weight_blocks=1, bias_blocks=1, state_blocks=1, gate_blocks=0),
    "gru": Cell(weight_blocks=3, bias_blocks=4, state_blocks=1, gate_blocks=4),
    "gru_reset_before": Cell(weight_blocks=3, bias_blocks=3, state_blocks=1, gate_blocks=4),
    "lstm": Cell(weight_blocks=4, bias_blocks=4, state_blocks=2, gate_blocks=4),
}


def get_cell(name: Any) -> Cell:
    """Return a cell's row of `CELLS`, or raise a ValueError."""
    if not isinstance(name, str) or name not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {name!r}")
    return CELLS[name]


def parameter_shapes(cell: str, I: int, H: int, O: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters by name, in the order of the flat vector.

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
        "b_h": (cell_row.bias_blocks * H,),
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
