"""Predictions of bidirectional networks, in little memory beside what a layer hands to the next.

A layer reads all steps in one direction and then in the other, in blocks. What it hands to the next
layer is kept whole. The states of the last layer become outputs block by block, and the outputs of
one direction are added to those of the other.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.blocks import block_steps, in_blocks
from crnn._network.layers import Layers
from crnn._network.lengths import (
    clear_padding,
    hold_last_states,
    reversed_steps,
    steps_in_order,
)
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
            The outputs are written where it is given. Zero at first.
        """
        B, T = x.shape[:2]
        last_states = np.empty_like(states)
        every = max(PART_SEQUENCES, HANDED_SCALARS // (T * self._architecture.features))
        for first in range(0, B, every):
            rows = slice(first, first + every)
            self._predict_part(
                x[rows],
                states[:, rows],
                None if lengths is None else lengths[rows],
                None if skip is None else skip[rows],
                None if y is None else y[rows],
                last_states[:, rows],
            )
        return last_states

    def _predict_part(
        self,
        x: Array,
        states: Array,
        lengths: IntArray | None,
        skip: BoolArray | None,
        y: Array | None,
        last_states: Array,
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
        top = architecture.num_states - 2
        for state in range(0, top, 2):
            handed = memory.empty((*x.shape[:2], architecture.features), states.dtype)
            for direction, half in enumerate(np.split(handed, 2, axis=-1)):
                for _, steps, h in self._read(state + direction, x, states, ends, last_states):
                    half[steps] = h
            x = handed
        for direction in range(2):
            read = self._read(top + direction, x, states, ends, last_states)
            if y is None:
                for _ in read:
                    pass
            elif live is None:
                for _, steps, h in read:
                    self._output_layer.add_direction(y, steps, h, direction)
            else:
                # The outputs before the first step and after every live one, then held
                outputs = memory.zeros((len(y), x.shape[1] + 1, y.shape[2]), y.dtype)
                start = states[top + direction, :, None, : architecture.hidden_size]
                self._output_layer.add_direction(outputs[:, :1], ..., start, direction)
                for order, _, h in read:
                    self._output_layer.add_direction(outputs[:, 1:], order, h, direction)
                held = live.hold(outputs, direction)[:, 1:]
                y += reversed_steps(held, lengths) if direction else held
        if y is not None and lengths is not None:
            clear_padding(y, lengths)

    def _read(
        self, state: int, x: Array, states: Array, lengths: IntArray | None, last_states: Array
    ) -> Iterator[tuple[Any, Any, Array]]:
        """Read all steps in one direction, yield the states h, and write the last state.

        Yields
        ------
        order, steps : tuple
            Which steps a block has, as indices into (B, T, ...): in the order of the direction, and
            as they are.
        h : array (B, n, H)
            After each of them; past a sequence's end its last.
        """
        B, T = x.shape[:2]
        direction, before = state % 2, states[state]
        every = block_steps(B, self._architecture.features)
        for first, last, ends in in_blocks(T, lengths, every):
            steps = steps_in_order(direction, lengths, first, last, T)
            h, _ = self._layers.forward_one(state, x[steps], before)
            if ends is not None:
                hold_last_states(h, ends)
            before = h[:, -1]
            yield np.s_[:, first:last], steps, h[:, 1:, : self._architecture.hidden_size]
        last_states[state] = before
