"""A network reads the texts of Python's `help()` character by character, and continues them.

The texts are those of `pydoc_data.topics`, which every CPython contains. The first nine tenths are
training data, the last tenth test data.
"""

from __future__ import annotations

import time
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

from crnn.text import TextModel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run"]

EPOCHS = 15
HIDDEN_SIZE = 256
# What the network continues, by how many characters; below 1 likely characters become likelier.
PROMPT, LENGTH, TEMPERATURE = "The ", 400, 0.7


def run(
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool | None = True,
    echo: Callable[[str], object] = print,
) -> dict[str, float]:
    """Train on the texts; report bits per character beside a trigram model; write.

    Parameters
    ----------
    epochs : int
        Times that the texts are read.
    seed : int
        Of the network and of what it writes.
    progress : bool, optional
        Whether to show a progress bar, as in ``RNN.fit``.
    echo : callable
        Takes each line of the report.

    Returns
    -------
    dict of float
        Bits per character on the test data, by method.
    """
    text = "\n".join(topics[name] for name in sorted(topics))
    cut = len(text) * 9 // 10
    training, held_out = text[:cut], text[cut:]
    model = TextModel(text, hidden_size=HIDDEN_SIZE, seed=seed)
    echo(
        f"The texts of Python's help: {len(text)} characters, {len(model.vocabulary)} different; "
        f"the last {len(held_out)} are held out."
    )
    start = time.perf_counter()
    model.fit(training, epochs=epochs, progress=progress)
    echo(f"Read {epochs} times by {HIDDEN_SIZE} units in {time.perf_counter() - start:.0f} s.")
    bits = model.scores(training, held_out)
    echo("")
    echo("Bits per character on what was held out")
    for method, value in bits.items():
        echo(f"  {method:10s} {value:.2f}")
    echo("")
    echo(f"What it writes after {PROMPT!r}, at temperature {TEMPERATURE}")
    written = model.generate(PROMPT, LENGTH, temperature=TEMPERATURE, seed=seed)
    for line in written.splitlines():
        echo(f"  {line}")
    return bits
