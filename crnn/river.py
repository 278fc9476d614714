"""An estimator for river: a recurrent network that learns from each sample as it comes.

Samples are steps of one sequence, in the order in which `learn_one` gets them.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn.networks import get_family
from crnn.optimizers import SGD
from crnn.running import RunningScale

try:
    from river import base
except ImportError as error:
    raise ImportError("crnn.river needs river: pip install 'crnn[river]'") from error

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import numpy.typing as npt

    from crnn.learners import Learner
    from crnn.optimizers import Optimizer

    Array = npt.NDArray[np.floating]

__all__ = ["Regressor"]

NUMBERS = (float, int, np.floating, np.integer, np.bool_)
LEARNING_RATE = 0.1
LARGEST = float(np.finfo(np.float32).max)


class Regressor(base.Regressor):  # type: ignore[misc]
    """A recurrent network that predicts a number, and learns from each sample as it comes.

    It learns by `RNN.learner`: by the exact gradient back to the first sample, in the same time and
    memory for each sample. The state moves on in `learn_one` alone. A prediction is that for the
    sample after the last one that was learned from.

    Features are numbers. One that a sample lacks counts as 0, and so does a feature in all samples
    before it first appears: the network then gets a further input, and its predictions stay as they
    are until it learns. Scale the features, as by river's `StandardScaler`. The target is scaled
    here, by its mean and deviation so far.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    hidden_size : int
        At most 64. The time for a sample grows with its fourth power.
    optimizer : Optimizer, optional
        Copied. By default `SGD(0.1)`.
    clip_norm : float or None
        The norm to which a gradient is reduced.
    seed : int or None
        Of the initial parameters. None: another one each time.

    Attributes
    ----------
    features : tuple
        The names of the features so far, in the order of the network's inputs.
    learner : Learner or None
        The learner with its network; None before the first features.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics, preprocessing
    >>> from crnn.river import Regressor
    >>> model = preprocessing.StandardScaler() | Regressor(seed=0)
    >>> mae = evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE())
    >>> mae.get() < 0.5
    True
    """

    def __init__(
        self,
        cell: str = "gru",
        hidden_size: int = 16,
        *,
        optimizer: Optimizer | None = None,
        clip_norm: float | None = 1.0,
        seed: int | None = None,
    ) -> None:
        self.cell, self.hidden_size = cell, hidden_size
        self.optimizer, self.clip_norm, self.seed = optimizer, clip_norm, seed
        self.learner: Learner[Any] | None = None
        self._places: dict[Hashable, int] = {}
        self._target = RunningScale()

    @property
    def features(self) -> tuple[Hashable, ...]:
        """The names of the features so far, in the order of the network's inputs."""
        return tuple(self._places)

    def learn_one(self, x: Mapping[Hashable, Any], y: float) -> None:
        """Learn from a sample, and move the state on.

        Parameters
        ----------
        x : dict
            Finite numbers by the names of the features.
        y : float

        Raises
        ------
        ValueError, TypeError
            A value is no finite number, or an argument of the class does not fit; nothing has
            changed.
        DivergenceError
            The network would not stay finite; it is as before.
        """
        target = _number("y", y)
        places = self._places
        emerging = x.keys() - places.keys()
        if emerging:
            # In an order that does not depend on that of the sample
            names = (*places, *sorted(emerging, key=repr))
            places = {name: place for place, name in enumerate(names)}
        inputs = _inputs(x, places)
        scale = self._target.updated(target)
        learner = self._widened(len(places)) if emerging else self.learner
        # There is none before the first features.
        if learner is not None:
            deviation = math.sqrt(scale.variance)
            scaled = (target - scale.mean) / deviation if deviation else 0.0
            learner.step(inputs, np.array([scaled], np.float32))
        self.learner, self._places, self._target = learner, places, scale

    def predict_one(self, x: Mapping[Hashable, Any]) -> float:
        """Return the prediction for a sample; nothing changes.

        Parameters
        ----------
        x : dict
            Finite numbers by the names of the features. Features that no sample had so far have no
            effect.

        Returns
        -------
        float
            Before the first sample 0.

        Raises
        ------
        ValueError, TypeError
            A value is no finite number.
        """
        inputs = _inputs(x, self._places)
        if self.learner is None:
            return float(self._target.mean)
        scaled = float(self.learner.predict(inputs)[0])
        return float(self._target.mean + math.sqrt(self._target.variance) * scaled)

    def _widened(self, input_size: int) -> Learner[Any]:
        """Return a learner with more inputs, which has read zeros there so far."""
        net = get_family(self.cell)(input_size, self.hidden_size, 1, seed=self.seed)
        narrow = self.learner
        if narrow is None:
            optimizer = SGD(LEARNING_RATE) if self.optimizer is None else self.optimizer
            return net.learner(copy.deepcopy(optimizer), clip_norm=self.clip_norm)
        shape = narrow.net.params["W_xh"].shape
        net.flat_params[...] = _with_columns(narrow.net.flat_params, shape, input_size)
        optimizer = copy.deepcopy(narrow.optimizer)
        if optimizer.last_lr is not None:
            memory = {
                name: _with_columns(vector, shape, input_size)
                for name, vector in optimizer.memory.items()
            }
            optimizer.restore(net.flat_params, memory, optimizer.steps, optimizer.last_lr)
        wide = net.learner(optimizer, clip_norm=self.clip_norm)
        state = narrow.state
        of_parameters = _with_columns(state["sensitivities"], shape, input_size)
        wide.state = state | {"sensitivities": of_parameters}
        return wide


def _inputs(x: Mapping[Hashable, Any], places: Mapping[Hashable, int]) -> Array:
    """Return the network's inputs (features,) of a sample."""
    inputs = np.zeros(len(places), np.float32)
    for name, value in x.items():
        number = _number(name, value)
        if name in places:
            inputs[places[name]] = number
    return inputs


def _with_columns(numbers: Array, shape: tuple[int, ...], columns: int) -> Array:
    """Return numbers (..., parameters), which begin with those of W_xh, for one with more columns.

    Parameters
    ----------
    numbers : array (..., parameters)
    shape : tuple
        That of W_xh.
    columns : int
        How many columns W_xh shall have. The numbers of new ones are 0.

    Returns
    -------
    array (..., parameters)
    """
    size, before = math.prod(shape), numbers.shape[:-1]
    W_xh = np.zeros((*before, shape[0], columns), numbers.dtype)
    W_xh[..., : shape[1]] = numbers[..., :size].reshape(*before, *shape)
    return np.concatenate([W_xh.reshape(*before, -1), numbers[..., size:]], axis=-1)


def _number(name: Hashable, value: Any) -> float:
    """Return a value as a number that float32 can hold."""
    if not isinstance(value, NUMBERS):
        raise TypeError(
            f"{name}: expected a number, got {value!r} (river's OneHotEncoder makes numbers of "
            "words, its StatImputer fills gaps)"
        )
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(
            f"{name}: expected a finite number that float32 can hold, got {value!r} (river's "
            "StatImputer fills gaps)"
        )
    return float(value)
