"""Networks from the files of Keras models, `.keras` and `.h5`, without Keras.

A `.keras` file is a zip archive of `config.json`, which describes the layers, and
`model.weights.h5`. An `.h5` file has the description as an attribute of its root, and the weights
beside it. Of the description the names of classes and their settings are read; nothing is executed.
"""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from crnn import GRU, LSTM, RNN, ModelFileError, Sequential, archive
from crnn.embeddings import FREE_BYTES, FREE_FACTOR
from crnn.keras.arrays import weights_by_layer
from crnn.keras.chains import EmbeddingLayer, Layer, RecurrentLayer, network_of
from crnn.keras.hdf5 import Node
from crnn.keras.models import ModelLayer, checked_layers

Array: TypeAlias = npt.NDArray[Any]
Content: TypeAlias = dict[str, Any]
WeightsOf: TypeAlias = Callable[[str, str], Callable[..., list[Array]]]
"""From a layer's class and name to what returns its arrays, or those of a layer in it."""

# Descriptions of a layer take some kilobytes.
MAX_CONFIG_BYTES = 1 << 22
MOST_LAYERS = 1000
# Deflate shortens the numbers of a network by a tenth; of zeros it makes almost nothing.
MOST_GROWTH = 20
# What JSON, zip and looking into what they hold raise for damage; a text that is none, a ValueError
DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
    *(RuntimeError, EOFError, zlib.error, zipfile.BadZipFile),
)


def load(
    path: str | os.PathLike[str],
    *,
    return_sequences: bool | None = None,
    dtype: npt.DTypeLike | None = None,
    implementation: str | None = None,
) -> RNN | GRU | LSTM | Sequential:
    """Return a network that computes what the Keras model in a file does, without Keras.

    Parameters
    ----------
    path : path-like
        Of a `.keras` file, or of an `.h5` file that holds the whole model. The layers have to be
        those that `from_model` takes, in a Sequential model or in a functional one that is a chain.
    return_sequences : bool, optional
        As in `from_model`.
    dtype : {"float32", "float64"}, optional
        Default: that of the weights.
    implementation : {"native", "python"}, optional
        As for `crnn.RNN`.

    Returns
    -------
    RNN, GRU, LSTM or Sequential
        As of `from_model`.

    Raises
    ------
    ModelFileError
        The file is damaged, is something else, or has a layer or a setting that networks of crnn do
        not have, such as a custom one: the error names it.
    ValueError, TypeError
        Another argument does not fit.
    OSError
        The file cannot be opened.

    Notes
    -----
    Nothing in the file is executed, links out of it are not followed, and of weights only those
    that lie in it uncompressed are read, so the memory is some times the file's size. Of HDF5 the
    forms are read that Keras writes.
    """
    # Raises what is wrong with the arguments, which is no fault of the file.
    RNN(1, 1, dtype=dtype or "float32", implementation=implementation,
        return_sequences=return_sequences is not False)  # fmt: skip
    archive.check_regular(path)
    content = Path(path).read_bytes()
    try:
        is_zip = content[:2] == b"PK"
        config: Content = {}
        if is_zip:
            members = _members(content)
            config = _json(members["config.json"])
            content = members["model.weights.h5"]
            del members
        file = Node(content)
        if not is_zip:
            texts = file.attribute("model_config")
            if not texts:
                raise ModelFileError(
                    "expected the file of a whole model, got weights alone; use from_weights"
                )
            config = _json(texts[0])
        weights_of = _new_weights(file) if is_zip else _legacy_weights(file)
        layers = checked_layers(_stored(entry, weights_of) for entry in _chain(config))
        _check_embedding(layers, FREE_BYTES + FREE_FACTOR * len(content))
        return network_of(
            layers,
            return_sequences=return_sequences,
            dtype=dtype,
            implementation=implementation,
        )
    except DAMAGE as error:
        message = str(error) if isinstance(error, (ValueError, TypeError)) else ""
        if not message:
            message = f"expected a model of Keras, got a damaged file ({error!r:.100})"
        raise ModelFileError(f"{os.fspath(path)}: {' '.join(message.split())}") from error
    except RecursionError as error:
        raise ModelFileError(f"{os.fspath(path)}: expected a model, got nested lists") from error


def _check_embedding(layers: list[Layer], most: int) -> None:
    """Raise where the weights of all categories would take more than so many bytes."""
    if len(layers) < 2 or not isinstance(layers[0], EmbeddingLayer):
        return
    reader = layers[1]
    for table in layers[0].arrays if isinstance(reader, RecurrentLayer) else ():
        [weights] = weights_by_layer([reader.arrays])
        columns = sum(weights.arrays[place].shape[-1] for place in weights.places)
        if max(4, table.itemsize) * len(table) * columns > most:
            raise ModelFileError(
                f"{layers[0].label}: expected weights of at most {most >> 20} MB for all "
                f"categories, got {len(table)} categories"
            )


