"""Networks that compute what the layers of a Keras model do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

from crnn import GRU, LSTM, RNN, Sequential
from crnn.keras.cells import from_cudnn
from crnn.keras.chains import DenseLayer, EmbeddingLayer, Layer, RecurrentLayer, network_of

Accepted: TypeAlias = dict[str, dict[str, tuple[Any, ...]]]
"""By kind of layer: the values that its configuration may have, where it has the setting at all.

What is not listed acts in training alone, changes no number, or shows in the weights.
"""

GATED = {"activation": ("tanh",), "recurrent_activation": ("sigmoid",), "time_major": (False,)}
# For the GPU, in Keras 2
CUDNN = {"CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM"}
RECURRENT: Accepted = {
    "SimpleRNN": {"activation": ("tanh", "relu"), "time_major": (False,)},
    "GRU": GATED,
    "LSTM": GATED,
    **{kind: {} for kind in CUDNN},
}
ACTIVATIONS = {"activation": ("linear", "relu", "tanh", "sigmoid", "softmax")}
DENSE: Accepted = {"Dense": ACTIVATIONS}
# Outside of training these return what they read.
IDLE = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")
LAYERS: Accepted = {
    **RECURRENT,
    "Embedding": {},
    "Bidirectional": {"merge_mode": ("concat",)},
    **DENSE,
    "Activation": ACTIVATIONS,
    "TimeDistributed": {},
    **{kind: {} for kind in IDLE},
}


class ModelLayer(NamedTuple):
    """A layer of a Keras model, or of a file of one."""

    kind: str
    """The name of its class."""
    package: str
    """Where the class is from."""
    name: str
    config: Mapping[str, Any] | None
    """None where it is no layer."""
    weights: Callable[[], list[npt.NDArray[Any]]]
    inner: "Callable[[], list[ModelLayer]]" = list
    """The layer that it is wrapped around; for a Bidirectional one forward and backward."""

    @property
    def label(self) -> str:
        """How errors call it."""
        return f"{self.kind} {self.name!r}"


def from_model(
    model: Any, *, return_sequences: bool | None = None, **settings: Any
) -> RNN | GRU | LSTM | Sequential:
    """Return a network that computes what the layers of a Keras model do.

    Parameters
    ----------
    model : keras.Sequential, layer, or list of layers
        SimpleRNN, GRU or LSTM layers, or Bidirectional ones around such, and Dense layers, linear
        or with relu, tanh, sigmoid or softmax. An Embedding may be before the first of them: the
        network takes category numbers. Layers that act in training alone, such as Dropout,
        are left out. For a functional model that is such a chain, its ``layers``.
    return_sequences : bool, optional
        Whether the network has an output for each step; without it as the last recurrent layer.
    **settings
        Other arguments of `from_weights`, such as ``dtype``.

    Returns
    -------
    RNN, GRU, LSTM or Sequential
        With copies of the weights: one network if all recurrent layers are alike and there is
        nothing else but a linear Dense behind them, otherwise a chain. Nothing that belongs to
        training is taken over, no dropout and no regularizer; and no state that a layer with
        ``stateful=True`` keeps.

    Raises
    ------
    ValueError
        A layer has a setting that networks of crnn do not have, such as another activation, another
        merge mode than "concat" or ``go_backwards``; or the layers are in another order, or have no
        weights yet.
    TypeError
        There is another layer, or something else.
    """
    layers = [_live(layer) for layer in _flat_layers(model)]
    return network_of(checked_layers(layers), return_sequences=return_sequences, **settings)


def checked_layers(layers: Iterable[ModelLayer]) -> list[Layer]:
    """Return what networks are made of, without the layers that do nothing.

    Parameters
    ----------
    layers : iterable of ModelLayer

    Returns
    -------
    list of EmbeddingLayer, RecurrentLayer and DenseLayer

    Raises
    ------
    ValueError, TypeError
        A layer is of another kind or has another setting.
    """
    checked: list[Layer] = []
    for layer in layers:
        config = _check_layer(layer, LAYERS)
        if layer.kind in IDLE:
            continue
        if layer.kind == "Activation":
            if config["activation"] == "linear":
                continue
            before = checked.pop() if checked else None
            if not isinstance(before, DenseLayer) or before.activation is not None:
                raise ValueError(f"{layer.label}: expected a linear Dense layer before it")
            checked.append(before._replace(activation=config["activation"]))
        elif layer.kind in ("Dense", "TimeDistributed"):
            if layer.kind == "TimeDistributed":
                [inner] = layer.inner()
                config = _check_layer(inner, DENSE)
            activation = config.get("activation", "linear")
            name = None if activation == "linear" else activation
            checked.append(DenseLayer(layer.label, _weights(layer), name))
        elif layer.kind == "Embedding":
            if config.get("mask_zero"):
                raise ValueError(
                    f"{layer.label}: expected mask_zero=False, got True; give predict the lengths "
                    "of sequences instead"
                )
            checked.append(EmbeddingLayer(layer.label, _weights(layer)))
        else:
            checked.append(_recurrent(layer))
    return checked


def _recurrent(layer: ModelLayer) -> RecurrentLayer:
    """Return a recurrent layer of one direction or both."""
    directions = layer.inner() if layer.kind == "Bidirectional" else [layer]
    # What the weights do not show, and both directions have to have in common
    shared: dict[str, Any] = {}
    arrays: list[npt.NDArray[Any]] = []
    for number, one in enumerate(directions):
        config = _check_layer(one, RECURRENT, {**shared, "go_backwards": number == 1})
        shared = {key: config[key] for key in ("activation", "reset_after") if key in config}
        kinds = [CUDNN.get(inner.kind, inner.kind) for inner in (directions[0], one)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{layer.label}: expected layers of one kind, got {kinds[0]} and {kinds[1]}"
            )
        weights = _weights(one)
        arrays += from_cudnn(one.label, weights, CUDNN[one.kind]) if one.kind in CUDNN else weights
        kind, return_sequences = one.kind, bool(config["return_sequences"])
    activation = shared.pop("activation", "tanh")
    if kind == "SimpleRNN":
        shared["nonlinearity"] = activation
    return RecurrentLayer(layer.label, arrays, shared, return_sequences)


def _flat_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model, of the models in it, or of a list."""
    layers = model.layers if type(model).__name__ == "Sequential" else model
    if isinstance(layers, (list, tuple)):
        for layer in layers:
            yield from _flat_layers(layer)
    else:
        yield layers


