"""Every system call of saving fails in turn, or the process is killed there: old file or new file.

    python tests/proofs/file_faults.py [--saves network checkpoint] [--folder PLACE]
    python tests/proofs/file_faults.py --together SECONDS

The calls to the file system, which a preloaded library that this program compiles counts, are
those of saving networks, forecasters, panels, text models and ONNX models, and of a run that goes
on from a checkpoint and writes another. Each of them in turn

- fails with ENOSPC, EIO, EINTR, or writes only a half: where an OSError is raised, the file is the
  old one, else it is the new one, and nothing else is in the folder;
- fails with EIO or EROFS, as do all that follow: the file is the old one, or the new one without an
  error;
- is where the process is killed, before it, after it or with a half written: the file is the old
  one or the new one.

Each time the next save writes the new file, and removes what a killed one has left. `--folder`
says where, for other file systems. `--together` lets processes write networks and checkpoints to
one path, kills some of them, and reads the file all the time: it is always that of one of them.
"""

import argparse
import collections
import ctypes
import errno
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from preloading import run_preloaded

import crnn
import crnn.onnx
import crnn.text
from crnn.forecasting import Forecaster, Panel

# As in file_faults.c
NOTHING, FAIL, FAIL_FROM_HERE, SHORT, KILL_BEFORE, KILL_AFTER, KILL_HALFWAY = range(7)
FAULTS = {
    "ENOSPC": (FAIL, errno.ENOSPC),
    "EIO": (FAIL, errno.EIO),
    "EINTR": (FAIL, errno.EINTR),
    "half written": (SHORT, 0),
    "EIO from here on": (FAIL_FROM_HERE, errno.EIO),
    "EROFS from here on": (FAIL_FROM_HERE, errno.EROFS),
    "killed before": (KILL_BEFORE, 0),
    "killed after": (KILL_AFTER, 0),
    "killed halfway": (KILL_HALFWAY, 0),
}
KILLS = ("killed before", "killed after", "killed halfway")
LASTING = ("EIO from here on", "EROFS from here on")
# What none of them may do: a file system may lack these.
NEVER = {"link", "linkat", "symlink", "chmod", "fchmod", "fchmodat", "chown", "fchown"}


def of_networks(save):
    """Saves of an old and of a new network."""
    nets = [crnn.LSTM(3, size, 2, seed=size) for size in (4, 70)]
    return [lambda path, net=net: save(net, path) for net in nets]


def network():
    return of_networks(lambda net, path: net.save(path))


def onnx():
    return of_networks(crnn.onnx.export)


def text():
    models = [crnn.text.TextModel("abcdefgh " * 9, hidden_size=size, seed=0) for size in (4, 70)]
    return [model.save for model in models]


def forecasters():
    series = np.sin(np.arange(60.0)) + 3
    return [Forecaster(hidden_size=size, epochs=1, seed=0).fit(series) for size in (4, 9)]


def forecaster():
    return [model.save for model in forecasters()]


def panel():
    return [Panel({"north": one, "south": one}).save for one in forecasters()]


def checkpoint():
    """A run of one epoch, and one that goes on from its file."""
    x = np.random.default_rng(0).standard_normal((8, 5, 3))

    def train(path, epochs):
        net = crnn.GRU(3, 40, 3, seed=0)
        net.fit(x, x, epochs=epochs, checkpoint=path, resume=True)

    def first(path):
        path.unlink(missing_ok=True)
        train(path, 1)

    return [first, lambda path: train(path, 2)]


SAVES = {
    "network": network,
    "forecaster": forecaster,
    "panel": panel,
    "text model": text,
    "onnx": onnx,
    "checkpoint": checkpoint,
}


class Interposer:
    """The preloaded library."""

    def __init__(self):
        library = ctypes.CDLL(None)
        self.arm, self.disarm = library.faults_arm, library.faults_disarm
        library.faults_calls.restype = library.faults_failed.restype = ctypes.c_char_p
        self.calls = lambda: library.faults_calls().decode().split()
        self.failed = lambda: library.faults_failed().decode()


def killed(interposer, save, path, number, action):
    """Save in a child process; return whether it was killed at the call of this number."""
    child = os.fork()
    if not child:
        try:
            interposer.arm(number, action, 0)
            save(path)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def check(interposer, save_old, save, path, old, new, fault, number):
    """Return the name of the call of this number ("": there is none), and what is wrong."""
    action, code = FAULTS[fault]
    for left in path.parent.iterdir():
        left.unlink()
    save_old(path)
    wrong, error = [], None
    assert path.read_bytes() == old
    if fault in KILLS:
        if not killed(interposer, save, path, number, action):
            return "", wrong
        failed = "a call"
    else:
        interposer.arm(number, action, code)
        try:
            save(path)
        except Exception as raised:
            error = raised
        interposer.disarm()
        failed = interposer.failed()
        if not failed:
            return "", wrong
        if isinstance(error, OSError):
            if error.errno != code:
                wrong.append(f"raised {error!r}")
        elif error is not None and not is_failed_seek(failed, error):
            wrong.append(f"{type(error).__name__}: {error}")
    content = path.read_bytes() if path.exists() else None
    found = {old: "old", new: "new"}.get(content, "neither")
    allowed = ("old", "new") if fault in KILLS else ("new",) if error is None else ("old",)
    if found not in allowed:
        wrong.append(f"the file is {found} after {error!r}")
    if error is None and has_to_raise(fault, failed):
        wrong.append("no error")
    names = [left.name for left in path.parent.iterdir()]
    if fault not in (*KILLS, *LASTING) and names != [path.name]:
        wrong.append(f"left: {names}")
    save(path)
    if path.read_bytes() != new:
        wrong.append("the next save writes another file")
    names = [left.name for left in path.parent.iterdir()]
    if names != [path.name]:
        wrong.append(f"left by the next save: {names}")
    return failed, wrong


