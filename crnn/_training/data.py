"""Training data: sequences of one length, of several lengths in one array, or in a list."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crnn._network.lengths import padded, slices_of_similar_length, steps_within
from crnn._typing import Array, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from crnn._training.ranks import Ranks


class Batch(NamedTuple):
    """Sequences side by side, as a network takes them."""

    x: Array
    """(B, T, I), or category numbers (B, T)."""
    y: Array
    """Targets, (B, T, ...) or without return_sequences (B, ...)."""
    lengths: IntArray | None
    """Steps of each sequence (B,); None: all of them."""
    weights: FloatArray | None
    """Weight of each step in the loss, (B, T) or (B,); 0 past a sequence's end. None: 1."""
    h0: Array | None = None
    """The first states (layers * directions, B, S); None: zero, or the trained ones."""
    skip: BoolArray | None = None
    """Whether a step leaves the states as they are, (B, T)."""
    resets: BoolArray | None = None
    """Whether the states before a step are those of a new sequence, (B, T)."""

    @property
    def has_only_x_and_y(self) -> bool:
        """Whether sequences start from the network's states, and all steps are read and count."""
        _, _, lengths, weights, h0, skip, resets = self
        starts_afresh = h0 is None and resets is None
        return starts_afresh and lengths is None and weights is None and skip is None

    def chunks(self, steps: int) -> Iterator["Batch"]:
        """Yield so many steps of the batch at a time, up to the end of the longest sequence.

        Each has the first states of the batch.
        """
        longest = self.x.shape[1] if self.lengths is None else int(self.lengths.max())
        for first in range(0, longest, steps):
            part = slice(first, min(first + steps, longest))
            lengths = steps_within(self.lengths, first, part.stop)
            weights = None if self.weights is None else self.weights[:, part]
            skip = None if self.skip is None else self.skip[:, part]
            resets = None if self.resets is None else np.ascontiguousarray(self.resets[:, part])
            y = np.ascontiguousarray(self.y[:, part])
            x = np.ascontiguousarray(self.x[:, part])
            yield Batch(x, y, lengths, weights, self.h0, skip, resets)


