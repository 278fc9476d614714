"""Tensors that depend on the model's inputs: arrays of the numbers of the elements they hold.

The input, and whatever a layer makes, is a `Source`: rows of features, one for each step of each
sequence. Each of its elements has a number of its own. A node that moves elements, such as a
Transpose, Slice or Reshape, moves these numbers, and so does everything that a model is written
with around its layers. Where a layer reads a tensor, the numbers say what it reads: all steps in
order, or the last ones, or something else.
"""

from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.onnx.parts import Affine, Chain, Embedding, Layer, Part, Result

Ids = npt.NDArray[np.int64]


class Tracked(NamedTuple):
    """A tensor of elements of sources."""

    ids: Ids
    """The number of each of its elements."""


class Mask(NamedTuple):
    """Whether a step is before its sequence's end."""

    lengths: str
    """The input that holds the lengths."""
    step: Ids
    sequence: Ids


@dataclass(eq=False)
class Source:
    """What the elements belong to: an input of the model, or the outputs of a part."""

    name: str
    first: int
    """The number of its first element. The others follow, row by row."""
    rows: int
    features: int
    part: Part | Embedding | None = None
    parent: "Source | None" = None
    steps: tuple[int, int] | None = None
    """(batch, time); before the first recurrent layer, the input's first axes."""
    is_whole: bool = False
    """Whether its elements are whole numbers: an input of category numbers."""
    is_recurrent: bool = False
    """Whether a recurrent layer has said which axis is time.

    Then there is a row for each step, sequence by sequence, and behind them one for each sequence:
    its last states.
    """

    @property
    def size(self) -> int:
        """How many elements it has."""
        return self.rows * self.features

    def ids(self, rows: Any) -> Ids:
        """Return the numbers of all features of some rows, in a last axis."""
        rows = np.asarray(rows)
        ids: Ids = self.first + rows[..., None] * self.features + np.arange(self.features)
        return ids

    @property
    def step_rows(self) -> Ids:
        """The rows of the steps, (batch, time)."""
        assert self.steps is not None
        return np.arange(self.steps[0] * self.steps[1]).reshape(self.steps)

    @property
    def last_rows(self) -> Ids:
        """The rows of the last states, (batch,)."""
        assert self.steps is not None
        return self.steps[0] * self.steps[1] + np.arange(self.steps[0])

    @property
    def layer(self) -> Layer | None:
        """The recurrent layer that it is made of, by itself or by dense layers."""
        source: Source | None = self
        while source is not None and not isinstance(source.part, Layer):
            source = source.parent
        return source.part if source is not None and isinstance(source.part, Layer) else None

    @property
    def end(self) -> int | None:
        """The step of the last states, where a layer has one direction and whole sequences."""
        layer = self.layer
        if layer is None or layer.lengths or len(layer.directions) == 2:
            return None
        return -1 if layer.backward is None else 0


