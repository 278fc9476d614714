"""Rollouts with resets beside PyTorch: `python -m benchmarks.speed.resets`.

The forward and the backward pass of a recurrent layer over a rollout in which episodes end, as
training of a recurrent policy computes them: by a network of crnn, and by a layer of `crnn.torch`.
PyTorch's layers take no resets, so libraries for reinforcement learning go around them in one of
two ways:

loop
    A call of the layer for each step, whose state is set to zero where an episode begins, as
    stable-baselines3-contrib does.
cut
    One call for the episodes, cut apart and padded to the longest, as TorchRL does.

Samples are interleaved, so noise affects all alike.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

import crnn
import crnn.torch
from benchmarks.speed.timing import interleaved, median_and_quartiles, timer_of

SHAPES = ((32, 64, 32, 128), (128, 16, 16, 64))  # T, B, I, H
SHARE = 0.02  # of the steps begin an episode
ROUNDS, SAMPLE_SECONDS = 9, 0.05


def crnn_way(cell: str, x: np.ndarray, dy: np.ndarray, resets: np.ndarray) -> Callable[[], object]:
    """Return the passes of a crnn network without an output layer."""
    net = getattr(crnn, cell)(x.shape[2], dy.shape[2], None, seed=0)

    def passes() -> object:
        return net.backward(net.forward(x, resets=resets), dy)

    return passes


def module_way(
    cell: str, x: np.ndarray, dy: np.ndarray, resets: np.ndarray
) -> Callable[[], object]:
    """Return the passes of a layer of crnn.torch."""
    layer = getattr(crnn.torch, cell)(x.shape[2], dy.shape[2], batch_first=True)
    inputs, gradient = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    marks = torch.from_numpy(resets)

    def passes() -> None:
        layer(inputs, None, marks)[0].backward(gradient)

    return passes


def layer_of(cell: str, x: np.ndarray, dy: np.ndarray) -> torch.nn.Module:
    """Return PyTorch's layer."""
    layer: torch.nn.Module = getattr(torch.nn, cell)(x.shape[2], dy.shape[2], batch_first=True)
    return layer


def loop_way(cell: str, x: np.ndarray, dy: np.ndarray, resets: np.ndarray) -> Callable[[], object]:
    """Return the passes of PyTorch's layer, called for each step."""
    layer = layer_of(cell, x, dy)
    inputs, gradient = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    goes_on = 1 - torch.from_numpy(resets.astype(np.float32))

    def passes() -> None:
        h = c = torch.zeros(1, len(x), dy.shape[2])
        outputs = []
        for t in range(x.shape[1]):
            kept = goes_on[None, :, t, None]
            if cell == "LSTM":
                y, (h, c) = layer(inputs[:, t : t + 1], (h * kept, c * kept))
            else:
                y, h = layer(inputs[:, t : t + 1], h * kept)
            outputs.append(y)
        torch.cat(outputs, 1).backward(gradient)

    return passes


def cut_way(cell: str, x: np.ndarray, dy: np.ndarray, resets: np.ndarray) -> Callable[[], object]:
    """Return the passes of PyTorch's layer over the pieces, padded to the longest."""
    layer = layer_of(cell, x, dy)
    inputs, gradient = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    begins = resets.copy()
    begins[:, 0] = True
    rows, first = np.nonzero(begins)
    last = np.append(np.where(rows[1:] == rows[:-1], first[1:], x.shape[1]), x.shape[1])
    lengths = (last - first).tolist()

    def passes() -> None:
        flat = inputs.reshape(-1, x.shape[2])
        padded = torch.nn.utils.rnn.pad_sequence(list(torch.split(flat, lengths)), batch_first=True)
        y, _ = layer(padded)
        pieces = [y[k, :n] for k, n in enumerate(lengths)]
        torch.cat(pieces).backward(gradient.reshape(-1, dy.shape[2]))

    return passes


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.speed.resets", description=__doc__
    ).parse_args()
    torch.set_num_threads(crnn.get_num_threads())
    crnn.show_config()
    print(f"PyTorch         {torch.__version__}")
    print("\nforward and backward passes, milliseconds: medians; PyTorch's over crnn's\n")
    heads = ("crnn", "crnn.torch", "cut", "loop")
    print(
        f"{'layer':<7}{'T, B, I, H':>17}" + "".join(f"{head:>11}" for head in (*heads, *heads[2:]))
    )
    rng = np.random.default_rng(0)
    ways = dict(zip(heads, (crnn_way, module_way, cut_way, loop_way), strict=True))
    for cell in ("GRU", "LSTM"):
        for T, B, I, H in SHAPES:
            x, dy = (rng.standard_normal((B, T, n)).astype(np.float32) for n in (I, H))
            resets = rng.random((B, T)) < SHARE
            timers = {name: timer_of(way(cell, x, dy, resets)) for name, way in ways.items()}
            samples = interleaved(timers, ROUNDS, SAMPLE_SECONDS)
            times = [1e3 * median_and_quartiles(samples[name])[0] for name in ways]
            ratios = [time / times[0] for time in times[2:]]
            shape = f"{T}, {B}, {I}, {H}"
            print(
                f"{cell:<7}{shape:>17}"
                + "".join(f"{time:>11.2f}" for time in times)
                + "".join(f"{ratio:>11.1f}" for ratio in ratios),
                flush=True,
            )


if __name__ == "__main__":
    main()
