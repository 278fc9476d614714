"""A network that is trained on one batch after another of the same size."""

import numpy as np

from crnn._typing import Array, IntArray
from crnn.kernels import contracts
from crnn.kernels.constraints import Constraints
from crnn.kernels.one_thread import OneThread
from crnn.kernels.reference.passes import rnn_predict
from crnn.kernels.reference.training import rnn_train


class Trainer:
    """The steps of `rnn_train` on batches of one size, with memory that is kept.

    Parameters
    ----------
    cell : str
    theta : array (P,)
        The parameters; changed by each step.
    T, B : int
        Time steps and sequences of a batch.
    input_size, hidden_size, output_size : int
        An output_size of 0 means no output layer.
    loss, max_norm, max_value, optimizer, memory, settings, constraints, steps
        As of `rnn_train`.
    lr : float
        The learning rate.
    """

    def __init__(
        self,
        cell: str,
        theta: Array,
        T: int,
        B: int,
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
    ) -> None:
        self._cell, self._theta, self._batch = cell, theta, np.arange(B)
        self._sizes = hidden_size, output_size
        self._loss = loss, max_norm, max_value
        self._optimizer = optimizer, memory, settings, constraints
        self._steps, self.lr = steps, lr
        self._workspace = np.empty(0, theta.dtype)
        self._alone = OneThread(contracts.TRAINER_BUSY)

    def train(self, x: Array, y: Array) -> tuple[float, float, bool]:
        """Take a step on arrays that fit.

        Returns
        -------
        loss : float
            Before the step.
        norm : float
            Of its gradient before clipping.
        taken : bool
        """
        before, losses = self.steps, np.empty((2, 1))
        with np.errstate(all="ignore"):
            self._alone.call(
                rnn_train, self._cell, x, y, self._batch, len(self._batch), self._theta,
                *self._sizes, *self._loss, *self._optimizer, self._steps, np.array([self.lr]),
                *losses, self._workspace,
            )  # fmt: skip
        return float(losses[0, 0]), float(losses[1, 0]), self.steps > before

    def predict(self, x: Array, y: Array) -> None:
        """Write the outputs of x (B, T, I) to y (B, T, O)."""
        with np.errstate(all="ignore"):
            self._alone.call(
                rnn_predict, self._cell, x, None, self._theta, *self._sizes, y, None, None, False,
                None, None, self._workspace,
            )  # fmt: skip

    def copied(self) -> tuple[Array, dict[str, Array | None], int]:
        """Return copies of parameters, of the optimizer's vectors by name, and of the steps."""
        copied: tuple[Array, dict[str, Array | None], int] = self._alone.call(self._copied)
        return copied

    def _copied(self) -> tuple[Array, dict[str, Array | None], int]:
        memory = self._optimizer[1]
        vectors = {k: None if v is None else v.copy() for k, v in memory.items()}
        return self._theta.copy(), vectors, self.steps

    @property
    def steps(self) -> int:
        """How many steps have been taken."""
        return int(self._steps[0])
