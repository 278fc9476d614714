"""A network over checked arrays: its parameters in one flat vector, its passes in kernel calls.

All arrays here are C-contiguous, of the network's dtype and of the right shapes; callers see to
that. Inputs are (B, T, I), or (B, T) of category numbers; states are those of all layers and
directions, (layers * directions, B, S), where S is H, or 2 H for an LSTM: h, then c. The recurrence
itself is in the kernels, which take whole sequences in one call.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import _backend
from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.bidirectional import BothWays
from crnn._network.blocks import block_steps, in_blocks
from crnn._network.layers import Layers, predict_layer
from crnn._network.lengths import (
    clear_padding,
    padded,
    slices_of_similar_length,
)
from crnn._network.output_layer import OutputLayer
from crnn._network.tape import Block, Tape
from crnn._network.workspaces import Workspaces
from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.kernels import cells
from crnn.kernels.constraints import Constraints

if TYPE_CHECKING:
    from crnn._network.random_numbers import RandomSource

# Sequences of a list that are predicted side by side, at most: enough to fill tiles
LIST_BATCH = 64


class Network:
    """Hidden layers with an optional output layer.

    Parameters
    ----------
    architecture : Architecture
    dtype : numpy dtype
    kernels : module
        One of the implementations.
    flat : array (n,), optional
        The parameters, contiguous; not copied.

    Attributes
    ----------
    flat : array (n,)
        All parameters; zero at first, unless they are given.
    params : dict of array
        Views of `flat` by parameter name.
    shapes : dict of tuple
        Their shapes, in the order of `flat`.
    kernel_shapes : dict of tuple
        The same as kernels take them, where leaks end b_h.
    x_shape : tuple
        The shape of features that kernels take, -1 for any size.
    has_fused_kernels : bool
        Whether one kernel call does whole passes of this network (`rnn_predict`, `rnn_gradient`,
        `rnn_train`): one layer in one direction that reads features, an output for each step, first
        states of zero.
    trains_in_one_call : bool
        Whether that holds for training too, where there is no noise.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: np.dtype[Any],
        kernels: ModuleType,
        flat: Array | None = None,
    ) -> None:
        self.architecture = architecture
        self.kernels = kernels
        # O as the kernels take it: 0 without an output layer
        self._output_size = architecture.output_size or 0
        self.x_shape = (-1, -1, architecture.input_size)
        self.has_fused_kernels = (
            architecture.num_states == 1
            and architecture.return_sequences
            and not architecture.trainable_h0
            and not architecture.categorical
        )
        self.trains_in_one_call = self.has_fused_kernels and not architecture.noise
        self.shapes = architecture.parameter_shapes()
        self.kernel_shapes = architecture.kernel_shapes()
        self.flat = np.zeros(cells.parameter_count(self.shapes), dtype) if flat is None else flat
        self._limits = self._limits_of_architecture()
        # The fixed leaks that are among them
        self._leaks_of_limits = b""
        self._fixed_names = [
            name for name in self.shapes if name.startswith("leak") and not architecture.trains_leak
        ]
        self._make_views()

    def _make_views(self) -> None:
        self.params = cells.views(self.flat, self.shapes)
        self._workspaces = Workspaces(self.flat.dtype)
        params = cells.views(self.flat, self.kernel_shapes)
        parts = (self.architecture, params, self.kernels, self._workspaces)
        self._layers = Layers(*parts)
        self._output_layer = OutputLayer(*parts)
        self._both_ways = BothWays(
            self.architecture,
            [theta for theta, _, _ in self.layer_parameters(with_outputs=False)],
            self._layers,
            self._output_layer,
            self.kernels,
            self._workspaces,
        )

    @property
    def constraints(self) -> Constraints | None:
        """What all training keeps the parameters within. A fixed leak stays as it is now."""
        fixed = self.fixed_leaks
        if fixed != self._leaks_of_limits:
            lower, upper = np.full_like(self.flat, -np.inf), np.full_like(self.flat, np.inf)
            for bound in (lower, upper):
                views = cells.views(bound, self.shapes)
                for name in self._fixed_names:
                    views[name][...] = self.params[name]
            self._limits, self._leaks_of_limits = Constraints(lower=lower, upper=upper), fixed
        return self._limits

    @property
    def fixed_leaks(self) -> bytes:
        """The leaks that training leaves as they are, on which `constraints` depends."""
        return b"".join(self.params[name].tobytes() for name in self._fixed_names)

    def _limits_of_architecture(self) -> Constraints | None:
        """Return the limits that the architecture sets for parameters."""
        limits = self.architecture.parameter_limits()
        if not limits:
            return None
        lower, upper = np.full_like(self.flat, -np.inf), np.full_like(self.flat, np.inf)
        for name, (low, high) in limits.items():
            cells.views(lower, self.shapes)[name][...] = low
            cells.views(upper, self.shapes)[name][...] = high
        return Constraints(lower=lower, upper=upper)

    @property
    def draws(self) -> bool:
        """Whether training draws random numbers for each step."""
        return bool(self.architecture.dropout or self.architecture.noise)

    def empty_states(self, B: int) -> Array:
        """Return an uninitialized array (layers * directions, B, S)."""
        return np.empty(
            (self.architecture.num_states, B, self.architecture.state_size), self.flat.dtype
        )

    def first_states(self, h0: Array | None, B: int) -> Array:
        """Return the states that sequences start from: h0 if given, else trained ones or zero."""
        if h0 is not None:
            return h0
        states = self.empty_states(B)
        states[...] = 0
        if self.architecture.trainable_h0:
            for part, trained in self._trained_states(states, self.params):
                part[...] = trained[:, None]
        return states

    def _restarted_states(self) -> Array | None:
        """Return the states (layers * directions, S) after a restart; None: zero."""
        if not self.architecture.trainable_h0:
            return None
        return np.ascontiguousarray(self.first_states(None, 1)[:, 0])

    def _trained_states(
        self, states: Array, params: dict[str, Array]
    ) -> Iterator[tuple[Array, Array]]:
        """Yield h and c of states with their parameters, h0 and c0 (layers * directions, H)."""
        H = self.architecture.hidden_size
        for number, name in enumerate(("h0", "c0")[: self.architecture.cell_row.state_blocks]):
            part = states[..., number * H : (number + 1) * H]
            yield part, params[name].reshape(len(states), H)

    def layer_parameters(self, *, with_outputs: bool = True) -> Iterator[tuple[Array, int, int]]:
        """Yield for each state its layer's parameters (n,), its inputs and its outputs (0: itself).

        The outputs, only for networks that read in one direction, are those of the last layer.
        """
        architecture, start = self.architecture, 0
        for state in range(architecture.num_states):
            is_first = state < architecture.directions
            I = architecture.input_size if is_first else architecture.features
            is_top = state == architecture.num_states - 1
            O = self._output_size if with_outputs and is_top else 0
            shapes = cells.parameter_shapes(architecture.cell, I, architecture.hidden_size, O)
            end = start + cells.parameter_count(shapes)
            yield self.flat[start:end], I, O
            start = end

    def forward(
        self,
        x: Array,
        h0: Array | None,
        lengths: IntArray | None,
        *,
        skip: BoolArray | None = None,
        resets: BoolArray | None = None,
        checkpoint_every: int | None = None,
        rng: "RandomSource | None" = None,
    ) -> Tape[Any]:
        """Run whole sequences.

        Parameters
        ----------
        x : array (B, T, I), or intp (B, T)
        h0 : array (layers * directions, B, S) or None
        lengths : array (B,) or None
        skip : bool array (B, T) or None
            Whether a step leaves the states as they are.
        resets : bool array (B, T) or None
            Whether sequences restart before a step, from the states of a new sequence. Not with
            `skip`, and for networks that read in one direction.
        checkpoint_every : int or None
            Keep only the states before every so many steps.
        rng : RandomSource or None
            Draws dropout's masks and noise; without it there are none.
        """
        blocks, (B, T) = [], x.shape[:2]
        wants_top = self.architecture.return_sequences
        y = memory.empty((B, T if wants_top else 1, self.architecture.outputs), self.flat.dtype)
        states, start = self.first_states(h0, B), self._restarted_states()
        for first, last, block_lengths in in_blocks(T, lengths, checkpoint_every):
            block_skip = None if skip is None else skip[:, first:last]
            block_resets = None if resets is None else resets[:, first:last]
            block = Block(first, last, states, block_lengths, block_skip, block_resets)
            tape = self._layers.forward(
                x[:, first:last], states, block_lengths, rng, block_skip, block_resets, start,
                wants_top=wants_top,
            )  # fmt: skip
            if checkpoint_every is None:
                block.tape = tape
            blocks.append(block)
            states = tape.last()
            if wants_top:
                self._output_layer.forward(tape.top, block_lengths, y[:, first:last])
        if not wants_top:
            self._output_layer.forward(self._last_features(states), None, y)
            y = y[:, 0]
        return Tape(self.architecture, self, x, lengths, y, states, blocks, has_h0=h0 is not None)

    def backward(
        self, tape: Tape[Any], dy: Array, dh_n: Array | None, gradient: Array, *, wants_dx: bool
    ) -> tuple[Array | None, Array]:
        """Backpropagate through time.

        Parameters
        ----------
        tape : Tape
            Of this network's `forward`.
        dy : array (B, T, O), or (B, O) without return_sequences
            dL/dy; set to zero past sequences' ends.
        dh_n : array (layers * directions, B, S) or None
            dL/d(last states) beside what comes through their outputs.
        gradient : array (n,)
            dL/d(parameters) is added, in the order of `flat`.
        wants_dx : bool
            Whether dL/dx is wanted.

        Returns
        -------
        dx : array (B, T, I) or None
        dh0 : array (layers * directions, B, S)
        """
        x, has_outputs_per_step = tape.x, self.architecture.return_sequences
        gradients = cells.views(gradient, self.kernel_shapes)
        dx = memory.empty(x.shape, self.flat.dtype) if wants_dx and x.ndim == 3 else None
        if not has_outputs_per_step:
            dh_n = self._through_last_outputs(tape.last_states, dy, dh_n, gradients)
        elif tape.lengths is not None:
            clear_padding(dy, tape.lengths)
        start = self._restarted_states()
        dstart = None if start is None else np.zeros_like(tape.last_states)
        for block in reversed(tape.blocks):
            steps = slice(block.first, block.last)
            layers_tape = block.tape or self._layers.forward(
                x[:, steps], block.states, block.lengths, None, block.skip, block.resets, start,
                wants_top=has_outputs_per_step,
            )  # fmt: skip
            dtop = None
            if has_outputs_per_step:
                dy_block = np.ascontiguousarray(dy[:, steps])
                dtop = self._output_layer.backward(
                    layers_tape.top, dy_block, block.lengths, gradients
                )
            dx_block, dh_n = self._layers.backward(
                layers_tape, dtop, dh_n, gradients, dx is not None, dstart
            )
            if dx is not None and dx_block is not None:
                dx[:, steps] = dx_block
            if dstart is not None and block.resets is not None:
                self._add_to_trained_states(dstart, gradients)
        assert dh_n is not None
        if self.architecture.trainable_h0 and not tape.has_h0:
            self._add_to_trained_states(dh_n, gradients)
        return dx, dh_n

    def _add_to_trained_states(self, dstates: Array, gradients: dict[str, Array]) -> None:
        """Add dL/d(states) (layers * directions, B, S), summed over B, to those of h0 and c0."""
        for part, trained in self._trained_states(dstates, gradients):
            with np.errstate(all="ignore"):
                trained += part.sum(axis=1)

    def predict(
        self,
        x: Array,
        h0: Array | None = None,
        h_n: Array | None = None,
        lengths: IntArray | None = None,
        skip: BoolArray | None = None,
        resets: BoolArray | None = None,
    ) -> Array:
        """Return outputs (B, T, O) or (B, O), and write the last states to h_n where it is given.

        The states of a block of steps are kept, about `BLOCK_SCALARS` scalars; for a bidirectional
        network see `BothWays`.
        """
        B, T = x.shape[:2]
        y = None
        if self.architecture.return_sequences:
            y = memory.empty((B, T, self.architecture.outputs), self.flat.dtype)
        if self.has_fused_kernels and skip is None:
            first = None if h0 is None else h0[0]
            last = None if h_n is None else h_n[0]
            predict_layer(
                self.kernels, self._workspaces, self.architecture, x, first, self.flat,
                self._output_size, y, last, lengths, resets,
            )  # fmt: skip
        else:
            first_states = self.first_states(h0, B)
            if self.architecture.bidirectional:
                states = self._both_ways.predict(x, first_states, lengths, skip, y)
            else:
                states = self._predict_in_blocks(x, first_states, lengths, skip, resets, y)
            if h_n is not None:
                h_n[...] = states
        if y is None:
            y = np.empty((B, 1, self.architecture.outputs), self.flat.dtype)
            self._output_layer.forward(self._last_features(states), None, y)
            return y[:, 0]
        if lengths is not None:
            clear_padding(y, lengths)
        return y

    def _predict_in_blocks(
        self,
        x: Array,
        states: Array,
        lengths: IntArray | None,
        skip: BoolArray | None,
        resets: BoolArray | None,
        y: Array | None,
    ) -> Array:
        """Write the outputs to y, and return the last states, where all layers read forward."""
        keeps_nothing = x.ndim == 3 and skip is None
        longest = x.shape[1] if lengths is None else int(lengths.max(initial=0))
        every = block_steps(len(x), self.architecture.features)
        for first, last, block_lengths in in_blocks(longest, lengths, every):
            block = x[:, first:last]
            y_block = None if y is None else y[:, first:last]
            block_resets = None if resets is None else resets[:, first:last]
            if keeps_nothing:
                states = self._through_layers(block, states, block_lengths, block_resets, y_block)
                continue
            block_skip = None if skip is None else skip[:, first:last]
            tape = self._layers.forward(
                block, states, block_lengths, None, block_skip, block_resets,
                self._restarted_states(), wants_top=y is not None,
            )  # fmt: skip
            states = tape.last()
            if y_block is not None:
                self._output_layer.forward(tape.top, block_lengths, y_block)
        return states

    def predict_list(
        self,
        sequences: list[Array],
        h0: Array | None,
        skip: list[BoolArray] | None = None,
        resets: list[BoolArray] | None = None,
    ) -> tuple[Array | list[Array], Array]:
        """Predict sequences of different lengths, side by side with others of similar length.

        Parameters
        ----------
        sequences : list of array (T_i, I) or (T_i,)
        h0 : array (layers * directions, n, S) or None
        skip, resets : list of bool array (T_i,) or None

        Returns
        -------
        y : list of array (T_i, O), or array (n, O) without return_sequences
        h_n : array (layers * directions, n, S)
        """
        h_n = self.empty_states(len(sequences))
        y: list[Array] = [np.empty(0)] * len(sequences)
        lengths = np.array([len(sequence) for sequence in sequences], np.intp)
        order = np.argsort(lengths, kind="stable")
        for part in slices_of_similar_length(lengths[order], LIST_BATCH):
            rows = order[part]
            longest = int(lengths[rows].max())
            batch = padded([sequences[row] for row in rows], longest)
            skipped, restarted = (
                None if marks is None else padded([marks[row] for row in rows], longest)
                for marks in (skip, resets)
            )
            last = self.empty_states(len(rows))
            first = None if h0 is None else np.ascontiguousarray(h0[:, rows])
            outputs = self.predict(batch, first, last, lengths[rows], skipped, restarted)
            for row, y_row in zip(rows, outputs, strict=True):
                if self.architecture.return_sequences:
                    y_row = y_row[: lengths[row]].copy()
                y[row] = y_row
            h_n[:, rows] = last
        if self.architecture.return_sequences:
            return y, h_n
        return np.array(y, h_n.dtype).reshape(-1, self.architecture.outputs), h_n

    def predict_steps(
        self, x: Array, h0: Array, h_n: Array, lengths: IntArray | None = None
    ) -> Array:
        """Return the outputs (B, T, O) of every step, and write the last states to h_n.

        As `predict` for features of networks that read in one direction, whatever their
        `return_sequences`.
        """
        B, T = x.shape[:2]
        y = memory.empty((B, T, self.architecture.outputs), self.flat.dtype)
        h_n[...] = self._predict_in_blocks(x, h0, lengths, None, None, y)
        if lengths is not None:
            clear_padding(y, lengths)
        return y

    def _through_layers(
        self,
        x: Array,
        states: Array,
        lengths: IntArray | None,
        resets: BoolArray | None,
        y: Array | None,
    ) -> Array:
        """Write the outputs of x (B, T, I) to y, not past sequences' ends; return the last states.

        For networks that read in one direction.
        """
        last, start = np.empty_like(states), self._restarted_states()
        resets = None if resets is None else np.ascontiguousarray(resets)
        parameters = self.layer_parameters(with_outputs=y is not None)
        for layer, (theta, _, O) in enumerate(parameters):
            states_of_layer = y
            if layer < self.architecture.num_layers - 1:
                shape = (*x.shape[:2], self.architecture.hidden_size)
                states_of_layer = memory.empty(shape, theta.dtype)
            predict_layer(
                self.kernels, self._workspaces, self.architecture, x, states[layer], theta, O,
                states_of_layer, last[layer], lengths, resets,
                None if start is None else start[layer],
            )  # fmt: skip
            if states_of_layer is not None:
                x = states_of_layer
        return last

    def gradient(
        self, x: Array, y: Array, loss: str, max_norm: float | None, max_value: float | None
    ) -> tuple[float, float, Array]:
        """Return the loss, the gradient's norm before clipping, and the clipped gradient (n,).

        One kernel call, from states of zero, for networks that have fused kernels.
        """
        B, T, I = x.shape
        H, O, cell = self.architecture.hidden_size, self._output_size, self.architecture.cell
        gradient = memory.empty(self.flat.shape, self.flat.dtype)
        size = self.kernels.gradient_workspace_size(cell, T, B, I, H, O, self.flat.dtype)
        workspace = self._workspaces.take(size)
        value, norm = self.kernels.rnn_gradient(
            cell, x, y, self.flat, gradient, H, O, loss, max_norm, max_value, workspace
        )
        self._workspaces.give(workspace)
        return value, norm, gradient

    def train(
        self,
        x: Array,
        y: Array,
        rows: IntArray,
        batch_size: int,
        loss: str,
        max_norm: float | None,
        max_value: float | None,
        losses: FloatArray,
        norms: FloatArray,
        optimizer: str,
        memory: dict[str, Array | None],
        settings: dict[str, float],
        steps: IntArray,
        lrs: FloatArray,
        constraints: Constraints | None,
    ) -> None:
        """Take a step of the optimizer for each batch, in one kernel call; see `rnn_train`.

        For networks with fused kernels alone, without lengths.

        Parameters
        ----------
        x : array (n, T, I)
        y : array (n, T, O) or (n, T)
        rows : array (R,)
            The sequences in their order.
        batch_size : int
        loss : str
            Name of a kernel in `contracts.GRADIENT_LOSSES`.
        max_norm, max_value : float or None
            Limits of the gradient's norm and elements.
        losses, norms : array (batches,)
            The loss of each batch and the norm of its gradient before clipping are written.
        optimizer, memory, settings, steps, lrs
            As `Optimizer.take_steps` passes them.
        constraints : Constraints or None
        """
        T, I = x.shape[1:]
        H, O, cell = self.architecture.hidden_size, self._output_size, self.architecture.cell
        # Fewer steps than batches, where the optimizer has no learning rate for one
        rows = rows[: len(lrs) * batch_size]
        losses, norms = losses[: len(lrs)], norms[: len(lrs)]
        n = len(rows)
        size = max(
            self.kernels.train_workspace_size(cell, T, B, I, H, O, self.flat.dtype)
            for B in (min(batch_size, n), n - (len(lrs) - 1) * batch_size)
        )
        workspace = self._workspaces.take(size)
        self.kernels.rnn_train(
            cell, x, y, rows, batch_size, self.flat, H, O, loss, max_norm, max_value, optimizer,
            memory, settings, constraints, steps, lrs, losses, norms, workspace,
        )  # fmt: skip
        self._workspaces.give(workspace)

    def clip(self, gradient: Array, max_norm: float | None, max_value: float | None) -> float:
        """Limit a gradient in place, and return its norm before."""
        kernels = self.kernels
        norm: float = (
            kernels.global_norm(gradient)
            if max_norm is None
            else kernels.clip_norm(gradient, max_norm)
        )
        if max_value is not None:
            kernels.clip_value(gradient, max_value)
        return norm

    def _last_features(self, states: Array) -> Array:
        """Return the last layer's states h after all steps, as one step (B, 1, features)."""
        architecture = self.architecture
        top = states[-architecture.directions :, :, : architecture.hidden_size]
        return np.concatenate(list(top), axis=-1)[:, None]

    def _through_last_outputs(
        self, states: Array, dy: Array, dh_n: Array | None, gradients: dict[str, Array]
    ) -> Array:
        """Return dh_n with the part that comes from dy (B, O), the gradient of single outputs."""
        architecture, H = self.architecture, self.architecture.hidden_size
        top = self._last_features(states)
        dtop = self._output_layer.backward(top, dy[:, None], None, gradients)
        dh_n = np.zeros_like(states) if dh_n is None else dh_n.copy()
        parts = dtop.reshape(len(dtop), architecture.directions, H)
        with np.errstate(all="ignore"):
            dh_n[-architecture.directions :, :, :H] += parts.swapaxes(0, 1)
        return dh_n

    def snapshot(self) -> "Network":
        """Return a network with a copy of the parameters."""
        twin = Network(self.architecture, self.flat.dtype, self.kernels)
        twin.flat[...] = self.flat
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps: the kernels by name, and the vector alone."""
        state = self.__dict__ | {"kernels": _backend.name_of(self.kernels)}
        for made_anew in ("params", "_layers", "_output_layer", "_both_ways", "_workspaces"):
            del state[made_anew]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the views and find the kernels again."""
        self.__dict__.update(state)
        self.kernels = _backend.load(state["kernels"])
        self._make_views()
