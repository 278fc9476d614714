"""Weights from and to Keras: its SimpleRNN, GRU and LSTM layers as networks of crnn, and back.

Weights come and go as the lists of NumPy arrays that a layer's ``get_weights`` returns and its
``set_weights`` takes; Keras itself is never imported. As the sources of its layers have it (of
Keras 3, and of 2 alike), a kernel is (inputs, gates * units), the transpose of W_xh, and a
recurrent kernel (units, gates * units), that of W_hh. The gates of LSTM stand in the order i, f, c,
o, which is that of crnn; those of GRU in the order z, r, h, where crnn has r, z, n. The bias of GRU
is (2, 3 * units) with ``reset_after=True``, a row beside the kernel and one beside the recurrent
kernel, and else (3 * units,).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from crnn import checks
from crnn.networks import GRU, LSTM, RNN
from crnn.checks import Array

__all__ = ["from_model", "from_weights", "to_weights"]


class _Cell(NamedTuple):
    """A layer of Keras and its twin here."""

    name: str
    family: type[RNN] | type[GRU] | type[LSTM]
    order: tuple[int, ...]
    """Where each gate of the one stands in the other; read from either side it is the same."""


_CELLS = (
    _Cell("SimpleRNN", RNN, (0,)),
    _Cell("GRU", GRU, (1, 0, 2)),
    _Cell("LSTM", LSTM, (0, 1, 2, 3)),
)

# What the configuration of each kind of layer has to say, where it says anything. All else in it
# acts in training alone, changes no number, or shows in the weights.
_GATED = {"activation": ("tanh",), "recurrent_activation": ("sigmoid",), "time_major": (False,)}
_RECURRENT: dict[str, dict[str, tuple[Any, ...]]] = {
    "SimpleRNN": {"activation": ("tanh", "relu"), "time_major": (False,)},
    "GRU": _GATED,
    "LSTM": _GATED,
}
_DENSE: dict[str, dict[str, tuple[Any, ...]]] = {"Dense": {"activation": ("linear",)}}
# Outside of training these hand on what they read.
_IDLE = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")
_EXPECTED = {
    **_RECURRENT,
    "Bidirectional": {"merge_mode": ("concat",)},
    **_DENSE,
    "TimeDistributed": {},
    **{kind: {} for kind in _IDLE},
}


def from_weights(
    layers: Any, output: Any = None, *, dtype: Any = None, **settings: Any
) -> RNN | GRU | LSTM:
    """Return a network with the weights of Keras layers.

    The cell, its sizes, the directions and the form of a GRU show in the shapes. Activations do
    not: they are taken to be Keras's defaults, tanh and sigmoid.

    Parameters
    ----------
    layers : list of array, or list of such lists
        What ``get_weights()`` of a SimpleRNN, GRU or LSTM layer returned, or of a Bidirectional one
        around it: a kernel (inputs, gates * units), a recurrent kernel (units, gates * units) and,
        unless the layer had ``use_bias=False``, a bias; of a Bidirectional layer those of the
        forward direction, then those of the backward one. Of several layers, each of which reads
        the one before, a list of their lists.
    output : list of array, optional
        What ``get_weights()`` of a Dense layer above them returned: a kernel (units * directions,
        outputs) and, unless it had ``use_bias=False``, a bias (outputs,).
    dtype : {"float32", "float64"}, optional
        Of the network; without it float64 if one of the arrays is, else float32.
    **settings
        Other arguments of `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`: for a SimpleRNN with relu
        ``nonlinearity="relu"``; for a GRU without biases, by which its form would show,
        ``reset_after=False`` if that was its form. ``return_sequences`` is True unless given, as
        ever in crnn, and not False as in Keras.

    Returns
    -------
    RNN, GRU or LSTM
        Its parameters are copies. The two biases that Keras adds up in the gates r and z of a GRU
        are one.

    Raises
    ------
    ValueError
        The number or shape of the arrays does not fit, or their numbers do not fit the dtype; or
        the layers differ in cell, units or directions, which those of a network do not.
    TypeError
        There is something else than lists of arrays of numbers, or a setting that the cell does
        not have.

    Examples
    --------
    >>> import numpy as np
    >>> import crnn.keras
    >>> rng = np.random.default_rng(0)
    >>> kernel, recurrent_kernel = rng.random((2, 20)), rng.random((5, 20))
    >>> net = crnn.keras.from_weights([kernel, recurrent_kernel, np.zeros(20)])
    >>> type(net).__name__, net.input_size, net.hidden_size, net.dtype.name
    ('LSTM', 2, 5, 'float64')
    """
    named = _named(layers)
    cell, units = _cell(named)
    dense = [] if output is None else _arrays("output", output)
    if output is not None and len(dense) not in (1, 2):
        raise ValueError(f"output: expected a kernel and perhaps a bias, got {len(dense)} arrays")
    directions = _directions(named[0][1])
    if dtype is None:
        every = [array for _, arrays in named for array in arrays] + dense
        dtype = "float64" if any(array.dtype == np.float64 for array in every) else "float32"
    if cell.family is GRU:
        biases = [arrays[2] for _, arrays in named if len(arrays) == 3 * directions]
        settings.setdefault("reset_after", not biases or biases[0].ndim == 2)
    net = cell.family(
        _matrix(f"{named[0][0]}[0]", named[0][1][0])[0],
        units,
        _matrix("output[0]", dense[0])[1] if dense else None,
        num_layers=len(named),
        bidirectional=directions == 2,
        dtype=dtype,
        init="uniform",
        **settings,
    )

    of = net._network.architecture
    columns = f"{len(cell.order)}*units"
    sizes = {"units": units, columns: len(cell.order) * units, "2": 2, "outputs": of.outputs}

    def checked(name: str, array: Array, axes: str) -> Array:
        return checks.floats(name, array, (axes,), sizes, net.flat_params, net._kernels)

    for layer, (name, arrays) in enumerate(named):
        sizes["inputs"] = of.features if layer else of.input_size
        each = len(arrays) // directions
        for direction in range(directions):
            first = each * direction
            names = [f"{name}[{first + i}]" for i in range(each)]
            kernel, recurrent_kernel, *bias = arrays[first : first + each]
            W_xh, W_hh, b_h = _parameters(net, directions * layer + direction)
            W_xh[...] = _reordered(checked(names[0], kernel, f"inputs {columns}"), cell).T
            W_hh[...] = _reordered(checked(names[1], recurrent_kernel, f"units {columns}"), cell).T
            b_h[...] = 0  # which of a new LSTM it is not
            if bias:
                axes = f"2 {columns}" if of.cell == "gru" else columns
                b_h[...] = _joined(_reordered(checked(names[2], bias[0], axes), cell), units)
    if dense:
        sizes["inputs"] = of.features
        net.W_hy[...] = checked("output[0]", dense[0], "inputs outputs").T
        if len(dense) == 2:
            net.b_y[...] = checked("output[1]", dense[1], "outputs")
    return net


def to_weights(net: RNN | GRU | LSTM) -> tuple[list[list[Array]], list[Array] | None]:
    """Return the weights of a network as Keras layers take them.

    Parameters
    ----------
    net : RNN, GRU or LSTM
        One without a trainable h0, which Keras layers do not have.

    Returns
    -------
    layers : list of lists of array
        For each layer what ``set_weights`` takes of a SimpleRNN, GRU or LSTM layer with
        ``use_bias=True``, or of a Bidirectional one around it if the network is bidirectional. A
        GRU layer has to have the `reset_after` of the network, and a SimpleRNN layer its
        `nonlinearity` as activation. The arrays are copies, of the network's dtype.
    output : list of array or None
        The same for a Dense layer; None of a network without an output layer.

    Raises
    ------
    ValueError
        The network has a trainable h0.
    TypeError
        It is no network.

    Examples
    --------
    >>> import crnn.keras
    >>> net = crnn.LSTM(input_size=2, hidden_size=5, output_size=1, num_layers=2, seed=0)
    >>> layers, output = crnn.keras.to_weights(net)
    >>> [[array.shape for array in arrays] for arrays in layers]
    [[(2, 20), (5, 20), (20,)], [(5, 20), (5, 20), (20,)]]
    >>> [array.shape for array in output]
    [(5, 1), (1,)]
    >>> twin = crnn.keras.from_weights(layers, output)
    >>> bool((twin.flat_params == net.flat_params).all())
    True
    """
    cells = [cell for cell in _CELLS if isinstance(net, cell.family)]
    if not cells:
        raise TypeError(f"net: expected a crnn.RNN, GRU or LSTM, got {type(net).__name__}")
    if net.trainable_h0:
        raise ValueError(
            "net: expected one without a trainable h0, which Keras layers do not have, "
            "got trainable_h0=True"
        )
    of = net._network.architecture
    layers: list[list[Array]] = [[] for _ in range(of.num_layers)]
    for state in range(of.states):
        W_xh, W_hh, b_h = _parameters(net, state)
        bias = _parted(b_h, of.hidden_size) if of.cell == "gru" else b_h
        layers[state // of.directions] += [
            np.array(_reordered(values, cells[0]), order="C") for values in (W_xh.T, W_hh.T, bias)
        ]
    if of.output_size is None:
        return layers, None
    return layers, [net.W_hy.T.copy(), net.b_y.copy()]


def from_model(
    model: Any, *, return_sequences: bool | None = None, **settings: Any
) -> RNN | GRU | LSTM:
    """Return a network that computes what the layers of a Keras model do.

    Parameters
    ----------
    model : keras.Sequential, layer, or list of layers
        SimpleRNN, GRU or LSTM layers of one size, or Bidirectional ones around such, and after them
        a Dense layer without activation or none. Layers that act in training alone, such as
        Dropout, are left out. Of a functional model that is such a chain, its ``layers``.
    return_sequences : bool, optional
        Of the network; without it that of the last recurrent layer.
    **settings
        Other arguments of `from_weights`, such as ``dtype``.

    Returns
    -------
    RNN, GRU or LSTM
        Its parameters are copies. Nothing of training is taken over, no dropout and no
        regularizer; and no state that a layer with ``stateful=True`` keeps.

    Raises
    ------
    ValueError
        A layer has a setting that networks of crnn do not have, such as another activation,
        another merge mode than "concat" or ``go_backwards``; or the layers differ, stand in another
        order, or have no weights yet.
    TypeError
        There is another layer, or something else.
    """
    lists: list[list[Array]] = []
    output: list[Array] | None = None
    shared: dict[str, Any] = {}
    has_sequences = True
    for layer in _flat(model):
        _check_layer(layer, _EXPECTED)
        kind, name = type(layer).__name__, _name(layer)
        if kind in _IDLE:
            continue
        if output is not None:
            raise ValueError(f"{name}: expected no layer after Dense")
        if kind in ("Dense", "TimeDistributed"):
            if not lists:
                raise ValueError(f"{name}: expected a recurrent layer before it")
            if kind == "TimeDistributed":
                _check_layer(layer.layer, _DENSE)
            output = _weights(layer)
            continue
        if not has_sequences:
            raise ValueError(f"{name}: expected return_sequences=True in the layer before it")
        directions = [layer]
        if kind == "Bidirectional":
            directions = [layer.forward_layer, layer.backward_layer]
        lists.append([])
        for direction, read_by in enumerate(directions):
            _check_layer(read_by, _RECURRENT, {**shared, "go_backwards": direction == 1})
            config = read_by.get_config()
            shared = {key: config[key] for key in ("activation", "reset_after") if key in config}
            has_sequences = config["return_sequences"]
            lists[-1] += _weights(read_by)
    if not lists:
        raise ValueError("model: expected a recurrent layer, got none")
    activation = shared.pop("activation")
    if type(directions[0]).__name__ == "SimpleRNN":
        shared["nonlinearity"] = activation
    if return_sequences is None:
        return_sequences = has_sequences
    return from_weights(lists, output, return_sequences=return_sequences, **shared, **settings)


def _flat(model: Any) -> Iterator[Any]:
    """Return the layers of a model, of the models in it, or of a list."""
    layers = model.layers if type(model).__name__ == "Sequential" else model
    if isinstance(layers, (list, tuple)):
        for layer in layers:
            yield from _flat(layer)
    else:
        yield layers


def _name(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _check_layer(
    layer: Any,
    kinds: dict[str, dict[str, tuple[Any, ...]]],
    shared: dict[str, Any] | None = None,
) -> None:
    """Raise unless a layer is of those kinds and has those settings and the shared ones."""
    # By its very name: what is derived from an LSTM layer may compute anything.
    kind = type(layer).__name__
    if kind not in kinds or not hasattr(layer, "get_config"):
        of = type(layer).__module__.partition(".")[0]
        raise TypeError(
            f"model: expected a Keras Sequential model or layers among {', '.join(kinds)}, "
            f"got {kind} of {of}"
        )
    config = layer.get_config()
    for key, values in (kinds[kind] | {key: (v,) for key, v in (shared or {}).items()}).items():
        if key in config and config[key] not in values:
            expected = " or ".join(map(repr, values))
            raise ValueError(f"{_name(layer)}: expected {key}={expected}, got {config[key]!r}")


def _weights(layer: Any) -> list[Array]:
    """Return the arrays of a layer that has some."""
    weights: list[Array] = layer.get_weights()
    if not weights:
        raise ValueError(f"{_name(layer)}: expected weights, got a layer that is not built yet")
    return weights


def _named(layers: Any) -> list[tuple[str, list[Array]]]:
    """Return the arrays of each layer, and how the caller knows them."""
    if isinstance(layers, (list, tuple)) and layers and isinstance(layers[0], (list, tuple)):
        named = [(f"layers[{k}]", _arrays(f"layers[{k}]", part)) for k, part in enumerate(layers)]
    else:
        named = [("layers", _arrays("layers", layers))]
    for name, arrays in named:
        if len(arrays) not in (2, 3, 4, 6):
            raise ValueError(
                f"{name}: expected 2 or 3 arrays of a layer, or 4 or 6 of a Bidirectional one, got "
                f"{len(arrays)} (several layers are a list of lists, and Dense is the output)"
            )
        if _directions(arrays) != _directions(named[0][1]):
            raise ValueError(
                f"{name}: expected as many directions as in the first layer, "
                f"{_directions(named[0][1])}, got {_directions(arrays)}"
            )
    if named[0][0] == "layers":
        arrays = named[0][1]
        # The kernel of a second layer would have a row for each unit of the first.
        rows = arrays[len(arrays) // 2].shape[:1]
        if _directions(arrays) == 2 and rows == arrays[1].shape[:1]:
            raise ValueError(
                f"layers: expected a list of lists, because {len(arrays)} arrays of these shapes "
                f"may be two layers, got {len(arrays)} arrays"
            )
    return named


def _arrays(name: str, value: Any) -> list[Array]:
    """Return a list of arrays."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a list of arrays, got {type(value).__name__}")
    for i, array in enumerate(value):
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"{name}[{i}]: expected a NumPy array, as get_weights() returns, "
                f"got {type(array).__name__}"
            )
    return list(value)


