"""The hidden layers over a block of steps: run upwards, and backpropagated downwards.

States of all layers and directions stand in one array (layers * directions, B, S): layer by layer,
the forward direction before the backward one. S is H, or 2H of an LSTM: h, then c. A backward
direction reads each sequence from its end to its start, and its states are kept in the order in
which it read.
"""

from types import ModuleType

import numpy as np

from crnn._network.architecture import Architecture
from crnn.checks import Array
from crnn._network.workspaces import Scratch


class Pass:
    """What the layers computed over a block of steps, and what backpropagation reads of it.

    Attributes
    ----------
    inputs : list of array
        What each state's kernel read, (B, T, I) or category numbers (B, T).
    h : list of array (B, T+1, S)
        Each state before the first step and after every step.
    gates : list of array (B, T, kept * H) or None
        What else the cell keeps of each step.
    kept : list of array (B, T, features) or None
        By layer: what dropout multiplied its outputs by.
    lengths : array (B,) or None
    top : array (B, T, features)
        The outputs of the last layer. Past a sequence's end they are unspecified.
    """

    __slots__ = ("gates", "h", "inputs", "kept", "lengths", "top")

    def __init__(self, lengths: Array | None) -> None:
        self.lengths = lengths
        self.inputs: list[Array] = []
        self.h: list[Array] = []
        self.gates: list[Array | None] = []
        self.kept: list[Array | None] = []
        self.top: Array

    def last(self) -> Array:
        """Return the states (layers * directions, B, S) after each sequence's last step."""
        return np.stack([h[:, -1] for h in self.h])


