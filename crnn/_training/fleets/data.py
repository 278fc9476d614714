"""The data of fleets, and their batches."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from crnn._training.evaluation import NOTHING_COUNTS
from crnn._typing import Array, BoolArray, FloatArray, IntArray


class FleetData(NamedTuple):
    """The sequences of all models, as the kernels of fleets take them."""

    x: Array
    """(S, I): the steps of all sequences."""
    y: Array | None
    """(S, O), or class numbers (S,)."""
    weights: FloatArray | None
    """(S,) or None: 1."""
    starts: IntArray
    """(N, B): the first step of each sequence."""
    lengths: IntArray
    """(N, B): its steps; 0: there is no such sequence. Those that there are come first."""
    has_lengths: BoolArray
    """(N,): whether the sequences came with lengths or in a list. Those are shuffled in batches of
    similar length, as `Dataset.rows` does, even where all are equal."""
    bad: dict[int, str]
    """By number, what is wrong with the data of a model, which has no sequences."""

    def of(self, models: IntArray) -> "FleetData":
        """Return the data of some models, none of which is in `bad`."""
        return self._replace(
            starts=self.starts[models], lengths=self.lengths[models],
            has_lengths=self.has_lengths[models], bad={},
        )  # fmt: skip

    def split(self, fraction: float) -> "tuple[FleetData, FleetData]":
        """Return all but the last sequences of each model, and this share of them, the last ones.

        Raises
        ------
        ValueError
            A model has one sequence alone.
        """
        counts = (self.lengths > 0).sum(axis=1)
        alone = np.flatnonzero(counts == 1)
        if len(alone):
            raise ValueError(
                "validation_fraction: expected two sequences or more of each model, got 1 of model "
                f"{alone[0]}"
            )
        held = np.clip(np.round(counts * fraction).astype(np.intp), 1, np.maximum(counts - 1, 1))
        held[counts == 0] = 0
        return self._columns(np.zeros_like(held), counts - held), self._columns(counts - held, held)

    def _columns(self, first: IntArray, counts: IntArray) -> "FleetData":
        """Return so many sequences of each model, from the first one on."""
        places = np.arange(max(1, int(counts.max(initial=0))))
        is_there = places < counts[:, None]
        columns = np.where(is_there, first[:, None] + places, 0)
        part = self._replace(
            starts=np.take_along_axis(self.starts, columns, 1),
            lengths=np.where(is_there, np.take_along_axis(self.lengths, columns, 1), 0),
            bad=dict(self.bad),
        )
        if self.weights is not None:
            for n in np.flatnonzero((part.step_weights().sum(axis=1) == 0) & (counts > 0)).tolist():
                part.bad[n], part.lengths[n] = NOTHING_COUNTS, 0
        return part

    def step_weights(self) -> FloatArray:
        """Return the weight of each sequence (N, B) in the loss."""
        if self.weights is None:
            return self.lengths.astype(np.float64)
        # Each sequence by itself: differences of running sums would depend on other models.
        is_there = self.lengths > 0
        starts, first, places = np.unique(
            self.starts[is_there], return_index=True, return_inverse=True
        )
        bounds = np.stack([starts, starts + self.lengths[is_there][first]], axis=1).reshape(-1)
        sums = np.add.reduceat(np.append(self.weights, 0.0), bounds)[::2]
        weights = np.zeros(self.lengths.shape)
        weights[is_there] = sums[places]
        return weights


def batches(
    data: FleetData, batch_size: int, rngs: "list[np.random.Generator] | None"
) -> Iterator[FleetData]:
    """Yield the batches of an epoch, in each of which a model may have no sequence.

    With generators, each model's sequences are shuffled as `Dataset.rows` does.
    """
    counts = (data.lengths > 0).sum(axis=1)
    B = int(counts.max(initial=0))
    if rngs is None or batch_size >= B:
        for first in range(0, B, batch_size):
            columns = slice(first, min(first + batch_size, B))
            yield data._replace(
                starts=np.ascontiguousarray(data.starts[:, columns]),
                lengths=np.ascontiguousarray(data.lengths[:, columns]),
            )
        return
    # The order of all columns; -1: none
    most = -(-B // batch_size)
    orders = np.full((len(counts), most * batch_size), -1, np.intp)
    for n, (count, rng) in enumerate(zip(counts.tolist(), rngs, strict=True)):
        if count <= batch_size:
            orders[n, :count] = np.arange(count)
            continue
        order, lengths = rng.permutation(count), data.lengths[n, :count]
        if not data.has_lengths[n]:
            orders[n, :count] = order
            continue
        starts = range(batch_size, count, batch_size)
        in_order = np.split(order[np.argsort(lengths[order], kind="stable")], starts)
        for place, number in enumerate(rng.permutation(len(in_order))):
            batch = in_order[number]
            orders[n, place * batch_size : place * batch_size + len(batch)] = batch
    rows = np.arange(len(counts))[:, None]
    for first in range(0, most * batch_size, batch_size):
        chosen = orders[:, first : first + batch_size]
        lengths = np.where(chosen >= 0, data.lengths[rows, chosen], 0)
        yield data._replace(
            starts=np.ascontiguousarray(data.starts[rows, chosen]),
            lengths=np.ascontiguousarray(lengths),
        )
