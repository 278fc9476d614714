"""Time crnn against its peers in one run: `python -m benchmarks --help` names the options."""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import crnn
from benchmarks import growth, report
from benchmarks.cells import CELLS, FLOAT64_CELLS, KINDS, OPERATIONS
from benchmarks.measure import measure, rivals
from benchmarks.peak import Peak

FOLDER = Path(__file__).parent
SHORT_CELLS = ("nano", "small", "charlm")
DTYPES = ("float32", "float64")
LEAST_ROUNDS = 2  # of which there are quartiles


def some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a type of argument: names separated by commas."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"expected some of {','.join(known)}, got {','.join(unknown)}"
            )
        return names

    return parse


def rounds_of(text: str) -> int:
    """Return the number of rounds."""
    rounds = int(text)
    if rounds < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"expected at least {LEAST_ROUNDS}, got {rounds}")
    return rounds


def options() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="three cells and fewer rounds: under two minutes"
    )
    parser.add_argument("--kinds", type=some_of(KINDS), help=f"some of {','.join(KINDS)}")
    parser.add_argument("--cells", type=some_of(CELLS), help=f"some of {','.join(CELLS)}")
    first_words = [operation.split()[0] for operation in OPERATIONS]
    parser.add_argument(
        "--operations", type=some_of(first_words), help=f"some of {','.join(first_words)}"
    )
    parser.add_argument("--dtypes", type=some_of(DTYPES), help=f"some of {','.join(DTYPES)}")
    parser.add_argument("--rounds", type=rounds_of, help="samples of each rival (9; short: 3)")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for results.json and the pictures (a full run: benchmarks/)",
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print, and after a full run write the results and draw the pictures."""
    chosen = options()
    rounds = chosen.rounds or (3 if chosen.short else 9)
    is_full = not (
        chosen.short or chosen.kinds or chosen.cells or chosen.operations or chosen.dtypes
    )
    cells = chosen.cells or (SHORT_CELLS if chosen.short else tuple(CELLS))
    kinds = chosen.kinds or (KINDS[:1] if chosen.short else KINDS)
    dtypes = chosen.dtypes or (DTYPES[:1] if chosen.short else DTYPES)
    wanted = [
        operation
        for operation in OPERATIONS
        if not chosen.operations or operation.split()[0] in chosen.operations
    ]
    crnn.show_config()
    for line in rivals()[1]:
        print(line)
    peak = Peak()
    if peak.missing:
        print(f"shares of the peak are left out: {peak.missing}")
    measured = []
    for kind, operation in itertools.product(kinds, wanted):
        for dtype in dtypes:
            chosen_cells = [
                cell
                for cell in cells
                if dtype == "float32" or cell in FLOAT64_CELLS or chosen.cells
            ]
            print(report.heading(operation, kind, dtype))
            for cell in chosen_cells:
                m = measure(
                    operation, kind, cell, CELLS[cell], dtype, rounds=rounds,
                    sample_seconds=0.02 if chosen.short else 0.05, peak=peak,
                )  # fmt: skip
                measured.append(m)
                print(report.row(m), flush=True)
    missed = report.behind(measured)
    print("\nall targets met" if not missed else "\nbehind the targets:")
    for line in missed:
        print(f"  {line}")
    print(f"\n{report.markdown(measured)}")
    folder = chosen.output or (FOLDER if is_full else None)
    if folder is None:
        return
    print("\ngrowth of a training step, seconds")
    grown = []
    for axis, m in growth.series(chosen.short):
        grown.append((axis, m))
        times = ", ".join(f"{name} {m.median(name):.3g}" for name in m.samples)
        print(f"  {m.cell:<10}{times}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    report.write(folder / "results.json", measured, grown)
    try:
        from benchmarks import plots
    except ImportError as error:
        sys.exit(f"no pictures: {error}")
    plots.draw_cells(measured, folder / "speed.png")
    plots.draw_growth(grown, folder / "growth.png")
    print(f"written: results.json, speed.png and growth.png in {folder}")


if __name__ == "__main__":
    main()
