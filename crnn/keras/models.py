"""Networks that compute what the layers of a Keras model do."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy.typing as npt

from crnn import GRU, LSTM, RNN
from crnn.keras.weights import from_weights

Accepted: TypeAlias = dict[str, dict[str, tuple[Any, ...]]]
"""By kind of layer: the values that its configuration may have, where it has the setting at all.

What is not listed acts in training alone, changes no number, or shows in the weights.
"""

GATED = {"activation": ("tanh",), "recurrent_activation": ("sigmoid",), "time_major": (False,)}
RECURRENT: Accepted = {
    "SimpleRNN": {"activation": ("tanh", "relu"), "time_major": (False,)},
    "GRU": GATED,
    "LSTM": GATED,
}
DENSE: Accepted = {"Dense": {"activation": ("linear",)}}
# Outside of training these return what they read.
IDLE = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")
LAYERS: Accepted = {
    **RECURRENT,
    "Bidirectional": {"merge_mode": ("concat",)},
    **DENSE,
    "TimeDistributed": {},
    **{kind: {} for kind in IDLE},
}


def from_model(
    model: Any, *, return_sequences: bool | None = None, **settings: Any
) -> RNN | GRU | LSTM:
    """Return a network that computes what the layers of a Keras model do.

    Parameters
    ----------
    model : keras.Sequential, layer, or list of layers
        SimpleRNN, GRU or LSTM layers of one size, or Bidirectional ones around such, and after them
        a Dense layer without activation or none. Layers that act in training alone, such as
        Dropout, are left out. For a functional model that is such a chain, its ``layers``.
    return_sequences : bool, optional
        Whether the network has an output for each step; without it as the last recurrent layer.
    **settings
        Other arguments of `from_weights`, such as ``dtype``.

    Returns
    -------
    RNN, GRU or LSTM
        With copies of the weights. Nothing that belongs to training is taken over, no dropout and
        no regularizer; and no state that a layer with ``stateful=True`` keeps.

    Raises
    ------
    ValueError
        A layer has a setting that networks of crnn do not have, such as another activation, another
        merge mode than "concat" or ``go_backwards``; or the layers differ, are in another order, or
        have no weights yet.
    TypeError
        There is another layer, or something else.
    """
    layers: list[list[npt.NDArray[Any]]] = []
    output: list[npt.NDArray[Any]] | None = None
    # What the weights do not show, and all recurrent layers have to have in common
    shared: dict[str, Any] = {}
    last_kind, has_sequences = "", True
    for layer in _flat_layers(model):
        _check_layer(layer, LAYERS)
        kind, label = type(layer).__name__, _label(layer)
        if kind in IDLE:
            continue
        if output is not None:
            raise ValueError(f"{label}: expected no layer after Dense")
        if kind in ("Dense", "TimeDistributed"):
            if not layers:
                raise ValueError(f"{label}: expected a recurrent layer before it")
            if kind == "TimeDistributed":
                _check_layer(layer.layer, DENSE)
            output = _weights(layer)
            continue
        if not has_sequences:
            raise ValueError(f"{label}: expected return_sequences=True in the layer before it")
        directions = [layer]
        if kind == "Bidirectional":
            directions = [layer.forward_layer, layer.backward_layer]
        layers.append([])
        for number, one_direction in enumerate(directions):
            _check_layer(one_direction, RECURRENT, {**shared, "go_backwards": number == 1})
            config = one_direction.get_config()
            shared = {key: config[key] for key in ("activation", "reset_after") if key in config}
            last_kind, has_sequences = type(one_direction).__name__, config["return_sequences"]
            layers[-1] += _weights(one_direction)
    if not layers:
        raise ValueError("model: expected a recurrent layer, got none")
    activation = shared.pop("activation")
    if last_kind == "SimpleRNN":
        shared["nonlinearity"] = activation
    if return_sequences is None:
        return_sequences = has_sequences
    return from_weights(layers, output, return_sequences=return_sequences, **shared, **settings)


def _flat_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model, of the models in it, or of a list."""
    layers = model.layers if type(model).__name__ == "Sequential" else model
    if isinstance(layers, (list, tuple)):
        for layer in layers:
            yield from _flat_layers(layer)
    else:
        yield layers


def _label(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _check_layer(layer: Any, accepted: Accepted, shared: Mapping[str, Any] | None = None) -> None:
    """Raise unless a layer is of an accepted kind, with accepted settings and the shared ones."""
    # By its very name: what is derived from an LSTM layer may compute anything.
    kind = type(layer).__name__
    if kind not in accepted or not hasattr(layer, "get_config"):
        package = type(layer).__module__.partition(".")[0]
        raise TypeError(
            f"model: expected a Keras Sequential model or layers among {', '.join(accepted)}, "
            f"got {kind} of {package}"
        )
    config = layer.get_config()
    settings = accepted[kind] | {key: (value,) for key, value in (shared or {}).items()}
    for key, values in settings.items():
        if key in config and config[key] not in values:
            expected = " or ".join(map(repr, values))
            raise ValueError(f"{_label(layer)}: expected {key}={expected}, got {config[key]!r}")


def _weights(layer: Any) -> list[npt.NDArray[Any]]:
    """Return the arrays of a layer, or raise that it has none yet."""
    weights: list[npt.NDArray[Any]] = layer.get_weights()
    if not weights:
        raise ValueError(f"{_label(layer)}: expected weights, got a layer that is not built yet")
    return weights
