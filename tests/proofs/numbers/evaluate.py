"""tanh and the sigmoid of the compiled kernels at every float32 and at random float64.

For one instruction set, that of CRNN_CPU: the worst error in units in the last place, the order of
neighbors, the bounds, and for tanh whether f(-x) = -f(x). Arguments go through the kernels that
networks call, as inputs of a layer whose weights are an identity matrix: their sums are exact.
`reference.c` has what the values are compared with.

    python evaluate.py FOLDER --part K/N       # evaluates a part
    python evaluate.py FOLDER                  # prints the table of all parts

With `--exported` the functions are those of the headers of `export_c`, with contraction off.
"""

import argparse
import ctypes
import decimal
import functools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from preloading import shared_library

import crnn
from crnn.kernels import native

# Errors that a value may have, in units in the last place; the suite's tests state the same.
MOST = {("tanh", "float32"): 2, ("tanh", "float64"): 2}
MOST |= {("sigmoid", "float32"): 4, ("sigmoid", "float64"): 4}
# How far a neighbor may be in the wrong order: by one unit, where both are less than a unit off.
MOST_DROP = 1
# A call's units, and how many values a piece has
UNITS, PIECE = 16, 1 << 20
COUNTS = ["counted", "drops", "beyond", "not_odd", "tiny"]
# Columns of the table whose parts are added up
SUMMED = ["values", "out of order", "not odd", "beyond"]


class Findings(ctypes.Structure):
    """What reference.c adds up."""

    _fields_ = (
        [(name, ctypes.c_double) for name in ("worst", "worst_at", "drop", "drop_at")]
        + [(name, ctypes.c_int64) for name in COUNTS]
    )  # fmt: skip


def compiled_reference():
    """Return reference.c as a library."""
    source = Path(__file__).with_name("reference.c")
    with tempfile.TemporaryDirectory() as folder:
        options = ("-std=c99", "-ffp-contract=off", "-fno-math-errno")
        return ctypes.CDLL(str(shared_library(source, folder, *options)))


def states(cell, x, gates=None):
    """Return the states of one step from zero, for inputs (rows, UNITS) that are the sums."""
    dtype, rows = x.dtype, len(x)
    blocks, biases = {"tanh": (1, 1), "gru": (3, 4), "lstm": (4, 4)}[cell]
    W_xh = np.zeros((blocks * UNITS, UNITS), dtype)
    W_xh[:UNITS] = np.eye(UNITS, dtype=dtype)
    W_hh, b_h = np.zeros((blocks * UNITS, UNITS), dtype), np.zeros(biases * UNITS, dtype)
    h = np.zeros((rows, 2, (2 if cell == "lstm" else 1) * UNITS), dtype)
    size = native.layer_workspace_size(cell, 1, rows, UNITS, UNITS, dtype)
    workspace = np.empty(size, dtype)
    native.rnn_forward(
        cell, x[:, None], W_xh, W_hh, b_h, h, gates, None, False, None, None, workspace
    )  # fmt: skip
    return h[:, 1]


def tanh(x):
    """Return tanh of a vector as a layer of tanh cells computes it."""
    return states("tanh", x.reshape(-1, UNITS)).ravel()


def sigmoid(x, cell="gru"):
    """Return the sigmoid of a vector as the first gate of a cell: r of a GRU, i of an LSTM."""
    x = x.reshape(-1, UNITS)
    gates = np.empty((len(x), 1, 4 * UNITS), x.dtype)
    states(cell, x, gates)
    return gates[:, 0, :UNITS].ravel()


