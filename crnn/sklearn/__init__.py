"""Estimators for scikit-learn (needs it: the ``sklearn`` extra).

X holds one sequence a row: an array (n, time, features), an array (n, time) read as one feature a
step, or a list of arrays (time_i, features) or (time_i,) of different lengths. There is one output
per sequence: a class, or one or more numbers.

How the defaults were chosen
----------------------------
By the mean test score, accuracy or R^2, on problems of 40 to 600 sequences, 1 to 12 channels and 7
to 361 steps, some of them ragged. `benchmarks/defaults.py` has most of them and prints how the
defaults do beside linear models, neighbours and forests. Each list varies one thing:

- 29 problems, one network, rate 0.003, output of the last states, mean of the steps' outputs, mean
  attended to: 0.72, 0.80, 0.82.
- 21 of them, mean attended to, rate 0.01, 0.003, 0.001: 0.77, 0.86, 0.88. At 0.001 with the last
  step's output added, 100 or 200 epochs: 0.89, 0.88; batches of a tenth of the sequences or of 16:
  0.89, 0.87.
- 14 of them, so, weight decay 0.0001, 1, 3, 10: 0.91, 0.92, 0.89, 0.76; two layers 0.91; three
  networks 0.93, and with weight decay 0.5 0.94, to which noise on the inputs added nothing.
- The 10 hardest, weight decay 0.5, three networks with the mean attended to, with the last step's
  output added, with both ends' added (weight decay 1): 0.89, 0.87, 0.89; four, of the first and the
  last kind in turn: 0.90. Ends win where something stands at them, and overfit where nothing does.

Differences below 0.01 are noise. On the 22 problems of the table that took part in the choice the
defaults come within 0.01 of the best reference or above it, but on utterances (0.94 of 0.97),
oscillators (0.98 of 1.00) and GunPoint (0.90 of 0.94); on the nine that were made afterwards they
all do. Two kinds of the problems tried are better left to other models: bursts in some of 8 noisy
channels, which only variances tell (0.74, where a forest of them had 1.00), and 36 or 50 sequences
of up to 361 steps (ArrowHead 0.6 of 0.8, PickupGestureWiimoteZ 0.7 of 0.8). 200 sequences of 100
steps take some 5 seconds of one core.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn import networks as cells, checks, schedules
from crnn.losses import MSE, CrossEntropy
from crnn.optimizers import AdamW
from crnn.sklearn.pooling import PooledLoss, outputs_per_step, pooled
from crnn._training.data import padded

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import assert_all_finite, check_array, check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_consistent_length,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ImportError(
        "crnn.sklearn needs scikit-learn 1.6 or newer: pip install 'crnn[sklearn]'"
    ) from error

if TYPE_CHECKING:
    from typing import Self

    from crnn.checks import Array

__all__ = ["RNNClassifier", "RNNRegressor"]

# Sequences that are predicted side by side, at most
PREDICTED = 256


class _Data(NamedTuple):
    """Sequences side by side, and what belongs to each."""

    x: Array
    """(n, time, features), zeros past a sequence's end."""
    lengths: Array
    targets: Array
    """(n,) class numbers or (n, outputs)."""
    weights: Array

    def rows(self, rows: Array) -> _Data:
        """Return some of the sequences."""
        return _Data(*(values[rows] for values in self))


