"""A network, or a chain of them, from the parts that were found in a model."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import (
    GRU,
    LSTM,
    RNN,
    Architecture,
    Dense,
    LastStep,
    ModelFileError,
    Sequential,
    from_architecture,
)
from crnn.onnx.operators import CATEGORICAL, TRAINABLE_H0
from crnn.onnx.parts import Affine, Chain, FirstState, Layer, StateInput, Weights


def build(
    chain: Chain, metadata: set[str], *, categorical: bool | None, implementation: str | None
) -> RNN | GRU | LSTM | Sequential:
    """Return the network of a chain, or raise a ModelFileError that says why there is none.

    Parameters
    ----------
    chain : Chain
    metadata : set of str
        The names of the entries of the model's metadata that are true.
    categorical : bool or None
        None: as the metadata say.
    implementation : str or None
    """
    groups = _groups(_both_directions(_joined(chain.parts)))
    layers = [layer for group in groups if isinstance(group, list) for layer in group]
    has_embedding = layers[0].is_categorical
    if has_embedding and categorical is False:
        raise ModelFileError("categorical: expected True with a model that has an embedding")
    if categorical is None:
        categorical = has_embedding or CATEGORICAL in metadata
    if len({layer.lengths for layer in layers}) > 1:
        raise ModelFileError("sequence_lens: expected the same at all layers")
    _check_inputs_of_states(layers)
    dtype = np.result_type(layers[0].directions[0].W_xh, np.float32).name
    last = max(number for number, group in enumerate(groups) if isinstance(group, list))
    parts: list[RNN | GRU | LSTM | Dense | LastStep] = []
    has_output = False
    for number, group in enumerate(groups):
        if isinstance(group, Affine):
            if not has_output:
                parts.append(_dense(group, dtype))
            has_output = False
            continue
        takes_last_step = chain.result == "last step" and number == last
        above = groups[number + 1] if number + 1 < len(groups) and not takes_last_step else None
        output = above if isinstance(above, Affine) and above.activation is None else None
        has_output = output is not None
        architecture = Architecture(
            input_size=group[0].directions[0].W_xh.shape[1],
            hidden_size=group[0].hidden_size,
            output_size=output.outputs if output is not None else None,
            num_layers=len(group),
            bidirectional=len(group[0].directions) == 2,
            return_sequences=chain.result != "last states" or number != last,
            # A trainable state of zeros shows in the metadata alone.
            trainable_h0=TRAINABLE_H0 in metadata
            or any(
                isinstance(state, np.ndarray) for layer in group for state in layer.first_states
            ),
            cell=group[0].cell,
            categorical=categorical and number == 0,
        )
        net = from_architecture(
            architecture, dtype=dtype, init="uniform", implementation=implementation
        )
        for name, array in _parameters(group, output, architecture).items():
            _assign(net, name, array)
        parts.append(net)
        if takes_last_step:
            parts.append(LastStep())
    if categorical and not isinstance(groups[0], list):
        raise ModelFileError("categorical: expected a recurrent layer that reads the input")
    only = parts[0]
    return only if len(parts) == 1 and isinstance(only, (RNN, GRU, LSTM)) else Sequential(parts)


def _both_directions(parts: list[Layer | Affine]) -> list[Layer | Affine]:
    """Return parts whose layers read forward, or in both directions.

    A layer that reads backward alone gets a forward direction whose weights are zero, so that its
    states are. What is above gets weights of zero for them.
    """
    whole: list[Layer | Affine] = []
    padding = 0
    for part in [*parts, None]:
        if padding and part is None:
            # What is above is the output itself.
            part = Affine(np.eye(padding), np.zeros(padding))
        if part is None:
            break
        if padding:
            part = _padded(part, padding)
        padding = 0
        if isinstance(part, Layer) and part.forward is None and part.backward is not None:
            padding = part.hidden_size
            part = _with_forward(part, part.backward)
        whole.append(part)
    return whole


def _with_forward(layer: Layer, backward: Weights) -> Layer:
    """Return a backward layer with a forward direction of zero."""
    states: list[FirstState] = []
    for state in layer.first_states:
        if isinstance(state, StateInput):
            raise ModelFileError(
                f"{state.name}: expected first states of zero, or constants, for a layer that "
                "reads backward alone"
            )
        states.append(None if state is None else np.concatenate([np.zeros_like(state), state]))
    forward = Weights(*(np.zeros_like(array) for array in backward))
    return layer._replace(forward=forward, first_states=tuple(states))


def _padded(part: Layer | Affine, count: int) -> Layer | Affine:
    """Return a part that reads so many more features, the first ones, which are zero."""

    def wide(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.pad(weight, ((0, 0), (count, 0)))

    if isinstance(part, Affine):
        return part._replace(weight=wide(part.weight))
    forward, backward = (
        None if weights is None else weights._replace(W_xh=wide(weights.W_xh))
        for weights in (part.forward, part.backward)
    )
    return part._replace(forward=forward, backward=backward)


def _joined(parts: tuple[Layer | Affine, ...]) -> list[Layer | Affine]:
    """Return parts with each row of products, scales and an activation as one."""
    joined: list[Layer | Affine] = []
    for part in parts:
        below = joined[-1] if joined else None
        if not isinstance(part, Affine) or not isinstance(below, Affine):
            joined.append(part)
        elif below.activation is None and (part.weight.ndim == 1 or below.weight.ndim == 1):
            joined[-1] = _product(part, below)
        else:
            joined.append(part)
    return [_full(part) if isinstance(part, Affine) else part for part in joined]


def _product(part: Affine, below: Affine) -> Affine:
    """Return a part and the linear one below it as one; one of them scales each feature."""
    with np.errstate(all="ignore"):
        if part.weight.ndim == 1:
            wide = part.weight if below.weight.ndim == 1 else part.weight[:, None]
            weight, bias = wide * below.weight, part.weight * below.bias + part.bias
        else:
            weight, bias = part.weight * below.weight, part.weight @ below.bias + part.bias
    return Affine(weight, bias, part.activation)


def _full(part: Affine) -> Affine:
    return part if part.weight.ndim == 2 else part._replace(weight=np.diag(part.weight))


def _groups(parts: list[Layer | Affine]) -> list[list[Layer] | Affine]:
    """Return consecutive layers of one kind and size together: each list is a network."""
    groups: list[list[Layer] | Affine] = []
    for part in parts:
        below = groups[-1] if groups else None
        if isinstance(part, Affine):
            groups.append(part)
        elif isinstance(below, list) and _kind(below[0]) == _kind(part):
            below.append(part)
        else:
            groups.append([part])
    return groups


def _has_states(layer: Layer) -> bool:
    """Return whether the model holds a layer's first states, other than zero."""
    return any(isinstance(state, np.ndarray) for state in layer.first_states)


