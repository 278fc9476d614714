"""Recurrent nodes of a model: the cell, the weights and where the first states come from."""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto

from crnn import ModelFileError
from crnn.onnx.operators import OPERATORS, from_onnx
from crnn.onnx.tensors import Attributes, integer_attribute, text_attribute, texts_attribute
from crnn.onnx.values import (
    LastStates,
    Layer,
    NetworkParts,
    RuntimeValue,
    Sequences,
    Value,
    Weights,
)

KNOWN_ATTRIBUTES = {
    *("hidden_size", "direction", "activations", "activation_alpha", "activation_beta", "layout"),
    *("linear_before_reset", "input_forget", "output_sequence"),
}
# As in files of crnn: each layer takes some kilobytes, whatever its weights take.
MOST_LAYERS = 1000
# First states of a batch, which are all the same; each of many nodes may read the same ones.
MOST_NUMBERS, MOST_SEQUENCES = 100_000, 100


def recurrent_results(
    operator: str, inputs: list[Value], attributes: Attributes, parts: NetworkParts
) -> list[Value]:
    """Add a layer to the parts, and return what its outputs Y, Y_h and Y_c are."""
    x, W, R, B, lengths, *firsts, peepholes = inputs + [None] * (8 - len(inputs))
    cell = _cell(operator, attributes)
    layout = integer_attribute(attributes, "layout")
    below = _features_below(operator, x, layout, parts)
    if peepholes is not None:
        raise ModelFileError(f"{operator}: expected no peepholes, got an input P")
    if lengths is not None and not (isinstance(lengths, RuntimeValue) and lengths.is_input):
        raise ModelFileError(f"{operator}: expected sequence_lens that are an input of the model")
    weights = _weights(operator, cell, W, R, B, attributes, parts)
    H = weights[0].W_hh.shape[1]
    if integer_attribute(attributes, "hidden_size", H) != H:
        raise ModelFileError(
            f"{operator}: expected hidden_size={H}, as R is, got {attributes['hidden_size'].i}"
        )
    inputs_of_W = weights[0].W_xh.shape[1]
    if below is not None and inputs_of_W != below:
        raise ModelFileError(f"{operator}: expected W of {below} inputs, got {inputs_of_W}")
    first_states = [
        _first_states(operator, value, len(weights), H, layout)
        for value in firsts[: 2 if operator == "LSTM" else 1]
    ]
    source = lengths.source if isinstance(lengths, RuntimeValue) else ""
    parts.layers.append(Layer(cell, weights, first_states, source))
    n = len(parts.layers)
    return [
        Sequences(n, ("T", "D", "B", "F") if layout == 0 else ("B", "T", "D", "F")),
        LastStates(n, ("D", "B", "F") if layout == 0 else ("B", "D", "F")),
        # c_n, which no output layer reads
        RuntimeValue(),
    ]


def _features_below(operator: str, x: Value, layout: int, parts: NetworkParts) -> int | None:
    """Return the features that the layer below hands on; None for the first layer."""
    if not isinstance(x, Sequences) or x.layers != len(parts.layers) or x.stage:
        raise ModelFileError(f"{operator}: expected layers one above the other")
    if x.layers == 0:
        if x.axes[-1] != "F" or len(x.axes) != 3:
            raise ModelFileError(f"{operator}: expected inputs of three axes, got {x.axes}")
        return None
    expected = ("T", "B", "F") if layout == 0 else ("B", "T", "F")
    if x.axes != expected:
        raise ModelFileError(f"{operator}: expected axes {expected}, got {x.axes}")
    return parts.layers[-1].features


