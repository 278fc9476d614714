"""X, y and sample weights as users pass them, as padded sequences with what belongs to each."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array


class Samples(NamedTuple):
    """Sequences and what belongs to each."""

    x: npt.NDArray[np.float64]
    """(n, time, features), zeros past a sequence's end."""
    lengths: npt.NDArray[np.intp]
    targets: npt.NDArray[Any]
    """(n,) class numbers or (n, outputs)."""
    weights: npt.NDArray[np.float64]

    def take(self, rows: npt.NDArray[np.intp]) -> "Samples":
        """Return some of the sequences."""
        return Samples(self.x[rows], self.lengths[rows], self.targets[rows], self.weights[rows])

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Whether a step is before its sequence's end, (n, time)."""
        inside: npt.NDArray[np.bool_] = np.arange(self.x.shape[1]) < self.lengths[:, None]
        return inside

    def merged(self) -> "Samples":
        """Return equal sequences with equal targets as one, and all in the order of their contents.

        A weight of 2 is then the same as a sequence that is there twice, and 0 as one that is not
        there: neither the networks nor the batches depend on which of these it was.
        """
        rows_by_content: dict[bytes, list[int]] = {}
        for row in np.flatnonzero(self.weights).tolist():
            x = self.x[row, : self.lengths[row]]
            content = x.tobytes() + self.targets[row].tobytes()
            rows_by_content.setdefault(content, []).append(row)
        groups = [rows_by_content[content] for content in sorted(rows_by_content)]
        merged = self.take(np.array([rows[0] for rows in groups]))
        return merged._replace(weights=np.array([self.weights[rows].sum() for rows in groups]))


def sequences_in(X: Any) -> npt.NDArray[Any] | list[npt.NDArray[np.float64]] | None:
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


def side_by_side(
    sequences: npt.NDArray[Any] | list[npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return sequences (n, time, features), zeros past the ends, and their lengths.

    Parameters
    ----------
    sequences : array (n, time, features) or list of n arrays (time_i, features)
    """
    if isinstance(sequences, list):
        lengths = np.array([len(sequence) for sequence in sequences])
        x = np.zeros((len(lengths), int(lengths.max()), sequences[0].shape[1]))
        for row, sequence in zip(x, sequences, strict=True):
            row[: len(sequence)] = sequence
        return x, lengths
    x = check_array(sequences, allow_nd=True, dtype=np.float64, input_name="X")
    if not x.size:
        raise ValueError(f"X: expected at least one step and feature, got shape {x.shape}")
    return x, np.full(len(x), x.shape[1])


def read_weights(sample_weight: Any, n: int) -> npt.NDArray[np.float64]:
    """Return the weights (n,) of sequences, of at least 0 and not all of them 0."""
    if sample_weight is None:
        return np.ones(n)
    weights: npt.NDArray[np.float64] = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (n,):
        raise ValueError(f"sample_weight: expected shape ({n},), got {weights.shape}")
    if weights.min() < 0:
        raise ValueError(f"sample_weight: expected numbers of at least 0, got {weights.min()}")
    if not weights.any():
        raise ValueError("sample_weight: expected a number above 0 somewhere, got only zeros")
    return weights


class Scale(NamedTuple):
    """The mean and the standard deviation of each column."""

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    @classmethod
    def of(cls, values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> "Scale":
        """Return the weighted scale of values (n, columns); 1 for columns of equal values."""
        mean = np.average(values, axis=0, weights=weights)
        deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
        # Deviations below this are rounding.
        return cls(mean, np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0))

    def scaled(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values with mean 0 and deviation 1."""
        return (values - self.mean) / self.deviation

    def unscaled(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return scaled values as they were."""
        return values * self.deviation + self.mean
