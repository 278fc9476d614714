"""Learners from files."""

import math
import os
from typing import TYPE_CHECKING, Any

from crnn._training.run import Clipping
from crnn.descriptions import architecture_of, check_description, completed, from_description
from crnn.errors import ModelFileError
from crnn.learners import (
    LEARNER_KIND,
    LEARNER_VERSION,
    Learner,
    check_learnable,
    sensitivity_count,
)
from crnn.losses import BY_NAME, Loss
from crnn.optimizers import OPTIMIZERS, Optimizer

if TYPE_CHECKING:
    from crnn.archive import Shapes

__all__ = ["load_learner"]


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
    architecture = architecture_of(completed(description["network"], None))
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
