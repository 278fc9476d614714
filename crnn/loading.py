"""Networks and learners from files, and from the descriptions of networks in other files."""

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import checks
from crnn._network.architecture import Architecture
from crnn._training.run import Clipping
from crnn._typing import Array
from crnn.base import NETWORK_KIND, NETWORK_VERSION
from crnn.dense import ACTIVATIONS, Dense
from crnn.errors import ModelFileError
from crnn.kernels.cells import CELLS, parameter_count
from crnn.last_step import LastStep
from crnn.learners import (
    LEARNER_KIND,
    LEARNER_VERSION,
    Learner,
    check_learnable,
    sensitivity_count,
)
from crnn.losses import BY_NAME, Loss
from crnn.networks import GRU, LSTM, RNN, from_architecture
from crnn.optimizers import OPTIMIZERS, Optimizer
from crnn.sequential import SEQUENTIAL_KIND, SEQUENTIAL_VERSION, Part, Sequential

if TYPE_CHECKING:
    from crnn.archive import Shapes

__all__ = ["check_description", "from_description", "load", "load_learner"]

# A description of more layers is refused: its parameters would be listed one by one.
MOST_LAYERS = 1000


def load(
    path: str | os.PathLike[str],
    *,
    implementation: str | None = None,
    categorical: bool | None = None,
) -> RNN | GRU | LSTM | Sequential:
    """Return the network, or the chain of networks, that its `save` wrote to a file.

    Nothing in a file is executed, and the memory that is used is a few times the file's size, so
    files of unknown origin may be tried.

    Parameters
    ----------
    path : path-like
        What `RNN.save` or `Sequential.save` was given.
    implementation : {"native", "python"}, optional
        As in `RNN`.
    categorical : bool, optional
        Whether inputs are category numbers: for files of version 1, which do not say so. By
        default they are features.

    Returns
    -------
    RNN, GRU, LSTM or Sequential
        Networks have new random generators, seeded by the system.

    Raises
    ------
    TypeError
        `categorical` is no bool.
    ModelFileError
        The file is damaged, holds something else, was written by a newer version, or says something
        else than `categorical`.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import crnn, os, tempfile
    >>> net = crnn.RNN(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "net.npz"))
    ...     twin = crnn.load(os.path.join(folder, "net.npz"))
    >>> bool((twin.flat_params == net.flat_params).all())
    True
    """
    # Imported here: the libraries for files take longer to import than crnn.
    from crnn import archive

    if categorical is not None:
        categorical = checks.boolean("categorical", categorical)

    def expected(description: Any) -> "Shapes":
        if description.get("format") == f"crnn {SEQUENTIAL_KIND}":
            archive.check_kind(description, SEQUENTIAL_KIND, SEQUENTIAL_VERSION)
            return _check_parts(description, categorical)
        archive.check_kind(description, NETWORK_KIND, NETWORK_VERSION)
        return check_description(_completed(description, categorical))

    description, arrays = archive.read(path, expected)
    if description["format"] == f"crnn {SEQUENTIAL_KIND}":
        parts = [
            _part(part, arrays.get(f"part_{number}"), implementation)
            for number, part in enumerate(description["parts"])
        ]
        try:
            return Sequential(parts)
        except ValueError as error:
            raise ModelFileError(f"{os.fspath(path)}: {error}") from None
    return from_description(
        _completed(description, categorical), arrays["parameters"], implementation=implementation
    )


