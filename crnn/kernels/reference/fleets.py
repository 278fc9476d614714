"""Fleets: many networks of one architecture, one after another.

Each model is computed by the kernels of one network, so it has the bits of that network alone.
`crnn.kernels.fleets` says how sequences of models are stored.
"""

import math

import numpy as np

from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.kernels import cells, fleets
from crnn.kernels.constraints import Constraints
from crnn.kernels.constraints import check as check_constraints
from crnn.kernels.reference import losses as loss_kernels
from crnn.kernels.reference.layers import output_backward, output_forward, rnn_backward, rnn_forward
from crnn.kernels.reference.training import take_step
from crnn.kernels.reference.updates import clip


def fleet_predict(
    cell: str,
    x: Array,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    hidden_size: int,
    output_size: int,
    y: Array,
    y_starts: IntArray,
) -> None:
    """Compute the outputs of all models, from zero initial states.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (S, I)
        The steps of all sequences.
    starts, lengths : intp array (N, B)
        Sequence b of model n has the steps x[starts[n, b]] to x[starts[n, b] + lengths[n, b] - 1].
    theta : array (N, P)
        The parameters of each model, in the order of `cells.parameter_shapes`.
    hidden_size, output_size : int
        H and O. An output_size of 0 means no output layer: the outputs are the states h_t.
    y : array (R, O)
        The outputs of sequence b of model n are written from row y_starts[n, b] on.
    y_starts : intp array (N, B)
    """
    N, B, _ = fleets.check(cell, x, starts, lengths, theta, hidden_size, output_size)
    fleets.check_array("y", y, x.dtype, (None, output_size or hidden_size), is_written=True)
    fleets.check_array("y_starts", y_starts, np.intp, (N, B))
    fleets.check_rows("y_starts", y_starts, lengths, len(y))
    for n in range(N):
        pass_ = _Pass(cell, x, starts[n], lengths[n], theta[n], hidden_size, output_size)
        for b in range(B):
            y[y_starts[n, b] :][: lengths[n, b]] = pass_.y_hat[b, : lengths[n, b]]


def fleet_gradient(
    cell: str,
    x: Array,
    y: Array,
    weights: FloatArray | None,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    dtheta: Array | None,
    hidden_size: int,
    output_size: int,
    loss: str,
    delta: float,
    losses: FloatArray,
) -> None:
    """Compute the loss of each model, and its gradient.

    Parameters
    ----------
    cell, x, starts, lengths, theta, hidden_size, output_size
        As in `fleet_predict`.
    y : array (S, O), or for "cross_entropy" (S,) of intp
        The targets of the steps.
    weights : float64 array (S,) or None
        The weight of each step in the loss. None: 1.
    dtheta : array (N, P) or None
        The gradients are written. None: not wanted.
    loss : str
        A name in `contracts.LOSSES`.
    delta : float
        Of "huber".
    losses : float64 array (N,)
        Written; NaN where nothing counts.
    """
    N, _, P = fleets.check(cell, x, starts, lengths, theta, hidden_size, output_size)
    fleets.check_targets(loss, y, weights, x, output_size or hidden_size, delta)
    fleets.check_array("losses", losses, np.float64, (N,), is_written=True)
    if dtheta is not None:
        fleets.check_array("dtheta", dtheta, x.dtype, (N, P), is_written=True)
    for n in range(N):
        pass_ = _Pass(cell, x, starts[n], lengths[n], theta[n], hidden_size, output_size)
        losses[n] = pass_.loss(y, weights, loss, delta)
        if dtheta is not None:
            dtheta[n] = pass_.gradient()


