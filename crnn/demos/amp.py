"""A network learns a guitar amplifier that this module makes: two filters and a distortion.

The guitar is made, too: plucked strings by the algorithm of Karplus and Strong (1983). The network
reads one sample at a time and answers with the amplifier's. It is trained on one set of notes and
judged on another.
"""

from __future__ import annotations

import statistics
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crnn import LSTM, Adam, audio, export_c, plots, schedules

if TYPE_CHECKING:
    from collections.abc import Callable

    from crnn.streams import Stream

__all__ = ["Results", "amplifier", "guitar", "run"]

Signal = npt.NDArray[np.float64]

# Samples a second
RATE = 48000
TRAINING_SECONDS, HELD_OUT_SECONDS = 8.0, 3.0
# Notes of a guitar: E2 to E5
LOWEST, HIGHEST = 82.41, 659.26
# Of the distortion: the strings reach some 0.7, and tanh bends above 0.5
DRIVE = 20.0
HIDDEN_SIZE = 16
# Short windows are more steps of the optimizer. In the first samples of one the network does not
# know what came before it: the filters remember some fifty samples. They do not count.
WINDOW, WARM_UP = 256, 64
BATCH_SIZE = 16
LEARNING_RATE = 0.01
EPOCHS = 30
# Samples that plug-ins get at once
BLOCK = 64
TIMED_SAMPLES, TIMED_ROUNDS = 4800, 9
# On which the C header is compared with the network
EXPORTED_SAMPLES = 4800
# Taps of the linear filter that the network is compared with
TAPS = 128


@dataclass(frozen=True)
class Results:
    """Results of a run.

    Attributes
    ----------
    errors : dict of str to float
        Energy of the error on the held-out notes as a share of the signal's, by method.
    times_real_time : dict of str to float
        How many samples are computed while one passes, by the samples of a call.
    """

    errors: dict[str, float]
    times_real_time: dict[str, float]


def guitar(seconds: float, seed: int) -> Signal:
    """Return plucked strings, one to three at a time.

    Parameters
    ----------
    seconds : float
    seed : int

    Returns
    -------
    array of float64
        `RATE` samples a second, within -1 and 1.
    """
    rng = np.random.default_rng(seed)
    signal = np.zeros(int(seconds * RATE))
    start = 0
    while start < signal.size:
        length = min(int(rng.uniform(0.15, 0.6) * RATE), signal.size - start)
        for _ in range(rng.integers(1, 4)):
            pitch = LOWEST * (HIGHEST / LOWEST) ** rng.random()
            note = _string(pitch, length, rng)
            signal[start : start + length] += rng.uniform(0.1, 0.5) * note
        start += length
    return signal / max(1.0, float(np.abs(signal).max()))


