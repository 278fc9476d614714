"""Chains of networks and dense layers."""

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from crnn import _backend, checks
from crnn._inputs import sequences
from crnn._network.architecture import Architecture
from crnn._network.lengths import clear_padding
from crnn._network.network import Network
from crnn._typing import Array, StateLike
from crnn.base import Marks, Sequences
from crnn.conversion import as_numbers
from crnn.dense import Dense
from crnn.kernels.one_thread import OneThread
from crnn.kernels.streams import STATE_DELETED, STREAM_BUSY, STREAM_PICKLED, check_out
from crnn.last_step import LastStep
from crnn.networks import GRU, LSTM, RNN
from crnn.streams import Stream, converter

__all__ = ["SEQUENTIAL_KIND", "SEQUENTIAL_VERSION", "Part", "Sequential", "SequentialStream"]

SEQUENTIAL_KIND, SEQUENTIAL_VERSION = "sequential network", 1
"""The kind and the version of the files that `Sequential.save` writes."""

Part: TypeAlias = RNN | GRU | LSTM | Dense | LastStep
"""A part of a `Sequential`."""


class Sequential:
    """A chain of networks and dense layers: the outputs of each part are the inputs of the next.

    For networks that were trained elsewhere and whose layers differ in size or cell, or that have
    dense layers with activations. It predicts, streams, and is saved and exported. Training is for
    its networks, one by one.

    Parameters
    ----------
    parts : list of RNN, GRU, LSTM, Dense and LastStep
        At least one of them a network. Behind a network with ``return_sequences=False``, and behind
        a `LastStep`, there may be dense layers only. Only the first part may be categorical. The
        chain keeps the parts themselves: it predicts with the parameters that they have at that
        time.

    Attributes
    ----------
    parts : tuple
    input_size, output_size : int
        Features of the inputs, or with a categorical network the number of categories; features of
        the outputs.
    dtype : numpy dtype
        That of all parts.
    return_sequences : bool
        Whether there is an output for each step, and not one per sequence.
    categorical : bool
        Whether inputs are category numbers.

    Raises
    ------
    ValueError, TypeError
        The parts do not fit together.

    Examples
    --------
    >>> import crnn, numpy as np
    >>> first = crnn.GRU(input_size=2, hidden_size=8, seed=0)
    >>> second = crnn.LSTM(input_size=8, hidden_size=4, seed=0)
    >>> last = crnn.Dense(np.ones((3, 4), np.float32), activation="softmax")
    >>> chain = crnn.Sequential([first, second, last])
    >>> chain.predict(np.zeros((10, 2))).shape
    (10, 3)
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts: tuple[Part, ...] = _checked(parts)
        first, *_ = sized = _sized(self.parts)
        self.input_size: int = first.input_size
        self.output_size: int = _outputs(sized[-1])
        self.dtype: np.dtype[Any] = first.dtype
        networks = [part for part in sized if not isinstance(part, Dense)]
        self.return_sequences: bool = networks[-1].return_sequences and len(sized) == len(self)
        self.categorical: bool = not isinstance(first, Dense) and first.categorical
        self._num_networks = len(networks)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> Part:
        return self.parts[number]

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.parts))}])"

    @overload
    def predict(
        self,
        x: npt.NDArray[Any],
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        h0: Sequence[StateLike | None] | None = None,
        return_state: Literal[False] = False,
    ) -> Array: ...

    @overload
    def predict(
        self,
        x: npt.NDArray[Any],
        *,
        lengths: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
        h0: Sequence[StateLike | None] | None = None,
        return_state: Literal[True],
    ) -> tuple[Array, list[Any]]: ...

    @overload
    def predict(
        self,
        x: Sequences,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: Marks | None = None,
        h0: Sequence[StateLike | None] | None = None,
        return_state: bool = False,
    ) -> Array | list[Array] | tuple[Array | list[Array], list[Any]]: ...

    def predict(
        self,
        x: Sequences,
        *,
        lengths: npt.ArrayLike | None = None,
        resets: Marks | None = None,
        h0: Sequence[StateLike | None] | None = None,
        return_state: bool = False,
    ) -> Array | list[Array] | tuple[Array | list[Array], list[Any]]:
        """Return the outputs for sequences.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
            Or a list of arrays of different lengths, each of one sequence.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them.
        resets : array of bool (batch, time), or a list of arrays (time_i,); optional
            Steps before which a new sequence begins, as in `RNN.forward`; for one sequence (time,).
        h0 : list, optional
            The states to start from: one entry for each network among the parts, as
            `RNN.predict` takes it, or None.
        return_state : bool
            Whether to return the last states too, from which a later call can go on.

        Returns
        -------
        y : array (batch, time, outputs) or (time, outputs)
            Zero past a sequence's end. Without `return_sequences` (batch, outputs) or (outputs,).
            For a list a list of arrays (time_i, outputs).
        states : list
            The last states of each network among the parts. Only with `return_state`.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or what a part hands on is not finite.
        """
        return_state = checks.boolean("return_state", return_state)
        n = self._num_networks
        starts = iter([None] * n if h0 is None else _checked_states("h0", h0, n))
        states: list[Any] = []
        y: Any = x
        has_time = True
        if isinstance(self.parts[0], Dense):
            reader = _reader(self.parts[0])
            if sequences.is_ragged(x):
                y, *_ = sequences.ragged_sequences(
                    reader, x, lengths, resets=resets, may_be_empty=True
                )
            else:
                y, *_, single = sequences.sequences(
                    reader, x, None, lengths, resets=resets, may_be_empty=True
                )
                y = y[0] if single else y
        for number, part in enumerate(self.parts):
            if isinstance(part, Dense):
                y = _dense_outputs(part, y, has_time=has_time)
                continue
            if isinstance(part, LastStep):
                nothing = np.empty((0, _outputs(_sized(self.parts[:number])[-1])), self.dtype)
                steps = None if lengths is None else as_numbers("lengths", lengths)
                y, has_time = part._of_sequences(y, steps, nothing), False
                continue
            try:
                y, state = part.predict(
                    y, next(starts), return_state=True, lengths=lengths, resets=resets
                )
            except ValueError as error:
                raise _of_part(number, error) from None
            states.append(state)
            has_time = part.return_sequences
        if lengths is not None and self.return_sequences:
            clear_padding(y, as_numbers("lengths", lengths))
        return (y, states) if return_state else y

    def stream(self, batch_size: int | None = None) -> "SequentialStream":
        """Return a stream: the chain as it is now, for inputs that come one step at a time.

        Parameters
        ----------
        batch_size : int, optional
            How many sequences go side by side. Without it there is one, and arrays have no batch
            axis.

        Returns
        -------
        SequentialStream
            Its states start at zero or at the trained h0.

        Raises
        ------
        ValueError, TypeError
            The batch size is no whole number of at least 1, or a network is bidirectional.

        Examples
        --------
        >>> import crnn
        >>> first = crnn.GRU(input_size=2, hidden_size=8, seed=0)
        >>> stream = crnn.Sequential([first, crnn.RNN(8, 3, seed=0)]).stream()
        >>> stream.step([0.1, 0.2]).shape
        (3,)
        """
        if batch_size is not None:
            batch_size = checks.integer("batch_size", batch_size, at_least=1)
        parts: list[Any] = []
        for number, part in enumerate(self.parts):
            if isinstance(part, LastStep):
                # A stream has outputs for each step.
                continue
            if isinstance(part, Dense):
                parts.append(_DenseStream(part, batch_size, is_first=number == 0))
                continue
            try:
                parts.append(part.stream(batch_size))
            except ValueError as error:
                raise _of_part(number, error) from None
        return SequentialStream(parts, self.input_size, self.output_size, batch_size, self.dtype)

    def describe(self) -> dict[str, Any]:
        """Return what files keep of the chain beside its numbers.

        Returns
        -------
        dict
            ``{"parts": [...]}``, of values that JSON can hold.
        """
        return {"parts": [_description(part) for part in self.parts]}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the chain to a file, which `crnn.load` reads.

        The file is written whole or not at all, as that of `RNN.save`.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        ValueError
            There are more parts than a file can hold, some 100.
        OSError
            The file cannot be written; one that existed is as it was.
        """
        # Imported here: the libraries for files take longer to import than crnn.
        from crnn import archive

        header = {"format": f"crnn {SEQUENTIAL_KIND}", "version": SEQUENTIAL_VERSION}
        arrays = {
            f"part_{number}": _numbers(part)
            for number, part in enumerate(self.parts)
            if not isinstance(part, LastStep)
        }
        archive.write(path, header | self.describe(), arrays)


