"""Sequences to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d

from crnn.losses import MSE
from crnn.sklearn.base import SequenceEstimator
from crnn.sklearn.scale import Scale
from crnn.sklearn.targets import numbers

if TYPE_CHECKING:
    from typing import Self

    import numpy.typing as npt

    from crnn.sklearn.samples import Samples


class RNNRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc]
    """Recurrent networks from sequences to numbers.

    Like `RNNClassifier`, which documents the parameters, but the networks' outputs are averaged.
    Targets are standardized, too.

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
    x_scale_ : Scale
        The mean and the deviation of each feature. The networks read `x_scale_.scaled(x)`.
    nets_ : list of RNN, GRU or LSTM
        The networks. Their outputs are scaled targets and scores, as `crnn.sklearn.pooling`
        describes.
    y_scale_ : Scale
        That of the targets: `y_scale_.unscaled` returns numbers from the outputs of sequences.
    n_iter_ : int
        Epochs of the network that was trained longest.
    loss_curve_ : list of float
        The training loss of each epoch, averaged over the networks: the mean squared error of
        scaled targets.
    n_features_in_ : int
        Features, or the steps of X (n, time).
    feature_names_in_ : array of str
        The columns of X, if it was a table with names.
    """

    _loss = MSE()
    y_scale_: Scale
    _y_shape: tuple[int, ...]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch, at a constant rate.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)
        y : array (n,) or (n, outputs)
            The scales of features and targets are those of the first call.
        sample_weight : array (n,), optional
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As in `fit`.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the numbers of each sequence.

        Parameters
        ----------
        X : array (n, time, features) or (n, time), or list of n arrays (time_i, features)

        Returns
        -------
        array (n,) or (n, outputs) of float64
        """
        scaled = self._outputs(X).mean(axis=0)
        y = self.y_scale_.unscaled(scaled)
        return y[:, 0] if self._y_shape == () else y

    def _read_targets(
        self, y: Any, *, reset: bool, classes: None = None
    ) -> npt.NDArray[np.float64]:
        y = check_array(numbers(y), ensure_2d=False, dtype=np.float64, input_name="y")
        if y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)
        if reset:
            self._y_shape = y.shape[1:]
        elif y.shape[1:] != self._y_shape:
            raise ValueError(f"y: expected shape {(len(y), *self._y_shape)}, got {y.shape}")
        targets: npt.NDArray[np.float64] = y.reshape(len(y), -1)
        return targets

    def _learn_targets(self, samples: Samples) -> int:
        self.y_scale_ = Scale.of(samples.targets, samples.weights)
        return int(samples.targets.shape[1])

    def _scaled_targets(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return self.y_scale_.scaled(targets).astype(np.float32)

    def _strata(self, samples: Samples, share: float) -> None:
        return None
