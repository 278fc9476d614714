"""An epoch on sequences of different lengths: `python -m benchmarks.speed.packing`.

The lengths are log-normal: many short sequences and a few long ones. `fit` takes the same number of
optimizer steps in each of these ways, on about as many sequences each:

in order
    Batches in the order of the data, padded, with lengths; `shuffle=False`.
similar
    Batches of sequences of similar length: what `fit` does with lengths and with lists.
packed
    Rows of `crnn.pack`, each about as long as the longest sequence, with resets.
packed, bptt
    As many rows of `crnn.pack` as a batch has sequences. Truncated BPTT takes a step after every
    part of the rows, and carries the states on.

Samples are interleaved, so noise affects all alike. One thread; the times are of the processor.
"""

import argparse
import functools
import time
from collections.abc import Callable

import numpy as np

import crnn
from benchmarks.speed.timing import interleaved, median_and_quartiles

CELLS = ("GRU", "LSTM")
SIZES = ((32, 8), (32, 32), (128, 8), (128, 32))  # H, sequences of a batch
BATCHES, INPUTS, OUTPUTS = 16, 8, 2
MEDIAN_LENGTH, SPREAD, SHORTEST, LONGEST = 60, 1.0, 5, 500
ROUNDS, SAMPLE_SECONDS = 9, 0.05


def sequences(n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return inputs and targets."""
    lengths = np.exp(rng.normal(np.log(MEDIAN_LENGTH), SPREAD, n)).round()
    lengths = np.clip(lengths, SHORTEST, LONGEST).astype(int)
    x = [rng.standard_normal((length, INPUTS)).astype(np.float32) for length in lengths]
    y = [rng.standard_normal((length, OUTPUTS)).astype(np.float32) for length in lengths]
    return x, y


def ways(
    cell: str, H: int, batch: int, x: list[np.ndarray], y: list[np.ndarray]
) -> dict[str, Callable[[], object]]:
    """Return functions that train for an epoch."""
    lengths = [len(sequence) for sequence in x]
    total, longest = sum(lengths), max(lengths)
    padded = [
        np.stack([np.pad(a, ((0, longest - len(a)), (0, 0))) for a in arrays]) for arrays in (x, y)
    ]
    rows = max(1, round(total / longest / BATCHES))
    long_rows = crnn.pack(x, y, rows=BATCHES * rows)
    few_rows = crnn.pack(x, y, rows=batch)
    bptt = -(-few_rows.x.shape[1] // BATCHES)

    def epoch(*data: object, **settings: object) -> Callable[[], object]:
        net = getattr(crnn, cell)(INPUTS, H, OUTPUTS, seed=0)
        optimizer = crnn.Adam(1e-4)
        return lambda: net.fit(*data, epochs=1, optimizer=optimizer, progress=False, **settings)

    def packed(data: crnn.packing.Packed, **settings: object) -> Callable[[], object]:
        marks = {"lengths": data.lengths, "resets": data.resets}
        return epoch(data.x, data.y, **marks, **settings)

    return {
        "in order": epoch(*padded, lengths=lengths, batch_size=batch, shuffle=False),
        "similar": epoch(*padded, lengths=lengths, batch_size=batch),
        "packed": packed(long_rows, batch_size=rows),
        "packed, bptt": packed(few_rows, batch_size=batch, bptt=bptt),
    }


def seconds_per_call(job: Callable[[], object], calls: int) -> float:
    """Return the mean time of the processor for a call over so many calls."""
    start = time.process_time()
    for _ in range(calls):
        job()
    return (time.process_time() - start) / calls


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.speed.packing", description=__doc__
    ).parse_args()
    crnn.set_num_threads(1)
    crnn.show_config()
    print("\nan epoch, milliseconds: medians; over that of batches of similar length\n")
    heads = f"{'in order':>10}{'similar':>9}{'packed':>14}{'bptt':>14}"
    print(f"{'cell':<6}{'H':>4}{'batch':>7}{heads}")
    rng = np.random.default_rng(0)
    for cell in CELLS:
        for H, batch in SIZES:
            timers = {
                name: functools.partial(seconds_per_call, job)
                for name, job in ways(cell, H, batch, *sequences(BATCHES * batch, rng)).items()
            }
            samples = interleaved(timers, ROUNDS, SAMPLE_SECONDS)
            in_order, similar, packed, bptt = (
                1e3 * median_and_quartiles(samples[name])[0] for name in timers
            )
            print(
                f"{cell:<6}{H:>4}{batch:>7}{in_order:>10.1f}{similar:>9.1f}"
                f"{packed:>8.1f} {packed / similar:>4.2f}{bptt:>9.1f} {bptt / similar:>4.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