class _RNNEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the two estimators share."""

    def __init__(
        self,
        hidden_size: int = 64,
        *,
        cell: str = "rnn",
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        n_networks: int = 4,
        learning_rate: float = 0.001,
        batch_size: int | str = "auto",
        max_iter: int = 100,
        weight_decay: float = 0.5,
        clip_norm: float | None = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 15,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_size = hidden_size
        self.cell = cell
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.n_networks = n_networks
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on sequences and their targets.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)
        y : array (n,), or for regression (n, outputs)
        sample_weight : array (n,), optional
            What each sequence counts, of at least 0. A weight of 2 is the same as the sequence
            there twice, and 0 as one that is not there.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter, shape, dtype or value does not fit.
        DivergenceError
            The loss or a parameter is no longer finite.
        """
        epochs = checks.integer("max_iter", self.max_iter, at_least=1)
        goes_on = self.warm_start and hasattr(self, "nets_")
        data, rng = self._begin(X, y, sample_weight, goes_on=goes_on)
        settings: dict[str, Any] = {}
        n_trained = len(data.x)
        if checks.boolean("early_stopping", self.early_stopping):
            data, n_trained = self._held_out_last(data, rng)
            settings["validation_fraction"] = 1 - n_trained / len(data.x)
            settings["patience"] = checks.integer(
                "n_iter_no_change", self.n_iter_no_change, at_least=1
            )
        steps = epochs * math.ceil(n_trained / self._batch_size(n_trained))
        # At the end the rate is zero: of a few hundred sequences the gradient is noisy.
        rate = schedules.cosine(self._learning_rate(), steps)
        self._train(data, self._new_optimizers(rate), epochs, n_trained, settings)
        # So that `partial_fit` goes on from here with new ones
        self.__dict__.pop("_optimizers", None)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Train for one epoch more."""
        data, _ = self._begin(X, y, sample_weight, goes_on=hasattr(self, "nets_"))
        if not hasattr(self, "_optimizers"):
            self._optimizers = self._new_optimizers(self._learning_rate())
        self._train(data, self._optimizers, 1, len(data.x), {})
        return self

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, *, goes_on: bool
    ) -> tuple[_Data, np.random.RandomState]:
        """Return the data, checked and merged, and see to it that there are networks."""
        cells.find(self.cell)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        x, lengths = self._sequences(X, reset=not goes_on)
        targets = self._targets(y, reset=not goes_on)
        check_consistent_length(x, targets)
        weights = _check_sample_weight(sample_weight, targets, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight: expected a number above 0 somewhere, got only zeros")
        data = _merged(_Data(x, lengths, targets, weights.astype(np.float64)))
        rng = check_random_state(self.random_state)
        if not goes_on:
            self._start(data, rng)
        return data, rng

    def _start(self, data: _Data, rng: np.random.RandomState) -> None:
        """Make the networks, and note the scale of what they read."""
        inside = np.arange(data.x.shape[1]) < data.lengths[:, None]
        of_steps = np.repeat(data.weights, data.lengths)
        self._x_mean, self._x_scale = _scale_of(data.x[inside], of_steps)
        self._n_outputs = self._count_outputs(data)
        n_networks = checks.integer("n_networks", self.n_networks, at_least=1)
        seeds = rng.randint(np.iinfo(np.int32).max, size=n_networks)
        self.nets_ = [
            cells.find(self.cell)(
                data.x.shape[2],
                self.hidden_size,
                outputs_per_step(self._n_outputs, with_ends=number % 2 == 1),
                num_layers=self.num_layers,
                bidirectional=self.bidirectional,
                dropout=self.dropout,
                seed=int(seed),
            )
            for number, seed in enumerate(seeds)
        ]
        self.loss_curve_: list[float] = []
        self.n_iter_ = 0

    def _train(
        self,
        data: _Data,
        optimizers: list[AdamW],
        epochs: int,
        n_trained: int,
        settings: dict[str, Any],
    ) -> None:
        """Train each network, and note the mean of their losses by epoch."""
        x, targets = self._scaled(data.x), self._scaled_targets(data.targets)
        n, T = x.shape[:2]
        if (data.lengths < T).any() or (data.weights != 1).any():
            inside = np.arange(T) < data.lengths[:, None]
            settings["mask"] = inside * (data.weights / data.lengths)[:, None]
            settings["lengths"] = data.lengths
        curves = [
            net.fit(
                x,
                np.broadcast_to(targets[:, None], (n, T, *targets.shape[1:])),
                epochs=epochs,
                batch_size=self._batch_size(n_trained),
                optimizer=optimizer,
                loss=PooledLoss(self._loss, self._n_outputs),
                clip_norm=self.clip_norm,
                progress=bool(self.verbose),
                **settings,
            ).loss
            for net, optimizer in zip(self.nets_, optimizers, strict=True)
        ]
        # Where one stopped early, the mean is one of the others.
        longest = max(map(len, curves))
        for epoch in range(longest):
            self.loss_curve_.append(float(np.mean([c[epoch] for c in curves if epoch < len(c)])))
        self.n_iter_ += longest

    def _new_optimizers(self, rate: Any) -> list[AdamW]:
        """Return one for each network, for an optimizer belongs to a network."""
        decay = checks.number("weight_decay", self.weight_decay, at_least=0.0)
        return [AdamW(rate, weight_decay=decay) for _ in self.nets_]

    def _learning_rate(self) -> float:
        return checks.number("learning_rate", self.learning_rate, above=0.0)

    def _batch_size(self, n: int) -> int:
        if isinstance(self.batch_size, str):
            checks.choice("batch_size", self.batch_size, ("auto",))
            # Some ten steps an epoch, in batches of which a register tile is full
            return min(64, max(8, n // 80 * 8))
        return checks.integer("batch_size", self.batch_size, at_least=1)

    def _held_out_last(self, data: _Data, rng: np.random.RandomState) -> tuple[_Data, int]:
        """Put those sequences last that decide when to stop, and return how many come before."""
        n = len(data.x)
        share = checks.number("validation_fraction", self.validation_fraction, above=0.0, below=1.0)
        rows, held_out = train_test_split(
            np.arange(n), test_size=share, random_state=rng, stratify=self._strata(data, share)
        )
        return data.rows(np.concatenate([rows, held_out])), len(rows)

    def _sequences(self, X: Any, *, reset: bool) -> tuple[Array, Array]:
        """Return sequences side by side (n, time, features), and their lengths."""
        if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object:
            X = list(X)
        of_sequences = _sequences_of(X)
        if isinstance(of_sequences, list):
            lengths = np.array([len(sequence) for sequence in of_sequences])
            x = padded(of_sequences, int(lengths.max()))
        elif of_sequences is not None:
            x = check_array(of_sequences, allow_nd=True, dtype=np.float64, input_name="X")
            if not x.size:
                raise ValueError(f"X: expected at least one step and feature, got shape {x.shape}")
            lengths = np.full(len(x), x.shape[1])
        else:
            # scikit-learn counts the steps as features, and wants as many of them ever after.
            if reset or self._reads_tables:
                x = validate_data(self, X, reset=reset, dtype=np.float64)[..., None]
            else:
                x = check_array(X, dtype=np.float64, input_name="X")[..., None]
            lengths = np.full(len(x), x.shape[1])
        if reset:
            self._reads_tables: bool = of_sequences is None
            if not self._reads_tables:
                self.n_features_in_ = x.shape[2]
                # Of a table that an earlier fit read
                self.__dict__.pop("feature_names_in_", None)
        elif x.shape[2] != self.nets_[0].input_size:
            raise ValueError(
                f"X: expected sequences of {self.nets_[0].input_size} features, got {x.shape[2]}"
            )
        return x, lengths

    def _scaled(self, x: Array) -> Array:
        """Return x with mean 0 and deviation 1 of each feature that was learned from."""
        scaled: Array = (x - self._x_mean) / self._x_scale
        return scaled

    def _outputs(self, X: Any) -> Array:
        """Return each network's outputs for each sequence (networks, n, outputs), in float64."""
        check_is_fitted(self)
        x, lengths = self._sequences(X, reset=False)
        x = self._scaled(x)
        order = np.argsort(lengths, kind="stable")
        # In float64: float32 shows in what order it was summed, which depends on what sequences a
        # sequence is predicted beside.
        nets = [net.astype("float64") for net in self.nets_]
        outputs = np.empty((len(nets), len(x), self._n_outputs))
        for rows in np.array_split(order, math.ceil(len(order) / PREDICTED)):
            ends = lengths[rows]
            for y, net in zip(outputs, nets, strict=True):
                of_steps = net.predict(x[rows, : ends.max()], lengths=ends)
                y[rows] = pooled(of_steps, self._n_outputs, ends).y
        return outputs


