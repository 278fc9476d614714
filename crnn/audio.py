"""Files of amplifier models and audio plug-ins: RTNeural's JSON, and LSTMs of Neural Amp Modeler.

>>> import crnn, crnn.audio, os, tempfile
>>> net = crnn.LSTM(input_size=1, hidden_size=8, output_size=1, seed=0)
>>> with tempfile.TemporaryDirectory() as folder:
...     crnn.audio.save(net, os.path.join(folder, "amp.nam"), sample_rate=48000)
...     twin = crnn.audio.load(os.path.join(folder, "amp.nam"))
>>> bool((twin.flat_params == net.flat_params).all())
True

The forms, as the sources of RTNeural and NeuralAmpModelerCore have them:

"keras"
    RTNeural's JSON of a Keras model: a list of layers with the arrays of their `get_weights`.
"torch"
    The JSON of a PyTorch module's `state_dict`, which RTNeural's `torch_helpers` read.
"nam"
    Neural Amp Modeler, architecture "LSTM": one list of numbers. Layer by layer W_xh and W_hh side
    by side (4 * hidden, inputs + hidden), b_h, h0 and c0; then W_hy and b_y.
"""

import json
import os
import re
import reprlib
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN, Dense, ModelFileError, Sequential, archive, checks
from crnn.keras import to_weights
from crnn.keras.cells import LAYER_KINDS, LayerKind, reorder_gates, split_biases
from crnn.keras.chains import DenseLayer, Layer, RecurrentLayer, network_of

__all__ = ["describe", "load", "save"]

Array: TypeAlias = npt.NDArray[Any]
Content: TypeAlias = dict[str, Any]
"""The JSON object of a file."""

# Half a million numbers and more; a plug-in computes some thousand of them for each sample.
MAX_BYTES = 1 << 24
# An empty list takes 30 times its characters as an object; a matrix has one list a row.
MOST_LISTS = 1 << 17
# As in files of crnn: each layer takes some kilobytes, whatever its weights take.
MOST_LAYERS = 1000

FORMS = ("keras", "torch", "nam")
KINDS = {kind.name.lower(): kind for kind in LAYER_KINDS if kind.name in ("GRU", "LSTM")}
DENSE = ("dense", "time-distributed-dense")
ACTIVATIONS = ("", "linear", "relu", "tanh", "sigmoid", "softmax")
# In files of AIDA-X, which are RTNeural's beside it: what the plug-in does around the network.
AROUND = ("in_skip", "in_gain", "out_gain")
# The first group is the module.
RECURRENT_NAME = re.compile(r"((?:[\w.]{1,200}\.)?)(weight|bias)_(ih|hh)_l\d{1,4}", re.ASCII)
LINEAR_NAME = re.compile(r"((?:[\w.]{1,200}\.)?)(weight|bias)", re.ASCII)
# Files from 0.5.0 to 0.7.0, which NeuralAmpModelerCore reads, hold an LSTM in one way.
NAM_VERSIONS = re.compile(r"0\.[567]\.\d{1,3}")
NAM_VERSION = "0.5.4"


class _Parts(NamedTuple):
    """What was found in a file."""

    layers: list[Layer]
    first_states: list[Array] | None = None
    """h0 and c0 (layers, units), unless they are zero."""


