"""Sphinx extension: the tables of benchmarks/results.json, by the directive `benchmark-tables`."""

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results.json"
OPERATIONS = ("train step", "inference", "streaming step")


def duration(seconds):
    """Return a time to three digits, in µs or ms."""
    value, unit = (seconds * 1e6, "µs") if seconds < 1e-3 else (seconds * 1e3, "ms")
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def table(kind, records):
    """Return the lines of a list-table of one kind of network in float32."""
    rows = {}
    for record in records:
        if record["dtype"] == "float32" and record.get("kind", "RNN") == kind:
            sizes = ", ".join(str(size) for size in record["sizes"].values())
            time = duration(record["seconds"]["crnn"]["median"])
            best, ratio = record["best peer"], record["best peer / crnn"]
            row = rows.setdefault(f"{record['name']}: {sizes}", {})
            row[record["operation"]] = f"{time}; {best} {ratio:.1f}"
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 31 23 23 23", ""]
    for row in ((f"{kind}: T, B, I, H, O", *OPERATIONS), *(
        (name, *(row.get(operation, "") for operation in OPERATIONS)) for name, row in rows.items()
    )):  # fmt: skip
        lines += [f"   {'-' if column else '* -':>3} {text}" for column, text in enumerate(row)]
    return [*lines, ""]


class BenchmarkTables(Directive):
    """One table for each kind of network, and what they were measured on."""

    def run(self):
        """Return the nodes."""
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
        kinds = dict.fromkeys(record.get("kind", "RNN") for record in results["measurements"])
        lines = [line for kind in kinds for line in table(kind, results["measurements"])]
        machine = results["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        system = f"{machine['system']}, {machine['instruction set']}"
        lines.append(
            f"Measured on {results['date']} on {machine['cores']} cores of {machine['processor']} "
            f"({system}) with {versions}."
        )
        self.state.document.settings.record_dependencies.add(str(RESULTS))
        parent = nodes.Element()
        self.state.nested_parse(StringList(lines, str(RESULTS)), self.content_offset, parent)
        return parent.children


def setup(app):
    """Register the directive."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