def fleet_train(
    cell: str,
    x: Array,
    y: Array,
    weights: FloatArray | None,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    hidden_size: int,
    output_size: int,
    loss: str,
    delta: float,
    max_norm: float | None,
    max_value: float | None,
    optimizer: str,
    memory: dict[str, Array | None],
    settings: dict[str, float],
    constraints: Constraints | None,
    steps: IntArray,
    rates: FloatArray,
    weight_decay: FloatArray,
    l1: FloatArray | None,
    losses: FloatArray,
    norms: FloatArray,
    taken: BoolArray,
) -> None:
    """Take a step of the optimizer for each model, each as a whole or not at all.

    A model whose loss, gradient or new parameters are not finite keeps its parameters and its
    optimizer's memory. The others take their steps.

    Parameters
    ----------
    cell, x, y, weights, starts, lengths, theta, hidden_size, output_size, loss, delta
        As in `fleet_gradient`; theta is changed.
    max_norm, max_value : float or None
        Limits of a model's gradient's norm and, after that, of its elements.
    optimizer : {"sgd_step", "rmsprop_step", "adam_step"}
        The kernel of the optimizer's step.
    memory : dict of array (N, P)
        The vectors that it takes beside the parameters and their gradient, by argument name;
        changed.
    settings : dict of float
        The numbers that it takes beside learning rate, weight decay and step, by argument name.
    constraints : Constraints or None
        Parameters of each model are within them after each step.
    steps : intp array (N,)
        How many steps each model has taken; a step adds one.
    rates, weight_decay : float64 array (N,)
        Of each model.
    l1 : float64 array (N,) or None
        Factors of the strengths `l1` of `constraints`, one for each model. None: 1.
    losses, norms : float64 array (N,)
        The loss before the step and the gradient's norm before clipping are written.
    taken : bool array (N,)
        Whether the model has taken its step is written.
    """
    N, _, _ = fleets.check(cell, x, starts, lengths, theta, hidden_size, output_size)
    fleets.check_targets(loss, y, weights, x, output_size or hidden_size, delta)
    fleets.check_array("theta", theta, x.dtype, theta.shape, is_written=True)
    vectors = {"steps": steps, "rates": rates, "weight_decay": weight_decay, "l1": l1,
               "losses": losses, "norms": norms, "taken": taken}  # fmt: skip
    fleets.check_step(optimizer, memory, settings, vectors, theta)
    check_constraints(constraints, theta[0])
    for n in range(N):
        pass_ = _Pass(cell, x, starts[n], lengths[n], theta[n], hidden_size, output_size)
        losses[n] = pass_.loss(y, weights, loss, delta)
        gradient = pass_.gradient()
        norms[n] = clip(gradient, max_norm, max_value)
        taken[n] = math.isfinite(losses[n]) and math.isfinite(norms[n])
        if not taken[n]:
            continue
        rows = {name: None if array is None else array[n] for name, array in memory.items()}
        numbers = settings | {"weight_decay": weight_decay[n]}
        limits = constraints
        if limits is not None and limits.l1 is not None and l1 is not None:
            # An infinite factor times a strength of 0 would be NaN.
            factor = theta.dtype.type(min(l1[n], np.finfo(theta.dtype).max))
            limits = limits._replace(l1=limits.l1 * factor)
        taken[n] = take_step(
            optimizer, theta[n], gradient, rows, numbers, limits, steps[n : n + 1], rates[n]
        )


class _Pass:
    """The forward pass of one model."""

    def __init__(
        self,
        cell: str,
        x: Array,
        starts: IntArray,
        lengths: IntArray,
        theta: Array,
        hidden_size: int,
        output_size: int,
    ) -> None:
        self._cell, self._starts, self._lengths = cell, starts, lengths
        self._output_size, self._theta = output_size, theta
        B, T = len(starts), max(1, int(lengths.max()))
        self._x = np.zeros((B, T, x.shape[1]), x.dtype)
        for b in range(B):
            self._x[b, : lengths[b]] = x[starts[b] :][: lengths[b]]
        cell_row = cells.CELLS[cell]
        self._shapes = cells.parameter_shapes(cell, x.shape[1], hidden_size, output_size)
        W = self._W = cells.views(theta, self._shapes)
        self._workspace = np.empty(0, x.dtype)
        self._h = np.zeros((B, T + 1, cell_row.state_blocks * hidden_size), x.dtype)
        self._gates = None
        if cell_row.gate_blocks:
            self._gates = np.zeros((B, T, cell_row.gate_blocks * hidden_size), x.dtype)
        rnn_forward(
            cell, self._x, W["W_xh"], W["W_hh"], W["b_h"], self._h, self._gates, lengths, False,
            None, None, self._workspace,
        )  # fmt: skip
        self._states = self._h[:, 1:, :hidden_size]
        self.y_hat = np.ascontiguousarray(self._states)
        if output_size:
            self.y_hat = np.empty((B, T, output_size), x.dtype)
            output_forward(self._states, W["W_hy"], W["b_y"], self.y_hat, lengths, self._workspace)
        self._dy = np.zeros_like(self.y_hat)

    def loss(self, y: Array, weights: FloatArray | None, loss: str, delta: float) -> float:
        """Return the loss, NaN where nothing counts, and keep its gradient."""
        rows = np.concatenate(
            [np.arange(s, s + n) for s, n in zip(self._starts, self._lengths, strict=True)]
        )
        if not len(rows) or (weights is not None and not weights[rows].any()):
            return math.nan
        live = np.nonzero(np.arange(self._x.shape[1]) < self._lengths[:, None])
        dy = np.empty_like(self.y_hat[live])
        value: float = getattr(loss_kernels, loss)(
            self.y_hat[live][None], y[rows][None], None if weights is None else weights[rows][None],
            *((delta,) if loss == "huber" else ()), dy[None],
        )  # fmt: skip
        self._dy[live] = dy
        return value

    def gradient(self) -> Array:
        """Return the gradient of the loss."""
        gradient = np.zeros_like(self._theta)
        W, dW = self._W, cells.views(gradient, self._shapes)
        dh = self._dy
        if self._output_size:
            dh = np.empty(self._states.shape, gradient.dtype)
            output_backward(
                self._states, W["W_hy"], self._dy, dW["W_hy"], dW["b_y"], dh, self._lengths,
                self._workspace,
            )  # fmt: skip
        width = cells.CELLS[self._cell].da_blocks * self._W["W_hh"].shape[1]
        da = np.empty((*self._x.shape[:2], width), gradient.dtype)
        rnn_backward(
            self._cell, self._x, self._h, self._gates, W["W_xh"], W["W_hh"], W["b_h"], dh, da,
            np.zeros_like(self._h[:, 0]), dW["W_xh"], dW["W_hh"], dW["b_h"], None, self._lengths,
            False, None, None, None, self._workspace,
        )  # fmt: skip
        return gradient