def load(
    path: str | os.PathLike[str],
    *,
    dtype: npt.DTypeLike = "float32",
    implementation: str | None = None,
) -> GRU | LSTM | Sequential:
    """Return the network of a file of RTNeural or Neural Amp Modeler.

    What is in the file says which form it has. Read are lstm, gru and dense layers, these without
    activation or with relu, tanh, sigmoid or softmax. The state of a PyTorch module does not show
    activations: there, one dense layer may be the last. The first states of a .nam file become a
    trainable h0 unless they are zero. A plug-in may do more around the network:
    NeuralAmpModelerCore lets it read half a second of zeros before it starts.

    The memory that is taken is a few times the file's size, and files of more than 16 MiB are
    refused: files of unknown origin may be tried.

    Parameters
    ----------
    path : path-like
    dtype : {"float32", "float64"}
    implementation : {"native", "python"}, optional
        Both as for `crnn.RNN`.

    Returns
    -------
    crnn.GRU, LSTM or Sequential
        One network if the recurrent layers are alike and there is nothing else but a dense layer
        without activation behind them, otherwise a chain. It takes samples as (time, inputs): for
        one signal ``samples[:, None]``.

    Raises
    ------
    ModelFileError
        The file is damaged, is something else, or computes something that networks of crnn do not:
        the error names the layer.
    ValueError, TypeError, ImportError
        Another argument does not fit.
    OSError
        The file cannot be opened.
    """
    # Raises what is wrong with the arguments, which is no fault of the file.
    dtype = RNN(1, 1, dtype=dtype, implementation=implementation).dtype
    where = os.fspath(path)
    try:
        content = _content(Path(path))
        parts = {"keras": _read_keras, "torch": _read_torch, "nam": _read_nam}[_form(content)](
            content
        )
        _check(parts.layers)
        net = network_of(
            parts.layers,
            dtype=dtype,
            implementation=implementation,
            trainable_h0=parts.first_states is not None,
        )
        if parts.first_states is not None and isinstance(net, LSTM):
            for name, values in zip(("h0", "c0"), parts.first_states, strict=True):
                # In float32 a number may become infinite.
                with np.errstate(over="ignore"):
                    net.params[name][...] = values.reshape(net.params[name].shape)
                if not np.isfinite(net.params[name]).all():
                    raise ModelFileError(f"{name}: expected numbers that {dtype} can hold")
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{where}: {error}") from error.__cause__
    return cast("GRU | LSTM | Sequential", net)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a file says beside its weights.

    Parameters
    ----------
    path : path-like
        Also of a network that `load` refuses, such as a WaveNet.

    Returns
    -------
    dict
        "form", one of "keras", "torch" and "nam", and what the file has: for "nam" its "version",
        "architecture", "config", "sample_rate" and "metadata"; for "keras" "in_shape", the "type",
        "activation" and "shape" of its "layers", and what else is there; for "torch" nothing more.

    Raises
    ------
    ModelFileError
        The file is damaged or is something else.
    OSError
        It cannot be opened.
    """
    try:
        content = _content(Path(path))
        form = _form(content)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from error.__cause__
    description = {} if form == "torch" else _without_weights(content)
    if form == "keras" and isinstance(content["layers"], list):
        description["layers"] = [
            _without_weights(layer) if isinstance(layer, dict) else layer
            for layer in content["layers"]
        ]
    return description | {"form": form}


def save(
    net: GRU | LSTM | Sequential,
    path: str | os.PathLike[str],
    *,
    form: str | None = None,
    sample_rate: float | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a network as a file of RTNeural or Neural Amp Modeler.

    Parameters
    ----------
    net : GRU, LSTM, or for "keras" a Sequential of these and of Dense
        In one direction, with an output for each step. RTNeural has no first states and of GRU the
        form with ``reset_after=True``. A .nam file holds an LSTM with an output layer, and its
        first states.
    path : path-like
        An existing file is replaced, whole or not at all.
    form : {"keras", "torch", "nam"}, optional
        Default: "nam" for a path that ends in .nam, and "keras" for one that ends in .json. The
        layers of "torch" are called ``lstm`` or ``gru``, and ``dense``.
    sample_rate : float, optional
        In Hz; for "nam" only.
    metadata : dict, optional
        What JSON can hold, as ``describe(path)["metadata"]`` has it; for "nam" only.

    Raises
    ------
    ValueError, TypeError
        The form cannot hold the network, or an argument does not fit. Nothing is written.
    OSError
        The file cannot be written.
    """
    form = _form_to_write(path, form)
    _check_net(net, form)
    content: Content
    if form == "nam":
        if metadata is not None and not isinstance(metadata, dict):
            raise TypeError(f"metadata: expected a dict, got {type(metadata).__name__}")
        content = _nam_content(cast("LSTM", net)) | {"metadata": metadata or {}}
        if sample_rate is not None:
            rate = checks.number("sample_rate", sample_rate, above=0)
            content["sample_rate"] = int(rate) if rate.is_integer() else rate
    else:
        for name, value in (("sample_rate", sample_rate), ("metadata", metadata)):
            if value is not None:
                raise ValueError(
                    f"{name}: expected None, because RTNeural's files do not have it, "
                    f"got {_shown(value)}"
                )
        content = (
            _keras_content(net) if form == "keras" else _torch_content(cast("GRU | LSTM", net))
        )
    try:
        # NaN is no JSON: plug-ins do not read it.
        encoded = json.dumps(content, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"metadata: expected what JSON can hold, got {error}") from None
    if len(encoded) > MAX_BYTES:
        raise ValueError(
            f"net: expected one whose file has at most {MAX_BYTES} bytes, got {len(encoded)}"
        )
    archive.write_file(path, lambda file: file.write(encoded))


