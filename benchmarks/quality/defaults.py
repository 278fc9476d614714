"""Scores of `crnn.sklearn` with its defaults on small problems, beside common models.

`python -m benchmarks.quality.defaults [NAME ...]` prints a table of all problems, or of the named
ones. It needs scikit-learn. Each problem has up to a few hundred training sequences, and others for
the score; they are generated here or come with scikit-learn. If aeon is installed
(`pip install --no-deps aeon`), its files of well-known problems are read, too, with their own
split; aeon itself is not imported. Features are standardized. The score of a classifier is its
accuracy, that of a regressor R^2.
"""

import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crnn.sklearn import RNNClassifier, RNNRegressor

Array = np.ndarray
SEEDS = range(3)


class Problem(NamedTuple):
    """Sequences of which the first `n_train` are for training and the others for the score."""

    x: list[Array]
    y: Array
    n_train: int

    @property
    def is_regression(self) -> bool:
        return self.y.dtype.kind == "f"


def digits(rng: np.random.Generator) -> Problem:
    """Images of digits, read row by row: 8 steps of 8 pixels."""
    data = load_digits()
    rows = rng.permutation(len(data.images))
    return Problem([*data.images[rows]], data.target[rows], 500)


def frequencies(rng: np.random.Generator) -> Problem:
    """Noisy sines of 4 frequencies with random phases."""
    kinds = rng.integers(0, 4, 700)
    phases, t = rng.uniform(0, 2 * np.pi, 700), np.arange(100)
    x = np.sin(np.outer(0.2 + 0.06 * kinds, t) + phases[:, None]) + rng.normal(0, 0.8, (700, 100))
    return Problem([*x[..., None]], kinds, 200)


def cylinder_bell_funnel(rng: np.random.Generator) -> Problem:
    """A plateau, a rise or a fall somewhere in noise (Saito 1994)."""
    kinds, x = rng.integers(0, 3, 800), rng.normal(0, 1, (800, 128))
    for row, kind in zip(x, kinds, strict=True):
        start = rng.integers(16, 33)
        end = start + rng.integers(32, 97)
        slope = np.arange(end - start) / (end - start)
        shape = (np.ones(end - start), slope, slope[::-1])[kind]
        row[start : min(end, 128)] += ((6 + rng.normal()) * shape)[: 128 - start]
    return Problem([*x[..., None]], kinds, 150)


def which_came_first(rng: np.random.Generator) -> Problem:
    """The channel with the earlier of two bumps, one in each channel."""
    x, first = rng.normal(0, 0.5, (800, 150, 2)), rng.integers(0, 2, 800)
    bump = np.hanning(12)[1:-1] * 3
    for row, one in zip(x, first, strict=True):
        early, late = rng.integers(0, 60), rng.integers(80, 140)
        row[early : early + 10, one] += bump
        row[late : late + 10, 1 - one] += bump
    return Problem([*x], first, 300)


def utterances(rng: np.random.Generator) -> Problem:
    """The speaker, one of 9, in 12 smooth channels of 7 to 29 steps, similar to spoken vowels."""
    starts, ends = rng.normal(0, 1, (2, 9, 12))
    kinds, x = rng.integers(0, 9, 640), []
    for kind in kinds:
        t = np.linspace(0, 1, rng.integers(7, 30))[:, None]
        own = rng.normal(0, 0.7, 12)
        noise = np.cumsum(rng.normal(0, 0.3, (len(t), 12)), axis=0)
        x.append((1 - t) * starts[kind] + t * ends[kind] + own + noise)
    return Problem(x, kinds, 270)


def delayed_recall(rng: np.random.Generator) -> Problem:
    """A class that the first 5 of 100 steps determine; the others are noise."""
    kinds, x = rng.integers(0, 4, 800), rng.normal(0, 1, (800, 100, 2))
    x[:, :5] += 2 * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[kinds][:, None]
    return Problem([*x], kinds, 300)


