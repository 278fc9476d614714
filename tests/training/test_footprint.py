"""What crnn costs beside its work: the time of its import, and the memory of a training step."""

import statistics
import sys
from pathlib import Path

import pytest

IMPORT_MILLISECONDS = 20
# Of tape and parameters, where the tape is the larger of the two. Where it is not, the gradient and
# packed W_hh, each as large as the parameters, weigh more: up to 2.1. The gradient has to stand
# whole before the first parameter moves, for its norm may be clipped.
PEAK = 1.5

IMPORTS = """
import time
import numpy
start = time.perf_counter()
import crnn
print((time.perf_counter() - start) * 1e3)
"""


def test_import_is_quick(run_python):
    """The fastest of a few fresh interpreters: others may be running beside them."""
    times = [float(run_python(IMPORTS).stdout) for _ in range(9)]
    assert min(times) < IMPORT_MILLISECONDS, statistics.median(times)


def test_import_brings_nothing_but_itself(run_python):
    """No door's library, and nothing of Python's own that takes its time."""
    code = """
import sys
import numpy
before = set(sys.modules)
import crnn
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(name for name in brought if not name.startswith(("_cython", "cython"))))
"""
    found = set(eval(run_python(code).stdout))
    # The rest is there already, or is small.
    assert found <= {"crnn", "contextlib", "importlib", "numbers"}, found


MEASURE = """
import sys
import numpy as np
import crnn

T, B, I, H, O = map(int, sys.argv[1:6])
dtype, threads, family = sys.argv[6], int(sys.argv[7]), sys.argv[8]
# Blocks of H that are kept of a step: states, and what is between them
kept = {"RNN": 1, "GRU": 1 + 4, "LSTM": 2 + 4}[family]
crnn.set_num_threads(threads)
rng = np.random.default_rng(0)

def step(T, B, I, H, O):
    net = getattr(crnn, family)(I, H, O or None, dtype=dtype, seed=0, implementation="native")
    x, y = rng.random((B, T, I), dtype=dtype), rng.random((B, T, O or H), dtype=dtype)
    return net, lambda: net.train_step(x, y, crnn.SGD(1e-6))

# Threads and modules come with the first step. A network of its own takes it: what this one kept
# for its next step would be missing from the growth.
step(400, 16, 3, 32, 2)[1]()
net, measured = step(T, B, I, H, O)

def highest():
    with open("/proc/self/status") as status:
        return 1024 * next(int(l.split()[1]) for l in status if l.startswith("VmHWM"))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts anew from what is resident now
before = highest()
measured()
tape = B * (T + 1) * kept * H + B * T * O
print((highest() - before) / ((tape + net.flat_params.size) * np.dtype(dtype).itemsize))
"""


TRUNCATED = """
import sys
import numpy as np
import crnn

T = int(sys.argv[1])
rng = np.random.default_rng(0)
x, y = rng.random((1, T, 2), dtype="float32"), rng.random((1, T, 1), dtype="float32")
net = crnn.RNN(2, 32, 1, seed=0)
net.fit(x[:, :300], y[:, :300], epochs=1, bptt=100)

def highest():
    with open("/proc/self/status") as status:
        return 1024 * next(int(l.split()[1]) for l in status if l.startswith("VmHWM"))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = highest()
net.fit(x, y, epochs=1, bptt=100)
print(highest() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
def test_memory_of_truncated_bptt_does_not_grow(both_kernels, run_python):
    """The states of 10^6 steps would take 128 MB."""
    for T in (10**4, 10**5, 10**6):
        done = run_python(f"import sys\nsys.argv[1:] = ['{T}']\n{TRUNCATED}")
        assert done.returncode == 0, done.stderr
        print(f"{T} steps in chunks of 100: {int(done.stdout) / 1024:.0f} KiB", file=sys.stderr)
        assert int(done.stdout) < 1 << 20


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes",
    [
        "2000 16 4 512 4",
        "400 64 64 512 64",
        "100 32 32 1024 512",
        "20000 8 1 64 64",
        "60000 1 8 64 200",
        # No output layer
        "2000 16 4 512 0",
        "20000 8 1 64 0",
        # States of a sequence alone that would be padded, were they shorter
        "1500000 1 1 8 1",
        "500 16 4 256 4 GRU",
        "3000 8 1 64 0 GRU",
        "500 16 4 256 4 LSTM",
        "3000 8 1 64 0 LSTM",
        "60000 1 8 32 4 LSTM",
    ],
)
def test_peak_memory_of_a_training_step(both_kernels, run_python, sizes, dtype, threads):
    *numbers, family = [*sizes.split(), "RNN"][:6]
    arguments = [*numbers, dtype, threads, family]
    code = f"import sys\nsys.argv[1:] = {arguments!r}\n{MEASURE}"
    # glibc's own threshold grows, and arrays set free are then kept and used again, uncounted.
    done = run_python(code, MALLOC_MMAP_THRESHOLD_="65536")
    if done.returncode:
        pytest.fail(done.stderr)
    print(f"{sizes} {dtype} {threads}: {float(done.stdout):.2f}", file=sys.stderr)
    assert float(done.stdout) <= PEAK
