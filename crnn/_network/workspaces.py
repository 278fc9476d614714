"""Scratch memory for kernel calls, handed from call to call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from crnn.checks import Array


class Scratch:
    """Workspaces of one dtype. Threads that call at the same time get their own.

    Parameters
    ----------
    dtype : numpy dtype
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._idle: list[Array] = []

    def take(self, size_of: Callable[..., int], cell: str, *sizes: int) -> Array:
        """Return a workspace for a call of sizes T, B, I, H, O; `give` takes it back."""
        size = size_of(cell, *sizes, self._dtype)
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = np.empty(0, self._dtype)
        return workspace if workspace.size >= size else np.empty(size, self._dtype)

    def give(self, workspace: Array) -> None:
        """Keep a workspace for a later call."""
        self._idle.append(workspace)

    @contextmanager
    def lent(self, size_of: Callable[..., int], cell: str, *sizes: int) -> Iterator[Array]:
        """Lend a workspace for as long as the context lasts."""
        workspace = self.take(size_of, cell, *sizes)
        yield workspace
        self.give(workspace)
