"""The memory of training and of bidirectional predictions.

A step of training needs little beside its tape, truncated BPTT none that grows, and a prediction
little beside what one layer hands to the next.
"""

from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")


# As a share of tape and parameters, where the tape is the larger of the two. Where it is not, the
# gradient and packed W_hh, each as large as the parameters, weigh more: up to 2.1. The gradient has
# to be whole before the first parameter moves, because its norm may be clipped.
PEAK = 1.5
# Beside that, where members of a team have to wait for one another because of other processes, they
# keep the gradients of several chunks of steps: `REACH_BYTES` of `gradient.pxi`.
REACH = 1 << 23


# How far the resident memory of the process grows above what it is at `start`
GROWTH = """
import sys

def highest():
    with open("/proc/self/status") as status:
        return 1024 * next(int(l.split()[1]) for l in status if l.startswith("VmHWM"))

def start():
    global before
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew from what is resident now
    before = highest()

def growth():
    return highest() - before
"""


MEASURE = """
import numpy as np
import crnn

T, B, I, H, O = map(int, sys.argv[1:6])
dtype, threads, family = sys.argv[6], int(sys.argv[7]), sys.argv[8]
# Blocks of H on the tape of a step: states, and what is between them
blocks = {"RNN": 1, "GRU": 1 + 4, "LSTM": 2 + 4}[family]
crnn.set_num_threads(threads)
rng = np.random.default_rng(0)

def step(T, B, I, H, O):
    net = getattr(crnn, family)(I, H, O or None, dtype=dtype, seed=0, implementation="native")
    x, y = rng.random((B, T, I), dtype=dtype), rng.random((B, T, O or H), dtype=dtype)
    return net, lambda: net.train_step(x, y, crnn.SGD(1e-6))

# Threads and modules come with the first step. A network of its own takes it: what this one keeps
# for its next step would be missing from the growth.
step(400, 16, 3, 32, 2)[1]()
net, measured = step(T, B, I, H, O)

start()
measured()
tape = B * (T + 1) * blocks * H + B * T * O
print(growth(), (tape + net.flat_params.size) * np.dtype(dtype).itemsize)
"""


TRUNCATED = """
import numpy as np
import crnn

T = int(sys.argv[1])
rng = np.random.default_rng(0)
x, y = rng.random((1, T, 2), dtype="float32"), rng.random((1, T, 1), dtype="float32")
net = crnn.RNN(2, 32, 1, seed=0)
net.fit(x[:, :300], y[:, :300], epochs=1, bptt=100)

start()
net.fit(x, y, epochs=1, bptt=100)
print(growth())
"""


def test_memory_of_truncated_bptt_does_not_grow(native, run_python):
    """The states of 200 000 steps would take 25 MB."""
    for T in (10**4, 200_000):
        process = run_python(f"{GROWTH}\nsys.argv[1:] = ['{T}']\n{TRUNCATED}")
        assert process.returncode == 0, process.stderr
        assert int(process.stdout) < 1 << 20


SIZES = {
    "500 16 4 256 4": ("float32", "1"),
    "100 32 32 512 256": ("float32", "1"),
    "8000 8 1 64 64": ("float64", "1"),
    "30000 1 8 64 200": ("float32", "1"),
    # No output layer
    "500 16 4 256 0": ("float32", "1"),
    "8000 8 1 64 0": ("float64", "2"),
    # States of a sequence alone that would be padded, were they shorter
    "500000 1 1 8 1": ("float64", "1"),
    "500 16 4 256 4 GRU": ("float32", "2"),
    "3000 8 1 64 0 GRU": ("float64", "1"),
    "500 16 4 256 4 LSTM": ("float64", "2"),
    "3000 8 1 64 0 LSTM": ("float32", "1"),
    "60000 1 8 32 4 LSTM": ("float32", "2"),
}


@pytest.mark.parametrize(("sizes", "dtype", "threads"), [(s, *how) for s, how in SIZES.items()])
def test_peak_memory_of_a_training_step(native, run_python, sizes, dtype, threads):
    *numbers, family = [*sizes.split(), "RNN"][:6]
    arguments = [*numbers, dtype, threads, family]
    code = f"{GROWTH}\nsys.argv[1:] = {arguments!r}\n{MEASURE}"
    # glibc's own threshold grows, and arrays set free are then kept and used again, uncounted.
    process = run_python(code, MALLOC_MMAP_THRESHOLD_="65536")
    assert process.returncode == 0, process.stderr
    grown, arrays = map(int, process.stdout.split())
    assert grown <= PEAK * arrays + (REACH if threads != "1" else 0)


PREDICTED = """
import numpy as np
import crnn

layers, B, T = map(int, sys.argv[1:4])
net = crnn.GRU(1, 16, 1, num_layers=layers, bidirectional=True, seed=0)
x = np.random.default_rng(0).random((B, T, 1), dtype="float32")
net.predict(x[:, :300])

start()
net.predict(x)
print(growth())
"""


@pytest.mark.parametrize(
    ("layers", "batch", "time", "megabytes"),
    # All at once, states and gates take 77 MB for the one and 311 MB for the other.
    [(1, 1, 100_000, 9), (2, 4_000, 50, 26)],
    ids=["a long sequence", "many sequences"],
)
def test_memory_of_a_bidirectional_prediction(native, run_python, layers, batch, time, megabytes):
    code = f"{GROWTH}\nsys.argv[1:] = ['{layers}', '{batch}', '{time}']\n{PREDICTED}"
    process = run_python(code, MALLOC_MMAP_THRESHOLD_="65536")
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) < megabytes * 10**6
