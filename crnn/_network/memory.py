"""Arrays in memory that is kept from call to call.

The system hands out new memory page by page, when a page is first written, and that takes longer
than the arithmetic on its numbers. So the large arrays of a pass lie in blocks that are kept: when
the last array in a block is gone, the next call has it. That holds for arrays that users keep, too:
they keep their block for as long as they like, and no call writes to it.

Each thread has blocks of its own. Another thread may drop the last array in one, and then only
appends to the owner's queue, so nothing here takes a lock.

Where the system has no more memory, the blocks that are not in use are given back to it.
"""

import math
import threading
from collections import deque
from typing import Any

import numpy as np

from crnn._typing import Array

# Smaller arrays come from NumPy: the C library keeps memory of such sizes itself.
SMALLEST_BLOCK = 1 << 16
# So much memory is managed here at most, for each thread; what exceeds it comes from NumPy.
MOST_MEMORY = 1 << 28
# A block serves arrays down to this share of it.
LEAST_USED = 0.5
# Data begin at a cache line, so that no register is loaded from two of them.
ALIGNMENT = 64


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialized array, as `numpy.empty` does."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST_BLOCK:
        return np.empty(shape, dtype)
    blocks = _of_this_thread.blocks
    try:
        loan = blocks.lend(size, shape, dtype)
        return np.empty(shape, dtype) if loan is None else np.asarray(loan)
    except (MemoryError, SystemError):
        # What is kept and not in use may be what the system lacks. NumPy raises a SystemError where
        # it is the memory for a dtype's name.
        blocks.forget()
        return np.empty(shape, dtype)
    except BaseException:
        # Ctrl-C may have come between a block and its count.
        blocks.forget()
        raise


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array of zeros."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def copy(array: Array) -> Array:
    """Return a C-contiguous copy."""
    twin = empty(array.shape, array.dtype)
    twin[...] = array
    return twin


class _Block:
    """So many bytes of memory, from an address that `ALIGNMENT` divides."""

    __slots__ = ("_memory", "address", "size")

    def __init__(self, size: int) -> None:
        self._memory = np.empty(size + ALIGNMENT, np.uint8)
        # Not `ctypes.data`: CPython 3.13 does not protect the types of ctypes from threads.
        start = self._memory.__array_interface__["data"][0]
        self.address = start + -start % ALIGNMENT
        self.size = size


class _Loan:
    """A block in use by arrays, which returns to its queue with the last of them."""

    __slots__ = ("__array_interface__", "_block", "_queue")

    def __init__(
        self, block: _Block, queue: "_Queue", shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        # First, because `__del__` is called even where there is no memory for the dictionary
        self._block, self._queue = block, queue
        self.__array_interface__ = {
            "version": 3,
            "data": (block.address, False),
            "shape": shape,
            "typestr": dtype.str,
        }

    def __del__(self) -> None:
        try:
            self._queue.append(self._block)
        except MemoryError:
            self._queue.has_lost = True


class _Queue(deque[_Block]):
    """Blocks that are no longer in use; `has_lost`: there was no memory to take in one more."""

    __slots__ = ("has_lost",)

    def __init__(self) -> None:
        super().__init__()
        self.has_lost = False


class _Blocks:
    """The blocks of one thread.

    Together they are no larger than those that were lent at some moment, nor than `MOST_MEMORY`.
    """

    def __init__(self) -> None:
        self._is_lending = False
        self._begin()

    def _begin(self) -> None:
        # The one that was returned first comes first.
        self._idle: list[_Block] = []
        self._returned = _Queue()
        self._total = self._lent = self._most_lent = 0

    def forget(self) -> None:
        """Give up all blocks, idle ones now, those in use when their last arrays go; count anew.

        Counts may be wrong after an exception, which may come between a block and its count.
        """
        self._idle.clear()
        self._returned.has_lost = True

    def lend(self, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Loan | None:
        """Return a loan of `size` bytes or more, or None if that were too much memory.

        None, too, for a signal's handler or a finalizer that is called while this runs.
        """
        if self._is_lending:
            return None
        self._is_lending = True
        try:
            return self._lend(size, shape, dtype)
        finally:
            self._is_lending = False

    def _lend(self, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Loan | None:
        if self._returned.has_lost:
            self._begin()
        while self._returned:
            block = self._returned.popleft()
            self._lent -= block.size
            self._idle.append(block)
        best = None
        for block in self._idle:
            if size <= block.size <= size / LEAST_USED and (best is None or block.size < best.size):
                best = block
        if best is not None:
            self._idle.remove(best)
        elif self._lent + size > MOST_MEMORY:
            return None
        else:
            self._most_lent = max(self._most_lent, self._lent + size)
            while self._idle and self._total + size > self._most_lent:
                self._total -= self._idle.pop(0).size
            best = _Block(size)
            self._total += size
        self._lent += best.size
        return _Loan(best, self._returned, shape, dtype)


class _OfThisThread(threading.local):
    def __init__(self) -> None:
        self.blocks = _Blocks()


_of_this_thread = _OfThisThread()
