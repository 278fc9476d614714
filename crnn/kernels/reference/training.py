"""Training in one call: for each batch the gradient, and a step of the optimizer with it."""

import math
from collections.abc import Callable

import numpy as np

from crnn._typing import Array, FloatArray, IntArray
from crnn.kernels import contracts
from crnn.kernels.constraints import Constraints
from crnn.kernels.constraints import check as check_constraints
from crnn.kernels.reference.passes import rnn_gradient
from crnn.kernels.reference.updates import adam_step, rmsprop_step, sgd_step

_STEPS: dict[str, Callable[..., bool]] = {
    "sgd_step": sgd_step,
    "rmsprop_step": rmsprop_step,
    "adam_step": adam_step,
}


def rnn_train(
    cell: str,
    x: Array,
    y: Array,
    rows: IntArray,
    batch_size: int,
    theta: Array,
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
    rates: FloatArray,
    losses: FloatArray,
    norms: FloatArray,
    workspace: Array,
) -> None:
    """Take a step of the optimizer for each batch of sequences, as long as all numbers are finite.

    A step is taken as a whole or not at all. The first whose loss, norm or new parameters are not
    finite is not taken, and is the last: its loss and norm are written, and `steps` tells which it
    is.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I)
        Inputs of all sequences.
    y : array (B, T, O), or for "cross_entropy" (B, T) of intp
        Targets.
    rows : array (R,) of intp
        The sequences in the order in which batches take them.
    batch_size : int
        Sequences of a batch; the last may have fewer. K is the number of batches.
    theta : array (P,)
        The parameters, in the order of `cells.parameter_shapes`; changed.
    hidden_size, output_size : int
        H and O. An output_size of 0 means no output layer: the outputs are the states h_t.
    loss : {"mse", "sse", "cross_entropy"}
    max_norm, max_value : float or None
        Limits of the gradient's norm and, after that, of its elements.
    optimizer : {"sgd_step", "rmsprop_step", "adam_step"}
        The kernel of the optimizer's step.
    memory : dict of array (P,)
        The vectors that it takes beside the parameters and their gradient, by argument name;
        changed.
    settings : dict of float
        The numbers that it takes beside learning rate and step, by argument name.
    constraints : Constraints or None
        Parameters are within them after each step.
    steps : array (1,) of intp
        How many steps the optimizer has taken; each step adds one.
    rates : array (K,) of float64
        The learning rate of each step.
    losses, norms : array (K,) of float64
        The loss of each batch before its step, and the gradient's norm before clipping, are
        written.
    workspace : array (n,)
        Scratch memory, of at least `train_workspace_size` scalars for the sizes of the first and
        of the last batch.
    """
    contracts.check(
        "rnn_train",
        {"x": x, "rows": rows, "y": y, "theta": theta, "steps": steps, "rates": rates,
         "losses": losses, "norms": norms, "workspace": workspace},
        cell=cell,
        loss=loss,
        batch_size=batch_size,
        hidden_size=hidden_size,
        output_size=output_size,
    )  # fmt: skip
    contracts.check_step(optimizer, memory, theta, settings.get("momentum", 0))
    check_constraints(constraints, theta)
    gradient = np.empty_like(theta)
    for number, lr in enumerate(rates.tolist()):
        batch = rows[number * batch_size : (number + 1) * batch_size]
        losses[number], norms[number] = rnn_gradient(
            cell, x[batch], y[batch], theta, gradient, hidden_size, output_size, loss, max_norm,
            max_value, workspace,
        )  # fmt: skip
        if not (math.isfinite(losses[number]) and math.isfinite(norms[number])):
            return
        if not take_step(optimizer, theta, gradient, memory, settings, constraints, steps, lr):
            return


def take_step(
    optimizer: str,
    theta: Array,
    gradient: Array,
    memory: dict[str, Array | None],
    settings: dict[str, float],
    constraints: Constraints | None,
    steps: IntArray,
    lr: float,
) -> bool:
    """Take a step of the optimizer in place, or none at all.

    Parameters
    ----------
    optimizer, theta, memory, settings, constraints, steps
        As of `rnn_train`.
    gradient : array (P,)
    lr : float

    Returns
    -------
    bool
        Whether all new parameters are finite. If not, nothing has changed.
    """
    count = {"step": int(steps[0]) + 1} if optimizer == "adam_step" else {}
    step = _STEPS[optimizer]
    return step(
        theta, gradient, **memory, **settings, **count, lr=lr, steps=steps, constraints=constraints
    )