class SequentialStream:
    """A chain as it was when the stream was made, with the states of its networks.

    `Sequential.stream` makes such streams. They are used as `Stream` is: one thread at a time, and
    outputs are those of `Sequential.predict`, however they are cut into steps and blocks. There is
    an output for each step, also where a network of the chain has ``return_sequences=False``, or
    there is a `LastStep`.

    Parameters
    ----------
    parts : list
        Streams of networks, and dense layers that have the methods of streams.
    input_size, output_size : int
    batch_size : int or None
    dtype : numpy dtype
        All four are attributes, too.

    Attributes
    ----------
    state : list
        Copies of the last states, one entry for each network. It may be assigned to.
    """

    def __init__(
        self,
        parts: list[Any],
        input_size: int,
        output_size: int,
        batch_size: int | None,
        dtype: np.dtype[Any],
    ) -> None:
        self._parts = parts
        self.input_size = input_size
        self.output_size = output_size
        self.batch_size = batch_size
        self.dtype = dtype
        self._alone = OneThread(STREAM_BUSY)

    def step(self, x: npt.ArrayLike, out: Array | None = None) -> Array:
        """Read the inputs of one step, move the states on, return the outputs.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,); with categories (batch,) or a whole number
        out : array (batch, outputs) or (outputs,), optional
            C-contiguous and of the chain's dtype; the outputs are written to it. It may be `x`.

        Returns
        -------
        array (batch, outputs) or (outputs,)
            `out`, or a new array.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or what a part hands on is not finite; the states
            are as before.
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
                check_out(out, like)
        y: Array = self._alone.call(self._through_parts, "step", x, ())
        if out is None:
            return y
        out[...] = y
        return out

    def run(self, x: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Array:
        """Read a block of steps, move the states on, return the outputs of all of them.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
        lengths : array (batch,), optional
            So many of its steps each sequence reads, from 0 to all.

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)
            Zero past a sequence's length.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or what a part hands on is not finite; the states
            are as before.
        RuntimeError
            Another thread is using this stream.
        """
        y: Array = self._alone.call(self._through_parts, "run", x, (lengths,))
        return y

    def _through_parts(self, method: str, x: Any, arguments: tuple[Any, ...]) -> Array:
        before, number = self._copied_states(), 0
        try:
            while number < len(self._parts):
                x = getattr(self._parts[number], method)(x, *arguments)
                number += 1
        except BaseException as error:
            # The parts before have moved on.
            self._take_states(before)
            raise (_of_part(number, error) if isinstance(error, ValueError) else error) from None
        y: Array = x
        return y

    @property
    def state(self) -> list[Any]:
        """Copies of the last states, one entry for each network; may be assigned to."""
        states: list[Any] = self._alone.call(self._copied_states)
        return states

    @state.setter
    def state(self, value: Sequence[StateLike]) -> None:
        self._alone.call(self._set_states, value)

    @state.deleter
    def state(self) -> None:
        raise AttributeError(STATE_DELETED)

    def _networks(self) -> list[Stream[Any]]:
        return [part for part in self._parts if not isinstance(part, _DenseStream)]

    def _copied_states(self) -> list[Any]:
        return [part.state for part in self._networks()]

    def _take_states(self, states: Sequence[Any]) -> None:
        for part, state in zip(self._networks(), states, strict=True):
            part.state = state

    def _set_states(self, value: Any) -> None:
        before, networks = self._copied_states(), self._networks()
        states = _checked_states("state", value, len(networks))
        try:
            for number, (part, state) in enumerate(zip(networks, states, strict=True)):
                with checks.within(f"state[{number}]"):
                    part.state = state
        except BaseException:
            self._take_states(before)
            raise

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
        self._alone.call(self._reset, which)

    def _reset(self, which: npt.ArrayLike | None) -> None:
        for part in self._networks():
            part.reset(which)

    def copy(self) -> "SequentialStream":
        """Return a stream that goes on from the same states, independent of this one.

        Returns
        -------
        SequentialStream

        Raises
        ------
        RuntimeError
            Another thread is using this stream.
        """
        parts: list[Any] = self._alone.call(self._copied_parts)
        return SequentialStream(
            parts, self.input_size, self.output_size, self.batch_size, self.dtype
        )

    def _copied_parts(self) -> list[Any]:
        return [part if isinstance(part, _DenseStream) else part.copy() for part in self._parts]

    def __copy__(self) -> "SequentialStream":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "SequentialStream":
        return self.copy()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(STREAM_PICKLED)

    def __repr__(self) -> str:
        return (
            f"SequentialStream(input_size={self.input_size}, output_size={self.output_size}, "
            f"batch_size={self.batch_size}, dtype='{self.dtype}')"
        )


class _DenseStream:
    """A dense layer with the methods of a stream; the first part of a chain checks its inputs."""

    def __init__(self, layer: Dense, batch_size: int | None, *, is_first: bool) -> None:
        self._layer = layer
        self._convert = converter(_reader(layer), batch_size) if is_first else None

    def step(self, x: Any) -> Array:
        if self._convert is not None:
            x = self._convert("x", x, "inputs")
        # One sequence is a batch of one, as in `run`: the bits of a product depend on its size.
        return self._layer._of_step(x) if x.ndim == 2 else self._layer._of_step(x[None])[0]

    def run(self, x: Any, lengths: Any) -> Array:
        if self._convert is not None:
            if lengths is None:
                x = self._convert("x", x, "time inputs")
            else:
                x, _ = self._convert("x", x, "time inputs", lengths)
        y: Array = _dense_outputs(self._layer, x, has_time=True)
        if lengths is not None:
            clear_padding(y, as_numbers("lengths", lengths))
        return y


def _checked(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts of a chain, or raise what does not fit together."""
    if isinstance(parts, (str, bytes)) or not isinstance(parts, Iterable):
        raise TypeError(f"parts: expected a list of networks and Dense, got {parts!r}")
    checked = tuple(parts)
    for number, part in enumerate(checked):
        if not isinstance(part, (RNN, GRU, LSTM, Dense, LastStep)):
            raise TypeError(
                f"parts[{number}]: expected an RNN, GRU, LSTM, Dense or LastStep, "
                f"got {type(part).__name__}"
            )
    if not any(isinstance(part, (RNN, GRU, LSTM)) for part in checked):
        raise ValueError(
            "parts: expected at least one RNN, GRU or LSTM among them, got "
            + (f"{len(checked)} others" if checked else "none")
        )
    _check_order(checked)
    numbered = [(n, part) for n, part in enumerate(checked) if not isinstance(part, LastStep)]
    for (_, before), (number, part) in pairwise(numbered):
        if part.dtype != before.dtype:
            raise ValueError(
                f"parts[{number}]: expected {before.dtype}, the dtype of the parts before, "
                f"got {part.dtype}"
            )
        if part.input_size != _outputs(before):
            raise ValueError(
                f"parts[{number}]: expected input_size={_outputs(before)}, the outputs of the part "
                f"before, got {part.input_size}"
            )
        if isinstance(part, Dense):
            continue
        if part.categorical:
            raise ValueError(
                f"parts[{number}]: expected categorical=False behind the first part, whose outputs "
                "are features, got categorical=True"
            )
    return checked