def load_learner(
    path: str | os.PathLike[str], *, implementation: str | None = None
) -> Learner[Any]:
    """Return the learner that its `save` wrote to a file, with its network and its optimizer.

    As for `load`, nothing in a file is executed.

    Parameters
    ----------
    path : path-like
        What `Learner.save` was given.
    implementation : {"native", "python"}, optional
        As in `RNN`.

    Returns
    -------
    Learner

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else or was written by a newer version.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import crnn, os, tempfile
    >>> learner = crnn.RNN(2, 8, 1, seed=0).learner(crnn.SGD(0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     learner.save(os.path.join(folder, "learner.npz"))
    ...     twin = crnn.load_learner(os.path.join(folder, "learner.npz"))
    >>> bool((twin.step([1, 2], [3]) == learner.step([1, 2], [3])).all())
    True
    """
    from crnn import archive

    description, arrays = archive.read(path, _check_learner)
    net = from_description(
        description["network"], arrays["parameters"], implementation=implementation
    )
    optimizer, loss = _optimizer_and_loss(description)
    if description["steps"]:
        memory = {name: arrays[f"optimizer_{name}"] for name in optimizer.memory_names}
        optimizer.restore(net.flat_params, memory, description["steps"], description["last_lr"])
    learner = net.learner(
        optimizer,
        loss=loss,
        clip_norm=description["clip_norm"],
        clip_value=description["clip_value"],
        batch_size=description["batch_size"],
    )
    learner.core.restore(arrays["states"], arrays["sensitivities"])
    return learner


def _check_learner(description: dict[str, Any]) -> "Shapes":
    """Return the dtype and shape of the arrays that belong to the description of a learner."""
    from crnn import archive
    from crnn._training.checkpoints import MOST_STEPS

    archive.check_kind(description, LEARNER_KIND, LEARNER_VERSION)
    limit = archive.Field(
        "a finite number above 0 or null",
        lambda value: value is None or (type(value) is float and 0 < value < math.inf),
    )
    archive.check_fields(
        description,
        {
            "network": archive.nested(),
            "optimizer": archive.nested(
                {
                    "name": archive.one_of(*OPTIMIZERS),
                    "settings": archive.nested(),
                }
            ),
            "loss": archive.nested(
                {
                    "name": archive.one_of(*BY_NAME),
                    "settings": archive.list_of(archive.number()),
                }
            ),
            "steps": archive.whole_number(0, MOST_STEPS),
            "clip_norm": limit,
            "clip_value": limit,
            "batch_size": archive.optional(archive.whole_number(1)),
        },
    )
    if description["steps"]:
        archive.check_fields(description, {"last_lr": archive.number(at_least=0.0)})
    dtype, shape = check_description(description["network"])["parameters"]
    architecture = _architecture(_completed(description["network"], None))
    try:
        optimizer, loss = _optimizer_and_loss(description)
        check_learnable(architecture, dtype, optimizer, loss)
        Clipping.checked(description["clip_norm"], description["clip_value"])
    except (TypeError, ValueError) as error:
        raise ModelFileError(str(error)) from None
    B, S = description["batch_size"] or 1, architecture.state_size
    shapes: Shapes = {
        "parameters": (dtype, shape),
        "states": (dtype, (B, S)),
        "sensitivities": (dtype, (B, S, sensitivity_count(architecture))),
    }
    names = optimizer.memory_names if description["steps"] else ()
    return shapes | {f"optimizer_{name}": (dtype, shape) for name in names}


def _optimizer_and_loss(description: dict[str, Any]) -> tuple[Optimizer, Loss]:
    """Return a new optimizer and the loss of the description of a learner."""
    optimizer, loss = description["optimizer"], description["loss"]
    return (
        OPTIMIZERS[optimizer["name"]](**optimizer["settings"]),
        type(BY_NAME[loss["name"]])(*loss["settings"]),
    )


