"""One step of training: a batch becomes a gradient, and the gradient a change of the parameters."""

import math
from typing import TYPE_CHECKING

import numpy as np

from crnn._network.network import Network
from crnn._training.data import Batch
from crnn._training.run import Clipping
from crnn._typing import Array
from crnn.errors import DivergenceError

if TYPE_CHECKING:
    from crnn.losses import Loss
    from crnn.optimizers import Optimizer


def train_step(
    network: Network,
    batch: Batch,
    optimizer: "Optimizer",
    loss: "Loss",
    clipping: Clipping,
    rng: "np.random.Generator",
    epoch: int | None = None,
) -> tuple[float, float]:
    """Take one step; return the loss and the gradient's norm, both from before it.

    The step is taken as a whole or, whatever is raised, not at all.
    """
    if _is_fused(network, batch, loss):
        value, norm, gradient = network.gradient(
            batch.x, batch.y, loss.kernel, clipping.norm, clipping.value
        )
        _update(network, optimizer, value, norm, gradient, epoch)
        return value, norm
    value, norm, _ = train_step_from(
        network, batch, optimizer, loss, clipping, rng, epoch, first_states=None
    )
    return value, norm


def train_step_from(
    network: Network,
    batch: Batch,
    optimizer: "Optimizer",
    loss: "Loss",
    clipping: Clipping,
    rng: "np.random.Generator",
    epoch: int | None,
    *,
    first_states: Array | None,
) -> tuple[float, float, Array]:
    """Take one step from given states; return the loss, the norm, and the last states."""
    value, gradient, states = gradient_of_batch(network, batch, loss, first_states, rng)
    norm = network.clip(gradient, clipping.norm, clipping.value)
    _update(network, optimizer, value, norm, gradient, epoch)
    return value, norm, states


def gradient_of_batch(
    network: Network,
    batch: Batch,
    loss: "Loss",
    h0: Array | None,
    rng: "np.random.Generator | None",
) -> tuple[float, Array, Array]:
    """Return the loss of a batch, its gradient (n,) and the last states.

    Parameters
    ----------
    network : Network
    batch : Batch
    loss : Loss
    h0 : array (layers * directions, B, S) or None
    rng : generator or None
        Draws dropout's masks.
    """
    tape = network.forward(batch.x, h0, batch.lengths, rng=rng)
    dy = np.empty_like(tape.outputs)
    value = loss.compute(network.kernels, tape.outputs, batch.y, batch.weights, dy)
    gradient = np.zeros_like(network.flat)
    network.backward(tape, dy, None, gradient, wants_dx=False)
    return value, gradient, tape.last_states


def _is_fused(network: Network, batch: Batch, loss: "Loss") -> bool:
    """Whether one kernel call computes the loss and the gradient of this batch."""
    return (
        network.has_whole_kernels
        and loss.is_fused
        and batch.lengths is None
        and batch.weights is None
        and batch.x.ndim == 3
    )


def _update(
    network: Network,
    optimizer: "Optimizer",
    value: float,
    norm: float,
    gradient: Array,
    epoch: int | None,
) -> None:
    """Change the parameters, or raise where anything is not finite."""
    step = optimizer.steps + 1
    if not math.isfinite(value):
        raise DivergenceError(f"the loss is {value}", epoch, step)
    if not math.isfinite(norm):
        raise DivergenceError(f"the gradient's norm is {norm}", epoch, step)
    if not optimizer.step(network.kernels, network.flat, gradient):
        raise DivergenceError("the new parameters are not finite", epoch, step)
