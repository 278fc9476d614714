"""The hidden layers over a block of steps: upwards, and backpropagation downwards.

States of all layers and directions are one array (layers * directions, B, S): layer by layer, the
forward direction before the backward one. S is H, or 2 H for an LSTM: h, then c. A backward
direction reads each sequence from its end to its start; its states are kept in the order in which
it reads. What a layer hands to the next is in the order of time.
"""

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.lengths import hold_last_states, last_states, write_features
from crnn._network.random_numbers import RandomSource, dropout_mask, normal_noise
from crnn._network.skipped import LiveSteps
from crnn._network.workspaces import Workspaces
from crnn._typing import Array, BoolArray, IntArray

# NumPy's `reduceat` sums one column after the other. For more scalars than these, which do not fit
# into L1, one sum of rows for each category is faster: ten times with some 50 rows of 512 each.
SMALL_SUMS = 1 << 14


class LayersTape:
    """What the layers computed over a block of steps, as backpropagation reads it.

    Where steps are skipped, all but `top` is of the others alone, as `LiveSteps` moves them
    together.

    Attributes
    ----------
    inputs : list of array
        By layer: what both directions read, (B, T, I) or category numbers (B, T).
    h : list of array (B, T+1, S)
        By state: its values before the first step and after every step, in the order in which its
        direction reads; unspecified past a sequence's end.
    gates : list of array (B, T, gates * H) or None
        By state, in that order: what else the cell keeps of each step.
    dropout_masks : list of array (B, T, features) or None
        By layer: what dropout multiplied its outputs by.
    lengths : array (B,) or None
    live : LiveSteps or None
        None: no step is skipped.
    resets : bool array (B, T) or None
        Whether sequences restart before a step.
    start : array (layers * directions, S) or None
        The states that a restart puts back; None: zero.
    top : array (B, T, features)
        The outputs of the last layer, unspecified past a sequence's end; not there unless wanted.
    """

    __slots__ = (
        "dropout_masks", "gates", "h", "inputs", "lengths", "live", "resets", "start", "top",
    )  # fmt: skip

    def __init__(
        self,
        lengths: IntArray | None,
        live: LiveSteps | None,
        resets: BoolArray | None = None,
        start: Array | None = None,
    ) -> None:
        self.lengths = lengths
        self.live = live
        self.resets = resets
        self.start = start
        self.inputs: list[Array] = []
        self.h: list[Array] = []
        self.gates: list[Array | None] = []
        self.dropout_masks: list[Array | None] = []
        self.top: Array

    def last(self) -> Array:
        """Return the states after each sequence's last step.

        Returns
        -------
        array (layers * directions, B, S)
        """
        B, _, S = self.h[0].shape
        states = np.empty((len(self.h), B, S), self.h[0].dtype)
        for state, h in enumerate(self.h):
            states[state] = last_states(h, self.lengths)
        return states

    def all_states(self, directions: int) -> list[Array]:
        """Return the states before the first step and after every step, skipped ones included.

        Parameters
        ----------
        directions : int
            How many the architecture has.

        Returns
        -------
        list of array (B, T+1, S)
            By state; past a sequence's end its last.
        """
        if self.live is not None:
            return [self.live.hold(h, state % directions) for state, h in enumerate(self.h)]
        if self.lengths is not None:
            for h in self.h:
                hold_last_states(h, self.lengths)
        return self.h


