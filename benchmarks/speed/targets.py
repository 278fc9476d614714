"""What crnn should reach on the grid, and what a run finds behind it."""

from benchmarks.speed.measure import Measurement
from benchmarks.speed.sizes import OPERATIONS

# The least ratio of the fastest rival's median to crnn's in float32, for the operations in the
# order of the grid
RATIOS = {
    "RNN": {
        "nano": (2.2, 2.5, 8),
        "tiny": (6, 2.2, 8),
        "small": (3.4, 3.4, 5),
        "medium": (3, 1.3, 2),
        "charlm": (2, 1.2, 2.4),
        "large": (1.6, 1.2, 1.5),
        "xl": (1.3, 1.15, 1.3),
        "long": (6, 2.2, 8),
    },
    "GRU": {
        "tiny": (5.5, 3, 20),
        "small": (3.3, 2.5, 3.5),
        "medium": (3.4, 2, 2.7),
        "charlm": (2.7, 1.5, 1.8),
        "large": (2, 1.1, 1.1),
        "xl": (1.5, 1.05, 1.05),
    },
    "LSTM": {
        "tiny": (6.5, 2.2, 20),
        "small": (2.3, 1.4, 4.5),
        "medium": (1.6, 1.1, 1.5),
        "charlm": (1.7, 1.1, 1.3),
        "large": (1.35, 1.05, 1.1),
        "xl": (1.1, 1.05, 1.05),
    },
}
# That of all other measurements
OTHER_RATIO = 1

# The least share of the machine's peak in float32, where products take most of the time
SHARES_OF_PEAK = {"train step": 0.75, "inference": 0.8}
SIZES_OF_PRODUCTS = ("charlm", "large", "xl")


def ratio(m: Measurement) -> float:
    """Return the least ratio of the fastest rival's time to crnn's."""
    of_operations = RATIOS[m.kind].get(m.name) if m.dtype == "float32" else None
    return of_operations[OPERATIONS.index(m.operation)] if of_operations else OTHER_RATIO


def share_of_peak(m: Measurement) -> float:
    """Return the least share of the machine's peak; 0: no target."""
    if m.dtype != "float32" or m.name not in SIZES_OF_PRODUCTS:
        return 0
    return SHARES_OF_PEAK.get(m.operation, 0)


def missed(measurements: list[Measurement]) -> list[str]:
    """Return a line for each target that crnn misses."""
    lines = []
    for m in measurements:
        label = f"{m.kind} {m.name} {m.operation} {m.dtype}"
        best, share = m.best_peer(), m.share_of_peak()
        if best is not None and m.ratio(best) < ratio(m):
            lines.append(f"{label}: {best} / crnn {m.ratio(best):.2f}, target {ratio(m)}")
        if share is not None and share < share_of_peak(m):
            lines.append(f"{label}: {share:.0%} of the peak, target {share_of_peak(m):.0%}")
    return lines
