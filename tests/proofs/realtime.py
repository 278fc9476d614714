"""Proves that a step of a stream calls no allocator, takes no lock and makes no system call.

Steps are taken from C, from Cython and from Python with `out=`, of each cell and dtype, on each
instruction set that this processor runs. A preloaded library counts the calls to allocate and to
lock in one step and in many: the numbers have to be equal. Then a child process, to which the
kernel of the system allows nothing but to read, to write and to leave, takes as many steps. What
the compiled modules call at all is listed, and what a step can reach of it is followed through the
machine code.

From Python this holds for steps of less than 32 768 multiply-adds. Longer ones release the GIL,
which locks a mutex, and may use several threads. Python's own objects may come from its
small-object allocator, which is not counted: it keeps their memory.
"""

import argparse
import ctypes
import itertools
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from steppers import build_counting, build_steppers

import crnn
from crnn.kernels import native

CELLS = {
    "RNN tanh": (crnn.RNN, {}),
    "RNN relu": (crnn.RNN, {"nonlinearity": "relu"}),
    "GRU": (crnn.GRU, {}),
    "GRU reset before": (crnn.GRU, {"reset_after": False}),
    "LSTM": (crnn.LSTM, {}),
}
# Inputs, units, outputs and sequences: one sequence by rows, by panels and without an output layer;
# several; and units that two threads of a prediction would share. The last is for C and Cython.
SHAPES = [(8, 32, 4, None), (3, 13, None, None), (40, 66, 3, None), (4, 12, 2, 5), (4, 256, 2, 2)]
LONG_STEP = 32_768
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]

# Functions outside the modules that a step may reach: they neither allocate nor lock. sched_yield
# is for members of a team that wait for one another, and a step has a team of its own thread alone.
ALLOWED = {"memcpy", "memset", "memmove", "sched_yield"}
# Members of a team that waits may ask Python for signals. It is not followed: see above.
NOT_FOLLOWED = "ask_if_due"


def from_python(stream, x, y, steps):
    """Step as a user's loop does."""
    for _ in itertools.repeat(None, steps):
        stream.step(x, out=y)


def prove_steps(steps, stepper, cython_stepper):
    """Take the steps on the instruction set of this process; return how many cases failed."""
    counter = ctypes.cast(ctypes.CDLL(None).calls_counted, ctypes.c_void_p).value
    failed = count = 0
    assert stepper.calls_in(lambda: np.empty(100_000), counter) > 0, "nothing is counted"
    for (name, (family, options)), dtype, shape in itertools.product(
        CELLS.items(), ("float32", "float64"), SHAPES
    ):
        I, H, O, batch = shape
        net = family(I, H, O, dtype=dtype, seed=0, implementation="native", **options)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((I,) if batch is None else (batch, I)).astype(dtype)
        stream = net.stream(batch)
        y = stream.step(x)
        from_cython = cython_stepper.repeat_float
        if dtype == "float64":
            from_cython = cython_stepper.repeat_double
        calls = {
            "C": partial(stepper.repeat, stream, x, y),
            "Cython": partial(from_cython, stream, x.ravel(), y.ravel()),
        }
        weights = net.params["W_hh"].size + net.params["W_xh"].size + (O or 0) * H
        if weights * (batch or 1) < LONG_STEP:
            calls["Python"] = partial(from_python, stream, x, y)
        n = max(1, steps if H < 256 else steps // 100)
        for language, call in calls.items():
            one, many = partial(call, 1), partial(call, n)
            one()
            moved = [stepper.calls_in(function, counter) for function in (one, many)]
            # The planted fault: the same call with a system call after it has to be noticed.
            noticed = stepper.confined(one, True) is False
            passed = moved[0] == moved[1] and noticed and stepper.confined(many, False) is True
            count += 1
            if not passed:
                failed += 1
                print(f"FAILED: {name} {dtype} {shape} from {language}: {moved} calls, {noticed=}")
    print(
        f"{native.instruction_set}: {count - failed} of {count} cases, {steps} steps each "
        f"({steps // 100} of 256 units)",
        flush=True,
    )
    return failed


def undefined_symbols(module):
    """Return the functions that a module calls outside itself, without those of Python."""
    lines = subprocess.run(
        ["nm", "-D", "--undefined-only", module], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    names = {line.split()[-1].split("@")[0] for line in lines if " w " not in line}
    return sorted(name for name in names if not re.match(r"_?Py", name))


def reachable(module, start):
    """Return the functions outside the module that machine code reaches from those of this name.

    And whether it calls by a pointer.
    """
    code = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", module], check=True, capture_output=True, text=True
    ).stdout
    bodies = dict(re.findall(r"^[0-9a-f]+ <([^>]+)>:\n(.*?)(?:\n\n|\Z)", code, re.M | re.S))
    left = [name for name in bodies if re.search(start, name)]
    assert left, f"no function {start} in {module}: is it stripped?"
    seen, outside, calls_pointers = set(left), set(), 0
    while left:
        body = bodies[left.pop()]
        calls_pointers += len(re.findall(r"\bcall +\*", body))
        for name in re.findall(r"\b(?:call|j\w+) +[0-9a-f]+ <([^>+]+)", body):
            if name.endswith("@plt"):
                outside.add(name.removesuffix("@plt"))
            elif name not in seen and not name.startswith(NOT_FOLLOWED):
                seen.add(name)
                left.append(name)
    return sorted(outside), calls_pointers, len(seen)


def prove_symbols(instruction_sets):
    """List what the modules call; return how many of them call what is not allowed."""
    failed = 0
    folder = Path(native.__file__).parent
    for name in ["native", *(f"_{name}" for name in instruction_sets)]:
        (module,) = folder.glob(f"{name}.*.so")
        print(f"{module.name} calls beside Python: {', '.join(undefined_symbols(module))}")
        # native.pyx calls the loops by a pointer of its table, and those call by none.
        start = "step_float|step_double" if name == "native" else "stream_step$"
        outside, pointers, functions = reachable(module, start)
        print(
            f"    a step reaches {functions} functions of its own, {pointers} calls by a pointer, "
            f"and outside {', '.join(outside) or 'none'}"
        )
        if not set(outside) <= ALLOWED or (name != "native" and pointers):
            failed += 1
            print(f"FAILED: {sorted(set(outside) - ALLOWED)}, {pointers} calls by a pointer")
    return failed


def main():
    """Prove it on each instruction set, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--instruction-sets", default="", help="of these, separated by commas")
    parser.add_argument("--built", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.built:
        sys.path.insert(0, arguments.built)
        import cython_stepper
        import stepper

        sys.exit(prove_steps(arguments.steps, stepper, cython_stepper) > 0)
    wanted = arguments.instruction_sets.split(",") if arguments.instruction_sets else None
    folder = Path(native.__file__).parent
    best = INSTRUCTION_SETS.index(native.instruction_set)
    runs = [
        name for name in INSTRUCTION_SETS[: best + 1]
        if any(folder.glob(f"_{name}.*.so")) and (wanted is None or name in wanted)
    ]  # fmt: skip
    failed = prove_symbols(runs)
    with tempfile.TemporaryDirectory() as built:
        build_steppers(Path(built))
        library = build_counting(Path(built))
        for name in runs:
            environment = os.environ | {"CRNN_CPU": name, "LD_PRELOAD": str(library)}
            command = [sys.executable, "-P", __file__, "--built", built]
            command += ["--steps", str(arguments.steps)]
            failed += subprocess.run(command, env=environment, check=False).returncode != 0
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