class Layers:
    """The hidden layers of a network, over its parameters and kernels.

    Parameters
    ----------
    architecture : Architecture
    params : mapping of array
        Parameters by name.
    kernels : module
        One of the implementations.
    workspaces : Workspaces
    """

    def __init__(
        self,
        architecture: Architecture,
        params: Mapping[str, Array],
        kernels: ModuleType,
        workspaces: Workspaces,
    ) -> None:
        self._architecture = architecture
        self._params = params
        self._kernels = kernels
        self._workspaces = workspaces

    def forward(
        self,
        x: Array,
        h0: Array,
        lengths: IntArray | None,
        rng: "RandomSource | None" = None,
        skip: BoolArray | None = None,
        resets: BoolArray | None = None,
        start: Array | None = None,
        *,
        wants_top: bool = True,
    ) -> LayersTape:
        """Run a block of steps.

        Parameters
        ----------
        x : array (B, T, I), or intp (B, T) of category numbers
        h0 : array (layers * directions, B, S)
        lengths : array (B,) or None
            Steps of each sequence in this block, from 0 to T.
        rng : RandomSource or None
            Draws the dropout masks and the noise; without it there are none.
        skip : bool array (B, T) or None
            Whether a step leaves all states as they are.
        resets : bool array (B, T) or None
            Whether sequences restart before a step; not with `skip`.
        start : array (layers * directions, S) or None
            The states that a restart puts back; None: zero.
        wants_top : bool
            Whether the outputs of the last layer are wanted.
        """
        architecture = self._architecture
        directions, H = architecture.directions, architecture.hidden_size
        live = None
        if skip is not None:
            live = LiveSteps(skip, lengths)
            x, lengths = live.shorten(x), live.lengths
        if resets is not None:
            resets = np.ascontiguousarray(resets)
        tape = LayersTape(lengths, live, resets, start)
        for layer in range(architecture.num_layers):
            tape.inputs.append(x)
            is_last = layer == architecture.num_layers - 1
            for state in range(layer * directions, (layer + 1) * directions):
                noise = None
                if rng is not None and architecture.noise:
                    shape = (*x.shape[:2], H)
                    noise = normal_noise(shape, architecture.noise, h0.dtype, rng)
                h, gates = self.forward_one(
                    state, x, h0[state], lengths, resets, _row_of(start, state), noise
                )
                tape.h.append(h)
                tape.gates.append(gates)
            states, mask = tape.h[-directions:], None
            if not is_last or (wants_top and live is None):
                x = _features(states, H, lengths)
            if rng is not None and architecture.dropout and not is_last:
                mask = dropout_mask(x, architecture.dropout, rng)
                with np.errstate(all="ignore"):
                    x = np.multiply(x, mask, out=memory.empty(x.shape, x.dtype))
            tape.dropout_masks.append(mask)
        if wants_top:
            tape.top = x if live is None else live.top(states, H)
        return tape

    def backward(
        self,
        tape: LayersTape,
        dtop: Array | None,
        dh_n: Array | None,
        gradients: dict[str, Array],
        wants_dx: bool,
        dstart: Array | None = None,
    ) -> tuple[Array | None, Array]:
        """Backpropagate through a block of steps.

        Parameters
        ----------
        tape : LayersTape
        dtop : array (B, T, features) or None
            dL/d(top), for skipped steps zero past each sequence's end; None: zero everywhere.
        dh_n : array (layers * directions, B, S) or None
            dL/d(last states) beside what comes through `dtop`.
        gradients : dict of array
            dL/d(parameter) by name is added.
        wants_dx : bool
            Whether dL/dx is wanted; category numbers have none.
        dstart : array (layers * directions, B, S) or None
            dL/d(start) of each sequence is written where there are resets.

        Returns
        -------
        dx : array (B, T, I) or None
            Zero past each sequence's end.
        dh0 : array (layers * directions, B, S)
        """
        architecture, H = self._architecture, self._architecture.hidden_size
        directions, B = architecture.directions, len(tape.h[0])
        live, held = tape.live, None
        if live is not None and dtop is not None:
            dtop, held = live.top_gradient(dtop, directions)
        dstates = np.zeros((architecture.num_states, B, architecture.state_size), tape.h[0].dtype)
        if dh_n is not None:
            dstates[...] = dh_n
        for layer in reversed(range(architecture.num_layers)):
            x, mask = tape.inputs[layer], tape.dropout_masks[layer]
            if mask is not None and dtop is not None:
                with np.errstate(all="ignore"):
                    dtop *= mask
            dx: Array | None = None
            if (layer or wants_dx) and x.ndim == 3:
                dx = memory.zeros(x.shape, x.dtype)
            for direction in range(directions):
                dh = None
                if dtop is not None:
                    dh = dtop[..., direction * H : (direction + 1) * H]
                state = layer * directions + direction
                self._backward_one(
                    state, tape, dh, dstates[state], dx, gradients, _row_of(dstart, state)
                )
            dtop = dx
        if held is not None:
            with np.errstate(all="ignore"):
                dstates[-directions:, :, :H] += held
        if live is not None and dtop is not None:
            dtop = live.lengthen(dtop)
        return dtop, dstates

    def forward_one(
        self,
        state: int,
        x: Array,
        h0: Array,
        lengths: IntArray | None,
        resets: BoolArray | None = None,
        start: Array | None = None,
        noise: Array | None = None,
    ) -> tuple[Array, Array | None]:
        """Run one layer in one direction.

        Parameters
        ----------
        state : int
            The number of the layer and direction.
        x : array (B, T, I) or (B, T)
        h0 : array (B, S)
        lengths : array (B,) or None
        resets : bool array (B, T) or None
        start : array (S,) or None
        noise : array (B, T, H) or None
            Added to the pre-activations, in the order in which the direction reads.

        Returns
        -------
        h : array (B, T+1, S)
            h0, and the states after every step, in the order in which the direction reads.
        gates : array (B, T, gates * H) or None
            What else the cell keeps of each step.
        """
        architecture, suffix = self._architecture, self._architecture.suffix(state)
        W_xh, W_hh, b_h = (self._params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        reverse = architecture.is_reverse(state)
        B, T = x.shape[:2]
        h = memory.empty((B, T + 1, architecture.state_size), W_hh.dtype)
        h[:, 0] = h0
        gates = None
        if architecture.cell_row.gate_blocks:
            width = architecture.cell_row.gate_blocks * architecture.hidden_size
            gates = memory.empty((B, T, width), W_hh.dtype)
        inputs: Array | None = x
        projected = h[:, 1:] if gates is None else gates[..., : len(W_xh)]
        if x.ndim == 2:
            _write_columns(x, W_xh, b_h, lengths, reverse, projected)
            inputs = None
        if noise is not None:
            if inputs is not None:
                self._project(inputs, W_xh, b_h, lengths, reverse, projected)
                inputs = None
            with np.errstate(all="ignore"):
                projected += noise
        workspace = self._workspaces.take(self._workspace_size(T, B, W_xh))
        self._kernels.rnn_forward(
            architecture.cell, inputs, W_xh, W_hh, b_h, h, gates, lengths, reverse, resets, start,
            workspace,
        )  # fmt: skip
        self._workspaces.give(workspace)
        return h, gates

    def _project(
        self,
        x: Array,
        W_xh: Array,
        b_h: Array,
        lengths: IntArray | None,
        reverse: bool,
        projected: Array,
    ) -> None:
        """Write W_xh x_t + b_h to `projected` (B, T, N), in the order of reading."""
        B, T, _ = x.shape
        if reverse:
            read = memory.zeros(x.shape, x.dtype)
            for b, x_b in enumerate(x):
                x_b = x_b if lengths is None else x_b[: lengths[b]]
                read[b, : len(x_b)] = x_b[::-1]
            x = read
        N, I = W_xh.shape
        size = self._kernels.output_workspace_size(T, B, I, N, W_xh.dtype)
        workspace = self._workspaces.take(size)
        self._kernels.output_forward(x, W_xh, b_h[:N], projected, lengths, workspace)
        self._workspaces.give(workspace)

    def _backward_one(
        self,
        state: int,
        tape: LayersTape,
        dh: Array | None,
        dstate: Array,
        dx: Array | None,
        gradients: dict[str, Array],
        dstart: Array | None,
    ) -> None:
        """Backpropagate through one layer in one direction."""
        architecture, suffix = self._architecture, self._architecture.suffix(state)
        W_xh, W_hh, b_h = (self._params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        dW_xh, dW_hh, db_h = (gradients[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        reverse, lengths = architecture.is_reverse(state), tape.lengths
        x, h = tape.inputs[state // architecture.directions], tape.h[state]
        inputs = x if x.ndim == 3 else None
        B, T = x.shape[:2]
        width = architecture.cell_row.da_blocks * architecture.hidden_size
        da = memory.empty((B, T, width), h.dtype)
        workspace = self._workspaces.take(self._workspace_size(T, B, W_xh))
        self._kernels.rnn_backward(
            architecture.cell, inputs, h, tape.gates[state], W_xh, W_hh, b_h, dh, da, dstate, dW_xh,
            dW_hh, db_h, dx, lengths, reverse, tape.resets, _row_of(tape.start, state), dstart,
            workspace,
        )  # fmt: skip
        self._workspaces.give(workspace)
        if inputs is None:
            numbers = _as_read(x, lengths, reverse)
            _add_by_category(dW_xh, numbers, da.reshape(B * T, -1)[: len(numbers), : len(W_xh)])

    def _workspace_size(self, T: int, B: int, W_xh: Array) -> int:
        size: int = self._kernels.layer_workspace_size(
            self._architecture.cell, T, B, W_xh.shape[1], self._architecture.hidden_size, W_xh.dtype
        )
        return size


def _row_of(states: Array | None, state: int) -> Array | None:
    return None if states is None else states[state]


def _features(states: list[Array], H: int, lengths: IntArray | None) -> Array:
    """Return what a layer hands on (B, T, directions * H), given its states by direction."""
    if len(states) == 1:
        return states[0][:, 1:, :H]
    B, T = len(states[0]), states[0].shape[1] - 1
    features = memory.empty((B, T, len(states) * H), states[0].dtype)
    for direction, h in enumerate(states):
        part = features[..., direction * H : (direction + 1) * H]
        write_features(h, lengths, direction == 1, part)
    return features


def predict_layer(
    kernels: ModuleType,
    workspaces: Workspaces,
    architecture: Architecture,
    x: Array,
    h0: Array | None,
    theta: Array,
    output_size: int,
    y: Array | None,
    h_n: Array | None,
    lengths: IntArray | None = None,
    resets: BoolArray | None = None,
    start: Array | None = None,
    *,
    reverse: bool = False,
) -> None:
    """Write the outputs of one layer for features, or its states where output_size is 0.

    Parameters
    ----------
    kernels : module
    workspaces : Workspaces
    architecture : Architecture
        Its cell and hidden size count.
    x : array (B, T, I)
    h0 : array (B, S) or None
        None: zero.
    theta : array (n,)
        The layer's parameters, with those of the output layer where output_size is not 0.
    output_size : int
    y : array (B, T, O) or None
        In the order of time; not written past a sequence's end. None, with an output_size of 0:
        not wanted.
    h_n : array (B, S) or None
        The last states are written.
    lengths : array (B,) or None
    resets : bool array (B, T) or None
        Contiguous; whether sequences restart before a step.
    start : array (S,) or None
        The state that a restart puts back; None: zero.
    reverse : bool
        Whether sequences are read from their last step.
    """
    B, T, I = x.shape
    H, cell = architecture.hidden_size, architecture.cell
    if not x.size:
        if h_n is not None:
            h_n[...] = 0 if h0 is None else h0
        return
    size = kernels.predict_workspace_size(cell, T, B, I, H, output_size, theta.dtype)
    workspace = workspaces.take(size)
    kernels.rnn_predict(
        cell, x, h0, theta, H, output_size, y, h_n, lengths, reverse, resets, start, workspace
    )
    workspaces.give(workspace)


def _write_columns(
    x: IntArray, W_xh: Array, b_h: Array, lengths: IntArray | None, reverse: bool, projected: Array
) -> None:
    """Write W_xh x_t + b_h to `projected` (B, T, N), in the order of reading.

    W_xh times a one-hot vector is a column of W_xh.
    """
    columns = memory.empty(W_xh.shape[::-1], W_xh.dtype)
    with np.errstate(all="ignore"):
        np.add(W_xh.T, b_h[: len(W_xh)], out=columns)
    for b, x_b in enumerate(x):
        x_b = x_b if lengths is None else x_b[: lengths[b]]
        x_b = x_b[::-1] if reverse else x_b
        np.take(columns, x_b, axis=0, out=projected[b, : len(x_b)], mode="clip")


def _as_read(x: IntArray, lengths: IntArray | None, reverse: bool) -> IntArray:
    """Return the numbers of x (B, T) one sequence after another, in the order of reading."""
    if lengths is not None:
        sequences = [x_b[:length] for x_b, length in zip(x, lengths, strict=True)]
        return np.concatenate([x_b[::-1] for x_b in sequences] if reverse else sequences)
    return (x[:, ::-1] if reverse else x).reshape(-1)


def _add_by_category(dW_xh: Array, numbers: Array, da: Array) -> None:
    """dW_xh (N, I) += the sum over rows of da (n, N) times the one-hot vectors of the numbers."""
    if not len(numbers):
        return
    if dW_xh.shape[1] <= 1 << 16:
        numbers = numbers.astype(np.uint16)  # which NumPy sorts in linear time
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rows = np.take(da, order, axis=0, out=memory.empty(da.shape, da.dtype), mode="clip")
    with np.errstate(all="ignore"):
        if rows.size <= SMALL_SUMS:
            sums = np.add.reduceat(rows, starts, axis=0)
        else:
            sums = np.empty((len(starts), rows.shape[1]), rows.dtype)
            ends = [*starts[1:].tolist(), len(rows)]
            for of_number, start, end in zip(sums, starts.tolist(), ends, strict=True):
                np.add.reduce(rows[start:end], axis=0, out=of_number)
        # As intp: NumPy would cast them, and without memory for that it would read other numbers.
        dW_xh[:, ordered[starts].astype(np.intp)] += sums.T