def motif(rng: np.random.Generator) -> Problem:
    """Whether one of 6 channels of 100 steps has a short motif somewhere."""
    kinds, x = rng.integers(0, 2, 800), rng.normal(0, 1, (800, 100, 6))
    shape = np.array([1, 2, 3, -3, -2, -1, 2, -2]) * 0.9
    for row, kind in zip(x, kinds, strict=True):
        if kind:
            start = rng.integers(0, 92)
            row[start : start + 8, 2] += shape
    return Problem([*x], kinds, 400)


def beats(rng: np.random.Generator) -> Problem:
    """Heart beats of 96 steps, normal or with an inverted, early wave."""
    kinds, t, x = rng.integers(0, 2, 600), np.arange(96), []
    for kind in kinds:
        peak, width = rng.normal(35, 3), rng.normal(3, 0.3)
        wave = peak + (30 if kind == 0 else 24) + rng.normal(0, 2)
        beat = 3 * np.exp(-(((t - peak) / width) ** 2))
        beat -= 0.8 * np.exp(-(((t - peak - 7) / 3) ** 2))
        beat += (0.8 if kind == 0 else -0.3) * np.exp(-(((t - wave) / 8) ** 2))
        x.append(beat + np.cumsum(rng.normal(0, 0.08, 96)) + rng.normal(0, 0.25, 96))
    return Problem([*np.array(x)[..., None]], kinds, 100)


def oscillators(rng: np.random.Generator) -> Problem:
    """Autoregressions of 5 kinds, 3 channels, 40 to 120 steps."""
    coefficients = [(0.2, 0.0), (0.8, 0.0), (-0.5, 0.0), (1.2, -0.8), (0.3, -0.8)]
    kinds, x = rng.integers(0, 5, 700), []
    for kind in kinds:
        noise = rng.normal(0, 1, (rng.integers(40, 121), 3))
        for t in range(2, len(noise)):
            noise[t] += coefficients[kind][0] * noise[t - 1] + coefficients[kind][1] * noise[t - 2]
        x.append(noise)
    return Problem(x, kinds, 250)


def tempo(rng: np.random.Generator) -> Problem:
    """The frequency of a noisy sine."""
    of, t = rng.uniform(0.1, 0.6, 700), np.arange(80)
    x = np.sin(np.outer(of, t) + rng.uniform(0, 6, 700)[:, None]) + rng.normal(0, 0.3, (700, 80))
    return Problem([*x[..., None]], of, 300)


def time_of_event(rng: np.random.Generator) -> Problem:
    """The steps since the level of one of 3 channels rose, in 20 to 120 steps."""
    x, y = [], []
    for _ in range(700):
        row = rng.normal(0, 1, (rng.integers(20, 121), 3))
        at = rng.integers(2, len(row) - 2)
        row[at:, 1] += 2.5
        x.append(row)
        y.append(float(len(row) - at))
    return Problem(x, np.array(y), 300)


def adding(rng: np.random.Generator) -> Problem:
    """The sum of two marked numbers among 50 (Hochreiter and Schmidhuber 1997)."""
    x, y = np.zeros((1500, 50, 2)), np.zeros(1500)
    x[..., 0] = rng.uniform(0, 1, (1500, 50))
    for row in range(1500):
        marked = [rng.integers(0, 25), rng.integers(25, 50)]
        x[row, marked, 1] = 1
        y[row] = x[row, marked, 0].sum()
    return Problem([*x], y, 600)


def damping(rng: np.random.Generator) -> Problem:
    """The damping of an oscillation of 60 steps with a random frequency."""
    y, t = rng.uniform(0.01, 0.1, 700), np.arange(60)
    of = rng.uniform(0.3, 0.9, 700)[:, None]
    x = 2 * np.exp(-np.outer(y, t)) * np.cos(of * t) + rng.normal(0, 0.1, (700, 60))
    return Problem([*x[..., None]], y, 300)