def _directions(arrays: list[Array]) -> int:
    return 2 if len(arrays) > 3 else 1


def _matrix(name: str, array: Array) -> tuple[int, int]:
    """Return the rows and columns of what has both."""
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: expected a matrix, got shape {array.shape}")
    rows, columns = array.shape
    return rows, columns


def _cell(named: list[tuple[str, list[Array]]]) -> tuple[_Cell, int]:
    """Return the cell and the units that all layers have."""
    found: list[tuple[_Cell, int]] = []
    for name, arrays in named:
        units, columns = _matrix(f"{name}[1]", arrays[1])
        cells = [cell for cell in _CELLS if columns == len(cell.order) * units]
        if not cells:
            raise ValueError(
                f"{name}[1]: expected the recurrent kernel of a SimpleRNN (units, units), GRU "
                f"(units, 3*units) or LSTM (units, 4*units), got shape {arrays[1].shape}"
            )
        found.append((cells[0], units))
        if found[-1] != found[0]:
            (first, of_first), (this, of_this) = found[0], found[-1]
            raise ValueError(
                f"{name}: expected {first.name} with {of_first} units as before it, got "
                f"{this.name} with {of_this} (make a network of its own of it, which reads the "
                "outputs of the one before)"
            )
    return found[0]


def _parameters(net: RNN | GRU | LSTM, state: int) -> list[Array]:
    """Return W_xh, W_hh and b_h of a layer in one direction."""
    suffix = net._network.architecture.suffix(state)
    return [net.params[name + suffix] for name in ("W_xh", "W_hh", "b_h")]


def _reordered(values: Array, cell: _Cell) -> Array:
    """Return values (..., gates * units) of Keras in the order of crnn, or the other way round."""
    gates = np.split(values, len(cell.order), axis=-1)
    return np.concatenate([gates[i] for i in cell.order], axis=-1)


def _joined(bias: Array, units: int) -> Array:
    """Return b_h of a bias; of a GRU's two rows b_r, b_z, b_n, b_hn."""
    if bias.ndim == 1:
        return bias
    inputs, recurrent = bias
    r_and_z = slice(2 * units)
    return np.concatenate(
        [inputs[r_and_z] + recurrent[r_and_z], inputs[2 * units :], recurrent[2 * units :]]
    )


def _parted(b_h: Array, units: int) -> Array:
    """Return b_r, b_z, b_n, b_hn as two rows: b_hn in the second, beside zeros."""
    bias = np.zeros((2, 3 * units), b_h.dtype)
    bias[0] = b_h[: 3 * units]
    bias[1, 2 * units :] = b_h[3 * units :]
    return bias
