"""Page faults of a call in steady state: `python -m benchmarks.speed.faults`.

Memory that is allocated anew at each call is given to the process page by page, and each page costs
a fault, some 0.25 µs and its 4 KB set to zero. Results that a call returns are new arrays; the rest
should be reused. For `fit` the faults of a batch are counted.
"""

import argparse
import resource
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import crnn

T, B, I, H, O = 100, 32, 16, 128, 8
BATCHES = 4  # an epoch of fit
WARM_CALLS, CALLS = 5, 20
EPOCHS = (2, 6)  # faults of the second fit less those of the first: those of the epochs between

CASES = (
    "simple",
    "2 layers",
    "bidirectional",
    "lengths",
    "mask",
    "categories",
    "one output",
    "list",
)
OPERATIONS = ("predict", "loss", "train_step", "fit")


class Case(NamedTuple):
    """A network, with the arguments of its calls."""

    net: Any
    x: Any
    y: Any
    lengths: dict[str, np.ndarray]
    """Of all calls."""
    weights: dict[str, np.ndarray]
    """Of all but `predict`."""


def make(kind: str, case: str, B: int) -> Case:
    """Return a case with B sequences."""
    rng = np.random.default_rng(0)
    net = getattr(crnn, kind)(
        I,
        H,
        O,
        num_layers=2 if case == "2 layers" else 1,
        bidirectional=case == "bidirectional",
        categorical=case == "categories",
        return_sequences=case != "one output",
        seed=0,
        implementation="native",
    )
    x: Any = rng.standard_normal((B, T, I)).astype(np.float32)
    y: Any = rng.standard_normal((B, T, O)).astype(np.float32)
    lengths = rng.integers(T // 5, T, B, endpoint=True)
    weights = {}
    if case == "categories":
        x = rng.integers(0, I, (B, T))
    elif case == "one output":
        y = y[:, 0].copy()
    elif case == "mask":
        weights["mask"] = (rng.random((B, T)) < 0.8).astype(np.float32)
    elif case == "list":
        x, y = ([row[:n].copy() for row, n in zip(rows, lengths, strict=True)] for rows in (x, y))
    return Case(net, x, y, {"lengths": lengths} if case == "lengths" else {}, weights)


def page_faults(call: Callable[[], object], times: int) -> int:
    """Return the faults of so many calls, in all threads."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def faults(kind: str, case: str, operation: str) -> float:
    """Return the faults of a call."""
    net, x, y, lengths, weights = make(kind, case, B * (BATCHES if operation == "fit" else 1))
    sgd = crnn.SGD(1e-6)
    if operation == "fit":

        def fit(epochs: int) -> int:
            return page_faults(
                lambda: net.fit(
                    x, y, epochs=epochs, batch_size=B, optimizer=sgd, **lengths, **weights
                ),
                1,
            )

        fit(EPOCHS[0])
        fewer, more = map(fit, EPOCHS)
        return max(0, more - fewer) / (BATCHES * (EPOCHS[1] - EPOCHS[0]))
    calls = {
        "predict": lambda: net.predict(x, **lengths),
        "loss": lambda: net.loss(x, y, **lengths, **weights),
        "train_step": lambda: net.train_step(x, y, sgd, **lengths, **weights),
    }
    page_faults(calls[operation], WARM_CALLS)
    return page_faults(calls[operation], CALLS) / CALLS


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.speed.faults", description=__doc__
    ).parse_args()
    print(f"page faults a call: T {T}, B {B}, I {I}, H {H}, O {O}, float32\n")
    print(f"{'':<22}" + "".join(f"{operation:>12}" for operation in OPERATIONS))
    for kind in ("RNN", "GRU", "LSTM"):
        for case in CASES:
            counted = (faults(kind, case, operation) for operation in OPERATIONS)
            label = f"{kind} {case}"
            print(f"{label:<22}" + "".join(f"{n:>12.1f}" for n in counted), flush=True)


if __name__ == "__main__":
    main()
