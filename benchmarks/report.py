"""What is printed, and what goes into results.json."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import crnn
from benchmarks.cells import CELLS, KINDS, OPERATIONS, TARGETS
from benchmarks.measure import OURS, PEERS, Measurement
from benchmarks.timing import spread
from crnn import _backend

COLUMNS = (OURS, *PEERS)


def machine() -> dict[str, object]:
    """Return what the numbers were measured on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    versions = {"crnn": crnn.__version__, "Python": platform.python_version()}
    for package in ("numpy", "numba", "torch", "jax", "onnxruntime"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction set": _backend.kernels.instruction_set,
        "versions": versions,
    }


def _time(seconds: float) -> str:
    microseconds = seconds * 1e6
    digits = 2 if microseconds < 10 else 1 if microseconds < 100 else 0
    return f"{microseconds:.{digits}f}"


def heading(operation: str, kind: str, dtype: str) -> str:
    """Return the two lines above a table."""
    names = "".join(f"{name:>14}" for name in COLUMNS)
    return (
        f"\n{kind}, {operation}, {dtype}: microseconds, median of the rounds\n"
        f"{'cell':<8}{'T, B, I, H, O':>24}{names}{'best/crnn':>11}{'spread':>14}{'target':>8}"
        f"{'of peak':>9}"
    )


def row(m: Measurement) -> str:
    """Return one line of a table."""
    times = "".join(
        f"{_time(m.median(name)) if name in m.samples else '-':>14}" for name in COLUMNS
    )
    line = f"{m.cell:<8}{', '.join(map(str, m.sizes)):>24}{times}"
    best = m.best_peer()
    pairs = zip(m.samples[best], m.samples[OURS], strict=True)
    _, low, high = spread([theirs / ours for theirs, ours in pairs])
    line += f"{m.ratio(best):>11.2f}{f'{low:.2f}-{high:.2f}':>14}{_target(m):>8}"
    share = m.share()
    return line + (f"{share:>9.0%}" if share is not None else f"{'-':>9}")


def _target(m: Measurement) -> str:
    if m.dtype != "float32" or m.cell not in TARGETS[m.kind]:
        return ""
    target = TARGETS[m.kind][m.cell][OPERATIONS.index(m.operation)]
    return f"{target:g}" if target else ""


def markdown(measurements: list[Measurement]) -> str:
    """Return README's tables: crnn's time, and how many times as long the best peer takes."""
    tables = []
    for kind in KINDS:
        float32 = {
            (m.cell, m.operation): m
            for m in measurements
            if m.dtype == "float32" and m.kind == kind
        }
        if not float32:
            continue
        lines = [
            f"| {kind}: T, B, I, H, O | " + " | ".join(OPERATIONS) + " |",
            "|---|" + "---|" * len(OPERATIONS),
        ]
        for cell, sizes in CELLS.items():
            entries = [f"{cell}: {', '.join(map(str, sizes))}"]
            for operation in OPERATIONS:
                m = float32.get((cell, operation))
                if m is None:
                    entries.append("")
                    continue
                best = m.best_peer()
                entries.append(f"{_time(m.median(OURS))} µs; {best} {m.ratio(best):.1f} times")
            lines.append("| " + " | ".join(entries) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def behind(measurements: list[Measurement]) -> list[str]:
    """Return a line for each place where crnn misses its target."""
    lines = []
    for m in measurements:
        target = _target(m)
        best = m.best_peer()
        if target and m.ratio(best) < float(target):
            lines.append(
                f"{m.kind} {m.cell} {m.operation}: {m.ratio(best):.2f} times as fast as {best}, "
                f"target {target}"
            )
        if m.operation == "train step" and m.dtype == "float32":
            share = m.share()
            if m.cell in ("large", "xl") and share is not None and share < 0.6:
                lines.append(f"{m.kind} {m.cell} training: {share:.0%} of the peak, target 60%")
            if m.kind == "RNN" and m.cell in ("nano", "tiny", "long") and "PyTorch" in m.samples:
                ratio = m.ratio("PyTorch")
                if ratio < 100:
                    lines.append(
                        f"{m.cell} training: {ratio:.0f} times as fast as PyTorch, target 100"
                    )
    return lines


def _record(m: Measurement) -> dict[str, object]:
    seconds = {}
    for name, samples in m.samples.items():
        median, low, high = spread(samples)
        seconds[name] = {"median": median, "quartiles": [low, high]}
    best = m.best_peer()
    return {
        "operation": m.operation,
        "kind": m.kind,
        "cell": m.cell,
        "sizes": m.sizes._asdict(),
        "dtype": m.dtype,
        "seconds": seconds,
        "best peer": best,
        "best peer / crnn": m.ratio(best),
        "share of peak": m.share(),
        "peak, operations per second": m.peak,
    }


def write(path: Path, cells: list[Measurement], growth: list[tuple[str, Measurement]]) -> None:
    """Write everything measured, rounded to four digits."""
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "cells": [_record(m) for m in cells],
        "growth": [{"axis": axis} | _record(m) for axis, m in growth],
    }
    rounded = json.loads(json.dumps(results), parse_float=lambda text: float(f"{float(text):.4g}"))
    path.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
