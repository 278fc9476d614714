"""Predictions of bidirectional networks, in little memory beside what a layer hands to the next.

A layer reads all steps in one direction and then in the other, in blocks. What it hands to the next
layer is kept whole. The states of the last layer become outputs block by block, and the outputs of
one direction are added to those of the other.
"""

from collections.abc import Iterator

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.blocks import block_steps, in_blocks
from crnn._network.layers import Layers
from crnn._network.lengths import clear_padding, last_states, write_features
from crnn._network.output_layer import OutputLayer
from crnn._network.skipped import LiveSteps
from crnn._typing import Array, BoolArray, IntArray

# A layer hands the states of a part of the sequences to the next: about so many scalars.
HANDED_SCALARS = 1 << 20
# A part has at least so many sequences, enough to fill tiles.
PART_SEQUENCES = 64


class BothWays:
    """The layers of a bidirectional network.

    Parameters
    ----------
    architecture : Architecture
    layers : Layers
    output_layer : OutputLayer
    """

    def __init__(
        self, architecture: Architecture, layers: Layers, output_layer: OutputLayer
    ) -> None:
        self._architecture = architecture
        self._layers = layers
        self._output_layer = output_layer

    def predict(
        self,
        x: Array,
        states: Array,
        lengths: IntArray | None,
        skip: BoolArray | None,
        y: Array | None,
    ) -> Array:
        """Read whole sequences and return the last states.

        Parameters
        ----------
        x : array (B, T, I) or (B, T)
        states : array (layers * directions, B, S)
            The first ones.
        lengths : array (B,) or None
        skip : bool array (B, T) or None
        y : array (B, T, O) or None
            The outputs are written where it is given.
        """
        B, T = x.shape[:2]
        if y is not None:
            y[...] = 0
        last = np.empty_like(states)
        every = max(PART_SEQUENCES, HANDED_SCALARS // (T * self._architecture.features))
        for first in range(0, B, every):
            rows = slice(first, first + every)
            self._predict_part(
                x[rows],
                states[:, rows],
                None if lengths is None else lengths[rows],
                None if skip is None else skip[rows],
                None if y is None else y[rows],
                last[:, rows],
            )
        return last

    def _predict_part(
        self,
        x: Array,
        states: Array,
        lengths: IntArray | None,
        skip: BoolArray | None,
        y: Array | None,
        last: Array,
    ) -> None:
        """As `predict`, for all sequences side by side; the last states are written."""
        architecture, live, ends = self._architecture, None, lengths
        if lengths is not None:
            steps = slice(max(1, int(lengths.max())))
            x = x[:, steps]
            skip = None if skip is None else skip[:, steps]
            y = None if y is None else y[:, steps]
        if skip is not None:
            live = LiveSteps(skip, lengths)
            x, ends = live.shorten(x), live.lengths
        top, H = architecture.num_states - 2, architecture.hidden_size
        for state in range(0, top, 2):
            handed = memory.empty((*x.shape[:2], architecture.features), states.dtype)
            for direction in range(2):
                half = handed[..., direction * H : (direction + 1) * H]
                for steps, h, in_block in self._read(state + direction, x, states, ends, last):
                    write_features(h, in_block, direction == 1, half[:, steps])
            x = handed
        for direction in range(2):
            read = self._read(top + direction, x, states, ends, last)
            if y is None:
                for _ in read:
                    pass
            elif live is None:
                self._add_outputs(y, read, direction)
            else:
                # What the short steps leave, and what was there before them
                left = memory.zeros((len(y), x.shape[1] + 1, y.shape[2]), y.dtype)
                self._add_outputs(left[:, 1 - direction :], read, direction)
                start = memory.zeros((len(y), 1, y.shape[2]), y.dtype)
                h0 = states[top + direction, :, None, :H]
                self._output_layer.add_direction(start, h0, None, direction)
                left[live.start_left(direction)] = start[:, 0]
                with np.errstate(all="ignore"):
                    y += live.whole(left, direction)
        if y is not None and lengths is not None:
            clear_padding(y, lengths)

    def _add_outputs(
        self, y: Array, read: Iterator[tuple[slice, Array, IntArray | None]], direction: int
    ) -> None:
        """Add the outputs of what a direction has `_read` to y (B, T, O)."""
        for steps, h, lengths in read:
            features = h[:, 1:, : self._architecture.hidden_size]
            if direction:
                features = memory.empty(features.shape, h.dtype)
                write_features(h, lengths, True, features)
            self._output_layer.add_direction(y[:, steps], features, lengths, direction)

    def _read(
        self, state: int, x: Array, states: Array, lengths: IntArray | None, last: Array
    ) -> Iterator[tuple[slice, Array, IntArray | None]]:
        """Read all steps in one direction, block by block, and write the last state.

        Yields
        ------
        steps : slice
            Those of the block.
        h : array (B, n + 1, S)
            As `Layers.forward_one` returns it.
        lengths : array (B,) or None
            Steps of each sequence in the block.
        """
        before = states[state]
        blocks = list(
            in_blocks(x.shape[1], lengths, block_steps(len(x), self._architecture.features))
        )
        for first, end, in_block in reversed(blocks) if state % 2 else blocks:
            h, _ = self._layers.forward_one(state, x[:, first:end], before, in_block)
            before = last_states(h, in_block)
            yield slice(first, end), h, in_block
        last[state] = before
