"""Proves that streams, trainers, learners and views allocate nothing, lock nothing, call no system.

Steps of streams are taken from C, from Cython and from Python with `out=`, of each cell and dtype,
on each instruction set that this processor runs; from C alone blocks, steps of categories, steps of
optimizers and of learners (with "sse" without a target), predictions of both and updates of
streams. A preloaded library counts the calls to allocate and to lock in one step and in many: the
numbers have to be equal. Then a child process, to which the kernel of the system allows nothing but
to read, to write and to leave, takes as many steps. What the compiled modules call at all is
listed, and what these functions and those of `crnn.kernels.views` can reach of it is followed
through the machine code. With --sanitizer CLANG the steps of streams from C are taken under its
RealtimeSanitizer instead.

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
import sysconfig
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from preloading import shared_library
from steppers import SOURCES, build_steppers

import crnn
from crnn.kernels import native

CELLS = {
    "RNN tanh": (crnn.RNN, {}),
    "RNN relu": (crnn.RNN, {"nonlinearity": "relu"}),
    "GRU": (crnn.GRU, {}),
    "GRU reset before": (crnn.GRU, {"reset_after": False}),
    "LSTM": (crnn.LSTM, {}),
}
# Learners refuse leaks.
ALL_CELLS = CELLS | {
    "leaky tanh": (crnn.RNN, {"leak": 0.3}),
    "leaky relu": (crnn.RNN, {"nonlinearity": "relu", "leak": 0.3, "trainable_leak": True}),
}
# Inputs, units, outputs and sequences: one sequence by rows, by panels and without an output layer;
# several; and units that two threads of a prediction would share. The last is for C and Cython.
SHAPES = [(8, 32, 4, None), (3, 13, None, None), (40, 66, 3, None), (4, 12, 2, 5), (4, 256, 2, 2)]
LONG_STEP = 32_768
# A step of a trainer computes for a batch: 7 time steps of 3 sequences.
TIME, BATCH = 7, 3
OPTIMIZERS = {
    "SGD": partial(crnn.SGD, momentum=0.5, nesterov=True),
    "RMSprop": partial(crnn.RMSprop, momentum=0.5),
    "AdamW": crnn.AdamW,
}
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]

# What machine code is followed from: the functions of crnn.h and of views.pxd in `native`, and what
# they call in the loops.
FROM_C = (
    r"_(step|step_categories|run|train|train_classes|predict|learn|learn_classes|predict_next)"
    r"_(float|double)$|update_stream$|update_stream_by_learner$|_view_\w+$"
)
FROM_NATIVE = (
    r"_(stream_step|rtrl_step|rtrl_predict|predict|gradient|pack_forward|place_stream|place_packed|all_finite|global_norm"
    r"|scale|clip_value|(sgd|rmsprop|adam)_step|(rnn|output)_(forward|backward)|squared_error"
    r"|(layer|output)_workspace_size)$"
)

# Functions outside the modules that a step may reach: they neither allocate nor lock. sched_yield
# is for members of a team that wait for one another, and a step has a team of its own thread alone.
ALLOWED = {"memcpy", "memset", "memmove", "sched_yield", "exp", "log", "log1p", "pow"}
# Members of a team that waits may ask Python for signals. It is not followed: see above.
NOT_FOLLOWED = "ask_if_due"


def from_python(stream, x, y, steps):
    """Step as a user's loop does."""
    for _ in itertools.repeat(None, steps):
        stream.step(x, out=y)


def one_then(call, steps):
    """Return a function that takes one step when it is first called, and then so many."""
    counts = iter((1, steps))
    return lambda: call(next(counts))


def streams():
    """Yield name, network, stream, inputs and outputs of each cell, dtype and shape."""
    for (name, (family, options)), dtype, shape in itertools.product(
        ALL_CELLS.items(), ("float32", "float64"), SHAPES
    ):
        I, H, O, batch = shape
        net = family(I, H, O, dtype=dtype, seed=0, implementation="native", **options)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((I,) if batch is None else (batch, I)).astype(dtype)
        stream = net.stream(batch)
        yield f"{name} {dtype} {shape}", net, stream, x, stream.step(x)


def often(call, *arguments):
    """Return a function that makes the call so many times, and returns the sum of its codes."""
    return lambda count: sum(call(*arguments) for _ in itertools.repeat(None, count))


