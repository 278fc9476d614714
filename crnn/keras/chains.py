"""Networks and chains of layers whose weights are as Keras has them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN, Dense, Sequential
from crnn.checks import within
from crnn.embeddings import of_categories
from crnn.keras.arrays import common_kind, converted, matrix_shape, weights_by_layer
from crnn.keras.weights import from_weights


class RecurrentLayer(NamedTuple):
    """A SimpleRNN, GRU or LSTM layer, or a Bidirectional one around it."""

    label: str
    """How errors call it."""
    arrays: list[npt.NDArray[Any]]
    settings: dict[str, Any]
    """What the weights do not show, as arguments of `from_weights`."""
    return_sequences: bool = True


class DenseLayer(NamedTuple):
    """A Dense layer."""

    label: str
    arrays: list[npt.NDArray[Any]]
    """A kernel (inputs, outputs) and perhaps a bias."""
    activation: str | None = None
    """None for a linear one."""


class EmbeddingLayer(NamedTuple):
    """An Embedding layer."""

    label: str
    arrays: list[npt.NDArray[Any]]
    """A table (categories, outputs)."""


Layer = RecurrentLayer | DenseLayer | EmbeddingLayer


def network_of(
    layers: Sequence[Layer],
    *,
    return_sequences: bool | None = None,
    dtype: npt.DTypeLike | None = None,
    **settings: Any,
) -> RNN | GRU | LSTM | Sequential:
    """Return one network that computes what the layers do, or else a chain.

    Layers that are alike are one network, together with a linear Dense behind them.

    Parameters
    ----------
    layers : list of EmbeddingLayer, RecurrentLayer and DenseLayer
        An embedding may be the first one, with a recurrent layer behind it.
    return_sequences : bool, optional
        Of the last network; default: as of its last layer.
    dtype : {"float32", "float64"}, optional
        As in `from_weights`.
    **settings
        Other arguments of `from_weights`; ``categorical`` is for the first layer.

    Returns
    -------
    RNN, GRU, LSTM or Sequential

    Raises
    ------
    ValueError, TypeError
        The layers do not fit together, or there is no recurrent one.
    """
    recurrent = [layer for layer in layers if isinstance(layer, RecurrentLayer)]
    if not recurrent:
        raise ValueError("model: expected a recurrent layer, got none")
    for before, layer in pairwise(recurrent):
        if not before.return_sequences:
            raise ValueError(
                f"{layer.label}: expected return_sequences=True in the layer before it"
            )
    if dtype is None:
        arrays = [array for layer in layers for array in layer.arrays]
        dtype = "float64" if any(array.dtype == np.float64 for array in arrays) else "float32"
    if isinstance(layers[0], EmbeddingLayer) and settings.setdefault("categorical", True) is False:
        raise ValueError(f"categorical: expected True with {layers[0].label}, got False")
    layers = _without_embedding(layers, np.dtype(dtype))
    if isinstance(layers[0], DenseLayer) and settings.pop("categorical", False):
        raise ValueError(
            f"categorical: expected False with {layers[0].label} as the first layer, got True"
        )
    last = recurrent[-1]
    parts: list[RNN | GRU | LSTM | Dense] = []
    for group, output in _groups(layers):
        if isinstance(group, DenseLayer):
            parts.append(_dense(group, np.dtype(dtype)))
            continue
        sequences = group[-1].return_sequences
        if group[-1] is last and return_sequences is not None:
            sequences = return_sequences
        parts.append(
            from_weights(
                [layer.arrays for layer in group],
                None if output is None else output.arrays,
                dtype=dtype,
                return_sequences=sequences,
                **group[0].settings,
                **settings,
            )
        )
        settings.pop("categorical", None)
    [*_, only] = parts
    return only if len(parts) == 1 and not isinstance(only, Dense) else Sequential(parts)


def _without_embedding(
    layers: Sequence[Layer], dtype: np.dtype[Any]
) -> list[RecurrentLayer | DenseLayer]:
    """Return the layers with an embedding and the kernels that read it as one, their product."""
    found: list[RecurrentLayer | DenseLayer] = []
    for number, layer in enumerate(layers):
        if isinstance(layer, EmbeddingLayer):
            behind = layers[number + 1] if number + 1 < len(layers) else None
            if number:
                raise ValueError(f"{layer.label}: expected it as the first layer")
            if not isinstance(behind, RecurrentLayer):
                raise ValueError(
                    f"{layer.label}: expected a recurrent layer behind it, "
                    f"got {behind.label if behind is not None else 'none'}"
                )
            continue
        before = layers[number - 1] if number else None
        if isinstance(before, EmbeddingLayer) and isinstance(layer, RecurrentLayer):
            layer = layer._replace(arrays=_products(before, layer, dtype))
        found.append(layer)
    return found


def _products(
    embedding: EmbeddingLayer, layer: RecurrentLayer, dtype: np.dtype[Any]
) -> list[npt.NDArray[Any]]:
    """Return the arrays of a layer that reads category numbers."""
    with within(embedding.label):
        if len(embedding.arrays) != 1:
            raise ValueError(f"weights: expected a table, got {len(embedding.arrays)} arrays")
        [table] = embedding.arrays
        n, I = matrix_shape("table", table)
        sizes = {"categories": n, "inputs": I}
        converted("table", table, "categories inputs", sizes, dtype)
    arrays = list(layer.arrays)
    with within(layer.label):
        [weights] = weights_by_layer([arrays])
        for place in weights.places:
            name, kernel = f"weights[{place}]", arrays[place]
            sizes["columns"] = matrix_shape(name, kernel)[1]
            converted(name, kernel, "inputs columns", sizes, dtype)
            arrays[place] = of_categories(kernel.T, table, dtype).T
    return arrays


def _groups(
    layers: Sequence[RecurrentLayer | DenseLayer],
) -> list[tuple[DenseLayer | list[RecurrentLayer], DenseLayer | None]]:
    """Return layers that are alike together, with the linear Dense behind them; others alone."""
    groups: list[tuple[Any, DenseLayer | None]] = []
    for layer in layers:
        before, output = groups[-1] if groups else (None, None)
        # A network that more layers may belong to
        network = before if isinstance(before, list) and output is None else None
        if isinstance(layer, RecurrentLayer):
            if network is not None and _form(network[-1]) == _form(layer):
                network.append(layer)
            else:
                groups.append(([layer], None))
        elif network is not None and layer.activation is None:
            groups[-1] = (network, layer)
        else:
            groups.append((layer, None))
    return groups


def _form(layer: RecurrentLayer) -> tuple[Any, ...]:
    """Return what the layers of one network have in common."""
    with within(layer.label):
        [weights] = weights_by_layer([layer.arrays])
        kind, units = common_kind([weights])
    return kind.name, units, weights.directions, layer.settings


def _dense(layer: DenseLayer, dtype: np.dtype[Any]) -> Dense:
    with within(layer.label):
        if len(layer.arrays) not in (1, 2):
            raise ValueError(
                f"weights: expected a kernel and perhaps a bias, got {len(layer.arrays)} arrays"
            )
        I, O = matrix_shape("kernel", layer.arrays[0])
        sizes = {"inputs": I, "outputs": O}
        bias = None
        kernel = converted("kernel", layer.arrays[0], "inputs outputs", sizes, dtype)
        if len(layer.arrays) == 2:
            bias = converted("bias", layer.arrays[1], "outputs", sizes, dtype)
    return Dense(kernel.T, bias, layer.activation, dtype)
