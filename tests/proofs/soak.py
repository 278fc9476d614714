"""Long runs of streams, training and files: flat memory, finite numbers, outputs as afresh.

    python tests/proofs/soak.py {stream,train,files} COUNT

Each cell, in both dtypes, takes its share of COUNT: steps of a stream, training steps, or cycles of
saving and loading. A share is run in parts. After the first tenth of the parts the memory of the
process is noted; at the end it may be larger by LIMIT. After each part the numbers are compared
with those computed afresh.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from network_problems import ALL_CELLS, network

import crnn

LIMIT = 1 << 20
PARTS = 40
PAGE = os.sysconf("SC_PAGE_SIZE")
SIZES = {"input_size": 3, "hidden_size": 8, "output_size": 2}
BLOCK = 1000
# A block's product of inputs and a step's are summed in another order.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}


def resident():
    """The memory that the process takes, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def assert_close(got, expected, what):
    got, expected = np.asarray(got), np.asarray(expected)
    assert np.isfinite(got).all(), f"{what}: expected finite numbers"
    limit = TOLERANCES[got.dtype.name] * max(1.0, np.abs(expected).max())
    difference = np.abs(got - expected).max()
    assert difference <= limit, f"{what}: expected a difference of {limit:g}, got {difference:g}"


def packed(state):
    """A state as one array."""
    return np.concatenate(state) if isinstance(state, tuple) else state


class Stream:
    """Steps of a stream; its last output is that of a network which begins with its state."""

    def __init__(self, **settings):
        self.net = network(**SIZES, **settings)
        self.stream = self.net.stream()
        self.out = np.empty(SIZES["output_size"], self.net.dtype)
        self.x = np.random.default_rng(0).normal(size=(BLOCK, 3)).astype(self.net.dtype)

    def run(self, count):
        while count:
            # Most in blocks, one in a hundred alone
            block, alone = min(count, BLOCK), min(max(0, count - BLOCK), BLOCK // 100)
            self.stream.run(self.x[:block])
            for number in range(alone):
                self.stream.step(self.x[number], out=self.out)
            count -= block + alone

    def check(self):
        before = self.stream.state
        got = self.stream.step(self.x[0])
        expected, after = self.net.predict(self.x[:1], before, return_state=True)
        assert_close(got, expected[0], "output")
        assert_close(packed(self.stream.state), packed(after), "state")


class Train:
    """Training steps; the last loss is that of a copy that is made afresh of the parameters."""

    def __init__(self, **settings):
        self.settings = settings
        self.net = network(**SIZES, **settings)
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(2, 5, 3)).astype(self.net.dtype)
        self.y = np.tanh(self.x[..., :2])
        self.optimizer = crnn.Adam(1e-3)

    def run(self, count):
        for _ in range(count):
            self.net.train_step(self.x, self.y, optimizer=self.optimizer, clip_norm=1.0)

    def check(self):
        assert np.isfinite(self.net.flat_params).all()
        fresh = network(**SIZES, **self.settings)
        fresh.flat_params[...] = self.net.flat_params
        assert_close(self.net.predict(self.x), fresh.predict(self.x), "output")


class Files:
    """Cycles of saving and loading; the last network is the first one, bit by bit."""

    def __init__(self, **settings):
        self.first = self.net = network(**SIZES, **settings)
        # A file system in memory, where there is one: a disk would wait for each file.
        shared = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)
        self.path = Path(self.folder.name) / "net.npz"

    def run(self, count):
        for _ in range(count):
            self.net.save(self.path)
            self.net = crnn.load(self.path)

    def check(self):
        assert self.net.flat_params.tobytes() == self.first.flat_params.tobytes()
        assert [path.name for path in self.path.parent.iterdir()] in ([], [self.path.name])


KINDS = {"stream": Stream, "train": Train, "files": Files}


def soak(kind, count, name, dtype):
    """Run a cell's share, and print what was found."""
    soaked = KINDS[kind](dtype=dtype, **ALL_CELLS[name])
    start, part, noted, done = time.monotonic(), max(1, count // PARTS), 0, 0
    while done < count:
        step = min(part, count - done)
        soaked.run(step)
        done += step
        soaked.check()
        if not noted and done >= count // 10:
            noted = resident()
    grown = resident() - noted
    print(
        f"{kind}, {name}, {dtype}: {done} in {time.monotonic() - start:.0f} s, memory grew by "
        f"{grown / 1024:.0f} KiB",
        flush=True,
    )
    assert grown <= LIMIT, f"expected a growth of {LIMIT} bytes at most, got {grown}"


def main():
    """Soak every cell and dtype."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("count", type=int, help="of all cells and dtypes together")
    arguments = parser.parse_args()
    cases = [(name, dtype) for name in ALL_CELLS for dtype in ("float32", "float64")]
    for name, dtype in cases:
        soak(arguments.kind, -(-arguments.count // len(cases)), name, dtype)


if __name__ == "__main__":
    main()
