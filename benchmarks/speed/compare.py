"""Comparison of crnn's times with those of an earlier run.

Times are compared in units of the multiply-add peak that each run measured around its samples, so
a different clock does not count as a change.
"""

from typing import Any, NamedTuple

from benchmarks.speed.libraries import OURS

# Slower by more than this is a regression.
TOLERATED = 1.1


class Change(NamedTuple):
    """A measurement whose quartiles lie outside those of the earlier run."""

    label: str
    ratio: float
    """The new median over the old one."""

    @property
    def is_regression(self) -> bool:
        """Whether crnn became slower by more than is tolerated."""
        return self.ratio > TOLERATED

    def __str__(self) -> str:
        """Return one line."""
        word = "slower" if self.ratio > 1 else "faster"
        return f"{self.label}: {self.ratio:.2f} of the earlier time, {word}"


def _times(record: dict[str, Any], scaled: bool) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    seconds = record["seconds"][OURS]
    unit = record["peak, operations per second"] if scaled else 1
    low, high = seconds["quartiles"]
    return low * unit, seconds["median"] * unit, high * unit


def changes(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[Change], int]:
    """Return the changes beyond the spread of both runs, and how many pairs were compared."""

    def by_key(results: dict[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
        keys = ("kind", "name", "operation", "dtype")
        records = results["measurements"] + results.get("shapes", [])
        return {tuple(r[key] for key in keys): r for r in records}

    before, after = by_key(old), by_key(new)
    shared = [key for key in after if key in before and before[key]["sizes"] == after[key]["sizes"]]
    found = []
    for key in shared:
        pair = before[key], after[key]
        scaled = all(record["peak, operations per second"] for record in pair)
        (old_low, old_median, old_high), (low, median, high) = (_times(r, scaled) for r in pair)
        if low > old_high or high < old_low:
            found.append(Change(" ".join(key), median / old_median))
    return sorted(found, key=lambda change: -change.ratio), len(shared)


def report(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, bool]:
    """Return the lines to print, and whether there is a regression."""
    found, compared = changes(old, new)
    lines = [f"{compared} measurements compared with those of {old['date']}:"]
    if old["machine"] != new["machine"]:
        lines.append("  The machine or a version is another one; the ratios may be due to that.")
    lines += [f"  {change}" for change in found] or ["  no change beyond the spread"]
    return "\n".join(lines), any(change.is_regression for change in found)
