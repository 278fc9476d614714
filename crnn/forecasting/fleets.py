"""The training of networks of forecasters: one alone, or those of many series as fleets."""

import math
import warnings
from collections.abc import Generator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from crnn import checks, schedules
from crnn.fleets import Fleet
from crnn.forecasting.recipe import Floats
from crnn.networks import GRU, LSTM, RNN
from crnn.optimizers import AdamW

__all__ = ["Training", "Work", "run_alone", "run_together"]

BATCH_SIZE = 32
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 0.003, 0.01, 1.0
# Steps of training where `epochs` is not given
UPDATES = 1500
# Windows of an epoch overlap: each begins so many parts of a window after the one before.
STARTS_OF_WINDOW = 8
# Fewer networks are faster one by one: a fleet of few units computes as many side by side as fit
# into a register, whether or not there are as many.
MIN_FLEET = 8
# A fleet has at most so many, which bounds the memory of their windows.
MAX_FLEET = 256


class Training(NamedTuple):
    """A network to train, and what on."""

    net: RNN | GRU | LSTM
    rng: "np.random.Generator"
    """The generator of `net`, which orders the windows."""
    x: Floats
    """(time, inputs)"""
    y: Floats
    """(time, 1): what the network should correct."""
    window: int
    chosen_epochs: int | None
    """Passes over the windows; None: as many as make `UPDATES` steps."""

    @property
    def starts(self) -> npt.NDArray[np.intp]:
        """Where windows begin."""
        last = len(self.x) - self.window
        return np.arange(0, last + 1, max(1, self.window // STARTS_OF_WINDOW))

    @property
    def batches(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.starts) / BATCH_SIZE)

    @property
    def epochs(self) -> int:
        """Passes over the windows."""
        return self.chosen_epochs or math.ceil(UPDATES / self.batches)

    @property
    def group(self) -> tuple[object, ...]:
        """What networks of one fleet have in common."""
        return self.net.architecture, self.epochs, self.batches

    def windows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return inputs and targets of all windows, (windows, window, ...)."""
        rows = self.starts[:, None] + np.arange(self.window)
        return self.x[rows].astype(np.float32), self.y[rows].astype(np.float32)

    def optimizer(self) -> AdamW:
        """Return a new optimizer, for a network alone or for a fleet."""
        schedule = schedules.cosine(LEARNING_RATE, self.epochs * self.batches)
        return AdamW(schedule, weight_decay=WEIGHT_DECAY)

    def run(self, progress: bool | None) -> None:
        """Train the network."""
        x, y = self.windows()
        self.net.fit(
            x,
            y,
            epochs=self.epochs,
            batch_size=BATCH_SIZE,
            optimizer=self.optimizer(),
            loss="huber",
            clip_norm=CLIP_NORM,
            progress=progress,
        )


Result = TypeVar("Result")
Work = Generator[Training, None, Result]
"""What yields networks, which are trained when it goes on, and returns a result."""


def run_alone(work: Work[Result], progress: bool | None = False) -> Result:
    """Return the result of one work, whose networks are trained one by one.

    Parameters
    ----------
    work : generator
    progress : bool, optional
        Whether to show a progress bar, as in `RNN.fit`.

    Returns
    -------
    object
    """
    while True:
        try:
            training = next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        training.run(progress)


def run_together(
    works: Mapping[str, Work[Result]], progress: bool | None = False
) -> dict[str, Result]:
    """Return the results of many works, whose networks are trained side by side.

    Each network is trained as it would be alone, to rounding.

    Parameters
    ----------
    works : mapping of str to generator
        By what errors call them.
    progress : bool, optional
        Whether to show progress bars, as in `RNN.fit`.

    Returns
    -------
    dict
        By the same names.

    Raises
    ------
    ValueError, TypeError
        Of the first work that fails, with its name.
    DivergenceError
        A training is not finite.
    """
    results: dict[str, Result] = {}
    going = dict(works)
    while going:
        groups: dict[tuple[object, ...], list[Training]] = {}
        for name, work in list(going.items()):
            with checks.within(name):
                try:
                    training = next(work)
                except StopIteration as end:
                    results[name] = end.value
                    del going[name]
                    continue
            groups.setdefault(training.group, []).append(training)
        for group in groups.values():
            for first in range(0, len(group), MAX_FLEET):
                _run_group(group[first : first + MAX_FLEET], progress)
    return {name: results[name] for name in works}


def _run_group(group: list[Training], progress: bool | None) -> None:
    """Train networks of one architecture for as many steps each."""
    if len(group) < MIN_FLEET:
        for training in group:
            training.run(progress)
        return
    one, data = group[0], [training.windows() for training in group]
    orders = [training.rng.bit_generator.state for training in group]
    fleet = Fleet(one.net, len(group))
    fleet.flat_params[...] = [training.net.flat_params for training in group]
    with warnings.catch_warnings():
        # Of models that stop, which `errors` names
        warnings.simplefilter("ignore", RuntimeWarning)
        history = fleet.fit(
            [x for x, _ in data],
            [y for _, y in data],
            epochs=one.epochs,
            batch_size=BATCH_SIZE,
            optimizer=one.optimizer(),
            loss="huber",
            clip_norm=CLIP_NORM,
            seed=[training.rng for training in group],
            progress=progress,
        )
    for n, training in enumerate(group):
        if n in history.errors:
            # Alone it raises its own error.
            training.rng.bit_generator.state = orders[n]
            training.run(progress)
            continue
        training.net.flat_params[...] = fleet.flat_params[n]
