"""A network over checked arrays: its parameters in one flat vector, its passes in kernel calls.

All arrays here are C-contiguous, of the network's dtype and of the right shapes; `models` sees to
that. Inputs are (B, T, I), or (B, T) of category numbers; states are those of all layers and
directions, (layers * directions, B, S), where S is H, or 2H of an LSTM: h, then c. The recurrence
itself is in the kernels, which take whole sequences in one call.
"""

import importlib
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from crnn.checks import Array
from crnn.kernels import cells, streams
from crnn._network.architecture import Architecture
from crnn._network.layers import Layers, Pass, clear_padding
from crnn.losses import Loss
from crnn._network.workspaces import Scratch
from crnn._training.data import Batch

# Predictions that no single kernel makes keep the states of about so many scalars at a time.
BLOCK_SCALARS = 1 << 18
BLOCK_STEPS = 32


class Tape:
    """What `RNN.forward` computed, and what `RNN.backward` reads.

    `backward` uses the parameters as they are then: do not change them in between. For a single
    sequence no array here has the batch axis. The states are read-only, because `backward` reads
    them.

    Attributes
    ----------
    y : array (batch, time, outputs)
        Outputs, of the network's dtype like the states; zero past a sequence's end. Without
        `return_sequences` (batch, outputs).
    h : array (batch, time + 1, hidden)
        Hidden states, h_0 first.
    c : array (batch, time + 1, hidden)
        Of an LSTM, its memory cells, c_0 first.
    h_n : array (batch, hidden)
        The last states, or (layers * directions, batch, hidden); of an LSTM the pair of h_n and
        c_n.
    """

    __slots__ = (
        "_blocks",
        "_has_h0",
        "_lengths",
        "_network",
        "_single",
        "_starts",
        "_states",
        "_x",
        "h_n",
        "y",
    )

    def __init__(
        self,
        network: "Network",
        x: Array,
        lengths: Array | None,
        y: Array,
        h_n: Array,
        starts: list[tuple[int, int, Array]],
        blocks: list[Pass],
        *,
        single: bool,
        has_h0: bool,
    ) -> None:
        self._network = network
        # Given by the user, so that a trainable one had no part in it
        self._has_h0 = has_h0
        self._x = x
        self._lengths = lengths
        # Where each block begins and ends, and its first states
        self._starts = starts
        # What was kept of them: of one block alone everything, of several nothing
        self._blocks = blocks
        self._single = single
        self.y = y[0] if single else y
        self._states = h_n
        h_n.flags.writeable = False
        self.h_n = network.shown(h_n, single=single)

    @property
    def h(self) -> Array:
        """Hidden states (batch, time + 1, hidden), h_0 first; past a sequence's end, its last.

        Of several layers or directions (layers * directions, batch, time + 1, hidden), those of a
        backward direction in the order in which it reads.

        Raises
        ------
        ValueError
            The tape was made with `checkpoint_every`, which does not keep them.
        """
        return self._kept("h", 0)

    @property
    def c(self) -> Array:
        """Memory cells of an LSTM, as `h`, c_0 first.

        Raises
        ------
        ValueError
            The tape was made with `checkpoint_every`, which does not keep them.
        AttributeError
            The network has none.
        """
        if self._network.architecture.blocks.states == 1:
            raise AttributeError("c: expected the tape of an LSTM, which has memory cells")
        return self._kept("c", self._network.architecture.hidden_size)

    def _kept(self, name: str, first: int) -> Array:
        """Return the part of all states that begins at number `first`."""
        if not self._blocks:
            raise ValueError(f"{name}: expected a tape made without checkpoint_every")
        (block,) = self._blocks
        H = self._network.architecture.hidden_size
        parts = [states[..., first : first + H] for states in block.h]
        states = parts[0][None] if len(parts) == 1 else np.stack(parts)
        shown: Array = states[self._network.states_index(self._single)]
        shown.flags.writeable = False
        return shown

    def __repr__(self) -> str:
        h = f"h {self.h.shape}, " if self._blocks else ""
        is_pair = isinstance(self.h_n, tuple)
        h_n = f"2 x {self.h_n[0].shape}" if is_pair else f"{self.h_n.shape}"
        return f"Tape(y {self.y.shape}, {h}h_n {h_n})"


