"""Time crnn against other libraries in one run.

A run without a selection measures all kinds, sizes and operations, and the shapes. It writes
results.json and its pictures to the folder benchmarks/, or to the folder of `--output`. With
`--compare` it prints what became slower or faster than in an earlier results.json by more than the
spread of both runs, and exits with 1 if anything became slower by more than 10 %.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import crnn
from benchmarks.speed import compare, growth, libraries, report, targets
from benchmarks.speed.libraries import PEERS
from benchmarks.speed.measure import Measurement, measure
from benchmarks.speed.peak import Peak
from benchmarks.speed.shapes import measure as shapes
from benchmarks.speed.sizes import FLOAT64, KINDS, OPERATIONS, SIZES

FOLDER = Path(__file__).parent
DTYPES = ("float32", "float64")
ROUNDS, SAMPLE_SECONDS = 7, 0.05
SHORT_SIZES, SHORT_ROUNDS, SHORT_SAMPLE_SECONDS = ("nano", "small", "charlm"), 3, 0.02
LEAST_ROUNDS = 2  # fewer have no quartiles


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--short", action="store_true", help="plain RNNs of three sizes in fewer rounds: a minute"
    )
    first_words = [operation.split()[0] for operation in OPERATIONS]
    for name, known in (
        ("kinds", KINDS),
        ("sizes", SIZES),
        ("operations", first_words),
        ("dtypes", DTYPES),
    ):
        parser.add_argument(f"--{name}", type=some_of(known), help=f"some of {','.join(known)}")
    parser.add_argument(
        "--shapes", action="store_true", help="those of benchmarks.speed.shapes in any case"
    )
    parser.add_argument("--alone", action="store_true", help="crnn without other libraries")
    parser.add_argument(
        "--rounds", type=rounds_of, help=f"samples of each ({ROUNDS}; short: {SHORT_ROUNDS})"
    )
    parser.add_argument("--output", type=Path, help="folder for results.json and the pictures")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="an earlier results.json")
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or (SHORT_ROUNDS if chosen.short else ROUNDS)
    return chosen


def measure_all(chosen: argparse.Namespace) -> list[Measurement]:
    """Measure what is chosen, and print a table for each operation, kind and dtype."""
    peak = Peak()
    if peak.missing:
        print(f"shares of the peak are left out: {peak.missing}")
    kinds = chosen.kinds or (KINDS[:1] if chosen.short else KINDS)
    names = chosen.sizes or (SHORT_SIZES if chosen.short else tuple(SIZES))
    dtypes = chosen.dtypes or (DTYPES[:1] if chosen.short else DTYPES)
    operations = [
        operation
        for operation in OPERATIONS
        if not chosen.operations or operation.split()[0] in chosen.operations
    ]
    measured = []
    for kind, operation, dtype in itertools.product(kinds, operations, dtypes):
        in_table = [
            name for name in names if dtype == "float32" or chosen.dtypes or (kind, name) in FLOAT64
        ]
        if not in_table:
            continue
        print(report.heading(operation, kind, dtype))
        for name in in_table:
            m = measure(
                operation,
                kind,
                name,
                SIZES[name],
                dtype,
                rounds=chosen.rounds,
                sample_seconds=SHORT_SAMPLE_SECONDS if chosen.short else SAMPLE_SECONDS,
                peak=peak,
                peers=() if chosen.alone else PEERS,
            )
            measured.append(m)
            print(report.row(m), flush=True)
    return measured


def measure_growth(short: bool, rounds: int) -> list[tuple[str, Measurement]]:
    """Measure how a training step's time grows, and print it."""
    print("\ngrowth of a training step's time")
    grown = []
    for axis, m in growth.series(short, rounds):
        grown.append((axis, m))
        times = ", ".join(f"{name} {report.duration(m.median(name))}" for name in m.samples)
        print(f"  {m.name:<10}{times}", flush=True)
    return grown


def main() -> None:
    """Measure, print, compare and write."""
    chosen = options()
    earlier = report.read(chosen.compare) if chosen.compare else None
    crnn.show_config()
    if not chosen.alone:
        for name in PEERS:
            libraries.worker(name)
    is_full = not (
        chosen.short
        or chosen.alone
        or chosen.kinds
        or chosen.sizes
        or chosen.operations
        or chosen.dtypes
    )
    measured = measure_all(chosen)
    shaped = list(shapes.measure_all(chosen.rounds)) if is_full or chosen.shapes else []
    if not chosen.alone:
        missed = targets.missed(measured) + shapes.missed(shaped)
        print("\nbehind the targets:" if missed else "\nall targets met")
        for line in missed:
            print(f"  {line}")
    folder = chosen.output or (FOLDER if is_full else None)
    draws = folder is not None and not chosen.alone
    grown = measure_growth(chosen.short, chosen.rounds) if draws else []
    results = report.results_of(measured, grown, shaped)
    print(f"\n{report.markdown(results, tuple(SIZES))}")
    if shaped:
        print(f"\n{report.shapes_markdown(results, KINDS)}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        report.write(folder / "results.json", results)
        print(f"\nwritten: {folder / 'results.json'}")
    if draws:
        try:
            from benchmarks.speed import plots
        except ImportError as error:
            sys.exit(f"no pictures: {error}")
        plots.draw_ratios(measured, folder / "speed.png")
        plots.draw_growth(grown, folder / "growth.png")
        print(f"written: speed.png and growth.png in {folder}")
    if earlier is not None:
        text, is_slower = compare.report(earlier, results)
        print(f"\n{text}")
        sys.exit(int(is_slower))


if __name__ == "__main__":
    main()
