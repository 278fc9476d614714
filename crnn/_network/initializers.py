"""First values of the weights."""

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from crnn._typing import Array

if TYPE_CHECKING:
    from collections.abc import Iterable


def initialize(
    params: dict[str, Array],
    hidden_size: int,
    init: str,
    rngs: "Iterable[np.random.Generator]",
) -> None:
    """Fill the weights of some networks in place; biases and first states stay as they are.

    Numbers are drawn in float64, so that networks of both dtypes start alike.

    Parameters
    ----------
    params : dict of array (n, ...)
        Parameters of n networks by name.
    hidden_size : int
    init : {"orthogonal", "uniform"}
        As `crnn.RNN` documents them.
    rngs : iterable of generator
        One for each network: it is used before the next is taken.
    """
    blocks: list[tuple[bool, Array]] = []
    for name, weights in params.items():
        if name.startswith("W_"):
            # Each gate of a gated cell by itself
            n_blocks = 1 if name == "W_hy" else weights.shape[1] // hidden_size
            is_orthogonal = init == "orthogonal" and name.startswith("W_hh")
            blocks += [(is_orthogonal, block) for block in np.split(weights, n_blocks, axis=1)]
    # Neighbors of one distribution are drawn by one call of a generator, which takes less time.
    runs = [
        (is_orthogonal, [block for _, block in run])
        for is_orthogonal, run in itertools.groupby(blocks, lambda pair: pair[0])
    ]
    n = len(blocks[0][1])
    drawn = [np.empty((n, sum(block[0].size for block in run))) for _, run in runs]
    for number, rng in enumerate(rngs):
        for (is_orthogonal, _), numbers in zip(runs, drawn, strict=True):
            if is_orthogonal:
                rng.standard_normal(out=numbers[number])
            else:
                rng.random(out=numbers[number])
    for (is_orthogonal, run), numbers in zip(runs, drawn, strict=True):
        first = 0
        for block in run:
            own = numbers[:, first : first + block[0].size].reshape(block.shape)
            first += block[0].size
            if is_orthogonal:
                Q, R = np.linalg.qr(own)
                # With R's diagonal positive, Q is distributed uniformly (Mezzadri 2007).
                block[...] = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None]
                continue
            limit = 1 / math.sqrt(hidden_size)
            if init == "orthogonal":
                limit = math.sqrt(6 / sum(block.shape[1:]))
            # In place: a large network has no room for copies.
            own *= 2 * limit
            own -= limit
            block[...] = own
