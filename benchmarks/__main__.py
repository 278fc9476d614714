"""Time the compiled kernels against the NumPy ones, in one run, and print the ratios."""

import numpy as np

import crnn
from benchmarks.cells import CELLS, Cell
from benchmarks.timing import interleaved, spread

ROUNDS = 9
SAMPLE_SECONDS = 0.05


def jobs(operation: str, cell: Cell) -> dict:
    """Return the same work on both implementations."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((cell.B, cell.T, cell.I), dtype=np.float32)
    y = rng.standard_normal((cell.B, cell.T, cell.O), dtype=np.float32)
    found = {}
    for implementation in ("native", "python"):
        net = crnn.RNN(cell.I, cell.H, cell.O, seed=0, implementation=implementation)
        # So small a rate that the numbers stay ordinary ones however long it runs.
        optimizer = crnn.SGD(1e-6)
        if operation == "train step":
            found[implementation] = lambda net=net, sgd=optimizer: net.train_step(x, y, sgd)
        else:
            found[implementation] = lambda net=net: net.predict(x)
    return found


def main() -> None:
    """Print one table for each operation."""
    crnn.show_config()
    for operation in ("train step", "inference"):
        print(f"\n{operation}, float32, microseconds: median (quartiles)")
        print(f"{'cell':8}{'T, B, I, H, O':>24}{'native':>28}{'python':>28}{'python / native':>17}")
        for name, cell in CELLS.items():
            samples = interleaved(jobs(operation, cell), ROUNDS, SAMPLE_SECONDS)
            row = f"{name:8}{', '.join(map(str, cell)):>24}"
            for times in samples.values():
                median, low, high = (seconds * 1e6 for seconds in spread(times))
                row += f"{median:>12.0f} ({low:.0f}-{high:.0f})".rjust(28)
            pairs = zip(samples["python"], samples["native"], strict=True)
            ratio, _, _ = spread([python / native for python, native in pairs])
            print(f"{row}{ratio:>17.1f}", flush=True)


if __name__ == "__main__":
    main()