def wide_tanh(x):
    """Return tanh of a vector as a step of a single sequence computes it, a unit an argument."""
    result = []
    for part in np.array_split(x, max(1, len(x) // 1024)):
        H, dtype = len(part), x.dtype
        h = np.zeros((1, 2, H), dtype)
        size = native.layer_workspace_size("tanh", 1, 1, 1, H, dtype)
        native.rnn_forward(
            "tanh", np.ones((1, 1, 1), dtype), part.reshape(H, 1), np.zeros((H, H), dtype),
            np.zeros(H, dtype), h, None, None, False, None, None, np.empty(size, dtype),
        )  # fmt: skip
        result.append(h[0, 1])
    return np.concatenate(result)


FUNCTIONS = {"tanh": tanh, "sigmoid": sigmoid}


def exported_functions():
    """Return the functions of the headers of `export_c` by name."""
    loops = "".join(
        f"void all_{name}(long n, const REAL *x, REAL *y) {{ long i; "
        f"for (i = 0; i < n; ++i) y[i] = net_{name}(x[i]); }}\n"
        for name in FUNCTIONS
    )
    libraries = {}
    with tempfile.TemporaryDirectory() as folder:
        for dtype, real in (("float32", "float"), ("float64", "double")):
            crnn.export_c(crnn.LSTM(1, 1, dtype=dtype), Path(folder, "net.h"))
            source = Path(folder, f"{dtype}.c")
            source.write_text('#include "net.h"\n' + loops.replace("REAL", real))
            library = shared_library(source, folder, "-std=c99", "-O3", "-ffp-contract=off")
            libraries[dtype] = ctypes.CDLL(str(library))

    def function(name, x):
        x, y = np.ascontiguousarray(x), np.empty_like(x)
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, y)]
        getattr(libraries[x.dtype.name], f"all_{name}")(ctypes.c_long(len(x)), *pointers)
        return y

    return {name: functools.partial(function, name) for name in FUNCTIONS}


def exact(name, x):
    """Return the function of one argument, with 60 decimal digits."""
    with decimal.localcontext(prec=60):
        if name == "sigmoid":
            return 1 / (1 + (-decimal.Decimal(x)).exp())
        # The difference loses the digits of x / 1, so small arguments get more of them.
        decimal.getcontext().prec += 2 * max(0, -decimal.Decimal(x).adjusted())
        power = (2 * decimal.Decimal(x)).exp()
        return (power - 1) / (power + 1)


def error_of(name, function, x):
    """Return the error at one argument, in units in the last place, from the exact value."""
    values = np.full(UNITS, x)
    value = exact(name, float(x))
    unit = decimal.Decimal(float(np.spacing(np.abs(x.dtype.type(value)))))
    # The binade of the exact value, whatever the rounded one is.
    if (
        abs(value)
        < abs(decimal.Decimal(float(x.dtype.type(value))))
        == unit * 2 ** np.finfo(x.dtype).nmant
    ):
        unit /= 2
    return float(abs(decimal.Decimal(float(function(values)[0])) - value) / unit)


def every_float32(part, parts):
    """Yield all finite float32 in rising order, of which this is a part, in pieces."""
    positive = np.float32(np.inf).view(np.uint32)
    first, last = int(positive) * part // parts, int(positive) * (part + 1) // parts
    for start in range(first, last, PIECE):
        bits = np.arange(start, min(start + PIECE, last) + 1, dtype=np.uint32)
        bits = np.minimum(bits, positive - np.uint32(1))  # the next one, to compare the order
        yield bits.view(np.float32)