def learning_calls(learner):
    """Yield a name and a function of a number of steps: what C calls beside steps of streams."""
    rng = np.random.default_rng(0)
    for (name, (family, options)), dtype in itertools.product(
        ALL_CELLS.items(), ("float32", "float64")
    ):
        net = family(3, 13, 2, dtype=dtype, seed=0, implementation="native", **options)
        x = rng.standard_normal((BATCH, TIME, 3)).astype(dtype)
        y = rng.standard_normal((BATCH, TIME, 2)).astype(dtype)
        classes = rng.integers(0, 2, (BATCH, TIME))
        for optimizer, make in OPTIMIZERS.items():
            for loss, targets in (("mse", y), ("cross_entropy", classes)):
                trainer = net.trainer(make(1e-3), loss, 1.0, time=TIME, batch_size=BATCH)

                train = partial(learner.train, trainer, x, targets)
                yield f"{name} {dtype} {optimizer} {loss}", lambda n, train=train: train(n)[0]
        yield f"{name} {dtype} a trainer's prediction", often(learner.predict, trainer, x, y.copy())
        yield f"{name} {dtype} update_stream", often(learner.update, trainer, net.stream())
        for batch in (None, BATCH):
            deep = family(3, 13, 2, num_layers=3, dtype=dtype, seed=0, **options)
            block = x if batch else x[:1]
            yield (
                f"{name} {dtype} a block of 3 layers, {batch=}",
                partial(learner.block, deep.stream(batch), block, y.copy(), TIME),
            )
            one_hot = family(3, 13, 2, categorical=True, dtype=dtype, seed=0, **options)
            yield (
                f"{name} {dtype} categories, {batch=}",
                often(learner.categories, one_hot.stream(batch), np.arange(3), y.copy()),
            )


def online_calls(online):
    """Yield a name and a function of a number of steps: what C calls of learners."""
    rng = np.random.default_rng(0)
    for (name, (family, options)), dtype, batch in itertools.product(
        CELLS.items(), ("float32", "float64"), (None, BATCH)
    ):
        axes = () if batch is None else (batch,)
        x = rng.standard_normal((*axes, 3)).astype(dtype)
        y = rng.uniform(size=(*axes, 2)).astype(dtype)
        out, targets = np.empty_like(y), dict.fromkeys(("mse", "binary_cross_entropy", "huber"), y)
        targets["cross_entropy"], targets["sse"] = rng.integers(0, 2, axes), None
        for (optimizer, make), (loss, target) in itertools.product(
            OPTIMIZERS.items(), targets.items()
        ):
            net = family(3, 13, 2, dtype=dtype, seed=0, implementation="native", **options)
            learner = net.learner(make(1e-3), loss=loss, clip_norm=1.0, batch_size=batch)

            learn = partial(online.learn, learner, x, target, out)
            yield f"{name} {dtype} {batch=} {optimizer} {loss}", lambda n, learn=learn: learn(n)[0]
        yield f"{name} {dtype} {batch=} a prediction", often(online.predict, learner, x, out)
        yield f"{name} {dtype} {batch=} update", often(online.update, learner, net.stream())