class Place(NamedTuple):
    """Where the elements of a tensor come from."""

    source: Source
    row: Ids
    feature: Ids

    @property
    def ids(self) -> Ids:
        """The elements' numbers."""
        return self.source.first + self.row * self.source.features + self.feature

    def of_last_states(self) -> "Place":
        """Return the same, with elements of last states as such.

        The last step of a forward direction and the first one of a backward direction are those.
        """
        layer, steps = self.source.layer, self.source.steps
        if layer is None or layer.lengths or steps is None or layer.outputs != self.source.features:
            return self
        below: Source | None = self.source
        while below is not None and isinstance(below.part, Affine):
            if below.part.weight.ndim == 2 or below.part.activation == "softmax":
                # It reads all features of a step.
                return self
            below = below.parent
        B, T = steps
        forward = layer.hidden_size if layer.forward is not None else 0
        end = np.where(self.feature < forward, T - 1, 0)
        is_last = (self.row < B * T) & (self.row % T == end)
        return self._replace(row=np.where(is_last, B * T + self.row // T, self.row))


@dataclass
class Sources:
    """All sources of a model."""

    sources: list[Source] = field(default_factory=list)
    pairs: dict[tuple[int, int], Source] = field(default_factory=dict)

    def add(self, name: str, rows: int, features: int, **settings: Any) -> Source:
        """Return a new source."""
        last = self.sources[-1] if self.sources else None
        first = last.first + last.size if last is not None else 0
        source = Source(name, first, rows, features, **settings)
        self.sources.append(source)
        return source

    def above(self, source: Source, part: Affine | Embedding, name: str) -> Source:
        """Return the source of what a part makes of each row of another."""
        return self.add(
            name, source.rows, part.outputs, part=part, parent=source, steps=source.steps,
            is_recurrent=source.is_recurrent,
        )  # fmt: skip

    def place(self, ids: Ids) -> Place | None:
        """Return where elements come from, or None if not all are of one source or a pair."""
        if not ids.size:
            return None
        starts = np.array([source.first for source in self.sources])
        owners = np.searchsorted(starts, ids, side="right") - 1
        numbers = np.unique(owners)
        if len(numbers) > 2:
            return None
        found = [self.sources[number] for number in numbers]
        if len(found) == 2:
            return self._place_of_pair(ids, owners, (int(numbers[0]), int(numbers[1])))
        (source,) = found
        row, feature = np.divmod(ids - source.first, source.features)
        return Place(source, row, feature)

    def _place_of_pair(self, ids: Ids, owners: Ids, numbers: tuple[int, int]) -> Place | None:
        """Return the place in the outputs of two layers that read the same, one of them backward.

        They are one bidirectional layer.
        """
        one, other = (self.sources[number] for number in numbers)
        forward, backward = (one, other) if _is_forward(one) else (other, one)
        pair = self.pairs.get(numbers) or self._joined(forward, backward)
        if pair is None:
            return None
        self.pairs[numbers] = pair
        is_forward = owners == self.sources.index(forward)
        offset = np.where(is_forward, 0, forward.features)
        first = np.where(is_forward, forward.first, backward.first)
        row, feature = np.divmod(ids - first, forward.features)
        return Place(pair, row, feature + offset)

    def _joined(self, forward: Source, backward: Source) -> Source | None:
        one, other = forward.part, backward.part
        if not (isinstance(one, Layer) and isinstance(other, Layer)):
            return None
        are_alike = (
            forward.parent is backward.parent
            and (one.cell, one.hidden_size) == (other.cell, other.hidden_size)
            and one.lengths == other.lengths
            and one.backward is None
            and other.forward is None
        )
        pairs = list(zip(one.first_states, other.first_states, strict=True)) if are_alike else []
        if not are_alike or any(isinstance(s, tuple) for pair in pairs for s in pair):
            return None
        states = []
        for pair in pairs:
            zeros = np.zeros((1, one.hidden_size))
            rows = [zeros if state is None else state for state in pair]
            is_zero = pair == (None, None)
            states.append(None if is_zero else np.concatenate(rows))
        layer = one._replace(backward=other.backward, first_states=tuple(states))
        return self.add(
            f"{forward.name} and {backward.name}", forward.rows, layer.outputs, part=layer,
            parent=forward.parent, steps=forward.steps, is_recurrent=True,
        )  # fmt: skip

    def described(self, ids: Ids) -> str:
        """Return in words what a tensor is."""
        place = self.place(ids)
        if place is None:
            return "elements of several tensors"
        source = place.source
        if source.steps is None:
            return f"elements of {source.name}"
        rows, grid = np.unique(place.row), source.step_rows
        what = "some steps"
        if source.is_recurrent and np.array_equal(rows, source.last_rows):
            what = "the last states"
        elif np.array_equal(rows, grid.ravel()):
            what = "all steps"
        elif source.is_recurrent and np.array_equal(rows, grid[:, -1]):
            what = "the last step"
        elif source.is_recurrent and np.array_equal(rows, grid[:, 0]):
            what = "the first step"
        count = len(np.unique(place.feature))
        some = "" if count == source.features else f"{count} of {source.features} features of "
        return f"{some}{what} of {source.name}"

    def chain(self, ids: Ids) -> Chain | None:
        """Return what makes a tensor of the input, or None if no network makes it.

        Its elements are all outputs, at all steps or of the last states, in the order of any axes.
        """
        place = self.place(ids)
        if place is None or not place.source.is_recurrent:
            return None
        source = place.source
        steps = source.ids(source.step_rows)
        last = source.ids(source.last_rows)
        # A part above the layer makes no directions.
        D = len(source.part.directions) if isinstance(source.part, Layer) else 1
        result: Result
        if _is_arrangement(place.of_last_states().ids, last, D) or (
            source.end is not None and _is_arrangement(place.ids, steps[:, source.end], 1)
        ):
            result = "last states"
        elif _is_arrangement(place.ids, steps, D):
            result = "all steps"
        # With lengths, the last step is the end of the longest sequence alone.
        elif (source.layer is not None and not source.layer.lengths) and (
            _is_arrangement(place.ids, steps[:, -1], 1)
        ):
            result = "last step"
        else:
            return None
        parts: list[Part] = []
        below: Source | None = source
        while below is not None:
            # An embedding is in the weights of the layer above it.
            if below.part is not None and not isinstance(below.part, Embedding):
                parts.append(below.part)
            below = below.parent
        return Chain(tuple(reversed(parts)), result)


def _is_forward(source: Source) -> bool:
    return isinstance(source.part, Layer) and source.part.backward is None


def _is_arrangement(found: Ids, expected: Ids, D: int) -> bool:
    """Return whether elements are those expected, with the axes in any order or joined.

    Features stay in the order that they have in each direction.
    """
    if found.size != expected.size:
        return False
    apart = expected.reshape(*expected.shape[:-1], D, -1)
    flat = found.ravel()
    # Of several steps, the features of all directions of a step are never apart from each other.
    return any(
        np.array_equal(flat, apart.transpose(order).ravel())
        for order in permutations(range(apart.ndim))
    )
