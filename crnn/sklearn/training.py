"""The networks of an estimator: new ones, their training and their outputs."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN
from crnn.losses import MSE, CrossEntropy
from crnn.optimizers import AdamW
from crnn.sklearn.pooling import PooledLoss, pooled
from crnn.sklearn.sequences import Samples

Networks: TypeAlias = list[RNN | GRU | LSTM]

# Sequences that are predicted side by side, at most, and their steps with padding: enough to fill
# the kernels' tiles in little memory. A longer sequence is predicted alone.
PREDICT_BATCH, PREDICT_STEPS = 256, 1 << 15


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
    data = as_networks_take_them(samples)
    curves = [
        net.fit(
            **data,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            loss=PooledLoss(loss, n_outputs),
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


def as_networks_take_them(samples: Samples) -> dict[str, Any]:
    """Return the arguments x, y and mask of `crnn.RNN.fit`.

    Each step has the target of its sequence and a share of its weight, as `PooledLoss` takes them.
    """
    n, lengths = len(samples.x), samples.lengths
    weights = samples.weights / lengths
    if len(set(lengths)) > 1:
        shape = samples.targets.shape[1:]
        return {
            "x": samples.x,
            "y": [
                np.broadcast_to(target, (T, *shape))
                for target, T in zip(samples.targets, lengths, strict=True)
            ],
            "mask": [np.full(T, weight) for weight, T in zip(weights, lengths, strict=True)],
        }
    steps = (n, int(lengths[0]))
    is_weighted = (samples.weights != 1).any()
    return {
        "x": np.stack(samples.x),
        "y": np.broadcast_to(samples.targets[:, None], (*steps, *samples.targets.shape[1:])),
        "mask": np.broadcast_to(weights[:, None], steps) if is_weighted else None,
    }


def outputs_of(
    nets: Networks, sequences: list[npt.NDArray[np.float32]], n_outputs: int
) -> npt.NDArray[np.float64]:
    """Return the outputs (networks, n, outputs) of each network for each sequence."""
    outputs = np.empty((len(nets), len(sequences), n_outputs))
    for rows in side_by_side(np.array([len(sequence) for sequence in sequences])):
        ends = np.array([len(sequences[row]) for row in rows])
        x = np.zeros((len(rows), ends.max(), sequences[rows[0]].shape[1]), np.float32)
        for place, row in zip(x, rows, strict=True):
            place[: len(sequences[row])] = sequences[row]
        for y, net in zip(outputs, nets, strict=True):
            y[rows] = pooled(net.predict(x, lengths=ends), n_outputs, ends).y
    return outputs


def side_by_side(lengths: npt.NDArray[np.intp]) -> Iterator[list[int]]:
    """Yield the rows of sequences of similar length that are predicted together."""
    rows: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        # In ascending order: the last one is the longest.
        steps = (len(rows) + 1) * int(lengths[row])
        if rows and (len(rows) == PREDICT_BATCH or steps > PREDICT_STEPS):
            yield rows
            rows = []
        rows.append(row)
    yield rows
