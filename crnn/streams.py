"""Streams: networks whose inputs come one step at a time."""

from abc import ABC
from collections.abc import Callable
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from crnn._inputs import arrays, sequences
from crnn._inputs.excluded import whole_numbers
from crnn._network import memory
from crnn._network.blocks import block_steps
from crnn._network.lengths import clear_padding
from crnn._network.network import Network
from crnn._typing import Array, BoolArray, IntArray, StateLike, StateT
from crnn.conversion import as_numbers
from crnn.kernels.one_thread import OneThread
from crnn.kernels.streams import (
    STATE_DELETED,
    STREAM_BUSY,
    STREAM_PICKLED,
    check_out,
    check_parameters,
    stream_repr,
)

# Blocks of no more steps go through `stream_step`: a prediction packs the parameters at each call,
# which takes about as long as so many steps.
SHORT_BLOCK = 16


class Stream(ABC, Generic[StateT]):
    """A network as it was when the stream was made, with a state.

    `RNN.stream` makes streams. Outputs have the bits of `RNN.predict` on the same inputs, however
    they are cut into steps and blocks (categories with NumPy kernels: the same but for rounding).
    One thread at a time may use a stream.

    With compiled kernels, `RNN.stream` returns the compiled class `crnn.kernels.native.Stream`,
    which has the same methods and attributes.

    Parameters
    ----------
    network : Network
        Its parameters are copied.
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
    dtype : numpy dtype
    state : array (layers, batch, hidden), or for an LSTM a pair of such
        A copy of the last states, without the axis of a single layer or of a single sequence. It
        may be assigned to.
    """

    def __init__(self, network: Network, batch_size: int | None) -> None:
        self._network = network.snapshot()
        architecture, kernels, B = network.architecture, network.kernels, batch_size or 1
        self.input_size: int = architecture.input_size
        self.hidden_size: int = architecture.hidden_size
        self.output_size: int = architecture.outputs
        self.batch_size = batch_size
        self.dtype: np.dtype[Any] = network.flat.dtype
        self._convert = converter(network, batch_size)
        H, cell = architecture.hidden_size, architecture.cell
        self._layers = self._packed(self._network)
        self._workspace_size = max(
            kernels.stream_workspace_size(cell, B, I, H, O, self.dtype)
            for _, I, O in self._network.layer_parameters()
        )
        self._start(self._network.first_states(None, B))

    def _packed(self, network: Network) -> list[tuple[Array, int]]:
        """Return each layer's parameters as `stream_step` takes them, and its outputs.

        These are 0 where they are its states.
        """
        H, cell, B = self.hidden_size, network.architecture.cell, self.batch_size or 1
        return [
            (network.kernels.stream_parameters(cell, theta, I, H, O, B), O)
            for theta, I, O in network.layer_parameters()
        ]

    def _start(self, states: Array) -> None:
        """Take these states (layers, B, S), and make the memory that steps need."""
        B = states.shape[1]
        self._states = list(states)
        # Steps write here, and the two change places when all layers have made theirs.
        self._next_states = list(np.empty_like(states))
        self._outputs = [np.empty((B, O or self.hidden_size), self.dtype) for _, O in self._layers]
        self._workspace = np.empty(self._workspace_size, self.dtype)
        self._alone = OneThread(STREAM_BUSY)

    def step(self, x: npt.ArrayLike, out: Array | None = None) -> Array:
        """Read the inputs of one step, move the states on, return the outputs.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,); with categories (batch,) or a whole number
        out : array (batch, outputs) or (outputs,), optional
            C-contiguous and of the network's dtype; the outputs are written to it. It may be `x`.

        Returns
        -------
        array (batch, outputs) or (outputs,)
            `out`, or a new array.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the states are as before.
        RuntimeError
            Another thread is using this stream.
        """
        x_t = self._convert("x", x, "inputs")
        new = np.empty((*x_t.shape[:-1], self.output_size), self.dtype)
        if out is None:
            out = new
        elif not (
            isinstance(out, np.ndarray)
            and (out.dtype, out.shape) == (new.dtype, new.shape)
            and out.flags.carray
        ):
            check_out(out, new)
        x_t = x_t.reshape(-1, self.input_size)
        self._alone.call(self._through_layers, x_t, out.reshape(len(x_t), self.output_size))
        return out

    def _through_layers(self, x_t: Array, out: Array) -> None:
        """Read x_t (B, I), write the outputs to out (B, O), and, last of all, move the states on.

        Where anything fails, the states are as before.
        """
        kernels, cell = self._network.kernels, self._network.architecture.cell
        for (parameters, O), h, h_next, y in zip(
            self._layers, self._states, self._next_states, self._outputs, strict=True
        ):
            kernels.stream_step(cell, parameters, x_t, h, h_next, y, O, self._workspace)
            x_t = y
        out[...] = x_t
        self._states, self._next_states = self._next_states, self._states

    def run(self, x: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Array:
        """Read a block of steps, move the states on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
        lengths : array (batch,), optional
            So many of its steps each sequence reads, from 0 to all; its state is then that after
            the last of them. What `x` holds past them has no effect.

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)
            Zero past a sequence's length.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the states are as before.
        RuntimeError
            Another thread is using this stream.
        """
        ends = None
        if lengths is None:
            steps = self._convert("x", x, "time inputs")
        else:
            steps, ends = self._convert("x", x, "time inputs", lengths)
        batch = steps if steps.ndim == 3 else steps[None]
        y: Array = self._alone.call(self._through_steps, batch, ends)
        return y if steps.ndim == 3 else y[0]

    def _through_steps(self, batch: Array, ends: IntArray | None) -> Array:
        """Read a block (B, T, I), move the states on, return the outputs (B, T, O)."""
        if batch.shape[1] > SHORT_BLOCK or ends is not None:
            states = np.stack(self._states)
            y = self._network.predict_steps(batch, states, states, ends)
            self._states = list(states)
            return y
        y = np.empty((*batch.shape[:2], self.output_size), self.dtype)
        before = [h.copy() for h in self._states]
        try:
            for t in range(batch.shape[1]):
                self._through_layers(np.ascontiguousarray(batch[:, t]), y[:, t])
        except BaseException:
            # All steps or none, also where there is no memory or Ctrl-C comes between two
            self._states = before
            raise
        return y

    @property
    def state(self) -> StateT:
        """A copy of the last states; may be assigned to."""
        states = self._copied_states()
        state: StateT = self._network.architecture.public_states(
            states, single=self.batch_size is None
        )
        return state

    @state.setter
    def state(self, value: StateLike) -> None:
        self._set_states(self._convert("state", value, "hidden"))

    @state.deleter
    def state(self) -> None:
        raise AttributeError(STATE_DELETED)

    def take_parameters(self, theta: Array) -> None:
        """Go on with other parameters of the same network; the state stays.

        Parameters
        ----------
        theta : array (P,)
            A network's `flat_params`; they are copied.

        Raises
        ------
        ValueError, TypeError
            The shape or dtype does not fit; the stream is as before.
        RuntimeError
            Another thread is using this stream.
        """
        network = self._network.snapshot()
        check_parameters(theta, len(network.flat), self.dtype)
        network.flat[...] = theta
        self._alone.call(self._replace, network, self._packed(network))

    def _replace(self, network: Network, layers: list[tuple[Array, int]]) -> None:
        self._network, self._layers = network, layers

    def reset(self, which: npt.ArrayLike | None = None) -> None:
        """Return to the states that sequences start from: zero, or the trained h0.

        Parameters
        ----------
        which : array of bool (batch,), optional
            The sequences that return; the others go on. Default: all.

        Raises
        ------
        ValueError, TypeError
            A shape or dtype does not fit; the states are as before.
        RuntimeError
            Another thread is using this stream.
        """
        first_states = self._network.first_states(None, self.batch_size or 1)
        if which is None:
            self._set_states(first_states)
            return
        marks = self._convert("which", which, "sequences")
        self._alone.call(self._replace_states, first_states, marks)

    def _replace_states(self, states: Array, which: BoolArray) -> None:
        """Take the states of these sequences from (layers, B, S)."""
        self._states = [
            np.where(which[:, None], new, old)
            for new, old in zip(states, self._states, strict=True)
        ]

    def _copied_states(self) -> Array:
        states: Array = self._alone.call(lambda: np.stack(self._states))
        return states

    def _set_states(self, states: Array) -> None:
        self._alone.call(setattr, self, "_states", list(states))

    def copy(self) -> "Stream[StateT]":
        """Return a stream that goes on from the same states, independent of this one.

        Returns
        -------
        Stream

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        states = self._copied_states()
        twin = object.__new__(Stream)
        twin.__dict__.update(self.__dict__)
        twin._start(states)
        return twin

    def __copy__(self) -> "Stream[StateT]":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "Stream[StateT]":
        return self.copy()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(STREAM_PICKLED)

    def __repr__(self) -> str:
        return stream_repr(self)


# Compiled classes that count as a `Stream`
_registered: set[type] = set()


def make_stream(network: Network, batch_size: int | None) -> Any:
    """Return a stream of a network that reads in one direction.

    The compiled class where there is one, else `Stream`.
    """
    architecture = network.architecture
    compiled = getattr(network.kernels, "Stream", None)
    if compiled is None:
        return Stream(network, batch_size)
    if compiled not in _registered:
        # For isinstance: the compiled class has the same methods and attributes.
        Stream.register(compiled)
        _registered.add(compiled)
    first_states = None
    if architecture.trainable_h0:
        first_states = np.ascontiguousarray(network.first_states(None, 1)[:, 0])
    return compiled(
        architecture.cell, [theta for theta, _, _ in network.layer_parameters()],
        architecture.input_size, architecture.hidden_size, architecture.output_size or 0,
        batch_size, converter(network, batch_size), architecture.categorical, first_states,
        block_steps(batch_size or 1, architecture.features) if architecture.num_layers > 1 else 0,
    )  # fmt: skip


def converter(network: Network, batch_size: int | None) -> Callable[..., Any]:
    """Return the function that checks and converts what a stream is given.

    It takes the argument's name, its value and the names of its axes without the batch axis, such
    as "time inputs", and perhaps the lengths of sequences. Category numbers come back as one-hot
    vectors, states ("hidden") as (layers, B, S), bools ("sequences") as (B,). With lengths it
    returns these, too: the pair of an array that is finite past sequences' ends, and an intp array.
    """
    architecture, kernels = network.architecture, network.kernels
    like = np.empty(0, network.flat.dtype)
    I = architecture.input_size
    sizes = {"inputs": I, "batch": batch_size or 1}
    batch = () if batch_size is None else (batch_size,)
    ready_shapes = {"inputs": (*batch, I), "time inputs": (*batch, -1, I)}
    if architecture.categorical:
        ready_shapes = {}

    def convert_with_lengths(
        name: str, value: Any, axes: str, lengths: npt.ArrayLike
    ) -> tuple[Array, IntArray | None]:
        if batch_size is None:
            raise ValueError(
                "lengths: expected None with one sequence, a stream without batch_size"
            )
        value, ends = memory.copy(as_numbers(name, value)), None
        # Another shape is an error of the value, which comes below.
        if value.ndim > 1 and len(value) == batch_size:
            ends = arrays.lengths(lengths, batch_size, value.shape[1], at_least=0)
            clear_padding(value, ends)
        if architecture.categorical:
            value = whole_numbers(name, value)
        return convert(name, value, axes), ends

    def convert(name: str, value: Any, axes: str, lengths: npt.ArrayLike | None = None) -> Any:
        if lengths is not None:
            return convert_with_lengths(name, value, axes, lengths)
        if axes == "sequences":
            if batch_size is None:
                raise ValueError(
                    f"{name}: expected None with one sequence, a stream without batch_size"
                )
            return arrays.bools(name, value, {"batch": batch_size})
        if axes == "hidden":
            single = batch_size is None
            return sequences.states_of(
                architecture, like, kernels, name, value, batch_size or 1, single
            )
        # The usual case first: it costs less than the arithmetic of a small network.
        if axes in ready_shapes and kernels.is_kernel_ready(value, like, ready_shapes[axes]):
            ready: Array = value
            return ready
        shape = axes if batch_size is None else f"batch {axes}"
        if not architecture.categorical:
            return arrays.floats(
                name, value, (shape,), sizes, like, kernels, may_be_empty=("time",)
            )
        shape = shape.removesuffix("inputs").strip()
        numbers = sequences.categories(name, value, (shape,), sizes, I, may_be_empty=("time",))
        one_hot = np.zeros((*numbers.shape, I), like.dtype)
        np.put_along_axis(one_hot, numbers[..., None], 1, axis=-1)
        return one_hot

    return convert
