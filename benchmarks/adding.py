"""Which cell learns to remember: the adding problem, `python -m benchmarks.adding --help`.

At each step a sequence has a random number and a mark. Two marks of a sequence are 1, one in each
half, all others 0; what is asked for at the end is the sum of the two marked numbers (Hochreiter
and Schmidhuber 1997, "Long short-term memory", experiment 4). Who always answers 1, the mean, has
an error of 1/6, twice the variance of a number. To do better a network has to carry a number over
many steps in which nothing is asked of it.

All cells have the same hidden units, batches, optimiser and clipping, and each the best of the same
learning rates, by its error at the end on sequences of its own.
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
COLOURS = {"RNN": "#D55E00", "GRU": "#0072B2", "LSTM": "#009E73"}  # Okabe and Ito's
LEARNING_RATES = (0.003, 0.01)
HIDDEN_SIZE, BATCH_SIZE = 32, 64
STEPS, EVERY, TESTED = 4000, 50, 1000
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
    """Return the mean squared error on sequences never trained on, after every so many steps."""
    rng = np.random.default_rng([seed, T])
    x_test, y_test = sequences(TESTED, T, rng)
    net = CELLS[cell](2, HIDDEN_SIZE, 1, return_sequences=False, seed=seed)
    optimizer = crnn.Adam(lr)
    errors = [net.loss(x_test, y_test)]
    for step in range(1, steps + 1):
        net.train_step(*sequences(BATCH_SIZE, T, rng), optimizer, clip_norm=1.0)
        if step % EVERY == 0:
            errors.append(net.loss(x_test, y_test))
    return errors


def curves(cell: str, T: int, steps: int, seeds: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Return the best learning rate, and with it the errors (seeds, points)."""
    found = {
        lr: np.array([learn(cell, T, lr, seed, steps) for seed in seeds]) for lr in LEARNING_RATES
    }
    best = min(found, key=lambda lr: float(np.median(found[lr][:, -1])))
    return best, found[best]


def draw(results: dict[tuple[str, int], tuple[float, np.ndarray]], path: Path) -> None:
    """Draw the errors over the sequences seen: a panel for each length."""
    figure, panels = plt.subplots(1, len(LENGTHS), figsize=(11, 3.8), sharey=True)
    for panel, T in zip(panels, LENGTHS, strict=True):
        for cell, colour in COLOURS.items():
            _, errors = results[cell, T]
            seen = np.arange(errors.shape[1]) * EVERY * BATCH_SIZE / 1000
            panel.plot(seen, np.median(errors, axis=0), color=colour, label=cell, linewidth=1.8)
            panel.fill_between(
                seen, errors.min(axis=0), errors.max(axis=0), color=colour, alpha=0.2, linewidth=0
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
    """Learn, print a table, and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adding", description=__doc__)
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
