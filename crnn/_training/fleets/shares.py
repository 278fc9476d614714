"""Shares of a fleet that are trained as tasks: what is sent, and what comes back.

A model's bits do not depend on the fleet that it is in, so they do not depend on the shares.
"""

import copy
from typing import NamedTuple

import numpy as np

from crnn._training.fleets.data import FleetData
from crnn._training.fleets.history import Progress
from crnn._training.fleets.loop import FleetPlan, run_epochs
from crnn._training.fleets.step import FleetStep, Models
from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.kernels.fleets import LANE_UNITS

TASKS_A_WORKER = 4
"""Models stop early or not, so shares take different times: some for each worker."""

Rows = tuple[Array | None, Array | None, FloatArray | None]
"""Rows of x, y and weights, each an argument of the tasks: engines send what is the same for all
tasks once."""


class Sequences(NamedTuple):
    """The sequences of a share within their rows."""

    starts: IntArray
    """(N, B), or (1, B): of all models."""
    lengths: IntArray
    has_lengths: BoolArray
    bad: dict[int, str]

    def of(self, x: Array, y: Array | None, weights: FloatArray | None) -> FleetData:
        """Return the data of the share, with its rows."""
        shape = (len(self.has_lengths), self.starts.shape[1])
        starts, lengths = (
            np.array(np.broadcast_to(one, shape), np.intp) for one in (self.starts, self.lengths)
        )
        return FleetData(
            _aligned(x), None if y is None else _aligned(y),
            None if weights is None else _aligned(weights), starts, lengths, self.has_lengths,
            self.bad,
        )  # fmt: skip


class Share(NamedTuple):
    """What a task takes beside its rows."""

    step: FleetStep
    models: Models
    plan: FleetPlan
    """Without validation data."""
    sequences: Sequences
    validation: Sequences | None
    orders: "list[int | np.random.Generator] | None"
    """Seeds or generators of the orders of sequences; None: in the order given."""


class Trained(NamedTuple):
    """What comes back of a share."""

    models: Models
    progress: Progress
    epochs: int
    """How many there were."""
    generators: "list[np.random.Generator | None]"
    """After the last epoch, of orders that came with a generator."""


def shares_of(n: int, hidden_size: int, workers: int) -> list[slice]:
    """Return the models of each share, for so many workers."""
    # Lanes that are empty take as long as full ones.
    fewest = LANE_UNITS if hidden_size <= LANE_UNITS else 1
    groups = -(-n // fewest)
    size = -(-groups // (TASKS_A_WORKER * workers)) * fewest
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def task(
    step: FleetStep,
    models: Models,
    data: FleetData,
    orders: "list[int | np.random.Generator] | None",
    plan: FleetPlan,
    which: slice,
) -> tuple[Share | Array | None, ...]:
    """Return the arguments of `train` for some models of a fleet."""
    sequences, rows = _part(data, which)
    validation, validation_rows = None, _NO_ROWS
    if plan.validation is not None:
        validation, validation_rows = _part(plan.validation, which)
    share = Share(
        step, models.of(which),
        plan._replace(validation=None, rates=plan.rates.rows(which)), sequences, validation,
        None if orders is None else orders[which],
    )  # fmt: skip
    return share, *rows, *validation_rows


def train(
    share: Share,
    x: Array,
    y: Array | None,
    weights: FloatArray | None,
    x_val: Array,
    y_val: Array | None,
    weights_val: FloatArray | None,
) -> Trained:
    """Train a share. What it takes stays as it is: an engine may start it again with the same."""
    models = share.models.of(np.arange(len(share.models.theta)))
    data = share.sequences.of(x, y, weights)
    plan = share.plan
    if share.validation is not None:
        plan = plan._replace(validation=share.validation.of(x_val, y_val, weights_val))
    rngs = None
    if share.orders is not None:
        rngs = [np.random.default_rng(copy.deepcopy(order)) for order in share.orders]
    progress = Progress.empty(plan.epochs, len(models.theta), {})
    epochs = 0

    def after_epoch(epoch: int) -> bool:
        nonlocal epochs
        epochs = epoch
        return False

    run_epochs(share.step, models, data, rngs, plan, progress, after_epoch)
    generators = [
        rng if isinstance(order, np.random.Generator) else None
        for order, rng in zip(share.orders or (), rngs or (), strict=True)
    ]
    return Trained(models, progress, epochs, generators)


def put(
    trained: Trained,
    which: slice,
    models: Models,
    progress: Progress,
    orders: "list[int | np.random.Generator] | None",
) -> None:
    """Write what has come back of some models."""
    for order, theirs in zip(orders[which] if orders else (), trained.generators, strict=True):
        if isinstance(order, np.random.Generator) and theirs is not None:
            order.bit_generator.state = theirs.bit_generator.state
    models.put(np.arange(len(models.theta))[which], trained.models)
    run = trained.progress
    for name in ("loss", "val_loss", "grad_norm"):
        getattr(progress, name)[:, which] = getattr(run, name)
    for name in ("best_epoch", "best_loss", "epochs"):
        getattr(progress, name)[which] = getattr(run, name)
    for n, why in run.errors.items():
        progress.errors[which.start + n] = why


def _aligned(rows: Array) -> Array:
    """Return rows of which an engine may have put the first at any byte of a message."""
    return np.require(rows, requirements=["C", "ALIGNED"])


_NO_ROWS: Rows = (None, None, None)


def _part(data: FleetData, which: slice) -> tuple[Sequences, Rows]:
    """Return the sequences of some models, and the rows that they are in."""
    starts, lengths = data.starts[which], data.lengths[which]
    is_there = lengths > 0
    first = int(starts[is_there].min()) if is_there.any() else 0
    end = int((starts + lengths)[is_there].max()) if is_there.any() else 0
    x, y, weights = data.x, data.y, data.weights
    # Otherwise the arrays themselves, which other tasks take, too
    if (first, end) != (0, len(x)):
        x = x[first:end]
        y = None if y is None else y[first:end]
        weights = None if weights is None else weights[first:end]
    starts = np.where(is_there, starts - first, 0)
    if (starts == starts[0]).all() and (lengths == lengths[0]).all():
        starts, lengths = starts[:1], lengths[:1]
    numbers = range(len(data.starts))[which]
    bad = {n - numbers.start: why for n, why in data.bad.items() if n in numbers}
    return Sequences(starts, lengths, data.has_lengths[which], bad), (x, y, weights)
