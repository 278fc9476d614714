"""Predictions of bidirectional networks, in little memory beside what a layer hands to the next.

A layer reads all steps in one direction and then in the other. What it hands to the next layer is
kept whole: each direction writes its half. The states of the last layer become outputs block by
block, and the outputs of one direction are added to those of the other.
"""

from types import ModuleType

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.blocks import BLOCK_STEPS, block_steps, in_blocks
from crnn._network.layers import Layers, predict_layer
from crnn._network.lengths import last_states, write_features
from crnn._network.output_layer import OutputLayer
from crnn._network.skipped import LiveSteps
from crnn._network.workspaces import Workspaces
from crnn._typing import Array, BoolArray, IntArray

# A layer hands the states of a part of the sequences to the next: about so many scalars. The states
# of the last layer become outputs in blocks of as many.
HANDED_SCALARS = 1 << 20
# A part has at least so many sequences, enough to fill tiles.
PART_SEQUENCES = 64


class BothWays:
    """Predictions of one bidirectional network.

    Parameters
    ----------
    architecture : Architecture
    thetas : list of array (n,)
        By state: its layer's parameters in that direction.
    layers : Layers
    output_layer : OutputLayer
    kernels : module
        One of the implementations.
    workspaces : Workspaces
    """

    def __init__(
        self,
        architecture: Architecture,
        thetas: list[Array],
        layers: Layers,
        output_layer: OutputLayer,
        kernels: ModuleType,
        workspaces: Workspaces,
    ) -> None:
        self._architecture = architecture
        self._thetas = thetas
        self._layers = layers
        self._output_layer = output_layer
        self._kernels = kernels
        self._workspaces = workspaces

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
            The outputs are written where it is given; unspecified past a sequence's end.
        """
        B, T = x.shape[:2]
        last = np.empty_like(states)
        every = max(PART_SEQUENCES, HANDED_SCALARS // (max(1, T) * self._architecture.features))
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
            if y is not None:
                y[...] = 0
        top, H = architecture.num_states - 2, architecture.hidden_size
        for state in range(0, top, 2):
            handed = memory.empty((*x.shape[:2], architecture.features), states.dtype)
            for direction in range(2):
                half = handed[..., direction * H : (direction + 1) * H]
                self._read(
                    state + direction,
                    x,
                    states[state + direction],
                    ends,
                    half,
                    last[state + direction],
                )
            x = handed
        for direction in range(2):
            state = top + direction
            if y is None:
                self._read(state, x, states[state], ends, None, last[state])
            elif live is None:
                self._write_outputs(state, x, states[state], ends, y, last[state])
            else:
                # The outputs of the steps that are not skipped, and those of the first state
                n = x.shape[1]
                left = memory.zeros((len(y), n + 1, y.shape[2]), y.dtype)
                after_steps = left[:, 1 - direction : n + 1 - direction]
                self._write_outputs(state, x, states[state], ends, after_steps, last[state])
                start = memory.zeros((len(y), 1, y.shape[2]), y.dtype)
                h0 = states[state, :, None, :H]
                self._output_layer.add_direction(start, h0, None, direction)
                left[live.start_left(direction)] = start[:, 0]
                with np.errstate(all="ignore"):
                    y += live.whole(left, direction)

    def _write_outputs(
        self,
        state: int,
        x: Array,
        h0: Array,
        lengths: IntArray | None,
        y: Array,
        h_n: Array,
    ) -> None:
        """Read all steps in one direction of the last layer and write, or add, its outputs.

        Parameters as of `_read`; `y` is that of `OutputLayer.add_direction`.
        """
        H, direction = self._architecture.hidden_size, state % 2
        if self._architecture.output_size is None:
            half = y[..., direction * H : (direction + 1) * H]
            self._read(state, x, h0, lengths, half, h_n)
            return
        h_n[...] = h0
        every = max(BLOCK_STEPS, HANDED_SCALARS // (len(x) * H))
        for first, end, in_block in in_blocks(x.shape[1], lengths, every, reverse=direction == 1):
            features = memory.empty((len(x), end - first, H), y.dtype)
            self._read(state, x[:, first:end], h_n.copy(), in_block, features, h_n)
            self._output_layer.add_direction(y[:, first:end], features, in_block, direction)

    def _read(
        self,
        state: int,
        x: Array,
        h0: Array,
        lengths: IntArray | None,
        features: Array | None,
        h_n: Array,
    ) -> None:
        """Read all steps in one direction.

        The first parameters are those of `Layers.forward_one`.

        Parameters
        ----------
        features : array (B, T, H) or None
            The states h after each step are written where it is given, in the order of time;
            unspecified past a sequence's end.
        h_n : array (B, S)
            The last states are written.
        """
        reverse = state % 2 == 1
        if x.ndim == 3:
            predict_layer(
                self._kernels, self._workspaces, self._architecture, x, h0, self._thetas[state], 0,
                features, h_n, lengths, reverse=reverse,
            )  # fmt: skip
            return
        every = block_steps(len(x), self._architecture.features)
        for first, end, in_block in in_blocks(x.shape[1], lengths, every, reverse=reverse):
            h, _ = self._layers.forward_one(state, x[:, first:end], h0, in_block)
            if features is not None:
                write_features(h, in_block, reverse, features[:, first:end])
            h0 = last_states(h, in_block)
        h_n[...] = h0