def control_charts(rng: np.random.Generator) -> Problem:
    """Noise, cycles, trends and shifts, each scaled (Alcock and Manolopoulos 1999)."""
    kinds, t, x = rng.integers(0, 6, 600), np.arange(60), []
    for kind in kinds:
        shift = rng.uniform(7.5, 20) * (t >= rng.uniform(20, 40))
        trend = rng.uniform(0.2, 0.5) * t
        cycle = rng.uniform(10, 15) * np.sin(2 * np.pi * t / rng.uniform(10, 15))
        chart = rng.uniform(-6, 6, 60) + (0 * t, cycle, trend, -trend, shift, -shift)[kind]
        x.append((chart - chart.mean()) / chart.std())
    return Problem([*np.array(x)[..., None]], kinds, 300)


def two_patterns(rng: np.random.Generator) -> Problem:
    """The directions of an early and a late jump: 4 classes (after Geurts 2002)."""
    kinds, x = rng.integers(0, 4, 800), rng.normal(0, 1, (800, 128))
    for row, kind in zip(x, kinds, strict=True):
        for at, is_up in ((rng.integers(5, 50), kind & 1), (rng.integers(65, 110), kind >> 1)):
            half = rng.integers(4, 8)
            row[at : at + half], row[at + half : at + 2 * half] = (-5, 5) if is_up else (5, -5)
    return Problem([*x[..., None]], kinds, 300)


def majority(rng: np.random.Generator) -> Problem:
    """The most frequent of 3 noisy symbols of 4 channels in 15 to 60 steps."""
    symbols, x, y = rng.normal(0, 1, (3, 4)), [], []
    for _ in range(700):
        drawn = rng.choice(3, rng.integers(15, 61), p=rng.dirichlet([1, 1, 1]))
        x.append(symbols[drawn] + rng.normal(0, 0.5, (len(drawn), 4)))
        y.append(np.bincount(drawn, minlength=3).argmax())
    return Problem(x, np.array(y), 300)


def count_of_events(rng: np.random.Generator) -> Problem:
    """The number of short pulses in 80 noisy steps."""
    x, y = rng.normal(0, 0.4, (700, 80, 2)), rng.integers(0, 9, 700)
    for row, count in zip(x, y, strict=True):
        at = rng.choice(np.arange(2, 78, 4), count, replace=False)
        row[at, 0] += 2
        row[at + 1, 0] += 1.5
    return Problem([*x], y.astype(float), 300)


def autoregression(rng: np.random.Generator) -> Problem:
    """The coefficient of a first-order autoregression of 100 steps."""
    y, x = rng.uniform(-0.9, 0.9, 700), rng.normal(0, 1, (700, 100))
    for t in range(1, 100):
        x[:, t] += y * x[:, t - 1]
    return Problem([*x[..., None]], y, 300)


# The problems from here to `trend` were written after the defaults had been chosen, and did not
# change them.


def lead_or_lag(rng: np.random.Generator) -> Problem:
    """Which of two noisy channels is ahead of the other by 2 to 5 steps, in 30 to 89 steps."""
    kinds, x = rng.integers(0, 2, 500), []
    for kind in kinds:
        n, ahead = rng.integers(30, 90), rng.integers(2, 6) * (1 if kind else -1)
        wave = np.convolve(rng.normal(0, 1, n + 20), np.ones(4) / 2, "same")
        pair = np.column_stack([wave[10 : 10 + n], wave[10 - ahead : 10 - ahead + n]])
        x.append(pair + rng.normal(0, 0.4, (n, 2)))
    return Problem(x, kinds, 200)


def drift(rng: np.random.Generator) -> Problem:
    """Random walks that drift down, up or not at all."""
    kinds = rng.integers(0, 3, 500)
    x = [np.cumsum(rng.normal((kind - 1) * 0.25, 1, (80, 2)), axis=0) for kind in kinds]
    return Problem(x, kinds, 200)


