"""Networks from arrays that have the names of PyTorch's parameters."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import _backend, checks
from crnn._inputs import arrays
from crnn._network.architecture import Architecture
from crnn._typing import Array
from crnn.conversion import as_array
from crnn.kernels import contracts
from crnn.networks import FAMILIES, GRU, LSTM, RNN, from_architecture

__all__ = ["from_state_dict", "params_from"]

# torch.nn.LSTM has weight_ih_l0 and so on, torch.nn.LSTMCell weight_ih.
RECURRENT = re.compile(r"(.*?)(weight|bias)_(ih|hh)(?:_l(\d{1,3})(_reverse)?)?", re.DOTALL)
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
"""Rows of a matrix for each hidden unit."""


class _Weights(NamedTuple):
    """The values of a recurrent module, by (part, side, layer, direction)."""

    prefix: str
    values: dict[tuple[str, str, int, bool], tuple[str, Any]]


def params_from(architecture: Architecture, weights: Sequence[Sequence[Array]]) -> dict[str, Array]:
    """Return a network's parameters by name, for those of PyTorch.

    PyTorch has W_ih, W_hh, b_ih and b_hh for each layer and direction, or the first two where there
    are no biases. A network has one bias, their sum; a GRU with the reset gate after the product
    keeps the two biases of n apart, b_n and b_hn. The order of the gates is the same.

    Parameters
    ----------
    architecture : Architecture
    weights : list of lists of array
        Those of each layer and direction, as ``module.all_weights`` lists them.

    Returns
    -------
    dict of array
        W_xh and W_hh share the memory of the weights where these are contiguous; b_h is new.
    """
    params, H = {}, architecture.hidden_size
    for state, (W_ih, W_hh, *biases) in enumerate(weights):
        b_h = np.zeros(architecture.cell_row.bias_blocks * H, W_ih.dtype)
        if biases:
            b_ih, b_hh = biases
            b_h[: len(b_ih)] = b_ih
            if architecture.cell == "gru":
                b_h[: 2 * H] += b_hh[: 2 * H]
                b_h[3 * H :] = b_hh[2 * H :]
            else:
                b_h += b_hh
        suffix = architecture.suffix(state)
        params["W_xh" + suffix] = np.ascontiguousarray(W_ih)
        params["W_hh" + suffix] = np.ascontiguousarray(W_hh)
        params["b_h" + suffix] = b_h
    return params


def from_state_dict(
    mapping: Mapping[str, npt.ArrayLike],
    *,
    cell: str | None = None,
    nonlinearity: str = "tanh",
    prefix: str | None = None,
    output: str | None = None,
    return_sequences: bool = True,
    categorical: bool = False,
    dtype: npt.DTypeLike | None = None,
    implementation: str | None = None,
) -> RNN | GRU | LSTM:
    """Return a network with arrays that have the names of PyTorch's parameters.

    For whatever holds such arrays: a ``state_dict()``, a file of safetensors, an ``.npz``, JSON.
    PyTorch is not needed.

    Parameters
    ----------
    mapping : mapping of array
        By name: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, those of more
        layers and of the direction ``_reverse``, or the names of a cell, ``weight_ih`` and so on;
        and perhaps those of an output layer, such as ``fc.weight`` and ``fc.bias``. Biases may be
        missing. Before the names there may be a prefix, such as ``model.lstm.``.
    cell : {"rnn", "gru", "lstm"}, optional
        Default: what the shapes show.
    nonlinearity : {"tanh", "relu"}
        Of an RNN; the arrays do not show it.
    prefix : str, optional
        What the names of the recurrent module begin with, such as ``"encoder"``. Others are not
        read then, except for those of `output`. Default: that of all recurrent names, of which
        there has to be one; then each array has to be one of the module or of the output layer.
    output : str, optional
        The name of the output layer, such as ``"fc"``. Default: with `prefix` there is none,
        without it that of the remaining arrays.
    return_sequences, categorical : bool
        As for `RNN`.
    dtype : {"float32", "float64"}, optional
        Default: float64 if one of the arrays has it, else float32. Lists count as float32.
    implementation : {"native", "python"}, optional
        As for `RNN`.

    Returns
    -------
    RNN, GRU or LSTM

    Raises
    ------
    ValueError, TypeError
        An array is missing, has another shape or is not understood, or another argument does not
        fit.

    Examples
    --------
    >>> import crnn, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> shapes = {"lstm.weight_ih_l0": (32, 2), "lstm.weight_hh_l0": (32, 8), "fc.weight": (1, 8)}
    >>> net = crnn.from_state_dict({name: rng.random(shape) for name, shape in shapes.items()})
    >>> type(net).__name__, net.input_size, net.hidden_size, net.output_size, net.dtype.name
    ('LSTM', 2, 8, 1, 'float64')
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(f"mapping: expected arrays by name, got {type(mapping).__name__}")
    if cell is not None:
        checks.choice("cell", cell, tuple(FAMILIES))
    checks.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    for name, text in (("prefix", prefix), ("output", output)):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name}: expected a name, got {text!r}")
    if prefix and not prefix.endswith("."):
        prefix = f"{prefix}."
    found = _recurrent(mapping, prefix)
    names = {name for name, _ in found.values.values()}
    layer = _output_name(mapping, names, prefix, output)
    read = dict(found.values.values())
    if layer is not None:
        read |= {name: mapping[name] for name in _of_output(layer) if name in mapping}
    if dtype is None:
        is_wide = any(
            not isinstance(value, (list, tuple)) and as_array(name, value).dtype == np.float64
            for name, value in read.items()
        )
        dtype = "float64" if is_wide else "float32"
    like = np.empty(0, contracts.float_dtype(dtype))

    def checked(name: str, axes: str, **sizes: int) -> Array:
        return arrays.floats(name, read[name], (axes,), sizes, like, _backend.kernels)

    kind, hidden_size = _cell_of(found, cell, checked)
    layers = 1 + max(number for _, _, number, _ in found.values)
    directions = 1 + any(is_reverse for *_, is_reverse in found.values)
    rows = BLOCKS[kind] * hidden_size
    weights: list[list[Array]] = []
    has_biases = any(part == "bias" for part, *_ in found.values)
    for state in range(layers * directions):
        key = (state // directions, state % directions == 1)
        parts = []
        for part in ("weight", "bias")[: 1 + has_biases]:
            for side in ("ih", "hh"):
                if (part, side, *key) not in found.values:
                    name = f"{found.prefix}{part}_{side}_l{key[0]}{'_reverse' * key[1]}"
                    raise ValueError(f"mapping: expected {name!r}, got no array of that name")
                name = found.values.pop((part, side, *key))[0]
                if part == "bias":
                    parts.append(checked(name, "rows", rows=rows))
                elif side == "hh":
                    parts.append(checked(name, "rows hidden", rows=rows, hidden=hidden_size))
                elif state < directions:
                    sizes = {"inputs": weights[0][0].shape[1]} if weights else {}
                    parts.append(checked(name, "rows inputs", rows=rows, **sizes))
                else:
                    features = directions * hidden_size
                    parts.append(checked(name, "rows features", rows=rows, features=features))
        weights.append(parts)
    output_size = None
    if layer is not None:
        W_hy = checked(f"{layer}weight", "outputs features", features=directions * hidden_size)
        output_size = len(W_hy)
    architecture = Architecture(
        weights[0][0].shape[1],
        hidden_size,
        output_size,
        layers,
        directions == 2,
        return_sequences=return_sequences,
        cell=nonlinearity if kind == "rnn" else kind,
        categorical=categorical,
    )
    net = from_architecture(
        architecture, dtype=dtype, init="uniform", implementation=implementation
    )
    for name, values in params_from(architecture, weights).items():
        net.params[name][...] = values
    if layer is not None and output_size is not None:
        net.params["W_hy"][...] = W_hy
        net.params["b_y"][...] = 0
        if f"{layer}bias" in read:
            net.params["b_y"][...] = checked(f"{layer}bias", "outputs", outputs=output_size)
    return net


def _recurrent(mapping: Mapping[str, Any], prefix: str | None) -> _Weights:
    """Return the values of the recurrent module."""
    modules: dict[str, _Weights] = {}
    for name in mapping:
        if not isinstance(name, str):
            raise TypeError(f"mapping: expected names, got {name!r}")
        if name.rpartition(".")[2].startswith("weight_hr"):
            raise ValueError(
                f"mapping: expected an LSTM with proj_size=0, got a projection, {name!r}"
            )
        match = RECURRENT.fullmatch(name)
        if match is None or prefix not in (None, match[1]):
            continue
        module = modules.setdefault(match[1], _Weights(match[1], {}))
        key = (match[2], match[3], int(match[4] or 0), match[5] is not None)
        if key in module.values:
            raise ValueError(
                f"mapping: expected the names of one module, got {module.values[key][0]!r} and "
                f"{name!r}"
            )
        module.values[key] = (name, mapping[name])
    if not modules:
        expected = f"{prefix or ''}weight_hh_l0"
        raise ValueError(f"mapping: expected {expected!r} among its names, got {_few(mapping)}")
    if len(modules) > 1:
        raise ValueError(
            f"prefix: expected one of {', '.join(map(repr, modules))}, because there are several "
            "recurrent modules, got None"
        )
    return next(iter(modules.values()))


def _of_output(layer: str) -> tuple[str, str]:
    return f"{layer}weight", f"{layer}bias"


def _output_name(
    mapping: Mapping[str, Any], names: set[str], prefix: str | None, output: str | None
) -> str | None:
    """Return what the names of the output layer begin with, or None, or raise what is there."""
    if output is not None:
        layer = f"{output}." if output and not output.endswith(".") else output
        if f"{layer}weight" not in mapping:
            raise ValueError(f"output: expected {layer}weight in the mapping, got {output!r}")
        if prefix is not None:
            return layer
    rest = [name for name in mapping if name not in names]
    if output is None:
        if prefix is not None or not rest:
            return None
        weights = [name for name in rest if name.rpartition(".")[2] == "weight"]
        layer = weights[0].removesuffix("weight") if len(weights) == 1 else ""
    others = [name for name in rest if name not in _of_output(layer)]
    if others or f"{layer}weight" not in mapping:
        raise ValueError(
            "mapping: expected the names of one recurrent module and one output layer; got "
            f"{_few(others or rest)} too (prefix= and output= say what is to be read)"
        )
    return layer


def _few(names: Iterable[str]) -> str:
    """Return the first names, for an error."""
    listed = [f"{name!r:.60}" for name in names]
    return ", ".join(listed[:5]) + (" and others" if len(listed) > 5 else "") or "none"


def _cell_of(found: _Weights, cell: str | None, checked: Any) -> tuple[str, int]:
    """Return the cell and the hidden units that the first recurrent matrix shows."""
    key = ("weight", "hh", 0, False)
    if key not in found.values:
        raise ValueError(
            f"mapping: expected {f'{found.prefix}weight_hh_l0'!r}, got no array of that name"
        )
    name = found.values[key][0]
    rows, H = checked(name, "rows hidden").shape
    kind = next((kind for kind, blocks in BLOCKS.items() if rows == blocks * H), None)
    if kind is None or cell not in (None, kind):
        wanted = [cell] if cell is not None else list(BLOCKS)
        shapes = checks.any_of(f"({BLOCKS[k]} * hidden, hidden) of an {k.upper()}" for k in wanted)
        raise ValueError(f"{name}: expected shape {shapes}, got {(rows, H)}")
    return kind, H
