"""A network over checked arrays: its parameters in one flat vector, its passes in kernel calls.

All arrays here are C-contiguous, of the network's dtype and of the right shapes; `models` sees to
that. Whole sequences go to the kernels in one call; the recurrence itself is in the kernels.
"""

import importlib
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from crnn.checks import Array
from crnn.kernels import contracts


class Tape:
    """What `RNN.forward` computed, and what `RNN.backward` reads.

    `backward` uses the parameters as they are then: do not change them in between.

    Attributes
    ----------
    y : array (batch, time, outputs)
        Outputs, of the network's dtype like the other two.
    h : array (batch, time + 1, hidden)
        Hidden states, h_0 first.
    h_n : array (batch, hidden)
        The last hidden state.

    For a single sequence none of them has the batch axis. The states are read-only, because
    `backward` reads them.
    """

    __slots__ = ("_network", "_states", "_x", "h", "h_n", "y")

    def __init__(self, network: "Network", x: Array, h: Array, y: Array, *, single: bool) -> None:
        self._network = network
        self._x = x
        self._states = h
        self.y = y[0] if single else y
        self.h = h[0] if single else h.view()
        self.h.flags.writeable = False
        self.h_n = self.h[..., -1, :]

    def __repr__(self) -> str:
        return f"Tape(y {self.y.shape}, h {self.h.shape}, h_n {self.h_n.shape})"


class Network:
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
        self.has_output_layer = output_size is not None
        self.output_size = output_size or hidden_size
        # What the kernels call the output size: 0 without an output layer
        self._layer_size = output_size or 0
        # Of inputs, as `is_plain` takes it
        self.x_shape = (-1, -1, input_size)
        self.shapes = contracts.parameters(input_size, hidden_size, self._layer_size)
        self.flat = np.zeros(sum(map(math.prod, self.shapes.values())), dtype)
        self.params = contracts.views(self.flat, self.shapes)
        # Scratch that is handed from call to call
        self._workspaces: list[Array] = []

    def forward(self, x: Array, h0: Array | None, *, single: bool) -> Tape:
        """Run whole sequences x (B, T, I) from h0 (B, H), or from zero."""
        B, T, _ = x.shape
        W = self.params
        h = np.empty((B, T + 1, self.hidden_size), self.flat.dtype)
        h[:, 0] = 0 if h0 is None else h0
        workspace = self._lend(self.kernels.workspace_size, B, T)
        self.kernels.rnn_forward(x, W["W_xh"], W["W_hh"], W["b_h"], h, workspace)
        if self.has_output_layer:
            y = np.empty((B, T, self.output_size), self.flat.dtype)
            self.kernels.output_forward(h[:, 1:], W["W_hy"], W["b_y"], y, workspace)
        else:
            y = h[:, 1:].copy()
        self._workspaces.append(workspace)
        return Tape(self, x, h, y, single=single)

    def predict(self, x: Array, h0: Array | None, h_n: Array | None = None) -> Array:
        """Return outputs (B, T, O), and fill in the last states h_n (B, H) where wanted."""
        B, T, _ = x.shape
        y = np.empty((B, T, self.output_size), self.flat.dtype)
        workspace = self._lend(self.kernels.predict_workspace_size, B, T)
        self.kernels.rnn_predict(
            x, h0, self.flat, self.hidden_size, self._layer_size, y, h_n, workspace
        )
        self._workspaces.append(workspace)
        return y

    def gradient(
        self, x: Array, y: Array, loss: str, max_norm: float | None, max_value: float | None
    ) -> tuple[float, float, Array]:
        """Return the loss, the gradient's norm before clipping, and the clipped gradient (n,)."""
        B, T, _ = x.shape
        gradient = np.empty_like(self.flat)
        workspace = self._lend(self.kernels.gradient_workspace_size, B, T)
        value, norm = self.kernels.rnn_gradient(
            x, y, self.flat, gradient, self.hidden_size, self._layer_size, loss, max_norm,
            max_value, workspace,
        )  # fmt: skip
        self._workspaces.append(workspace)
        return value, norm, gradient

    def backward(
        self, tape: Tape, dy: Array, dh_n: Array | None, gradient: Array
    ) -> tuple[Array, Array]:
        """Backpropagate through time.

        Parameters
        ----------
        tape : Tape
            Of this network's `forward`.
        dy : array (B, T, O)
            dL/dy.
        dh_n : array (B, H) or None
            What reaches the last state beside its output.
        gradient : array (n,)
            dL/d(parameters) is added, in the order of `flat`.

        Returns
        -------
        dx : array (B, T, I)
        dh0 : array (B, H)
        """
        x, h = tape._x, tape._states
        B, T, _ = x.shape
        W, dW = self.params, contracts.views(gradient, self.shapes)
        dx = np.empty_like(x)
        dh0 = np.empty((B, self.hidden_size), self.flat.dtype)
        workspace = self._lend(self.kernels.workspace_size, B, T)
        if self.has_output_layer:
            dh = np.empty((B, T, self.hidden_size), self.flat.dtype)
            self.kernels.output_backward(
                h[:, 1:], W["W_hy"], dy, dW["W_hy"], dW["b_y"], dh, workspace
            )
        else:
            dh = dy.copy()
        if dh_n is not None:
            with np.errstate(over="ignore"):
                dh[:, -1] += dh_n
        self.kernels.rnn_backward(
            x, h, W["W_xh"], W["W_hh"], dh, dW["W_xh"], dW["W_hh"], dW["b_h"], dx, dh0,
            workspace,
        )  # fmt: skip
        self._workspaces.append(workspace)
        return dx, dh0

    def _lend(self, size_of: Callable[..., int], B: int, T: int) -> Array:
        """Return scratch for kernel calls, which the caller puts back into `_workspaces`.

        Threads that call at the same time get their own.
        """
        size = size_of(T, B, self.input_size, self.hidden_size, self.output_size, self.flat.dtype)
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = np.empty(0, self.flat.dtype)
        return workspace if workspace.size >= size else np.empty(size, self.flat.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps: no module, no scratch, and the vector alone."""
        state = self.__dict__ | {"kernels": self.kernels.__name__, "_workspaces": []}
        del state["params"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the views, and the kernels by name."""
        self.__dict__.update(state)
        self.kernels = importlib.import_module(state["kernels"])
        self.params = contracts.views(self.flat, self.shapes)
