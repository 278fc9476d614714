"""The descriptions of networks and chains in files: checked, and made networks again."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crnn._network.architecture import Architecture
from crnn._typing import Array
from crnn.dense import ACTIVATIONS, Dense
from crnn.errors import ModelFileError
from crnn.kernels.cells import CELLS, parameter_count
from crnn.last_step import LastStep
from crnn.networks import GRU, LSTM, RNN, from_architecture
from crnn.sequential import Part

if TYPE_CHECKING:
    from crnn.archive import Shapes

__all__ = ["check_description", "from_description"]

# A description of more layers is refused: its parameters would be listed one by one.
MOST_LAYERS = 1000


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

    description = completed(description, None)
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
            "noise": archive.number(at_least=0.0),
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
    if description["noise"] and description["cell"] not in RNN._CELL_ARGUMENTS:
        raise ModelFileError(f"noise: expected 0.0 with this cell, got {description['noise']!r}")
    n = parameter_count(architecture_of(description).parameter_shapes())
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
        architecture_of(completed(description, None)),
        dtype=description["dtype"],
        init="uniform",
        implementation=implementation,
    )
    net.flat_params[...] = parameters
    return net


def architecture_of(description: dict[str, Any]) -> Architecture:
    """Return the architecture in a description that `completed` has returned."""
    return Architecture(**{name: description[name] for name in Architecture._fields})


def completed(description: dict[str, Any], categorical: bool | None) -> dict[str, Any]:
    """Return the description with "categorical" and "noise", which earlier files lack."""
    found = description.get("categorical")
    if found is not None and categorical is not None and found is not categorical:
        raise ModelFileError(f"categorical: expected {categorical}, got {found!r}")
    return {"categorical": bool(categorical), "noise": 0.0} | description


def check_parts(description: dict[str, Any], categorical: bool | None) -> "Shapes":
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
                shape = check_description(completed(part, None if number else categorical))
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


def part_of(description: dict[str, Any], numbers: Array | None, implementation: str | None) -> Part:
    """Return the part of a chain of a description that `check_parts` has accepted."""
    if numbers is None:
        return LastStep()
    if description["kind"] == "network":
        return from_description(description, numbers, implementation=implementation)
    I, O = description["input_size"], description["output_size"]
    weight, bias = numbers[: O * I].reshape(O, I), numbers[O * I :]
    return Dense(weight, bias, description.get("activation"))
