"""A network from the parts that were found in a model."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN, Architecture, ModelFileError, from_architecture
from crnn.onnx.operators import CATEGORICAL, TRAINABLE_H0
from crnn.onnx.values import LastStates, NetworkParts, RuntimeValue, Sequences


def build_network(
    parts: NetworkParts, *, categorical: bool | None, implementation: str | None
) -> RNN | GRU | LSTM:
    """Return a network with the weights of the parts, or raise a ModelFileError.

    Parameters
    ----------
    parts : NetworkParts
    categorical : bool or None
        None: as the model's metadata say.
    implementation : str or None
    """
    _check(parts)
    first = parts.layers[0]
    has_constant_states = any(
        isinstance(state, np.ndarray) for layer in parts.layers for state in layer.first_states
    )
    architecture = Architecture(
        input_size=first.directions[0].W_xh.shape[1],
        hidden_size=first.hidden_size,
        output_size=None if parts.output_layer is None else len(parts.output_layer.W_hy),
        num_layers=len(parts.layers),
        bidirectional=len(first.directions) == 2,
        return_sequences=isinstance(parts.result, Sequences),
        # A trainable state of zeros shows in the metadata alone.
        trainable_h0=has_constant_states or TRAINABLE_H0 in parts.metadata,
        cell=first.cell,
        categorical=CATEGORICAL in parts.metadata if categorical is None else categorical,
    )
    net = from_architecture(
        architecture,
        dtype=first.directions[0].W_xh.dtype.name,
        init="uniform",
        implementation=implementation,
    )
    for name, array in _parameters(parts, architecture).items():
        if array.shape != net.params[name].shape:
            raise ModelFileError(
                f"{name}: expected shape {net.params[name].shape}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ModelFileError(f"{name}: expected finite numbers")
        net.params[name][...] = array
    return net


def _parameters(parts: NetworkParts, architecture: Architecture) -> dict[str, npt.NDArray[Any]]:
    """Return all parameters by name, with the shapes that the model gives them."""
    params: dict[str, npt.NDArray[Any]] = {}
    weights = [direction for layer in parts.layers for direction in layer.directions]
    for state, arrays in enumerate(weights):
        suffix = architecture.suffix(state)
        params |= {name + suffix: array for name, array in arrays._asdict().items()}
    if parts.output_layer is not None:
        W_hy, b_y = parts.output_layer
        params |= {"W_hy": W_hy, "b_y": np.zeros(len(W_hy)) if b_y is None else b_y}
    if architecture.trainable_h0:
        shapes = architecture.parameter_shapes()
        for number, name in enumerate(("h0", "c0")[: architecture.cell_row.state_blocks]):
            rows = []
            for layer in parts.layers:
                state_rows = layer.first_states[number]
                if not isinstance(state_rows, np.ndarray):
                    state_rows = np.zeros((architecture.directions, architecture.hidden_size))
                rows.append(state_rows)
            params[name] = np.concatenate(rows).reshape(shapes[name])
    return params


def _check(parts: NetworkParts) -> None:
    """Raise unless the parts are those of one network."""
    if not parts.layers:
        raise ModelFileError("expected an RNN, GRU or LSTM node, got none")
    result = parts.result
    if not isinstance(result, (Sequences, LastStates)) or result.layers != len(parts.layers):
        raise ModelFileError(
            "expected a first output that is made of the last layer's states, "
            f"got {parts.result_name!r}"
        )
    first = parts.layers[0]
    for layer in parts.layers[1:]:
        for what, expected, found in (
            ("cell", first.cell, layer.cell),
            ("hidden_size", first.hidden_size, layer.hidden_size),
            ("directions", len(first.directions), len(layer.directions)),
        ):
            if expected != found:
                raise ModelFileError(
                    f"{what}: expected all layers alike, got {expected} and {found}"
                )
    if result.stage != parts.stage:
        raise ModelFileError(
            f"expected a first output behind all of the output layer, got {parts.result_name!r}"
        )
    if len({layer.lengths for layer in parts.layers}) > 1:
        raise ModelFileError("sequence_lens: expected the same at all layers")
    if parts.output_layer is not None:
        shape = parts.output_layer.W_hy.shape
        if shape[1] != first.features or not shape[0]:
            raise ModelFileError(
                f"expected an output layer of {first.features} features, "
                f"got weights of shape {shape}"
            )
    _check_inputs_of_states(parts, len(first.directions))


def _check_inputs_of_states(parts: NetworkParts, D: int) -> None:
    """Raise unless first states that are inputs are so for all layers, and in order."""
    firsts = [state for layer in parts.layers for state in layer.first_states if state is not None]
    inputs = [state for state in firsts if isinstance(state, RuntimeValue)]
    if not inputs:
        return
    sources: list[str] = []
    for number in range(len(parts.layers[0].first_states)):
        states = [layer.first_states[number] for layer in parts.layers]
        found = [state for state in states if isinstance(state, RuntimeValue)]
        names = {state.source for state in found}
        rows = [(n * D, n * D + D) for n in range(len(states))]
        is_one_input = len(names) == 1 and [state.rows for state in found] == rows
        are_inputs = len(names) == len(states) and not any(state.rows for state in found)
        if len(found) != len(states) or not (is_one_input or are_inputs):
            raise ModelFileError(
                "expected first states of all layers, one after another, in an input"
            )
        sources += names
    if len(set(sources)) < len(sources) or len(inputs) != len(firsts):
        raise ModelFileError("expected first states of h and of c in inputs of their own")
