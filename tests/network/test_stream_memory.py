"""Compiled streams: no allocation in a step, no growth, nothing outside the arrays touched."""

import gc
import itertools
import mmap
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest


def test_a_step_allocates_nothing(native_family):
    net = native_family(8, 32, 4, dtype="float32")
    stream, x, out = net.stream(), np.ones(8, np.float32), np.empty(4, np.float32)
    stream.step(x, out=out)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[1]
        for _ in itertools.repeat(None, 1000):
            stream.step(x, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The iterator's 48 bytes are less than any array would take.
    assert peak - before < 96


def test_memory_stays_flat(native_family):
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("reads the resident memory from /proc")
    net = native_family(8, 32, 4, dtype="float32")
    stream, x, out = net.stream(), np.ones(8, np.float32), np.empty(4, np.float32)
    wrong = np.full(8, np.nan, np.float32)

    def resident():
        gc.collect()
        return int(status.read_text().split()[1]) * mmap.PAGESIZE

    def use(times):
        for _ in range(times):
            stream.step(x, out=out)
        for _ in range(times // 4):
            stream.step(x)
        for _ in range(times // 250):
            stream.copy().run(np.ones((3, 8), np.float32))
            net.stream().state = stream.state
            with pytest.raises(ValueError, match="finite"):
                stream.step(wrong)

    use(20_000)
    before = resident()
    # A leak of one object a step would take 5 MB.
    use(100_000)
    assert resident() - before < 1 << 20


@pytest.mark.loops
def test_nothing_outside_the_arrays_is_touched(native, run_python):
    """Arrays stand right beside pages that may be neither read nor written."""
    if sys.platform == "win32":
        pytest.skip("protects pages as POSIX does")
    process = run_python(BESIDE_PROTECTED_PAGES)
    assert process.stdout == "equal\n", (process.returncode, process.stderr)


BESIDE_PROTECTED_PAGES = """
import ctypes, mmap
import numpy as np, crnn
from crnn.kernels.native import Stream

PAGE = mmap.PAGESIZE
protect = ctypes.CDLL(None).mprotect
protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

def beside(values, at_end):
    pages = -(-values.nbytes // PAGE)
    whole = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.uint8)
    first = whole.ctypes.data
    assert protect(first, PAGE, 0) == protect(first + (pages + 1) * PAGE, PAGE, 0) == 0
    start = PAGE + (pages * PAGE - values.nbytes) * at_end
    part = whole[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    part[...] = values
    return part

rng = np.random.default_rng(0)
for family, dtype in [(f, d) for f in (crnn.RNN, crnn.GRU, crnn.LSTM) for d in ("f4", "f8")]:
    for H in (*range(1, 35), 64, 70):
        I, O = (int(n) for n in rng.integers([1, 0], 36))
        net = family(I, H, O or None, dtype=dtype, seed=0, implementation="native")
        cell = {"RNN": "tanh", "GRU": "gru", "LSTM": "lstm"}[family.__name__]
        for batch in (None, 1, 3, 16):
            axes = () if batch is None else (batch,)
            x = rng.standard_normal((*axes, 4, I)).astype(dtype)
            expected = net.predict(x)
            for at_end in (False, True):
                stream = Stream(cell, [beside(net.flat_params, at_end)], I, H, O, batch, None)
                x_t = beside(x[..., 0, :], at_end)
                y_t = beside(expected[..., 0, :], at_end)
                for t in range(4):
                    x_t[...] = x[..., t, :]
                    stream.step(x_t, out=y_t)
                    assert np.array_equal(y_t, expected[..., t, :])
                stream.reset()
                assert np.array_equal(stream.run(beside(x, at_end)), expected)
print("equal")
"""
