"""The networks of an estimator: new ones, their training and their outputs."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN
from crnn.losses import MSE, CrossEntropy
from crnn.optimizers import AdamW
from crnn.sklearn.pooling import PooledLoss, pooled
from crnn.sklearn.samples import Samples
from crnn.sklearn.scale import Scale

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
    """Return the arguments x, y, lengths and mask of `crnn.RNN.fit`.

    Each step has the target of its sequence and a share of its weight, as `PooledLoss` takes them.
    Where padding would be most of an array, x, y and mask are lists.
    """
    n, lengths = len(samples.x), samples.lengths
    T, shape = int(lengths.max()), samples.targets.shape[1:]
    weights = samples.weights / lengths
    if n * T > 2 * lengths.sum():
        return {
            "x": samples.x,
            "y": [
                np.broadcast_to(target, (length, *shape))
                for target, length in zip(samples.targets, lengths, strict=True)
            ],
            "mask": [
                np.full(length, weight) for weight, length in zip(weights, lengths, strict=True)
            ],
        }
    inside = np.arange(T) < lengths[:, None]
    is_plain = inside.all() and (samples.weights == 1).all()
    return {
        "x": padded(samples.x),
        "y": np.broadcast_to(samples.targets[:, None], (n, T, *shape)),
        "lengths": None if inside.all() else lengths,
        "mask": None if is_plain else inside * weights[:, None],
    }


def padded(sequences: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return sequences side by side (n, time, features), zeros past their ends."""
    longest = max(map(len, sequences))
    x = np.zeros((len(sequences), longest, sequences[0].shape[1]), sequences[0].dtype)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x


def outputs_of(
    nets: Networks, sequences: list[npt.NDArray[np.float64]], scale: Scale, n_outputs: int
) -> npt.NDArray[np.float64]:
    """Return the outputs (networks, n, outputs) of each network for each sequence."""
    outputs = np.empty((len(nets), len(sequences), n_outputs))
    for rows in side_by_side(np.array([len(sequence) for sequence in sequences])):
        ends = np.array([len(sequences[row]) for row in rows])
        x = scale.scaled(padded([sequences[row] for row in rows]))
        too_large = np.flatnonzero(np.abs(x).max(axis=(1, 2)) > np.finfo(np.float32).max)
        if len(too_large):
            raise ValueError(
                f"X[{rows[too_large[0]]}]: expected numbers of the size of those in fit, got some "
                "that float32 cannot hold after scaling"
            )
        x = x.astype(np.float32)
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
