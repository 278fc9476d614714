"""Streams of several layers: one stream a layer, each reading what the one below returns."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from crnn.checks import Array
from crnn.kernels import streams


class LayeredStream:
    """A stream of several layers, or one that starts from trained states.

    `RNN.stream` makes them; they have the methods and attributes of the kernels' `Stream`.

    Parameters
    ----------
    streams : list of Stream
        One a layer, the lowest first.
    first_state : array (layers, batch, S)
        What `reset` goes back to; S is hidden, or of an LSTM twice as many, h and then c.
    to_states : function
        Checks a state that is assigned and returns it as an array like `first_state`.
    shown : function
        Turns such an array into what users see: without axes of one layer or of one sequence, and
        of an LSTM a pair.

    Attributes
    ----------
    input_size, hidden_size, output_size : int
    batch_size : int or None
    dtype : numpy dtype
    state : array (layers, batch, hidden), or of an LSTM a pair of such
        A copy of the last states, without axes of one layer or of one sequence; may be assigned
        to.
    """

    def __init__(
        self,
        streams: list[Any],
        first_state: Array,
        to_states: Callable[[Any], Array],
        shown: Callable[[Array], Any],
    ) -> None:
        self._streams = streams
        self._first_state = first_state.copy()
        self._to_states = to_states
        self._shown = shown
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
                streams.check_out(out, like)
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
    def state(self) -> Any:
        """A copy of the last states; may be assigned to."""
        with self._alone():
            states = self._get()
        return self._shown(states)

    @state.setter
    def state(self, value: Any) -> None:
        states = self._to_states(value)
        with self._alone():
            self._set(states)

    @state.deleter
    def state(self) -> None:
        raise AttributeError(
            "state: expected an assignment, got a deletion; reset() goes back to the first one"
        )

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
            states = self._get()
        twin = LayeredStream(streams, self._first_state, self._to_states, self._shown)
        twin._set(states)
        return twin

    def __copy__(self) -> "LayeredStream":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "LayeredStream":
        return self.copy()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(streams.STREAM_PICKLED)

    def __repr__(self) -> str:
        return streams.stream_repr(self)

    def _get(self) -> Array:
        """Return the states (layers, batch, S)."""
        states = [stream.state for stream in self._streams]
        parts = [np.concatenate(s, axis=-1) if isinstance(s, tuple) else s for s in states]
        return np.stack(parts).reshape(self._first_state.shape)

    def _set(self, states: Array) -> None:
        for stream, of_layer in zip(self._streams, states, strict=True):
            state = of_layer[0] if self.batch_size is None else of_layer
            stream.state = streams.public_state(state, self.hidden_size)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out."""
        if not self._taken.acquire(blocking=False):
            raise RuntimeError(streams.STREAM_BUSY)
        try:
            yield
        finally:
            self._taken.release()
