"""Learners: networks that learn from each step as it comes."""

import copy
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._inputs import arrays
from crnn._network.architecture import Architecture
from crnn._network.network import Network
from crnn._training.run import Clipping
from crnn._training.step import divergence
from crnn._typing import Array, StateT
from crnn.errors import DivergenceError
from crnn.kernels.cells import parameter_count, parameter_shapes
from crnn.kernels.constraints import Constraints
from crnn.kernels.streams import check_out
from crnn.losses import Loss
from crnn.optimizers import Attachment, Optimizer
from crnn.streams import Stream, converter, make_stream

if TYPE_CHECKING:
    from crnn.base import RecurrentNetwork

LARGEST_HIDDEN_SIZE = 64
"""The work of a step grows with its fourth power; an LSTM of 64 takes 1.4e8 multiply-adds."""

LEARNER_KIND, LEARNER_VERSION = "learner", 1
"""The kind and the version of the files that `save` writes."""

_NO_TARGET = "; a step without a target is one with y=None"


class Learner(Generic[StateT]):
    """A network that predicts each step, then learns from it, by real-time recurrent learning.

    `RNN.learner` makes learners. The gradient of a step goes back to the first step, however far
    that is, and takes the same time and memory at each step. Beside the state s_t a learner carries
    its derivatives with respect to all parameters of the recurrence, the *sensitivities*
    (Williams and Zipser 1989, "A learning algorithm for continually running fully recurrent neural
    networks"). Earlier steps have added to them with the parameters of that time. So the gradient
    is exact for a learning rate of 0, and otherwise close to exact while parameters change slowly.
    Where the recurrence is unstable, sensitivities grow from step to step, and clipping gradients
    does not stop that. Then a step raises a `DivergenceError`; `reset` sets them to zero.

    The network is trained in place. Its parameters, and the optimizer's state, may be used or
    changed by other calls between two steps. One thread at a time may use a learner.

    Parameters
    ----------
    net : RNN, GRU or LSTM
        Trained in place.
    network : Network
        That of `net`.
    optimizer : Optimizer
    loss : Loss
    clipping : Clipping
    batch_size : int or None
        None: one sequence, whose arrays have no batch axis.
    constraints : Constraints or None
        Compiled for the network.

    Attributes
    ----------
    net : RNN, GRU or LSTM
        The network, with the parameters of the moment.
    optimizer : Optimizer
    batch_size : int or None
    last_loss : float
        The loss of the last step, before it was learned from; NaN before the first step and after
        one without a target.
    steps : int
        How many steps the optimizer has taken, those before the learner included.
    lr : float
        The learning rate of the next step; it may be assigned to, and is the optimizer's.
    core : object
        The compiled learner, or with NumPy kernels one of Python.
    """

    def __init__(
        self,
        net: "RecurrentNetwork[StateT]",
        network: Network,
        optimizer: Optimizer,
        loss: Loss,
        clipping: Clipping,
        batch_size: int | None,
        constraints: Constraints | None,
    ) -> None:
        self.net, self.optimizer, self.batch_size = net, optimizer, batch_size
        self._network, self._loss, self._clipping = network, loss, clipping
        self._constraints = constraints
        if constraints is not None:
            network.kernels.constrain(network.flat, constraints)
        self.last_loss = math.nan
        self._prepare()

    def _prepare(self) -> None:
        """Make what is no part of a copy or a pickle."""
        architecture = self._network.architecture
        batch = () if self.batch_size is None else (self.batch_size,)
        self._axes = (*(() if self.batch_size is None else ("batch",)), "outputs")
        self._shape = (*batch, architecture.outputs)
        self._dtype = self._network.flat.dtype
        self._convert = converter(self._network, self.batch_size)
        # Categories go through `_convert`, which makes features of them.
        self._reads_features = not architecture.categorical
        self.core: Any = None
        self._attach()

    def _attach(self) -> None:
        """Take the optimizer as it is now: others may have used it, or set its learning rate."""
        attachment = self.optimizer.attach(self._network.flat)
        if self.core is None or not self._is_of(attachment):
            core = self._new_core(attachment)
            if self.core is not None:
                core.restore(*self.core.copied())
            self.core = core
        self.core.lr = attachment.lr
        self._attachment = attachment

    def _is_of(self, attachment: Attachment) -> bool:
        """Whether the core changes the vectors and the count of an attachment."""
        mine = self._attachment
        return mine.memory is attachment.memory and mine.counted is attachment.counted

    def _new_core(self, attachment: Attachment) -> Any:
        network, loss = self._network, self._loss
        architecture, theta = network.architecture, network.flat
        vectors = {k: v for k, v in attachment.memory.items() if v is not None}
        return network.kernels.Learner(
            architecture.cell, theta, self.batch_size, architecture.input_size,
            architecture.hidden_size, architecture.output_size or 0, loss.kernel, *self._clipping,
            *self.optimizer.kernel_arguments(theta, vectors), self._constraints,
            attachment.counted, attachment.lr, *loss.settings(),
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """How many steps the optimizer has taken, those before the learner included."""
        return self.optimizer.steps

    @property
    def lr(self) -> float:
        """The learning rate of the next step; it may be assigned to, and is the optimizer's."""
        return self.optimizer.current_lr

    @lr.setter
    def lr(self, value: float) -> None:
        rate = checks.number("lr", value, at_least=0.0)
        self.optimizer.check_owner(self._network.flat)
        self.optimizer.lr = rate
        self._attach()

    def step(
        self, x: npt.ArrayLike, y: npt.ArrayLike | None = None, out: Array | None = None
    ) -> Array:
        """Predict a step, then learn from it.

        The step is taken as a whole or not at all: where an error is raised, the state, the
        sensitivities, the parameters and the optimizer are as before.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,); with categories (batch,) or a whole number
        y : array (batch, outputs) or (outputs,), optional
            The target; for "cross_entropy" class numbers (batch,) or a whole number. Without it
            nothing is learned: the state and the sensitivities move on.
        out : array (batch, outputs) or (outputs,), optional
            C-contiguous and of the network's dtype; the outputs are written to it. It may be `x`
            or `y`.

        Returns
        -------
        array (batch, outputs) or (outputs,)
            The outputs by the parameters before the step: `out`, or a new array.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or the optimizer belongs to another network.
        DivergenceError
            The loss, its gradient, a new parameter or a new state is not finite.
        RuntimeError
            Another thread is using this learner.
        """
        if not self.optimizer.is_attached(self._attachment):
            self._attach()
        y_hat = np.empty(self._shape, self._dtype) if out is None else out
        core = self.core
        if not (self._reads_features and core.fits(x, y, y_hat)):
            x, y = self._converted(x, y, y_hat)
        loss, norm, is_taken = core.step(x, y, y_hat)
        if not is_taken:
            if y is None:
                raise DivergenceError("the new state is not finite", None, self.steps + 1)
            raise divergence(loss, norm, None, self.steps + 1)
        self.last_loss = loss
        return y_hat

    def _converted(self, x: Any, y: Any, out: Any) -> tuple[Array, Array | None]:
        """Return arrays that `fits` accepts, or raise what is wrong with the arguments."""
        inputs, targets = self._convert("x", x, "inputs"), None
        if y is not None:
            like, kernels = self._network.flat, self._network.kernels
            targets = self._loss.targets(y, self._axes, self._shape, like, kernels, _NO_TARGET)
        if not self.core.fits(inputs, targets, out):
            check_out(out, np.empty(self._shape, self._dtype))
        return inputs, targets

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return the outputs that `step` would return for x; nothing moves.

        Parameters
        ----------
        x : array (batch, inputs) or (inputs,); with categories (batch,) or a whole number

        Returns
        -------
        array (batch, outputs) or (outputs,)

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        RuntimeError
            Another thread is using this learner.
        """
        y_hat = np.empty(self._shape, self._dtype)
        if not (self._reads_features and self.core.fits(x, None, y_hat)):
            x, _ = self._converted(x, None, y_hat)
        self.core.predict(x, y_hat)
        return y_hat

    def reset(self, which: npt.ArrayLike | None = None) -> None:
        """Return to a state of zero, and sensitivities of zero. Parameters stay.

        Parameters
        ----------
        which : array of bool (batch,), optional
            The sequences that return; the others go on. Default: all.

        Raises
        ------
        ValueError, TypeError
            A shape or dtype does not fit; nothing has changed.
        RuntimeError
            Another thread is using this learner.
        """
        marks = None if which is None else self._convert("which", which, "sequences")
        self.core.reset(marks)

    @property
    def state(self) -> dict[str, Array]:
        """Copies of what steps carry on beside parameters and optimizer; may be assigned to.

        A dictionary with "h" (batch, hidden), for an LSTM "c" too, and "sensitivities" (batch,
        states, parameters of the recurrence): the derivatives of h, and after it c, with respect to
        W_xh, W_hh and b_h in the order of ``net.flat_params``. All without the batch axis where
        there is one sequence.
        """
        states, sensitivities = self.core.copied()
        H = self._network.architecture.hidden_size
        state = {"h": states[:, :H].copy(), "sensitivities": sensitivities}
        if states.shape[1] > H:
            state["c"] = states[:, H:].copy()
        return state if self.batch_size is not None else {k: v[0] for k, v in state.items()}

    @state.setter
    def state(self, value: Mapping[str, npt.ArrayLike]) -> None:
        self.core.restore(*self._checked_state(value))

    def _checked_state(self, value: Any) -> tuple[Array, Array]:
        """Return states (B, S) and sensitivities (B, S, n), or raise what is wrong with them."""
        architecture, flat = self._network.architecture, self._network.flat
        blocks = ("h", "c")[: architecture.cell_row.state_blocks]
        names = (*blocks, "sensitivities")
        if not isinstance(value, Mapping):
            raise TypeError(f"state: expected a dictionary, got {type(value).__name__}")
        if set(value) != set(names):
            raise ValueError(
                f"state: expected the keys {', '.join(names)}, got {', '.join(map(str, value))}"
            )
        B, H, S = self.batch_size or 1, architecture.hidden_size, architecture.state_size
        n = sensitivity_count(architecture)
        sizes = {"batch": B, "hidden": H, "states": S, "parameters": n}
        batch = "" if self.batch_size is None else "batch "
        checked = {}
        for name in names:
            axes = batch + ("hidden" if name in blocks else "states parameters")
            checked[name] = arrays.floats(
                f"state[{name!r}]", value[name], (axes,), sizes, flat, self._network.kernels
            )
        states = np.concatenate([checked[name].reshape(B, H) for name in blocks], axis=1)
        return states, checked["sensitivities"].reshape(B, S, n)

    def stream(self) -> Stream[StateT]:
        """Return a stream that goes on from the present state, with the present parameters.

        What the learner learns later does not change the stream.

        Returns
        -------
        Stream
            Of the learner's `batch_size`.

        Raises
        ------
        RuntimeError
            Another thread is using this learner.
        """
        states, _ = self.core.copied()
        architecture = self._network.architecture
        stream: Stream[StateT] = make_stream(self._network, self.batch_size)
        stream.state = architecture.public_states(states[None], single=self.batch_size is None)
        return stream

    def copy(self) -> "Learner[StateT]":
        """Return a learner that goes on alike, with a network and an optimizer of its own.

        Returns
        -------
        Learner

        Raises
        ------
        RuntimeError
            Another thread is using this learner.
        """
        return copy.deepcopy(self)

    def __copy__(self) -> "Learner[StateT]":
        return self.copy()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the learner to a file, which `crnn.load_learner` reads.

        The network, the optimizer and the state are in it. It is written as by `RNN.save`.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        TypeError
            The optimizer's learning rate is a function, or the learner has constraints; no file
            keeps these.
        OSError
            The file cannot be written; one that existed is as it was.
        RuntimeError
            Another thread is using this learner.
        """
        # Imported here: the libraries for files take longer to import than crnn.
        from crnn import archive

        optimizer, flat = self.optimizer, self._network.flat
        if callable(optimizer.lr):
            raise TypeError(
                "save: expected an optimizer with a number as its learning rate, got a function"
            )
        if self._constraints is not None:
            raise TypeError("save: expected a learner without constraints, which no file keeps")
        optimizer.check_owner(flat)
        states, sensitivities = self.core.copied()
        description = {
            "format": f"crnn {LEARNER_KIND}",
            "version": LEARNER_VERSION,
            "network": self.net.describe(),
            "optimizer": {"name": type(optimizer).__name__, "settings": optimizer.settings()},
            "steps": optimizer.steps,
            "last_lr": optimizer.last_lr,
            "loss": {"name": self._loss.kernel, "settings": list(self._loss.settings())},
            "clip_norm": self._clipping.norm,
            "clip_value": self._clipping.value,
            "batch_size": self.batch_size,
        }
        stored = {"parameters": flat, "states": states, "sensitivities": sensitivities}
        stored |= {f"optimizer_{name}": vector for name, vector in optimizer.memory.items()}
        archive.write(path, description, stored)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps."""
        kept = (
            "net", "optimizer", "batch_size", "last_loss", "_network", "_loss", "_clipping",
            "_constraints",
        )  # fmt: skip
        self.optimizer.check_owner(self._network.flat)
        return {name: self.__dict__[name] for name in kept} | {"moving": self.core.copied()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        moving = state.pop("moving")
        self.__dict__.update(state)
        self._prepare()
        self.core.restore(*moving)

    def __repr__(self) -> str:
        batch = "" if self.batch_size is None else f", batch_size={self.batch_size}"
        return f"Learner({self.net!r}, {self.optimizer!r}, loss={self._loss!r}{batch})"


def sensitivity_count(architecture: Architecture) -> int:
    """Return how many parameters the recurrence of one layer has."""
    shapes = parameter_shapes(
        architecture.cell, architecture.input_size, architecture.hidden_size, 0
    )
    return parameter_count(shapes)


def check_learnable(
    architecture: Architecture, dtype: np.dtype[Any], optimizer: Optimizer, loss: Loss
) -> None:
    """Raise a ValueError where no learner can train a network so.

    Parameters
    ----------
    architecture : Architecture
    dtype : numpy dtype
    optimizer : Optimizer
    loss : Loss
    """
    if architecture.num_states > 1 or architecture.trainable_h0:
        raise ValueError(
            "learner: expected a network of one layer in one direction with first states of zero, "
            f"got num_layers={architecture.num_layers}, "
            f"bidirectional={architecture.bidirectional}, "
            f"trainable_h0={architecture.trainable_h0}"
        )
    if architecture.has_leak or architecture.noise:
        raise ValueError(
            "learner: expected a network without leak and noise, got "
            f"cell={architecture.cell!r} and noise={architecture.noise}"
        )
    H, S = architecture.hidden_size, architecture.state_size
    if H > LARGEST_HIDDEN_SIZE:
        n = sensitivity_count(architecture)
        raise ValueError(
            f"learner: expected a hidden_size of at most {LARGEST_HIDDEN_SIZE}, got {H}, with "
            f"which each step of a sequence takes {S * H * n:.2g} multiply-adds and "
            f"{2 * S * n * dtype.itemsize:.2g} bytes"
        )
    loss.check_is_of_kernel("a learner")
    if not optimizer.is_fused:
        raise ValueError(
            "optimizer: expected SGD, RMSprop, Adam or AdamW for a learner, got "
            f"{type(optimizer).__name__}"
        )