def _members(content: bytes) -> dict[str, bytes]:
    """Return the two members of a `.keras` file that are read."""
    names, members = ("config.json", "model.weights.h5"), {}
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        for name in names:
            if zipped.namelist().count(name) != 1:
                raise ModelFileError(f"expected a .keras file with one {name}, got none or several")
            info = zipped.getinfo(name)
            most = MAX_CONFIG_BYTES if name == "config.json" else MOST_GROWTH * len(content)
            if info.file_size > most:
                raise ModelFileError(f"{name}: expected at most {most} bytes, got {info.file_size}")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ModelFileError(f"{name}: expected a stored or deflated member, got another")
            with zipped.open(info) as member:
                members[name] = member.read(info.file_size)
    return members


def _json(text: bytes | str) -> Content:
    """Return the JSON object of a model."""
    if len(text) > MAX_CONFIG_BYTES:
        raise ModelFileError(f"expected a description of at most {MAX_CONFIG_BYTES} bytes")
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ModelFileError("expected the description of a model, got something else")
    return content


def _chain(model: Content) -> Iterator[Content]:
    """Yield the descriptions of the layers in the order in which they are called."""
    kind, config = model.get("class_name"), model.get("config")
    if kind not in ("Sequential", "Functional", "Model") or _is_custom(model):
        raise ModelFileError(f"expected a Sequential or Functional model, got {kind!r:.100}")
    # Before Keras 2.2.3 that of a Sequential model was the list.
    layers = config if isinstance(config, list) else _dict(config)["layers"]
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise ModelFileError(f"layers: expected a list of at most {MOST_LAYERS}")
    entries = [_dict(layer) for layer in layers]
    if kind == "Sequential":
        yield from entries
        return
    names = [_name(entry) for entry in entries]
    if len(set(names)) < len(names):
        raise ModelFileError("layers: expected names that differ, got one twice")
    # Each layer that reads another one, by the name of that one
    readers: dict[str, Content] = {}
    first = []
    for entry, name in zip(entries, names, strict=True):
        read = _inbound(entry, name)
        if read is None:
            first.append(entry)
        elif read in readers:
            raise ModelFileError(
                f"layer {name!r:.100}: expected a chain of layers, got a second one that reads "
                f"{read!r:.100}"
            )
        else:
            readers[read] = entry
    if len(first) != 1:
        raise ModelFileError(f"layers: expected a model of one input, got {len(first)}")
    entry, count = first[0], 0
    while True:
        yield entry
        count += 1
        name = _name(entry)
        if name not in readers:
            break
        entry = readers.pop(name)
    outputs = _dict(config).get("output_layers")
    if count != len(entries) or outputs not in ([name, 0, 0], [[name, 0, 0]]):
        raise ModelFileError(
            f"expected a chain of layers whose last one is the output, got {name!r:.100} at its end"
        )


def _inbound(entry: Content, name: str) -> str | None:
    """Return the name of the layer that one reads; None: it is an input."""
    nodes = entry.get("inbound_nodes")
    if nodes == []:
        return None
    found: list[Any] = []
    if isinstance(nodes, list) and len(nodes) == 1:
        if isinstance(nodes[0], dict):
            _histories(nodes[0], found)
        elif isinstance(nodes[0], list):
            # Keras 2: [name, node, tensor, further arguments] of each tensor
            for tensor in nodes[0]:
                found.append(tensor[:3])
                if any(isinstance(value, list) for value in _dict(tensor[3]).values()):
                    found.append(None)
    if len(found) != 1 or found[0][2] != 0 or not isinstance(found[0][0], str):
        raise ModelFileError(
            f"layer {name!r:.100}: expected one that is called once, on the output of one layer"
        )
    return str(found[0][0])


def _histories(value: Any, found: list[Any]) -> None:
    """Collect the tensors in the arguments of a call, as Keras 3 writes them."""
    if isinstance(value, dict):
        if "keras_history" in value:
            found.append(value["keras_history"])
        for inner in value.values():
            _histories(inner, found)
    elif isinstance(value, list):
        for inner in value:
            _histories(inner, found)


def _dict(value: Any) -> Content:
    if not isinstance(value, dict):
        raise ModelFileError(f"expected a description by name, got {value!r:.100}")
    return value


def _name(entry: Content) -> str:
    name = _dict(entry.get("config")).get("name")
    if not isinstance(name, str) or not name:
        raise ModelFileError(f"layer: expected a name, got {name!r:.100}")
    return name


