"""Every allocation of a call fails in turn: MemoryError, all as before, the next call right.

    python tests/proofs/memory_faults.py libc [--cells lstm] [--calls fit]
    python tests/proofs/memory_faults.py python ...

`libc` fails malloc, calloc, realloc, memalign and mmap, by a preloaded library that this program
compiles; `python` fails Python's own allocators, by `_testcapi.set_nomemory`. Of each call, first
the first allocation fails, then the second, until none is left; or, with `--every N`, each Nth.
Each time:

- the call raises MemoryError, or does without that memory and returns the right numbers;
- network, optimizer, generator, stream and file are as before: after `fit`, as after one of its
  steps;
- the same call, once more, returns the right numbers;
- nothing is written to stderr by an ignored exception, and NumPy's error settings are the same.

Sizes are small, so small blocks are kept too (`memory.SMALLEST_BLOCK`). A crash or a hang of the
process is a finding like the others; the run goes on after it. What NumPy or Python do wrong
themselves is in `not_of_crnn`.
"""

import abc
import argparse
import collections
import ctypes
import errno
import faulthandler
import gc
import os
import pickle
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import ClassVar

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from network_problems import ALL_CELLS, inputs, network, targets
from preloading import run_preloaded

import crnn
from crnn._network import memory

# Sequences, steps and sizes: small, because every allocation costs a run
B, T, SIZES = 4, 5, {"input_size": 3, "hidden_size": 5, "output_size": 2, "dtype": "float32"}
LENGTHS = np.array([5, 2, 1, 4])
# `set_nomemory` does not tell whether an allocation failed: after so many calls without a failure
# there is none of that number.
QUIET_CALLS = 40
# Failures that are repeated to see what they leave in memory, what all of them may leave, and in
# how many rounds: Python and NumPy fill their caches at first.
# Python 3.11 keeps the frame of a function where there is no memory for its cells.
LEAK_CALLS, LEAK_BYTES, LEAK_ROUNDS = 30, 1 << 14, 8
# A call takes milliseconds.
HANG_SECONDS = 120
# NumPy crashes at some dozens of the allocations of a call.
MOST_CRASHES = 500


class LibcFault:
    """The allocation of a number fails, by the preloaded library."""

    def __init__(self):
        self.library = ctypes.CDLL(None)
        self.library.faults_arm.argtypes = (ctypes.c_long,)
        self.library.faults_live.restype = ctypes.c_long

    def arm(self, number):
        self.library.faults_arm(number)

    def disarm(self):
        self.library.faults_disarm()

    def has_failed(self):
        return bool(self.library.faults_failed())

    def live(self):
        return self.library.faults_live()

    def note_crashes(self):
        self.library.faults_note_crashes()

    def callers(self):
        """Who asked for the memory, or what has crashed: "library:function"."""
        text = ctypes.create_string_buffer(1 << 14)
        self.library.faults_callers(text, ctypes.c_size_t(len(text)))
        return text.value.decode().split()


class PythonFault(LibcFault):
    """The same by Python's own test module, for Python's own allocators."""

    def __init__(self):
        import _testcapi

        super().__init__()
        self.set, self.remove = _testcapi.set_nomemory, _testcapi.remove_mem_hooks

    def arm(self, number):
        self.library.faults_arm(0)
        self.set(number - 1, number)

    def disarm(self):
        self.remove()

    def has_failed(self):
        return None

    def live(self):
        # Of some tens of bytes
        return 64 * sys.getallocatedblocks()


def bits(*values):
    """The bits of arrays, numbers, and lists, tuples and dictionaries of such."""
    parts = []
    for value in values:
        if isinstance(value, np.ndarray):
            parts.append(value.tobytes())
        elif isinstance(value, dict):
            parts.append(bits(*value, *value.values()))
        elif isinstance(value, (list, tuple)):
            parts.append(bits(*value))
        else:
            parts.append(repr(value).encode())
    return b"|".join(parts)


def optimizer_bits(optimizer):
    return bits(optimizer.steps, optimizer.last_lr, optimizer.memory)