def _check_order(parts: tuple[Part, ...]) -> None:
    """Raise unless what reads steps is where there are steps."""
    # None where each step has an output
    one_output: str | None = None
    has_network = False
    for number, part in enumerate(parts):
        if isinstance(part, Dense):
            continue
        if one_output is not None:
            raise ValueError(
                f"parts[{number}]: expected a Dense behind a {one_output}, "
                f"which has one output per sequence, got {type(part).__name__}"
            )
        if isinstance(part, LastStep):
            one_output = "LastStep"
            if not has_network:
                raise ValueError(
                    f"parts[{number}]: expected an RNN, GRU or LSTM before the LastStep, got none"
                )
            continue
        has_network = True
        if not part.return_sequences:
            one_output = "network with return_sequences=False"


def _sized(parts: Sequence[Part]) -> list[RNN | GRU | LSTM | Dense]:
    """Return the parts that have numbers and sizes of their own."""
    return [part for part in parts if not isinstance(part, LastStep)]


def _checked_states(name: str, values: Any, n: int) -> Sequence[Any]:
    """Return the states of n networks, or raise unless they are a list of so many."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(
            f"{name}: expected a list of {n}, a state for each network, got {type(values).__name__}"
        )
    if len(values) != n:
        raise ValueError(
            f"{name}: expected a list of {n}, a state for each network, got {len(values)} of them"
        )
    return values


def _outputs(part: RNN | GRU | LSTM | Dense) -> int:
    """Return how many features a part hands on."""
    return part.output_size if isinstance(part, Dense) else part.architecture.outputs


def _reader(layer: Dense) -> Network:
    """Return a network that has the layer's inputs, for the checks of sequences."""
    return Network(Architecture(layer.input_size, 1), layer.dtype, _backend.kernels)