def _is_custom(entry: Content) -> bool:
    """Whether a class is from another package than Keras."""
    module, registered = entry.get("module", "keras"), entry.get("registered_name")
    of_keras = isinstance(module, str) and module.partition(".")[0] in ("keras", "tf_keras")
    return not of_keras or (isinstance(registered, str) and ">" in registered)


def _stored(entry: Content, weights_of: WeightsOf) -> ModelLayer:
    """Return what a description of a layer and the weights say."""
    kind, name = entry.get("class_name"), _name(entry)
    if not isinstance(kind, str):
        raise ModelFileError(f"class_name: expected a name, got {kind!r:.100}")
    return _layer(entry, kind, name, weights_of(kind, name))


def _layer(entry: Content, kind: str, name: str, weights: Callable[..., list[Array]]) -> ModelLayer:
    config = _dict(entry.get("config"))
    package = "keras"
    if _is_custom(entry):
        custom = entry.get("registered_name") or entry.get("module")
        kind, package = f"the custom {kind:.100}", f"{custom!r:.100}"

    def inner() -> list[ModelLayer]:
        wrapped = _dict(config.get("layer"))
        inner_kind = str(wrapped.get("class_name"))
        if kind != "Bidirectional":
            return [_layer(wrapped, inner_kind, name, list)]
        other = config.get("backward_layer")
        if other is None:
            of_forward = _dict(wrapped.get("config"))
            backwards = {"go_backwards": not of_forward.get("go_backwards", False)}
            other = wrapped | {"config": of_forward | backwards}
        return [
            _layer(wrapped, inner_kind, name, lambda: weights(0)),
            _layer(_dict(other), str(_dict(other).get("class_name")), name, lambda: weights(1)),
        ]

    def arrays() -> list[Array]:
        found = weights()
        _check_units(name, config, found)
        return found

    return ModelLayer(kind, package, name, config, arrays, inner)


def _check_units(name: str, config: Mapping[str, Any], arrays: list[Array]) -> None:
    """Raise unless the arrays are of so many units as the description says."""
    units = config.get("units")
    is_dense = len(arrays) < 2 or arrays[1].ndim == 1
    if units is None or not arrays or arrays[0].ndim != 2:
        return
    found = arrays[0].shape[1] if is_dense else arrays[1].shape[0]
    if found != units:
        raise ModelFileError(f"layer {name!r:.100}: expected {units!r:.20} units, got {found}")


def _new_weights(file: Node) -> WeightsOf:
    """Return what finds the weights of `model.weights.h5`.

    Groups have the names of classes, counted.
    """
    top = "layers" if "layers" in file.members() else "_layer_checkpoint_dependencies"
    counts: dict[str, int] = {}

    def weights_of(kind: str, name: str) -> Callable[..., list[Array]]:
        base = _snake_case(kind)
        number = counts[base] = counts.get(base, -1) + 1
        place = f"{top}/{base}_{number}" if number else f"{top}/{base}"

        def weights(direction: int | None = None) -> list[Array]:
            sub = {None: "", 0: "/forward_layer", 1: "/backward_layer"}[direction]
            if kind == "TimeDistributed":
                sub = "/layer"
            for inner in ("/cell/vars", "/vars"):
                group = file.get(place + sub + inner)
                count = 0 if group is None else len(group.members())
                if group is not None and count:
                    return [_array(group, str(number), name) for number in range(count)]
            return []

        return weights

    return weights_of


def _snake_case(name: str) -> str:
    """Return a class's name as Keras writes it in files: CuDNNLSTM is cu_dnnlstm."""
    text = ""
    for number, letter in enumerate(name):
        follows = name[number + 1 : number + 2]
        before = name[number - 1] if number else ""
        starts = (
            letter.isupper()
            and before
            and (before.islower() or before.isdigit() or (before.isupper() and follows.islower()))
        )
        text += ("_" if starts else "") + letter.lower()
    return text


def _legacy_weights(file: Node) -> WeightsOf:
    """Return what finds the weights of an `.h5` file."""

    def weights_of(kind: str, name: str) -> Callable[..., list[Array]]:
        def weights(direction: int | None = None) -> list[Array]:
            group = file.get(f"model_weights/{name}")
            if group is None:
                return []
            names = group.attribute("weight_names") or []
            arrays = [_array(group, text, name) for text in names]
            if direction is None:
                return arrays
            half = len(arrays) // 2
            return arrays[:half] if direction == 0 else arrays[half:]

        return weights

    return weights_of


def _array(group: Node, path: str, name: str) -> Array:
    """Return an array of a layer."""
    node = group.get(path)
    if node is None:
        raise ModelFileError(f"layer {name!r:.100}: expected the weights {path!r:.100}, got none")
    return node.array(path)
