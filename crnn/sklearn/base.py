"""What the classifier and the regressor share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from crnn import checks, schedules
from crnn.networks import get_family
from crnn.optimizers import AdamW
from crnn.sklearn.pooling import outputs_per_step
from crnn.sklearn.sequences import Samples, Scale, read_weights, sequences_in, side_by_side
from crnn.sklearn.training import Networks, outputs_of, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    import numpy.typing as npt

    from crnn.losses import MSE, CrossEntropy


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Recurrent networks with one output per sequence."""

    nets_: Networks
    loss_curve_: list[float]
    n_iter_: int

    _loss: MSE | CrossEntropy
    _n_outputs: int
    _x_scale: Scale
    _reads_tables: bool
    _optimizers: list[AdamW]

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
        random_state: int | np.random.RandomState | None = None,
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
            The weight of each sequence, of at least 0. A weight of 2 is the same as the sequence
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
        samples, rng = self._begin(X, y, sample_weight, goes_on=goes_on)
        n_trained, patience = len(samples.x), None
        if checks.boolean("early_stopping", self.early_stopping):
            patience = checks.integer("n_iter_no_change", self.n_iter_no_change, at_least=1)
            samples, n_trained = self._validation_last(samples, rng)
        steps = epochs * math.ceil(n_trained / self._batch_size(n_trained))
        # At the end the rate is zero: the gradient of a few hundred sequences is noisy.
        rate = schedules.cosine(self._learning_rate(), steps)
        optimizers = self._new_optimizers(rate)
        self._train(samples, optimizers, epochs, n_trained=n_trained, patience=patience)
        # `partial_fit` goes on from here with new ones.
        self.__dict__.pop("_optimizers", None)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Train for one epoch more."""
        goes_on = hasattr(self, "nets_")
        samples, _ = self._begin(X, y, sample_weight, goes_on=goes_on, classes=classes)
        if not hasattr(self, "_optimizers"):
            self._optimizers = self._new_optimizers(self._learning_rate())
        self._train(samples, self._optimizers, 1, n_trained=len(samples.x))
        return self

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, *, goes_on: bool, classes: Any = None
    ) -> tuple[Samples, np.random.RandomState]:
        """Return checked and merged samples; make networks unless training goes on."""
        get_family(self.cell)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        x, lengths = self._read(X, reset=not goes_on)
        targets = self._read_targets(y, reset=not goes_on, classes=classes)
        check_consistent_length(x, targets)
        samples = Samples(x, lengths, targets, read_weights(sample_weight, len(x))).merged()
        rng = check_random_state(self.random_state)
        if not goes_on:
            self._start(samples, rng)
        return samples, rng

    def _start(self, samples: Samples, rng: np.random.RandomState) -> None:
        """Make the networks, and note the scale of features and targets."""
        step_weights = np.repeat(samples.weights, samples.lengths)
        self._x_scale = Scale.of(samples.x[samples.inside], step_weights)
        self._n_outputs = self._learn_targets(samples)
        n_networks = checks.integer("n_networks", self.n_networks, at_least=1)
        seeds = rng.randint(np.iinfo(np.int32).max, size=n_networks)
        self.nets_ = [
            get_family(self.cell)(
                samples.x.shape[2],
                self.hidden_size,
                outputs_per_step(self._n_outputs, with_ends=number % 2 == 1),
                num_layers=self.num_layers,
                bidirectional=self.bidirectional,
                dropout=self.dropout,
                seed=int(seed),
            )
            for number, seed in enumerate(seeds)
        ]
        self.loss_curve_ = []
        self.n_iter_ = 0

    def _train(
        self,
        samples: Samples,
        optimizers: list[AdamW],
        epochs: int,
        *,
        n_trained: int,
        patience: int | None = None,
    ) -> None:
        """Train the networks; sequences after the first `n_trained` are validated on."""
        n = len(samples.x)
        curve = train(
            self.nets_,
            optimizers,
            samples._replace(
                x=self._x_scale.scaled(samples.x), targets=self._scaled_targets(samples.targets)
            ),
            self._loss,
            self._n_outputs,
            epochs=epochs,
            batch_size=self._batch_size(n_trained),
            clip_norm=self.clip_norm,
            validation_fraction=1 - n_trained / n if n_trained < n else None,
            patience=patience,
            progress=bool(self.verbose),
        )
        self.loss_curve_ += curve
        self.n_iter_ += len(curve)

    def _new_optimizers(self, rate: float | Callable[[int], float]) -> list[AdamW]:
        """Return one for each network, because an optimizer belongs to a network."""
        decay = checks.number("weight_decay", self.weight_decay, at_least=0.0)
        return [AdamW(rate, weight_decay=decay) for _ in self.nets_]

    def _learning_rate(self) -> float:
        return checks.number("learning_rate", self.learning_rate, above=0.0)

    def _batch_size(self, n: int) -> int:
        """Return the batch size for n sequences."""
        if isinstance(self.batch_size, str):
            checks.choice("batch_size", self.batch_size, ("auto",))
            # About ten steps an epoch, in multiples of 8, which fill the kernels' register tiles
            return min(64, max(8, n // 80 * 8))
        return checks.integer("batch_size", self.batch_size, at_least=1)

    def _validation_last(self, samples: Samples, rng: np.random.RandomState) -> tuple[Samples, int]:
        """Put sequences to validate on last, and return how many come before them."""
        n = len(samples.x)
        share = checks.number("validation_fraction", self.validation_fraction, above=0.0, below=1.0)
        trained, validated = train_test_split(
            np.arange(n), test_size=share, random_state=rng, stratify=self._strata(samples, share)
        )
        return samples.take(np.concatenate([trained, validated])), len(trained)

    def _read(self, X: Any, *, reset: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
        """Return sequences side by side (n, time, features), and their lengths."""
        if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object:
            X = list(X)
        sequences = sequences_in(X)
        if sequences is not None:
            x, lengths = side_by_side(sequences)
        else:
            if reset or self._reads_tables:
                # scikit-learn counts the steps as features, and expects as many from then on.
                table = validate_data(self, X, reset=reset, dtype=np.float64)
            else:
                table = check_array(X, dtype=np.float64, input_name="X")
            x, lengths = table[..., None], np.full(len(table), table.shape[1])
        if reset:
            self._reads_tables = sequences is None
            if not self._reads_tables:
                self.n_features_in_ = x.shape[2]
                # An earlier fit may have read a table with names.
                self.__dict__.pop("feature_names_in_", None)
        elif x.shape[2] != self.nets_[0].input_size:
            raise ValueError(
                f"X: expected sequences of {self.nets_[0].input_size} features, got {x.shape[2]}"
            )
        return x, lengths

    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """Return each network's outputs for each sequence, (networks, n, outputs)."""
        check_is_fitted(self)
        x, lengths = self._read(X, reset=False)
        return outputs_of(self.nets_, self._x_scale.scaled(x), lengths, self._n_outputs)

    def _read_targets(self, y: Any, *, reset: bool, classes: Any) -> npt.NDArray[Any]:
        """Return checked targets (n,) or (n, outputs)."""
        raise NotImplementedError

    def _learn_targets(self, samples: Samples) -> int:
        """Note the scale of targets, and return how many outputs a sequence has."""
        raise NotImplementedError

    def _scaled_targets(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return targets as the networks learn them."""
        raise NotImplementedError

    def _strata(self, samples: Samples, share: float) -> npt.NDArray[Any] | None:
        """Return what to stratify by when a share is held out, or None."""
        raise NotImplementedError
