"""A decision by excitatory and inhibitory units: a network that obeys Dale's law.

Two streams of noisy evidence, one for each choice, of which one is a little stronger on average;
after the stimulus the network says which. Such networks are described by Song, Yang and Wang,
"Training excitatory-inhibitory recurrent neural networks for cognitive tasks", PLoS Computational
Biology, 2016. Four of five units are excitatory: the weights that a unit sends are all at least
zero, or all at most zero (Dale's law). No unit sends to itself, evidence excites, and excitatory
units alone reach the output. States are rates of leaky units (relu) with noise.

    python examples/dales_law.py --plot dales_law.png
"""

import argparse
import time

import numpy as np

import crnn
from crnn.constraints import Mask, NonNegative, Sign

UNITS, EXCITATORY = 100, 80
STEP, TIME_CONSTANT = 20, 100  # ms
FIXATION, STIMULUS, DECISION = 5, 40, 10  # steps
COHERENCES = np.array([0.0, 0.032, 0.064, 0.128, 0.256, 0.512])
TRIALS, STEPS, RATE = 64, 1000, 1e-3
NOISE_OF_EVIDENCE, NOISE = 0.5, 0.05


def trials(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs (n, time, 2), choices (n, time), and the signed coherence of each trial (n,).

    Where the coherence is zero, either choice is right.
    """
    coherence = rng.choice(COHERENCES, n) * rng.choice([-1, 1], n) + 0.0  # no -0
    choice = np.where(coherence == 0, rng.integers(0, 2, n), coherence > 0)
    x = np.zeros((n, FIXATION + STIMULUS + DECISION, 2), np.float32)
    during = slice(FIXATION, FIXATION + STIMULUS)
    x[:, during, 0] = 0.5 * (1 - coherence[:, None])
    x[:, during, 1] = 0.5 * (1 + coherence[:, None])
    x[:, during] += NOISE_OF_EVIDENCE * rng.standard_normal((n, STIMULUS, 2))
    return x, np.repeat(choice[:, None].astype(int), x.shape[1], axis=1), coherence


def network(seed: int) -> crnn.RNN:
    """Return a network whose excitation and inhibition are balanced."""
    rng = np.random.default_rng(seed)
    net = crnn.RNN(
        2, UNITS, 2, nonlinearity="relu", leak=STEP / TIME_CONSTANT, noise=NOISE, seed=seed
    )
    weights = rng.gamma(2.0, size=(UNITS, UNITS)) * signs()
    # One inhibitory unit for four excitatory ones, so four times as strong
    weights[:, EXCITATORY:] *= EXCITATORY / (UNITS - EXCITATORY)
    np.fill_diagonal(weights, 0)
    net.W_hh[...] = weights / np.abs(np.linalg.eigvals(weights)).max()
    net.W_xh[...] = np.abs(net.W_xh)
    net.W_hy[...] = np.abs(net.W_hy)
    return net


def signs() -> np.ndarray:
    """Return the sign of what each unit sends."""
    return np.where(np.arange(UNITS) < EXCITATORY, 1, -1)


def constraints() -> dict[str, object]:
    """Return those of all weights."""
    return {
        "W_xh": NonNegative(),
        "W_hh": [Sign(signs()), Mask(1 - np.eye(UNITS))],
        "W_hy": [NonNegative(), Mask(np.tile(signs() > 0, (2, 1)))],
    }


def psychometric(net: crnn.RNN, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return coherences and the share of trials in which the network takes the second choice."""
    x, _, coherence = trials(12_000, rng)
    last = net.predict(x)[:, -1]
    chosen = last[:, 1] > last[:, 0]
    levels = np.unique(coherence)
    return levels, np.array([chosen[coherence == level].mean() for level in levels])


def main() -> None:
    """Train, print the psychometric function, draw it and the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--plot", metavar="FILE", help="a picture")
    options = parser.parse_args()
    rng, net = np.random.default_rng(1), network(0)
    optimizer = crnn.Adam(RATE, constraints=constraints())
    counts = np.zeros((TRIALS, FIXATION + STIMULUS + DECISION))
    counts[:, -DECISION:] = 1
    started = time.perf_counter()
    for step in range(1, options.steps + 1):
        x, y, _ = trials(TRIALS, rng)
        loss = net.train_step(x, y, optimizer, "cross_entropy", mask=counts, clip_norm=1.0)
        if step % max(1, options.steps // 5) == 0:
            print(f"step {step}: loss {loss:.3f}", flush=True)
    print(f"{time.perf_counter() - started:.1f} s for {options.steps} steps of {TRIALS} trials")
    levels, shares = psychometric(net, rng)
    print("\ncoherence  second choice")
    for level, share in zip(levels, shares, strict=True):
        print(f"{level:>9.3f}{share:>15.3f}")
    if options.plot:
        draw(options.plot, net, levels, shares)


def draw(path: str, net: crnn.RNN, levels: np.ndarray, shares: np.ndarray) -> None:
    """Draw the psychometric function, and the weights between units."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    left.plot(100 * levels, 100 * shares, marker="o")
    left.set(xlabel="coherence towards the second choice (%)", ylabel="second choice (%)")
    limit = float(np.quantile(np.abs(net.W_hh), 0.99))
    image = right.imshow(net.W_hh, cmap="RdBu_r", vmin=-limit, vmax=limit)
    right.set(xlabel="from unit (inhibitory ones last)", ylabel="to unit", title="W_hh")
    figure.colorbar(image, ax=right)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
