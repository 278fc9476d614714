"""The time of a step of a stream, and of learning: `python -m benchmarks.speed.steps`.

The networks are in float32, with an output and no batch. From C and Cython a sample is the mean of
100 steps; from Python it is one step, with the time of the clock in it. "header" is a header of
`crnn.export_c`, compiled with ``-O3 -march=native -ffp-contract=off``. "learning" is what an
adaptive controller does at each sample, from Cython: a step of the stream, a step of Adam on a
window of so many steps, clipped by the norm, and the new parameters for the stream. Needs Cython,
setuptools and a C compiler.
"""

import argparse
import ctypes
import functools
import importlib.util
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import crnn

SOURCE = Path(__file__).with_suffix(".pyx")
SIZES = ((1, 8, 1), (8, 8, 4), (1, 32, 1), (8, 32, 4), (8, 64, 4))  # I, H, O
FAMILIES = {"RNN": crnn.RNN, "GRU": crnn.GRU, "LSTM": crnn.LSTM}
WINDOWS = (1, 10, 50)
SAMPLES = 20_000

BUILD = """
import setuptools
from Cython.Build import cythonize
import crnn

extension = setuptools.Extension("steps", ["steps.pyx"], include_dirs=[crnn.get_include()])
setuptools.setup(
    name="steps",
    ext_modules=cythonize(extension, quiet=True),
    script_args=["-q", "build_ext", "--inplace"],
)
"""


def compiled_steps() -> Any:
    """Build steps.pyx in a temporary folder and return the module."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(SOURCE, folder)
        subprocess.run([sys.executable, "-P", "-c", BUILD], cwd=folder, check=True)
        (path,) = [p for p in Path(folder).iterdir() if p.suffix in {".so", ".pyd"}]
        spec = importlib.util.spec_from_file_location("steps", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


HEADER_STEPS = """
#define _POSIX_C_SOURCE 200809L
#include <time.h>
#include "net.h"

/* Not inlined: as from a program that calls it for each sample */
__attribute__((noinline)) static void step(net_state *state, const float *x, float *y) {
    net_step(state, x, y);
}

void fill(const float *x, float *y, double *samples, long count) {
    net_state state;
    net_reset(&state);
    for (long k = 0; k < count; ++k) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (int i = 0; i < 100; ++i)
            step(&state, x, y);
        clock_gettime(CLOCK_MONOTONIC, &end);
        samples[k] = (double)(end.tv_sec - start.tv_sec) * 1e7
            + (double)(end.tv_nsec - start.tv_nsec) / 100;
    }
}
"""


def exported_steps(net: crnn.RNN | crnn.GRU | crnn.LSTM) -> Callable[..., None]:
    """Return what fills samples, as `steps.from_c`, with steps of the network's C header."""
    with tempfile.TemporaryDirectory() as folder:
        crnn.export_c(net, Path(folder, "net.h"))
        source, library = Path(folder, "net.c"), Path(folder, "net.so")
        source.write_text(HEADER_STEPS)
        command = ["cc", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]
        subprocess.run([*command, source, "-o", library], check=True)
        fill = ctypes.CDLL(str(library)).fill
    fill.restype = None

    def from_header(x: np.ndarray, y: np.ndarray, samples: np.ndarray) -> None:
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, y, samples)]
        fill(*pointers, ctypes.c_long(len(samples)))

    return from_header


def from_python(step: Callable[[], object], samples: np.ndarray) -> None:
    """Fill `samples` with nanoseconds per step."""
    clock = time.perf_counter_ns
    for i in range(len(samples)):
        start = clock()
        step()
        samples[i] = clock() - start


def percentiles(samples: np.ndarray) -> str:
    """Return the median, the 99th and the 99.9th percentile."""
    return ", ".join(f"{p:.0f}" for p in np.percentile(samples, [50, 99, 99.9]))


def print_steps(steps: Any, samples: np.ndarray) -> None:
    """Print the table of streams."""
    print("\nnanoseconds per step: median, 99th and 99.9th percentile\n")
    print(f"{'network':<8}{'I, H, O':>10}" + "".join(
        f"{name:>24}" for name in ("C", "header", "Cython", "step(x, out=y)", "step(x)")
    ))  # fmt: skip
    for (name, family), (I, H, O) in itertools.product(FAMILIES.items(), SIZES):
        net = family(I, H, O, seed=0, implementation="native")
        stream = net.stream()
        x, y = np.ones(I, np.float32), np.empty(O, np.float32)
        columns = []
        for fill, *arguments in (
            (steps.from_c, stream, x, y),
            (exported_steps(net), x, y),
            (steps.from_cython, stream, x, y),
            (from_python, functools.partial(stream.step, x, out=y)),
            (from_python, functools.partial(stream.step, x)),
        ):
            fill(*arguments, samples)
            columns.append(percentiles(samples))
        line = "".join(f"{column:>24}" for column in columns)
        print(f"{name:<8}{f'{I}, {H}, {O}':>10}{line}", flush=True)


def print_learning(steps: Any, samples: np.ndarray) -> None:
    """Print the table of trainers."""
    rng = np.random.default_rng(0)
    print("\nlearning: nanoseconds per sample, by the steps of the window\n")
    print(f"{'network':<8}{'I, H, O':>10}" + "".join(f"{window:>24}" for window in WINDOWS))
    for (name, family), (I, H, O) in itertools.product(FAMILIES.items(), SIZES):
        line = ""
        for window in WINDOWS:
            net = family(I, H, O, seed=0, implementation="native")
            trainer = net.trainer(crnn.Adam(1e-3), clip_norm=1.0, time=window)
            x, targets = (rng.standard_normal((window, n)).astype(np.float32) for n in (I, O))
            steps.learn_from_cython(
                trainer.core, net.stream(), x, targets, np.empty((1, O), np.float32), samples
            )
            line += f"{percentiles(samples):>24}"
        print(f"{name:<8}{f'{I}, {H}, {O}':>10}{line}", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.steps", description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    samples = np.empty(parser.parse_args().samples)
    steps = compiled_steps()
    crnn.show_config()
    print_steps(steps, samples)
    print_learning(steps, samples[: len(samples) // 4])


if __name__ == "__main__":
    main()