class RecordingMomentum(crnn.SGD):
    """Momentum that notes parameters and memory after each step; never several in a kernel call."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.states = []

    def step(self, kernels, theta, dtheta, constraints=None):
        if not self.states:
            self.states.append(bits(theta) + optimizer_bits(self))
        taken = super().step(kernels, theta, dtheta, constraints)
        self.states.append(bits(theta) + optimizer_bits(self))
        return taken


class Problem(abc.ABC):
    """A call with all that it reads and changes.

    `make` returns a fresh world, `act` makes the call in it, `state` returns the bits of all that
    has to stay as it is where the call fails.
    """

    def __init__(self, implementation, settings, folder):
        self.implementation, self.settings, self.folder = implementation, settings, folder
        self.path = folder / "file.npz"

    def net(self):
        return network(**{**SIZES, **self.settings}, seed=3, implementation=self.implementation)

    def make(self):
        net = self.net()
        return {"net": net, "x": inputs(net, B, T), "y": targets(net, B, T)}

    @abc.abstractmethod
    def act(self, **world): ...

    def state(self, world):
        net, optimizer = world["net"], world.get("optimizer")
        return bits(
            net.flat_params,
            net._rng.bit_generator.state,
            None if optimizer is None else optimizer_bits(optimizer),
        )

    def may_be(self):
        """The states that a failed call may leave, beside that from before."""
        return ()


class Construct(Problem):
    def act(self, net, x, y):
        return self.net().flat_params


class Predict(Problem):
    def act(self, net, x, y):
        y = net.predict(x, return_state=True)
        return y, net.predict(x, lengths=LENGTHS), net.predict(x[0])


class PredictList(Problem):
    def act(self, net, x, y):
        return net.predict([x[0], x[1, :2], x[2, :3]]), net.predict(
            x, skip=x > 0.1 if x.ndim < 3 else x[..., 0] > 0
        )


class Train(Problem):
    def make(self):
        return {**super().make(), "optimizer": crnn.Adam(0.01)}

    def act(self, net, x, y, optimizer):
        return net.train_step(x, y, optimizer, clip_norm=0.5)


class TrainLater(Train):
    """A step with a number above those that Python keeps."""

    def make(self):
        world = super().make()
        net, optimizer = world["net"], crnn.SGD(0.001, momentum=0.5)
        net.train_step(world["x"], world["y"], optimizer)
        optimizer.restore(net.flat_params, optimizer.memory, 1000, 0.001)
        return {**world, "optimizer": optimizer}


class TrainRagged(Train):
    def act(self, net, x, y, optimizer):
        return net.train_step(x, y, optimizer, loss="huber", lengths=LENGTHS)


class Fit(Problem):
    """Two epochs of two batches; a failure leaves what one of the steps left."""

    controls: ClassVar[dict[str, object]] = {}

    def make(self, optimizer=crnn.SGD):
        return {**super().make(), "optimizer": optimizer(0.01, momentum=0.5)}

    def act(self, net, x, y, optimizer):
        history = net.fit(
            x, y, epochs=2, batch_size=2, optimizer=optimizer, seed=1, **self.controls
        )
        return history.loss, history.val_loss, history.grad_norm

    def state(self, world):
        # Without the generator: `seed` gives the run one of its own. Dropout's masks are from it.
        return bits(world["net"].flat_params) + optimizer_bits(world["optimizer"])

    def may_be(self):
        world = self.make(RecordingMomentum)
        self.act(**world)
        # At the end the network may get the best parameters.
        return [*world["optimizer"].states, self.state(world)]


class FitMore(Fit):
    """With all that is measured and decided after an epoch."""

    controls: ClassVar = {"validation_fraction": 0.5, "patience": 3, "metrics": ["mae"]}


class FitLists(Fit):
    """Step by step, with sequences of different lengths."""

    def make(self, optimizer=crnn.SGD):
        world = super().make(optimizer)
        net, x, y = world["net"], world["x"], world["y"]
        return {
            **world,
            "x": [row[:length] for row, length in zip(x, LENGTHS, strict=True)],
            "y": [row[:length] for row, length in zip(y, LENGTHS, strict=True)]
            if net.return_sequences
            else y,
        }


class Checkpointed(Fit):
    """Written after each epoch; the file is that of one of them."""

    def make(self, optimizer=crnn.SGD):
        for path in self.folder.iterdir():
            path.unlink()
        return super().make(optimizer)

    @property
    def controls(self):
        return {"checkpoint": self.path, "resume": True}

    def state(self, world):
        names = sorted(path.name for path in self.folder.iterdir())
        epochs = None
        if self.path.exists():
            with np.load(self.path) as archive:
                epochs = archive["history"].shape[1]
        if names not in ([], [self.path.name]) or epochs not in (None, 1, 2):
            return b"files " + bits(names, epochs)
        return super().state(world)


class MakeStream(Problem):
    def act(self, net, x, y):
        stream = net.stream(B)
        return stream.state, stream.copy().state


class Step(Problem):
    """A step of a stream that has taken some."""

    batch, steps = B, 1

    def make(self):
        net = self.net()
        stream = net.stream(self.batch)
        stream.run(inputs(net, self.batch, 3))
        x = inputs(net, self.batch, self.steps)
        if type(self) in (Step, StepOne):
            x = x[0] if self.batch is None else x[:, 0]
        h = net.predict(inputs(net, B, 2), return_state=True)[1]
        x = np.ascontiguousarray(x) if x.ndim else x
        return {"net": net, "stream": stream, "x": x, "h": h}

    def act(self, net, stream, x, h):
        return stream.step(x)

    def state(self, world):
        return bits(world["stream"].state) + super().state(world)


class StepOne(Step):
    batch = None


class RunBlock(Step):
    steps = T

    def act(self, net, stream, x, h):
        return stream.run(x)


class RunRagged(RunBlock):
    def act(self, net, stream, x, h):
        return stream.run(x, lengths=LENGTHS)


class RunLong(RunBlock):
    steps = 40


class SetState(Step):
    def act(self, net, stream, x, h):
        stream.state = h
        return b""


class Save(Problem):
    """Over a file of another network."""

    def make(self):
        for path in self.folder.iterdir():
            path.unlink()
        network(**SIZES, family="GRU", seed=8).save(self.path)
        return {"net": self.net()}

    def act(self, net):
        net.save(self.path)
        return b""

    def state(self, world):
        return super().state(world) + bits(
            [(path.name, path.read_bytes()) for path in sorted(self.folder.iterdir())]
        )


class Load(Save):
    def make(self):
        world = super().make()
        world["net"].save(self.path)
        return world

    def act(self, net):
        return crnn.load(self.path, implementation=self.implementation).flat_params


class ForwardBackward(Problem):
    def act(self, net, x, y):
        tape = net.forward(x, lengths=LENGTHS)
        gradients = net.backward(tape, y)
        return tape.y, tape.h, gradients.flat, gradients.x, gradients.h0


class ForwardInBlocks(Problem):
    def act(self, net, x, y):
        return net.backward(net.forward(x, checkpoint_every=2), y).flat


CALLS = {
    "construct": Construct,
    "predict": Predict,
    "predict lists": PredictList,
    "train_step": Train,
    "a later train_step": TrainLater,
    "train_step with lengths": TrainRagged,
    "fit": Fit,
    "fit with validation": FitMore,
    "fit lists": FitLists,
    "fit with checkpoint": Checkpointed,
    "stream": MakeStream,
    "stream.step": Step,
    "stream.step of one": StepOne,
    "stream.run": RunBlock,
    "stream.run with lengths": RunRagged,
    "stream.run of many steps": RunLong,
    "stream.state": SetState,
    "save": Save,
    "load": Load,
    "forward, backward": ForwardBackward,
    "forward, backward in blocks": ForwardInBlocks,
}
# All cells, and of one cell the other architectures
ARCHITECTURES = {
    **ALL_CELLS,
    "layers": {"family": "LSTM", "num_layers": 2, "dropout": 0.3},
    "directions": {"family": "GRU", "num_layers": 2, "bidirectional": True, "trainable_h0": True},
    "one output": {"family": "RNN", "return_sequences": False},
    "categories": {"family": "LSTM", "categorical": True},
}
NO_STREAM = ("directions",)
IN_BLOCKS = ("directions",)


def not_of_crnn(text, callers):
    """What a finding shows about NumPy, Python or OpenSSL, or None where crnn is at fault."""
    what, _, place = text.rpartition(" > ")
    libraries = [caller.split(":")[0] for caller in callers]
    asked = next(
        (
            name
            for name in libraries
            if not name.startswith(("lib", "python", "ld-", "memory_faults"))
        ),
        "",
    )
    if text.startswith("RuntimeError: can't allocate") and "lock" in text:
        return "Python raises RuntimeError where it gets no memory for a lock"
    if "[digital envelope routines]" in text:
        return "OpenSSL's ValueError where hashlib gets no memory"
    if what.startswith("SystemError") and "cyfunction" not in what and "crnn." not in place:
        return "SystemError of C code of NumPy or Python, which returns NULL without an exception"
    if text.startswith("np.geterr() changed"):
        return "np.errstate leaves its settings where it gets no memory at its start or end"
    if text.startswith("ignored") and "ZipFile.__del__" in text:
        return "zipfile: `__del__` of an archive that could not be made writes to stderr"
    if text.startswith("ignored: MemoryError() in <generator"):
        return "Python writes to stderr where it gets no memory to close a generator"
    if text.startswith("an array") and "crnn." not in place:
        return "NumPy never releases an array that it has read, where it gets no memory"
    if text.startswith("signal") and asked.startswith("_multiarray_umath"):
        return f"NumPy crashes: {text.split(' < ')[0]}"
    is_python = not asked or asked.startswith("_testcapi")
    if text.startswith("signal") and is_python and callers:
        return f"Python crashes: {text.split(' < ')[0]}"
    return None


def innermost(error):
    """Where an exception came from: the innermost places."""
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return " > ".join(frames[-3:])


def is_lack_of_memory(error):
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )


def check(problem, fault, number, expected, allowed):
    """Fail the allocation of a number; return whether one failed, and what is wrong then."""
    world = problem.make()
    before = problem.state(world)
    settings = np.geterr()
    wrong, ignored = [], []
    sys.unraisablehook = lambda event: ignored.append(
        f"{event.exc_value!r} in {event.object!r} {innermost(event.exc_value)}"
    )
    got = error = None
    act = problem.act
    fault.arm(number)
    try:
        got = act(**world)
    except BaseException as raised:
        error = raised
    finally:
        fault.disarm()
    has_failed = fault.has_failed()
    where = "" if error is None else f" at {innermost(error)}"
    if error is not None and not is_lack_of_memory(error):
        wrong.append(f"{type(error).__name__}: {error}{where}")
    error = None
    gc.collect(0)
    sys.unraisablehook = sys.__unraisablehook__
    wrong += [f"ignored: {text}" for text in ignored]
    if np.geterr() != settings:
        np.seterr(**settings)
        wrong.append(f"np.geterr() changed{where}")
    if got is not None:
        if bits(got, problem.state(world)) != expected:
            wrong.append("no error, and wrong numbers")
        return bool(has_failed), wrong, where
    state = problem.state(world)
    if state != before and state not in allowed:
        wrong.append(f"another state after an error{where}")
    if allowed:
        # A run goes on from where it is: so does a twin of network and optimizer.
        twin = {**world, "net": pickle.loads(pickle.dumps(world["net"]))}
        optimizer = world["optimizer"]
        twin["optimizer"] = type(optimizer)(0.01, momentum=0.5)
        if optimizer.steps:
            twin["optimizer"].restore(
                twin["net"].flat_params,
                {name: vector.copy() for name, vector in optimizer.memory.items()},
                optimizer.steps,
                optimizer.last_lr,
            )
        files = [(path, path.read_bytes()) for path in problem.folder.iterdir()]
        expected = bits(problem.act(**twin), problem.state(twin))
        for path, content in files:
            path.write_bytes(content)
        if not files and isinstance(problem, Checkpointed):
            problem.path.unlink()
    if bits(problem.act(**world), problem.state(world)) != expected:
        wrong.append(f"the next call does otherwise, after an error{where}")
    if isinstance(problem, (Save, Checkpointed)):
        names = [path.name for path in problem.folder.iterdir()]
        if names != [problem.path.name]:
            wrong.append(f"left in the folder: {names}")
    return True, wrong, where


def check_memory():
    """The counts of the memory that is kept are those of the blocks that there are."""
    memory.empty((1,), np.dtype(np.uint8))
    kept = memory._of_this_thread.blocks
    while kept._returned:
        block = kept._returned.popleft()
        kept._lent -= block.size
        kept._idle.append(block)
    # An array that NumPy has lost keeps its block.
    loans = [one for one in gc.get_objects() if type(one) is memory._Loan]
    lent = sum(loan._block.size for loan in loans if loan._queue is kept._returned)
    total = lent + sum(block.size for block in kept._idle)
    wrong = []
    if (kept._lent, kept._total) != (lent, total):
        wrong = [f"kept memory: lent {kept._lent} of {lent}, total {kept._total} of {total}"]
    if loans:
        wrong.append("an array is never released")
        memory._of_this_thread.blocks = memory._Blocks()
        gc.freeze()
    return wrong


def search(problem, fault, pipe, start, every):
    """Fail one in `every` allocations from a number on, and write what is found to the pipe."""

    def tell(*message):
        os.write(pipe, pickle.dumps(message) + b"\0END\0")

    # What there is by now is not looked through by each of the collections below.
    gc.collect()
    gc.freeze()

    def right():
        world = problem.make()
        return bits(problem.act(**world), problem.state(world))

    expected = right()
    assert right() == expected
    allowed = problem.may_be()
    number, quiet, failing = start, 0, []
    while True:
        tell("at", number)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        failed, wrong, where = check(problem, fault, number, expected, allowed)
        gc.collect()
        wrong += [f"{text}{where}" for text in check_memory()]
        for text in wrong:
            tell("finding", number, text, fault.callers())
        quiet = 0 if failed else quiet + 1
        if quiet > (0 if fault.has_failed() is not None else QUIET_CALLS):
            break
        if failed and not wrong:
            failing.append(number)
        number += every
    last = number - quiet * every
    # What a failure leaves in memory would be there again for each of these.
    again = failing[:: -(-len(failing) // LEAK_CALLS) or 1]
    grown = []
    while len(grown) < LEAK_ROUNDS and (not grown or grown[-1] > LEAK_BYTES):
        before = fault.live()
        for number in again:
            check(problem, fault, number, expected, allowed)
        gc.collect()
        grown.append(fault.live() - before)
    faulthandler.cancel_dump_traceback_later()
    grown = grown[-1]
    if grown > LEAK_BYTES:
        tell("finding", 0, f"memory: {grown} bytes more after {len(again)} failures", [])
    tell("done", last)


def in_children(problem, fault, log, every):
    """Search in a child process, and after a crash in another from the next number on.

    Return what was found and how many allocations have failed.
    """
    start, findings, crashes = 1, [], 0
    while True:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            os.dup2(log.fileno(), 2)
            faulthandler.enable(log)
            fault.note_crashes()
            status = 1
            try:
                search(problem, fault, writer, start, every)
                status = 0
            except BaseException:
                traceback.print_exc(file=log)
            finally:
                log.flush()
                os._exit(status)
        os.close(writer)
        content = b""
        while part := os.read(reader, 1 << 16):
            content += part
        os.close(reader)
        _, status = os.waitpid(child, 0)
        at = start
        is_done = False
        for message in content.split(b"\0END\0")[:-1]:
            kind, number, *rest = pickle.loads(message)
            at = number
            if kind == "finding":
                findings.append((number, *rest))
            elif kind == "done":
                is_done = True
        if is_done:
            return findings, (at - 1) // every + 1
        log.flush()
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "exit"
        log.seek(0)
        said = log.read().splitlines()
        log.truncate(0)
        log.seek(0)
        place = [line.strip() for line in said if line.strip().startswith("File ")][:2]
        findings.append((at, f"{how}: {' < '.join(place) or said[-1:]}", fault.callers()))
        if not content:
            return findings, 0  # not even begun
        start = at + every
        crashes += 1
        if crashes > MOST_CRASHES:
            findings.append((at, f"given up after {crashes} crashes", []))
            return findings, (at - 1) // every + 1


def origin(callers):
    """Who asked for the memory: the callers from the innermost, without allocators."""
    skipped = ("memory_faults",)
    return " < ".join(caller for caller in callers if not any(name in caller for name in skipped))[
        :200
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("allocators", choices=["libc", "python"])
    parser.add_argument("--cells", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--calls", nargs="*", default=list(CALLS))
    parser.add_argument("--implementations", nargs="*", default=["native", "python"])
    parser.add_argument("--every", type=int, default=1, help="fail each Nth alone (default: 1)")
    options = parser.parse_args()
    run_preloaded(Path(__file__).with_suffix(".c"))
    fault = LibcFault() if options.allocators == "libc" else PythonFault()
    memory.SMALLEST_BLOCK = 0
    started = time.time()
    total, wrong = 0, 0
    theirs = collections.Counter()
    # In memory, where there is such a place: every save waits for the disk.
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, tempfile.TemporaryFile("w+") as log:
        # A file of the system's, and what the first call imports
        Save("python", {}, Path(folder)).act(network())
        crnn.load(Path(folder) / "file.npz")
        for implementation in options.implementations:
            for cell in options.cells:
                for name in options.calls:
                    if cell in NO_STREAM and "stream" in name:
                        continue
                    if cell in IN_BLOCKS and "blocks" in name:
                        continue
                    problem = CALLS[name](implementation, ARCHITECTURES[cell], Path(folder))
                    findings, allocations = in_children(problem, fault, log, options.every)
                    total += allocations
                    groups = collections.defaultdict(list)
                    for number, text, callers in findings:
                        known = not_of_crnn(text, callers)
                        if known:
                            theirs[known] += 1
                        else:
                            groups[text, origin(callers)].append(number)
                    wrong += len(groups)
                    print(
                        f"{implementation:7} {cell:17} {name:28} {allocations:6} allocations",
                        flush=True,
                    )
                    for (text, callers), numbers in groups.items():
                        print(f"    {len(numbers)} x {text} [{numbers[0]}]\n        {callers}")
    print(f"{total} allocations failed in turn, {wrong} findings, {time.time() - started:.0f} s")
    for what, count in theirs.items():
        print(f"    not of crnn, {count} x: {what}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
