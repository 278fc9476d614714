"""Networks in files: what describes one beside its parameters, and one made again of both."""

import math
import os
from typing import Any

import numpy as np

from crnn import networks
from crnn.checks import Array
from crnn.errors import ModelFileError
from crnn.kernels import cells as kernel_cells
from crnn._network.architecture import Architecture
from crnn.base import RecurrentNetwork

KIND, FILE_VERSION = "network", 1
# A file that claims more is no file of ours: to list its parameters would take for ever.
MOST_LAYERS = 1000


def write(net: RecurrentNetwork, path: str | os.PathLike[str]) -> None:
    """Write a network to a file, as its `save` says."""
    from crnn import archive as files

    description = {"format": f"crnn {KIND}", "version": FILE_VERSION} | describe(net)
    files.write(path, description, {"parameters": net.flat_params})


def load(path: str | os.PathLike[str], *, implementation: str | None = None) -> RecurrentNetwork:
    """Return the network that its `save` wrote to a file.

    Nothing in a file is executed, and no more room is made than its size: files of unknown origin
    may be tried.

    Parameters
    ----------
    path : path-like
        What `RNN.save` was given.
    implementation : {"native", "python"}, optional
        As of `RNN`.

    Returns
    -------
    RNN, GRU or LSTM
        With a random generator of its own, seeded by the system.

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
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
    # Here and not above: the libraries that files need take longer to import than crnn.
    from crnn import archive as files

    def expected(description: Any) -> files.Shapes:
        files.check_kind(description, KIND, FILE_VERSION)
        return shapes_of(description)

    return rebuild(*files.read(path, expected), implementation)


def describe(net: RecurrentNetwork) -> dict[str, Any]:
    """Return what a file says of a network beside its parameters."""
    return {**net._network.architecture._asdict(), "dtype": net.dtype.name}


def shapes_of(description: Any) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return what arrays belong to a network's description, or raise what is wrong with it."""
    if not isinstance(description, dict):
        raise ModelFileError(f"expected the description of a network, got {description!r}")
    if description.get("cell") not in list(kernel_cells.CELLS):
        cells = ", ".join(kernel_cells.CELLS)
        raise ModelFileError(f"cell: expected one of {cells}, got {description.get('cell')!r}")
    settings: Any = {name: description.get(name) for name in Architecture._fields}
    of = Architecture(**settings)
    for name, size in of._asdict().items():
        if name.endswith("_size") or name == "num_layers":
            if not (type(size) is int and size >= 1) and (name, size) != ("output_size", None):
                raise ModelFileError(f"{name}: expected a whole number of at least 1, got {size!r}")
        elif name == "dropout":
            if type(size) is not float or not 0 <= size < 1 or (size and of.num_layers == 1):
                raise ModelFileError(f"dropout: expected a share below 1, got {size!r}")
        elif name != "cell" and type(size) is not bool:
            raise ModelFileError(f"{name}: expected true or false, got {size!r}")
    if of.num_layers > MOST_LAYERS:
        raise ModelFileError(f"num_layers: expected at most {MOST_LAYERS}, got {of.num_layers}")
    if description.get("dtype") not in ("float32", "float64"):
        raise ModelFileError(
            f"dtype: expected 'float32' or 'float64', got {description.get('dtype')!r}"
        )
    n = sum(math.prod(shape) for shape in of.parameters().values())
    return {"parameters": (np.dtype(description["dtype"]), (n,))}


def rebuild(
    description: dict[str, Any], arrays: dict[str, Array], implementation: str | None
) -> RecurrentNetwork:
    """Return the network of a checked description and its arrays."""
    net = networks.of_cell(
        **{name: description[name] for name in Architecture._fields},
        dtype=description["dtype"],
        init="uniform",
        implementation=implementation,
    )
    net.flat_params[...] = arrays["parameters"]
    return net
