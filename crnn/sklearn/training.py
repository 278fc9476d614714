"""The networks of an estimator: new ones, their training and their outputs."""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN
from crnn.losses import MSE, CrossEntropy
from crnn.optimizers import AdamW
from crnn.sklearn.pooling import PooledLoss, pooled
from crnn.sklearn.sequences import Samples

Networks: TypeAlias = list[RNN | GRU | LSTM]

# Sequences that are predicted side by side, at most
PREDICT_BATCH = 256


def train(
    nets: Networks,
    optimizers: list[AdamW],
    samples: Samples,
    loss: MSE | CrossEntropy,
    n_outputs: int,
    *,
    epochs: int,
    batch_size: int,
    clip_norm: float | None,
    validation_fraction: float | None = None,
    patience: int | None = None,
    progress: bool = False,
) -> list[float]:
    """Train each network, and return the mean of their losses by epoch.

    Parameters
    ----------
    nets : list of RNN, GRU or LSTM
    optimizers : list of AdamW
        One for each network.
    samples : Samples
        With scaled features and targets. Those for validation are the last.
    loss : MSE or CrossEntropy
        Of the outputs of sequences.
    n_outputs : int
        Outputs of a sequence.
    epochs, batch_size, clip_norm, validation_fraction, patience, progress
        As in `crnn.RNN.fit`.
    """
    n, T = samples.x.shape[:2]
    lengths = mask = None
    if (samples.lengths < T).any() or (samples.weights != 1).any():
        lengths = samples.lengths
        mask = samples.inside * (samples.weights / lengths)[:, None]
    targets = np.broadcast_to(samples.targets[:, None], (n, T, *samples.targets.shape[1:]))
    curves = [
        net.fit(
            samples.x,
            targets,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            loss=PooledLoss(loss, n_outputs),
            lengths=lengths,
            mask=mask,
            clip_norm=clip_norm,
            validation_fraction=validation_fraction,
            patience=patience,
            progress=progress,
        ).loss
        for net, optimizer in zip(nets, optimizers, strict=True)
    ]
    # Networks that stopped early have no part in later means.
    longest = max(map(len, curves))
    return [
        float(np.mean([curve[epoch] for curve in curves if epoch < len(curve)]))
        for epoch in range(longest)
    ]


def outputs_of(
    nets: Networks, x: npt.NDArray[np.float64], lengths: npt.NDArray[np.intp], n_outputs: int
) -> npt.NDArray[np.float64]:
    """Return the outputs (networks, n, outputs) of each network for each sequence."""
    order = np.argsort(lengths, kind="stable")
    # In float64: in float32 the order of sums would show, which depends on the sequences that are
    # predicted side by side.
    wide = [net.astype("float64") for net in nets]
    outputs = np.empty((len(nets), len(x), n_outputs))
    for rows in np.array_split(order, math.ceil(len(order) / PREDICT_BATCH)):
        ends = lengths[rows]
        for y, net in zip(outputs, wide, strict=True):
            of_steps = net.predict(x[rows, : ends.max()], lengths=ends)
            y[rows] = pooled(of_steps, n_outputs, ends).y
    return outputs
