"""The data of fleets, and their batches."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

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
