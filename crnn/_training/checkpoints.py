"""Checkpoints: the state of a training run in a file, from which the run goes on.

Import this module where it is used, as `crnn.archive`.
"""

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import archive
from crnn._training.run import Controls, Plan, Run
from crnn.errors import ModelFileError
from crnn.kernels.constraints import Constraints

if TYPE_CHECKING:
    from crnn.losses import Loss

KIND, FILE_VERSION = "checkpoint", 2
# A file's description is short: of a longer text it keeps the checksum.
LONGEST_TEXT = 1000
# The optimizers count steps in 64 bits and use them as floats.
MOST_STEPS = 1 << 53
# By the name of a generator: how many numbers it keeps, and where its state says which is next.
# NumPy does not check that place.
KEPT_NUMBERS = {"MT19937": (624, "state", "pos"), "Philox": (4, "buffer_pos")}


class Checkpoint:
    """A place for the state of one run.

    Parameters
    ----------
    path : path-like
    every : int
        After how many epochs it is written.
    settings : dict
        The settings of the run, of values that JSON can hold. Only a run of the same settings can
        go on from the file.

    Raises
    ------
    FileNotFoundError
        The path is in no folder that exists.
    TypeError
        It is no path.
    """

    def __init__(self, path: str | os.PathLike[str], every: int, settings: dict[str, Any]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"checkpoint: expected a path, got {path!r}")
        # Absolute: the working folder may change during the run.
        self._path = Path(path).absolute()
        self._every = every
        self._settings = json.loads(json.dumps(settings))
        # An error now, not after an epoch
        # As texts: given a Path, functions of `os` raise a TypeError where there is no memory.
        if not os.path.isdir(str(self._path.parent)):
            raise FileNotFoundError(
                f"checkpoint: expected a path in a folder that exists, got {path}"
            )
        if os.path.isdir(str(self._path)):
            raise IsADirectoryError(f"checkpoint: expected a file, got the folder {path}")

    def is_due(self, epoch: int) -> bool:
        """Whether it is written after this epoch, the last one aside."""
        return epoch % self._every == 0

    def checksum(self) -> str | None:
        """Return that of the file, None without one."""
        try:
            with open(str(self._path), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None

    def write(self, run: Run) -> None:
        """Write the run as it is after an epoch, replacing what was there."""
        history, optimizer = run.history, run.optimizer
        columns = [history.loss, history.grad_norm, history.lr, *history.metrics.values()]
        if history.val_loss:
            columns.append(history.val_loss)
        arrays = {
            "parameters": run.network.flat,
            "history": np.array(columns, np.float64),
            **{f"optimizer_{name}": array for name, array in optimizer.memory.items()},
        }
        if run.best is not None:
            arrays["best"] = run.best
        description = {
            "format": f"crnn {KIND}",
            "version": FILE_VERSION,
            "settings": self._settings,
            "epochs": len(history.loss),
            "steps": optimizer.steps,
            # Callbacks may assign another one during the run.
            "lr": None if callable(optimizer.lr) else optimizer.lr,
            "generator": json.loads(
                json.dumps(run.rng.bit_generator.state, default=np.ndarray.tolist)
            ),
        }
        archive.write(self._path, description, arrays)

    def read(self, run: Run, epochs: int) -> bool:
        """Set a run that has not begun to the state in the file.

        Parameters
        ----------
        run : Run
        epochs : int
            How many it will have at its end.

        Returns
        -------
        bool
            Whether there is a file.

        Raises
        ------
        ModelFileError
            The file is damaged, holds something else, or a run of other settings. The run is
            untouched.
        OSError
            It cannot be opened.
        """
        archive.remove_leftovers(self._path)
        if not os.path.exists(str(self._path)):
            return False
        description, arrays = archive.read(
            self._path, lambda found: self._shapes(found, run, epochs)
        )
        try:
            _set_state(run.rng.bit_generator, description["generator"])
        except MemoryError:
            raise
        except Exception as error:
            # A damaged state raises whatever its parts lead to.
            raise ModelFileError(
                f"{self._path}: expected the state of a generator such as this run's, "
                f"of which NumPy says: {error}"
            ) from error
        names, has_validation = self._settings["metrics"], self._settings["validation"] is not None
        for row in arrays["history"].T.tolist():
            loss, grad_norm, lr, *others = row
            run.history.add(
                loss,
                others[-1] if has_validation else None,
                grad_norm,
                lr,
                dict(zip(names, others, strict=False)),
            )
        if description.get("lr") is not None:
            run.optimizer.lr = description["lr"]
        memory = {name: arrays[f"optimizer_{name}"] for name in run.optimizer.memory_names}
        run.network.flat[...] = arrays["parameters"]
        run.optimizer.restore(run.network.flat, memory, description["steps"], run.history.lr[-1])
        run.best = arrays.get("best")
        return True

    def _shapes(self, description: Any, run: Run, epochs: int) -> archive.Shapes:
        """Return what arrays the checkpoint holds, or raise why this run cannot go on from it."""
        archive.check_kind(description, KIND, FILE_VERSION)
        archive.check_fields(
            description,
            {
                "settings": archive.nested(),
                "epochs": archive.whole_number(1, epochs),
                "steps": archive.whole_number(1, MOST_STEPS),
                "lr": archive.optional(archive.number(at_least=0.0)),
            },
        )
        settings = description["settings"]
        if description["version"] == 1:
            # Version 1 told categories from features by the dtype of the data.
            settings = {"categorical": self._settings["categorical"]} | settings
        # Files from before had no choice, and no noise.
        of_data = "loss" if settings.get("validation") is None else "val_loss"
        defaults = {
            "monitor": [of_data, "min"],
            "min_delta": 0.0,
            "constraints": None,
            "noise": 0.0,
        }
        settings = defaults | settings
        for name in self._settings | settings:
            wanted, got = self._settings.get(name), settings.get(name)
            if wanted != got and name == "constraints":
                # Checksums, which say nothing to a reader
                raise ModelFileError(
                    "constraints: expected those of this run, and the same leak where it is fixed, "
                    "got others"
                )
            if wanted != got:
                raise ModelFileError(f"{name}: expected {wanted!r}, as in this run, got {got!r}")
        flat = run.network.flat
        of_parameters = (flat.dtype, flat.shape)
        rows = 3 + len(self._settings["metrics"]) + (self._settings["validation"] is not None)
        shapes: archive.Shapes = {
            "parameters": of_parameters,
            "history": (np.dtype(np.float64), (rows, description["epochs"])),
        }
        names = [f"optimizer_{name}" for name in run.optimizer.memory_names]
        if self._settings["patience"] is not None:
            names.append("best")
        return shapes | dict.fromkeys(names, of_parameters)


def _set_state(generator: "np.random.BitGenerator", state: Any) -> None:
    """Set the state of a generator, or raise and leave it as it is."""
    # NumPy sets some parts before it refuses others.
    trial = copy.deepcopy(generator)
    trial.state = state
    count, *names = KEPT_NUMBERS.get(type(generator).__name__, (0,))
    if names:
        place: Any = trial.state
        for name in names:
            place = place[name]
        if not 0 <= place <= count:
            raise ValueError(f"expected a place from 0 to {count}, got {place}")
    generator.state = trial.state


def _checksum(constraints: Constraints | None) -> str | None:
    """Return a text that differs where constraints do."""
    if constraints is None:
        return None
    found = hashlib.sha256()
    for name, array in constraints._asdict().items():
        if array is not None:
            found.update(name.encode() + array.tobytes())
    return found.hexdigest()


def shown_loss(loss: "Loss") -> str:
    """Return a short text that differs where losses do."""
    text = repr(loss)
    return text if len(text) <= LONGEST_TEXT else hashlib.sha256(text.encode()).hexdigest()


def settings(run: Run, plan: Plan, controls: Controls, sequences: int) -> dict[str, Any]:
    """Return what decides the bits of a run, except its data and its generator."""
    prefix = "" if controls.validation is None else "val_"
    return {
        **run.network.architecture.describe(),
        "dtype": run.network.flat.dtype.name,
        "optimizer": type(run.optimizer).__name__,
        **run.optimizer.settings(),
        "batch_size": plan.batch_size,
        "loss": shown_loss(plan.loss),
        "clip_norm": plan.clipping.norm,
        "clip_value": plan.clipping.value,
        "constraints": _checksum(plan.constraints),
        "bptt": plan.bptt,
        "shuffle": plan.shuffle,
        "sequences": sequences,
        "validation": None if controls.validation is None else len(controls.validation),
        "metrics": [prefix + name for name in controls.metrics],
        "patience": controls.patience,
        "monitor": [run.monitor.name, "max" if run.monitor.is_highest else "min"],
        "min_delta": run.monitor.min_delta,
    }
