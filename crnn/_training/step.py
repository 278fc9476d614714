"""One step of training: a batch becomes a gradient, and the gradient a change of the parameters."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crnn._network import memory
from crnn._network.network import Network
from crnn._network.random_numbers import RandomSource
from crnn._training.data import Batch
from crnn._training.evaluation import NOTHING_COUNTS, weight_of
from crnn._training.run import NO_CLIPPING, Clipping
from crnn._typing import Array, FloatArray, IntArray
from crnn.errors import DivergenceError
from crnn.kernels.constraints import Constraints

if TYPE_CHECKING:
    from crnn.losses import Loss
    from crnn.optimizers import Optimizer


def train_step(
    network: Network,
    parts: list[Batch],
    optimizer: "Optimizer",
    loss: "Loss",
    clipping: Clipping,
    rng: "np.random.Generator",
    epoch: int | None = None,
    *,
    constraints: Constraints | None = None,
    wants_states: bool = False,
) -> tuple[float, float, Array | None]:
    """Take one step of the optimizer.

    The step is taken as a whole or not at all: then neither the parameters nor the optimizer nor
    the generator have changed, whatever is raised. Ctrl-C may come right after a whole step.

    Parameters
    ----------
    network : Network
    parts : list of Batch
        The batch, usually in one part.
    optimizer : Optimizer
    loss, clipping, rng
        As in `gradient_of_batch`.
    epoch : int, optional
        Named in errors.
    constraints : Constraints, optional
        Parameters are within them after the step.
    wants_states : bool
        As in `gradient_of_batch`; only for a batch in one part.

    Returns
    -------
    loss : float
    norm : float
        The gradient's norm before clipping.
    last_states : array (layers * directions, B, S) or None
        None unless `wants_states`. All three are from before the step.

    Raises
    ------
    DivergenceError
        The loss, the gradient's norm or a new parameter is not finite.
    """
    generator_before, steps_before = None, 0
    if network.draws:
        generator_before, steps_before = rng.bit_generator.state, optimizer.steps
    states = None
    try:
        if len(parts) == 1:
            value, norm, gradient, states = gradient_of_batch(
                network, parts[0], loss, clipping, rng, wants_states=wants_states
            )
        else:
            value, norm, gradient = gradient_of_parts(
                network, parts, loss, clipping, [rng] * len(parts)
            )
        # Made before the step: after it nothing may fail for want of memory.
        result = value, norm, states
        is_finite = math.isfinite(value) and math.isfinite(norm)
        if not (is_finite and take_step(network, optimizer, gradient, constraints)):
            raise divergence(value, norm, epoch, optimizer.steps + 1)
    except BaseException:
        if generator_before is not None and optimizer.steps == steps_before:
            rng.bit_generator.state = generator_before
        raise
    return result


def take_step(
    network: Network, optimizer: "Optimizer", gradient: Array, constraints: Constraints | None
) -> bool:
    """Take the step of a gradient, and return whether it was taken."""
    # The step of a user's own class may take no constraints.
    limits = {} if constraints is None else {"constraints": constraints}
    return optimizer.step(network.kernels, network.flat, gradient, **limits)


def divergence(value: float, norm: float, epoch: int | None, step: int) -> DivergenceError:
    """Return the error of a step that was not taken, whose number this is."""
    reason = "the new parameters or the optimizer's memory are not finite"
    if not math.isfinite(value):
        reason = f"the loss is {value}"
    elif not math.isfinite(norm):
        reason = f"the gradient's norm is {norm}"
    return DivergenceError(reason, epoch, step)


def can_train_in_one_call(network: Network, optimizer: "Optimizer", loss: "Loss") -> bool:
    """Whether `train_in_one_call` can take the steps, for data that are x and y alone."""
    return network.trains_in_one_call and loss.is_fused and optimizer.is_fused


def train_in_one_call(
    network: Network,
    x: Array,
    y: Array,
    rows: IntArray,
    batch_size: int,
    optimizer: "Optimizer",
    loss: "Loss",
    clipping: Clipping,
    losses: FloatArray,
    norms: FloatArray,
    epoch: int | None = None,
    *,
    constraints: Constraints | None = None,
) -> None:
    """Take a step of the optimizer for each batch, in one kernel call: the bits of `train_step`.

    Parameters
    ----------
    network : Network
    x : array (n, T, I)
    y : array (n, T, O) or (n, T)
    rows : array (R,)
        The sequences in the order in which batches take them.
    batch_size : int
    optimizer, loss, clipping
        As in `train_step`.
    losses, norms : array (batches,)
        What `train_step` returns for each batch is written.
    epoch : int, optional
        Named in errors.
    constraints : Constraints, optional
        As in `train_step`.

    Raises
    ------
    DivergenceError
        As in `train_step`: the steps before are taken.
    """
    train = partial(
        network.train, x, y, rows, batch_size, loss.kernel, *clipping, losses, norms,
        constraints=constraints,
    )  # fmt: skip
    taken = optimizer.take_steps(len(losses), train, network.flat)
    if taken < len(losses):
        raise divergence(float(losses[taken]), float(norms[taken]), epoch, optimizer.steps + 1)


def gradient_of_parts(
    network: Network,
    parts: list[Batch],
    loss: "Loss",
    clipping: Clipping,
    sources: Sequence[RandomSource],
) -> tuple[float, float, Array]:
    """Return the loss, the gradient's norm and the clipped gradient of the parts together.

    To rounding those of `gradient_of_batch` for one batch of all, but with the tape of one part at
    a time. The loss has to add up. Each part has its source of random numbers.
    """
    if len(parts) == 1:
        return gradient_of_batch(network, parts[0], loss, clipping, sources[0])[:3]
    weights = [weight_of(part, loss) for part in parts]
    total = sum(weights)
    if total == 0:
        raise ValueError(NOTHING_COUNTS)
    value, gradient = 0.0, memory.zeros(network.flat.shape, network.flat.dtype)
    for part, weight, rng in zip(parts, weights, sources, strict=True):
        if weight == 0:
            continue
        part_value, _, part_gradient, _ = gradient_of_batch(network, part, loss, NO_CLIPPING, rng)
        share = weight / total if loss.is_mean else 1.0
        value += share * part_value
        with np.errstate(all="ignore"):
            gradient += share * part_gradient
    return value, network.clip(gradient, clipping.norm, clipping.value), gradient


def gradient_of_batch(
    network: Network,
    batch: Batch,
    loss: "Loss",
    clipping: Clipping,
    rng: RandomSource,
    *,
    wants_states: bool = False,
) -> tuple[float, float, Array, Array | None]:
    """Return the loss of a batch and its clipped gradient.

    Parameters
    ----------
    network : Network
    batch : Batch
    loss : Loss
    clipping : Clipping
    rng : RandomSource
        Draws dropout's masks and noise.
    wants_states : bool
        Whether the last states are wanted, for the next chunk of truncated BPTT.

    Returns
    -------
    loss : float
    norm : float
        The gradient's norm before clipping.
    gradient : array (n,)
    last_states : array (layers * directions, B, S) or None
    """
    if network.trains_in_one_call and loss.is_fused and batch.has_only_x_and_y and not wants_states:
        # One kernel call: forward, loss, BPTT and clipping
        value, norm, gradient = network.gradient(
            batch.x, batch.y, loss.kernel, clipping.norm, clipping.value
        )
        return value, norm, gradient, None
    tape = network.forward(
        batch.x, batch.h0, batch.lengths, skip=batch.skip, resets=batch.resets, rng=rng
    )
    dy = memory.empty(tape.outputs.shape, tape.outputs.dtype)
    value = loss.compute(network.kernels, tape.outputs, batch.y, batch.weights, dy)
    gradient = memory.zeros(network.flat.shape, network.flat.dtype)
    network.backward(tape, dy, None, gradient, wants_dx=False)
    norm = network.clip(gradient, clipping.norm, clipping.value)
    return value, norm, gradient, tape.last_states
