"""How the time of a training step grows with the length of sequences, and with the hidden size."""

from collections.abc import Iterator

from benchmarks.cells import Cell
from benchmarks.measure import Measurement, measure
from benchmarks.peak import Peak

# Against those peers that are ever close
PEERS = ("Numba", "PyTorch", "JAX", "NumPy")

LENGTHS = (100, 1_000, 10_000, 100_000)
HIDDEN_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)

# A sequence alone for the lengths; a batch for the hidden sizes, where products matter.
OF_LENGTH = Cell(T=0, B=1, I=1, H=32, O=1)
OF_HIDDEN_SIZE = Cell(T=50, B=16, I=16, H=0, O=8)

ROUNDS, SAMPLE_SECONDS = 5, 0.02


def series(short: bool) -> Iterator[tuple[str, Measurement]]:
    """Yield the axis, "T" or "H", and a measurement, with ever larger sizes."""
    peak = Peak()
    for axis, base, sizes in (("T", OF_LENGTH, LENGTHS), ("H", OF_HIDDEN_SIZE, HIDDEN_SIZES)):
        for size in sizes[:: 4 if short else 1]:
            cell = base._replace(**{axis: size})
            yield (
                axis,
                measure(
                    "train step", "RNN", f"{axis}={size}", cell, "float32",
                    rounds=ROUNDS, sample_seconds=SAMPLE_SECONDS, peak=peak, only=PEERS,
                ),
            )  # fmt: skip