def is_failed_seek(call, error):
    """Whether zipfile took a failing seek, which no file on a disk has, for a damaged archive."""
    return call == "lseek64" and isinstance(error, crnn.ModelFileError)


def has_to_raise(fault, call):
    """Whether saving without an error would hide that the file may not be stored."""
    return fault in ("ENOSPC", "EIO") and call in ("write", "rename")


def search(interposer, name, folder):
    """Return how many faults there were, and what is wrong by fault and call."""
    save_old, save = SAVES[name]()
    path = folder / "file.npz"
    save_old(path)
    old = path.read_bytes()
    interposer.arm(0, NOTHING, 0)
    save(path)
    interposer.disarm()
    calls, new = interposer.calls(), path.read_bytes()
    assert old != new
    findings = collections.defaultdict(list)
    if NEVER.intersection(calls):
        findings["any", "none", f"calls {NEVER.intersection(calls)}"].append(0)
    count = 0
    for fault in FAULTS:
        number = 1
        while True:
            call, wrong = check(interposer, save_old, save, path, old, new, fault, number)
            if not call:
                break
            count += 1
            for what in wrong:
                findings[fault, call, what].append(number)
            number += 1
    print(f"{name:11} {len(calls):3} calls {count:5} faults {len(findings):3} findings", flush=True)
    print(f"            {' '.join(f'{n} {c}' for c, n in collections.Counter(calls).items())}")
    for (fault, call, what), numbers in findings.items():
        print(f"    {fault}: {call} {numbers}: {what}")
    return count, len(findings)


def write_forever(path, kind, size):
    """What the processes of `together` do."""
    if kind == "network":
        net = crnn.GRU(3, size, 2, seed=0)
        while True:
            net.save(path)
    x = np.zeros((2, 3, 3))
    while True:
        crnn.RNN(3, size, 3, seed=0).fit(x, x, epochs=2, checkpoint=path)


def start_writer(path, kind, size):
    """Let a child process write; return its number."""
    child = os.fork()
    if not child:
        try:
            write_forever(path, kind, size)
        except BaseException as error:
            print(f"    refused: {error!r}", flush=True)
        finally:
            os._exit(1)
    return child


def together(folder, seconds):
    """Four processes write to one path, of which some are killed; return what is wrong."""
    wrong = 0
    for kind in ("network", "checkpoint"):
        path, sizes = folder / "file.npz", (5, 9, 33, 70)
        known, refused = set(), 0
        for size in sizes:
            if kind == "network":
                crnn.GRU(3, size, 2, seed=0).save(path)
                known.add(path.read_bytes())
            else:
                x = np.zeros((2, 3, 3))
                for epochs in (1, 2):
                    crnn.RNN(3, size, 3, seed=0).fit(x, x, epochs=epochs, checkpoint=path)
                    known.add(path.read_bytes())

        children = {start_writer(path, kind, size): size for size in sizes}
        reads, kills, seen = 0, 0, set()
        end, next_kill = time.monotonic() + seconds, 0.0
        chance = random.Random(0)
        while time.monotonic() < end:
            content = path.read_bytes()
            reads += 1
            seen.add(content)
            if content not in known:
                wrong += 1
                print(f"    {kind}: a file of {len(content)} bytes that nobody wrote")
            if time.monotonic() > next_kill:
                next_kill = time.monotonic() + 0.02
                child = chance.choice(list(children))
                size = children.pop(child)
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)[1]
                refused += not os.WIFSIGNALED(status)
                kills += 1
                children[start_writer(path, kind, size)] = size
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        left = len(list(folder.iterdir())) - 1
        crnn.GRU(3, 5, 2, seed=0).save(path)
        names = [one.name for one in folder.iterdir()]
        if names != [path.name]:
            wrong += 1
            print(f"    {kind}: left by the last save: {names}")
        wrong += refused
        print(
            f"{kind}: {reads} reads of {len(seen)} different files, {kills} kills, {refused} "
            f"refused, {left} temporary files before the last save, {len(names) - 1} after"
        )
        path.unlink()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", nargs="*", default=list(SAVES), choices=list(SAVES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--together", type=float, metavar="SECONDS")
    options = parser.parse_args()
    run_preloaded(Path(__file__).with_suffix(".c"))
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        if options.together is not None:
            sys.exit(together(folder, options.together) > 0)
        interposer = Interposer()
        results = [search(interposer, name, folder) for name in options.saves]
    print(f"{sum(count for count, _ in results)} faults, {sum(n for _, n in results)} findings")
    sys.exit(any(n for _, n in results))


if __name__ == "__main__":
    main()
