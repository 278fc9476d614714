"""Trainers: networks that are trained on one batch after another of the same size."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._inputs import sequences
from crnn._network.network import Network
from crnn._training.run import Clipping
from crnn._training.step import divergence
from crnn._typing import Array
from crnn.kernels.constraints import Constraints
from crnn.losses import Loss
from crnn.optimizers import Optimizer


class Trainer:
    """A copy of a network that learns from one batch after another, all of the same size.

    `RNN.trainer` makes trainers. C and Cython step them without the GIL and without allocations:
    see "Cython, C and C++" in the documentation. One thread at a time may use a trainer.

    Parameters
    ----------
    network : Network
        With fused kernels. Its parameters are copied; `sync` writes them back.
    optimizer : Optimizer
        Its state is copied; `sync` writes it back.
    loss : Loss
    clipping : Clipping
    time, batch_size : int
        Time steps and sequences of a batch.
    constraints : Constraints or None
        Compiled for the network.

    Attributes
    ----------
    steps : int
        How many steps the optimizer has taken, those before the trainer included.
    lr : float
        The learning rate of the next step; it may be assigned to.
    core : object
        The compiled trainer, which C and Cython step; with NumPy kernels one of Python.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        loss: Loss,
        clipping: Clipping,
        time: int,
        batch_size: int,
        constraints: Constraints | None,
    ) -> None:
        self._network, self._optimizer, self._loss = network, optimizer, loss
        self._shape = batch_size, time
        architecture = network.architecture
        theta = network.flat.copy()
        # From this product the compiled loops compute what memory they need: it may not overflow.
        if batch_size * time * theta.nbytes > sys.maxsize:
            raise ValueError(
                f"time, batch_size: expected a batch that memory can hold, got {time} time steps "
                f"of {batch_size} sequences"
            )
        if constraints is not None:
            network.kernels.constrain(theta, constraints)
        vectors = {name: vector.copy() for name, vector in optimizer.memory.items()}
        self.core: Any = network.kernels.Trainer(
            architecture.cell, theta, time, batch_size, architecture.input_size,
            architecture.hidden_size, architecture.output_size or 0, loss.kernel, *clipping,
            *optimizer.kernel_arguments(theta, vectors), constraints,
            np.array([optimizer.steps], np.intp), optimizer.current_lr,
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """How many steps the optimizer has taken, those before the trainer included."""
        return int(self.core.steps)

    @property
    def lr(self) -> float:
        """The learning rate of the next step; it may be assigned to."""
        return float(self.core.lr)

    @lr.setter
    def lr(self, value: float) -> None:
        self.core.lr = checks.number("lr", value, at_least=0.0)

    def train_step(self, x: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Take one step of the optimizer.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)
        y : array (batch, time, outputs) or (time, outputs); classes (batch, time) or (time,)
            Targets, as `RNN.loss` takes them.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit; the trainer is as before.
        DivergenceError
            The loss, its gradient or a new parameter is not finite; no step was taken.
        RuntimeError
            Another thread is using this trainer.
        """
        (batch,) = sequences.parts(self._network, x, y, self._loss, None, None, None, None)
        self._check_shape(batch.x)
        loss, norm, taken = self.core.train(batch.x, batch.y)
        if not taken:
            raise divergence(loss, norm, None, self.steps + 1)
        return float(loss)

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return the outputs by the parameters of the moment.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)

        Returns
        -------
        array (batch, time, outputs) or (time, outputs)

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        RuntimeError
            Another thread is using this trainer.
        """
        checked, *_, single = sequences.sequences(self._network, x)
        self._check_shape(checked)
        y = np.empty((*self._shape, self._network.architecture.outputs), checked.dtype)
        self.core.predict(checked, y)
        return y[0] if single else y

    @property
    def flat_params(self) -> Array:
        """A copy of the parameters of the moment (P,), for example for `take_parameters`."""
        theta: Array = self.core.copied()[0]
        return theta

    def sync(self) -> None:
        """Write the parameters to the network, and the optimizer's state to the optimizer.

        Raises
        ------
        ValueError
            The optimizer has served another network since; nothing has changed.
        RuntimeError
            Another thread is using this trainer.
        """
        self._optimizer.check_owner(self._network.flat)
        theta, memory, steps = self.core.copied()
        kept = {name: vector for name, vector in memory.items() if vector is not None}
        self._network.flat[...] = theta
        # Without steps of either the optimizer stays new, of no network.
        if steps or self._optimizer.steps:
            self._optimizer.restore(self._network.flat, kept, steps, self.lr)

    def _check_shape(self, x: Array) -> None:
        if x.shape[:2] != self._shape:
            B, T = self._shape
            raise ValueError(
                f"x: expected the trainer's batch={B} and time={T}, got {x.shape[0]} and "
                f"{x.shape[1]}"
            )

    def __repr__(self) -> str:
        B, T = self._shape
        return f"Trainer(time={T}, batch_size={B}, optimizer={self._optimizer!r}, lr={self.lr:g})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("trainer: expected to stay in its process; sync() and pickle the network")
