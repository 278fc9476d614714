"""Random chains of networks and dense layers."""

import numpy as np
from network_problems import CELLS, network

import crnn


def dense(I, O, activation, dtype):
    rng = np.random.default_rng(O)
    return crnn.Dense(rng.normal(size=(O, I)) / 2, rng.normal(size=O), activation, dtype)


def chain(cells, activations, dtype, sizes=(3, 5, 13, 70, 4, 6, 9), **of_first):
    """Dense layers with a network of a cell between any two; None: none there."""
    parts = []
    for number, activation in enumerate(activations):
        if activation != "none":
            parts.append(dense(sizes[2 * number], sizes[2 * number + 1], activation, dtype))
        if number < len(cells):
            settings = CELLS[cells[number]] | (of_first if number == 0 else {})
            I, H = sizes[2 * number + 1], sizes[2 * number + 2]
            parts.append(network(I, H, None, dtype=dtype, seed=number, **settings))
    return crnn.Sequential(parts)
