"""Draw the pictures of README and of these pages: `make pictures` runs this."""

from pathlib import Path

import numpy as np

import crnn
from crnn import plots
from crnn.datasets import sunspots

FOLDER = Path(__file__).parent / "pictures"
# Legible at the width of a page, and small files
DPI = 100

LAST_TRAINING_YEAR = 1979
LAST_KNOWN_YEAR = 1997
# Two solar cycles, as `crnn demo` reads
WINDOW = 22
NETWORKS = 20


def encode(numbers):
    """Return the network's inputs (years, 1) for sunspot numbers (years,)."""
    return np.sqrt(numbers)[:, None] / 10


def decode(outputs):
    """Return the sunspot numbers (...) for outputs (..., 1)."""
    return (10 * np.maximum(outputs[..., 0], 0)) ** 2


def trained(series, seed):
    """Return a network trained to predict a year from the years before it."""
    net = crnn.RNN(input_size=1, hidden_size=16, output_size=1, seed=seed)
    windows = np.lib.stride_tricks.sliding_window_view(series[:, 0], WINDOW + 1)[::4, :, None]
    net.fit(
        windows[:, :-1],
        windows[:, 1:],
        epochs=300,
        batch_size=8,
        optimizer=crnn.SGD(0.02, momentum=0.9),
        clip_norm=1.0,
        progress=False,
    )
    return net


def main():
    """Train the networks and write both pictures."""
    years, numbers = sunspots()
    learned = encode(numbers[years <= LAST_TRAINING_YEAR])
    nets = [trained(learned, seed) for seed in range(NETWORKS)]

    known, later = years <= LAST_KNOWN_YEAR, years > LAST_KNOWN_YEAR
    read = encode(numbers[known][-WINDOW:])
    ahead = np.array([decode(net.forecast(read, later.sum())) for net in nets])
    lowest, highest = np.quantile(ahead, [0.1, 0.9], axis=0)
    shown = known & (years >= 1950)
    ax = plots.figure(7, 3.4).add_subplot()
    plots.forecast(
        years[shown],
        numbers[shown],
        ahead=(years[later], np.median(ahead, axis=0)),
        bands={f"10 % to 90 % of {NETWORKS} networks": (lowest, highest)},
        truth=(years[later], numbers[later]),
        time_label="year",
        value_label="sunspot number (yearly mean)",
        ax=ax,
    )
    # Inside the axes a legend of four entries would hide a cycle.
    ax.get_legend().remove()
    ax.figure.legend(loc="outside upper center", ncols=4, frameon=False)
    save(ax, "forecast")

    # The hidden units of one network while it reads a century
    first = 1900
    read = encode(numbers[(years >= first) & known])
    tape = nets[0].forward(read)
    ax = plots.figure(7, 3.4).add_subplot()
    plots.hidden(tape, time_label=f"years read, from {first} on", ax=ax)
    save(ax, "hidden")


def save(ax, name):
    """Write a picture and say how large it is."""
    path = FOLDER / f"{name}.png"
    ax.figure.savefig(path, dpi=DPI)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
