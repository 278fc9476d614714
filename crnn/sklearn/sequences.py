"""Sequences with what belongs to each: targets, weights, and the scale of their features."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.sklearn.reading import FloatArray, is_missing


class Samples(NamedTuple):
    """Sequences and what belongs to each."""

    x: list[npt.NDArray[Any]]
    """Arrays (time_i, features)."""
    targets: npt.NDArray[Any]
    """(n,) class numbers or (n, outputs)."""
    weights: FloatArray

    def take(self, rows: npt.NDArray[np.intp]) -> "Samples":
        """Return some of the sequences."""
        return Samples([self.x[row] for row in rows], self.targets[rows], self.weights[rows])

    @property
    def lengths(self) -> npt.NDArray[np.intp]:
        """The steps of each sequence (n,)."""
        return np.array([len(sequence) for sequence in self.x])


def read_weights(sample_weight: Any, n: int) -> FloatArray:
    """Return the weights (n,) of sequences, of at least 0 and not all of them 0."""
    if sample_weight is None:
        return np.ones(n)
    array = np.asarray(sample_weight)
    if array.shape != (n,):
        came = repr(sample_weight) if array.ndim == 0 else f"shape {array.shape}"
        raise ValueError(f"sample_weight: expected shape ({n},), got {came}")
    if array.dtype == object:
        array = np.array([np.nan if is_missing(weight) else weight for weight in array])
    if array.dtype.kind not in "fiub":
        raise TypeError(f"sample_weight: expected numbers, got {array.tolist()[0]!r}")
    weights = array.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        value = "NaN" if np.isnan(weights[wrong[0]]) else f"{weights[wrong[0]]:g}"
        raise ValueError(
            f"sample_weight: expected finite numbers of at least 0, got {value} at index {wrong[0]}"
        )
    if not weights.any():
        raise ValueError("sample_weight: expected a number above 0 somewhere, got only zeros")
    return weights


class Scale(NamedTuple):
    """The mean and the standard deviation of each feature or target.

    Parameters
    ----------
    mean : array (columns,)
    deviation : array (columns,)
        1 for a column of equal values.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, values: FloatArray, weights: FloatArray) -> "Scale":
        """Return the weighted scale of values (n, columns)."""
        # Divided by the largest number, so that squares neither overflow nor vanish
        size = np.abs(values).max(axis=0)
        size[size == 0] = 1
        values = values / size
        mean = np.average(values, axis=0, weights=weights)
        deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
        # Deviations below this are rounding.
        return cls(mean * size, np.where(deviation > 1e-12 * np.abs(mean), deviation * size, 1.0))

    def scaled(self, values: FloatArray) -> FloatArray:
        """Return values less the mean, divided by the deviation.

        Parameters
        ----------
        values : array (..., columns)

        Returns
        -------
        array (..., columns)
        """
        return (values - self.mean) / self.deviation

    def unscaled(self, values: FloatArray) -> FloatArray:
        """Return scaled values as they were.

        Parameters
        ----------
        values : array (..., columns)

        Returns
        -------
        array (..., columns)
        """
        return values * self.deviation + self.mean
