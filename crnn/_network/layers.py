"""The hidden layers over a block of steps: upwards, and backpropagation downwards.

States of all layers and directions are one array (layers * directions, B, S): layer by layer, the
forward direction before the backward one. S is H, or 2 H for an LSTM: h, then c. A backward
direction reads each sequence from its end to its start; its states are kept in the order in which
it reads.
"""

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.lengths import add_at_last_step, hold_last_states, reversed_steps
from crnn._network.skipped import LiveSteps
from crnn._network.workspaces import Workspaces
from crnn._typing import Array, BoolArray, IntArray


class LayersTape:
    """What the layers computed over a block of steps, as backpropagation reads it.

    Where steps are skipped, all but `top` is of the others alone, as `LiveSteps` moves them
    together.

    Attributes
    ----------
    inputs : list of array
        By state: what its kernel read, (B, T, I) or category numbers (B, T).
    h : list of array (B, T+1, S)
        By state: its values before the first step and after every step.
    gates : list of array (B, T, gates * H) or None
        By state: what else the cell keeps of each step.
    dropout_masks : list of array (B, T, features) or None
        By layer: what dropout multiplied its outputs by.
    lengths : array (B,) or None
    live : LiveSteps or None
        None: no step is skipped.
    top : array (B, T, features)
        The outputs of the last layer, unspecified past a sequence's end.
    """

    __slots__ = ("dropout_masks", "gates", "h", "inputs", "lengths", "live", "top")

    def __init__(self, lengths: IntArray | None, live: LiveSteps | None) -> None:
        self.lengths = lengths
        self.live = live
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
        return np.stack([h[:, -1] for h in self.h])

    def all_states(self, directions: int) -> list[Array]:
        """Return the states before the first step and after every step, skipped ones included.

        Parameters
        ----------
        directions : int
            How many the architecture has.

        Returns
        -------
        list of array (B, T+1, S)
            By state.
        """
        if self.live is None:
            return self.h
        return [self.live.hold(h, state % directions) for state, h in enumerate(self.h)]


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
        rng: "np.random.Generator | None" = None,
        skip: BoolArray | None = None,
    ) -> LayersTape:
        """Run a block of steps.

        Parameters
        ----------
        x : array (B, T, I), or intp (B, T) of category numbers
        h0 : array (layers * directions, B, S)
        lengths : array (B,) or None
            Steps of each sequence in this block, from 0 to T; after them its states stay as they
            are.
        rng : generator or None
            Draws the dropout masks; without it nothing is dropped.
        skip : bool array (B, T) or None
            Whether a step leaves all states as they are.
        """
        architecture = self._architecture
        live = None
        if skip is not None:
            live = LiveSteps(skip, lengths)
            x, lengths = live.shorten(x), live.lengths
        tape = LayersTape(lengths, live)
        for layer in range(architecture.num_layers):
            outputs = []
            for direction in range(architecture.directions):
                state = layer * architecture.directions + direction
                inputs = reversed_steps(x, lengths) if direction else x
                h, gates = self.forward_one(state, inputs, h0[state])
                if lengths is not None:
                    hold_last_states(h, lengths)
                tape.inputs.append(inputs)
                tape.h.append(h)
                tape.gates.append(gates)
                features = h[:, 1:, : architecture.hidden_size]
                outputs.append(reversed_steps(features, lengths) if direction else features)
            x = outputs[0] if len(outputs) == 1 else _joined(outputs)
            mask = None
            if rng is not None and architecture.dropout and layer < architecture.num_layers - 1:
                # What is left is scaled up here, so that predictions need no scaling.
                share = 1 - architecture.dropout
                mask = memory.empty(x.shape, x.dtype)
                drawn = rng.random(out=memory.empty(x.shape, np.dtype(np.float64)))
                np.less(drawn, share, out=mask, casting="unsafe")
                mask *= 1 / (share or 1)
                with np.errstate(all="ignore"):
                    x = np.multiply(x, mask, out=memory.empty(x.shape, x.dtype))
            tape.dropout_masks.append(mask)
        if live is not None:
            x = live.top(tape.h[-architecture.directions :], architecture.hidden_size)
        tape.top = x
        return tape

    def backward(
        self,
        tape: LayersTape,
        dtop: Array | None,
        dh_n: Array | None,
        gradients: dict[str, Array],
        wants_dx: bool,
    ) -> tuple[Array | None, Array]:
        """Backpropagate through a block of steps.

        Parameters
        ----------
        tape : LayersTape
        dtop : array (B, T, features) or None
            dL/d(top), zero past each sequence's end; None: zero everywhere.
        dh_n : array (layers * directions, B, S) or None
            dL/d(last states) beside what comes through `dtop`.
        gradients : dict of array
            dL/d(parameter) by name is added.
        wants_dx : bool
            Whether dL/dx is wanted; category numbers have none.

        Returns
        -------
        dx : array (B, T, I) or None
        dh0 : array (layers * directions, B, S)
        """
        architecture, H = self._architecture, self._architecture.hidden_size
        live, held = tape.live, None
        if live is not None and dtop is not None:
            dtop, held = live.top_gradient(dtop, architecture.directions)
        B, T = tape.h[0].shape[0], tape.h[0].shape[1] - 1
        dh0 = np.empty((architecture.num_states, B, architecture.state_size), tape.h[0].dtype)
        for layer in reversed(range(architecture.num_layers)):
            mask = tape.dropout_masks[layer]
            if mask is not None and dtop is not None:
                with np.errstate(all="ignore"):
                    dtop *= mask
            dx: Array | None = None
            for direction in range(architecture.directions):
                state = layer * architecture.directions + direction
                dh = memory.zeros((B, T, H), dh0.dtype)
                dc = None
                if dtop is not None:
                    part = dtop[..., direction * H :][..., :H]
                    dh[...] = reversed_steps(part, tape.lengths) if direction else part
                if dh_n is not None:
                    add_at_last_step(dh, dh_n[state, :, :H], tape.lengths)
                    if architecture.cell_row.state_blocks == 2:
                        dc = memory.zeros(dh.shape, dh.dtype)
                        add_at_last_step(dc, dh_n[state, :, H:], tape.lengths)
                inputs = tape.inputs[state]
                dinputs = None
                if (layer or wants_dx) and inputs.ndim == 3:
                    dinputs = memory.empty(inputs.shape, dh.dtype)
                self._backward_one(state, tape, dh, dc, dinputs, dh0[state], gradients)
                if dh_n is not None and tape.lengths is not None:
                    # A sequence without a step here: its last state is its first.
                    idle = tape.lengths == 0
                    with np.errstate(all="ignore"):
                        dh0[state, idle] += dh_n[state, idle]
                if direction and dinputs is not None and dx is not None:
                    with np.errstate(all="ignore"):
                        dx += reversed_steps(dinputs, tape.lengths)
                elif dinputs is not None:
                    dx = dinputs
            dtop = dx
        if held is not None:
            with np.errstate(all="ignore"):
                dh0[-architecture.directions :, :, :H] += held
        if live is not None and dtop is not None:
            dtop = live.lengthen(dtop)
        return dtop, dh0

    def forward_one(self, state: int, x: Array, h0: Array) -> tuple[Array, Array | None]:
        """Run one layer in one direction.

        Parameters
        ----------
        state : int
            The number of the layer and direction.
        x : array (B, T, I) or (B, T)
            In the order in which the direction reads.
        h0 : array (B, S)

        Returns
        -------
        h : array (B, T+1, S)
            h0, and the states after every step.
        gates : array (B, T, gates * H) or None
            What else the cell keeps of each step.
        """
        architecture, suffix = self._architecture, self._architecture.suffix(state)
        W_xh, W_hh, b_h = (self._params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        B, T = x.shape[:2]
        h = memory.empty((B, T + 1, architecture.state_size), W_hh.dtype)
        h[:, 0] = h0
        gates = None
        if architecture.cell_row.gate_blocks:
            width = architecture.cell_row.gate_blocks * architecture.hidden_size
            gates = memory.empty((B, T, width), W_hh.dtype)
        inputs: Array | None = x
        if x.ndim == 2:
            # W_xh times a one-hot vector is a column of W_xh.
            N = len(W_xh)
            with np.errstate(all="ignore"):
                columns = W_xh.T + b_h[:N]
            projected = h[:, 1:] if gates is None else gates
            for x_b, projected_b in zip(x, projected, strict=True):
                np.take(columns, x_b, axis=0, out=projected_b[:, :N], mode="clip")
            inputs = None
        workspace = self._workspaces.take(self._workspace_size(T, B, W_xh))
        self._kernels.rnn_forward(architecture.cell, inputs, W_xh, W_hh, b_h, h, gates, workspace)
        self._workspaces.give(workspace)
        return h, gates

    def _backward_one(
        self,
        state: int,
        tape: LayersTape,
        dh: Array,
        dc: Array | None,
        dx: Array | None,
        dh0: Array,
        gradients: dict[str, Array],
    ) -> None:
        """Backpropagate through one layer in one direction."""
        architecture, suffix = self._architecture, self._architecture.suffix(state)
        W_xh, W_hh = (self._params[name + suffix] for name in ("W_xh", "W_hh"))
        dW_xh, dW_hh, db_h = (gradients[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        B, T, _ = dh.shape
        x = tape.inputs[state]
        inputs = x if x.ndim == 3 else None
        da = None
        if architecture.cell_row.gate_blocks:
            da = memory.empty((B, T, len(db_h)), dh.dtype)
        workspace = self._workspaces.take(self._workspace_size(T, B, W_xh))
        self._kernels.rnn_backward(
            architecture.cell, inputs, tape.h[state], tape.gates[state], W_xh, W_hh, dh, dc, da,
            dW_xh, dW_hh, db_h, dx, dh0, workspace,
        )  # fmt: skip
        self._workspaces.give(workspace)
        if inputs is None:
            _add_by_category(dW_xh, x, (dh if da is None else da)[..., : len(W_xh)])

    def _workspace_size(self, T: int, B: int, W_xh: Array) -> int:
        size: int = self._kernels.layer_workspace_size(
            self._architecture.cell, T, B, W_xh.shape[1], self._architecture.hidden_size, W_xh.dtype
        )
        return size


def _joined(parts: list[Array]) -> Array:
    """Return arrays (B, T, H) side by side (B, T, n * H)."""
    B, T, H = parts[0].shape
    joined = memory.empty((B, T, len(parts) * H), parts[0].dtype)
    np.concatenate(parts, axis=-1, out=joined)
    return joined


def predict_layer(
    kernels: ModuleType,
    workspaces: Workspaces,
    architecture: Architecture,
    x: Array,
    h0: Array | None,
    theta: Array,
    output_size: int,
    h_n: Array | None,
) -> Array:
    """Return the outputs of one layer for features, or its states where output_size is 0.

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
    h_n : array (B, S) or None
        The last states are written.
    """
    B, T, I = x.shape
    H, cell = architecture.hidden_size, architecture.cell
    y = memory.empty((B, T, output_size or H), theta.dtype)
    size = kernels.predict_workspace_size(cell, T, B, I, H, output_size, theta.dtype)
    workspace = workspaces.take(size)
    kernels.rnn_predict(cell, x, h0, theta, H, output_size, y, h_n, workspace)
    workspaces.give(workspace)
    return y


def _add_by_category(dW_xh: Array, x: IntArray, da: Array) -> None:
    """dW_xh (N, I) += the sum over all steps of da_t (B, T, N) times the one-hot x_t^T."""
    numbers: Array = x.reshape(-1)
    if dW_xh.shape[1] <= 1 << 16:
        numbers = numbers.astype(np.uint16)  # which NumPy sorts in linear time
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    with np.errstate(all="ignore"):
        sums = np.add.reduceat(da.reshape(-1, da.shape[-1])[order], starts, axis=0)
        dW_xh[:, ordered[starts]] += sums.T
