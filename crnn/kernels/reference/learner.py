"""A network that learns from each step as it comes, by real-time recurrent learning.

R. J. Williams and D. Zipser, "A learning algorithm for continually running fully recurrent neural
networks", Neural Computation 1(2), 1989, 270-280. At step t the arrays of the B sequences hold

    states          s_t; h_t, or for an LSTM h_t and c_t side by side
    sensitivities   ds_t / d theta for the parameters of the recurrence, W_xh, W_hh and b_h:
                    J_t ds_{t-1} / d theta + M_t
    J_t             ds_t / ds_{t-1} with the parameters fixed
    M_t             ds_t / d theta with s_{t-1} fixed

Row k of J_t and M_t is the gradient of the number k of s_t through one step, as BPTT takes it.
"""

import math
from typing import Any

import numpy as np

from crnn._typing import Array, BoolArray, IntArray
from crnn.kernels import cells, contracts
from crnn.kernels.constraints import Constraints
from crnn.kernels.constraints import check as check_constraints
from crnn.kernels.one_thread import OneThread
from crnn.kernels.reference import losses
from crnn.kernels.reference.queries import is_kernel_ready
from crnn.kernels.reference.steps import STEP_GRADIENTS, STEPS
from crnn.kernels.reference.training import take_step
from crnn.kernels.reference.updates import clip


