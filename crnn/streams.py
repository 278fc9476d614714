"""Streams of several layers: one stream a layer, each reading what the one below returns."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from crnn.checks import Array
from crnn.kernels import contracts


class LayeredStream:
    """A stream of several layers, or one that starts from trained states.

    `RNN.stream` makes them; they have the methods and attributes of the kernels' `Stream`.

    Parameters
    ----------
    streams : list of Stream
        One a layer, the lowest first.
    first_state : array (layers, batch, hidden), without axes of one layer or of one sequence
        What `reset` goes back to.
    to_state : function
        Checks a state that is assigned and returns it as an array like `first_state`.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
    dtype : numpy dtype
    state : array
        A copy of the last states, shaped as `first_state`; may be assigned to.
    """

    def __init__(
        self, streams: list[Any], first_state: Array, to_state: Callable[[Any], Array]
    ) -> None:
        self._streams = streams
        self._first_state = first_state.copy()
        self._to_state = to_state
        self._taken = threading.Lock()
        self.input_size: int = streams[0].input_size
        self.hidden_size: int = streams[0].hidden_size
        self.output_size: int = streams[-1].output_size
        self.batch_size: int | None = streams[0].batch_size
        self.dtype: np.dtype[Any] = streams[0].dtype
        self.reset()

    def step(self, x: Any, out: Array | None = None) -> Array:
        """Read the inputs of one step, move the states on, return the outputs.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,); or whole numbers (batch,), or one
        out : array (batch, outputs) or (outputs,), optional
            C-contiguous and of the network's dtype; the outputs are written to it.

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
        if out is not None:
            batch = () if self.batch_size is None else (self.batch_size,)
            like = np.empty((*batch, self.output_size), self.dtype)
            if not (
                isinstance(out, np.ndarray)
                and (out.dtype, out.shape) == (like.dtype, like.shape)
                and out.flags.carray
            ):
                contracts.check_out(out, like)
        *lower, top = self._streams
        with self._alone():
            # Only the lowest can refuse what comes: nothing has moved then.
            for stream in lower:
                x = stream.step(x)
            y: Array = top.step(x, out)
        return y

    def run(self, x: Any) -> Array:
        """Read a block of steps, move the states on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); or whole numbers (batch, time) or (time,)

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
        with self._alone():
            for stream in self._streams:
                x = stream.run(x)
        y: Array = x
        return y

    @property
    def state(self) -> Array:
        """A copy of the last states; may be assigned to."""
        with self._alone():
            states = [stream.state for stream in self._streams]
        return np.stack(states) if len(states) > 1 else states[0]

    @state.setter
    def state(self, value: Any) -> None:
        state = self._to_state(value)
        with self._alone():
            self._set(state)

    def reset(self) -> None:
        """Go back to the states that sequences start from.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        with self._alone():
            self._set(self._first_state)

    def copy(self) -> "LayeredStream":
        """Return a stream that goes on from the same states, independent of this one.

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        with self._alone():
            streams = [stream.copy() for stream in self._streams]
            states = [stream.state for stream in streams]
        twin = LayeredStream(streams, self._first_state, self._to_state)
        for stream, state in zip(streams, states, strict=True):
            stream.state = state
        return twin

    def __copy__(self) -> "LayeredStream":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "LayeredStream":
        return self.copy()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(contracts.STREAM_PICKLED)

    def __repr__(self) -> str:
        return contracts.stream_repr(self)

    def _set(self, state: Array) -> None:
        several = len(self._streams) > 1
        for stream, of_layer in zip(self._streams, state if several else [state], strict=True):
            stream.state = of_layer

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out."""
        if not self._taken.acquire(blocking=False):
            raise RuntimeError(contracts.STREAM_BUSY)
        try:
            yield
        finally:
            self._taken.release()