def _content(path: Path) -> Content:
    """Return the JSON object of a file, or raise a ModelFileError that does not name the file."""
    archive.check_regular(path)
    with path.open("rb") as file:
        # Memory for so many bytes is taken before they are read.
        data = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    if len(data) > MAX_BYTES:
        raise ModelFileError(f"expected a file of at most {MAX_BYTES} bytes, got more")
    if data.count(b"[") + data.count(b"{") > MOST_LISTS:
        raise ModelFileError(f"expected at most {MOST_LISTS} lists and objects, got more")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"expected JSON, got something else ({error})") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"expected a JSON object, got {_shown(content)}")
    return content


def _form(content: Content) -> str:
    if "architecture" in content:
        return "nam"
    if "layers" in content:
        return "keras"
    if any(RECURRENT_NAME.fullmatch(name) for name in content):
        return "torch"
    raise ModelFileError(
        "expected an 'architecture' as in .nam files, or 'layers' or weights such as "
        f"'lstm.weight_ih_l0' as in RTNeural's, got {_shown(list(content))}"
    )


def _without_weights(entry: Content) -> Content:
    return {name: value for name, value in entry.items() if name != "weights"}


def _shown(value: Any) -> str:
    """Return a value for an error message, cut short."""
    return reprlib.repr(value)


def _array(name: str, value: Any, axes: int) -> Array:
    """Return a list of numbers, or of such lists, as an array of finite float64."""
    # Looked at before NumPy sees them: of texts it would make an array as wide as the longest.
    rows = value if axes == 2 else [value]
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, list) and row and len(row) == len(rows[0]) for row in rows)
    ):
        kind = "a list of numbers" if axes == 1 else "a list of lists of numbers of one length"
        raise ModelFileError(f"{name}: expected {kind}, got {_shown(value)}")
    for row in rows:
        if not set(map(type, row)) <= {int, float}:
            other = next(number for number in row if type(number) not in (int, float))
            raise ModelFileError(f"{name}: expected numbers, got {_shown(other)}")
    try:
        array = np.array(value, np.float64)
    except OverflowError:
        raise ModelFileError(f"{name}: expected numbers of at most 64 bits") from None
    if not np.isfinite(array).all():
        raise ModelFileError(f"{name}: expected finite numbers")
    return array


