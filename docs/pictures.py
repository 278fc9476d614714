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

# The plant of the page on learners: it changes long after the end of the training data.
TRAINING_STEPS, CHANGE, STEPS = 3000, 5000, 8000
NOISE = 0.02
# Okabe and Ito (2008), as in `crnn.plots`
TRUTH, ONCE, ONLINE = "0.72", "#D55E00", "#0072B2"


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


def plant(u, rng):
    """Return the measured positions (steps,) of a mass on a spring that the inputs `u` pull.

    From step CHANGE on the spring is softer, the damper weaker, and the pull less strong.
    """
    y, position, speed = np.zeros(len(u)), 0.0, 0.0
    for t in range(len(u)):
        spring, damper, gain = (0.06, 0.35, 1.0) if t < CHANGE else (0.03, 0.12, 0.6)
        speed += spring * (gain * np.tanh(u[t]) - position) - damper * speed
        position += speed
        y[t] = position
    return y + NOISE * rng.normal(size=len(u))


def online():
    """Draw a plant that changes, a network trained once, and one that learns online."""
    rng = np.random.default_rng(0)
    # A new set point every 40 steps
    u = np.repeat(rng.uniform(-1.5, 1.5, STEPS // 40), 40)
    y = plant(u, rng)
    x, targets = (numbers[:, None].astype(np.float32) for numbers in (u, y))
    net = crnn.GRU(input_size=1, hidden_size=16, output_size=1, seed=0)
    first = np.arange(0, TRAINING_STEPS - 200 + 1, 50)[:, None] + np.arange(200)
    net.fit(
        x[first],
        targets[first],
        epochs=100,
        batch_size=8,
        optimizer=crnn.Adam(0.005),
        clip_norm=1.0,
        progress=False,
    )
    once = net.predict(x)[:, 0]
    learner = net.learner(crnn.SGD(0.05), clip_norm=1.0)
    learned = np.array([learner.step(*step)[0] for step in zip(x, targets, strict=True)])

    upper, lower = plots.figure(7, 4.6).subplots(2, height_ratios=[3, 2])
    shown = slice(CHANGE - 200, CHANGE + 600)
    times = np.arange(STEPS)
    upper.plot(times[shown], y[shown], color=TRUTH, linewidth=4.0, label="plant")
    upper.plot(times[shown], once[shown], color=ONCE, linewidth=1.4, label="trained once")
    upper.plot(times[shown], learned[shown], color=ONLINE, linewidth=1.4, label="learns online")
    upper.set(xlabel="step", ylabel="position", xlim=(times[shown][0], times[shown][-1]))
    for name, prediction, color in (("once", once, ONCE), ("online", learned, ONLINE)):
        errors = np.sqrt(np.mean((prediction - y).reshape(-1, 200) ** 2, axis=1))
        lower.plot(times[100::200], errors, color=color, linewidth=1.4)
        before, after = (
            np.sqrt(np.mean((prediction[first:last] - y[first:last]) ** 2))
            for first, last in ((TRAINING_STEPS, CHANGE), (CHANGE, STEPS))
        )
        print(f"{name}: {before:.3f} before the change, {after:.3f} after it")
    lower.axhline(NOISE, color=TRUTH, linewidth=4.0, label="noise of the measurement", zorder=0)
    lower.legend(frameon=False, loc="upper left")
    lower.set(xlabel="step", ylabel="RMS error", xlim=(TRAINING_STEPS, STEPS), ylim=(0, None))
    for ax in (upper, lower):
        ax.axvline(CHANGE, color="0.6", linewidth=1.0)
        ax.spines[["top", "right"]].set_visible(False)
    entries = upper.get_legend_handles_labels()
    upper.figure.legend(*entries, loc="outside upper center", ncols=3, frameon=False)
    save(upper, "online")


def main():
    """Train the networks and write the pictures."""
    online()
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