class Learner:
    """Sequences of which each step is predicted, and then learned from with its exact gradient.

    Parameters
    ----------
    cell : str
    theta : array (P,)
        The parameters; changed by each step that learns, and read anew by each step.
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    input_size, hidden_size, output_size : int
        An output_size of 0 means no output layer.
    loss : {"mse", "sse", "cross_entropy", "binary_cross_entropy", "huber"}
    max_norm, max_value, optimizer, memory, settings, constraints, steps
        As of `rnn_train`.
    lr : float
        The learning rate.
    delta : float
        The setting of the loss "huber".

    Attributes
    ----------
    lr : float
        The learning rate of the next step; it may be assigned to.
    """

    def __init__(
        self,
        cell: str,
        theta: Array,
        batch_size: int | None,
        input_size: int,
        hidden_size: int,
        output_size: int,
        loss: str,
        max_norm: float | None,
        max_value: float | None,
        optimizer: str,
        memory: dict[str, Array | None],
        settings: dict[str, float],
        constraints: Constraints | None,
        steps: IntArray,
        lr: float,
        delta: float = 1.0,
    ) -> None:
        contracts.check_learner_cell(cell)
        contracts.check_step(optimizer, memory, theta, settings.get("momentum", 0))
        check_constraints(constraints, theta)
        self._cell, self._theta = cell, theta
        self._shapes = cells.parameter_shapes(cell, input_size, hidden_size, output_size)
        self._loss, self._loss_settings = loss, (delta,) if loss == "huber" else ()
        self._limits = max_norm, max_value
        self._optimizer = optimizer, memory, settings, constraints
        self._steps, self.lr = steps, lr
        batch = () if batch_size is None else (batch_size,)
        self._x_shape = (*batch, input_size)
        self._y_shape = (*batch, output_size or hidden_size)
        n_states = cells.CELLS[cell].state_blocks * hidden_size
        n_recurrent = cells.parameter_count(self._shapes) - output_size * (hidden_size + 1)
        states = np.zeros((batch_size or 1, n_states), theta.dtype)
        # Together, so that one assignment replaces both
        self._moving: tuple[Array, Array] = (
            states,
            np.zeros((*states.shape, n_recurrent), theta.dtype),
        )
        self._gradient = np.zeros_like(theta)
        self._alone = OneThread(contracts.LEARNER_BUSY)

    def fits(self, x: Any, y: Any, out: Any) -> bool:
        """Return whether `step` can take these as they are.

        Parameters
        ----------
        x : array (B, I) or (I,)
            C-contiguous, of the dtype of theta, finite.
        y : array (B, O) or (O,), or for "cross_entropy" (B,) or () of intp; or None
            Likewise; for "binary_cross_entropy" from 0 to 1.
        out : array (B, O) or (O,)
            C-contiguous and writable, of the dtype of theta.
        """
        return (
            is_kernel_ready(x, self._theta, self._x_shape)
            and (y is None or self._is_target(y))
            and isinstance(out, np.ndarray)
            and (out.dtype, out.shape) == (self._theta.dtype, self._y_shape)
            and bool(out.flags.carray)
        )

    def _is_target(self, y: Any) -> bool:
        if self._loss != "cross_entropy":
            return is_kernel_ready(y, self._theta, self._y_shape) and (
                self._loss != "binary_cross_entropy" or bool(((y >= 0) & (y <= 1)).all())
            )
        return (
            type(y) is np.ndarray
            and (y.dtype, y.shape) == (np.intp, self._y_shape[:-1])
            and bool(y.flags.carray)
            and bool(((y >= 0) & (y < self._y_shape[-1])).all())
        )

    def step(self, x: Array, y: Array | None, out: Array) -> tuple[float, float, bool]:
        """Predict a step, and learn from it; as a whole or not at all.

        Parameters
        ----------
        x, y, out
            As of `fits`. With y None nothing is learned: states and sensitivities move on. The
            outputs by the parameters before the step are written to out, which may be x or y.

        Returns
        -------
        loss : float
            Before the step; NaN without y.
        norm : float
            Of its gradient before clipping; NaN without y.
        taken : bool
            False: a number would not stay finite; nothing has changed.
        """
        if not self.fits(x, y, out):
            raise TypeError("x, y, out: expected arrays that the learner can take")
        with np.errstate(all="ignore"):
            result: tuple[float, float, bool] = self._alone.call(self._step, x, y, out)
        return result

    def _step(self, x: Array, y: Array | None, out: Array) -> tuple[float, float, bool]:
        before = self._moving
        after = states, sensitivities = self._moved(x.reshape(len(before[0]), -1))
        y_hat = self._outputs(states)
        if y is None:
            taken = all(bool(np.isfinite(numbers).all()) for numbers in (*after, y_hat))
            if taken:
                self._moving = after
                out[...] = y_hat.reshape(out.shape)
            return math.nan, math.nan, taken
        loss, gradient = self._loss_and_gradient(y_hat, y, states, sensitivities)
        norm = clip(gradient, *self._limits)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return loss, norm, False
        count, taken = self.steps, False
        try:
            self._moving = after
            optimizer, memory, settings, constraints = self._optimizer
            taken = take_step(
                optimizer, self._theta, gradient, memory, settings, constraints, self._steps,
                self.lr,
            )  # fmt: skip
        finally:
            # Where Ctrl-C comes, the count tells whether the step was taken.
            if not taken and self.steps == count:
                self._moving = before
        if taken:
            self._gradient = gradient
            out[...] = y_hat.reshape(out.shape)
        return loss, norm, taken

    def _moved(self, x: Array) -> tuple[Array, Array]:
        """Return the states and the sensitivities after a step on x (B, I)."""
        states, sensitivities = self._moving
        B, S = states.shape
        after, gates = self._next_states(x)
        W = cells.views(self._theta, self._shapes)
        W_hh = W["W_hh"]
        N, H = W_hh.shape
        # A row for each number of each state, B * S in all: the gradient of that number
        h, q = states[:, :H], gates[:, 3 * H :]
        before, behind, through = (np.repeat(a, S, axis=0) for a in (states, after, gates))
        unit = np.tile(np.eye(S, dtype=states.dtype), (B, 1))
        da, J = STEP_GRADIENTS[self._cell](unit, before, behind, through, W_hh, W["b_h"])
        # W_xh x and W_hh h are summed before the nonlinearity, but for W_hn of a GRU; see `steps`.
        da_h = da
        if self._cell.startswith("gru"):
            da_h = np.concatenate([da[:, : 2 * H], da[:, -H:]], axis=1)
        factor = np.repeat(h[:, None], N, axis=1)
        if self._cell == "gru_reset_before":
            factor[:, 2 * H :] = q[:, None]
        parts = (
            da[:, :N].reshape(B, S, N, 1) * x[:, None, None],
            da_h.reshape(B, S, N, 1) * factor[:, None],
            da.reshape(B, S, -1),
        )
        M = np.concatenate([part.reshape(B, S, -1) for part in parts], axis=2)
        return after, J.reshape(B, S, S) @ sensitivities + M

    def _next_states(self, x: Array) -> tuple[Array, Array]:
        """Return the states after a step on x (B, I), and its gates."""
        W = cells.views(self._theta, self._shapes)
        W_hh, b_h = W["W_hh"], W["b_h"]
        projected = x @ W["W_xh"].T + b_h[: len(W_hh)]
        return STEPS[self._cell](projected, self._moving[0], W_hh, b_h)

    def _outputs(self, states: Array) -> Array:
        """Return the outputs (B, O) of states (B, S)."""
        W = cells.views(self._theta, self._shapes)
        h = states[:, : W["W_hh"].shape[1]]
        return h @ W["W_hy"].T + W["b_y"] if "W_hy" in W else np.ascontiguousarray(h)

    def _loss_and_gradient(
        self, y_hat: Array, y: Array, states: Array, sensitivities: Array
    ) -> tuple[float, Array]:
        """Return the loss of a step, and its gradient (P,) by the sensitivities after it."""
        B, O = y_hat.shape
        dy = np.empty((B, 1, O), y_hat.dtype)
        targets = y.reshape(B, 1) if self._loss == "cross_entropy" else y.reshape(B, 1, O)
        compute = getattr(losses, self._loss)
        loss = float(compute(y_hat[:, None], targets, None, *self._loss_settings, dy))
        dy, dh = dy[:, 0], dy[:, 0]
        gradient = np.empty_like(self._theta)
        W, dW = (cells.views(flat, self._shapes) for flat in (self._theta, gradient))
        h = states[:, : W["W_hh"].shape[1]]
        if "W_hy" in W:
            dW["W_hy"][...], dW["b_y"][...] = dy.T @ h, dy.sum(axis=0)
            dh = dy @ W["W_hy"]
        of_h = sensitivities[:, : h.shape[1]]
        gradient[: of_h.shape[2]] = np.einsum("bk,bkp->p", dh, of_h)
        return loss, gradient

    def predict(self, x: Array, out: Array) -> None:
        """Write the outputs of the step that would come with x; nothing moves.

        Parameters
        ----------
        x, out
            As of `fits`; out may be x.
        """
        if not self.fits(x, None, out):
            raise TypeError("x, out: expected arrays that the learner can take")
        with np.errstate(all="ignore"):
            self._alone.call(self._predict, x, out)

    def _predict(self, x: Array, out: Array) -> None:
        states, _ = self._moving
        after, _ = self._next_states(x.reshape(len(states), -1))
        out[...] = self._outputs(after).reshape(out.shape)

    def reset(self, which: BoolArray | None) -> None:
        """Set states and sensitivities to zero.

        Parameters
        ----------
        which : array (B,) of bool, or None
            Of these sequences; None: of all.
        """
        self._alone.call(self._reset, which)

    def _reset(self, which: BoolArray | None) -> None:
        states, sensitivities = (numbers.copy() for numbers in self._moving)
        rows = slice(None) if which is None else which
        states[rows], sensitivities[rows] = 0, 0
        self._moving = states, sensitivities

    def copied(self) -> tuple[Array, Array]:
        """Return copies of states (B, S) and sensitivities (B, S, n)."""
        copies: tuple[Array, Array] = self._alone.call(
            lambda: tuple(numbers.copy() for numbers in self._moving)
        )
        return copies

    def restore(self, states: Array, sensitivities: Array) -> None:
        """Take states (B, S) and sensitivities (B, S, n); they are copied."""
        for numbers, present in zip((states, sensitivities), self._moving, strict=True):
            if (numbers.dtype, numbers.shape) != (present.dtype, present.shape):
                raise TypeError("states, sensitivities: expected arrays that the learner can take")
        self._alone.call(setattr, self, "_moving", (states.copy(), sensitivities.copy()))

    @property
    def gradient(self) -> Array:
        """A copy of the gradient (P,) of the last step that learned, after clipping."""
        gradient: Array = self._alone.call(self._gradient.copy)
        return gradient

    @property
    def steps(self) -> int:
        """How many steps the optimizer has taken."""
        return int(self._steps[0])