def number_of_steps(net, steps):
    """Return fewer steps for many units, of which one takes as long as 100 others."""
    return steps if net.hidden_size < 256 else max(1, steps // 100)


def stream_steps(steps, stepper, cython_stepper):
    """Yield a name, a function of a number of steps, and that number."""
    for name, net, stream, x, y in streams():
        from_cython = cython_stepper.repeat_float
        if net.dtype == "float64":
            from_cython = cython_stepper.repeat_double
        calls = {
            "C": partial(stepper.repeat, stream, x, y),
            "Cython": partial(from_cython, stream, x.ravel(), y.ravel()),
        }
        weights = net.params["W_hh"].size + net.params["W_xh"].size
        weights += (net.output_size or 0) * net.hidden_size
        if weights * (x.size // net.input_size) < LONG_STEP:
            calls["Python"] = partial(from_python, stream, x, y)
        for language, call in calls.items():
            yield f"{name} from {language}", call, number_of_steps(net, steps)


def prove_steps(steps, stepper, cython_stepper, learner, online):
    """Take the steps on the instruction set of this process; return how many cases failed."""
    counter = ctypes.cast(ctypes.CDLL(None).calls_counted, ctypes.c_void_p).value
    failed = count = 0
    assert stepper.calls_in(lambda: np.empty(100_000), counter) > 0, "nothing is counted"
    learning = (
        (name, call, max(1, steps // 100))
        for name, call in itertools.chain(learning_calls(learner), online_calls(online))
    )
    for name, call, n in itertools.chain(stream_steps(steps, stepper, cython_stepper), learning):
        one, many = partial(call, 1), partial(call, n)
        assert one() in (0, None), name  # None: from Python, where errors are exceptions
        moved = [stepper.calls_in(function, counter) for function in (one, many)]
        # The planted fault: the same call with a system call after it has to be noticed.
        noticed = stepper.confined(one, True) is False
        confined = stepper.confined(one_then(call, n), False)
        count += 1
        if not (moved[0] == moved[1] and noticed and confined is True):
            failed += 1
            print(f"FAILED: {name}: {moved} calls, {noticed=}, {confined=}")
    print(
        f"{native.instruction_set}: {count - failed} of {count} cases, {steps} steps each "
        f"({steps // 100} of 256 units, blocks, trainers, learners)",
        flush=True,
    )
    return failed


def take_marked_steps(steps, trespass):
    """Take the steps in the program that RealtimeSanitizer ends where one may block."""
    import marked

    count = 0
    for _, net, stream, x, y in streams():
        assert marked.repeat(stream, x, y, number_of_steps(net, steps), trespass) == 0
        count += 1
    print(f"{native.instruction_set}: {count} cases under RealtimeSanitizer, {steps} steps each")


def prove_under_sanitizer(steps, instruction_sets, clang):
    """Return on how many of them the sanitizer reports something, or misses what is planted."""
    variable, failed = sysconfig.get_config_var, 0
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "python")
        source = Path(__file__).parent / "sanitizers/realtime.c"
        command = [clang, "-O1", "-g", "-fsanitize=realtime", "-rdynamic", source, "-o", program]
        command += [f"-I{sysconfig.get_path('include')}", f"-I{crnn.get_include()}"]
        command += [f"-L{variable('LIBDIR')}", f"-Wl,-rpath,{variable('LIBDIR')}"]
        command += [f"-lpython{variable('LDVERSION')}", "-lm"]
        subprocess.run(command, check=True)
        for name in instruction_sets:
            environment = os.environ | {"CRNN_CPU": name, "PYTHONHOME": sys.base_prefix}
            environment["PYTHONPATH"] = str(Path(np.__file__).parents[1])
            environment["PYTHONPATH"] += f":{Path(crnn.__file__).parents[1]}"
            run = partial(subprocess.run, env=environment, capture_output=True, text=True)
            marked = [program, "-P", __file__, "--steps", str(steps), "--marked"]
            planted = run([*marked, "planted"])
            if planted.returncode == 0 or "unsafe-library-call" not in planted.stderr:
                failed += 1
                print(f"FAILED: the planted call is not seen: {planted.stderr}")
            process = run([*marked, "steps"])
            failed += process.returncode != 0
            print(process.stdout + process.stderr, end="", flush=True)
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
        start = FROM_C if name == "native" else FROM_NATIVE
        outside, pointers, functions = reachable(module, start)
        print(
            f"    they reach {functions} functions of its own, {pointers} calls by a pointer, "
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
    parser.add_argument(
        "--instruction-sets", nargs="+", default=INSTRUCTION_SETS, choices=INSTRUCTION_SETS
    )
    parser.add_argument("--sanitizer", metavar="CLANG", help="20 or later")
    parser.add_argument("--built", help=argparse.SUPPRESS)
    parser.add_argument("--marked", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.built:
        sys.path.insert(0, arguments.built)
        import cython_stepper
        import learner
        import online
        import stepper

        sys.exit(prove_steps(arguments.steps, stepper, cython_stepper, learner, online) > 0)
    if arguments.marked:
        take_marked_steps(arguments.steps, arguments.marked == "planted")
        sys.exit()
    folder = Path(native.__file__).parent
    best = INSTRUCTION_SETS.index(native.instruction_set)
    runs = [
        name for name in INSTRUCTION_SETS[: best + 1]
        if any(folder.glob(f"_{name}.*.so")) and name in arguments.instruction_sets
    ]  # fmt: skip
    if arguments.sanitizer:
        sys.exit(prove_under_sanitizer(arguments.steps, runs, arguments.sanitizer) > 0)
    failed = prove_symbols(runs)
    with tempfile.TemporaryDirectory() as built:
        build_steppers(Path(built))
        library = shared_library(SOURCES / "counting.c", built)
        for name in runs:
            environment = os.environ | {"CRNN_CPU": name, "LD_PRELOAD": str(library)}
            command = [sys.executable, "-P", __file__, "--built", built]
            command += ["--steps", str(arguments.steps)]
            failed += subprocess.run(command, env=environment, check=False).returncode != 0
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