def _live(layer: Any) -> ModelLayer:
    """Return what Keras's layer object is."""

    def inner() -> list[ModelLayer]:
        if kind == "Bidirectional":
            return [_live(layer.forward_layer), _live(layer.backward_layer)]
        return [_live(layer.layer)]

    # By its very name: what is derived from an LSTM layer may compute anything.
    kind, package = type(layer).__name__, type(layer).__module__.partition(".")[0]
    config = layer.get_config() if hasattr(layer, "get_config") else None
    weights = getattr(layer, "get_weights", list)
    return ModelLayer(kind, package, getattr(layer, "name", ""), config, weights, inner)


def _check_layer(
    layer: ModelLayer, accepted: Accepted, shared: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Return a layer's configuration if it is of an accepted kind, with accepted settings."""
    if layer.kind not in accepted or layer.config is None:
        raise TypeError(
            f"model: expected a Keras Sequential model or layers among {', '.join(accepted)}, "
            f"got {layer.kind} of {layer.package}"
        )
    settings = accepted[layer.kind] | {key: (value,) for key, value in (shared or {}).items()}
    for key, values in settings.items():
        if key in layer.config and layer.config[key] not in values:
            expected = " or ".join(map(repr, values))
            raise ValueError(f"{layer.label}: expected {key}={expected}, got {layer.config[key]!r}")
    return layer.config


def _weights(layer: ModelLayer) -> list[npt.NDArray[Any]]:
    """Return the arrays of a layer, or raise that it has none yet."""
    weights = layer.weights()
    if not weights:
        raise ValueError(f"{layer.label}: expected weights, got a layer that is not built yet")
    return weights
