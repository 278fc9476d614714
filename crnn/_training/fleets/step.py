"""Predictions and losses of fleets, and one step of all models."""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn import _backend, checks
from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._training.fleets.data import FleetData
from crnn._training.run import Clipping
from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.kernels.constraints import Constraints

if TYPE_CHECKING:
    from crnn.losses import Loss


class FleetStep(NamedTuple):
    """How steps are taken: what is the same for all models."""

    kernels: ModuleType
    architecture: Architecture
    loss: "Loss"
    clipping: Clipping
    kernel: str
    """The name of the kernel of the optimizer's step."""
    settings: dict[str, float]
    """The numbers that this kernel takes beside learning rate, weight decay and step."""
    constraints: Constraints | None
    """Parameters of each model are within them after each step."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickles name the kernels: they are a module."""
        return _fleet_step, (_backend.name_of(self.kernels), *self[1:])


def _fleet_step(implementation: str, *others: Any) -> FleetStep:
    return FleetStep(_backend.load(implementation), *others)


class Rates(NamedTuple):
    """The learning rates of some models."""

    own: FloatArray | None
    """(N,): of each, or None: those of the schedule."""
    schedule: Callable[[int], float] | None

    def of(self, models: IntArray, steps: IntArray) -> FloatArray:
        """Return the rates of these models after so many steps of each."""
        if self.own is not None:
            return self.own[models]
        assert self.schedule is not None
        distinct, places = np.unique(steps, return_inverse=True)
        rates = [
            checks.number(f"lr({number})", self.schedule(number), at_least=0.0)
            for number in distinct.tolist()
        ]
        return np.array(rates)[places]

    def rows(self, models: slice) -> "Rates":
        """Return those of some models, which are numbered anew."""
        return self._replace(own=None if self.own is None else self.own[models])


class Models(NamedTuple):
    """The state of some models in training."""

    theta: Array
    """(N, P)"""
    memory: dict[str, Array | None]
    """(N, P) each: the vectors of the optimizer, by argument name of its kernel."""
    steps: IntArray
    """(N,): how many steps each has taken."""
    weight_decay: FloatArray
    """(N,)"""
    l1: FloatArray | None
    """(N,): factors of the strengths `l1` of the constraints; None: 1."""

    def of(self, models: IntArray | slice) -> "Models":
        """Return the rows of some models, of numbers copies and of a slice views."""
        memory = {k: None if v is None else v[models] for k, v in self.memory.items()}
        l1 = None if self.l1 is None else self.l1[models]
        return Models(self.theta[models], memory, self.steps[models], self.weight_decay[models], l1)

    def put(self, models: IntArray, rows: "Models") -> None:
        """Write what training has changed of some models."""
        self.theta[models], self.steps[models] = rows.theta, rows.steps
        for name, vectors in self.memory.items():
            new = rows.memory[name]
            if vectors is not None and new is not None:
                vectors[models] = new


def outputs_of(
    kernels: ModuleType, architecture: Architecture, theta: Array, data: FleetData, *, shared: bool
) -> Array:
    """Return the outputs of all models for zero initial states.

    Parameters
    ----------
    kernels : module
        One of the implementations.
    architecture : Architecture
    theta : array (N, P)
    data : FleetData
    shared : bool
        Whether all models read the same rows of x.

    Returns
    -------
    array (S, O), or if shared (N * S, O), model by model
    """
    N, rows = len(theta), len(data.x)
    y_starts = data.starts
    if shared:
        y_starts = np.ascontiguousarray(y_starts + np.arange(N)[:, None] * rows)
        rows *= N
    y = memory.empty((rows, architecture.outputs), theta.dtype)
    if int(data.lengths.sum()) < rows:
        y[...] = 0  # past the ends of sequences
    kernels.fleet_predict(
        architecture.cell, data.x, data.starts, data.lengths, theta, architecture.hidden_size,
        architecture.output_size or 0, y, y_starts,
    )  # fmt: skip
    return y


def losses_of(
    kernels: ModuleType, architecture: Architecture, theta: Array, data: FleetData, loss: "Loss"
) -> FloatArray:
    """Return the loss of each model, NaN where it has no data."""
    losses = np.empty(len(theta))
    kernels.fleet_gradient(
        architecture.cell, data.x, data.y, data.weights, data.starts, data.lengths, theta, None,
        architecture.hidden_size, architecture.output_size or 0, loss.kernel, _delta_of(loss),
        losses,
    )  # fmt: skip
    return losses


def _delta_of(loss: "Loss") -> float:
    """Return the setting of the Huber loss, which the kernels do not read for other losses."""
    return loss.settings()[0] if loss.settings() else 1.0


def take_steps(
    step: FleetStep, models: Models, data: FleetData, rates: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Take a step for each model that has data, as a whole or not at all.

    Returns
    -------
    losses, norms : array (N,)
        Before the step and before clipping; NaN without data.
    taken : bool array (N,)
    """
    N = len(models.theta)
    losses, norms, taken = np.empty(N), np.empty(N), np.empty(N, np.bool_)
    step.kernels.fleet_train(
        step.architecture.cell, data.x, data.y, data.weights, data.starts, data.lengths,
        models.theta, step.architecture.hidden_size, step.architecture.output_size or 0,
        step.loss.kernel, _delta_of(step.loss), *step.clipping, step.kernel, models.memory,
        step.settings, step.constraints, models.steps, rates, models.weight_decay, models.l1,
        losses, norms, taken,
    )  # fmt: skip
    return losses, norms, taken
