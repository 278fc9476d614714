"""The scale of features and targets: networks learn from standardized numbers."""

from typing import NamedTuple

import numpy as np

from crnn.sklearn.reading import FloatArray


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
