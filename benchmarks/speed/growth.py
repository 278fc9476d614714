"""The time of a training step over the length of sequences and over the hidden size."""

from collections.abc import Iterator

from benchmarks.speed.measure import Measurement, measure
from benchmarks.speed.peak import Peak
from benchmarks.speed.sizes import Sizes

# The peers whose times are ever close to crnn's
PEERS = ("Numba", "PyTorch", "JAX", "JAX 0.4.31", "NumPy")

LENGTHS = (100, 1_000, 10_000, 100_000)
HIDDEN_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)

# One sequence over the lengths; a batch over the hidden sizes, where products matter
OVER_LENGTH = Sizes(T=0, B=1, I=1, H=32, O=1)
OVER_HIDDEN_SIZE = Sizes(T=50, B=16, I=16, H=0, O=8)

SAMPLE_SECONDS = 0.02


def series(short: bool, rounds: int) -> Iterator[tuple[str, Measurement]]:
    """Yield the axis, "T" or "H", and a measurement, by increasing size."""
    peak = Peak()
    for axis, base, values in (
        ("T", OVER_LENGTH, LENGTHS),
        ("H", OVER_HIDDEN_SIZE, HIDDEN_SIZES),
    ):
        for value in values[:: 4 if short else 1]:
            sizes = base._replace(**{axis: value})
            yield (
                axis,
                measure(
                    "train step", "RNN", f"{axis}={value}", sizes, "float32",
                    rounds=rounds, sample_seconds=SAMPLE_SECONDS, peak=peak, peers=PEERS,
                ),
            )  # fmt: skip
