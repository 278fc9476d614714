"""First values of the weights."""

import math

import numpy as np

from crnn._typing import Array


def initialize(
    params: dict[str, Array], hidden_size: int, init: str, rng: "np.random.Generator"
) -> None:
    """Fill the weights in place; biases and first states stay zero.

    Numbers are drawn in float64, so that networks of both dtypes start alike.

    Parameters
    ----------
    params : dict of array
        Parameters by name.
    hidden_size : int
    init : {"orthogonal", "uniform"}
        As `crnn.RNN` documents them.
    rng : generator
    """
    for name, weights in params.items():
        if not name.startswith("W_"):
            continue
        # Each gate of a gated cell by itself
        n_blocks = 1 if name == "W_hy" else len(weights) // hidden_size
        for block in np.split(weights, n_blocks):
            if init == "orthogonal" and name.startswith("W_hh"):
                Q, R = np.linalg.qr(rng.standard_normal(block.shape))
                # With R's diagonal positive, Q is distributed uniformly (Mezzadri 2007).
                block[...] = Q * np.sign(np.diag(R))
            else:
                limit = 1 / math.sqrt(hidden_size)
                if init == "orthogonal":
                    limit = math.sqrt(6 / sum(block.shape))
                block[...] = rng.uniform(-limit, limit, block.shape)
