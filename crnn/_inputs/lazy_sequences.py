"""Sequences that are read, converted and checked when a batch takes them, for ranks of MPI."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import checks
from crnn._inputs import arrays, sequences
from crnn._network.network import Network
from crnn._training.data import Batch, Dataset
from crnn._typing import Array, IntArray
from crnn.conversion import as_array

if TYPE_CHECKING:
    from crnn.losses import Loss


class LazyDataset(Dataset):
    """Sequences as users pass them. `take` reads, converts and checks those that it returns.

    Parameters
    ----------
    network : Network
    loss : Loss
    given : dict
        x, y, mask, skip and resets of all sequences, each an array, a list or None.
    lengths : intp array (n,) or None
    h0 : array (layers * directions, n, S) or None
    is_list : bool
        Whether x is a list of sequences of different lengths.
    first : int
        The number of the first sequence, for errors.
    """

    def __init__(
        self,
        network: Network,
        loss: "Loss",
        given: dict[str, Any],
        lengths: IntArray | None,
        h0: Array | None,
        *,
        is_list: bool,
        first: int = 0,
    ) -> None:
        super().__init__(
            lengths=lengths,
            h0=h0,
            return_sequences=network.architecture.return_sequences,
            **given,
        )
        # A list may be of sequences of one length.
        self.lengths = lengths
        self._parts = network, loss
        self._given = given
        self._is_list, self._first = is_list, first

    def take(self, rows: Array) -> Batch:
        """Return these sequences as a batch, or raise what is wrong with one of them."""
        try:
            return self._take(rows)
        except (TypeError, ValueError):
            for row in rows:
                with checks.within(f"sequence {self._first + int(row)}"):
                    self._take(np.array([row]))
            raise

    def _take(self, rows: Array) -> Batch:
        network, loss = self._parts
        given = {name: _rows_of(values, rows) for name, values in self._given.items()}
        lengths = None if self._is_list else _rows_of(self.lengths, rows)
        chosen = sequences.dataset(
            network, loss=loss, lengths=lengths, is_list=self._is_list, may_count_nothing=True,
            **given,
        )  # fmt: skip
        chosen.h0 = None if self.h0 is None else self.h0[:, rows]
        return chosen.take(np.arange(len(rows)))

    def split(self, count: int) -> tuple[Dataset, Dataset]:
        """Return the first `count` sequences and the others."""
        first, others = (
            LazyDataset(
                *self._parts,
                {k: None if v is None else v[part] for k, v in self._given.items()},
                None if self.lengths is None else self.lengths[part],
                None if self.h0 is None else self.h0[:, part],
                is_list=self._is_list,
                first=start,
            )
            for start, part in ((0, slice(count)), (count, slice(count, None)))
        )
        return first, others


def dataset(
    network: Network,
    x: Any,
    y: Any,
    loss: "Loss",
    lengths: Any = None,
    mask: Any = None,
    h0: Any = None,
    skip: Any = None,
    resets: Any = None,
) -> LazyDataset:
    """Return sequences with their targets, none of which is read yet.

    Parameters
    ----------
    network, x, y, loss, lengths, mask, h0, skip, resets
        As for `sequences.dataset`, which converts and checks the rows that are taken.

    Raises
    ------
    TypeError, ValueError
        x is one sequence, or the others are not as many as x has.
    """
    is_list = sequences.is_ragged(x)
    given = {"x": x, "y": y, "mask": mask, "skip": skip, "resets": resets}
    given = {name: _unread(name, values) for name, values in given.items()}
    x = given["x"]
    if not len(x):
        raise ValueError(f"x: expected at least one sequence, got shape {np.shape(x)}")
    axes = 2 if network.architecture.categorical else 3
    if not is_list and (x.ndim if isinstance(x, np.ndarray) else 1 + np.ndim(x[0])) != axes:
        raise ValueError(
            f"x: expected sequences (batch, time{', inputs' if axes == 3 else ''}) with comm, got "
            f"shape {np.shape(x)}"
        )
    for name, values in given.items():
        if values is not None and len(values) != len(x):
            raise ValueError(
                f"{name}: expected one of {len(x)} sequences each, as x has, got {len(values)}"
            )
    if is_list:
        if lengths is not None:
            raise ValueError(
                "lengths: expected None with a list of sequences, which have their own"
            )
        counts = [len(sequence) for sequence in x]
        if 0 in counts:
            raise ValueError(f"x[{counts.index(0)}]: x: expected at least one time step, got none")
        ends: IntArray | None = np.array(counts, np.intp)
    else:
        ends = None if lengths is None else arrays.lengths(lengths, len(x), len(x[0]))
    if h0 is not None:
        h0 = sequences.states(network, "h0", h0, len(x), single=False)
    return LazyDataset(network, loss, given, ends, h0, is_list=is_list)


def _unread(name: str, values: Any) -> Any:
    """Return a list as it is, and anything else as an array, which may be mapped from a file."""
    if values is None or (isinstance(values, (list, tuple)) and len(values)):
        return values if values is None else list(values)
    array = as_array(name, values)
    if not array.ndim:
        raise ValueError(f"{name}: expected an array of sequences, got shape ()")
    return array


def _rows_of(values: Any, rows: Array) -> Any:
    """Return these rows of an array, a list or None; consecutive ones of an array as a view."""
    if values is None:
        return None
    if isinstance(values, list):
        return [values[row] for row in rows]
    if rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        return values[rows[0] : rows[-1] + 1]
    return values[rows]