class Layers:
    """The layers of a network over its parameters and kernels.

    Parameters
    ----------
    architecture : Architecture
    params : dict of array
        Parameters by name.
    kernels : module
        One of the implementations.
    scratch : Scratch
    """

    def __init__(
        self,
        architecture: Architecture,
        params: dict[str, Array],
        kernels: ModuleType,
        scratch: Scratch,
    ) -> None:
        self._architecture = architecture
        self._params = params
        self._kernels = kernels
        self._scratch = scratch

    def run(
        self, x: Array, h0: Array, lengths: Array | None, rng: "np.random.Generator | None" = None
    ) -> Pass:
        """Run a block of steps.

        Parameters
        ----------
        x : array (B, T, I), or intp (B, T) of category numbers
        h0 : array (layers * directions, B, S)
        lengths : array (B,) or None
            Steps of each sequence in this block, from 0 to T; its states stay as they are after
            them.
        rng : generator or None
            Decides what dropout leaves out; without it nothing is.
        """
        of = self._architecture
        done = Pass(lengths)
        for layer in range(of.num_layers):
            ways = []
            for direction in range(of.directions):
                state = layer * of.directions + direction
                inputs = reversed_steps(x, lengths) if direction else x
                h, gates = self._forward(state, inputs, h0[state])
                if lengths is not None:
                    _freeze(h, lengths)
                done.inputs.append(inputs)
                done.h.append(h)
                done.gates.append(gates)
                features = h[:, 1:, : of.hidden_size]
                ways.append(reversed_steps(features, lengths) if direction else features)
            x = ways[0] if len(ways) == 1 else np.concatenate(ways, axis=-1)
            kept = None
            if rng is not None and of.dropout and layer < of.num_layers - 1:
                # Scaled here, so that nothing has to be where nothing is left out.
                share = 1 - of.dropout
                kept = ((rng.random(x.shape) < share) / (share or 1)).astype(x.dtype)
                x = x * kept
            done.kept.append(kept)
        done.top = x
        return done

    def backward(
        self,
        done: Pass,
        dtop: Array | None,
        dh_n: Array | None,
        gradients: dict[str, Array],
        wants_dx: bool,
    ) -> tuple[Array | None, Array]:
        """Backpropagate through a block of steps.

        Parameters
        ----------
        done : Pass
        dtop : array (B, T, features) or None
            dL/d(top), zero past each sequence's end; None: zero everywhere.
        dh_n : array (layers * directions, B, S) or None
            What reaches the last states from elsewhere.
        gradients : dict of array
            dL/d(parameter) by name, added to.
        wants_dx : bool
            Whether dL/dx is wanted; of category numbers there is none.

        Returns
        -------
        dx : array (B, T, I) or None
        dh0 : array (layers * directions, B, S)
        """
        of, H = self._architecture, self._architecture.hidden_size
        B, T, _ = done.h[0].shape
        T -= 1
        dh0 = np.empty((of.states, B, of.state_size), done.h[0].dtype)
        for layer in reversed(range(of.num_layers)):
            kept = done.kept[layer]
            if kept is not None and dtop is not None:
                dtop *= kept
            dx: Array | None = None
            for direction in range(of.directions):
                state = layer * of.directions + direction
                dh = np.zeros((B, T, H), dh0.dtype)
                dc = None
                if dtop is not None:
                    part = dtop[..., direction * H :][..., :H]
                    dh[...] = reversed_steps(part, done.lengths) if direction else part
                if dh_n is not None:
                    _add_last(dh, dh_n[state, :, :H], done.lengths)
                    if of.blocks.states == 2:
                        dc = np.zeros_like(dh)
                        _add_last(dc, dh_n[state, :, H:], done.lengths)
                inputs = done.inputs[state]
                of_inputs = None
                if (layer or wants_dx) and inputs.ndim == 3:
                    of_inputs = np.empty(inputs.shape, dh.dtype)
                self._backward(state, done, dh, dc, of_inputs, dh0[state], gradients)
                if dh_n is not None and done.lengths is not None:
                    # What reaches the last state of a sequence without a step here is h_0's.
                    idle = done.lengths == 0
                    dh0[state, idle] += dh_n[state, idle]
                if direction and of_inputs is not None and dx is not None:
                    dx += reversed_steps(of_inputs, done.lengths)
                elif of_inputs is not None:
                    dx = of_inputs
            dtop = dx
        return dtop, dh0

    def _forward(self, state: int, x: Array, h0: Array) -> tuple[Array, Array | None]:
        """Return h (B, T+1, S) and the gates of one layer in one direction."""
        of, suffix = self._architecture, self._architecture.suffix(state)
        W_xh, W_hh, b_h = (self._params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        B, T = x.shape[:2]
        h = np.empty((B, T + 1, of.state_size), W_hh.dtype)
        h[:, 0] = h0
        gates = None
        if of.blocks.gates:
            gates = np.empty((B, T, of.blocks.gates * of.hidden_size), W_hh.dtype)
        inputs: Array | None = x
        if x.ndim == 2:
            # W_xh times a one-hot vector is a column of W_xh.
            N = len(W_xh)
            with np.errstate(over="ignore"):
                columns = W_xh.T + b_h[:N]
            projected = h[:, 1:] if gates is None else gates
            for x_b, projected_b in zip(x, projected, strict=True):
                np.take(columns, x_b, axis=0, out=projected_b[:, :N], mode="clip")
            inputs = None
        with self._scratch.lent(
            self._kernels.workspace_size, of.cell, T, B, W_xh.shape[1], of.hidden_size, 1
        ) as workspace:
            self._kernels.rnn_forward(of.cell, inputs, W_xh, W_hh, b_h, h, gates, workspace)
        return h, gates

    def _backward(
        self,
        state: int,
        done: Pass,
        dh: Array,
        dc: Array | None,
        dx: Array | None,
        dh0: Array,
        gradients: dict[str, Array],
    ) -> None:
        """Backpropagate through one layer in one direction."""
        of, suffix = self._architecture, self._architecture.suffix(state)
        W_xh, W_hh = (self._params[name + suffix] for name in ("W_xh", "W_hh"))
        dW_xh, dW_hh, db_h = (gradients[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        B, T, H = dh.shape
        x = done.inputs[state]
        inputs = x if x.ndim == 3 else None
        da = np.empty((B, T, len(db_h)), dh.dtype) if of.blocks.gates else None
        with self._scratch.lent(
            self._kernels.workspace_size, of.cell, T, B, W_xh.shape[1], H, 1
        ) as workspace:
            self._kernels.rnn_backward(
                of.cell, inputs, done.h[state], done.gates[state], W_xh, W_hh, dh, dc, da,
                dW_xh, dW_hh, db_h, dx, dh0, workspace,
            )  # fmt: skip
        if inputs is None:
            _add_by_category(dW_xh, x, (dh if da is None else da)[..., : len(W_xh)])


def reversed_steps(x: Array, lengths: Array | None) -> Array:
    """Return each sequence (B, T, ...) from its last step to its first; padding stays behind."""
    if lengths is None:
        return x[:, ::-1]
    steps = np.arange(x.shape[1])
    ends = lengths[:, None]
    order = np.where(steps < ends, ends - 1 - steps, steps)
    taken: Array = x[np.arange(len(x))[:, None], order]
    return taken


def clear_padding(y: Array, lengths: Array) -> None:
    """Make y (B, T, ...) zero past each sequence's end."""
    for b in np.flatnonzero(lengths < y.shape[1]):
        y[b, lengths[b] :] = 0


def _freeze(h: Array, lengths: Array) -> None:
    """Make the states (B, T+1, S) past each sequence's end those of its end."""
    for b in np.flatnonzero(lengths < h.shape[1] - 1):
        h[b, lengths[b] + 1 :] = h[b, lengths[b]]


def _add_last(dh: Array, dh_n: Array, lengths: Array | None) -> None:
    """Add dh_n (B, H) to the last step of each sequence that has one."""
    with np.errstate(over="ignore"):
        if lengths is None:
            dh[:, -1] += dh_n
        else:
            rows = np.flatnonzero(lengths)
            dh[rows, lengths[rows] - 1] += dh_n[rows]


def _add_by_category(dW_xh: Array, x: Array, da: Array) -> None:
    """dW_xh (N, I) += sum over all steps of da_t (B, T, N) times the one-hot x_t^T."""
    categories = x.reshape(-1)
    if dW_xh.shape[1] <= 1 << 16:
        categories = categories.astype(np.uint16)  # which NumPy sorts in linear time
    order = np.argsort(categories, kind="stable")
    found = categories[order]
    starts = np.flatnonzero(np.r_[True, found[1:] != found[:-1]])
    sums = np.add.reduceat(da.reshape(-1, da.shape[-1])[order], starts, axis=0)
    dW_xh[:, found[starts]] += sums.T
