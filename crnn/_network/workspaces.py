"""Scratch memory of kernel calls, reused from call to call."""

from typing import Any

import numpy as np

from crnn._typing import Array


class Workspaces:
    """Workspaces of one dtype. Threads that call at the same time get different ones.

    Parameters
    ----------
    dtype : numpy dtype
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._idle: list[Array] = []

    def take(self, size: int) -> Array:
        """Return a workspace of at least `size` scalars; `give` takes it back."""
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = np.empty(0, self._dtype)
        return workspace if workspace.size >= size else np.empty(size, self._dtype)

    def give(self, workspace: Array) -> None:
        """Keep a workspace for a later call."""
        self._idle.append(workspace)
