"""Tables of the measurements, and the file with all of them.

`python -m benchmarks.speed.report [RESULTS.json]` prints the tables of README from results.json;
with `--all`, tables of all sizes and kinds.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import crnn
from benchmarks.speed import targets
from benchmarks.speed.libraries import OURS, PEERS
from benchmarks.speed.measure import Measurement
from benchmarks.speed.sizes import KINDS, OPERATIONS, SIZES
from benchmarks.speed.timing import median_and_quartiles

RESULTS = Path(__file__).parents[1] / "results.json"
COLUMNS = (OURS, *PEERS)

# The rows of README's table: one sequence, a small and a large batch
README_SIZES = ("tiny", "small", "large")
# and those of its second table
README_KINDS_OF_SHAPES = ("LSTM",)


def machine() -> dict[str, object]:
    """Return the processor, the system and the versions."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    versions = {"crnn": crnn.__version__, "Python": platform.python_version()}
    for package in ("numpy", "numba", "torch", "jax", "onnxruntime", "openvino"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction set": instruction_set(),
        "versions": versions,
    }


def instruction_set() -> str:
    """Return the instruction set of crnn's loops, as `crnn.show_config()` prints it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        crnn.show_config()
    (line,) = (s for s in printed.getvalue().splitlines() if s.startswith("instruction set"))
    return line.removeprefix("instruction set").split()[0]


def duration(seconds: float) -> str:
    """Return a time to three digits, in microseconds or milliseconds."""
    value, unit = (seconds * 1e6, "µs") if seconds < 1e-3 else (seconds * 1e3, "ms")
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def heading(operation: str, kind: str, dtype: str) -> str:
    """Return the lines above a table."""
    names = "".join(f"{name:>14}" for name in COLUMNS)
    return (
        f"\n{kind}, {operation}, {dtype}: median of the rounds\n"
        f"{'size':<8}{'T, B, I, H, O':>24}{names}{'best/crnn':>11}{'spread':>14}{'target':>8}"
        f"{'of peak':>9}"
    )


def row(m: Measurement) -> str:
    """Return one line of a table."""
    times = "".join(
        f"{duration(m.median(name)) if name in m.samples else '-':>14}" for name in COLUMNS
    )
    line = f"{m.name:<8}{', '.join(map(str, m.sizes)):>24}{times}"
    best = m.best_peer()
    if best is None:
        line += f"{'-':>11}{'-':>14}{'':>8}"
    else:
        pairs = zip(m.samples[best], m.samples[OURS], strict=True)
        _, low, high = median_and_quartiles([theirs / ours for theirs, ours in pairs])
        line += f"{m.ratio(best):>11.2f}{f'{low:.2f}-{high:.2f}':>14}{targets.ratio(m):>8}"
    share = m.share_of_peak()
    return line + (f"{share:>9.0%}" if share is not None else f"{'-':>9}")


def _record(m: Measurement) -> dict[str, object]:
    seconds = {}
    for name, samples in m.samples.items():
        median, low, high = median_and_quartiles(samples)
        seconds[name] = {"median": median, "quartiles": [low, high]}
    best = m.best_peer()
    return {
        "operation": m.operation,
        "kind": m.kind,
        "name": m.name,
        "sizes": m.sizes._asdict(),
        "dtype": m.dtype,
        "seconds": seconds,
        "best peer": best,
        "best peer / crnn": None if best is None else m.ratio(best),
        "share of peak": m.share_of_peak(),
        "peak, operations per second": m.peak,
    }


def results_of(
    measurements: list[Measurement],
    growth: list[tuple[str, Measurement]],
    shapes: list[Measurement],
) -> dict[str, Any]:
    """Return the contents of results.json: everything measured, rounded to four digits."""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "measurements": [_record(m) for m in measurements],
        "shapes": [_record(m) for m in shapes],
        "growth": [{"axis": axis} | _record(m) for axis, m in growth],
    }
    return json.loads(json.dumps(results), parse_float=lambda text: float(f"{float(text):.4g}"))


def write(path: Path, results: dict[str, Any]) -> None:
    """Write results.json."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read results.json; exit with a sentence if the file is something else."""
    results = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(results, dict) or "measurements" not in results:
        sys.exit(f"{path}: expected a results.json with measurements")
    return results


def _label(record: dict[str, Any]) -> str:
    return f"{record['name']}: {', '.join(map(str, record['sizes'].values()))}"


def _entry(record: dict[str, Any] | None) -> str:
    """Return crnn's time and the best peer with its ratio."""
    if record is None:
        return ""
    time = duration(record["seconds"][OURS]["median"])
    if record["best peer"] is None:
        return time
    return f"{time} ({record['best peer']} {record['best peer / crnn']:.1f})"


def markdown(results: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return a Markdown table of float32: a row for each kind and size, a column an operation."""
    records = {
        (r["kind"], r["name"], r["operation"]): r
        for r in results["measurements"]
        if r["dtype"] == "float32"
    }
    lines = [
        "| network: T, B, I, H, O | " + " | ".join(OPERATIONS) + " |",
        "|---|" + "---|" * len(OPERATIONS),
    ]
    for kind in KINDS:
        for name in names:
            found = [records.get((kind, name, operation)) for operation in OPERATIONS]
            labels = [_label(record) for record in found if record is not None]
            if labels:
                lines.append(f"| {kind} {labels[0]} | " + " | ".join(map(_entry, found)) + " |")
    return "\n".join(lines)


def shapes_markdown(results: dict[str, Any], kinds: tuple[str, ...]) -> str:
    """Return a Markdown table of the shapes beside PyTorch: a row for each kind and shape."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in results.get("shapes", []):
        if record["kind"] in kinds:
            rows.setdefault((record["kind"], record["name"]), {})[record["operation"]] = record
    operations = ("train step", "inference")
    return "\n".join(
        [
            "| network | " + " | ".join(operations) + " |",
            "|---|" + "---|" * len(operations),
            *(
                f"| {kind}: {name} | " + " | ".join(_entry(row.get(o)) for o in operations) + " |"
                for (kind, name), row in rows.items()
            ),
        ]
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.report", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    parser.add_argument(
        "--all", action="store_true", help="all sizes and kinds, not README's alone"
    )
    chosen = parser.parse_args()
    results = read(chosen.results)
    print(markdown(results, tuple(SIZES) if chosen.all else README_SIZES))
    print(f"\n{shapes_markdown(results, KINDS if chosen.all else README_KINDS_OF_SHAPES)}")


if __name__ == "__main__":
    main()