def _check_shape(name: str, array: Array, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ModelFileError(f"{name}: expected shape {expected}, got {array.shape}")


def _check(layers: list[Layer]) -> None:
    """Raise unless there is a recurrent layer, and each layer reads what the one before returns."""
    if not any(isinstance(layer, RecurrentLayer) for layer in layers):
        raise ModelFileError("expected a lstm or gru layer, got none")
    if len(layers) > MOST_LAYERS:
        raise ModelFileError(f"expected at most {MOST_LAYERS} layers, got {len(layers)}")
    for before, layer in pairwise(layers):
        I = layer.arrays[0].shape[0]
        if _size_of(before) != I:
            raise ModelFileError(f"{layer.label}: expected {_size_of(before)} inputs, got {I}")


def _size_of(layer: Layer) -> int:
    """Return how many numbers a layer hands on."""
    if isinstance(layer, DenseLayer):
        return int(layer.arrays[0].shape[1])
    return int(layer.arrays[1].shape[0])


def _read_keras(content: Content) -> _Parts:
    """Return the parts of RTNeural's JSON of a Keras model."""
    for name in AROUND:
        if content.get(name):
            raise ModelFileError(
                f"{name}: expected 0, because a network does nothing around its layers, "
                f"got {_shown(content[name])}"
            )
    size = _last_size("in_shape", content.get("in_shape"))
    entries = content["layers"]
    if not isinstance(entries, list):
        raise ModelFileError(f"layers: expected a list, got {_shown(entries)}")
    layers: list[Layer] = []
    for number, entry in enumerate(entries):
        name = f"layers[{number}]"
        if not isinstance(entry, dict):
            raise ModelFileError(f"{name}: expected a layer by name, got {_shown(entry)}")
        kind = entry.get("type")
        if not isinstance(kind, str) or kind not in (*KINDS, *DENSE):
            raise ModelFileError(
                f"{name}: expected type {checks.any_of((*KINDS, *DENSE))}, got {_shown(kind)}"
            )
        name = f"{name} ({kind})"
        activation = entry.get("activation", "")
        # RTNeural computes tanh and sigmoid in recurrent layers, whatever is written there.
        accepted = ACTIVATIONS if kind in DENSE else ("", "tanh")
        if not isinstance(activation, str) or activation not in accepted:
            raise ModelFileError(
                f"{name}: expected activation {checks.any_of(map(repr, accepted))}, which is what "
                f"such a layer of a network has, got {_shown(activation)}"
            )
        units = _last_size(f"{name}: shape", entry.get("shape"))
        arrays = entry.get("weights")
        expected = 2 if kind in DENSE else 3
        if not isinstance(arrays, list) or len(arrays) != expected:
            got = len(arrays) if isinstance(arrays, list) else _shown(arrays)
            raise ModelFileError(f"{name}: expected {expected} weights, got {got}")
        gates = 1 if kind in DENSE else len(KINDS[kind].gate_order)
        shapes = [(size, gates * units), (units, gates * units), (gates * units,)]
        if kind in DENSE:
            del shapes[1]
        elif kind == "gru":
            # A bias of one row is that of reset_after=False, which RTNeural does not have.
            shapes[2] = (2, gates * units)
        weights = []
        for place, shape in enumerate(shapes):
            part = f"{name}: weights[{place}]"
            weights.append(_array(part, arrays[place], len(shape)))
            _check_shape(part, weights[-1], shape)
        if kind in DENSE:
            function = None if activation in ("", "linear") else activation
            layers.append(DenseLayer(name, weights, function))
        else:
            layers.append(RecurrentLayer(name, weights, {}))
        size = units
    return _Parts(layers)


def _last_size(name: str, shape: Any) -> int:
    """Return the features of a shape (null, null, features)."""
    if not isinstance(shape, list) or not shape:
        raise ModelFileError(f"{name}: expected a list of sizes, got {_shown(shape)}")
    return _size(name, shape[-1])


def _size(name: str, value: Any) -> int:
    # No file holds more numbers.
    if type(value) is not int or not 1 <= value <= MAX_BYTES:
        raise ModelFileError(
            f"{name}: expected a whole number from 1 to {MAX_BYTES}, got {_shown(value)}"
        )
    return value


def _read_torch(content: Content) -> _Parts:
    """Return the parts of a PyTorch module's state, whose modules are in the order of the file."""
    modules: dict[str, dict[str, Any]] = {}
    for name, value in content.items():
        found = RECURRENT_NAME.fullmatch(name) or LINEAR_NAME.fullmatch(name)
        if found is None:
            raise ModelFileError(
                f"{_shown(name)}: expected the weights and biases of LSTM, GRU and Linear modules "
                "of one direction, got another name"
            )
        modules.setdefault(found[1], {})[name.removeprefix(found[1])] = value
    layers: list[Layer] = []
    for prefix, values in modules.items():
        if layers and isinstance(layers[-1], DenseLayer):
            raise ModelFileError(
                f"{prefix}: expected no module behind a Linear one, because the file does not say "
                "which activation is between them"
            )
        if "weight" not in values:
            layers += _recurrent_modules(prefix, values)
            continue
        if not layers:
            raise ModelFileError(
                f"{prefix}: expected a LSTM or GRU before it, because the file does not say which "
                "activation is behind a Linear module"
            )
        others = values.keys() - {"weight", "bias"}
        if others:
            raise ModelFileError(
                f"{prefix}: expected a weight and a bias, got {_shown(sorted(others))} too"
            )
        weight = _array(f"{prefix}weight", values["weight"], 2)
        _check_shape(f"{prefix}weight", weight, (len(weight), _size_of(layers[-1])))
        bias = np.zeros(len(weight))
        if "bias" in values:
            bias = _array(f"{prefix}bias", values["bias"], 1)
            _check_shape(f"{prefix}bias", bias, (len(weight),))
        layers.append(DenseLayer(prefix, [weight.T, bias]))
    return _Parts(layers)


def _recurrent_modules(prefix: str, values: dict[str, Any]) -> list[RecurrentLayer]:
    """Return the layers of a LSTM or GRU module."""
    layers: list[RecurrentLayer] = []
    sides = ("ih", "hh")
    while values:
        number = len(layers)
        names = [f"{part}_{side}_l{number}" for part in ("weight", "bias") for side in sides]
        present = [name for name in names if name in values]
        if present not in (names, names[:2]):
            raise ModelFileError(
                f"{prefix}: expected {', '.join(names)}, the last two of them or not, "
                f"got {_shown(sorted(values))}"
            )
        W_ih, W_hh = (_array(prefix + name, values.pop(name), 2) for name in names[:2])
        rows, units = W_hh.shape
        kind = next((k for k in KINDS.values() if rows == len(k.gate_order) * units), None)
        if kind is None:
            raise ModelFileError(
                f"{prefix}{names[1]}: expected shape (4*units, units) of a LSTM or "
                f"(3*units, units) of a GRU, got {W_hh.shape}"
            )
        _check_shape(prefix + names[0], W_ih, (rows, W_ih.shape[1]))
        biases = np.zeros((2, rows))
        if len(present) == 4:
            for row, name in zip(biases, names[2:], strict=True):
                bias = _array(prefix + name, values.pop(name), 1)
                _check_shape(prefix + name, bias, (rows,))
                row[...] = bias
        layers.append(_torch_layer(f"{prefix}weight_hh_l{number}", kind, W_ih, W_hh, biases))
    return layers


def _torch_layer(
    name: str, kind: LayerKind, W_ih: Array, W_hh: Array, biases: Array
) -> RecurrentLayer:
    """Return a layer whose weights are as PyTorch has them; `biases` are (2, gates * units)."""
    # The order of PyTorch's gates is crnn's.
    bias = biases
    if kind.family is LSTM:
        with np.errstate(over="ignore"):
            bias = biases[0] + biases[1]
        if not np.isfinite(bias).all():
            raise ModelFileError(f"{name}: expected biases whose sum is finite, got infinity")
    arrays = [reorder_gates(values, kind) for values in (W_ih.T, W_hh.T, bias)]
    return RecurrentLayer(name, arrays, {})


def _read_nam(content: Content) -> _Parts:
    """Return the parts of a .nam file."""
    if content["architecture"] != "LSTM":
        raise ModelFileError(
            f"architecture: expected 'LSTM', got {_shown(content['architecture'])}"
        )
    version = content.get("version")
    if not isinstance(version, str) or not NAM_VERSIONS.fullmatch(version):
        raise ModelFileError(f"version: expected '0.5.0' to '0.7.0', got {_shown(version)}")
    config = content.get("config")
    if not isinstance(config, dict):
        raise ModelFileError(f"config: expected sizes by name, got {_shown(config)}")
    names = ("input_size", "hidden_size", "num_layers")
    config = {"in_channels": config.get("input_size"), "out_channels": 1} | config
    I, H, num_layers, channels, O = (
        _size(f"config: {name}", config.get(name))
        for name in (*names, "in_channels", "out_channels")
    )
    if channels != I:
        raise ModelFileError(
            f"config: in_channels: expected as many as input_size, {I}, got {channels}"
        )
    if num_layers > MOST_LAYERS:
        raise ModelFileError(
            f"config: num_layers: expected at most {MOST_LAYERS}, got {num_layers}"
        )
    numbers = _array("weights", content.get("weights"), 1)
    inputs = [I] + [H] * (num_layers - 1)
    expected = sum(4 * H * (n + H) + 6 * H for n in inputs) + O * (H + 1)
    if len(numbers) != expected:
        raise ModelFileError(
            f"weights: expected {expected} numbers of a LSTM of {num_layers} layers with {H} "
            f"units, {I} inputs and {O} outputs, got {len(numbers)}"
        )
    layers: list[Layer] = []
    first_states = np.zeros((2, num_layers, H))
    place = 0

    def take(*shape: int) -> Array:
        nonlocal place
        start, place = place, place + int(np.prod(shape))
        return numbers[start:place].reshape(shape)

    for number, n in enumerate(inputs):
        W_ih, W_hh = np.split(take(4 * H, n + H), [n], axis=1)
        biases = np.stack([take(4 * H), np.zeros(4 * H)])
        layers.append(_torch_layer(f"layer {number}", KINDS["lstm"], W_ih, W_hh, biases))
        first_states[:, number] = take(2, H)
    layers.append(DenseLayer("the output layer", [take(O, H).T, take(O)]))
    return _Parts(layers, list(first_states) if first_states.any() else None)


def _form_to_write(path: str | os.PathLike[str], form: str | None) -> str:
    if form is not None:
        return checks.choice("form", form, FORMS)
    suffix = Path(path).suffix.lower()
    if suffix not in (".nam", ".json"):
        raise ValueError(
            f"path: expected one that ends in .nam or .json, or a form, got {os.fspath(path)!r}"
        )
    return "nam" if suffix == ".nam" else "keras"


def _check_net(net: Any, form: str) -> None:
    """Raise unless a form can hold a network or a chain."""
    if isinstance(net, Sequential) and form == "keras":
        for number, part in enumerate(net.parts):
            if not isinstance(part, Dense):
                with checks.within(f"parts[{number}]"):
                    _check_net(part, form)
        return
    if isinstance(net, Sequential):
        raise ValueError(
            f"net: expected a GRU or LSTM for the form {form!r}, which holds no activations, got "
            "Sequential"
        )
    if not isinstance(net, (RNN, GRU, LSTM)):
        raise TypeError(f"net: expected a GRU or LSTM of crnn, got {type(net).__name__}")
    holder = "a .nam file" if form == "nam" else "RTNeural"
    families = (LSTM,) if form == "nam" else (GRU, LSTM)
    if not isinstance(net, families):
        names = checks.any_of(family.__name__ for family in families)
        raise ValueError(f"net: expected {names}, which {holder} has, got {type(net).__name__}")
    architecture = net.architecture
    expected = {"bidirectional": False, "return_sequences": True, "categorical": False}
    if form != "nam":
        expected["trainable_h0"] = False
    for name, value in expected.items():
        if getattr(architecture, name) != value:
            raise ValueError(f"net: expected {name}={value}, as {holder} has it, got {not value}")
    if architecture.cell == "gru_reset_before":
        raise ValueError(f"net: expected reset_after=True, as {holder} has it, got False")
    if form == "nam" and net.output_size is None:
        raise ValueError("net: expected an output layer, as a .nam file has it, got none")
    if not np.isfinite(net.flat_params).all():
        raise ValueError("net: expected finite parameters, got some that are not")


def _suffixes(net: GRU | LSTM) -> list[str]:
    """Return the ending of the parameter names of each layer."""
    return [net.architecture.suffix(layer) for layer in range(net.num_layers)]


def _keras_content(net: GRU | LSTM | Sequential) -> Content:
    """Return RTNeural's JSON of a Keras model."""
    found: list[tuple[str, str, int, list[Array]]] = []
    for part in net.parts if isinstance(net, Sequential) else [net]:
        if isinstance(part, Dense):
            arrays = [part.weight.T, part.bias]
            found.append(("dense", part.activation or "", part.output_size, arrays))
            continue
        assert isinstance(part, (GRU, LSTM))  # as `_check_net` has found
        layers, output = to_weights(part)
        kind = "lstm" if isinstance(part, LSTM) else "gru"
        found += [(kind, "tanh", part.hidden_size, arrays) for arrays in layers]
        if output is not None:
            found.append(("dense", "", output[0].shape[1], output))
    return {
        "in_shape": [None, None, net.input_size],
        "layers": [
            {
                "type": kind,
                "activation": activation,
                "shape": [None, None, size],
                "weights": [array.tolist() for array in arrays],
            }
            for kind, activation, size, arrays in found
        ],
    }


def _torch_content(net: GRU | LSTM) -> Content:
    """Return the state of a PyTorch module, as lists."""
    params, H = net.params, net.hidden_size
    prefix = "lstm" if isinstance(net, LSTM) else "gru"
    content: Content = {}
    for number, suffix in enumerate(_suffixes(net)):
        b_h = params["b_h" + suffix]
        biases = split_biases(b_h, H) if isinstance(net, GRU) else [b_h, np.zeros_like(b_h)]
        arrays = [params["W_xh" + suffix], params["W_hh" + suffix], *biases]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for name, array in zip(names, arrays, strict=True):
            content[f"{prefix}.{name}_l{number}"] = array.tolist()
    if net.output_size is not None:
        content |= {"dense.weight": params["W_hy"].tolist(), "dense.bias": params["b_y"].tolist()}
    return content


def _nam_content(net: GRU | LSTM) -> Content:
    """Return what a .nam file says of a network."""
    params, H = net.params, net.hidden_size
    states = np.zeros((2, net.num_layers, H), net.dtype)
    if net.trainable_h0:
        states[0], states[1] = params["h0"], params["c0"]
    weights: list[float] = []
    for number, suffix in enumerate(_suffixes(net)):
        W = np.concatenate([params["W_xh" + suffix], params["W_hh" + suffix]], axis=1)
        for array in (W, params["b_h" + suffix], states[:, number]):
            weights += array.ravel().tolist()
    weights += params["W_hy"].ravel().tolist() + params["b_y"].tolist()
    config = {"input_size": net.input_size, "hidden_size": H, "num_layers": net.num_layers}
    channels = {"in_channels": net.input_size, "out_channels": net.architecture.outputs}
    # Older versions of NeuralAmpModelerCore know no others than one.
    config |= {name: count for name, count in channels.items() if count != 1}
    return {"version": NAM_VERSION, "architecture": "LSTM", "config": config, "weights": weights}
