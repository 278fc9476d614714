"""The pictures of the measurements: speed.png and growth.png."""

import itertools
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.speed.libraries import OURS, PEERS
from benchmarks.speed.measure import Measurement
from benchmarks.speed.sizes import KINDS, OPERATIONS, SIZES

# Okabe and Ito's palette, for any color vision
COLORS = {
    OURS: "#000000",
    "NumPy": "#0072B2",
    "lists": "#999999",
    "Numba": "#E69F00",
    "PyTorch": "#D55E00",
    "JAX": "#009E73",
    "JAX 0.4.31": "#005B43",
    "ONNX Runtime": "#CC79A7",
    "OpenVINO": "#56B4E9",
}
# How much of a row's height its markers take
ROW_SHARE = 0.8
MARKERS = dict(zip(COLORS, "Dsx^ov<PX", strict=True))


def _finish(figure: plt.Figure, path: Path) -> None:
    """Save the figure with one legend below its panels, where it hides no data."""
    handles = {
        label: handle
        for panel in figure.axes
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), ncols=len(handles), loc="lower center", frameon=False
    )
    figure.tight_layout(rect=(0, 0.25 / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_ratios(measurements: list[Measurement], path: Path) -> None:
    """Draw each rival's time as a multiple of crnn's, in a panel for each kind and operation."""
    float32 = [m for m in measurements if m.dtype == "float32"]
    kinds = [kind for kind in KINDS if any(m.kind == kind for m in float32)]
    figure, panels = plt.subplots(
        len(kinds), len(OPERATIONS), figsize=(11, 1 + 4.2 * len(kinds)), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for panel, (kind, operation) in zip(
        panels.flat, itertools.product(kinds, OPERATIONS), strict=True
    ):
        by_name = {m.name: m for m in float32 if (m.kind, m.operation) == (kind, operation)}
        for i, name in enumerate(PEERS):
            # Side by side within a row, so none hides another
            shift = ROW_SHARE * ((i + 0.5) / len(PEERS) - 0.5)
            points = [
                (m.ratio(name), row + shift)
                for row, size in enumerate(SIZES)
                if (m := by_name.get(size)) is not None and name in m.samples
            ]
            if points:
                panel.plot(
                    *zip(*points, strict=True), MARKERS[name], color=COLORS[name], markersize=5.5,
                    label=name,
                )  # fmt: skip
        panel.axvline(1, color=COLORS[OURS], linewidth=2)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_title(f"{kind}, {operation}", fontsize=11)
        if kind == kinds[-1]:
            panel.set_xlabel("time / crnn's time")
        panel.grid(axis="x", which="major", color="0.85")
        for row in range(1, len(SIZES)):
            panel.axhline(row - 0.5, color="0.92", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    labels = [f"{name}\nH={sizes.H}, B={sizes.B}" for name, sizes in SIZES.items()]
    panels[0, 0].set_yticks(range(len(SIZES)), labels)
    panels[0, 0].set_ylim(len(SIZES) - 0.5, -0.5)
    for panel in panels.flat:
        panel.tick_params(axis="y", length=0, labelsize=9)
    figure.suptitle("Right of the black line: slower than crnn (float32)", fontsize=12)
    _finish(figure, path)


def draw_growth(growth: list[tuple[str, Measurement]], path: Path) -> None:
    """Draw the time of a training step over T and over H."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2))
    titles = {
        "T": "over the length (B = 1, I = 1, H = 32, O = 1)",
        "H": "over the hidden size (T = 50, B = 16, I = 16, O = 8)",
    }
    for panel, (axis, title) in zip(panels, titles.items(), strict=True):
        points = [
            (getattr(m.sizes, axis), m) for measured_axis, m in growth if measured_axis == axis
        ]
        for name, color in COLORS.items():
            line = [(size, m.median(name)) for size, m in points if name in m.samples]
            if line:
                panel.plot(
                    *zip(*line, strict=True), marker=MARKERS[name], color=color, label=name,
                    linewidth=2.5 if name == OURS else 1.2,
                )  # fmt: skip
        panel.set_xscale("log", base=10 if axis == "T" else 2)
        panel.set_yscale("log")
        panel.set_xlabel({"T": "time steps T", "H": "hidden units H"}[axis])
        panel.set_ylabel("seconds per training step")
        panel.set_title(title, fontsize=10)
        panel.grid(which="major", color="0.88")
        panel.spines[["top", "right"]].set_visible(False)
    _finish(figure, path)
