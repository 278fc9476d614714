"""The output layer, y_t = W_hy h_t + b_y, or the states h_t themselves where there is none."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.lengths import clear_padding
from crnn._network.workspaces import Workspaces
from crnn._typing import Array, IntArray


class OutputLayer:
    """The output layer of a network, over its parameters and kernels.

    Parameters
    ----------
    architecture : Architecture
    params : mapping of array
        Parameters by name.
    kernels : module
        One of the implementations.
    workspaces : Workspaces
    """

    def __init__(
        self,
        architecture: Architecture,
        params: Mapping[str, Array],
        kernels: ModuleType,
        workspaces: Workspaces,
    ) -> None:
        self._architecture = architecture
        self._params = params
        self._kernels = kernels
        self._workspaces = workspaces

    def forward(self, top: Array, lengths: IntArray | None, y: Array) -> None:
        """Write y (B, T, O) of the top states (B, T, features), zero past sequences' ends."""
        if self._architecture.output_size is None:
            y[...] = top
            if lengths is not None:
                clear_padding(y, lengths)
        elif len(y):
            self._write(top, self._params["W_hy"], self._params["b_y"], lengths, y)

    def add_direction(
        self, y: Array, features: Array, lengths: IntArray | None, direction: int
    ) -> None:
        """Write to y (B, T, O) the part of the forward direction's states, or add the backward's.

        Parameters
        ----------
        y : array (B, T, O)
            Zero past sequences' ends where there is an output layer, otherwise unspecified there.
        features : array (B, T, H)
            Unspecified past sequences' ends.
        lengths : array (B,) or None
        direction : int
            0 or 1.
        """
        H = self._architecture.hidden_size
        part = slice(direction * H, (direction + 1) * H)
        if self._architecture.output_size is None:
            y[..., part] = features
            return
        b_y = self._params["b_y"]
        W_hy = np.ascontiguousarray(self._params["W_hy"][:, part])
        if direction == 0:
            self._write(features, W_hy, b_y, lengths, y)
            return
        backward = memory.empty(y.shape, y.dtype)
        self._write(features, W_hy, np.zeros_like(b_y), lengths, backward)
        with np.errstate(all="ignore"):
            y += backward

    def backward(
        self, top: Array, dy: Array, lengths: IntArray | None, gradients: dict[str, Array]
    ) -> Array:
        """Return dL/d(top) (B, T, features) from dy (B, T, O), and add to the gradients.

        Zero past sequences' ends; without an output layer dy is, already.
        """
        if self._architecture.output_size is None:
            return dy
        dtop = memory.empty(top.shape, top.dtype)
        workspace = self._workspaces.take(self._workspace_size(top, dy.shape[2]))
        self._kernels.output_backward(
            top, self._params["W_hy"], dy, gradients["W_hy"], gradients["b_y"], dtop, lengths,
            workspace,
        )  # fmt: skip
        self._workspaces.give(workspace)
        return dtop

    def _write(self, h: Array, W_hy: Array, b_y: Array, lengths: IntArray | None, y: Array) -> None:
        """Write W_hy h_t + b_y to y (B, T, O)."""
        workspace = self._workspaces.take(self._workspace_size(h, len(W_hy)))
        self._kernels.output_forward(h, W_hy, b_y, y, lengths, workspace)
        self._workspaces.give(workspace)

    def _workspace_size(self, h: Array, O: int) -> int:
        B, T, features = h.shape
        size: int = self._kernels.output_workspace_size(T, B, features, O, h.dtype)
        return size