def _weights(
    operator: str,
    cell: str,
    W: Value,
    R: Value,
    B: Value,
    attributes: Attributes,
    parts: NetworkParts,
) -> list[Weights]:
    """Return the parameters of each direction."""
    W, R = _constant_floats(operator, "W", W), _constant_floats(operator, "R", R)
    gates, (D, rows, H) = len(OPERATORS[cell].gates), R.shape
    # Each node copies its weights: many that share some would take many times the model's size.
    parts.size_of_weights += W.size + R.size
    if parts.size_of_weights > parts.size:
        raise ModelFileError("expected each layer to have weights of its own")
    if len(parts.layers) == MOST_LAYERS:
        raise ModelFileError(f"expected at most {MOST_LAYERS} layers, got more")
    directions = _directions(attributes)
    if directions != D or rows != gates * H or W.shape[:2] != (D, rows) or 0 in W.shape:
        raise ModelFileError(
            f"{operator}: expected W and R of {directions} directions and {gates} gates, "
            f"got shapes {W.shape} and {R.shape}"
        )
    if B is None:
        B = np.zeros((D, 2 * rows), W.dtype)
    if not isinstance(B, np.ndarray) or B.shape != (D, 2 * rows):
        raise ModelFileError(f"{operator}: expected a constant B of shape {(D, 2 * rows)}")
    return [Weights(*from_onnx(cell, W[d], R[d], B[d])) for d in range(D)]


def _constant_floats(operator: str, name: str, value: Value) -> npt.NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.dtype.kind != "f":
        raise ModelFileError(f"{operator}: expected constant floats {name} of three axes")
    return value


def _directions(attributes: Attributes) -> int:
    return 2 if text_attribute(attributes, "direction", "forward") == "bidirectional" else 1


def _cell(operator: str, attributes: Attributes) -> str:
    """Return crnn's name for what a node computes at each step, or raise why there is none."""
    direction = text_attribute(attributes, "direction", "forward")
    if direction not in ("forward", "bidirectional"):
        raise ModelFileError(
            f"{operator}: expected direction forward or bidirectional, got {direction}"
        )
    if "clip" in attributes:
        raise ModelFileError(f"{operator}: expected no clip, got {attributes['clip'].f:g}")
    for name in ("activation_alpha", "activation_beta"):
        if name in attributes and attributes[name].floats:
            raise ModelFileError(f"{operator}: expected no {name}")
    if integer_attribute(attributes, "input_forget"):
        raise ModelFileError(f"{operator}: expected input_forget=0, got 1")
    for name in attributes:
        if name not in KNOWN_ATTRIBUTES:
            raise ModelFileError(f"{operator}: expected attributes that it has, got {name}")
    if "activations" in attributes and attributes["activations"].type != AttributeProto.STRINGS:
        raise ModelFileError(f"{operator}: expected activations by name")
    activations = texts_attribute(attributes, "activations")
    before = integer_attribute(attributes, "linear_before_reset")
    for cell, form in OPERATORS.items():
        if form.name != operator or form.linear_before_reset not in (None, before):
            continue
        usual = list(form.activations) * _directions(attributes)
        if activations == usual or (activations is None and cell != "relu"):
            return cell
    raise ModelFileError(
        f"{operator}: expected its usual activations, got {', '.join(activations or [])}"
    )


def _first_states(
    operator: str, value: Value, D: int, H: int, layout: int
) -> npt.NDArray[Any] | RuntimeValue | None:
    """Return first states (D, H) that the model holds, or their input; None where they are zero."""
    array: npt.NDArray[Any] | None = None
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, RuntimeValue):
        if value.is_input:
            return value
        array = value.repeated
    elif value is None:
        return None
    if array is None:
        raise ModelFileError(
            f"{operator}: expected first states that are an input of the model, or constants"
        )
    if array.size > max(MOST_NUMBERS, MOST_SEQUENCES * D * H):
        raise ModelFileError(f"{operator}: expected small first states, got {array.size} numbers")
    if not array.any():
        return None
    if array.ndim == 3 and layout == 1:
        array = array.transpose(1, 0, 2)
    if array.ndim == 3 and array.shape[0] == 1:
        array = np.broadcast_to(array, (D, *array.shape[1:]))
    if array.ndim != 3 or array.shape[0] != D or array.shape[2] != H or not array.shape[1]:
        raise ModelFileError(
            f"{operator}: expected first states of shape ({D}, batch, {H}), got {array.shape}"
        )
    if (array != array[:, :1]).any():
        raise ModelFileError(f"{operator}: expected the same first states for all sequences")
    return np.array(array[:, 0])