def _kind(layer: Layer) -> tuple[str, int, int]:
    return layer.cell, layer.hidden_size, len(layer.directions)


def _dense(part: Affine, dtype: str) -> Dense:
    for name, array in (("weight", part.weight), ("bias", part.bias)):
        _check_finite(name, array)
    return Dense(part.weight, part.bias, part.activation, dtype=dtype)


def _parameters(
    layers: list[Layer], output: Affine | None, architecture: Architecture
) -> dict[str, npt.NDArray[Any]]:
    """Return all parameters by name, with the shapes that the model gives them."""
    params: dict[str, npt.NDArray[Any]] = {}
    for state, arrays in enumerate(weights for layer in layers for weights in layer.directions):
        suffix = architecture.suffix(state)
        params |= {name + suffix: array for name, array in arrays._asdict().items()}
    if output is not None:
        params |= {"W_hy": output.weight, "b_y": output.bias}
    if architecture.trainable_h0:
        shapes = architecture.parameter_shapes()
        for number, name in enumerate(("h0", "c0")[: architecture.cell_row.state_blocks]):
            rows = []
            for layer in layers:
                state_rows = layer.first_states[number] if layer.first_states else None
                if not isinstance(state_rows, np.ndarray):
                    state_rows = np.zeros((architecture.directions, architecture.hidden_size))
                rows.append(state_rows)
            params[name] = np.concatenate(rows).reshape(shapes[name])
    return params


def _assign(net: RNN | GRU | LSTM, name: str, array: npt.NDArray[Any]) -> None:
    expected = net.params[name].shape
    if array.shape != expected:
        raise ModelFileError(f"{name}: expected shape {expected}, got {array.shape}")
    _check_finite(name, array)
    net.params[name][...] = array


def _check_finite(name: str, array: npt.NDArray[Any]) -> None:
    if not np.isfinite(array).all():
        raise ModelFileError(f"{name}: expected finite numbers")


def _check_inputs_of_states(layers: list[Layer]) -> None:
    """Raise unless first states that are inputs are so for all layers, and in order."""
    blocks = max(len(layer.first_states) for layer in layers)
    names: list[str] = []
    for number in range(blocks):
        states = [
            layer.first_states[number] if number < len(layer.first_states) else None
            for layer in layers
        ]
        found = [state for state in states if isinstance(state, StateInput)]
        if not found:
            continue
        row, is_in_order = 0, len(found) == len(states)
        own = len({state.name for state in found}) == len(found)
        for layer, state in zip(layers, found, strict=False):
            D = len(layer.directions)
            is_in_order &= (state.row, state.rows) == ((0, D) if own else (row, state.rows))
            row += D
        is_one = len({state.name for state in found}) == 1 and found[0].rows == row
        if not is_in_order or not (own or is_one):
            raise ModelFileError(
                "expected first states of all layers, one after another, in an input"
            )
        names += dict.fromkeys(state.name for state in found)
    counts = {
        sum(isinstance(state, StateInput) for state in layer.first_states) for layer in layers
    }
    sizes = {len(layer.first_states) for layer in layers}
    if names and (len(set(names)) < len(names) or counts != sizes):
        raise ModelFileError("expected first states of h and of c in inputs of their own")
