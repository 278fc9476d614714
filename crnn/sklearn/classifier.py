"""Sequences to classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from crnn import checks
from crnn.losses import CrossEntropy
from crnn.sklearn.base import SequenceEstimator
from crnn.sklearn.targets import labels

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt

    from crnn.sklearn.samples import Samples


class RNNClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
    """Recurrent networks from sequences to classes.

    Several networks are trained, and their probabilities are averaged (Lakshminarayanan, Pritzel
    and Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep
    ensembles"). Each reads a sequence in both directions; its output is a mean over the steps, with
    weights that the network computes. Every second network adds outputs of the first and the last
    step (`crnn.sklearn.pooling`). Features are standardized.

    Parameters
    ----------
    hidden_size : int
        Hidden units of each layer and direction.
    cell : {"rnn", "gru", "lstm"}
        The networks: `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`.
    num_layers : int
    bidirectional : bool
    dropout : float
        Between layers.
    n_networks : int
        How many networks are trained.
    learning_rate : float
        The rate of the first step; in `fit` it falls to zero along half a cosine.
    batch_size : int or "auto"
        Sequences of a step; "auto" is a tenth of all, from 8 to 64.
    max_iter : int
        The largest number of epochs.
    weight_decay : float
        As in `crnn.AdamW`.
    clip_norm : float or None
        The largest norm of a gradient.
    class_weight : dict, "balanced" or None
        The weight of each class, by which that of each of its sequences is multiplied; 1 for
        classes that are not in the dictionary. "balanced": n / (classes * sequences of the class).
    early_stopping : bool
        Whether to hold out sequences, stop a network when its loss on them has not become smaller
        for `n_iter_no_change` epochs, and keep its best parameters.
    validation_fraction : float
        The share of the sequences that is held out.
    n_iter_no_change : int
    warm_start : bool
        Whether `fit` continues with the networks and scales of the last call. The classes have to
        be among those of the first call.
    random_state : int, RandomState or None
        Determines the initial weights, the order of the sequences and what is held out.
    verbose : bool
        Whether to show a progress bar for each network.

    Attributes
    ----------
    classes_ : array (classes,)
    x_scale_ : Scale
        The mean and the deviation of each feature. The networks read `x_scale_.scaled(x)`.
    nets_ : list of RNN, GRU or LSTM
        The networks. Their outputs are logits and scores, as `crnn.sklearn.pooling` describes.
    n_iter_ : int
        Epochs of the network that was trained longest.
    loss_curve_ : list of float
        The training loss of each epoch, averaged over the networks: cross-entropy in nats.
    n_features_in_ : int
        Features, or the steps of X (n, time).
    feature_names_in_ : array of str
        The columns of X, if it was a table with names.

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

    _loss = CrossEntropy()

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
        class_weight: Mapping[Any, float] | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 15,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            n_networks=n_networks,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_iter=max_iter,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch, at a constant rate.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)
            The features' scales are those of the first call.
        y : array (n,)
        classes : array (classes,), optional
            In the first call: all classes that any call will have; without it those of y.
        sample_weight : array (n,), optional
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As in `fit`; or y has classes that the first call did not have.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight: expected a dictionary or None in partial_fit, which does not see "
                f"all of y, got {self.class_weight!r}; "
                "sklearn.utils.class_weight.compute_class_weight makes weights of it"
            )
        if classes is not None:
            classes = column_or_1d(labels(classes, "classes"))
            assert_all_finite(classes, input_name="classes")
            classes = np.unique(classes)
            if hasattr(self, "nets_") and not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes: expected {self.classes_} as before, got {classes}")
        return self._partial_fit(X, y, sample_weight, classes)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)

        Returns
        -------
        array (n, classes) of float64
        """
        logits = self._outputs(X)
        by_network = np.exp(logits - logits.max(axis=2, keepdims=True))
        by_network /= by_network.sum(axis=2, keepdims=True)
        probabilities: npt.NDArray[np.float64] = by_network.mean(axis=0)
        return probabilities

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each sequence.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)

        Returns
        -------
        array (n,)
        """
        numbers = self.predict_proba(X).argmax(axis=1)
        classes: npt.NDArray[Any] = self.classes_[numbers]
        return classes

    def _read_targets(
        self, y: Any, *, reset: bool, classes: npt.NDArray[Any] | None
    ) -> npt.NDArray[Any]:
        y = column_or_1d(labels(y), warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y) if classes is None else classes
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y: expected classes among {self.classes_}, got {unknown} too")
        numbers: npt.NDArray[np.intp] = np.searchsorted(self.classes_, y)
        return numbers

    def _target_weights(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        weights: npt.NDArray[np.float64]
        if self.class_weight is None:
            return np.ones(len(targets))
        if isinstance(self.class_weight, str):
            checks.choice("class_weight", self.class_weight, ("balanced",))
            weights = compute_sample_weight("balanced", targets)
            return weights
        if not isinstance(self.class_weight, Mapping):
            raise TypeError(
                "class_weight: expected None, 'balanced' or a dictionary, "
                f"got {type(self.class_weight).__name__}"
            )
        classes = self.classes_.tolist()
        unknown = [name for name in self.class_weight if name not in classes]
        if unknown:
            raise ValueError(f"class_weight: expected classes among {classes}, got {unknown[0]!r}")
        of_classes = [
            checks.number(f"class_weight[{name!r}]", self.class_weight.get(name, 1), at_least=0)
            for name in classes
        ]
        weights = np.array(of_classes, np.float64)[targets]
        return weights

    def _learn_targets(self, samples: Samples) -> int:
        return len(self.classes_)

    def _scaled_targets(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return targets

    def _strata(self, samples: Samples, share: float) -> npt.NDArray[Any] | None:
        _, counts = np.unique(samples.targets, return_counts=True)
        n = len(samples.targets)
        # Stratified, each class has to be in both parts.
        fits = counts.min() > 1 and min(int(n * share), int(n * (1 - share))) >= len(counts)
        return samples.targets if fits else None