def pulse_widths(rng: np.random.Generator) -> Problem:
    """The width, one of 4, of a pulse somewhere in 140 steps."""
    kinds, x = rng.integers(0, 4, 500), rng.normal(0, 0.3, (500, 140, 1))
    for row, kind in zip(x, kinds, strict=True):
        start = rng.integers(5, 100)
        row[start : start + 6 + 5 * kind] += 1.5
    return Problem([*x], kinds, 200)


def gestures(rng: np.random.Generator) -> Problem:
    """10 smooth movements in space with random size and speed, in 40 to 109 steps."""
    shapes, kinds, x = rng.normal(0, 1, (10, 6, 3)), rng.integers(0, 10, 500), []
    orders = np.arange(1, 7)
    for kind in kinds:
        t = np.linspace(0, 1, rng.integers(40, 110)) ** rng.uniform(0.7, 1.4)
        movement = (np.sin(np.pi * np.outer(t, orders)) / orders) @ shapes[kind]
        x.append(movement * rng.uniform(0.7, 1.3) + rng.normal(0, 0.15, (len(t), 3)))
    return Problem(x, kinds, 150)


def order_of_three(rng: np.random.Generator) -> Problem:
    """The order, one of 6, of the pulses of three channels."""
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    kinds, x = rng.integers(0, 6, 600), rng.normal(0, 0.4, (600, 90, 3))
    for row, kind in zip(x, kinds, strict=True):
        for third, channel in enumerate(orders[kind]):
            at = 30 * third + rng.integers(0, 25)
            row[at : at + 4, channel] += 2
    return Problem([*x], kinds, 300)


def highest(rng: np.random.Generator) -> Problem:
    """The highest point of a random walk."""
    walks = np.cumsum(rng.normal(0, 1, (500, 60)), axis=1)
    return Problem([*walks[..., None]], walks.max(axis=1), 200)


def delay(rng: np.random.Generator) -> Problem:
    """The delay, 2 to 19 steps, of one channel of noise behind the other."""
    y, x = rng.integers(2, 20, 500), []
    for steps in y:
        noise = rng.normal(0, 1, 90)
        x.append(np.column_stack([noise[20:], noise[20 - steps : 90 - steps]]))
    return Problem(x, y.astype(float), 300)


def loudness(rng: np.random.Generator) -> Problem:
    """The standard deviation of one of two channels of noise, in 20 to 79 steps."""
    y = rng.uniform(0.3, 3, 400)
    return Problem([rng.normal(0, [of, 1], (rng.integers(20, 80), 2)) for of in y], y, 150)


def trend(rng: np.random.Generator) -> Problem:
    """The slope of two of three noisy channels, with opposite signs."""
    y, t = rng.normal(0, 1, 400), np.linspace(0, 1, 50)[:, None]
    return Problem([of * t * [1, -1, 0] + rng.normal(0, 0.7, (50, 3)) for of in y], y, 150)


def archived(name: str, folder: Path, rng: np.random.Generator) -> Problem:
    """A problem of the UCR and UEA archives (Dau et al. 2018, Bagnall et al. 2018), in .ts files.

    Each line after "@data" is a sequence: the channels and the class, separated by colons.
    """
    x, y, n_train = [], [], 0
    for part in ("TRAIN", "TEST"):
        n_train = len(x)
        text = (folder / name / f"{name}_{part}.ts").read_text(encoding="utf-8")
        for line in text.partition("@data\n")[2].splitlines():
            *channels, label = line.split(":")
            x.append(np.array([channel.split(",") for channel in channels], float).T)
            y.append(label)
    return Problem(x, np.array(y), n_train)


