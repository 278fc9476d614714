"""The ranks of an MPI communicator that train one network together.

Every exchange begins with a header of each rank to all others. It says whether that rank has
failed, so a rank that raises an error sends one more header, and the others stop instead of waiting
for it. Sums are added in the order of the ranks: their bits do not depend on timing.
"""

import io
import itertools
import json
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from crnn._typing import Array, FloatArray, IntArray

if TYPE_CHECKING:
    from crnn._training.communicator import Communicator

METHODS = ("Get_rank", "Get_size", "Allgather", "Allgatherv", "Alltoallv")
# The length of the error's text, 0 without an error; and two numbers for the exchange
HEADER_SIZE = 3


class Ranks:
    """A rank and the others, from the beginning of a run to its end.

    Parameters
    ----------
    comm : Communicator

    Attributes
    ----------
    rank, size : int
        Its number, and how many there are.

    Raises
    ------
    TypeError
        It is no communicator.
    """

    def __init__(self, comm: Any) -> None:
        if not all(callable(getattr(comm, name, None)) for name in METHODS):
            raise TypeError(
                "comm: expected a communicator of mpi4py, such as MPI.COMM_WORLD, got "
                f"{type(comm).__name__}"
            )
        self._comm: Communicator = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self._header = np.zeros(HEADER_SIZE)
        self._headers = np.zeros((self.size, HEADER_SIZE))
        # What all ranks send this one of a vector that they add up, by rank
        self._pieces = np.empty((self.size, 0))
        # Whether the others wait for what this rank sends next
        self._are_waiting = True
        # Whether an interrupt waits for the end of the outermost of these blocks
        self._is_interrupted = False
        self._blocks_without_interrupts = 0
        self._handler_before: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and shows what happens."""
        return self.rank == 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler_before = handler
                signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None and self._are_waiting:
                with self.without_interrupts():
                    self._send_failure(error)
        finally:
            if self._handler_before is not None:
                signal.signal(signal.SIGINT, self._handler_before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._blocks_without_interrupts:
            self._is_interrupted = True
        else:
            self._handler_before(number, frame)

    @contextmanager
    def without_interrupts(self) -> Iterator[None]:
        """Let Ctrl-C wait for the end of a block that the ranks leave together."""
        self._blocks_without_interrupts += 1
        try:
            yield
        finally:
            self._blocks_without_interrupts -= 1
            if self._is_interrupted and not self._blocks_without_interrupts:
                self._is_interrupted = False
                self._handler_before(signal.SIGINT, None)

    def share(self, rows: Array, lengths: IntArray | None = None) -> Array:
        """Return the consecutive part of the rows that this rank takes.

        Parameters
        ----------
        rows : array (n,)
            Numbers of sequences.
        lengths : array or None
            The steps of all sequences: then all parts have about as many steps.
        """
        steps = np.arange(1, len(rows) + 1) if lengths is None else np.cumsum(lengths[rows])
        # The last row whose middle comes before each border
        borders = steps[-1] * np.arange(self.size + 1) / self.size
        middles = steps - np.diff(steps, prepend=0) / 2
        first, last = np.searchsorted(middles, borders[self.rank : self.rank + 2])
        return rows[first:last]

    def sum(self, number: float) -> float:
        """Return the sum of a number of each rank."""
        with self.without_interrupts():
            return float(sum(self.exchange(number)[:, 0].tolist()))

    def exchange(self, *numbers: float) -> FloatArray:
        """Return one or two numbers of each rank (size, 2), or raise what another rank says.

        Raises
        ------
        RuntimeError
            Another rank has failed.
        """
        self._header[0] = 0
        self._header[1 : 1 + len(numbers)] = numbers
        self._call(self._comm.Allgather, self._header, self._headers)
        if self._headers[:, 0].any():
            texts = self._gather_bytes(b"", self._headers[:, 0])
            self._are_waiting = False
            number = int(np.flatnonzero(self._headers[:, 0])[0])
            raise RuntimeError(f"comm: rank {number} stopped: {texts[number].decode()}")
        return self._headers[:, 1:].copy()

    def _send_failure(self, error: BaseException) -> None:
        """Tell the others, instead of what they wait for."""
        text = _shown(error)
        self._header[0] = len(text)
        self._call(self._comm.Allgather, self._header, self._headers)
        self._gather_bytes(text, self._headers[:, 0])
        self._are_waiting = False

    def _call(self, method: Callable[[Any, Any], None], send: Any, receive: Any) -> None:
        # A rank whose communication fails has no way to tell the others.
        self._are_waiting = False
        method(send, receive)
        self._are_waiting = True

    def _gather_bytes(
        self, data: bytes, sizes: FloatArray, received: Array | None = None
    ) -> list[bytes]:
        """Return the bytes of each rank, which are so many."""
        counts = [int(size) for size in sizes]
        if received is None:
            received = np.empty(sum(counts), np.uint8)
        places = _places(counts)
        self._call(
            self._comm.Allgatherv,
            [np.frombuffer(data, np.uint8), len(data)],
            [received, (counts, places)],
        )
        return [
            received[place : place + count].tobytes()
            for place, count in zip(places, counts, strict=True)
        ]

    def gather(self, arrays: Sequence[Array]) -> list[list[Array]]:
        """Return the arrays of each rank, which may be others and more or fewer."""
        file = io.BytesIO()
        for array in arrays:
            np.save(file, array, allow_pickle=False)
        data = file.getvalue()
        with self.without_interrupts():
            sizes = self.exchange(len(data))[:, 0]
            received = np.empty(int(sizes.sum()), np.uint8)
            # All of them have the memory.
            self.exchange()
            gathered = self._gather_bytes(data, sizes, received)
        return [_arrays_in(text) for text in gathered]

    def make_room(self, vector: Array) -> None:
        """Have the memory for `add_up` with vectors such as this."""
        counts, _ = self._parts(vector)
        self._pieces = np.empty((self.size, counts[self.rank]), vector.dtype)

    def _parts(self, vector: Array) -> tuple[list[int], list[int]]:
        """Return how many elements of a vector each rank adds, and from which on."""
        borders = [len(vector) * rank // self.size for rank in range(self.size + 1)]
        return [last - first for first, last in itertools.pairwise(borders)], borders[:-1]

    def add_up(self, vector: Array) -> None:
        """Replace a vector (n,) by the sum of those of all ranks, with the same bits on all.

        Each rank adds a part of it, after `make_room`. The header of this exchange is that of an
        `exchange` before.
        """
        counts, places = self._parts(vector)
        own, pieces = counts[self.rank], self._pieces
        self._call(
            self._comm.Alltoallv,
            [vector, (counts, places)],
            [pieces, ([own] * self.size, [own * rank for rank in range(self.size)])],
        )
        total = pieces[0]
        with np.errstate(all="ignore"):
            for piece in pieces[1:]:
                total += piece
        self._call(self._comm.Allgatherv, [total, own], [vector, (counts, places)])

    def agree(self, description: dict[str, Any], advice: dict[str, str]) -> None:
        """Raise a ValueError on all ranks unless all say the same.

        Parameters
        ----------
        description : dict
            Values by name, which JSON can hold.
        advice : dict of str
            By names whose values say nothing to a reader: what to do where they differ.
        """
        text = json.dumps(description).encode()
        with self.without_interrupts():
            texts = self._gather_bytes(text, self.exchange(len(text))[:, 0])
        first, *others = map(json.loads, texts)
        for rank, other in enumerate(others, 1):
            for name in first | other:
                one, another = first.get(name), other.get(name)
                if one == another:
                    continue
                if name in advice:
                    raise ValueError(
                        f"{name}: expected the same on all ranks, got others on rank {rank} than "
                        f"on rank 0; {advice[name]}"
                    )
                raise ValueError(
                    f"{name}: expected the same on all ranks, got {one!r} on rank 0 and "
                    f"{another!r} on rank {rank}"
                )

    def end_epoch(self, theta: Array, *, is_over: bool, is_last: bool) -> bool:
        """Return whether a rank says that training is over.

        Then, or after the last epoch, this exchange was the last one.

        Parameters
        ----------
        theta : array (n,)
            The parameters.
        is_over : bool
            What this rank says.
        is_last : bool
            Whether it is the last epoch.

        Raises
        ------
        ValueError
            The parameters of the ranks are no longer the same.
        """
        with self.without_interrupts():
            found = self.exchange(is_over, zlib.crc32(theta.data))
            is_over = bool(found[:, 0].any())
            # Before an interrupt that waits: the others leave, and expect no word of it.
            self._are_waiting = not (is_over or is_last)
        differ = found[:, 1] != found[0, 1]
        if differ.any():
            raise ValueError(
                f"comm: the parameters of rank {np.flatnonzero(differ)[0]} are no longer those of "
                "rank 0; callbacks and learning rates have to do the same on all ranks"
            )
        return is_over


def _shown(error: BaseException) -> bytes:
    """Return the kind and the text of an error, whatever they are: the others wait for it."""
    try:
        text = str(error)
    except Exception:
        text = "an error without a text"
    return ": ".join(filter(None, (type(error).__name__, text))).encode(errors="backslashreplace")


def _places(counts: list[int]) -> list[int]:
    """Return where parts of so many elements begin, one after another."""
    return [0, *itertools.accumulate(counts)][:-1]


def _arrays_in(data: bytes) -> list[Array]:
    """Return the arrays that `gather` has put into bytes."""
    file, arrays = io.BytesIO(data), []
    while file.tell() < len(data):
        arrays.append(np.load(file, allow_pickle=False))
    return arrays
