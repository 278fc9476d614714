"""Networks, chains and fleets from files."""

import os
from typing import TYPE_CHECKING, Any

from crnn import checks
from crnn.base import NETWORK_KIND, NETWORK_VERSION
from crnn.descriptions import check_description, check_parts, completed, from_description, part_of
from crnn.errors import ModelFileError
from crnn.fleets import FLEET_KIND, FLEET_VERSION, Fleet, check_file, from_file
from crnn.networks import GRU, LSTM, RNN
from crnn.sequential import SEQUENTIAL_KIND, SEQUENTIAL_VERSION, Sequential

if TYPE_CHECKING:
    from crnn.archive import Shapes

__all__ = ["load"]


def load(
    path: str | os.PathLike[str],
    *,
    implementation: str | None = None,
    categorical: bool | None = None,
) -> RNN | GRU | LSTM | Sequential | Fleet:
    """Return the network, chain of networks or fleet that its `save` wrote to a file.

    Nothing in a file is executed, and the memory that is used is a few times the file's size, so
    files of unknown origin may be tried.

    Parameters
    ----------
    path : path-like
        What `RNN.save`, `Sequential.save` or `Fleet.save` was given.
    implementation : {"native", "python"}, optional
        As in `RNN`.
    categorical : bool, optional
        Whether inputs are category numbers: for files of version 1, which do not say so. By
        default they are features.

    Returns
    -------
    RNN, GRU, LSTM, Sequential or Fleet
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
            return check_parts(description, categorical)
        if description.get("format") == f"crnn {FLEET_KIND}":
            archive.check_kind(description, FLEET_KIND, FLEET_VERSION)
            return check_file(completed(description, categorical))
        archive.check_kind(description, NETWORK_KIND, NETWORK_VERSION)
        return check_description(completed(description, categorical))

    description, arrays = archive.read(path, expected)
    try:
        if description["format"] == f"crnn {SEQUENTIAL_KIND}":
            parts = [
                part_of(part, arrays.get(f"part_{number}"), implementation)
                for number, part in enumerate(description["parts"])
            ]
            return Sequential(parts)
        if description["format"] == f"crnn {FLEET_KIND}":
            return from_file(completed(description, categorical), arrays, implementation)
    except ValueError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from None
    return from_description(
        completed(description, categorical), arrays["parameters"], implementation=implementation
    )
