"""Sequences with their targets and weights."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.sklearn.reading import FloatArray


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
