"""Sphinx extension: the tables of benchmarks/results.json.

The directive `benchmark-tables` makes those of the grid, `shape-table` that of the shapes.
"""

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


def shape_table(records):
    """Return the lines of a list-table of the shapes: PyTorch's time over crnn's."""
    rows = {}
    for record in records:
        time, ratio = record["seconds"]["crnn"]["median"], record["best peer / crnn"]
        row = rows.setdefault((record["name"], record["kind"]), {})
        row[record["operation"]] = f"{duration(time)}; {ratio:.1f}"
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 52 8 20 20", ""]
    operations = ("inference", "train step")
    for row in (("", "", *operations), *(
        (*key, *(row.get(operation, "") for operation in operations)) for key, row in rows.items()
    )):  # fmt: skip
        lines += [f"   {'-' if column else '* -':>3} {text}" for column, text in enumerate(row)]
    return [*lines, ""]


class _ResultsDirective(Directive):
    """A part of the page that is made from the results."""

    def lines(self, results):
        """Return reStructuredText."""
        raise NotImplementedError

    def run(self):
        """Return the nodes."""
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
        self.state.document.settings.record_dependencies.add(str(RESULTS))
        parent = nodes.Element()
        lines = StringList(self.lines(results), str(RESULTS))
        self.state.nested_parse(lines, self.content_offset, parent)
        return parent.children


class BenchmarkTables(_ResultsDirective):
    """One table for each kind of network, and what they were measured on."""

    def lines(self, results):
        """Return the tables and a sentence."""
        kinds = dict.fromkeys(record.get("kind", "RNN") for record in results["measurements"])
        lines = [line for kind in kinds for line in table(kind, results["measurements"])]
        machine = results["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        system = f"{machine['system']}, {machine['instruction set']}"
        lines.append(
            f"Measured on {results['date']} on {machine['cores']} cores of {machine['processor']} "
            f"({system}) with {versions}."
        )
        return lines


class ShapeTable(_ResultsDirective):
    """The table of networks beyond the grid, beside PyTorch."""

    def lines(self, results):
        """Return the table; nothing if the shapes were not measured."""
        return shape_table(results["shapes"]) if results.get("shapes") else []


def setup(app):
    """Register the directives."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    app.add_directive("shape-table", ShapeTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
