"""The recurrence over checked arrays: parameters in one flat vector, forward pass and BPTT.

All arrays here are C-contiguous, of the network's dtype and of the right shapes; `network` sees
to that. Whole sequences go to the kernels in one call.
"""

import math
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any

import numpy as np

from crnn.checks import Array

# A prediction keeps the hidden states of so many bytes of steps at a time: enough to make a kernel
# call worth its price, little enough to stay in cache.
PREDICT_BYTES = 1 << 20


class Pass:
    """A forward pass: what BPTT needs of it."""

    __slots__ = ("h", "x", "y")

    def __init__(self, x: Array, h: Array, y: Array) -> None:
        self.x = x  # (B, T, I)
        self.h = h  # (B, T+1, H), h_0 first
        self.y = y  # (B, T, O)


class Recurrence:
    """A tanh layer with an optional output layer.

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int or None
        None: the outputs are the hidden states.
    dtype : numpy dtype
    kernels : module
        One of the implementations.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None,
        dtype: np.dtype[Any],
        kernels: ModuleType,
    ) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.kernels = kernels
        self.shapes: dict[str, tuple[int, ...]] = {
            "W_xh": (hidden_size, input_size),
            "W_hh": (hidden_size, hidden_size),
            "b_h": (hidden_size,),
        }
        self.has_output_layer = output_size is not None
        self.output_size = hidden_size if output_size is None else output_size
        if self.has_output_layer:
            self.shapes["W_hy"] = (self.output_size, hidden_size)
            self.shapes["b_y"] = (self.output_size,)
        ends = [0, *accumulate(math.prod(shape) for shape in self.shapes.values())]
        self._slices = [slice(*bounds) for bounds in pairwise(ends)]
        self.flat = np.zeros(ends[-1], dtype)
        self.params = self.views(self.flat)
        # Scratch for the kernels, handed from call to call. Threads that call at the same time
        # each take their own.
        self._workspaces: list[Array] = []

    def views(self, flat: Array) -> dict[str, Array]:
        """Return the named parts of a vector laid out as the parameters are."""
        return {
            name: flat[part].reshape(shape)
            for part, (name, shape) in zip(self._slices, self.shapes.items(), strict=True)
        }

    def forward(self, x: Array, h0: Array | None) -> Pass:
        """Run whole sequences x (B, T, I) from h0 (B, H), or from zero."""
        h, y = self._states(x, h0), None
        if self.has_output_layer:
            y = self._outputs(h[:, 1:])
        return Pass(x, h, h[:, 1:] if y is None else y)

    def predict(self, x: Array, h0: Array | None) -> tuple[Array, Array]:
        """Return outputs (B, T, O) and last states (B, H) without keeping the states between."""
        B, T, _ = x.shape
        y = np.empty((B, T, self.output_size), self.flat.dtype)
        steps = max(1, PREDICT_BYTES // (B * self.hidden_size * self.flat.itemsize))
        for start in range(0, T, steps):
            h = self._states(x[:, start : start + steps], h0)
            if self.has_output_layer:
                self._outputs(h[:, 1:], y[:, start : start + steps])
            else:
                y[:, start : start + steps] = h[:, 1:]
            h0 = h[:, -1]
        return y, h[:, -1].copy()

    def backward(
        self, run: Pass, dy: Array, dh_n: Array | None, gradient: Array, *, towards_x: bool
    ) -> tuple[Array | None, Array]:
        """Backpropagate through time.

        Parameters
        ----------
        run : Pass
        dy : array (B, T, O)
            dL/dy.
        dh_n : array (B, H) or None
            What reaches the last state beside its output.
        gradient : array (n,)
            dL/d(parameters) is added, in the order of `flat`.
        towards_x : bool
            Whether the gradient towards x is wanted.

        Returns
        -------
        dx : array (B, T, I) or None
        dh0 : array (B, H)
        """
        B, T, _ = run.x.shape
        W, dW = self.params, self.views(gradient)
        workspace = self._take_workspace(B, T)
        if self.has_output_layer:
            dh = np.empty((B, T, self.hidden_size), self.flat.dtype)
            self.kernels.output_backward(
                run.h[:, 1:], W["W_hy"], dy, dW["W_hy"], dW["b_y"], dh, workspace
            )
        else:
            dh = dy.copy()
        if dh_n is not None:
            dh[:, -1] += dh_n
        dx = np.empty_like(run.x) if towards_x else None
        dh0 = np.empty((B, self.hidden_size), self.flat.dtype)
        self.kernels.rnn_backward(
            run.x, run.h, W["W_xh"], W["W_hh"], dh, dW["W_xh"], dW["W_hh"], dW["b_h"], dx, dh0,
            workspace,
        )  # fmt: skip
        self._workspaces.append(workspace)
        return dx, dh0

    def _states(self, x: Array, h0: Array | None) -> Array:
        """Return the states (B, T+1, H), h_0 first."""
        B, T, _ = x.shape
        W = self.params
        h = np.empty((B, T + 1, self.hidden_size), self.flat.dtype)
        h[:, 0] = 0 if h0 is None else h0
        workspace = self._take_workspace(B, T)
        self.kernels.rnn_forward(x, W["W_xh"], W["W_hh"], W["b_h"], h, workspace)
        self._workspaces.append(workspace)
        return h

    def _outputs(self, h: Array, y: Array | None = None) -> Array:
        """Return the outputs (B, T, O) of states (B, T, H), written into y where given."""
        B, T, _ = h.shape
        if y is None:
            y = np.empty((B, T, self.output_size), self.flat.dtype)
        workspace = self._take_workspace(B, T)
        self.kernels.output_forward(h, self.params["W_hy"], self.params["b_y"], y, workspace)
        self._workspaces.append(workspace)
        return y

    def _take_workspace(self, B: int, T: int) -> Array:
        size = self.kernels.workspace_size(
            T, B, self.input_size, self.hidden_size, self.output_size, self.flat.dtype
        )
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = np.empty(size, self.flat.dtype)
        return workspace if workspace.size >= size else np.empty(size, self.flat.dtype)
