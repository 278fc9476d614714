"""Handwritten digits, read row by row: 8 steps of 8 pixels, one output after the last row.

The images are the 1797 of scikit-learn (the ``sklearn`` extra). Three quarters of them, drawn at
random, are training data, the others test data.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from crnn import RNN, Adam, schedules

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["run"]

EPOCHS = 40
HIDDEN_SIZE = 64
BATCH_SIZE = 32
LEARNING_RATE = 0.003
# Largest value of a pixel
MAX_BRIGHTNESS = 16
# Most frequent mistakes that are reported
REPORTED_MISTAKES = 5


def run(
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool | None = True,
    echo: Callable[[str], object] = print,
) -> dict[str, float]:
    """Train on the digits; report accuracy, time and the most frequent mistakes.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    seed : int
        Of the network, and of the choice of the training images.
    progress : bool, optional
        Whether to show a progress bar, as in ``RNN.fit``.
    echo : callable
        Takes each line of the report.

    Returns
    -------
    dict of float
        The ``accuracy`` on the test images, and the ``seconds`` of the training.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits come with scikit-learn: pip install 'crnn[sklearn]'"
        ) from error
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / MAX_BRIGHTNESS).reshape(-1, 8, 8)
    order = np.random.default_rng(seed).permutation(len(images))
    training, held_out = np.split(order, [len(images) * 3 // 4])
    echo(f"Digits of 8 rows of 8 pixels: {len(training)} to learn from, {len(held_out)} held out.")

    net = RNN(8, HIDDEN_SIZE, 10, return_sequences=False, seed=seed)
    steps = epochs * -(-len(training) // BATCH_SIZE)
    start = time.perf_counter()
    net.fit(
        images[training],
        digits[training],
        epochs=epochs,
        batch_size=BATCH_SIZE,
        loss="cross_entropy",
        optimizer=Adam(schedules.cosine(LEARNING_RATE, steps)),
        clip_norm=1.0,
        progress=progress,
    )
    seconds = time.perf_counter() - start
    echo(f"Read {epochs} times by {HIDDEN_SIZE} tanh units in {seconds:.1f} s.")

    predicted = net.predict(images[held_out]).argmax(axis=1)
    right = predicted == digits[held_out]
    accuracy = float(right.mean())
    echo("")
    echo(f"Right: {right.sum()} of {len(right)} held out, {100 * accuracy:.1f} %.")
    _report_mistakes(digits[held_out][~right], predicted[~right], echo)
    return {"accuracy": accuracy, "seconds": seconds}


def _report_mistakes(
    digits: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], echo: Callable[[str], object]
) -> None:
    """Report the most frequent mistakes."""
    pairs, counts = np.unique(np.column_stack([digits, predicted]), axis=0, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:REPORTED_MISTAKES]
    if len(most):
        echo("Taken for another most often:")
    for (digit, other), count in zip(pairs[most], counts[most], strict=True):
        echo(f"  {digit} for {other}: {count} {'time' if count == 1 else 'times'}")