def check_description(description: dict[str, Any]) -> "Shapes":
    """Return the dtype and shape of the arrays that belong to a network's description.

    Parameters
    ----------
    description : dict
        As of `RNN.describe`, from a file. Without "categorical", as in files of version 1, it
        counts as False.

    Returns
    -------
    dict
        ``{"parameters": (dtype, (n,))}``

    Raises
    ------
    ModelFileError
        It is no such description.
    """
    from crnn import archive

    description = _completed(description, None)
    whole = archive.whole_number(1)
    archive.check_fields(
        description,
        {
            "cell": archive.one_of(*CELLS),
            "input_size": whole,
            "hidden_size": whole,
            "output_size": archive.optional(whole),
            "num_layers": archive.whole_number(1, MOST_LAYERS),
            "bidirectional": archive.boolean(),
            "return_sequences": archive.boolean(),
            "trainable_h0": archive.boolean(),
            "categorical": archive.boolean(),
            "dtype": archive.one_of("float32", "float64"),
        },
    )
    # Dropout acts between layers.
    share = archive.number(at_least=0.0, below=1.0)
    nothing = archive.Field(
        "0.0 with one layer", lambda value: type(value) is float and value == 0.0
    )
    archive.check_fields(
        description, {"dropout": nothing if description["num_layers"] == 1 else share}
    )
    n = parameter_count(_architecture(description).parameter_shapes())
    return {"parameters": (np.dtype(description["dtype"]), (n,))}


def from_description(
    description: dict[str, Any], parameters: Array, *, implementation: str | None = None
) -> RNN | GRU | LSTM:
    """Return the network of a description that `check_description` has accepted.

    Parameters
    ----------
    description : dict
    parameters : array (n,)
        What `RNN.flat_params` was.
    implementation : {"native", "python"}, optional
        As in `RNN`.

    Returns
    -------
    RNN, GRU or LSTM
    """
    net = from_architecture(
        _architecture(_completed(description, None)),
        dtype=description["dtype"],
        init="uniform",
        implementation=implementation,
    )
    net.flat_params[...] = parameters
    return net


def _architecture(description: dict[str, Any]) -> Architecture:
    return Architecture(**{name: description[name] for name in Architecture._fields})


def _completed(description: dict[str, Any], categorical: bool | None) -> dict[str, Any]:
    """Return the description with "categorical", which files of version 1 lack."""
    found = description.get("categorical")
    if found is not None and categorical is not None and found is not categorical:
        raise ModelFileError(f"categorical: expected {categorical}, got {found!r}")
    return {"categorical": bool(categorical)} | description


def _check_parts(description: dict[str, Any], categorical: bool | None) -> "Shapes":
    """Return the dtype and shape of the arrays that belong to the description of a chain."""
    from crnn import archive

    archive.check_fields(description, {"parts": archive.list_of(archive.nested())})
    shapes: Shapes = {}
    for number, part in enumerate(description["parts"]):
        try:
            archive.check_fields(part, {"kind": archive.one_of("network", "dense", "last step")})
            if part["kind"] == "last step":
                continue
            if part["kind"] == "network":
                shape = check_description(_completed(part, None if number else categorical))
            else:
                shape = _check_dense(part)
                if categorical and not number:
                    raise ModelFileError("categorical: expected True, got a Dense")
        except ModelFileError as error:
            raise ModelFileError(f"parts[{number}]: {error}") from None
        shapes[f"part_{number}"] = shape["parameters"]
    return shapes


def _check_dense(description: dict[str, Any]) -> "Shapes":
    """Return the dtype and shape of the arrays that belong to the description of a `Dense`."""
    from crnn import archive

    whole = archive.whole_number(1)
    archive.check_fields(
        description,
        {
            "input_size": whole,
            "output_size": whole,
            "activation": archive.optional(archive.one_of(*ACTIVATIONS)),
            "dtype": archive.one_of("float32", "float64"),
        },
    )
    n = (description["input_size"] + 1) * description["output_size"]
    return {"parameters": (np.dtype(description["dtype"]), (n,))}


def _part(description: dict[str, Any], numbers: Array | None, implementation: str | None) -> Part:
    """Return the part of a chain of a description that `_check_parts` has accepted."""
    if numbers is None:
        return LastStep()
    if description["kind"] == "network":
        return from_description(description, numbers, implementation=implementation)
    I, O = description["input_size"], description["output_size"]
    weight, bias = numbers[: O * I].reshape(O, I), numbers[O * I :]
    return Dense(weight, bias, description.get("activation"))