class Network:
    """Hidden layers with an optional output layer.

    Parameters
    ----------
    architecture : Architecture
    dtype : numpy dtype
    kernels : module
        One of the implementations.
    """

    def __init__(
        self, architecture: Architecture, dtype: np.dtype[Any], kernels: ModuleType
    ) -> None:
        self.architecture = architecture
        self.kernels = kernels
        self._cell = architecture.cell
        # What the kernels call the sizes: H, and O, which is 0 without an output layer
        self._hidden_size = architecture.hidden_size
        self._layer_size = architecture.output_size or 0
        # Of inputs, as `is_plain` takes it
        self.x_shape = (-1, -1, architecture.input_size)
        # One layer in one direction, whose outputs are all wanted: kernels do that as a whole.
        self.is_simple = (
            architecture.states == 1
            and architecture.return_sequences
            and not architecture.trainable_h0
        )
        self.shapes = architecture.parameters()
        self.flat = np.zeros(sum(map(math.prod, self.shapes.values())), dtype)
        self._lay_out()

    def _lay_out(self) -> None:
        self.params = cells.views(self.flat, self.shapes)
        self._scratch = Scratch(self.flat.dtype)
        self._layers = Layers(self.architecture, self.params, self.kernels, self._scratch)

    def states_index(self, single: bool) -> tuple[Any, ...]:
        """Return the index that takes from states (layers * directions, B, ...) what users see."""
        return (
            0 if self.architecture.states == 1 else slice(None),
            0 if single else slice(None),
        )

    def shown(self, states: Array, *, single: bool) -> Any:
        """Return states (layers * directions, B, S) as users see them: of an LSTM a pair."""
        return streams.public_state(states[self.states_index(single)], self._hidden_size)

    def room_for_states(self, B: int) -> Array:
        """Return an empty array (layers * directions, B, S)."""
        return np.empty(
            (self.architecture.states, B, self.architecture.state_size), self.flat.dtype
        )

    def first_states(self, h0: Array | None, B: int) -> Array:
        """Return the states that sequences start from: those given, the trained ones, or zero."""
        of = self.architecture
        if h0 is not None:
            return h0
        states = self.room_for_states(B)
        states[...] = 0
        if of.trainable_h0:
            for part, trained in self._trained_states(states, self.params):
                part[...] = trained[:, None]
        return states

    def _trained_states(
        self, states: Array, parameters: dict[str, Array]
    ) -> Iterator[tuple[Array, Array]]:
        """Yield parts of states, h and c, with their parameters (layers * directions, H)."""
        H = self.architecture.hidden_size
        for number, name in enumerate(("h0", "c0")[: self.architecture.blocks.states]):
            part = states[..., number * H : (number + 1) * H]
            yield part, parameters[name].reshape(len(states), H)

    def parts(self, *, with_outputs: bool = True) -> Iterator[tuple[Array, int, int]]:
        """Yield by layer its parameters (n,), inputs, and outputs: those of the output layer or 0.

        The layers read in one direction.
        """
        of, start = self.architecture, 0
        for layer in range(of.num_layers):
            I = of.hidden_size if layer else of.input_size
            O = self._layer_size if with_outputs and layer == of.num_layers - 1 else 0
            shapes = cells.parameter_shapes(of.cell, I, of.hidden_size, O)
            end = start + sum(map(math.prod, shapes.values()))
            yield self.flat[start:end], I, O
            start = end

    def forward(
        self,
        x: Array,
        h0: Array | None,
        lengths: Array | None,
        checkpoint_every: int | None,
        *,
        single: bool,
    ) -> Tape:
        """Run whole sequences; with `checkpoint_every`, keep the states before so many steps."""
        blocks, starts, outputs = [], [], []
        states = self.first_states(h0, len(x))
        for first, last, part in self._cut(x, lengths, checkpoint_every or x.shape[1]):
            starts.append((first, last, states))
            done = self._layers.run(x[:, first:last], states, part)
            if checkpoint_every is None:
                blocks.append(done)
            states = done.last()
            if self.architecture.return_sequences:
                outputs.append(self._outputs(done.top, part))
        if not self.architecture.return_sequences:
            outputs.append(self._outputs(self._last_features(states), None)[:, 0])
        y = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)
        return Tape(
            self, x, lengths, y, states, starts, blocks, single=single, has_h0=h0 is not None
        )

    def backward(
        self, tape: Tape, dy: Array, dh_n: Array | None, gradient: Array
    ) -> tuple[Array | None, Array]:
        """Backpropagate through time.

        Parameters
        ----------
        tape : Tape
            Of this network's `forward`.
        dy : array (B, T, O), or (B, O) without return_sequences
            dL/dy.
        dh_n : array (layers * directions, B, S) or None
            What reaches the last states beside their outputs.
        gradient : array (n,)
            dL/d(parameters) is added, in the order of `flat`.

        Returns
        -------
        dx : array (B, T, I), or None for category numbers
        dh0 : array (layers * directions, B, S)
        """
        x, lengths = tape._x, tape._lengths
        gradients = cells.views(gradient, self.shapes)
        dx = np.empty(x.shape, self.flat.dtype) if x.ndim == 3 else None
        if lengths is not None and self.architecture.return_sequences:
            dy = dy.copy()
            clear_padding(dy, lengths)
        if not self.architecture.return_sequences:
            dh_n = self._through_last(tape._states, dy, dh_n, gradients)
        for number in reversed(range(len(tape._starts))):
            first, last, states = tape._starts[number]
            if tape._blocks:
                done = tape._blocks[number]
            else:
                part = None if lengths is None else np.clip(lengths - first, 0, last - first)
                done = self._layers.run(x[:, first:last], states, part)
            dtop = None
            if self.architecture.return_sequences:
                dy_block = np.ascontiguousarray(dy[:, first:last])
                dtop = self._through_outputs(done.top, dy_block, gradients)
            dx_block, dh_n = self._layers.backward(done, dtop, dh_n, gradients, dx is not None)
            if dx is not None and dx_block is not None:
                dx[:, first:last] = dx_block
        assert dh_n is not None
        if self.architecture.trainable_h0 and not tape._has_h0:
            for part, trained in self._trained_states(dh_n, gradients):
                trained += part.sum(axis=1)
        return dx, dh_n

    def predict(
        self,
        x: Array,
        h0: Array | None = None,
        h_n: Array | None = None,
        lengths: Array | None = None,
    ) -> Array:
        """Return outputs (B, T, O) or (B, O), and fill in the last states where wanted."""
        if self.is_simple and lengths is None and x.ndim == 3:
            first = None if h0 is None else h0[0]
            last = None if h_n is None else h_n[0]
            return self._predict_layer(x, first, self.flat, self._layer_size, last)
        return self._predict_in_blocks(x, h0, h_n, lengths)

    def _predict_layer(
        self, x: Array, h0: Array | None, theta: Array, output_size: int, h_n: Array | None
    ) -> Array:
        """Return what one layer makes of x: outputs, or states where output_size is 0."""
        B, T, I = x.shape
        H, cell = self._hidden_size, self._cell
        O = output_size or H
        y = np.empty((B, T, O), theta.dtype)
        workspace = self._scratch.take(self.kernels.predict_workspace_size, cell, T, B, I, H, O)
        self.kernels.rnn_predict(cell, x, h0, theta, H, output_size, y, h_n, workspace)
        self._scratch.give(workspace)
        return y

    def gradient(
        self, x: Array, y: Array, loss: str, max_norm: float | None, max_value: float | None
    ) -> tuple[float, float, Array]:
        """Return the loss, the gradient's norm before clipping, and the clipped gradient (n,).

        In one kernel call, of a simple network from zero states.
        """
        B, T, I = x.shape
        H, O = self.architecture.hidden_size, self.architecture.outputs
        gradient = np.empty_like(self.flat)
        cell = self._cell
        workspace = self._scratch.take(self.kernels.gradient_workspace_size, cell, T, B, I, H, O)
        value, norm = self.kernels.rnn_gradient(
            cell, x, y, self.flat, gradient, H, self._layer_size, loss, max_norm, max_value,
            workspace,
        )  # fmt: skip
        self._scratch.give(workspace)
        return value, norm, gradient

    def clip(self, gradient: Array, max_norm: float | None, max_value: float | None) -> float:
        """Limit a gradient in place, and return its norm of before."""
        kernels = self.kernels
        norm: float = (
            kernels.global_norm(gradient)
            if max_norm is None
            else kernels.clip_norm(gradient, max_norm)
        )
        if max_value is not None:
            kernels.clip_value(gradient, max_value)
        return norm

    def gradient_of_batch(
        self, batch: Batch, loss: Loss, h0: Array | None, rng: "np.random.Generator | None"
    ) -> tuple[float, Array, Array]:
        """Return the loss of a batch, its gradient (n,) and the last states.

        Parameters
        ----------
        batch : Batch
        loss : Loss
        h0 : array (layers * directions, B, S) or None
        rng : generator or None
            Decides what dropout leaves out.
        """
        of = self.architecture
        done = self._layers.run(batch.x, self.first_states(h0, len(batch.x)), batch.lengths, rng)
        states = done.last()
        if of.return_sequences:
            y_hat = self._outputs(done.top, batch.lengths)
        else:
            y_hat = self._outputs(self._last_features(states), None)[:, 0]
        dy = np.empty_like(y_hat)
        value = loss.compute(self.kernels, y_hat, batch.y, batch.weights, dy)
        gradient = np.zeros_like(self.flat)
        gradients = cells.views(gradient, self.shapes)
        dtop = dh_n = None
        if of.return_sequences:
            dtop = self._through_outputs(done.top, dy, gradients)
        else:
            dh_n = self._through_last(states, dy, None, gradients)
        _, dh0 = self._layers.backward(done, dtop, dh_n, gradients, wants_dx=False)
        if of.trainable_h0 and h0 is None:
            for part, trained in self._trained_states(dh0, gradients):
                trained += part.sum(axis=1)
        return value, gradient, states

    def _cut(
        self, x: Array, lengths: Array | None, every: int
    ) -> Iterator[tuple[int, int, Array | None]]:
        """Yield blocks of steps: where they begin and end, and the sequences' lengths in them."""
        T = x.shape[1]
        for first in range(0, T, every):
            last = min(first + every, T)
            yield (
                first,
                last,
                None if lengths is None else np.clip(lengths - first, 0, last - first),
            )

    def _predict_in_blocks(
        self, x: Array, h0: Array | None, h_n: Array | None, lengths: Array | None
    ) -> Array:
        """Predict without keeping more states than those of a block of steps."""
        of = self.architecture
        B, T = x.shape[:2]
        y = np.zeros((B, T, of.outputs), self.flat.dtype) if of.return_sequences else None
        every = max(BLOCK_STEPS, BLOCK_SCALARS // (B * of.features))
        states = self.first_states(h0, B)
        longest = T if lengths is None else int(lengths.max())
        # A backward direction begins at the end.
        for first, last, part in self._cut(
            x[:, :longest], lengths, longest if of.bidirectional else every
        ):
            if x.ndim == 3 and lengths is None and not of.bidirectional:
                before, states, values = states, np.empty_like(states), x[:, first:last]
                for layer, (theta, _, O) in enumerate(self.parts(with_outputs=y is not None)):
                    values = self._predict_layer(values, before[layer], theta, O, states[layer])
            else:
                done = self._layers.run(x[:, first:last], states, part)
                states, values = done.last(), done.top
                if y is not None:
                    values = self._outputs(values, part)
            if y is not None:
                y[:, first:last] = values
        if h_n is not None:
            h_n[...] = states
        return self._outputs(self._last_features(states), None)[:, 0] if y is None else y

    def _outputs(self, top: Array, lengths: Array | None) -> Array:
        """Return y (B, T, O) of the top states (B, T, features); zero past the sequences' ends."""
        B, T, features = top.shape
        if self.architecture.output_size is None:
            y = top.copy()
        else:
            O = self.architecture.output_size
            y = np.empty((B, T, O), top.dtype)
            with self._scratch.lent(
                self.kernels.workspace_size, "tanh", T, B, 1, features, O
            ) as workspace:
                self.kernels.output_forward(
                    top, self.params["W_hy"], self.params["b_y"], y, workspace
                )
        if lengths is not None:
            clear_padding(y, lengths)
        return y

    def _through_outputs(self, top: Array, dy: Array, gradients: dict[str, Array]) -> Array:
        """Return dL/d(top) (B, T, features) that comes of dy (B, T, O)."""
        if self.architecture.output_size is None:
            return dy.copy()
        B, T, features = top.shape
        dtop = np.empty((B, T, features), top.dtype)
        with self._scratch.lent(
            self.kernels.workspace_size, "tanh", T, B, 1, features, dy.shape[-1]
        ) as workspace:
            self.kernels.output_backward(
                top, self.params["W_hy"], dy, gradients["W_hy"], gradients["b_y"], dtop, workspace
            )
        return dtop

    def _last_features(self, states: Array) -> Array:
        """Return what the last layer hands on after all steps, as one step (B, 1, features)."""
        of = self.architecture
        top = states[-of.directions :, :, : of.hidden_size]
        return np.concatenate(list(top), axis=-1)[:, None]

    def _through_last(
        self, states: Array, dy: Array, dh_n: Array | None, gradients: dict[str, Array]
    ) -> Array:
        """Return dh_n with what comes of dy (B, O), the gradient of the only outputs."""
        of = self.architecture
        last = self._through_outputs(self._last_features(states), dy[:, None], gradients)[:, 0]
        dh_n = np.zeros_like(states) if dh_n is None else dh_n.copy()
        parts = last.reshape(len(last), of.directions, of.hidden_size)
        with np.errstate(over="ignore"):
            dh_n[-of.directions :, :, : of.hidden_size] += parts.swapaxes(0, 1)
        return dh_n

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps: no module, no scratch, and the vector alone."""
        state = self.__dict__ | {"kernels": self.kernels.__name__}
        del state["params"], state["_layers"], state["_scratch"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the views, and the kernels by name."""
        self.__dict__.update(state)
        self.kernels = importlib.import_module(state["kernels"])
        self._lay_out()
