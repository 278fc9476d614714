"""The adding problem for each cell: `python -m benchmarks.quality.adding --help`.

Each step of a sequence has a random number and a mark. Two marks are 1, one in each half; all
others are 0. The target is the sum of the two marked numbers (Hochreiter and Schmidhuber 1997,
"Long short-term memory", experiment 4). The constant answer 1, the mean, has an error of 1/6, twice
the variance of a number. A lower error means that the network carries a number over many steps.

All cells have the same number of hidden units, the same batches, optimizer and clipping. Each has
the best of the same learning rates by the final error on its test sequences.
"""

import argparse
import itertools
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import crnn

LENGTHS = (50, 100, 200)
CELLS = {"RNN": crnn.RNN, "GRU": crnn.GRU, "LSTM": crnn.LSTM}
COLORS = {"RNN": "#D55E00", "GRU": "#0072B2", "LSTM": "#009E73"}  # Okabe and Ito's palette
LEARNING_RATES = (0.003, 0.01)
HIDDEN_SIZE, BATCH_SIZE = 32, 64
STEPS, STEPS_PER_POINT, TEST_SEQUENCES = 4000, 50, 1000
SEEDS = (0, 1, 2)
GUESSING = 1 / 6


def sequences(n: int, T: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return x (n, T, 2), numbers and marks, and the sums (n, 1)."""
    x = np.zeros((n, T, 2), np.float32)
    x[..., 0] = rng.random((n, T))
    rows = np.arange(n)
    first, second = rng.integers(0, T // 2, n), rng.integers(T // 2, T, n)
    x[rows, first, 1] = x[rows, second, 1] = 1
    return x, (x[rows, first, 0] + x[rows, second, 0])[:, None]


def learn(cell: str, T: int, lr: float, seed: int, steps: int) -> list[float]:
    """Return the mean squared error on test sequences, after every STEPS_PER_POINT steps."""
    rng = np.random.default_rng([seed, T])
    x_test, y_test = sequences(TEST_SEQUENCES, T, rng)
    net = CELLS[cell](2, HIDDEN_SIZE, 1, return_sequences=False, seed=seed)
    optimizer = crnn.Adam(lr)
    errors = [net.loss(x_test, y_test)]
    for step in range(1, steps + 1):
        net.train_step(*sequences(BATCH_SIZE, T, rng), optimizer, clip_norm=1.0)
        if step % STEPS_PER_POINT == 0:
            errors.append(net.loss(x_test, y_test))
    return errors


def curves(cell: str, T: int, steps: int, seeds: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Return the best learning rate and its errors (seeds, points)."""
    found = {
        lr: np.array([learn(cell, T, lr, seed, steps) for seed in seeds]) for lr in LEARNING_RATES
    }
    best = min(found, key=lambda lr: float(np.median(found[lr][:, -1])))
    return best, found[best]


def draw(results: dict[tuple[str, int], tuple[float, np.ndarray]], path: Path) -> None:
    """Draw the errors over the number of training sequences, in a panel for each length."""
    figure, panels = plt.subplots(1, len(LENGTHS), figsize=(11, 3.8), sharey=True)
    for panel, T in zip(panels, LENGTHS, strict=True):
        for cell, color in COLORS.items():
            _, errors = results[cell, T]
            seen = np.arange(errors.shape[1]) * STEPS_PER_POINT * BATCH_SIZE / 1000
            panel.plot(seen, np.median(errors, axis=0), color=color, label=cell, linewidth=1.8)
            panel.fill_between(
                seen, errors.min(axis=0), errors.max(axis=0), color=color, alpha=0.2, linewidth=0
            )
        panel.axhline(GUESSING, color="0.4", linestyle="--", linewidth=1)
        panel.set_yscale("log")
        panel.set_ylim(2e-5, 1.5)
        panel.set_title(f"{T} steps", fontsize=11)
        panel.set_xlabel("thousand sequences seen")
        panel.grid(which="major", color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean squared error")
    panels[0].annotate(
        "always answering 1", (0.98, GUESSING), xycoords=("axes fraction", "data"), ha="right",
        va="bottom", fontsize=9, color="0.3",
    )  # fmt: skip
    panels[0].legend(frameon=False, loc="lower left")
    figure.suptitle(
        f"The adding problem: {HIDDEN_SIZE} hidden units, median and range of seeds", fontsize=11
    )
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Train, print a table, and draw."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.adding", description=__doc__
    )
    parser.add_argument("--short", action="store_true", help="a tenth of the steps, and one seed")
    parser.add_argument("--output", type=Path, help="folder for adding.png (none: no picture)")
    chosen = parser.parse_args()
    steps, seeds = (STEPS // 10, SEEDS[:1]) if chosen.short else (STEPS, SEEDS)
    print(f"{'steps':>5}  {'cell':<4}  {'rate':>6}  {'error at the end':>22}  {'seconds':>7}")
    results = {}
    for T, cell in itertools.product(LENGTHS, CELLS):
        start = time.perf_counter()
        lr, errors = results[cell, T] = curves(cell, T, steps, seeds)
        last = errors[:, -1]
        spread = f"{np.median(last):>8.5f} ({last.min():.5f}-{last.max():.5f})"
        seconds = time.perf_counter() - start
        print(f"{T:>5}  {cell:<4}  {lr:>6}  {spread}  {seconds:>7.0f}", flush=True)
    if chosen.output is not None:
        chosen.output.mkdir(parents=True, exist_ok=True)
        draw(results, chosen.output / "adding.png")
        print(f"written: {chosen.output / 'adding.png'}")


if __name__ == "__main__":
    main()