def random_float64(count, part):
    """Yield so many positive float64 in rising order, in pieces of which each covers the range.

    Half of them are as dense for each binary exponent, and half for each value.
    """
    rng = np.random.default_rng([part, 64])
    for _ in range(0, count, PIECE):
        n = min(PIECE, count)
        spread = np.exp2(rng.uniform(-40, 10, n // 2))
        close = rng.uniform(0, rng.choice([1.0, 25.0, 745.0]), n - n // 2)
        yield np.sort(np.concatenate([spread, close]))


def padded(x):
    """Return x with its last number repeated to a multiple of UNITS."""
    return np.concatenate([x, np.repeat(x[-1:], -len(x) % UNITS)])


def evaluate(library, name, pieces):
    """Return the findings about one function over arguments and their negatives."""
    findings, function = Findings(), FUNCTIONS[name]
    for piece in pieces:
        x = padded(piece)
        compare = getattr(library, f"compare_{name}_f{8 * x.itemsize}")
        y, opposite = function(x), function(-x)
        calls = [(x, y, opposite if name == "tanh" else None)]
        # In rising order
        calls.append((-x[::-1], opposite[::-1], y[::-1] if name == "tanh" else None))
        for arguments, values, others in calls:
            arrays = [
                None if array is None else np.ascontiguousarray(array)
                for array in (arguments, values, others)
            ]
            pointers = [
                None if array is None else array.ctypes.data_as(ctypes.c_void_p) for array in arrays
            ]
            compare(ctypes.c_ssize_t(len(x)), *pointers, ctypes.byref(findings))
    return findings


def check_same_bits(dtype):
    """Raise where another loop of the same function gives other bits."""
    rng = np.random.default_rng(3)
    x = padded(rng.normal(0, 3, 1 << 20).astype(dtype))
    assert wide_tanh(x).tobytes() == tanh(x).tobytes(), "tanh of a single sequence"
    assert sigmoid(x, "lstm").tobytes() == sigmoid(x).tobytes(), "the sigmoid of an LSTM"


def check_special(name, dtype):
    """Raise where zero, NaN or an infinity gives something else than it should."""
    function = FUNCTIONS[name]
    one = np.zeros(UNITS, dtype)
    limits = {"tanh": (-1, 0, 1), "sigmoid": (0, 0.5, 1)}[name]
    for value, limit in zip((-np.finfo(dtype).max, 0, np.finfo(dtype).max), limits, strict=True):
        assert np.allclose(function(one + dtype(value)), limit, rtol=0, atol=1e-37), (name, value)
    assert np.isnan(function(one * dtype(np.nan))).all(), name


def row(library, name, dtype, part, parts, count, set_name):
    """Return what was found of one function in one dtype, by the names of the table."""
    pieces = (
        every_float32(part, parts) if dtype is np.float32
        else random_float64(count // (2 * parts), part)
    )  # fmt: skip
    check_special(name, dtype)
    findings = evaluate(library, name, pieces)
    worst = error_of(name, FUNCTIONS[name], dtype(findings.worst_at)) if findings.counted else 0.0
    assert abs(worst - findings.worst) < 0.01, f"the reference is wrong at {findings.worst_at}"
    return {
        "set": set_name, "function": name, "dtype": dtype.__name__,
        "values": findings.counted + findings.tiny, "worst": round(worst, 3),
        "at": findings.worst_at, "out of order": findings.drops, "by": findings.drop,
        "not odd": findings.not_odd, "beyond": findings.beyond,
    }  # fmt: skip


def merged(files):
    """Return the rows of all parts as one for each instruction set, function and dtype."""
    rows = {}
    for file in files:
        for found in json.loads(file.read_text(encoding="utf-8")):
            key = found["set"], found["function"], found["dtype"]
            row = rows.setdefault(key, found | dict.fromkeys(SUMMED, 0))
            if found["worst"] > row["worst"]:
                row |= {"worst": found["worst"], "at": found["at"]}
            row["by"] = max(row["by"], found["by"])
            for name in SUMMED:
                row[name] += found[name]
    return list(rows.values())


def print_table(rows):
    """Print all rows, and return whether they are within the bounds."""
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(str(value) for value in row.values()))
    return all(
        row["worst"] <= MOST[row["function"], row["dtype"]] and row["by"] <= MOST_DROP
        and row["not odd"] == row["beyond"] == 0
        for row in rows
    )  # fmt: skip


def main():
    """Evaluate one part, or print the table of all; exit with 1 where a bound is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="where each part writes what it found")
    parser.add_argument("--part", help="K/N: the K-th of N parts, from 0; else print the table")
    parser.add_argument("--exported", action="store_true", help="the functions of headers in C")
    parser.add_argument("--float64", type=int, default=10**8, help="how many float64 in all")
    arguments = parser.parse_args()
    if arguments.part:
        part, parts = (int(number) for number in arguments.part.split("/"))
        native.set_num_threads(1)
        library, set_name = compiled_reference(), native.instruction_set
        if arguments.exported:
            FUNCTIONS.update(exported_functions())
            set_name = "exported"
        rows = []
        for dtype in (np.float32, np.float64):
            if not arguments.exported:
                check_same_bits(dtype)
            rows += [
                row(library, name, dtype, part, parts, arguments.float64, set_name)
                for name in FUNCTIONS
            ]
        arguments.folder.mkdir(parents=True, exist_ok=True)
        file = arguments.folder / f"{set_name}-{part}.json"
        file.write_text(json.dumps(rows), encoding="utf-8")
    else:
        rows = merged(sorted(arguments.folder.glob("*.json")))
    sys.exit(not print_table(rows))


if __name__ == "__main__":
    main()
