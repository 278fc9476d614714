"""Recurrent nodes of a model: the cell, the weights and where the first states come from."""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from crnn import ModelFileError
from crnn.onnx.operators import OPERATORS, from_onnx
from crnn.onnx.parts import Weights
from crnn.onnx.tensors import attribute, label, whole

KNOWN_ATTRIBUTES = {
    *("hidden_size", "direction", "activations", "activation_alpha", "activation_beta", "layout"),
    *("linear_before_reset", "input_forget", "output_sequence", "clip"),
}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def direction_of(node: NodeProto) -> str:
    """Return the direction of a recurrent node."""
    direction = attribute(node, "direction", "forward")
    if direction not in DIRECTIONS:
        raise ModelFileError(
            f"{label(node)}: expected direction forward, reverse or bidirectional, got {direction}"
        )
    return str(direction)


def cell_of(node: NodeProto) -> str:
    """Return crnn's name for what a node computes at each step, or raise why there is none."""
    for name in ("activation_alpha", "activation_beta"):
        if attribute(node, name):
            raise ModelFileError(f"{label(node)}: expected no {name}, got {attribute(node, name)}")
    # Zero is how some exporters write that there is none.
    if attribute(node, "clip"):
        raise ModelFileError(f"{label(node)}: expected no clip, got {attribute(node, 'clip'):g}")
    if whole(node, "input_forget"):
        raise ModelFileError(f"{label(node)}: expected input_forget=0, got 1")
    for entry in node.attribute:
        if entry.name not in KNOWN_ATTRIBUTES:
            raise ModelFileError(
                f"{label(node)}: expected attributes that it has, got {entry.name}"
            )
    given = attribute(node, "activations")
    if not (given is None or (isinstance(given, list) and all(type(g) is bytes for g in given))):
        raise ModelFileError(f"{label(node)}: expected activations by name")
    activations = [name.decode("utf-8", "replace").lower() for name in given or ()]
    before = whole(node, "linear_before_reset")
    for cell, form in OPERATORS.items():
        if form.name != node.op_type or form.linear_before_reset not in (None, before):
            continue
        usual = [name.lower() for name in form.activations] * DIRECTIONS[direction_of(node)]
        if activations == usual or (not activations and cell != "relu"):
            return cell
    said = ", ".join(name.decode("utf-8", "replace") for name in given or ())
    raise ModelFileError(f"{label(node)}: expected its usual activations, got {said}")


def weights_of(node: NodeProto, cell: str, inputs: list[Any]) -> list[Weights]:
    """Return the parameters of each direction, as crnn has them."""
    W, R = (
        _constant_floats(node, name, value) for name, value in zip("WR", inputs[1:3], strict=True)
    )
    D, gates, H = DIRECTIONS[direction_of(node)], len(OPERATORS[cell].gates), R.shape[2]
    rows = gates * H
    if R.shape != (D, rows, H) or W.shape[:2] != (D, rows) or 0 in W.shape:
        raise ModelFileError(
            f"{label(node)}: expected W and R of {D} directions and {gates} gates, "
            f"got shapes {W.shape} and {R.shape}"
        )
    B = inputs[3]
    if B is None:
        B = np.zeros((D, 2 * rows), W.dtype)
    if not isinstance(B, np.ndarray) or B.shape != (D, 2 * rows) or B.dtype.kind != "f":
        raise ModelFileError(f"{label(node)}: expected a constant B of shape {(D, 2 * rows)}")
    if whole(node, "hidden_size", H) != H:
        raise ModelFileError(
            f"{label(node)}: expected hidden_size={H}, as R is, got {whole(node, 'hidden_size')}"
        )
    return [Weights(*from_onnx(cell, W[d], R[d], B[d])) for d in range(D)]


def _constant_floats(node: NodeProto, name: str, value: Any) -> npt.NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.dtype.kind != "f":
        raise ModelFileError(f"{label(node)}: expected constant floats {name} of three axes")
    return value


def constant_states(
    node: NodeProto, array: npt.NDArray[Any], D: int, H: int
) -> npt.NDArray[Any] | None:
    """Return first states (D, H) that the model holds for all sequences; None where zero.

    Parameters
    ----------
    array : array (D, batch, H)
        Of any batch: its sequences have the same ones.
    """
    if array.shape[::2] != (D, H) or not array.shape[1] or array.dtype.kind != "f":
        raise ModelFileError(
            f"{label(node)}: expected first states of shape ({D}, batch, {H}), got {array.shape}"
        )
    if not array.any():
        return None
    if (array != array[:, :1]).any():
        raise ModelFileError(f"{label(node)}: expected the same first states for all sequences")
    return np.array(array[:, 0])