def _of_part(number: int, error: BaseException) -> BaseException:
    """Return the error of a part as one of the chain."""
    return ValueError(f"parts[{number}]: {error}") if number else error


def _dense_outputs(layer: Dense, x: Any, *, has_time: bool) -> Any:
    """Return a layer's outputs for what is handed from part to part, of the same kind."""
    if isinstance(x, list):
        return [layer._of_sequences(sequence[None])[0] for sequence in x]
    if not has_time:
        return layer._of_step(x) if x.ndim == 2 else layer._of_step(x[None])[0]
    return layer._of_sequences(x) if x.ndim == 3 else layer._of_sequences(x[None])[0]


def _description(part: Part) -> dict[str, Any]:
    """Return what files keep of a part beside its numbers."""
    if isinstance(part, LastStep):
        return {"kind": "last step"}
    if not isinstance(part, Dense):
        return {"kind": "network", **part.describe()}
    return {
        "kind": "dense",
        "input_size": part.input_size,
        "output_size": part.output_size,
        "activation": part.activation,
        "dtype": part.dtype.name,
    }


def _numbers(part: RNN | GRU | LSTM | Dense) -> Array:
    """Return the numbers of a part in one vector, as files keep them."""
    if isinstance(part, Dense):
        return np.concatenate([part.weight.ravel(), part.bias])
    return part.flat_params
