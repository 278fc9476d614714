"""Time crnn against its peers in one run: `python -m benchmarks --help` names the options."""

import argparse
import sys
from pathlib import Path

import crnn
from benchmarks import growth, report
from benchmarks.cells import CELLS, FLOAT64_CELLS, OPERATIONS
from benchmarks.measure import measure, rivals
from benchmarks.peak import Peak

FOLDER = Path(__file__).parent
SHORT_CELLS = ("nano", "small", "charlm")


def options() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="three cells and fewer rounds: under two minutes"
    )
    parser.add_argument(
        "--cells", type=lambda text: text.split(","), help=f"some of {','.join(CELLS)}"
    )
    parser.add_argument("--operations", type=lambda text: text.split(","), help="by first word")
    parser.add_argument("--dtypes", type=lambda text: text.split(","), default=None)
    parser.add_argument("--rounds", type=int, help="samples of each rival (9; short: 4)")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for results.json and the pictures (a full run: benchmarks/)",
    )
    chosen = parser.parse_args()
    unknown = set(chosen.cells or ()) - set(CELLS)
    if unknown:
        parser.error(f"--cells: expected some of {','.join(CELLS)}, got {','.join(unknown)}")
    return chosen


def main() -> None:
    """Measure, print, and after a full run write the results and draw the pictures."""
    chosen = options()
    rounds = chosen.rounds or (4 if chosen.short else 9)
    is_full = not (chosen.short or chosen.cells or chosen.operations or chosen.dtypes)
    cells = chosen.cells or (SHORT_CELLS if chosen.short else tuple(CELLS))
    dtypes = chosen.dtypes or (("float32",) if chosen.short else ("float32", "float64"))
    wanted = [
        operation
        for operation in OPERATIONS
        if not chosen.operations or operation.split()[0] in chosen.operations
    ]
    crnn.show_config()
    for line in rivals()[1]:
        print(line)
    peak = Peak()
    if peak.measure("float32") is None:
        print("no C compiler, so no peak to compare with")
    measured = []
    for operation in wanted:
        for dtype in dtypes:
            chosen_cells = [
                cell
                for cell in cells
                if dtype == "float32" or cell in FLOAT64_CELLS or chosen.cells
            ]
            print(report.heading(operation, dtype))
            for cell in chosen_cells:
                m = measure(
                    operation, cell, CELLS[cell], dtype, rounds=rounds,
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