class Dataset:
    """Checked sequences and targets.

    Parameters
    ----------
    x : array (n, T, I) or (n, T), or list of n arrays (T_i, I) or (T_i,)
    y : array (n, T, ...) or (n, ...), or list of n arrays (T_i, ...)
        A list only where x is one.
    lengths : intp array (n,) or None
    mask : array (n, T) or (n,), or list of n arrays (T_i,), or None
        Weight of each step in the loss.
    h0 : array (layers * directions, n, S) or None
        The first states.
    skip : bool array (n, T), or list of n arrays (T_i,), or None
        Whether a step leaves the states as they are.
    resets : bool array (n, T), or list of n arrays (T_i,), or None
        Whether the states before a step are those of a new sequence.
    return_sequences : bool
        Whether targets belong to steps.
    """

    def __init__(
        self,
        x: Array | list[Array],
        y: Array | list[Array],
        lengths: Array | None,
        mask: Array | list[Array] | None,
        h0: Array | None = None,
        skip: BoolArray | list[BoolArray] | None = None,
        resets: BoolArray | list[BoolArray] | None = None,
        *,
        return_sequences: bool,
    ) -> None:
        self.x = x
        self.y = y
        self.lengths = np.array([len(a) for a in x]) if isinstance(x, list) else lengths
        self.mask = mask
        self.h0 = h0
        self.skip = skip
        self.resets = resets
        self.return_sequences = return_sequences

    def __len__(self) -> int:
        return len(self.x)

    @property
    def has_only_x_and_y(self) -> bool:
        """As of `Batch`."""
        return self.lengths is self.mask is self.h0 is self.skip is self.resets is None

    def check_time_axis(self) -> None:
        """Raise a ValueError unless targets have the time axis of the inputs."""
        if self.return_sequences and not isinstance(self.x, list):
            n, T = self.x.shape[:2]
            shape = np.shape(self.y)
            if shape[1:2] != (T,):
                raise ValueError(f"y: expected shape (batch={n}, time={T}, ...), got {shape}")

    def take(self, rows: Array) -> Batch:
        """Return these sequences as a batch, no longer than the longest of them."""
        lengths = None if self.lengths is None else self.lengths[rows]
        chosen: Array | slice = rows
        # Consecutive rows: a view instead of a copy.
        first, last = int(rows[0]), int(rows[-1])
        if last - first + 1 == len(rows) and (first == last or (np.diff(rows) == 1).all()):
            chosen = slice(first, last + 1)
        T = None if lengths is None else int(lengths.max())
        T_targets = T if self.return_sequences else None
        weights = None if self.mask is None else _rows_of(self.mask, chosen, T_targets)
        if lengths is not None and self.return_sequences:
            inside = np.arange(lengths.max()) < lengths[:, None]
            weights = inside.astype(np.float64) if weights is None else np.where(inside, weights, 0)
        x, y = _rows_of(self.x, chosen, T), _rows_of(self.y, chosen, T_targets)
        h0 = None if self.h0 is None else np.ascontiguousarray(self.h0[:, chosen])
        skip = None if self.skip is None else _rows_of(self.skip, chosen, T)
        resets = None if self.resets is None else _rows_of(self.resets, chosen, T)
        return Batch(x, y, lengths, weights, h0, skip, resets)

    def longest(self, rows: Array) -> int:
        """Return the steps of the longest of these sequences."""
        return len(self.x[0]) if self.lengths is None else int(self.lengths[rows].max())

    def parts(self, rows: Array) -> list[Batch]:
        """Return these sequences as batches of little padding: usually one."""
        if self.lengths is None:
            return [self.take(rows)]
        parts = slices_of_similar_length(self.lengths[rows], len(rows))
        return [self.take(rows[part]) for part in parts]

    def batches(self, batch_size: int, ranks: "Ranks | None" = None) -> Iterator[Batch]:
        """Yield all sequences in order, as batches of little padding; with ranks, those of one."""
        batches = list(self.rows(batch_size, None))
        numbers = np.arange(len(batches))
        for number in numbers if ranks is None else ranks.share(numbers):
            yield from self.parts(batches[number])

    def split(self, count: int) -> tuple["Dataset", "Dataset"]:
        """Return the first `count` sequences and the others."""
        first, others = (
            Dataset(
                self.x[part],
                self.y[part],
                None if self.lengths is None else self.lengths[part],
                None if self.mask is None else self.mask[part],
                None if self.h0 is None else self.h0[:, part],
                None if self.skip is None else self.skip[part],
                None if self.resets is None else self.resets[part],
                return_sequences=self.return_sequences,
            )
            for part in (slice(count), slice(count, None))
        )
        return first, others

    def rows(self, batch_size: int, rng: "np.random.Generator | None") -> Iterator[Array]:
        """Yield the rows of each batch of an epoch, shuffled where there is a generator.

        With a generator, sequences of different lengths are batched with others of similar length,
        so that there is little padding; without one they keep their order.
        """
        n = len(self)
        starts = range(batch_size, n, batch_size)
        order = np.arange(n) if rng is None else rng.permutation(n)
        if rng is None or self.lengths is None:
            yield from np.split(order, starts)
            return
        batches = np.split(order[np.argsort(self.lengths[order], kind="stable")], starts)
        for number in rng.permutation(len(batches)):
            yield batches[number]


def _rows_of(values: Array | list[Array], rows: Array | slice, T: int | None) -> Array:
    """Return these rows, the first T steps of each; contiguous."""
    if isinstance(values, list):
        chosen = values[rows] if isinstance(rows, slice) else [values[row] for row in rows]
        return padded(chosen, T or 0)
    taken = values[rows]
    return taken if T is None else np.ascontiguousarray(taken[:, :T])
