"""Streams in C without the GIL: threads, allocations, locks and system calls."""

import os
import platform
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from preloading import shared_library
from steppers import SOURCES

pytestmark = pytest.mark.xdist_group("embedding")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_busy_while_another_thread_runs_a_block(steppers, trained, dtype):
    c, cython = steppers
    net = trained(16, 128, 4, dtype)
    steps, all_came = 4000, False
    while not all_came:
        stream = net.stream()
        x = np.random.default_rng(2).standard_normal((steps, 16)).astype(dtype)
        result = []
        thread = threading.Thread(target=lambda s=stream, x=x, r=result: r.append(s.run(x)))
        thread.start()
        seen = False
        while thread.is_alive() and not seen:
            try:
                _ = stream.state  # disturbs nothing if the thread is not in there yet
            except RuntimeError:
                seen = True
        scratch, y = np.full(128, 7.0), np.full((1, 4), 7, dtype)
        said = c.codes(stream, False, scratch)[:3]
        run = cython.run_float if dtype == "float32" else cython.run_double
        said += (run(stream, x[:1], y),)
        all_came = thread.is_alive()
        thread.join()
        steps *= 2
        assert steps < 1 << 20, f"no thread in the stream for long enough: {said}"
    assert said == (-1, -1, -1, -1)
    assert (scratch == 7).all()
    assert (y == 7).all()
    assert np.array_equal(result[0], net.predict(x))
    stream.reset()
    assert c.codes(stream, False, np.zeros(128))[:3] == (0, 0, 0)


def test_streams_side_by_side_without_the_gil(steppers, run_python):
    """Six threads of C while a seventh sits on the GIL; in a process that may hang."""
    code = f"""
import sys
import numpy as np, crnn
sys.path.insert(0, {str(Path(steppers[0].__file__).parent)!r})
import stepper
T, nets = 3000, [crnn.RNN(5, 24, 3, seed=seed) for seed in range(6)]
xs = [np.random.default_rng(n).standard_normal((T, 5)).astype(np.float32) for n in range(6)]
ys = [np.full((T, 3), np.nan, np.float32) for n in range(6)]
print("refused:", stepper.side_by_side([net.stream() for net in nets], xs, ys, T))
print([np.array_equal(y, net.predict(x)) for net, x, y in zip(nets, xs, ys)] == [True] * 6)
"""
    process = run_python(code, timeout=60)
    assert process.stdout == "refused: 0\nTrue\n", process.stderr


# A sequence alone by rows and by panels, and a batch
CONFINED = [(8, 32, 4, None), (70, 70, 3, None), (8, 32, 4, 5)]

PREAMBLE = f"""
import ctypes, itertools, sys
from functools import partial
import numpy as np, crnn

def from_python(stream, x, y, steps):
    for _ in itertools.repeat(None, steps):
        stream.step(x, out=y)

def cases():
    for I, H, O, batch in {CONFINED!r}:
        stream = crnn.RNN(I, H, O, seed=0).stream(batch)
        x = np.ones((I,) if batch is None else (batch, I), np.float32)
        for call in (stepper.repeat, from_python):
            yield partial(call, stream, x, stream.step(x), 1000)
"""


def imports(steppers):
    folder = str(Path(steppers[0].__file__).parent)
    return f"import sys; sys.path.insert(0, {folder!r}); import stepper\n{PREAMBLE}"


@pytest.fixture(scope="session")
def counting(native, tmp_path_factory):
    """A library that counts allocations and locks, to be loaded before all others."""
    if platform.libc_ver()[0] != "glibc" or shutil.which("cc") is None:
        pytest.skip("counts the calls of glibc, by a library that cc builds")
    if "LD_PRELOAD" in os.environ:
        pytest.skip("another library, such as a sanitizer's, has to come before all others")
    return shared_library(SOURCES / "counting.c", tmp_path_factory.mktemp("counting"))


def test_a_step_neither_allocates_nor_locks(steppers, counting, run_python):
    code = """
counter = ctypes.cast(ctypes.CDLL(None).calls_counted, ctypes.c_void_p).value
print(stepper.calls_in(lambda: np.empty(100_000), counter) > 0)
for case in cases():
    case()
    print(stepper.calls_in(case, counter))
"""
    process = run_python(imports(steppers) + code, LD_PRELOAD=str(counting), CRNN_NUM_THREADS="1")
    assert process.stdout == "True\n" + "0\n" * 2 * len(CONFINED), process.stderr


def test_a_step_calls_no_operating_system(steppers, run_python):
    code = """
for case in cases():
    print(*(stepper.confined(case, trespass) for trespass in (True, False)))
"""
    process = run_python(imports(steppers) + code)
    if "None" in process.stdout:
        pytest.skip("nothing here confines a process to a few system calls")
    assert process.stdout == "False True\n" * 2 * len(CONFINED), process.stderr


def test_two_threads_in_one_stream_are_told(steppers, trained):
    stream = trained(8, 32, 4).stream()
    refused = steppers[0].collide(stream, np.ones(8, np.float32), 300_000)
    assert sum(refused) > 0
    assert sum(refused) < 600_000
    stream.reset()
    assert np.isfinite(stream.step(np.ones(8))).all()
