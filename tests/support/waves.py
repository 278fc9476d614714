"""Sequences for the estimators of crnn.sklearn."""

import numpy as np

# Large enough to learn the waves, small enough for a test
SMALL = {
    "hidden_size": 12, "n_networks": 2, "learning_rate": 0.005, "max_iter": 20, "random_state": 0,
}  # fmt: skip


def waves(n=60, seed=0):
    """Noisy waves of two channels and 15 to 39 steps; their kinds, and their frequencies."""
    rng = np.random.default_rng(seed)
    frequencies = rng.uniform(0.3, 1.2, n)
    X = []
    for frequency in frequencies:
        phases = frequency * np.arange(rng.integers(15, 40)) + rng.uniform(0, 6)
        wave = np.column_stack([np.sin(phases), 40 + 10 * np.cos(phases)])
        X.append(wave + rng.normal(0, 0.05, wave.shape))
    kinds = np.array(["slow", "middling", "fast"])[np.digitize(frequencies, [0.6, 0.9])]
    return X, kinds, frequencies