def _string(pitch: float, length: int, rng: np.random.Generator) -> Signal:
    """Return a plucked string: noise that runs around a delay line and is smoothed each time."""
    period = round(RATE / pitch)
    # Plucked softly: noise without its highest frequencies
    line = _low_pass(rng.uniform(-1, 1, period), 4000.0)
    line -= line.mean()
    line /= np.abs(line).max()
    rounds = [line]
    for _ in range(length // period):
        line = 0.998 * (0.5 * line + 0.5 * np.roll(line, 1))
        rounds.append(line)
    note = np.concatenate(rounds)[:length]
    # No click where the note ends
    fade = min(480, length)
    note[length - fade :] *= np.linspace(1, 0, fade)
    return note


def _low_pass(signal: Signal, frequency: float) -> Signal:
    """Return a signal behind a one-pole filter, as far as its response is above 1e-8."""
    decay = np.exp(-2 * np.pi * frequency / RATE)
    response = (1 - decay) * decay ** np.arange(int(np.log(1e-8) / np.log(decay)) + 1)
    filtered: Signal = np.convolve(signal, response)[: signal.size]
    return filtered


def amplifier(signal: Signal) -> Signal:
    """Return what the amplifier makes of a signal.

    Lows are taken away, tanh distorts what is left, more on one side than on the other, and the
    loudspeaker takes the highs away.

    Parameters
    ----------
    signal : array of float64

    Returns
    -------
    array of float64
    """
    tight = signal - _low_pass(signal, 150.0)
    driven = np.tanh(DRIVE * tight + 0.4) - np.tanh(0.4)
    return 0.6 * _low_pass(driven, 3500.0)


def run(
    output: str | Path = "crnn-demo.png",
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool | None = True,
    echo: Callable[[str], object] = print,
) -> Results:
    """Train on the amplifier; report errors and speed; write sound, picture and model.

    Parameters
    ----------
    output : str or Path
        File for the picture; its suffix decides the format. Files of the same name with other
        suffixes are written beside it: .wav (left the amplifier, right the network), .nam, and .h,
        the network in C.
        Without matplotlib there is no picture, and the report says so.
    epochs : int
        Passes over the training windows.
    seed : int
        Of the network and of the notes.
    progress : bool, optional
        Whether to show a progress bar, as in ``RNN.fit``.
    echo : callable
        Takes each line of the report.

    Returns
    -------
    Results
    """
    output = Path(output)
    played, unheard = guitar(TRAINING_SECONDS, 2 * seed), guitar(HELD_OUT_SECONDS, 2 * seed + 1)
    amplified, expected = amplifier(played), amplifier(unheard)
    echo(
        f"A guitar through an amplifier, {RATE // 1000} kHz: {TRAINING_SECONDS:g} s to learn from, "
        f"{HELD_OUT_SECONDS:g} s of other notes held out."
    )

    net = LSTM(1, HIDDEN_SIZE, 1, seed=seed)
    started = time.perf_counter()
    _fit(net, played, amplified, epochs=epochs, seed=seed, progress=progress)
    echo(
        f"Trained {net.flat_params.size} parameters for {epochs} epochs in "
        f"{time.perf_counter() - started:.1f} s ({net.implementation})."
    )

    predicted = net.predict(unheard[:, np.newaxis])[:, 0].astype(np.float64)
    by_method = {
        f"best linear filter of {TAPS} taps": _linear(played, amplified, unheard),
        f"crnn LSTM, {HIDDEN_SIZE} units": predicted,
    }
    errors = {name: _error(values, expected) for name, values in by_method.items()}
    echo("")
    echo("Energy of the error on the held-out notes, as a share of the signal's")
    echo("")
    for name, error in errors.items():
        echo(f"  {name:32s} {100 * error:6.2f} %")

    speed = _times_real_time(net.stream(), unheard)
    echo("")
    echo(f"Times faster than real time at {RATE // 1000} kHz, from Python, on one thread")
    echo("")
    for name, times in speed.items():
        echo(f"  {name:32s} {times:6.0f}")

    echo("")
    _write_sound(output.with_suffix(".wav"), expected, predicted)
    echo(f"Sound: {output.with_suffix('.wav')} (left the amplifier, right the network)")
    audio.save(net, output.with_suffix(".nam"), sample_rate=RATE)
    echo(f"Model for Neural Amp Modeler: {output.with_suffix('.nam')}")
    header = export_c(
        net, output.with_suffix(".h"), name="amp", x=unheard[:EXPORTED_SAMPLES, np.newaxis]
    )
    echo(
        f"C header: {header.path} ({header.flash} bytes of weights, {header.ram} of state; outputs "
        f"within {header.error:.0e} of the largest)"
    )
    try:
        _draw(output, unheard, expected, predicted)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        echo("No picture: matplotlib is not installed (pip install 'crnn[plot]').")
    else:
        echo(f"Picture: {output}")
    return Results(errors, speed)


def _fit(net: LSTM, x: Signal, y: Signal, *, epochs: int, seed: int, progress: bool | None) -> None:
    # Every sample but those of the first warm-up counts once.
    windows = [
        np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[:: WINDOW - WARM_UP, :, np.newaxis]
        for signal in (x, y)
    ]
    mask = np.ones(windows[0].shape[:2], bool)
    mask[:, :WARM_UP] = False
    steps = epochs * -(-len(mask) // BATCH_SIZE)
    net.fit(
        *windows,
        mask=mask,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        optimizer=Adam(schedules.cosine(LEARNING_RATE, steps)),
        clip_norm=1.0,
        seed=seed,
        progress=progress,
    )


def _linear(x: Signal, y: Signal, unheard: Signal) -> Signal:
    """Return the outputs of the linear filter that fits the training data best."""
    # The latest TAPS samples at each step, the oldest first
    latest = np.lib.stride_tricks.sliding_window_view(np.append(np.zeros(TAPS - 1), x), TAPS)
    gram, moment = np.zeros((TAPS, TAPS)), np.zeros(TAPS)
    for start in range(0, len(x), RATE):
        # A copy of one second: products of overlapping rows take much longer.
        rows = latest[start : start + RATE].copy()
        gram += rows.T @ rows
        moment += rows.T @ y[start : start + RATE]
    response = np.linalg.solve(gram, moment)[::-1]
    predicted: Signal = np.convolve(unheard, response)[: unheard.size]
    return predicted


def _error(predicted: Signal, expected: Signal) -> float:
    return float(np.sum((predicted - expected) ** 2) / np.sum(expected**2))


def _times_real_time(stream: Stream[Any], signal: Signal) -> dict[str, float]:
    """Return how many samples are computed while one passes, one a call and a block a call."""
    samples = signal[:TIMED_SAMPLES, np.newaxis].astype(np.float32)
    blocks = [samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK)]
    ways = {"a sample a call": (stream.step, list(samples)),
            f"{BLOCK} samples a call": (stream.run, blocks)}  # fmt: skip
    found = {}
    for name, (call, arguments) in ways.items():
        times = []
        for _ in range(TIMED_ROUNDS):
            started = time.perf_counter()
            for argument in arguments:
                call(argument)
            times.append(time.perf_counter() - started)
        found[name] = len(samples) / RATE / statistics.median(times)
    return found


def _write_sound(path: Path, left: Signal, right: Signal) -> None:
    """Write two signals as the channels of a WAV file of 16 bits."""
    both = np.clip(np.stack([left, right], axis=1), -1, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((32767 * both).round().astype("<i2").tobytes())


def _spectrum(signal: Signal) -> tuple[Signal, Signal]:
    """Return frequencies in Hz and the power at each in dB, averaged over overlapping windows."""
    size = 4096
    windows = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 2]
    shape = np.hanning(size)
    power = (np.abs(np.fft.rfft(windows * shape)) ** 2).mean(axis=0) / (shape**2).sum() / RATE
    # A floor for silence
    decibels: Signal = 10 * np.log10(power + 1e-20)
    return np.linspace(0, RATE / 2, len(decibels)), decibels


def _draw(path: Path, played: Signal, expected: Signal, predicted: Signal) -> None:
    figure = plots.figure(width=9, height=7)
    figure.set_layout_engine("constrained", hspace=0.06)
    top, bottom = figure.subplots(2, 1)
    # The loudest 12 ms, where distortion shows most
    length = 12 * RATE // 1000
    first = max(0, int(np.abs(played).argmax()) - length // 4)
    shown = slice(first, first + length)
    milliseconds = 1000 * np.arange(first, first + length)[: len(played[shown])] / RATE
    looks: dict[str, dict[str, Any]] = {
        "guitar": {"color": "0.65", "linewidth": 1.0},
        "amplifier": {"color": "black", "linewidth": 2.2},
        "network": {"color": "#d55e00", "linewidth": 1.2, "linestyle": "--"},
        "error": {"color": "#0072b2", "linewidth": 1.0},
    }
    signals = dict(zip(looks, (played, expected, predicted, predicted - expected), strict=True))
    for name, signal in signals.items():
        top.plot(milliseconds, signal[shown], label=name, **looks[name])
        bottom.plot(*(values[1:] for values in _spectrum(signal)), label=name, **looks[name])
    top.set(xlabel="time (ms)", ylabel="amplitude (no unit)")
    top.set_title("The loudest held-out samples", loc="left")
    bottom.set(xlabel="frequency (Hz)", ylabel="power density (dB/Hz)", xscale="log")
    bottom.set_xlim(40, RATE / 2)
    bottom.set_title("Spectra of all held-out notes", loc="left")
    for ax in (top, bottom):
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    # Inside the axes a legend would hide the signals.
    figure.legend(
        *top.get_legend_handles_labels(), loc="outside upper right", ncols=4, frameon=False
    )
    figure.savefig(path, dpi=110)
