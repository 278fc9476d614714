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
from crnn.sklearn.reading import (
    sequences_in,
    sequences_of_table,
    warn_if_transposed,
    with_nan,
)
from crnn.sklearn.samples import Samples
from crnn.sklearn.scale import Scale
from crnn.sklearn.targets import checked_weights
from crnn.sklearn.training import Networks, outputs_of, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    import numpy.typing as npt

    from crnn.losses import MSE, CrossEntropy


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Recurrent networks with one output per sequence."""

    nets_: Networks
    x_scale_: Scale
    loss_curve_: list[float]
    n_iter_: int

    _loss: MSE | CrossEntropy
    _n_outputs: int
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
            Or what else `crnn.sklearn` reads, such as a column of arrays. Steps of NaN alone after
            a sequence's last number are not part of it.
        y : array (n,), or for regression (n, outputs)
        sample_weight : array (n,), optional
            The weight of each sequence, of at least 0. With weight 2 a sequence counts in the loss
            and in the scales as if it were there twice; with 0 it is not there.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter, shape, dtype or value does not fit.
        DivergenceError
            The loss or a parameter is no longer finite.

        Warns
        -----
        UserWarning
            Sequences have one step of several features, or the longest has 20 times as many
            features as steps: X may be (n, channels, time).
        """
        epochs = checks.integer("max_iter", self.max_iter, at_least=1)
        goes_on = self.warm_start and hasattr(self, "nets_")
        samples, rng = self._begin(X, y, sample_weight, goes_on=goes_on)
        warn_if_transposed(samples.x)
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
        """Return the samples that count; make networks unless training goes on."""
        get_family(self.cell)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        if goes_on:
            self._check_architecture()
        x = self._read(X, reset=not goes_on)
        targets = self._read_targets(y, reset=not goes_on, classes=classes)
        check_consistent_length(x, targets)
        weights = checked_weights(sample_weight, len(x)) * self._target_weights(targets)
        if not weights.any():
            raise ValueError("class_weight: expected a weight above 0 somewhere, got only zeros")
        samples = Samples(x, targets, weights).take(np.flatnonzero(weights))
        rng = check_random_state(self.random_state)
        if not goes_on:
            self._start(samples, rng)
        return samples, rng

    def _start(self, samples: Samples, rng: np.random.RandomState) -> None:
        """Make the networks, and note the scale of features and targets."""
        step_weights = np.repeat(samples.weights, samples.lengths)
        self.x_scale_ = Scale.of(np.concatenate(samples.x), step_weights)
        self._n_outputs = self._learn_targets(samples)
        n_networks = checks.integer("n_networks", self.n_networks, at_least=1)
        seeds = rng.randint(np.iinfo(np.int32).max, size=n_networks)
        self.nets_ = [
            get_family(self.cell)(
                samples.x[0].shape[1],
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
        scaled = [self.x_scale_.scaled(x).astype(np.float32) for x in samples.x]
        curve = train(
            self.nets_,
            optimizers,
            samples._replace(x=scaled, targets=self._scaled_targets(samples.targets)),
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

    def _check_architecture(self) -> None:
        """Raise a ValueError where a parameter is not that of the networks there are."""
        net = self.nets_[0]
        there = {
            "cell": type(net).__name__.lower(),
            "hidden_size": net.hidden_size,
            "num_layers": net.num_layers,
            "bidirectional": net.bidirectional,
            "dropout": net.dropout,
            "n_networks": len(self.nets_),
        }
        for name, value in there.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name}: expected {value!r}, because training goes on with the networks of "
                    f"the first call, got {getattr(self, name)!r}"
                )

    def _read(self, X: Any, *, reset: bool) -> list[npt.NDArray[np.float64]]:
        """Return sequences (time_i, features)."""
        X = with_nan(X)
        sequences = sequences_in(X)
        is_table = sequences is None
        if sequences is None:
            if reset or self._reads_tables:
                # scikit-learn counts the steps as features, and expects as many from then on.
                table = validate_data(
                    self, X, reset=reset, dtype=np.float64, ensure_all_finite=False
                )
            else:
                table = check_array(X, dtype=np.float64, ensure_all_finite=False, input_name="X")
            sequences = sequences_of_table(table)
        features = sequences[0].shape[1]
        if reset:
            self._reads_tables = is_table
            if not is_table:
                self.n_features_in_ = features
                # An earlier fit may have read a table with names.
                self.__dict__.pop("feature_names_in_", None)
        if not is_table and len(getattr(X, "columns", ())) > 1:
            # Names of columns, each of them a feature: the same and in the same order from then on
            validate_data(self, X, reset=reset, skip_check_array=True, ensure_2d=False)
        if not reset and features != self.nets_[0].input_size:
            raise ValueError(
                f"X: expected sequences of {self.nets_[0].input_size} features, got {features}"
            )
        return sequences

    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """Return each network's outputs for each sequence, (networks, n, outputs)."""
        check_is_fitted(self)
        x = self._read(X, reset=False)
        return outputs_of(self.nets_, x, self.x_scale_, self._n_outputs)

    def _target_weights(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the factor (n,) of each sequence's weight that comes with its target."""
        return np.ones(len(targets))

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