PROBLEMS: dict[str, Callable[[np.random.Generator], Problem]] = {
    make.__name__: make
    for make in (
        *(digits, frequencies, cylinder_bell_funnel, control_charts, two_patterns),
        *(which_came_first, utterances, delayed_recall, motif, beats, oscillators, majority),
        *(tempo, time_of_event, count_of_events, adding, damping, autoregression),
        *(lead_or_lag, drift, pulse_widths, gestures, order_of_three, highest, delay, loudness),
        trend,
    )
}
ARCHIVED = ("GunPoint", "BasicMotions", "ItalyPowerDemand", "JapaneseVowels")
if (aeon := importlib.util.find_spec("aeon")) is not None:
    data = Path(aeon.origin).parent / "datasets" / "data"
    PROBLEMS |= {name: partial(archived, name, data) for name in ARCHIVED}


def standardized(problem: Problem) -> Problem:
    """Bring every channel to mean 0 and deviation 1 over the training sequences."""
    steps = np.concatenate(problem.x[: problem.n_train])
    scale = np.where(steps.std(axis=0) > 0, steps.std(axis=0), 1)
    return problem._replace(x=[(row - steps.mean(axis=0)) / scale for row in problem.x])


def padded(x: list[Array]) -> Array:
    """Return all sequences in one array (sequence, step, channel) with zeros at the ends."""
    rows = np.zeros((len(x), max(map(len, x)), x[0].shape[1]))
    for row, sequence in zip(rows, x, strict=True):
        row[: len(sequence)] = sequence
    return rows


def summary(x: list[Array]) -> Array:
    """Return common features: moments, differences, ends and lagged products by channel."""
    rows = []
    for row in x:
        d = np.diff(row, axis=0)
        lagged = [(row[k:] * row[:-k]).mean(axis=0) for k in (1, 2, 4)]
        parts = [row.mean(0), row.std(0), row.min(0), row.max(0), row.argmax(0) / len(row)]
        rows.append(np.concatenate([*parts, row[0], row[-1], d.std(0), *lagged, [len(row)]]))
    return np.array(rows)


def references(problem: Problem) -> dict[str, float]:
    """Return the test scores of common models, by name."""
    n, flat = problem.n_train, padded(problem.x)
    flat = flat.reshape(len(flat), -1)
    if problem.is_regression:
        models = {
            "linear": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))),
            "neighbors": KNeighborsRegressor(3),
            "forest": RandomForestRegressor(200, random_state=0, n_jobs=2),
        }
    else:
        models = {
            "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
            "neighbors": KNeighborsClassifier(1),
            "forest": RandomForestClassifier(200, random_state=0, n_jobs=2),
        }
    scores = {}
    for name, model in models.items():
        model.fit(flat[:n], problem.y[:n])
        scores[name] = model.score(flat[n:], problem.y[n:])
    features = summary(problem.x)
    forest = models["forest"].fit(features[:n], problem.y[:n])
    scores["forest of features"] = forest.score(features[n:], problem.y[n:])
    return scores


def score(problem: Problem, seed: int, **settings: Any) -> tuple[float, float]:
    """Return the test score and the seconds of a fit."""
    estimator = RNNRegressor if problem.is_regression else RNNClassifier
    model = estimator(random_state=seed, **settings)
    n, start = problem.n_train, time.perf_counter()
    model.fit(problem.x[:n], problem.y[:n])
    return model.score(problem.x[n:], problem.y[n:]), time.perf_counter() - start


def main(names: list[str]) -> None:
    """Print the table."""
    print(f"{'problem':22s} {'crnn':>6s} {'lowest':>7s} {'seconds':>8s}   references")
    for name in names or PROBLEMS:
        problem = standardized(PROBLEMS[name](np.random.default_rng(0)))
        runs = [score(problem, seed) for seed in SEEDS]
        scores, seconds = zip(*runs, strict=True)
        others = ", ".join(f"{name} {value:.2f}" for name, value in references(problem).items())
        print(
            f"{name:22s} {np.mean(scores):6.2f} {min(scores):7.2f} "
            f"{np.median(seconds):8.1f}   {others}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