class RNNClassifier(ClassifierMixin, _RNNEstimator):  # type: ignore[misc]
    """Recurrent networks from sequences to classes.

    Some networks are trained, and the mean of their probabilities counts (Lakshminarayanan, Pritzel
    and Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep
    ensembles"). Each reads a sequence in both directions, and its output is a mean over the steps,
    weighted as the network decides. Every second one adds outputs of the first and the last step
    (`crnn.sklearn.pooling`). Features are scaled inside.

    Parameters
    ----------
    hidden_size : int
        Hidden units of each layer and direction.
    cell : {"rnn", "gru", "lstm"}
        Which networks: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.
    num_layers : int
    bidirectional : bool
    dropout : float
        Between layers.
    n_networks : int
        How many networks are trained.
    learning_rate : float
        Of the first step; in `fit` the rate falls to zero along half a cosine.
    batch_size : int or "auto"
        Sequences of a step; "auto" is a tenth of them, from 8 to 64.
    max_iter : int
        Epochs, at most.
    weight_decay : float
        Of AdamW.
    clip_norm : float or None
        The largest norm of a gradient.
    early_stopping : bool
        Whether to hold out sequences, stop a network when its loss on them has not become smaller
        for `n_iter_no_change` epochs, and keep its best parameters.
    validation_fraction : float
        The share that is held out.
    n_iter_no_change : int
    warm_start : bool
        Whether `fit` goes on with the networks and scales that there are, instead of new ones. The
        classes have to be among those of the first call.
    random_state : int, RandomState or None
        Decides the first weights, the order of the sequences and what is held out.
    verbose : bool
        Whether to show a progress bar of each network.

    Attributes
    ----------
    classes_ : array (classes,)
    nets_ : list of RNN, GRU or LSTM
        The networks, which read scaled features and put out what `crnn.sklearn.pooling` describes, of
        logits.
    n_iter_ : int
        Epochs taken, by the network that took most.
    loss_curve_ : list of float
        The training loss of each, as the mean of the networks: cross-entropy in nats.
    n_features_in_ : int
        Features, or the steps of X (n, time).
    feature_names_in_ : array of str
        The columns of X, where it was a table with names.

    Examples
    --------
    >>> import numpy as np
    >>> from crnn.sklearn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> slow_or_fast = np.arange(60) % 2
    >>> X = [np.sin((0.3 + 0.2 * kind) * np.arange(rng.integers(20, 40))) for kind in slow_or_fast]
    >>> model = RNNClassifier(16, max_iter=20, random_state=0).fit(X[:40], slow_or_fast[:40])
    >>> model.predict(X[40:]).shape
    (20,)
    """

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch more, at a constant rate.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)
            The features' scales are those of the first call.
        y : array (n,)
        classes : array (classes,), optional
            All classes there will be, in the first call; without it those of y.
        sample_weight : array (n,), optional
            As of `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As of `fit`; or y has classes that the first call did not.
        """
        if classes is not None:
            classes = np.unique(column_or_1d(classes))
            if not hasattr(self, "nets_"):
                self._classes_to_come = classes
            elif not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes: expected {self.classes_} as before, got {classes}")
        return self._partial_fit(X, y, sample_weight)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)

        Returns
        -------
        array (n, classes) of float64
        """
        logits = self._outputs(X)
        of_networks = np.exp(logits - logits.max(axis=2, keepdims=True))
        of_networks /= of_networks.sum(axis=2, keepdims=True)
        probabilities: Array = of_networks.mean(axis=0)
        return probabilities

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each sequence.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)

        Returns
        -------
        array (n,)
        """
        numbers = self.predict_proba(X).argmax(axis=1)
        classes: Array = self.classes_[numbers]
        return classes

    _loss = CrossEntropy()

    def _targets(self, y: Any, *, reset: bool) -> Array:
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        if reset:
            to_come = self.__dict__.pop("_classes_to_come", None)
            self.classes_ = np.unique(y) if to_come is None else to_come
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y: expected classes among {self.classes_}, got {unknown} too")
        numbers: Array = np.searchsorted(self.classes_, y)
        return numbers

    def _count_outputs(self, data: _Data) -> int:
        return len(self.classes_)

    def _scaled_targets(self, targets: Array) -> Array:
        return targets

    def _strata(self, data: _Data, share: float) -> Array | None:
        _, counts = np.unique(data.targets, return_counts=True)
        n = len(data.targets)
        # Each class has to be on both sides.
        can_be = counts.min() > 1 and min(int(n * share), int(n * (1 - share))) >= len(counts)
        return data.targets if can_be else None


class RNNRegressor(RegressorMixin, _RNNEstimator):  # type: ignore[misc]
    """Recurrent networks from sequences to numbers.

    As `RNNClassifier`, whose parameters these are, with the mean of the networks' outputs. Targets
    are scaled inside, too.

    Parameters
    ----------
    hidden_size : int
    cell : {"rnn", "gru", "lstm"}
    num_layers : int
    bidirectional : bool
    dropout : float
    n_networks : int
    learning_rate : float
    batch_size : int or "auto"
    max_iter : int
    weight_decay : float
    clip_norm : float or None
    early_stopping : bool
    validation_fraction : float
    n_iter_no_change : int
    warm_start : bool
    random_state : int, RandomState or None
    verbose : bool

    Attributes
    ----------
    nets_ : list of RNN, GRU or LSTM
        The networks, which read scaled features and put out what `crnn.sklearn.pooling` describes, of
        scaled targets.
    n_iter_ : int
        Epochs taken, by the network that took most.
    loss_curve_ : list of float
        The training loss of each, as the mean of the networks: the mean squared error of scaled
        targets.
    n_features_in_ : int
        Features, or the steps of X (n, time).
    feature_names_in_ : array of str
        The columns of X, where it was a table with names.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch more, at a constant rate.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)
        y : array (n,) or (n, outputs)
            The scales of features and targets are those of the first call.
        sample_weight : array (n,), optional
            As of `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As of `fit`.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the numbers of each sequence.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)

        Returns
        -------
        array (n,) or (n, outputs) of float64
        """
        y = self._outputs(X).mean(axis=0) * self._y_scale + self._y_mean
        numbers: Array = y[:, 0] if self._y_shape == () else y
        return numbers

    _loss = MSE()

    def _targets(self, y: Any, *, reset: bool) -> Array:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)
        if reset:
            self._y_shape = y.shape[1:]
        elif y.shape[1:] != self._y_shape:
            raise ValueError(f"y: expected shape {(len(y), *self._y_shape)}, got {y.shape}")
        targets: Array = y.reshape(len(y), -1)
        return targets

    def _count_outputs(self, data: _Data) -> int:
        self._y_mean, self._y_scale = _scale_of(data.targets, data.weights)
        return int(data.targets.shape[1])

    def _scaled_targets(self, targets: Array) -> Array:
        scaled: Array = ((targets - self._y_mean) / self._y_scale).astype(np.float32)
        return scaled

    def _strata(self, data: _Data, share: float) -> None:
        return None


def _sequences_of(X: Any) -> Array | list[Array] | None:
    """Return an array of three axes or a list of arrays (time_i, features), or None for a table."""
    is_ragged = False
    if isinstance(X, (list, tuple)):
        try:
            X = np.asarray(X)
        except ValueError:
            is_ragged = True
    if not is_ragged:
        return X if isinstance(X, np.ndarray) and X.ndim == 3 else None
    sequences = []
    for number, sequence in enumerate(X):
        row = check_array(sequence, ensure_2d=False, dtype=np.float64, input_name=f"X[{number}]")
        sequences.append(row[:, None] if row.ndim == 1 else row)
    features = sorted({sequence.shape[1] for sequence in sequences})
    if len(features) > 1:
        raise ValueError(f"X: expected sequences of as many features each, got {features}")
    return sequences


def _merged(data: _Data) -> _Data:
    """Merge equal sequences of equal targets, and order all by what is in them.

    So a weight of two is a sequence that is there twice, one of zero a sequence that is not there,
    and neither the networks nor the batches depend on which of these it was.
    """
    found: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(data.weights).tolist():
        x = data.x[row, : data.lengths[row]]
        found.setdefault(x.tobytes() + data.targets[row].tobytes(), []).append(row)
    groups = [found[content] for content in sorted(found)]
    merged = data.rows(np.array([rows[0] for rows in groups]))
    return merged._replace(weights=np.array([data.weights[rows].sum() for rows in groups]))


def _scale_of(values: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weighted mean and standard deviation of each column; 1 where that is zero."""
    mean = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    # Below that it is rounding.
    return mean, np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)
