"""Streams: networks whose inputs come one step at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from crnn._inputs import arrays, sequences
from crnn._network.network import Network
from crnn._typing import Array, StateLike, StateT
from crnn.kernels.streams import STREAM_BUSY, STREAM_PICKLED, check_out, stream_repr


class Stream(Generic[StateT]):
    """A network as it was when the stream was made, with a state.

    `RNN.stream` makes streams. Outputs have the bits of `RNN.predict` on the same inputs, however
    they are cut into steps and blocks. One thread at a time may use a stream.

    For one layer that starts from zero, with compiled kernels, `RNN.stream` returns the compiled
    class `crnn.kernels.native.Stream`, which has the same methods and attributes.

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
        layers = [(theta, I, O) for theta, I, O in self._network.layer_parameters()]
        # Each layer's parameters as `stream_step` takes them, and its outputs: 0 for its states
        self._layers = [
            (kernels.stream_parameters(cell, theta, I, H, O, B), O) for theta, I, O in layers
        ]
        size = max(
            kernels.stream_workspace_size(cell, B, I, H, O, self.dtype) for _, I, O in layers
        )
        self._workspace = np.empty(size, self.dtype)
        self._states = self._network.first_states(None, B)
        self._in_use = threading.Lock()

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
        kernels, cell = self._network.kernels, self._network.architecture.cell
        with self._alone():
            B = self._states.shape[1]
            layer_inputs = x_t.reshape(B, self.input_size)
            # The states change when all layers have made their step.
            states = np.empty_like(self._states)
            for layer, (parameters, O) in enumerate(self._layers):
                y = np.empty((B, O or self.hidden_size), self.dtype)
                kernels.stream_step(
                    cell, parameters, layer_inputs, self._states[layer], states[layer], y, O,
                    self._workspace,
                )  # fmt: skip
                layer_inputs = y
            out[...] = layer_inputs.reshape(out.shape)
            self._states = states
        return out

    def run(self, x: npt.ArrayLike) -> Array:
        """Read a block of steps, move the states on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the states are as before.
        RuntimeError
            Another thread is using this stream.
        """
        steps = self._convert("x", x, "time inputs")
        batch = steps if steps.ndim == 3 else steps[None]
        with self._alone():
            states = np.empty_like(self._states)
            y = self._network.predict_steps(batch, self._states, states)
            self._states = states
        return y if steps.ndim == 3 else y[0]

    @property
    def state(self) -> StateT:
        """A copy of the last states; may be assigned to."""
        with self._alone():
            states = self._states.copy()
        state: StateT = self._network.architecture.public_states(
            states, single=self.batch_size is None
        )
        return state

    @state.setter
    def state(self, value: StateLike) -> None:
        B, single = self._states.shape[1], self.batch_size is None
        states = sequences.states(self._network, "state", value, B, single).copy()
        with self._alone():
            self._states = states

    @state.deleter
    def state(self) -> None:
        raise AttributeError(
            "state: expected an assignment, got a deletion; reset() goes back to the first one"
        )

    def reset(self) -> None:
        """Go back to the states that sequences start from: zero, or the trained h0.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        with self._alone():
            self._states = self._network.first_states(None, self._states.shape[1])

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
        with self._alone():
            states = self._states.copy()
        twin = object.__new__(Stream)
        twin.__dict__.update(
            self.__dict__,
            _states=states,
            _workspace=np.empty_like(self._workspace),
            _in_use=threading.Lock(),
        )
        return twin

    def __copy__(self) -> "Stream[StateT]":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "Stream[StateT]":
        return self.copy()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(STREAM_PICKLED)

    def __repr__(self) -> str:
        return stream_repr(self)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse other threads."""
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError(STREAM_BUSY)
        try:
            yield
        finally:
            self._in_use.release()


def make_stream(network: Network, batch_size: int | None) -> Any:
    """Return a stream of a network that reads in one direction.

    The compiled class serves networks of one layer that start from zero; `Stream` all others.
    """
    architecture = network.architecture
    compiled = getattr(network.kernels, "Stream", None)
    if compiled is None or architecture.num_states > 1 or architecture.trainable_h0:
        return Stream(network, batch_size)
    return compiled(
        architecture.cell, network.flat, architecture.input_size, architecture.hidden_size,
        architecture.output_size or 0, batch_size, converter(network, batch_size),
        architecture.categorical,
    )  # fmt: skip


def converter(network: Network, batch_size: int | None) -> Callable[[str, Any, str], Array]:
    """Return the function that checks and converts what a stream is given.

    It takes the argument's name, its value and the names of its axes without the batch axis, such
    as "time inputs". Category numbers come back as one-hot vectors.
    """
    architecture, kernels = network.architecture, network.kernels
    like = np.empty(0, network.flat.dtype)
    I = architecture.input_size
    sizes = {"inputs": I, "hidden": architecture.hidden_size, "batch": batch_size or 1}
    batch = () if batch_size is None else (batch_size,)
    ready_shapes = {} if architecture.categorical else {"inputs": (*batch, I)}

    def convert(name: str, value: Any, axes: str) -> Array:
        # The usual case first: it costs less than the arithmetic of a small network.
        if axes in ready_shapes and kernels.is_kernel_ready(value, like, ready_shapes[axes]):
            ready: Array = value
            return ready
        shape = axes if batch_size is None else f"batch {axes}"
        if not architecture.categorical or "inputs" not in axes:
            return arrays.floats(name, value, (shape,), sizes, like, kernels)
        shape = shape.removesuffix("inputs").strip()
        numbers = sequences.categories(name, value, (shape,), sizes, I)
        one_hot = np.zeros((*numbers.shape, I), like.dtype)
        np.put_along_axis(one_hot, numbers[..., None], 1, axis=-1)
        return one_hot

    return convert
